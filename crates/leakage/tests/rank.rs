//! Ranks against dense matrices, and what a rank is good for.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use cleave_leakage::{
    ConvShape, Effort, FrontLayer, Injectivity, LeakageError, LinearShape, Op, Rank, Spectrum, spectrum,
};
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;

/// Numbers in -1..1 that look random and are the same every time.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn weights(conv: &ConvShape, seed: u64) -> Vec<f32> {
    noise(conv.out_channels * conv.in_channels * conv.kernel[0] * conv.kernel[1], seed)
}

/// A convolution without padding that has `outputs` positions.
fn conv(kernel: [usize; 2], stride: [usize; 2], channels: [usize; 2], outputs: [usize; 2]) -> ConvShape {
    let input = [0, 1].map(|axis| stride[axis] * (outputs[axis] - 1) + kernel[axis]);
    ConvShape::new(kernel, stride, [0, 0], channels, input)
}

fn layer(conv: ConvShape, weights: Vec<f32>) -> FrontLayer {
    FrontLayer::new("conv", Op::Conv(conv)).with_weights(weights)
}

fn evaluated(layer: &FrontLayer, effort: &Effort) -> Spectrum {
    match spectrum(layer, effort).unwrap() {
        Rank::Evaluated(spectrum) => spectrum,
        other => panic!("{other:?}"),
    }
}

/// The convolution of `weights` as a matrix; input `[channels, height, width]`, output the same.
/// `pixel` maps the padded coordinate of an axis to the pixel it reads, if any.
fn dense(
    conv: &ConvShape,
    weights: &[f32],
    input: [usize; 2],
    outputs: [usize; 2],
    pixel: impl Fn(usize, usize) -> Option<usize>,
) -> DMatrix<f64> {
    let [kernel_h, kernel_w] = conv.kernel;
    let mut matrix =
        DMatrix::zeros(conv.out_channels * outputs[0] * outputs[1], conv.unknown_channels() * input[0] * input[1]);
    for (index, &weight) in weights.iter().enumerate() {
        let (tap, plane) = (index % (kernel_h * kernel_w), index / (kernel_h * kernel_w));
        let (output, channel) = (plane / conv.in_channels, plane % conv.in_channels);
        if channel >= conv.unknown_channels() {
            continue;
        }
        for position in 0..outputs[0] * outputs[1] {
            let row = pixel(0, position / outputs[1] * conv.stride[0] + tap / kernel_w);
            let column = pixel(1, position % outputs[1] * conv.stride[1] + tap % kernel_w);
            if let (Some(row), Some(column)) = (row, column) {
                let unknown = (channel * input[0] + row) * input[1] + column;
                matrix[(output * outputs[0] * outputs[1] + position, unknown)] += f64::from(weight);
            }
        }
    }
    matrix
}

/// The matrix on the torus that the outputs span.
fn circular(conv: &ConvShape, weights: &[f32], outputs: [usize; 2]) -> DMatrix<f64> {
    let sides = [0, 1].map(|axis| conv.stride[axis] * outputs[axis]);
    dense(conv, weights, sides, outputs, |axis, at| Some(at % sides[axis]))
}

/// The matrix with zero padding, as a network runs it.
fn padded(conv: &ConvShape, weights: &[f32]) -> DMatrix<f64> {
    let outputs =
        [0, 1].map(|axis| (conv.input[axis] + 2 * conv.padding[axis] - conv.kernel[axis]) / conv.stride[axis] + 1);
    dense(conv, weights, conv.input, outputs, |axis, at| {
        at.checked_sub(conv.padding[axis]).filter(|&pixel| pixel < conv.input[axis])
    })
}

/// Singular values, largest first, by one-sided Jacobi rotations: slow, and no code in common with
/// the crate.
fn singular_values(matrix: &DMatrix<f64>) -> Vec<f64> {
    let mut work = if matrix.nrows() < matrix.ncols() { matrix.transpose() } else { matrix.clone() };
    let negligible = f64::EPSILON * matrix.norm_squared();
    for _ in 0..60 {
        let mut rotated = false;
        for left in 0..work.ncols() {
            for right in left + 1..work.ncols() {
                rotated |= orthogonalise(&mut work, left, right, negligible);
            }
        }
        if !rotated {
            let mut values: Vec<_> = work.column_iter().map(|column| column.norm()).collect();
            values.sort_by(|a, b| b.total_cmp(a));
            return values;
        }
    }
    panic!("no convergence in 60 sweeps")
}

/// Rotates two columns until they are orthogonal; false if they were.
fn orthogonalise(work: &mut DMatrix<f64>, left: usize, right: usize, negligible: f64) -> bool {
    let [a, b] = [left, right].map(|column| work.column(column).norm_squared());
    let product = work.column(left).dot(&work.column(right));
    if product.abs() <= 1e-15 * (a * b).sqrt() || product.abs() <= 1e-14 * negligible {
        return false;
    }
    let ratio = (b - a) / (2.0 * product);
    let tangent = ratio.signum() / (ratio.abs() + ratio.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    for row in 0..work.nrows() {
        let (x, y) = (work[(row, left)], work[(row, right)]);
        work[(row, left)] = cosine * (x - tangent * y);
        work[(row, right)] = cosine * (y + tangent * x);
    }
    true
}

/// Largest error with which least squares returns an image from what a linear layer sent of it.
fn recovery_error(matrix: &DMatrix<f64>) -> f64 {
    let image = DVector::from_iterator(matrix.ncols(), noise(matrix.ncols(), 99).into_iter().map(f64::from));
    let solution = matrix.clone().svd(true, true).solve(&(matrix * &image), 1e-9).unwrap();
    (solution - image).amax()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn symbol_and_dense_matrix_have_the_same_rank_and_extreme_singular_values(
        kernel in [1usize..5, 1usize..5], stride in [1usize..4, 1usize..4],
        unknown in 1usize..3, known in 0usize..2, kernels in 1usize..7,
        extra in [0usize..2, 0usize..2], seed in 1u64..1_000_000, twins in any::<bool>(),
    ) {
        let outputs = [0, 1].map(|axis| kernel[axis].div_ceil(stride[axis]) + extra[axis]);
        let conv = conv(kernel, stride, [unknown + known, kernels], outputs).with_known_channels(known);
        let mut weights = weights(&conv, seed);
        if twins && kernels > 1 {
            let size = weights.len() / kernels;
            weights.copy_within(..size, size);
        }
        let found = evaluated(&layer(conv, weights.clone()), &Effort::default());
        let matrix = circular(&conv, &weights, outputs);
        let values = singular_values(&matrix);
        let largest = values[0];
        let rank = values.iter().filter(|&&value| value > 1e-10 * largest).count();
        let hidden = match found.injectivity {
            Injectivity::Injective { .. } => 0,
            Injectivity::Hidden { dimension } => dimension as usize,
        };
        prop_assert!(found.exhaustive());
        prop_assert_eq!(matrix.ncols() - hidden, rank);
        prop_assert!((found.largest - largest).abs() < 1e-9 * largest);
        let smallest = if matrix.nrows() < matrix.ncols() { 0.0 } else { values[values.len() - 1] };
        prop_assert!((found.smallest - smallest).abs() < 1e-9 * largest);
    }
}

#[test]
fn sixty_four_generic_kernels_are_injective() {
    let conv = conv([11; 2], [4; 2], [3, 64], [9, 9]);
    let found = evaluated(&layer(conv, weights(&conv, 1)), &Effort::default());
    assert_eq!((found.min_rank, found.generic_rank, found.unknowns), (48, 48, 48));
    assert_eq!((found.evaluated, found.grid), (41, [9, 9]));
    assert!(matches!(found.injectivity, Injectivity::Injective { condition } if condition < 1e4));
}

#[test]
fn thirty_two_kernels_hide_sixteen_dimensions_a_position() {
    let conv = conv([11; 2], [4; 2], [3, 32], [9, 9]);
    let found = evaluated(&layer(conv, weights(&conv, 2)), &Effort::default());
    assert_eq!((found.min_rank, found.generic_rank, found.smallest), (32, 32, 0.0));
    assert_eq!(found.injectivity, Injectivity::Hidden { dimension: 16 * 81 });
}

#[test]
fn kernels_that_repeat_add_no_rank() {
    let conv = conv([11; 2], [4; 2], [3, 64], [4, 4]);
    let mut twins = weights(&conv, 3);
    twins.copy_within(..32 * 363, 32 * 363);
    let found = evaluated(&layer(conv, twins), &Effort::default());
    assert_eq!((found.min_rank, found.generic_rank), (32, 32));
}

#[test]
fn zero_weights_have_rank_zero() {
    let conv = conv([3; 2], [1; 2], [2, 4], [5, 5]);
    let found = evaluated(&layer(conv, vec![0.0; 72]), &Effort::default());
    assert_eq!((found.min_rank, found.largest), (0, 0.0));
    assert_eq!(found.injectivity, Injectivity::Hidden { dimension: 50 });
}

#[test]
fn a_blur_loses_only_its_zero_frequencies() {
    // A mean over 2 × 2 pixels is zero wherever one of the two frequencies is the highest: 4 + 4 − 1 of 16.
    let conv = conv([2; 2], [1; 2], [1, 1], [4, 4]);
    let found = evaluated(&layer(conv, vec![0.25; 4]), &Effort::default());
    assert_eq!((found.min_rank, found.generic_rank), (0, 1));
    assert_eq!(found.injectivity, Injectivity::Hidden { dimension: 7 });
}

#[test]
fn pixels_between_kernels_stay_hidden() {
    let conv = conv([1; 2], [2; 2], [3, 8], [4, 4]);
    let found = evaluated(&layer(conv, weights(&conv, 4)), &Effort::default());
    assert_eq!((found.unknowns, found.untouched, found.min_rank), (12, 9, 3));
    assert_eq!(found.injectivity, Injectivity::Hidden { dimension: 9 * 16 });
}

#[test]
fn a_sample_of_frequencies_says_so_and_scales() {
    let effort = Effort { frequencies: 12, ..Effort::default() };
    let conv = conv([3; 2], [1; 2], [8, 5], [13, 9]);
    let found = evaluated(&layer(conv, weights(&conv, 5)), &effort);
    assert!(!found.exhaustive() && found.evaluated <= 12, "{found:?}");
    assert_eq!(found.injectivity, Injectivity::Hidden { dimension: 3 * 13 * 9 });
}

#[test]
fn least_squares_returns_the_image_exactly_when_the_rank_says_so() {
    for (kernels, injective) in [(14, true), (12, true), (11, false), (6, false)] {
        let conv = conv([5; 2], [2; 2], [3, kernels], [6, 6]);
        let weights = weights(&conv, 6);
        let found = evaluated(&layer(conv, weights.clone()), &Effort::default());
        assert_eq!(matches!(found.injectivity, Injectivity::Injective { .. }), injective);
        let error = recovery_error(&circular(&conv, &weights, [6, 6]));
        assert_eq!(error < 1e-6, injective, "{kernels} kernels: {error:e}");
    }
}

#[test]
fn least_squares_does_the_same_with_the_borders_of_a_real_network() {
    for (kernels, injective) in [(16, true), (8, false)] {
        let conv = ConvShape::new([5; 2], [2; 2], [2; 2], [3, kernels], [12, 12]);
        let weights = weights(&conv, 7);
        let found = evaluated(&layer(conv, weights.clone()), &Effort::default());
        assert_eq!(matches!(found.injectivity, Injectivity::Injective { .. }), injective);
        let error = recovery_error(&padded(&conv, &weights));
        assert_eq!(error < 1e-6, injective, "{kernels} kernels: {error:e}");
    }
}

#[test]
fn a_weight_matrix_is_its_own_symbol() {
    let fully = |out_features| {
        let shape = LinearShape { in_features: 12, out_features, known_features: 2 };
        FrontLayer::new("fc", Op::Linear(shape)).with_weights(noise(12 * out_features, 8))
    };
    let wide = evaluated(&fully(7), &Effort::default());
    assert_eq!((wide.min_rank, wide.unknowns), (7, 10));
    assert_eq!(wide.injectivity, Injectivity::Hidden { dimension: 3 });
    let tall = evaluated(&fully(20), &Effort::default());
    assert!(matches!(tall.injectivity, Injectivity::Injective { .. }));
}

#[test]
fn what_costs_too_much_is_left_to_counting() {
    let shape = LinearShape { in_features: 100, out_features: 100, known_features: 0 };
    let layer = FrontLayer::new("fc", Op::Linear(shape)).with_weights(noise(10_000, 9));
    let effort = Effort { multiplications: 999_999, ..Effort::default() };
    let too_large = Rank::TooLarge { multiplications: 1_000_000, limit: 999_999 };
    assert_eq!(spectrum(&layer, &effort), Ok(too_large));
}

#[test]
fn a_kernel_larger_than_its_torus_has_no_rank() {
    let conv = ConvShape::new([7; 2], [1; 2], [0; 2], [1, 2], [7; 2]);
    assert_eq!(spectrum(&layer(conv, weights(&conv, 10)), &Effort::default()), Ok(Rank::KernelWraps));
}

#[test]
fn refuse_weights_that_are_not_finite_or_do_not_fit() {
    let conv = conv([3; 2], [1; 2], [1, 2], [4, 4]);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut weights = weights(&conv, 11);
        weights[5] = bad;
        let refused = spectrum(&layer(conv, weights), &Effort::default()).unwrap_err();
        assert!(matches!(refused, LeakageError::NonFiniteWeight { index: 5, .. }));
    }
    let refused = spectrum(&layer(conv, vec![0.0; 17]), &Effort::default()).unwrap_err();
    assert!(matches!(refused, LeakageError::WeightCount { expected: 18, got: 17, .. }));
}

#[test]
fn extreme_weights_give_finite_singular_values() {
    let conv = conv([3; 2], [1; 2], [2, 3], [4, 4]);
    for scale in [f32::MAX, f32::MIN_POSITIVE] {
        let weights: Vec<_> = weights(&conv, 13).iter().map(|weight| weight * scale).collect();
        let found = evaluated(&layer(conv, weights), &Effort::default());
        assert_eq!((found.min_rank, found.largest.is_finite()), (2, true));
    }
}

#[test]
#[ignore = "measures time; run with --release"]
fn times_of_the_alexnet_layers() {
    let layers = [
        ([11; 2], [4; 2], [3, 64], [55; 2]),
        ([5; 2], [1; 2], [64, 192], [27; 2]),
        ([3; 2], [1; 2], [192, 384], [13; 2]),
        ([3; 2], [1; 2], [384, 384], [13; 2]),
        ([3; 2], [1; 2], [384, 256], [13; 2]),
    ];
    for (kernel, stride, channels, outputs) in layers {
        let conv = conv(kernel, stride, channels, outputs);
        let layer = layer(conv, weights(&conv, 14));
        let start = std::time::Instant::now();
        let found = evaluated(&layer, &Effort::default());
        println!("{channels:?}: {} frequencies, grid {:?}, {:?}", found.evaluated, found.grid, start.elapsed());
    }
    let shape = LinearShape { in_features: 1024, out_features: 1024, known_features: 0 };
    let fully = FrontLayer::new("fc7", Op::Linear(shape)).with_weights(noise(1 << 20, 15));
    let start = std::time::Instant::now();
    let found = evaluated(&fully, &Effort::default());
    println!("fc7: rank {}, {:?}", found.min_rank, start.elapsed());
}

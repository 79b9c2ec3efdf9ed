//! Networks in integers: shapes, quantisation, ranges, files.

#![allow(clippy::unwrap_used, reason = "clippy exempts only the test functions themselves")]

mod common;

use cleave_encrypted::{Error, FloatNetwork, IntegerNetwork, ParamSet, Precision, Ranges, Shape, quantise, ranges};
use common::{SMALL, network, pixels, rng};
use rand::{Rng, RngExt};

/// Weights and biases of each layer.
type Floats = [(Vec<f32>, Vec<f32>); 3];

fn floats(rng: &mut impl Rng, shape: Shape) -> Floats {
    let like = network(rng, shape, [1; 3], [1; 3]);
    like.layers.map(|layer| {
        let mut draw = |len: usize, width: f32| (0..len).map(|_| rng.random_range(-width..width)).collect();
        (draw(layer.weights.len(), 0.5), draw(layer.biases.len(), 0.2))
    })
}

fn borrowed(floats: &Floats) -> FloatNetwork<'_> {
    FloatNetwork { layers: floats.each_ref().map(|(weights, biases)| (&weights[..], &biases[..])) }
}

/// The network in floats, straight from its definition: pad, slide, square, multiply, square, multiply.
fn reference(floats: &Floats, shape: Shape, image: &[u8]) -> Vec<f64> {
    let pixel = |y: usize, x: usize| {
        let (y, x) = (y.wrapping_sub(shape.padding), x.wrapping_sub(shape.padding));
        if y < shape.height && x < shape.width { f64::from(image[y * shape.width + x]) / 15.0 } else { 0.0 }
    };
    let [rows, columns] = shape.positions();
    let mut values = Vec::new();
    for map in 0..shape.maps {
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            let mut sum = f64::from(floats[0].1[map]);
            for (y, x) in (0..shape.kernel).flat_map(|y| (0..shape.kernel).map(move |x| (y, x))) {
                let weight = floats[0].0[(map * shape.kernel + y) * shape.kernel + x];
                sum += f64::from(weight) * pixel(row * shape.stride + y, column * shape.stride + x);
            }
            values.push(sum);
        }
    }
    for (weights, biases) in &floats[1..] {
        let squares: Vec<_> = values.iter().map(|x| x * x).collect();
        let rows = weights.chunks_exact(squares.len()).zip(biases);
        values = rows
            .map(|(row, bias)| f64::from(*bias) + row.iter().zip(&squares).map(|(w, x)| f64::from(*w) * x).sum::<f64>())
            .collect();
    }
    values
}

#[test]
fn shapes_are_those_of_the_paper() {
    let shape = Shape::cryptonets();
    assert_eq!((shape.positions(), shape.features(), shape.pixels()), ([13, 13], 845, 784));
    shape.check().unwrap();
    for wrong in [
        Shape { height: 0, ..shape },
        Shape { kernel: 29, ..shape },
        Shape { kernel: 0, ..shape },
        Shape { stride: 0, ..shape },
        Shape { stride: 6, ..shape },
        Shape { padding: 5, ..shape },
        Shape { padding: usize::MAX, ..shape },
        Shape { maps: 1000, ..shape },
        Shape { hidden: usize::MAX, ..shape },
        Shape { classes: 0, ..shape },
    ] {
        assert!(matches!(wrong.check(), Err(Error::Network { .. })), "{wrong:?}");
    }
}

#[test]
fn fine_integers_compute_what_floats_compute() {
    let mut rng = rng(1);
    let both = [floats(&mut rng, SMALL), floats(&mut rng, SMALL)];
    let precision = Precision { max_pixel: 15, max_weight: [16_000; 3] };
    let networks = quantise(&[borrowed(&both[0]), borrowed(&both[1])], SMALL, precision).unwrap();
    assert_eq!(networks[0].scale, networks[1].scale);
    for image in pixels(&mut rng, 5, SMALL).chunks_exact(36) {
        for (floats, network) in both.iter().zip(&networks) {
            let expected = reference(floats, SMALL, image);
            let got = network.evaluate(image).unwrap().output;
            for (got, expected) in got.iter().zip(expected) {
                assert!((*got as f64 / network.scale - expected).abs() < 0.01, "{expected}");
            }
        }
    }
}

#[test]
fn weights_keep_their_bound() {
    let floats = floats(&mut rng(2), SMALL);
    let network = quantise(&[borrowed(&floats)], SMALL, Precision::default()).unwrap().remove(0);
    for layer in &network.layers {
        assert_eq!(layer.weights.iter().map(|w| w.abs()).max(), Some(31));
    }
    assert_eq!(network.max_pixel, 15);
}

#[test]
fn unusable_floats_are_refused() {
    let good = floats(&mut rng(3), SMALL);
    let refused = |floats: &Floats| {
        let error = quantise(&[borrowed(floats)], SMALL, Precision::default()).unwrap_err();
        assert!(matches!(error, Error::Network { .. }), "{error}");
    };
    let mut wrong = good.clone();
    wrong[1].0.pop();
    refused(&wrong);
    let mut wrong = good.clone();
    wrong[2].1[0] = f32::NAN;
    refused(&wrong);
    let mut wrong = good.clone();
    wrong[0].0.fill(0.0);
    refused(&wrong);
    let mut wrong = good;
    wrong[2].1[0] = f32::MAX;
    refused(&wrong);
    assert!(quantise(&[], SMALL, Precision::default()).is_err());
}

#[test]
fn ranges_are_those_of_the_largest_values() {
    let mut rng = rng(4);
    let networks: [_; 2] = std::array::from_fn(|_| network(&mut rng, SMALL, [5; 3], [5; 3]));
    let images = pixels(&mut rng, 6, SMALL);
    let found = ranges(&networks, &images).unwrap();
    let mut expected = Ranges { images: 6, ..Ranges::default() };
    for image in images.chunks_exact(36) {
        let [a, b] = networks.each_ref().map(|network| network.evaluate(image).unwrap());
        for values in [&a, &b] {
            let top = |so_far: u128, list: &[i128]| list.iter().fold(so_far, |top, x| top.max(x.unsigned_abs()));
            expected.convolution = top(expected.convolution, &values.convolution);
            expected.hidden = top(expected.hidden, &values.hidden);
            expected.output = top(expected.output, &values.output);
        }
        let sums = a.output.iter().zip(&b.output).map(|(a, b)| (a + b).unsigned_abs());
        expected.sum = expected.sum.max(sums.max().unwrap());
    }
    assert_eq!(found, expected);
    let (first, rest) = images.split_at(2 * 36);
    assert_eq!(ranges(&networks, first).unwrap().merge(ranges(&networks, rest).unwrap()), expected);
    let all = networks[0].evaluate_all(&images).unwrap();
    let each = images.chunks_exact(36).flat_map(|image| networks[0].evaluate(image).unwrap().output);
    assert_eq!(all, each.collect::<Vec<_>>());
    assert!(matches!(networks[0].evaluate_all(&images[1..]), Err(Error::Count { .. })));
    assert_eq!(ParamSet::holding(found.sum, 3).unwrap(), ParamSet::Bfv8192x45);
    assert!(matches!(ranges(&networks, &images[1..]), Err(Error::Count { .. })));
    assert!(matches!(ranges(&[], &images), Err(Error::Count { .. })));
}

/// The same sums in the fewest lines, on values around the border of 64 bits.
#[test]
fn wide_and_narrow_values_are_summed_alike() {
    let mut rng = rng(7);
    for bias in [0, 1 << 20, 1 << 28, 1 << 29, 1 << 30, 1 << 31, 1 << 32, 1 << 60] {
        let mut network = network(&mut rng, SMALL, [31, 31, 3], [9, 9, 9]);
        network.layers[1].biases.fill(bias);
        network.layers[2].weights.fill(3); // 15 times the square of a bias
        let values = network.evaluate(&pixels(&mut rng, 1, SMALL)).unwrap();
        for (layer, (before, after)) in
            network.layers[1..].iter().zip([(&values.convolution, &values.hidden), (&values.hidden, &values.output)])
        {
            let rows = layer.weights.chunks_exact(before.len()).zip(&layer.biases);
            let sum = |(row, bias): (&[i32], &i128)| {
                bias + row.iter().zip(before).map(|(w, x)| i128::from(*w) * x * x).sum::<i128>()
            };
            assert_eq!(*after, rows.map(sum).collect::<Vec<_>>(), "{bias}");
        }
    }
}

#[test]
fn values_beyond_integers_are_an_error() {
    let mut network = network(&mut rng(5), SMALL, [3; 3], [0; 3]);
    network.layers[1].biases.fill(1 << 119);
    assert!(matches!(network.evaluate(&[1; 36]), Err(Error::Overflow { layer: "hidden" })));
}

#[test]
fn files_come_back_and_are_checked() {
    let network = network(&mut rng(6), SMALL, [31; 3], [9, 99, 1 << 100]);
    let json = serde_json::to_value(&network).unwrap();
    assert_eq!(serde_json::from_value::<IntegerNetwork>(json.clone()).unwrap(), network);
    let edited = |pointer: &str, value: serde_json::Value| {
        let mut json = json.clone();
        *json.pointer_mut(pointer).unwrap() = value;
        serde_json::from_value::<IntegerNetwork>(json).map(|network| network.check().is_ok())
    };
    assert!(edited("/scale", 2.0.into()).unwrap());
    for (pointer, value) in [
        ("/scale", (-1.0).into()),
        ("/max_pixel", 0.into()),
        ("/layers/0/weights/0", 70_000.into()),
        ("/layers/1/weights", serde_json::json!([1])),
        ("/layers/2/biases/0", (1_i128 << 121).to_string().into()),
        ("/shape/kernel", 7.into()),
        ("/shape/hidden", u32::MAX.into()),
    ] {
        assert!(!edited(pointer, value).unwrap(), "{pointer}");
    }
    assert!(edited("/layers/2/biases/0", "1e9".into()).is_err());
    assert!(edited("/max_pixel", 256.into()).is_err());
}

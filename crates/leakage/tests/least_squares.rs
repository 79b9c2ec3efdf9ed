//! Least squares through products, against dense solutions of the same problems.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use cleave_leakage::{Equations, LeakageError, Solution, SolveSettings, least_squares};
use common::{Fault, Network, NetworkError, on, random, random_f32, with_values};
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;

fn solved(matrix: &DMatrix<f64>, equations: &Equations<'_>, settings: &SolveSettings) -> Vec<Solution> {
    least_squares(&Network::new(matrix), equations, settings, &mut on).unwrap()
}

fn vector(values: &[f32]) -> DVector<f64> {
    DVector::from_iterator(values.len(), values.iter().copied().map(f64::from))
}

/// The minimum of `‖J x − b‖² + λ² ‖x − start‖²` by a dense decomposition of the normal equations.
fn dense(matrix: &DMatrix<f64>, right: &[f32], start: &[f32], damping: f64) -> DVector<f64> {
    let [right, start] = [right, start].map(vector);
    let normal = matrix.tr_mul(matrix) + DMatrix::identity(matrix.ncols(), matrix.ncols()) * damping * damping;
    let moved = normal.cholesky().unwrap().solve(&matrix.tr_mul(&(right - matrix * &start)));
    start + moved
}

/// The same with zeros in the rows that are not used.
fn only(matrix: &DMatrix<f64>, used: &[bool]) -> DMatrix<f64> {
    DMatrix::from_fn(matrix.nrows(), matrix.ncols(), |row, column| if used[row] { matrix[(row, column)] } else { 0.0 })
}

fn error(solution: &Solution, expected: &DVector<f64>) -> f64 {
    (vector(&solution.x) - expected).norm() / expected.norm()
}

/// Singular values from 1 down to 1/`condition`.
fn conditioned(rows: usize, columns: usize, condition: f64, seed: u64) -> DMatrix<f64> {
    let count = rows.min(columns);
    let values: Vec<_> = (0..count).map(|index| condition.powf(-(index as f64) / (count.max(2) - 1) as f64)).collect();
    with_values(rows, columns, &values, seed)
}

proptest! {
    #[test]
    fn solutions_are_those_of_the_normal_equations(
        columns in 1usize..12, more in 0usize..12, systems in 1usize..5, condition in 1f64..30.0, damping in 0f64..1.0,
        started in any::<bool>(), masked in any::<bool>(), batch in 1usize..4, seed in 0u64..1_000_000,
    ) {
        let rows = 2 * columns + more;
        let matrix = conditioned(rows, columns, condition, seed);
        let right = random_f32(rows * systems, seed + 2);
        let start = if started { random_f32(columns * systems, seed + 3) } else { vec![0.0; columns * systems] };
        // The rows that are left may hardly determine a solution; damping does.
        let damping = if masked { damping + 0.1 } else { damping };
        let used: Vec<_> = (0..rows * systems).map(|index| !masked || index % 3 != 0).collect();
        let mut equations = Equations::new(&right);
        if started {
            equations = equations.with_start(&start);
        }
        if masked {
            equations = equations.with_used(&used);
        }
        let settings = SolveSettings { damping, batch, ..SolveSettings::default() };
        let found = solved(&matrix, &equations, &settings);
        prop_assert_eq!(found.len(), systems);
        for (index, solution) in found.iter().enumerate() {
            let row = index * rows..(index + 1) * rows;
            let column = index * columns..(index + 1) * columns;
            let expected = dense(&only(&matrix, &used[row.clone()]), &right[row], &start[column], damping);
            prop_assert!(solution.converged && solution.gradient < 1e-3, "{:?}", solution);
            prop_assert!(error(solution, &expected) < 2e-3, "{:?} instead of {}", solution, expected);
        }
    }
}

#[test]
fn residuals_are_those_of_the_solution_returned() {
    let matrix = conditioned(30, 8, 10.0, 1);
    let right = random_f32(60, 2);
    let used: Vec<_> = (0..60).map(|index| index % 4 != 1).collect();
    let equations = Equations::new(&right).with_used(&used);
    for iterations in [1, 3, 50] {
        let settings = SolveSettings { iterations, damping: 0.2, ..SolveSettings::default() };
        for (index, solution) in solved(&matrix, &equations, &settings).iter().enumerate() {
            let range = index * 30..(index + 1) * 30;
            let matrix = only(&matrix, &used[range.clone()]);
            let mut right = vector(&right[range.clone()]);
            right.iter_mut().zip(&used[range]).for_each(|(value, &used)| *value *= f64::from(u8::from(used)));
            let x = vector(&solution.x);
            let left = &right - &matrix * &x;
            assert!((solution.residual - left.norm() / right.norm()).abs() < 1e-6);
            let gradient = matrix.tr_mul(&left) - x * 0.04;
            assert!((solution.gradient - gradient.norm() / matrix.tr_mul(&right).norm()).abs() < 1e-6);
            assert_eq!(
                (solution.iterations, solution.converged),
                (iterations.min(solution.iterations), iterations == 50)
            );
        }
    }
}

#[test]
fn residuals_fall_until_the_gradient_is_small() {
    let matrix = conditioned(40, 20, 20.0, 3);
    let right = random_f32(40, 4);
    let solutions: Vec<_> = [1, 5, 10, 20, 80]
        .map(|iterations| {
            let settings = SolveSettings { iterations, ..SolveSettings::default() };
            solved(&matrix, &Equations::new(&right), &settings).remove(0)
        })
        .into();
    assert!(solutions.windows(2).all(|pair| pair[1].residual <= pair[0].residual + 1e-6));
    assert!(solutions[4].converged && solutions[4].iterations < 80 && !solutions[1].converged, "{solutions:?}");
}

#[test]
fn iterations_past_the_rounding_do_no_harm() {
    let mut past = 0;
    for seed in 0..20 {
        let matrix = conditioned(13, 3, 20.0, seed);
        let right = random_f32(13, seed + 100);
        let settings = SolveSettings { tolerance: 0.0, iterations: 300, ..SolveSettings::default() };
        let found = solved(&matrix, &Equations::new(&right), &settings).remove(0);
        assert!(error(&found, &dense(&matrix, &right, &[0.0; 3], 0.0)) < 1e-4, "{found:?}");
        past += usize::from(found.iterations == 300);
    }
    assert!(past > 10, "{past} of 20 ran through, the others met a gradient of zero");
}

#[test]
fn of_several_solutions_the_one_nearest_to_the_start_is_found() {
    let matrix = conditioned(6, 15, 5.0, 5);
    let [right, start] = [random_f32(6, 6), random_f32(15, 7)];
    for (start, equations) in
        [(vec![0.0; 15], Equations::new(&right)), (start.clone(), Equations::new(&right).with_start(&start))]
    {
        let found = solved(&matrix, &equations, &SolveSettings::default()).remove(0);
        let [right, start] = [vector(&right), vector(&start)];
        let wide = (&matrix * matrix.transpose()).cholesky().unwrap();
        let nearest = &start + matrix.tr_mul(&wide.solve(&(right - &matrix * &start)));
        assert!(error(&found, &nearest) < 1e-4 && found.residual < 1e-5, "{found:?} instead of {nearest}");
    }
}

#[test]
fn values_of_a_front_half_give_its_image_back() {
    // 300 equations, of which a ReLU leaves about half, for 100 unknowns.
    let matrix = random(300, 100, 8);
    let image = random_f32(100, 9);
    let sent: Vec<f32> = (&matrix * vector(&image)).iter().map(|&value| value.max(0.0) as f32).collect();
    let used: Vec<_> = sent.iter().map(|&value| value > 0.0).collect();
    let with = solved(&matrix, &Equations::new(&sent).with_used(&used), &SolveSettings::default()).remove(0);
    let without = solved(&matrix, &Equations::new(&sent), &SolveSettings::default()).remove(0);
    assert!(error(&with, &vector(&image)) < 1e-4 && with.residual < 1e-5, "{with:?}");
    assert!(error(&without, &vector(&image)) > 0.1 && without.residual > 0.1, "{without:?}");
}

#[test]
fn systems_that_are_done_cost_nothing_more() {
    let matrix = conditioned(50, 25, 50.0, 10);
    let mut right = random_f32(150, 11);
    right[..50].fill(0.0);
    let easy = &matrix * matrix.transpose() * &matrix * matrix.tr_mul(&DVector::from_element(50, 1.0));
    right[50..100].iter_mut().zip(&easy).for_each(|(right, &easy)| *right = easy as f32);
    let map = Network::new(&matrix);
    let found = least_squares(&map, &Equations::new(&right), &SolveSettings::default(), &mut on).unwrap();
    assert_eq!((found[0].iterations, found[0].converged, found[0].residual), (0, true, 0.0));
    assert!(found[0].x.iter().all(|&value| value == 0.0));
    assert!(found[1].iterations < found[2].iterations, "{found:?}");
    let iterations: usize = found.iter().map(|solution| solution.iterations).sum();
    assert_eq!(map.vectors.get(), 2 * iterations + 3 * (1 + 2), "and one before and two after");
}

#[test]
fn a_start_at_the_solution_stays_there() {
    let matrix = conditioned(20, 10, 3.0, 12);
    let start = random_f32(10, 13);
    let right: Vec<f32> = (&matrix * vector(&start)).iter().map(|&value| value as f32).collect();
    let found = solved(&matrix, &Equations::new(&right).with_start(&start), &SolveSettings::default()).remove(0);
    assert_eq!((found.iterations, found.converged), (0, true));
    assert_eq!(found.x, start);
}

#[test]
fn a_map_to_zero_leaves_the_start() {
    let start = random_f32(4, 14);
    let right = random_f32(3, 15);
    let found = solved(&DMatrix::zeros(3, 4), &Equations::new(&right).with_start(&start), &SolveSettings::default());
    assert_eq!((&found[0].x, found[0].converged, found[0].residual), (&start, true, 1.0));
}

#[test]
fn progress_is_told_and_can_stop() {
    let matrix = conditioned(20, 10, 10.0, 16);
    let right = random_f32(20, 17);
    let stopped = least_squares(&matrix, &Equations::new(&right), &SolveSettings::default(), &mut |done, _| done < 3);
    assert_eq!(stopped, Err(LeakageError::Stopped { done: 3, total: 200 }));
}

#[test]
fn refuse_equations_that_do_not_fit() {
    let matrix = random(6, 4, 18);
    let [right, start] = [random_f32(12, 19), random_f32(8, 20)];
    let refused =
        |equations: Equations<'_>| least_squares(&matrix, &equations, &SolveSettings::default(), &mut on).unwrap_err();
    let length = |what, expected, got| LeakageError::ArgumentLength { what, expected, got };
    assert_eq!(refused(Equations::new(&right[..11])), length("right-hand sides", 12, 11));
    assert_eq!(refused(Equations::new(&[])), length("right-hand sides", 6, 0));
    assert_eq!(refused(Equations::new(&right).with_start(&start[..7])), length("starts", 8, 7));
    assert_eq!(refused(Equations::new(&right).with_start(&[])), length("starts", 8, 0));
    assert_eq!(refused(Equations::new(&right).with_used(&[true; 6])), length("rows used", 12, 6));
    for bad in [f32::NAN, f32::INFINITY] {
        let [mut right, mut start] = [right.clone(), start.clone()];
        right[5] = bad;
        let found = refused(Equations::new(&right));
        assert!(matches!(found, LeakageError::ArgumentNotFinite { what: "right-hand sides", index: 5, .. }));
        right[5] = 0.0;
        start[3] = bad;
        let found = refused(Equations::new(&right).with_start(&start));
        assert!(matches!(found, LeakageError::ArgumentNotFinite { what: "starts", index: 3, .. }));
    }
}

#[test]
fn refuse_maps_that_return_nonsense_and_settings_out_of_range() {
    let right = random_f32(6, 21);
    let refused = |faults, settings| {
        let map = Network::with_faults(&random(6, 4, 22), faults);
        least_squares(&map, &Equations::new(&right), &settings, &mut on).unwrap_err()
    };
    let usual = SolveSettings::default();
    for faults in [[Fault::OneTooFew, Fault::None], [Fault::None, Fault::OneTooFew]] {
        assert!(matches!(refused(faults, usual), NetworkError::Refused(LeakageError::ProductLength { .. })));
    }
    for faults in [[Fault::Value(f32::NAN), Fault::None], [Fault::None, Fault::Value(f32::INFINITY)]] {
        assert!(matches!(refused(faults, usual), NetworkError::Refused(LeakageError::ProductNotFinite { .. })));
    }
    assert_eq!(refused([Fault::Fails, Fault::None], usual), NetworkError::OutOfMemory);
    for (expected, settings) in [
        ("iterations", SolveSettings { iterations: 0, ..usual }),
        ("tolerance", SolveSettings { tolerance: -1.0, ..usual }),
        ("tolerance", SolveSettings { tolerance: f64::NAN, ..usual }),
        ("damping", SolveSettings { damping: -0.1, ..usual }),
        ("batch", SolveSettings { batch: 0, ..usual }),
    ] {
        let found = refused([Fault::None; 2], settings);
        let named = matches!(found, NetworkError::Refused(LeakageError::Setting { what, .. }) if what == expected);
        assert!(named, "{found:?}");
    }
}

//! Singular values of maps known through their products: exact against constructed ones, estimated against exact.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use cleave_leakage::{JacobianSpectrum, LeakageError, LinearMap, SpectrumSettings, spectrum_of};
use common::{Fault, Network, NetworkError, diagonal, on, random, with_values};
use nalgebra::DMatrix;
use proptest::prelude::*;
use std::fmt::Debug;

/// Everything is estimated.
const ESTIMATE: SpectrumSettings =
    SpectrumSettings { exact_up_to: 0, batch: 32, threshold: 1e-3, probes: 8, steps: 40, quantiles: 64, seed: 1 };

fn found<M: LinearMap<Error: Debug>>(map: &M, settings: &SpectrumSettings) -> JacobianSpectrum {
    spectrum_of(map, settings, &mut on).unwrap()
}

fn exact<M: LinearMap<Error: Debug>>(map: &M, threshold: f64) -> JacobianSpectrum {
    found(map, &SpectrumSettings { threshold, ..SpectrumSettings::default() })
}

proptest! {
    #[test]
    fn exact_values_are_those_that_a_matrix_was_made_of(
        rows in 1usize..24, columns in 1usize..24, zeros in 0usize..24, power in -15i32..15,
        batch in 1usize..9, seed in 0u64..1_000_000, shares in prop::collection::vec(0.01f64..1.0, 24),
    ) {
        let scale = 10f64.powi(power);
        let count = rows.min(columns);
        let rank = count.saturating_sub(zeros);
        let mut values: Vec<_> = shares[..rank].iter().map(|share| share * scale).collect();
        values.resize(count, 0.0);
        values.sort_by(|a, b| b.total_cmp(a));
        let matrix = with_values(rows, columns, &values, seed);
        let found = found(&matrix, &SpectrumSettings { batch, ..SpectrumSettings::default() });
        prop_assert!(found.exact);
        prop_assert_eq!((found.inputs, found.outputs, found.values.len()), (columns, rows, count));
        for (index, (&value, &(position, got))) in values.iter().zip(&found.values).enumerate() {
            prop_assert_eq!(position, (index + 1) as f64);
            prop_assert!((got - value).abs() <= 4e-7 * values[0], "{} instead of {}", got, value);
        }
        prop_assert_eq!((found.rank.value, found.rank.standard_error), (rank as f64, 0.0));
        prop_assert_eq!(found.rank_interval(), [rank as f64; 2]);
        let trace: f64 = values.iter().map(|value| value * value).sum();
        prop_assert!((found.trace.value - trace).abs() <= 1e-6 * trace);
    }

    /// Vectors of ±1 see all singular values of a diagonal matrix alike, so that no chance is left: what the estimate
    /// is off by is what few steps leave open, and must stay below the bound on it.
    #[test]
    fn the_resolution_bounds_what_few_steps_get_wrong(
        values in prop::collection::vec(0f64..1.0, 2..80), decay in 0f64..3.0,
        steps in 1usize..30, threshold in 1e-4f64..0.9, seed in 0u64..1_000_000,
    ) {
        let values: Vec<_> = values.iter().map(|value| value * 10f64.powf(-decay * value)).collect();
        let found = found(&diagonal(&values), &SpectrumSettings { steps, threshold, seed, ..ESTIMATE });
        let above = values.iter().filter(|&&value| value > threshold * found.largest).count() as f64;
        prop_assert!(found.rank.standard_error < 0.02 * values.len() as f64, "{:?}", found.rank);
        prop_assert!(
            (found.rank.value - above).abs() <= found.rank_resolution + 0.02 * values.len() as f64,
            "{:?} ± {} instead of {}", found.rank, found.rank_resolution, above
        );
    }
}

#[test]
fn zero_matrices_have_rank_zero_either_way() {
    for settings in [SpectrumSettings::default(), ESTIMATE] {
        let found = found(&DMatrix::zeros(5, 9), &settings);
        assert_eq!((found.rank.value, found.largest, found.trace.value, found.silent), (0.0, 0.0, 0.0, 5));
        assert!(found.values.len() == 5 && found.values.iter().all(|&(_, value)| value == 0.0), "{:?}", found.values);
    }
}

#[test]
fn threshold_decides_what_counts() {
    let values: Vec<_> = (0..7).map(|power| 10f64.powi(-power)).collect();
    let matrix = with_values(9, 12, &values, 3);
    for (threshold, rank) in [(0.5, 1.0), (0.05, 2.0), (5e-4, 4.0), (5e-6, 6.0), (1e-6, 6.0)] {
        let got = exact(&Network::new(&matrix), threshold).rank.value;
        assert!((got - rank).abs() <= if threshold == 1e-6 { 1.0 } else { 0.0 }, "{got} above {threshold}");
    }
}

/// Over many seeds: errors are as large as the error bars say, neither far larger nor far smaller.
#[test]
fn error_bars_of_the_trace_fit_its_errors() {
    let matrix = random(150, 220, 4);
    let trace = matrix.norm_squared();
    let [mut errors, mut bars] = [0.0, 0.0];
    for seed in 0..60 {
        let found = found(&Network::new(&matrix), &SpectrumSettings { steps: 1, seed, ..ESTIMATE }).trace;
        assert!(found.standard_error < 0.1 * trace, "{found:?} of {trace}");
        assert!((found.value - trace).abs() < 5.0 * found.standard_error, "{found:?} of {trace}");
        errors += (found.value - trace).powi(2);
        bars += found.standard_error.powi(2);
    }
    assert!((0.6..1.6).contains(&(errors / bars)), "{}", errors / bars);
}

#[test]
fn error_bars_of_the_rank_fit_its_errors() {
    let matrix = random(260, 200, 5);
    let rank = exact(&matrix, 0.4).rank.value;
    assert!((40.0..160.0).contains(&rank), "{rank} is in the middle of the spectrum");
    let mut inside = 0;
    for seed in 0..40 {
        let found = found(&Network::new(&matrix), &SpectrumSettings { threshold: 0.4, steps: 60, seed, ..ESTIMATE });
        assert!(found.rank.standard_error < 8.0 && found.rank_resolution < 12.0, "{found:?}");
        inside += usize::from((found.rank_interval()[0]..=found.rank_interval()[1]).contains(&rank));
        assert!((found.rank.value - rank).abs() < 4.0 * found.rank.standard_error + found.rank_resolution);
    }
    assert!(inside >= 36, "{inside} of 40 intervals hold the rank");
}

#[test]
fn more_steps_resolve_more() {
    let values: Vec<_> = (0..300).map(|index| 10f64.powf(-4.0 * f64::from(index) / 300.0)).collect();
    let matrix = with_values(300, 400, &values, 6);
    let resolutions = [5, 20, 80, 300].map(|steps| {
        let found = found(&Network::new(&matrix), &SpectrumSettings { steps, threshold: 1e-2, ..ESTIMATE });
        let [low, high] = found.rank_interval();
        assert!(low <= 150.0 && 150.0 <= high, "{found:?}");
        found.rank_resolution
    });
    assert!(resolutions.windows(2).all(|pair| pair[1] < pair[0]), "{resolutions:?}");
    assert!(resolutions[0] > 100.0 && resolutions[3] < 5.0, "{resolutions:?}");
}

#[test]
fn rank_deficient_maps_are_seen_as_such() {
    for (rows, columns) in [(240, 300), (300, 240)] {
        let values: Vec<_> = (0..90).map(|index| 1.0 - f64::from(index) / 100.0).collect();
        let found = found(&Network::new(&with_values(rows, columns, &values, 7)), &ESTIMATE);
        let [low, high] = found.rank_interval();
        assert!(low <= 90.0 && 90.0 <= high && high - low < 40.0, "{found:?}");
        assert!((found.largest - 1.0).abs() < 1e-3, "{found:?}");
        assert_eq!((found.exact, found.silent), (false, 0));
    }
}

#[test]
fn few_singular_values_exhaust_the_steps() {
    let values = [5.0, 2.0, 1.0, 0.5, 0.1];
    let found = found(&Network::new(&with_values(80, 60, &values, 8)), &ESTIMATE);
    assert_eq!(found.rank_resolution, 0.0);
    let [low, high] = found.rank_interval();
    assert!(low <= 5.0 && 5.0 <= high && high - low < 8.0, "{found:?}");
}

#[test]
fn values_that_take_no_part_are_known_and_not_estimated() {
    let mut matrix = random(200, 500, 9);
    for row in (0..200).filter(|row| row % 3 == 0) {
        matrix.row_mut(row).fill(0.0);
    }
    let estimated = found(&Network::new(&matrix), &ESTIMATE);
    let exact = exact(&Network::new(&matrix), 1e-3);
    assert_eq!((estimated.silent, exact.silent, exact.rank.value), (67, 67, 133.0));
    assert!((estimated.rank.value - 133.0).abs() < 1e-6, "{:?}", estimated.rank);
    assert_eq!(estimated.values.iter().filter(|&&(position, value)| position > 134.0 && value > 0.0).count(), 0);
}

#[test]
fn estimated_values_follow_the_exact_ones() {
    let matrix = random(400, 250, 10);
    let exact = exact(&matrix, 1e-3);
    let found = found(&Network::new(&matrix), &SpectrumSettings { probes: 16, ..ESTIMATE });
    assert_eq!((found.values.len(), found.values[0].0, found.values[63].0), (64, 1.0, 250.0));
    assert_eq!(found.values[0].1, found.largest);
    assert!(found.values.windows(2).all(|pair| pair[1].1 <= pair[0].1));
    for &(position, value) in &found.values {
        let expected = exact.values[position.round() as usize - 1].1;
        assert!((value - expected).abs() < 0.06 * exact.largest, "{value} instead of {expected} at {position}");
    }
}

#[test]
fn a_square_matrix_down_to_zero_is_not_reported_as_sharper_than_it_is() {
    // A fifth of the singular values lies below 1e-2 of the largest, half a per cent just below the threshold.
    let values: Vec<_> = (1..=400).map(|index| (f64::from(index) / 400.0).powi(3)).collect();
    let found = found(&Network::new(&diagonal(&values)), &SpectrumSettings { steps: 25, ..ESTIMATE });
    let above = values.iter().filter(|&&value| value > 1e-3).count() as f64;
    assert!(found.rank_resolution > 20.0, "25 steps cannot tell 1e-3 from 1e-2: {found:?}");
    assert!((found.rank.value - above).abs() <= found.rank_resolution + 1.0);
}

#[test]
fn same_seed_same_result() {
    let matrix = random(70, 90, 11);
    let with = |seed, batch| found(&Network::new(&matrix), &SpectrumSettings { seed, batch, ..ESTIMATE });
    assert_eq!(with(1, 32), with(1, 32));
    assert_ne!(with(1, 32).trace.value, with(2, 32).trace.value);
    assert!((with(1, 32).trace.value - with(1, 3).trace.value).abs() < 1e-4 * with(1, 32).trace.value);
}

#[test]
fn batches_stay_within_their_limit() {
    for exact_up_to in [0, 1024] {
        let map = Network::new(&random(50, 60, 12));
        let settings = SpectrumSettings { batch: 5, exact_up_to, ..ESTIMATE };
        assert!(found(&map, &settings).rank.value > 45.0);
        assert_eq!(map.largest_batch.get(), 5);
    }
}

#[test]
fn exact_takes_one_product_for_each_value_of_the_smaller_side() {
    for (rows, columns) in [(20, 70), (70, 20)] {
        let map = Network::new(&random(rows, columns, 13));
        assert_eq!(exact(&map, 1e-3).rank.value, 20.0);
        assert_eq!(map.vectors.get(), 20);
    }
}

#[test]
fn progress_is_told_and_can_stop() {
    let map = random(20, 30, 14);
    for (settings, total) in [(SpectrumSettings { batch: 8, ..SpectrumSettings::default() }, 20), (ESTIMATE, 40)] {
        let mut told = Vec::new();
        let finished = spectrum_of(&map, &settings, &mut |done, of| {
            told.push((done, of));
            true
        });
        assert!(finished.is_ok());
        assert_eq!(told.last(), Some(&(total, total)));
        assert!(told.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let (done, _) = told[1];
        let stopped = spectrum_of(&map, &settings, &mut |now, _| now < done);
        assert_eq!(stopped, Err(LeakageError::Stopped { done, total }));
    }
}

#[test]
fn refuse_maps_that_return_nonsense() {
    let matrix = random(12, 30, 15);
    let got = |faults, exact_up_to| {
        let map = Network::with_faults(&matrix, faults);
        spectrum_of(&map, &SpectrumSettings { exact_up_to, ..ESTIMATE }, &mut on).unwrap_err()
    };
    for (fault, at) in [
        ([Fault::None, Fault::OneTooFew], 20),
        ([Fault::None, Fault::OneTooFew], 0),
        ([Fault::OneTooFew, Fault::None], 0),
    ] {
        assert!(matches!(
            got(fault, at),
            NetworkError::Refused(LeakageError::ProductLength { expected, got, .. }) if got + 1 == expected
        ));
    }
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for faults in [[Fault::Value(value), Fault::None], [Fault::None, Fault::Value(value)]] {
            let refused = got(faults, 0);
            assert!(matches!(refused, NetworkError::Refused(LeakageError::ProductNotFinite { .. })), "{refused:?}");
        }
    }
    assert_eq!(got([Fault::None, Fault::Fails], 20), NetworkError::OutOfMemory);
    assert_eq!(got([Fault::Fails, Fault::None], 0), NetworkError::OutOfMemory);
}

#[test]
fn refuse_empty_maps_and_settings_out_of_range() {
    let with = |map: DMatrix<f64>, settings: SpectrumSettings| spectrum_of(&map, &settings, &mut on).unwrap_err();
    let empty = with(DMatrix::zeros(0, 3), ESTIMATE);
    assert_eq!(empty, LeakageError::EmptyMap { inputs: 3, outputs: 0 });
    for (what, settings) in [
        ("batch", SpectrumSettings { batch: 0, ..ESTIMATE }),
        ("threshold", SpectrumSettings { threshold: 1e-7, ..ESTIMATE }),
        ("threshold", SpectrumSettings { threshold: f64::NAN, ..ESTIMATE }),
        ("probes", SpectrumSettings { probes: 1, ..ESTIMATE }),
        ("steps", SpectrumSettings { steps: 0, ..ESTIMATE }),
        ("quantiles", SpectrumSettings { quantiles: 1, ..ESTIMATE }),
    ] {
        let refused = with(random(3, 4, 16), settings);
        assert!(matches!(refused, LeakageError::Setting { what: named, .. } if named == what), "{refused:?}");
    }
}

#[test]
fn a_matrix_in_memory_refuses_vectors_of_another_length() {
    let matrix = random(3, 4, 17);
    let expected = LeakageError::ArgumentLength { what: "xs", expected: 8, got: 7 };
    assert_eq!(matrix.apply(&[0.0; 7], 2), Err(expected));
    let expected = LeakageError::ArgumentLength { what: "ys", expected: 3, got: 4 };
    assert_eq!(LinearMap::transpose(&matrix, &[0.0; 4], 1), Err(expected));
}

#[test]
fn extreme_scales_do_no_harm() {
    for scale in [1e-30, 1e30] {
        for settings in [SpectrumSettings::default(), ESTIMATE] {
            let found = found(&(random(30, 40, 18) * scale), &settings);
            assert!((found.rank.value - 30.0).abs() < 1.0 && found.trace.value.is_finite(), "{found:?}");
        }
    }
}

/// As large as the Jacobian of a first layer, and free to multiply.
struct Diagonal(Vec<f32>);

impl LinearMap for Diagonal {
    type Error = LeakageError;

    fn inputs(&self) -> usize {
        self.0.len()
    }

    fn outputs(&self) -> usize {
        self.0.len()
    }

    fn apply(&self, xs: &[f32], _: usize) -> Result<Vec<f32>, LeakageError> {
        Ok(xs.iter().zip(self.0.iter().cycle()).map(|(x, value)| x * value).collect())
    }

    fn transpose(&self, ys: &[f32], batch: usize) -> Result<Vec<f32>, LeakageError> {
        self.apply(ys, batch)
    }
}

#[test]
#[ignore = "measures time; run with --release"]
fn times() {
    let timed = |name, map: &dyn LinearMap<Error = LeakageError>, settings: &SpectrumSettings| {
        let start = std::time::Instant::now();
        let found = spectrum_of(map, settings, &mut on).unwrap();
        println!("{name}: rank {:?} ± {}, {:?}", found.rank, found.rank_resolution, start.elapsed());
    };
    timed("1024 × 1024, exact", &random(1024, 1024, 19), &SpectrumSettings::default());
    let decay = Diagonal((0..46_656u16).map(|index| (-f32::from(index) / 8192.0).exp()).collect());
    timed("46656 × 46656, estimated", &decay, &SpectrumSettings::default());
}

//! dFIL against the definition: derivatives by differences, information by drawing noise.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use cleave_leakage::{LeakageError, Noise, SpectrumSettings, dfil, mse_bound, scale_for, spectrum_of};
use common::{on, random};
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const INPUTS: usize = 4;

/// A small network: `[4] → [6]`, smooth, so that its derivative exists everywhere.
fn network(seed: u64) -> impl Fn(&DVector<f64>) -> DVector<f64> {
    let [first, second] = [random(5, INPUTS, seed), random(6, 5, seed + 1)];
    move |x| (&second * (&first * x).map(f64::tanh)).map(|value| (1.0 + value.exp()).ln())
}

fn differences(f: impl Fn(&DVector<f64>) -> DVector<f64>, x: &DVector<f64>) -> DMatrix<f64> {
    let step = 1e-5;
    let columns: Vec<_> = (0..x.len())
        .map(|index| {
            let [ahead, behind] = [step, -step].map(|step| {
                let mut moved = x.clone();
                moved[index] += step;
                f(&moved)
            });
            (ahead - behind) / (2.0 * step)
        })
        .collect();
    DMatrix::from_columns(&columns)
}

fn trace_of(jacobian: &DMatrix<f64>) -> f64 {
    spectrum_of(jacobian, &SpectrumSettings::default(), &mut on).unwrap().trace.value
}

/// Uniform numbers in 0..1, never 0.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    1.0 - rng.random::<f64>()
}

fn drawn(noise: Noise, rng: &mut ChaCha8Rng) -> f64 {
    match noise {
        Noise::Gaussian { deviation } => {
            deviation * (-2.0 * uniform(rng).ln()).sqrt() * (std::f64::consts::TAU * uniform(rng)).cos()
        }
        Noise::Laplace { scale } => scale * (uniform(rng).ln() - uniform(rng).ln()),
        _ => unreachable!(),
    }
}

fn log_density(noise: Noise, value: f64) -> f64 {
    match noise {
        Noise::Gaussian { deviation } => -(value / deviation).powi(2) / 2.0,
        Noise::Laplace { scale } => -value.abs() / scale,
        _ => unreachable!(),
    }
}

/// Fisher information is the mean square of the derivative of the log-likelihood: nothing else is used here.
#[test]
fn dfil_is_the_information_that_draws_of_noise_show() {
    let f = network(1);
    let x = DVector::from_column_slice(random(INPUTS, 1, 2).as_slice());
    for noise in [Noise::Gaussian { deviation: 0.3 }, Noise::Laplace { scale: 0.3 }] {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let draws = 20_000;
        let sent = f(&x);
        let mut information = 0.0;
        for _ in 0..draws {
            let received = sent.map(|value| value + drawn(noise, &mut rng));
            let likelihood = |x: &DVector<f64>| {
                let parts = (&received - f(x)).map(|value| log_density(noise, value));
                DVector::from_element(1, parts.sum())
            };
            information += differences(likelihood, &x).norm_squared() / f64::from(draws);
        }
        let found = dfil(trace_of(&differences(&f, &x)), INPUTS, noise).unwrap();
        let drawn = information / INPUTS as f64;
        assert!((found / drawn - 1.0).abs() < 0.04, "{noise:?}: {found}, drawn {drawn}");
    }
}

#[test]
fn least_squares_with_equal_columns_meets_the_bound_and_no_other_does_better() {
    // Unbiased, and with orthogonal columns of one length as good as the bound allows; with others worse.
    let square = random(12, INPUTS, 4);
    for (matrix, tight) in [(square.clone().qr().q() * 3.0, true), (square, false)] {
        let noise = Noise::Gaussian { deviation: 0.2 };
        let bound = mse_bound(dfil(trace_of(&matrix), INPUTS, noise).unwrap()).unwrap();
        let solve = (matrix.tr_mul(&matrix)).try_inverse().unwrap() * matrix.transpose();
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let draws = 20_000;
        let error = |_| (&solve * DVector::from_fn(12, |_, _| drawn(noise, &mut rng))).norm_squared() / INPUTS as f64;
        let mse = (0..draws).map(error).sum::<f64>() / f64::from(draws);
        assert!(mse > 0.97 * bound, "{mse} below {bound}");
        assert_eq!(mse < 1.03 * bound, tight, "{mse} against {bound}");
    }
}

proptest! {
    #[test]
    fn dfil_follows_the_jacobian_of_a_network(
        seed in 0u64..1000, scale in 0.01f64..10.0, x in prop::collection::vec(-2f64..2.0, INPUTS),
    ) {
        let jacobian = differences(network(seed), &DVector::from_vec(x));
        let by_hand: f64 = jacobian.iter().map(|entry| entry * entry).sum::<f64>() / (INPUTS as f64 * scale * scale);
        for noise in [Noise::Gaussian { deviation: scale }, Noise::Laplace { scale }] {
            let found = dfil(trace_of(&jacobian), INPUTS, noise).unwrap();
            prop_assert!((found / by_hand - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn the_scale_for_a_dfil_has_that_dfil(trace in 1e-6f64..1e6, inputs in 1usize..200_000, wanted in 1e-6f64..1e6) {
        let scale = scale_for(trace, inputs, wanted).unwrap();
        let found = dfil(trace, inputs, Noise::Laplace { scale }).unwrap();
        prop_assert!((found / wanted - 1.0).abs() < 1e-12);
        prop_assert!((mse_bound(found).unwrap() * wanted - 1.0).abs() < 1e-12);
    }
}

#[test]
fn refuse_what_is_not_above_zero() {
    let unit = Noise::Gaussian { deviation: 1.0 };
    assert_eq!(dfil(12.0, 3, unit), Ok(4.0));
    assert_eq!(dfil(12.0, 3, Noise::Laplace { scale: 2.0 }), Ok(1.0));
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        for refused in [
            dfil(bad, 3, unit),
            dfil(1.0, 3, Noise::Gaussian { deviation: bad }),
            dfil(1.0, 3, Noise::Laplace { scale: bad }),
            mse_bound(bad),
            scale_for(bad, 3, 1.0),
            scale_for(1.0, 3, bad),
        ] {
            assert!(matches!(refused, Err(LeakageError::NotPositive { .. })), "{bad}: {refused:?}");
        }
    }
    assert!(dfil(1.0, 0, unit).is_err() && scale_for(1.0, 0, 1.0).is_err());
    assert!(dfil(1.0, 1, Noise::Gaussian { deviation: 1e-200 }).is_err());
}

//! Defences that the client applies to smashed data before it leaves.

use crate::Error;
use cleave_leakage::scale_for;
use cleave_nets::{Defence, Distribution};
use rand::{Rng, RngExt};

/// Applies to smashed data what is applied at the cut: noise first, then quantisation.
///
/// A defence that was trained in changes the weights and nothing here. Whoever attacks a front half with its defences
/// calls this too, so that what is attacked is what is sent. `rng`: from the operating system at the client, where the
/// noise is a secret; seeded in an audit. Noise has the resolution of `f32`, and a Gaussian ends at 8.6 standard
/// deviations, which no bound on leakage accounts for.
///
/// # Shapes
/// `values`: any number of samples.
pub fn apply_defences(defences: &[Defence], values: &mut [f32], rng: &mut impl Rng) {
    for defence in defences {
        if let Defence::Noise { distribution, scale, .. } = defence {
            values.iter_mut().for_each(|value| *value += scale * standard_noise(*distribution, rng));
        }
    }
    for defence in defences {
        if let Defence::Quantise { bits, low, high } = *defence {
            let step = (high - low) / levels_above_the_lowest(bits);
            values.iter_mut().for_each(|value| *value = low + step * ((value.clamp(low, high) - low) / step).round());
        }
    }
}

/// Noise of scale 1: by Box and Muller (1958) for a Gaussian, by the inverse distribution function for a Laplace.
fn standard_noise(distribution: Distribution, rng: &mut impl Rng) -> f32 {
    let exponential = -(1.0 - rng.random::<f64>()).ln(); // the argument is above 0
    let noise = match distribution {
        Distribution::Gaussian => (2.0 * exponential).sqrt() * (std::f64::consts::TAU * rng.random::<f64>()).cos(),
        Distribution::Laplace if rng.random() => -exponential,
        Distribution::Laplace => exponential,
    };
    noise as f32
}

fn levels_above_the_lowest(bits: u8) -> f32 {
    ((1u32 << bits) - 1) as f32
}

/// Noise whose diagonal Fisher information leakage (Maeng et al. 2023) is `dfil`, by [`scale_for`].
///
/// A Gaussian's standard deviation and a Laplace's scale are the same number. The variance of the Laplace is then twice
/// that of the Gaussian: it costs more for the same bound.
///
/// `trace`: tr(JᵀJ) of the front half, pixels of 0 to 1, as a mean over images. `inputs`: values of an image.
///
/// # Errors
/// [`Error::Leakage`] where the numbers are not finite and above 0; [`Error::Defence`] for a scale beyond `f32`.
pub fn noise_for(trace: f64, inputs: usize, dfil: f64, distribution: Distribution) -> Result<Defence, Error> {
    let exact = scale_for(trace, inputs, dfil)?;
    let near = exact as f32;
    let scale = if f64::from(near) < exact { near.next_up() } else { near }; // never less noise than asked for
    let defence = Defence::Noise { distribution, scale, dfil: Some(dfil) };
    check_defences(std::slice::from_ref(&defence))?;
    Ok(defence)
}

/// Share of values that fall outside the levels of [`quantise_for`], on each side.
const CLIPPED: f64 = 0.001;

/// Levels from the lowest to the highest of `values`, the outermost 0.1 % on each side left out, so that a single large
/// value does not widen every step. Values outside are set to the nearest level.
///
/// `values`: smashed data of some images, with its noise where there is any.
///
/// # Errors
/// [`Error::NotFinite`]; [`Error::Defence`] for bits outside 1 to 8, or values that do not differ.
pub fn quantise_for(bits: u8, values: &[f32]) -> Result<Defence, Error> {
    crate::halves::check_finite("smashed data", values)?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let clipped = (sorted.len() as f64 * CLIPPED) as usize;
    let inner = sorted.get(clipped..sorted.len() - clipped).unwrap_or_default();
    let (low, high) = (inner.first().copied().unwrap_or_default(), inner.last().copied().unwrap_or_default());
    let defence = Defence::Quantise { bits, low, high };
    check_defences(std::slice::from_ref(&defence))?;
    Ok(defence)
}

/// Whether this build can apply the defences of a manifest as they stand.
///
/// # Errors
/// [`Error::Defence`] says which cannot be applied and why.
pub fn check_defences(defences: &[Defence]) -> Result<(), Error> {
    for (index, defence) in defences.iter().enumerate() {
        let twice = |other: &Defence| std::mem::discriminant(other) == std::mem::discriminant(defence);
        let reason = match defence {
            Defence::Noise { scale, .. } if !is_scale(*scale) => "its scale is not a finite number above 0",
            Defence::Quantise { bits, .. } if !(1..=8).contains(bits) => "it takes 1 to 8 bits a value",
            Defence::Quantise { low, high, .. } if !is_scale(high - low) => "its highest level is not above its lowest",
            Defence::Decoys { count: 0 } => "it takes one decoy or more",
            Defence::Noise { .. } | Defence::Quantise { .. } | Defence::Decoys { .. }
                if defences[..index].iter().any(twice) =>
            {
                "there is one of its kind already"
            }
            Defence::Noise { .. }
            | Defence::Quantise { .. }
            | Defence::Bottleneck { .. }
            | Defence::NoPeek { .. }
            | Defence::Adversarial { .. }
            | Defence::Decoys { .. } => continue,
            _ => "this build does not know how",
        };
        return Err(Error::Defence { defence: defence.clone(), reason });
    }
    Ok(())
}

fn is_scale(value: f32) -> bool {
    value.is_finite() && value > 0.0
}

/// Whether two lists of defences do the same to smashed data. What a scale was calibrated to is a remark, and decoys
/// are smashed data of their own.
pub(crate) fn do_the_same(some: &[Defence], others: &[Defence]) -> bool {
    let effect = |defence: &Defence| match defence {
        Defence::Noise { distribution, scale, .. } => {
            Defence::Noise { distribution: *distribution, scale: *scale, dfil: None }
        }
        other => other.clone(),
    };
    let effects = |list: &[Defence]| -> Vec<Defence> {
        list.iter().filter(|defence| !matches!(defence, Defence::Decoys { .. })).map(effect).collect()
    };
    effects(some) == effects(others)
}

/// Defences as a list for people, with all that it takes to repeat them; `no defences` where there are none.
pub fn list_defences(defences: &[Defence]) -> String {
    if defences.is_empty() {
        return "no defences".to_owned();
    }
    let item = |defence: &Defence| match defence {
        Defence::Quantise { low, high, .. } => format!("{defence} from {low} to {high}"),
        other => other.to_string(),
    };
    defences.iter().map(item).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const DRAWS: usize = 200_000;

    fn noise(distribution: Distribution, scale: f32) -> Defence {
        Defence::Noise { distribution, scale, dfil: None }
    }

    fn drawn(distribution: Distribution, scale: f32) -> Vec<f64> {
        let mut values = vec![5.0; DRAWS];
        apply_defences(&[noise(distribution, scale)], &mut values, &mut ChaCha8Rng::seed_from_u64(1));
        values.into_iter().map(|value| f64::from(value) - 5.0).collect()
    }

    fn moment(values: &[f64], power: i32) -> f64 {
        values.iter().map(|value| value.powi(power)).sum::<f64>() / values.len() as f64
    }

    #[test]
    fn noise_has_the_moments_of_its_distribution() {
        for (distribution, variance, kurtosis) in
            [(Distribution::Gaussian, 4.0, 3.0), (Distribution::Laplace, 8.0, 6.0)]
        {
            let values = drawn(distribution, 2.0);
            assert!(moment(&values, 1).abs() < 0.03, "{distribution:?}");
            assert!((moment(&values, 2) / variance - 1.0).abs() < 0.02, "{distribution:?}: {}", moment(&values, 2));
            let fourth = moment(&values, 4) / moment(&values, 2).powi(2);
            assert!((fourth / kurtosis - 1.0).abs() < 0.08, "{distribution:?}: {fourth}");
            let within = values.iter().filter(|value| value.abs() <= 2.0).count() as f64 / DRAWS as f64;
            let expected = if distribution == Distribution::Gaussian { 0.6827 } else { 1.0 - (-1f64).exp() };
            assert!((within - expected).abs() < 0.005, "{distribution:?}: {within}");
        }
    }

    #[test]
    fn noise_is_independent_from_value_to_value() {
        let values = drawn(Distribution::Gaussian, 1.0);
        let lag = values.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / DRAWS as f64;
        assert!(lag.abs() < 0.01, "{lag}");
    }

    #[test]
    fn quantisation_leaves_two_to_the_bits_levels_and_moves_a_value_by_half_a_step_at_most() {
        for bits in 1..=8 {
            let quantise = Defence::Quantise { bits, low: -1.0, high: 3.0 };
            let before: Vec<f32> = (0..4001).map(|index| -1.0 + index as f32 / 1000.0).collect();
            let mut after = before.clone();
            apply_defences(std::slice::from_ref(&quantise), &mut after, &mut ChaCha8Rng::seed_from_u64(1));
            let step = 4.0 / ((1u32 << bits) - 1) as f32;
            assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() <= 0.5001 * step), "{bits}");
            let mut again = after.clone();
            apply_defences(&[quantise], &mut again, &mut ChaCha8Rng::seed_from_u64(1));
            assert_eq!(again, after);
            after.dedup();
            assert_eq!(after.len(), 1 << bits);
            assert_eq!([after[0], after[after.len() - 1]], [-1.0, 3.0]);
        }
    }

    #[test]
    fn values_outside_the_levels_go_to_the_nearest_and_noise_comes_first() {
        let quantise = Defence::Quantise { bits: 1, low: 0.0, high: 1.0 };
        let mut values = [-7.0, 0.2, 0.8, 9.0];
        apply_defences(std::slice::from_ref(&quantise), &mut values, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(values, [0.0, 0.0, 1.0, 1.0]);
        for order in
            [[quantise.clone(), noise(Distribution::Laplace, 3.0)], [noise(Distribution::Laplace, 3.0), quantise]]
        {
            let mut values = [0.5; 64];
            apply_defences(&order, &mut values, &mut ChaCha8Rng::seed_from_u64(1));
            assert!(values.iter().all(|value| [0.0, 1.0].contains(value)) && values.contains(&0.0), "{values:?}");
        }
    }

    #[test]
    fn trained_in_defences_change_nothing_at_the_cut() {
        let trained = [
            Defence::Bottleneck { channels: 2 },
            Defence::NoPeek { weight: 0.5, layer: 3 },
            Defence::Decoys { count: 3 },
        ];
        let mut values = [1.0, -2.0];
        apply_defences(&trained, &mut values, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(values, [1.0, -2.0]);
        assert!(check_defences(&trained).is_ok());
        assert!(do_the_same(&trained, &trained[..2]) && !do_the_same(&trained, &trained[1..]));
        assert!(check_defences(&[Defence::Decoys { count: 0 }]).is_err());
    }

    /// For a front half that multiplies by c, the estimate value / c is unbiased, and under Gaussian noise no unbiased
    /// one is better: its mean squared error is the bound 1/dFIL itself. Under Laplace noise it is twice that.
    #[test]
    fn calibrated_noise_holds_an_unbiased_attacker_to_the_bound() {
        let (inputs, dfil, factor) = (500, 40.0, 3.0f32);
        let trace = f64::from(factor * factor) * inputs as f64;
        for (distribution, above) in [(Distribution::Gaussian, 1.0), (Distribution::Laplace, 2.0)] {
            let defence = noise_for(trace, inputs, dfil, distribution).unwrap();
            let image: Vec<f32> = (0..DRAWS).map(|index| (index % 97) as f32 / 96.0).collect();
            let mut sent: Vec<f32> = image.iter().map(|value| factor * value).collect();
            apply_defences(&[defence], &mut sent, &mut ChaCha8Rng::seed_from_u64(2));
            let errors: Vec<f64> = sent.iter().zip(&image).map(|(y, x)| f64::from(y / factor - x)).collect();
            let ratio = moment(&errors, 2) * dfil;
            assert!((ratio / above - 1.0).abs() < 0.02, "{distribution:?}: {ratio}");
        }
    }

    #[test]
    fn a_calibrated_scale_never_leaks_more_than_asked_for() {
        for trace in [1e-3, 0.7, 12.0, 1e6 + 0.3] {
            let Defence::Noise { scale, dfil, .. } = noise_for(trace, 300, 3.0, Distribution::Gaussian).unwrap() else {
                panic!("noise")
            };
            let reached = trace / (300.0 * f64::from(scale).powi(2));
            assert!((2.999..=3.0).contains(&reached) && dfil == Some(3.0), "{reached}");
        }
        for (trace, inputs, dfil) in [(0.0, 3, 1.0), (1.0, 0, 1.0), (1.0, 3, 0.0), (1.0, 3, -1.0), (f64::NAN, 3, 1.0)] {
            let error = noise_for(trace, inputs, dfil, Distribution::Gaussian).unwrap_err();
            assert!(matches!(error, Error::Leakage(_)), "{error}");
        }
        assert!(matches!(noise_for(1e90, 3, 1.0, Distribution::Laplace), Err(Error::Defence { .. })));
    }

    #[test]
    fn measured_levels_leave_outliers_out() {
        let mut values: Vec<f32> = (0..10_000).map(|index| index as f32 / 10_000.0).collect();
        values[17] = 1e6;
        let Defence::Quantise { low, high, .. } = quantise_for(4, &values).unwrap() else { panic!("levels") };
        assert!((0.0005..0.0015).contains(&low) && (0.9985..1.0).contains(&high), "{low} {high}");
        assert!(matches!(quantise_for(4, &[2.0, 2.0]), Err(Error::Defence { .. })));
        assert!(matches!(quantise_for(4, &[]), Err(Error::Defence { .. })));
        assert!(matches!(quantise_for(9, &[0.0, 1.0]), Err(Error::Defence { .. })));
        assert!(matches!(quantise_for(4, &[0.0, f32::NAN]), Err(Error::NotFinite { .. })));
    }

    #[test]
    fn defences_that_cannot_be_applied_are_refused() {
        let levels = |bits, low, high| Defence::Quantise { bits, low, high };
        let gaussian = |scale| noise(Distribution::Gaussian, scale);
        assert!(check_defences(&[gaussian(0.5), levels(8, 0.0, 1.0)]).is_ok());
        let wrong = [
            vec![gaussian(0.0)],
            vec![gaussian(f32::NAN)],
            vec![gaussian(f32::INFINITY)],
            vec![gaussian(1.0), noise(Distribution::Laplace, 1.0)],
            vec![levels(0, 0.0, 1.0)],
            vec![levels(9, 0.0, 1.0)],
            vec![levels(4, 1.0, 1.0)],
            vec![levels(4, -3e38, 3e38)],
            vec![levels(4, f32::NAN, 1.0)],
            vec![levels(4, 0.0, 1.0), levels(5, 0.0, 1.0)],
        ];
        for defences in wrong {
            assert!(matches!(check_defences(&defences), Err(Error::Defence { .. })), "{defences:?}");
        }
    }

    #[test]
    fn what_a_scale_was_calibrated_to_does_nothing() {
        let calibrated = noise_for(3.0, 3, 4.0, Distribution::Gaussian).unwrap();
        assert!(do_the_same(std::slice::from_ref(&calibrated), &[noise(Distribution::Gaussian, 0.5)]));
        assert!(!do_the_same(&[calibrated], &[noise(Distribution::Laplace, 0.5)]));
        assert!(!do_the_same(&[], &[noise(Distribution::Gaussian, 0.5)]));
    }
}

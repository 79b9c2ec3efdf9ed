//! Means and shares with their uncertainty.

use crate::{Estimate, Share};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Resamples of a bootstrap; the ends of a 95 % interval are then the 50th smallest and largest mean.
const RESAMPLES: usize = 2000;
/// Quantile of the normal distribution for 95 %.
const Z: f64 = 1.959_964;
/// Share of the images that "worst" is the mean over.
const WORST: f64 = 0.05;

/// Whether a larger value is better for the attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

impl Estimate {
    /// Mean of `values`, one an image, with a percentile bootstrap interval (Efron 1979).
    pub(crate) fn of(values: &[f64], better: Better, seed: u64) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut means: Vec<f64> = (0..RESAMPLES).map(|_| resampled_mean(values, &mut rng)).collect();
        means.sort_by(f64::total_cmp);
        let tail = RESAMPLES / 40;
        Self { mean: mean(values), low: means[tail], high: means[RESAMPLES - 1 - tail], worst: worst(values, better) }
    }
}

impl Share {
    /// `hits` of `of` cases, with Wilson's interval (1927), which also holds near 0 and 1.
    pub(crate) fn of(hits: usize, of: usize) -> Self {
        if of == 0 {
            return Self::default();
        }
        let (n, share) = (of as f64, hits as f64 / of as f64);
        let shrink = 1.0 + Z * Z / n;
        let centre = (share + Z * Z / (2.0 * n)) / shrink;
        let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt() / shrink;
        Self { share, low: (centre - half).max(0.0), high: (centre + half).min(1.0), of }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn resampled_mean(values: &[f64], rng: &mut ChaCha8Rng) -> f64 {
    values.iter().map(|_| values[rng.random_range(0..values.len())]).sum::<f64>() / values.len() as f64
}

fn worst(values: &[f64], better: Better) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| if better == Better::Higher { b.total_cmp(a) } else { a.total_cmp(b) });
    sorted.truncate(((values.len() as f64 * WORST).round() as usize).max(1));
    mean(&sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_the_mean_and_shrink_with_more_values() {
        let values = |n: usize| (0..n).map(|at| (at % 10) as f64).collect::<Vec<_>>();
        let (few, many) =
            (Estimate::of(&values(20), Better::Higher, 1), Estimate::of(&values(2000), Better::Higher, 1));
        assert!((few.mean - 4.5).abs() < 1e-12 && few.low < 4.5 && few.high > 4.5);
        assert!(many.high - many.low < (few.high - few.low) / 5.0);
        assert_eq!(few, Estimate::of(&values(20), Better::Higher, 1));
    }

    #[test]
    fn the_bootstrap_has_the_width_of_the_normal_interval() {
        let values: Vec<f64> = (0..400).map(|at| f64::from(at % 2)).collect();
        let estimate = Estimate::of(&values, Better::Higher, 3);
        let expected = 2.0 * Z * 0.5 / 20.0; // two standard errors of a fair coin
        assert!(((estimate.high - estimate.low) / expected - 1.0).abs() < 0.1, "{estimate:?}");
    }

    #[test]
    fn worst_is_where_the_attacker_does_best() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(Estimate::of(&values, Better::Higher, 1).worst, 97.0);
        assert_eq!(Estimate::of(&values, Better::Lower, 1).worst, 2.0);
        assert_eq!(Estimate::of(&[3.0], Better::Lower, 1).worst, 3.0);
    }

    #[test]
    fn shares_have_intervals_even_at_the_ends() {
        let none = Share::of(0, 100);
        assert!(none.low == 0.0 && (0.03..0.04).contains(&none.high), "{none:?}");
        let half = Share::of(500, 1000);
        assert!((half.high - 0.531).abs() < 0.001 && (half.low - 0.469).abs() < 0.001, "{half:?}");
        assert_eq!(Share::of(0, 0), Share::default());
    }
}

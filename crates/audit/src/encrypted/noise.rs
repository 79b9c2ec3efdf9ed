//! Whether the noise of scores tells networks apart.

use super::record::NoiseFindings;
use super::{Field, Wire};
use crate::observer::{Observer, step};
use crate::{Error, Share};
use cleave_encrypted::IntegerNetwork;

/// Has the first two networks evaluate the same images, encrypted anew each time. None where there is one network.
pub(super) fn compare(field: &Field, observer: &mut dyn Observer) -> Result<Option<NoiseFindings>, Error> {
    let networks = field.networks();
    if networks.len() < 2 {
        return Ok(None);
    }
    let (wire, ensembles) = (Wire::new(field)?, [field.member(0)?, field.member(1)?]);
    let values = field.own.values(0..field.batch());
    let mut runs: [Vec<Vec<f64>>; 2] = Default::default();
    for _ in 0..field.settings.rounds {
        for (ensemble, runs) in ensembles.iter().zip(&mut runs) {
            step(observer)?;
            let sent = wire.send(&values, field.pixels())?;
            let scores = ensemble.evaluate(&wire.keys, &sent.images)?;
            runs.push(wire.secret.noise(&scores)?.concat());
        }
    }
    let lanes = field.params.plaintexts().count();
    let lengths = networks[..2].iter().flat_map(|network| lengths(network).repeat(lanes)).collect::<Vec<_>>();
    let means = runs.iter().flat_map(|runs| mean(runs, None)).collect::<Vec<_>>();
    Ok(Some(NoiseFindings { told: told(&runs), correlation: correlation(&means, &lengths), runs }))
}

/// log₂ of the length of each row of the last layer.
fn lengths(network: &IntegerNetwork) -> Vec<f64> {
    let rows = network.layers[2].weights.chunks_exact(network.shape.hidden);
    rows.map(|row| 0.5 * row.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>().max(f64::MIN_POSITIVE).log2()).collect()
}

/// The mean of all runs but one.
fn mean(runs: &[Vec<f64>], without: Option<usize>) -> Vec<f64> {
    let kept: Vec<&Vec<f64>> =
        runs.iter().enumerate().filter(|(at, _)| Some(*at) != without).map(|(_, run)| run).collect();
    let width = runs.first().map_or(0, Vec::len);
    (0..width).map(|at| kept.iter().map(|run| run[at]).sum::<f64>() / kept.len().max(1) as f64).collect()
}

/// Runs that lie nearer to the mean of the others of their network than to that of the other network.
fn told(runs: &[Vec<Vec<f64>>; 2]) -> Share {
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let mut right = 0;
    for (own, other) in [(&runs[0], &runs[1]), (&runs[1], &runs[0])] {
        let theirs = mean(other, None);
        let judged = own
            .iter()
            .enumerate()
            .filter(|(at, run)| own.len() > 1 && apart(run, &mean(own, Some(*at))) < apart(run, &theirs));
        right += judged.count();
    }
    Share::of(right, runs.iter().map(Vec::len).sum())
}

/// Pearson's; none for fewer than three pairs, or where one side is constant.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let count = a.len().min(b.len()) as f64;
    let means = [a, b].map(|x| x.iter().sum::<f64>() / count);
    let sum = |of: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| of(a - means[0], b - means[1])).sum::<f64>();
    let (both, first, second) = (sum(&|a, b| a * b), sum(&|a, _| a * a), sum(&|_, b| b * b));
    (count >= 3.0 && first > 0.0 && second > 0.0).then(|| both / (first * second).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_differ_are_told_apart_and_others_are_not() {
        let runs = |shift: f64| (0..10).map(|at| vec![shift + f64::from(at % 3) * 0.01, 2.0]).collect::<Vec<_>>();
        assert_eq!(told(&[runs(0.0), runs(1.0)]).share, 1.0);
        assert!(told(&[runs(0.0), runs(0.0)]).share < 0.9);
        assert_eq!(told(&[runs(0.0)[..1].to_vec(), runs(1.0)[..1].to_vec()]).share, 0.0);
    }

    #[test]
    fn correlations_have_their_sign() {
        let up = [1.0, 2.0, 3.0, 5.0];
        assert!((correlation(&up, &up).unwrap() - 1.0).abs() < 1e-12);
        assert!((correlation(&up, &up.map(|x| -x)).unwrap() + 1.0).abs() < 1e-12);
        assert_eq!((correlation(&up, &[1.0; 4]), correlation(&up[..2], &up[..2])), (None, None));
    }
}

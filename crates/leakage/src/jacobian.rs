//! How many directions of an image are visible: the singular values of a front half's Jacobian.
//!
//! To first order a change `h` of the image changes what is sent by `J h`. The singular values of `J` say how strongly
//! each of as many orthogonal directions shows.

use crate::LeakageError;
use crate::bidiagonal::Bidiagonal;
use crate::lanczos::{Measure, sample};
use crate::map::{LinearMap, Products, Progress, report, within};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Columns of a block of the Gram matrix's factors: small enough for a cache.
const BLOCK: usize = 512;

/// How singular values are computed, and which of them count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SpectrumSettings {
    /// Up to this many values on the smaller side all singular values are computed, otherwise estimated. Takes one
    /// product for each of those values, 4 bytes of memory for each entry of the matrix, and work that grows with the
    /// square of the smaller side times the larger.
    pub exact_up_to: usize,
    /// At most this many vectors in one call of the map.
    pub batch: usize,
    /// Share of the largest singular value above which one counts towards the rank, 1e-6 to 1. Smaller ones cannot
    /// be told from the rounding of a map that computes in `f32`.
    pub threshold: f64,
    /// Random vectors of an estimate, at least 2; the standard errors fall with the root of their number.
    pub probes: usize,
    /// Products with `J` of each of them, one fewer with `Jᵀ`. Singular values closer to zero than about `1/steps`
    /// of the largest blur into each other; [`JacobianSpectrum::rank_resolution`] says what that costs.
    pub steps: usize,
    /// Points of the estimated spectrum, at least 2.
    pub quantiles: usize,
    /// Seed of the random vectors.
    pub seed: u64,
}

impl Default for SpectrumSettings {
    /// A threshold of 1e-3: a direction at it moves what is sent a thousandth as much as the most visible one. That is
    /// what half precision on the wire rounds away (2⁻¹¹ = 5e-4 of a value), and far above the rounding of a network
    /// that computes in `f32` (6e-8 an operation, some 1e-6 after all of them). With values of 8 bits 4e-3 would be
    /// in place; an attacker on exact `f32` values sees further, down to 1e-6.
    fn default() -> Self {
        Self { exact_up_to: 1024, batch: 32, threshold: 1e-3, probes: 8, steps: 100, quantiles: 64, seed: 0 }
    }
}

/// A number that was computed, or estimated from random samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimated {
    /// The number, or the mean over the samples.
    pub value: f64,
    /// Standard error of the mean; 0 where the number was computed. Itself a rough figure for few samples.
    pub standard_error: f64,
}

impl Estimated {
    fn exactly(value: f64) -> Self {
        Self { value, standard_error: 0.0 }
    }

    /// The mean of at least two samples.
    fn mean(samples: impl ExactSizeIterator<Item = f64> + Clone) -> Self {
        let count = samples.len() as f64;
        let value = samples.clone().sum::<f64>() / count;
        let squares: f64 = samples.map(|sample| (sample - value).powi(2)).sum();
        Self { value, standard_error: (squares / (count - 1.0) / count).sqrt() }
    }
}

/// The singular values of a linear map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JacobianSpectrum {
    /// Values that the map takes, `d`.
    pub inputs: usize,
    /// Values that it gives.
    pub outputs: usize,
    /// Whether all singular values were computed, not estimated.
    pub exact: bool,
    /// Values on the smaller side that take no part: outputs that no input changes, such as those that a ReLU cuts, or
    /// inputs that change no output.
    pub silent: usize,
    /// The largest singular value, from below where it was estimated.
    pub largest: f64,
    /// Share of the largest above which a singular value counts, as set.
    pub threshold: f64,
    /// How many singular values count.
    pub rank: Estimated,
    /// By how much the rank can be wrong, beside the standard error, because too few steps were taken to tell the
    /// singular values near the threshold from those on its other side. It is a bound, not a guess, up to the rounding
    /// of the map. 0 where exact.
    pub rank_resolution: f64,
    /// `tr(JᵀJ)`, the sum of the squared singular values and of the squared entries of `J`.
    pub trace: Estimated,
    /// Singular values as `(position, value)` from the largest, position 1, to the smallest, position
    /// `min(inputs, outputs)`. Where exact, all of them, of which those below about 1e-7 of the largest are rounding.
    /// Otherwise some, as many as the settings ask for: those that an estimated density has at these positions.
    pub values: Vec<(f64, f64)>,
}

impl JacobianSpectrum {
    /// Where the rank lies: two standard errors, which hold it nine times in ten with 8 probes, and the resolution to
    /// either side. Where exact, both ends are the rank.
    #[must_use]
    pub fn rank_interval(&self) -> [f64; 2] {
        let margin = 2.0 * self.rank.standard_error + self.rank_resolution;
        let all = self.inputs.min(self.outputs) - self.silent;
        [self.rank.value - margin, self.rank.value + margin].map(|end| end.clamp(0.0, all as f64))
    }
}

/// The singular values of a map, and how many of them exceed [`SpectrumSettings::threshold`] times the largest.
///
/// *Exact* where the smaller side has at most [`SpectrumSettings::exact_up_to`] values: the map's rows or columns
/// are assembled, their Gram matrix is summed in `f64` and its eigenvalues are found by bisection, which cannot fail
/// to converge. Squaring the matrix in `f64` loses singular values below some 1e-8 of the largest, products rounded
/// to `f32` those below 1e-7; above that all are resolved.
///
/// *Estimated* otherwise, by stochastic Lanczos quadrature with Rademacher vectors (Lin, Saad and Yang 2016; Ubaru,
/// Chen and Saad 2017), the rank as Di Napoli, Polizzi and Saad, "Efficient estimation of eigenvalue counts in an
/// interval" (2016), count eigenvalues, and the trace as Hutchinson (1990) does. Two errors are kept apart: that of a
/// few random vectors for all ([`Estimated::standard_error`]), and that of a few steps for the whole spectrum that a
/// vector sees ([`JacobianSpectrum::rank_resolution`]). Memory: 4 bytes × probes × steps × the smaller side. The same
/// seed gives the same result.
///
/// `progress` is told vectors done where exact, steps done where estimated.
///
/// ```
/// use cleave_leakage::{SpectrumSettings, spectrum_of};
/// use nalgebra::DMatrix;
///
/// // Three values are sent, and the third repeats the first.
/// let sent = DMatrix::from_row_slice(3, 4, &[1.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
/// let found = spectrum_of(&sent, &SpectrumSettings::default(), &mut |_, _| true)?;
/// assert_eq!((found.rank.value, found.trace.value), (2.0, 11.0));
/// # Ok::<(), cleave_leakage::LeakageError>(())
/// ```
///
/// # Errors
/// [`LeakageError`] as the map's own error: an empty map, a setting out of range, products of a wrong length or not
/// finite, or [`LeakageError::Stopped`]. And whatever the map's products fail with.
pub fn spectrum_of<M: LinearMap + ?Sized>(
    map: &M,
    settings: &SpectrumSettings,
    progress: &mut Progress<'_>,
) -> Result<JacobianSpectrum, M::Error> {
    settings.validate()?;
    let products = Products::new(map, settings.batch)?.seen_from_the_smaller_side();
    if products.near() <= settings.exact_up_to {
        exact(&products, settings, progress)
    } else {
        estimated(&products, settings, progress)
    }
}

impl SpectrumSettings {
    fn validate(&self) -> Result<(), LeakageError> {
        within("threshold", self.threshold, 1e-6..=1.0)?;
        within("probes", self.probes as f64, 2.0..=1e4)?;
        within("steps", self.steps as f64, 1.0..=1e4)?;
        within("quantiles", self.quantiles as f64, 2.0..=1e6)
    }
}

fn exact<M: LinearMap + ?Sized>(
    products: &Products<'_, M>,
    settings: &SpectrumSettings,
    progress: &mut Progress<'_>,
) -> Result<JacobianSpectrum, M::Error> {
    let near = products.near();
    let mut rows = Vec::with_capacity(near * products.far());
    for start in (0..near).step_by(settings.batch) {
        let end = near.min(start + settings.batch);
        rows.extend(products.there(&units(start..end, near))?);
        report(progress, end, near)?;
    }
    Ok(decomposed(gram(&rows, near), products.shape(), settings.threshold))
}

/// Unit vectors, one after the other.
fn units(which: Range<usize>, length: usize) -> Vec<f32> {
    which.flat_map(|one| (0..length).map(move |index| f32::from(u8::from(index == one)))).collect()
}

/// The products of `count` rows with each other.
fn gram(rows: &[f32], count: usize) -> DMatrix<f64> {
    let length = rows.len() / count;
    let mut gram = DMatrix::zeros(count, count);
    for start in (0..length).step_by(BLOCK) {
        let width = BLOCK.min(length - start);
        let part = rows.chunks_exact(length).flat_map(|row| &row[start..start + width]);
        let block = DMatrix::from_iterator(width, count, part.copied().map(f64::from));
        gram.gemm(1.0, &block.transpose(), &block, 1.0);
    }
    gram
}

fn decomposed(gram: DMatrix<f64>, [inputs, outputs]: [usize; 2], threshold: f64) -> JacobianSpectrum {
    let silent = gram.diagonal().iter().filter(|&&square| square == 0.0).count();
    let trace = Estimated::exactly(gram.trace());
    let values: Vec<f64> = Bidiagonal::new(gram).values().into_iter().map(f64::sqrt).collect();
    let largest = values[0];
    let rank = values.iter().filter(|&&value| value > threshold * largest).count();
    JacobianSpectrum {
        inputs,
        outputs,
        exact: true,
        silent,
        largest,
        threshold,
        rank: Estimated::exactly(rank as f64),
        rank_resolution: 0.0,
        trace,
        values: values.into_iter().enumerate().map(|(index, value)| ((index + 1) as f64, value)).collect(),
    }
}

fn estimated<M: LinearMap + ?Sized>(
    products: &Products<'_, M>,
    settings: &SpectrumSettings,
    progress: &mut Progress<'_>,
) -> Result<JacobianSpectrum, M::Error> {
    let sample = sample(products, [settings.probes, settings.steps], settings.seed, progress)?;
    let [inputs, outputs] = products.shape();
    let heard = sample.heard as f64;
    let measures = sample.measures.iter();
    let largest = measures.clone().map(|measure| measure.nodes[0]).fold(0.0, f64::max);
    let bound = settings.threshold * largest;
    Ok(JacobianSpectrum {
        inputs,
        outputs,
        exact: false,
        silent: products.near() - sample.heard,
        largest,
        threshold: settings.threshold,
        rank: Estimated::mean(measures.clone().map(|measure| heard * measure.above(bound))),
        rank_resolution: Estimated::mean(measures.clone().map(|measure| heard * measure.doubt(bound))).value,
        trace: Estimated::mean(measures.map(|measure| heard * measure.mean_square())),
        values: quantiles(&sample.measures, heard, products.near(), settings.quantiles),
    })
}

/// Evenly spaced positions, each with the singular value that more than all positions before it reach.
fn quantiles(measures: &[Measure], heard: f64, near: usize, wanted: usize) -> Vec<(f64, f64)> {
    let share = heard / measures.len() as f64;
    let weighted = |measure: &Measure| -> Vec<(f64, f64)> {
        measure.nodes.iter().zip(&measure.weights).map(|(&node, weight)| (node, share * weight)).collect()
    };
    let mut masses: Vec<_> = measures.iter().flat_map(weighted).collect();
    masses.sort_by(|a, b| b.0.total_cmp(&a.0));
    let points = wanted.min(near);
    let position = |point: usize| 1.0 + (near - 1) as f64 * point as f64 / (points - 1).max(1) as f64;
    (0..points).map(|point| (position(point), value_at(&masses, position(point)))).collect()
}

/// The first of `(value, mass)` by which more mass is reached than there are positions before a position.
fn value_at(masses: &[(f64, f64)], position: f64) -> f64 {
    let mut reached = 0.0;
    let passes = |(_, mass): &&(f64, f64)| {
        reached += mass;
        reached > position - 1.0
    };
    masses.iter().find(passes).map_or(0.0, |&(value, _)| value)
}

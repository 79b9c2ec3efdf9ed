//! The front half's Jacobian at an image, known through its products.

use crate::pixels::{PixelScale, to_host};
use crate::target::{Seen, Target};
use crate::{Error, Observer, Visible};
use burn::tensor::{Tensor, TensorData};
use cleave_leakage::{JacobianSpectrum, LinearMap, SpectrumSettings, spectrum_of};
use cleave_nets::{Network, Pass};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How smashed data changes with the pixels of one image, the signal held fixed. Pixels are 0 to 1.
struct Jacobian<'a> {
    front: &'a Network,
    differentiable: Network,
    scale: &'a PixelScale,
    /// The image, `[1, channels, height, width]`, as the network takes it.
    at: Tensor<4>,
    /// The signal's channel, `[1, 1, height, width]`.
    signal: Option<Tensor<4>>,
}

impl LinearMap for Jacobian<'_> {
    type Error = Error;

    fn inputs(&self) -> usize {
        self.front.input().values()
    }

    fn outputs(&self) -> usize {
        self.front.output().values()
    }

    fn apply(&self, xs: &[f32], batch: usize) -> Result<Vec<f32>, Error> {
        let [channels, height, width] = self.front.input().dims();
        let change = self.vectors(xs, [batch, channels, height, width]);
        let signal = self.signal.as_ref().map(|signal| signal.clone().repeat_dim(0, batch));
        let pass = Pass { signal, ..Pass::default() };
        let at = self.at.clone().repeat_dim(0, batch);
        to_host(self.front.tangent(at, self.scale.prepared_change(change), pass)?.1)
    }

    fn transpose(&self, ys: &[f32], batch: usize) -> Result<Vec<f32>, Error> {
        let [channels, height, width] = self.front.output().dims();
        let weights = self.vectors(ys, [batch, channels, height, width]).autodiff();
        let signal = self.signal.as_ref().map(|signal| signal.clone().repeat_dim(0, batch).autodiff());
        let at = self.at.clone().repeat_dim(0, batch).autodiff().require_grad();
        let sent = self.differentiable.forward(at.clone(), Pass { signal, ..Pass::default() })?;
        match at.grad(&(sent * weights).sum().backward()) {
            Some(gradient) => to_host(self.scale.prepared_change(gradient)),
            None => Ok(vec![0.0; batch * self.inputs()]),
        }
    }
}

impl<'a> Jacobian<'a> {
    fn new(target: &'a Target, at: Tensor<4>, signal: Option<Tensor<4>>) -> Self {
        let Target { front, scale, .. } = target;
        Self { front, differentiable: front.differentiable(), scale, at, signal }
    }

    fn vectors(&self, values: &[f32], shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), self.front.device())
    }
}

/// How many directions of the first `images` private images are visible in what the front half sends.
pub(crate) fn visible(
    target: &Target,
    seen: &Seen,
    images: usize,
    settings: &SpectrumSettings,
    observer: &mut dyn Observer,
) -> Result<Vec<Visible>, Error> {
    let one = |at: usize| {
        let signal = seen.planes.as_ref().map(|planes| planes.clone().slice(at..at + 1));
        let jacobian = Jacobian::new(target, seen.prepared.clone().slice(at..at + 1), signal);
        let spectrum = spectrum_of(&jacobian, settings, &mut |_, _| {
            observer.stepped();
            !observer.stop()
        })?;
        Ok(summary(&spectrum))
    };
    (0..images.min(seen.labels.len())).map(one).collect()
}

/// tr(JᵀJ) of the front half, pixels of 0 to 1, averaged over images: what noise is calibrated to.
///
/// Estimated as the mean of ‖J v‖² over vectors of random signs (Hutchinson 1990), eight of them for each
/// image, with a fresh signal for each image.
///
/// # Shapes
/// `prepared`: images × the network's input, as the network takes them.
///
/// # Errors
/// [`Error::Network`] for misshapen images; [`Error::TooFewImages`] for none.
pub fn mean_trace(target: &Target, prepared: &[f32], seed: u64) -> Result<f64, Error> {
    let shape = target.front.input();
    let images = prepared.len() / shape.values().max(1);
    if images == 0 {
        return Err(Error::TooFewImages { side: "the calibration", images: 0, least: 1 });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut sum = 0.0;
    for image in prepared.chunks_exact(shape.values()) {
        let signals = target.source.as_ref().map_or_else(|| vec![0], |source| source.draw(1, &mut rng));
        let data = TensorData::new(image.to_vec(), [1, shape.channels, shape.height, shape.width]);
        let at = Tensor::from_data(data, target.front.device());
        let jacobian = Jacobian::new(target, at, target.planes(&signals, &mut rng)?);
        let signs: Vec<f32> =
            (0..TRACE_VECTORS * shape.values()).map(|_| if rng.random() { 1.0 } else { -1.0 }).collect();
        let sent = jacobian.apply(&signs, TRACE_VECTORS)?;
        sum += sent.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / TRACE_VECTORS as f64;
    }
    Ok(sum / images as f64)
}

/// Vectors an image; with thousands of directions visible the error of one is a few percent already.
const TRACE_VECTORS: usize = 8;

fn summary(spectrum: &JacobianSpectrum) -> Visible {
    let [low, high] = spectrum.rank_interval();
    Visible {
        rank: spectrum.rank.value,
        rank_low: low,
        rank_high: high,
        of: spectrum.inputs,
        threshold: spectrum.threshold,
        spectrum: thinned(&spectrum.values),
        trace: spectrum.trace.value,
        trace_error: spectrum.trace.standard_error,
        exact: spectrum.exact,
    }
}

/// Points of a spectrum that a record keeps.
const POINTS: usize = 128;

/// At most [`POINTS`] of the values, the first and the last among them.
fn thinned(values: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let last = values.len().saturating_sub(1);
    let mut chosen: Vec<usize> = (0..POINTS).map(|at| at * last / (POINTS - 1)).collect();
    chosen.dedup();
    chosen.into_iter().filter_map(|at| values.get(at).copied()).collect()
}

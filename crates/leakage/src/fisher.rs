//! What noise on the values sent guarantees: diagonal Fisher information leakage.
//!
//! The front half `f` sends `f(x)` plus noise that is drawn anew for every value. What the values sent say about the
//! `d` values of an image `x` is the Fisher information matrix `I(x) = JᵀJ · i`, where `J` is the Jacobian of `f` at
//! `x` and `i` is the information that one noisy value has about its mean. Maeng, Guo, Kariyappa and Suh,
//! "Bounding the invertibility of privacy-preserving instance encoding using Fisher information" (2023), take its
//! mean diagonal, `dFIL(x) = tr(I(x)) / d`, and the Cramér-Rao bound makes it a bound on reconstructions.
//!
//! `f` has to be differentiable at `x`, which a network with ReLUs is at almost every image. What is done to the noisy
//! values afterwards, such as rounding or clipping, takes information away and adds none.
//!
//! The bound is about one image, the one whose Jacobian it was, and counts one transmission: `n` of them with fresh
//! noise have `n` times the information.

use crate::LeakageError;
use serde::{Deserialize, Serialize};

/// Noise that a client adds to every value sent, independent and with mean zero.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Noise {
    /// Normal noise.
    Gaussian {
        /// Standard deviation, in units of the values sent.
        deviation: f64,
    },
    /// Laplace noise, density `e^(−|t|/b) / 2b`, whose standard deviation is `b √2`.
    Laplace {
        /// `b`, in units of the values sent.
        scale: f64,
    },
}

impl Noise {
    /// The parameter whose inverse square is the Fisher information about a mean: `1/σ²`, or `1/b²`. (The score of
    /// the Laplace distribution is `±1/b`, so the mean of its square is `1/b²`.)
    fn scale(self) -> f64 {
        match self {
            Self::Gaussian { deviation } => deviation,
            Self::Laplace { scale } => scale,
        }
    }
}

/// Diagonal Fisher information leakage (Maeng et al. 2023): `tr(JᵀJ) / (d σ²)`, or `tr(JᵀJ) / (d b²)`.
///
/// `trace` is `tr(JᵀJ)` in squared units of the values sent over squared units of the image, `inputs` is `d`. The
/// result is in one over squared units of the image.
///
/// # Errors
/// [`LeakageError::NotPositive`]: an argument, or the result, is not a finite number above zero. A trace of zero is
/// refused too: where nothing sent depends on the image there is no information to bound.
pub fn dfil(trace: f64, inputs: usize, noise: Noise) -> Result<f64, LeakageError> {
    let scale = positive("the scale of the noise", noise.scale())?;
    positive("the dFIL", information(trace, inputs)? / scale / scale)
}

/// `1 / dFIL`: no unbiased attacker has a smaller mean squared error per value of the image, at that image.
///
/// Unbiased means: averaged over the noise, the attacker's reconstruction is the image itself, whatever the image.
/// An attacker who knows what images look like is biased towards such images and can be below this bound; so can
/// one who merely clips to the range of pixels. Where the bound exceeds the variance of the pixels, the mean image
/// already does better. Read it as the noise an attacker has to overcome with prior knowledge, not as a floor under
/// every attack.
///
/// # Errors
/// [`LeakageError::NotPositive`]: `dfil` or the result is not a finite number above zero.
pub fn mse_bound(dfil: f64) -> Result<f64, LeakageError> {
    positive("the bound on the mean squared error", positive("the dFIL", dfil)?.recip())
}

/// The noise that has a wanted dFIL: the standard deviation of Gaussian noise, or the scale `b` of Laplace noise,
/// which are the same number, `√(tr(JᵀJ) / (d · dFIL))`. For a wanted bound on the mean squared error, pass one over
/// it.
///
/// # Errors
/// [`LeakageError::NotPositive`]: an argument, or the result, is not a finite number above zero.
pub fn scale_for(trace: f64, inputs: usize, dfil: f64) -> Result<f64, LeakageError> {
    let wanted = positive("the dFIL wanted", dfil)?;
    positive("the scale of the noise", (information(trace, inputs)? / wanted).sqrt())
}

/// Mean squared length of the Jacobian's columns.
fn information(trace: f64, inputs: usize) -> Result<f64, LeakageError> {
    Ok(positive("the trace of JᵀJ", trace)? / positive("the number of inputs", inputs as f64)?)
}

fn positive(what: &'static str, got: f64) -> Result<f64, LeakageError> {
    if got.is_finite() && got > 0.0 { Ok(got) } else { Err(LeakageError::NotPositive { what, got }) }
}

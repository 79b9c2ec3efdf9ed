//! Nesterov's method with the gradient as it is: what Chiang 2023 compares its own with (Figure 1). In the clear only.

use super::{
    TrainingData,
    clear::{Activation, Model, steps},
};
use crate::{Error, Result};

/// What is made as large as can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likelihood {
    /// That of softmax regression, Σ_i ln softmax(W·x_i) at the label: "RawNAG" in the paper.
    Softmax,
    /// SLE, one class against the rest, as [`Model::loss`]: "SigmoidNAG" in the paper.
    Sigmoid,
}

/// How far along the mean gradient, in iteration t = 1, 2, ….
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// The same each time.
    Constant(f64),
    /// Divided by t. 1 is that of the author's programs; the paper's text names none.
    Falling(f64),
}

impl Rate {
    fn at(self, t: usize) -> f64 {
        match self {
            Self::Constant(rate) => rate,
            Self::Falling(rate) => rate / t as f64,
        }
    }
}

/// A method without a preconditioner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plain {
    /// What the gradient is of.
    pub likelihood: Likelihood,
    /// What the gradient is multiplied with.
    pub rate: Rate,
}

impl Model {
    /// One iteration as [`Model::advance`], with G = (Y − P)ᵀX/n in place of B̄ ⊙ (Y − P)ᵀX, the rate in place of
    /// 1 + γ, and P the softmax or the sigmoid of X·Vᵀ.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] if model and data have other shapes, [`Error::Value`] for a rate that is not finite.
    pub fn advance_plain(&mut self, data: &TrainingData, how: Plain) -> Result<()> {
        let Some(step) = steps(data.samples()).nth(self.iterations()) else { return Ok(()) };
        let rate = how.rate.at(self.iterations() + 1);
        if !rate.is_finite() {
            return Err(Error::Value { index: 0 });
        }
        let gradient = self.gradient(data, data.values(), |scores| match how.likelihood {
            Likelihood::Softmax => softmax(scores),
            Likelihood::Sigmoid => Activation::Sigmoid.all(scores),
        })?;
        self.go(&gradient, rate / data.samples() as f64, step.eta);
        Ok(())
    }

    /// Σ_i ln softmax(W·x_i) at the label, at most 0. Higher is better.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] if model and data have other shapes.
    pub fn log_likelihood(&self, data: &TrainingData) -> Result<f64> {
        self.check(data.classes(), data.features())?;
        let term = |i: usize| {
            let mut chances: Vec<_> = self.scores(data, i).collect();
            softmax(&mut chances);
            chances.get(data.label(i)).map_or(0.0, |chance| chance.ln())
        };
        Ok((0..data.samples()).map(term).sum())
    }
}

fn softmax(scores: &mut [f64]) {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter_mut().for_each(|z| *z = (*z - highest).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|p| *p /= sum);
}

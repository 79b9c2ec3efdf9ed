//! A network that the attacker trains.

use crate::Error;
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::{Device, Gradients, Tensor};
use cleave_nets::{Architecture, Network, Pass};

/// Far below the gradients of a loss that is a mean over pixels; burn's own 1e-5 is not, and holds such a network still.
const EPSILON: f32 = 1e-10;

/// A network with an Adam optimiser (Kingma and Ba 2015).
pub(crate) struct Learner {
    network: Network,
    optimizer: ModuleOptimizer,
}

impl Learner {
    /// Random weights.
    pub(crate) fn new(architecture: Architecture, seed: u64, device: &Device) -> Result<Self, Error> {
        Ok(Self {
            network: Network::random(architecture, seed, device)?.trainable(),
            optimizer: AdamConfig::new().with_epsilon(EPSILON).init(),
        })
    }

    /// The output with gradients tracked; `x` may be on a plain device.
    pub(crate) fn forward(&self, x: Tensor<4>, signal: Option<Tensor<4>>) -> Result<Tensor<4>, Error> {
        Ok(self.network.forward(x.autodiff(), Pass { signal: signal.map(Tensor::autodiff), ..Pass::default() })?)
    }

    /// One step down the gradients.
    pub(crate) fn step(&mut self, rate: f64, gradients: &mut Gradients) {
        self.network.learn(&mut self.optimizer, rate, gradients);
    }

    /// What was learned.
    pub(crate) fn finished(self) -> Network {
        self.network.frozen()
    }
}

/// The rate at `step` of `steps`: half a cosine from `rate` down to a twentieth of it (Loshchilov and Hutter 2017).
pub(crate) fn cosine(rate: f64, step: usize, steps: usize) -> f64 {
    const END: f64 = 0.05;
    let progress = step as f64 / steps.max(1) as f64;
    rate * (END + (1.0 - END) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use cleave_nets::{Layer, Shape};

    #[test]
    fn what_is_standardised_while_learning_is_standardised_afterwards() {
        let device = cleave_nets::device("flex").unwrap();
        let layers = vec![Layer::BatchNorm { epsilon: 1e-5 }, Layer::Linear { features: 1 }];
        let mut learner = Learner::new(Architecture::new(Shape::vector(2), layers).unwrap(), 1, &device).unwrap();
        let values: Vec<f32> = (0..128).map(|at| 5.0 + 3.0 * (at as f32).sin()).collect();
        let x = Tensor::<4>::from_data(TensorData::new(values, [64, 2, 1, 1]), &device);
        for _ in 0..60 {
            let loss = learner.forward(x.clone(), None).unwrap().powi_scalar(2).mean();
            learner.step(1e-6, &mut loss.backward());
        }
        let learning = learner.forward(x.clone(), None).unwrap().without_autodiff();
        let finished = learner.finished().forward(x, Pass::default()).unwrap();
        let apart = (learning - finished).abs().max().into_scalar::<f32>();
        assert!(apart < 0.05, "{apart}");
    }
}

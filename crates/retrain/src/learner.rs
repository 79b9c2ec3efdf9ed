//! A network with the optimiser of its weights.

use crate::Error;
use burn::optim::ModuleOptimizer;
use burn::tensor::Gradients;
use cleave_nets::Network;

/// A network that learns, and its optimiser.
pub(crate) struct Learner {
    pub(crate) network: Network,
    pub(crate) optimizer: ModuleOptimizer,
}

impl Learner {
    /// Learns from the weights that `network` has.
    ///
    /// The network is built anew, so that its parameters are numbered from its own first layer, as they are on resuming.
    pub(crate) fn new(network: &Network, optimizer: ModuleOptimizer) -> Result<Self, Error> {
        let network =
            Network::from_tensors(network.architecture().clone(), network.tensors()?, network.device())?.trainable();
        Ok(Self { network, optimizer })
    }

    /// Takes this network's share out of `gradients` and makes one step of the optimiser.
    pub(crate) fn step(&mut self, rate: f64, gradients: &mut Gradients) {
        self.network.learn(&mut self.optimizer, rate, gradients);
    }
}

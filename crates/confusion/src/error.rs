//! What can go wrong with confusion neurons and their keys.

use cleave_secrets::KeyId;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A proportion that is no share of a layer.
    #[error("the proportion is {got}, expected above 0 and at most 1: the share of a network's channels that is added")]
    Proportion {
        /// The proportion.
        got: f64,
    },
    /// A proportion that comes to less than one channel everywhere.
    #[error("a proportion of {got} adds no channel to any layer of this network; {least:.4} is the least that does")]
    NothingInserted {
        /// The proportion.
        got: f64,
        /// The least one that adds a channel somewhere.
        least: f64,
    },
    /// A plan without a single confusion neuron.
    #[error(
        "no channel would be inserted, and the network would be as right as before; take a larger proportion or budget, or \
         a smaller balance"
    )]
    NoNeurons,
    /// A name that is no layer with channels that can be widened.
    #[error("no layer {got:?} can be widened; those that can are {}", names.join(", "))]
    NoSuchLayer {
        /// The name.
        got: String,
        /// The names that there are.
        names: Vec<String>,
    },
    /// A plan or key for a network with other channels.
    #[error(
        "{what} is laid out for {expected}, and the network has {got}; take the one that was made for this network"
    )]
    OtherNetwork {
        /// `the key` or `the plan`.
        what: &'static str,
        /// What it is for, in words.
        expected: String,
        /// What the network has.
        got: String,
    },
    /// A network without a channel that could be widened.
    #[error("nothing can be inserted into this network: {reason}")]
    NotConfusable {
        /// Why.
        reason: String,
    },
    /// The network was confused with another key.
    #[error("the network was confused with the key {expected}, the key given is {got}")]
    OtherKey {
        /// The key that is needed.
        expected: KeyId,
        /// The one that was given.
        got: KeyId,
    },
    /// A key whose bytes cannot be what they are.
    #[error("no positions of confusion neurons: {reason}")]
    Key {
        /// What is wrong with it.
        reason: String,
    },
    /// A balance or budget that cannot be weighed.
    #[error("{name} is {got}, expected {expected}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// Its value.
        got: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// From the key's file or generator.
    #[error(transparent)]
    Secrets(#[from] cleave_secrets::Error),
    /// From the network.
    #[error(transparent)]
    Network(#[from] cleave_nets::Error),
}

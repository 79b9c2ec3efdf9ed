//! What can go wrong with a cut.

use crate::Cut;
use cleave_nets::Shape;
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// From the network or its file.
    #[error(transparent)]
    Network(#[from] cleave_nets::Error),
    /// From the signal.
    #[error(transparent)]
    Signal(#[from] cleave_retrain::Error),
    /// From the leakage check.
    #[error(transparent)]
    Leakage(#[from] cleave_leakage::LeakageError),
    /// A cut that is not written as one.
    #[error("{text:?} is not a cut; write a layer number, such as 3, or 1:linear or 1:activation")]
    Syntax {
        /// What was written.
        text: String,
    },
    /// The signal would go out in the clear.
    #[error(
        "a cut at {cut} lies before the join at layer {join}, and would send the signal in the clear; cut at layer {join} or later"
    )]
    BeforeJoin {
        /// The cut.
        cut: Cut,
        /// The layer that the signal joins.
        join: usize,
    },
    /// Nothing is left for the provider.
    #[error("a cut at {cut} leaves nothing for the provider; cut before layer {last}")]
    NothingLeft {
        /// The cut.
        cut: Cut,
        /// The last numbered layer.
        last: usize,
    },
    /// The check cannot take a layer of this kind.
    #[error("layer {layer} of the front half is a {kind}, which the leakage check cannot count; choose an earlier cut")]
    Uncountable {
        /// Name of the layer.
        layer: String,
        /// What it is.
        kind: &'static str,
    },
    /// One share of zeros a layer.
    #[error(
        "the front half has {layers} numbered layers and {got} shares of zeros were given; measure them at this cut"
    )]
    ZeroShares {
        /// Layers of the front half.
        layers: usize,
        /// Shares given.
        got: usize,
    },
    /// The gate.
    #[error("nothing was written: the front half up to {cut} leaks by the check ({reasons})")]
    Leaks {
        /// The cut.
        cut: Cut,
        /// Which counts and ranks say so.
        reasons: String,
    },
    /// A reason that says nothing.
    #[error("a leak is accepted with a reason, and an empty one was given; say why this pair is released all the same")]
    EmptyReason,
    /// The files are there already.
    #[error("{} is there already; take another name or allow overwriting", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Both halves under one name.
    #[error("both halves were to go to {}; give two names", .path.display())]
    SameFile {
        /// The file.
        path: PathBuf,
    },
    /// Not the values of the cut.
    #[error("smashed data of {batch} samples of {item} has {expected} values, got {got}")]
    SmashedLength {
        /// Samples.
        batch: usize,
        /// Shape of one.
        item: Shape,
        /// Values there should be.
        expected: usize,
        /// Values there are.
        got: usize,
    },
    /// NaN or infinity.
    #[error("{what} holds {value} at position {position}; the input or the model is damaged")]
    NotFinite {
        /// Smashed data or scores.
        what: &'static str,
        /// Where.
        position: usize,
        /// The value.
        value: f32,
    },
    /// One signal a sample.
    #[error("there are {samples} samples and {signals} signals; draw one signal for each sample")]
    SignalCount {
        /// Samples.
        samples: usize,
        /// Signals.
        signals: usize,
    },
    /// The manifest contradicts its own network.
    #[error("{} contradicts itself: {reason}; release the pair again", .path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// What does not agree.
        reason: String,
    },
    /// The weights are not those that were released.
    #[error("the weights in {} are not those that were released: their hash is {got}, the manifest says {expected}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Hash in the manifest.
        expected: String,
        /// Hash of the tensors.
        got: String,
    },
}

//! What can go wrong while training.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// From the network.
    #[error(transparent)]
    Network(#[from] cleave_nets::Error),
    /// From the data.
    #[error(transparent)]
    Data(#[from] cleave_data::DataError),
    /// A setting outside its range.
    #[error("{name} is {value}, expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Not one whole batch.
    #[error("there are {images} images, which do not fill one batch of {batch}; take a smaller batch or more images")]
    TooFewImages {
        /// Images of the data.
        images: usize,
        /// Images a batch.
        batch: usize,
    },
    /// An epoch in which every image was broken.
    #[error("no batch could be read: {faults} images are broken")]
    NoBatch {
        /// Broken images.
        faults: usize,
    },
    /// Labels and outputs do not agree.
    #[error("the data has {data} classes and the network {network} outputs; take the same number on both sides")]
    Classes {
        /// Classes of the data.
        data: usize,
        /// Outputs of the network.
        network: usize,
    },
    /// An answer of another network.
    #[error("an answer has {classes} scores, one a class, got {got}; the server runs another model or is at fault")]
    Scores {
        /// Classes of the signal.
        classes: usize,
        /// Scores given.
        got: usize,
    },
    /// A signal that no class stands for.
    #[error("there is no signal {signal}: with {classes} classes they count from 0 to {}", .classes - 1)]
    NoSuchSignal {
        /// The signal given.
        signal: usize,
        /// Classes, and so signals.
        classes: usize,
    },
    /// The signal is drawn with digits and a digit has no image.
    #[error("there is no image of the digit {digit}; give glyphs of the digits 0 to {last}")]
    Glyphs {
        /// The digit without an image.
        digit: usize,
        /// The last digit needed.
        last: usize,
    },
    /// A block that hands the signal's channel on.
    #[error(
        "the signal cannot join layer {layer} and keep what was trained: {tensor} would need a channel more; choose a \
         layer that begins with a convolution, or preserve nothing"
    )]
    JoinSpreads {
        /// The numbered layer.
        layer: usize,
        /// Its first tensor that would have to grow and is no kernel.
        tensor: String,
    },
    /// A defence where nothing can be trained in.
    #[error(
        "nothing can be trained in behind layer {layer}; take one of layers {first} to {last}, from the join and the \
         first trained layer on and before the last layer"
    )]
    Place {
        /// The numbered layer asked for.
        layer: usize,
        /// The first that can be.
        first: usize,
        /// The last that can be.
        last: usize,
    },
    /// A bottleneck that is none.
    #[error("a bottleneck of {channels} channels does not fit behind layer {layer}, which has {of}; take 1 to {of}")]
    Bottleneck {
        /// The numbered layer.
        layer: usize,
        /// Channels asked for.
        channels: usize,
        /// Channels of the layer's output.
        of: usize,
    },
    /// An adversary without anything to read.
    #[error("no signal joins the network, so there is nothing to hide from an adversary; join a signal first")]
    NoSignal,
    /// The loss is no number any more.
    #[error("the loss became {loss} at step {step}; take a lower learning rate or clip the gradients")]
    Diverged {
        /// The step.
        step: usize,
        /// NaN or an infinity.
        loss: f32,
    },
    /// A saved state belongs to another run.
    #[error("{} was saved by another run ({difference}); resume with what it had, or remove the folder", .path.display())]
    OtherRun {
        /// The state.
        path: PathBuf,
        /// The first thing that differs, old against new.
        difference: String,
    },
    /// A saved state cannot be read.
    #[error("{} cannot be resumed from: {reason}", .path.display())]
    State {
        /// The state.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// "read", "write", ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
}

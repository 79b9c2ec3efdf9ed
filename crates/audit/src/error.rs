//! What can go wrong while attacking.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// From a network.
    #[error(transparent)]
    Network(#[from] cleave_nets::Error),
    /// From images.
    #[error(transparent)]
    Data(#[from] cleave_data::DataError),
    /// From the signal.
    #[error(transparent)]
    Signal(#[from] cleave_retrain::Error),
    /// From the cut.
    #[error(transparent)]
    Partition(#[from] cleave_partition::Error),
    /// From a key and what it acts on.
    #[error(transparent)]
    Keyed(#[from] cleave_keyed::Error),
    /// From confusion neurons and their key.
    #[error(transparent)]
    Confusion(#[from] cleave_confusion::Error),
    /// From networks in integers and ciphertexts.
    #[error(transparent)]
    Encrypted(#[from] cleave_encrypted::Error),
    /// From the linear algebra.
    #[error(transparent)]
    Leakage(#[from] cleave_leakage::LeakageError),
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
    /// Not enough images for an attack or a measurement.
    #[error("{side} has {images} images that can be read, and at least {least} are needed")]
    TooFewImages {
        /// "the attacker" or "the private set".
        side: &'static str,
        /// Images there are.
        images: usize,
        /// Images needed.
        least: usize,
    },
    /// The network answers in other classes than the images have.
    #[error("the images have {data} classes and the {network} {outputs}; take the same number on both sides")]
    Classes {
        /// Classes of the images.
        data: usize,
        /// "network" or "judge".
        network: &'static str,
        /// Its outputs.
        outputs: usize,
    },
    /// An attack whose optimisation ended in NaN or infinity.
    #[error("{attack} became {value} at step {step}; take a lower rate")]
    Diverged {
        /// The attack.
        attack: &'static str,
        /// NaN or an infinity.
        value: f32,
        /// The step.
        step: usize,
    },
    /// The observer said stop; what was finished is saved where a folder was given.
    #[error("the audit was interrupted after {done} of {all} parts")]
    Interrupted {
        /// Parts that are finished.
        done: usize,
        /// Parts there are.
        all: usize,
    },
    /// A saved audit belongs to other settings.
    #[error("{} was begun with other settings ({difference}); resume with the old ones or remove the folder", .path.display())]
    OtherRun {
        /// The folder.
        path: PathBuf,
        /// The first setting that differs, old against new.
        difference: String,
    },
    /// A saved part cannot be read.
    #[error("{} is no part of an audit: {reason}; remove it to have it made again", .path.display())]
    Part {
        /// The file.
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
    /// One verdict for each cut of a report.
    #[error("the audit has {cuts} entries and {got} verdicts were given; judge every entry, in the audit's order")]
    Verdicts {
        /// Entries of [`Audit::cuts`](crate::Audit::cuts).
        cuts: usize,
        /// Verdicts given.
        got: usize,
    },
    /// A chart could not be drawn.
    #[error("the chart {chart:?} of the report could not be drawn; please report this together with the record")]
    Drawing {
        /// Its title.
        chart: String,
        /// What the drawing library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

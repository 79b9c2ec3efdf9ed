//! Errors with a hint and an exit code.

use std::path::PathBuf;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// From the network or its file.
    #[error(transparent)]
    Network(#[from] cleave_nets::Error),
    /// From the images.
    #[error(transparent)]
    Data(#[from] cleave_data::DataError),
    /// From training.
    #[error(transparent)]
    Training(#[from] cleave_retrain::Error),
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A result that is no JSON.
    #[error("the result cannot be printed: {0}")]
    Json(#[from] serde_json::Error),
    /// `--resume` without a state.
    #[error("{} holds no state of an interrupted run", .folder.display())]
    NothingToResume {
        /// Where it would be.
        folder: PathBuf,
    },
    /// A state without `--resume`.
    #[error("{} holds the state of an interrupted run", .folder.display())]
    UnfinishedRun {
        /// Where it is.
        folder: PathBuf,
    },
    /// Ctrl-C; the state is saved.
    #[error("interrupted at step {step}; the state is in {}", .folder.display())]
    Interrupted {
        /// Steps done.
        step: usize,
        /// Where the state is.
        folder: PathBuf,
    },
}

impl Failure {
    /// Prints the error and its hint, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        eprintln!("error: {self}");
        eprintln!("hint: {}", self.hint());
        ExitCode::from(self.code())
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Data(_) | Self::Network(cleave_nets::Error::Io { .. } | cleave_nets::Error::Format { .. }) => 3,
            Self::Interrupted { .. } => 130,
            Self::NothingToResume { .. } | Self::UnfinishedRun { .. } => 2,
            _ => 1,
        }
    }

    const fn hint(&self) -> &'static str {
        match self {
            Self::Interrupted { .. } => "run the same command with --resume to go on",
            Self::NothingToResume { .. } => "leave --resume away to start anew",
            Self::UnfinishedRun { .. } => "add --resume to go on, or remove that folder to start anew",
            Self::Data(_) => "see `cleave train --help` for the layouts that can be read",
            Self::Network(_) => "`cleave inspect FILE` says what a model file is",
            _ => "see `cleave help`",
        }
    }
}

use std::path::PathBuf;

/// What goes wrong with a training on ciphertexts besides the scheme and the line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobFault {
    /// More samples asked for than there are.
    #[error("{} has {got} samples, and --first asks for {asked}", path.display())]
    TooFewSamples {
        /// The file.
        path: PathBuf,
        /// Samples asked for.
        asked: usize,
        /// Samples in it.
        got: usize,
    },
    /// Samples to measure on that are not of the same kind.
    #[error("{} has {got}, and trained on are samples of {expected}", path.display())]
    OtherSamples {
        /// The file.
        path: PathBuf,
        /// What it has.
        got: String,
        /// What was expected.
        expected: String,
    },
    /// Features too large for the method.
    #[error("after one iteration a training sample has a score of {score:.0}, and a cubic stands {most:.0} at most")]
    ScoresTooLarge {
        /// The largest score.
        score: f64,
        /// What is allowed.
        most: f64,
    },
    /// A job's file that cannot be read.
    #[error("{} is no file of a training that can be gone on with: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A job's file of another training.
    #[error("{} is of another training ({got}), and asked for is {expected}", path.display())]
    OtherJob {
        /// The file.
        path: PathBuf,
        /// What it was begun with.
        got: String,
        /// What was asked for.
        expected: String,
    },
    /// The provider has other parameters.
    #[error("the provider takes the parameters {}, and asked for are {set}", offered.join(", "))]
    SetNotOffered {
        /// The set asked for.
        set: &'static str,
        /// Those that it takes.
        offered: Vec<String>,
    },
    /// More iterations in a round than there are levels for.
    #[error("--each asks for {asked} iterations in a round, and {set} has levels for {most}")]
    RoundTooLong {
        /// The set.
        set: &'static str,
        /// Iterations asked for.
        asked: u32,
        /// Iterations that it has levels for.
        most: u32,
    },
    /// The provider never has so much memory.
    #[error("a training of this size takes {needed} bytes at the provider, which allows {allowed} for all")]
    TooLarge {
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        allowed: u64,
    },
    /// Ctrl-C.
    #[error("interrupted{}", if kept.is_some() { "; the provider keeps what it has of the job" } else { "; the provider was told to forget the job" })]
    Left {
        /// Seconds that the provider keeps the job; `None` where it was given up.
        kept: Option<u64>,
    },
}

impl JobFault {
    /// The exit code.
    pub const fn code(&self) -> u8 {
        match self {
            Self::File { .. } => 3,
            Self::SetNotOffered { .. } | Self::TooLarge { .. } => 5,
            Self::Left { .. } => 130,
            _ => 2,
        }
    }

    /// What to do next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::TooFewSamples { .. } => "ask for fewer, or make more with `cleave features`",
            Self::OtherSamples { .. } => {
                "make both files with the same network and --layer, from data with the same classes"
            }
            Self::ScoresTooLarge { .. } => "give a larger LAMBDA in --preconditioner ridge:LAMBDA, or smaller features",
            Self::File { .. } => "remove that file to begin a training anew",
            Self::OtherJob { .. } => "give the options that it was begun with, or name another file with --job",
            Self::SetNotOffered { .. } => "choose one of these with --set",
            Self::RoundTooLong { .. } => "give a smaller --each: the weights are encrypted anew after each round",
            Self::TooLarge { .. } => {
                "train on fewer samples or features, or have the provider raise `cleave serve --memory`"
            }
            Self::Left { kept: Some(_) } => {
                "the same command comes back to it while the provider keeps it (`cleave serve --hold`), and begins that round anew later"
            }
            Self::Left { kept: None } => "with --key FILE and --job FILE a training that is interrupted can go on",
        }
    }
}

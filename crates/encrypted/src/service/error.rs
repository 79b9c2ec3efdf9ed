/// Why a message is not answered, or an answer not taken. No text holds a pixel, a score or a part of a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No message has this name.
    #[error("{side} has no message {got}; use the same version on both sides")]
    UnknownMessage {
        /// `the client` or `the provider`.
        side: &'static str,
        /// The byte found.
        got: u8,
    },
    /// A message has the wrong length.
    #[error("{message} has {got} bytes, expected {expected}")]
    Length {
        /// Which message.
        message: &'static str,
        /// Its bytes.
        got: usize,
        /// Bytes that it has, in words.
        expected: String,
    },
    /// A field has a value that it cannot have.
    #[error("{field} is {got}, expected {expected}")]
    Field {
        /// Message and field.
        field: &'static str,
        /// The value.
        got: String,
        /// What it should be, in words.
        expected: String,
    },
    /// A message came when another was due.
    #[error("{message} came while {state}; {next} first")]
    Order {
        /// The message.
        message: &'static str,
        /// What the session was at.
        state: &'static str,
        /// What to do.
        next: &'static str,
    },
    /// An answer to something else.
    #[error("the provider answered {got} where {expected} was due; it is at fault")]
    OtherAnswer {
        /// What came.
        got: &'static str,
        /// What was due.
        expected: &'static str,
    },
    /// There is no room at present.
    #[error(
        "{what} needs {needed} bytes, and of the {limit} bytes that the provider allows {free} are free; come back later, \
         or have the provider raise --memory"
    )]
    Memory {
        /// What was asked for.
        what: &'static str,
        /// Bytes needed.
        needed: usize,
        /// Bytes free.
        free: usize,
        /// Bytes allowed in all.
        limit: usize,
    },
    /// There is not enough room for a single client.
    #[error(
        "one client, with up to {evaluations} evaluations at once, needs {needed} bytes, and {limit} are allowed; raise --memory, or \
         lower --evaluations"
    )]
    TooLittleMemory {
        /// Evaluations at once.
        evaluations: usize,
        /// Bytes needed.
        needed: usize,
        /// Bytes allowed that are not set aside for something else.
        limit: usize,
    },
    /// A job of this name is there that is not this one.
    #[error("a job of this name has another plan or belongs to another client; begin one under another name")]
    OtherJob,
    /// Another connection speaks for the job.
    #[error("another connection has taken this job over; use that one, or come back with this one")]
    Taken,
    /// The provider failed; its log says why.
    #[error("the evaluation failed: {reason}")]
    Failed {
        /// For the provider's eyes.
        reason: String,
    },
    /// From the scheme.
    #[error(transparent)]
    Scheme(#[from] crate::Error),
}

impl Error {
    /// Whether the same message may be answered later, in the same session.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Memory { .. })
    }

    /// Whether the provider is at fault, and the client learns no more than that.
    pub const fn is_internal(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. }
                | Self::TooLittleMemory { .. }
                | Self::Scheme(crate::Error::Refused { .. } | crate::Error::Randomness(_))
        )
    }
}

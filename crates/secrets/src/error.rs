use std::{io, path::PathBuf};

use crate::KeyId;

/// Everything that can go wrong with a secret or its file. No message holds a byte of either.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What went wrong inside a file; [`Error::fault`] is the reason without the path.
    #[error("key file {}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Box<Error>,
    },
    /// The operating system refused to read or write.
    #[error("cannot {action} {}: {source}; check that the folder exists and that you may use it", path.display())]
    Io {
        /// `read`, `write`, or `sync the folder of`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is a file already, and it was not to be replaced.
    #[error("{} is there already and was left as it is; choose another name, or move it away", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The operating system has no random numbers.
    #[error("the operating system gave no random numbers: {source}; no secret was made")]
    Randomness {
        /// What it said.
        source: rand::rngs::SysError,
    },
    /// The text ends before the file does.
    #[error("cut short after {got} bytes; restore it from a copy")]
    Truncated {
        /// Bytes present.
        got: usize,
    },
    /// The text is not the JSON that is expected here.
    #[error("not a key file of Cleave, as line {line}, column {column} shows; check the path")]
    NotAKeyFile {
        /// Line where it stops making sense, from 1.
        line: usize,
        /// Column there.
        column: usize,
    },
    /// The file is of a later version than this build reads.
    #[error("format version {got}, and this build reads up to {newest}; update Cleave")]
    NewerVersion {
        /// Version found.
        got: u32,
        /// Newest version read here.
        newest: u32,
    },
    /// A field of the file cannot be what it is.
    #[error("field {field} is not {expected}; the file was damaged, restore it from a copy")]
    Field {
        /// The field.
        field: &'static str,
        /// What it should be, in words.
        expected: &'static str,
    },
    /// More bytes than a key file may hold.
    #[error("{what} has {got} bytes or more, the limit is {limit}; check that it is the right one")]
    TooLarge {
        /// `payload` or `file`.
        what: &'static str,
        /// Bytes found, counted up to one past the limit.
        got: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The file was made for something else.
    #[error("made for {got:?}, expected {expected:?}; choose the key file for this use")]
    OtherPurpose {
        /// The purpose asked for.
        expected: String,
        /// The purpose in the file.
        got: String,
    },
    /// A purpose that cannot be written.
    #[error("a purpose of {got} bytes cannot be written; choose 1 to 64 letters, digits, spaces, or any of - _ . /")]
    Purpose {
        /// Length of the purpose.
        got: usize,
    },
    /// A number of [`Cost`](crate::Cost) is out of bounds.
    #[error("{field} is {got}, expected {min} to {max}; the cost of a guess is kept within bounds")]
    Cost {
        /// The field of `Cost`.
        field: &'static str,
        /// Its value.
        got: u32,
        /// Smallest value allowed.
        min: u32,
        /// Largest value allowed.
        max: u32,
    },
    /// There is not as much memory as Argon2id needs for this file.
    #[error("no {memory_kib} KiB of memory to work on the passphrase; close other programs and try again")]
    Memory {
        /// KiB needed.
        memory_kib: u32,
    },
    /// The passphrase is empty or very long.
    #[error("the passphrase has {got} bytes, expected 1 to {max}; choose one, or ask for clear text")]
    PassphraseLength {
        /// Its length in bytes.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The file is sealed and no passphrase was given.
    #[error("sealed with a passphrase and none was given; give the passphrase")]
    PassphraseNeeded,
    /// A passphrase was given for a file that is not sealed.
    ///
    /// It is an error so that nobody who puts trust in a passphrase takes a file that somebody
    /// else wrote in clear text.
    #[error(
        "not sealed, although a passphrase was given; check that nobody exchanged it, then leave the passphrase out"
    )]
    PassphraseNotNeeded,
    /// The passphrase is wrong or the file was altered: nobody can tell which.
    #[error("wrong passphrase, or the file was altered (the two cannot be told apart); try again, or restore a copy")]
    WrongPassphrase,
    /// The checksum of a file in clear text does not fit.
    #[error("changed since it was written, as its checksum shows; restore it from a copy")]
    Damaged,
    /// The payload is no bare secret.
    #[error("holds {got} bytes without the name of a secret, expected a secret of 32 bytes; choose another file")]
    NotASecret {
        /// Bytes of payload.
        got: usize,
    },
    /// The secret is not the one that the file names.
    #[error("names secret {expected} and holds {got}; do not use it")]
    OtherSecret {
        /// The name in the file.
        expected: KeyId,
        /// The name of the secret found.
        got: KeyId,
    },
    /// The text is not the name of a secret. It is not repeated, since it may be the secret.
    #[error("not the name of a secret: expected 32 hex digits in lower case, got {got} bytes of text")]
    KeyId {
        /// Length of the text in bytes.
        got: usize,
    },
    /// An algorithm refused what was checked before. This is a mistake in Cleave.
    #[error("{by} refused what was checked before; please report this")]
    Refused {
        /// The algorithm.
        by: &'static str,
    },
}

impl Error {
    /// The reason without the path around it.
    pub fn fault(&self) -> &Self {
        match self {
            Self::InFile { source, .. } => source.fault(),
            reason => reason,
        }
    }
}

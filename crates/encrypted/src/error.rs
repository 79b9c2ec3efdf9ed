use std::{io, path::PathBuf};

use cleave_secrets::KeyId;

use crate::{ParamSet, ParamsHash};

/// Everything that can go wrong in this crate. No message holds a pixel, a score or a part of a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No parameter set has this name.
    #[error("no parameter set is called {name:?}; choose one of {known}")]
    UnknownSet {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The degree is not in the table.
    #[error(
        "degree {got} is not in the table of the HomomorphicEncryption.org standard; choose a power of two from 1024 to 32768"
    )]
    Degree {
        /// Coefficients of a polynomial.
        got: usize,
    },
    /// The ciphertext modulus is wider than the table allows for 128 bits.
    #[error(
        "a modulus of {got} bits at degree {degree} is beyond the {limit} bits that the standard's table gives for 128 bits"
    )]
    BeyondTable {
        /// Coefficients of a polynomial.
        degree: usize,
        /// Bits of the product of the ciphertext moduli.
        got: u64,
        /// Bits allowed.
        limit: u64,
    },
    /// A modulus is no prime of the right form, out of bounds or there twice.
    #[error("{role} modulus {got} is not {expected}")]
    Modulus {
        /// `ciphertext` or `plaintext`.
        role: &'static str,
        /// The modulus.
        got: u64,
        /// What it should be, in words.
        expected: &'static str,
    },
    /// Too few or too many moduli.
    #[error("{got} {role} moduli, expected {min} to {max}")]
    ModulusCount {
        /// `ciphertext` or `plaintext`.
        role: &'static str,
        /// Moduli given.
        got: usize,
        /// Smallest count.
        min: usize,
        /// Largest count.
        max: usize,
    },
    /// A plaintext modulus that is not below every ciphertext modulus decrypts wrong.
    #[error("plaintext modulus {plaintext} is not below ciphertext modulus {modulus}")]
    PlaintextTooLarge {
        /// The plaintext modulus.
        plaintext: u64,
        /// The smallest ciphertext modulus.
        modulus: u64,
    },
    /// Two things belong to different parameters.
    #[error("{what} belongs to parameters {got}, expected {expected}; use the same set on both sides")]
    OtherParams {
        /// What was looked at.
        what: &'static str,
        /// The parameters expected.
        expected: ParamsHash,
        /// The parameters found.
        got: ParamsHash,
    },
    /// Two things belong to different keys.
    #[error("{what} belongs to key {got}, expected {expected}; use the keys of one client")]
    OtherKey {
        /// What was looked at.
        what: &'static str,
        /// The key expected.
        expected: KeyId,
        /// The key found.
        got: KeyId,
    },
    /// A reply to other images than those asked about.
    #[error("these scores answer another batch of images; ask again")]
    OtherBatch,
    /// A value does not fit and would have been reduced.
    #[error("value {index} is outside of {min} to {max}; nothing is reduced silently")]
    OutOfRange {
        /// Position in the slice.
        index: usize,
        /// Smallest value allowed.
        min: i128,
        /// Largest value allowed.
        max: i128,
    },
    /// A count is out of bounds or does not fit another one.
    #[error("{what}: got {got}, expected {expected}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// Count found.
        got: usize,
        /// Counts allowed, in words.
        expected: String,
    },
    /// The noise has used up its room, and what is decrypted would be wrong.
    #[error("the noise budget is used up ({bits:.1} bits left); nothing was decrypted")]
    NoiseBudget {
        /// Bits left.
        bits: f64,
    },
    /// The bytes are not what they should be.
    #[error("{what}: {fault}")]
    Bytes {
        /// What was to be read.
        what: &'static str,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A chunk came at the wrong place.
    #[error(
        "a chunk for lane {lane}, ciphertext {first} came where lane {expected_lane}, ciphertext {expected} was due; send them in order"
    )]
    ChunkOrder {
        /// Lane of the chunk.
        lane: usize,
        /// First ciphertext of the chunk.
        first: usize,
        /// Lane that was due.
        expected_lane: usize,
        /// Ciphertext that was due.
        expected: usize,
    },
    /// Chunks are missing.
    #[error("{got} of {expected} ciphertexts are there; send the rest first")]
    Incomplete {
        /// Ciphertexts received.
        got: usize,
        /// Ciphertexts announced.
        expected: usize,
    },
    /// A number of a network or its shape is unusable.
    #[error("{field} of the network: {problem}")]
    Network {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A value of the network left the range of 128-bit integers.
    #[error("layer {layer} leaves the range of 128-bit integers; use smaller weights or fewer pixel levels")]
    Overflow {
        /// The layer.
        layer: &'static str,
    },
    /// No parameter set holds the values.
    #[error(
        "outputs up to ±{largest} with a margin of {margin} bits fit no parameter set (the largest holds ±{limit}); use smaller weights or fewer pixel levels"
    )]
    NoSetHolds {
        /// The largest absolute output.
        largest: u128,
        /// Bits asked for on top.
        margin: u32,
        /// What the largest set holds.
        limit: u128,
    },
    /// The weights of a layer are too large for the arithmetic on ciphertexts.
    #[error(
        "the weights of one row of layer {layer} sum up to {got}, the limit is {limit}; use a smaller weight bound"
    )]
    Weights {
        /// The layer.
        layer: &'static str,
        /// Sum of the absolute values of the weights in a row.
        got: u64,
        /// Largest sum allowed.
        limit: u64,
    },
    /// The networks of an ensemble do not have one scale, so that their outputs cannot be added.
    #[error("network {index} has output scale {got}, the first has {expected}; quantise them together")]
    Scales {
        /// Network, from 0.
        index: usize,
        /// Scale of the first.
        expected: f64,
        /// Its scale.
        got: f64,
    },
    /// A file of a release is unusable.
    #[error("{}: {fault}", path.display())]
    Release {
        /// The list, or a network beside it.
        path: PathBuf,
        /// What is wrong with it.
        fault: ReleaseFault,
    },
    /// A file of a release cannot be written.
    #[error(transparent)]
    Write(cleave_secrets::Error),
    /// The moduli are wider than CKKS parameters may be here: less than the table allows.
    #[error(
        "moduli of {got} bits at degree {degree} are beyond {limit} bits; the standard's table gives {table} for 128 bits, \
         later estimates less"
    )]
    BeyondReserve {
        /// Coefficients of a polynomial.
        degree: usize,
        /// Bits of the product of all moduli.
        got: u64,
        /// Bits allowed.
        limit: u64,
        /// Bits in the table.
        table: u64,
    },
    /// A number that is not finite, or too large for its scale.
    #[error("value {index} is not finite or too large for its scale")]
    Value {
        /// Position in the slice.
        index: usize,
    },
    /// A ciphertext has too few levels left, or another number of them than what it meets.
    #[error("{what} at level {got}, expected {expected}; drop the higher one, or encrypt anew")]
    Level {
        /// What was looked at.
        what: &'static str,
        /// The level expected.
        expected: usize,
        /// The level found.
        got: usize,
    },
    /// Two scales differ, or one leaves no room for the values.
    #[error("{what} has scale {got:e}, expected {expected:e}; adjust it")]
    Scale {
        /// What was looked at.
        what: &'static str,
        /// The scale expected.
        expected: f64,
        /// The scale found.
        got: f64,
    },
    /// The keys have none for this step.
    #[error("no key for {what} {element} at level {level}; ask the client for one")]
    MissingKey {
        /// `relinearisation` or `automorphism`.
        what: &'static str,
        /// The exponent of the automorphism, or 0.
        element: u64,
        /// The level asked for.
        level: usize,
    },
    /// A ciphertext that was written for another place.
    #[error("this ciphertext belongs to another place or another batch; ask again")]
    OtherPlace,
    /// Whoever watched an evaluation broke it off.
    #[error("the evaluation was stopped")]
    Stopped,
    /// There was no randomness.
    #[error(transparent)]
    Randomness(#[from] cleave_secrets::Error),
    /// A library refused what was checked before. This is a mistake in Cleave.
    #[error("{by} refused what was checked before; please report this")]
    Refused {
        /// The library.
        by: &'static str,
    },
}

/// What is wrong with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// They end too early.
    #[error("cut short: {got} bytes, expected {expected}")]
    Truncated {
        /// Bytes expected.
        expected: usize,
        /// Bytes found.
        got: usize,
    },
    /// Bytes follow.
    #[error("{extra} bytes follow its end")]
    Trailing {
        /// Bytes too many.
        extra: usize,
    },
    /// They do not start with the magic.
    #[error("not made by Cleave; check what was sent")]
    Magic,
    /// A later version.
    #[error("format version {got}, and this build reads version {known}; update the older side")]
    Version {
        /// Version found.
        got: u16,
        /// Version read here.
        known: u16,
    },
    /// Something else of Cleave's.
    #[error("kind {got}, expected kind {expected}")]
    Kind {
        /// Kind expected.
        expected: u8,
        /// Kind found.
        got: u8,
    },
    /// A field has a value that it cannot have.
    #[error("field {field} is {got}, which cannot be")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        got: u64,
    },
    /// The tag does not fit: damage, a forger, or another key.
    #[error("changed since it was written, or written under another key")]
    Tag,
    /// The checksum does not fit: damage.
    #[error("changed since it was written")]
    Checksum,
    /// A residue is not below its modulus.
    #[error("residue {index} is not below its modulus")]
    Residue {
        /// Position in the ciphertext.
        index: usize,
    },
}

/// What is wrong with a file of a [`Release`](crate::Release).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseFault {
    /// The operating system does not give it.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// A folder, a pipe or a device.
    #[error("is no plain file")]
    NotAFile,
    /// More bytes than such a file may have.
    #[error("has {got} bytes, and the limit is {limit}")]
    TooLarge {
        /// Bytes found.
        got: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// No TOML or JSON, or a field that is missing, superfluous or of another type.
    #[error("is not what it should be: {reason}")]
    Format {
        /// Where and why.
        reason: String,
    },
    /// Another version.
    #[error("has format version {got}, and this build reads version {known}; update the older side")]
    Version {
        /// Version found.
        got: i64,
        /// Version read here.
        known: u32,
    },
    /// A value that cannot be, or that does not fit the rest.
    #[error("{field}: got {got}, expected {expected}")]
    Field {
        /// What was looked at.
        field: &'static str,
        /// Its value.
        got: String,
        /// What it should be.
        expected: String,
    },
    /// A network that was changed since the list was written.
    #[error("has SHA-256 {got}, and the list says {expected}; restore it, or quantise anew")]
    Hash {
        /// That of the list.
        expected: String,
        /// That of the file.
        got: String,
    },
    /// Scores that the parameters do not hold.
    #[error("{set} holds ±{limit}, and not the measured ±{largest} with a margin of {margin} bits")]
    Exceeds {
        /// The parameters.
        set: ParamSet,
        /// The largest sum that was measured.
        largest: u128,
        /// Bits on top.
        margin: u32,
        /// What the set holds.
        limit: u128,
    },
    /// A network or a name that is refused everywhere.
    #[error("{0}")]
    Refused(Box<Error>),
}

impl From<Error> for ReleaseFault {
    fn from(error: Error) -> Self {
        Self::Refused(Box::new(error))
    }
}

pub(crate) fn refused(_: fhe_math::Error) -> Error {
    Error::Refused { by: "fhe-math" }
}

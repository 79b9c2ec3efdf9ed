//! What an audit of training on ciphertexts found.

use super::TrainingSettings;
use crate::ciphertexts::{Encryption, Sight, overlap, spread};
use cleave_encrypted::ckks::ParamSet;
use serde::{Deserialize, Serialize};

/// Everything that was found of training on ciphertexts. Written as JSON it is the audit's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingAudit {
    /// Version of the tool that wrote it.
    pub version: String,
    /// Name of the features.
    pub data: String,
    /// Whether they were drawn, and are nobody's.
    pub drawn: bool,
    /// n, d with the leading 1, and c.
    pub samples: usize,
    /// d, with the leading 1.
    pub features: usize,
    /// c.
    pub classes: usize,
    /// Where numbers stand in the slots.
    pub places: Places,
    /// The parameters.
    pub scheme: Scheme,
    /// A run of the protocol.
    pub protocol: Protocol,
    /// What the cubic's numbers tell.
    pub cubic: CubicFindings,
    /// What a provider that looks at ciphertexts finds, the encryption as it is first, then weakened ones.
    pub sights: Vec<Sight>,
    /// How long the provider took.
    pub timings: Vec<RoundTiming>,
    /// What decrypted numbers give away of the key.
    pub openings: Vec<Opening>,
    /// Answers of the provider's own making.
    pub hostile: Vec<HostileAnswer>,
    /// Providers that train otherwise than they were asked to.
    pub wrong: Vec<WrongTraining>,
    /// What was asked for.
    pub settings: TrainingSettings,
    /// Seconds for everything.
    pub seconds: f64,
    /// Threads that ciphertexts were worked on with.
    pub threads: usize,
}

impl TrainingAudit {
    /// The ciphertexts of this encryption.
    pub fn sight(&self, encryption: Encryption) -> Option<&Sight> {
        self.sights.iter().find(|sight| sight.encryption == encryption)
    }

    /// What came of telling the provider this.
    pub fn told(&self, told: Told) -> impl Iterator<Item = &Opening> {
        self.openings.iter().filter(move |opening| opening.told == told)
    }
}

/// Where numbers stand in the slots: see `cleave_encrypted::training::Packing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// Samples in a ciphertext, and copies of a weight.
    pub block: usize,
    /// Slots of a sample.
    pub inner: usize,
    /// Pairs of features in a ciphertext.
    pub pairs: usize,
    /// Ciphertexts for the weights.
    pub groups: usize,
    /// Of them those whose pairs of features all exist.
    pub full: usize,
    /// Ciphertexts for one copy of the samples, by `groups`.
    pub blocks: usize,
}

impl Places {
    /// Slots of a sample that hold no weight.
    pub fn untold(&self, classes: usize) -> usize {
        self.inner.saturating_sub(self.pairs * classes)
    }
}

/// Parameters of the scheme, as they stand in the code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scheme {
    /// Their name.
    pub set: ParamSet,
    /// Coefficients of a polynomial, and of the key.
    pub degree: usize,
    /// Primes of ciphertexts.
    pub primes: Vec<u64>,
    /// Primes that keys are under besides.
    pub special: Vec<u64>,
    /// log₂ of the scale.
    pub scale_bits: u32,
    /// Bits of the product of all primes.
    pub modulus_bits: u64,
    /// Bits that the table of the HomomorphicEncryption.org standard (2018) allows for 128 bits.
    pub allowed_bits: u64,
}

/// What a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MessageKind {
    /// Evaluation keys, sent once.
    Keys,
    /// Samples, directions and labels, sent once.
    Data,
    /// Weights to start a round from.
    Weights,
    /// What the provider computed in a round.
    Answer,
}

/// Messages of one kind, in one run with each of three data sets: all 0, drawn large, and the client's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Which.
    pub kind: MessageKind,
    /// Ciphertexts or keys, each in bytes of its own.
    pub pieces: usize,
    /// Bytes by data set.
    pub bytes: [usize; 3],
    /// Whether each piece had the same length for all.
    pub alike: bool,
}

/// A run of the protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// Iterations of a round.
    pub iterations: usize,
    /// Messages of one round, with keys and data before it.
    pub messages: Vec<Message>,
    /// Whether all messages named the same key.
    pub linked: bool,
    /// Largest distance of a decrypted weight from the training in the clear.
    pub error: f64,
}

/// The cubic's two numbers, and the ranges of scores that give them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CubicFindings {
    /// Factor of x.
    pub linear: f64,
    /// Factor of x³.
    pub cubic: f64,
    /// Largest score of the client's data in the clear, which the cubic was fitted to.
    pub range: f64,
    /// Least and largest range whose cubic has the same two numbers, to the last bit.
    pub exact: [f64; 2],
    /// The same, of numbers that agree in three decimal digits that count.
    pub rounded: [f64; 2],
}

/// How long the provider took for rounds on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundTiming {
    /// Whether everything is 0 and of one class; else features are large and all classes there.
    pub plain: bool,
    /// Seconds of a round, in the order of runs.
    pub seconds: Vec<f64>,
}

impl RoundTiming {
    /// The median, the least and the most.
    pub fn spread(&self) -> Option<[f64; 3]> {
        spread(&self.seconds)
    }

    /// Whether the ranges of both overlap.
    pub fn overlaps(&self, other: &Self) -> bool {
        overlap(&self.seconds, &other.seconds)
    }
}

/// What a client told the provider of what it decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// All slots of a ciphertext that the client encrypted itself.
    FreshSlots,
    /// All slots of a ciphertext that the provider computed.
    AnswerSlots,
    /// The same several times, after the provider added known numbers.
    Offsets,
    /// The weights V that `decrypt_model` gives, round after round: means over the copies.
    Means,
    /// The same, one round fewer than its ciphertexts are enough for.
    FewMeans,
    /// The same as numbers of 32 bits.
    SingleMeans,
    /// Nothing: the weights come back as a fresh encryption, whose difference from the answer is taken for 0.
    Nothing,
}

impl Told {
    /// Whether a client that keeps to the protocol tells this.
    pub const fn is_protocol(self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// What decrypted numbers gave away of the key, to somebody who has the ciphertexts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opening {
    /// What was told.
    pub told: Told,
    /// Bits behind the binary point; none for all that a number of 64 bits has.
    pub bits: Option<u32>,
    /// Ciphertexts that were told of, or times that one was.
    pub ciphertexts: usize,
    /// Linear functions of the decrypted polynomials that are known, of each ciphertext.
    pub known: usize,
    /// Coefficients of a polynomial that these functions are of.
    pub of: usize,
    /// Equations for coefficients of the key modulo q_0.
    pub equations: usize,
    /// Coefficients of the key.
    pub unknowns: usize,
    /// Root mean square of what is wrong in an equation; it has to be rounded away.
    pub left: f64,
    /// Coefficients of the key that came out right.
    pub right: usize,
    /// Whether what came out has coefficients −1, 0 and 1 alone, which the provider sees too.
    pub recovered: bool,
    /// Rounds of training that it takes.
    pub rounds: usize,
    /// Seconds for solving.
    pub seconds: f64,
}

/// What a provider put in place of its answer, with a right tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostileKind {
    /// Residues drawn evenly.
    Even,
    /// Every residue the largest.
    Largest,
    /// Every residue 0.
    Zero,
    /// Residues drawn evenly, with the smallest scale there is, so that numbers are largest.
    SmallScale,
    /// With the largest scale there is.
    LargeScale,
    /// With a scale that there is not.
    NoScale,
    /// Trained with a cubic whose numbers are far too large.
    WildCubic,
}

impl HostileKind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Even, Self::Largest, Self::Zero, Self::SmallScale, Self::LargeScale, Self::NoScale, Self::WildCubic];
}

/// What the client did with such answers, for several keys and data sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostileAnswer {
    /// What was answered.
    pub kind: HostileKind,
    /// Answers.
    pub tried: usize,
    /// Of them refused by what stands in the clear, before anything is decrypted.
    pub refused: usize,
    /// Of them refused after something was decrypted.
    pub failed: usize,
    /// Of them answered with a next round, in messages as long as after an honest answer.
    pub went_on: usize,
    /// Largest weight that was decrypted.
    pub largest: f64,
}

/// What a provider computed instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WrongKind {
    /// What it was asked to.
    Honest,
    /// Nothing: it sends the weights back that it got.
    Idle,
    /// Another cubic, which leads away from the labels.
    OtherCubic,
}

/// Whether a client notices that a provider trained otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WrongTraining {
    /// What was computed.
    pub kind: WrongKind,
    /// Whether the client's functions refused it.
    pub refused: bool,
    /// Largest distance of a weight from the training in the clear.
    pub distance: f64,
}

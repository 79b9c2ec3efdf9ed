//! What an audit of encrypted inference found.

use super::EncryptedSettings;
use crate::Share;
use crate::ciphertexts::{Encryption, Sight, overlap, spread};
use cleave_encrypted::{ParamSet, Shape};
use serde::{Deserialize, Serialize};

/// Everything that was found of one ensemble on ciphertexts. Written as JSON it is the audit's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncryptedAudit {
    /// Version of the tool that wrote it.
    pub version: String,
    /// Name of the release.
    pub model: String,
    /// SHA-256 of the list of its networks, in hex.
    pub fingerprint: String,
    /// Class names, in the order of the scores.
    pub classes: Vec<String>,
    /// Shape of each network.
    pub shape: Shape,
    /// Networks whose scores are added.
    pub networks: usize,
    /// The parameters.
    pub parameters: Parameters,
    /// Right answers of the ensemble on test images.
    pub accuracy: Share,
    /// Right answers for naming the most frequent class of the test images.
    pub guess: f64,
    /// Images that the client has.
    pub own_images: usize,
    /// Test images, which no attack looks at.
    pub test_images: usize,
    /// What a provider that looks at ciphertexts finds, the encryption as it is first, then weakened ones.
    pub sights: Vec<Sight>,
    /// Sizes and names that travel in the clear.
    pub traffic: Traffic,
    /// How long evaluations took.
    pub timings: Vec<Timing>,
    /// What a client finds that knows all layers but the last.
    pub last_layer: LastLayer,
    /// Networks that a client trained on answers.
    pub copies: Vec<CopyFindings>,
    /// Whether noise tells two networks apart; none where the release has one network.
    pub noise: Option<NoiseFindings>,
    /// What was asked for.
    pub settings: EncryptedSettings,
    /// Seconds for everything.
    pub seconds: f64,
    /// Threads that ciphertexts were worked on with, and the device of copies.
    pub device: String,
}

impl EncryptedAudit {
    /// The ciphertexts of the real encryption.
    pub fn sight(&self, encryption: Encryption) -> Option<&Sight> {
        self.sights.iter().find(|sight| sight.encryption == encryption)
    }
}

/// Parameters of the scheme, as they stand in the code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Their name.
    pub set: ParamSet,
    /// Coefficients of a polynomial.
    pub degree: usize,
    /// Ciphertext primes.
    pub primes: Vec<u64>,
    /// Plaintext primes.
    pub plaintexts: Vec<u64>,
    /// Bits of the product of the ciphertext primes.
    pub modulus_bits: u64,
    /// Bits that the table of the HomomorphicEncryption.org standard (2018) allows for 128 bits.
    pub allowed_bits: u64,
}

/// What travels, in bytes, and what of it is in the clear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes of the evaluation keys.
    pub keys: usize,
    /// Batches of several sizes.
    pub batches: Vec<BatchSize>,
    /// Whether all batches named the same key.
    pub linked: bool,
}

/// Bytes for one batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchSize {
    /// Images in it.
    pub images: usize,
    /// Bytes of ciphertexts and their envelopes, for black images and for real ones.
    pub sent: [usize; 2],
    /// Bytes of the encrypted scores, if the provider evaluated it.
    pub scores: usize,
    /// Images that the provider read from the envelope.
    pub told: usize,
}

/// How long the provider took for batches of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Whether images were black.
    pub black: bool,
    /// Images in the batch.
    pub images: usize,
    /// Seconds of one network, one for each run, in the order of rounds.
    pub seconds: Vec<f64>,
}

impl Timing {
    /// The median, the least and the most.
    pub fn spread(&self) -> Option<[f64; 3]> {
        spread(&self.seconds)
    }

    /// Whether the ranges of both overlap.
    pub fn overlaps(&self, other: &Self) -> bool {
        overlap(&self.seconds, &other.seconds)
    }
}

/// What answers gave away of the last layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastLayer {
    /// Unknowns of a class: a weight for each hidden value of each network, and one bias, the sum of theirs.
    pub unknowns: usize,
    /// Answers that were asked for in one batch, on ciphertexts.
    pub asked: usize,
    /// Whether every decrypted score was that of the integer networks.
    pub exact: bool,
    /// Independent equations among them.
    pub rank: usize,
    /// Answers after which no more are needed; none where all were not enough.
    pub images: Option<usize>,
    /// The same for images of random pixels, computed in the clear.
    pub noise: Option<usize>,
    /// Weights of all classes and networks.
    pub weights: usize,
    /// Those of them that came out right to the last digit.
    pub right: usize,
    /// Biases that came out right, of as many as there are classes.
    pub biases: usize,
    /// Test images that the solved layer answers as the provider does.
    pub agreement: Share,
    /// Seconds for solving.
    pub seconds: f64,
}

/// What a copy was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lesson {
    /// Exact scores.
    Scores,
    /// Scores that were rounded to multiples of half their standard deviation.
    Rounded,
    /// The class with the largest score alone.
    Answers,
    /// True labels, and no answer of the provider.
    Labels,
}

impl Lesson {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Scores, Self::Rounded, Self::Answers, Self::Labels];

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scores => "exact scores",
            Self::Rounded => "rounded scores",
            Self::Answers => "largest classes alone",
            Self::Labels => "true labels, without the provider",
        }
    }
}

/// A network of the same shape that a client trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopyFindings {
    /// On what.
    pub lesson: Lesson,
    /// Images of which the client had answers or labels.
    pub images: usize,
    /// Test images on which copy and ensemble answer alike.
    pub agreement: Share,
    /// Right answers of the copy on test images.
    pub accuracy: Share,
    /// Batches to train on.
    pub steps: usize,
    /// Seconds for training.
    pub seconds: f64,
}

/// The noise of scores of two networks for the same images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseFindings {
    /// log₂ of the root mean square of the noise as a share of the modulus: by network, run, and lane and class.
    pub runs: [Vec<Vec<f64>>; 2],
    /// Runs whose network the nearest mean of the other runs named.
    pub told: Share,
    /// Correlation over networks, lanes and classes between the mean of that and log₂ of the length of the last layer's
    /// row; none where there are fewer than three of them.
    pub correlation: Option<f64>,
}

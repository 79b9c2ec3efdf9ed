//! What an audit of encrypted inference found.

use super::EncryptedSettings;
use crate::Share;
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

/// An encryption that is looked at: the real one, or one that was weakened on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// What the client really sends.
    Real,
    /// The mask a·s is left out: message and error alone.
    WithoutMask,
    /// The error is left out.
    WithoutError,
    /// Two batches have the same public seed, and so the same mask.
    MaskReused,
}

impl Encryption {
    /// Those weakened on purpose.
    pub const WEAKENED: [Self; 3] = [Self::WithoutMask, Self::WithoutError, Self::MaskReused];
}

/// What was found in the ciphertexts of one encryption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sight {
    /// Which.
    pub encryption: Encryption,
    /// Ciphertexts that were looked at, of batches and of single images.
    pub ciphertexts: usize,
    /// Tests of residues.
    pub tests: Vec<ResidueTest>,
    /// Classifiers.
    pub distinguishers: Vec<Distinguisher>,
}

impl Sight {
    /// Probabilities below this are taken for a finding: 1 in 1,000 for all tests together (Bonferroni).
    pub fn threshold(&self) -> f64 {
        1e-3 / self.tests.len().max(1) as f64
    }

    /// Tests that found something.
    pub fn found(&self) -> usize {
        self.tests.iter().filter(|test| test.p < self.threshold()).count()
    }

    /// The smallest probability of all tests.
    pub fn least(&self) -> Option<&ResidueTest> {
        self.tests.iter().min_by(|a, b| a.p.total_cmp(&b.p))
    }

    /// Whether a test found something, or a classifier is right more often than by guessing.
    pub fn is_told(&self) -> bool {
        self.found() > 0 || self.distinguishers.iter().any(Distinguisher::is_better_than_guessing)
    }
}

/// Residues that a test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sample {
    /// Of black images.
    Black,
    /// Of real images.
    Images,
    /// Of both, against each other.
    BlackAgainstImages,
    /// Of evaluation keys.
    Keys,
    /// Of the scores that the provider computes.
    Scores,
}

/// What a test or classifier makes of residues first. The provider has all it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// The first half b as it travels.
    Residues,
    /// The second half as it travels, which is drawn from a public seed but for scores.
    Second,
    /// Coefficients of the polynomial b.
    Coefficients,
    /// Coefficients of the difference of two ciphertexts of one pixel.
    Difference,
    /// Coefficients of b/a: the secret key, were there no error and no message.
    Quotient,
}

/// A χ² test on residues modulo one prime, in ranges of equal width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResidueTest {
    /// Of what.
    pub sample: Sample,
    /// In which form.
    pub view: View,
    /// Place of the prime in [`Parameters::primes`].
    pub prime: usize,
    /// Residues counted.
    pub residues: u64,
    /// Ranges that they were counted in.
    pub bins: usize,
    /// χ² against an even spread, or of two samples.
    pub chi_squared: f64,
    /// The probability of one as large where there is nothing to find.
    pub p: f64,
}

/// A classifier that was trained on ciphertexts and tried on others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distinguisher {
    /// What it tells from what.
    pub between: [String; 2],
    /// Right answers on ciphertexts of other batches; half of them by guessing.
    pub accuracy: Share,
    /// Ciphertexts that it was trained on.
    pub training: usize,
}

impl Distinguisher {
    /// Whether guessing is right as often in fewer than 1 of 1,000 trials, as for all tests of residues together: more
    /// than 3.09 standard deviations above one half. Of 95 % intervals one in 40 lies above one half by chance.
    pub fn is_better_than_guessing(&self) -> bool {
        2.0 * (self.accuracy.share - 0.5) * (self.accuracy.of as f64).sqrt() > 3.09
    }
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
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let (first, last) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => 0.5 * (sorted[middle - 1] + sorted[middle]),
            _ => sorted[middle],
        };
        Some([median, first, last])
    }

    /// Whether the ranges of both overlap.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self.spread(), other.spread()) {
            (Some([_, a, b]), Some([_, c, d])) => a <= d && c <= b,
            _ => true,
        }
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

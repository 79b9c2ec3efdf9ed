//! What was found in ciphertexts.

use crate::Share;
use serde::{Deserialize, Serialize};

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
    /// Two batches or uploads have the same public seed, and so the same mask.
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
    /// Ciphertexts that were looked at.
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
    /// Of what is 0 throughout.
    Plain,
    /// Of what is not.
    Varied,
    /// Of both, against each other.
    PlainAgainstVaried,
    /// Of evaluation keys.
    Keys,
    /// Of what the provider computes.
    Answers,
}

/// What a test or classifier makes of residues first. The provider has all it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// The first half b as it travels.
    Residues,
    /// The second half as it travels, which is drawn from a public seed but for what the provider computed.
    Second,
    /// Coefficients of the polynomial b.
    Coefficients,
    /// Coefficients of the difference of two ciphertexts of one place.
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
    /// Place of the prime in the list of parameters.
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
    /// Right answers on ciphertexts of other batches or uploads; half of them by guessing.
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

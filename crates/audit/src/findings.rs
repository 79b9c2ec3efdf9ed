//! What an audit found, as values that are written, read and drawn.

use cleave_keyed::{KeySpace, Lock};
use cleave_leakage::Report;
use cleave_nets::{Defence, SignalKind};
use serde::{Deserialize, Serialize};

/// Everything that one audit found. Written as JSON it is the audit's *record*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// Version of the tool that wrote it.
    pub version: String,
    /// What was attacked.
    pub subject: Subject,
    /// Inversions that see no smashed data, for comparison: the mean image, another image, JPEG.
    pub baselines: Vec<Baseline>,
    /// One entry a cut, and one more for each defence at it.
    pub cuts: Vec<CutFindings>,
    /// Seed of everything that was drawn.
    pub seed: u64,
    /// Seconds for all finished parts, over all interruptions.
    pub seconds: f64,
    /// Device that it was computed on.
    pub device: String,
}

/// What was attacked, and with what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// Name of the model.
    pub model: String,
    /// Class names.
    pub classes: Vec<String>,
    /// `[channels, height, width]` of an image.
    pub input: [usize; 3],
    /// What the signal does; `None` for a network without one.
    pub signal: Option<SignalKind>,
    /// The numbered layer that the signal joins.
    pub join: Option<usize>,
    /// Numbered layers of the whole network.
    pub layers: usize,
    /// Where the attacker's images come from.
    pub attacker_source: String,
    /// How many images the attacker has.
    pub attacker_images: usize,
    /// Where the private images come from.
    pub private_source: String,
    /// Private images that probes are measured on.
    pub private_images: usize,
    /// Private images that inversions are measured on.
    pub inverted_images: usize,
    /// Accuracy of the judge: the network that says whether a reconstruction still shows its class.
    pub judge_accuracy: Share,
    /// Which network that is, and whose features the perceptual distance compares.
    pub judge: String,
}

/// A mean with a bootstrap confidence interval of 95 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Mean over the 5 % of images, at least one, where the attacker does best.
    pub worst: f64,
}

/// A share of cases with a confidence interval of 95 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The share, 0 to 1.
    pub share: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Cases.
    pub of: usize,
}

/// How near reconstructions come to the private images, pixels of 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean squared error.
    pub mse: Estimate,
    /// Peak signal-to-noise ratio, in dB.
    pub psnr: Estimate,
    /// Structural similarity (Wang et al. 2004), 1 for the same image.
    pub ssim: Estimate,
    /// SSIM less that of the mean image with the same private image, image by image; `None` in older records.
    #[serde(default)]
    pub ssim_lead: Option<Estimate>,
    /// Share of the mean image's squared error, summed over all private images, that is taken away: 0 for the mean
    /// image, 1 for the private images themselves; `None` in older records, and where the mean image has no error.
    #[serde(default)]
    pub explained: Option<f64>,
    /// Distance of the judge's features, 0 for the same image.
    pub perceptual: Estimate,
    /// Reconstructions that the judge still classifies right.
    pub recognised: Share,
}

/// The ways to get an image back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InversionKind {
    /// Regularised maximum likelihood with the front half's own weights.
    WhiteBox,
    /// A network trained to go back.
    Decoder,
    /// Maximum likelihood on a substitute front half, whose weights the attacker had to make up.
    QueryFree,
    /// A linear system.
    LeastSquares,
    /// The key of a locked pair, from images that are known in both forms.
    KnownImages,
    /// The key of a locked pair, from keyed images alone.
    KeyedImages,
}

/// One inversion attack at one cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inversion {
    /// Which.
    pub kind: InversionKind,
    /// What it came to.
    pub scores: Scores,
    /// The settings that were kept, and how they were chosen, in words.
    pub settings: String,
    /// Images that the attacker learned from.
    pub attacker_images: usize,
    /// Steps, over all restarts.
    pub steps: usize,
    /// Seconds.
    pub seconds: f64,
    /// Seed.
    pub seed: u64,
    /// Reconstructions as PNG, of the first private images in the order of [`Audit::baselines`]' originals. Not part
    /// of the record.
    #[serde(skip)]
    pub pictures: Vec<Vec<u8>>,
}

/// What was found of the key of a locked pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyFindings {
    /// What everybody knows of it.
    pub lock: Lock,
    /// How many keys there are.
    pub key_space: KeySpace,
    /// Mean SSIM of keyed images with the private ones: what an onlooker sees.
    pub ssim: f64,
    /// Accuracy of the locked network on images without any key.
    pub without_key: Share,
    /// Accuracy under each of the wrong keys that were tried.
    pub wrong_keys: Vec<f64>,
    /// Private images that each of them was tried on.
    pub wrong_key_images: usize,
    /// Guesses from images known in both forms, by their number.
    pub known: Vec<KeyGuess>,
    /// Guesses from keyed images alone, by their number.
    pub keyed: Vec<KeyGuess>,
    /// Private images under the key, as [`Inversion::pictures`].
    #[serde(skip)]
    pub pictures: Vec<Vec<u8>>,
}

/// A guess at a key.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyGuess {
    /// Images that it was made from.
    pub images: usize,
    /// Share of the key's places that are right, each with its sign.
    pub right: f64,
    /// Mean SSIM of private images that were opened with it.
    pub ssim: f64,
    /// Their mean PSNR, in dB.
    pub psnr: f64,
}

/// What is to be got without any smashed data, or with as many bytes of another kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// `original`, `mean image`, `another image`, `JPEG of 9216 bytes`.
    pub name: String,
    /// The cut whose number of bytes a JPEG matches.
    pub cut: Option<String>,
    /// How near it comes.
    pub scores: Scores,
    /// As in [`Inversion`].
    #[serde(skip)]
    pub pictures: Vec<Vec<u8>>,
}

/// What a probe reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProbeTarget {
    /// The secret signal, from smashed data.
    Signal,
    /// The true label, from smashed data.
    Label,
    /// The true label, from the back half's answer unmasked with the signal that a probe read.
    LabelByAnswer,
}

/// Classifiers that a probe may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProbeKind {
    /// Logistic regression on standardised values.
    Linear,
    /// One hidden layer: convolutional where the smashed data has height and width.
    Small,
}

/// One probe at one cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// What it reads.
    pub target: ProbeTarget,
    /// With what.
    pub kind: ProbeKind,
    /// Accuracy on private images.
    pub accuracy: Share,
    /// Accuracy of guessing.
    pub guess: f64,
    /// Images that the attacker learned from.
    pub attacker_images: usize,
    /// Steps of training.
    pub steps: usize,
    /// Seconds.
    pub seconds: f64,
    /// Seed.
    pub seed: u64,
}

/// A copy of the back half that a client trained on answers to questions of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extraction {
    /// Private images on which copy and back half answer alike, before unmasking.
    pub agreement: Share,
    /// Private images on which a client with the copy is right, after unmasking.
    pub accuracy: Share,
    /// The same with the back half itself. Questions and both of these are without defences at the cut, which a client
    /// that wants the model leaves away.
    pub undefended: Share,
    /// Questions that were asked.
    pub questions: usize,
    /// Steps of training.
    pub steps: usize,
    /// Seconds.
    pub seconds: f64,
    /// Seed.
    pub seed: u64,
}

/// How many directions of an image smashed data shows: the Jacobian at one private image, pixels of 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Visible {
    /// Rank, singular values counted above [`Visible::threshold`].
    pub rank: f64,
    /// Lower end of the interval that holds the rank, nine times in ten where it was estimated.
    pub rank_low: f64,
    /// Upper end of that interval.
    pub rank_high: f64,
    /// Values of the image.
    pub of: usize,
    /// Share of the largest singular value above which one is counted.
    pub threshold: f64,
    /// Singular values from the largest on, as (position, value): all of them where computed exactly, otherwise
    /// quantiles of the estimated density.
    pub spectrum: Vec<(f64, f64)>,
    /// tr(JᵀJ).
    pub trace: f64,
    /// Standard error of the trace; 0 where it was computed exactly.
    pub trace_error: f64,
    /// Whether by singular value decomposition, not by estimation.
    pub exact: bool,
}

/// What noise on the smashed data guarantees (Maeng et al. 2023).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// Diagonal Fisher information leakage, tr(JᵀJ)/(d σ²), mean over the images measured; of an estimated trace two
    /// standard errors above the estimate.
    pub dfil: f64,
    /// No unbiased attacker has a smaller mean squared error than this, on average over the images measured: 1/dFIL.
    pub mse: f64,
}

/// What was found at one cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CutFindings {
    /// Name of the model, where several are compared.
    pub model: String,
    /// The cut, as the command line writes it: `3`, `1:linear`.
    pub cut: String,
    /// Name of the layer.
    pub layer: String,
    /// Defences of the front half: those trained in before those applied at the cut.
    pub defences: Vec<Defence>,
    /// SHA-256 over the front half's tensors, in hexadecimal.
    pub front_hash: String,
    /// `[channels, height, width]` of smashed data.
    pub shape: [usize; 3],
    /// Bytes that cross the wire for an image, as f32: a quantisation's levels are not packed.
    pub bytes: usize,
    /// Milliseconds that the front half takes for an image, median of a few.
    pub front_ms: f64,
    /// Weights and biases of the front half: what a client gets of the model.
    pub front_parameters: usize,
    /// Weights and biases of the whole network.
    pub all_parameters: usize,
    /// Accuracy of the client's answers after unmasking, on private images, defences included.
    pub task_accuracy: Share,
    /// Accuracy of guessing the label.
    pub label_guess: f64,
    /// Accuracy of guessing the signal; `None` for a network without one, and in records of builds that did not write it.
    #[serde(default)]
    pub signal_guess: Option<f64>,
    /// The leakage check; `None` where it cannot count a layer.
    pub check: Option<Report>,
    /// Inversion attacks.
    pub inversions: Vec<Inversion>,
    /// Probes.
    pub probes: Vec<Probe>,
    /// The key of a locked pair; `None` for a network cut in two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyFindings>,
    /// The copy of the back half; `None` where none was tried.
    #[serde(default)]
    pub extraction: Option<Extraction>,
    /// The Jacobian at some private images.
    pub visible: Vec<Visible>,
    /// What noise guarantees; `None` without noise, where there is no bound, and without the Jacobian.
    pub bound: Option<Bound>,
}

/// What the report judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// The client's image.
    Input,
    /// The client's label and signal.
    Output,
    /// The provider's network.
    Model,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stand {
    /// No attack that was tried came above the limits asked for.
    NotBroken,
    /// It was not measured, and nothing follows.
    NotMeasured,
    /// An attack came above a limit.
    Broken,
}

/// A verdict with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// On what.
    pub privacy: Privacy,
    /// How it stands.
    pub stand: Stand,
    /// What was found, a sentence each.
    pub evidence: Vec<String>,
}

/// The answer to "may I release this?" for one entry of [`Audit::cuts`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CutVerdict {
    /// Name of the policy.
    pub policy: String,
    /// What it promises, in its own words.
    pub promise: String,
    /// Whether every limit of the policy is kept.
    pub passes: bool,
    /// On input, output and model, in this order.
    pub judgements: Vec<Judgement>,
}

//! What an attack on a confused network found.

use crate::Share;
use cleave_confusion::{Gain, Strategy};
use serde::{Deserialize, Serialize};

use super::ConfusionSettings;

/// Everything that was found of one confused network. Written as JSON it is the audit's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfusionAudit {
    /// Version of the tool that wrote it.
    pub version: String,
    /// Name of the model.
    pub model: String,
    /// The public name of the key.
    pub key: String,
    /// The strategy that the attacker is told; `None` where it takes all of them for possible.
    pub strategy: Option<Strategy>,
    /// Class names.
    pub classes: Vec<String>,
    /// `[channels, height, width]` of an image.
    pub input: [usize; 3],
    /// What was widened together, in the order of the network.
    pub groups: Vec<GroupFindings>,
    /// log₂ of the number of ways to choose as many positions.
    pub bits: f64,
    /// Values in the tensors of the network with the key.
    pub plain_parameters: usize,
    /// Values in the tensors of the widened network.
    pub widened_parameters: usize,
    /// Eq. 1 of the paper on images of the attacker's, with λ = 1.
    pub gain: Gain,
    /// Right answers on test images with the key.
    pub with_key: Share,
    /// Right answers of the widened network as it is.
    pub without_key: Share,
    /// Right answers for naming the most frequent class of the test images.
    pub guess: f64,
    /// Images that the attacker has.
    pub own_images: usize,
    /// Test images, which no attack looks at.
    pub test_images: usize,
    /// Attacks that tell confusion neurons from what they look like.
    pub detections: Vec<Detection>,
    /// Attacks that leave out what does harm on a few labelled images.
    pub prunings: Vec<Pruning>,
    /// Fine-tuning, and what it is compared with.
    pub tunings: Vec<Tuning>,
    /// Where networks look.
    pub saliency: Option<Saliency>,
    /// What was asked for.
    pub settings: ConfusionSettings,
    /// Seconds for everything.
    pub seconds: f64,
    /// Device that it was computed on.
    pub device: String,
}

impl ConfusionAudit {
    /// The record with all times 0: what comes out again with the same seed.
    #[must_use]
    pub fn without_times(&self) -> Self {
        let mut audit = Self { seconds: 0.0, ..self.clone() };
        audit.detections.iter_mut().for_each(|found| found.seconds = 0.0);
        audit.prunings.iter_mut().for_each(|found| found.seconds = 0.0);
        audit.tunings.iter_mut().for_each(|found| found.seconds = 0.0);
        audit
    }

    /// Confusion neurons in all.
    pub fn confusion(&self) -> usize {
        self.groups.iter().map(|group| group.confusion).sum()
    }

    /// The share of what the key is worth that `accuracy` brings back: 0 as without the key, 1 as with it. `None` where
    /// the key is worth nothing.
    pub fn regained(&self, accuracy: f64) -> Option<f64> {
        let worth = self.with_key.share - self.without_key.share;
        (worth > 0.0).then(|| (accuracy - self.without_key.share) / worth)
    }
}

/// Channels that are one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupFindings {
    /// The layers that write them.
    pub writers: Vec<String>,
    /// Units of the widened network.
    pub units: usize,
    /// How many of them are confusion neurons.
    pub confusion: usize,
}

/// What a detection looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DetectionKind {
    /// Norms, biases and the distribution of a unit's weights, and how far the other units' weights span them.
    Weights,
    /// Biases and parameters of normalisations that are exactly those at the start of training, or far from the others'.
    Initial,
    /// Weights that stand, bit for bit, in another place of the same tensors too.
    Repeats,
    /// Statistics of activations, held against the running statistics of normalisations where there are any.
    Statistics,
    /// The same, where the units found in earlier groups are left out before the next group is measured.
    Peeled,
    /// Nearly equal activations or incoming weights, and opposed outgoing weights.
    Copies,
    /// All of them, weighed by what tells neurons that the attacker inserted itself, peeled.
    Learned,
}

/// Units marked without a label, as many in each group as there are confusion neurons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// What it looks at.
    pub kind: DetectionKind,
    /// Unlabelled images that it took; 0 for weights alone.
    pub images: usize,
    /// Marked units that are confusion neurons, of those marked.
    pub precision: f64,
    /// Marked units that are confusion neurons, of all confusion neurons.
    pub recall: f64,
    /// Average precision of the order of suspicion within each group, its mean over all confusion neurons.
    pub average_precision: f64,
    /// About the same for a random order: the share of confusion neurons in their group.
    pub chance: f64,
    /// Precision in each group; 0 where there is no confusion neuron.
    pub by_group: Vec<f64>,
    /// Right answers on test images without the marked units.
    pub accuracy: Share,
    /// Seconds.
    pub seconds: f64,
}

/// How harmful units are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PruningKind {
    /// To first order, a few at a time.
    Sensitivity,
    /// The same where units with opposed outgoing weights go together.
    Pairs,
    /// By a factor for each unit that is learned, under the condition that as many as are confusion neurons come to 0.
    Factors,
    /// By leaving out each unit in turn.
    Ablation,
    /// The best so far, detections included, by the loss on the labelled images, improved by exchanging units.
    Refined,
}

/// Units marked by what they do to the loss on labelled images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pruning {
    /// How.
    pub kind: PruningKind,
    /// Labelled images.
    pub labelled: usize,
    /// Marked units that are confusion neurons, of those marked.
    pub precision: f64,
    /// Marked units that are confusion neurons, of all confusion neurons.
    pub recall: f64,
    /// Mean cross-entropy on the labelled images without the marked units.
    pub loss: f64,
    /// Right answers on test images without the marked units.
    pub accuracy: Share,
    /// Images that were sent forward, through the network or the part behind the unit.
    pub forward: usize,
    /// Images that derivatives were taken for.
    pub backward: usize,
    /// Seconds.
    pub seconds: f64,
}

/// What fine-tuning starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TuneStart {
    /// The widened network.
    WithoutKey,
    /// The widened network without what the best pruning marked.
    Pruned,
    /// The network with the key: what an honest client has.
    WithKey,
    /// Random weights in the original architecture: what the attacker has without the model.
    Scratch,
}

/// One run of fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// What it starts from.
    pub start: TuneStart,
    /// Labelled images.
    pub labelled: usize,
    /// Accuracy along the way, step 0 first.
    pub curve: Vec<TuningPoint>,
    /// Right answers on test images at the end, or at the last measurement before the loss was no number any more.
    pub accuracy: Share,
    /// Whether the loss became infinite or no number.
    pub diverged: bool,
    /// Seconds.
    pub seconds: f64,
}

/// Accuracy on test images after some steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuningPoint {
    /// Steps done.
    pub step: usize,
    /// Right answers.
    pub accuracy: Share,
}

/// How it is measured where a network looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaliencyKind {
    /// Class activation maps (Zhou et al. 2016).
    ClassActivation,
    /// Absolute derivatives of the class's score by the pixels (Simonyan et al. 2014).
    InputGradient,
}

/// Where networks look in test images, for the true class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saliency {
    /// How it is measured.
    pub kind: SaliencyKind,
    /// The images themselves, PNG; not in the record.
    #[serde(skip)]
    pub originals: Vec<Vec<u8>>,
    /// One for each network.
    pub columns: Vec<SaliencyColumn>,
}

/// The network of a column of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaliencyOf {
    /// With the key.
    WithKey,
    /// As released.
    WithoutKey,
    /// After the attack that did best on test images.
    Attacked,
}

/// Where one network looks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SaliencyColumn {
    /// Which network.
    pub of: SaliencyOf,
    /// Mean correlation of its maps with those of the network with the key.
    pub likeness: f64,
    /// Maps over the images, PNG; not in the record.
    #[serde(skip)]
    pub pictures: Vec<Vec<u8>>,
}

impl DetectionKind {
    /// What tables and pages call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Initial => "initial values",
            Self::Repeats => "values that occur twice",
            Self::Statistics => "statistics of activations",
            Self::Peeled => "statistics, layer by layer",
            Self::Copies => "copies and opposites",
            Self::Learned => "what tells insertions of its own",
        }
    }
}

impl PruningKind {
    /// What tables and pages call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sensitivity => "first order",
            Self::Pairs => "first order, opposites together",
            Self::Factors => "learned factors",
            Self::Ablation => "each unit left out in turn",
            Self::Refined => "refined by exchanges",
        }
    }
}

impl TuneStart {
    /// What tables and pages call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WithoutKey => "from the released network",
            Self::Pruned => "after pruning",
            Self::WithKey => "with the key",
            Self::Scratch => "from random weights",
        }
    }
}

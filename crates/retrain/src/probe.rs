//! Probes that are trained along with a network and against it.

use crate::Error;
use crate::dependence::distance_correlation;
use crate::guard::Adversary;
use crate::learner::Learner;
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::optim::AdamConfig;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use cleave_nets::{Architecture, Layer, Network, Pass, Shape, Window};

/// What the probes read, in the order in which everything here keeps the two.
const TARGETS: [&str; 2] = ["signal", "label"];
/// The kinds of probe: both read each target.
const KINDS: [Kind; 2] = [Kind::Linear, Kind::Small];
/// Filters and hidden units of a small probe.
const FILTERS: usize = 32;
const HIDDEN: usize = 64;
/// The least mean square of activations.
const LEAST_SQUARE: f32 = 1e-20;

/// Classifiers that a probe may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One linear layer.
    Linear,
    /// Two hidden layers, the first of them a convolution where there are height and width.
    Small,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Small => "small",
        }
    }

    /// A classifier of activations of `shape`.
    fn architecture(self, shape: Shape, classes: usize) -> Result<Architecture, Error> {
        let hidden = || [Layer::Flatten, Layer::Linear { features: HIDDEN }, Layer::Relu];
        let filters = Layer::Conv2d { filters: FILTERS, window: Window::square(3, 1, 1), groups: 1, bias: true };
        let mut layers = match (self, shape.is_vector()) {
            (Self::Linear, _) => vec![],
            (Self::Small, true) => [hidden(), hidden()].concat(),
            (Self::Small, false) => [vec![filters, Layer::Relu], hidden().to_vec()].concat(),
        };
        layers.extend([Layer::Flatten, Layer::Linear { features: classes }]);
        Ok(Architecture::new(shape, layers)?)
    }
}

/// Two probes that read the signal and two that read the label.
pub(crate) struct Probes {
    settings: Adversary,
    /// By target, then by kind.
    learners: [Vec<Learner>; 2],
    classes: usize,
    loss: CrossEntropyLoss,
}

impl Probes {
    /// Probes of activations of `shape`, with weights drawn from `seed`.
    pub(crate) fn new(
        settings: Adversary,
        shape: Shape,
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, Error> {
        let probe = |(at, kind): (usize, &Kind)| {
            let network = Network::random(kind.architecture(shape, classes)?, seed.wrapping_add(at as u64), device)?;
            Learner::new(&network, AdamConfig::new().init())
        };
        let of = |first: usize| (first..).zip(&KINDS).map(probe).collect::<Result<Vec<_>, _>>();
        let learners = [of(1)?, of(1 + KINDS.len())?];
        let loss = CrossEntropyLossConfig::new().init(learners[0][0].network.device());
        Ok(Self { settings, learners, classes, loss })
    }

    /// Trains every probe on activations, `[batch, channels, height, width]`, and gives how many of the batch each read
    /// right beforehand, by target and kind.
    pub(crate) fn train(&mut self, features: &Tensor<4>, targets: [&[usize]; 2]) -> Result<[[usize; 2]; 2], Error> {
        let features = features.clone().detach();
        let mut right = [[0; 2]; 2];
        for ((learners, targets), right) in self.learners.iter_mut().zip(targets).zip(&mut right) {
            let goal = whole_numbers(targets, &features.device());
            for (learner, right) in learners.iter_mut().zip(right) {
                for round in 0..self.settings.rounds {
                    let scores = scores(learner, features.clone())?;
                    if round == 0 {
                        *right = hits(scores.clone(), goal.clone());
                    }
                    learner.step(self.settings.rate, &mut self.loss.forward(scores, goal.clone()).backward());
                }
            }
        }
        Ok(right)
    }

    /// What activations tell of both targets, each times its weight. Never below 0.
    ///
    /// For each target it is the sum of two parts. The first is what the probes answer, in the mean: the cross-entropy
    /// of their answers against the uniform distribution, less its least value, so 0 where a probe is at a loss (the
    /// domain confusion of Tzeng et al. 2015). Making the probe's own loss large instead has no end, and rewards a
    /// network that makes the probe sure of what is wrong, which tells as much. The second is the squared distance
    /// correlation of the activations with the target (Sun et al. 2022): it needs no training, so no network can outrun
    /// it, but in the few samples of a batch it sees the coarse dependence alone.
    pub(crate) fn telling(&self, features: &Tensor<4>, targets: [&[usize]; 2]) -> Result<Tensor<1>, Error> {
        let mut sum = Tensor::zeros([1], &features.device());
        let weights = [self.settings.signal, self.settings.label];
        for ((learners, targets), weight) in self.learners.iter().zip(targets).zip(weights).filter(|part| part.1 > 0.0)
        {
            let targets = whole_numbers(targets, &features.device()).one_hot(self.classes).float(); // [batch, classes]
            let mut told = distance_correlation(targets, features.clone().flatten(1, 3));
            for learner in learners {
                let scores = scores(learner, features.clone())?;
                let least = (self.classes as f32).ln();
                told = told + log_softmax(scores, 1).mean().neg().sub_scalar(least).div_scalar(KINDS.len() as f32);
            }
            sum = sum + told.mul_scalar(weight);
        }
        Ok(sum)
    }

    /// The probes by name, to be saved.
    pub(crate) fn learners(&self) -> impl Iterator<Item = (String, &Learner)> {
        names().zip(self.learners.iter().flatten())
    }

    /// The probes by name, to go on from what was saved.
    pub(crate) fn learners_mut(&mut self) -> impl Iterator<Item = (String, &mut Learner)> {
        names().zip(self.learners.iter_mut().flatten())
    }
}

/// `signal-linear`, `signal-small` and so on, in the order of [`Probes::learners`].
fn names() -> impl Iterator<Item = String> {
    TARGETS.iter().flat_map(|target| KINDS.iter().map(move |kind| format!("{target}-{}", kind.name())))
}

/// Scores of a probe, `[batch, classes]`.
fn scores(probe: &Learner, features: Tensor<4>) -> Result<Tensor<2>, Error> {
    Ok(probe.network.forward(unit(features), Pass::default())?.flatten::<2>(1, 3))
}

/// Activations at mean 0 and mean square 1 over the batch, so that a network gains nothing by making them small.
///
/// All of them by the same two numbers: a batch is too few to know the deviation of each channel, and a channel that is
/// nearly silent, made loud, would pass back a gradient as much larger.
fn unit(features: Tensor<4>) -> Tensor<4> {
    let centred = features.clone() - features.mean().unsqueeze();
    let square = centred.clone().powi_scalar(2).mean().clamp_min(LEAST_SQUARE);
    centred / square.sqrt().unsqueeze()
}

/// How many of `scores`, `[batch, classes]`, are largest at the class of `goal`, `[batch]`.
pub(crate) fn hits(scores: Tensor<2>, goal: Tensor<1, Int>) -> usize {
    let answers: Tensor<1, Int> = scores.detach().argmax(1).flatten(0, 1);
    usize::try_from(answers.equal(goal).int().sum().into_scalar::<i64>()).unwrap_or(0)
}

/// Classes as a tensor, `[batch]`.
pub(crate) fn whole_numbers(classes: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = classes.iter().map(|&class| class as i64).collect();
    Tensor::from_data(TensorData::new(values, [classes.len()]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cleave_nets::device;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const CLASSES: usize = 3;

    /// Classes and activations of 30 samples that tell them, `loud` times as strongly as chance.
    fn batch(loud: f32, rng: &mut ChaCha8Rng) -> (Vec<usize>, Tensor<4>) {
        let classes: Vec<usize> = (0..30).map(|at| at % CLASSES).collect();
        let mut channel = |class: usize, at: usize| loud * f32::from(class == at) + rng.random_range(-1.0..1.0);
        let values = classes.iter().flat_map(|&class| [0, 1, 2].map(|at| channel(class, at))).collect::<Vec<f32>>();
        let features = Tensor::from_data(TensorData::new(values, [30, 3, 1, 1]), &device("flex").unwrap());
        (classes, features.autodiff())
    }

    /// What is told, and the right answers in the last batch, after `steps` steps.
    fn after(steps: usize, loud: f32, settings: Adversary) -> (f32, [[usize; 2]; 2]) {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let shape = Shape::vector(3);
        let mut probes = Probes::new(settings, shape, CLASSES, 1, &device("flex").unwrap()).unwrap();
        let mut right = [[0; 2]; 2];
        for _ in 0..steps {
            let (classes, features) = batch(loud, &mut rng);
            right = probes.train(&features, [&classes, &classes]).unwrap();
        }
        let (classes, features) = batch(loud, &mut rng);
        (probes.telling(&features, [&classes, &classes]).unwrap().into_scalar::<f32>(), right)
    }

    #[test]
    fn probes_learn_what_is_there_and_what_they_tell_counts_by_its_weight() {
        let both = Adversary { signal: 1.0, label: 1.0, rate: 0.01, ..Adversary::default() };
        let ((told, right), (untold, guessed)) = (after(100, 20.0, both), after(100, 0.0, both));
        assert!(right.iter().flatten().all(|&right| right == 30), "{right:?}");
        assert!(guessed.iter().flatten().all(|&right| right < 24), "{guessed:?}");
        assert!(told > 3.0 && (0.0..1.0).contains(&untold), "{told} {untold}");
        let single = |signal, label| after(100, 20.0, Adversary { signal, label, ..both }).0;
        assert!((single(1.0, 0.0) + single(0.0, 2.0) - single(1.0, 2.0)).abs() < 1e-3);
        assert_eq!(single(0.0, 0.0), 0.0);
    }

    #[test]
    fn louder_or_softer_activations_are_read_alike() {
        let (_, features) = batch(1.0, &mut ChaCha8Rng::seed_from_u64(1));
        let values = |x: Tensor<4>| unit(x).into_data().try_into_vec::<f32>().unwrap();
        let plain = values(features.clone());
        for (a, b) in plain.iter().zip(values(features.mul_scalar(1e-4).add_scalar(0.001))) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
        assert!((plain.iter().map(|value| value * value).sum::<f32>() / plain.len() as f32 - 1.0).abs() < 1e-4);
        assert_eq!(values(Tensor::zeros([2, 3, 1, 1], &device("flex").unwrap())), [0.0; 6]);
    }
}

//! The training loop, for a base network and for retraining alike.

use crate::accuracy::{frozen_features, to_device};
use crate::guard::{Secrets, Watch};
use crate::learner::Learner;
use crate::probe::{hits, whole_numbers};
use crate::state::Run;
use crate::{Error, Guard, SignalSource, evaluate, relabel, state};
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::grad_clipping::GradientClipping;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, ModuleOptimizer, SgdConfig};
use burn::tensor::Tensor;
use cleave_data::{Augmentation, Batch, Loader};
use cleave_nets::{Dropout, Network, Pass, computes_half};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;

/// How signals come in.
///
/// The masked label of a pair of class and signal of which one is 0 is the other, which a sum of two features tells;
/// only a pair of which neither is 0 takes an exclusive-or or a sum modulo the classes. A network that meets all pairs
/// at once sees no relation of the masked label to either, and sits at chance until it happens upon both. So, first,
/// signals are 0 but for a share `start`, for `hold` of the steps, and the network learns the classes. Then class 0
/// gets its signals, and of the other samples a share that rises to all over `span` of the steps. `hold` and `span` of
/// 0 turn it off.
///
/// Why the defaults are what they are: AlexNet of a quarter of the width on drawn shapes, N = 0, rate 0.01, strength
/// 0.3. With them 4,000 steps gave 99.50, 98.75 and 99.25 % on the validation images for seeds 1 to 3 with digits, and
/// 98.75, 99.00 and 99.50 % with planes; with all signals from the first step on and strength 1, 6,000 steps ended at
/// 67.0 %. For N = 1 and later the features of the classes are there already, and rising over half of the steps is
/// enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Curriculum {
    /// Share of the signals that are let in from step 0 on.
    pub start: f32,
    /// Share of the steps for which it stays there.
    pub hold: f32,
    /// Share of the steps over which it then rises to 1, but for class 0, whose signals are all let in at once.
    pub span: f32,
}

impl Default for Curriculum {
    fn default() -> Self {
        Self { start: 0.1, hold: 0.0, span: 0.5 }
    }
}

impl Curriculum {
    /// The default for a join behind `preserved` layers; without any the network learns its features first.
    pub fn for_join(preserved: usize) -> Self {
        match preserved {
            0 => Self { start: 0.0, hold: 0.3, span: 0.3 },
            _ => Self::default(),
        }
    }

    /// Share of the signals of classes other than 0 let in at `progress`, the share of steps done.
    pub fn share(&self, progress: f32) -> f32 {
        let since = progress - self.hold;
        let risen = if self.span > 0.0 { since / self.span } else { f32::from(since >= 0.0) };
        self.start + (1.0 - self.start) * risen.clamp(0.0, 1.0)
    }

    /// Sets the signals that do not take part yet to 0.
    fn withhold(&self, progress: f32, labels: &[usize], signals: &mut [usize], rng: &mut impl Rng) {
        let (share, holding) = (self.share(progress), progress < self.hold);
        for (signal, &label) in signals.iter_mut().zip(labels) {
            let withheld = rng.random::<f32>() >= share;
            if withheld && (holding || label != 0) {
                *signal = 0;
            }
        }
    }
}

/// How gradients become steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum; weight decay is added to the gradient.
    #[default]
    Sgd,
    /// Adam (Kingma and Ba, 2015); weight decay is added to the gradient.
    Adam,
    /// Adam with weight decay of its own (Loshchilov and Hutter, 2019).
    Adamw,
}

/// How the learning rate goes with the share `t` of steps done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It falls as `(1 − t)^power` (sun2019, Table 1); with a power of 0 it stays.
    #[default]
    Polynomial,
    /// In straight lines from 0 up to the full rate at 2/5, down to a twentieth of it at 4/5, and to 0 at the end, as
    /// ConvMixer's authors train on CIFAR-10.
    Piecewise,
}

impl Schedule {
    /// Corners of [`Schedule::Piecewise`]: share of the steps, share of the full rate.
    const CORNERS: [(f64, f64); 4] = [(0.0, 0.0), (0.4, 1.0), (0.8, 0.05), (1.0, 0.0)];

    /// Share of the full rate at `progress`, the share of steps done.
    fn share(self, progress: f64, power: f64) -> f64 {
        let line = |[(t0, r0), (t1, r1)]: [(f64, f64); 2]| r0 + (r1 - r0) * (progress - t0) / (t1 - t0);
        match self {
            Self::Polynomial => (1.0 - progress).powf(power),
            Self::Piecewise => {
                let lines = Self::CORNERS.windows(2).map(|ends| [ends[0], ends[1]]);
                lines.into_iter().find(|[_, (end, _)]| progress <= *end).map_or(0.0, line)
            }
        }
    }
}

/// Settings of a training run; the defaults are those of sun2019's Table 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainSettings {
    /// Batches to train on.
    pub steps: usize,
    /// Images a batch; the loader cuts them.
    pub batch: usize,
    /// The largest learning rate.
    pub learning_rate: f64,
    /// How the rate changes.
    pub schedule: Schedule,
    /// The power of [`Schedule::Polynomial`].
    pub power: f64,
    /// How gradients become steps.
    pub optimizer: Optimizer,
    /// Whether convolutions and matrix products are computed in bfloat16; weights and sums stay f32.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub half: bool,
    /// Momentum of [`Optimizer::Sgd`], without dampening.
    pub momentum: f64,
    /// Weight decay; 0 for none.
    pub weight_decay: f32,
    /// Seed of signals and dropout; the loader has its own.
    pub seed: u64,
    /// How signals come in.
    pub curriculum: Curriculum,
    /// Defences that are trained in; none by default.
    pub guard: Guard,
    /// Random changes to the images, for the record; the loader applies them.
    pub augmentation: Augmentation,
    /// Steps between measurements of loss and accuracy.
    pub log_every: usize,
    /// Steps between evaluations; 0 for none before the end.
    pub eval_every: usize,
    /// Steps between saved states.
    pub save_every: usize,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            steps: 5000,
            batch: 16,
            learning_rate: 0.001,
            schedule: Schedule::default(),
            power: 0.9,
            optimizer: Optimizer::default(),
            half: false,
            momentum: 0.9,
            weight_decay: 5e-4,
            seed: 0,
            curriculum: Curriculum::default(),
            guard: Guard::default(),
            augmentation: Augmentation::default(),
            log_every: 50,
            eval_every: 0,
            save_every: 1000,
        }
    }
}

impl TrainSettings {
    fn check(&self) -> Result<(), Error> {
        let positive = [
            ("steps", self.steps),
            ("batch", self.batch),
            ("log_every", self.log_every),
            ("save_every", self.save_every),
        ];
        if let Some((name, value)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(Error::Setting { name, value: value.to_string(), expected: "at least 1" });
        }
        let rate = self.learning_rate;
        if !rate.is_finite() || rate <= 0.0 {
            return Err(Error::Setting {
                name: "learning_rate",
                value: rate.to_string(),
                expected: "a number above 0",
            });
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(Error::Setting {
                name: "momentum",
                value: self.momentum.to_string(),
                expected: "0 up to, not including, 1",
            });
        }
        let not_negative = [("weight_decay", f64::from(self.weight_decay)), ("power", self.power)];
        if let Some((name, value)) = not_negative.into_iter().find(|(_, value)| !value.is_finite() || *value < 0.0) {
            return Err(Error::Setting { name, value: value.to_string(), expected: "0 or more" });
        }
        let Curriculum { start, hold, span } = self.curriculum;
        if hold + span > 1.0 {
            let (name, value) = ("curriculum.hold + curriculum.span", (hold + span).to_string());
            return Err(Error::Setting { name, value, expected: "at most 1, or some signals never come in" });
        }
        let shares = [("curriculum.start", start), ("curriculum.hold", hold), ("curriculum.span", span)];
        match shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            Some((name, share)) => Err(Error::Setting { name, value: share.to_string(), expected: "0 to 1" }),
            None => self.guard.check(self.batch, hold + span),
        }
    }

    fn optimizer(&self) -> ModuleOptimizer {
        let decay = (self.weight_decay > 0.0).then(|| WeightDecayConfig::new(self.weight_decay));
        let optimizer = match self.optimizer {
            Optimizer::Sgd => {
                let momentum = MomentumConfig::new().with_momentum(self.momentum).with_dampening(0.0);
                SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(decay).init()
            }
            Optimizer::Adam => AdamConfig::new().with_epsilon(ADAM_EPSILON).with_weight_decay(decay).init(),
            Optimizer::Adamw => {
                AdamWConfig::new().with_epsilon(ADAM_EPSILON).with_weight_decay(self.weight_decay).init()
            }
        };
        match self.guard.clips() {
            Some(longest) => optimizer.with_grad_clipping(GradientClipping::Norm(longest)),
            None => optimizer,
        }
    }

    fn rate(&self, step: usize) -> f64 {
        self.learning_rate * self.schedule.share(step as f64 / self.steps as f64, self.power)
    }
}

/// What PyTorch adds to the root of the second moment, and so the published recipes.
const ADAM_EPSILON: f32 = 1e-8;

/// What was measured at a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measurement {
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// Passes over the data done.
    pub epoch: usize,
    /// Mean loss since the last measurement: of the task alone, without what defences add.
    pub loss: f32,
    /// Share of right (masked) labels on the training batches since the last measurement.
    pub train_accuracy: f64,
    /// Accuracy after unmasking on the validation set, where it was evaluated.
    pub accuracy: Option<f64>,
    /// The current learning rate.
    pub learning_rate: f64,
    /// Training images a second since the last measurement.
    pub images_per_second: f64,
    /// Seconds trained, over all interruptions.
    pub seconds: f64,
    /// Share of the training batches' signals that the better of the probes trained along read right, each batch before
    /// the probe learned from it, since the last measurement. While signals are withheld, most of them are 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_probe: Option<f64>,
    /// The same for the true labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_probe: Option<f64>,
    /// Mean squared distance correlation of images and activations since the last measurement, where it is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_correlation: Option<f32>,
}

/// Watches a training run and may stop it.
pub trait Observer {
    /// A measurement was made.
    fn measured(&mut self, measurement: &Measurement);
    /// A step was done.
    fn stepped(&mut self, _step: usize) {}
    /// Asked before each step: whether to stop here and save.
    fn stop(&self) -> bool {
        false
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// The observer stopped it; the state is saved where a folder was given.
    Interrupted,
}

/// Trains the layers of a network from some point on.
pub struct Trainer {
    frozen: Option<Network>,
    trained: Learner,
    watch: Watch,
    source: Option<SignalSource>,
    train: Loader,
    validation: Option<Loader>,
    settings: TrainSettings,
    run: Run,
    loss: CrossEntropyLoss,
    step: usize,
    seconds: f64,
}

/// Sums since the last measurement.
struct Window {
    loss: f32,
    right: usize,
    images: usize,
    steps: usize,
    since: Instant,
}

impl Window {
    fn start() -> Self {
        Self { loss: 0.0, right: 0, images: 0, steps: 0, since: Instant::now() }
    }

    fn add(&mut self, loss: f32, right: usize, images: usize) {
        self.loss += loss;
        self.right += right;
        self.images += images;
        self.steps += 1;
    }
}

impl Trainer {
    /// A run over `train` that leaves the first `preserved` numbered layers as they are.
    ///
    /// # Errors
    /// [`Error::Classes`] when data and network disagree; [`Error::Setting`]; [`Error::Network`]. For
    /// [`TrainSettings::guard`] also [`Error::Place`] for a layer that is not trained, lies before the join or is the
    /// last, and [`Error::NoSignal`].
    pub fn new(
        network: &Network,
        preserved: usize,
        source: Option<SignalSource>,
        train: Loader,
        validation: Option<Loader>,
        settings: TrainSettings,
    ) -> Result<Self, Error> {
        settings.check()?;
        if settings.half && !computes_half(network.device()) {
            return Err(Error::Setting {
                name: "half",
                value: "true".to_owned(),
                expected: "false on this device, which has no bfloat16",
            });
        }
        let (data, outputs) = (train.dataset().classes().len(), network.output().values());
        if train.batches() == 0 {
            return Err(Error::TooFewImages { images: train.dataset().len(), batch: settings.batch });
        }
        if data != outputs {
            return Err(Error::Classes { data, network: outputs });
        }
        let layers = network.architecture().layers.len();
        let start = network.architecture().numbered_layer(preserved + 1)?.range.start;
        let frozen = (start > 0).then(|| network.slice(0..start)).transpose()?;
        let trained = Learner::new(&network.slice(start..layers)?, settings.optimizer())?;
        let loss = CrossEntropyLossConfig::new().init(trained.network.device());
        let Curriculum { hold, span, .. } = settings.curriculum;
        let watch = Watch::new(&settings.guard, network, preserved, hold + span, settings.seed)?;
        let run = Run::new(&settings, train.dataset(), source.as_ref(), frozen.as_ref())?;
        Ok(Self { frozen, trained, watch, source, train, validation, settings, run, loss, step: 0, seconds: 0.0 })
    }

    /// Goes on from the state in `folder`.
    ///
    /// # Errors
    /// [`Error::OtherRun`] when it belongs to other settings or images; [`Error::State`] when it cannot be read.
    pub fn resume(mut self, folder: &Path) -> Result<Self, Error> {
        let learners = std::iter::once((String::new(), &mut self.trained)).chain(self.watch.learners_mut());
        let progress = state::load(folder, learners, &self.run)?;
        (self.step, self.seconds) = (progress.step, progress.seconds);
        Ok(self)
    }

    /// Whether `folder` holds a state to resume from.
    pub fn can_resume(folder: &Path) -> bool {
        state::path(folder).exists()
    }

    /// Removes the state in `folder`, which a finished run needs no more; other files stay.
    pub fn clear(folder: &Path) {
        state::clear(folder);
    }

    /// Steps done.
    pub const fn step(&self) -> usize {
        self.step
    }

    /// The network as it is now, frozen layers included.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn network(&self) -> Result<Network, Error> {
        let trained = self.trained.network.frozen();
        Ok(match &self.frozen {
            Some(frozen) => frozen.followed_by(&trained)?,
            None => trained,
        })
    }

    /// Trains until all steps are done or the observer says stop; saves its state in `folder`.
    ///
    /// A run that was stopped and resumed ends with the same weights as one that was not.
    ///
    /// # Errors
    /// [`Error::Diverged`]; [`Error::Data`]; [`Error::Network`]; [`Error::Io`] when the state cannot be saved.
    pub fn run(&mut self, folder: Option<&Path>, observer: &mut dyn Observer) -> Result<Outcome, Error> {
        let mut window = Window::start();
        let mut stuck = false; // the rest of an epoch held broken images only
        while self.step < self.settings.steps {
            let per_epoch = self.train.batches().max(1);
            let (mut epoch, mut first) = (self.step / per_epoch, self.step % per_epoch);
            if stuck {
                (epoch, first) = (epoch + 1, 0);
            }
            let before = self.step;
            for batch in self.train.epoch_from(epoch as u64, first)? {
                if observer.stop() {
                    self.seconds += window.since.elapsed().as_secs_f64();
                    self.save(folder)?;
                    return Ok(Outcome::Interrupted);
                }
                self.advance(batch?, &mut window)?;
                observer.stepped(self.step);
                self.after_step(&mut window, folder, observer)?;
                if self.step == self.settings.steps {
                    break;
                }
            }
            stuck = self.step == before;
            if stuck && first == 0 {
                return Err(Error::NoBatch { faults: self.train.faults().len() });
            }
        }
        Ok(Outcome::Finished)
    }

    fn after_step(
        &mut self,
        window: &mut Window,
        folder: Option<&Path>,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let due = |every: usize| every > 0 && self.step.is_multiple_of(every);
        let last = self.step == self.settings.steps;
        let evaluates = self.validation.is_some() && (due(self.settings.eval_every) || last);
        let saves = due(self.settings.save_every) && !last;
        if due(self.settings.log_every) || evaluates || last {
            let measurement = self.measure(window, evaluates)?;
            observer.measured(&measurement);
            *window = Window::start();
        }
        if saves { self.save(folder) } else { Ok(()) }
    }

    fn save(&self, folder: Option<&Path>) -> Result<(), Error> {
        let learners = std::iter::once((String::new(), &self.trained)).chain(self.watch.learners());
        match folder {
            Some(folder) => state::save(folder, learners, &self.run, self.step, self.seconds),
            None => Ok(()),
        }
    }

    fn measure(&mut self, window: &Window, evaluates: bool) -> Result<Measurement, Error> {
        let elapsed = window.since.elapsed().as_secs_f64();
        self.seconds += elapsed;
        let accuracy = match (&self.validation, evaluates) {
            (Some(loader), true) => {
                Some(evaluate(&self.network()?, self.source.as_ref(), loader, 1, self.settings.seed)?.accuracy())
            }
            _ => None,
        };
        let readings = self.watch.take_readings();
        Ok(Measurement {
            step: self.step,
            steps: self.settings.steps,
            epoch: self.step / self.train.batches().max(1),
            loss: window.loss / window.steps.max(1) as f32,
            train_accuracy: window.right as f64 / window.images.max(1) as f64,
            accuracy,
            learning_rate: self.settings.rate(self.step.saturating_sub(1)),
            images_per_second: window.images as f64 / elapsed.max(1e-9),
            seconds: self.seconds,
            signal_probe: readings.signal_probe,
            label_probe: readings.label_probe,
            distance_correlation: readings.distance_correlation,
        })
    }

    /// One step of stochastic gradient descent.
    fn advance(&mut self, batch: Batch, window: &mut Window) -> Result<(), Error> {
        let mut rng =
            ChaCha8Rng::seed_from_u64(self.settings.seed ^ (self.step as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (plane, signals, targets) = self.signal(&batch.labels, &mut rng)?;
        let network = &self.trained.network;
        let images = to_device(network, batch.images, batch.shape);
        let x = frozen_features(self.frozen.as_ref(), images.clone())?.autodiff();
        let mut dropout = Dropout::seeded(rng.random());
        let pass = Pass { signal: plane, dropout: Some(&mut dropout), half: self.settings.half };
        let (scores, seen) = self.watch.forward(network, x, pass, self.progress(), &mut rng)?;
        let scores = scores.flatten::<2>(1, 3); // [batch, classes]
        let goal = whole_numbers(&targets, network.device());
        let right = hits(scores.clone(), goal.clone());
        let task = self.loss.forward(scores, goal);
        let value = task.clone().into_scalar::<f32>();
        let secrets = Secrets { images, signals: &signals, labels: &batch.labels };
        let loss = match self.watch.penalty(&seen, &secrets, self.progress())? {
            Some(penalty) => task + penalty,
            None => task,
        };
        let total = loss.clone().into_scalar::<f32>();
        if !total.is_finite() {
            return Err(Error::Diverged { step: self.step, loss: total });
        }
        self.trained.step(self.settings.rate(self.step), &mut loss.backward());
        self.step += 1;
        window.add(value, right, targets.len());
        Ok(())
    }

    /// Share of the steps that are done.
    fn progress(&self) -> f32 {
        self.step as f32 / self.settings.steps as f32
    }

    /// A fresh signal for each image as a channel, `[batch, 1, height, width]`, and as numbers; the masked labels.
    fn signal(&self, labels: &[usize], rng: &mut ChaCha8Rng) -> Result<Signals, Error> {
        let (Some(source), Some(shape)) = (&self.source, self.trained.network.signal_shape()) else {
            return Ok((None, Vec::new(), labels.to_vec()));
        };
        let mut signals = source.draw(labels.len(), rng);
        self.settings.curriculum.withhold(self.progress(), labels, &mut signals, rng);
        let planes = source.planes(&signals, rng)?;
        let planes = to_device(&self.trained.network, planes, [labels.len(), 1, shape.height, shape.width]).autodiff();
        let masked = relabel(source.spec(), labels, &signals);
        Ok((Some(planes), signals, masked))
    }
}

/// The channel of a batch's signals, the signals, and the masked labels.
type Signals = (Option<Tensor<4>>, Vec<usize>, Vec<usize>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_pairs_holds_and_then_rises_to_all() {
        let curriculum = Curriculum { start: 0.2, hold: 0.25, span: 0.5 };
        for (progress, expected) in [(0.0, 0.2), (0.25, 0.2), (0.5, 0.6), (0.75, 1.0), (1.0, 1.0)] {
            assert!((curriculum.share(progress) - expected).abs() < 1e-6, "{progress}");
        }
        let off = Curriculum { start: 0.0, hold: 0.0, span: 0.0 };
        assert_eq!([off.share(0.0), off.share(1.0)], [1.0, 1.0]);
    }

    #[test]
    fn signals_are_withheld_while_holding_and_then_only_in_pairs_without_a_0() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let labels: Vec<usize> = (0..4000).map(|index| index % 4).collect();
        let curriculum = Curriculum { start: 0.0, hold: 0.5, span: 0.5 };
        let mut left = |progress| {
            let mut signals = vec![3; labels.len()];
            curriculum.withhold(progress, &labels, &mut signals, &mut rng);
            let drawn = |class: bool| (0..4000).filter(|&at| (labels[at] == 0) == class && signals[at] == 3).count();
            [drawn(true), drawn(false)]
        };
        assert_eq!(left(0.0), [0, 0]);
        assert_eq!(left(0.5), [1000, 0]);
        let [zero, others] = left(0.75);
        assert!(zero == 1000 && others.abs_diff(1500) < 150, "{others}");
        assert_eq!(left(1.0), [1000, 3000]);
    }

    #[test]
    fn the_rate_goes_by_its_schedule() {
        let rates =
            |schedule, power| [0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0].map(|at| Schedule::share(schedule, at, power));
        let near = |got: [f64; 7], expected: [f64; 7]| {
            let worst = got.iter().zip(expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-12, "{got:?}");
        };
        near(rates(Schedule::Polynomial, 0.0), [1.0; 7]);
        near(rates(Schedule::Polynomial, 1.0), [1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 0.0]);
        near(rates(Schedule::Piecewise, 1.0), [0.0, 0.5, 1.0, 0.525, 0.05, 0.025, 0.0]);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let wrong = |settings: TrainSettings| settings.check().unwrap_err().to_string();
        let curriculum = Curriculum { hold: f32::NAN, ..Curriculum::default() };
        assert!(wrong(TrainSettings { curriculum, ..TrainSettings::default() }).contains("curriculum.hold is NaN"));
        assert!(wrong(TrainSettings { momentum: 1.0, ..TrainSettings::default() }).contains("momentum is 1"));
        assert!(wrong(TrainSettings { steps: 0, ..TrainSettings::default() }).contains("steps is 0"));
        assert!(TrainSettings::default().check().is_ok());
    }
}

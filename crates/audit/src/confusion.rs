//! What confusion neurons are worth against whoever has the widened network and not the key.
//!
//! The attacker holds all weights, knows the scheme, how images are prepared and, as the worst case, how many confusion
//! neurons each group of channels has; it has some images of its own, labelled or not. Test images and the key serve to
//! measure, and no attack sees them.

mod detect;
mod linear;
mod prune;
mod record;
mod saliency;
mod signs;
mod trace;
mod tune;

use crate::auditor::device_name;
use crate::observer::Observer;
use crate::parts::{Parts, Pictured, fingerprint};
use crate::pixels::{Lot, to_host};
use crate::probe::CHUNK;
use crate::{Error, Share};
use cleave_confusion::{ConfusionKey, Groups, Strategy, gain, strip, without};
use cleave_data::{LoadOptions, Loader, Preparation};
use cleave_nets::{Network, Pass, argmax};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
pub use record::{
    ConfusionAudit, Detection, DetectionKind, GroupFindings, Pruning, PruningKind, Saliency, SaliencyColumn,
    SaliencyKind, SaliencyOf, TuneStart, Tuning, TuningPoint,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::path::Path;

/// A confused network, and the key to measure attacks with.
pub struct ConfusionTarget {
    /// Name of the model.
    pub model: String,
    /// What is released.
    pub widened: Network,
    /// Its key.
    pub key: ConfusionKey,
    /// The strategy that the attacker is told; `None` leaves it in the dark.
    pub strategy: Option<Strategy>,
    /// Class names, in the order of the outputs.
    pub classes: Vec<String>,
    /// How an image becomes an input.
    pub preparation: Preparation,
}

/// An attack on a confused network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfusionAttack {
    /// Statistics of weights and activations, without a label.
    Detection,
    /// Leaving out what does harm on labelled images.
    Pruning,
    /// Training on labelled images, and its baselines.
    FineTuning,
    /// Pruning, then fine-tuning.
    Combination,
    /// Where networks look, before and after.
    Saliency,
}

impl ConfusionAttack {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Detection, Self::Pruning, Self::FineTuning, Self::Combination, Self::Saliency];
}

/// How much is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfusionSettings {
    /// Which attacks.
    pub attacks: Vec<ConfusionAttack>,
    /// Numbers of labelled images; what exceeds the attacker's images is cut to as many as there are.
    pub labelled: Vec<usize>,
    /// Unlabelled images that activations are measured on.
    pub unlabelled: usize,
    /// Times that the attacker inserts neurons of its own into a group, to learn what tells them.
    pub insertions: usize,
    /// How harmful units are looked for.
    pub prune: PruneSettings,
    /// How networks are trained.
    pub finetune: FineTuneSettings,
    /// Test images at most.
    pub tests: usize,
    /// Test images that saliency is drawn for.
    pub pictures: usize,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

impl Default for ConfusionSettings {
    fn default() -> Self {
        Self {
            attacks: ConfusionAttack::ALL.to_vec(),
            labelled: vec![10, 50, 200, 1000],
            unlabelled: 256,
            insertions: 5,
            prune: PruneSettings::default(),
            finetune: FineTuneSettings::default(),
            tests: 2000,
            pictures: 6,
            seed: 0,
        }
    }
}

/// How harmful units are looked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PruneSettings {
    /// Labelled images that one step of learned factors takes at most.
    pub images: usize,
    /// Rounds in which sensitivity leaves units out.
    pub rounds: usize,
    /// Steps of learned factors.
    pub factor_steps: usize,
    /// Their rate at the start, of Adam.
    pub factor_rate: f64,
    /// Units times images above which units are not left out one by one.
    pub exact: usize,
    /// Exchanges that a refinement tries.
    pub swaps: usize,
}

impl Default for PruneSettings {
    fn default() -> Self {
        Self { images: 200, rounds: 25, factor_steps: 60, factor_rate: 0.1, exact: 100_000, swaps: 200 }
    }
}

/// How networks are trained.
///
/// Why the default rate is a tenth of that for random weights: AlexNet of half the width on CIFAR-10, trained for 150 steps
/// on 200 of its images, fell from 77.0 to 39.9 % of 1,000 test images at 0.01 and to 74.3 % at 0.001.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FineTuneSettings {
    /// Batches to train on.
    pub steps: usize,
    /// Images a batch.
    pub batch: usize,
    /// Rate at the start, of stochastic gradient descent with momentum.
    pub learning_rate: f64,
    /// The same for random weights, which need larger steps.
    pub scratch_rate: f64,
    /// Times that accuracy is measured along the way.
    pub evaluations: usize,
}

impl Default for FineTuneSettings {
    fn default() -> Self {
        Self { steps: 400, batch: 32, learning_rate: 0.001, scratch_rate: 0.01, evaluations: 4 }
    }
}

/// For each group and unit whether it is taken for a confusion neuron.
type Marks = Vec<Vec<bool>>;

/// What attacks work with, and what they are measured with.
struct Field<'a> {
    widened: &'a Network,
    groups: Groups,
    strategy: Option<Strategy>,
    /// Confusion neurons of each group: known to the attacker.
    hidden: Vec<usize>,
    /// Which they are: not known.
    truth: Marks,
    own: &'a Loader,
    /// The attacker's images in the order in which they are used: classes alternate.
    order: Vec<usize>,
    /// Images of the attacker's, whose labels detections do not look at.
    unlabelled: Lot,
    /// Test images, not seen by any attack.
    test: Lot,
    /// The same, for the trainer.
    tests: Loader,
    settings: &'a ConfusionSettings,
}

impl Field<'_> {
    /// Right answers on test images without the marked units.
    fn accuracy(&self, marks: &Marks) -> Result<Share, Error> {
        self.accuracy_of(&without(self.widened, marks)?)
    }

    /// Right answers of a network on test images.
    fn accuracy_of(&self, network: &Network) -> Result<Share, Error> {
        let mut right = 0;
        for chunk in self.test.chunks(5 * CHUNK) {
            let scores = to_host(network.forward(chunk.prepared.clone(), Pass::default())?)?;
            let rows = scores.chunks(network.output().values()).zip(&chunk.labels);
            right += rows.filter(|(row, label)| argmax(row) == **label).count();
        }
        Ok(Share::of(right, self.test.len()))
    }

    /// The attacker's first images.
    fn labelled(&self, count: usize) -> Result<Lot, Error> {
        let dataset = self.own.dataset().subset(&self.order[..count])?;
        let loader = Loader::new(dataset, self.own.preparation().clone(), LoadOptions::evaluation(CHUNK))?;
        Lot::load(&loader, count, ATTACKER, self.widened.device())
    }
}

const ATTACKER: &str = "the attacker";

/// Attacks a confused network.
///
/// `own` are the attacker's images, of which `settings` says how many are used, and `test` those that accuracy is
/// measured on. What loaders say about batches and order is not used. `folder` keeps finished parts, from which an
/// interrupted audit goes on; without it such an audit starts anew.
///
/// # Errors
/// [`Error::Confusion`] where the key is for another network; [`Error::Classes`]; [`Error::TooFewImages`];
/// [`Error::Setting`] for images prepared otherwise than the target's, for a network with a signal, and for settings out
/// of range; [`Error::OtherRun`] when the folder holds another audit; [`Error::Interrupted`] where the observer says stop.
pub fn audit_confusion(
    target: &ConfusionTarget,
    own: &Loader,
    test: &Loader,
    settings: &ConfusionSettings,
    folder: Option<&Path>,
    observer: &mut dyn Observer,
) -> Result<ConfusionAudit, Error> {
    let plain = strip(&target.widened, &target.key)?;
    check(target, [own, test], settings)?;
    let parts = Parts::open(folder, &identity(target, [own, test], settings)?)?;
    let field = field(target, own, test, settings)?;
    let run = Run { field: &field, plain: &plain, parts: &parts, done: Cell::new(0) };
    let attacked = run.all(frame(target, &plain, &field)?, observer);
    attacked.map_err(|error| match error {
        Error::Interrupted { .. } => Error::Interrupted { done: run.done.get(), all: run.count() },
        error => error,
    })
}

/// All attacks on one network.
struct Run<'a> {
    field: &'a Field<'a>,
    plain: &'a Network,
    parts: &'a Parts<'a>,
    /// Parts that are finished.
    done: Cell<usize>,
}

impl Run<'_> {
    fn tries(&self, attack: ConfusionAttack) -> bool {
        self.field.settings.attacks.contains(&attack)
    }

    fn prunes(&self) -> bool {
        self.tries(ConfusionAttack::Pruning) || self.tries(ConfusionAttack::Combination)
    }

    /// What networks are trained from.
    fn starts(&self) -> Vec<TuneStart> {
        let mut starts = Vec::new();
        if self.tries(ConfusionAttack::FineTuning) {
            starts.extend([TuneStart::WithoutKey, TuneStart::WithKey, TuneStart::Scratch]);
        }
        starts.extend(self.tries(ConfusionAttack::Combination).then_some(TuneStart::Pruned));
        starts
    }

    /// Parts there are.
    fn count(&self) -> usize {
        let detections = if self.tries(ConfusionAttack::Detection) { detect::KINDS.len() } else { 0 };
        detections + self.numbers().len() * (usize::from(self.prunes()) + self.starts().len())
    }

    fn part<T: Serialize + DeserializeOwned + Pictured>(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let part = self.parts.part(name, make)?;
        self.done.set(self.done.get() + 1);
        Ok(part)
    }

    fn all(&self, mut audit: ConfusionAudit, observer: &mut dyn Observer) -> Result<ConfusionAudit, Error> {
        let field = self.field;
        let mut detected = Vec::new();
        if self.tries(ConfusionAttack::Detection) {
            for (at, kind) in detect::KINDS.into_iter().enumerate() {
                detected.push(self.part(&format!("detection-{at}"), || detect::one(field, kind, observer))?);
            }
        }
        audit.detections = detected.iter().map(|found| found.finding.clone()).collect();
        let marked = detected.iter().map(|found| (found.finding.accuracy, without(field.widened, &found.marks)));
        let mut best: Option<(Share, Network)> = None;
        for (accuracy, network) in marked {
            keep(&mut best, accuracy, network?);
        }
        for labelled in self.numbers() {
            let mut pruned = None;
            if self.prunes() {
                let attack = || prune::all(field, &field.labelled(labelled)?, &detected, observer);
                let found = self.part(&format!("pruning-{labelled}"), attack)?;
                audit.prunings.extend(found.findings);
                let network = without(field.widened, &found.marks)?;
                keep(&mut best, field.accuracy_of(&network)?, network.clone());
                pruned = Some(network);
            }
            for start in self.starts() {
                let network = self.start(start, pruned.as_ref())?;
                let tune = || tune::tune(field, start, &network, labelled, observer).map(Tuned);
                let Tuned(tuned) = self.part(&format!("tuning-{labelled}-{start:?}"), tune)?;
                audit.tunings.push(tuned);
            }
        }
        if self.tries(ConfusionAttack::Saliency) {
            let mut networks = vec![(SaliencyOf::WithKey, self.plain), (SaliencyOf::WithoutKey, field.widened)];
            networks.extend(best.iter().map(|(_, network)| (SaliencyOf::Attacked, network)));
            audit.saliency = saliency::saliency(field, &networks)?;
        }
        audit.seconds = self.parts.seconds();
        Ok(audit)
    }

    fn start(&self, start: TuneStart, pruned: Option<&Network>) -> Result<Network, Error> {
        let plain = self.plain;
        match (start, pruned) {
            (TuneStart::WithKey, _) => Ok(plain.clone()),
            (TuneStart::Scratch, _) => {
                let seed = self.field.settings.seed;
                Ok(Network::random(plain.architecture().clone(), seed, plain.device())?)
            }
            (TuneStart::Pruned, Some(network)) => Ok(network.clone()),
            (TuneStart::Pruned | TuneStart::WithoutKey, _) => Ok(self.field.widened.clone()),
        }
    }

    /// Numbers of labelled images that can be had, in order.
    fn numbers(&self) -> Vec<usize> {
        let wanted = self.field.settings.labelled.iter();
        let mut all: Vec<usize> = wanted.map(|&count| count.min(self.field.order.len())).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Keeps the network that did best on test images.
fn keep(best: &mut Option<(Share, Network)>, accuracy: Share, network: Network) {
    if best.as_ref().is_none_or(|(other, _)| accuracy.share > other.share) {
        *best = Some((accuracy, network));
    }
}

#[derive(Serialize, Deserialize)]
struct Tuned(Tuning);

impl Pictured for Tuned {}

/// What a resumed audit has to agree on.
fn identity(
    target: &ConfusionTarget,
    [own, test]: [&Loader; 2],
    settings: &ConfusionSettings,
) -> Result<serde_json::Value, Error> {
    Ok(serde_json::json!({
        "settings": serde_json::to_value(settings).map_err(cleave_nets::Error::from)?,
        "network": cleave_partition::tensor_hash(&target.widened)?,
        "key": target.key.id().to_string(),
        "strategy": target.strategy,
        "attacker": fingerprint(own),
        "test": fingerprint(test),
    }))
}

fn check(target: &ConfusionTarget, loaders: [&Loader; 2], settings: &ConfusionSettings) -> Result<(), Error> {
    let outputs = target.widened.output().values();
    let classes = [target.classes.len()].into_iter().chain(loaders.map(|loader| loader.dataset().classes().len()));
    if let Some(data) = classes.into_iter().find(|&data| data != outputs) {
        return Err(Error::Classes { data, network: "network", outputs });
    }
    if target.widened.signal_shape().is_some() {
        let value = "one that a signal joins".to_owned();
        return Err(Error::Setting { name: "the network", value, expected: "one without a signal" });
    }
    if loaders.iter().any(|loader| *loader.preparation() != target.preparation) {
        let value = "another one than the network's".to_owned();
        return Err(Error::Setting { name: "the preparation of images", value, expected: "the network's own" });
    }
    let rates = [("learning_rate", settings.finetune.learning_rate), ("scratch_rate", settings.finetune.scratch_rate)];
    if let Some((name, rate)) = rates.into_iter().find(|(_, rate)| !rate.is_finite() || *rate <= 0.0) {
        return Err(Error::Setting { name, value: rate.to_string(), expected: "a number above 0" });
    }
    let counts = [("steps", settings.finetune.steps), ("unlabelled", settings.unlabelled), ("tests", settings.tests)];
    let labelled = settings.labelled.iter().map(|&count| ("labelled", count));
    match counts.into_iter().chain(labelled).find(|(_, count)| *count == 0) {
        Some((name, value)) => Err(Error::Setting { name, value: value.to_string(), expected: "at least 1" }),
        None => Ok(()),
    }
}

fn field<'a>(
    target: &'a ConfusionTarget,
    own: &'a Loader,
    test: &Loader,
    settings: &'a ConfusionSettings,
) -> Result<Field<'a>, Error> {
    let (order, tested) = (alternating(own, settings.seed), alternating(test, settings.seed));
    for (side, images) in [(ATTACKER, order.len()), ("the test set", tested.len())] {
        if images == 0 {
            return Err(Error::TooFewImages { side, images, least: 1 });
        }
    }
    let chosen = test.dataset().subset(&tested[..settings.tests.min(tested.len())])?;
    let tests = Loader::new(chosen, test.preparation().clone(), LoadOptions::evaluation(5 * CHUNK))?;
    let device = target.widened.device();
    let unlabelled = own.dataset().subset(&order[..settings.unlabelled.min(order.len())])?;
    let unlabelled = Loader::new(unlabelled, own.preparation().clone(), LoadOptions::evaluation(CHUNK))?;
    Ok(Field {
        widened: &target.widened,
        groups: Groups::of(target.widened.architecture())?,
        strategy: target.strategy,
        hidden: target.key.plan().units().to_vec(),
        truth: target.key.masks_in_the_clear().to_vec(),
        own,
        unlabelled: Lot::load(&unlabelled, usize::MAX, ATTACKER, device)?,
        test: Lot::load(&tests, usize::MAX, "the test set", device)?,
        order,
        tests,
        settings,
    })
}

/// The images of a dataset in an order in which classes alternate, so that the first few hold as many of each.
fn alternating(loader: &Loader, seed: u64) -> Vec<usize> {
    let mut classes = vec![Vec::new(); loader.dataset().classes().len()];
    loader.dataset().labels().enumerate().for_each(|(index, label)| classes[label].push(index));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    classes.iter_mut().for_each(|members| members.shuffle(&mut rng));
    let longest = classes.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest).flat_map(|at| classes.iter().filter_map(move |members| members.get(at).copied())).collect()
}

/// What is known without an attack.
fn frame(target: &ConfusionTarget, plain: &Network, field: &Field<'_>) -> Result<ConfusionAudit, Error> {
    let group = |(group, &confusion): (&cleave_confusion::Group, &usize)| GroupFindings {
        writers: group.writers.clone(),
        units: group.units,
        confusion,
    };
    let images = field.unlabelled.part(0, field.unlabelled.len().min(CHUNK));
    Ok(ConfusionAudit {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        model: target.model.clone(),
        key: target.key.id().to_string(),
        strategy: target.strategy,
        classes: target.classes.clone(),
        input: target.widened.input().dims(),
        groups: field.groups.list().iter().zip(&field.hidden).map(group).collect(),
        bits: target.key.bits(),
        plain_parameters: plain.values()?,
        widened_parameters: target.widened.values()?,
        gain: gain(plain, &target.widened, &to_host(images.prepared)?, 1.0)?,
        with_key: field.accuracy_of(plain)?,
        without_key: field.accuracy_of(field.widened)?,
        guess: field.test.guess(target.classes.len()),
        own_images: field.order.len(),
        test_images: field.test.len(),
        detections: Vec::new(),
        prunings: Vec::new(),
        tunings: Vec::new(),
        saliency: None,
        settings: field.settings.clone(),
        seconds: 0.0,
        device: device_name(target.widened.device()),
    })
}

fn nothing(groups: &Groups) -> Marks {
    groups.list().iter().map(|group| vec![false; group.units]).collect()
}

/// Precision and recall of marks.
fn found(marks: &Marks, truth: &Marks) -> [f64; 2] {
    let count = |of: &dyn Fn(bool, bool) -> bool| {
        let pairs = marks.iter().flatten().zip(truth.iter().flatten());
        pairs.filter(|(marked, hidden)| of(**marked, **hidden)).count()
    };
    let [right, marked, hidden] =
        [count(&|marked, hidden| marked && hidden), count(&|marked, _| marked), count(&|_, hidden| hidden)];
    [marked, hidden].map(|all| right as f64 / all.max(1) as f64)
}

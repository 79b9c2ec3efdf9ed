//! Attacks on confused networks find what is there, and their record says so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use cleave_audit::{
    ConfusionAttack, ConfusionAudit, ConfusionSettings, ConfusionTarget, Detection, DetectionKind, Error,
    FineTuneSettings, Observer, PruneSettings, PruningKind, SaliencyKind, Share, Silent, TuneStart, audit_confusion,
    confusion_page,
};
use cleave_confusion::{ConfusionKey, Groups, PerLayer, Plan, Strategy, confuse};
use cleave_data::{LoadOptions, Loader, Preparation, Shapes};
use cleave_nets::{Architecture, Layer, Network, Shape, Window};
use cleave_retrain::{Measurement, TrainSettings, Trainer};
use cleave_secrets::Secret;
use serde_json::Value;
use std::sync::LazyLock;

/// Side of the images in pixels.
const SIDE: usize = 16;
const CLASSES: usize = 4;

fn preparation() -> Preparation {
    Preparation::new(SIDE, SIDE, 3).normalised([0.5, 0.5, 0.5], [0.25, 0.25, 0.25])
}

fn loader(split: &str, images: usize) -> Loader {
    let dataset = Shapes::new(CLASSES, SIDE, 5).unwrap().dataset(split, images);
    Loader::new(dataset, preparation(), LoadOptions::training(32, 3)).unwrap()
}

fn architecture() -> Architecture {
    let conv = |filters, stride| Layer::Conv2d { filters, window: Window::square(3, stride, 1), groups: 1, bias: true };
    let norm = Layer::BatchNorm { epsilon: 1e-5 };
    let block = Layer::Residual {
        body: vec![conv(16, 1), norm.clone(), Layer::Relu, conv(24, 1), norm.clone()],
        shortcut: vec![],
    };
    let layers = vec![
        conv(16, 1),
        norm.clone(),
        Layer::Relu,
        conv(24, 2),
        norm,
        Layer::Relu,
        block,
        Layer::Relu,
        Layer::GlobalAvgPool,
        Layer::Linear { features: CLASSES },
    ];
    Architecture::new(Shape::new(3, SIDE, SIDE), layers).unwrap()
}

struct Quiet;

impl cleave_retrain::Observer for Quiet {
    fn measured(&mut self, _measurement: &Measurement) {}
}

/// A network that has learned the shapes.
static TRAINED: LazyLock<Network> = LazyLock::new(|| {
    let network = Network::random(architecture(), 4, &cleave_nets::device("flex").unwrap()).unwrap();
    let settings = TrainSettings { steps: 300, batch: 32, learning_rate: 0.02, ..TrainSettings::default() };
    let mut trainer = Trainer::new(&network, 0, None, loader("train", 2000), None, settings).unwrap();
    trainer.run(None, &mut Quiet).unwrap();
    trainer.network().unwrap()
});

fn target(strategy: Strategy) -> ConfusionTarget {
    let groups = Groups::of(TRAINED.architecture()).unwrap();
    let plan = Plan::uniform(&groups, 0.2, PerLayer::Absolute).unwrap();
    let key = ConfusionKey::draw(Secret::from_bytes(&[7; 32]), &groups, &plan).unwrap();
    let widened = confuse(&TRAINED, &key, strategy, &Secret::from_bytes(&[8; 32])).unwrap();
    let classes = loader("train", 8).dataset().classes().to_vec();
    let (model, strategy) = ("shapes".to_owned(), Some(strategy));
    ConfusionTarget { model, widened, key, strategy, classes, preparation: preparation() }
}

fn settings() -> ConfusionSettings {
    ConfusionSettings {
        attacks: vec![ConfusionAttack::Detection, ConfusionAttack::Pruning],
        labelled: vec![40],
        unlabelled: 64,
        insertions: 8,
        prune: PruneSettings { rounds: 8, factor_steps: 12, exact: 0, swaps: 40, ..PruneSettings::default() },
        finetune: FineTuneSettings { steps: 20, evaluations: 2, ..FineTuneSettings::default() },
        tests: 300,
        pictures: 2,
        seed: 1,
    }
}

fn audit(strategy: Strategy, settings: &ConfusionSettings) -> ConfusionAudit {
    audit_confusion(&target(strategy), &loader("train", 400), &loader("val", 300), settings, None, &mut Silent).unwrap()
}

fn detection(audit: &ConfusionAudit, kind: DetectionKind) -> &Detection {
    audit.detections.iter().find(|found| found.kind == kind).unwrap()
}

/// Right answers after the last pruning on the labelled images.
fn refined(audit: &ConfusionAudit) -> f64 {
    audit.prunings.iter().find(|found| found.kind == PruningKind::Refined).unwrap().accuracy.share
}

fn in_range(audit: &ConfusionAudit) {
    let share = |share: Share| {
        assert!(0.0 <= share.low && share.low <= share.share && share.share <= share.high && share.high <= 1.0);
        assert_eq!(share.of, audit.test_images);
    };
    let part = |value: f64| assert!((0.0..=1.0).contains(&value), "{value}");
    let hidden: usize = audit.confusion();
    assert_eq!((hidden, audit.groups.len()), (12, 3));
    assert!(audit.bits > 30.0 && audit.widened_parameters > audit.plain_parameters);
    assert!(audit.gain.distance > 0.0 && audit.gain.memory > 0.0);
    for found in &audit.detections {
        [found.precision, found.recall, found.average_precision, found.chance].into_iter().for_each(part);
        assert_eq!(found.precision, found.recall, "as many are marked as there are");
        share(found.accuracy);
    }
    for found in &audit.prunings {
        [found.precision, found.recall].into_iter().for_each(part);
        assert!(found.loss.is_finite() && found.forward > 0);
        share(found.accuracy);
    }
    for run in &audit.tunings {
        assert!(run.curve.len() >= 2 && run.curve[0].step == 0 && !run.diverged);
        assert_eq!(run.curve.last().unwrap().accuracy, run.accuracy);
        share(run.accuracy);
    }
}

/// What holds for every strategy: the key gives back what was learned. Returns what attacks found.
fn attacked(strategy: Strategy) -> ConfusionAudit {
    let audit = audit(strategy, &settings());
    in_range(&audit);
    assert!(audit.with_key.share > 0.75, "{:?}", audit.with_key);
    assert!(audit.without_key.share < audit.with_key.share - 0.03, "{:?}", audit.without_key);
    audit
}

#[test]
fn neurons_as_at_the_start_of_training_are_found_by_their_normalisations() {
    let audit = attacked(Strategy::Init);
    assert!(audit.without_key.share < 0.5);
    assert_eq!(detection(&audit, DetectionKind::Initial).recall, 1.0);
    assert!(detection(&audit, DetectionKind::Learned).recall > 0.8);
    assert!(audit.regained(refined(&audit)).unwrap() > 0.8);
}

#[test]
fn sampled_neurons_are_found_by_statistics_that_do_not_fit() {
    let audit = attacked(Strategy::Samp);
    assert!(detection(&audit, DetectionKind::Peeled).recall > 0.8);
    assert_eq!(detection(&audit, DetectionKind::Repeats).recall, 1.0, "they repeat values bit for bit");
    assert_eq!(detection(&audit, DetectionKind::Repeats).images, 0);
    assert!(audit.regained(refined(&audit)).unwrap() > 0.6);
}

#[test]
fn mixed_neurons_are_found_by_what_was_learned_from_insertions() {
    let audit = attacked(Strategy::Mixed);
    assert!(detection(&audit, DetectionKind::Learned).recall > 0.7);
    assert!(audit.regained(refined(&audit)).unwrap() > 0.6);
}

#[test]
fn mimicking_neurons_are_found_by_what_was_learned_and_not_by_repeated_values() {
    let audit = attacked(Strategy::Mimic);
    assert!(detection(&audit, DetectionKind::Learned).recall > 0.6);
    assert!(detection(&audit, DetectionKind::Repeats).recall < 0.4);
    assert!(audit.regained(refined(&audit)).unwrap() > 0.4);
}

#[test]
fn pairs_are_found_by_their_opposed_weights() {
    let audit = attacked(Strategy::Paired);
    assert_eq!(detection(&audit, DetectionKind::Copies).recall, 1.0);
    assert!(detection(&audit, DetectionKind::Copies).images > 0);
}

/// All attacks, small.
fn whole() -> ConfusionSettings {
    ConfusionSettings {
        attacks: ConfusionAttack::ALL.to_vec(),
        labelled: vec![12, 3000],
        prune: PruneSettings { rounds: 3, factor_steps: 3, exact: 2000, swaps: 4, ..PruneSettings::default() },
        insertions: 2,
        tests: 120,
        ..settings()
    }
}

#[test]
fn the_same_seed_gives_the_same_record_and_the_record_survives_json() {
    let first = audit(Strategy::Samp, &whole());
    in_range(&first);
    let labelled: Vec<_> = first.tunings.iter().map(|run| run.labelled).collect();
    assert_eq!(labelled, [12, 12, 12, 12, 400, 400, 400, 400], "no more than there are");
    let starts: Vec<_> = first.tunings[..4].iter().map(|run| run.start).collect();
    assert_eq!(starts, [TuneStart::WithoutKey, TuneStart::WithKey, TuneStart::Scratch, TuneStart::Pruned]);
    assert_eq!(first.prunings.len(), 5 + 4, "units are left out one by one on few images only");
    let saliency = first.saliency.as_ref().unwrap();
    assert_eq!(saliency.kind, SaliencyKind::ClassActivation);
    assert!(saliency.columns.iter().all(|column| column.pictures.len() == 2));
    assert!((saliency.columns[0].likeness - 1.0).abs() < 1e-6 && saliency.columns[1].likeness < 0.999);
    let again = audit(Strategy::Samp, &whole());
    assert_eq!(first.without_times(), again.without_times());
    let text = serde_json::to_string(&first).unwrap();
    let read: ConfusionAudit = serde_json::from_str(&text).unwrap();
    alike(&serde_json::to_value(&read).unwrap(), &serde_json::to_value(&first).unwrap());
    assert_eq!((&read.groups, &read.settings, &read.key), (&first.groups, &first.settings, &first.key));
    let page = confusion_page(&first).unwrap();
    assert!(page.contains("What is the key worth?") && page.contains(&first.key));
}

/// The same values, numbers but for the last digit, which JSON may lose.
fn alike(a: &Value, b: &Value) {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let [a, b] = [a, b].map(|number| number.as_f64().unwrap());
            assert!((a - b).abs() <= 1e-12 * a.abs(), "{a} {b}");
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len());
            a.iter().zip(b).for_each(|(a, b)| alike(a, b));
        }
        (Value::Object(a), Value::Object(b)) => {
            assert!(a.keys().eq(b.keys()));
            a.values().zip(b.values()).for_each(|(a, b)| alike(a, b));
        }
        (a, b) => assert_eq!(a, b),
    }
}

/// Says stop after some steps.
struct Stopping(usize);

impl Observer for Stopping {
    fn stepped(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    fn stop(&self) -> bool {
        self.0 == 0
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (own, test) = (loader("train", 20), loader("val", 20));
    let tried = |target: &ConfusionTarget, own: &Loader, settings: &ConfusionSettings| {
        audit_confusion(target, own, &test, settings, None, &mut Silent).unwrap_err()
    };
    let good = target(Strategy::Samp);
    let unwidened = ConfusionTarget { widened: TRAINED.clone(), ..target(Strategy::Samp) };
    assert!(matches!(tried(&unwidened, &own, &settings()), Error::Confusion(_)));
    let classes = ConfusionTarget { classes: vec!["one".to_owned()], ..target(Strategy::Samp) };
    assert!(matches!(tried(&classes, &own, &settings()), Error::Classes { data: 1, outputs: CLASSES, .. }));
    let preparation = Preparation::new(SIDE, SIDE, 3);
    let dataset = own.dataset().clone();
    let other = Loader::new(dataset, preparation, LoadOptions::default()).unwrap();
    assert!(matches!(tried(&good, &other, &settings()), Error::Setting { name: "the preparation of images", .. }));
    let none = Loader::new(own.dataset().subset(&[]).unwrap(), good.preparation.clone(), LoadOptions::default());
    assert!(matches!(tried(&good, &none.unwrap(), &settings()), Error::TooFewImages { side: "the attacker", .. }));
    let nothing = ConfusionSettings { labelled: vec![0], ..settings() };
    assert!(matches!(tried(&good, &own, &nothing), Error::Setting { name: "labelled", .. }));
    let finetune = FineTuneSettings { learning_rate: f64::NAN, ..FineTuneSettings::default() };
    let rate = ConfusionSettings { finetune, ..settings() };
    assert!(matches!(tried(&good, &own, &rate), Error::Setting { name: "learning_rate", .. }));
    let stopped = audit_confusion(&good, &own, &test, &settings(), None, &mut Stopping(4)).unwrap_err();
    assert!(matches!(stopped, Error::Interrupted { done: 1, all: 8 }), "{stopped}");
}

#[test]
fn an_interrupted_audit_goes_on_where_it_stopped() {
    let (own, test, folder) = (loader("train", 400), loader("val", 300), tempfile::tempdir().unwrap());
    let (target, settings) = (target(Strategy::Samp), whole());
    let run = |settings: &ConfusionSettings, observer: &mut dyn Observer| {
        audit_confusion(&target, &own, &test, settings, Some(folder.path()), observer)
    };
    for steps in [4, 40] {
        let stopped = run(&settings, &mut Stopping(steps)).unwrap_err();
        assert!(matches!(stopped, Error::Interrupted { done: 1.., all: 17 }), "{stopped}");
    }
    let other = ConfusionSettings { seed: 2, ..settings.clone() };
    let refused = run(&other, &mut Silent).unwrap_err().to_string();
    assert!(refused.contains("settings.seed was 1, now 2"), "{refused}");
    let resumed = run(&settings, &mut Stopping(usize::MAX)).unwrap();
    let [resumed, whole] = [resumed, audit(Strategy::Samp, &settings)].map(|audit| audit.without_times());
    alike(&serde_json::to_value(&resumed).unwrap(), &serde_json::to_value(&whole).unwrap());
    assert_eq!(resumed.saliency.unwrap().columns[2].pictures, whole.saliency.unwrap().columns[2].pictures);
}

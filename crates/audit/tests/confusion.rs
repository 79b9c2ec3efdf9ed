//! Attacks on confused networks find what is there, and their record says so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use cleave_audit::{
    ConfusionAttack, ConfusionAudit, ConfusionSettings, ConfusionTarget, Detection, DetectionKind, Error,
    FineTuneSettings, Observer, PruneSettings, PruningKind, SaliencyKind, Share, Silent, TuneStart, audit_confusion,
};
use cleave_confusion::{ConfusionKey, Groups, PerLayer, Plan, Strategy, confuse};
use cleave_data::{LoadOptions, Loader, Preparation, Shapes};
use cleave_nets::{Architecture, Layer, Network, Shape, SignalKind, SignalSpec, Window};
use cleave_retrain::{Measurement, TrainSettings, Trainer};
use cleave_secrets::Secret;
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
    let conv = |filters, stride| Layer::Conv2d { filters, window: Window::square(3, stride, 1), groups: 1 };
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
        insertions: 3,
        prune: PruneSettings { rounds: 8, factor_steps: 15, exact: 10_000, swaps: 40, ..PruneSettings::default() },
        finetune: FineTuneSettings { steps: 20, evaluations: 2, ..FineTuneSettings::default() },
        tests: 300,
        pictures: 2,
        seed: 1,
    }
}

fn audit(strategy: Strategy, settings: &ConfusionSettings) -> ConfusionAudit {
    audit_confusion(&target(strategy), &loader("train", 400), &loader("val", 300), settings, &mut Silent).unwrap()
}

#[test]
fn look() {
    for strategy in Strategy::ALL {
        let start = std::time::Instant::now();
        let audit = audit(strategy, &settings());
        eprintln!("{strategy}: with {:.3} without {:.3} guess {:.3} took {:?}", audit.with_key.share, audit.without_key.share, audit.guess, start.elapsed());
        for d in &audit.detections {
            eprintln!("  {:?} p {:.2} ap {:.2} (chance {:.2}) acc {:.3} {:?} {:.1}s", d.kind, d.precision, d.average_precision, d.chance, d.accuracy.share, d.by_group, d.seconds);
        }
        for d in &audit.prunings {
            eprintln!("  {:?} {} p {:.2} r {:.2} loss {:.3} acc {:.3} fw {} bw {} {:.1}s", d.kind, d.labelled, d.precision, d.recall, d.loss, d.accuracy.share, d.forward, d.backward, d.seconds);
        }
    }
}

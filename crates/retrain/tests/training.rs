//! Training on the built-in images: it learns, it resumes exactly, it leaves frozen layers alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use cleave_data::{Augmentation, Glyphs, LoadOptions, Loader, Preparation, Shapes};
use cleave_nets::{AlexNet, HostTensor, Network, SignalForm, SignalKind, device};
use cleave_retrain::{
    Error, JoinSettings, Measurement, Observer, Outcome, SignalSource, TrainSettings, Trainer, evaluate, join_signal,
};
use std::path::Path;

fn largest_difference(a: &HostTensor, b: &HostTensor) -> f32 {
    a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

struct StopAt(usize, usize);

impl Observer for StopAt {
    fn measured(&mut self, _: &Measurement) {}
    fn stepped(&mut self, step: usize) {
        self.1 = step;
    }
    fn stop(&self) -> bool {
        self.1 == self.0
    }
}

fn loader(split: &str, images: usize, training: bool) -> Loader {
    let data = Shapes::new(2, 64, 5).unwrap().dataset(split, images);
    let options = if training {
        LoadOptions {
            drop_last: true,
            augmentation: Some(Augmentation::shift_and_flip(3)),
            ..LoadOptions::training(8, 1)
        }
    } else {
        LoadOptions::evaluation(32)
    };
    Loader::new(data, Preparation::new(64, 64, 3), options).unwrap()
}

fn alexnet() -> Network {
    let architecture = AlexNet { size: 64, divisor: 16, ..AlexNet::default() }.architecture().unwrap();
    Network::random(architecture, 7, &device("flex").unwrap()).unwrap()
}

fn joined(preserved: usize) -> (Network, SignalSource) {
    let settings = JoinSettings {
        preserved,
        kind: SignalKind::Complement,
        form: SignalForm::Digit,
        strength: 1.0,
        new_weights: 1.0,
        seed: 3,
    };
    let samples = loader("train", 16, false).epoch(0).unwrap().next().unwrap().unwrap().images;
    join_signal(&alexnet(), &settings, Some(Glyphs::drawn(1, &[0, 1], 8).unwrap()), samples).unwrap()
}

fn settings(steps: usize) -> TrainSettings {
    TrainSettings { steps, batch: 8, learning_rate: 0.01, save_every: 1000, log_every: 5, ..TrainSettings::default() }
}

fn trainer(preserved: usize, steps: usize) -> Trainer {
    let (network, source) = joined(preserved);
    Trainer::new(&network, preserved, Some(source), loader("train", 64, true), None, settings(steps)).unwrap()
}

fn run(mut trainer: Trainer, folder: Option<&Path>, stop: usize) -> (Trainer, Outcome) {
    let outcome = trainer.run(folder, &mut StopAt(stop, 0)).unwrap();
    (trainer, outcome)
}

#[test]
fn an_interrupted_run_ends_with_the_same_weights() {
    let whole = run(trainer(1, 12), None, usize::MAX).0.network().unwrap().tensors().unwrap();
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(trainer(1, 12), Some(folder.path()), 5).1, Outcome::Interrupted);
    let resumed = trainer(1, 12).resume(folder.path()).unwrap();
    assert_eq!(resumed.step(), 5);
    let (resumed, outcome) = run(resumed, Some(folder.path()), usize::MAX);
    assert_eq!(outcome, Outcome::Finished);
    let tensors = resumed.network().unwrap().tensors().unwrap();
    for (name, tensor) in &whole {
        assert!(tensors[name] == *tensor, "{name} differs by up to {}", largest_difference(&tensors[name], tensor));
    }
}

#[test]
fn a_state_of_other_settings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(trainer(1, 12), Some(folder.path()), 2);
    let error = trainer(1, 13).resume(folder.path()).err().unwrap();
    assert!(
        matches!(&error, Error::OtherRun { difference, .. } if difference.contains("steps was 12, now 13")),
        "{error}"
    );
    assert!(trainer(2, 12).resume(folder.path()).is_err());
}

#[test]
fn preserved_layers_keep_their_weights_and_later_ones_move() {
    let (before, _) = joined(2);
    let after = run(trainer(2, 3), None, usize::MAX).0.network().unwrap();
    let (before, after) = (before.tensors().unwrap(), after.tensors().unwrap());
    let first_trained = joined(2).0.architecture().numbered_layer(3).unwrap().weight;
    for (name, tensor) in &before {
        let index: usize = name.split('.').next().unwrap().parse().unwrap();
        assert_eq!(after[name] == *tensor, index < first_trained, "{name}");
    }
}

#[test]
fn joining_leaves_the_old_weights_and_the_old_answers_where_the_signal_is_zero() {
    let (base, (network, source)) = (alexnet(), joined(3));
    let images = loader("val", 4, false).epoch(0).unwrap().next().unwrap().unwrap().images;
    let shape = network.signal_shape().unwrap();
    let plain = base.infer(images.clone(), None, 4).unwrap();
    let joined = network.infer(images, Some(vec![0.0; 4 * shape.values()]), 4).unwrap();
    for (a, b) in plain.iter().zip(&joined) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    assert!(source.spec().scale > 0.0);
}

#[test]
fn a_wrong_number_of_classes_is_an_error() {
    let data = Shapes::new(3, 64, 5).unwrap().dataset("train", 30);
    let loader = Loader::new(data, Preparation::new(64, 64, 3), LoadOptions::training(8, 1)).unwrap();
    let error = Trainer::new(&alexnet(), 0, None, loader, None, settings(1)).err().unwrap();
    assert!(matches!(error, Error::Classes { data: 3, network: 2 }));
}

#[test]
fn training_lowers_the_loss_of_a_few_images() {
    struct Losses(Vec<f32>);
    impl Observer for Losses {
        fn measured(&mut self, measurement: &Measurement) {
            self.0.push(measurement.loss);
        }
    }
    let architecture = AlexNet { size: 64, divisor: 8, ..AlexNet::default() }.architecture().unwrap();
    let network = Network::random(architecture, 7, &device("flex").unwrap()).unwrap();
    let data = loader("train", 16, true);
    let settings = TrainSettings { steps: 120, log_every: 20, learning_rate: 0.02, weight_decay: 0.0, ..settings(120) };
    let mut trainer = Trainer::new(&network, 0, None, data, None, settings).unwrap();
    let mut losses = Losses(Vec::new());
    trainer.run(None, &mut losses).unwrap();
    assert!(losses.0.last().unwrap() < &(losses.0[0] * 0.9), "{:?}", losses.0);
    let evaluation = evaluate(&trainer.network().unwrap(), None, &loader("train", 16, false), 1, 0).unwrap();
    assert_eq!(evaluation.correct[0].len(), 16);
}

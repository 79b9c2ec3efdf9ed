//! A narrow AlexNet on the built-in images, small enough for tests.

#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, reason = "helpers of tests")]

use cleave_data::{Augmentation, Glyphs, LoadOptions, Loader, Preparation, Shapes};
use cleave_nets::{AlexNet, HostTensor, Network, SignalForm, SignalKind, device};
use cleave_retrain::{JoinSettings, Measurement, Observer, Outcome, SignalSource, TrainSettings, Trainer, join_signal};
use std::collections::BTreeMap;
use std::path::Path;

type Tensors = BTreeMap<String, HostTensor>;

/// Fails unless both are equal to the last bit, and says how far apart they are.
pub fn assert_equal(expected: &Tensors, got: &Tensors) {
    let largest =
        |a: &HostTensor, b: &HostTensor| a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert_eq!(expected.len(), got.len());
    for (name, tensor) in expected {
        assert!(got[name] == *tensor, "{name} differs by up to {}", largest(&got[name], tensor));
    }
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

pub fn loader(split: &str, images: usize, training: bool) -> Loader {
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

pub fn alexnet() -> Network {
    let architecture = AlexNet { size: 64, divisor: 16, ..AlexNet::default() }.architecture().unwrap();
    Network::random(architecture, 7, &device("flex").unwrap()).unwrap()
}

pub fn join_settings(preserved: usize) -> JoinSettings {
    JoinSettings {
        preserved,
        kind: SignalKind::Complement,
        form: SignalForm::Digit,
        strength: 1.0,
        new_weights: 1.0,
        seed: 3,
    }
}

pub fn joined(preserved: usize) -> (Network, SignalSource) {
    let settings = join_settings(preserved);
    let samples = loader("train", 16, false).epoch(0).unwrap().next().unwrap().unwrap().images;
    join_signal(&alexnet(), &settings, Some(Glyphs::drawn(1, &[0, 1], 8).unwrap()), samples).unwrap()
}

pub fn settings(steps: usize) -> TrainSettings {
    TrainSettings { steps, batch: 8, learning_rate: 0.01, save_every: 1000, log_every: 5, ..TrainSettings::default() }
}

pub fn trainer((network, source): (Network, SignalSource), preserved: usize, settings: TrainSettings) -> Trainer {
    Trainer::new(&network, preserved, Some(source), loader("train", 64, true), None, settings).unwrap()
}

/// Runs until step `stop`.
pub fn run(mut trainer: Trainer, folder: Option<&Path>, stop: usize) -> (Trainer, Outcome) {
    let outcome = trainer.run(folder, &mut StopAt(stop, 0)).unwrap();
    (trainer, outcome)
}

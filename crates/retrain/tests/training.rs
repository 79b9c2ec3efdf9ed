//! Training on the built-in images: it learns, it resumes exactly, it leaves frozen layers alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use cleave_data::{Glyphs, LoadOptions, Loader, Preparation, Shapes};
use cleave_nets::{AlexNet, CifarResNet, DenseNet, Network, device};
use cleave_retrain::{
    Error, Measurement, Observer, Outcome, SignalSource, TrainSettings, Trainer, evaluate, join_signal,
};
use common::{alexnet, assert_equal, joined, loader, run, settings};

fn trainer(preserved: usize, steps: usize) -> Trainer {
    common::trainer(joined(preserved), preserved, settings(steps))
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
    assert_equal(&whole, &resumed.network().unwrap().tensors().unwrap());
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
fn a_state_of_other_images_digits_or_layers_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(trainer(1, 12), Some(folder.path()), 2);
    let resumed = |network, source, images| {
        let trainer =
            Trainer::new(&network, 1, Some(source), loader("train", images, true), None, settings(12)).unwrap();
        trainer.resume(folder.path()).err().map(|error| error.to_string())
    };
    let (network, source) = joined(1);
    assert_eq!(resumed(network.clone(), source.clone(), 64), None);
    let error = resumed(network.clone(), source.clone(), 72).unwrap();
    assert!(error.contains("64 images") && error.contains("72 images"), "{error}");
    let shape = network.signal_shape().unwrap();
    let digits = Glyphs::drawn(9, &[0, 1], 8).unwrap();
    let other = SignalSource::new(source.spec().clone(), Some(digits), shape.height, shape.width).unwrap();
    assert!(resumed(network.clone(), other, 64).unwrap().contains("digits"));
    let mut tensors = network.tensors().unwrap();
    tensors.get_mut("0.bias").unwrap().values[0] = 0.5;
    let other = Network::from_tensors(network.architecture().clone(), tensors, network.device()).unwrap();
    assert!(resumed(other, source, 64).unwrap().contains("preserved layers"));
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
fn a_signal_joins_a_block_whose_ways_begin_with_convolutions() {
    let device = device("flex").unwrap();
    let residual = CifarResNet { depth: 8, size: 16, classes: 2, divisor: 4, ..CifarResNet::default() };
    let base = Network::random(residual.architecture().unwrap(), 1, &device).unwrap();
    let images: Vec<f32> = (0..2 * base.input().values()).map(|at| (at as f32).sin()).collect();
    let join = |base: &Network, preserved| {
        let settings = common::join_settings(preserved);
        join_signal(base, &settings, Some(Glyphs::drawn(1, &[0, 1], 3).unwrap()), images.clone())
    };
    let (network, _) = join(&base, 2).unwrap(); // block3 has a convolution in its shortcut
    let silent = vec![0.0; 2 * network.signal_shape().unwrap().values()];
    let answers = [base.infer(images.clone(), None, 2), network.infer(images.clone(), Some(silent), 2)];
    let [plain, joined] = answers.map(Result::unwrap);
    assert!(plain.iter().zip(&joined).all(|(a, b)| (a - b).abs() < 1e-5), "{plain:?} {joined:?}");
    assert!(matches!(join(&base, 1), Err(Error::Network(_))), "block2 adds its input as it is");
    let dense = DenseNet { size: 16, classes: 2, ..DenseNet::compact(10, 4).unwrap() }.architecture().unwrap();
    let dense = Network::random(dense, 1, &device).unwrap();
    assert!(matches!(join(&dense, 1), Err(Error::JoinSpreads { layer: 2, .. })));
    assert!(join(&dense, 2).is_ok(), "layer 3 is the convolution between two blocks");
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
    lowers_the_loss(false);
}

#[test]
fn training_in_bfloat16_lowers_the_loss_too() {
    lowers_the_loss(true);
}

fn lowers_the_loss(half: bool) {
    struct Losses(Vec<f32>);
    impl Observer for Losses {
        fn measured(&mut self, measurement: &Measurement) {
            self.0.push(measurement.loss);
        }
    }
    let architecture = AlexNet { size: 64, divisor: 8, ..AlexNet::default() }.architecture().unwrap();
    let network = Network::random(architecture, 7, &device("flex").unwrap()).unwrap();
    let data = loader("train", 16, true);
    let settings =
        TrainSettings { steps: 120, log_every: 20, learning_rate: 0.02, weight_decay: 0.0, half, ..settings(120) };
    let mut trainer = Trainer::new(&network, 0, None, data, None, settings).unwrap();
    let mut losses = Losses(Vec::new());
    trainer.run(None, &mut losses).unwrap();
    assert!(losses.0.last().unwrap() < &(losses.0[0] * 0.9), "{:?}", losses.0);
    let evaluation = evaluate(&trainer.network().unwrap(), None, &loader("train", 16, false), 1, 0).unwrap();
    assert_eq!(evaluation.correct[0].len(), 16);
}

//! Every weight of the networks with blocks, grouped convolutions and branches is trained.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use burn::optim::AdamConfig;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};
use cleave_nets::{Architecture, CifarResNet, DenseNet, Network, Pass, RegNetX, Vgg};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CLASSES: usize = 3;
const IMAGES: usize = 12;

/// Learns labels that have nothing to do with their images: the first and the last loss, and the network.
fn learned_by_heart(architecture: &Architecture) -> (f32, f32, Network) {
    let device = cleave_nets::device("flex").unwrap();
    let mut network = Network::random(architecture.clone(), 1, &device).unwrap().trainable();
    let (mut optimizer, mut rng) = (AdamConfig::new().init(), ChaCha8Rng::seed_from_u64(2));
    let [channels, height, width] = architecture.input.dims();
    let shape = [IMAGES, channels, height, width];
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    let images = Tensor::<4>::from_data(TensorData::new(values, shape), &device).autodiff();
    let labels = (0..IMAGES * CLASSES).map(|at| f32::from(u8::from(at / CLASSES % CLASSES == at % CLASSES)));
    let labels = Tensor::<2>::from_data(TensorData::new(labels.collect::<Vec<_>>(), [IMAGES, CLASSES]), &device);
    let labels = labels.autodiff();
    let mut losses = Vec::new();
    for _ in 0..60 {
        let scores = network.forward(images.clone(), Pass::default()).unwrap().flatten::<2>(1, 3);
        let loss = (log_softmax(scores, 1) * labels.clone()).sum() / -(IMAGES as f32);
        losses.push(loss.clone().into_scalar::<f32>());
        network.learn(&mut optimizer, 0.01, &mut loss.backward());
    }
    (losses[0], losses[59], network.frozen())
}

#[test]
fn labels_are_learned_by_heart_and_no_tensor_stays_as_it_was() {
    let residual = CifarResNet { depth: 8, size: 8, classes: CLASSES, divisor: 4, ..CifarResNet::default() };
    let dense = DenseNet { size: 8, classes: CLASSES, ..DenseNet::compact(10, 4).unwrap() };
    let grouped = RegNetX {
        widths: vec![8, 16],
        depths: vec![1, 2],
        group: 4,
        stem: 8,
        size: 16,
        classes: CLASSES,
        ..RegNetX::default()
    };
    let vgg = Vgg { depth: 11, hidden: None, size: 32, classes: CLASSES, divisor: 16, ..Vgg::default() };
    for architecture in [residual.architecture(), dense.architecture(), grouped.architecture(), vgg.architecture()] {
        let architecture = architecture.unwrap();
        let (first, last, network) = learned_by_heart(&architecture);
        assert!(last < 0.1 * first, "from {first} to {last}: {architecture:?}");
        let before = Network::random(architecture, 1, network.device()).unwrap().tensors().unwrap();
        let after = network.tensors().unwrap();
        let same: Vec<_> = before.iter().filter(|(name, tensor)| after[*name] == **tensor).collect();
        assert!(same.is_empty(), "{same:?}");
    }
}

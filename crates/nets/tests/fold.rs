//! Folding keeps the function and takes away what it can.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use cleave_nets::{Architecture, CifarResNet, ConvMixer, DenseNet, Layer, Network, RegNetX, Shape, Window};

const NORM: Layer = Layer::BatchNorm { epsilon: 1e-3 };

fn conv(filters: usize, padding: usize) -> Layer {
    Layer::Conv2d { filters, window: Window::square(3, 1, padding), groups: 1, bias: true }
}

fn without_bias(filters: usize, padding: usize) -> Layer {
    Layer::Conv2d { filters, window: Window::square(3, 1, padding), groups: 1, bias: false }
}

/// Weights of every kind at random, running statistics included.
fn network(architecture: Architecture) -> Network {
    let device = cleave_nets::device("flex").unwrap();
    let mut tensors = Network::random(architecture.clone(), 5, &device).unwrap().tensors().unwrap();
    for (name, tensor) in &mut tensors {
        if tensor.shape.len() == 1 {
            let seed = name.bytes().map(usize::from).sum::<usize>();
            for (index, value) in tensor.values.iter_mut().enumerate() {
                *value = 0.4 + ((seed + index * 7) % 11) as f32 / 10.0;
            }
        }
    }
    Network::from_tensors(architecture, tensors, &device).unwrap()
}

fn norms(layers: &[Layer]) -> usize {
    let inside = |layer: &Layer| match layer {
        Layer::BatchNorm { .. } => 1,
        Layer::Residual { body, shortcut } => norms(body) + norms(shortcut),
        Layer::Concat { branches } => branches.iter().map(|branch| norms(branch)).sum(),
        _ => 0,
    };
    layers.iter().map(inside).sum()
}

/// The folded network, after a comparison with the network itself.
fn folded(architecture: Architecture) -> Network {
    let network = network(architecture);
    let folded = network.folded().unwrap();
    let images: Vec<f32> = (0..2 * network.input().values()).map(|at| (at * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let (before, after) = (network.infer(images.clone(), None, 2).unwrap(), folded.infer(images, None, 2).unwrap());
    let largest = before.iter().map(|value| value.abs()).fold(0.0, f32::max);
    for (before, after) in before.iter().zip(&after) {
        assert!((before - after).abs() <= 1e-5 * largest, "{before} and {after} of at most {largest}");
    }
    folded
}

#[test]
fn a_norm_goes_into_the_layer_before_it_or_behind_it() {
    let block = Layer::Residual {
        body: vec![conv(4, 1), NORM, Layer::Relu, NORM, conv(4, 1)],
        shortcut: vec![conv(4, 1), NORM],
    };
    let layers = vec![
        NORM,
        conv(4, 0),
        NORM,
        Layer::Relu,
        block,
        Layer::Gelu,
        NORM,
        Layer::GlobalAvgPool,
        Layer::Flatten,
        Layer::Linear { features: 5 },
        NORM,
        Layer::Relu,
        NORM,
        Layer::Linear { features: 3 },
    ];
    let folded = folded(Architecture::new(Shape::new(3, 7, 7), layers).unwrap());
    assert_eq!(norms(&folded.architecture().layers), 1, "the one before a padded convolution stays");
    assert_eq!(folded.architecture().layers.len(), 14 - 5);
}

#[test]
fn a_norm_before_a_flatten_of_many_positions_stays() {
    let layers = vec![conv(2, 0), Layer::Relu, NORM, Layer::Flatten, Layer::Linear { features: 2 }];
    let folded = folded(Architecture::new(Shape::new(1, 4, 4), layers).unwrap());
    assert_eq!(norms(&folded.architecture().layers), 1);
}

#[test]
fn a_convolution_without_bias_gets_one_with_a_norm_only() {
    let layers = vec![
        without_bias(4, 1),
        NORM,
        Layer::Relu,
        without_bias(5, 1),
        Layer::Relu,
        NORM,
        without_bias(3, 0),
        Layer::Relu,
        Layer::Flatten,
        Layer::Linear { features: 2 },
    ];
    let folded = folded(Architecture::new(Shape::new(2, 6, 6), layers).unwrap());
    let biases = |layer: &Layer| match layer {
        Layer::Conv2d { bias, .. } => Some(*bias),
        _ => None,
    };
    let biases: Vec<_> = folded.architecture().layers.iter().filter_map(biases).collect();
    assert_eq!((biases, norms(&folded.architecture().layers)), (vec![true, false, true], 0));
}

#[test]
fn residual_networks_lose_all_norms() {
    let small = CifarResNet { depth: 14, size: 16, divisor: 4, ..CifarResNet::default() };
    let grouped = RegNetX {
        widths: vec![8, 16],
        depths: vec![1, 2],
        group: 4,
        stem: 8,
        size: 32,
        classes: 10,
        ..RegNetX::default()
    };
    for architecture in [small.architecture().unwrap(), grouped.architecture().unwrap()] {
        assert!(norms(&architecture.layers) > 10);
        assert_eq!(norms(&folded(architecture).architecture().layers), 0);
    }
}

#[test]
fn a_dense_net_loses_the_norms_between_two_convolutions_and_no_other() {
    let dense = DenseNet { size: 16, ..DenseNet::compact(16, 4).unwrap() }.architecture().unwrap();
    assert_eq!(norms(&dense.layers), 6 * 2 + 2 + 1); // two a layer, one a transition, and the last
    assert_eq!(norms(&folded(dense).architecture().layers), 6 + 2 + 1, "those behind a concatenation stay");
}

#[test]
fn conv_mixer_loses_its_last_norm() {
    let mixer = ConvMixer { width: 6, depth: 2, kernel: 3, size: 8, ..ConvMixer::default() };
    let folded = folded(mixer.architecture().unwrap());
    assert_eq!(norms(&folded.architecture().layers), 4, "of five");
}

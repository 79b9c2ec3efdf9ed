//! Gradients by name are those of small steps.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use burn::tensor::Tensor;
use cleave_nets::{Architecture, HostTensor, Layer, Network, Pass, Shape, Window, device};
use std::collections::BTreeMap;

fn layers() -> Vec<Layer> {
    let conv = |filters| Layer::Conv2d { filters, window: Window::square(3, 1, 1), groups: 1, bias: true };
    let body = vec![conv(4), Layer::Gelu, conv(4)];
    vec![
        Layer::LocalConv2d { filters: 4, size: [2, 2] },
        Layer::Residual { body, shortcut: vec![] },
        Layer::GlobalAvgPool,
        Layer::Linear { features: 3 },
    ]
}

fn loss(network: &Network) -> Tensor<1> {
    let values: Vec<f32> = (0..2 * 2 * 36_u16).map(|i| (f32::from(i) * 0.37).sin()).collect();
    let x = Tensor::<1>::from_floats(values.as_slice(), network.device()).reshape([2, 2, 6, 6]);
    let y = network.forward(x, Pass::default()).unwrap();
    (y.clone() * y).sum()
}

#[test]
fn gradients_by_name_agree_with_small_steps() {
    let (architecture, device) = (Architecture::new(Shape::new(2, 6, 6), layers()).unwrap(), device("flex").unwrap());
    let network = Network::random(architecture.clone(), 3, &device).unwrap();
    let tensors = network.tensors().unwrap();
    let trainable = network.trainable();
    let found = trainable.gradients(&loss(&trainable).backward()).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), tensors.keys().collect::<Vec<_>>());
    let at = |tensors: BTreeMap<String, HostTensor>| {
        loss(&Network::from_tensors(architecture.clone(), tensors, &device).unwrap()).into_scalar::<f32>()
    };
    for (name, gradient) in &found {
        assert_eq!(gradient.shape, tensors[name].shape, "{name}");
        let place = gradient.values.len() / 2;
        let moved = |by: f32| {
            let mut tensors = tensors.clone();
            tensors.get_mut(name).unwrap().values[place] += by;
            at(tensors)
        };
        let slope = (moved(0.01) - moved(-0.01)) / 0.02;
        let gap = (gradient.values[place] - slope).abs();
        assert!(gap < 0.01 + 0.02 * slope.abs(), "{name}: {} against {slope}", gradient.values[place]);
    }
}

#[test]
fn a_steady_network_runs_as_at_inference_wherever_its_normalisations_stand() {
    let norm = || Layer::BatchNorm { epsilon: 1e-5 };
    let conv = || Layer::Conv2d { filters: 2, window: Window::square(3, 1, 1), groups: 1, bias: false };
    let layers = vec![
        norm(),
        Layer::Residual { body: vec![conv(), norm()], shortcut: vec![norm()] },
        Layer::Concat { branches: vec![vec![norm()], vec![conv(), norm()]] },
        Layer::GlobalAvgPool,
        Layer::Linear { features: 3 },
    ];
    let architecture = Architecture::new(Shape::new(2, 6, 6), layers).unwrap();
    let network = Network::random(architecture, 3, &device("flex").unwrap()).unwrap();
    let at_inference = loss(&network).into_scalar::<f32>();
    let steady = network.trainable().steady();
    for _ in 0..2 {
        let gap = (loss(&steady).into_scalar::<f32>() - at_inference).abs();
        assert!(gap <= 1e-5 * at_inference.abs(), "{gap} of {at_inference}");
    }
    let batch = loss(&network.trainable()).into_scalar::<f32>();
    assert!((batch - at_inference).abs() > 1e-3 * at_inference.abs(), "statistics of the batch differ");
}

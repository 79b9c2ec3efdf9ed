//! Forward and backward derivatives agree with each other and with finite differences.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use burn::tensor::{Device, Tensor, TensorData};
use cleave_nets::{Architecture, Layer, Network, Pass, Shape, SignalForm, SignalKind, SignalSpec, Window};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn device() -> Device {
    cleave_nets::device("flex").unwrap()
}

/// Every kind of layer that an architecture can name.
fn every_layer() -> Network {
    let conv = |filters| Layer::Conv2d { filters, window: Window::square(3, 1, 1), groups: 1, bias: true };
    let without_bias = |filters| Layer::Conv2d { filters, window: Window::square(3, 1, 1), groups: 1, bias: false };
    let spec = SignalSpec { form: SignalForm::Plane, ..SignalSpec::new(SignalKind::Complement, 2) };
    let layers = vec![
        conv(6),
        Layer::Relu,
        Layer::MaxPool(Window::square(3, 2, 1)),
        Layer::SignalJoin(spec),
        Layer::Residual { body: vec![conv(7), Layer::Gelu, conv(7)], shortcut: vec![] },
        Layer::BatchNorm { epsilon: 1e-5 },
        Layer::Concat { branches: vec![vec![], vec![without_bias(2), Layer::Gelu], vec![Layer::Square]] },
        Layer::LocalConv2d { filters: 7, size: [1, 2] },
        Layer::AvgPool(Window { size: [2, 1], stride: [1, 1], padding: [0, 0] }),
        Layer::Square,
        Layer::Flatten,
        Layer::Dropout { probability: 0.5 },
        Layer::Linear { features: 5 },
        Layer::Gelu,
        Layer::Linear { features: 2 },
    ];
    let architecture = Architecture::new(Shape::new(3, 8, 8), layers).unwrap();
    let mut tensors = Network::random(architecture.clone(), 3, &device()).unwrap().tensors().unwrap();
    for (index, value) in tensors.get_mut("5.running_var").unwrap().values.iter_mut().enumerate() {
        *value = 0.5 + index as f32 / 4.0; // a scale of 1 would hide a missing one
    }
    Network::from_tensors(architecture, tensors, &device()).unwrap()
}

fn random(shape: [usize; 4], seed: u64) -> Tensor<4> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_data(TensorData::new(values, shape), &device())
}

fn pass(signal: &Tensor<4>) -> Pass<'static> {
    Pass { signal: Some(signal.clone()), ..Pass::default() }
}

fn largest(tensor: Tensor<4>) -> f32 {
    tensor.abs().max().into_scalar()
}

#[test]
fn tangents_are_what_finite_differences_tend_to() {
    let network = every_layer();
    let (x, v) = (random([2, 3, 8, 8], 1), random([2, 3, 8, 8], 2));
    let signal = random([2, 1, 4, 4], 3);
    let (value, tangent) = network.tangent(x.clone(), v.clone(), pass(&signal)).unwrap();
    let at = |x: Tensor<4>| network.forward(x, pass(&signal)).unwrap();
    assert_eq!(largest(value - at(x.clone())), 0.0);
    let step = 1e-3;
    let difference = (at(x.clone() + v.clone() * step) - at(x - v * step)) / (2.0 * step);
    let (error, size) = (largest(tangent - difference.clone()), largest(difference));
    assert!(error < 1e-2 * size, "{error} of {size}");
}

#[test]
fn the_jacobian_is_the_same_from_both_sides() {
    let network = every_layer();
    let (x, v, y) = (random([2, 3, 8, 8], 4), random([2, 3, 8, 8], 5), random([2, 2, 1, 1], 6));
    let signal = random([2, 1, 4, 4], 7);
    let (_, tangent) = network.tangent(x.clone(), v.clone(), pass(&signal)).unwrap();
    let input = x.autodiff().require_grad();
    let output = network.differentiable().forward(input.clone(), pass(&signal.autodiff())).unwrap();
    let gradient = input.grad(&(output * y.clone().autodiff()).sum().backward()).unwrap();
    let (forward, backward) = ((tangent * y).sum().into_scalar::<f32>(), (gradient * v).sum().into_scalar::<f32>());
    assert!((forward - backward).abs() < 1e-4 * forward.abs().max(1.0), "{forward} against {backward}");
}

#[test]
fn a_direction_of_another_shape_is_refused() {
    let network = every_layer();
    let signal = random([2, 1, 4, 4], 8);
    assert!(network.tangent(random([2, 3, 8, 8], 1), random([2, 3, 7, 8], 1), pass(&signal)).is_err());
}

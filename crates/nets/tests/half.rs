//! Products in bfloat16: near those in f32, and gradients reach the weights.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use burn::tensor::Tensor;
use cleave_nets::{Architecture, Layer, Network, Pass, Shape, Window, computes_half, device};

/// Every kind of layer that multiplies.
fn network() -> Network {
    let layers = vec![
        Layer::LocalConv2d { filters: 6, size: [2, 2] },
        Layer::BatchNorm { epsilon: 1e-5 },
        Layer::Conv2d { filters: 6, window: Window::square(3, 1, 1), groups: 6, bias: true },
        Layer::Gelu,
        Layer::Flatten,
        Layer::Linear { features: 5 },
    ];
    Network::random(Architecture::new(Shape::new(3, 8, 8), layers).unwrap(), 5, &device("flex").unwrap()).unwrap()
}

fn images(network: &Network) -> Tensor<4> {
    let values: Vec<f32> = (0..2 * 192_u16).map(|i| (f32::from(i) * 0.37).sin()).collect();
    Tensor::<1>::from_floats(values.as_slice(), network.device()).reshape([2, 3, 8, 8])
}

fn gap(a: Tensor<4>, b: Tensor<4>) -> f32 {
    ((a.clone() - b).abs().max() / a.abs().max()).into_scalar()
}

#[test]
fn half_precision_gives_nearly_the_same_output_as_f32() {
    let network = network();
    assert!(computes_half(network.device()));
    let run = |half| network.forward(images(&network), Pass { half, ..Pass::default() }).unwrap();
    let gap = gap(run(false), run(true));
    assert!(gap > 0.0, "nothing was narrowed");
    assert!(gap < 0.03, "{gap}"); // 8 bits a number: 0.4 % each, through three layers
}

#[test]
fn the_gradient_comes_back_through_it_and_in_f32() {
    let network = network().differentiable();
    let slope = |half| {
        let x = images(&network).autodiff().require_grad();
        let y = network.forward(x.clone(), Pass { half, ..Pass::default() }).unwrap();
        x.grad(&(y.clone() * y).sum().backward()).unwrap()
    };
    let gap = gap(slope(false), slope(true));
    assert!(gap > 0.0 && gap < 0.05, "{gap}");
}

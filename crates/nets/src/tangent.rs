//! Forward derivatives: what a small change of the input does to the output.
//!
//! burn differentiates backwards only. A layer list is run here with a value and a direction side by side, so that
//! the Jacobian can be multiplied from the right; backwards it is multiplied from the left. Where a layer has a kink
//! (ReLU at 0, equal values in a pool) the derivative is that of the side that burn's own backward pass takes.

use crate::node::{self, Branches, Node, fixed, max_pool};
use crate::{Error, Layer, Network, Pass, Window};
use burn::tensor::activation::gelu;
use burn::tensor::{Tensor, module};

/// A value and its derivative along a direction.
struct Dual {
    value: Tensor<4>,
    change: Tensor<4>,
}

impl Network {
    /// The output at `x`, and the Jacobian there times `direction`. The signal is held fixed.
    ///
    /// # Shapes
    /// `x` and `direction`: `[batch, channels, height, width]` of [`Network::input`]; both results likewise of
    /// [`Network::output`].
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn tangent(
        &self,
        x: Tensor<4>,
        direction: Tensor<4>,
        mut pass: Pass<'_>,
    ) -> Result<(Tensor<4>, Tensor<4>), Error> {
        self.check_input(&direction, pass.signal.as_ref())?;
        self.check_input(&x, pass.signal.as_ref())?;
        let start = Dual { value: x, change: direction };
        let end = run(&self.architecture().layers, self.nodes(), start, &mut pass);
        Ok((end.value, end.change))
    }
}

fn run(layers: &[Layer], nodes: &[Node], start: Dual, pass: &mut Pass<'_>) -> Dual {
    layers.iter().zip(nodes).fold(start, |dual, (layer, node)| step(layer, node, dual, pass))
}

fn step(layer: &Layer, node: &Node, Dual { value, change }: Dual, pass: &mut Pass<'_>) -> Dual {
    match (layer, node) {
        (Layer::Conv2d { .. } | Layer::LocalConv2d { .. } | Layer::Linear { .. }, _) => {
            Dual { change: node::linear_part(layer, node, change), value: node::step(layer, node, value, pass) }
        }
        (Layer::BatchNorm { epsilon }, Node::Norm(norm)) => {
            let scale = norm.gamma.val() / (norm.running_var.value_sync() + *epsilon).sqrt();
            let channels = scale.dims()[0];
            Dual { change: change * scale.reshape([1, channels, 1, 1]), value: norm.forward(value) }
        }
        (Layer::Residual { body, shortcut }, Node::Residual(Branches { body: long, shortcut: short })) => {
            let start = || Dual { value: value.clone(), change: change.clone() };
            let (long, short) = (run(body, long, start(), pass), run(shortcut, short, start(), pass));
            Dual { value: long.value + short.value, change: long.change + short.change }
        }
        (Layer::Concat { branches }, Node::Concat(nodes)) => {
            let start = || Dual { value: value.clone(), change: change.clone() };
            let outputs = branches.iter().zip(nodes).map(|(branch, nodes)| run(branch, nodes, start(), pass));
            let (values, changes) = outputs.map(|dual| (dual.value, dual.change)).unzip();
            Dual { value: Tensor::cat(values, 1), change: Tensor::cat(changes, 1) }
        }
        (Layer::SignalJoin(_), _) => {
            let silent = pass.signal.as_ref().map(|signal| signal.zeros_like());
            Dual { value: node::join(value, pass.signal.take()), change: node::join(change, silent) }
        }
        _ => fixed_step(layer, value, change),
    }
}

fn fixed_step(layer: &Layer, value: Tensor<4>, change: Tensor<4>) -> Dual {
    match layer {
        Layer::Relu => {
            let open = value.clone().greater_elem(0.0).float();
            Dual { change: change * open, value: fixed(layer, value) }
        }
        Layer::Gelu => Dual { change: change * gelu_slope(&value), value: gelu(value) },
        Layer::Square => Dual { change: change * value.clone() * 2.0, value: fixed(layer, value) },
        Layer::MaxPool(window) => max_pooled(window, value, change),
        _ => Dual { change: fixed(layer, change), value: fixed(layer, value) }, // linear, or nothing outside training
    }
}

/// The change of each window's largest value.
fn max_pooled(window: &Window, value: Tensor<4>, change: Tensor<4>) -> Dual {
    let (value, largest) = module::max_pool2d_with_indices(value, max_pool(window));
    let [batch, channels, height, width] = value.dims();
    let change = change.flatten::<3>(2, 3).gather(2, largest.flatten::<3>(2, 3)); // [batch, channels, positions]
    Dual { value, change: change.reshape([batch, channels, height, width]) }
}

/// Φ(x) + x φ(x), with the normal distribution and its density.
fn gelu_slope(x: &Tensor<4>) -> Tensor<4> {
    let distribution = (x.clone() / std::f32::consts::SQRT_2).erf().add_scalar(1.0) * 0.5;
    let density = (x.clone().powi_scalar(2) * -0.5).exp() / std::f32::consts::TAU.sqrt();
    distribution + x.clone() * density
}

//! The weights of one layer, and how the layer runs.

use crate::{Error, HostTensor, Layer, Pass, Shape, Window};
use burn::module::{Flag, Module, Param, ParamId, RunningState};
use burn::nn::BatchNorm;
use burn::tensor::activation::{gelu, relu};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, FloatDType, Gradients, Tensor, TensorData, module};
use std::collections::BTreeMap;

/// The weights of one layer of the list, as burn's optimisers see them.
#[derive(Module, Debug)]
pub(crate) enum Node {
    /// Of [`Layer::Conv2d`].
    Conv(Kernel),
    /// Of [`Layer::LocalConv2d`].
    Local(Patches),
    /// Of [`Layer::Linear`].
    Linear(Matrix),
    /// Of [`Layer::BatchNorm`].
    Norm(BatchNorm),
    /// Of [`Layer::Residual`].
    Residual(Branches),
    /// Of [`Layer::Concat`].
    Concat(Vec<Vec<Node>>),
    /// Of every layer without weights.
    Free(Free),
}

/// A convolution's weights.
#[derive(Module, Debug)]
pub(crate) struct Kernel {
    weight: Param<Tensor<4>>,
    bias: Option<Param<Tensor<1>>>,
}

/// A matrix for each patch, `[positions, filters, channels, rows, columns]`, and one bias.
#[derive(Module, Debug)]
pub(crate) struct Patches {
    weight: Param<Tensor<5>>,
    bias: Param<Tensor<1>>,
}

/// A linear layer's weights, `[inputs, features]` as burn multiplies them.
#[derive(Module, Debug)]
pub(crate) struct Matrix {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

/// Both ways through a residual block.
#[derive(Module, Debug)]
pub(crate) struct Branches {
    pub(crate) body: Vec<Node>,
    pub(crate) shortcut: Vec<Node>,
}

/// No weights.
#[derive(Module, Debug)]
pub(crate) struct Free {}

/// Name and shape of one tensor of a layer list, in PyTorch's layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
}

/// The tensors that `layers` need over an input of `shape`, in order; also the shape after them.
///
/// Names are those of PyTorch's `nn.Sequential`: `0.weight`, `4.body.0.bias`.
pub(crate) fn parameters(
    layers: &[Layer],
    mut shape: Shape,
    prefix: &str,
    out: &mut Vec<Parameter>,
) -> Result<Shape, Error> {
    for (index, layer) in layers.iter().enumerate() {
        let mut add =
            |leaf: &str, shape: Vec<usize>| out.push(Parameter { name: format!("{prefix}{index}.{leaf}"), shape });
        match layer {
            Layer::Conv2d { filters, window: Window { size: [rows, columns], .. }, groups, bias } => {
                add("weight", vec![*filters, shape.channels / (*groups).max(1), *rows, *columns]);
                if *bias {
                    add("bias", vec![*filters]);
                }
            }
            Layer::LocalConv2d { filters, size: [rows, columns] } => {
                let positions = (shape.height / (*rows).max(1)) * (shape.width / (*columns).max(1));
                add("weight", vec![positions, *filters, shape.channels, *rows, *columns]);
                add("bias", vec![*filters]);
            }
            Layer::Linear { features } => {
                add("weight", vec![*features, shape.channels]);
                add("bias", vec![*features]);
            }
            Layer::BatchNorm { .. } => NORM_LEAVES.iter().for_each(|leaf| add(leaf, vec![shape.channels])),
            Layer::Residual { body, shortcut } => {
                parameters(body, shape, &format!("{prefix}{index}.body."), out)?;
                parameters(shortcut, shape, &format!("{prefix}{index}.shortcut."), out)?;
            }
            Layer::Concat { branches } => {
                for (at, branch) in branches.iter().enumerate() {
                    parameters(branch, shape, &format!("{prefix}{index}.branches.{at}."), out)?;
                }
            }
            _ => {}
        }
        shape = layer.output(shape).map_err(|reason| Error::Architecture { index, reason })?;
    }
    Ok(shape)
}

const NORM_LEAVES: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

/// Turns named host tensors, already checked against [`parameters`], into nodes on a device.
pub(crate) struct Builder<'a> {
    pub(crate) tensors: BTreeMap<String, HostTensor>,
    pub(crate) device: &'a Device,
    /// Parameters get ids by position, so that an optimiser's saved state finds them again.
    pub(crate) next_id: u64,
}

impl Builder<'_> {
    pub(crate) fn nodes(&mut self, layers: &[Layer], prefix: &str) -> Result<Vec<Node>, Error> {
        layers.iter().enumerate().map(|(index, layer)| self.node(layer, &format!("{prefix}{index}."))).collect()
    }

    fn node(&mut self, layer: &Layer, path: &str) -> Result<Node, Error> {
        Ok(match layer {
            Layer::Conv2d { bias, .. } => Node::Conv(Kernel {
                weight: self.param(path, "weight")?,
                bias: if *bias { Some(self.param(path, "bias")?) } else { None },
            }),
            Layer::LocalConv2d { .. } => {
                Node::Local(Patches { weight: self.param(path, "weight")?, bias: self.param(path, "bias")? })
            }
            Layer::Linear { .. } => {
                let weight = transposed(self.host(path, "weight")?);
                let weight = self.upload(weight);
                Node::Linear(Matrix { weight: self.register(weight), bias: self.param(path, "bias")? })
            }
            Layer::BatchNorm { epsilon } => Node::Norm(self.norm(path, *epsilon)?),
            Layer::Residual { body, shortcut } => Node::Residual(Branches {
                body: self.nodes(body, &format!("{path}body."))?,
                shortcut: self.nodes(shortcut, &format!("{path}shortcut."))?,
            }),
            Layer::Concat { branches } => {
                let branches = branches.iter().enumerate();
                let nodes = branches.map(|(at, branch)| self.nodes(branch, &format!("{path}branches.{at}.")));
                Node::Concat(nodes.collect::<Result<_, Error>>()?)
            }
            _ => Node::Free(Free {}),
        })
    }

    fn norm(&mut self, path: &str, epsilon: f64) -> Result<BatchNorm, Error> {
        Ok(BatchNorm {
            gamma: self.param(path, NORM_LEAVES[0])?,
            beta: self.param(path, NORM_LEAVES[1])?,
            training: Param::initialized(self.id(), Flag::new(true)),
            running_mean: RunningState::with_id(self.id(), self.tensor(path, NORM_LEAVES[2])?),
            running_var: RunningState::with_id(self.id(), self.tensor(path, NORM_LEAVES[3])?),
            momentum: 0.1,
            epsilon,
        })
    }

    fn id(&mut self) -> ParamId {
        self.next_id += 1;
        ParamId::from(self.next_id)
    }

    fn param<const D: usize>(&mut self, path: &str, leaf: &str) -> Result<Param<Tensor<D>>, Error> {
        let tensor = self.tensor(path, leaf)?;
        Ok(self.register(tensor))
    }

    fn register<const D: usize>(&mut self, tensor: Tensor<D>) -> Param<Tensor<D>> {
        let mut param = Param::from_tensor(tensor);
        param.id = self.id();
        param
    }

    fn tensor<const D: usize>(&mut self, path: &str, leaf: &str) -> Result<Tensor<D>, Error> {
        let tensor = self.host(path, leaf)?;
        Ok(self.upload(tensor))
    }

    fn host(&mut self, path: &str, leaf: &str) -> Result<HostTensor, Error> {
        let name = format!("{path}{leaf}");
        self.tensors.remove(&name).ok_or_else(|| Error::Keys { missing: vec![name], unknown: vec![] })
    }

    fn upload<const D: usize>(&self, HostTensor { shape, values }: HostTensor) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), self.device)
    }
}

/// `[features, inputs]` as `[inputs, features]`, moved in memory: burn rounds differently over a strided view, and a
/// run that is resumed from a file must go on exactly.
fn transposed(HostTensor { shape, values }: HostTensor) -> HostTensor {
    let (rows, columns) = (shape[0], shape[1]);
    let moved = (0..columns).flat_map(|column| (0..rows).map(move |row| (row, column)));
    let values = moved.map(|(row, column)| values[row * columns + column]).collect();
    HostTensor { shape: vec![columns, rows], values }
}

/// Copies the weights of `nodes` to the host under the names of [`parameters`]; with `gradients`, those of the weights.
pub(crate) fn collect(
    nodes: &[Node],
    gradients: Option<&Gradients>,
    prefix: &str,
    out: &mut BTreeMap<String, HostTensor>,
) -> Result<(), Error> {
    for (index, node) in nodes.iter().enumerate() {
        let path = format!("{prefix}{index}.");
        let mut put = |leaf: &str, tensor: HostTensor| out.insert(format!("{path}{leaf}"), tensor);
        match node {
            Node::Conv(Kernel { weight, bias }) => {
                put("weight", fetch(weight, gradients)?);
                if let Some(bias) = bias {
                    put("bias", fetch(bias, gradients)?);
                }
            }
            Node::Local(Patches { weight, bias }) => {
                put("weight", fetch(weight, gradients)?);
                put("bias", fetch(bias, gradients)?);
            }
            Node::Linear(Matrix { weight, bias }) => {
                put("weight", transposed(fetch(weight, gradients)?));
                put("bias", fetch(bias, gradients)?);
            }
            Node::Norm(norm) => {
                put(NORM_LEAVES[0], fetch(&norm.gamma, gradients)?);
                put(NORM_LEAVES[1], fetch(&norm.beta, gradients)?);
                if gradients.is_none() {
                    put(NORM_LEAVES[2], host(norm.running_mean.value_sync())?);
                    put(NORM_LEAVES[3], host(norm.running_var.value_sync())?);
                }
            }
            Node::Residual(Branches { body, shortcut }) => {
                collect(body, gradients, &format!("{path}body."), out)?;
                collect(shortcut, gradients, &format!("{path}shortcut."), out)?;
            }
            Node::Concat(branches) => {
                for (at, branch) in branches.iter().enumerate() {
                    collect(branch, gradients, &format!("{path}branches.{at}."), out)?;
                }
            }
            Node::Free(_) => {}
        }
    }
    Ok(())
}

/// Has normalisations use their running statistics, and leave them as they are, where gradients are tracked too.
pub(crate) fn hold_statistics(nodes: &mut [Node]) {
    for node in nodes {
        match node {
            Node::Norm(norm) => norm.training = Param::initialized(norm.training.id, Flag::new(false)),
            Node::Residual(Branches { body, shortcut }) => {
                hold_statistics(body);
                hold_statistics(shortcut);
            }
            Node::Concat(branches) => branches.iter_mut().for_each(|branch| hold_statistics(branch)),
            Node::Conv(_) | Node::Local(_) | Node::Linear(_) | Node::Free(_) => {}
        }
    }
}

/// A weight, or its gradient; 0 where none reached it.
fn fetch<const D: usize>(param: &Param<Tensor<D>>, gradients: Option<&Gradients>) -> Result<HostTensor, Error> {
    let value = param.val();
    host(match gradients {
        Some(gradients) => value.grad(gradients).unwrap_or_else(|| value.zeros_like()),
        None => value,
    })
}

/// A tensor's shape and values on the host.
pub(crate) fn host<const D: usize>(tensor: Tensor<D>) -> Result<HostTensor, Error> {
    let failed = |reason: String| Error::Execution { reason };
    let shape = tensor.dims().to_vec();
    let data = tensor.try_into_data().map_err(|error| failed(error.to_string()))?;
    let values = data.convert::<f32>().try_into_vec().map_err(|error| failed(format!("{error:?}")))?;
    Ok(HostTensor { shape, values })
}

/// Runs `layers` with the weights `nodes` on `x`, `[batch, channels, height, width]`. Shapes are checked before.
pub(crate) fn run(layers: &[Layer], nodes: &[Node], mut x: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
    for (layer, node) in layers.iter().zip(nodes) {
        x = step(layer, node, x, pass);
    }
    x
}

pub(crate) fn step(layer: &Layer, node: &Node, x: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
    match (layer, node) {
        (Layer::Conv2d { window, groups, .. }, Node::Conv(kernel)) => {
            let [x, weight] = [x, kernel.weight.val()].map(|tensor| narrowed(tensor, pass.half));
            let bias = kernel.bias.as_ref().map(|bias| narrowed(bias.val(), pass.half));
            module::conv2d(x, weight, bias, conv(window, *groups)).cast(FloatDType::F32)
        }
        (Layer::LocalConv2d { .. }, Node::Local(patches)) => {
            let bias = patches.bias.val();
            let filters = bias.dims()[0];
            local(x, patches, pass.half) + bias.reshape([1, filters, 1, 1])
        }
        (Layer::Linear { .. }, Node::Linear(matrix)) => multiplied(x, matrix, Some(matrix.bias.val()), pass.half),
        (_, Node::Norm(norm)) => norm.forward(x),
        (Layer::Residual { body, shortcut }, Node::Residual(branches)) => {
            let long = run(body, &branches.body, x.clone(), pass);
            long + run(shortcut, &branches.shortcut, x, pass)
        }
        (Layer::Concat { branches }, Node::Concat(nodes)) => {
            let outputs = branches.iter().zip(nodes).map(|(branch, nodes)| run(branch, nodes, x.clone(), pass));
            Tensor::cat(outputs.collect(), 1)
        }
        (Layer::SignalJoin(_), _) => join(x, pass.signal.take()),
        (Layer::Dropout { probability }, _) => match &mut pass.dropout {
            Some(dropout) => dropout.apply(x, *probability),
            None => x,
        },
        _ => fixed(layer, x),
    }
}

/// The layer's kernel or matrix without its bias; `x` as it is where there is neither.
pub(crate) fn linear_part(layer: &Layer, node: &Node, x: Tensor<4>) -> Tensor<4> {
    match (layer, node) {
        (Layer::Conv2d { window, groups, .. }, Node::Conv(kernel)) => {
            module::conv2d(x, kernel.weight.val(), None, conv(window, *groups))
        }
        (Layer::LocalConv2d { .. }, Node::Local(patches)) => local(x, patches, false),
        (Layer::Linear { .. }, Node::Linear(matrix)) => multiplied(x, matrix, None, false),
        _ => x,
    }
}

/// As bfloat16, which has the range of f32 and 8 bits of its precision, if `half`.
fn narrowed<const D: usize>(tensor: Tensor<D>, half: bool) -> Tensor<D> {
    if half { tensor.cast(FloatDType::BF16) } else { tensor }
}

fn conv(window: &Window, groups: usize) -> ConvOptions<2> {
    ConvOptions::new(window.stride, window.padding, [1, 1], groups)
}

/// Every patch times the matrix of its position.
fn local(x: Tensor<4>, patches: &Patches, half: bool) -> Tensor<4> {
    let (x, weight) = (narrowed(x, half), narrowed(patches.weight.val(), half));
    let ([batch, channels, height, width], [positions, filters, _, rows, columns]) = (x.dims(), weight.dims());
    let (down, across, values) = (height / rows, width / columns, channels * rows * columns);
    let x = x.reshape([batch, channels, down, rows, across, columns]).permute([2, 4, 0, 1, 3, 5]);
    let weight = weight.reshape([positions, filters, values]).swap_dims(1, 2);
    let y = x.reshape([positions, batch, values]).matmul(weight); // [positions, batch, filters]
    y.permute([1, 2, 0]).reshape([batch, filters, down, across]).cast(FloatDType::F32)
}

fn multiplied(x: Tensor<4>, matrix: &Matrix, bias: Option<Tensor<1>>, half: bool) -> Tensor<4> {
    let x = narrowed(x.flatten::<2>(1, 3), half); // [batch, inputs]
    let (weight, bias) = (narrowed(matrix.weight.val(), half), bias.map(|bias| narrowed(bias, half)));
    module::linear(x, weight, bias).cast(FloatDType::F32).unsqueeze_dims(&[2, 3]) // [batch, features, 1, 1]
}

/// The signal's channel behind all others.
pub(crate) fn join(x: Tensor<4>, signal: Option<Tensor<4>>) -> Tensor<4> {
    match signal {
        Some(signal) => Tensor::cat(vec![x, signal], 1),
        None => x,
    }
}

pub(crate) fn fixed(layer: &Layer, x: Tensor<4>) -> Tensor<4> {
    match layer {
        Layer::Relu => relu(x),
        Layer::Gelu => gelu(x),
        Layer::Square => x.clone() * x,
        Layer::MaxPool(window) => module::max_pool2d(x, max_pool(window)),
        Layer::AvgPool(window) => module::avg_pool2d(x, avg_pool(window)),
        Layer::GlobalAvgPool => module::adaptive_avg_pool2d(x, [1, 1]),
        Layer::Flatten => x.flatten::<2>(1, 3).unsqueeze_dims(&[2, 3]), // [batch, c*h*w, 1, 1]
        _ => x,
    }
}

pub(crate) fn max_pool(window: &Window) -> MaxPoolOptions<2> {
    let [rows, columns] = window.padding;
    MaxPoolOptions {
        stride: window.stride,
        padding: [(rows, rows), (columns, columns)],
        ..MaxPoolOptions::new(window.size)
    }
}

fn avg_pool(window: &Window) -> AvgPoolOptions<2> {
    let [rows, columns] = window.padding;
    AvgPoolOptions {
        stride: window.stride,
        padding: [(rows, rows), (columns, columns)],
        ..AvgPoolOptions::new(window.size)
    }
}

//! An architecture with weights.

use crate::node::{self, Builder, Node, Parameter};
use crate::{Architecture, Error, HostTensor, Shape};
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::ops::Range;

/// Position of the largest score; the first of equal ones.
pub fn argmax(scores: &[f32]) -> usize {
    scores.iter().enumerate().fold(0, |best, (index, &score)| if score > scores[best] { index } else { best })
}

/// What goes along with the images through one forward pass.
#[derive(Default)]
pub struct Pass<'a> {
    /// The signal's channel, `[batch, 1, height, width]` at the join; required where there is a join.
    pub signal: Option<Tensor<4>>,
    /// Present while training: dropout acts, with masks drawn from it.
    pub dropout: Option<&'a mut Dropout>,
    /// Whether convolutions and matrix products are computed in bfloat16, on a device of which [`computes_half`](crate::computes_half) holds.
    /// Weights, sums and normalisations stay as they are, and so do the gradients of weights.
    pub half: bool,
}

/// Draws dropout masks from a seed, the same on every device.
pub struct Dropout(ChaCha8Rng);

impl Dropout {
    /// Masks that depend on nothing but `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn apply(&mut self, x: Tensor<4>, probability: f64) -> Tensor<4> {
        let keep = (1.0 / (1.0 - probability)) as f32;
        let threshold = (probability * f64::from(u32::MAX)) as u32;
        let mask: Vec<f32> =
            (0..x.shape().num_elements()).map(|_| if self.0.next_u32() < threshold { 0.0 } else { keep }).collect();
        let mask = Tensor::from_data(TensorData::new(mask, x.dims()), &x.device());
        x * mask
    }
}

/// An [`Architecture`] with weights on a [`Device`]. Cloning shares the weights.
#[derive(Clone, Debug)]
pub struct Network {
    architecture: Architecture,
    shapes: Vec<Shape>,
    nodes: Vec<Node>,
    device: Device,
}

impl Network {
    /// Random weights: uniform with variance 1/fan-in (LeCun), biases 0. PyTorch's default has a third of that variance,
    /// which leaves narrow deep networks on a plateau; twice as much (He) left AlexNet at
    /// chance for 750 steps at rate 0.01 in the one run tried.
    ///
    /// # Errors
    /// [`Error::Architecture`].
    pub fn random(architecture: Architecture, seed: u64, device: &Device) -> Result<Self, Error> {
        let tensors = random_tensors(&parameters(&architecture)?, seed);
        Self::from_tensors(architecture, tensors, device)
    }

    /// Weights by name, in PyTorch's layout (a linear weight is `[features, inputs]`).
    ///
    /// # Errors
    /// [`Error::Keys`], [`Error::TensorShape`] or [`Error::NotFinite`] name the tensors that do not fit.
    pub fn from_tensors(
        architecture: Architecture,
        tensors: BTreeMap<String, HostTensor>,
        device: &Device,
    ) -> Result<Self, Error> {
        let shapes = architecture.shapes()?;
        check(&parameters(&architecture)?, &tensors)?;
        let mut builder = Builder { tensors, device, next_id: 0 };
        let nodes = builder.nodes(&architecture.layers, "")?;
        Ok(Self { architecture, shapes, nodes, device: device.clone() })
    }

    /// Names and shapes of the tensors that `architecture` needs, in the order of its layers.
    ///
    /// # Errors
    /// [`Error::Architecture`].
    pub fn tensor_shapes(architecture: &Architecture) -> Result<Vec<(String, Vec<usize>)>, Error> {
        Ok(parameters(architecture)?.into_iter().map(|parameter| (parameter.name, parameter.shape)).collect())
    }

    /// Values in all tensors, running statistics included.
    ///
    /// # Errors
    /// [`Error::Architecture`], which a network that exists does not give.
    pub fn values(&self) -> Result<usize, Error> {
        Ok(parameters(&self.architecture)?.iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum())
    }

    /// The weights by name, copied to the host, in PyTorch's layout.
    ///
    /// # Errors
    /// [`Error::Execution`] when the device cannot be read.
    pub fn tensors(&self) -> Result<BTreeMap<String, HostTensor>, Error> {
        let mut out = BTreeMap::new();
        node::collect(&self.nodes, None, "", &mut out)?;
        Ok(out)
    }

    /// SHA-256 over the layer list and the weights, in hexadecimal.
    ///
    /// # Errors
    /// [`Error::Execution`] when the device cannot be read.
    pub fn fingerprint(&self) -> Result<String, Error> {
        crate::checkpoint::fingerprint(&self.architecture, &self.tensors()?)
    }

    /// The layer list.
    pub const fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The device that the weights are on.
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Shape of one input sample.
    pub const fn input(&self) -> Shape {
        self.architecture.input
    }

    /// Shape of one output sample.
    pub fn output(&self) -> Shape {
        self.shapes.last().copied().unwrap_or(self.architecture.input)
    }

    /// Shape of the signal's channel, `[1, height, width]`, where there is a join.
    pub fn signal_shape(&self) -> Option<Shape> {
        self.architecture.join().map(|(index, _)| Shape { channels: 1, ..self.shapes[index] })
    }

    /// Runs the network.
    ///
    /// # Shapes
    /// `x`: `[batch, channels, height, width]` of [`Network::input`]; the result likewise of [`Network::output`].
    ///
    /// # Errors
    /// [`Error::Input`], [`Error::Signal`] or [`Error::EmptyBatch`]; burn is not called then.
    pub fn forward(&self, x: Tensor<4>, mut pass: Pass<'_>) -> Result<Tensor<4>, Error> {
        self.check_input(&x, pass.signal.as_ref())?;
        Ok(node::run(&self.architecture.layers, &self.nodes, x, &mut pass))
    }

    /// Runs the network on host values: `batch` samples one after the other.
    ///
    /// # Shapes
    /// `values`: batch × [`Network::input`]; `signal`: batch × [`Network::signal_shape`]; the result: batch × [`Network::output`].
    ///
    /// # Errors
    /// As [`Network::forward`]; [`Error::Execution`].
    pub fn infer(&self, values: Vec<f32>, signal: Option<Vec<f32>>, batch: usize) -> Result<Vec<f32>, Error> {
        let x = to_tensor(values, self.input(), batch, &self.device)?;
        let signal = match (signal, self.signal_shape()) {
            (Some(planes), Some(shape)) => Some(to_tensor(planes, shape, batch, &self.device)?),
            _ => None,
        };
        Ok(node::host(self.forward(x, Pass { signal, ..Pass::default() })?)?.values)
    }

    /// The layers of `range` with their weights, as a network of their own.
    ///
    /// # Errors
    /// [`Error::Architecture`] when the range does not begin where a shape is known.
    pub fn slice(&self, range: Range<usize>) -> Result<Self, Error> {
        let architecture = self.architecture.slice(range.clone())?;
        let shapes = self.shapes[range.start..=range.end].to_vec();
        Ok(Self { architecture, shapes, nodes: self.nodes[range].to_vec(), device: self.device.clone() })
    }

    /// This network and then `next`.
    ///
    /// # Errors
    /// [`Error::Input`] when `next` does not take what comes out of this one.
    pub fn followed_by(&self, next: &Self) -> Result<Self, Error> {
        if next.input() != self.output() {
            return Err(Error::Input { expected: next.input(), got: self.output() });
        }
        let layers = [self.architecture.layers.as_slice(), &next.architecture.layers].concat();
        let architecture = Architecture::new(self.architecture.input, layers)?;
        let nodes = [self.nodes.as_slice(), &next.nodes].concat();
        Ok(Self { shapes: architecture.shapes()?, architecture, nodes, device: self.device.clone() })
    }

    /// The same weights where gradients are tracked.
    #[must_use]
    pub fn trainable(&self) -> Self {
        let nodes = self.nodes.iter().cloned().map(Module::train).collect();
        Self { nodes, device: self.device.clone().autodiff(), ..self.clone() }
    }

    /// The same weights where gradients are tracked, and where normalisations keep to their running statistics: the
    /// function that is used after training, with its derivatives by the weights.
    #[must_use]
    pub fn steady(&self) -> Self {
        let mut network = self.trainable();
        node::hold_statistics(&mut network.nodes);
        network
    }

    /// The same weights where no gradient is tracked.
    #[must_use]
    pub fn frozen(&self) -> Self {
        let nodes = self.nodes.iter().map(Module::valid).collect();
        Self { nodes, device: self.device.clone().without_autodiff(), ..self.clone() }
    }

    /// The same weights where gradients flow through to the input and none is kept for the weights.
    #[must_use]
    pub fn differentiable(&self) -> Self {
        let device = self.device.clone().autodiff();
        let nodes = self.nodes.iter().map(|node| node.valid().fork(&device)).collect();
        Self { nodes, device, ..self.clone() }
    }

    /// Takes this network's share out of `gradients`, and makes one step of its optimiser with it.
    pub fn learn(&mut self, optimizer: &mut ModuleOptimizer, rate: f64, gradients: &mut Gradients) {
        let gradients = GradientsParams::from_module(gradients, &self.nodes);
        self.nodes = optimizer.step(rate, std::mem::take(&mut self.nodes), gradients);
    }

    /// The gradients of the weights by name, copied to the host: zeros where none came. Running statistics have none.
    ///
    /// # Errors
    /// [`Error::Execution`] when the device cannot be read.
    pub fn gradients(&self, gradients: &Gradients) -> Result<BTreeMap<String, HostTensor>, Error> {
        let mut out = BTreeMap::new();
        node::collect(&self.nodes, Some(gradients), "", &mut out)?;
        Ok(out)
    }

    pub(crate) const fn nodes(&self) -> &Vec<Node> {
        &self.nodes
    }

    pub(crate) fn check_input(&self, x: &Tensor<4>, signal: Option<&Tensor<4>>) -> Result<(), Error> {
        let [batch, channels, height, width] = x.dims();
        let got = Shape::new(channels, height, width);
        if batch == 0 {
            return Err(Error::EmptyBatch);
        }
        if got != self.input() {
            return Err(Error::Input { expected: self.input(), got });
        }
        match self.signal_shape() {
            Some(shape) => check_signal([batch, 1, shape.height, shape.width], signal),
            None => Ok(()),
        }
    }
}

fn check_signal(expected: [usize; 4], signal: Option<&Tensor<4>>) -> Result<(), Error> {
    let got = signal.map(Tensor::dims);
    if got == Some(expected) { Ok(()) } else { Err(Error::Signal { expected, got }) }
}

/// Host values as a tensor, its length checked.
fn to_tensor(values: Vec<f32>, shape: Shape, batch: usize, device: &Device) -> Result<Tensor<4>, Error> {
    if batch == 0 {
        return Err(Error::EmptyBatch);
    }
    if values.len() != batch * shape.values() {
        return Err(Error::Input { expected: shape, got: Shape::vector(values.len() / batch) });
    }
    Ok(Tensor::from_data(TensorData::new(values, [batch, shape.channels, shape.height, shape.width]), device))
}

fn parameters(architecture: &Architecture) -> Result<Vec<Parameter>, Error> {
    let mut out = Vec::new();
    node::parameters(&architecture.layers, architecture.input, "", &mut out)?;
    Ok(out)
}

fn random_tensors(parameters: &[Parameter], seed: u64) -> BTreeMap<String, HostTensor> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut fill = |parameter: &Parameter| {
        let count = parameter.shape.iter().product();
        match parameter.name.rsplit('.').next() {
            Some("weight") if parameter.shape.len() > 1 => uniform(&mut rng, count, fan_in(&parameter.shape)),
            Some("weight" | "running_var") => vec![1.0; count],
            _ => vec![0.0; count],
        }
    };
    parameters.iter().map(|p| (p.name.clone(), HostTensor { shape: p.shape.clone(), values: fill(p) })).collect()
}

/// Inputs of one output: `[filters, ...]`, or `[positions, filters, channels, rows, columns]` of a local convolution.
fn fan_in(shape: &[usize]) -> usize {
    let outputs = if shape.len() == 5 { 2 } else { 1 };
    shape[outputs..].iter().product()
}

fn uniform(rng: &mut ChaCha8Rng, count: usize, fan_in: usize) -> Vec<f32> {
    let bound = (3.0 / fan_in as f32).sqrt();
    (0..count).map(|_| rng.random_range(-bound..=bound)).collect()
}

fn check(parameters: &[Parameter], tensors: &BTreeMap<String, HostTensor>) -> Result<(), Error> {
    let missing: Vec<_> =
        parameters.iter().filter(|p| !tensors.contains_key(&p.name)).map(|p| p.name.clone()).collect();
    let known = |name: &str| parameters.iter().any(|p| p.name == name);
    let unknown: Vec<_> = tensors.keys().filter(|name| !known(name)).cloned().collect();
    if !missing.is_empty() || !unknown.is_empty() {
        return Err(Error::Keys { missing, unknown });
    }
    parameters.iter().try_for_each(|p| check_tensor(p, &tensors[&p.name]))
}

fn check_tensor(parameter: &Parameter, tensor: &HostTensor) -> Result<(), Error> {
    let name = || parameter.name.clone();
    if tensor.shape != parameter.shape || tensor.values.len() != parameter.shape.iter().product::<usize>() {
        return Err(Error::TensorShape { name: name(), expected: parameter.shape.clone(), got: tensor.shape.clone() });
    }
    match tensor.values.iter().position(|value| !value.is_finite()) {
        Some(position) => Err(Error::NotFinite { name: name(), position, value: tensor.values[position] }),
        None => Ok(()),
    }
}

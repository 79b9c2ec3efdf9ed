//! From a network's layers to the leakage check's.

use crate::{Cut, Error, Point, cut};
use cleave_keyed::Lock;
use cleave_leakage::{Activation, ConvShape, Effort, FrontLayer, LinearShape, Op, Pool, Report, Stage, check};
use cleave_nets::{HostTensor, Layer, Network, Shape, Window};
use std::collections::BTreeMap;

/// Checks the front half that a cut would release.
///
/// `zeros`: for each layer of the front half the share of zeros that images showed, as [`measure_zeros`] gives them.
/// The signal's channel is not counted as unknown: it takes few values, which an attacker can go through.
///
/// # Errors
/// Those of [`Cut::position`]; [`Error::Uncountable`]; [`Error::ZeroShares`]; [`Error::Leakage`].
pub fn check_cut(network: &Network, at: Cut, zeros: Option<&[f64]>, effort: &Effort) -> Result<Report, Error> {
    let mut layers = front_layers(network, at)?;
    if let Some(shares) = zeros
        && shares.len() != layers.len()
    {
        return Err(Error::ZeroShares { layers: layers.len(), got: shares.len() });
    }
    for (layer, share) in layers.iter_mut().zip(zeros.unwrap_or_default()) {
        layer.zero_share = Some(*share);
    }
    let stage = match at.point {
        Point::Linear => Stage::Linear,
        Point::Activation => Stage::Activation,
        Point::Whole => Stage::Pooled,
    };
    Ok(check(&layers, stage, effort)?)
}

/// The share of zeros in what each layer of the front half gives on prepared images.
///
/// # Shapes
/// `images`: batch × the network's input; `signal`: batch × [`Network::signal_shape`], where there is a join.
///
/// # Errors
/// As [`check_cut`]; [`Error::Network`] for misshapen images.
pub fn measure_zeros(
    network: &Network,
    at: Cut,
    images: &[f32],
    signal: Option<&[f32]>,
    batch: usize,
) -> Result<Vec<f64>, Error> {
    let numbered = network.architecture().numbered_layers();
    let share = |number: usize| {
        let point = if number == at.layer { at.point } else { Point::Whole };
        let front = prefix(network, Cut { layer: number, point })?;
        let values = front.infer(images.to_vec(), signal.map(<[f32]>::to_vec), batch)?;
        Ok(values.iter().filter(|&&value| value == 0.0).count() as f64 / values.len().max(1) as f64)
    };
    numbered.iter().map(|layer| layer.number).take_while(|&number| number <= at.layer).map(share).collect()
}

/// Values of a block up to which the rank is computed.
const RANKED: usize = 1024;

/// Checks what keyed images say of plain ones to whoever knows the key: a linear map that is one to one.
///
/// # Errors
/// [`Error::Leakage`].
pub(crate) fn check_lock(lock: &Lock) -> Result<Report, Error> {
    let (block, image) = (lock.block(), lock.image);
    let size = [image.height, image.width];
    let shape = ConvShape::new(lock.patch, lock.patch, [0, 0], [image.channels, block], size);
    let mut layer = FrontLayer::new("key".to_owned(), Op::Conv(shape));
    // The order and the signs do not matter to a rank: the identity stands for every key.
    let identity = || (0..block * block).map(|at| f32::from(u8::from(at % (block + 1) == 0))).collect();
    layer.weights = (block <= RANKED).then(identity); // the counts say the same of larger ones
    Ok(check(&[layer], Stage::Linear, &Effort::default())?)
}

/// The layers up to a point, also before the join, where they cannot be released but can be looked at.
fn prefix(network: &Network, at: Cut) -> Result<Network, Error> {
    match at.position(network.architecture()) {
        Ok(position) => Ok(network.slice(0..position)?),
        Err(Error::BeforeJoin { .. }) => {
            Ok(network.slice(0..network.architecture().numbered_layer(at.layer)?.range.end)?)
        }
        Err(error) => Err(error),
    }
}

fn front_layers(network: &Network, at: Cut) -> Result<Vec<FrontLayer>, Error> {
    let (front, _) = cut(network, at)?;
    let architecture = front.architecture();
    let (shapes, mut tensors) = (architecture.shapes()?, front.tensors()?);
    let mut layers = Vec::new();
    for numbered in architecture.numbered_layers() {
        let known = architecture.join().is_some_and(|(join, _)| numbered.range.contains(&join));
        let (index, input) = (numbered.weight, shapes[numbered.weight]);
        let op = operation(&architecture.layers[index], input, usize::from(known), &numbered.name)?;
        let after = &architecture.layers[index + 1..numbered.range.end];
        let mut layer = FrontLayer::new(numbered.name, op).with_activation(activation(after));
        layer.pool = after.iter().find_map(pool);
        layer.weights = weights(&mut tensors, index);
        layers.push(layer);
    }
    Ok(layers)
}

fn operation(layer: &Layer, input: Shape, known: usize, name: &str) -> Result<Op, Error> {
    let uncountable = |kind| Err(Error::Uncountable { layer: name.to_owned(), kind });
    match layer {
        Layer::Conv2d { groups, .. } if *groups != 1 => uncountable("grouped convolution"),
        Layer::Conv2d { filters, window: Window { size, stride, padding }, .. } => {
            let shape =
                ConvShape::new(*size, *stride, *padding, [input.channels, *filters], [input.height, input.width]);
            Ok(Op::Conv(shape.with_known_channels(known)))
        }
        Layer::Linear { features } => {
            Ok(Op::Linear(LinearShape { in_features: input.values(), out_features: *features, known_features: 0 }))
        }
        Layer::LocalConv2d { .. } => uncountable("local convolution"),
        Layer::Concat { .. } => uncountable("block of branches side by side"),
        _ => uncountable("residual block"),
    }
}

fn activation(after: &[Layer]) -> Activation {
    match after.iter().find(|layer| matches!(layer, Layer::Relu | Layer::Gelu | Layer::Square)) {
        Some(Layer::Relu) => Activation::Relu,
        Some(_) => Activation::Other,
        None => Activation::None,
    }
}

fn pool(layer: &Layer) -> Option<Pool> {
    match layer {
        Layer::MaxPool(window) | Layer::AvgPool(window) => {
            Some(Pool { window: window.size, stride: window.stride, padding: window.padding })
        }
        _ => None,
    }
}

fn weights(tensors: &mut BTreeMap<String, HostTensor>, index: usize) -> Option<Vec<f32>> {
    tensors.remove(&format!("{index}.weight")).map(|tensor| tensor.values)
}

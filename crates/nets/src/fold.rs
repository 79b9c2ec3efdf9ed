//! Batch normalisation folded into the weights beside it.

use crate::{Architecture, Error, HostTensor, Layer, Network, Window};
use std::collections::BTreeMap;

/// Weights by name.
type Tensors = BTreeMap<String, HostTensor>;

/// What a batch normalisation does to each channel at inference: `scale · x + shift`.
struct Affine {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl Network {
    /// The same function at inference, with every batch normalisation gone that stands directly behind a convolution or
    /// linear layer, or before one without padding; mean pools and flattens of single positions in between do not
    /// matter. Values differ by rounding only.
    ///
    /// The normalisations of ConvMixer stand behind an activation and before a sum or a padded convolution, all but the
    /// last, and so stay.
    ///
    /// # Errors
    /// [`Error::Execution`] when the device cannot be read.
    pub fn folded(&self) -> Result<Self, Error> {
        let (mut layers, mut tensors) = (Vec::new(), self.tensors()?);
        let mut kept = Tensors::new();
        fold(&self.architecture().layers, &mut tensors, ["", ""], &mut layers, &mut kept);
        Self::from_tensors(Architecture::new(self.input(), layers)?, kept, self.device())
    }
}

/// Folds a list whose tensors are named `old` and their place; what is left is put into `layers` and `kept`, named `new`.
fn fold(list: &[Layer], tensors: &mut Tensors, [old, new]: [&str; 2], layers: &mut Vec<Layer>, kept: &mut Tensors) {
    for (index, layer) in list.iter().enumerate() {
        let (from, to) = (format!("{old}{index}."), format!("{new}{}.", layers.len()));
        if let Layer::BatchNorm { epsilon } = layer {
            let affine = Affine::of(tensors, &from, *epsilon);
            let before =
                layers.last().filter(|before| has_kernel(before)).map(|_| format!("{new}{}.", layers.len() - 1));
            let after = following(&list[index + 1..]).map(|steps| format!("{old}{}.", index + 1 + steps));
            let done = match (affine, before, after) {
                (Some(affine), Some(before), _) => affine.behind(kept, &before),
                (Some(affine), None, Some(after)) => affine.ahead_of(tensors, &after),
                _ => None,
            };
            if done.is_some() {
                note_bias(layers, kept, new);
                continue;
            }
        }
        let layer = match layer {
            Layer::Residual { body, shortcut } => {
                let mut branch = |list: &[Layer], name: &str| folded_branch(list, tensors, [&from, &to], name, kept);
                Layer::Residual { body: branch(body, "body"), shortcut: branch(shortcut, "shortcut") }
            }
            Layer::Concat { branches } => {
                let mut branch = |(at, list): (usize, &Vec<Layer>)| {
                    folded_branch(list, tensors, [&from, &to], &format!("branches.{at}"), kept)
                };
                Layer::Concat { branches: branches.iter().enumerate().map(&mut branch).collect() }
            }
            _ => {
                let own: Vec<_> = tensors.keys().filter(|name| name.starts_with(&from)).cloned().collect();
                kept.extend(own.into_iter().filter_map(|name| {
                    let tensor = tensors.remove(&name)?;
                    Some((name.replacen(&from, &to, 1), tensor))
                }));
                layer.clone()
            }
        };
        layers.push(layer);
        note_bias(layers, kept, new);
    }
}

/// One way through a block at `old`, which moves to `new`. No normalisation leaves it.
fn folded_branch(
    list: &[Layer],
    tensors: &mut Tensors,
    [old, new]: [&str; 2],
    name: &str,
    kept: &mut Tensors,
) -> Vec<Layer> {
    let mut layers = Vec::new();
    let names = [format!("{old}{name}."), format!("{new}{name}.")];
    fold(list, tensors, names.each_ref().map(String::as_str), &mut layers, kept);
    layers
}

/// A convolution without bias gets one with a normalisation.
fn note_bias(layers: &mut [Layer], kept: &Tensors, new: &str) {
    let name = format!("{new}{}.bias", layers.len().saturating_sub(1));
    if let Some(Layer::Conv2d { bias, .. }) = layers.last_mut() {
        *bias = kept.contains_key(&name);
    }
}

/// The bias beside the weights at `path`; zeros where there is none yet.
fn bias_of<'a>(tensors: &'a mut Tensors, path: &str, outputs: usize) -> &'a mut [f32] {
    let zeros = || HostTensor { shape: vec![outputs], values: vec![0.0; outputs] };
    &mut tensors.entry(format!("{path}bias")).or_insert_with(zeros).values
}

const fn has_kernel(layer: &Layer) -> bool {
    matches!(layer, Layer::Conv2d { .. } | Layer::Linear { .. })
}

/// How many layers further on a convolution without padding or a linear layer takes the same channels, scaled alike.
fn following(rest: &[Layer]) -> Option<usize> {
    let mut pooled = false;
    for (steps, layer) in rest.iter().enumerate() {
        match layer {
            Layer::GlobalAvgPool => pooled = true,
            Layer::Flatten if pooled => {}
            Layer::Linear { .. } => return Some(steps), // it takes a vector, so a channel is a value
            Layer::Conv2d { window: Window { padding: [0, 0], .. }, groups: 1, .. } => return Some(steps),
            _ => return None,
        }
    }
    None
}

impl Affine {
    fn of(tensors: &Tensors, path: &str, epsilon: f64) -> Option<Self> {
        let leaf =
            |leaf: &str| Some(tensors.get(&format!("{path}{leaf}"))?.values.iter().map(|&value| f64::from(value)));
        let scale: Vec<f64> = leaf("weight")?
            .zip(leaf("running_var")?)
            .map(|(gamma, variance)| gamma / (variance + epsilon).sqrt())
            .collect();
        let shift =
            leaf("bias")?.zip(leaf("running_mean")?).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale);
        Some(Self { shift: shift.collect(), scale })
    }

    /// Into the layer whose outputs are normalised.
    fn behind(&self, tensors: &mut Tensors, path: &str) -> Option<()> {
        let weight = tensors.get_mut(&format!("{path}weight"))?;
        let each = weight.values.len() / self.scale.len().max(1);
        for (row, scale) in weight.values.chunks_mut(each.max(1)).zip(&self.scale) {
            row.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
        }
        let bias = bias_of(tensors, path, self.scale.len());
        for ((value, scale), shift) in bias.iter_mut().zip(&self.scale).zip(&self.shift) {
            *value = (f64::from(*value) * scale + shift) as f32;
        }
        Some(())
    }

    /// Into the layer whose inputs are normalised, `[outputs, channels, ...]`.
    fn ahead_of(&self, tensors: &mut Tensors, path: &str) -> Option<()> {
        let weight = tensors.get_mut(&format!("{path}weight"))?;
        let (outputs, channels) = (*weight.shape.first()?, self.scale.len());
        let each = weight.values.len() / (outputs * channels).max(1); // values a channel: those of one window
        let mut shifts = vec![0.0; outputs];
        for (row, sum) in weight.values.chunks_mut((channels * each).max(1)).zip(&mut shifts) {
            for (at, value) in row.iter_mut().enumerate() {
                *sum += f64::from(*value) * self.shift[at / each];
                *value = (f64::from(*value) * self.scale[at / each]) as f32;
            }
        }
        let bias = bias_of(tensors, path, outputs);
        bias.iter_mut().zip(shifts).for_each(|(value, sum)| *value = (f64::from(*value) + sum) as f32);
        Some(())
    }
}

//! Putting a join into a trained network.

use crate::{Error, SignalSource};
use burn::tensor::{Tensor, TensorData};
use cleave_data::Glyphs;
use cleave_nets::{Architecture, HostTensor, Network, Pass, SignalForm, SignalKind, SignalSpec};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the signal joins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinSettings {
    /// Layers of the old network that are kept and frozen (the paper's N = k − 1); 0 trains from scratch.
    pub preserved: usize,
    /// Complement or offset.
    pub kind: SignalKind,
    /// Digit or plane.
    pub form: SignalForm,
    /// The signal's energy at the join, in units of all other channels' together.
    ///
    /// A signal much weaker than the features leaves the retraining on its plateau: the network has to
    /// learn an exclusive-or, and until the signal switches units on and off there is no gradient towards
    /// it. At 1 half of what reaches a unit comes from the signal. With nothing preserved all weights are new and can
    /// grow towards the signal, and one that is too strong drowns the image; see [`JoinSettings::usual_strength`].
    pub strength: f32,
    /// Size of the new channel's start weights, in units of the old weights' standard deviation.
    pub new_weights: f32,
    /// Seed of the new weights.
    pub seed: u64,
}

impl JoinSettings {
    /// The strength that worked behind `preserved` layers, for digits and for planes: 0.3 for none, otherwise 1.
    pub const fn usual_strength(preserved: usize) -> f32 {
        if preserved == 0 { 0.3 } else { 1.0 }
    }
}

/// The network with the signal joining the output of layer `preserved`, ready to be retrained.
///
/// The old weights stay; with `preserved` = 0 all weights are drawn anew. The scale of the signal is
/// measured: `samples` are run up to the join, and the signal is made `strength` times as strong.
///
/// # Shapes
/// `samples`: `[batch, channels, height, width]` of the network's input, prepared images.
///
/// # Errors
/// Those of [`Architecture::with_join`]; [`Error::JoinSpreads`]; [`Error::Glyphs`]; [`Error::Setting`].
pub fn join_signal(
    base: &Network,
    settings: &JoinSettings,
    glyphs: Option<Glyphs>,
    samples: Vec<f32>,
) -> Result<(Network, SignalSource), Error> {
    positive("strength", settings.strength)?;
    positive("new_weights", settings.new_weights)?;
    let start = base.architecture().numbered_layer(settings.preserved + 1)?.range.start;
    let classes = base.output().values();
    let unit = SignalSpec { kind: settings.kind, form: settings.form, classes, scale: 1.0 };
    base.architecture().with_join(settings.preserved + 1, unit.clone())?;
    let scale = measured_scale(base, start, settings, &unit, glyphs.clone(), samples)?;
    let spec = SignalSpec { scale, ..unit };
    let joined = base.architecture().with_join(settings.preserved + 1, spec.clone())?;
    let shape = joined.shapes()?[start];
    let source = SignalSource::new(spec, glyphs, shape.height, shape.width)?;
    let network = match settings.preserved {
        0 => Network::random(joined, settings.seed, base.device())?,
        _ => Network::from_tensors(joined.clone(), widened(base, &joined, start, settings)?, base.device())?,
    };
    Ok((network, source))
}

fn positive(name: &'static str, value: f32) -> Result<(), Error> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::Setting { name, value: value.to_string(), expected: "a number above 0" })
}

/// Scale at which the signal's energy is strength² times that of all channels at the join.
fn measured_scale(
    base: &Network,
    start: usize,
    settings: &JoinSettings,
    unit: &SignalSpec,
    glyphs: Option<Glyphs>,
    samples: Vec<f32>,
) -> Result<f32, Error> {
    let front = base.slice(0..start)?;
    let input = base.input();
    let batch = samples.len() / input.values();
    if batch == 0 {
        return Err(Error::TooFewImages { images: 0, batch: 1 });
    }
    let x =
        Tensor::from_data(TensorData::new(samples, [batch, input.channels, input.height, input.width]), base.device());
    let features = front.forward(x, Pass::default())?; // [batch, channels, height, width]
    let energy = features.clone().powi_scalar(2).mean().into_scalar::<f32>() * features.dims()[1] as f32;
    let shape = front.output();
    let source = SignalSource::new(unit.clone(), glyphs, shape.height, shape.width)?;
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let planes = source.planes(&source.draw(SCALE_SIGNALS, &mut rng), &mut rng)?;
    let signal_energy = planes.iter().map(|value| value * value).sum::<f32>() / planes.len() as f32;
    Ok((settings.strength * (energy / signal_energy).sqrt()).max(f32::MIN_POSITIVE))
}

/// Signals that the scale is measured over; the mean energy of digits is within a few percent then.
const SCALE_SIGNALS: usize = 256;

/// The old tensors under their new names, with one more input channel in the layer at the join; in a residual block
/// those are the first convolutions of both ways.
fn widened(
    base: &Network,
    joined: &Architecture,
    start: usize,
    settings: &JoinSettings,
) -> Result<BTreeMap<String, HostTensor>, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let shapes: BTreeMap<_, _> = Network::tensor_shapes(joined)?.into_iter().collect();
    let mut tensors = BTreeMap::new();
    for (name, mut tensor) in base.tensors()? {
        let name = renamed(&name, start);
        if tensor.shape != shapes[&name] {
            if tensor.shape.len() != 4 {
                return Err(Error::JoinSpreads { layer: settings.preserved + 1, tensor: name });
            }
            tensor = with_channel(&tensor, &shapes[&name], settings.new_weights, &mut rng);
        }
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// Layers from `start` on move one place back to make room for the join.
fn renamed(name: &str, start: usize) -> String {
    match name.split_once('.') {
        Some((index, rest)) => match index.parse::<usize>() {
            Ok(index) if index >= start => format!("{}.{rest}", index + 1),
            _ => name.to_owned(),
        },
        None => name.to_owned(),
    }
}

/// Adds a last input channel of small random weights to `[filters, channels, rows, columns]`.
fn with_channel(old: &HostTensor, shape: &[usize], size: f32, rng: &mut ChaCha8Rng) -> HostTensor {
    let per_filter = old.values.len() / old.shape[0].max(1);
    let area: usize = shape[2..].iter().product();
    let bound = size * deviation(&old.values) * 3f32.sqrt(); // a uniform in ±b has deviation b/√3
    let mut values = Vec::with_capacity(shape.iter().product());
    for filter in old.values.chunks(per_filter.max(1)) {
        values.extend_from_slice(filter);
        values.extend((0..area).map(|_| rng.random_range(-bound..=bound)));
    }
    HostTensor { shape: shape.to_vec(), values }
}

fn deviation(values: &[f32]) -> f32 {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt()
}

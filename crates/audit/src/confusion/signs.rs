//! What can be said of a unit without a label.

use super::trace::trace;
use crate::Error;
use crate::linear::{leave_one_out, product};
use crate::pixels::to_host;
use burn::tensor::Tensor;
use cleave_confusion::{Groups, Side, Tensors};
use cleave_nets::{HostTensor, Layer, Network};
use std::collections::{BTreeMap, HashMap};

/// Which detection a sign counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Weights,
    Initial,
    Repeats,
    Statistics,
    Copies,
}

/// A sign of all units of one group.
pub(super) struct Sign {
    pub(super) family: Family,
    /// Distances from the group's median, in units of the median such distance, within ±[`FAR`].
    pub(super) values: Vec<f64>,
}

/// Distances beyond this count no more than this.
const FAR: f64 = 8.0;
/// The median distance from the median of normal values, in standard deviations.
const MAD: f64 = 0.6745;
/// Activations of a unit that correlations are taken over, at most.
const SAMPLES: usize = 1024;

impl Sign {
    /// Both directions count.
    fn new(family: Family, values: Vec<f64>) -> Self {
        let values = values.into_iter().map(|value| if value.is_finite() { value } else { 0.0 }).collect::<Vec<_>>();
        let middle = median(&values);
        let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
        let spread = median(&distances) / MAD + 1e-4 * middle.abs() + 1e-9;
        let values = values.iter().map(|value| ((value - middle) / spread).clamp(-FAR, FAR)).collect();
        Self { family, values }
    }

    /// Only what is above the median counts.
    fn upwards(family: Family, values: Vec<f64>) -> Self {
        let mut sign = Self::new(family, values);
        sign.values.iter_mut().for_each(|value| *value = value.max(0.0));
        sign
    }
}

/// Signs of one group of a network that need its weights only.
pub(super) fn of_weights(groups: &Groups, tensors: &Tensors, group: usize) -> Result<Vec<Sign>, Error> {
    let writers = &groups.list()[group].writers;
    let written =
        |name: &str, leaf: &str| writers.iter().any(|writer| name.strip_prefix(writer.as_str()) == Some(leaf));
    let side = |side, wanted: &dyn Fn(&str) -> bool| -> Result<Vec<Vec<f32>>, Error> {
        Ok(groups.values(tensors, side, wanted)?.swap_remove(group))
    };
    let rows = side(Side::Incoming, &|name| written(name, ".weight"))?;
    let columns = side(Side::Outgoing, &|_| true)?;
    let biases = side(Side::Incoming, &|name| written(name, ".bias"))?;
    let single = |name: &str| tensors.get(name).is_some_and(|tensor| tensor.shape.len() == 1);
    let norm = |name: &str, leaf: &str| {
        single(name)
            && name.ends_with(leaf)
            && !writers.iter().any(|writer| {
                name.strip_prefix(writer.as_str()).is_some_and(|rest| rest.starts_with('.') && !rest[1..].contains('.'))
            })
    };
    let mut signs = vec![
        Sign::new(Family::Weights, each(&rows, |row| length(row).ln())),
        Sign::new(Family::Weights, each(&columns, |column| length(column).ln())),
        Sign::new(Family::Weights, each(&rows, |row| mean(row) / deviation(row))),
        Sign::new(Family::Weights, each(&columns, |column| mean(column) / deviation(column))),
        Sign::new(Family::Weights, each(&rows, |row| moment(row, 4))),
        Sign::new(Family::Weights, each(&columns, |column| moment(column, 4))),
        Sign::new(Family::Weights, each(&rows, neighbours)),
        Sign::new(Family::Weights, each(&columns, neighbours)),
        Sign::new(Family::Weights, leave_one_out(&rows)),
        Sign::new(Family::Weights, leave_one_out(&columns)),
        Sign::upwards(Family::Repeats, repeats(&rows)),
        Sign::upwards(Family::Repeats, repeats(&columns)),
        Sign::upwards(Family::Copies, closest(&rows, 1.0)),
        Sign::upwards(Family::Copies, closest(&columns, -1.0)),
    ];
    if biases.iter().all(|values| !values.is_empty()) {
        signs.push(Sign::new(Family::Weights, each(&biases, mean)));
        signs.push(Sign::upwards(Family::Initial, each(&biases, |values| untouched(values, 0.0))));
        signs.push(Sign::upwards(Family::Repeats, repeats(&biases)));
    }
    for (leaf, start) in [(".weight", 1.0), (".bias", 0.0), (".running_mean", 0.0), (".running_var", 1.0)] {
        let values = side(Side::Incoming, &|name| norm(name, leaf))?;
        if values.iter().all(|values| !values.is_empty()) {
            let plain =
                each(
                    &values,
                    |values| if leaf == ".running_var" { mean(values).abs().max(1e-12).ln() } else { mean(values) },
                );
            signs.push(Sign::new(Family::Initial, plain));
            signs.push(Sign::upwards(Family::Initial, each(&values, |values| untouched(values, start))));
        }
    }
    Ok(signs)
}

/// Signs of one group of a network that need images.
pub(super) fn of_activations(
    network: &Network,
    groups: &Groups,
    group: usize,
    images: &Tensor<4>,
) -> Result<Vec<Sign>, Error> {
    let tensors = network.tensors()?;
    let units = groups.list()[group].units;
    let mut drift: Vec<Vec<f64>> = Vec::new();
    let mut written = None;
    trace(network, images.clone(), &mut |path, layer, input, output| {
        if written.is_none() && groups.list()[group].writers.first().is_some_and(|writer| writer == path) {
            written = Some(Activations::of(output, &channels(groups, &format!("{path}.bias"), output, group)?)?);
        }
        if matches!(layer, Layer::BatchNorm { .. }) {
            let channels = channels(groups, &format!("{path}.running_mean"), input, group)?;
            if channels.iter().any(|channels| !channels.is_empty()) {
                drift.extend(drifts(&tensors, path, &Activations::of(input, &channels)?, &channels));
            }
        }
        Ok(())
    })?;
    let Some(seen) = written else { return Ok(Vec::new()) };
    let lengths = groups
        .values(&tensors, Side::Incoming, |name| name == format!("{}.weight", groups.list()[group].writers[0]))?;
    let lengths = each(&lengths[group], length);
    let per_weight =
        seen.deviations.iter().zip(&lengths).map(|(deviation, length)| (deviation.max(1e-12) / length.max(1e-12)).ln());
    let mut signs = vec![
        Sign::new(Family::Statistics, per_weight.collect()),
        Sign::new(Family::Statistics, seen.deviations.iter().map(|deviation| deviation.max(1e-12).ln()).collect()),
        Sign::new(
            Family::Statistics,
            seen.means.iter().zip(&seen.deviations).map(|(mean, deviation)| mean / deviation.max(1e-12)).collect(),
        ),
        Sign::new(Family::Statistics, seen.positive.clone()),
        Sign::upwards(Family::Copies, closest(&seen.centred, 1.0)),
        Sign::upwards(Family::Copies, closest(&seen.centred, -1.0)),
    ];
    if !drift.is_empty() {
        // Where a group has running statistics, they alone are asked: everything else differs among good units too.
        signs.retain(|sign| sign.family != Family::Statistics);
        signs.extend(
            drift
                .into_iter()
                .filter(|values| values.len() == units)
                .map(|values| Sign::upwards(Family::Statistics, values)),
        );
    }
    Ok(signs)
}

/// The channels of each unit of one group in a tensor of activations that follows `name`.
fn channels(groups: &Groups, name: &str, like: &Tensor<4>, group: usize) -> Result<Vec<Vec<usize>>, Error> {
    let numbers = (0..like.dims()[1]).map(|channel| channel as f32).collect::<Vec<_>>();
    let tensor = HostTensor { shape: vec![numbers.len()], values: numbers };
    let all = groups.values(&BTreeMap::from([(name.to_owned(), tensor)]), Side::Incoming, |_| true)?;
    Ok(all[group].iter().map(|channels| channels.iter().map(|&channel| channel as usize).collect()).collect())
}

/// What units of a group do on images.
struct Activations {
    means: Vec<f64>,
    deviations: Vec<f64>,
    /// Share above 0.
    positive: Vec<f64>,
    /// Some of the values, less their mean.
    centred: Vec<Vec<f32>>,
    /// Mean and variance of each channel of each unit.
    channels: Vec<Vec<[f64; 2]>>,
}

impl Activations {
    fn of(values: &Tensor<4>, channels: &[Vec<usize>]) -> Result<Self, Error> {
        let [images, all, height, width] = values.dims();
        let (places, values) = (height * width, to_host(values.clone())?);
        let channel = |channel: usize| -> Vec<f32> {
            (0..images).flat_map(|image| &values[(image * all + channel) * places..][..places]).copied().collect()
        };
        let mut out = Self { means: vec![], deviations: vec![], positive: vec![], centred: vec![], channels: vec![] };
        for unit in channels {
            let traces: Vec<Vec<f32>> = unit.iter().map(|&at| channel(at)).collect();
            let trace = traces.concat();
            out.means.push(mean(&trace));
            out.deviations.push(deviation(&trace));
            out.positive.push(trace.iter().filter(|&&value| value > 0.0).count() as f64 / trace.len().max(1) as f64);
            let middle = mean(&trace) as f32;
            let every = trace.len().div_ceil(SAMPLES).max(1);
            out.centred.push(trace.iter().step_by(every).map(|value| value - middle).collect());
            out.channels.push(traces.iter().map(|trace| [mean(trace), deviation(trace).powi(2)]).collect());
        }
        Ok(out)
    }
}

/// How far the mean and the variance that a normalisation expects of each unit lie from those that come.
fn drifts(tensors: &Tensors, path: &str, seen: &Activations, channels: &[Vec<usize>]) -> Vec<Vec<f64>> {
    let running =
        |leaf: &str| tensors.get(&format!("{path}.{leaf}")).map(|tensor| tensor.values.as_slice()).unwrap_or_default();
    let (means, variances) = (running("running_mean"), running("running_var"));
    let unit = |(seen, channels): (&Vec<[f64; 2]>, &Vec<usize>)| {
        let one = |([mean, variance], &at): (&[f64; 2], &usize)| {
            let (expected, spread) = (f64::from(means[at]), f64::from(variances[at]).max(1e-12));
            [(mean - expected).abs() / spread.sqrt(), (variance.max(1e-12) / spread).ln().abs()]
        };
        let all: Vec<[f64; 2]> = seen.iter().zip(channels).map(one).collect();
        [0, 1].map(|which| all.iter().map(|drift| drift[which].min(20.0)).sum::<f64>() / all.len().max(1) as f64)
    };
    let all: Vec<[f64; 2]> = seen.channels.iter().zip(channels).map(unit).collect();
    [0, 1].map(|which| all.iter().map(|drift| drift[which]).collect()).into()
}

/// For each vector the largest cosine with another one, or of its opposite where `sign` is −1.
fn closest(vectors: &[Vec<f32>], sign: f64) -> Vec<f64> {
    cosines(vectors).iter().map(|row| row.iter().map(|cosine| sign * cosine).fold(-1.0, f64::max)).collect()
}

/// Cosines between all pairs, 0 of a vector with itself.
pub(super) fn cosines(vectors: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let lengths: Vec<f64> = vectors.iter().map(|vector| length(vector).max(1e-12)).collect();
    let mut out = vec![vec![0.0; vectors.len()]; vectors.len()];
    for a in 0..vectors.len() {
        for b in 0..a {
            let cosine = f64::from(product(&vectors[a], &vectors[b])) / (lengths[a] * lengths[b]);
            (out[a][b], out[b][a]) = (cosine, cosine);
        }
    }
    out
}

fn each(vectors: &[Vec<f32>], of: impl Fn(&[f32]) -> f64) -> Vec<f64> {
    vectors.iter().map(|vector| of(vector)).collect()
}

fn length(values: &[f32]) -> f64 {
    f64::from(product(values, values)).sqrt().max(1e-12)
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64
}

fn deviation(values: &[f32]) -> f64 {
    let middle = mean(values);
    let squares = values.iter().map(|&value| (f64::from(value) - middle).powi(2)).sum::<f64>();
    (squares / values.len().max(1) as f64).sqrt().max(1e-12)
}

fn moment(values: &[f32], power: i32) -> f64 {
    let (middle, spread) = (mean(values), deviation(values));
    values.iter().map(|&value| ((f64::from(value) - middle) / spread).powi(power)).sum::<f64>()
        / values.len().max(1) as f64
}

/// Correlation of neighbouring weights: kernels are smooth where they were learned.
fn neighbours(values: &[f32]) -> f64 {
    let squares = f64::from(product(values, values)).max(1e-12);
    f64::from(product(values, values.get(1..).unwrap_or_default())) / squares
}

/// For each vector the share of values other than 0 that stand, bit for bit, in another place too.
fn repeats(vectors: &[Vec<f32>]) -> Vec<f64> {
    let mut counts: HashMap<u32, usize> = HashMap::new();
    vectors.iter().flatten().for_each(|value| *counts.entry(value.to_bits()).or_default() += 1);
    let repeated = |value: &&f32| **value != 0.0 && counts.get(&value.to_bits()).is_some_and(|&count| count > 1);
    each(vectors, |vector| vector.iter().filter(repeated).count() as f64 / vector.len().max(1) as f64)
}

/// The share of values that are exactly as at the start of training.
fn untouched(values: &[f32], start: f32) -> f64 {
    values.iter().filter(|&&value| value.to_bits() == start.to_bits()).count() as f64 / values.len().max(1) as f64
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

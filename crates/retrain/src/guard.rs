//! Defences that are trained in: what they are, and their part in each step.

use crate::Error;
use crate::dependence::distance_correlation;
use crate::learner::Learner;
use crate::probe::Probes;
use burn::tensor::{Tensor, TensorData};
use cleave_nets::{Architecture, Defence, Network, Pass};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::f32::consts::TAU;

/// What a training does, besides learning its task, to make activations tell less.
///
/// Dropout in front of a layer that NoPeek or an adversary looks behind is left out: who attacks meets activations
/// without.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guard {
    /// Share of the steps over which all weights and the noise rise from 0, once all signals have come in: before, a
    /// network has its classes and its exclusive-or to learn, and while signals are withheld the masked label *is* the
    /// label, which it could not both answer and hide.
    pub warm_up: f32,
    /// The gradient of a tensor of the network's weights is made no longer than this while NoPeek or an adversary adds
    /// to the loss. Neither looks at the size of activations, so small ones pass back large gradients, and one large
    /// step ends all of a layer's units.
    pub clip: f32,
    /// The distance correlation of image and activations as part of the loss.
    pub nopeek: Option<NoPeek>,
    /// Training against probes.
    pub adversary: Option<Adversary>,
    /// Noise on activations while training.
    pub noise: Option<TrainingNoise>,
}

impl Default for Guard {
    fn default() -> Self {
        Self { warm_up: 0.2, clip: 1.0, nopeek: None, adversary: None, noise: None }
    }
}

/// NoPeek (Vepakomma, Singh, Gupta and Raskar 2020): less dependence between images and activations.
///
/// The loss gets `weight` times the *squared* distance correlation (Székely, Rizzo and Bakirov 2007) of the batch's
/// prepared images and the activations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoPeek {
    /// The numbered layer that it is measured behind.
    pub layer: usize,
    /// Weight of that part; 0 only measures.
    pub weight: f32,
}

/// Training against probes that read the secret signal and the true label from activations.
///
/// Each is read by a linear probe and by a small non-linear one, trained along with Adam. The loss gets a weight times
/// what activations tell of each: the cross-entropy of the probes' answers against a uniform answer less its least
/// value, mean of the two probes (Tzeng et al. 2015), and the squared distance correlation of activations and target
/// (Sun et al. 2022).
///
/// Only layers from the first trained one to `layer` can give way, and they have to compute the masked label themselves
/// to keep it readable while its parts are not. The provider has the masked label, and who has one of label and signal
/// besides has the other: both are hidden or neither is. Without noise behind `layer` the traces that are left are
/// small but exact, and a probe trained afterwards finds them: what the probes here read is the least that is told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Adversary {
    /// The numbered layer that the probes read behind.
    pub layer: usize,
    /// Weight of what is told of the signal; 0 only trains and measures its probes.
    pub signal: f32,
    /// Weight of what is told of the label; 0 only trains and measures its probes.
    pub label: f32,
    /// Steps of the probes a step of the network.
    pub rounds: usize,
    /// The probes' learning rate.
    pub rate: f64,
}

impl Default for Adversary {
    fn default() -> Self {
        Self { layer: 0, signal: 0.0, label: 0.0, rounds: 2, rate: 1e-3 }
    }
}

/// Gaussian noise on activations while training, so that later layers get used to noise at a cut. No defence by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingNoise {
    /// The numbered layer that it is added behind.
    pub layer: usize,
    /// Its standard deviation in the end, in units of the activations.
    pub scale: f32,
}

impl Guard {
    /// The defences as a model's card records them. Noise while training is none.
    pub fn defences(&self) -> Vec<Defence> {
        let nopeek = self.nopeek.filter(|nopeek| nopeek.weight > 0.0);
        let nopeek = nopeek.map(|NoPeek { weight, layer }| Defence::NoPeek { weight, layer });
        let adversary = self.adversary.filter(|adversary| adversary.signal > 0.0 || adversary.label > 0.0);
        let adversary =
            adversary.map(|Adversary { signal, label, layer, .. }| Defence::Adversarial { signal, label, layer });
        nopeek.into_iter().chain(adversary).collect()
    }

    /// The longest gradient, where something is added to the loss.
    pub(crate) fn clips(&self) -> Option<f32> {
        (!self.defences().is_empty()).then_some(self.clip)
    }

    /// Checks all settings; `settled` is the share of the steps after which all signals have come in.
    pub(crate) fn check(&self, batch: usize, settled: f32) -> Result<(), Error> {
        let adversary = self.adversary.unwrap_or_default();
        let not_negative = [
            ("guard.warm_up", self.warm_up),
            ("guard.nopeek.weight", self.nopeek.map_or(0.0, |nopeek| nopeek.weight)),
            ("guard.adversary.signal", adversary.signal),
            ("guard.adversary.label", adversary.label),
            ("guard.noise.scale", self.noise.map_or(0.0, |noise| noise.scale)),
        ];
        if let Some((name, value)) = not_negative.into_iter().find(|(_, value)| !value.is_finite() || *value < 0.0) {
            return Err(Error::Setting { name, value: value.to_string(), expected: "a number of 0 or more" });
        }
        let guarded = self.nopeek.is_some() || self.adversary.is_some() || self.noise.is_some();
        if guarded && settled + self.warm_up > 1.0 {
            let (name, value) = ("the curriculum and guard.warm_up", (settled + self.warm_up).to_string());
            return Err(Error::Setting { name, value, expected: "at most 1, or no defence gets its whole weight" });
        }
        let positive = [
            ("guard.adversary.rounds", adversary.rounds as f64),
            ("guard.adversary.rate", adversary.rate),
            ("guard.clip", f64::from(self.clip)),
        ];
        if let Some((name, value)) = positive.into_iter().find(|(_, value)| !value.is_finite() || *value <= 0.0) {
            return Err(Error::Setting { name, value: value.to_string(), expected: "above 0" });
        }
        if batch < 2 && guarded {
            let expected = "2 or more, for these defences compare images";
            return Err(Error::Setting { name: "batch", value: batch.to_string(), expected });
        }
        Ok(())
    }
}

/// The numbered layer that the signal joins, or the first.
pub(crate) fn join_layer(architecture: &Architecture) -> usize {
    let at = architecture.join().map_or(0, |(at, _)| at);
    let numbered = architecture.numbered_layers();
    numbered.iter().find(|layer| layer.range.contains(&at)).map_or(1, |layer| layer.number)
}

/// The position in the layer list behind numbered layer `layer`, its pooling included, a dropout or flattening not:
/// where a cut behind the layer lies.
///
/// # Errors
/// [`Error::Place`] unless the layer is one of `first` to the last but one.
pub(crate) fn behind(architecture: &Architecture, first: usize, layer: usize) -> Result<usize, Error> {
    let last = architecture.numbered_layers().len().saturating_sub(1);
    if !(first..=last).contains(&layer) {
        return Err(Error::Place { layer, first, last });
    }
    Ok(architecture.numbered_layer(layer)?.end)
}

/// Activations behind positions of the layer list, each `[batch, channels, height, width]`.
type Seen = BTreeMap<usize, Tensor<4>>;

/// What a batch holds that activations should not tell.
pub(crate) struct Secrets<'a> {
    /// Prepared images, `[batch, channels, height, width]`.
    pub(crate) images: Tensor<4>,
    /// One signal an image.
    pub(crate) signals: &'a [usize],
    /// One true label an image.
    pub(crate) labels: &'a [usize],
}

/// A [`Guard`] at work on one network. Positions count from the first trained layer.
#[derive(Default)]
pub(crate) struct Watch {
    nopeek: Option<(usize, f32)>,
    noise: Option<(usize, f32)>,
    probes: Option<(usize, Probes)>,
    /// Share of the steps after which all signals have come in.
    settled: f32,
    warm_up: f32,
    tally: Tally,
}

/// Sums since the last measurement.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Right answers by target and kind of probe.
    right: [[usize; 2]; 2],
    images: usize,
    correlation: f32,
    steps: usize,
}

/// What was measured of the defences since the last measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Readings {
    pub(crate) signal_probe: Option<f64>,
    pub(crate) label_probe: Option<f64>,
    pub(crate) distance_correlation: Option<f32>,
}

impl Watch {
    /// Watches over `network`, of which the first `preserved` numbered layers are frozen.
    pub(crate) fn new(
        guard: &Guard,
        network: &Network,
        preserved: usize,
        settled: f32,
        seed: u64,
    ) -> Result<Self, Error> {
        let architecture = network.architecture();
        let first = join_layer(architecture).max(preserved + 1);
        let start = architecture.numbered_layer(preserved + 1)?.range.start;
        let place = |layer| behind(architecture, first, layer);
        let probes = guard.adversary.map(|settings| {
            let at = place(settings.layer)?;
            let (_, signal) = architecture.join().ok_or(Error::NoSignal)?;
            let (shape, device) = (architecture.shapes()?[at], network.device());
            Ok::<_, Error>((at - start, Probes::new(settings, shape, signal.classes, seed, device)?))
        });
        let nopeek = guard.nopeek.map(|nopeek| Ok::<_, Error>((place(nopeek.layer)? - start, nopeek.weight)));
        let noise = guard.noise.map(|noise| Ok::<_, Error>((place(noise.layer)? - start, noise.scale)));
        Ok(Self {
            nopeek: nopeek.transpose()?,
            noise: noise.transpose()?,
            probes: probes.transpose()?,
            settled,
            warm_up: guard.warm_up,
            tally: Tally::default(),
        })
    }

    /// Runs the trained layers at `progress`, the share of steps done, with noise where there is some and dropout behind
    /// what the defences look at, and gives what they look at besides the output.
    pub(crate) fn forward(
        &self,
        network: &Network,
        mut x: Tensor<4>,
        mut pass: Pass<'_>,
        progress: f32,
        rng: &mut ChaCha8Rng,
    ) -> Result<(Tensor<4>, Seen), Error> {
        let (mut seen, mut from) = (Seen::new(), 0);
        let watched = self.nopeek.map(|(at, _)| at).max(self.probes.as_ref().map(|(at, _)| *at));
        for stop in self.stops(network.architecture().layers.len()) {
            let dropout = pass.dropout.as_deref_mut().filter(|_| watched.is_none_or(|last| stop > last));
            let part = Pass { signal: pass.signal.take(), dropout, half: pass.half };
            x = network.slice(from..stop)?.forward(x, part)?;
            if let Some((_, scale)) = self.noise.filter(|(at, _)| *at == stop) {
                x = x.clone() + gaussian(&x, rng).mul_scalar(scale * self.ramp(progress));
            }
            seen.insert(stop, x.clone());
            from = stop;
        }
        Ok((x, seen))
    }

    /// Where a pass is looked at, in order; last, the end of the list.
    fn stops(&self, end: usize) -> Vec<usize> {
        let places = [self.noise.map(|(at, _)| at), self.nopeek.map(|(at, _)| at), self.probes.as_ref().map(|p| p.0)];
        let mut stops: Vec<usize> = places.into_iter().flatten().chain([end]).collect();
        stops.sort_unstable();
        stops.dedup();
        stops
    }

    /// Trains the probes, and gives what the defences add to the loss at `progress`.
    pub(crate) fn penalty(
        &mut self,
        seen: &Seen,
        secrets: &Secrets<'_>,
        progress: f32,
    ) -> Result<Option<Tensor<1>>, Error> {
        let ramp = self.ramp(progress);
        let mut parts = Vec::new();
        if let Some((features, weight)) = self.nopeek.and_then(|(at, weight)| Some((seen.get(&at)?, weight))) {
            let correlation =
                distance_correlation(secrets.images.clone().flatten(1, 3), features.clone().flatten(1, 3));
            self.tally.correlation += correlation.clone().into_scalar::<f32>();
            parts.push(correlation.mul_scalar(weight * ramp));
        }
        if let Some((at, probes)) = &mut self.probes
            && let Some(features) = seen.get(at)
        {
            let targets = [secrets.signals, secrets.labels];
            let right = probes.train(features, targets)?;
            self.tally.right.iter_mut().flatten().zip(right.iter().flatten()).for_each(|(sum, more)| *sum += more);
            self.tally.images += secrets.labels.len();
            parts.push(probes.telling(features, targets)?.mul_scalar(ramp));
        }
        self.tally.steps += 1;
        Ok(parts.into_iter().reduce(|sum, part| sum + part))
    }

    /// Share of all weights and of the noise at `progress`.
    fn ramp(&self, progress: f32) -> f32 {
        let since = progress - self.settled;
        let risen = if self.warm_up > 0.0 { since / self.warm_up } else { f32::from(since >= 0.0) };
        risen.clamp(0.0, 1.0)
    }

    /// What was measured since the last call.
    pub(crate) fn take_readings(&mut self) -> Readings {
        let tally = std::mem::take(&mut self.tally);
        let best = |right: [usize; 2]| right[0].max(right[1]) as f64 / tally.images.max(1) as f64;
        let probes = self.probes.as_ref().map(|_| tally.right.map(best));
        Readings {
            signal_probe: probes.map(|[signal, _]| signal),
            label_probe: probes.map(|[_, label]| label),
            distance_correlation: self.nopeek.map(|_| tally.correlation / tally.steps.max(1) as f32),
        }
    }

    /// The probes by name, to be saved.
    pub(crate) fn learners(&self) -> impl Iterator<Item = (String, &Learner)> {
        self.probes.iter().flat_map(|(_, probes)| probes.learners())
    }

    /// The probes by name, to go on from what was saved.
    pub(crate) fn learners_mut(&mut self) -> impl Iterator<Item = (String, &mut Learner)> {
        self.probes.iter_mut().flat_map(|(_, probes)| probes.learners_mut())
    }
}

/// Standard normal values in the shape of `like`, by the Box-Muller transform.
fn gaussian(like: &Tensor<4>, rng: &mut ChaCha8Rng) -> Tensor<4> {
    let mut draw = || {
        let (radius, angle) = ((-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt(), TAU * rng.random::<f32>());
        radius * angle.cos()
    };
    let values: Vec<f32> = (0..like.shape().num_elements()).map(|_| draw()).collect();
    Tensor::from_data(TensorData::new(values, like.dims()), &like.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cleave_nets::{AlexNet, Dropout, SignalKind, SignalSpec, device};
    use rand::SeedableRng;

    #[test]
    fn weights_rise_once_all_signals_have_come_in() {
        let watch = Watch { settled: 0.5, warm_up: 0.2, ..Watch::default() };
        for (progress, expected) in [(0.0, 0.0), (0.5, 0.0), (0.6, 0.5), (0.7, 1.0), (1.0, 1.0)] {
            assert!((watch.ramp(progress) - expected).abs() < 1e-5, "{progress}");
        }
        let at_once = Watch { warm_up: 0.0, ..watch };
        assert_eq!([at_once.ramp(0.49), at_once.ramp(0.5)], [0.0, 1.0]);
    }

    #[test]
    fn noise_is_standard_normal() {
        let like = Tensor::<4>::zeros([10, 10, 10, 10], &device("flex").unwrap());
        let noise = gaussian(&like, &mut ChaCha8Rng::seed_from_u64(1)).into_data().try_into_vec::<f32>().unwrap();
        let moment = |power: i32| noise.iter().map(|value| value.powi(power)).sum::<f32>() / noise.len() as f32;
        for (power, expected, error) in [(1, 0.0, 0.05), (2, 1.0, 0.06), (3, 0.0, 0.2), (4, 3.0, 0.5)] {
            assert!((moment(power) - expected).abs() < error, "moment {power} is {}", moment(power));
        }
    }

    #[test]
    fn dropout_acts_behind_what_is_watched_and_not_before() {
        let architecture = AlexNet { size: 64, divisor: 16, ..AlexNet::default() }.architecture().unwrap();
        let architecture = architecture.with_join(2, SignalSpec::new(SignalKind::Complement, 2)).unwrap();
        let network = Network::random(architecture, 7, &device("flex").unwrap()).unwrap();
        let guard = Guard { nopeek: Some(NoPeek { layer: 7, weight: 1.0 }), ..Guard::default() };
        let watch = Watch::new(&guard, &network, 0, 0.0, 1).unwrap();
        let (at, _) = watch.nopeek.unwrap();
        let run = |watch: &Watch, seed: Option<u64>| {
            let mut dropout = seed.map(Dropout::seeded);
            let shape = network.signal_shape().unwrap();
            let ones =
                |[channels, height, width]: [usize; 3]| Tensor::ones([2, channels, height, width], network.device());
            let pass = Pass { signal: Some(ones(shape.dims())), dropout: dropout.as_mut(), half: false };
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let (scores, seen) = watch.forward(&network, ones(network.input().dims()), pass, 1.0, &mut rng).unwrap();
            let host = |x: &Tensor<4>| x.to_data().try_into_vec::<f32>().unwrap();
            (host(&scores), seen.get(&at).map(host))
        };
        let (with, without) = (run(&watch, Some(1)), run(&watch, None));
        assert_eq!(with.1, without.1);
        assert_ne!(with.0, without.0);
        assert_ne!(run(&Watch::default(), Some(1)).0, with.0); // unwatched, it acts in both hidden layers
    }
}

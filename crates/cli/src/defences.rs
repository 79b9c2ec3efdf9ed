//! Defences at the cut, as the command line writes them.

use crate::Failure;
use crate::options::{DataOptions, open_dataset};
use cleave_audit::{Target, mean_trace};
use cleave_data::{LoadOptions, Loader};
use cleave_nets::{Checkpoint, Defence, Distribution};
use cleave_partition::{Cut, apply_defences, cut, noise_for, quantise_for};
use cleave_retrain::SignalSource;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::PathBuf;
use std::str::FromStr;

/// What a client is to do to smashed data: noise, then levels.
///
/// `gaussian:0.5`, `laplace:0.5` (the scale), `gaussian:dfil:100` (calibrated), `bits:4`, `bits:4:-1.5:6` (with the
/// range), and two of them as `gaussian:0.5+bits:4`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    noise: Option<(Distribution, Amount)>,
    levels: Option<(u8, Option<[f32; 2]>)>,
}

/// How much noise.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Amount {
    /// Standard deviation, or scale b.
    Scale(f32),
    /// Whatever has this diagonal Fisher information leakage.
    Dfil(f64),
}

/// How a defence is written, for errors and help.
const SYNTAX: &str = "write gaussian:SCALE, laplace:SCALE, gaussian:dfil:VALUE, laplace:dfil:VALUE, bits:N or \
                      bits:N:LOW:HIGH with 1 to 8 bits, or noise and bits as gaussian:SCALE+bits:N";

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut wanted = Self::default();
        for part in text.split('+') {
            wanted.add(part).ok_or_else(|| format!("{part:?} is no defence, or the second of its kind; {SYNTAX}"))?;
        }
        Ok(wanted)
    }
}

impl Wanted {
    fn add(&mut self, part: &str) -> Option<()> {
        let words: Vec<_> = part.split(':').collect();
        let distribution = match words[0] {
            "gaussian" => Some(Distribution::Gaussian),
            "laplace" => Some(Distribution::Laplace),
            _ => None,
        };
        match (distribution, &words[1..]) {
            (Some(distribution), [scale]) if self.noise.is_none() => {
                self.noise = Some((distribution, Amount::Scale(positive(scale)?)));
            }
            (Some(distribution), ["dfil", value]) if self.noise.is_none() => {
                let dfil = value.parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0)?;
                self.noise = Some((distribution, Amount::Dfil(dfil)));
            }
            (None, [bits, range @ ..]) if words[0] == "bits" && self.levels.is_none() => {
                let bits = bits.parse().ok().filter(|bits| (1..=8).contains(bits))?;
                let range = match range {
                    [] => None,
                    [low, high] => Some([low.parse().ok()?, high.parse().ok()?]),
                    _ => return None,
                };
                self.levels = Some((bits, range));
            }
            _ => return None,
        }
        Some(())
    }

    /// The defences themselves. What is not given is measured: the range of levels on what the front half gives, noise
    /// included; the noise for a wanted dFIL by the trace at the same images.
    pub fn defences(&self, model: &Checkpoint, at: Cut, sample: Option<&Sample>) -> Result<Vec<Defence>, Failure> {
        let needed = || sample.ok_or(Failure::NoRange);
        let mut defences = Vec::new();
        match self.noise {
            Some((distribution, Amount::Scale(scale))) => {
                defences.push(Defence::Noise { distribution, scale, dfil: None });
            }
            Some((distribution, Amount::Dfil(dfil))) => {
                let trace = needed()?.trace(model, at)?;
                defences.push(noise_for(trace, model.network.input().values(), dfil, distribution)?);
            }
            None => {}
        }
        match self.levels {
            Some((bits, Some([low, high]))) => defences.push(Defence::Quantise { bits, low, high }),
            Some((bits, None)) => {
                let mut values = needed()?.smashed(model, at)?;
                apply_defences(&defences, &mut values, &mut ChaCha8Rng::seed_from_u64(0));
                defences.push(quantise_for(bits, &values)?);
            }
            None => {}
        }
        Ok(defences)
    }

    /// Whether images are needed to say what it is.
    pub const fn is_measured(&self) -> bool {
        matches!((&self.noise, &self.levels), (Some((_, Amount::Dfil(_))), _) | (_, Some((_, None))))
    }
}

fn positive(text: &str) -> Option<f32> {
    text.parse().ok().filter(|value: &f32| value.is_finite() && *value > 0.0)
}

/// Images that zeros, ranges and noise are measured on.
const MEASURED_IMAGES: usize = 64;
/// Those of them that a trace is averaged over.
const TRACED_IMAGES: usize = 8;

/// Prepared images, and the channels of signals drawn for them.
pub struct Sample {
    /// `[count, channels, height, width]` of the network's input.
    pub images: Vec<f32>,
    /// `[count, 1, height, width]` at the join, where there is one.
    pub signal: Option<Vec<f32>>,
    /// Images.
    pub count: usize,
}

impl Sample {
    /// The same images for the same data and model, so that an audit and a cut measure alike.
    pub fn draw(model: &Checkpoint, path: PathBuf) -> Result<Self, Failure> {
        let data = DataOptions {
            data: path.clone(),
            classes: Some(model.card.classes.clone()),
            limit: Some(MEASURED_IMAGES.div_ceil(model.card.classes.len().max(1))),
            strict: false,
        };
        let options = LoadOptions::training(MEASURED_IMAGES, 0); // shuffled, or the first would be of one class
        let loader = Loader::new(open_dataset(&data, None)?, model.card.preparation.clone(), options)?;
        let batch = loader.epoch(0)?.next().transpose()?.ok_or(Failure::NoImages { path })?;
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let source = signal_source(model)?;
        let planes = |source: &SignalSource| source.planes(&source.draw(batch.labels.len(), &mut rng), &mut rng);
        let signal = source.as_ref().map(planes).transpose()?;
        Ok(Self { images: batch.images, signal, count: batch.labels.len() })
    }

    fn smashed(&self, model: &Checkpoint, at: Cut) -> Result<Vec<f32>, Failure> {
        Ok(cut(&model.network, at)?.0.infer(self.images.clone(), self.signal.clone(), self.count)?)
    }

    fn trace(&self, model: &Checkpoint, at: Cut) -> Result<f64, Failure> {
        let (front, back) = cut(&model.network, at)?;
        let target = Target::new(front, back, signal_source(model)?, Vec::new(), &model.card.preparation);
        let values = TRACED_IMAGES.min(self.count) * model.network.input().values();
        Ok(mean_trace(&target, &self.images[..values], 0)?)
    }
}

/// The signal as a client of this model would draw it: with the digits that the model carries.
pub fn signal_source(model: &Checkpoint) -> Result<Option<SignalSource>, Failure> {
    match (model.network.architecture().join(), model.network.signal_shape()) {
        (Some((_, spec)), Some(shape)) => {
            Ok(Some(SignalSource::new(spec.clone(), model.glyphs.clone(), shape.height, shape.width)?))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defences_are_read_as_they_are_written() {
        let noise = |distribution, amount| Wanted { noise: Some((distribution, amount)), levels: None };
        let read = |text: &str| text.parse::<Wanted>();
        assert_eq!(read("gaussian:0.5"), Ok(noise(Distribution::Gaussian, Amount::Scale(0.5))));
        assert_eq!(read("laplace:dfil:0.1"), Ok(noise(Distribution::Laplace, Amount::Dfil(0.1))));
        let both = Wanted { levels: Some((4, Some([-1.5, 6.0]))), ..noise(Distribution::Gaussian, Amount::Scale(0.5)) };
        assert_eq!(read("bits:4:-1.5:6+gaussian:0.5"), Ok(both));
        for wrong in [
            "",
            "gaussian",
            "gaussian:0",
            "gaussian:nan",
            "gaussian:dfil:-1",
            "gaussian:1+laplace:1",
            "bits:9",
            "bits:4:1",
            "x:1",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

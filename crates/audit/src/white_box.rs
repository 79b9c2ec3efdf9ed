//! Inversion by maximum likelihood: the image whose smashed data is nearest to what arrived.

use crate::Error;
use crate::learner::cosine;
use crate::observer::{Observer, step};
use crate::pixels::{Lot, PixelScale, to_host};
use crate::similarity::{ssim, total_variation};
use crate::target::Target;
use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Tensor, TensorData};
use cleave_nets::{Network, Pass};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Settings of an inversion by gradient descent on the image (He, Zhang, Lee 2019, Section 4).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct DescentSettings {
    /// Steps from each start.
    pub steps: usize,
    /// Rate of Adam at the start, in pixels of 0 to 1.
    pub rate: f64,
    /// Weights of the total variation to choose from, the largest last; larger ones are tried where that is the best.
    pub smoothness: Vec<f32>,
    /// Weights of the squared distance from a decoder's answer to choose from, where there is one; likewise.
    pub anchors: Vec<f32>,
    /// Images of the attacker's own that the weights are chosen on.
    pub tuning_images: usize,
    /// Starts from noise, besides those from the mean image and from a decoder's answer. A query-free inversion, the
    /// optimistic end of the range, has none.
    pub restarts: usize,
}

impl Default for DescentSettings {
    fn default() -> Self {
        Self {
            steps: 400,
            rate: 0.05,
            smoothness: vec![0.0, 0.01, 0.1, 1.0],
            anchors: vec![0.0, 0.3, 3.0],
            tuning_images: 8,
            restarts: 1,
        }
    }
}

impl DescentSettings {
    /// Steps from all starts and for the choice of weights, at most.
    pub(crate) const fn most_steps(&self, decoded: bool) -> usize {
        let (starts, lists) = if decoded { (2, 2) } else { (1, 1) };
        let anchors = if decoded { self.anchors.len() } else { 0 };
        let tried = self.smoothness.len() + anchors + lists * LARGER;
        self.steps * (starts + self.restarts) + self.steps / 2 * tried
    }

    /// Weights grow, so that the last is the largest, and are not negative.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (name, weights) in [("smoothness", &self.smoothness), ("anchors", &self.anchors)] {
            let grows = weights.windows(2).all(|pair| pair[0] < pair[1]);
            if !grows || weights.iter().any(|weight| !weight.is_finite() || *weight < 0.0) {
                let expected = "weights of 0 or more, each larger than the one before";
                return Err(Error::Setting { name, value: format!("{weights:?}"), expected });
            }
        }
        Ok(())
    }
}

/// Weights beyond those listed that may be tried, each ten times the one before.
const LARGER: usize = 4;

/// What gradient descent moves.
#[derive(Module, Debug)]
struct Guess {
    /// `[batch, channels, height, width]`, pixels of 0 to 1.
    pixels: Param<Tensor<4>>,
    /// The signal's channel, in units of its scale.
    plane: Option<Param<Tensor<4>>>,
}

/// What the attacker fits: a front half it knows, or a substitute, to smashed data that arrived.
pub(crate) struct Descent<'a> {
    front: Network,
    target: &'a Target,
    settings: &'a DescentSettings,
    /// The mean image, `[1, channels, height, width]`, pixels of 0 to 1.
    mean: Tensor<4>,
    /// Mean channel of a signal; where the descent of the channel starts.
    plane: Option<Tensor<4>>,
}

/// What an inversion starts from.
pub(crate) struct Evidence {
    /// `[batch, channels, height, width]` at the cut.
    pub(crate) smashed: Tensor<4>,
    /// What a trained decoder makes of it, `[batch, channels, height, width]`, pixels of 0 to 1.
    pub(crate) decoded: Option<Tensor<4>>,
}

/// What is known of images beforehand: the objective gets these weights times the total variation, and times the mean
/// squared distance from the decoder's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Prior {
    pub(crate) smoothness: f32,
    pub(crate) anchor: f32,
}

/// Reconstructions with what they cost.
pub(crate) struct Descended {
    /// `[batch, channels, height, width]`, pixels of 0 to 1.
    pub(crate) pixels: Tensor<4>,
    /// The weights that were chosen.
    pub(crate) prior: Prior,
    /// Steps over all starts and the choice.
    pub(crate) steps: usize,
}

impl<'a> Descent<'a> {
    /// An attack with `front`, which is the target's own or a substitute for it, from the mean image
    /// `[1, channels, height, width]`, from noise and from what a decoder makes of the smashed data.
    pub(crate) fn new(
        front: &Network,
        target: &'a Target,
        settings: &'a DescentSettings,
        mean: Tensor<4>,
        seed: u64,
    ) -> Result<Self, Error> {
        let plane = target.mean_plane(&mut ChaCha8Rng::seed_from_u64(seed))?;
        Ok(Self { front: front.differentiable(), target, settings, mean, plane })
    }

    /// Inverts smashed data: the weights are chosen on images that the attacker has, `truth` with pixels of 0 to 1, and
    /// the start for each image by the objective that the descent itself reached. The private images play no part.
    pub(crate) fn invert(
        &self,
        private: &Evidence,
        own: &Evidence,
        truth: &Tensor<4>,
        seed: u64,
        observer: &mut dyn Observer,
    ) -> Result<Descended, Error> {
        let (prior, tuned) = self.choose(own, truth, observer)?;
        let images = private.smashed.dims()[0];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let noise = (0..self.settings.restarts).map(|_| self.noise(images, &mut rng));
        let others: Vec<_> = private.decoded.iter().cloned().chain(noise).collect();
        let mut best = self.descend(private, self.mean_for(images), prior, self.settings.steps, observer)?;
        for start in &others {
            let new = self.descend(private, start.clone(), prior, self.settings.steps, observer)?;
            best = better(best, new)?;
        }
        Ok(Descended { pixels: best.0, prior, steps: tuned + (1 + others.len()) * self.settings.steps })
    }

    /// The weights that give the attacker its own images back best, by SSIM, and the steps that took: first that of the
    /// total variation from the mean image, then, with it, that of the distance from the decoder's answer.
    fn choose(&self, own: &Evidence, truth: &Tensor<4>, observer: &mut dyn Observer) -> Result<(Prior, usize), Error> {
        let steps = self.settings.steps / 2;
        let mut likeness = |start: &Tensor<4>, prior: Prior| {
            let (pixels, _) = self.descend(own, start.clone(), prior, steps, observer)?;
            Ok(ssim(truth.clone(), pixels).mean().into_scalar::<f32>())
        };
        let mean = self.mean_for(truth.dims()[0]);
        let smooth = |smoothness| Prior { smoothness, anchor: 0.0 };
        let (smoothness, mut tried) = best_weight(&self.settings.smoothness, |weight| likeness(&mean, smooth(weight)))?;
        let mut prior = smooth(smoothness);
        if let Some(decoded) = &own.decoded {
            let (anchor, more) =
                best_weight(&self.settings.anchors, |anchor| likeness(decoded, Prior { anchor, ..prior }))?;
            (prior.anchor, tried) = (anchor, tried + more);
        }
        Ok((prior, steps * tried))
    }

    /// The mean image for each of `images`.
    fn mean_for(&self, images: usize) -> Tensor<4> {
        self.mean.clone().repeat_dim(0, images)
    }

    /// Gradient descent from `start`; the images, and each one's objective at the end.
    fn descend(
        &self,
        evidence: &Evidence,
        start: Tensor<4>,
        prior: Prior,
        steps: usize,
        observer: &mut dyn Observer,
    ) -> Result<(Tensor<4>, Vec<f32>), Error> {
        let images = start.dims()[0];
        let scale = self.target.spec().map_or(1.0, |spec| spec.scale);
        let plane = self.plane.as_ref().map(|plane| plane.clone().repeat_dim(0, images) / scale);
        let leaf = |tensor: Tensor<4>| Param::from_tensor(tensor.autodiff().require_grad());
        let mut guess = Guess { pixels: leaf(start), plane: plane.map(leaf) };
        let mut optimizer = AdamConfig::new().with_epsilon(1e-12).init(); // gradients of one pixel are tiny
        let decoded = evidence.decoded.clone().filter(|_| prior.anchor > 0.0).map(Tensor::autodiff);
        let evidence = Evidence { smashed: evidence.smashed.clone().autodiff(), decoded };
        for at in 0..steps {
            step(observer)?;
            let loss = self.objective(&guess, &evidence, prior, scale)?.sum();
            let mut gradients = loss.backward();
            let gradients = GradientsParams::from_module(&mut gradients, &guess);
            guess = optimizer.step(cosine(self.settings.rate, at, steps), guess, gradients).clamped();
        }
        let objective = to_host(self.objective(&guess, &evidence, prior, scale)?)?;
        match objective.iter().find(|value| !value.is_finite()) {
            Some(&value) => Err(Error::Diverged { attack: "the white-box inversion", value, step: steps }),
            None => Ok((guess.pixels.val().without_autodiff(), objective)),
        }
    }

    /// For each image ‖f(x) − z‖²/‖z‖² and the weighted parts of the prior.
    fn objective(&self, guess: &Guess, evidence: &Evidence, prior: Prior, scale: f32) -> Result<Tensor<1>, Error> {
        let pixels = guess.pixels.val();
        let signal = guess.plane.as_ref().map(|plane| plane.val() * scale);
        let fitted = self.front.forward(self.prepared(pixels.clone()), Pass { signal, ..Pass::default() })?;
        let energy = |x: Tensor<4>| x.powi_scalar(2).flatten::<2>(1, 3).sum_dim(1).flatten::<1>(0, 1);
        let misfit = energy(fitted - evidence.smashed.clone()) / (energy(evidence.smashed.clone()) + 1e-12);
        let objective = misfit + total_variation(pixels.clone()) * prior.smoothness;
        Ok(match &evidence.decoded {
            Some(decoded) => {
                let share = prior.anchor / self.target.front.input().values() as f32;
                objective + energy(pixels - decoded.clone()) * share
            }
            None => objective,
        })
    }

    fn prepared(&self, pixels: Tensor<4>) -> Tensor<4> {
        self.target.scale.prepared(pixels)
    }

    fn noise(&self, images: usize, rng: &mut ChaCha8Rng) -> Tensor<4> {
        let shape = self.target.front.input();
        let values: Vec<f32> = (0..images * shape.values()).map(|_| 0.5 + rng.random_range(-0.2..0.2)).collect();
        let shape = [images, shape.channels, shape.height, shape.width];
        Tensor::from_data(TensorData::new(values, shape), self.target.front.device())
    }
}

impl Guess {
    /// Back into what can be: pixels of 0 to 1, a channel within its scale.
    fn clamped(self) -> Self {
        let into = |param: Param<Tensor<4>>, low: f32| {
            param.map(|tensor| tensor.without_autodiff().clamp(low, 1.0).autodiff().require_grad())
        };
        Self { pixels: into(self.pixels, 0.0), plane: self.plane.map(|plane| into(plane, -1.0)) }
    }
}

/// The weight that `likeness` is highest for, and how many were tried: those listed, and, while the last is the best, ten
/// times as much. A single one is taken untried, and 0 where none is listed.
fn best_weight(listed: &[f32], mut likeness: impl FnMut(f32) -> Result<f32, Error>) -> Result<(f32, usize), Error> {
    if listed.len() < 2 {
        return Ok((listed.first().copied().unwrap_or(0.0), 0));
    }
    let (mut best, mut best_at, mut highest) = (listed[0], 0, f32::NEG_INFINITY);
    let mut weights = listed.to_vec();
    let mut at = 0;
    while at < weights.len() {
        let reached = likeness(weights[at])?;
        if reached > highest {
            (best, best_at, highest) = (weights[at], at, reached);
        }
        at += 1;
        if at == weights.len() && best_at + 1 == at && at < listed.len() + LARGER {
            weights.push(best * 10.0);
        }
    }
    Ok((best, at))
}

/// Of two attempts, for each image the one with the lower objective.
fn better(old: (Tensor<4>, Vec<f32>), new: (Tensor<4>, Vec<f32>)) -> Result<(Tensor<4>, Vec<f32>), Error> {
    let take: Vec<bool> = old.1.iter().zip(&new.1).map(|(old, new)| new < old).collect();
    let chosen = |at: usize| if take[at] { (&new.0, new.1[at]) } else { (&old.0, old.1[at]) };
    let pixels = (0..take.len()).map(|at| chosen(at).0.clone().slice(at..at + 1)).collect();
    Ok((Tensor::cat(pixels, 0), (0..take.len()).map(|at| chosen(at).1).collect()))
}

/// The mean of images, `[1, channels, height, width]`, pixels of 0 to 1.
pub(crate) fn mean_image(lot: &Lot, scale: &PixelScale) -> Tensor<4> {
    scale.pixels(lot.prepared.clone()).mean_dim(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The best of `listed` where likeness is highest at `peak`, and the weights that were tried.
    fn chosen(listed: &[f32], peak: f32) -> (f32, Vec<f32>) {
        let mut tried = Vec::new();
        let likeness = |weight: f32| {
            tried.push(weight);
            Ok(-(weight - peak).abs())
        };
        let (best, count) = best_weight(listed, likeness).unwrap();
        assert_eq!(count, tried.len());
        (best, tried)
    }

    #[test]
    fn larger_weights_are_tried_while_the_largest_is_the_best() {
        assert_eq!(chosen(&[0.0, 0.1, 1.0], 0.1), (0.1, vec![0.0, 0.1, 1.0]));
        assert_eq!(chosen(&[0.0, 1.0], 80.0), (100.0, vec![0.0, 1.0, 10.0, 100.0, 1000.0]));
        assert_eq!(chosen(&[0.0, 1.0], 1e5), (1e4, vec![0.0, 1.0, 10.0, 100.0, 1e3, 1e4]), "to an end");
        assert_eq!((chosen(&[0.5], 3.0), chosen(&[], 3.0)), ((0.5, vec![]), (0.0, vec![])));
    }

    #[test]
    fn weights_that_fall_or_are_none_are_refused() {
        let with =
            |smoothness: &[f32]| DescentSettings { smoothness: smoothness.to_vec(), ..DescentSettings::default() };
        assert!(with(&[0.0, 1.0]).check().is_ok() && with(&[]).check().is_ok());
        for wrong in [&[1.0, 0.0][..], &[0.0, 0.0], &[-1.0], &[f32::NAN], &[f32::INFINITY]] {
            assert!(matches!(with(wrong).check(), Err(Error::Setting { name: "smoothness", .. })), "{wrong:?}");
        }
    }
}

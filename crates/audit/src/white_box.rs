//! Inversion by maximum likelihood: the image whose smashed data is nearest to what arrived.

use crate::Error;
use crate::learner::cosine;
use crate::observer::{Observer, step};
use crate::pixels::{Lot, PixelScale, to_host};
use crate::similarity::{ssim, total_variation};
use crate::target::{Seen, Target};
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
    /// Images of the attacker's own that the weight is chosen on.
    pub tuning_images: usize,
    /// Starts from noise, besides those from the mean image and from a decoder's answer.
    pub restarts: usize,
}

impl Default for DescentSettings {
    fn default() -> Self {
        Self { steps: 400, rate: 0.05, smoothness: vec![0.0, 0.01, 0.1, 1.0], tuning_images: 8, restarts: 1 }
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
    /// Mean channel of a signal; where the descent of the channel starts.
    plane: Option<Tensor<4>>,
}

/// Where descents may start.
pub(crate) struct Starts {
    /// One image, `[1, channels, height, width]`, or one for each: pixels of 0 to 1.
    pub(crate) images: Vec<(&'static str, Tensor<4>)>,
}

/// Reconstructions with what they cost.
pub(crate) struct Descended {
    /// `[batch, channels, height, width]`, pixels of 0 to 1.
    pub(crate) pixels: Tensor<4>,
    /// The weight of the total variation that was chosen.
    pub(crate) smoothness: f32,
    /// Steps over all starts and the choice.
    pub(crate) steps: usize,
}

impl<'a> Descent<'a> {
    /// An attack with `front`, which is the target's own or a substitute for it.
    pub(crate) fn new(
        front: &Network,
        target: &'a Target,
        settings: &'a DescentSettings,
        seed: u64,
    ) -> Result<Self, Error> {
        let plane = target.mean_plane(&mut ChaCha8Rng::seed_from_u64(seed))?;
        Ok(Self { front: front.differentiable(), target, settings, plane })
    }

    /// Inverts smashed data: the weight of the total variation is chosen on images that the attacker has, the start
    /// for each image by the objective that the descent itself reached. The truth plays no part.
    pub(crate) fn invert(
        &self,
        smashed: &Tensor<4>,
        own: &Seen,
        starts: &Starts,
        seed: u64,
        observer: &mut dyn Observer,
    ) -> Result<Descended, Error> {
        let (smoothness, tuned) = self.choose_smoothness(own, starts, observer)?;
        let images = smashed.dims()[0];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let noise = (0..self.settings.restarts).map(|_| ("noise", self.noise(images, &mut rng)));
        let all: Vec<_> = starts.images.iter().cloned().chain(noise).collect();
        let mut best: Option<(Tensor<4>, Vec<f32>)> = None;
        for (_, start) in &all {
            let (pixels, objective) =
                self.descend(smashed, spread(start, images), smoothness, self.settings.steps, observer)?;
            best = Some(match best {
                Some(old) => better(old, (pixels, objective))?,
                None => (pixels, objective),
            });
        }
        let Some((pixels, _)) = best else {
            return Err(Error::Setting {
                name: "restarts",
                value: "0".to_owned(),
                expected: "1 or more without another start",
            });
        };
        Ok(Descended { pixels, smoothness, steps: tuned + all.len() * self.settings.steps })
    }

    /// The weight that gives the attacker its own images back best, by SSIM; and the steps that took. Where the last of
    /// the list is the best, ten times as much is tried, and so on.
    fn choose_smoothness(
        &self,
        own: &Seen,
        starts: &Starts,
        observer: &mut dyn Observer,
    ) -> Result<(f32, usize), Error> {
        let candidates = &self.settings.smoothness;
        let [first, .., _] = candidates.as_slice() else {
            return Ok((candidates.first().copied().unwrap_or(0.0), 0));
        };
        let truth = self.target.scale.pixels(own.prepared.clone());
        let start =
            starts.images.first().map_or_else(|| truth.clone().mean_dim(0), |(_, start)| start.clone().mean_dim(0));
        let steps = self.settings.steps / 2;
        let (mut best, mut likeness, mut tried) = ((*first, 0), f32::NEG_INFINITY, 0);
        let mut last = *first;
        loop {
            last = match candidates.get(tried) {
                Some(&listed) => listed,
                None if best.1 + 1 == tried && tried < candidates.len() + LARGER => last * 10.0,
                None => return Ok((best.0, steps * tried)),
            };
            let (pixels, _) = self.descend(&own.smashed, spread(&start, truth.dims()[0]), last, steps, observer)?;
            let reached = ssim(truth.clone(), pixels).mean().into_scalar::<f32>();
            if reached > likeness {
                (best, likeness) = ((last, tried), reached);
            }
            tried += 1;
        }
    }

    /// Gradient descent from `start`; the images, and each one's objective at the end.
    fn descend(
        &self,
        smashed: &Tensor<4>,
        start: Tensor<4>,
        smoothness: f32,
        steps: usize,
        observer: &mut dyn Observer,
    ) -> Result<(Tensor<4>, Vec<f32>), Error> {
        let images = start.dims()[0];
        let scale = self.target.spec().map_or(1.0, |spec| spec.scale);
        let plane = self.plane.as_ref().map(|plane| plane.clone().repeat_dim(0, images) / scale);
        let leaf = |tensor: Tensor<4>| Param::from_tensor(tensor.autodiff().require_grad());
        let mut guess = Guess { pixels: leaf(start), plane: plane.map(leaf) };
        let mut optimizer = AdamConfig::new().with_epsilon(1e-12).init(); // gradients of one pixel are tiny
        let smashed = smashed.clone().autodiff();
        for at in 0..steps {
            step(observer)?;
            let loss = self.objective(&guess, &smashed, smoothness, scale)?.sum();
            let mut gradients = loss.backward();
            let gradients = GradientsParams::from_module(&mut gradients, &guess);
            guess = optimizer.step(cosine(self.settings.rate, at, steps), guess, gradients).clamped();
        }
        let objective = to_host(self.objective(&guess, &smashed, smoothness, scale)?)?;
        match objective.iter().find(|value| !value.is_finite()) {
            Some(&value) => Err(Error::Diverged { attack: "the white-box inversion", value, step: steps }),
            None => Ok((guess.pixels.val().without_autodiff(), objective)),
        }
    }

    /// For each image ‖f(x) − z‖²/‖z‖² and the weighted total variation.
    fn objective(&self, guess: &Guess, smashed: &Tensor<4>, smoothness: f32, scale: f32) -> Result<Tensor<1>, Error> {
        let pixels = guess.pixels.val();
        let signal = guess.plane.as_ref().map(|plane| plane.val() * scale);
        let fitted = self.front.forward(self.prepared(pixels.clone()), Pass { signal, dropout: None })?;
        let energy = |x: Tensor<4>| x.powi_scalar(2).flatten::<2>(1, 3).sum_dim(1).flatten::<1>(0, 1);
        let misfit = energy(fitted - smashed.clone()) / (energy(smashed.clone()) + 1e-12);
        Ok(misfit + total_variation(pixels) * smoothness)
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

/// One image for each of `images`, where there is one for all.
fn spread(start: &Tensor<4>, images: usize) -> Tensor<4> {
    if start.dims()[0] == images { start.clone() } else { start.clone().slice(0..1).repeat_dim(0, images) }
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

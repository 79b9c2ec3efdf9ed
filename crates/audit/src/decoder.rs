//! Inversion by a network that was trained to go back.

use crate::Error;
use crate::learner::{Learner, cosine};
use crate::observer::{Observer, step};
use crate::similarity::ssim;
use crate::target::{Stream, Target};
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Tensor, module};
use cleave_data::Loader;
use cleave_nets::{Architecture, Layer, Network, Pass, Shape, Window};

/// Settings of a trained inversion (Dosovitskiy and Brox 2016; He, Zhang, Lee 2019, Section 5).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct DecoderSettings {
    /// Batches to train on; the attacker's loader cuts them.
    pub steps: usize,
    /// Rate of Adam at the start.
    pub rate: f64,
    /// Channels where the image is smallest; half of them where it is larger.
    pub width: usize,
    /// Weight of 1 − SSIM in the loss, beside the mean squared error, once a fifth of the steps are done.
    pub structure: f32,
}

impl Default for DecoderSettings {
    fn default() -> Self {
        Self { steps: 600, rate: 2e-3, width: 128, structure: 0.05 }
    }
}

/// The way back from smashed data to pixels.
///
/// Stages of residual convolutions, each on a larger image than the one before. The last gives `block²` values for
/// each channel of the image, which are laid out as pixels (Shi et al. 2016), so that most of the work is done where
/// the image is small. Every convolution but the last is followed by batch normalisation: without it the first steps
/// drove whole stages below zero, and what came out was the mean image, whatever went in.
pub(crate) struct Decoder {
    plan: Plan,
    stages: Vec<Network>,
}

impl Decoder {
    /// Trains a decoder on what `target` makes of the attacker's images.
    pub(crate) fn train(
        target: &Target,
        loader: &Loader,
        settings: &DecoderSettings,
        seed: u64,
        observer: &mut dyn Observer,
    ) -> Result<Self, Error> {
        let plan = Plan::new(target.front.output(), target.front.input(), settings.width)?;
        let mut learners = plan.learners(seed, target)?;
        let mut stream = Stream::new(target, loader, seed)?;
        for at in 0..settings.steps {
            step(observer)?;
            let seen = stream.next()?;
            let truth = target.scale.pixels(seen.prepared).autodiff();
            let answer = plan.run(seen.smashed, &learners, |learner, x| learner.forward(x, None))?;
            let structure = if at * 5 < settings.steps { 0.0 } else { settings.structure };
            let loss = loss(answer, truth, structure);
            let value = loss.clone().into_scalar::<f32>();
            if !value.is_finite() {
                return Err(Error::Diverged { attack: "the decoder", value, step: at });
            }
            let (rate, mut gradients) = (cosine(settings.rate, at, settings.steps), loss.backward());
            learners.iter_mut().for_each(|learner| learner.step(rate, &mut gradients));
        }
        Ok(Self { plan, stages: learners.into_iter().map(Learner::finished).collect() })
    }

    /// Images from smashed data.
    ///
    /// # Shapes
    /// `smashed`: `[batch, channels, height, width]` at the cut; the result likewise of the image, pixels of 0 to 1.
    pub(crate) fn decode(&self, smashed: Tensor<4>) -> Result<Tensor<4>, Error> {
        let images = self.plan.run(smashed, &self.stages, |stage, x| Ok(stage.forward(x, Pass::default())?))?;
        Ok(images.clamp(0.0, 1.0))
    }
}

/// Mean squared error and, with its weight, 1 − SSIM.
fn loss(answer: Tensor<4>, truth: Tensor<4>, structure: f32) -> Tensor<1> {
    let plain = (answer.clone() - truth.clone()).powi_scalar(2).mean();
    if structure > 0.0 { plain + (ssim(answer, truth).mean() * -1.0 + 1.0) * structure } else { plain }
}

/// Stages, what lies between them, and how the last becomes an image.
struct Plan {
    stages: Vec<Architecture>,
    bridges: Vec<Bridge>,
    image: Shape,
    block: usize,
}

/// What is done to a stage's output before the next.
#[derive(Clone, Copy)]
enum Bridge {
    /// A vector is laid out as a feature map.
    LaidOut(Shape),
    /// A feature map is enlarged to this height and width.
    Enlarged([usize; 2]),
}

/// A feature map above this side is worked on with half the channels.
const SMALL: usize = 16;
/// The side that a vector is laid out on is this part of the image's.
const VECTOR_PART: usize = 16;

impl Plan {
    fn new(smashed: Shape, image: Shape, width: usize) -> Result<Self, Error> {
        let (mut stages, mut bridges) = (Vec::new(), Vec::new());
        let mut shape = smashed;
        if shape.height == 1 && shape.width == 1 {
            let laid = Shape::new(width, image.height.div_ceil(VECTOR_PART), image.width.div_ceil(VECTOR_PART));
            let layers = vec![NORM, Layer::Linear { features: laid.values() }, Layer::Relu];
            stages.push(Architecture::new(shape, layers)?);
            bridges.push(Bridge::LaidOut(laid));
            shape = laid;
        }
        let block = [4, 2].into_iter().find(|&block| fits(shape, image, block)).unwrap_or(1);
        let last = [image.height.div_ceil(block), image.width.div_ceil(block)];
        while [shape.height, shape.width] != last {
            stages.push(stage(shape, width, None)?);
            let larger = [enlarged(shape.height, last[0]), enlarged(shape.width, last[1])];
            bridges.push(Bridge::Enlarged(larger));
            shape = Shape::new(channels(shape, width), larger[0], larger[1]);
        }
        stages.push(stage(shape, width, Some(image.channels * block * block))?);
        Ok(Self { stages, bridges, image, block })
    }

    fn learners(&self, seed: u64, target: &Target) -> Result<Vec<Learner>, Error> {
        let each = self.stages.iter().zip(seed..);
        each.map(|(stage, seed)| Learner::new(stage.clone(), seed, target.front.device())).collect()
    }

    /// Runs all stages; the result is `[batch, channels, height, width]`, around 0 to 1.
    fn run<S>(
        &self,
        smashed: Tensor<4>,
        stages: &[S],
        forward: impl Fn(&S, Tensor<4>) -> Result<Tensor<4>, Error>,
    ) -> Result<Tensor<4>, Error> {
        let mut x = smashed;
        for (at, stage) in stages.iter().enumerate() {
            x = forward(stage, x)?;
            x = match self.bridges.get(at) {
                Some(bridge) => bridge.cross(x),
                None => x,
            };
        }
        Ok(self.laid_out(x) + 0.5)
    }

    /// `[batch, channels · block², h, w]` as `[batch, channels, h · block, w · block]`, cut to the image's size.
    fn laid_out(&self, x: Tensor<4>) -> Tensor<4> {
        let ([batch, _, h, w], block, Shape { channels, height, width }) = (x.dims(), self.block, self.image);
        let x = x.reshape([batch, channels, block, block, h, w]).permute([0, 1, 4, 2, 5, 3]);
        let x: Tensor<4> = x.reshape([batch, channels, h * block, w * block]);
        x.slice([0..batch, 0..channels, 0..height, 0..width])
    }
}

impl Bridge {
    fn cross(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::LaidOut(Shape { channels, height, width }) => {
                let batch = x.dims()[0];
                x.reshape([batch, channels, height, width])
            }
            Self::Enlarged(size) => {
                module::interpolate(x, InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size))
            }
        }
    }
}

const NORM: Layer = Layer::BatchNorm { epsilon: 1e-5 };

/// Whether an image can be made of blocks from a feature map that is not larger than one value a block.
fn fits(smashed: Shape, image: Shape, block: usize) -> bool {
    image.height.div_ceil(block) >= smashed.height && image.width.div_ceil(block) >= smashed.width
}

/// The next side on the way to `last`: twice as large, or the last where that is not much more.
fn enlarged(side: usize, last: usize) -> usize {
    if side * 5 / 2 >= last { last } else { side * 2 }
}

fn channels(shape: Shape, width: usize) -> usize {
    if shape.height.max(shape.width) > SMALL { (width / 2).max(1) } else { width }
}

/// Residual convolutions on a feature map; `outputs` channels at the end, where they are given.
fn stage(shape: Shape, width: usize, outputs: Option<usize>) -> Result<Architecture, Error> {
    let conv = |filters| Layer::Conv2d { filters, window: Window::square(3, 1, 1), groups: 1, bias: true };
    let channels = channels(shape, width);
    let body = vec![conv(channels), NORM, Layer::Relu, conv(channels), NORM];
    let mut layers = vec![NORM, conv(channels), NORM, Layer::Relu];
    layers.extend([Layer::Residual { body, shortcut: vec![] }, Layer::Relu]);
    layers.extend(outputs.map(conv));
    Ok(Architecture::new(shape, layers)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;
    use crate::pixels::Lot;
    use cleave_data::{LoadOptions, Preparation, Shapes};
    use cleave_nets::AlexNet;
    use cleave_partition::{Cut, Point, cut};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn plans_end_at_the_image_whatever_the_cut() {
        let image = Shape::new(3, 112, 112);
        for smashed in [
            Shape::new(64, 27, 27),
            Shape::new(64, 13, 13),
            Shape::new(192, 6, 6),
            Shape::new(256, 2, 2),
            Shape::vector(1024),
            Shape::new(3, 112, 112),
            Shape::new(8, 57, 112),
        ] {
            let plan = Plan::new(smashed, image, 32).unwrap();
            let device = cleave_nets::device("flex").unwrap();
            let stages: Vec<_> =
                plan.stages.iter().map(|stage| Network::random(stage.clone(), 1, &device).unwrap()).collect();
            let x = Tensor::<4>::ones([2, smashed.channels, smashed.height, smashed.width], &device);
            let images = plan.run(x, &stages, |stage, x| Ok(stage.forward(x, Pass::default())?)).unwrap();
            assert_eq!(images.dims(), [2, 3, 112, 112], "{smashed}");
        }
    }

    /// Smashed data that shows the image in a few values, through every kind of bridge.
    #[test]
    fn every_stage_learns() {
        let device = cleave_nets::device("flex").unwrap();
        for smashed in [Shape::new(8, 3, 3), Shape::vector(24)] {
            let plan = Plan::new(smashed, Shape::new(1, 32, 32), 16).unwrap();
            let mut learners: Vec<_> =
                plan.stages.iter().map(|stage| Learner::new(stage.clone(), 3, &device).unwrap()).collect();
            assert!(learners.len() > 1);
            let ramp = |at: usize, period: f32| (at as f32 / period).sin() * 0.4 + 0.5;
            let tensor = |values: Vec<f32>, shape: [usize; 4]| {
                Tensor::<4>::from_data(burn::tensor::TensorData::new(values, shape), &device)
            };
            let x = (0..4 * smashed.values()).map(|at| ramp(at * at, 3.0)).collect();
            let x = tensor(x, [4, smashed.channels, smashed.height, smashed.width]);
            let truth = (0..4 * 1024).map(|at| ramp(at % 1024 * (at / 1024 + 1), 40.0)).collect();
            let truth = tensor(truth, [4, 1, 32, 32]).autodiff();
            let mut losses = Vec::new();
            for _ in 0..150 {
                let answer = plan.run(x.clone(), &learners, |learner, x| learner.forward(x, None)).unwrap();
                let loss = loss(answer, truth.clone(), 0.0);
                losses.push(loss.clone().into_scalar::<f32>());
                let mut gradients = loss.backward();
                learners.iter_mut().for_each(|learner| learner.step(2e-3, &mut gradients));
            }
            let mean_image = (truth.clone() - truth.clone().mean_dim(0)).powi_scalar(2).mean().into_scalar::<f32>();
            assert!(losses[149] < mean_image / 4.0, "{smashed}: {} to {}", losses[0], losses[149]);
            for (stage, learner) in plan.stages.iter().zip(learners) {
                let before = Network::random(stage.clone(), 3, &device).unwrap().tensors().unwrap();
                let after = learner.finished().tensors().unwrap();
                assert!(before.iter().all(|(name, old)| *old != after[name]), "{smashed}: a tensor stood still");
            }
        }
    }

    /// Decoders without batch normalisation gave the mean image here.
    #[test]
    fn more_is_learned_than_the_mean_image() {
        let device = cleave_nets::device("flex").unwrap();
        let image = Preparation::new(64, 64, 3);
        let network = AlexNet { size: 64, divisor: 4, ..AlexNet::default() }.architecture().unwrap();
        let network = Network::random(network, 5, &device).unwrap();
        let (front, back) = cut(&network, Cut { layer: 1, point: Point::Whole }).unwrap();
        let target = Target::new(front, back, None, vec![], &image);
        let shapes = |split, images| Shapes::new(2, 64, 5).unwrap().dataset(split, images);
        let loader = |data| Loader::new(data, image.clone(), LoadOptions::training(16, 3)).unwrap();
        let settings = DecoderSettings { steps: 80, width: 32, ..DecoderSettings::default() };
        let attacker = loader(shapes("train", 1000));
        let decoder = Decoder::train(&target, &attacker, &settings, 1, &mut Silent).unwrap();
        assert!(decoder.stages.len() > 1);
        let private = Lot::load(&loader(shapes("val", 64)), 64, "the private set", &device).unwrap();
        let seen = target.see(private, &mut ChaCha8Rng::seed_from_u64(2)).unwrap();
        let truth = target.scale.pixels(seen.prepared);
        let far = |guess: Tensor<4>| (guess - truth.clone()).powi_scalar(2).mean().into_scalar::<f32>();
        let (decoded, mean) = (far(decoder.decode(seen.smashed).unwrap()), far(truth.clone().mean_dim(0)));
        assert!(decoded < 0.8 * mean, "{decoded} against {mean} of the mean image");
    }

    #[test]
    fn blocks_are_laid_out_row_by_row() {
        let plan = Plan { stages: vec![], bridges: vec![], image: Shape::new(1, 4, 4), block: 2 };
        let device = cleave_nets::device("flex").unwrap();
        let x = Tensor::<4>::from_data(
            burn::tensor::TensorData::new((0..16).map(|v| v as f32).collect(), [1, 4, 2, 2]),
            &device,
        );
        let image = crate::pixels::to_host(plan.laid_out(x)).unwrap();
        // value 4·c + 2·y + x is channel c of block (y, x); channel c is the pixel (c / 2, c % 2) of its block
        assert_eq!(image[..8], [0.0, 4.0, 1.0, 5.0, 8.0, 12.0, 9.0, 13.0]);
    }
}

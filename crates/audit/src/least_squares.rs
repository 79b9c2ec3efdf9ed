//! The image straight from the algebra, where the front half is one linear layer.

use crate::pixels::to_host;
use crate::target::{Seen, Target};
use crate::{Error, Observer};
use burn::tensor::{Tensor, TensorData};
use cleave_data::Glyphs;
use cleave_leakage::{Equations, LinearMap, SolveSettings, least_squares};
use cleave_nets::{Layer, Network, Pass, SignalForm};
use cleave_retrain::SignalSource;

/// Settings of the linear attack.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct LinearSettings {
    /// Iterations of each solution.
    pub iterations: usize,
    /// Solutions in a row behind a ReLU, each with the rows that the one before got wrong.
    pub rounds: usize,
}

impl Default for LinearSettings {
    fn default() -> Self {
        Self { iterations: 300, rounds: 4 }
    }
}

/// Pixels and, where a signal joins the image, how much of each of its drawings there is: to the outputs of the one
/// layer, the bias taken off.
///
/// The client draws its signal from images that the attacker has, so the channel is a sum of known channels with
/// unknown weights. That is far fewer unknowns than the channel has values.
struct OneLayer<'a> {
    target: &'a Target,
    linear: Network,
    differentiable: Network,
    /// Known channels, `[drawings, height · width]`.
    drawings: Option<Tensor<2>>,
    /// What pixels of 0 and no signal give, `[1, channels, height, width]`.
    bias: Tensor<4>,
}

/// Whether a front half is one convolution or matrix with at most a ReLU behind it.
pub(crate) fn is_one_layer(front: &Network) -> bool {
    let plain = |layer: &Layer| matches!(layer, Layer::SignalJoin(_) | Layer::Flatten | Layer::Dropout { .. });
    let layers: Vec<_> = front.architecture().layers.iter().filter(|layer| !plain(layer)).collect();
    matches!(
        layers[..],
        [Layer::Conv2d { .. } | Layer::Linear { .. }] | [Layer::Conv2d { .. } | Layer::Linear { .. }, Layer::Relu]
    )
}

impl<'a> OneLayer<'a> {
    fn new(target: &'a Target) -> Result<Self, Error> {
        let layers = &target.front.architecture().layers;
        let end = layers.iter().position(Layer::is_weighted).map_or(layers.len(), |weight| weight + 1);
        let linear = target.front.slice(0..end)?;
        let drawings = target.source.as_ref().map(|source| drawings(source, target)).transpose()?;
        let differentiable = linear.differentiable();
        let [channels, height, width] = linear.input().dims();
        let mut map =
            Self { target, linear, differentiable, drawings, bias: Tensor::zeros([1, 1, 1, 1], target.front.device()) };
        let black = Tensor::zeros([1, channels, height, width], target.front.device());
        let silent = map.drawings.as_ref().map(|drawings| Tensor::zeros([1, drawings.dims()[0]], &drawings.device()));
        map.bias = map.run(&map.linear, black, silent, map.drawings.clone())?;
        Ok(map)
    }

    /// The layer on pixels and weights of the drawings, bias included.
    fn run(
        &self,
        linear: &Network,
        pixels: Tensor<4>,
        weights: Option<Tensor<2>>,
        drawings: Option<Tensor<2>>,
    ) -> Result<Tensor<4>, Error> {
        let shape = linear.signal_shape();
        let signal = match (weights, drawings, shape) {
            (Some(weights), Some(drawings), Some(shape)) => {
                let images = weights.dims()[0];
                Some(weights.matmul(drawings).reshape([images, 1, shape.height, shape.width]))
            }
            _ => None,
        };
        Ok(linear.forward(self.target.scale.prepared(pixels), Pass { signal, ..Pass::default() })?)
    }

    fn pixels(&self) -> usize {
        self.linear.input().values()
    }

    /// Vectors of pixels and weights, apart.
    fn apart(&self, xs: &[f32], batch: usize) -> (Tensor<4>, Option<Tensor<2>>) {
        let [channels, height, width] = self.linear.input().dims();
        let (pixels, device) = (self.pixels(), self.linear.device());
        let rows = Tensor::<2>::from_data(TensorData::new(xs.to_vec(), [batch, self.inputs()]), device);
        let images = rows.clone().slice([0..batch, 0..pixels]).reshape([batch, channels, height, width]);
        let weights = self.drawings.as_ref().map(|_| rows.slice([0..batch, pixels..self.inputs()]));
        (images, weights)
    }
}

impl LinearMap for OneLayer<'_> {
    type Error = Error;

    fn inputs(&self) -> usize {
        self.pixels() + self.drawings.as_ref().map_or(0, |drawings| drawings.dims()[0])
    }

    fn outputs(&self) -> usize {
        self.linear.output().values()
    }

    fn apply(&self, xs: &[f32], batch: usize) -> Result<Vec<f32>, Error> {
        let (pixels, weights) = self.apart(xs, batch);
        to_host(self.run(&self.linear, pixels, weights, self.drawings.clone())? - self.bias.clone())
    }

    fn transpose(&self, ys: &[f32], batch: usize) -> Result<Vec<f32>, Error> {
        let [channels, height, width] = self.linear.output().dims();
        let ys = Tensor::<4>::from_data(
            TensorData::new(ys.to_vec(), [batch, channels, height, width]),
            self.linear.device(),
        );
        let zeros = vec![0.0; batch * self.inputs()];
        let (pixels, weights) = self.apart(&zeros, batch);
        let pixels = pixels.autodiff().require_grad();
        let weights = weights.map(|weights| weights.autodiff().require_grad());
        let drawings = self.drawings.clone().map(Tensor::autodiff);
        let sent = self.run(&self.differentiable, pixels.clone(), weights.clone(), drawings)?;
        let gradients = (sent * ys.autodiff()).sum().backward();
        let mut rows = vec![pixels.grad(&gradients).map(|gradient| gradient.flatten::<2>(1, 3))];
        rows.extend(weights.map(|weights| weights.grad(&gradients)));
        let rows: Vec<_> = rows.into_iter().flatten().collect();
        if rows.is_empty() { Ok(zeros) } else { to_host(Tensor::cat(rows, 1)) }
    }
}

/// Every channel that a client may draw, `[drawings, height · width]`; for planes the one of value 1.
fn drawings(source: &SignalSource, target: &Target) -> Result<Tensor<2>, Error> {
    let shape = target.front.signal_shape().unwrap_or_else(|| target.front.input());
    let (spec, side) = (source.spec(), shape.height * shape.width);
    let mut values = Vec::new();
    match (spec.form, source.glyphs()) {
        (SignalForm::Digit, Some(glyphs)) => {
            for digit in 0..spec.classes {
                for index in 0..glyphs.len(digit) {
                    let drawn = Glyphs::resize_to(glyphs.get(digit, index)?, shape.height, shape.width);
                    values.extend(drawn.into_iter().map(|value| value * spec.scale));
                }
            }
        }
        _ => values.extend(vec![spec.scale; side]),
    }
    let drawn = values.len() / side;
    Ok(Tensor::from_data(TensorData::new(values, [drawn, side]), target.front.device()))
}

/// Solves for the images, starting from `start`: of what the equations leave open, that is taken.
///
/// Before an activation every value is an equation. Behind a ReLU the positive values are; a zero says that the
/// linear part was not positive, so rows where a solution makes it positive are added, with 0, in the next round.
///
/// # Shapes
/// `start`: `[1, channels, height, width]`; the result: `[batch, channels, height, width]`; both pixels of 0 to 1.
pub(crate) fn solve(
    target: &Target,
    seen: &Seen,
    start: &Tensor<4>,
    settings: &LinearSettings,
    observer: &mut dyn Observer,
) -> Result<(Tensor<4>, usize), Error> {
    let map = OneLayer::new(target)?;
    let images = seen.labels.len();
    let cut_off = target.front.architecture().layers.contains(&Layer::Relu);
    let right = to_host(seen.smashed.clone() - map.bias.clone())?;
    let known: Vec<bool> = to_host(seen.smashed.clone())?.iter().map(|&value| !cut_off || value > 0.0).collect();
    let mut guess = started(&map, start, images)?;
    let mut used = known.clone();
    let rounds = if cut_off { settings.rounds.max(1) } else { 1 };
    let solver = SolveSettings { iterations: settings.iterations, ..SolveSettings::default() };
    for _ in 0..rounds {
        let equations = Equations::new(&right).with_start(&guess).with_used(&used);
        let solutions = least_squares(&map, &equations, &solver, &mut |_, _| {
            observer.stepped();
            !observer.stop()
        })?;
        guess = solutions.into_iter().flat_map(|solution| solution.x).collect();
        used = with_violated(&map, &guess, &known, images)?;
    }
    Ok((map.apart(&guess, images).0.clamp(0.0, 1.0), rounds * settings.iterations))
}

fn started(map: &OneLayer<'_>, start: &Tensor<4>, images: usize) -> Result<Vec<f32>, Error> {
    let mut one = to_host(start.clone())?;
    let drawings = map.inputs() - one.len();
    one.extend(vec![1.0 / drawings.max(1) as f32; drawings]);
    Ok(one.repeat(images))
}

/// The rows that are known, and those known to be at most 0 that a solution makes positive.
fn with_violated(map: &OneLayer<'_>, guess: &[f32], known: &[bool], images: usize) -> Result<Vec<bool>, Error> {
    let linear = map.apply(guess, images)?;
    let bias = to_host(map.bias.clone())?;
    let positive = linear.iter().zip(bias.iter().cycle()).map(|(linear, bias)| linear + bias > 0.0);
    Ok(known.iter().zip(positive).map(|(&known, positive)| known || positive).collect())
}

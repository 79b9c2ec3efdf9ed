//! The training in the clear, in double precision: what the encrypted one is compared with.

use std::fmt;

use rayon::prelude::*;
use zeroize::Zeroizing;

use super::layout::Shape;
use crate::{Error, Result};

/// Most samples, features and classes.
const MAX: usize = 1 << 16;
/// ε of the quadratic gradient.
const EPSILON: f64 = 1e-10;
/// α₀ of the first iteration.
const FIRST_ALPHA: f64 = 0.01;
/// Samples are summed up in so many blocks, or in blocks of this many, side by side; the count of threads changes nothing.
const BLOCKS: usize = 16;
const BLOCK: usize = 512;

/// Features and labels. Wiped when dropped.
pub struct TrainingData {
    samples: usize,
    features: usize,
    classes: usize,
    /// Sample after sample; the first feature is 1.
    x: Zeroizing<Vec<f64>>,
    labels: Zeroizing<Vec<usize>>,
}

impl fmt::Debug for TrainingData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrainingData")
            .field("samples", &self.samples)
            .field("features", &self.features)
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}

impl TrainingData {
    /// `features`, sample after sample, with a label below `classes` for each. A feature that is 1 is put in front.
    ///
    /// # Errors
    ///
    /// [`Error::Count`], [`Error::OutOfRange`] for a label, [`Error::Value`] for a feature that is not finite.
    pub fn new(features: &[f64], labels: &[usize], classes: usize) -> Result<Self> {
        let samples = labels.len();
        let count = |what, got, min: usize| match (min..=MAX).contains(&got) {
            true => Ok(()),
            false => Err(Error::Count { what, got, expected: format!("{min} to {MAX}") }),
        };
        count("samples", samples, 1)?;
        count("classes", classes, 2)?;
        let width = features.len() / samples;
        count("features of a sample", width + 1, 2)?;
        if !features.len().is_multiple_of(samples) {
            let expected = format!("the same count for each of {samples} samples");
            return Err(Error::Count { what: "features", got: features.len(), expected });
        }
        if let Some(index) = labels.iter().position(|&label| label >= classes) {
            return Err(Error::OutOfRange { index, min: 0, max: classes as i128 - 1 });
        }
        if let Some(index) = features.iter().position(|x| !x.is_finite()) {
            return Err(Error::Value { index });
        }
        let mut x = Zeroizing::new(Vec::with_capacity(samples * (width + 1)));
        for sample in features.chunks_exact(width) {
            x.push(1.0);
            x.extend(sample);
        }
        Ok(Self { samples, features: width + 1, classes, x, labels: Zeroizing::new(labels.to_vec()) })
    }

    /// n, d and c.
    pub fn shape(&self) -> Shape {
        Shape { samples: self.samples, features: self.features, classes: self.classes }
    }

    /// n.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// d, with the leading 1.
    pub fn features(&self) -> usize {
        self.features
    }

    /// c.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The features of sample `i`, the 1 first.
    pub fn sample(&self, i: usize) -> &[f64] {
        &self.x[i * self.features..(i + 1) * self.features]
    }

    /// All samples, one after another.
    pub(super) fn values(&self) -> &[f64] {
        &self.x
    }

    /// The label of sample `i`.
    pub fn label(&self, i: usize) -> usize {
        self.labels[i]
    }

    /// 1 for the label's class, else 0.
    pub(crate) fn one_hot(&self, i: usize, class: usize) -> f64 {
        f64::from(u8::from(self.labels[i] == class))
    }

    /// What a gradient Σ_i r_i·x_i is multiplied with, folded into the samples: n × d directions d_i, so that the
    /// preconditioned gradient is Σ_i r_i·d_i.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] for a ridge that is not finite and above 0.
    pub fn directions(&self, preconditioner: Preconditioner) -> Result<Zeroizing<Vec<f64>>> {
        match preconditioner {
            Preconditioner::Diagonal => Ok(self.diagonal()),
            Preconditioner::Ridge(lambda) if lambda.is_finite() && lambda > 0.0 => Ok(self.ridge(lambda)),
            Preconditioner::Ridge(_) => Err(Error::Value { index: 0 }),
        }
    }

    fn diagonal(&self) -> Zeroizing<Vec<f64>> {
        let mut factors = Zeroizing::new(vec![0.0; self.features]);
        for i in 0..self.samples {
            let sample = self.sample(i);
            let sum: f64 = sample.iter().map(|x| x.abs()).sum();
            for (factor, x) in factors.iter_mut().zip(sample) {
                *factor += x.abs() * sum;
            }
        }
        factors.iter_mut().for_each(|b| *b = 1.0 / (EPSILON + *b / 4.0));
        Zeroizing::new(self.x.iter().zip(factors.iter().cycle()).map(|(x, b)| x * b).collect())
    }

    /// (¼XᵀX + λ)⁻¹Xᵀ = Xᵀ(¼XXᵀ + λ)⁻¹, by the Cholesky decomposition of the smaller of the two matrices.
    fn ridge(&self, lambda: f64) -> Zeroizing<Vec<f64>> {
        match self.samples <= self.features {
            true => self.ridge_by_samples(lambda),
            false => self.ridge_by_features(lambda),
        }
    }

    fn ridge_by_samples(&self, lambda: f64) -> Zeroizing<Vec<f64>> {
        let (n, d) = (self.samples, self.features);
        let mut gram = Zeroizing::new(vec![0.0; n * n]);
        for i in 0..n {
            for j in 0..=i {
                gram[i * n + j] = dot(self.sample(i), self.sample(j));
            }
        }
        let lower = decompose(&gram, n, lambda);
        let mut out = self.x.clone();
        for i in 0..n {
            let (done, row) = out.split_at_mut(i * d);
            for (j, done) in done.chunks_exact(d).enumerate() {
                subtract(&mut row[..d], lower[i * n + j], done);
            }
            row[..d].iter_mut().for_each(|x| *x /= lower[i * n + i]);
        }
        for i in (0..n).rev() {
            let (head, done) = out.split_at_mut((i + 1) * d);
            let row = &mut head[i * d..];
            for (j, done) in done.chunks_exact(d).enumerate() {
                subtract(row, lower[(i + 1 + j) * n + i], done);
            }
            row.iter_mut().for_each(|x| *x /= lower[i * n + i]);
        }
        out
    }

    fn ridge_by_features(&self, lambda: f64) -> Zeroizing<Vec<f64>> {
        let d = self.features;
        let gram = sum_of_blocks(self.samples, d * d, |sum, i| {
            let sample = self.sample(i);
            for (j, &x) in sample.iter().enumerate() {
                subtract(&mut sum[j * d..=j * d + j], -x, sample);
            }
        });
        let lower = decompose(&gram, d, lambda);
        let mut out = self.x.clone();
        out.par_chunks_exact_mut(d).for_each(|sample| {
            for j in 0..d {
                let rest = sample[j] - dot(&lower[j * d..j * d + j], &sample[..j]);
                sample[j] = rest / lower[j * d + j];
            }
            for j in (0..d).rev() {
                sample[j] /= lower[j * d + j];
                let (before, at) = sample.split_at_mut(j);
                subtract(before, at[0], &lower[j * d..j * d + j]);
            }
        });
        out
    }
}

/// L with L·Lᵀ = ¼·`gram` + λ, of which the lower half is read. All n × n.
fn decompose(gram: &[f64], n: usize, lambda: f64) -> Zeroizing<Vec<f64>> {
    let mut lower = Zeroizing::new(vec![0.0; n * n]);
    for i in 0..n {
        for j in 0..=i {
            let (head, row) = lower.split_at(i * n);
            let other = if j < i { &head[j * n..j * n + j] } else { &row[..j] };
            let rest = gram[i * n + j] / 4.0 - dot(&row[..j], other);
            lower[i * n + j] = if i == j { (rest + lambda).sqrt() } else { rest / lower[j * n + j] };
        }
    }
    lower
}

/// The sum of what `add` adds for each of `samples`, `width` numbers.
fn sum_of_blocks(samples: usize, width: usize, add: impl Fn(&mut [f64], usize) + Sync) -> Zeroizing<Vec<f64>> {
    let size = samples.div_ceil(BLOCKS).max(BLOCK);
    let block = |first: usize| {
        let mut sum = Zeroizing::new(vec![0.0; width]);
        (first..samples.min(first + size)).for_each(|i| add(&mut sum, i));
        sum
    };
    let sums: Vec<_> = (0..samples).into_par_iter().step_by(size).map(block).collect();
    let mut total = Zeroizing::new(vec![0.0; width]);
    sums.iter().for_each(|sum| subtract(&mut total, -1.0, sum));
    total
}

fn subtract(row: &mut [f64], factor: f64, other: &[f64]) {
    row.iter_mut().zip(other).for_each(|(x, y)| *x -= factor * y);
}

/// What stands for the inverse Hessian. The client folds it into what it sends, so that each costs the provider the
/// same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Preconditioner {
    /// B̄_j = 1/(ε + ¼·Σ_i Σ_k |x_ij·x_ik|), the same for every class, with ε = 10⁻¹⁰: the quadratic gradient of the
    /// paper (Chiang 2022, arXiv:2209.03282), from the bound ¼XᵀX of the Hessian.
    Diagonal,
    /// (¼XᵀX + λ)⁻¹ as a whole, λ above 0: the fixed Hessian of Böhning and Lindsay 1988. Not in the paper.
    Ridge(f64),
}

/// ½ + linear·x + cubic·x³, in place of 1/(1 + e⁻ˣ).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cubic {
    /// Factor of x.
    pub linear: f64,
    /// Factor of x³.
    pub cubic: f64,
}

impl Cubic {
    /// p₃ of Chiang 2023, section 4.1. It is back at ½ where |x| = 16.65, and goes the wrong way from 9.6 on.
    pub const PAPER: Self = Self { linear: 0.106_795_345_032_162_94, cubic: -0.000_385_032_598_050_75 };

    /// The one with the least squared error on −range to range, over 4096 points.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] for a range that is not above 0 and at most 1000.
    pub fn fitted(range: f64) -> Result<Self> {
        if !(range > 0.0 && range <= 1000.0) {
            return Err(Error::Value { index: 0 });
        }
        // On x = range·u: normal equations for u and u³, with moments of the same points.
        let points = (0..4096).map(|k| (f64::from(k) + 0.5) / 4096.0);
        let mut sums = [0.0; 5];
        for u in points {
            let y = sigmoid(range * u) - 0.5;
            let terms = [u.powi(2), u.powi(4), u.powi(6), u * y, u.powi(3) * y];
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        let [two, four, six, first, third] = sums;
        let determinant = two * six - four * four;
        let linear = (first * six - third * four) / determinant / range;
        Ok(Self { linear, cubic: (third * two - first * four) / determinant / range.powi(3) })
    }

    /// The value at `x`.
    pub fn at(self, x: f64) -> f64 {
        0.5 + self.linear * x + self.cubic * x * x * x
    }
}

/// 1/(1 + e⁻ˣ), or what stands for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// The function itself: in the clear only.
    Sigmoid,
    /// A polynomial.
    Cubic(Cubic),
}

impl Activation {
    fn at(self, x: f64) -> f64 {
        match self {
            Self::Sigmoid => sigmoid(x),
            Self::Cubic(cubic) => cubic.at(x),
        }
    }

    pub(super) fn all(self, scores: &mut [f64]) {
        scores.iter_mut().for_each(|z| *z = self.at(*z));
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// How to train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Method {
    /// What stands for the sigmoid.
    pub activation: Activation,
    /// What stands for the inverse Hessian.
    pub preconditioner: Preconditioner,
}

impl Method {
    /// The paper's: p₃ and the quadratic gradient.
    pub const PAPER: Self =
        Self { activation: Activation::Cubic(Cubic::PAPER), preconditioner: Preconditioner::Diagonal };
}

/// The numbers of one iteration of the enhanced Nesterov method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// 1 + γ, with γ = 1/(n·t): what the quadratic gradient is multiplied with.
    pub gain: f64,
    /// η = (1 − α₀)/α₁.
    pub eta: f64,
}

/// The steps 1, 2, … for `samples` samples: α₁ = (1 + √(1 + 4α₀²))/2, then α₀ ← α₁ (Chiang 2023, algorithm 1).
pub fn steps(samples: usize) -> impl Iterator<Item = Step> {
    let mut alpha = FIRST_ALPHA;
    (1..).map(move |t: u32| {
        let next = (1.0 + (1.0 + 4.0 * alpha * alpha).sqrt()) / 2.0;
        let eta = (1.0 - alpha) / next;
        alpha = next;
        Step { gain: 1.0 + 1.0 / (samples as f64 * f64::from(t)), eta }
    })
}

/// Weights while they are trained. Wiped when dropped.
pub struct Model {
    classes: usize,
    features: usize,
    /// W, class after class.
    weights: Zeroizing<Vec<f64>>,
    /// V: where the next gradient is taken.
    ahead: Zeroizing<Vec<f64>>,
    iterations: usize,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("classes", &self.classes)
            .field("features", &self.features)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Before the first iteration, every weight `value`. The paper's text says 0; its losses follow from 0.0128.
    pub fn start(data: &TrainingData, value: f64) -> Self {
        let (classes, features) = (data.classes, data.features);
        let weights = Zeroizing::new(vec![value; classes * features]);
        Self { classes, features, ahead: weights.clone(), weights, iterations: 0 }
    }

    pub(crate) fn from_parts(
        classes: usize,
        features: usize,
        iterations: usize,
        weights: Zeroizing<Vec<f64>>,
        ahead: Zeroizing<Vec<f64>>,
    ) -> Self {
        Self { classes, features, weights, ahead, iterations }
    }

    /// c × d weights, class after class.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// c × d, where the next gradient is taken.
    pub fn ahead(&self) -> &[f64] {
        &self.ahead
    }

    /// Iterations that were made.
    pub fn iterations(&self) -> usize {
        self.iterations
    }

    /// Whether the shapes of the two go together.
    pub(super) fn check(&self, classes: usize, features: usize) -> Result<()> {
        match (self.classes, self.features) == (classes, features) {
            true => Ok(()),
            false => Err(Error::Count {
                what: "weights",
                got: self.weights.len(),
                expected: format!("{classes} classes of {features}"),
            }),
        }
    }

    /// One iteration: P = σ(X·Vᵀ), G = B̄ ⊙ (Y − P)ᵀX, T = W + (1 + γ)G, W ← (1 − η)T + ηV, V ← T (Chiang 2023,
    /// algorithm 1).
    ///
    /// # Errors
    ///
    /// [`Error::Count`] if model and data have other shapes, [`Error::Value`] as [`TrainingData::directions`].
    pub fn advance(&mut self, data: &TrainingData, how: Method) -> Result<()> {
        self.advance_along(data, &data.directions(how.preconditioner)?, how.activation)
    }

    /// As [`Model::advance`], along directions from [`TrainingData::directions`]. They stay the same for all
    /// iterations, and take longer than one.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] if model, data and directions have other shapes.
    pub fn advance_along(&mut self, data: &TrainingData, directions: &[f64], activation: Activation) -> Result<()> {
        let Some(step) = steps(data.samples).nth(self.iterations) else { return Ok(()) };
        let gradient = self.gradient(data, directions, |scores| activation.all(scores))?;
        self.go(&gradient, step.gain, step.eta);
        Ok(())
    }

    /// Σ_i (y_i − p_i)·d_iᵀ, with p_i as `chances` makes it of the scores X·Vᵀ of a sample.
    pub(super) fn gradient(
        &self,
        data: &TrainingData,
        directions: &[f64],
        chances: impl Fn(&mut [f64]) + Sync,
    ) -> Result<Zeroizing<Vec<f64>>> {
        self.check(data.classes, data.features)?;
        if directions.len() != data.x.len() {
            let expected = format!("{} for each of {} samples", data.features, data.samples);
            return Err(Error::Count { what: "numbers of directions", got: directions.len(), expected });
        }
        let d = self.features;
        Ok(sum_of_blocks(data.samples, self.weights.len(), |sum, i| {
            let scores = self.ahead.chunks_exact(d).map(|ahead| dot(data.sample(i), ahead));
            let mut p = Zeroizing::new(scores.collect::<Vec<_>>());
            chances(&mut p);
            for (class, (sum, p)) in sum.chunks_exact_mut(d).zip(p.iter()).enumerate() {
                subtract(sum, p - data.one_hot(i, class), &directions[i * d..(i + 1) * d]);
            }
        }))
    }

    /// T = W + gain·G, W ← (1 − η)T + ηV, V ← T.
    pub(super) fn go(&mut self, gradient: &[f64], gain: f64, eta: f64) {
        for ((w, v), g) in self.weights.iter_mut().zip(self.ahead.iter_mut()).zip(gradient) {
            let next = *w + gain * g;
            *w = (1.0 - eta) * next + eta * *v;
            *v = next;
        }
        self.iterations += 1;
    }

    /// SLE: Σ_i Σ_j ln|σ(x_i·w_j) − 1 + y_ij|, at most 0, with the exact σ. Higher is better.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] if model and data have other shapes.
    pub fn loss(&self, data: &TrainingData) -> Result<f64> {
        self.check(data.classes, data.features)?;
        let term = |i: usize, class: usize, z: f64| {
            // ln σ(z) = −ln(1 + e⁻ᶻ), and 1 − σ(z) = σ(−z).
            let z = if data.one_hot(i, class) == 1.0 { z } else { -z };
            z.min(0.0) - (-z.abs()).exp().ln_1p()
        };
        let sample = |i: usize| self.scores(data, i).enumerate().map(move |(class, z)| term(i, class, z)).sum::<f64>();
        Ok((0..data.samples).map(sample).sum())
    }

    /// The share of samples whose largest score is that of their label.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] if model and data have other shapes.
    pub fn accuracy(&self, data: &TrainingData) -> Result<f64> {
        self.check(data.classes, data.features)?;
        let best = |i: usize| self.scores(data, i).enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map(|best| best.0);
        let right = (0..data.samples).into_par_iter().filter(|&i| best(i) == Some(data.label(i))).count();
        Ok(right as f64 / data.samples as f64)
    }

    /// The largest |x_i·v_j|: what an activation has to hold.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] if model and data have other shapes.
    pub fn range(&self, data: &TrainingData) -> Result<f64> {
        self.check(data.classes, data.features)?;
        let scores = (0..data.samples)
            .flat_map(|i| self.ahead.chunks_exact(self.features).map(move |ahead| dot(data.sample(i), ahead).abs()));
        Ok(scores.fold(0.0, f64::max))
    }

    pub(super) fn scores<'a>(&'a self, data: &'a TrainingData, i: usize) -> impl Iterator<Item = f64> + 'a {
        self.weights.chunks_exact(self.features).map(move |weights| dot(data.sample(i), weights))
    }
}

/// Eight sums side by side, which a processor adds at once.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<8>(), y.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (x, y) in x.iter().zip(y) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (x, y))| *sum += x * y);
    }
    sums.iter().sum::<f64>() + x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum::<f64>()
}

use std::{
    fmt,
    ops::ControlFlow,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use cleave_secrets::Secret;
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::{
    clear::{Cubic, Model, Preconditioner, TrainingData, steps},
    layout::{LEVELS, Layout, Packing, Shape},
};
use crate::{
    Error, Result,
    ckks::{Ciphertext, Complex, EvaluationKeys, KeyPlan, Params, Plaintext, SecretKey, Tags},
};

/// Decrypted weights are cut off here.
const MAX_WEIGHT: f64 = 65_536.0;

/// The keys that a provider needs to train with this shape.
///
/// # Errors
///
/// [`Error::Count`] for a shape that does not fit into the slots.
pub fn key_plan(params: &Params, shape: Shape) -> Result<KeyPlan> {
    Ok(Layout::new(params, shape)?.plan())
}

/// Bytes of memory that a provider needs for one training: keys, data, weights, and what an iteration takes besides.
///
/// # Errors
///
/// As [`TrainingClient::new`].
pub fn memory_bytes(params: &Params, shape: Shape) -> Result<usize> {
    let layout = Layout::checked(params, shape)?;
    let row = params.degree() * 8;
    let primes = params.levels() + 1;
    let ciphertext = 2 * primes * row;
    let group = layout.groups() * ciphertext;
    let data = layout.blocks() * (2 * group + ciphertext);
    // V and what stands beside it, before and after; a block at a lower level; sums of 128 bits for each prime and
    // thread; digits that were extended to all primes.
    let weights = 4 * group;
    let threads = rayon::current_num_threads().min(primes + 3);
    let sums = 12 * row * threads + 3 * primes * row + threads * primes * row;
    Ok(layout.plan().memory_bytes() + data + weights + group + sums)
}

/// Where the numbers of this shape stand in the slots.
///
/// # Errors
///
/// [`Error::Count`] for a shape that does not fit into the slots.
pub fn packing(params: &Params, shape: Shape) -> Result<Packing> {
    Ok(Layout::new(params, shape)?.packing())
}

/// Iterations that fresh weights have levels for.
pub fn iterations(params: &Params) -> usize {
    params.levels() / LEVELS
}

/// Samples, their directions and labels under encryption.
pub struct EncryptedData {
    pub(super) layout: Layout,
    pub(super) batch: [u8; 32],
    /// By block and group: (x_2f − i·x_2f+1)/2.
    pub(super) samples: Vec<Vec<Ciphertext>>,
    /// By block and group: d_2f + i·d_2f+1.
    pub(super) directions: Vec<Vec<Ciphertext>>,
    /// By block: 1 at the class of the label.
    pub(super) labels: Vec<Ciphertext>,
}

impl EncryptedData {
    /// Its ciphertexts as the provider has them, in the order of [`EncryptedData::pieces`].
    pub fn ciphertexts(&self) -> impl Iterator<Item = &Ciphertext> {
        self.samples.iter().flatten().chain(self.directions.iter().flatten()).chain(&self.labels)
    }
}

/// Weights under encryption, between two iterations.
pub struct EncryptedModel {
    pub(super) layout: Layout,
    pub(super) batch: [u8; 32],
    pub(super) iterations: usize,
    /// Whether `other` is W, as the client encrypted it; else V of the iteration before.
    pub(super) fresh: bool,
    /// V, by group.
    pub(super) ahead: Vec<Ciphertext>,
    /// W = V·a + other·b, see [`EncryptedModel::mix`].
    pub(super) other: Vec<Ciphertext>,
}

impl fmt::Debug for EncryptedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedData").field("shape", &self.layout.shape).finish_non_exhaustive()
    }
}

impl fmt::Debug for EncryptedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedModel")
            .field("shape", &self.layout.shape)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// The client's side: it encrypts data and weights, and decrypts weights.
pub struct TrainingClient {
    secret: SecretKey,
    layout: Layout,
}

impl TrainingClient {
    /// With the key that `secret` gives.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] for a shape that does not fit into the slots, [`Error::Level`] for parameters without an
    /// iteration.
    pub fn new(params: &Params, secret: &Secret, shape: Shape) -> Result<Self> {
        let layout = Layout::checked(params, shape)?;
        Ok(Self { secret: SecretKey::new(params, secret), layout })
    }

    /// What makes and checks tags.
    pub fn tags(&self) -> Tags {
        self.secret.tags()
    }

    /// The keys for the provider.
    ///
    /// # Errors
    ///
    /// [`Error::Randomness`].
    pub fn evaluation_keys(&self) -> Result<EvaluationKeys> {
        self.secret.evaluation_keys(&self.layout.plan())
    }

    /// Encrypts samples, directions and labels, once for any number of iterations and rounds.
    ///
    /// The preconditioner is computed here and not on ciphertexts: it needs divisions, which take many levels, and
    /// folded into the samples it saves a level in every iteration.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] for data of another shape, [`Error::Value`], [`Error::Randomness`].
    pub fn encrypt_data(&self, data: &TrainingData, preconditioner: Preconditioner) -> Result<EncryptedData> {
        let layout = &self.layout;
        let features = layout.shape.features;
        if data.shape() != layout.shape {
            let expected = format!("{:?}", layout.shape);
            return Err(Error::Count { what: "samples", got: data.samples(), expected });
        }
        let top = layout.params.levels();
        let directions = data.directions(preconditioner)?;
        let each = |level: usize, value: &(dyn Fn(usize, usize) -> f64 + Sync)| {
            let group = |block: usize, group: usize| {
                let value = |i: usize, feature: usize, _: usize| {
                    layout.sample(block, i).map_or(0.0, |sample| value(sample, feature))
                };
                self.encrypt(layout.features(group, value), level)
            };
            let block = |block| (0..layout.groups()).into_par_iter().map(|index| group(block, index)).collect();
            (0..layout.blocks()).map(block).collect::<Result<Vec<Vec<_>>>>()
        };
        let sign = |feature: usize| if feature.is_multiple_of(2) { 0.5 } else { -0.5 };
        let label = |block: usize| {
            let value = |i, class| layout.sample(block, i).map_or(0.0, |sample| data.one_hot(sample, class));
            self.encrypt(layout.scores(value), top - 2)
        };
        Ok(EncryptedData {
            layout: layout.clone(),
            batch: *Secret::generate()?.expose(),
            samples: each(top, &|sample, feature| sign(feature) * data.sample(sample)[feature])?,
            directions: each(top - 3, &|sample, feature| directions[sample * features + feature])?,
            labels: (0..layout.blocks()).map(label).collect::<Result<_>>()?,
        })
    }

    /// Encrypts weights: those to start from, or those of a round before, with all levels anew.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] for a model of another shape, [`Error::Value`], [`Error::Randomness`].
    pub fn encrypt_model(&self, model: &Model) -> Result<EncryptedModel> {
        let layout = &self.layout;
        let d = layout.shape.features;
        model.check(layout.shape.classes, d)?;
        let top = layout.params.levels();
        let each = |weights: &[f64], level| {
            let group = |group| layout.features(group, |_, feature, class| weights[class * d + feature]);
            (0..layout.groups())
                .into_par_iter()
                .map(|index| self.encrypt(group(index), level))
                .collect::<Result<Vec<_>>>()
        };
        Ok(EncryptedModel {
            layout: layout.clone(),
            batch: *Secret::generate()?.expose(),
            iterations: model.iterations(),
            fresh: true,
            ahead: each(model.ahead(), top)?,
            other: each(model.weights(), top - 3)?,
        })
    }

    /// Decrypts weights. Those beyond ±2¹⁶ are cut off, so that encrypting them anew never fails: a provider that
    /// sent a ciphertext of its own making would learn something of the key from a failure. **Keep them from the
    /// provider**, and from everybody who has the ciphertexts: see the notes on [`ckks`](crate::ckks). They are means over
    /// the copies at all samples, which is no protection: to the last bit, those of a few rounds give the whole key.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] for another shape, [`Error::OtherKey`], [`Error::OtherParams`].
    pub fn decrypt_model(&self, model: &EncryptedModel) -> Result<Model> {
        let layout = &self.layout;
        if *layout != model.layout {
            return Err(other_shape(layout, &model.layout));
        }
        let Shape { features, classes, samples } = layout.shape;
        let open = |groups: &[Ciphertext]| {
            let mut out = Zeroizing::new(vec![0.0; classes * features]);
            for (group, ciphertext) in groups.iter().enumerate() {
                layout.take_weights(group, &self.secret.decrypt(ciphertext)?, &mut out);
            }
            Ok::<_, Error>(out)
        };
        let (mut ahead, mut weights) = (open(&model.ahead)?, open(&model.other)?);
        let (a, b) = model.mix(samples);
        weights.iter_mut().zip(ahead.iter()).for_each(|(w, v)| *w = b * *w + a * v);
        for weight in weights.iter_mut().chain(ahead.iter_mut()) {
            *weight = weight.clamp(-MAX_WEIGHT, MAX_WEIGHT);
        }
        Ok(Model::from_parts(classes, features, model.iterations, weights, ahead))
    }

    fn encrypt(&self, slots: Vec<Complex>, level: usize) -> Result<Ciphertext> {
        let slots = Zeroizing::new(slots);
        self.secret.encrypt(&Plaintext::encode(&self.layout.params, &slots, level, self.layout.params.scale())?)
    }
}

fn other_shape(expected: &Layout, got: &Layout) -> Error {
    Error::Count { what: "features of all samples", got: got.shape.features, expected: format!("{:?}", expected.shape) }
}

/// The provider's side.
#[derive(Debug)]
pub struct Trainer {
    keys: EvaluationKeys,
    layout: Layout,
}

impl Trainer {
    /// With a client's keys.
    ///
    /// # Errors
    ///
    /// As [`TrainingClient::new`].
    pub fn new(keys: EvaluationKeys, shape: Shape) -> Result<Self> {
        let layout = Layout::checked(keys.params(), shape)?;
        Ok(Self { keys, layout })
    }

    /// What makes and checks tags.
    pub fn tags(&self) -> Tags {
        self.keys.tags()
    }

    /// Makes `count` iterations. `watch` gets the time of each, and breaks off where it returns `false`.
    ///
    /// # Errors
    ///
    /// As [`Trainer::train_while`].
    pub fn train(
        &self,
        data: &EncryptedData,
        model: EncryptedModel,
        cubic: Cubic,
        count: usize,
        mut watch: impl FnMut(usize, Duration) -> bool,
    ) -> Result<EncryptedModel> {
        self.check(data, &model, count)?;
        let mut model = model;
        for _ in 0..count {
            let start = Instant::now();
            model = self.iterate(data, &model, cubic, &|_| Ok(()))?;
            if !watch(model.iterations, start.elapsed()) {
                return Err(Error::Stopped);
            }
        }
        Ok(model)
    }

    /// Makes `count` iterations. `watch` gets the share that is done, from 0 to 1, after each piece of work, and breaks
    /// off there; it is called from several threads.
    ///
    /// # Errors
    ///
    /// [`Error::Level`] if the weights have too few levels for so many, [`Error::Count`] for another shape,
    /// [`Error::Stopped`], [`Error::MissingKey`], [`Error::OtherKey`], [`Error::OtherParams`].
    pub fn train_while(
        &self,
        data: &EncryptedData,
        model: EncryptedModel,
        cubic: Cubic,
        count: usize,
        watch: &(dyn Fn(f64) -> ControlFlow<()> + Sync),
    ) -> Result<EncryptedModel> {
        self.check(data, &model, count)?;
        let top = model.level();
        let whole: u64 = (0..count).map(|t| self.work(top - LEVELS * t).iter().sum::<u64>()).sum();
        let done = AtomicU64::new(0);
        let tick = |work: u64| {
            let done = done.fetch_add(work, Ordering::Relaxed) + work;
            match watch(done as f64 / whole as f64) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(Error::Stopped),
            }
        };
        (0..count).try_fold(model, |model, _| self.iterate(data, &model, cubic, &tick))
    }

    fn check(&self, data: &EncryptedData, model: &EncryptedModel, count: usize) -> Result<()> {
        for layout in [&data.layout, &model.layout] {
            if *layout != self.layout {
                return Err(other_shape(&self.layout, layout));
            }
        }
        let expected = count.saturating_mul(LEVELS);
        match model.level() {
            got if got < expected => Err(Error::Level { what: "weights", expected, got }),
            _ => Ok(()),
        }
    }

    /// Work of all blocks and of all groups in an iteration from `level` on: key switches, which take most of the time,
    /// times the square of their primes.
    fn work(&self, level: usize) -> [u64; 2] {
        let layout = &self.layout;
        let switches = |chain: Vec<Vec<i64>>| chain.iter().map(Vec::len).sum::<usize>();
        let square = |level: usize| (level as u64 + 1).pow(2);
        let block = switches(layout.gather()) + layout.groups().div_ceil(8) + 4 + switches(layout.spread());
        let group = switches(layout.over_samples()) + layout.blocks().div_ceil(8) + 1;
        [(layout.blocks() * block, level.saturating_sub(1)), (layout.groups() * group, level.saturating_sub(4))]
            .map(|(switches, level)| switches as u64 * square(level))
    }

    /// T = a·V + b·other + Σ_i r_i·d_i, with r = (1 + γ)(Y − p(X·V)). The last average, W = (1 − η)T + ηV, is left to
    /// the next iteration or to the client, so that it costs no level.
    fn iterate(
        &self,
        data: &EncryptedData,
        model: &EncryptedModel,
        cubic: Cubic,
        tick: &(dyn Fn(u64) -> Result<()> + Sync),
    ) -> Result<EncryptedModel> {
        let level = model.level();
        let samples = self.layout.shape.samples;
        let gain = steps(samples).nth(model.iterations).map_or(1.0, |step| step.gain);
        let [blocks, groups] = self.work(level);
        let rests = (0..self.layout.blocks())
            .map(|block| {
                let rest = self.rest(data, block, &model.ahead, cubic, gain)?;
                tick(blocks / self.layout.blocks() as u64)?;
                Ok(rest)
            })
            .collect::<Result<Vec<_>>>()?;
        let (a, b) = model.mix(samples);
        let ahead = (0..self.layout.groups()).into_par_iter().map(|group| {
            let directions = data.directions.iter().map(|block| block[group].drop_to(level - 3));
            let directions = directions.collect::<Result<Vec<_>>>()?;
            let gradient = self.keys.dot(&rests.iter().zip(&directions).collect::<Vec<_>>())?.rescale()?;
            let gradient = self.sum(gradient, &self.layout.over_samples())?;
            let (below, scale) = (gradient.level(), gradient.scale());
            let old = model.other[group].adjust(b, below, scale)?;
            let ahead = gradient.add(&old)?.add(&model.ahead[group].adjust(a, below, scale)?)?;
            tick(groups / self.layout.groups() as u64)?;
            Ok(ahead)
        });
        Ok(EncryptedModel {
            layout: model.layout.clone(),
            batch: model.batch,
            iterations: model.iterations + 1,
            fresh: false,
            ahead: ahead.collect::<Result<_>>()?,
            other: model.ahead.clone(),
        })
    }

    /// (1 + γ)(y − p(z)) of a block, at every q, three levels below the weights.
    fn rest(
        &self,
        data: &EncryptedData,
        block: usize,
        ahead: &[Ciphertext],
        cubic: Cubic,
        gain: f64,
    ) -> Result<Ciphertext> {
        let (keys, layout, params) = (&self.keys, &self.layout, &self.layout.params);
        let level = ahead.first().map_or(0, Ciphertext::level);
        let plain = |value: f64, level: usize, scale: f64| {
            let slots = layout.scores(|i, _| if layout.sample(block, i).is_some() { value } else { 0.0 });
            Plaintext::encode(params, &slots, level, scale)
        };
        // z = Σ Re(x̄·v), right at q = 0.
        let samples = data.samples[block].iter().map(|x| x.drop_to(level)).collect::<Result<Vec<_>>>()?;
        let z = keys.dot(&samples.iter().zip(ahead).collect::<Vec<_>>())?.rescale()?;
        let z = z.add(&keys.conjugate(&z)?)?;
        let z = self.sum(z, &layout.gather())?;
        // Factors stand in the masks, which cost a level anyway.
        let square = keys.multiply(&z, &z)?.rescale()?;
        let factor = plain(-gain * cubic.cubic, level - 1, params.scale() * params.prime(level - 1) / z.scale())?;
        let masked = z.multiply_plain(&factor)?.rescale()?;
        let third = keys.multiply(&square, &masked)?.rescale()?;
        let (below, scale) = (third.level(), third.scale());
        let factor = plain(-gain * cubic.linear, level - 2, scale * params.prime(level - 2) / z.scale())?;
        let first = z.drop_to(level - 2)?.multiply_plain(&factor)?.rescale()?;
        let label = data.labels[block].adjust(gain, below, scale)?.add_plain(&plain(-gain / 2.0, below, scale)?)?;
        self.sum(third.add(&first)?.add(&label)?, &layout.spread())
    }

    fn sum(&self, ciphertext: Ciphertext, chain: &[Vec<i64>]) -> Result<Ciphertext> {
        chain.iter().try_fold(ciphertext, |x, steps| self.keys.add_rotations(&x, steps))
    }
}

impl EncryptedModel {
    /// Iterations that were made.
    pub fn iterations(&self) -> usize {
        self.iterations
    }

    /// The ciphertexts of V, by group of features, as the provider has them.
    pub fn ahead(&self) -> &[Ciphertext] {
        &self.ahead
    }

    /// Those of W, or of the V before where the provider computed them.
    pub fn other(&self) -> &[Ciphertext] {
        &self.other
    }

    /// Rescalings that are left.
    pub fn level(&self) -> usize {
        self.ahead.first().map_or(0, Ciphertext::level)
    }

    /// (a, b) with W = a·V + b·other: W = (1 − η)T + ηV of the iteration that was.
    fn mix(&self, samples: usize) -> (f64, f64) {
        let last = self.iterations.checked_sub(1).and_then(|last| steps(samples).nth(last));
        match last.filter(|_| !self.fresh) {
            Some(step) => (1.0 - step.eta, step.eta),
            None => (0.0, 1.0),
        }
    }
}

//! What all parts work with: data sets, a client, and the provider's end of its connection.

use super::record::{Places, Scheme};
use super::{TrainingSettings, TrainingTarget};
use crate::Error;
use crate::ciphertexts::Rings;
use cleave_encrypted::ckks::{EvaluationKeys, KeyCollector, Params, SecretKey};
use cleave_encrypted::training::{
    Activation, Collector, Cubic, EncryptedData, EncryptedModel, Method, Model, Preconditioner, Shape, Trainer,
    TrainingClient, TrainingData, iterations, key_plan, packing,
};
use cleave_secrets::Secret;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

/// Features of the varied data set are drawn up to this.
pub(super) const LARGE: f64 = 8.0;

pub(super) struct Field<'a> {
    pub(super) target: &'a TrainingTarget,
    pub(super) settings: &'a TrainingSettings,
    pub(super) params: Params,
    pub(super) places: Places,
    /// Primes of ciphertexts.
    pub(super) rings: Rings,
    /// Primes of keys alone.
    pub(super) special: Rings,
    /// Every feature 0, and every label the first.
    pub(super) plain: TrainingData,
    /// Large features, and labels in turn.
    pub(super) varied: TrainingData,
    /// The same, drawn anew.
    pub(super) other: TrainingData,
    /// Largest score in the clear.
    pub(super) range: f64,
    /// The one that is fitted to the range.
    pub(super) cubic: Cubic,
}

impl<'a> Field<'a> {
    pub(super) fn new(target: &'a TrainingTarget, settings: &'a TrainingSettings) -> Result<Self, Error> {
        let params = Params::named(settings.set)?;
        let shape = target.data.shape();
        let packing = packing(&params, shape)?;
        let full = (0..packing.groups).filter(|group| 2 * (group + 1) * packing.pairs <= shape.features).count();
        let places = Places {
            block: packing.block,
            inner: packing.inner,
            pairs: packing.pairs,
            groups: packing.groups,
            full,
            blocks: packing.blocks,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
        let mut drawn = |most: f64, label: fn(usize, usize) -> usize| {
            let count = shape.samples * (shape.features - 1);
            let features: Vec<f64> = (0..count).map(|_| most * (2.0 * rng.random::<f64>() - 1.0)).collect();
            let labels: Vec<usize> = (0..shape.samples).map(|at| label(at, shape.classes)).collect();
            TrainingData::new(&features, &labels, shape.classes)
        };
        let in_turn = |at: usize, classes: usize| at % classes;
        let (plain, varied, other) = (drawn(0.0, |_, _| 0)?, drawn(LARGE, in_turn)?, drawn(LARGE, in_turn)?);
        let range = range(&target.data, settings.start, iterations(&params))?;
        Ok(Self {
            target,
            settings,
            places,
            rings: Rings::new(params.degree(), params.primes())?,
            special: Rings::new(params.degree(), params.special_primes())?,
            params,
            plain,
            varied,
            other,
            range,
            cubic: Cubic::fitted(range).unwrap_or(Cubic::PAPER),
        })
    }

    pub(super) fn shape(&self) -> Shape {
        self.target.data.shape()
    }

    /// The three data sets: all 0, drawn large, and the client's.
    pub(super) fn all_data(&self) -> [&TrainingData; 3] {
        [&self.plain, &self.varied, &self.target.data]
    }

    pub(super) fn method(&self, cubic: Cubic) -> Method {
        Method { activation: Activation::Cubic(cubic), preconditioner: Preconditioner::Diagonal }
    }

    pub(super) fn scheme(&self) -> Scheme {
        let (modulus_bits, allowed_bits) = self.params.modulus_bits();
        Scheme {
            set: self.settings.set,
            degree: self.params.degree(),
            primes: self.params.primes().collect(),
            special: self.params.special_primes().collect(),
            scale_bits: self.params.scale().log2().round() as u32,
            modulus_bits,
            allowed_bits,
        }
    }
}

/// The largest score of a training in the clear, with the sigmoid itself: what a client fits its cubic to.
fn range(data: &TrainingData, start: f64, iterations: usize) -> Result<f64, Error> {
    let mut model = Model::start(data, start);
    let how = Method { activation: Activation::Sigmoid, preconditioner: Preconditioner::Diagonal };
    let mut range = model.range(data)?;
    for _ in 1..iterations {
        model.advance(data, how)?;
        range = range.max(model.range(data)?);
    }
    Ok(range)
}

/// A client and the provider's end of its connection.
pub(super) struct Party<'a> {
    field: &'a Field<'a>,
    pub(super) secret: Secret,
    pub(super) client: TrainingClient,
    pub(super) trainer: Trainer,
    /// Bytes of each key.
    pub(super) keys: Vec<usize>,
}

/// A round as both sides saw it.
pub(super) struct Round {
    /// What the client asked.
    pub(super) asked: EncryptedModel,
    /// What the client received.
    pub(super) answer: EncryptedModel,
    /// What it received it as.
    pub(super) answered: Vec<Vec<u8>>,
    /// Bytes of what was asked, piece by piece.
    pub(super) sent: Vec<usize>,
    /// Seconds that the provider took.
    pub(super) seconds: f64,
}

impl<'a> Party<'a> {
    /// A fresh key.
    pub(super) fn new(field: &'a Field<'a>) -> Result<Self, Error> {
        let secret = Secret::generate().map_err(cleave_encrypted::Error::from)?;
        let client = TrainingClient::new(&field.params, &secret, field.shape())?;
        let sent = client.evaluation_keys()?;
        let mut keys = Vec::new();
        let mut collector = KeyCollector::new(&key_plan(&field.params, field.shape())?);
        for piece in sent.pieces() {
            keys.push(piece.len());
            collector.accept(&piece)?;
        }
        let trainer = Trainer::new(collector.finish()?, field.shape())?;
        Ok(Self { field, secret, client, trainer, keys })
    }

    /// What decrypts, for measuring.
    pub(super) fn key(&self) -> SecretKey {
        SecretKey::new(&self.field.params, &self.secret)
    }

    /// Keys once more, to look at.
    pub(super) fn evaluation_keys(&self) -> Result<EvaluationKeys, Error> {
        Ok(self.client.evaluation_keys()?)
    }

    pub(super) fn encrypt(&self, data: &TrainingData) -> Result<EncryptedData, Error> {
        Ok(self.client.encrypt_data(data, Preconditioner::Diagonal)?)
    }

    /// Encrypts, writes, and reads as the provider does; with the bytes of each piece.
    pub(super) fn send(&self, data: &TrainingData) -> Result<(EncryptedData, Vec<usize>), Error> {
        let encrypted = self.encrypt(data)?;
        let mut collector = Collector::data(self.trainer.tags(), self.field.shape(), encrypted.batch())?;
        let mut lengths = Vec::new();
        for piece in encrypted.pieces(&self.client.tags()) {
            let piece = piece?;
            lengths.push(piece.len());
            collector.accept(&piece)?;
        }
        Ok((collector.into_data()?, lengths))
    }

    /// One round, with a cubic of the provider's choice.
    pub(super) fn round(&self, data: &EncryptedData, model: &Model, cubic: Cubic) -> Result<Round, Error> {
        let asked = self.client.encrypt_model(model)?;
        let mut collector =
            Collector::model(self.trainer.tags(), self.field.shape(), asked.batch(), asked.iterations())?;
        let mut sent = Vec::new();
        for piece in asked.pieces(&self.client.tags()) {
            let piece = piece?;
            sent.push(piece.len());
            collector.accept(&piece)?;
        }
        let began = Instant::now();
        let answer = self.trainer.train(data, collector.into_model()?, cubic, self.field.iterations(), |_, _| true)?;
        let seconds = began.elapsed().as_secs_f64();
        let answered = answer.pieces(&self.trainer.tags()).collect::<Result<Vec<_>, _>>()?;
        let answer = self.receive(&asked, &answered)?;
        Ok(Round { asked, answer, answered, sent, seconds })
    }

    /// What the client makes of an answer's pieces.
    pub(super) fn receive(&self, asked: &EncryptedModel, answered: &[Vec<u8>]) -> Result<EncryptedModel, Error> {
        let mut collector = Collector::answer(self.client.tags(), asked, self.field.iterations())?;
        for piece in answered {
            collector.accept(piece)?;
        }
        Ok(collector.into_model()?)
    }

    pub(super) fn start(&self, data: &TrainingData) -> Model {
        Model::start(data, self.field.settings.start)
    }
}

/// The largest distance of two lists of weights.
pub(super) fn distance(one: &Model, other: &Model) -> f64 {
    let both = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    both(one.weights(), other.weights()).max(both(one.ahead(), other.ahead()))
}

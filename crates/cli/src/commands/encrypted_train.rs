//! `cleave encrypted-train`: a last layer, trained by a provider that sees ciphertexts alone.

mod fault;
mod job_file;
mod method;
mod wire;

use crate::features::{same_classes, training_data};
use crate::line::LineOptions;
use crate::options::DeviceOption;
use crate::output::new_place;
use crate::secret::{PassphraseOption, TRAINING};
use crate::{Failure, Output};
use clap::Args;
use cleave_encrypted::ckks::{ParamSet, Params};
use cleave_encrypted::service::jobs::{ClientJob, JobState};
use cleave_encrypted::training::{Activation, Model, TrainingData, iterations, memory_bytes};
use cleave_nets::{Features, head};
use cleave_secrets::{KeyId, Secret};
pub use fault::JobFault;
use job_file::JobFile;
use method::{Fit, MethodOptions};
use serde::Serialize;
use std::path::PathBuf;
use wire::{Line, Needs, Traffic};
use zeroize::Zeroizing;

/// Have a provider train a last layer on encrypted features and labels; only this client decrypts the weights
///
/// The provider sees ciphertexts, and in the clear how many samples, features and classes there are, the cubic, and how many
/// iterations and rounds. See docs/encrypted-training.md. Keep the head to yourself, and above all from the provider: decrypted
/// weights have the errors of their ciphertexts in them, and nothing is added that hides those.
#[derive(Args, Clone, Debug)]
pub struct EncryptedTrain {
    /// Features and labels, as `cleave features` writes them: safetensors or CSV
    features: PathBuf,
    /// Train on the first so many samples; the others are measured on, unless --test names some
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=4096))]
    first: Option<u16>,
    /// Features to measure on
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// The head to write, for `cleave eval --head`
    #[arg(long)]
    out: PathBuf,
    /// Overwrite a file that is there
    #[arg(long)]
    force: bool,
    /// Parameter set: ckks-16384-8 has levels for 2 iterations, ckks-32768-16 for 4 and takes more memory
    #[arg(long, default_value_t = ParamSet::Ckks16384x8)]
    set: ParamSet,
    /// Iterations in all
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    iterations: u32,
    /// Iterations of a round, after which this client decrypts the weights and encrypts them anew [default: all that the set has levels for]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    each: Option<u32>,
    #[command(flatten)]
    method: MethodOptions,
    /// The key to encrypt with, of `cleave key new --for training`; without it one is drawn for this run
    #[arg(long)]
    key: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseOption,
    /// Keep what is needed to come back to the provider in this file, and come back if it is there; it has weights in it
    #[arg(long, value_name = "FILE", requires = "key")]
    job: Option<PathBuf>,
    /// Have the provider forget the job of --job, and delete that file
    #[arg(long, requires = "job")]
    cancel: bool,
    /// The provider's name for its trainings
    #[arg(long, default_value = "training")]
    service: String,
    #[command(flatten)]
    line: LineOptions,
    #[command(flatten)]
    device: DeviceOption,
}

/// Weights measured on samples that they were not trained on.
#[derive(Clone, Copy, Debug, Serialize)]
struct Score {
    /// Squared likelihood error of a sample, at most 0.
    loss: f64,
    /// Share of right labels.
    accuracy: f64,
}

impl Score {
    fn of(model: &Model, data: &TrainingData) -> Result<Self, Failure> {
        Ok(Self { loss: model.loss(data)? / data.samples() as f64, accuracy: model.accuracy(data)? })
    }
}

/// What stands after a round.
#[derive(Clone, Copy, Debug, Serialize)]
struct Round {
    /// Iterations so far.
    iterations: u32,
    /// Largest difference of a weight from the same training in the clear.
    largest_error: f64,
    /// Largest weight in the clear.
    largest_weight: f64,
    /// Largest score of a training sample, in the clear, which the cubic has to stand.
    largest_score: f64,
    decrypted: Option<Score>,
    clear: Option<Score>,
    /// In the clear with the sigmoid itself.
    sigmoid: Option<Score>,
}

impl Round {
    /// Whether the weights are those of the clear, but for errors of ciphertexts.
    fn agrees(&self) -> bool {
        self.largest_error <= LEAST_ERROR.max(AGREES * self.largest_weight)
    }
}

/// Errors up to this, and up to this share of the largest weight, are those of ciphertexts; 9e-6 was the largest seen.
const LEAST_ERROR: f64 = 1e-4;
const AGREES: f64 = 1e-3;

/// A training that is over.
#[derive(Debug, Serialize)]
struct Trained {
    head: PathBuf,
    key: KeyId,
    set: ParamSet,
    samples: usize,
    features: usize,
    classes: usize,
    measured_on: usize,
    method: Fit,
    rounds: Vec<Round>,
    #[serde(flatten)]
    traffic: Traffic,
}

impl std::fmt::Display for Trained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { head, key, set, samples, features, classes, measured_on, method, rounds, traffic } = self;
        writeln!(f, "head       {} ({features} weights for each of {classes} classes)", head.display())?;
        writeln!(f, "trained    on {samples} samples under key {key}, parameters {set}")?;
        writeln!(f, "method     {method}")?;
        for round in rounds {
            let Round { iterations, largest_error, largest_weight, .. } = round;
            write!(
                f,
                "iteration  {iterations}: largest error {largest_error:.1e} (weights up to {largest_weight:.3})"
            )?;
            let scores = [("decrypted", round.decrypted), ("clear", round.clear), ("exact sigmoid", round.sigmoid)];
            for (name, score) in scores.into_iter().filter_map(|(name, score)| Some((name, score?))) {
                write!(f, "; {name} {:.2} %, loss {:.2}", 100.0 * score.accuracy, score.loss)?;
            }
            writeln!(f)?;
        }
        if *measured_on > 0 {
            writeln!(f, "measured   on {measured_on} samples that it was not trained on")?;
        }
        write!(f, "{traffic}")
    }
}

impl EncryptedTrain {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        new_place(&self.out, self.force || self.cancel)?;
        let read = Features::read(&self.features)?;
        let (data, rest) = self.samples(&read)?;
        let secret = match &self.key {
            Some(path) => self.passphrase.open_for(path, TRAINING)?,
            None => {
                eprintln!(
                    "a key is drawn for this run and forgotten after it; with --key and --job a run that is cut off can go on"
                );
                Secret::generate()?
            }
        };
        let fit = self.method.fit(&data)?;
        let state = self.state(&data, &fit)?;
        let mut file =
            self.job.as_deref().map(|path| JobFile::open(path, &state, &data, &fit, secret.id())).transpose()?;
        let state = file.as_ref().and_then(JobFile::kept).unwrap_or(state);
        let mut twins = Twins::new(&data, rest.as_ref(), &fit)?;
        if state.progress().0 > 0 {
            twins.compare(&state.model())?;
        }
        let mut job = ClientJob::new(state, &secret, &data, fit.preconditioner)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        if self.cancel {
            runtime.block_on(self.give_up(&mut job))?;
            return file.map_or(Ok(()), JobFile::remove);
        }
        self.announce(&data, &job);
        let traffic = runtime.block_on(self.train(&mut job, file.as_mut(), &mut twins))?;
        runtime.shutdown_background();
        let trained = Trained {
            head: self.out.clone(),
            key: secret.id(),
            set: self.set,
            samples: data.samples(),
            features: data.features(),
            classes: data.classes(),
            measured_on: rest.as_ref().map_or(0, TrainingData::samples),
            method: fit,
            rounds: twins.rounds,
            traffic,
        };
        self.write(&trained, &job.state().model(), &read)?;
        file.map_or(Ok(()), JobFile::remove)?;
        if !trained.rounds.iter().all(Round::agrees) {
            eprintln!(
                "warning: the weights are not those of the same training in the clear. The provider computed something else, or \
                 scores ran away and wrapped around: see largest_score, and do not use this head"
            );
        }
        output.result(&trained)
    }

    /// What is trained on, and what is measured on.
    fn samples(&self, read: &Features) -> Result<(TrainingData, Option<TrainingData>), Failure> {
        let all = read.len();
        let count = self.first.map_or(all, usize::from);
        if count > all {
            return Err(JobFault::TooFewSamples { path: self.features.clone(), asked: count, got: all }.into());
        }
        let data = training_data(read, 0..count)?;
        let rest = match &self.test {
            Some(path) => {
                let test = Features::read(path)?;
                let (got, expected) = (shape_text(&test), shape_text(read));
                if test.width() != read.width() || !same_classes(read.classes(), test.classes()) {
                    return Err(JobFault::OtherSamples { path: path.clone(), got, expected }.into());
                }
                let test = test.with_classes(read.classes().to_vec())?;
                Some(training_data(&test, 0..test.len())?)
            }
            None if count < all => Some(training_data(read, count..all)?),
            None => None,
        };
        Ok((data, rest))
    }

    fn state(&self, data: &TrainingData, fit: &Fit) -> Result<JobState, Failure> {
        let params = Params::named(self.set)?;
        let most = u32::try_from(iterations(&params)).unwrap_or(u32::MAX);
        let each = match self.each {
            Some(asked) if asked > most => {
                return Err(JobFault::RoundTooLong { set: self.set.name(), asked, most }.into());
            }
            each => each.unwrap_or(most).min(self.iterations),
        };
        let start = Model::start(data, fit.start);
        Ok(JobState::new(self.set, data.shape(), fit.cubic, self.iterations, each, &start)?)
    }

    fn announce(&self, data: &TrainingData, job: &ClientJob<'_>) {
        let (plan, shape) = (job.plan(), data.shape());
        eprintln!(
            "the provider will see: samples {}, features {} with the leading 1, classes {}, the cubic 0.5 + {:.6} x + {:.8} x^3, \
             iterations {} in rounds of {}",
            shape.samples,
            shape.features,
            shape.classes,
            plan.cubic.linear,
            plan.cubic.cubic,
            plan.iterations,
            plan.each
        );
        if plan.rounds() > 1 {
            eprintln!(
                "between the {} rounds this client decrypts the weights and encrypts them anew: it has to be there for each",
                plan.rounds()
            );
        }
    }

    async fn train(
        &self,
        job: &mut ClientJob<'_>,
        mut file: Option<&mut JobFile>,
        twins: &mut Twins<'_>,
    ) -> Result<Traffic, Failure> {
        let mut line = self.provider(job, file.is_some())?;
        line.run(job, |job, round| {
            if let (Some(file), Some(state)) = (file.as_mut(), job.take_unsaved()) {
                file.save(state)?;
            }
            match round {
                Some(_) => twins.compare(&job.state().model()),
                None => Ok(()),
            }
        })
        .await
    }

    /// The way to the provider; `kept` says whether a file lets the job go on later.
    fn provider(&self, job: &ClientJob<'_>, kept: bool) -> Result<Line<'_>, Failure> {
        let params = Params::named(self.set)?;
        let needed = memory_bytes(&params, job.plan().shape)? as u64;
        Ok(Line::new(&self.line, &self.service, Needs { set: self.set.name(), memory: needed }, kept))
    }

    async fn give_up(&self, job: &mut ClientJob<'_>) -> Result<(), Failure> {
        self.provider(job, true)?.give_up(job).await?;
        eprintln!("the provider has forgotten the job");
        Ok(())
    }

    fn write(&self, trained: &Trained, model: &Model, read: &Features) -> Result<(), Failure> {
        let weights: Vec<f32> = model.weights().iter().map(|&weight| weight as f32).collect();
        let mut head = head(&weights, read.classes().to_vec(), read.source().cloned(), &self.device.open()?)?;
        let Trained { samples, set, method, .. } = trained;
        head.card.training.history.push(serde_json::json!({
            "encrypted_training": { "samples": samples, "set": set, "iterations": model.iterations(), "method": method }
        }));
        head.save(&self.out)?;
        eprintln!(
            "note: {} comes from ciphertexts that the provider has. Whoever has both has the errors in it too, and nothing \
             was added that hides those: keep it from the provider and from the public",
            self.out.display()
        );
        Ok(())
    }
}

fn shape_text(features: &Features) -> String {
    format!("{} values of a sample, classes {}", features.width(), features.classes().join(", "))
}

/// The same training in the clear, once with the cubic and once with the sigmoid itself.
struct Twins<'a> {
    data: &'a TrainingData,
    rest: Option<&'a TrainingData>,
    /// As they are encrypted: the same for all iterations.
    directions: Zeroizing<Vec<f64>>,
    fit: &'a Fit,
    clear: Model,
    sigmoid: Model,
    rounds: Vec<Round>,
}

impl<'a> Twins<'a> {
    /// At the beginning.
    fn new(data: &'a TrainingData, rest: Option<&'a TrainingData>, fit: &'a Fit) -> Result<Self, Failure> {
        let [clear, sigmoid] = [(); 2].map(|()| Model::start(data, fit.start));
        let directions = data.directions(fit.preconditioner)?;
        Ok(Self { data, rest, directions, fit, clear, sigmoid, rounds: Vec::new() })
    }

    fn advance_to(&mut self, iterations: usize) -> Result<(), Failure> {
        while self.clear.iterations() < iterations {
            self.clear.advance_along(self.data, &self.directions, Activation::Cubic(self.fit.cubic))?;
            self.sigmoid.advance_along(self.data, &self.directions, Activation::Sigmoid)?;
        }
        Ok(())
    }

    /// Holds decrypted weights against them.
    fn compare(&mut self, model: &Model) -> Result<(), Failure> {
        self.advance_to(model.iterations())?;
        let score = |model: &Model| self.rest.map(|rest| Score::of(model, rest)).transpose();
        let pairs = model.weights().iter().zip(self.clear.weights());
        let (largest_error, largest_weight) = pairs.fold((0.0_f64, 0.0_f64), |(error, largest), (got, expected)| {
            (error.max((got - expected).abs()), largest.max(expected.abs()))
        });
        self.rounds.push(Round {
            iterations: u32::try_from(model.iterations()).unwrap_or(u32::MAX),
            largest_error,
            largest_weight,
            largest_score: self.clear.range(self.data)?,
            decrypted: score(model)?,
            clear: score(&self.clear)?,
            sigmoid: score(&self.sigmoid)?,
        });
        Ok(())
    }
}

//! `cleave train`: a base network from scratch.

use crate::model::{self, KeyedModel, WeightOptions};
use crate::options::{Arch, DataOptions, DeviceOption, ModelOptions, distinct, open_dataset};
use crate::shares::ShareOptions;
use crate::training::{self, Loaders, TrainOptions, measured_preparation};
use crate::{Failure, Output};
use clap::Args;
use cleave_data::Preparation;
use cleave_nets::{Checkpoint, Header, ModelCard, Network, Role, Training};
use cleave_retrain::Trainer;
use std::path::PathBuf;

/// Train a base network on labelled images, from scratch or from another one
#[derive(Args, Clone, Debug)]
pub struct Train {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    model: ModelOptions,
    /// Go on from the weights of this network, and prepare images as it does
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["arch", "size", "channels", "divisor", "patch", "kernel"])]
    from: Option<PathBuf>,
    #[command(flatten)]
    keyed: KeyedModel,
    #[command(flatten)]
    weights: WeightOptions,
    #[command(flatten)]
    shares: ShareOptions,
    #[command(flatten)]
    training: TrainOptions,
    #[command(flatten)]
    device: DeviceOption,
    /// Seed of weights, order, augmentation and dropout
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The model to write
    #[arg(long)]
    out: PathBuf,
}

impl Train {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        if self.from.is_none() && (self.keyed.is_given() || self.weights.is_given()) {
            return Err(Failure::Options {
                reason: "--key and --strategy are for a network that there is; add --from MODEL",
            });
        }
        if !self.keyed.is_given() && self.weights.is_given() {
            return Err(Failure::Options {
                reason: "confusion neurons are drawn anew for a --key; add it, or leave --strategy out",
            });
        }
        distinct([self.out.as_path()], &self.keyed.file().into_iter().collect::<Vec<_>>())?;
        let settings = self.training.settings(self.seed);
        let anew = self.keyed.is_given().then(|| self.weights.anew()).transpose()?;
        let (start, key) = match &self.from {
            Some(model) => self.keyed.load(model, &self.device.open()?)?,
            None => (self.random()?, None),
        };
        if let Some(key) = start.card.confused {
            eprintln!("note: this network has confusion neurons, and is trained without its key {key}");
        }
        let data = self.data.with_classes_of(&start.card.classes)?;
        let chosen = self.shares.choose(open_dataset(&data, Some("train"))?)?;
        let loaders = Loaders::of(chosen, &data, &start.card.preparation, &settings)?;
        let (train, validation) = (loaders.train.clone(), loaders.validation.clone());
        let trainer = Trainer::new(&start.network, 0, None, train, validation, settings.clone())?;
        let finish = |mut trained: Checkpoint| {
            if let (Some(record), Some(shares)) = (trained.card.training.history.last_mut(), self.shares.record()) {
                record["shares"] = shares;
            }
            match (&key, &anew) {
                (Some(key), Some((strategy, weights))) => model::confused(trained, key, *strategy, weights),
                _ => Ok(trained),
            }
        };
        let measurements =
            training::run(trainer, self.training.resume, "train", (start, &finish), &settings, &self.out)?;
        output.result(&training::Summary::new(&self.out, &measurements, loaders.report_faults()))
    }

    /// Random weights.
    fn random(&self) -> Result<Checkpoint, Failure> {
        let classes = open_dataset(&self.data, Some("train"))?.classes().to_vec();
        let architecture = self.model.architecture(classes.len())?;
        let (size, channels) = self.model.input();
        let preparation = match self.model.arch {
            // Integers have no mean, and the zeros around an image stand for black.
            Arch::CryptoNets => {
                Preparation::new(size, size, channels).normalised([0.0].repeat(channels), [1.0].repeat(channels))
            }
            _ => measured_preparation(&self.data, size, channels, self.seed)?,
        };
        let network = Network::random(architecture.clone(), self.seed, &self.device.open()?)?;
        let card = ModelCard {
            header: Header::of(Role::Whole),
            architecture,
            classes,
            preparation,
            training: Training::default(),
            defences: Vec::new(),
            confused: None,
        };
        Ok(Checkpoint { card, network, glyphs: None })
    }
}

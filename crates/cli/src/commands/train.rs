//! `cleave train`: a base network from scratch.

use crate::options::{DataOptions, DeviceOption, ModelOptions, open_dataset};
use crate::training::{self, Loaders, TrainOptions, measured_preparation};
use crate::{Failure, Output};
use clap::Args;
use cleave_nets::{Checkpoint, Header, ModelCard, Network, Role, Training};
use cleave_retrain::Trainer;
use std::path::PathBuf;

/// Train a base network on labelled images
#[derive(Args, Clone, Debug)]
pub struct Train {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    model: ModelOptions,
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
        let settings = self.training.settings(self.seed);
        let classes = open_dataset(&self.data, Some("train"))?.classes().to_vec();
        let architecture = self.model.architecture(classes.len())?;
        let preparation = measured_preparation(&self.data, self.model.size, self.model.channels, self.seed)?;
        let loaders = Loaders::open(&self.data, &preparation, &settings)?;
        let network = Network::random(architecture.clone(), self.seed, &self.device.open()?)?;
        let trainer =
            Trainer::new(&network, 0, None, loaders.train.clone(), loaders.validation.clone(), settings.clone())?;
        let card = ModelCard {
            header: Header::of(Role::Whole),
            architecture,
            classes,
            preparation,
            training: Training::default(),
            defences: Vec::new(),
        };
        let checkpoint = Checkpoint { card, network, glyphs: None };
        let measurements = training::run(trainer, self.training.resume, "train", checkpoint, &settings, &self.out)?;
        output.result(&training::Summary::new(&self.out, &measurements, loaders.report_faults()))
    }
}

//! Whole networks from files, and what they need to be right.

use crate::Failure;
use crate::secret::{PassphraseOption, unlock};
use clap::{Args, ValueEnum};
use cleave_confusion::{ConfusionKey, Groups, PerLayer, Plan, Strategy};
use cleave_nets::{Checkpoint, Device, Network};
use cleave_partition::FrontHalf;
use cleave_secrets::Secret;
use std::path::{Path, PathBuf};

/// A network that is right as it is; one with confusion neurons is refused.
pub fn load(path: &Path, device: &Device) -> Result<Checkpoint, Failure> {
    let model = Checkpoint::load(path, device)?;
    match model.card.confused {
        Some(key) => Err(Failure::Confused { path: path.to_owned(), key }),
        None => Ok(model),
    }
}

/// A network that may have confusion neurons, and the key to take them out with.
#[derive(Args, Clone, Debug)]
pub struct KeyedModel {
    /// The key of a network with confusion neurons
    #[arg(long)]
    key: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseOption,
}

impl KeyedModel {
    /// Whether a key was given.
    pub const fn is_given(&self) -> bool {
        self.key.is_some()
    }

    /// The key's file.
    pub fn file(&self) -> Option<&Path> {
        self.key.as_deref()
    }

    /// The network without its confusion neurons, and their key, where it has any; as it is where no key is given.
    pub fn load(&self, path: &Path, device: &Device) -> Result<(Checkpoint, Option<ConfusionKey>), Failure> {
        self.strip(path, Checkpoint::load(path, device)?)
    }

    /// As [`KeyedModel::load`], of a network that was read from `path`.
    pub fn strip(&self, path: &Path, model: Checkpoint) -> Result<(Checkpoint, Option<ConfusionKey>), Failure> {
        match (&self.key, model.card.confused) {
            (None, _) => Ok((model, None)),
            (Some(_), None) => Err(Failure::NotConfused { path: path.to_owned() }),
            (Some(file), Some(_)) => {
                let key = self.passphrase.open_confusion(file)?;
                Ok((stripped(model, &key)?, Some(key)))
            }
        }
    }

    /// Takes the key where a front half needs one.
    pub fn unlock(&self, front: &mut FrontHalf) -> Result<(), Failure> {
        unlock(front, self.key.as_ref(), &self.passphrase)
    }
}

/// The network without its confusion neurons.
pub fn stripped(mut model: Checkpoint, key: &ConfusionKey) -> Result<Checkpoint, Failure> {
    if let Some(expected) = model.card.confused {
        key.check_id(expected)?;
    }
    model.network = cleave_confusion::strip(&model.network, key)?;
    model.card.architecture = model.network.architecture().clone();
    model.card.confused = None;
    Ok(model)
}

/// The network with confusion neurons at the positions of a key.
pub fn confused(
    mut model: Checkpoint,
    key: &ConfusionKey,
    strategy: Strategy,
    weights: &Secret,
) -> Result<Checkpoint, Failure> {
    model.network = cleave_confusion::confuse(&model.network, key, strategy, weights)?;
    model.card.architecture = model.network.architecture().clone();
    model.card.confused = Some(key.id());
    Ok(model)
}

/// How many confusion neurons, where, and with what weights.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Confusion neurons")]
pub struct ConfusionOptions {
    /// Share of the network's channels that is added, above 0 and at most 1 [default: 0.05]
    #[arg(long, allow_negative_numbers = true)]
    proportion: Option<f64>,
    /// How they are shared out among the layers [default: absolute]
    #[arg(long, value_enum)]
    per_layer: Option<Sharing>,
    /// Only in these layers, by the names of their tensors: 0,3.body.0
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    only: Vec<String>,
    #[command(flatten)]
    pub weights: WeightOptions,
}

/// What the weights of confusion neurons are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Confusion neurons")]
pub struct WeightOptions {
    /// Where the weights of confusion neurons come from [default: samp]
    #[arg(long, value_enum)]
    strategy: Option<Source>,
    /// Draw positions and weights from this number, so that an experiment can be repeated: whoever guesses it has the key
    #[arg(long, value_name = "SEED")]
    guessable_seed: Option<u64>,
}

/// Shares by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Sharing {
    /// The same number in every layer, so that narrow ones get a larger share
    Absolute,
    /// The same share of every layer
    Relative,
}

/// Strategies by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Source {
    /// Drawn from the weights of the layer itself
    Samp,
    /// As at the start of training
    Init,
    /// A coin for each neuron between the two
    Mixed,
    /// Copied from neurons of the layer and shaken
    Mimic,
    /// Pairs that cancel most of each other
    Paired,
}

impl Source {
    /// The strategy of this name.
    pub const fn strategy(self) -> Strategy {
        match self {
            Self::Samp => Strategy::Samp,
            Self::Init => Strategy::Init,
            Self::Mixed => Strategy::Mixed,
            Self::Mimic => Strategy::Mimic,
            Self::Paired => Strategy::Paired,
        }
    }
}

/// The paper's share of the channels in most of its tables.
const PROPORTION: f64 = 0.05;

impl ConfusionOptions {
    /// Whether any of it was asked for.
    pub const fn is_given(&self) -> bool {
        self.proportion.is_some() || self.per_layer.is_some() || !self.only.is_empty() || self.weights.is_given()
    }

    /// How many units each group of channels of a network gets.
    pub fn plan(&self, network: &Network) -> Result<(Groups, Plan), Failure> {
        let groups = Groups::of(network.architecture())?;
        let per_layer = match self.per_layer {
            None | Some(Sharing::Absolute) => PerLayer::Absolute,
            Some(Sharing::Relative) => PerLayer::Relative,
        };
        let plan = Plan::uniform(&groups, self.proportion.unwrap_or(PROPORTION), per_layer)?;
        let plan = if self.only.is_empty() { plan } else { plan.only(&groups, &self.only)? };
        Ok((groups, plan))
    }
}

impl WeightOptions {
    /// Whether any of it was asked for.
    pub const fn is_given(&self) -> bool {
        self.strategy.is_some() || self.guessable_seed.is_some()
    }

    /// The strategy.
    pub fn strategy(&self) -> Strategy {
        self.strategy.map_or_else(Strategy::default, Source::strategy)
    }

    /// A strategy and a fresh secret for weights at the positions of a key that there is.
    pub fn anew(&self) -> Result<(Strategy, Secret), Failure> {
        if self.guessable_seed.is_some() {
            return Err(Failure::Options {
                reason: "weights that are drawn anew come from no number; leave --guessable-seed out",
            });
        }
        let Some(strategy) = self.strategy else {
            return Err(Failure::Options { reason: "no file says how weights were drawn; name the --strategy again" });
        };
        eprintln!(
            "note: whoever kept an older file of the same key sees the confusion neurons by the weights that changed"
        );
        Ok((strategy.strategy(), Secret::generate()?))
    }

    /// Secrets that positions and weights are drawn from.
    pub fn secrets(&self) -> Result<[Secret; 2], Failure> {
        let Some(seed) = self.guessable_seed else { return Ok([Secret::generate()?, Secret::generate()?]) };
        eprintln!("warning: positions come from a number that can be guessed, as an experiment may have it");
        Ok([0, 1].map(|use_| {
            let mut bytes = [use_; cleave_secrets::SECRET_LEN];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            Secret::from_bytes(&bytes)
        }))
    }
}

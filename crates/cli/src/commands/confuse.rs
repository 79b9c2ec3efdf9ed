//! `cleave confuse` and `cleave strip`: confusion neurons into a network, and out of it.

use crate::model::{self, ConfusionOptions};
use crate::options::{DataOptions, DeviceOption, distinct, open_held_out};
use crate::secret::PassphraseOption;
use crate::training::EVALUATION_BATCH;
use crate::{Failure, Output};
use clap::Args;
use cleave_confusion::{ConfusionKey, Gain, Groups, Plan, gain, search};
use cleave_data::{LoadOptions, Loader};
use cleave_nets::{Checkpoint, Network};
use cleave_retrain::evaluate;
use cleave_secrets::{KeyId, Secret};
use indicatif::ProgressBar;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Insert channels at secret positions into every layer: the network is wrong then, and with the key the original again
#[derive(Args, Clone, Debug)]
pub struct Confuse {
    /// The network
    model: PathBuf,
    #[command(flatten)]
    neurons: ConfusionOptions,
    /// Look for the shares of the layers that make Eq. 1 largest on --data, within this share of the network's memory
    #[arg(long, value_name = "BUDGET", allow_negative_numbers = true, requires = "data", conflicts_with_all = ["proportion", "per_layer", "only"])]
    search: Option<f64>,
    /// Images to measure Eq. 1 and the accuracy on, or "builtin"
    #[arg(long)]
    data: Option<PathBuf>,
    /// Split of them; without this val, or test where there is no val
    #[arg(long)]
    split: Option<String>,
    /// Images that Eq. 1 is measured on, at the most
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    images: u32,
    /// λ of Eq. 1: what the whole network's memory once more would cost, in units of the scores
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    balance: f64,
    /// The widened network to write
    #[arg(long)]
    out: PathBuf,
    /// The key file to write; one that is there stays
    #[arg(long, required_unless_present = "key")]
    key_out: Option<PathBuf>,
    /// Write the key in the clear: whoever can read the file has it
    #[arg(long, conflicts_with = "passphrase_file")]
    clear: bool,
    /// The positions of a key that there is, with weights drawn anew: for a network that was trained on
    #[arg(long, conflicts_with_all = ["key_out", "proportion", "per_layer", "only", "search", "clear"])]
    key: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseOption,
    #[command(flatten)]
    device: DeviceOption,
}

/// What was made.
#[derive(Serialize)]
struct Confused {
    out: PathBuf,
    key_file: PathBuf,
    key: KeyId,
    /// log₂ of the choices of positions.
    choices: f64,
    groups: Vec<Widened>,
    values_before: usize,
    values_after: usize,
    gain: Option<Gain>,
    objective: Option<f64>,
    accuracy_with_key: Option<f64>,
    accuracy_without: Option<f64>,
}

/// Channels of one group.
#[derive(Serialize)]
struct Widened {
    writers: Vec<String>,
    channels: usize,
    added: usize,
}

impl std::fmt::Display for Confused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sum = |of: fn(&Widened) -> usize| self.groups.iter().map(of).sum::<usize>();
        let (channels, added) = (sum(|group| group.channels), sum(|group| group.added));
        let share = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
        let counts = self.groups.iter().map(|group| group.added);
        let (least, most) = (counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0));
        writeln!(
            f,
            "neurons  {added} channels to {channels} ({:.2} %), {least} to {most} in each of {} groups",
            share(added, channels),
            self.groups.len()
        )?;
        let grown = self.values_after - self.values_before;
        writeln!(
            f,
            "memory   {} values to {} (+{:.2} %)",
            self.values_before,
            self.values_after,
            share(grown, self.values_before)
        )?;
        if let (Some(gain), Some(value)) = (self.gain, self.objective) {
            let Gain { distance, memory, balance } = gain;
            writeln!(f, "gain     {value:.4} (Eq. 1: scores move by {distance:.4}, less {balance} x {memory:.4})")?;
        }
        if let (Some(with), Some(without)) = (self.accuracy_with_key, self.accuracy_without) {
            writeln!(f, "accuracy {:.2} % with the key, {:.2} % without", 100.0 * with, 100.0 * without)?;
        }
        writeln!(
            f,
            "key      {}: {} (2^{:.0} choices of positions; attacks need no search)",
            self.key,
            self.key_file.display(),
            self.choices
        )?;
        write!(f, "wrote    {}", self.out.display())
    }
}

/// Images that a network is measured on.
struct Sample {
    images: Vec<f32>,
    loader: Loader,
}

impl Confuse {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let others: Vec<&Path> =
            [Some(&self.model), self.key.as_ref()].into_iter().flatten().map(PathBuf::as_path).collect();
        distinct([Some(&self.out), self.key_out.as_ref()].into_iter().flatten().map(PathBuf::as_path), &others)?;
        let plain = model::load(&self.model, &self.device.open()?)?;
        let sample = self.data.as_ref().map(|data| self.sample(&plain, data)).transpose()?.flatten();
        let (key, strategy, weights) = match &self.key {
            Some(file) => {
                let (strategy, weights) = self.neurons.weights.anew()?;
                (self.passphrase.open_confusion(file)?, strategy, weights)
            }
            None => {
                let [positions, weights] = self.neurons.weights.secrets()?;
                let key = self.drawn(&plain.network, sample.as_ref(), positions)?;
                (key, self.neurons.weights.strategy(), weights)
            }
        };
        let network = plain.network.clone();
        let widened = model::confused(plain, &key, strategy, &weights)?;
        let (gain, accuracies) = match &sample {
            Some(sample) => {
                let accuracy =
                    |network: &Network| Ok::<_, Failure>(evaluate(network, None, &sample.loader, 1, 0)?.accuracy());
                let gain = gain(&network, &widened.network, &sample.images, self.balance)?;
                (Some(gain), Some([accuracy(&network)?, accuracy(&widened.network)?]))
            }
            None => (None, None),
        };
        let key_file = self.write(&widened, &key)?;
        let groups = Groups::of(network.architecture())?;
        let added = key.plan();
        let groups = groups.list().iter().zip(added.units()).map(|(group, &units)| Widened {
            writers: group.writers.clone(),
            channels: group.channels(),
            added: units * group.width,
        });
        output.result(&Confused {
            out: self.out.clone(),
            key_file,
            key: key.id(),
            choices: key.bits(),
            groups: groups.collect(),
            values_before: network.values()?,
            values_after: widened.network.values()?,
            objective: gain.as_ref().map(Gain::value),
            gain,
            accuracy_with_key: accuracies.map(|[with, _]| with),
            accuracy_without: accuracies.map(|[_, without]| without),
        })
    }

    /// Images of the data; none for a network with a signal, whose scores depend on more than the image.
    fn sample(&self, model: &Checkpoint, data: &Path) -> Result<Option<Sample>, Failure> {
        if model.network.architecture().join().is_some() {
            if self.search.is_some() {
                return Err(Failure::SearchWithSignal { path: self.model.clone() });
            }
            eprintln!("note: this network takes a signal, so that nothing is measured here; `cleave eval` does");
            return Ok(None);
        }
        let classes = Some(model.card.classes.clone());
        let options = DataOptions { data: data.to_owned(), classes, limit: None, strict: false };
        let dataset = open_held_out(&options, self.split.as_deref())?;
        let loader = Loader::new(dataset, model.card.preparation.clone(), LoadOptions::evaluation(EVALUATION_BATCH))?;
        let (mut images, values) = (Vec::new(), model.network.input().values());
        for batch in loader.epoch(0)? {
            images.extend(batch?.images);
            if images.len() >= self.images as usize * values {
                break;
            }
        }
        images.truncate(self.images as usize * values);
        Ok(Some(Sample { images, loader }))
    }

    fn drawn(&self, network: &Network, sample: Option<&Sample>, secret: Secret) -> Result<ConfusionKey, Failure> {
        let (groups, plan) = match (self.search, sample) {
            (Some(budget), Some(sample)) => {
                (Groups::of(network.architecture())?, self.searched(network, sample, budget, &secret)?)
            }
            _ => self.neurons.plan(network)?,
        };
        Ok(ConfusionKey::draw(secret, &groups, &plan)?)
    }

    fn searched(&self, network: &Network, sample: &Sample, budget: f64, secret: &Secret) -> Result<Plan, Failure> {
        let bar = ProgressBar::new_spinner();
        let setting = (self.neurons.weights.strategy(), self.balance, budget);
        let plan = search(network, &sample.images, setting, secret, &mut |step| {
            let Gain { distance, memory, .. } = step.gain;
            bar.set_message(format!("scores move by {distance:.3} for {:.2} % of the memory", 100.0 * memory));
            bar.tick();
            true
        });
        bar.finish_and_clear();
        Ok(plan?)
    }

    /// Writes the key, where it is new, and the network: both or none.
    fn write(&self, widened: &Checkpoint, key: &ConfusionKey) -> Result<PathBuf, Failure> {
        let written = match (&self.key, &self.key_out) {
            (Some(file), _) => return widened.save(&self.out).map(|()| file.clone()).map_err(Failure::from),
            (None, Some(file)) => file.clone(),
            (None, None) => return Err(Failure::NoPassphrase), // clap asks for one of the two
        };
        self.passphrase.seal_confusion(&written, key, self.clear)?;
        widened.save(&self.out).inspect_err(|_| {
            std::fs::remove_file(&written).ok(); // a key without its network is of no use
        })?;
        Ok(written)
    }
}

/// Take the confusion neurons out of a network with their key: the original, bit for bit
#[derive(Args, Clone, Debug)]
pub struct Strip {
    /// The widened network
    model: PathBuf,
    /// Its key
    #[arg(long)]
    key: PathBuf,
    /// The network to write
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseOption,
    #[command(flatten)]
    device: DeviceOption,
}

/// What was taken out.
#[derive(Serialize)]
struct Stripped {
    out: PathBuf,
    key: KeyId,
    neurons: usize,
}

impl std::fmt::Display for Stripped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "wrote {} without the {} confusion neurons of key {}", self.out.display(), self.neurons, self.key)
    }
}

impl Strip {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        distinct([self.out.as_path()], &[&self.model, &self.key])?;
        let model = Checkpoint::load(&self.model, &self.device.open()?)?;
        if model.card.confused.is_none() {
            return Err(Failure::NotConfused { path: self.model.clone() });
        }
        let key = self.passphrase.open_confusion(&self.key)?;
        model::stripped(model, &key)?.save(&self.out)?;
        let neurons = key.plan().units().iter().sum();
        output.result(&Stripped { out: self.out.clone(), key: key.id(), neurons })
    }
}

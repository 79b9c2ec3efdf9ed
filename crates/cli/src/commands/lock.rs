//! `cleave lock`: a trained network under a key.

use crate::model;
use crate::options::{DeviceOption, PairFiles, model_name};
use crate::secret::PassphraseOption;
use crate::{Failure, Output, gate};
use clap::Args;
use cleave_keyed::{Keying, Lock, Scramble};
use cleave_nets::{Role, read_manifest};
use cleave_partition::lock_pair;
use std::path::PathBuf;

/// Lock a network with a key: it then answers images that are sent under that key, and its provider never has a plain one
#[derive(Args, Clone, Debug)]
pub struct LockCommand {
    /// The network, whole and without a key
    model: PathBuf,
    /// The key, made by `cleave key new`
    #[arg(long)]
    key: PathBuf,
    /// Another order for each patch of the image, not one for all: the first layer then has other weights at each
    #[arg(long)]
    per_patch: bool,
    #[command(flatten)]
    files: PairFiles,
    /// Name under which it is served
    #[arg(long, default_value = "model", value_parser = model_name)]
    name: String,
    #[command(flatten)]
    gate: gate::GateOptions,
    #[command(flatten)]
    passphrase: PassphraseOption,
    #[command(flatten)]
    device: DeviceOption,
}

impl LockCommand {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let (header, manifest) = read_manifest(&self.model)?;
        if header.role != Role::Whole && manifest.pointer("/terms/lock").is_some_and(|lock| !lock.is_null()) {
            return Err(Failure::LockedAlready { path: self.model.clone() });
        }
        let model = model::load(&self.model, &self.device.open()?)?;
        let keying = if self.per_patch { Keying::PerPatch } else { Keying::Shared };
        let secret = self.passphrase.open(&self.key)?;
        let lock = Lock::of(model.network.architecture(), secret.id(), keying)?;
        let release = self.gate.pass(lock_pair(&model, &self.name, &Scramble::new(&secret, &lock)?)?)?;
        self.files.write(&release)?;
        output.result(&gate::Locked::new(&self.files, &release))
    }
}

//! `cleave key`: secret keys for images and networks.

use crate::options::{DeviceOption, PairFiles};
use crate::secret::{CIPHERTEXTS, PURPOSE, PassphraseOption, TRAINING};
use crate::{Failure, Output, gate};
use clap::{Args, Subcommand, ValueEnum};
use cleave_keyed::{Keying, Lock, Scramble};
use cleave_partition::{BackHalf, FrontHalf, rekey_pair};
use cleave_secrets::{KeyId, Label};
use serde::Serialize;
use std::path::PathBuf;

/// Make and look at secret keys, and move a locked pair from one to another
#[derive(Args, Clone, Debug)]
pub struct Key {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    New(New),
    Id(Id),
    Rotate(Box<Rotate>),
}

impl Key {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        match &self.action {
            Action::New(new) => new.run(output),
            Action::Id(id) => id.run(output),
            Action::Rotate(rotate) => rotate.run(output),
        }
    }
}

/// Draw a new secret key and seal it with a passphrase
#[derive(Args, Clone, Debug)]
struct New {
    /// The key file to write; one that is there stays
    #[arg(long)]
    out: PathBuf,
    /// What it is for; a key is good for one thing
    #[arg(long = "for", value_enum, default_value_t = Use::Pairs)]
    purpose: Use,
    /// Write it in the clear: whoever can read the file has the key
    #[arg(long, conflicts_with = "passphrase_file")]
    clear: bool,
    #[command(flatten)]
    passphrase: PassphraseOption,
}

/// What a key is for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Use {
    /// Pairs that are locked with it: `cleave lock`
    Pairs,
    /// Images that are encrypted with it: `cleave infer --encrypted`
    Ciphertexts,
    /// Trainings on ciphertexts: `cleave encrypted-train`
    Training,
}

impl Use {
    const fn purpose(self) -> &'static str {
        match self {
            Self::Pairs => PURPOSE,
            Self::Ciphertexts => CIPHERTEXTS,
            Self::Training => TRAINING,
        }
    }
}

/// Print the public name of a key; no passphrase is needed
#[derive(Args, Clone, Debug)]
struct Id {
    /// The key file
    key: PathBuf,
}

/// A key by its public name.
#[derive(Serialize)]
struct Named {
    file: PathBuf,
    key: Option<KeyId>,
    sealed: bool,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.key.map_or_else(|| "it gives no name".to_owned(), |key| key.to_string());
        let kept = if self.sealed { "sealed with a passphrase" } else { "IN THE CLEAR" };
        write!(f, "key      {name}\nfile     {} ({kept})", self.file.display())
    }
}

impl New {
    fn run(&self, output: &Output) -> Result<(), Failure> {
        let secret = self.passphrase.seal(&self.out, self.purpose.purpose(), self.clear)?;
        output.result(&Named { file: self.out.clone(), key: Some(secret.id()), sealed: !self.clear })
    }
}

impl Id {
    fn run(&self, output: &Output) -> Result<(), Failure> {
        let Label { key, sealed, .. } = Label::load(&self.key)?;
        output.result(&Named { file: self.key.clone(), key, sealed: sealed.is_some() })
    }
}

/// Move a locked pair from one key to another, without the plain network
#[derive(Args, Clone, Debug)]
struct Rotate {
    /// The client's file of the pair
    #[arg(long)]
    front: PathBuf,
    /// The provider's file of the pair
    #[arg(long)]
    back: PathBuf,
    /// The key that it is locked with
    #[arg(long)]
    from: PathBuf,
    /// The key that it is to be locked with
    #[arg(long)]
    to: PathBuf,
    /// From one key for all patches to one for each patch position
    #[arg(long)]
    per_patch: bool,
    #[command(flatten)]
    files: PairFiles,
    #[command(flatten)]
    gate: gate::GateOptions,
    #[command(flatten)]
    passphrase: PassphraseOption,
    /// File whose first line is the passphrase of the key under --to, where it is another
    #[arg(long, value_name = "FILE")]
    to_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceOption,
}

impl Rotate {
    fn run(&self, output: &Output) -> Result<(), Failure> {
        let device = self.device.open()?;
        let (front, back) = (FrontHalf::load(&self.front, &device)?, BackHalf::load(&self.back, &device)?);
        let lock = front.manifest().terms.lock.as_ref().ok_or(cleave_partition::Error::NotLocked)?;
        let old = Scramble::new(&self.passphrase.open(&self.from)?, lock)?;
        let secret = self.passphrase.or_file(self.to_passphrase_file.as_ref()).open(&self.to)?;
        let keying = if self.per_patch { Keying::PerPatch } else { lock.keying };
        let new = Scramble::new(&secret, &Lock { key: secret.id(), keying, ..lock.clone() })?;
        let release = self.gate.pass(rekey_pair(&front, &back, &old, &new)?)?;
        self.files.write(&release)?;
        eprintln!(
            "note: whoever kept the old back half can tell how the two keys differ, and so has both if it has one"
        );
        output.result(&gate::Locked::new(&self.files, &release))
    }
}

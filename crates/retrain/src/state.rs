//! A training run on disk, so that it can be interrupted.

use crate::{Error, TrainSettings};
use burn::optim::ModuleOptimizer;
use burn::tensor::Bytes;
use cleave_nets::{Contents, Header, Network, Role, read_checkpoint, write_atomically, write_checkpoint};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The manifest of a saved state.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Progress {
    #[serde(flatten)]
    header: Header,
    /// Steps done.
    pub(crate) step: usize,
    /// Seconds trained.
    pub(crate) seconds: f64,
    /// The settings of the run.
    settings: TrainSettings,
    /// Frozen layers and shape of the run; a state of another network is refused.
    architecture: serde_json::Value,
    /// File with the optimiser's state, beside this one.
    optimizer: String,
}

const STATE: &str = "state.safetensors";

/// Where the state of a run in `folder` stands.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join(STATE)
}

/// Saves a run; the old state stays until the new one is complete.
pub(crate) fn save(
    folder: &Path,
    network: &Network,
    optimizer: &ModuleOptimizer,
    settings: &TrainSettings,
    step: usize,
    seconds: f64,
) -> Result<(), Error> {
    let io = |source| Error::Io { action: "create", path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(io)?;
    let name = format!("optimizer-{step}.bpk");
    let bytes = optimizer.into_bytes().map_err(|error| unreadable(folder, error))?;
    write_atomically(&folder.join(&name), &bytes)?;
    let architecture = serde_json::to_value(network.architecture()).map_err(|error| unreadable(folder, error))?;
    let header = Header::of(Role::Whole);
    let progress =
        Progress { header, step, seconds, settings: settings.clone(), architecture, optimizer: name.clone() };
    let contents = Contents { tensors: network.tensors()?, glyphs: None };
    write_checkpoint(&path(folder), &contents, &progress)?;
    remove_other_optimizers(folder, &name);
    Ok(())
}

/// Old optimiser states are only litter once the new state is in place; one that cannot be removed does no harm.
fn remove_other_optimizers(folder: &Path, keep: &str) {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for file in files.filter(|file| file.file_name().to_string_lossy().starts_with("optimizer-")) {
        if file.file_name() != keep {
            std::fs::remove_file(file.path()).ok();
        }
    }
}

/// Removes a run's state; one that cannot be removed does no harm.
pub(crate) fn clear(folder: &Path) {
    std::fs::remove_file(path(folder)).ok();
    remove_other_optimizers(folder, "");
}

/// Reads the state of a run with the same settings and network.
pub(crate) fn load(
    folder: &Path,
    network: &Network,
    optimizer: ModuleOptimizer,
    settings: &TrainSettings,
) -> Result<(Network, ModuleOptimizer, Progress), Error> {
    let (progress, contents) = read_checkpoint::<Progress>(&path(folder), Role::Whole)?;
    let architecture = serde_json::to_value(network.architecture()).map_err(|error| unreadable(folder, error))?;
    if architecture != progress.architecture {
        return Err(Error::OtherRun { path: path(folder), difference: "the network's layers".to_owned() });
    }
    if let Some(difference) = difference(&progress.settings, settings) {
        return Err(Error::OtherRun { path: path(folder), difference });
    }
    let network = Network::from_tensors(network.architecture().clone(), contents.tensors, network.device())?;
    let file = folder.join(&progress.optimizer);
    let bytes = std::fs::read(&file).map_err(|source| Error::Io { action: "read", path: file.clone(), source })?;
    let optimizer = optimizer.from_bytes(Bytes::from_bytes_vec(bytes)).map_err(|error| unreadable(&file, error))?;
    Ok((network, optimizer, progress))
}

fn unreadable(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::State { path: path.to_owned(), reason: error.to_string() }
}

/// The first setting in which two runs differ, in words.
fn difference(old: &TrainSettings, new: &TrainSettings) -> Option<String> {
    let (old, new) = (serde_json::to_value(old).ok()?, serde_json::to_value(new).ok()?);
    let (old, new) = (old.as_object()?, new.as_object()?);
    let key = old.keys().find(|key| old.get(*key) != new.get(*key))?;
    Some(format!("{key} was {}, now {}", old[key], new.get(key).unwrap_or(&serde_json::Value::Null)))
}

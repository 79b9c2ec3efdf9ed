//! A training run on disk, so that it can be interrupted.

use crate::learner::Learner;
use crate::{Error, SignalSource, TrainSettings};
use burn::tensor::Bytes;
use cleave_data::Dataset;
use cleave_nets::{Contents, Header, HostTensor, Network, Role, read_checkpoint, write_atomically, write_checkpoint};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
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
    /// What went into the run.
    #[serde(flatten)]
    run: Run,
    /// Shape of the trained part; a state of another network is refused.
    architecture: serde_json::Value,
}

/// What goes into a run: a resumed one must have the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    settings: TrainSettings,
    /// The images to learn from: [`Dataset::fingerprint`].
    images: String,
    /// The digits that signals are drawn with.
    digits: String,
    /// The layers that stay as they are.
    preserved: String,
}

impl Run {
    pub(crate) fn new(
        settings: &TrainSettings,
        images: &Dataset,
        source: Option<&SignalSource>,
        preserved: Option<&Network>,
    ) -> Result<Self, Error> {
        let glyphs = source.and_then(SignalSource::glyphs).map_or_else(Vec::new, |glyphs| {
            let digits = glyphs.digits().into_iter();
            digits.flat_map(|digit| (0..glyphs.len(digit)).filter_map(move |at| glyphs.get(digit, at).ok())).collect()
        });
        let tensors = preserved.map(Network::tensors).transpose()?.unwrap_or_default();
        let weights: Vec<_> = tensors.into_values().flat_map(|tensor| tensor.values).map(f32::to_le_bytes).collect();
        Ok(Self {
            settings: settings.clone(),
            images: format!("{} images, SHA-256 {}", images.len(), images.fingerprint()),
            digits: format!("{} images, SHA-256 {}", glyphs.len(), fingerprint(&glyphs.concat())),
            preserved: format!("{} weights, SHA-256 {}", weights.len(), fingerprint(weights.as_flattened())),
        })
    }

    /// The first thing in which two runs differ, in words.
    fn difference(&self, new: &Self) -> Option<String> {
        let said = |name: &str, old: &str, new: &str| {
            (old != new).then(|| format!("the {name} were others: {old}, now {new}"))
        };
        difference(&self.settings, &new.settings)
            .or_else(|| said("images", &self.images, &new.images))
            .or_else(|| said("digits of the signal", &self.digits, &new.digits))
            .or_else(|| said("preserved layers", &self.preserved, &new.preserved))
    }
}

fn fingerprint(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

const STATE: &str = "state.safetensors";

/// Where the state of a run in `folder` stands.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join(STATE)
}

/// The file of an optimiser's state: that of the network itself, or of the learner called `name`.
fn optimizer_file(step: usize, name: &str) -> String {
    let dot = if name.is_empty() { "" } else { "." };
    format!("{}{name}{dot}bpk", optimizers_of(step))
}

/// How the names of all optimiser files of a step begin.
fn optimizers_of(step: usize) -> String {
    format!("optimizer-{step}.")
}

/// Saves a run; the old state stays until the new one is complete.
///
/// `learners` come with their names; the name of the trained network itself is empty.
pub(crate) fn save<'a>(
    folder: &Path,
    learners: impl Iterator<Item = (String, &'a Learner)>,
    run: &Run,
    step: usize,
    seconds: f64,
) -> Result<(), Error> {
    let io = |source| Error::Io { action: "create", path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(io)?;
    let (mut tensors, mut architecture) = (BTreeMap::new(), serde_json::Value::Null);
    for (name, learner) in learners {
        let bytes = learner.optimizer.into_bytes().map_err(|error| unreadable(folder, error))?;
        write_atomically(&folder.join(optimizer_file(step, &name)), &bytes)?;
        let network = learner.network.frozen();
        if name.is_empty() {
            architecture = described(folder, &network)?;
        }
        let full = |leaf| if name.is_empty() { leaf } else { format!("{name}/{leaf}") };
        tensors.extend(network.tensors()?.into_iter().map(|(leaf, tensor)| (full(leaf), tensor)));
    }
    let progress = Progress { header: Header::of(Role::Whole), step, seconds, run: run.clone(), architecture };
    write_checkpoint(&path(folder), &Contents { tensors, glyphs: None }, &progress)?;
    remove_other_optimizers(folder, Some(step));
    Ok(())
}

fn described(folder: &Path, network: &Network) -> Result<serde_json::Value, Error> {
    serde_json::to_value(network.architecture()).map_err(|error| unreadable(folder, error))
}

/// Old optimiser states are only litter once the new state is in place; one that cannot be removed does no harm.
fn remove_other_optimizers(folder: &Path, step: Option<usize>) {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let kept = |name: &str| step.is_some_and(|step| name.starts_with(&optimizers_of(step)));
    for file in files {
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("optimizer-") && !kept(&name) {
            std::fs::remove_file(file.path()).ok();
        }
    }
}

/// Removes a run's state; one that cannot be removed does no harm.
pub(crate) fn clear(folder: &Path) {
    std::fs::remove_file(path(folder)).ok();
    remove_other_optimizers(folder, None);
}

/// Puts `learners`, named as in [`save`], where the same run left them.
pub(crate) fn load<'a>(
    folder: &Path,
    learners: impl Iterator<Item = (String, &'a mut Learner)>,
    run: &Run,
) -> Result<Progress, Error> {
    let (progress, contents) = read_checkpoint::<Progress>(&path(folder), Role::Whole)?;
    if let Some(difference) = progress.run.difference(run) {
        return Err(Error::OtherRun { path: path(folder), difference });
    }
    let mut parts: BTreeMap<String, BTreeMap<String, HostTensor>> = BTreeMap::new();
    for (full, tensor) in contents.tensors {
        let (name, leaf) = full.split_once('/').unwrap_or(("", &full));
        parts.entry(name.to_owned()).or_default().insert(leaf.to_owned(), tensor);
    }
    for (name, learner) in learners {
        if name.is_empty() && described(folder, &learner.network)? != progress.architecture {
            return Err(Error::OtherRun { path: path(folder), difference: "the network's layers".to_owned() });
        }
        restore(folder, learner, parts.remove(&name).unwrap_or_default(), &optimizer_file(progress.step, &name))?;
    }
    Ok(progress)
}

fn restore(
    folder: &Path,
    learner: &mut Learner,
    tensors: BTreeMap<String, HostTensor>,
    optimizer: &str,
) -> Result<(), Error> {
    let network = learner.network.frozen();
    let network = Network::from_tensors(network.architecture().clone(), tensors, network.device())?;
    let file = folder.join(optimizer);
    let bytes = std::fs::read(&file).map_err(|source| Error::Io { action: "read", path: file.clone(), source })?;
    let optimizer = learner.optimizer.clone().from_bytes(Bytes::from_bytes_vec(bytes));
    learner.optimizer = optimizer.map_err(|error| unreadable(&file, error))?;
    learner.network = network.trainable();
    Ok(())
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

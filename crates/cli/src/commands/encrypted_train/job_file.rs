//! What a client keeps on disk to come back to its job.

use super::JobFault;
use super::method::Fit;
use crate::Failure;
use cleave_encrypted::service::jobs::JobState;
use cleave_encrypted::training::TrainingData;
use cleave_secrets::KeyId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Version of the file.
const FORMAT: u32 = 1;

/// The file of a job.
pub struct JobFile {
    path: PathBuf,
    settings: String,
    kept: Option<JobState>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: u32,
    /// All that has to be the same, the data by their hash.
    settings: String,
    state: JobState,
}

impl JobFile {
    /// The file at `path`, if there is one, of the job that would begin with `state`.
    pub fn open(path: &Path, state: &JobState, data: &TrainingData, fit: &Fit, key: KeyId) -> Result<Self, Failure> {
        let settings = settings(state, data, fit, key);
        let kept = match std::fs::read(path) {
            Ok(bytes) => Some(read(path, &Zeroizing::new(bytes), &settings)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(Failure::file(path, source)),
        };
        Ok(Self { path: path.to_owned(), settings, kept })
    }

    /// The state that it had.
    pub fn kept(&self) -> Option<JobState> {
        self.kept.clone()
    }

    /// Writes a state, readable for this user alone.
    pub fn save(&self, state: &JobState) -> Result<(), Failure> {
        let contents = Contents { format: FORMAT, settings: self.settings.clone(), state: state.clone() };
        let bytes = Zeroizing::new(serde_json::to_vec(&contents)?);
        Ok(cleave_nets::write_atomically(&self.path, &bytes)?)
    }

    /// Deletes it.
    pub fn remove(self) -> Result<(), Failure> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::file(&self.path, error)),
            _ => Ok(()),
        }
    }
}

fn read(path: &Path, bytes: &[u8], expected: &str) -> Result<JobState, Failure> {
    let broken = |reason: String| Failure::from(JobFault::File { path: path.to_owned(), reason });
    let contents: Contents = serde_json::from_slice(bytes).map_err(|error| broken(error.to_string()))?;
    match contents {
        Contents { format, .. } if format != FORMAT => {
            Err(broken(format!("its format is {format}, expected {FORMAT}")))
        }
        Contents { settings, .. } if settings != expected => {
            Err(JobFault::OtherJob { path: path.to_owned(), got: settings, expected: expected.to_owned() }.into())
        }
        Contents { state, .. } => Ok(state),
    }
}

fn settings(state: &JobState, data: &TrainingData, fit: &Fit, key: KeyId) -> String {
    let mut hash = Sha256::new();
    for sample in 0..data.samples() {
        hash.update((data.label(sample) as u64).to_le_bytes());
        data.sample(sample).iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    let hash: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}, {fit}, data {hash}, key {key}", state.settings())
}

//! The two files of a release, and the gate before them.

use crate::{AuditSummary, Cut, Error, cut};
use cleave_data::Preparation;
use cleave_leakage::{Report, Verdict};
use cleave_nets::{
    Architecture, Checkpoint, Contents, Defence, Header, HostTensor, Network, Role, Shape, read_checkpoint,
    write_checkpoint,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The hash that both halves of a pair share.
pub type PairHash = [u8; 32];

/// What both halves of a pair state alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Name under which the back half is served.
    pub model: String,
    /// SHA-256 over the name, the cut and both halves, in hexadecimal.
    pub pair: String,
    /// SHA-256 over the front half's tensors, in hexadecimal.
    pub front_hash: String,
    /// Where the network was cut.
    pub cut: Cut,
    /// Shape of one sample of smashed data.
    pub smashed: Shape,
    /// Scores a sample.
    pub outputs: usize,
    /// What the leakage check said.
    pub leakage: Report,
    /// Why the pair was released although the check leaks.
    pub accepted: Option<String>,
    /// Defences, those trained in before those that the client applies at the cut.
    #[serde(default)]
    pub defences: Vec<Defence>,
    /// What attacks on this front half gave; `None` where none were run.
    #[serde(default)]
    pub audit: Option<AuditSummary>,
}

impl Terms {
    /// The pair hash as bytes; `None` where the manifest's text is no hash.
    pub fn pair_hash(&self) -> Option<PairHash> {
        let nibble = |digit: u8| Some(char::from(digit).to_digit(16)? as u8);
        let bytes = self.pair.as_bytes().chunks(2).map(|pair| match pair {
            [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
            _ => None,
        });
        bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
    }
}

/// The manifest of a front half: all that a client needs, and nothing else of the back half.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrontManifest {
    /// Format and role.
    #[serde(flatten)]
    pub header: Header,
    /// What both halves state.
    pub terms: Terms,
    /// The layers before the cut; the join among them says how the signal is drawn and undone.
    pub architecture: Architecture,
    /// Class names, in the order of the unmasked scores.
    pub classes: Vec<String>,
    /// How an image becomes an input.
    pub preparation: Preparation,
}

/// The manifest of a back half.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackManifest {
    /// Format and role.
    #[serde(flatten)]
    pub header: Header,
    /// What both halves state.
    pub terms: Terms,
    /// SHA-256 over the back half's tensors, in hexadecimal.
    pub back_hash: String,
    /// The layers behind the cut.
    pub architecture: Architecture,
}

/// A pair that passed the gate, ready to be written.
#[derive(Debug)]
pub struct Release {
    front: (FrontManifest, Contents),
    back: (BackManifest, Contents),
}

/// Cuts a network and lets the pair through the gate.
///
/// # Errors
/// [`Error::Leaks`] when the check says so and `accept` gives no reason; [`Error::EmptyReason`]; those of [`Cut::position`].
pub fn release(
    model: &Checkpoint,
    at: Cut,
    name: &str,
    report: Report,
    accept: Option<&str>,
) -> Result<Release, Error> {
    let accepted = gate(&report, at, accept)?;
    let (front, back) = cut(&model.network, at)?;
    let (front_tensors, back_tensors) = (front.tensors()?, back.tensors()?);
    let (front_hash, back_hash) = (hash_tensors(&front_tensors), hash_tensors(&back_tensors));
    let terms = Terms {
        model: name.to_owned(),
        pair: pair_hash(name, at, [&front, &back], [&front_hash, &back_hash])?,
        front_hash,
        cut: at,
        smashed: front.output(),
        outputs: back.output().values(),
        leakage: report,
        accepted,
        defences: model.card.defences.clone(),
        audit: None,
    };
    let front_manifest = FrontManifest {
        header: Header::of(Role::Front),
        terms: terms.clone(),
        architecture: front.architecture().clone(),
        classes: model.card.classes.clone(),
        preparation: model.card.preparation.clone(),
    };
    let back_architecture = back.architecture().clone();
    let back_manifest =
        BackManifest { header: Header::of(Role::Back), terms, back_hash, architecture: back_architecture };
    Ok(Release {
        front: (front_manifest, Contents { tensors: front_tensors, glyphs: model.glyphs.clone() }),
        back: (back_manifest, Contents { tensors: back_tensors, glyphs: None }),
    })
}

fn gate(report: &Report, at: Cut, accept: Option<&str>) -> Result<Option<String>, Error> {
    match (&report.verdict, accept.map(str::trim)) {
        (_, Some("")) => Err(Error::EmptyReason),
        (Verdict::Leaks { by }, None) => {
            let reasons: Vec<_> = by.iter().map(ToString::to_string).collect();
            Err(Error::Leaks { cut: at, reasons: reasons.join(", ") })
        }
        (Verdict::Leaks { .. }, Some(reason)) => Ok(Some(reason.to_owned())),
        (Verdict::Passes, _) => Ok(None),
    }
}

impl Release {
    /// The front half's manifest.
    pub const fn front(&self) -> &FrontManifest {
        &self.front.0
    }

    /// The back half's manifest.
    pub const fn back(&self) -> &BackManifest {
        &self.back.0
    }

    /// Writes both files, each whole or not at all; the provider's first.
    ///
    /// # Errors
    /// [`Error::SameFile`]; [`Error::Exists`] unless `overwrite`; [`Error::Network`] when a file cannot be written.
    pub fn write(&self, front: &Path, back: &Path, overwrite: bool) -> Result<(), Error> {
        if front == back {
            return Err(Error::SameFile { path: front.to_owned() });
        }
        if let Some(path) = [front, back].into_iter().find(|path| !overwrite && path.exists()) {
            return Err(Error::Exists { path: path.to_owned() });
        }
        let new = !back.exists();
        write_checkpoint(back, &self.back.1, &self.back.0)?;
        write_checkpoint(front, &self.front.1, &self.front.0).inspect_err(|_| {
            if new {
                std::fs::remove_file(back).ok(); // a back half without its front is of no use to anybody
            }
        })?;
        Ok(())
    }
}

/// Reads manifest and contents of one half.
pub(crate) fn load_half<M: DeserializeOwned>(path: &Path, role: Role) -> Result<(M, Contents), Error> {
    Ok(read_checkpoint(path, role)?)
}

/// Compares the tensors with the hash in the manifest.
pub(crate) fn verify(path: &Path, tensors: &BTreeMap<String, HostTensor>, expected: &str) -> Result<(), Error> {
    let got = hash_tensors(tensors);
    if got == expected {
        return Ok(());
    }
    Err(Error::Damaged { path: path.to_owned(), expected: expected.to_owned(), got })
}

/// SHA-256 over a network's tensors with their names and shapes, in hexadecimal: what manifests and audits know a half by.
///
/// # Errors
/// [`Error::Network`] when the device cannot be read.
pub fn tensor_hash(network: &Network) -> Result<String, Error> {
    Ok(hash_tensors(&network.tensors()?))
}

fn hash_tensors(tensors: &BTreeMap<String, HostTensor>) -> String {
    let mut hash = Sha256::new();
    for (name, tensor) in tensors {
        hash.update(name);
        hash.update([0]);
        tensor.shape.iter().for_each(|extent| hash.update((*extent as u64).to_le_bytes()));
        tensor.values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    hex(&hash.finalize())
}

fn pair_hash(name: &str, at: Cut, halves: [&Network; 2], hashes: [&str; 2]) -> Result<String, Error> {
    let mut hash = Sha256::new();
    hash.update(format!("{name}\0{at}\0"));
    for (half, tensors) in halves.into_iter().zip(hashes) {
        let layers = serde_json::to_vec(half.architecture()).map_err(cleave_nets::Error::from)?;
        hash.update(layers);
        hash.update(tensors);
    }
    Ok(hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

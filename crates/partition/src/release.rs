//! The two files of a release, and the gate before them.

use crate::check::check_lock;
use crate::defend::check_defences;
use crate::{AuditSummary, BackHalf, Cut, Error, FrontHalf, Policy, Violation, check_cut, cut, list_defences};
use cleave_confusion::{ConfusionKey, Strategy, confuse};
use cleave_data::Preparation;
use cleave_keyed::{Lock, Scramble};
use cleave_leakage::{Effort, Report};
use cleave_nets::{
    Architecture, Checkpoint, Contents, Defence, Device, Header, HostTensor, Network, Role, Shape, read_checkpoint,
    write_checkpoint,
};
use cleave_secrets::{KeyId, Secret};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
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
    /// SHA-256 over the name, the cut, the defences and both halves, in hexadecimal.
    pub pair: String,
    /// SHA-256 over the front half's tensors, those of confusion neurons among them, in hexadecimal; of a locked pair over its
    /// lock and the locked tensors.
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
    /// The key that images are sent under, and the back half is locked with; `None` for a network cut in two.
    #[serde(default)]
    pub lock: Option<Lock>,
    /// The key without which the front half is wrong, since it has confusion neurons; `None` for one without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confused: Option<KeyId>,
    /// Defences, those trained in before those that the client applies at the cut.
    #[serde(default)]
    pub defences: Vec<Defence>,
    /// What attacks on this front half gave; `None` where none were run.
    #[serde(default)]
    pub audit: Option<AuditSummary>,
    /// The policy that the pair was released under, and keeps by that audit.
    #[serde(default)]
    pub policy: Option<Policy>,
}

impl Terms {
    /// Every limit of a policy that this pair breaks, by what is stated here; none where it keeps the policy.
    pub fn violations(&self, policy: &Policy) -> Vec<Violation> {
        policy.check(self.audit.as_ref(), Some(&self.leakage.verdict))
    }

    /// The defences that the client applies to smashed data; the others were trained in.
    pub fn defences_at_cut(&self) -> Vec<Defence> {
        self.defences.iter().filter(|defence| defence.is_at_cut()).cloned().collect()
    }

    /// Whether defences can be applied, the audit is of this front half, and the policy is kept.
    ///
    /// # Errors
    /// [`Error::Defence`], [`Error::AuditOfOther`], [`Error::AuditText`], [`Error::Policy`], and those of
    /// [`Policy::validate`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_defences(&self.defences)?;
        if let Some(audit) = &self.audit {
            audit.check_subject(self.cut, &self.front_hash, &self.defences)?;
            audit.is_printable().then_some(()).ok_or(Error::AuditText)?;
        }
        let Some(policy) = &self.policy else { return Ok(()) };
        policy.validate()?;
        match self.violations(policy) {
            violations if violations.is_empty() => Ok(()),
            violations => Err(Error::Policy { policy: policy.name.clone(), violations }),
        }
    }

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
    /// The layers behind the cut.
    pub architecture: Architecture,
}

/// What is to be released, and what is to stand in its files.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The whole network; its card names the defences that were trained in.
    pub model: &'a Checkpoint,
    /// Where to cut it.
    pub cut: Cut,
    /// Name under which the back half is served.
    pub name: &'a str,
    /// Share of zeros behind each layer, as [`check_cut`] takes it.
    pub zeros: Option<&'a [f64]>,
    /// Defences that the client applies at the cut.
    pub defences: &'a [Defence],
    /// What attacks on this front half, at this cut, with these defences gave.
    pub audit: Option<&'a AuditSummary>,
    /// What the pair must keep.
    pub policy: Option<&'a Policy>,
    /// Why the pair is released although the leakage check leaks. It overrides the check alone: a pair that breaks a
    /// policy is never released under that policy's name.
    pub accept: Option<&'a str>,
}

impl<'a> Offer<'a> {
    /// A network and a cut, with no defence at the cut, no audit and no policy.
    pub const fn new(model: &'a Checkpoint, cut: Cut, name: &'a str) -> Self {
        Self { model, cut, name, zeros: None, defences: &[], audit: None, policy: None, accept: None }
    }
}

/// A pair that passed the gate, ready to be written.
#[derive(Debug)]
pub struct Release {
    front: (FrontManifest, Contents),
    back: (BackManifest, Contents),
}

/// Checks a network at a cut, cuts it and lets the pair through the gate.
///
/// # Errors
/// [`Error::Leaks`] when the check says so and no reason is given; [`Error::EmptyReason`]; [`Error::Policy`];
/// [`Error::AuditOfOther`]; [`Error::Defence`]; those of [`check_cut`].
pub fn release(offer: &Offer<'_>) -> Result<Release, Error> {
    let Offer { model, cut: at, name, .. } = *offer;
    let leakage = check_cut(&model.network, at, offer.zeros, &Effort::default())?;
    let accepted = gate(&leakage, at, offer.accept)?;
    let (front, back) = cut(&model.network, at)?;
    let (front_tensors, back_tensors) = (front.tensors()?, back.tensors()?);
    let (front_hash, back_hash) = (hash_tensors(&front_tensors), hash_tensors(&back_tensors));
    let defences = [&model.card.defences, offer.defences].concat();
    let terms = Terms {
        model: name.to_owned(),
        pair: pair_hash(name, at, &defences, None, [(&front, &front_hash), (&back, &back_hash)])?,
        front_hash,
        cut: at,
        smashed: front.output(),
        outputs: back.output().values(),
        leakage,
        accepted,
        lock: None,
        confused: None,
        defences,
        audit: offer.audit.cloned(),
        policy: offer.policy.cloned(),
    };
    terms.check()?;
    let front_contents = Contents { tensors: front_tensors, glyphs: model.glyphs.clone() };
    let back_contents = Contents { tensors: back_tensors, glyphs: None };
    let images = (model.card.classes.clone(), model.card.preparation.clone());
    Ok(Release::new(terms, images, [(&front, front_contents), (&back, back_contents)]))
}

/// Locks a network with a key and makes a pair of it: a front half without a single weight, which says how images are
/// prepared and which key they are sent under, and a back half that is the whole network under that key.
///
/// Its check says that it leaks, since the key is one linear map for all images, and every client is shown what that
/// means. An audit needs the pair to attack, so its summary is put in afterwards, by [`Release::audited`].
///
/// # Errors
/// [`Error::Keyed`] for a network that cannot be locked; [`Error::SignalUnderKey`]; [`Error::TrainedDefences`].
pub fn lock_pair(model: &Checkpoint, name: &str, scramble: &Scramble) -> Result<Release, Error> {
    if model.network.architecture().join().is_some() {
        return Err(Error::SignalUnderKey);
    }
    if !model.card.defences.is_empty() {
        return Err(Error::TrainedDefences { defences: list_defences(&model.card.defences) });
    }
    let (locked, preparation) = cleave_keyed::lock(&model.network, &model.card.preparation, scramble)?;
    locked_release(name, scramble.lock(), &locked, (model.card.classes.clone(), preparation))
}

/// Moves a pair from one key to another, without the plain network.
///
/// # Errors
/// [`Error::NotLocked`] for a pair without a key; [`Error::Keyed`] where a key does not fit.
pub fn rekey_pair(front: &FrontHalf, back: &BackHalf, old: &Scramble, new: &Scramble) -> Result<Release, Error> {
    let (manifest, terms) = (front.manifest(), &front.manifest().terms);
    let lock = terms.lock.as_ref().ok_or(Error::NotLocked)?;
    if terms.pair != back.manifest().terms.pair {
        return Err(Error::OtherPair { front: terms.pair.clone(), back: back.manifest().terms.pair.clone() });
    }
    if lock != old.lock() {
        return Err(cleave_keyed::Error::OtherKey { expected: lock.key, got: old.lock().key }.into());
    }
    let moved = cleave_keyed::rekey(back.network(), old, new)?;
    locked_release(&terms.model, new.lock(), &moved, (manifest.classes.clone(), manifest.preparation.clone()))
}

fn locked_release(
    name: &str,
    lock: &Lock,
    locked: &Network,
    images: (Vec<String>, Preparation),
) -> Result<Release, Error> {
    let nothing = locked.slice(0..0)?;
    let tensors = locked.tensors()?;
    let back_hash = hash_tensors(&tensors);
    let front_hash = hash_lock(lock, &back_hash)?;
    let halves = [(&nothing, front_hash.as_str()), (locked, back_hash.as_str())];
    let terms = Terms {
        model: name.to_owned(),
        pair: pair_hash(name, Cut::NOTHING, &[], Some(lock), halves)?,
        front_hash,
        cut: Cut::NOTHING,
        smashed: lock.image,
        outputs: locked.output().values(),
        leakage: check_lock(lock)?,
        accepted: Some(lock.warning()),
        lock: Some(lock.clone()),
        confused: None,
        defences: Vec::new(),
        audit: None,
        policy: None,
    };
    terms.check()?;
    let halves = [(&nothing, Contents::default()), (locked, Contents { tensors, glyphs: None })];
    Ok(Release::new(terms, images, halves))
}

/// The reason that is written into the files of a pair that leaks by the check.
fn gate(report: &Report, at: Cut, accept: Option<&str>) -> Result<Option<String>, Error> {
    match (report.verdict.leaks(), accept.map(str::trim)) {
        (_, Some("")) => Err(Error::EmptyReason),
        (true, None) => Err(Error::Leaks { cut: at, report: Box::new(report.clone()) }),
        (true, Some(reason)) => Ok(Some(reason.to_owned())),
        (false, _) => Ok(None),
    }
}

impl Release {
    fn new(terms: Terms, images: (Vec<String>, Preparation), halves: [(&Network, Contents); 2]) -> Self {
        let [(front, front_contents), (back, back_contents)] = halves;
        let (classes, preparation) = images;
        let front = FrontManifest {
            header: Header::of(Role::Front),
            terms: terms.clone(),
            architecture: front.architecture().clone(),
            classes,
            preparation,
        };
        let back = BackManifest { header: Header::of(Role::Back), terms, architecture: back.architecture().clone() };
        Self { front: (front, front_contents), back: (back, back_contents) }
    }

    /// The same pair with what attacks on it gave, and the policy that it is released under.
    ///
    /// # Errors
    /// [`Error::AuditOfOther`], [`Error::AuditText`], [`Error::Policy`], and those of [`Policy::validate`].
    pub fn audited(mut self, audit: Option<&AuditSummary>, policy: Option<&Policy>) -> Result<Self, Error> {
        for terms in [&mut self.front.0.terms, &mut self.back.0.terms] {
            terms.audit = audit.cloned();
            terms.policy = policy.cloned();
        }
        self.front.0.terms.check()?;
        Ok(self)
    }

    /// The same pair with confusion neurons in its front half, which is wrong without `key` then. The smashed data keep
    /// their shape, and with the key their values; `weights` is as [`confuse`] takes it.
    ///
    /// No hash of the front half without them is left in either file: whoever has the file could hold guesses against it.
    ///
    /// # Errors
    /// [`Error::Confusion`] for a key of another front half, or one without a layer between its input and the cut;
    /// [`Error::ConfusedAlready`] for a pair that has such neurons, or a key for its images.
    pub fn with_confused_front(
        mut self,
        key: &ConfusionKey,
        strategy: Strategy,
        weights: &Secret,
        device: &Device,
    ) -> Result<Self, Error> {
        let (manifest, contents) = &mut self.front;
        if manifest.terms.confused.is_some() || manifest.terms.lock.is_some() {
            return Err(Error::ConfusedAlready);
        }
        let plain =
            Network::from_tensors(manifest.architecture.clone(), std::mem::take(&mut contents.tensors), device)?;
        let widened = confuse(&plain, key, strategy, weights)?;
        contents.tensors = widened.tensors()?;
        manifest.architecture = widened.architecture().clone();
        let hash = hash_tensors(&contents.tensors);
        for terms in [&mut self.front.0.terms, &mut self.back.0.terms] {
            terms.confused = Some(key.id());
            terms.front_hash.clone_from(&hash);
            if let Some(audit) = &mut terms.audit {
                audit.front_hash.clone_from(&hash);
            }
        }
        Ok(self)
    }

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
    let (manifest, contents) = read_checkpoint::<Value>(path, role)?;
    check_known(path, &manifest)?;
    let manifest = serde_json::from_value(manifest).map_err(|error| cleave_nets::Error::Format {
        path: path.to_owned(),
        reason: format!("its manifest: {error}"),
    })?;
    Ok((manifest, contents))
}

/// Refuses a manifest with a defence of a newer build, which would otherwise read like a damaged file.
fn check_known(path: &Path, manifest: &Value) -> Result<(), Error> {
    let defences = manifest.pointer("/terms/defences").and_then(Value::as_array);
    match defences.into_iter().flatten().find(|defence| Defence::deserialize(*defence).is_err()) {
        Some(defence) => Err(Error::UnknownDefence { path: path.to_owned(), name: defence.to_string() }),
        None => Ok(()),
    }
}

/// SHA-256 over a network's tensors with their names and shapes, in hexadecimal: what manifests and audits know a half by.
///
/// # Errors
/// [`Error::Network`] when the device cannot be read.
pub fn tensor_hash(network: &Network) -> Result<String, Error> {
    Ok(hash_tensors(&network.tensors()?))
}

pub(crate) fn hash_tensors(tensors: &BTreeMap<String, HostTensor>) -> String {
    let mut hash = Sha256::new();
    for (name, tensor) in tensors {
        hash.update(name);
        hash.update([0]);
        tensor.shape.iter().for_each(|extent| hash.update((*extent as u64).to_le_bytes()));
        tensor.values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    hex(&hash.finalize())
}

/// What an audit knows a locked pair by: its lock and the network behind it. Its front half has no weights.
pub(crate) fn hash_lock(lock: &Lock, back_hash: &str) -> Result<String, Error> {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(lock).map_err(cleave_nets::Error::from)?);
    hash.update(back_hash);
    Ok(hex(&hash.finalize()))
}

fn pair_hash(
    name: &str,
    at: Cut,
    defences: &[Defence],
    lock: Option<&Lock>,
    halves: [(&Network, &str); 2],
) -> Result<String, Error> {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes()); // no field runs into the next
        hash.update(bytes);
    };
    add(name.as_bytes());
    add(at.to_string().as_bytes());
    add(&serde_json::to_vec(defences).map_err(cleave_nets::Error::from)?);
    if let Some(lock) = lock {
        add(&serde_json::to_vec(lock).map_err(cleave_nets::Error::from)?);
    }
    for (half, tensors) in halves {
        add(&serde_json::to_vec(half.architecture()).map_err(cleave_nets::Error::from)?);
        add(tensors.as_bytes());
    }
    Ok(hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

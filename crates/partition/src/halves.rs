//! The two halves at work.

use crate::release::{hash_lock, hash_tensors, load_half};
use crate::{BackManifest, Cut, Error, FrontManifest, Terms, apply_defences};
use cleave_confusion::ConfusionKey;
use cleave_keyed::{Keying, Lock, Scramble};
use cleave_nets::{Architecture, Device, HostTensor, Layer, Network, Role, Shape, check_manifest};
use cleave_retrain::{SignalSource, unmask_scores};
use cleave_secrets::Secret;
use rand::Rng;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What the client sends: finite values of the shape at the cut. One that exists fits its back half.
#[derive(Clone, Debug, PartialEq)]
pub struct SmashedData {
    values: Vec<f32>,
    item: Shape,
    batch: usize,
}

impl SmashedData {
    /// Values of `batch` samples of shape `item`.
    ///
    /// # Errors
    /// [`Error::SmashedLength`], [`Error::NotFinite`].
    pub fn new(values: Vec<f32>, item: Shape, batch: usize) -> Result<Self, Error> {
        let expected = batch.saturating_mul(item.values());
        if batch == 0 || values.len() != expected {
            return Err(Error::SmashedLength { batch, item, expected, got: values.len() });
        }
        check_finite("smashed data", &values)?;
        Ok(Self { values, item, batch })
    }

    /// `[batch, channels, height, width]`, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Shape of one sample.
    pub const fn item(&self) -> Shape {
        self.item
    }

    /// Number of samples.
    pub const fn batch(&self) -> usize {
        self.batch
    }
}

pub(crate) fn check_finite(what: &'static str, values: &[f32]) -> Result<(), Error> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(position) => Err(Error::NotFinite { what, position, value: values[position] }),
        None => Ok(()),
    }
}

/// The client's half: image and signal in, smashed data out; and the way back from a masked answer.
#[doc(alias = "client-side model")]
pub struct FrontHalf {
    network: Network,
    source: Option<SignalSource>,
    scramble: Option<Arc<Scramble>>,
    stripped: bool,
    manifest: FrontManifest,
}

impl FrontHalf {
    /// Reads a front half onto `device`.
    ///
    /// # Errors
    /// [`Error::Network`] for a file that is no front half or a damaged one; [`Error::UnknownDefence`];
    /// [`Error::Contradiction`]; [`Error::Signal`] when glyphs are missing.
    pub fn load(path: &Path, device: &Device) -> Result<Self, Error> {
        let (manifest, contents) = load_half::<FrontManifest>(path, Role::Front)?;
        let hash = hash_tensors(&contents.tensors); // what an audit names the weights by
        if manifest.terms.lock.is_none() && manifest.terms.front_hash != hash {
            let reason = format!("it states the hash {} of its weights, which is {hash}", manifest.terms.front_hash);
            return Err(Error::Contradiction { path: path.to_owned(), reason });
        }
        let outputs = manifest.terms.outputs;
        check_manifest(path, &manifest.architecture, &manifest.preparation, &manifest.classes, outputs)?;
        check_terms(path, &manifest.terms, manifest.architecture.output()?, outputs)?;
        if manifest.terms.lock.is_some() && !manifest.architecture.layers.is_empty() {
            let reason = "images are sent under a key, and layers stand before it".to_owned();
            return Err(Error::Contradiction { path: path.to_owned(), reason });
        }
        let network = Network::from_tensors(manifest.architecture.clone(), contents.tensors, device)?;
        let source = match (manifest.architecture.join(), network.signal_shape()) {
            (Some((_, spec)), Some(shape)) => {
                Some(SignalSource::new(spec.clone(), contents.glyphs, shape.height, shape.width)?)
            }
            _ => None,
        };
        Ok(Self { network, source, scramble: None, stripped: false, manifest })
    }

    /// Takes the confusion neurons out of a front half that has them; without that there is no [`FrontHalf::smash`].
    ///
    /// # Errors
    /// [`Error::NotConfused`]; [`Error::Confusion`] for another key.
    pub fn strip(&mut self, key: &ConfusionKey) -> Result<(), Error> {
        key.check_id(self.manifest.terms.confused.ok_or(Error::NotConfused)?)?;
        let plain = cleave_confusion::strip(&self.network, key)?;
        self.manifest.architecture = plain.architecture().clone();
        (self.network, self.stripped) = (plain, true);
        Ok(())
    }

    /// Takes the key of a pair that is locked with one; without it there is no [`FrontHalf::smash`].
    ///
    /// # Errors
    /// [`Error::NotLocked`] for a pair without a key; [`Error::Keyed`] for another one.
    pub fn unlock(&mut self, secret: &Secret) -> Result<(), Error> {
        let lock = self.manifest.terms.lock.as_ref().ok_or(Error::NotLocked)?;
        self.scramble = Some(Arc::new(Scramble::new(secret, lock)?));
        Ok(())
    }

    /// The key that was taken.
    pub fn scramble(&self) -> Option<Arc<Scramble>> {
        self.scramble.clone()
    }

    /// What the file says of itself.
    pub const fn manifest(&self) -> &FrontManifest {
        &self.manifest
    }

    /// The network before the cut.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// What draws the signal; `None` where none joins.
    pub const fn source(&self) -> Option<&SignalSource> {
        self.source.as_ref()
    }

    /// A fresh uniform signal for each of `count` samples; 0 where the network has no join.
    ///
    /// The signal is a secret: give a generator that is fit for secrets.
    pub fn draw(&self, count: usize, rng: &mut impl Rng) -> Vec<usize> {
        self.source.as_ref().map_or_else(|| vec![0; count], |source| source.draw(count, rng))
    }

    /// Runs the front half and applies the defences of its manifest. `rng` picks the digit images, and then draws the
    /// noise, which is a secret as the signal is.
    ///
    /// # Shapes
    /// `images`: one prepared image of the manifest's input for each signal.
    ///
    /// # Errors
    /// [`Error::Network`] for misshapen images, [`Error::NotFinite`], [`Error::Signal`], [`Error::KeyNeeded`].
    pub fn smash(&self, images: Vec<f32>, signals: &[usize], rng: &mut impl Rng) -> Result<SmashedData, Error> {
        let samples = images.len() / self.network.input().values();
        if samples != signals.len() {
            return Err(Error::SignalCount { samples, signals: signals.len() });
        }
        if let Some(key) = self.manifest.terms.confused.filter(|_| !self.stripped) {
            return Err(Error::KeyNeeded { key });
        }
        check_finite("the image", &images)?;
        let planes = self.planes(signals, rng)?;
        let images = match (&self.manifest.terms.lock, &self.scramble) {
            (Some(_), Some(scramble)) => scramble.apply(&images)?,
            (Some(lock), None) => return Err(Error::KeyNeeded { key: lock.key }),
            (None, _) => images,
        };
        let mut values = self.network.infer(images, planes, signals.len())?;
        check_finite("smashed data", &values)?; // levels would hide an infinity
        apply_defences(&self.manifest.terms.defences, &mut values, rng);
        SmashedData::new(values, self.network.output(), signals.len())
    }

    /// The signals' channel, `[signals, 1, height, width]`, as [`FrontHalf::smash`] draws it; `None` without a join.
    ///
    /// # Errors
    /// [`Error::Signal`].
    pub fn planes(&self, signals: &[usize], rng: &mut impl Rng) -> Result<Option<Vec<f32>>, Error> {
        Ok(self.source.as_ref().map(|source| source.planes(signals, rng)).transpose()?)
    }

    /// The scores of one sample in the order of the true classes.
    ///
    /// # Shapes
    /// `scores` and the result: `[classes]`.
    ///
    /// # Errors
    /// [`Error::Signal`] for another number of scores, or a signal that is none of the classes.
    pub fn unmask(&self, scores: &[f32], signal: usize) -> Result<Vec<f32>, Error> {
        match &self.source {
            Some(source) => Ok(unmask_scores(source.spec(), scores, signal)?),
            None => Ok(scores.to_vec()),
        }
    }
}

/// The provider's half: smashed data in, masked scores out.
#[doc(alias = "server-side model")]
pub struct BackHalf {
    network: Network,
    manifest: BackManifest,
}

impl BackHalf {
    /// Reads a back half onto `device`.
    ///
    /// # Errors
    /// [`Error::Network`] for a file that is no back half or a damaged one; [`Error::UnknownDefence`];
    /// [`Error::Contradiction`].
    pub fn load(path: &Path, device: &Device) -> Result<Self, Error> {
        let (manifest, contents) = load_half::<BackManifest>(path, Role::Back)?;
        check_terms(path, &manifest.terms, manifest.architecture.input, manifest.architecture.output()?.values())?;
        if let Some(lock) = &manifest.terms.lock {
            check_locked(path, lock, &manifest.terms.front_hash, &manifest.architecture, &contents.tensors)?;
        }
        if manifest.architecture.join().is_some() {
            let reason = "the signal joins behind the cut".to_owned();
            return Err(Error::Contradiction { path: path.to_owned(), reason });
        }
        let network = Network::from_tensors(manifest.architecture.clone(), contents.tensors, device)?;
        Ok(Self { network, manifest })
    }

    /// What the file says of itself.
    pub const fn manifest(&self) -> &BackManifest {
        &self.manifest
    }

    /// The network behind the cut.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Finishes the network.
    ///
    /// # Shapes
    /// The result: `[batch, outputs]`, scores of the masked labels.
    ///
    /// # Errors
    /// [`Error::Network`] for smashed data of another cut; [`Error::NotFinite`].
    pub fn answer(&self, data: SmashedData) -> Result<Vec<f32>, Error> {
        if data.item != self.network.input() {
            return Err(cleave_nets::Error::Input { expected: self.network.input(), got: data.item }.into());
        }
        let scores = self.network.infer(data.values, None, data.batch)?;
        check_finite("the answer", &scores)?;
        Ok(scores)
    }
}

/// Whether a locked network is the one that its terms speak of, and begins as its lock says.
fn check_locked(
    path: &Path,
    lock: &Lock,
    stated: &str,
    architecture: &Architecture,
    tensors: &BTreeMap<String, HostTensor>,
) -> Result<(), Error> {
    let contradiction = |reason: String| Err(Error::Contradiction { path: path.to_owned(), reason });
    let local = matches!(architecture.layers.first(), Some(Layer::LocalConv2d { .. }));
    match Lock::of(architecture, lock.key, lock.keying) {
        Ok(own) if own == *lock && local == (lock.keying == Keying::PerPatch) => {}
        Ok(own) => return contradiction(format!("its lock is {lock}, and its first layer fits {own}")),
        Err(error) => return contradiction(error.to_string()),
    }
    let hash = hash_lock(lock, &hash_tensors(tensors))?;
    if hash != stated {
        return contradiction(format!("it states the hash {stated} of its lock and weights, which is {hash}"));
    }
    Ok(())
}

/// Compares what both halves state with one half's own shapes.
fn check_terms(path: &Path, terms: &Terms, at_cut: Shape, outputs: usize) -> Result<(), Error> {
    let contradiction = |reason: String| Err(Error::Contradiction { path: path.to_owned(), reason });
    if terms.pair_hash().is_none() {
        return contradiction(format!("its pair hash {:?} is not 64 hexadecimal digits", terms.pair));
    }
    if terms.lock.is_some() != (terms.cut == Cut::NOTHING) {
        return contradiction(format!("it has {} key at cut {}", terms.lock.as_ref().map_or("no", |_| "a"), terms.cut));
    }
    if let (Some(_), Some(key)) = (&terms.lock, terms.confused) {
        return contradiction(format!("it has no front half, and that one has confusion neurons under the key {key}"));
    }
    if let Some(lock) = &terms.lock
        && (lock.image != terms.smashed || !terms.defences.is_empty())
    {
        return contradiction(format!(
            "its key is for {}, and {} is sent at cut {}",
            lock.image, terms.smashed, terms.cut
        ));
    }
    if terms.smashed != at_cut {
        return contradiction(format!("it states {} at the cut, its layers {at_cut}", terms.smashed));
    }
    if terms.outputs != outputs {
        return contradiction(format!("it states {} outputs, its layers {outputs}", terms.outputs));
    }
    terms.check().or_else(|error| contradiction(error.to_string()))
}

/// Softmax of the scores of one sample.
pub fn probabilities(scores: &[f32]) -> Vec<f32> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

//! What encrypted inference gives away: to the provider by ciphertexts, sizes and times, to the client by scores and
//! noise.

mod copies;
mod images;
mod last_layer;
mod noise;
mod record;
mod sight;
mod traffic;
mod weakened;

use crate::auditor::device_name;
use crate::ciphertexts::{Encryption, Rings, Run};
use crate::observer::{Observer, step};
use crate::parts::Parts;
use crate::{Error, Share};
use burn::tensor::Device;
use cleave_data::Dataset;
use cleave_encrypted::{
    Collector, EncryptedEnsemble, EncryptedImages, EvaluationKeys, IntegerNetwork, Params, Release, SecretKey,
};
use data_encoding::HEXLOWER;
use images::Grey;
use rayon::prelude::*;
pub use record::{
    BatchSize, CopyFindings, EncryptedAudit, LastLayer, Lesson, NoiseFindings, Parameters, Timing, Traffic,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::path::Path;

/// An ensemble that is served on ciphertexts.
pub struct EncryptedTarget {
    /// Name of the release.
    pub model: String,
    /// The networks, and what a client knows of them.
    pub release: Release,
}

/// How much is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EncryptedSettings {
    /// Images of the client's at most.
    pub own: usize,
    /// Test images at most.
    pub tests: usize,
    /// Ciphertexts of a batch that are looked at, of the pixels that are black most rarely.
    pub ciphertexts: usize,
    /// The same for encryptions that were weakened, which take fewer.
    pub controls: usize,
    /// Pairs of single images of each of two labels.
    pub label_pairs: usize,
    /// Sizes of batches whose bytes are measured; the first and the last are timed too.
    pub batches: Vec<usize>,
    /// Runs of each timing, and of each network's noise.
    pub rounds: usize,
    /// Answers that a client asks for at once to solve for the last layer.
    pub asked: usize,
    /// Numbers of images that copies are trained on.
    pub copies: Vec<usize>,
    /// Batches of a copy's training.
    pub steps: usize,
    /// Images a batch of it.
    pub batch: usize,
    /// Its rate at the start, of Adam.
    pub rate: f64,
    /// Seed of everything that attackers draw. Keys, masks and errors are drawn by the operating system.
    pub seed: u64,
}

impl Default for EncryptedSettings {
    fn default() -> Self {
        Self {
            own: 32_768,
            tests: 5000,
            ciphertexts: 400,
            controls: 100,
            label_pairs: 100,
            batches: vec![1, 100, 8192],
            rounds: 5,
            asked: 8192,
            copies: vec![100, 1000, 8192],
            steps: 2000,
            batch: 64,
            rate: 1e-3,
            seed: 0,
        }
    }
}

/// What all parts work with.
struct Field<'a> {
    target: &'a EncryptedTarget,
    params: Params,
    rings: Rings,
    own: Grey,
    test: Grey,
    /// The ensemble's scores of test images.
    answers: Vec<Vec<i128>>,
    settings: &'a EncryptedSettings,
    device: &'a Device,
}

impl Field<'_> {
    fn networks(&self) -> &[IntegerNetwork] {
        &self.target.release.networks
    }

    /// Values of an image.
    fn pixels(&self) -> usize {
        self.target.release.shape.pixels()
    }

    /// Images that lie side by side in the batches that are looked at: four batches have no image in common.
    fn batch(&self) -> usize {
        self.params.degree().min(self.own.len() / 4).max(1)
    }

    /// The images of the batch with this number.
    fn some(&self, number: usize) -> Range<usize> {
        number * self.batch()..(number + 1) * self.batch()
    }

    /// One network alone.
    fn member(&self, at: usize) -> Result<EncryptedEnsemble, Error> {
        Ok(EncryptedEnsemble::new(&self.params, &self.networks()[at..=at])?)
    }
}

/// A client and the provider's end of its connection.
struct Wire<'a> {
    params: &'a Params,
    secret: SecretKey,
    keys: EvaluationKeys,
    /// Bytes of the evaluation keys.
    bytes: usize,
}

/// A batch as the provider received it.
struct Sent {
    images: EncryptedImages,
    bytes: usize,
}

impl<'a> Wire<'a> {
    /// A fresh key.
    fn new(field: &'a Field) -> Result<Self, Error> {
        let secret = SecretKey::generate(&field.params)?;
        let bytes = secret.evaluation_keys()?.to_bytes();
        let keys = EvaluationKeys::from_bytes(&bytes, &field.params)?;
        Ok(Self { params: &field.params, secret, keys, bytes: bytes.len() })
    }

    /// Encrypts, writes chunks, and reads them as the provider does.
    fn send(&self, values: &[i64], items: usize) -> Result<Sent, Error> {
        const CHUNK: usize = 4 << 20;
        let encrypted = self.secret.encrypt(values, items)?;
        let mut collector = Collector::new(&self.keys, items)?;
        let mut bytes = 0;
        for chunk in encrypted.chunks(&self.secret, CHUNK)? {
            bytes += chunk.len();
            collector.accept(&self.keys, &chunk)?;
        }
        Ok(Sent { images: collector.finish()?, bytes })
    }
}

/// Audits inference on ciphertexts: what ciphertexts, sizes and times tell the provider, and what scores and noise tell
/// the client.
///
/// `own` are the client's images and `test` those that copies are measured on; both are made grey and of the release's
/// size. With a `folder` finished parts are saved there and taken up again. Keys, masks and errors come from the operating
/// system, as they do for clients, so figures about ciphertexts differ a little from run to run; all others depend on the
/// seed.
///
/// # Errors
/// [`Error::Encrypted`] for a release that cannot be evaluated; [`Error::Classes`]; [`Error::TooFewImages`];
/// [`Error::Setting`]; [`Error::Diverged`]; [`Error::Interrupted`] where the observer says stop; [`Error::OtherRun`],
/// [`Error::Part`] and [`Error::Io`] for the folder.
pub fn audit_encrypted(
    target: &EncryptedTarget,
    own: &Dataset,
    test: &Dataset,
    settings: &EncryptedSettings,
    (folder, device): (Option<&Path>, &Device),
    observer: &mut dyn Observer,
) -> Result<EncryptedAudit, Error> {
    let release = &target.release;
    check(target, [own, test], settings)?;
    let fingerprint = fingerprint(release)?;
    let data = [own, test].map(Dataset::fingerprint);
    let begun = serde_json::json!({ "settings": settings, "networks": fingerprint, "data": data });
    let parts = Parts::open(folder, &begun)?;
    observer.began("reading images", 1);
    let form = (&release.shape, release.precision.max_pixel);
    let own = Grey::read(own, form, settings.own, settings.seed, "the client")?;
    let test = Grey::read(test, form, settings.tests, settings.seed, "the test set")?;
    step(observer)?;
    let params = Params::named(release.set)?;
    let (rings, answers) = (Rings::new(params.degree(), params.moduli())?, scores(&release.networks, &test)?);
    let field = Field { target, params, rings, own, test, answers, settings, device };

    let mut run = Run::new(&parts, PARTS, observer);
    let traffic = run.part("traffic", "sizes", 2 * settings.batches.len(), |seen| traffic::sizes(&field, seen))?;
    let timings = run.part("timings", "times", 4 * settings.rounds, |seen| traffic::times(&field, seen))?;
    let pairs = 4 + settings.label_pairs;
    let mut sights = vec![run.part("ciphertexts", "ciphertexts", pairs, |seen| sight::real(&field, seen))?];
    for (kind, name) in Encryption::WEAKENED.into_iter().zip(["without-mask", "without-error", "mask-reused"]) {
        let pairs = 4 + settings.label_pairs.min(settings.controls);
        sights.push(run.part(name, "weakened encryption", pairs, |seen| sight::weakened(&field, kind, seen))?);
    }
    let last_layer = run.part("last-layer", "last layer", 3, |seen| last_layer::solve(&field, seen))?;
    let steps = settings.copies.len() * Lesson::ALL.len() * settings.steps;
    let copies = run.part("copies", "copies", steps, |seen| copies::all(&field, seen))?;
    let noise = run.part("noise", "noise", 2 * settings.rounds, |seen| noise::compare(&field, seen))?;

    let (modulus_bits, allowed_bits) = field.params.modulus_bits();
    Ok(EncryptedAudit {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        model: target.model.clone(),
        fingerprint,
        classes: release.classes.clone(),
        shape: release.shape,
        networks: release.networks.len(),
        parameters: Parameters {
            set: release.set,
            degree: field.params.degree(),
            primes: field.params.moduli().collect(),
            plaintexts: field.params.plaintexts().collect(),
            modulus_bits,
            allowed_bits,
        },
        accuracy: field.right(field.answers.iter().map(|scores| largest(scores))),
        guess: field.test.guess(),
        own_images: field.own.len(),
        test_images: field.test.len(),
        sights,
        traffic,
        timings,
        last_layer,
        copies,
        noise,
        settings: settings.clone(),
        seconds: parts.seconds(),
        device: format!("{}, {} threads", device_name(device), rayon::current_num_threads()),
    })
}

/// Parts that an audit is saved in.
const PARTS: usize = 9;

impl Field<'_> {
    /// Right answers among those to all test images.
    fn right(&self, answers: impl Iterator<Item = usize>) -> Share {
        let right = answers.zip(&self.test.labels).filter(|(answer, label)| answer == *label).count();
        Share::of(right, self.test.len())
    }

    /// Answers to all test images that are the ensemble's.
    fn agreement(&self, answers: impl Iterator<Item = usize>) -> Share {
        let same = answers.zip(&self.answers).filter(|(answer, scores)| *answer == largest(scores)).count();
        Share::of(same, self.test.len())
    }
}

/// The place of the first of the largest values.
fn largest<T: PartialOrd>(scores: &[T]) -> usize {
    let best = |best: usize, at: usize| if scores[at] > scores[best] { at } else { best };
    (1..scores.len()).fold(0, best)
}

/// The ensemble's scores of each image, in the clear.
fn scores(networks: &[IntegerNetwork], images: &Grey) -> Result<Vec<Vec<i128>>, Error> {
    let mut sums: Vec<Vec<i128>> = Vec::new();
    for network in networks {
        let classes = network.shape.classes;
        let all = network.evaluate_all(&images.pixels)?;
        sums.resize(images.len(), vec![0; classes]);
        for (sum, scores) in sums.iter_mut().zip(all.chunks_exact(classes)) {
            sum.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
        }
    }
    Ok(sums)
}

/// Values behind the second square of all networks, one network after the other.
fn hidden(networks: &[IntegerNetwork], image: &[u8]) -> Result<Vec<i128>, Error> {
    let mut all = Vec::new();
    for network in networks {
        all.extend(network.evaluate(image)?.hidden.into_iter().map(|value| value * value)); // an output that fits is a sum of them
    }
    Ok(all)
}

/// The same for several images, on all cores.
fn all_hidden(networks: &[IntegerNetwork], images: &[&[u8]]) -> Result<Vec<Vec<i128>>, Error> {
    images.par_iter().map(|image| hidden(networks, image)).collect()
}

fn check(target: &EncryptedTarget, data: [&Dataset; 2], settings: &EncryptedSettings) -> Result<(), Error> {
    let release = &target.release;
    let in_release = |fault| cleave_encrypted::Error::Release { path: target.model.clone().into(), fault };
    release.check().map_err(in_release)?;
    let outputs = release.shape.classes;
    if let Some(data) = data.iter().map(|data| data.classes().len()).find(|&data| data != outputs) {
        return Err(Error::Classes { data, network: "network", outputs });
    }
    let counts = [
        ("own", settings.own),
        ("tests", settings.tests),
        ("ciphertexts", settings.ciphertexts),
        ("controls", settings.controls),
        ("rounds", settings.rounds),
        ("asked", settings.asked),
        ("steps", settings.steps),
        ("batch", settings.batch),
        ("batches", settings.batches.len()),
    ];
    let lists = [("batches", &settings.batches), ("copies", &settings.copies)];
    let lists = lists.into_iter().flat_map(|(name, list)| list.iter().map(move |&count| (name, count)));
    if let Some((name, value)) = counts.into_iter().chain(lists).find(|(_, count)| *count == 0) {
        return Err(Error::Setting { name, value: value.to_string(), expected: "at least 1" });
    }
    match settings.rate.is_finite() && settings.rate > 0.0 {
        true => Ok(()),
        false => Err(Error::Setting { name: "rate", value: settings.rate.to_string(), expected: "a number above 0" }),
    }
}

/// SHA-256 over the networks.
fn fingerprint(release: &Release) -> Result<String, Error> {
    let unreadable = |error: serde_json::Error| Error::Part { path: "the release".into(), reason: error.to_string() };
    Ok(HEXLOWER.encode(&Sha256::digest(serde_json::to_vec(&release.networks).map_err(unreadable)?)))
}

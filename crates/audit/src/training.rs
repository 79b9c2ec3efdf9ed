//! What training on ciphertexts gives away: to the provider by ciphertexts, sizes, times and the cubic, and by
//! whatever it is told of what was decrypted.

mod cubic;
mod field;
mod hostile;
mod key;
mod lattice;
mod opening;
mod record;
mod sight;
mod traffic;

use crate::Error;
use crate::ciphertexts::{Encryption, Run};
use crate::observer::Observer;
use crate::parts::Parts;
use cleave_encrypted::ckks::ParamSet;
use cleave_encrypted::training::{TrainingData, iterations};
use field::Field;
pub use record::{
    CubicFindings, HostileAnswer, HostileKind, Message, MessageKind, Opening, Places, Protocol, RoundTiming, Scheme,
    Told, TrainingAudit, WrongKind, WrongTraining,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;

/// Features that are trained on.
#[derive(Debug)]
pub struct TrainingTarget {
    /// What to call them.
    pub name: String,
    /// Whether they were drawn, and are nobody's.
    pub drawn: bool,
    /// Features and labels.
    pub data: TrainingData,
}

/// How much is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainingSettings {
    /// Parameters.
    pub set: ParamSet,
    /// Every weight at the start.
    pub start: f64,
    /// Ciphertexts of each sort that a classifier learns from, and as many that it is tried on; each is compared with
    /// another one of its place.
    pub ciphertexts: usize,
    /// The same for encryptions that were weakened, which take fewer.
    pub controls: usize,
    /// Timed rounds on each data set.
    pub repeats: usize,
    /// Rounds of training at most whose weights are told.
    pub rounds: usize,
    /// Bits behind the binary point that told numbers are rounded to, one after the other.
    pub bits: Vec<u32>,
    /// Times that a ciphertext is told of, with known numbers added.
    pub offsets: usize,
    /// Keys and data sets that each hostile answer is tried with.
    pub hostile: usize,
    /// Seed of everything that attackers and examples draw. Keys, masks and errors are drawn by the operating system.
    pub seed: u64,
}

impl Default for TrainingSettings {
    fn default() -> Self {
        Self {
            set: ParamSet::Ckks16384x8,
            start: 0.0128,
            ciphertexts: 276,
            controls: 69,
            repeats: 5,
            rounds: 5,
            bits: vec![44, 40, 38, 37, 36, 35, 34, 33, 32, 31, 30, 28, 24, 20],
            offsets: 256,
            hostile: 4,
            seed: 0,
        }
    }
}

impl TrainingSettings {
    /// As little as shows each attack once.
    pub fn quick() -> Self {
        Self { ciphertexts: 70, controls: 35, repeats: 2, offsets: 16, hostile: 2, ..Self::default() }
    }

    /// More of everything that draws.
    pub fn thorough() -> Self {
        Self { ciphertexts: 1104, controls: 276, repeats: 15, offsets: 1024, hostile: 16, ..Self::default() }
    }
}

/// Parts that an audit is saved in.
const PARTS: usize = 8;

/// Audits training on ciphertexts: what ciphertexts, sizes, times and the cubic tell the provider; what any decrypted
/// number that it is told gives away of the key; and what it learns, or a client notices, where it answers with
/// something else.
///
/// With a `folder` finished parts are saved there and taken up again. Keys, masks and errors come from the operating
/// system, as they do for clients, so figures about ciphertexts differ a little from run to run.
///
/// # Errors
/// [`Error::Encrypted`] for features that the parameters do not hold; [`Error::Setting`]; [`Error::Interrupted`] where
/// the observer says stop; [`Error::OtherRun`], [`Error::Part`] and [`Error::Io`] for the folder.
pub fn audit_training(
    target: &TrainingTarget,
    settings: &TrainingSettings,
    folder: Option<&Path>,
    observer: &mut dyn Observer,
) -> Result<TrainingAudit, Error> {
    check(settings)?;
    // What it was begun with; it stays in the folder, since a hash of features tells who has them too.
    let begun = serde_json::json!({ "settings": settings, "data": fingerprint(&target.data) });
    let parts = Parts::open(folder, &begun)?;
    let field = Field::new(target, settings)?;

    let mut run = Run::new(&parts, PARTS, observer);
    let protocol = run.part("protocol", "the protocol", 3, |seen| traffic::protocol(&field, seen))?;
    let timings = run.part("timings", "times", 2 * settings.repeats + 1, |seen| traffic::times(&field, seen))?;
    let steps = 4 * settings.ciphertexts;
    let mut sights = vec![run.part("ciphertexts", "ciphertexts", steps, |seen| sight::real(&field, seen))?];
    for (kind, name) in Encryption::WEAKENED.into_iter().zip(["without-mask", "without-error", "mask-reused"]) {
        let steps = 4 * settings.controls.min(settings.ciphertexts);
        sights.push(run.part(name, "weakened encryption", steps, |seen| sight::weakened(&field, kind, seen))?);
    }
    let steps = 2 * settings.bits.len() + 1 + settings.rounds + 4 * settings.offsets + 1;
    let openings = run.part("openings", "decrypted numbers", steps, |seen| opening::all(&field, seen))?;
    let steps = HostileKind::ALL.len() * settings.hostile + 3;
    let (hostile, wrong) = run.part("hostile", "answers of its own", steps, |seen| hostile::all(&field, seen))?;

    let shape = target.data.shape();
    Ok(TrainingAudit {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        data: target.name.clone(),
        drawn: target.drawn,
        samples: shape.samples,
        features: shape.features,
        classes: shape.classes,
        places: field.places,
        scheme: field.scheme(),
        protocol,
        cubic: cubic::findings(field.range, field.cubic),
        sights,
        timings,
        openings,
        hostile,
        wrong,
        settings: settings.clone(),
        seconds: parts.seconds(),
        threads: rayon::current_num_threads(),
    })
}

impl Field<'_> {
    /// Iterations of a round.
    fn iterations(&self) -> usize {
        iterations(&self.params)
    }
}

fn check(settings: &TrainingSettings) -> Result<(), Error> {
    let counts = [
        ("ciphertexts", settings.ciphertexts),
        ("controls", settings.controls),
        ("repeats", settings.repeats),
        ("rounds", settings.rounds),
        ("offsets", settings.offsets),
        ("hostile", settings.hostile),
    ];
    if let Some((name, value)) = counts.into_iter().find(|(_, count)| *count == 0) {
        return Err(Error::Setting { name, value: value.to_string(), expected: "at least 1" });
    }
    if let Some(bits) = settings.bits.iter().find(|bits| !(1..=60).contains(*bits)) {
        return Err(Error::Setting { name: "bits", value: bits.to_string(), expected: "1 to 60" });
    }
    match settings.start.abs() <= 65_536.0 {
        true => Ok(()),
        false => Err(Error::Setting { name: "start", value: settings.start.to_string(), expected: "at most 2^16" }),
    }
}

/// Tells data sets apart.
fn fingerprint(data: &TrainingData) -> String {
    let mut hash = Sha256::new();
    let shape = data.shape();
    for number in [shape.samples, shape.features, shape.classes] {
        hash.update((number as u64).to_le_bytes());
    }
    for i in 0..shape.samples {
        hash.update((data.label(i) as u64).to_le_bytes());
        data.sample(i).iter().for_each(|x| hash.update(x.to_le_bytes()));
    }
    data_encoding::HEXLOWER.encode(&hash.finalize())
}

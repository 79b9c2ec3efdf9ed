//! `cleave audit-training`: what training on ciphertexts gives away.

use crate::auditing::{Watch, parts_folder};
use crate::features::training_data;
use crate::output::place_for;
use crate::training::interrupt_flag;
use crate::{Failure, Output};
use clap::{Args, ValueEnum};
use cleave_audit::{
    Encryption, Told, TrainingAudit, TrainingSettings, TrainingTarget, WrongKind, audit_training, training_page,
};
use cleave_encrypted::{ckks::ParamSet, training::TrainingData};
use cleave_nets::Features;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::PathBuf;

/// Attack a training on ciphertexts: as a provider that looks at them, that is told what it must not be, and that
/// answers with something else
#[derive(Args, Clone, Debug)]
pub struct AuditTraining {
    /// Features and labels, as `cleave features` writes them: safetensors or CSV; drawn ones where it is missing
    #[arg(long)]
    features: Option<PathBuf>,
    /// Take the first so many samples
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    samples: Option<u32>,
    /// Page to write
    #[arg(long)]
    out: PathBuf,
    /// The record to write: JSON
    #[arg(long)]
    record: Option<PathBuf>,
    /// Go on from the finished parts that an interrupted audit left in RECORD.run
    #[arg(long, requires = "record")]
    resume: bool,
    /// Parameters: ckks-16384-8 or ckks-32768-16
    #[arg(long, default_value_t = ParamSet::Ckks16384x8)]
    set: ParamSet,
    /// How much is tried
    #[arg(long, value_enum, default_value_t = Effort::Normal)]
    effort: Effort,
    /// Seed of whatever the attacks draw; keys, masks and errors come from the operating system
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Effort {
    /// Each attack once, on few ciphertexts: what docs/known-attacks.md has figures of
    Quick,
    /// More ciphertexts and rounds
    Normal,
    /// Still more, and more answers
    Thorough,
}

/// What was found, in lines.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct Lines(TrainingAudit);

impl std::fmt::Display for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let audit = &self.0;
        let drawn = if audit.drawn { ", drawn" } else { "" };
        writeln!(f, "{} samples, {} features, {} classes{drawn}", audit.samples, audit.features, audit.classes)?;
        for sight in &audit.sights {
            let name = match sight.encryption {
                Encryption::Real => "ciphertexts",
                Encryption::WithoutMask => "control, without the mask",
                Encryption::WithoutError => "control, without the error",
                Encryption::MaskReused => "control, with one mask for two uploads",
            };
            write!(f, "  {name}: {} of {} tests found something", sight.found(), sight.tests.len())?;
            for told in &sight.distinguishers {
                let [first, second] = &told.between;
                write!(f, "; {first} from {second} {:.1} %", 100.0 * told.accuracy.share)?;
            }
            writeln!(f)?;
        }
        for opening in &audit.openings {
            let told = match opening.told {
                Told::FreshSlots => "told all slots of a fresh ciphertext",
                Told::AnswerSlots => "told all slots of an answer",
                Told::Offsets => "told all slots of an answer with known numbers added",
                Told::Means => "told the weights V of each round",
                Told::FewMeans => "told the weights V of each round but the last",
                Told::SingleMeans => "told the weights V of each round in 32 bits",
                Told::Nothing => "told nothing, as the protocol has it",
            };
            let digits = opening.bits.map_or_else(String::new, |bits| format!(", to {bits} bits"));
            let found = if opening.recovered { "the key" } else { "no key" };
            writeln!(
                f,
                "  {told}{digits}: {found}, {} of {} coefficients right, {} equations",
                opening.right, opening.unknowns, opening.equations
            )?;
        }
        for found in &audit.hostile {
            writeln!(
                f,
                "  answer {:?}: {} tried, {} refused before decrypting, {} after it",
                found.kind, found.tried, found.refused, found.failed
            )?;
        }
        for found in audit.wrong.iter().filter(|found| found.kind != WrongKind::Honest) {
            let noticed = if found.refused { "refused" } else { "not noticed" };
            writeln!(f, "  training {:?}: {noticed}", found.kind)?;
        }
        write!(f, "{:.0} s", audit.seconds)
    }
}

impl AuditTraining {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        place_for(&self.out)?;
        let samples = self.samples.map(|samples| samples as usize);
        let target = match &self.features {
            Some(path) => {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let features = Features::read(path)?;
                let most = samples.unwrap_or(features.len()).min(features.len());
                TrainingTarget { name, drawn: false, data: training_data(&features, 0..most)? }
            }
            None => TrainingTarget { name: "drawn features".to_owned(), drawn: true, data: draw(self.seed, samples)? },
        };
        if target.drawn {
            eprintln!(
                "note: no --features, so features are drawn: figures about ciphertexts, keys and times stand for any data"
            );
        }
        let folder = self.record.as_ref().map(|record| parts_folder(record, self.resume)).transpose()?;
        let mut watch = Watch::new(interrupt_flag()?);
        let audit = audit_training(&target, &self.settings(), folder.as_deref(), &mut watch)?;
        watch.bar.finish_and_clear();
        if let Some(record) = &self.record {
            cleave_nets::write_atomically(record, &serde_json::to_vec_pretty(&audit)?)?;
        }
        cleave_nets::write_atomically(&self.out, training_page(&audit).as_bytes())?;
        if let Some(folder) = &folder {
            std::fs::remove_dir_all(folder).map_err(|source| Failure::file(folder, source))?;
        }
        output.result(&Lines(audit))
    }

    fn settings(&self) -> TrainingSettings {
        let settings = match self.effort {
            Effort::Quick => TrainingSettings::quick(),
            Effort::Normal => TrainingSettings::default(),
            Effort::Thorough => TrainingSettings::thorough(),
        };
        TrainingSettings { set: self.set, seed: self.seed, ..settings }
    }
}

/// Features of 10 classes that differ in their means, as many as a network's last layer may have.
fn draw(seed: u64, samples: Option<usize>) -> Result<TrainingData, Failure> {
    const FEATURES: usize = 400;
    const CLASSES: usize = 10;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let means: Vec<f64> = (0..CLASSES * FEATURES).map(|_| rng.random::<f64>()).collect();
    let labels: Vec<usize> = (0..samples.unwrap_or(128)).map(|at| at % CLASSES).collect();
    let rows = labels.iter().flat_map(|label| &means[label * FEATURES..(label + 1) * FEATURES]);
    let features: Vec<f64> = rows.map(|mean| mean + 0.5 * rng.random::<f64>()).collect();
    Ok(TrainingData::new(&features, &labels, CLASSES)?)
}

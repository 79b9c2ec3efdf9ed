//! `cleave audit-training`: what training on ciphertexts gives away.

use crate::auditing::{Watch, parts_folder};
use crate::output::place_for;
use crate::training::interrupt_flag;
use crate::{Failure, Output};
use clap::{Args, ValueEnum};
use cleave_audit::{
    Encryption, Told, TrainingAudit, TrainingSettings, TrainingTarget, WrongKind, audit_training, training_page,
};
use cleave_encrypted::{ckks::ParamSet, training::TrainingData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Attack a training on ciphertexts: as a provider that looks at them, that is told what it must not be, and that
/// answers with something else
#[derive(Args, Clone, Debug)]
pub struct AuditTraining {
    /// Label and features of a sample on each line, with commas between them, gzip or not; drawn ones where it is missing
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
    /// Each attack once, on few ciphertexts
    Quick,
    /// What docs/known-attacks.md has figures of
    Normal,
    /// More ciphertexts, rounds and answers
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
                TrainingTarget { name, drawn: false, data: read(path, samples)? }
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

/// Label and features on each line, gzip or not.
fn read(path: &Path, most: Option<usize>) -> Result<TrainingData, Failure> {
    const LARGEST: u64 = 1 << 28;
    let file = |source| Failure::file(path, source);
    let mut bytes = Vec::new();
    File::open(path).map_err(file)?.take(LARGEST).read_to_end(&mut bytes).map_err(file)?;
    let mut text = String::new();
    match bytes.starts_with(&[0x1f, 0x8b]) {
        true => flate2::read::GzDecoder::new(bytes.as_slice()).take(LARGEST).read_to_string(&mut text),
        false => bytes.as_slice().read_to_string(&mut text),
    }
    .map_err(file)?;
    let (mut features, mut labels, mut width) = (Vec::new(), Vec::new(), None);
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).take(most.unwrap_or(4096)) {
        let fail = |reason| Failure::Features { path: path.to_owned(), line: at + 1, reason };
        let numbers: Result<Vec<f64>, _> = line.split(',').map(|number| number.trim().parse()).collect();
        let numbers = numbers.map_err(|error| fail(format!("{error}; expected numbers with commas between them")))?;
        let (label, row) = numbers.split_first().ok_or_else(|| fail("no label".to_owned()))?;
        if label.fract() != 0.0 || !(0.0..65_536.0).contains(label) {
            return Err(fail(format!("the label is {label}, expected a whole number from 0 to 65,535")));
        }
        let expected = *width.get_or_insert(row.len());
        if row.len() != expected {
            return Err(fail(format!("{} features, and {expected} on the lines before", row.len())));
        }
        labels.push(*label as usize);
        features.extend(row);
    }
    let classes = labels.iter().max().map_or(2, |most| (most + 1).max(2));
    Ok(TrainingData::new(&features, &labels, classes)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_read_and_wrong_lines_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.csv");
        let read_text = |text: &str, most| {
            std::fs::write(&path, text).unwrap();
            read(&path, most)
        };
        let data = read_text("1,0.5,2\n\n0.0,-1e3,4\n", None).unwrap();
        assert_eq!((data.samples(), data.features(), data.classes()), (2, 3, 2));
        assert_eq!((data.label(0), data.sample(1)), (1, [1.0, -1000.0, 4.0].as_slice()));
        assert_eq!(read_text("1,2\n4,2\n", Some(1)).unwrap().samples(), 1);
        for (text, line) in [("1,2\nx,2\n", 2), ("1,2\n1,2,3\n", 2), ("0.5,1\n", 1), ("-1,1\n", 1), ("1,\n", 1)] {
            let error = read_text(text, None).unwrap_err();
            assert!(matches!(&error, Failure::Features { line: at, .. } if *at == line), "{text}: {error}");
        }
        assert!(matches!(read_text("1,nan\n", None), Err(Failure::Encrypted(_))));
        assert!(matches!(read(&folder.path().join("none"), None), Err(Failure::File { .. })));
    }
}

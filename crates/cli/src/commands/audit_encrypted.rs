//! `cleave audit-encrypted`: what encrypted inference gives away.

use crate::auditing::{Watch, parts_folder};
use crate::options::{DataOptions, DeviceOption, open_dataset, open_held_out};
use crate::training::interrupt_flag;
use crate::{Failure, Output};
use clap::Args;
use cleave_audit::{EncryptedAudit, EncryptedSettings, EncryptedTarget, Encryption, audit_encrypted, encrypted_page};
use cleave_encrypted::Release;
use std::path::PathBuf;

/// Attack an ensemble on ciphertexts: as a provider that looks at them, and as a client that asks for scores
#[derive(Args, Clone, Debug)]
pub struct AuditEncrypted {
    /// The list of the ensemble, as `cleave quantise` writes it
    ensemble: PathBuf,
    #[command(flatten)]
    data: DataOptions,
    /// Numbers of answers that copies are trained on, one after the other
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=100_000))]
    copies: Vec<u32>,
    /// Steps of a copy's training
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: Option<u32>,
    /// Runs of each timing, and of each network's noise
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Ciphertexts of a batch that are looked at
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    ciphertexts: Option<u32>,
    /// Seed of whatever the attacks draw; keys, masks and errors come from the operating system
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    device: DeviceOption,
    /// The record to write: JSON
    #[arg(long)]
    record: PathBuf,
    /// Go on from the finished parts that an interrupted audit left in RECORD.run
    #[arg(long)]
    resume: bool,
    /// Page to write
    #[arg(long)]
    report: Option<PathBuf>,
}

/// What was found, in lines.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct Lines(EncryptedAudit);

impl std::fmt::Display for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let audit = &self.0;
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        writeln!(f, "{} of {} test images right in the clear", percent(audit.accuracy.share), audit.test_images)?;
        for sight in &audit.sights {
            let name = match sight.encryption {
                Encryption::Real => "ciphertexts",
                Encryption::WithoutMask => "control, without the mask",
                Encryption::WithoutError => "control, without the error",
                Encryption::MaskReused => "control, with one mask for two batches",
            };
            write!(f, "  {name}: {} of {} tests found something", sight.found(), sight.tests.len())?;
            for told in &sight.distinguishers {
                let [first, second] = &told.between;
                write!(f, "; {first} from {second} {}", percent(told.accuracy.share))?;
            }
            writeln!(f)?;
        }
        let found = &audit.last_layer;
        let needed = found.images.map_or_else(|| format!("more than {}", found.asked), |images| images.to_string());
        writeln!(
            f,
            "  last layer: {} of {} weights right from {needed} answers, {} unknowns a class",
            found.right, found.weights, found.unknowns
        )?;
        for copy in &audit.copies {
            writeln!(
                f,
                "  copy from {} {}: {} answered alike, {} right",
                copy.images,
                copy.lesson.name(),
                percent(copy.agreement.share),
                percent(copy.accuracy.share)
            )?;
        }
        if let Some(noise) = &audit.noise {
            writeln!(f, "  noise names the network in {} of {} runs", percent(noise.told.share), noise.told.of)?;
        }
        write!(f, "{:.0} s", audit.seconds)
    }
}

impl AuditEncrypted {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let release = Release::read(&self.ensemble)?;
        let data = self.data.with_classes_of(&release.classes)?;
        let (own, test) = (open_dataset(&data, Some("train"))?, open_held_out(&data, None)?);
        let target = EncryptedTarget {
            model: self.ensemble.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
            release,
        };
        let folder = parts_folder(&self.record, self.resume)?;
        let (device, mut watch) = (self.device.open()?, Watch::new(interrupt_flag()?));
        let audit = audit_encrypted(&target, &own, &test, &self.settings(), (Some(&folder), &device), &mut watch)?;
        watch.bar.finish_and_clear();
        cleave_nets::write_atomically(&self.record, &serde_json::to_vec_pretty(&audit)?)?;
        if let Some(report) = &self.report {
            cleave_nets::write_atomically(report, encrypted_page(&audit)?.as_bytes())?;
        }
        std::fs::remove_dir_all(&folder).map_err(|source| Failure::file(&folder, source))?;
        output.result(&Lines(audit))
    }

    fn settings(&self) -> EncryptedSettings {
        let mut settings = EncryptedSettings { seed: self.seed, ..EncryptedSettings::default() };
        if !self.copies.is_empty() {
            settings.copies = self.copies.iter().map(|&images| images as usize).collect();
        }
        let change = |value: &mut usize, given: Option<u32>| *value = given.map_or(*value, |given| given as usize);
        change(&mut settings.steps, self.steps);
        change(&mut settings.rounds, self.rounds);
        change(&mut settings.ciphertexts, self.ciphertexts);
        settings
    }
}

//! `cleave audit-confused`: attacks on confusion neurons.

use crate::auditing::{Attacker, Watch, parts_folder};
use crate::model::Source;
use crate::options::{DataOptions, DeviceOption, report_faults};
use crate::secret::PassphraseOption;
use crate::training::{EVALUATION_BATCH, interrupt_flag};
use crate::{Failure, Output};
use clap::Args;
use cleave_audit::{ConfusionAudit, ConfusionSettings, ConfusionTarget, audit_confusion, confusion_page};
use cleave_data::{LoadOptions, Loader};
use cleave_nets::Checkpoint;
use std::path::PathBuf;

/// Attack a network with confusion neurons as somebody would who has its file and not its key
#[derive(Args, Clone, Debug)]
pub struct AuditConfused {
    /// The widened network
    model: PathBuf,
    /// Its key, which says how much of it an attack found; no attack sees it
    #[arg(long)]
    key: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseOption,
    #[command(flatten)]
    data: DataOptions,
    /// Where the attacker's images come from
    #[arg(long, value_enum, default_value_t = Attacker::HeldOut)]
    attacker: Attacker,
    /// Numbers of labelled images that the attacker has, one after the other
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=100_000))]
    labelled: Vec<u32>,
    /// Steps of fine-tuning
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: Option<u32>,
    /// Tell the attacker this strategy, by which it can insert neurons of its own to learn from
    #[arg(long, value_enum)]
    strategy: Option<Source>,
    /// Seed of whatever the attacks draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    device: DeviceOption,
    /// The record to write: JSON
    #[arg(long)]
    record: PathBuf,
    /// Page to write
    #[arg(long)]
    report: Option<PathBuf>,
    /// Go on from the finished parts that an interrupted audit left in RECORD.run
    #[arg(long)]
    resume: bool,
}

/// What was found, as a table.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct Table(ConfusionAudit);

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let audit = &self.0;
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        writeln!(
            f,
            "{} of {} test images right with the key, {} without, {} by guessing",
            percent(audit.with_key.share),
            audit.test_images,
            percent(audit.without_key.share),
            percent(audit.guess)
        )?;
        for found in &audit.detections {
            writeln!(
                f,
                "  detection by {}: {} of what it marked are confusion neurons (by luck {}), {} right without what it marked",
                found.kind.name(),
                percent(found.precision),
                percent(found.chance),
                percent(found.accuracy.share)
            )?;
        }
        for found in &audit.prunings {
            writeln!(
                f,
                "  pruning, {}, {} labelled images: {} of what it left out are confusion neurons, {} right",
                found.kind.name(),
                found.labelled,
                percent(found.precision),
                percent(found.accuracy.share)
            )?;
        }
        for tuned in &audit.tunings {
            writeln!(
                f,
                "  trained on {} labelled images {}: {} right",
                tuned.labelled,
                tuned.start.name(),
                percent(tuned.accuracy.share)
            )?;
        }
        write!(f, "{:.0} s", audit.seconds)
    }
}

impl AuditConfused {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let model = Checkpoint::load(&self.model, &self.device.open()?)?;
        let Some(expected) = model.card.confused else {
            return Err(Failure::NotConfused { path: self.model.clone() });
        };
        let key = self.passphrase.open_confusion(&self.key)?;
        key.check_id(expected)?;
        let data = self.data.with_classes_of(&model.card.classes)?;
        let [own, test] = self.attacker.split(&data)?.map(|(images, _)| {
            Loader::new(images, model.card.preparation.clone(), LoadOptions::evaluation(EVALUATION_BATCH))
        });
        let (own, test) = (own?, test?);
        let target = ConfusionTarget {
            model: self.model.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
            widened: model.network,
            key,
            strategy: self.strategy.map(Source::strategy),
            classes: model.card.classes,
            preparation: model.card.preparation,
        };
        let folder = parts_folder(&self.record, self.resume)?;
        let mut watch = Watch::new(interrupt_flag()?);
        let audit = audit_confusion(&target, &own, &test, &self.settings(), Some(&folder), &mut watch)?;
        watch.bar.finish_and_clear();
        for loader in [&own, &test] {
            report_faults(loader);
        }
        cleave_nets::write_atomically(&self.record, &serde_json::to_vec_pretty(&audit)?)?;
        if let Some(report) = &self.report {
            cleave_nets::write_atomically(report, confusion_page(&audit)?.as_bytes())?;
        }
        std::fs::remove_dir_all(&folder)?; // not earlier: a page that could not be written is made again with --resume
        output.result(&Table(audit))
    }

    fn settings(&self) -> ConfusionSettings {
        let mut settings = ConfusionSettings { seed: self.seed, ..ConfusionSettings::default() };
        if !self.labelled.is_empty() {
            settings.labelled = self.labelled.iter().map(|&images| images as usize).collect();
        }
        if let Some(steps) = self.steps {
            settings.finetune.steps = steps as usize;
        }
        settings
    }
}

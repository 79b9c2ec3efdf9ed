//! What commands that audit have in common.

use crate::Failure;
use crate::options::{DataOptions, open_dataset, validation_split};
use crate::training::run_folder;
use clap::ValueEnum;
use cleave_audit::Observer;
use cleave_data::Dataset;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the attacker's images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attacker {
    /// The training split
    Train,
    /// One half of the validation split
    HeldOut,
}

impl Attacker {
    /// The attacker's images and those that it is measured on, and what to call each.
    pub fn split(self, data: &DataOptions) -> Result<[(Dataset, String); 2], Failure> {
        let train = open_dataset(data, Some("train"))?;
        let split = validation_split(data, &train).ok_or_else(|| Failure::NoValidation { path: data.data.clone() })?;
        let held_out = open_dataset(data, Some(split))?;
        Ok(match self {
            Self::Train => [(train, "train".to_owned()), (held_out, split.to_owned())],
            Self::HeldOut => {
                let (own, private): (Vec<_>, Vec<_>) = (0..held_out.len()).partition(|at| at % 2 == 0);
                let [own, private] = [held_out.subset(&own)?, held_out.subset(&private)?];
                [(own, format!("half of {split}")), (private, format!("the other half of {split}"))]
            }
        })
    }
}

/// The folder of finished parts beside a record, which a new audit must not find and a resumed one must.
pub fn parts_folder(record: &Path, resume: bool) -> Result<PathBuf, Failure> {
    let folder = run_folder(record);
    match (resume, folder.exists()) {
        (true, false) => Err(Failure::NothingToResume { folder }),
        (false, true) => Err(Failure::UnfinishedRun { folder }),
        _ => Ok(folder),
    }
}

/// A bar on stderr, and what was found as lines above it.
pub struct Watch {
    /// The bar.
    pub bar: ProgressBar,
    stop: Arc<AtomicBool>,
}

impl Watch {
    /// Shows nothing yet; `stop` ends the audit.
    pub fn new(stop: Arc<AtomicBool>) -> Self {
        let bar = ProgressBar::new(1);
        let style = ProgressStyle::with_template("{prefix:36} {bar:24} {pos}/{len} {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, stop }
    }

    /// A line that stays.
    pub fn line(&self, text: &str) {
        if self.bar.is_hidden() { eprintln!("{text}") } else { self.bar.println(text) }
    }
}

impl Observer for Watch {
    fn began(&mut self, part: &str, steps: usize) {
        self.bar.reset();
        self.bar.set_length(steps as u64);
        self.bar.set_prefix(part.to_owned());
        self.line(part);
    }

    fn stepped(&mut self) {
        self.bar.inc(1);
    }

    fn found(&mut self, summary: &str) {
        self.line(&format!("  {summary}"));
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

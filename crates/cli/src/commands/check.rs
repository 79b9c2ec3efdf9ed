//! `cleave check` and `cleave cut`: the leakage check and the gate behind it.

use crate::options::{DeviceOption, open_dataset};
use crate::{Failure, Output};
use clap::Args;
use cleave_data::{LoadOptions, Loader};
use cleave_leakage::{Effort, Report};
use cleave_nets::Checkpoint;
use cleave_partition::{Cut, check_cut, measure_zeros, release};
use cleave_retrain::SignalSource;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::path::PathBuf;

/// A model, a cut, and images to measure zeros on.
#[derive(Args, Clone, Debug)]
pub struct CutOptions {
    /// The network
    model: PathBuf,
    /// Where to cut: a layer number, or 1:linear or 1:activation to stop inside a layer
    #[arg(long)]
    cut: Cut,
    /// Images to measure the share of zeros on; without them none is assumed, which is the stricter count
    #[arg(long)]
    data: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceOption,
}

/// Images that the share of zeros is measured on.
const ZERO_IMAGES: usize = 64;

impl CutOptions {
    fn load(&self) -> Result<(Checkpoint, Report), Failure> {
        let model = Checkpoint::load(&self.model, &self.device.open()?)?;
        let zeros = self.data.as_ref().map(|_| self.zeros(&model)).transpose()?;
        let report = check_cut(&model.network, self.cut, zeros.as_deref(), &Effort::default())?;
        Ok((model, report))
    }

    fn zeros(&self, model: &Checkpoint) -> Result<Vec<f64>, Failure> {
        let data = crate::options::DataOptions {
            data: self.data.clone().unwrap_or_default(),
            classes: Some(model.card.classes.clone()),
            limit: Some(ZERO_IMAGES.div_ceil(model.card.classes.len().max(1))),
            strict: false,
        };
        let options = LoadOptions::evaluation(ZERO_IMAGES);
        let loader = Loader::new(open_dataset(&data, None)?, model.card.preparation.clone(), options)?;
        let Some(batch) = loader.epoch(0)?.next().transpose()? else { return Ok(Vec::new()) };
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let signal = match (model.network.architecture().join(), model.network.signal_shape()) {
            (Some((_, spec)), Some(shape)) => {
                let source = SignalSource::new(spec.clone(), model.glyphs.clone(), shape.height, shape.width)?;
                Some(source.planes(&source.draw(batch.labels.len(), &mut rng), &mut rng)?)
            }
            _ => None,
        };
        Ok(measure_zeros(&model.network, self.cut, &batch.images, signal.as_deref(), batch.labels.len())?)
    }
}

/// Count equations and compute ranks at a cut; exit code 4 when it leaks
#[derive(Args, Clone, Debug)]
pub struct Check {
    #[command(flatten)]
    options: CutOptions,
}

impl Check {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let (_, report) = self.options.load()?;
        output.result(&report)?;
        if report.verdict.leaks() { Err(Failure::CheckLeaks { cut: self.options.cut }) } else { Ok(()) }
    }
}

/// Cut a network into a front half for clients and a back half to serve; refuses a cut that leaks
#[derive(Args, Clone, Debug)]
pub struct CutCommand {
    #[command(flatten)]
    options: CutOptions,
    /// The client's file
    #[arg(long)]
    out_front: PathBuf,
    /// The provider's file
    #[arg(long)]
    out_back: PathBuf,
    /// Name under which the back half is served
    #[arg(long, default_value = "model", value_parser = model_name)]
    name: String,
    /// Release although the check leaks; every client is shown the reason
    #[arg(long, value_name = "REASON", value_parser = reason)]
    accept_leak: Option<String>,
    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
}

/// A name that a hello can carry.
fn model_name(text: &str) -> Result<String, String> {
    let fits = (1..=cleave_wire::MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(text.to_owned()) } else { Err("take 1 to 128 printable ASCII characters without blanks".to_owned()) }
}

/// A reason that fits the notice that every client is shown.
fn reason(text: &str) -> Result<String, String> {
    let notice = crate::serving::notice(text);
    if notice.len() <= cleave_wire::MAX_NOTICE && notice.chars().all(|c| c == '\n' || !c.is_control()) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "take at most {} bytes without control characters",
        cleave_wire::MAX_NOTICE - crate::serving::notice("").len()
    ))
}

/// What was released.
#[derive(Serialize)]
struct Released<'a> {
    front: &'a PathBuf,
    back: &'a PathBuf,
    pair: &'a str,
    values_a_sample: usize,
    accepted: Option<&'a str>,
    leakage: &'a Report,
}

impl std::fmt::Display for Released<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.leakage)?;
        if let Some(reason) = self.accepted {
            writeln!(f, "RELEASED ALTHOUGH THE CHECK LEAKS, because: {reason}")?;
        }
        writeln!(f, "front  {} (give it to clients)", self.front.display())?;
        writeln!(f, "back   {} (keep it)", self.back.display())?;
        write!(f, "pair   {}, {} values a sample go over the wire", self.pair, self.values_a_sample)
    }
}

impl CutCommand {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let (model, report) = self.options.load()?;
        let release = release(&model, self.options.cut, &self.name, report, self.accept_leak.as_deref())?;
        release.write(&self.out_front, &self.out_back, self.force)?;
        let terms = &release.front().terms;
        output.result(&Released {
            front: &self.out_front,
            back: &self.out_back,
            pair: &terms.pair,
            values_a_sample: terms.smashed.values(),
            accepted: terms.accepted.as_deref(),
            leakage: &terms.leakage,
        })
    }
}

//! `cleave check` and `cleave cut`: the leakage check and the gate behind it.

use crate::defences::{Sample, Wanted};
use crate::gate::{self, statement};
use crate::model::{self, ConfusionOptions};
use crate::options::{DeviceOption, PairFiles, distinct, model_name};
use crate::secret::PassphraseOption;
use crate::{Failure, Output};
use clap::Args;
use cleave_confusion::ConfusionKey;
use cleave_leakage::Effort;
use cleave_nets::{Checkpoint, Defence};
use cleave_partition::{Cut, Offer, Release, Terms, check_cut, cut, measure_zeros, release};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A model, a cut, and images to measure on.
#[derive(Args, Clone, Debug)]
pub struct CutOptions {
    /// The network
    model: PathBuf,
    /// Where to cut: a layer number, or 1:linear or 1:activation to stop inside a layer
    #[arg(long)]
    cut: Cut,
    /// Images to measure the share of zeros on, and what --defend leaves open; without them no value is taken to be zero, which is the stricter count
    #[arg(long)]
    data: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceOption,
}

impl CutOptions {
    fn load(&self) -> Result<(Checkpoint, Option<Sample>), Failure> {
        let model = model::load(&self.model, &self.device.open()?)?;
        let sample = self.data.clone().map(|data| Sample::draw(&model, data)).transpose()?;
        Ok((model, sample))
    }

    fn zeros(&self, model: &Checkpoint, sample: Option<&Sample>) -> Result<Option<Vec<f64>>, Failure> {
        let zeros = |sample: &Sample| {
            measure_zeros(&model.network, self.cut, &sample.images, sample.signal.as_deref(), sample.count)
        };
        Ok(sample.map(zeros).transpose()?)
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
        let (model, sample) = self.options.load()?;
        let zeros = self.options.zeros(&model, sample.as_ref())?;
        let report = check_cut(&model.network, self.options.cut, zeros.as_deref(), &Effort::default())?;
        output.result(&report)?;
        if report.verdict.leaks() { Err(Failure::CheckLeaks { cut: self.options.cut }) } else { Ok(()) }
    }
}

/// Cut a network into a front half for clients and a back half to serve; refuses a cut that leaks or breaks a policy
#[derive(Args, Clone, Debug)]
pub struct CutCommand {
    #[command(flatten)]
    options: CutOptions,
    #[command(flatten)]
    files: PairFiles,
    /// Name under which the back half is served
    #[arg(long, default_value = "model", value_parser = model_name)]
    name: String,
    /// What clients do to smashed data before it leaves: gaussian:SCALE, laplace:SCALE, gaussian:dfil:VALUE, bits:N,
    /// bits:N:LOW:HIGH, or noise and bits joined by +; what is not given is measured on --data
    #[arg(long, value_name = "DEFENCE", allow_hyphen_values = true)]
    defend: Option<Wanted>,
    /// Clients send each image among this many decoys or more; they print what that hides
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u16).range(1..=63))]
    decoys: Option<u16>,
    /// Record of an audit of this front half with these defences; both files carry a summary of it
    #[arg(long, value_name = "RECORD.json")]
    audit: Option<PathBuf>,
    /// Release only what keeps this policy, by the audit: one of `cleave policies`, or a TOML file
    #[arg(long, value_name = "NAME_OR_FILE")]
    policy: Option<String>,
    /// Put confusion neurons into the front half, and write their key here: only a client that has it can use the half
    #[arg(long, value_name = "KEY")]
    confuse_front: Option<PathBuf>,
    #[command(flatten)]
    neurons: ConfusionOptions,
    /// Write that key in the clear: whoever can read the file has it
    #[arg(long, requires = "confuse_front", conflicts_with = "passphrase_file")]
    clear: bool,
    #[command(flatten)]
    passphrase: PassphraseOption,
    /// Release although the check leaks; every client is shown the reason. It overrides no policy
    #[arg(long, value_name = "REASON", value_parser = reason)]
    accept_leak: Option<String>,
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
    values_a_sample: usize,
    #[serde(flatten)]
    terms: &'a Terms,
}

impl std::fmt::Display for Released<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}\n{}", self.terms.leakage, statement(self.terms))?;
        if let Some(accepted) = gate::accepted(self.terms) {
            writeln!(f, "{accepted}")?;
        }
        let with = self.terms.confused.map(|key| format!(", with the key {key} by another way"));
        writeln!(f, "front    {} (give it to clients{})", self.front.display(), with.unwrap_or_default())?;
        writeln!(f, "back     {} (keep it)", self.back.display())?;
        write!(f, "pair     {}, {} values a sample go over the wire", self.terms.pair, self.values_a_sample)
    }
}

impl CutCommand {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        if self.confuse_front.is_none() && self.neurons.is_given() {
            return Err(Failure::Options {
                reason: "these options are for confusion neurons; add --confuse-front KEY, or leave them out",
            });
        }
        let (front, back) = (self.files.out_front.as_path(), self.files.out_back.as_path());
        distinct(self.confuse_front.as_deref().into_iter().chain([front, back]), &[&self.options.model])?;
        let policy = self.policy.as_deref().map(gate::policy).transpose()?;
        let at = self.options.cut;
        let (model, sample) = self.options.load()?;
        let zeros = self.options.zeros(&model, sample.as_ref())?;
        let wanted = self.defend.clone().unwrap_or_default();
        let mut defences = wanted.defences(&model, at, sample.as_ref())?;
        let audit = self.audit.as_ref().map(|path| gate::audit(path, &model, at, &defences)).transpose()?;
        defences.extend(self.decoys.map(|count| Defence::Decoys { count }));
        let release = release(&Offer {
            zeros: zeros.as_deref(),
            defences: &defences,
            audit: audit.as_ref(),
            policy: policy.as_ref(),
            accept: self.accept_leak.as_deref(),
            ..Offer::new(&model, at, &self.name)
        })?;
        let release = match &self.confuse_front {
            Some(file) => self.confused(release, &model, file)?,
            None => self.files.write(&release).map(|()| release)?,
        };
        let terms = &release.front().terms;
        let (front, back) = (&self.files.out_front, &self.files.out_back);
        output.result(&Released { front, back, values_a_sample: terms.smashed.values(), terms })
    }

    /// Puts confusion neurons into the front half, and writes key and pair: all or none.
    fn confused(&self, release: Release, model: &Checkpoint, file: &Path) -> Result<Release, Failure> {
        let [positions, weights] = self.neurons.weights.secrets()?;
        let (groups, plan) = self.neurons.plan(&cut(&model.network, self.options.cut)?.0)?;
        let key = ConfusionKey::draw(positions, &groups, &plan)?;
        let strategy = self.neurons.weights.strategy();
        let release = release.with_confused_front(&key, strategy, &weights, model.network.device())?;
        self.passphrase.seal_confusion(file, &key, self.clear)?;
        self.files.write(&release).inspect_err(|_| {
            std::fs::remove_file(file).ok(); // a key without its pair is of no use
        })?;
        Ok(release)
    }
}

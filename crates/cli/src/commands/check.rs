//! `cleave check` and `cleave cut`: the leakage check and the gate behind it.

use crate::gate::{self, statement};
use crate::options::{DeviceOption, open_dataset};
use crate::{Failure, Output};
use clap::{Args, ValueEnum};
use cleave_data::{LoadOptions, Loader};
use cleave_leakage::{Effort, Report};
use cleave_nets::{Checkpoint, Defence, Distribution};
use cleave_partition::{Cut, Offer, Terms, apply_defences, check_cut, cut, measure_zeros, quantise_for, release};
use cleave_retrain::SignalSource;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::path::PathBuf;

/// A model, a cut, and images to measure on.
#[derive(Args, Clone, Debug)]
pub struct CutOptions {
    /// The network
    model: PathBuf,
    /// Where to cut: a layer number, or 1:linear or 1:activation to stop inside a layer
    #[arg(long)]
    cut: Cut,
    /// Images to measure the share of zeros on, and the range of --quantise; without them no value is taken to be zero, which is the stricter count
    #[arg(long)]
    data: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceOption,
}

/// Images that the share of zeros and the range of levels are measured on.
const MEASURED_IMAGES: usize = 64;

/// Prepared images, and the channels of signals drawn for them.
struct Sample {
    images: Vec<f32>,
    signal: Option<Vec<f32>>,
    count: usize,
}

impl CutOptions {
    fn load(&self) -> Result<(Checkpoint, Option<Sample>), Failure> {
        let model = Checkpoint::load(&self.model, &self.device.open()?)?;
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

impl Sample {
    fn draw(model: &Checkpoint, path: PathBuf) -> Result<Self, Failure> {
        let data = crate::options::DataOptions {
            data: path.clone(),
            classes: Some(model.card.classes.clone()),
            limit: Some(MEASURED_IMAGES.div_ceil(model.card.classes.len().max(1))),
            strict: false,
        };
        let options = LoadOptions::evaluation(MEASURED_IMAGES);
        let loader = Loader::new(open_dataset(&data, None)?, model.card.preparation.clone(), options)?;
        let batch = loader.epoch(0)?.next().transpose()?.ok_or(Failure::NoImages { path })?;
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let signal = match (model.network.architecture().join(), model.network.signal_shape()) {
            (Some((_, spec)), Some(shape)) => {
                let source = SignalSource::new(spec.clone(), model.glyphs.clone(), shape.height, shape.width)?;
                Some(source.planes(&source.draw(batch.labels.len(), &mut rng), &mut rng)?)
            }
            _ => None,
        };
        Ok(Self { images: batch.images, signal, count: batch.labels.len() })
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

/// Defences that the client applies to what it sends.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Defences at the cut")]
struct DefenceOptions {
    /// Add noise to every value, drawn afresh for each image
    #[arg(long, value_enum, requires = "noise_scale")]
    noise: Option<Noise>,
    /// Standard deviation of Gaussian noise, or scale b of Laplace noise, in units of the smashed data
    #[arg(long, value_name = "S", requires = "noise")]
    noise_scale: Option<f32>,
    /// Round every value to one of 2^BITS levels, over a range measured on --data or given
    #[arg(long, value_name = "BITS[:LOW:HIGH]", value_parser = levels, allow_hyphen_values = true)]
    quantise: Option<Levels>,
}

/// Distributions of noise.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Noise {
    /// Normal
    Gaussian,
    /// Double exponential
    Laplace,
}

/// Levels of a quantisation.
#[derive(Clone, Copy, Debug)]
struct Levels {
    bits: u8,
    range: Option<[f32; 2]>,
}

fn levels(text: &str) -> Result<Levels, String> {
    let numbers: Vec<_> = text.split(':').collect();
    let parsed = match numbers[..] {
        [bits] => bits.parse().ok().map(|bits| Levels { bits, range: None }),
        [bits, low, high] => match (bits.parse(), low.parse(), high.parse()) {
            (Ok(bits), Ok(low), Ok(high)) => Some(Levels { bits, range: Some([low, high]) }),
            _ => None,
        },
        _ => None,
    };
    let parsed = parsed.filter(|levels: &Levels| (1..=8).contains(&levels.bits));
    parsed.ok_or_else(|| "write 1 to 8 bits, as 4, or with the range, as 4:-1.5:6".to_owned())
}

impl DefenceOptions {
    /// Noise first, then quantisation; a range that is not given is that of what the front half gives, noise included.
    fn defences(&self, model: &Checkpoint, at: Cut, sample: Option<&Sample>) -> Result<Vec<Defence>, Failure> {
        let distribution = |noise| match noise {
            Noise::Gaussian => Distribution::Gaussian,
            Noise::Laplace => Distribution::Laplace,
        };
        let noise = self.noise.zip(self.noise_scale).map(|(noise, scale)| Defence::Noise {
            distribution: distribution(noise),
            scale,
            dfil: None,
        });
        let mut defences: Vec<_> = noise.into_iter().collect();
        match self.quantise {
            Some(Levels { bits, range: Some([low, high]) }) => defences.push(Defence::Quantise { bits, low, high }),
            Some(Levels { bits, range: None }) => {
                let Sample { images, signal, count } = sample.ok_or(Failure::NoRange)?;
                let mut values = cut(&model.network, at)?.0.infer(images.clone(), signal.clone(), *count)?;
                let noise = [&model.card.defences[..], &defences].concat();
                apply_defences(&noise, &mut values, &mut ChaCha8Rng::seed_from_u64(0));
                defences.push(quantise_for(bits, &values)?);
            }
            None => {}
        }
        Ok(defences)
    }
}

/// Cut a network into a front half for clients and a back half to serve; refuses a cut that leaks or breaks a policy
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
    #[command(flatten)]
    defences: DefenceOptions,
    /// Record of an audit of this front half with these defences; both files carry a summary of it
    #[arg(long, value_name = "RECORD.json")]
    audit: Option<PathBuf>,
    /// Release only what keeps this policy, by the audit: one of `cleave policies`, or a TOML file
    #[arg(long, value_name = "NAME_OR_FILE")]
    policy: Option<String>,
    /// Release although the check leaks; every client is shown the reason. It overrides no policy
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
    values_a_sample: usize,
    #[serde(flatten)]
    terms: &'a Terms,
}

impl std::fmt::Display for Released<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}\n{}", self.terms.leakage, statement(self.terms))?;
        if let Some(reason) = &self.terms.accepted {
            writeln!(f, "RELEASED ALTHOUGH THE CHECK LEAKS, because: {reason}")?;
        }
        writeln!(f, "front    {} (give it to clients)", self.front.display())?;
        writeln!(f, "back     {} (keep it)", self.back.display())?;
        write!(f, "pair     {}, {} values a sample go over the wire", self.terms.pair, self.values_a_sample)
    }
}

impl CutCommand {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let policy = self.policy.as_deref().map(gate::policy).transpose()?;
        let at = self.options.cut;
        let (model, sample) = self.options.load()?;
        let zeros = self.options.zeros(&model, sample.as_ref())?;
        let defences = self.defences.defences(&model, at, sample.as_ref())?;
        let audit = self.audit.as_ref().map(|path| gate::audit(path, &model, at, &defences)).transpose()?;
        let release = release(&Offer {
            zeros: zeros.as_deref(),
            defences: &defences,
            audit: audit.as_ref(),
            policy: policy.as_ref(),
            accept: self.accept_leak.as_deref(),
            ..Offer::new(&model, at, &self.name)
        })?;
        release.write(&self.out_front, &self.out_back, self.force)?;
        let terms = &release.front().terms;
        let (front, back) = (&self.out_front, &self.out_back);
        output.result(&Released { front, back, values_a_sample: terms.smashed.values(), terms })
    }
}

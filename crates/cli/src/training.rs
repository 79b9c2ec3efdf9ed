//! What `train`, `retrain` and `demo` share: loaders, progress, the log, and stopping.

use crate::options::DataOptions;
use crate::{Failure, options};
use clap::{Args, ValueEnum};
use cleave_data::{Augmentation, ChannelStatistics, Dataset, LoadOptions, Loader, Preparation, RandAugment};
use cleave_nets::Checkpoint;
use cleave_retrain::{Measurement, Observer, Optimizer, Outcome, Schedule, TrainSettings, Trainer};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Settings of the training loop; the defaults are those of sun2019's Table 1.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Training")]
pub struct TrainOptions {
    /// Batches to train on
    #[arg(long, default_value_t = 5000)]
    pub steps: usize,
    /// Images a batch
    #[arg(long, default_value_t = 16)]
    pub batch: usize,
    /// The largest learning rate
    #[arg(long, default_value_t = 0.001)]
    pub learning_rate: f64,
    /// How the rate changes
    #[arg(long, value_enum, default_value_t = RateSchedule::Polynomial)]
    pub schedule: RateSchedule,
    /// A polynomial rate falls as (1 - step/steps)^POWER; 0 for a rate that stays
    #[arg(long, default_value_t = 0.9)]
    pub power: f64,
    /// How gradients become steps
    #[arg(long, value_enum, default_value_t = Stepper::Sgd)]
    pub optimizer: Stepper,
    /// Compute convolutions and matrix products in bfloat16: about as fast as f32 on most processors, faster on most GPUs
    #[arg(long)]
    pub half: bool,
    /// Momentum of stochastic gradient descent
    #[arg(long, default_value_t = 0.9)]
    pub momentum: f64,
    /// Weight decay
    #[arg(long, default_value_t = 5e-4)]
    pub weight_decay: f32,
    /// Move training images by up to this many pixels
    #[arg(long, default_value_t = 4)]
    pub shift: usize,
    /// Probability of mirroring a training image
    #[arg(long, default_value_t = 0.5)]
    pub flip: f64,
    /// Cut a square of this share of a training image's area or more, and enlarge it again; 0 for none
    #[arg(long, default_value_t = 0.0)]
    pub crop: f64,
    /// RandAugment with so many operations of so much strength, 0 to 30, as in 1:8
    #[arg(long, value_name = "OPERATIONS:MAGNITUDE", value_parser = rand_augment)]
    pub rand_augment: Option<RandAugment>,
    /// Change brightness, contrast and saturation of a training image by up to this share
    #[arg(long, default_value_t = 0.0)]
    pub jitter: f64,
    /// Probability of erasing a rectangle of a training image
    #[arg(long, default_value_t = 0.0)]
    pub erase: f64,
    /// Steps between lines of the log
    #[arg(long, default_value_t = 50)]
    pub log_every: usize,
    /// Steps between evaluations on the validation images; 0 for the end only
    #[arg(long, default_value_t = 1000)]
    pub eval_every: usize,
    /// Steps between saved states
    #[arg(long, default_value_t = 500)]
    pub save_every: usize,
    /// Go on from the state that an interrupted run left in OUT.run
    #[arg(long)]
    pub resume: bool,
}

/// Two numbers with a colon between them.
fn rand_augment(text: &str) -> Result<RandAugment, String> {
    let numbers = text.split_once(':').and_then(|(operations, magnitude)| {
        Some(RandAugment { operations: operations.parse().ok()?, magnitude: magnitude.parse().ok()? })
    });
    numbers.ok_or_else(|| "take two whole numbers, as in 1:8".to_owned())
}

/// Optimisers by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Stepper {
    /// Stochastic gradient descent with momentum
    Sgd,
    /// Adam
    Adam,
    /// Adam with decoupled weight decay
    Adamw,
}

/// Schedules by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RateSchedule {
    /// Falling by a power of the steps that are left
    Polynomial,
    /// Up until 2/5 of the steps, down to a twentieth until 4/5, then to 0, in straight lines
    Piecewise,
}

impl TrainOptions {
    /// The loop's own settings.
    pub fn settings(&self, seed: u64) -> TrainSettings {
        TrainSettings {
            steps: self.steps,
            batch: self.batch,
            learning_rate: self.learning_rate,
            schedule: match self.schedule {
                RateSchedule::Polynomial => Schedule::Polynomial,
                RateSchedule::Piecewise => Schedule::Piecewise,
            },
            power: self.power,
            optimizer: match self.optimizer {
                Stepper::Sgd => Optimizer::Sgd,
                Stepper::Adam => Optimizer::Adam,
                Stepper::Adamw => Optimizer::Adamw,
            },
            half: self.half,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            seed,
            augmentation: Augmentation {
                shift: self.shift,
                enlarge: true,
                flip: self.flip,
                crop: self.crop,
                rand_augment: self.rand_augment,
                jitter: self.jitter,
                erase: self.erase,
            },
            log_every: self.log_every,
            eval_every: self.eval_every,
            save_every: self.save_every,
            ..TrainSettings::default()
        }
    }
}

/// Images to train on and, where the data has them, images to evaluate on.
pub struct Loaders {
    /// Shuffled and augmented.
    pub train: Loader,
    /// In order, as they are.
    pub validation: Option<Loader>,
}

impl Loaders {
    /// Opens both splits.
    pub fn open(data: &DataOptions, preparation: &Preparation, settings: &TrainSettings) -> Result<Self, Failure> {
        Self::of(options::open_dataset(data, Some("train"))?, data, preparation, settings)
    }

    /// Some of the training images, and the other split.
    pub fn of(
        train: Dataset,
        data: &DataOptions,
        preparation: &Preparation,
        settings: &TrainSettings,
    ) -> Result<Self, Failure> {
        let loading = LoadOptions {
            drop_last: true,
            augmentation: Some(settings.augmentation),
            cache_bytes: CACHE,
            ..LoadOptions::training(settings.batch, settings.seed)
        };
        let validation = options::validation_split(data, &train);
        let validation = validation.map(|split| options::open_dataset(data, Some(split))).transpose()?;
        let evaluation = |dataset| Loader::new(dataset, preparation.clone(), LoadOptions::evaluation(EVALUATION_BATCH));
        Ok(Self {
            train: Loader::new(train, preparation.clone(), loading)?,
            validation: validation.map(evaluation).transpose()?,
        })
    }

    /// Names the broken images that were left out on stderr, and counts them.
    pub fn report_faults(&self) -> usize {
        std::iter::once(&self.train).chain(&self.validation).map(options::report_faults).sum()
    }
}

/// 2 GiB: the 20,000 images of Dogs vs. Cats at 120 pixels, the enlarged size, fill 0.86 GB.
const CACHE: usize = 2 << 30;
/// Images a forward pass of an evaluation.
pub const EVALUATION_BATCH: usize = 100;
/// Images that mean and deviation of the channels are measured over.
const STATISTICS: usize = 500;

/// A preparation with the mean and deviation of the training images.
pub fn measured_preparation(
    data: &DataOptions,
    size: usize,
    channels: usize,
    seed: u64,
) -> Result<Preparation, Failure> {
    let plain = Preparation::new(size, size, channels);
    let statistics =
        ChannelStatistics::measure(&options::open_dataset(data, Some("train"))?, &plain, STATISTICS, seed)?;
    Ok(plain.normalised(statistics.mean, statistics.std))
}

/// Ctrl-C as a flag; a second one ends the process at once.
pub fn interrupt_flag() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    let (set, runtime) = (Arc::clone(&flag), tokio::runtime::Builder::new_current_thread().enable_all().build()?);
    std::thread::spawn(move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if set.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    });
    Ok(flag)
}

/// A progress bar on stderr and a log of JSON lines.
pub struct Watch {
    bar: ProgressBar,
    log: Option<File>,
    stop: Arc<AtomicBool>,
    /// All measurements, for a report.
    pub measurements: Vec<Measurement>,
}

impl Watch {
    /// Watches a run of `steps` steps; the log keeps what it holds of the steps before `from`.
    pub fn new(label: &str, steps: usize, log: Option<(&Path, usize)>, stop: Arc<AtomicBool>) -> Result<Self, Failure> {
        let bar = ProgressBar::new(steps as u64);
        let template = "{prefix} {bar:24} {pos}/{len} {msg} {eta} left";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(label.to_owned());
        let log = log.map(|(path, from)| open_log(path, from).map_err(|source| Failure::file(path, source)));
        Ok(Self { bar, log: log.transpose()?, stop, measurements: Vec::new() })
    }
}

/// A log without the lines behind step `from`: those of another run, or of steps that a killed run did not save.
fn open_log(path: &Path, from: usize) -> std::io::Result<File> {
    let step = |line: &&str| serde_json::from_str::<serde_json::Value>(line).ok()?.get("step")?.as_u64();
    let old = if from > 0 { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    let mut log = File::create(path)?;
    for line in old.lines().filter(|line| step(line).is_some_and(|step| step <= from as u64)) {
        writeln!(log, "{line}")?;
    }
    Ok(log)
}

impl Watch {
    /// Ends the bar.
    pub fn finish(&self) {
        self.bar.finish();
    }
}

impl Observer for Watch {
    fn measured(&mut self, measurement: &Measurement) {
        let Measurement { loss, train_accuracy, images_per_second, accuracy, .. } = measurement;
        let tested = accuracy.map_or_else(String::new, |accuracy| format!(" val {:.2} %", 100.0 * accuracy));
        let watched = watched(measurement);
        let message =
            format!("loss {loss:.3} acc {:.1} %{tested}{watched} {images_per_second:.0} img/s", 100.0 * train_accuracy);
        if self.bar.is_hidden() {
            let Measurement { step, steps, .. } = measurement;
            eprintln!("{} {step}/{steps} {message}", self.bar.prefix()); // stderr is a file or a pipe: lines, no bar
        }
        self.bar.set_message(message);
        let line = serde_json::to_string(measurement).unwrap_or_default();
        if let Some(Err(error)) = self.log.as_mut().map(|log| writeln!(log, "{line}")) {
            self.bar.println(format!("warning: the log cannot be written: {error}"));
            self.log = None;
        }
        self.measurements.push(measurement.clone());
    }

    fn stepped(&mut self, step: usize) {
        self.bar.set_position(step as u64);
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What the defences measured, in words.
fn watched(measurement: &Measurement) -> String {
    let share = |name: &str, share: Option<f64>| share.map(|share| format!(" {name} {:.1} %", 100.0 * share));
    let probes = [share("signal probe", measurement.signal_probe), share("label probe", measurement.label_probe)];
    let correlation = measurement.distance_correlation.map(|value| format!(" dCor² {value:.3}"));
    probes.into_iter().chain([correlation]).flatten().collect()
}

/// Folder for state and log beside the model that a run makes.
pub fn run_folder(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".run");
    out.with_file_name(name)
}

/// What becomes of a trained network before it is written.
pub type Finish<'a> = dyn Fn(Checkpoint) -> Result<Checkpoint, Failure> + 'a;

/// Runs a trainer to its end, or to Ctrl-C; what is made of the trained network goes to `out`.
pub fn run(
    trainer: Trainer,
    resume: bool,
    label: &str,
    (mut checkpoint, finish): (Checkpoint, &Finish<'_>),
    settings: &TrainSettings,
    out: &Path,
) -> Result<Vec<Measurement>, Failure> {
    let folder = run_folder(out);
    std::fs::create_dir_all(&folder).map_err(|source| Failure::file(&folder, source))?;
    let mut trainer = match (resume, Trainer::can_resume(&folder)) {
        (true, true) => trainer.resume(&folder)?,
        (true, false) => return Err(Failure::NothingToResume { folder }),
        (false, true) => return Err(Failure::UnfinishedRun { folder }),
        (false, false) => trainer,
    };
    let log = folder.join("log.jsonl");
    let mut watch = Watch::new(label, settings.steps, Some((&log, trainer.step())), interrupt_flag()?)?;
    if trainer.run(Some(&folder), &mut watch)? == Outcome::Interrupted {
        return Err(Failure::Interrupted { step: trainer.step(), folder });
    }
    watch.finish();
    checkpoint.network = trainer.network()?;
    let last = watch.measurements.last();
    let record = serde_json::json!({ "run": label, "settings": settings, "result": last });
    checkpoint.card.training.history.push(record);
    finish(checkpoint)?.save(out)?;
    Trainer::clear(&folder);
    Ok(watch.measurements)
}

/// How a training ended.
#[derive(Debug, serde::Serialize)]
pub struct Summary {
    /// The model.
    out: PathBuf,
    /// The last measurement.
    last: Option<Measurement>,
    /// Broken images that were left out.
    left_out: usize,
}

impl Summary {
    /// Of a finished run.
    pub fn new(out: &Path, measurements: &[Measurement], left_out: usize) -> Self {
        Self { out: out.to_owned(), last: measurements.last().cloned(), left_out }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "wrote {}", self.out.display())?;
        match &self.last {
            Some(Measurement { step, seconds, accuracy: Some(accuracy), .. }) => {
                write!(
                    f,
                    " after {step} steps in {seconds:.0} s: accuracy on validation images {:.2} %",
                    100.0 * accuracy
                )
            }
            Some(Measurement { step, seconds, .. }) => write!(f, " after {step} steps in {seconds:.0} s"),
            None => Ok(()),
        }
    }
}

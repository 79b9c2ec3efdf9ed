//! `cleave eval`: accuracy after unmasking.

use crate::features::{Extractor, Place, answers, are_numbered, check, check_classes, check_width};
use crate::model::KeyedModel;
use crate::options::{DataOptions, DeviceOption, GlyphOptions, open_held_out, report_faults};
use crate::training::EVALUATION_BATCH;
use crate::{Failure, Output};
use clap::Args;
use cleave_data::{LoadOptions, Loader};
use cleave_nets::{Checkpoint, Device, Features, Head, Role, SignalForm, read_manifest};
use cleave_retrain::{Evaluation, SignalSource, average_accuracy, evaluate};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Measure a network's accuracy, over random signals where it has a join
#[derive(Args, Clone, Debug)]
pub struct Eval {
    /// The network; one with confusion neurons is right only with --key. Or a head, whose --data is a file of features
    model: PathBuf,
    /// Measure this head on features of the network, or of a front half
    #[arg(long)]
    head: Option<PathBuf>,
    /// For a head that does not say where its features come from: behind this layer instead of before the last
    #[arg(long, requires = "head")]
    layer: Option<usize>,
    #[command(flatten)]
    keyed: KeyedModel,
    #[command(flatten)]
    data: DataOptions,
    /// Split to take; without this val, or test where there is no val
    #[arg(long)]
    split: Option<String>,
    #[command(flatten)]
    glyphs: GlyphOptions,
    /// Passes over the images, each with fresh signals
    #[arg(long, default_value_t = 3)]
    passes: usize,
    #[command(flatten)]
    device: DeviceOption,
    /// Seed of signals and draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Accuracy {
    /// Images in the split.
    images: usize,
    /// Passes over them.
    passes: usize,
    /// Share of right unmasked labels.
    accuracy: f64,
    /// Average accuracy (sun2019, Eq. 11): 1000 draws of 100 images.
    average_accuracy: f64,
    /// Share of masked labels that equal the true one; a guess has 1 / classes.
    masked_matches: f64,
    /// Broken images that were left out.
    left_out: usize,
}

impl std::fmt::Display for Accuracy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "images                {} ({} left out), {} passes", self.images, self.left_out, self.passes)?;
        writeln!(f, "accuracy              {:.2} % (after unmasking)", 100.0 * self.accuracy)?;
        writeln!(f, "average accuracy      {:.5} (Eq. 11: 1000 draws of 100)", self.average_accuracy)?;
        write!(f, "masked label is true  {:.2} %", 100.0 * self.masked_matches)
    }
}

/// What was measured of a head.
#[derive(Debug, Serialize)]
pub struct HeadAccuracy {
    /// Images or samples.
    samples: usize,
    /// Share of right labels.
    accuracy: f64,
    /// Average accuracy (sun2019, Eq. 11): 1000 draws of 100 samples.
    average_accuracy: f64,
    /// Broken images that were left out.
    left_out: usize,
}

impl std::fmt::Display for HeadAccuracy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "samples               {} ({} left out)", self.samples, self.left_out)?;
        writeln!(f, "accuracy              {:.2} %", 100.0 * self.accuracy)?;
        write!(f, "average accuracy      {:.5} (Eq. 11: 1000 draws of 100)", self.average_accuracy)
    }
}

impl Eval {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let device = self.device.open()?;
        match &self.head {
            Some(head) => output.result(&self.behind_network(head, &device)?),
            None if read_manifest(&self.model)?.0.role == Role::Head => output.result(&self.on_file(&device)?),
            None => self.network(&device, output),
        }
    }

    /// A head on what layers give for images.
    fn behind_network(&self, path: &Path, device: &Device) -> Result<HeadAccuracy, Failure> {
        let head = Head::load(path, device)?;
        let place = Place::of(&head.card, self.layer)?;
        let mut layers = Extractor::open(&self.model, &self.keyed, place, device, self.seed)?;
        layers.check(path, &head)?;
        let data = match are_numbered(&head.card.classes) {
            true => self.data.clone(),
            false => self.data.with_classes_of(&head.card.classes)?,
        };
        let dataset = open_held_out(&data, self.split.as_deref())?;
        check_classes(&head, dataset.classes())?;
        let mut right = Vec::with_capacity(dataset.len());
        let left_out = layers.run(dataset, |features, labels| {
            right.extend(answers(&head, features, &labels)?);
            Ok(())
        })?;
        Ok(self.accuracy(right, left_out))
    }

    /// A head on features from a file.
    fn on_file(&self, device: &Device) -> Result<HeadAccuracy, Failure> {
        if self.split.is_some() || self.data.limit.is_some() || self.data.classes.is_some() || self.keyed.is_given() {
            return Err(Failure::Options {
                reason: "a head takes all features of a file; leave --split, --limit, --classes and --key out",
            });
        }
        let head = Head::load(&self.model, device)?;
        let features = Features::read(&self.data.data)?;
        check_width(&self.model, &head, features.width())?;
        check_classes(&head, features.classes())?;
        match features.source() {
            Some(source) => check(&self.model, &head, &self.data.data, source)?,
            None => eprintln!("note: {} does not say which layers its features are of", self.data.data.display()),
        }
        let right = answers(&head, features.values().to_vec(), features.labels())?;
        Ok(self.accuracy(right, 0))
    }

    fn accuracy(&self, right: Vec<bool>, left_out: usize) -> HeadAccuracy {
        let samples = right.len();
        let evaluation = Evaluation { correct: vec![right], masked_matches: 0.0 };
        HeadAccuracy {
            samples,
            accuracy: evaluation.accuracy(),
            average_accuracy: average_accuracy(&evaluation, 1000, 100, self.seed),
            left_out,
        }
    }

    fn network(&self, device: &Device, output: &Output) -> Result<(), Failure> {
        let (model, _) = self.keyed.load(&self.model, device)?;
        if let Some(key) = model.card.confused {
            eprintln!("note: this network has confusion neurons, and runs without its key {key}");
        }
        let data = self.data.with_classes_of(&model.card.classes)?;
        let dataset = open_held_out(&data, self.split.as_deref())?;
        let images = dataset.len();
        let loader = Loader::new(dataset, model.card.preparation.clone(), LoadOptions::evaluation(EVALUATION_BATCH))?;
        let source = self.source(&model)?;
        let passes = if source.is_some() { self.passes } else { 1 };
        let evaluation = evaluate(&model.network, source.as_ref(), &loader, passes, self.seed)?;
        output.result(&Accuracy {
            images,
            passes,
            accuracy: evaluation.accuracy(),
            average_accuracy: average_accuracy(&evaluation, 1000, 100, self.seed),
            masked_matches: evaluation.masked_matches,
            left_out: report_faults(&loader),
        })
    }

    /// Signals drawn with MNIST's test images where MNIST is given, else with the model's own glyphs.
    fn source(&self, model: &Checkpoint) -> Result<Option<SignalSource>, Failure> {
        let (Some((_, spec)), Some(shape)) = (model.network.architecture().join(), model.network.signal_shape()) else {
            return Ok(None);
        };
        let glyphs = match (&self.glyphs.glyphs, spec.form) {
            (Some(_), SignalForm::Digit) => Some(self.glyphs.open(spec.classes, "test", self.seed)?),
            _ => model.glyphs.clone(),
        };
        Ok(Some(SignalSource::new(spec.clone(), glyphs, shape.height, shape.width)?))
    }
}

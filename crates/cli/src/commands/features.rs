//! `cleave features`: what layers give for labelled images.

use crate::features::{Extractor, Place};
use crate::model::KeyedModel;
use crate::options::{DataOptions, DeviceOption, distinct, open_dataset};
use crate::output::new_place;
use crate::{Failure, Output};
use clap::Args;
use cleave_data::Dataset;
use cleave_nets::{FeatureSource, Features};
use serde::Serialize;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Write what layers give for labelled images: features, to train a last layer on. Keep them as private as the images
#[derive(Args, Clone, Debug)]
pub struct FeaturesCommand {
    /// The network, or a front half, whose smashed data are taken
    model: PathBuf,
    /// Take what comes out of this numbered layer instead of what goes into the last
    #[arg(long)]
    layer: Option<usize>,
    #[command(flatten)]
    keyed: KeyedModel,
    #[command(flatten)]
    data: DataOptions,
    /// Split to take; without this train, or all images where there are no splits
    #[arg(long)]
    split: Option<String>,
    /// Take this many images from the beginning of the data, in their order
    #[arg(long, value_name = "N", conflicts_with = "limit")]
    first: Option<NonZeroUsize>,
    #[command(flatten)]
    device: DeviceOption,
    /// Seed of signals, and of the noise at a front half's cut
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The file to write: .safetensors, or .csv without class names and source
    #[arg(long, value_parser = form)]
    out: PathBuf,
    /// Overwrite a file that is there
    #[arg(long)]
    force: bool,
}

/// A file that features can be written to.
fn form(text: &str) -> Result<PathBuf, String> {
    match text.rsplit_once('.') {
        Some((_, "csv" | "safetensors")) => Ok(PathBuf::from(text)),
        _ => Err("write .safetensors or .csv".to_owned()),
    }
}

/// What was written.
#[derive(Serialize)]
struct Written {
    out: PathBuf,
    samples: usize,
    /// Values of a sample.
    width: usize,
    classes: Vec<String>,
    source: FeatureSource,
    left_out: usize,
}

impl std::fmt::Display for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { samples, width, left_out, .. } = self;
        writeln!(f, "features of {}", self.source)?;
        writeln!(f, "classes  {}", self.classes.join(", "))?;
        write!(
            f,
            "wrote {}: {samples} samples of {width} values, {left_out} broken images left out",
            self.out.display()
        )
    }
}

impl FeaturesCommand {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        distinct([self.out.as_path()], &[&self.model])?;
        new_place(&self.out, self.force)?;
        let place = Place::Layer(self.layer);
        let mut layers = Extractor::open(&self.model, &self.keyed, place, &self.device.open()?, self.seed)?;
        let dataset = self.open_data()?;
        Features::check_size(dataset.len(), layers.width())?;
        let (given, classes) = (dataset.len(), dataset.classes().to_vec());
        let (mut values, mut labels) = (Vec::with_capacity(given * layers.width()), Vec::with_capacity(given));
        let left_out = layers.run(dataset, |features, of| {
            values.extend(features);
            labels.extend(of);
            Ok(())
        })?;
        let features = Features::new(values, layers.width(), labels, classes, Some(layers.source().clone()))?;
        write(&features, &self.out)?;
        output.result(&Written {
            out: self.out.clone(),
            samples: features.len(),
            width: features.width(),
            classes: features.classes().to_vec(),
            source: layers.source().clone(),
            left_out,
        })
    }

    fn open_data(&self) -> Result<Dataset, Failure> {
        let all = open_dataset(&self.data, Some(self.split.as_deref().unwrap_or("train")))?;
        let Some(first) = self.first else { return Ok(all) };
        let first: Vec<usize> = (0..all.len().min(first.get())).collect();
        Ok(all.subset(&first)?)
    }
}

fn write(features: &Features, path: &Path) -> Result<(), Failure> {
    if path.extension().is_some_and(|end| end == "csv") {
        eprintln!("note: a table does not say which layers and classes it is of; .safetensors does");
        return Ok(features.write_csv(path)?);
    }
    Ok(features.write_safetensors(path)?)
}

//! `cleave import`: a network trained with PyTorch.

use crate::options::{DeviceOption, ModelOptions};
use crate::{Failure, Output};
use clap::{Args, ValueEnum};
use cleave_data::Preparation;
use cleave_nets::{Checkpoint, Header, ImportReport, KeyMapping, ModelCard, Published, Role, Training, import_network};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Bring in a network trained with PyTorch (.pt, .pth or safetensors)
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// State dict or safetensors
    weights: PathBuf,
    #[command(flatten)]
    model: ModelOptions,
    /// Class names, in the order of the outputs
    #[arg(long, value_delimiter = ',', required = true)]
    classes: Vec<String>,
    /// How keys find their places
    #[arg(long, value_enum, default_value_t = MapBy::Auto)]
    map_by: MapBy,
    /// TOML file of `"their key" = "our name"` lines, instead of --map-by
    #[arg(long)]
    map: Option<PathBuf>,
    /// Mean of each channel that was subtracted in training, in 0..1
    #[arg(long, value_delimiter = ',', default_value = "0.485,0.456,0.406")]
    mean: Vec<f32>,
    /// Deviation of each channel that was divided by in training
    #[arg(long, value_delimiter = ',', default_value = "0.229,0.224,0.225")]
    std: Vec<f32>,
    #[command(flatten)]
    device: DeviceOption,
    /// The model to write
    #[arg(long)]
    out: PathBuf,
}

/// Ways to map keys.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum MapBy {
    /// By our names or torchvision's, where the file has them, otherwise by order
    Auto,
    /// By name
    Name,
    /// By order
    Order,
}

/// What was imported.
#[derive(Serialize)]
struct Imported {
    out: PathBuf,
    #[serde(flatten)]
    report: ImportReport,
}

impl std::fmt::Display for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for mapped in &self.report.tensors {
            writeln!(f, "{:28} -> {:12} {:?}", mapped.from, mapped.to, mapped.shape)?;
        }
        write!(
            f,
            "wrote {}: {} tensors mapped by {}",
            self.out.display(),
            self.report.tensors.len(),
            self.report.mapped_by
        )
    }
}

impl Import {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let Published { architecture, keys } = self.model.published(self.classes.len())?;
        let (size, channels) = self.model.input();
        let plain = Preparation::new(size, size, channels);
        let preparation = plain.normalised(self.mean.clone(), self.std.clone());
        preparation.validate()?;
        let (network, report) =
            import_network(&self.weights, architecture.clone(), &self.mapping(keys)?, &self.device.open()?)?;
        let history = vec![serde_json::json!({ "run": "import", "mapped_by": report.mapped_by })];
        let (header, classes) = (Header::of(Role::Whole), self.classes.clone());
        let training = Training { history };
        let card =
            ModelCard { header, architecture, classes, preparation, training, defences: Vec::new(), confused: None };
        Checkpoint { card, network, glyphs: None }.save(&self.out)?;
        output.result(&Imported { out: self.out.clone(), report })
    }

    fn mapping(&self, published: BTreeMap<String, String>) -> Result<KeyMapping, Failure> {
        if let Some(path) = &self.map {
            let text = std::fs::read_to_string(path).map_err(|source| Failure::file(path, source))?;
            let names: BTreeMap<String, String> = toml::from_str(&text).map_err(|error| Failure::toml(path, &error))?;
            return Ok(KeyMapping::Given(names));
        }
        Ok(match self.map_by {
            MapBy::Auto => KeyMapping::Published(published),
            MapBy::Name => KeyMapping::ByName,
            MapBy::Order => KeyMapping::ByOrder,
        })
    }
}

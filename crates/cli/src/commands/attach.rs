//! `cleave attach`: a head in the place of a network's last layers.

use crate::features::attach;
use crate::model::KeyedModel;
use crate::options::{DeviceOption, distinct};
use crate::output::new_place;
use crate::{Failure, Output};
use clap::Args;
use cleave_nets::Head;
use serde::Serialize;
use std::path::PathBuf;

/// Put a head behind the layers that its features come from: a whole network, which the other commands take
#[derive(Args, Clone, Debug)]
pub struct Attach {
    /// The network that the features come from; one with confusion neurons needs --key, and the new one has none
    model: PathBuf,
    /// The head
    #[arg(long)]
    head: PathBuf,
    /// For a head that does not say where its features come from: behind this layer instead of before the last
    #[arg(long)]
    layer: Option<usize>,
    #[command(flatten)]
    keyed: KeyedModel,
    #[command(flatten)]
    device: DeviceOption,
    /// The network to write
    #[arg(long)]
    out: PathBuf,
    /// Overwrite a file that is there
    #[arg(long)]
    force: bool,
}

/// What was written.
#[derive(Serialize)]
struct Attached {
    out: PathBuf,
    classes: Vec<String>,
}

impl std::fmt::Display for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "wrote {}, which answers in the classes {}", self.out.display(), self.classes.join(", "))
    }
}

impl Attach {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        distinct([self.out.as_path()], &[&self.model, &self.head])?;
        new_place(&self.out, self.force)?;
        let device = self.device.open()?;
        let head = Head::load(&self.head, &device)?;
        let joined = attach(&self.model, &self.keyed, (&self.head, head), self.layer, &device)?;
        joined.save(&self.out)?;
        output.result(&Attached { out: self.out.clone(), classes: joined.card.classes })
    }
}

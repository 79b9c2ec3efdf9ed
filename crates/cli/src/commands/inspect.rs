//! `cleave inspect`: what a model file is.

use crate::gate::{self, defended, statement};
use crate::{Failure, Output};
use clap::Args;
use cleave_nets::{Architecture, FeatureSource, Features, HeadCard, ModelCard, Role, read_manifest};
use cleave_partition::{BackManifest, FrontManifest, Terms};
use serde::Serialize;
use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};

/// Say what a model file is, who may hold it, where it was cut, and what check and audit found
#[derive(Args, Clone, Debug)]
pub struct Inspect {
    /// The file
    file: PathBuf,
}

/// A file in words.
#[derive(Serialize)]
struct Description {
    file: PathBuf,
    holder: &'static str,
    #[serde(flatten)]
    content: Content,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content {
    Whole(Box<ModelCard>),
    Front(Box<FrontManifest>),
    Back(Box<BackManifest>),
    Head(Box<HeadCard>),
    Features(Box<Table>),
}

/// Features without their values.
#[derive(Serialize)]
struct Table {
    samples: usize,
    /// Values of a sample.
    width: usize,
    classes: Vec<String>,
    source: Option<FeatureSource>,
}

impl Table {
    fn read(file: &Path) -> Result<Self, Failure> {
        let features = Features::read(file)?;
        let (samples, width, classes) = (features.len(), features.width(), features.classes().to_vec());
        Ok(Self { samples, width, classes, source: features.source().cloned() })
    }
}

impl Inspect {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let (header, manifest) = read_manifest(&self.file)?;
        let unreadable = |error: serde_json::Error| cleave_nets::Error::Format {
            path: self.file.clone(),
            reason: error.to_string(),
        };
        let (holder, content) = match header.role {
            Role::Whole => {
                ("the provider alone", Content::Whole(serde_json::from_value(manifest).map_err(unreadable)?))
            }
            Role::Front => (
                "clients, and whoever they trust",
                Content::Front(serde_json::from_value(manifest).map_err(unreadable)?),
            ),
            Role::Back => ("the provider alone", Content::Back(serde_json::from_value(manifest).map_err(unreadable)?)),
            Role::Head => ("whoever trained it", Content::Head(serde_json::from_value(manifest).map_err(unreadable)?)),
            Role::Features => ("whoever may see the images", Content::Features(Box::new(Table::read(&self.file)?))),
        };
        output.result(&Description { file: self.file.clone(), holder, content })
    }
}

impl Display for Description {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match &self.content {
            Content::Whole(card) => {
                head(f, &self.file, "a whole network", self.holder)?;
                writeln!(f, "classes  {}", card.classes.join(", "))?;
                let shape = card.preparation.shape();
                writeln!(f, "input    {shape:?} (channels, height, width)")?;
                writeln!(f, "{}", defended(&card.defences))?;
                if let Some(key) = card.confused {
                    writeln!(f, "{}", gate::confused("the network has", key))?;
                }
                layers(f, &card.architecture)
            }
            Content::Front(front) => {
                head(f, &self.file, "the front half of a pair", self.holder)?;
                writeln!(f, "classes  {}", front.classes.join(", "))?;
                terms(f, &front.terms)?;
                layers(f, &front.architecture)
            }
            Content::Back(back) => {
                head(f, &self.file, "the back half of a pair", self.holder)?;
                terms(f, &back.terms)?;
                layers(f, &back.architecture)
            }
            Content::Head(card) => {
                head(f, &self.file, "a head, the last layer of a network", self.holder)?;
                writeln!(f, "classes  {}", card.classes.join(", "))?;
                source(f, card.source.as_ref())?;
                layers(f, &card.architecture)
            }
            Content::Features(table) => {
                head(f, &self.file, "features of labelled images", self.holder)?;
                writeln!(f, "classes  {}", table.classes.join(", "))?;
                source(f, table.source.as_ref())?;
                write!(f, "samples  {}, of {} values each", table.samples, table.width)
            }
        }
    }
}

fn head(f: &mut Formatter<'_>, file: &Path, what: &str, holder: &str) -> std::fmt::Result {
    writeln!(f, "{}: {what}", file.display())?;
    writeln!(f, "held by  {holder}")
}

fn source(f: &mut Formatter<'_>, source: Option<&FeatureSource>) -> std::fmt::Result {
    match source {
        Some(source) => writeln!(f, "features of {source}"),
        None => writeln!(f, "features of layers that are not named"),
    }
}

fn terms(f: &mut Formatter<'_>, terms: &Terms) -> std::fmt::Result {
    writeln!(f, "model    {}", terms.model)?;
    writeln!(f, "pair     {}", terms.pair)?;
    let cut = match &terms.lock {
        Some(_) => "before the first layer".to_owned(),
        None => format!("after layer {}", terms.cut),
    };
    writeln!(f, "cut      {cut}, sending {} values a sample", terms.smashed.values())?;
    if let Some(accepted) = gate::accepted(terms) {
        writeln!(f, "{accepted}")?;
    }
    writeln!(f, "{}\n{}", terms.leakage, statement(terms))
}

fn layers(f: &mut Formatter<'_>, architecture: &Architecture) -> std::fmt::Result {
    let shapes = architecture.shapes().unwrap_or_default();
    if let Some((index, spec)) = architecture.join() {
        writeln!(
            f,
            "signal   {:?} drawn as {:?}, scale {}, joins at list position {index}",
            spec.kind, spec.form, spec.scale
        )?;
    }
    let names: Vec<_> = architecture
        .numbered_layers()
        .iter()
        .map(|layer| format!("{} {}", layer.name, shapes[layer.range.end]))
        .collect();
    write!(f, "layers   {}", names.join(", "))
}

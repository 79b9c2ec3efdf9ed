//! `cleave inspect`: what a model file is.

use crate::gate::{self, defended, statement};
use crate::{Failure, Output};
use clap::Args;
use cleave_nets::{Architecture, ModelCard, Role, read_manifest};
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
        }
    }
}

fn head(f: &mut Formatter<'_>, file: &Path, what: &str, holder: &str) -> std::fmt::Result {
    writeln!(f, "{}: {what}", file.display())?;
    writeln!(f, "held by  {holder}")
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

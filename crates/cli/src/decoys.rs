//! Decoys: images of the client's own that each private image goes among.

use crate::Failure;
use crate::inputs::Inputs;
use clap::Args;
use cleave_data::Preparation;
use cleave_partition::guess_with_decoys;
use rand::Rng;
use rand::seq::SliceRandom;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Which decoys to send.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Decoys")]
pub struct DecoyOptions {
    /// Send each image among this many others, in random order, each with a signal of its own; costs D + 1 times as much
    #[arg(long, value_name = "D", requires = "decoy_pool", value_parser = clap::value_parser!(u16).range(1..=63))]
    decoys: Option<u16>,
    /// Images that decoys are drawn from, each once: of the same kind as the private ones, and used for nothing else
    #[arg(long, value_name = "PATH", requires = "decoys")]
    decoy_pool: Option<PathBuf>,
    /// How frequent each class is among the private images, in the network's order; without it as in the pool
    #[arg(long, value_name = "SHARE,...", requires = "decoys", value_delimiter = ',')]
    decoy_prior: Option<Vec<f64>>,
}

impl DecoyOptions {
    /// Decoys an image.
    pub fn count(&self) -> usize {
        self.decoys.map_or(0, usize::from)
    }

    /// The pool in a secret random order, large enough for as many images; `None` without decoys.
    pub fn open(
        &self,
        images: &[PathBuf],
        count: usize,
        classes: &[String],
        rng: &mut impl Rng,
    ) -> Result<Option<Pool>, Failure> {
        let Some(path) = &self.decoy_pool else { return Ok(None) };
        if let Some(prior) = &self.decoy_prior {
            guess_with_decoys(prior, &vec![1.0; classes.len()], 0)?; // refused before anything is sent
        }
        if images.iter().any(|image| overlap(image, path)) {
            return Err(Failure::PoolOfImages { path: path.clone() });
        }
        let inputs = Inputs::open(std::slice::from_ref(path), None, false)?;
        let (have, need) = (inputs.entries.len(), count * self.count());
        if have < need {
            return Err(Failure::SmallPool { have, need });
        }
        let mut left: Vec<usize> = (0..have).collect();
        left.shuffle(rng);
        Ok(Some(Pool { inputs, left, need }))
    }

    /// What the decoys hid.
    ///
    /// `seen`: how often each class was read from the answers for decoys.
    pub fn hidden(&self, pool: &Pool, classes: &[String], seen: &[usize]) -> Result<Hidden, Failure> {
        let counts = |counts: &[usize]| counts.iter().map(|&count| count as f64).collect::<Vec<_>>();
        let (frequencies, source) = match pool.class_counts(classes) {
            Some(classes) => (counts(&classes), "the classes of the pool"),
            None => (counts(seen), "the answers for the decoys"),
        };
        let prior = self.decoy_prior.as_ref().unwrap_or(&frequencies);
        let guess = |decoys| guess_with_decoys(prior, &frequencies, decoys);
        let label = guess(self.count())?;
        let unseen = prior.iter().copied().fold(0.0, f64::max) / prior.iter().sum::<f64>();
        let image = 1.0 / (self.count() + 1) as f64;
        Ok(Hidden { decoys: self.count(), image, label, unseen, frequencies: source })
    }
}

/// Whether one path lies in the other.
fn overlap(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one.starts_with(&other) || other.starts_with(&one),
        _ => false,
    }
}

/// Decoys that were not sent yet.
pub struct Pool {
    inputs: Inputs,
    left: Vec<usize>,
    need: usize,
}

impl Pool {
    /// Takes a decoy that was not taken before; one that cannot be read is named and passed over.
    pub fn take(&mut self, preparation: &Preparation) -> Result<Vec<f32>, Failure> {
        while let Some(index) = self.left.pop() {
            let entry = &self.inputs.entries[index];
            match self.inputs.prepared(entry, preparation) {
                Ok(image) => return Ok(image),
                Err(error) => eprintln!("no decoy: {}: {error}", entry.name),
            }
        }
        Err(Failure::SmallPool { have: self.inputs.entries.len(), need: self.need })
    }

    /// How often each class occurs, where every image of the pool has one of the network's.
    fn class_counts(&self, classes: &[String]) -> Option<Vec<usize>> {
        let mut counts = vec![0; classes.len()];
        for entry in &self.inputs.entries {
            counts[classes.iter().position(|class| entry.class.as_ref() == Some(class))?] += 1;
        }
        Some(counts)
    }
}

/// What decoys leave to somebody who reads the label of every image and cannot tell decoys from the rest.
#[derive(Debug, Serialize)]
pub struct Hidden {
    decoys: usize,
    /// Chance of naming the private image.
    image: f64,
    /// Chance of naming its label.
    label: f64,
    /// The same without having read anything.
    unseen: f64,
    /// What class frequencies were taken from.
    frequencies: &'static str,
}

impl std::fmt::Display for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { decoys, image, label, unseen, frequencies } = self;
        let [image, label, unseen] = [image, label, unseen].map(|share| 100.0 * share);
        writeln!(
            f,
            "each image went among {decoys} decoys: who reads every label still names an image's own in {label:.2} %,"
        )?;
        writeln!(
            f,
            "who reads none in {unseen:.2} % (frequencies from {frequencies}), and picks the image itself in {image:.2} %;"
        )?;
        write!(
            f,
            "all this only where nothing but the label tells a decoy: a pool of another kind, or one that was used before,\ngives the image away"
        )
    }
}

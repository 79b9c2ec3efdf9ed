//! Decoys: images of the client's own that each private image goes among.

use crate::Failure;
use crate::inputs::Inputs;
use clap::Args;
use cleave_data::Preparation;
use cleave_nets::Defence;
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

    /// Whether there are as many decoys as a pair asks for.
    pub fn check(&self, defences: &[Defence]) -> Result<(), Failure> {
        let asked = defences.iter().find_map(|defence| match defence {
            Defence::Decoys { count } => Some(usize::from(*count)),
            _ => None,
        });
        match asked {
            Some(asked) if self.count() < asked => Err(Failure::FewDecoys { asked, given: self.count() }),
            _ => Ok(()),
        }
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
        Ok(Some(Pool { inputs, left, each: self.count(), need }))
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

/// An image on its way through a request.
pub struct Item {
    /// Its place among the images to be labelled; `None` for a decoy.
    pub place: Option<usize>,
    /// As the network takes it.
    pub image: Vec<f32>,
}

/// Decoys that were not sent yet.
pub struct Pool {
    inputs: Inputs,
    left: Vec<usize>,
    each: usize,
    need: usize,
}

impl Pool {
    /// Puts images among their decoys, in a random order over all of them.
    pub fn hide(
        &mut self,
        items: &mut Vec<Item>,
        preparation: &Preparation,
        rng: &mut impl Rng,
    ) -> Result<(), Failure> {
        for _ in 0..items.len() * self.each {
            items.push(Item { place: None, image: self.take(preparation)? });
        }
        items.shuffle(rng);
        Ok(())
    }

    /// Takes a decoy that was not taken before; one that cannot be read is named and passed over.
    fn take(&mut self, preparation: &Preparation) -> Result<Vec<f32>, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    use std::collections::BTreeSet;

    #[test]
    fn an_image_is_as_often_in_one_place_as_in_another_and_no_decoy_is_sent_twice() {
        let folder = tempfile::tempdir().unwrap();
        let data = cleave_data::Shapes::new(2, 64, 9).unwrap().dataset("val", 8);
        for index in 0..8 {
            data.decode(index).unwrap().save_png(folder.path().join(format!("{index}.png"))).unwrap();
        }
        let options = DecoyOptions { decoys: Some(3), decoy_pool: Some(folder.path().to_owned()), decoy_prior: None };
        let preparation = Preparation::new(4, 4, 3);
        let item = |place| Item { place: Some(place), image: vec![] };
        let (mut at, mut first) = ([0usize; 8], BTreeSet::new());
        for seed in 0..400 {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let mut pool = options.open(&[], 2, &[], &mut rng).unwrap().unwrap();
            let mut items = vec![item(0), item(1)];
            pool.hide(&mut items, &preparation, &mut rng).unwrap();
            at[items.iter().position(|item| item.place == Some(0)).unwrap()] += 1;
            let decoys = items.iter().filter(|item| item.place.is_none());
            let distinct: BTreeSet<_> =
                decoys.map(|item| item.image.iter().map(|v| v.to_bits()).collect::<Vec<_>>()).collect();
            assert!(items.len() == 8 && distinct.len() == 6, "seed {seed}");
            first.insert(distinct);
        }
        // 50 expected in each place, of standard deviation 6.6; 28 choices of six decoys out of eight.
        assert!(at.iter().all(|count| (17..=83).contains(count)), "{at:?}");
        assert_eq!(first.len(), 28);
    }
}

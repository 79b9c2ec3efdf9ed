//! Images from folders, archives and files, with their names and, where they have any, classes.

use crate::Failure;
use cleave_data::{DataError, Dataset, Images, OpenOptions, Pixels, Preparation};
use std::path::{Path, PathBuf};

/// An image with its name and, in a labelled set, its class.
pub struct Entry {
    /// Its name in its set.
    pub name: String,
    /// Its class.
    pub class: Option<String>,
    set: usize,
    index: usize,
}

enum Set {
    Labelled(Dataset),
    Plain(Images),
}

/// Images of several sets in one row.
pub struct Inputs {
    sets: Vec<Set>,
    /// All of them, in the order given.
    pub entries: Vec<Entry>,
}

impl Inputs {
    /// Lists the images at some paths; with a split, that of labelled sets.
    pub fn open(paths: &[PathBuf], split: Option<&str>, strict: bool) -> Result<Self, Failure> {
        let mut inputs = Self { sets: vec![], entries: vec![] };
        for path in paths {
            let options = OpenOptions { strict, split: split.map(str::to_owned), ..OpenOptions::default() };
            match Dataset::open(path, &options) {
                Err(error) if split.is_some() => return Err(error.into()),
                Ok(data) if split.is_some() || (data.skipped().unlabelled == 0 && holds_many(path)) => {
                    let class = |index| data.label(index).map(|label| data.classes()[label].clone());
                    inputs.list(data.len(), |index| (data.name(index), class(index)));
                    inputs.sets.push(Set::Labelled(data));
                }
                _ => {
                    let images = Images::open(path)?;
                    inputs.list(images.len(), |index| (images.name(index), None));
                    inputs.sets.push(Set::Plain(images));
                }
            }
        }
        Ok(inputs)
    }

    /// Adds the entries of the set that comes next.
    fn list(&mut self, count: usize, describe: impl Fn(usize) -> (String, Option<String>)) {
        let set = self.sets.len();
        self.entries.extend((0..count).map(|index| {
            let (name, class) = describe(index);
            Entry { name, class, set, index }
        }));
    }

    /// An image as it was decoded.
    pub fn pixels(&self, entry: &Entry) -> Result<Pixels, DataError> {
        match &self.sets[entry.set] {
            Set::Labelled(data) => data.decode(entry.index),
            Set::Plain(plain) => plain.decode(entry.index),
        }
    }

    /// An image as a network takes it.
    pub fn prepared(&self, entry: &Entry, preparation: &Preparation) -> Result<Vec<f32>, DataError> {
        preparation.prepare(&self.pixels(entry)?)
    }
}

/// Whether a path is a folder or an archive, and not one image.
fn holds_many(path: &Path) -> bool {
    !path.is_file() || path.extension().is_some_and(|end| ["tar", "gz", "tgz"].iter().any(|archive| end == *archive))
}

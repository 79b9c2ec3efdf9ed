//! `cleave encrypt-images`: keyed images as files that people can look at.

use crate::inputs::{Entry, Inputs};
use crate::options::DeviceOption;
use crate::secret::PassphraseOption;
use crate::{Failure, Output};
use clap::Args;
use cleave_keyed::Scramble;
use cleave_partition::FrontHalf;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Write images as a locked network's provider gets them; `cleave infer` does the same in memory
#[derive(Args, Clone, Debug)]
pub struct EncryptImages {
    /// Images, folders or tars
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The client's file of a locked pair
    #[arg(long)]
    front: PathBuf,
    /// The pair's key
    #[arg(long)]
    key: PathBuf,
    /// Folder for the PNG files, in a folder for each class where the images have any; new or empty
    #[arg(long)]
    out: PathBuf,
    /// Of a labelled set, take this split only
    #[arg(long)]
    split: Option<String>,
    /// At most this many images
    #[arg(long)]
    limit: Option<usize>,
    /// Stop at the first broken image instead of naming and leaving it out
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    passphrase: PassphraseOption,
    #[command(flatten)]
    device: DeviceOption,
}

/// What was written.
#[derive(Serialize)]
struct Written {
    out: PathBuf,
    images: usize,
    left_out: usize,
}

impl std::fmt::Display for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} images in {}, {} left out", self.images, self.out.display(), self.left_out)
    }
}

impl EncryptImages {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let front = FrontHalf::load(&self.front, &self.device.open()?)?;
        let lock = front.manifest().terms.lock.as_ref().ok_or(cleave_partition::Error::NotLocked)?;
        let inputs = Inputs::open(&self.images, self.split.as_deref(), self.strict)?;
        let scramble = Scramble::new(&self.passphrase.open(&self.key)?, lock)?;
        self.prepare_folder()?;
        let (mut written, mut left_out) = (BTreeSet::new(), 0);
        for entry in inputs.entries.iter().take(self.limit.unwrap_or(usize::MAX)) {
            let pixels = inputs.pixels(entry).and_then(|image| front.manifest().preparation.fit_pixels(&image));
            let pixels = match pixels {
                Ok(pixels) => pixels,
                Err(error) if self.strict => return Err(error.into()),
                Err(error) => {
                    eprintln!("left out {}: {error}", entry.name);
                    left_out += 1;
                    continue;
                }
            };
            let path = self.place(entry, &mut written);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(|source| Failure::file(folder, source))?;
            }
            cleave_nets::write_atomically(&path, &scramble.apply_pixels(&pixels)?.to_png()?)?;
        }
        if written.is_empty() {
            return Err(Failure::AllBroken { count: left_out });
        }
        output.result(&Written { out: self.out.clone(), images: written.len(), left_out })
    }

    fn prepare_folder(&self) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.out).map_err(|source| Failure::file(&self.out, source))?;
        let mut files = std::fs::read_dir(&self.out).map_err(|source| Failure::file(&self.out, source))?;
        if files.next().is_some() { Err(Failure::FolderInUse { path: self.out.clone() }) } else { Ok(()) }
    }

    /// A name of its own for each image, by its class and its old name.
    fn place(&self, entry: &Entry, taken: &mut BTreeSet<PathBuf>) -> PathBuf {
        let folder = entry.class.as_ref().map_or_else(|| self.out.clone(), |class| self.out.join(class));
        let stem = Path::new(&entry.name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let numbered = |number: usize| match number {
            0 => folder.join(format!("{stem}.png")),
            _ => folder.join(format!("{stem}-{number}.png")),
        };
        let path = (0..).map(numbered).find(|path| !taken.contains(path)).unwrap_or_default();
        taken.insert(path.clone());
        path
    }
}

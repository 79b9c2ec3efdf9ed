//! Where pixels come from. A source numbers its images and hands out one at a time, on any thread.

mod archive;
mod cifar;
mod folder;
mod idx;
mod names;

use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use cifar::open as open_cifar;
use folder::list as list_folder;
pub(crate) use idx::{open as open_idx, read_split};
pub(crate) use names::{Kind, by_name, is_image, split_name};

use crate::{DataError, Pixels, Skipped};
use archive::SharedFile;

/// The largest image file that is read: far above any photograph.
const LARGEST_FILE: u64 = 256 << 20;

/// A numbered set of images.
pub(crate) trait Source: fmt::Debug + Send + Sync {
    /// The name of image `at`; an index out of range gives an empty name.
    fn name(&self, at: usize) -> String;
    /// Decodes image `at`.
    fn pixels(&self, at: usize) -> Result<Pixels, DataError>;
}

/// One sample before any choice is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) at: usize,
    pub(crate) label: usize,
    pub(crate) split: usize,
}

/// What a layout was found to hold.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) source: std::sync::Arc<dyn Source>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) classes: Vec<String>,
    pub(crate) splits: Vec<String>,
    pub(crate) skipped: Skipped,
}

/// Encoded image files: in a folder, in a tar read by position, or held in memory.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) entries: Vec<Entry>,
    pub(crate) skipped: Skipped,
    store: Store,
}

/// An image file: its path below the root with `/` between the parts, and where its bytes are.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) place: Place,
}

#[derive(Debug)]
pub(crate) enum Place {
    File(PathBuf),
    Span { offset: u64, len: u64 },
}

#[derive(Debug)]
enum Store {
    Disk,
    Archive(SharedFile),
    Memory(Vec<u8>),
}

impl Encoded {
    /// Lists a folder, a tar or a gzipped tar; the entries are sorted by name.
    pub(crate) fn open(path: &Path, memory: u64) -> Result<Self, DataError> {
        let mut encoded = if path.is_dir() { list_folder(path)? } else { archive::open(path, memory)? };
        // An archive may hold a name twice: the later one counts, as when it is unpacked.
        encoded.entries.reverse();
        encoded.entries.sort_by(|a, b| a.name.cmp(&b.name));
        encoded.entries.dedup_by(|a, b| a.name == b.name);
        Ok(encoded)
    }

    pub(crate) fn of_files(paths: &[PathBuf]) -> Self {
        let entry = |path: &PathBuf| Entry { name: path.display().to_string(), place: Place::File(path.clone()) };
        Self { entries: paths.iter().map(entry).collect(), skipped: Skipped::default(), store: Store::Disk }
    }

    fn bytes(&self, entry: &Entry) -> Result<Vec<u8>, DataError> {
        match (&entry.place, &self.store) {
            (Place::File(path), _) => read_file(path, &entry.name),
            (&Place::Span { offset, len }, Store::Archive(file)) => {
                check_size(&entry.name, len)?;
                file.read(offset, len)
            }
            (&Place::Span { offset, len }, Store::Memory(bytes)) => {
                let span = offset as usize..(offset + len) as usize;
                Ok(bytes.get(span).unwrap_or_default().to_vec())
            }
            (Place::Span { .. }, Store::Disk) => Ok(Vec::new()),
        }
    }
}

impl Source for Encoded {
    fn name(&self, at: usize) -> String {
        self.entries.get(at).map(|entry| entry.name.clone()).unwrap_or_default()
    }

    fn pixels(&self, at: usize) -> Result<Pixels, DataError> {
        let len = self.entries.len();
        let entry = self.entries.get(at).ok_or(DataError::Index { index: at, len })?;
        Pixels::from_encoded(&entry.name, &self.bytes(entry)?)
    }
}

fn read_file(path: &Path, name: &str) -> Result<Vec<u8>, DataError> {
    let len = std::fs::metadata(path).map_err(DataError::io(path))?.len();
    check_size(name, len)?;
    std::fs::read(path).map_err(DataError::io(path))
}

fn check_size(name: &str, needed: u64) -> Result<(), DataError> {
    if needed <= LARGEST_FILE {
        return Ok(());
    }
    Err(DataError::FileTooLarge { name: name.to_owned(), needed, limit: LARGEST_FILE })
}

/// Images of one size that lie in memory, without encoding.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) names: RawNames,
    pub(crate) images: Vec<Pixels>,
}

/// How images without a file of their own are named.
#[derive(Debug)]
pub(crate) enum RawNames {
    /// A prefix and the running number.
    Numbered(String),
    /// For every file its name and the number of its first image, in ascending order.
    Records(Vec<(String, usize)>),
}

impl Source for Raw {
    fn name(&self, at: usize) -> String {
        match &self.names {
            RawNames::Numbered(prefix) => format!("{prefix}/{at}"),
            RawNames::Records(files) => record_name(files, at),
        }
    }

    fn pixels(&self, at: usize) -> Result<Pixels, DataError> {
        let len = self.images.len();
        self.images.get(at).cloned().ok_or(DataError::Index { index: at, len })
    }
}

fn record_name(files: &[(String, usize)], at: usize) -> String {
    let file = files.iter().rev().find(|(_, first)| *first <= at);
    file.map(|(name, first)| format!("{name}/{}", at - first)).unwrap_or_default()
}

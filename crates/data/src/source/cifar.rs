use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Found, Raw, RawNames, Sample};
use crate::{DataError, Pixels, Skipped};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
/// One label byte, then the red, the green and the blue plane.
const RECORD: usize = 1 + 3 * PLANE;
/// The records of one file that are held in memory: over thirty times an original file.
const MOST_BYTES: u64 = 1 << 30;
const CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
/// The splits, sorted; `test_batch.bin` is the first, `data_batch_*.bin` the second.
const SPLITS: [&str; 2] = ["test", "train"];

/// Reads CIFAR-10 binary files, here or in the folder they are unpacked to; `None` when there are
/// none. The order of the labels is the original one, which is also the sorted one.
pub(crate) fn open(folder: &Path) -> Result<Option<Found>, DataError> {
    let inner = folder.join("cifar-10-batches-bin");
    let folder = if inner.is_dir() { inner } else { folder.to_owned() };
    let files = batch_files(&folder)?;
    let (mut images, mut samples, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
    for (path, split) in &files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        firsts.push((name.into_owned(), images.len()));
        for (record, bytes) in records(path)?.chunks_exact(RECORD).enumerate() {
            let (label, at) = (usize::from(bytes[0]), images.len());
            check_label(path, record, label)?;
            images.push(interleaved(&bytes[1..])?);
            let split = *split;
            samples.push(Sample { at, label, split });
        }
    }
    let names = RawNames::Records(firsts);
    Ok((!files.is_empty()).then(|| Found {
        source: Arc::new(Raw { names, images }),
        samples,
        classes: CLASSES.map(str::to_owned).to_vec(),
        splits: SPLITS.map(str::to_owned).to_vec(),
        skipped: Skipped::default(),
    }))
}

/// The batch files of a folder, sorted, each with its split.
fn batch_files(folder: &Path) -> Result<Vec<(PathBuf, usize)>, DataError> {
    let mut files = Vec::new();
    for item in fs::read_dir(folder).map_err(DataError::io(folder))? {
        let path = item.map_err(DataError::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name == "test_batch.bin" {
            files.push((path, 0));
        } else if name.starts_with("data_batch_") && name.ends_with(".bin") {
            files.push((path, 1));
        }
    }
    files.sort();
    Ok(files)
}

fn records(path: &Path) -> Result<Vec<u8>, DataError> {
    let len = fs::metadata(path).map_err(DataError::io(path))?.len();
    if len > MOST_BYTES {
        return Err(DataError::TooLarge { path: path.to_owned(), needed: len, limit: MOST_BYTES });
    }
    let bytes = fs::read(path).map_err(DataError::io(path))?;
    if bytes.is_empty() || bytes.len() % RECORD != 0 {
        return Err(DataError::Length {
            path: path.to_owned(),
            expected: (bytes.len().div_ceil(RECORD).max(1) * RECORD) as u64,
            got: bytes.len() as u64,
        });
    }
    Ok(bytes)
}

fn check_label(path: &Path, record: usize, label: usize) -> Result<(), DataError> {
    let classes = CLASSES.len();
    if label < classes {
        return Ok(());
    }
    Err(DataError::LabelRange { path: path.to_owned(), record, label, classes })
}

fn interleaved(planes: &[u8]) -> Result<Pixels, DataError> {
    let pixel = |at| [planes[at], planes[PLANE + at], planes[2 * PLANE + at]];
    let data = (0..PLANE).flat_map(pixel).collect();
    Pixels::new(SIDE, SIDE, 3, data)
}

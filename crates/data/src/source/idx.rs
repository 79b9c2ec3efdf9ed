use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::{Found, Raw, RawNames, Sample};
use crate::{DataError, Pixels, Skipped};

const IMAGES_MAGIC: u32 = 0x0000_0803;
const LABELS_MAGIC: u32 = 0x0000_0801;
/// The pixels of one idx file that are held in memory: twenty times MNIST.
const MOST_BYTES: u64 = 1 << 30;
const DIGITS: usize = 10;

/// The name of each split and how its files begin.
const SPLITS: [(&str, &[&str]); 2] = [("test", &["t10k", "test"]), ("train", &["train"])];

/// Images `[count, height, width]` and their labels.
#[derive(Debug)]
pub(crate) struct IdxImages {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) data: Vec<u8>,
    pub(crate) labels: Vec<usize>,
}

/// Reads the idx files of a folder, gzipped or not; `None` when it holds no such files.
pub(crate) fn open(folder: &Path) -> Result<Option<Found>, DataError> {
    let mut raw = Raw { names: RawNames::Records(Vec::new()), images: Vec::new() };
    let (mut samples, mut splits, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
    for (name, _) in SPLITS {
        let Some(set) = read_split(folder, name)? else {
            continue;
        };
        let (first, split) = (raw.images.len(), splits.len());
        firsts.push((name.to_owned(), first));
        splits.push(name.to_owned());
        let labels = set.labels.iter().enumerate();
        samples.extend(labels.map(|(at, &label)| Sample { at: first + at, label, split }));
        for pixels in set.data.chunks_exact(set.height * set.width) {
            raw.images.push(Pixels::new(set.width, set.height, 1, pixels.to_vec())?);
        }
    }
    raw.names = RawNames::Records(firsts);
    Ok((!splits.is_empty()).then(|| Found {
        source: Arc::new(raw),
        samples,
        classes: (0..DIGITS).map(|digit| digit.to_string()).collect(),
        splits,
        skipped: Skipped::default(),
    }))
}

/// Reads one split, `train` or `test`; `None` when the folder does not hold its images.
pub(crate) fn read_split(folder: &Path, split: &str) -> Result<Option<IdxImages>, DataError> {
    let starts = SPLITS.iter().find(|(name, _)| *name == split);
    let starts = starts.map(|(_, starts)| *starts).unwrap_or_default();
    let Some(images) = find(folder, starts, "images", 3) else {
        return Ok(None);
    };
    let missing = folder.join(format!("{}-labels-idx1-ubyte", starts[0]));
    let labels = find(folder, starts, "labels", 1).unwrap_or(missing);
    let ([count, height, width], data) = read::<3>(&images, IMAGES_MAGIC)?;
    let (_, label_bytes) = read::<1>(&labels, LABELS_MAGIC)?;
    let numbers: Vec<usize> = label_bytes.into_iter().map(usize::from).collect();
    check_labels(&labels, &numbers, count)?;
    Ok(Some(IdxImages { height, width, data, labels: numbers }))
}

fn check_labels(path: &Path, labels: &[usize], images: usize) -> Result<(), DataError> {
    if labels.len() != images {
        return Err(DataError::LabelCount { path: path.to_owned(), images, labels: labels.len() });
    }
    match labels.iter().position(|&label| label >= DIGITS) {
        None => Ok(()),
        Some(record) => {
            Err(DataError::LabelRange { path: path.to_owned(), record, label: labels[record], classes: DIGITS })
        }
    }
}

/// `train-images-idx3-ubyte`, with a dot for the second hyphen as some copies have it, and `.gz`.
fn find(folder: &Path, starts: &[&str], what: &str, rank: usize) -> Option<PathBuf> {
    let names = starts.iter().flat_map(|start| {
        ["-", "."]
            .into_iter()
            .flat_map(move |dot| ["", ".gz"].map(|end| format!("{start}-{what}{dot}idx{rank}-ubyte{end}")))
    });
    names.map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Reads an idx file of bytes: big-endian magic, one length a dimension, then the bytes.
fn read<const RANK: usize>(path: &Path, magic: u32) -> Result<([usize; RANK], Vec<u8>), DataError> {
    let file = BufReader::new(File::open(path).map_err(DataError::io(path))?);
    let gzipped = path.extension().is_some_and(|end| end == "gz");
    let mut input: Box<dyn Read> = match gzipped {
        true => Box::new(MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    let header = take(&mut input, 4 + 4 * RANK as u64, path)?;
    if number(&header, 0) != magic {
        return Err(DataError::Magic { path: path.to_owned(), expected: magic, got: number(&header, 0) });
    }
    let dims: [usize; RANK] = std::array::from_fn(|dim| number(&header, dim + 1) as usize);
    let needed = checked_size(&dims, path)?;
    let bytes = take(&mut input, needed, path)?;
    let more = input.take(1).read_to_end(&mut Vec::new());
    match more.map_err(DataError::io(path))? {
        0 => Ok((dims, bytes)),
        _ => Err(DataError::Length { path: path.to_owned(), expected: needed, got: needed + 1 }),
    }
}

/// The bytes that the dimensions ask for.
fn checked_size(dims: &[usize], path: &Path) -> Result<u64, DataError> {
    let needed = dims.iter().fold(1_u64, |all, &dim| all.saturating_mul(dim as u64));
    match needed {
        0 => Err(DataError::EmptyFile { path: path.to_owned() }),
        _ if needed > MOST_BYTES => Err(DataError::TooLarge { path: path.to_owned(), needed, limit: MOST_BYTES }),
        _ => Ok(needed),
    }
}

fn take(input: &mut impl Read, expected: u64, path: &Path) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    let read = input.take(expected).read_to_end(&mut bytes);
    let got = read.map_err(DataError::io(path))? as u64;
    if got == expected {
        return Ok(bytes);
    }
    Err(DataError::Length { path: path.to_owned(), expected, got })
}

fn number(header: &[u8], at: usize) -> u32 {
    let bytes = header.iter().skip(4 * at).take(4);
    bytes.fold(0, |number, &byte| number << 8 | u32::from(byte))
}

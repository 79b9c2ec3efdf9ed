use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::names::{Kind, kind_of};
use super::{Encoded, Entry, Place, Store, check_size};
use crate::{DataError, Skipped};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Where a tar header says `ustar`, in bytes.
const TAR_MAGIC: std::ops::Range<usize> = 257..262;

/// A file that several threads read at once, each at its own position.
#[derive(Debug)]
pub(super) struct SharedFile {
    path: PathBuf,
    #[cfg(unix)]
    file: File,
    #[cfg(not(unix))]
    file: std::sync::Mutex<File>,
}

impl SharedFile {
    #[cfg(unix)]
    fn new(path: &Path, file: File) -> Self {
        let path = path.to_owned();
        Self { path, file }
    }

    #[cfg(not(unix))]
    fn new(path: &Path, file: File) -> Self {
        let (path, file) = (path.to_owned(), std::sync::Mutex::new(file));
        Self { path, file }
    }

    pub(super) fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = vec![0; len as usize];
        self.fill(&mut bytes, offset).map_err(DataError::io(&self.path))?;
        Ok(bytes)
    }

    #[cfg(unix)]
    fn fill(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, offset)
    }

    #[cfg(not(unix))]
    fn fill(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }
}

/// Lists a tar by position, or reads the images of a gzipped tar into memory.
pub(super) fn open(path: &Path, memory: u64) -> Result<Encoded, DataError> {
    let mut file = File::open(path).map_err(DataError::io(path))?;
    let start = first_bytes(&mut file).map_err(DataError::io(path))?;
    if start.starts_with(&GZIP_MAGIC) {
        return inflate(path, file, memory);
    }
    if start.get(TAR_MAGIC) == Some(b"ustar") {
        return index(path, file);
    }
    Err(DataError::UnknownLayout { path: path.to_owned() })
}

fn first_bytes(file: &mut File) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    file.by_ref().take(TAR_MAGIC.end as u64).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(start)
}

fn index(path: &Path, file: File) -> Result<Encoded, DataError> {
    let length = file.metadata().map_err(DataError::io(path))?.len();
    let mut skipped = Skipped::default();
    let mut entries = Vec::new();
    let mut archive = tar::Archive::new(BufReader::new(&file));
    for entry in archive.entries_with_seek().map_err(DataError::io(path))? {
        let entry = entry.map_err(DataError::io(path))?;
        let (offset, len) = (entry.raw_file_position(), entry.size());
        let Some(name) = image_name(&entry, &mut skipped) else {
            continue;
        };
        let end = offset.saturating_add(len);
        if end > length {
            return Err(DataError::ArchiveCut { path: path.to_owned(), name, expected: end, got: length });
        }
        let place = Place::Span { offset, len };
        entries.push(Entry { name, place });
    }
    drop(archive);
    let store = Store::Archive(SharedFile::new(path, file));
    Ok(Encoded { entries, skipped, store })
}

fn inflate(path: &Path, file: File, memory: u64) -> Result<Encoded, DataError> {
    let mut skipped = Skipped::default();
    let (mut entries, mut bytes) = (Vec::new(), Vec::new());
    let mut archive = tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)));
    for entry in archive.entries().map_err(DataError::io(path))? {
        let mut entry = entry.map_err(DataError::io(path))?;
        let Some(name) = image_name(&entry, &mut skipped) else {
            continue;
        };
        let place = append(path, &name, &mut entry, &mut bytes, memory)?;
        entries.push(Entry { name, place });
    }
    bytes.shrink_to_fit();
    let store = Store::Memory(bytes);
    Ok(Encoded { entries, skipped, store })
}

/// Reads one file of an archive to the end of `bytes`, which may not outgrow `memory`.
fn append<R: Read>(
    path: &Path,
    name: &str,
    entry: &mut tar::Entry<'_, R>,
    bytes: &mut Vec<u8>,
    memory: u64,
) -> Result<Place, DataError> {
    let (offset, len) = (bytes.len() as u64, entry.size());
    check_size(name, len)?;
    let expected = offset.saturating_add(len);
    if expected > memory {
        return Err(DataError::TooLarge { path: path.to_owned(), needed: expected, limit: memory });
    }
    entry.read_to_end(bytes).map_err(DataError::io(path))?;
    let got = bytes.len() as u64;
    if got != expected {
        return Err(DataError::ArchiveCut { path: path.to_owned(), name: name.to_owned(), expected, got });
    }
    Ok(Place::Span { offset, len })
}

/// The entry's name when it is an image file; anything else is counted, folders are not.
fn image_name<R: Read>(entry: &tar::Entry<'_, R>, skipped: &mut Skipped) -> Option<String> {
    if entry.header().entry_type().is_dir() {
        return None;
    }
    let path = entry.path_bytes();
    let name = std::str::from_utf8(&path).ok();
    let name = name.map(|name| name.trim_start_matches("./"));
    match name.filter(|_| entry.header().entry_type().is_file()) {
        Some(name) => match kind_of(name) {
            Kind::Image => return Some(name.to_owned()),
            kind => skipped.count(kind),
        },
        None => skipped.count(Kind::Other),
    }
    None
}

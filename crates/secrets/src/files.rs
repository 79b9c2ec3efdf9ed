use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::{
    Contents, Cost, Error, KeyId, Protection, Result, Secret, open, seal,
    text::{KeyFile, MAX_FILE, Shield},
};

/// What to do with a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave it and fail with [`Error::Exists`].
    Keep,
    /// Put the new one in its place, in one step. What it held is lost.
    Replace,
}

/// What a key file says of itself without a passphrase. None of it is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// What it was made for.
    pub purpose: String,
    /// The name of the secret in it, if it was given one.
    pub key: Option<KeyId>,
    /// What a guess at the passphrase costs; `None` if the file is in clear text.
    pub sealed: Option<Cost>,
}

impl Label {
    /// Reads it from the text of a key file.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::NotAKeyFile`], [`Error::NewerVersion`], [`Error::Field`],
    /// [`Error::TooLarge`].
    pub fn read(text: &[u8]) -> Result<Self> {
        let file = KeyFile::parse(text)?;
        let sealed = match file.protection {
            Shield::Sealed { cost, .. } => Some(cost),
            Shield::Clear { .. } => None,
        };
        Ok(Self { purpose: file.purpose.into(), key: file.key, sealed })
    }

    /// Reads it from a file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; the same as [`Label::read`] in [`Error::InFile`].
    pub fn load(path: &Path) -> Result<Self> {
        Self::read(&read(path)?).map_err(in_file(path))
    }
}

/// Writes a key file that only its owner can read (on Unix; elsewhere the folder decides).
///
/// It is written under a temporary name beside `path`, synced, and only then gets its name: nobody
/// ever finds half a file. A crash may leave the temporary file (`.cleave-….tmp`) behind, which
/// holds the same as the file would.
///
/// # Errors
///
/// [`Error::Exists`], [`Error::Io`]; the same as [`seal`] in [`Error::InFile`].
pub fn save(
    path: &Path,
    contents: &Contents,
    purpose: &str,
    protection: Protection<'_>,
    existing: Existing,
) -> Result<()> {
    let text = seal(contents, purpose, protection).map_err(in_file(path))?;
    write_file(path, &text, existing)
}

/// Writes bytes of any kind as [`save`] writes a key file: readable by its owner alone, and whole or not at all.
///
/// # Errors
///
/// [`Error::Exists`], [`Error::Io`].
pub fn write_file(path: &Path, bytes: &[u8], existing: Existing) -> Result<()> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path: path.into() },
        _ => Error::Io { action: "write", path: path.into(), source },
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Readable by its owner only from the first moment on; dropped, it is removed.
    let mut draft = tempfile::Builder::new().prefix(".cleave-").suffix(".tmp").tempfile_in(folder).map_err(failed)?;
    draft.write_all(bytes).and_then(|()| draft.as_file().sync_all()).map_err(failed)?;
    give_name(draft, path, existing).map_err(failed)?;
    sync_folder(folder).map_err(|source| Error::Io { action: "sync the folder of", path: path.into(), source })
}

/// Reads a key file that was made for `purpose`.
///
/// # Errors
///
/// [`Error::Io`]; the same as [`open`] in [`Error::InFile`].
pub fn load(path: &Path, purpose: &str, passphrase: Option<&str>) -> Result<Contents> {
    open(&read(path)?, purpose, passphrase).map_err(in_file(path))
}

impl Secret {
    /// Writes a key file with this secret alone; see [`save`].
    ///
    /// # Errors
    ///
    /// The same as [`save`].
    pub fn save(&self, path: &Path, purpose: &str, protection: Protection<'_>, existing: Existing) -> Result<()> {
        save(path, &self.into(), purpose, protection, existing)
    }

    /// Reads a key file that holds a secret alone; see [`load`].
    ///
    /// # Errors
    ///
    /// The same as [`load`]; [`Error::NotASecret`] and [`Error::OtherSecret`] in [`Error::InFile`].
    pub fn load(path: &Path, purpose: &str, passphrase: Option<&str>) -> Result<Self> {
        load(path, purpose, passphrase)?.secret().map_err(in_file(path))
    }
}

fn in_file(path: &Path) -> impl Fn(Error) -> Error {
    move |error| Error::InFile { path: path.into(), source: Box::new(error) }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |source| Error::Io { action: "read", path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    // What a file says of its own length is only a hint: it may be a device, or grow.
    let hint = file.metadata().map_err(failed)?.len().min(MAX_FILE as u64) as usize;
    // One byte more than there should be lets the reader see the end without growing the vector,
    // which would leave a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(hint + 1));
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

fn give_name(draft: NamedTempFile, path: &Path, existing: Existing) -> io::Result<()> {
    let named = match existing {
        Existing::Keep => draft.persist_noclobber(path),
        Existing::Replace => draft.persist(path),
    };
    named.map(drop).map_err(|error| error.error)
}

/// Without this a power failure could take the name away again.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

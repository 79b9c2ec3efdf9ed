//! Results on stdout, as text or as JSON.

use crate::Failure;
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;
use std::path::Path;

/// Looks, before long work, whether its result can be written to `path`.
///
/// # Errors
/// [`Failure::Network`] where there is no such folder, nothing can be written there, or `path` is one.
pub fn place_for(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let tried = match (folder.is_dir(), path.is_dir()) {
        (true, false) => try_writing(folder),
        (true, true) => Err(std::io::Error::other("it is a folder")),
        (false, _) => Err(std::io::Error::other(format!("there is no folder {}", folder.display()))),
    };
    tried.map_err(|source| cleave_nets::Error::Io { action: "write", path: path.to_owned(), source }.into())
}

/// As [`place_for`], and a file that is there stays unless it may be overwritten.
///
/// # Errors
/// [`Failure::Partition`] for a file that is there; those of [`place_for`].
pub fn new_place(path: &Path, force: bool) -> Result<(), Failure> {
    place_for(path)?;
    if path.exists() && !force {
        return Err(cleave_partition::Error::Exists { path: path.to_owned() }.into());
    }
    Ok(())
}

fn try_writing(folder: &Path) -> std::io::Result<()> {
    let trial = folder.join(format!(".cleave-{}", std::process::id()));
    std::fs::File::create_new(&trial)?;
    std::fs::remove_file(trial)
}

/// How results are printed.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// As JSON.
    pub json: bool,
}

impl Output {
    /// Prints a result.
    pub fn result<T: Display + Serialize>(&self, result: &T) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        match self.json {
            true => writeln!(stdout, "{}", serde_json::to_string_pretty(result)?)?,
            false => writeln!(stdout, "{result}")?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_in_a_folder_that_can_be_written_to() {
        let folder = tempfile::tempdir().unwrap();
        place_for(&folder.path().join("new.json")).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is left behind");
        let said = |path: &Path| place_for(path).unwrap_err().to_string();
        assert!(said(folder.path()).contains("it is a folder"));
        assert!(said(&folder.path().join("none/new.json")).contains("there is no folder"));
        #[cfg(target_os = "linux")]
        assert!(said(Path::new("/proc/new.json")).contains("cannot write"));
    }
}

//! Results on stdout, as text or as JSON.

use crate::Failure;
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;
use std::path::Path;

/// Whether there is a folder for a file that is to be written after long work.
pub fn place_for(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() {
        return Ok(());
    }
    let source = std::io::Error::new(std::io::ErrorKind::NotFound, format!("there is no folder {}", folder.display()));
    Err(cleave_nets::Error::Io { action: "write", path: path.to_owned(), source }.into())
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

//! Results on stdout, as text or as JSON.

use crate::Failure;
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;
use std::path::Path;

/// Looks, before long work, whether its result can be written to `path`.
///
/// # Errors
/// [`Failure::Network`] where there is no such folder, or `path` is one.
pub fn place_for(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let reason = match (folder.is_dir(), path.is_dir()) {
        (true, false) => return Ok(()),
        (true, true) => "it is a folder".to_owned(),
        (false, _) => format!("there is no folder {}", folder.display()),
    };
    let source = std::io::Error::other(reason);
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

//! Results on stdout, as text or as JSON.

use crate::Failure;
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;

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

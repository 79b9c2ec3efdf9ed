use super::{Error, Result};

/// What is left of a message.
pub(super) struct Fields<'a> {
    pub(super) bytes: &'a [u8],
    total: usize,
}

impl<'a> Fields<'a> {
    /// The body of a message of `total` bytes.
    pub(super) fn new(body: &'a [u8], total: usize) -> Self {
        Self { bytes: body, total }
    }

    pub(super) fn array<const N: usize>(&mut self, message: &'static str) -> Result<[u8; N]> {
        let Some((taken, rest)) = self.bytes.split_first_chunk() else {
            return Err(length(message, self.total, format!("{} or more", self.total - self.bytes.len() + N)));
        };
        self.bytes = rest;
        Ok(*taken)
    }

    pub(super) fn number(&mut self, message: &'static str) -> Result<u32> {
        self.array(message).map(u32::from_le_bytes)
    }

    pub(super) fn end(&self, message: &'static str) -> Result<()> {
        match self.bytes.is_empty() {
            true => Ok(()),
            false => Err(length(message, self.total, (self.total - self.bytes.len()).to_string())),
        }
    }
}

pub(super) fn length(message: &'static str, got: usize, expected: String) -> Error {
    Error::Length { message, got, expected }
}

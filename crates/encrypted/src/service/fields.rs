use super::{Error, Result};

/// What is left of a message.
pub(super) struct Fields<'a> {
    pub(super) bytes: &'a [u8],
    total: usize,
}

impl<'a> Fields<'a> {
    /// The name of a message of at most `most` bytes, and what follows it.
    pub(super) fn opened(bytes: &'a [u8], most: usize, what: &'static str) -> Result<(u8, Self)> {
        match bytes.split_first() {
            Some((&name, body)) if bytes.len() <= most => Ok((name, Self { bytes: body, total: bytes.len() })),
            _ => Err(length(what, bytes.len(), format!("1 to {most}"))),
        }
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

/// Texts of the other side are cut, and shown without control characters.
pub(super) fn field(field: &'static str, got: impl ToString, expected: impl ToString) -> Error {
    let got = got.to_string().chars().filter(|c| !c.is_control()).take(128).collect();
    Error::Field { field, got, expected: expected.to_string() }
}

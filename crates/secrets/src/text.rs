use serde::{Deserialize, Serialize};

use crate::{
    Cost, Error, KeyId, Result,
    sealed::{MAX_PAYLOAD, check_purpose},
};

pub(crate) const VERSION: u32 = 1;
/// Bytes of text that are read. Base64 makes four of three; the rest is room for the header.
pub(crate) const MAX_FILE: usize = MAX_PAYLOAD / 2 * 3;

/// The text of a key file. All texts are borrowed, so that no copy of a payload in clear text is
/// left behind; what would need a copy, such as an escape, is not written and not read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyFile<'a> {
    pub(crate) format: Format,
    pub(crate) version: u32,
    pub(crate) purpose: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<KeyId>,
    pub(crate) protection: Shield<'a>,
    pub(crate) payload: &'a str,
}

/// Has a single value, so that any other text is an error of the parser, with its place.
#[derive(Serialize, Deserialize)]
pub(crate) enum Format {
    #[serde(rename = "cleave key file")]
    KeyFile,
}

impl Format {
    /// As it is bound to the payload.
    pub(crate) const NAME: &'static str = "cleave key file";
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) enum Shield<'a> {
    #[serde(rename = "argon2id-xchacha20poly1305")]
    Sealed { cost: Cost, salt: &'a str, nonce: &'a str },
    #[serde(rename = "none")]
    Clear { note: &'a str, checksum: &'a str },
}

impl Shield<'_> {
    /// The names, as they are bound to the payload.
    pub(crate) const SEALED: &'static str = "argon2id-xchacha20poly1305";
    pub(crate) const CLEAR: &'static str = "none";
}

/// What is read first: the rest of a later version may look different.
#[derive(Deserialize)]
struct Version {
    #[serde(rename = "format")]
    _format: Format,
    version: u32,
}

impl<'a> KeyFile<'a> {
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self> {
        if text.len() > MAX_FILE {
            return Err(Error::TooLarge { what: "file", got: text.len(), limit: MAX_FILE });
        }
        // The messages of the parser are dropped: they repeat what they stumble over.
        let fault = |error: serde_json::Error| match error.is_eof() {
            true => Error::Truncated { got: text.len() },
            false => Error::NotAKeyFile { line: error.line(), column: error.column() },
        };
        match serde_json::from_slice::<Version>(text).map_err(fault)?.version {
            VERSION => {}
            0 => return Err(Error::Field { field: "version", expected: "1 or more" }),
            got => return Err(Error::NewerVersion { got, newest: VERSION }),
        }
        let file: Self = serde_json::from_slice(text).map_err(fault)?;
        check_purpose(file.purpose).map_err(|_| Error::Field { field: "purpose", expected: "a purpose" })?;
        Ok(file)
    }
}

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{Error, Result};

/// Bytes of a [`Secret`].
pub const SECRET_LEN: usize = 32;

const ID_LEN: usize = 16;
/// Keeps the hash that names a secret apart from every other hash of it.
const ID_LABEL: &[u8] = b"cleave key id v1";

/// 256 secret bits.
///
/// It cannot be printed, copied or serialised by accident: there is no `Debug`, `Display`, `Clone`
/// or `Serialize`. The bytes stay at one place on the heap, so that moving a `Secret` leaves no
/// copy behind, and are wiped when it is dropped. Two secrets are compared by their [`KeyId`].
pub struct Secret(Box<Zeroizing<[u8; SECRET_LEN]>>);

impl Secret {
    /// Draws a new secret from the operating system's generator.
    ///
    /// # Errors
    ///
    /// [`Error::Randomness`] if the operating system has no random numbers to give.
    pub fn generate() -> Result<Self> {
        let mut bytes = Box::new(Zeroizing::new([0; SECRET_LEN]));
        random(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// Takes 32 bytes that must have come from a good generator: nothing here makes a word or a
    /// date hard to guess. To wipe the caller's own copy is up to the caller.
    pub fn from_bytes(bytes: &[u8; SECRET_LEN]) -> Self {
        let mut own = Box::new(Zeroizing::new([0; SECRET_LEN]));
        own.copy_from_slice(bytes);
        Self(own)
    }

    /// The secret itself. The name is meant to be found by somebody who reviews its callers.
    pub fn expose(&self) -> &[u8; SECRET_LEN] {
        &self.0
    }

    /// The public name of this secret.
    pub fn id(&self) -> KeyId {
        let hash = Sha256::new().chain_update(ID_LABEL).chain_update(self.expose()).finalize();
        let mut id = [0; ID_LEN];
        id.copy_from_slice(&hash[..ID_LEN]);
        KeyId(id)
    }
}

/// Fills `bytes` from the operating system's generator.
pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    SysRng.try_fill_bytes(bytes).map_err(|source| Error::Randomness { source })
}

/// The public name of a [`Secret`], written as 32 hex digits in lower case.
///
/// It is the first 16 bytes of SHA-256 over the text `cleave key id v1` and the secret.
///
/// What it gives away: somebody who guesses the secret can confirm the guess, and two files with
/// the same name hold the same secret. Of a secret drawn at random, 256 bits remain to be guessed,
/// and nothing shorter than guessing is known. A guessable secret would be given away, so there is
/// no such name of anything but a `Secret`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct KeyId([u8; ID_LEN]);

impl KeyId {
    /// The 16 bytes of the name.
    pub fn as_bytes(&self) -> &[u8; ID_LEN] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::KeyId`] unless it is 32 hex digits in lower case. The message does not repeat the
    /// text, which may be a secret that was put in the wrong place.
    fn from_str(text: &str) -> Result<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(Error::KeyId { got: text.len() })
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for KeyId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles only if a type lacks a trait: with the trait, the second method fits as well and
    /// the compiler cannot choose.
    macro_rules! assert_lacks {
        ($type:ty: $($lacked:path),+) => {$({
            trait Ambiguous<A> {
                fn probe() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Has;
            impl<T: ?Sized + $lacked> Ambiguous<Has> for T {}
            <$type as Ambiguous<_>>::probe();
        })+};
    }

    #[test]
    fn secrets_are_not_printed_copied_or_serialised() {
        assert_lacks!(Secret: fmt::Debug, fmt::Display, Clone, Serialize, PartialEq);
        assert_lacks!(crate::Stream: fmt::Debug, fmt::Display, Clone);
        assert_lacks!(crate::Contents: fmt::Debug, fmt::Display, Clone, Serialize);
        assert_lacks!(crate::Protection<'static>: fmt::Debug, fmt::Display, Serialize);
    }

    #[test]
    fn generated_secrets_differ() {
        let [a, b] = [Secret::generate().unwrap(), Secret::generate().unwrap()];
        assert_ne!(a.expose(), b.expose());
        assert_ne!(a.expose(), &[0; SECRET_LEN]);
        assert_ne!(a.id(), b.id());
    }

    #[test]
    fn name_goes_through_text_and_json() {
        let id = Secret::from_bytes(&[7; 32]).id();
        assert_eq!(id.to_string().len(), 32);
        assert_eq!(id.to_string().parse::<KeyId>().unwrap(), id);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<KeyId>(&json).unwrap(), id);
        assert_eq!(format!("{id:?}"), format!("KeyId({id})"));
    }

    #[test]
    fn what_is_no_name_is_refused_without_being_repeated() {
        let secret = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";
        let upper = "ABCDEF00ABCDEF00ABCDEF00ABCDEF00";
        for text in ["", "00", &upper[..31], upper, secret, "ü", &format!("{upper} ")] {
            let error = text.parse::<KeyId>().unwrap_err().to_string();
            assert!(text.len() < 8 || !error.contains(text), "{error}");
            assert!(serde_json::from_value::<KeyId>(text.into()).is_err());
        }
    }
}

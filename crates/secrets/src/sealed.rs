use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    Cost, Error, KeyId, Result, SECRET_LEN, Secret,
    cost::SALT_LEN,
    framed::framed,
    secret::random,
    text::{Format, KeyFile, Shield, VERSION},
};

/// Bytes that a key file may carry.
pub const MAX_PAYLOAD: usize = 16 << 20;

const NONCE_LEN: usize = 24;
const HASH_LEN: usize = 32;
/// Bytes of a file beside its payload, with room to spare.
const FRAME_LEN: usize = 1024;
const CLEAR_NOTE: &str = "NOT SEALED: whoever can read this file has the secret";

/// What a key file carries: bytes, and the name of the secret among them if there is one.
///
/// It has no `Debug`, and the bytes are wiped when it is dropped.
pub struct Contents {
    key: Option<KeyId>,
    payload: Zeroizing<Vec<u8>>,
}

impl Contents {
    /// Any bytes. The vector is wiped later; what it left behind while it grew is not.
    pub fn new(payload: Vec<u8>) -> Self {
        Self { key: None, payload: Zeroizing::new(payload) }
    }

    /// The same with the name of a secret, which the file shows without a passphrase.
    pub fn named(self, key: KeyId) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The name of the secret, as the file says. Whether it fits the bytes is up to the caller.
    pub fn key(&self) -> Option<KeyId> {
        self.key
    }

    /// The bytes.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The bare secret that was put in.
    ///
    /// # Errors
    ///
    /// [`Error::NotASecret`] unless it is 32 bytes with a name; [`Error::OtherSecret`] if the name
    /// is of another one.
    pub fn secret(&self) -> Result<Secret> {
        let bytes: Result<&[u8; SECRET_LEN], _> = self.payload().try_into();
        let (Ok(bytes), Some(expected)) = (bytes, self.key) else {
            return Err(Error::NotASecret { got: self.payload.len() });
        };
        let secret = Secret::from_bytes(bytes);
        match secret.id() {
            got if got == expected => Ok(secret),
            got => Err(Error::OtherSecret { expected, got }),
        }
    }
}

impl From<&Secret> for Contents {
    fn from(secret: &Secret) -> Self {
        Self::new(secret.expose().to_vec()).named(secret.id())
    }
}

/// How a file keeps its payload from those who can read it.
///
/// It has no `Debug`, since it holds the passphrase.
#[derive(Clone, Copy)]
pub enum Protection<'a> {
    /// Sealed: each guess at the passphrase costs a run of Argon2id.
    Passphrase {
        /// 1 to 1024 bytes of UTF-8, taken as they are: `é` typed in two ways gives two passphrases.
        passphrase: &'a str,
        /// What a guess costs.
        cost: Cost,
    },
    /// Not sealed: whoever can read the file has the payload, and the file says so.
    ClearText,
}

impl<'a> Protection<'a> {
    /// Sealed at the default [`Cost`].
    pub fn passphrase(passphrase: &'a str) -> Self {
        Self::Passphrase { passphrase, cost: Cost::default() }
    }
}

/// Writes `contents` as the text of a key file for `purpose`.
///
/// # Errors
///
/// [`Error::Purpose`], [`Error::TooLarge`], [`Error::Cost`], [`Error::PassphraseLength`],
/// [`Error::Memory`], [`Error::Randomness`].
pub fn seal(contents: &Contents, purpose: &str, protection: Protection<'_>) -> Result<Zeroizing<Vec<u8>>> {
    let (mut salt, mut nonce) = ([0; SALT_LEN], [0; NONCE_LEN]);
    random(&mut salt)?;
    random(&mut nonce)?;
    seal_with(contents, purpose, protection, salt, nonce)
}

/// Reads the text of a key file that was made for `purpose`.
///
/// # Errors
///
/// [`Error::Truncated`], [`Error::NotAKeyFile`], [`Error::NewerVersion`], [`Error::Field`],
/// [`Error::TooLarge`], [`Error::OtherPurpose`]; [`Error::PassphraseNeeded`],
/// [`Error::PassphraseNotNeeded`], [`Error::PassphraseLength`], [`Error::Cost`], [`Error::Memory`];
/// [`Error::WrongPassphrase`] if it is sealed and [`Error::Damaged`] if it is not.
pub fn open(text: &[u8], purpose: &str, passphrase: Option<&str>) -> Result<Contents> {
    let file = KeyFile::parse(text)?;
    if file.purpose != purpose {
        return Err(Error::OtherPurpose { expected: purpose.into(), got: file.purpose.into() });
    }
    let payload = BASE64.decode(file.payload.as_bytes()).map(Zeroizing::new);
    let payload = payload.map_err(|_| Error::Field { field: "payload", expected: "base64" })?;
    let payload = match (file.protection, passphrase) {
        (Shield::Sealed { cost, salt, nonce }, Some(passphrase)) => {
            let (salt, nonce) = (hex("salt", salt)?, hex("nonce", nonce)?);
            let bound = sealed_header(file.purpose, file.key, &cost, &salt, &nonce);
            let cipher = XChaCha20Poly1305::new((&*cost.key(passphrase, &salt)?).into());
            let opened = cipher.decrypt(&nonce.into(), Payload { msg: &payload, aad: &bound });
            Zeroizing::new(opened.map_err(|_| Error::WrongPassphrase)?)
        }
        (Shield::Sealed { .. }, None) => return Err(Error::PassphraseNeeded),
        (Shield::Clear { .. }, Some(_)) => return Err(Error::PassphraseNotNeeded),
        (Shield::Clear { checksum: expected, .. }, None) => {
            if hex("checksum", expected)? != checksum(file.purpose, file.key, &payload) {
                return Err(Error::Damaged);
            }
            payload
        }
    };
    Ok(Contents { key: file.key, payload })
}

fn seal_with(
    contents: &Contents,
    purpose: &str,
    protection: Protection<'_>,
    salt: [u8; SALT_LEN],
    nonce: [u8; NONCE_LEN],
) -> Result<Zeroizing<Vec<u8>>> {
    check_purpose(purpose)?;
    if contents.payload.len() > MAX_PAYLOAD {
        return Err(Error::TooLarge { what: "payload", got: contents.payload.len(), limit: MAX_PAYLOAD });
    }
    let key = contents.key;
    match protection {
        Protection::Passphrase { passphrase, cost } => {
            let bound = sealed_header(purpose, key, &cost, &salt, &nonce);
            let cipher = XChaCha20Poly1305::new((&*cost.key(passphrase, &salt)?).into());
            let sealed = cipher.encrypt(&nonce.into(), Payload { msg: &contents.payload, aad: &bound });
            let sealed = sealed.map_err(|_| Error::Refused { by: "XChaCha20-Poly1305" })?;
            let (salt, nonce) = (&HEXLOWER.encode(&salt), &HEXLOWER.encode(&nonce));
            write(purpose, key, Shield::Sealed { cost, salt, nonce }, &sealed)
        }
        Protection::ClearText => {
            let checksum = &HEXLOWER.encode(&checksum(purpose, key, &contents.payload));
            write(purpose, key, Shield::Clear { note: CLEAR_NOTE, checksum }, &contents.payload)
        }
    }
}

fn write(purpose: &str, key: Option<KeyId>, protection: Shield<'_>, payload: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let payload = Zeroizing::new(BASE64.encode(payload));
    let file = KeyFile { format: Format::KeyFile, version: VERSION, purpose, key, protection, payload: &payload };
    // With room from the start: a vector that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(payload.len() + FRAME_LEN));
    serde_json::to_writer_pretty(&mut *text, &file).map_err(|_| Error::Refused { by: "JSON" })?;
    text.push(b'\n');
    Ok(text)
}

/// All of a sealed file except the payload, as it is bound to the payload.
fn sealed_header(
    purpose: &str,
    key: Option<KeyId>,
    cost: &Cost,
    salt: &[u8; SALT_LEN],
    nonce: &[u8; NONCE_LEN],
) -> Vec<u8> {
    let [memory, passes, lanes] = [cost.memory_kib, cost.passes, cost.lanes].map(u32::to_le_bytes);
    header(purpose, key, Shield::SEALED, &[&memory, &passes, &lanes, salt, nonce])
}

/// Finds damage to a file in clear text. It finds no forger, who can compute it as well.
fn checksum(purpose: &str, key: Option<KeyId>, payload: &[u8]) -> [u8; HASH_LEN] {
    let header = header(purpose, key, Shield::CLEAR, &[]);
    Sha256::new().chain_update(header).chain_update(payload).finalize().into()
}

fn header(purpose: &str, key: Option<KeyId>, method: &str, more: &[&[u8]]) -> Vec<u8> {
    let key: &[u8] = key.as_ref().map_or(&[], |key| key.as_bytes());
    let version = VERSION.to_le_bytes();
    let always = [Format::NAME.as_bytes(), &version, purpose.as_bytes(), key, method.as_bytes()];
    framed(always.into_iter().chain(more.iter().copied()))
}

/// Only what needs no escapes in JSON and does nothing to a terminal.
pub(crate) fn check_purpose(purpose: &str) -> Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b" -_./".contains(&b);
    match (1..=64).contains(&purpose.len()) && purpose.bytes().all(plain) {
        true => Ok(()),
        false => Err(Error::Purpose { got: purpose.len() }),
    }
}

fn hex<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N]> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(Error::Field { field, expected: "lower-case hex of the right length" })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// `tests/vectors.json` pins what is read; here, that the same is written.
    #[test]
    fn files_are_written_as_the_reference_writes_them() {
        let vectors: Value = serde_json::from_str(include_str!("../tests/vectors.json")).unwrap();
        for vector in vectors["files"].as_array().unwrap() {
            let number = |field: &str| vector[field].as_u64().unwrap() as u32;
            let text = vector["text"].as_str().unwrap();
            let mut contents = Contents::new(HEXLOWER.decode(vector["payload"].as_str().unwrap().as_bytes()).unwrap());
            contents.key = vector["key"].as_str().map(|key| key.parse().unwrap());
            let protection = match vector["passphrase"].as_str() {
                None => Protection::ClearText,
                Some(passphrase) => {
                    let [memory_kib, passes, lanes] = ["memory_kib", "passes", "lanes"].map(number);
                    Protection::Passphrase { passphrase, cost: Cost { memory_kib, passes, lanes } }
                }
            };
            let file = KeyFile::parse(text.as_bytes()).unwrap();
            let (salt, nonce) = match file.protection {
                Shield::Sealed { salt, nonce, .. } => (hex("salt", salt).unwrap(), hex("nonce", nonce).unwrap()),
                Shield::Clear { .. } => Default::default(),
            };
            let written = seal_with(&contents, file.purpose, protection, salt, nonce).unwrap();
            assert_eq!(std::str::from_utf8(&written).unwrap(), text);
        }
    }

    #[test]
    fn sealing_twice_shares_no_salt_nonce_or_ciphertext() {
        let contents = Contents::new(vec![0; 64]);
        let protection = Protection::Passphrase { passphrase: "x", cost: Cost { memory_kib: 8, passes: 1, lanes: 1 } };
        let [a, b] = [(), ()].map(|()| seal(&contents, "test", protection).unwrap());
        let [a, b] = [KeyFile::parse(&a).unwrap(), KeyFile::parse(&b).unwrap()];
        let (Shield::Sealed { salt, nonce, .. }, Shield::Sealed { salt: salt_b, nonce: nonce_b, .. }) =
            (a.protection, b.protection)
        else {
            panic!("both are sealed")
        };
        assert!(salt != salt_b && nonce != nonce_b && a.payload != b.payload);
    }

    #[test]
    fn default_protection_costs_what_rfc_9106_recommends() {
        let Protection::Passphrase { cost, .. } = Protection::passphrase("x") else { panic!("sealed") };
        assert_eq!(cost, Cost { memory_kib: 65536, passes: 3, lanes: 4 });
    }
}

//! Secret keys: made, named, kept in files and expanded into streams.
//!
//! ```text
//! operating system ──▶ Secret ──┬─▶ id() ──────────▶ KeyId, its public name
//!                               ├─▶ stream(Domain) ▶ words, permutations, signs
//!                               └─▶ save ─┐
//!                      other bytes ─ save ┴──────▶ key file ──▶ load
//! ```
//!
//! - [`Secret`] is 256 bits from the operating system's generator, and [`KeyId`] its public name.
//! - [`Stream`] turns a secret and a [`Domain`] into numbers. Each output is defined to the bit,
//!   since a key made today has to open the same model later and in another language.
//! - [`save`] and [`load`] keep a secret, or any bytes, in a file; [`seal`] and [`open`] do the
//!   same without one. [`Label`] is what a file says of itself without a passphrase.
//! - Every failure is an [`Error`].
//!
//! Deliberately absent: networks, tensors and sockets, and any decision on what a key is good for.
//!
//! # What is assumed, and what is not
//!
//! **Somebody who gets a sealed file** learns its purpose, the name of the secret, the length of
//! the payload and when the file was written. What is left to them is to guess the passphrase, at
//! the price of one run of Argon2id a guess ([`Cost`]). A passphrase that is in a list of common
//! ones is found at that price; a passphrase of six random words is not expected to be. If the
//! payload is more than a random secret and can itself be guessed, a guess cannot be confirmed
//! without the passphrase.
//!
//! **Somebody who can write to the folder** can delete a key file, put back an older one, or put
//! in one of their own. A changed file is found, by [`Error::WrongPassphrase`]; a file sealed anew
//! needs the passphrase. A file in clear text in place of a sealed one is refused where a passphrase
//! was given. Whoever has to be sure of the key compares its [`KeyId`] with one that is known.
//!
//! XChaCha20-Poly1305 does not commit to its key: who chooses passphrases and file together can
//! make one file that opens under several of them. For a bare [`Secret`] the name stops that.
//!
//! **Somebody who gets a file in clear text** has the payload. Its checksum finds damage and no forger.
//!
//! **Somebody who reads the memory of the process**, or its swap or core dump, has the secret.
//! Secrets, keys and the memory of Argon2id are wiped after use, which shortens the time in which
//! that works. Copies that the compiler makes on the stack, and the inner state of hash functions,
//! are not wiped.
//!
//! **Somebody who measures time or cache on the same machine:** ChaCha20, SHA-256 and Poly1305 have
//! no branches or addresses that depend on secrets, and the tag is compared in constant time. Not so
//! [`Stream::below`], permutations and signs, whose draws and swaps depend on the secret; base64 of
//! a payload; and Argon2id after the first half of its first pass.
//!
//! ```
//! use cleave_secrets::{Cost, Domain, Existing, Protection, Secret};
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("image.key");
//!
//! let secret = Secret::generate()?;
//! # let cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
//! # let sealed = Protection::Passphrase { passphrase: "six random words", cost };
//! # /*
//! let sealed = Protection::passphrase("six random words");
//! # */
//! secret.save(&path, "keyed image", sealed, Existing::Keep)?;
//!
//! let again = Secret::load(&path, "keyed image", Some("six random words"))?;
//! assert_eq!(again.id(), secret.id());
//!
//! let domain = Domain::new("keyed image/permutation", &[3]); // of block 3
//! assert_eq!(again.stream(domain).permutation(48), secret.stream(domain).permutation(48));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cost;
mod error;
mod files;
mod framed;
mod sealed;
mod secret;
mod stream;
mod text;

pub use cost::Cost;
pub use error::Error;
pub use files::{Existing, Label, load, save, write_file};
pub use sealed::{Contents, MAX_PAYLOAD, Protection, open, seal};
pub use secret::{KeyId, SECRET_LEN, Secret};
pub use stream::{Domain, Stream};

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

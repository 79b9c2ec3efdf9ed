//! Secret keys: made, named and expanded into streams.
//!
//! - [`Secret`] is 256 bits from the operating system's generator, and [`KeyId`] its public name.
//! - [`Stream`] turns a secret and a [`Domain`] into numbers. Each output is defined to the bit,
//!   since a key made today has to open the same model later and in another language.
//! - Every failure is an [`Error`].

mod error;
mod framed;
mod secret;
mod stream;

pub use error::Error;
pub use secret::{KeyId, SECRET_LEN, Secret};
pub use stream::{Domain, Stream};

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

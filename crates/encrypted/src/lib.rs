//! Integer networks on ciphertexts.
//!
//! ```text
//!  client                                             provider
//!  Secret ─▶ SecretKey ── evaluation_keys ──────────▶ EvaluationKeys ─┐
//!  pixels ─▶ encrypt ─▶ EncryptedImages ── chunks ──▶ Collector ──────┤
//!                                                     EncryptedEnsemble::evaluate
//!  Scores ◀─ decrypt ◀─ EncryptedScores ◀────────────────── to_bytes ─┘
//! ```
//!
//! - [`Params`] and [`ParamSet`]: BFV parameters, checked against the table of the
//!   HomomorphicEncryption.org standard, and named by a hash.
//! - [`SecretKey`], [`EvaluationKeys`]: what decrypts, and what a provider computes with.
//! - [`IntegerNetwork`], [`quantise`], [`ranges`]: a network in integers, and its exact outputs in the clear.
//! - [`EncryptedEnsemble`]: the same outputs under encryption, summed over networks.
//! - Every failure is an [`Error`].
//!
//! Up to 8192 images lie side by side: ciphertext i holds pixel i of every image. Linear layers are products
//! of integer matrices with the residues of the ciphertexts.
//!
//! Scheme and layers are this crate's; rings, transforms and rescaling are those of `fhe-math`. `docs/encrypted.md` says
//! what the provider sees, what is not in constant time, and that nobody outside has reviewed it.
//!
//! Deliberately absent: training, sockets, tensors, and any promise.

mod cipher;
mod ensemble;
mod envelope;
mod error;
mod keys;
mod matrix;
mod network;
mod params;
mod sample;

pub use cipher::{BatchId, Collector, EncryptedImages, EncryptedScores, Scores};
pub use ensemble::{EncryptedEnsemble, Stage};
pub use error::{Error, Fault};
pub use keys::{EvaluationKeys, SecretKey};
pub use network::{
    Activations, FloatNetwork, IntegerLayer, IntegerNetwork, Precision, Ranges, Shape, quantise, ranges,
};
pub use params::{ParamSet, Params, ParamsHash};

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

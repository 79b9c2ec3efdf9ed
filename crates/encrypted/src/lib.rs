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
//! - [`Release`]: files with networks and all that a client has to know of them; [`levels`] prepares an image.
//! - [`EncryptedEnsemble`]: the same outputs under encryption, summed over networks.
//! - [`service`]: the messages with which a client has a provider evaluate, and both sides' state, without sockets.
//! - [`ckks`]: approximate arithmetic on real numbers; [`training`]: a last layer trained on such ciphertexts.
//! - Every failure is an [`Error`].
//!
//! Up to 8192 images lie side by side: ciphertext i holds pixel i of every image. Linear layers are products
//! of integer matrices with the residues of the ciphertexts.
//!
//! Scheme and layers are this crate's; rings, transforms and rescaling are those of `fhe-math`. `docs/encrypted.md` says
//! what the provider sees, what is not in constant time, and that nobody outside has reviewed it.
//!
//! ```
//! use cleave_encrypted::{
//!     Collector, EncryptedEnsemble, EncryptedScores, IntegerLayer, IntegerNetwork, ParamSet, Params, SecretKey, Shape,
//!     ranges,
//! };
//! use cleave_secrets::Secret;
//!
//! // 2×2 pixels, one map, one hidden unit, two classes.
//! let shape = Shape { height: 2, width: 2, kernel: 2, stride: 1, padding: 0, maps: 1, hidden: 1, classes: 2 };
//! let layer = |weights: &[i32], biases: &[i128]| IntegerLayer { weights: weights.into(), biases: biases.into() };
//! let layers = [layer(&[1, -2, 3, -4], &[5]), layer(&[2], &[-6]), layer(&[1, -1], &[0, 7])];
//! let network = IntegerNetwork { shape, max_pixel: 15, layers, scale: 1.0 };
//! let pixels = [1, 2, 3, 4, 15, 0, 15, 0]; // two images
//! let seen = ranges(std::slice::from_ref(&network), &pixels)?;
//! let params = Params::named(ParamSet::holding(seen.sum, 4)?)?;
//!
//! let secret = SecretKey::new(&params, &Secret::generate()?);
//! let keys = secret.evaluation_keys()?;
//! let asked = secret.encrypt(&pixels.map(i64::from), shape.pixels())?;
//!
//! // On the provider's side.
//! let ensemble = EncryptedEnsemble::new(&params, std::slice::from_ref(&network))?;
//! let mut collector = Collector::new(&keys, shape.pixels())?;
//! for chunk in asked.chunks(&secret, 1 << 20)? {
//!     collector.accept(&keys, &chunk)?;
//! }
//! let answer = ensemble.evaluate(&keys, &collector.finish()?)?.to_bytes(&keys)?;
//!
//! let scores = secret.decrypt(&EncryptedScores::from_bytes(&answer, &secret, &asked)?)?;
//! assert_eq!(scores.image(1), network.evaluate(&[15, 0, 15, 0])?.output);
//! # Ok::<(), cleave_encrypted::Error>(())
//! ```
//!
//! Deliberately absent: sockets, tensors, bootstrapping, and any promise.

mod cipher;
pub mod ckks;
mod ensemble;
mod envelope;
mod error;
mod keys;
mod matrix;
mod network;
mod params;
mod release;
mod sample;
pub mod service;
pub mod training;

pub use cipher::{BatchId, Collector, EncryptedImages, EncryptedScores, Scores};
pub use ensemble::{EncryptedEnsemble, Stage};
pub use error::{Error, Fault, ReleaseFault};
pub use keys::{EvaluationKeys, SecretKey};
pub use network::{
    Activations, FloatNetwork, IntegerLayer, IntegerNetwork, Precision, Ranges, Shape, levels, quantise, ranges,
};
pub use params::{ParamSet, Params, ParamsHash};
pub use release::Release;

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

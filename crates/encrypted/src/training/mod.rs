//! The last layer of a network, trained on ciphertexts: multinomial logistic regression on features that stay
//! encrypted.
//!
//! ```text
//!  client                                                       provider
//!  TrainingData ─▶ encrypt_data ─▶ EncryptedData ── pieces ───▶ Collector ─┐
//!  Model ────────▶ encrypt_model ▶ EncryptedModel ─ pieces ───▶ Collector ─┤
//!                                                               Trainer::train, up to the last level
//!  Model ◀─────── decrypt_model ◀─ Collector ◀───── pieces ─────────────── EncryptedModel
//!    └─▶ the next round, with the weights encrypted anew
//! ```
//!
//! After Chiang ("Privacy-Preserving CNN Training with Transfer Learning", 2023): squared likelihood error, a cubic
//! in place of the sigmoid, the quadratic gradient, the enhanced Nesterov method. [`Model::advance`] is that in the
//! clear, in double precision, and [`Trainer::train`] on [`ckks`](crate::ckks) ciphertexts. Its packing is not the
//! paper's: see `docs/encrypted-training.md`, which also says what the provider sees and what must never go back to
//! it.
//!
//! ```
//! use cleave_encrypted::{ckks::{ParamSet, Params}, training::{Model, Shape, TrainingData, iterations}};
//!
//! let params = Params::named(ParamSet::Ckks16384x8)?;
//! assert_eq!(iterations(&params), 2);
//! let data = TrainingData::new(&[0.5, 2.0, 1.5, 0.0], &[0, 1], 2)?;
//! assert_eq!(data.shape(), Shape { samples: 2, features: 3, classes: 2 });
//! let mut model = Model::start(&data, 0.0);
//! model.advance(&data, cleave_encrypted::training::Method::PAPER)?;
//! assert_eq!(model.accuracy(&data)?, 1.0);
//! # Ok::<(), cleave_encrypted::Error>(())
//! ```

mod clear;
mod encrypted;
mod layout;
mod pieces;
mod plain;
#[cfg(test)]
mod tests;

pub use clear::{Activation, Cubic, Method, Model, Preconditioner, Step, TrainingData, steps};
pub use encrypted::{
    EncryptedData, EncryptedModel, Trainer, TrainingClient, iterations, key_plan, memory_bytes, packing,
};
pub use layout::{Packing, Shape};
pub use pieces::Collector;
pub use plain::{Likelihood, Plain, Rate};

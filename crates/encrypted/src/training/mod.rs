//! x
mod clear;
mod encrypted;
mod layout;
#[cfg(test)]
mod tests;

pub use clear::{Activation, Cubic, Method, Model, Preconditioner, Step, TrainingData, steps};
pub use encrypted::{EncryptedData, EncryptedModel, Trainer, TrainingClient, iterations, key_plan};
pub use layout::Shape;

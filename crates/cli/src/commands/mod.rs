//! One file a command.

pub mod attach;
pub mod audit;
pub mod audit_confused;
pub mod audit_encrypted;
pub mod audit_training;
pub mod check;
pub mod confuse;
pub mod demo;
pub mod encrypt_images;
pub mod encrypted_train;
pub mod eval;
pub mod features;
pub mod import;
pub mod infer;
pub mod inspect;
pub mod key;
pub mod keys;
pub mod lock;
pub mod policies;
pub mod quantise;
pub mod retrain;
pub mod serve;
pub mod train;

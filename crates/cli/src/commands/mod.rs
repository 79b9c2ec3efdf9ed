//! One file a command.

pub mod audit;
pub mod check;
pub mod demo;
pub mod eval;
pub mod import;
pub mod infer;
pub mod inspect;
pub mod keys;
pub mod policies;
pub mod retrain;
pub mod serve;
pub mod train;

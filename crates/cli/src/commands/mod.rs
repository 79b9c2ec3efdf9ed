//! One file a command.

pub mod eval;
pub mod retrain;
pub mod train;

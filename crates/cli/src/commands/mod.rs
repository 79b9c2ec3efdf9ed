//! One file a command.

pub mod check;
pub mod eval;
pub mod import;
pub mod inspect;
pub mod retrain;
pub mod train;

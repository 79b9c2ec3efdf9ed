//! Confusion neurons: channels at secret positions that make a network wrong for whoever cannot leave them out
//! ("Deep Encryption: Protecting Pre-Trained Neural Networks with Confusion Neurons").
//!
//! ```text
//! Network ──▶ Plan::uniform / search ──▶ ConfusionKey::draw ──▶ confuse ──▶ widened Network, an ordinary one
//!                  (how many, where)         (at which positions)                 │
//! Network  ◀──────────────────────── strip(key): bit for bit ◀────────────────────┘
//! ```
//!
//! - [`Groups`] finds which channels of a network can only be widened together: the input of a layer is the output of
//!   others, the two ways through a residual block are added, a grouped convolution grows by whole groups.
//! - [`Plan`] says how many channels each group of channels gets, [`Strategy`] what their weights are.
//! - [`ConfusionKey`] holds the positions. [`confuse`] inserts, [`strip`] takes out again.
//! - [`Groups::values`], [`Groups::outgoing`] and [`Groups::gate`] say which weights belong to which unit.
//! - [`gain`] is the paper's Eq. 1, [`search`] looks for the plan that makes it large.
//!
//! Deliberately absent: attacks, which live in `cleave-audit`, and files of networks. What the attacks recover is the
//! measure of what the key is worth, and with most strategies that is little.

mod confuse;
mod error;
mod gain;
mod groups;
mod key;
mod plan;
mod strategy;
mod units;

pub use confuse::{confuse, strip, without};
pub use error::Error;
pub use gain::{Gain, SearchStep, gain, search};
pub use groups::{Group, Groups};
pub use key::{ConfusionKey, PURPOSE};
pub use plan::{PerLayer, Plan};
pub use strategy::Strategy;
pub use units::{Side, Tensors};

//! Cutting a network into the half that a client runs and the half that a provider serves.
//!
//! ```text
//!                 ┌─▶ FrontHalf: image ──▶ SmashedData        front.safetensors, given to clients
//! Network ─cut─▶──┤                            │
//!                 └─▶ BackHalf:                ▼ ──▶ scores    back.safetensors, the provider keeps it
//! ```
//!
//! One half after the other gives what the whole network gives, bit for bit on the same device. A cut
//! before the join is refused: it would send the signal in the clear. [`release`] is the gate: it writes
//! no pair whose leakage check leaks, unless a reason is given, which the files then carry.

mod check;
mod cut;
mod error;
mod halves;
mod release;
mod summary;

pub use check::{check_cut, measure_zeros};
pub use cut::{Cut, Point, cut};
pub use error::Error;
pub use halves::{BackHalf, FrontHalf, SmashedData, probabilities};
pub use release::{BackManifest, FrontManifest, PairHash, Release, Terms, release, tensor_hash};
pub use summary::{AuditSummary, Sight, Worst};

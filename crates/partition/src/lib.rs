//! Cutting a network into the half that a client runs and the half that a provider serves.
//!
//! ```text
//!                 ┌─▶ FrontHalf: image ──▶ SmashedData        front.safetensors, given to clients
//! Network ─cut─▶──┤                            │
//!                 └─▶ BackHalf:                ▼ ──▶ scores    back.safetensors, the provider keeps it
//! ```
//!
//! One half after the other gives what the whole network gives, bit for bit on the same device. A cut
//! before the join is refused: it would send the signal in the clear. [`release`] is the gate: it makes
//! no pair whose leakage check leaks, unless a reason is given, which the files then carry, and none that
//! breaks the policy it is to be released under. Both files say what was found.

mod check;
mod cut;
mod decoys;
mod defend;
mod error;
mod halves;
mod policy;
mod release;
mod summary;

pub use check::{check_cut, measure_zeros};
pub use cut::{Cut, Point, cut};
pub use decoys::guess_with_decoys;
pub use defend::{apply_defences, check_defences, list_defences, noise_for, quantise_for};
pub use error::Error;
pub use halves::{BackHalf, FrontHalf, SmashedData, probabilities};
pub use policy::{Bound, Limits, Measure, Policy, Violation};
pub use release::{
    BackManifest, FrontManifest, Offer, PairHash, Release, Terms, lock_pair, rekey_pair, release, tensor_hash,
};
pub use summary::{Attack, AuditSummary, Sight, Tried, Worst};

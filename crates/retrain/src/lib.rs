//! Secret signals, relabelling and training (sun2019, Sections 5.3 and 6).
//!
//! ```text
//! Network ──join_signal(k)──▶ Network with a join ──Trainer::run──▶ retrained Network ──evaluate──▶ average accuracy
//!                                    ▲                                                  (Eq. 11)
//!            SignalSource: a fresh signal a sample and epoch, drawn as a digit or a plane
//! ```
//!
//! The same [`SignalSource`] draws for the trainer, who seeds it, and for a client, who takes the
//! operating system's generator. Nothing here knows where the network will be cut: a [`Guard`] and a bottleneck are told
//! which layer to stand behind.

mod accuracy;
mod bottleneck;
mod dependence;
mod error;
mod guard;
mod join;
mod learner;
mod probe;
mod signal;
mod state;
mod train;

pub use accuracy::{Evaluation, average_accuracy, evaluate};
pub use bottleneck::insert_bottleneck;
pub use error::Error;
pub use guard::{Adversary, Guard, NoPeek, TrainingNoise};
pub use join::{JoinSettings, join_signal};
pub use signal::{SignalSource, mask, relabel, unmask, unmask_scores};
pub use train::{Curriculum, Measurement, Observer, Optimizer, Outcome, Schedule, TrainSettings, Trainer};

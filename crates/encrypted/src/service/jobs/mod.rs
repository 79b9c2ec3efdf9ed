//! Training as a service: messages as bytes, and the state of both sides. No sockets.
//!
//! ```text
//!  ClientJob                                  ProviderSession
//!  describe ───────────────────────────────▶ Terms: parameter sets, how long a job is kept
//!  begin(job, plan) ───────────────────────▶ its memory is set aside, or it is there already
//!  keys, data ─────────────────────────────▶ once a job
//!  weights, train, poll … poll ────────────▶ each round: waiting, share of the work, trained
//!  fetch … fetch ──────────────────────────▶ weights in pieces; the client decrypts and encrypts them anew
//!  cancel ─────────────────────────────────▶ forgotten
//! ```
//!
//! Each answer says what the provider has, and the client sends what is missing. A job is not bound to a connection: a
//! client that was cut off begins it again under the same name, and goes on where the provider is. A job that
//! nobody asked about for the time in the terms is forgotten; a client that comes back later sends all of it again, but
//! for the rounds that it has the weights of.
//!
//! What a client sends depends on the plan and on what the provider says it has, and on nothing that was decrypted.

mod client;
mod job;
mod messages;
mod provider;
#[cfg(test)]
mod tests;

pub use client::{ClientJob, JobState, Step, describe, terms};
pub use messages::{Answer, Count, JobId, Phase, Plan, Request, Status, Terms};
pub use provider::{Provider, ProviderSession};

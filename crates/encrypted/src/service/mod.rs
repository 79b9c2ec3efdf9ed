//! Inference as a service: messages as bytes, and the state of both sides. No sockets. Training is in [`jobs`].
//!
//! ```text
//!  ClientSession                              ProviderSession
//!  describe ───────────────────────────────▶ Description: parameters, images, classes
//!  keys ───────────────────────────────────▶ once a session
//!  begin(batch, images) ───────────────────▶ its memory is set aside, or the answer says why not
//!  chunk … chunk ──────────────────────────▶ how many are there
//!  evaluate, poll … poll ──────────────────▶ waiting, stage, how much of it, ready
//!  fetch … fetch ──────────────────────────▶ scores in pieces
//! ```
//!
//! A session is for one connection, and its messages come one after the other. `cancel` gives a batch up, and so does
//! dropping the session: its evaluation stops after the piece of work that it is at.
//!
//! A message is a byte that names it and its fields, little-endian. Longest are [`MAX_REQUEST`] and [`MAX_ANSWER`].

mod client;
mod description;
mod error;
mod fields;
pub mod jobs;
mod memory;
mod messages;
mod provider;
mod queue;

pub use client::{ClientBatch, ClientSession, Step};
pub use description::Description;
pub use error::Error;
pub use memory::{Lease, Memory};
pub use messages::{Answer, MAX_ANSWER, MAX_REQUEST, Request};
pub use provider::{Provider, ProviderSession};

type Result<T, E = Error> = std::result::Result<T, E>;

fn counted(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

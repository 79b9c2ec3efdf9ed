//! Frames, limits, versions and status codes: what Cleave's two sides say to each other, as bytes.
//!
//! This crate is the part of the protocol that can be tested without a network. It opens no socket,
//! reads no clock and knows no tensor library; everything here is a function from bytes to values
//! or back. `cleave-transport` moves the bytes.
//!
//! # A frame
//!
//! ```text
//!  ┌──────────────────── preamble, 28 bytes ────────────────────┐
//!  │ magic version kind 0 header_len payload_len payload_crc head_crc │ header │ payload │
//!  │   4      2     1   1     4          8            4         4     │        │         │
//!  └──────────────────────────────┬─────────────────────────────┘   bincode   raw tensor or bytes
//!                                 └─ Preamble::parse: every length is compared with
//!                                    Limits here, before anything is allocated
//! ```
//!
//! All numbers are little-endian. `head_crc` covers the preamble before it and the header, so a
//! header is checked before a byte of payload is read; `payload_crc` covers the payload. CRC-32
//! finds every single flipped bit. It is a guard against faults and not against forgers: in flight
//! that guard is the TLS inside QUIC.
//!
//! # A conversation
//!
//! ```text
//!  client                                    server
//!    │ ── ClientHello ───────────────────────▶ │   first stream of a connection
//!    │ ◀── ServerHello (or Reply, refused) ─── │
//!    │ ── RequestHead + smashed data ────────▶ │   one stream a request, side by side
//!    │ ◀── ReplyHead + logits (f32) ────────── │
//! ```
//!
//! A refused hello is answered with a [`ReplyHead`] whose `id` is 0 and whose [`Status`] says why.
//!
//! # Where to look
//!
//! - [`Preamble`], [`Limits`], [`decode`]: from bytes to a checked [`Head`].
//! - [`Head`] and the four messages in it: what may be said, and the bounds on each field.
//! - [`Layout`]: floats to payload and back, with exact sizes and only finite numbers.
//! - [`Status`]: the table of codes.
//! - [`WireError`]: one variant for each way a frame can be wrong.
//!
//! ```
//! use cleave_wire::{Element, Head, Layout, Limits, RequestHead, decode};
//!
//! let layout = Layout::new(3, 2, Element::F32)?; // two items of three numbers
//! let payload = layout.encode(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])?;
//! let head = Head::Request(RequestHead { id: 7, batch: 2, element: Element::F32 });
//! let mut frame = head.to_bytes(&payload)?;
//! frame.extend_from_slice(&payload);
//!
//! let (read, body) = decode(&frame, &Limits { max_payload: 24 })?;
//! assert_eq!(read, head);
//! assert_eq!(layout.decode(body)?, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
//! # Ok::<(), cleave_wire::WireError>(())
//! ```

mod error;
mod frame;
mod message;
mod status;
mod tensor;

pub use error::{HeaderFault, WireError};
pub use frame::{Kind, Limits, Preamble, VERSION_MAX, VERSION_MIN, decode, settle_version};
pub use message::{
    ClientHello, Head, MAX_BATCH, MAX_DIMENSIONS, MAX_HEADER, MAX_MESSAGE, MAX_NAME, MAX_NOTICE, ReplyHead,
    RequestHead, ServerHello, shape_len,
};
pub use status::Status;
pub use tensor::{Element, Layout};

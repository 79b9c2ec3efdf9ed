//! QUIC between a client and a server, with certificates on both sides.
//!
//! ```text
//! Client::call ──frame──▶ one bidirectional stream a request ──▶ Server ──▶ trait Service::answer
//!      ▲                                                          │  (a thread that may block and panic)
//!      └───────────────────────── reply frame ◀───────────────────┘
//! ```
//!
//! The first stream of a connection carries the hello, which settles model, pair, element type and
//! sizes; every later stream carries one request. Every length is compared with what the hello
//! settled before memory is taken for it. This crate carries values and bytes; it knows neither networks nor
//! encryption schemes. What answers is a [`Service`], which takes batches of numbers, each for itself, or a
//! [`SessionService`], which takes messages in turn and keeps a state for each connection:
//!
//! ```text
//! MessageClient::ask ──message──▶ the same streams and limits ──▶ Server ──▶ Session::answer
//! ```
//!
//! Certificates: TLS 1.3 on both sides, no early data, no resumption. Who holds no certificate of the
//! server's authority gets no application byte through.

mod client;
mod config;
mod error;
mod keys;
mod messages;
mod server;
mod service;
mod session;
mod stream;
mod tls;

pub use client::{Answer, Client};
pub use config::{ClientConfig, ServerConfig};
pub use error::{CertificateFault, TransportError};
pub use keys::{AUTHORITY_STEM, Authority, Existing, Identity, SERVER_STEM, Trust, client_stem};
pub use messages::{MessageClient, Told};
pub use server::{Server, Statistics};
pub use service::{
    Hosting, Observer, Peer, Reply, Request, RequestRecord, Service, ServiceError, ServiceInfo, Session, SessionInfo,
    SessionService,
};
pub use tls::{ClientTls, PROTOCOL, ServerTls};

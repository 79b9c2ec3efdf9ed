//! What a server hosts, and who may watch it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use cleave_wire::{Element, Status};

use crate::TransportError;

/// Something that answers requests: a back half, a keyed model, an encrypted ensemble.
///
/// `answer` runs on a thread of its own and may take its time. If it panics, the client gets
/// `Status::Internal` and the server goes on (this needs a build that unwinds, which is the
/// default).
pub trait Service: Send + Sync + 'static {
    /// What this service takes and gives. Asked once, when the server is bound.
    fn info(&self) -> ServiceInfo;

    /// Answers one request, whose values are finite and have the announced shape.
    ///
    /// # Errors
    ///
    /// [`ServiceError`], which decides what the client learns.
    fn answer(&self, request: Request) -> Result<Reply, ServiceError>;
}

/// How a service introduces itself to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInfo {
    /// Hash that both halves of the pair share.
    pub pair_hash: [u8; 32],
    /// Shape of one smashed item, such as `[64, 27, 27]`.
    pub item_shape: Vec<u32>,
    /// Shape of one answer, such as `[2]`.
    pub output_shape: Vec<u32>,
    /// Most items in one request; 1 to 64.
    pub max_batch: u16,
    /// Element types taken.
    pub elements: Vec<Element>,
    /// Text that each client must show; at most 1024 bytes.
    pub notice: Option<String>,
}

/// One checked request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Drawn at random by the client. A retry after a lost connection repeats it.
    pub id: u128,
    /// Items in `values`; 1 to the announced `max_batch`.
    pub batch: usize,
    /// Smashed data of shape `[batch, item_shape…]`, flattened; all finite.
    pub values: Vec<f32>,
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Logits of shape `[batch, output_shape…]`, flattened. The server checks size and finiteness.
    pub values: Vec<f32>,
}

/// Why a service gives no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The request is at fault; the client is told why.
    #[error("request refused: {message}")]
    Refused {
        /// For the client's eyes.
        message: String,
    },
    /// The service is at fault; the client is told only that.
    #[error("service failed: {message}")]
    Failed {
        /// For the provider's eyes: it goes to the [`Observer`] and nowhere else.
        message: String,
    },
}

/// Told about everything a server does; all methods do nothing unless overridden.
/// They are called from the server's tasks, so they must return quickly.
pub trait Observer: Send + Sync + 'static {
    /// A client has passed the handshake and the hello.
    fn connected(&self, _peer: SocketAddr, _model: &str) {}

    /// A client was turned away before its first request.
    fn refused(&self, _peer: SocketAddr, _reason: &TransportError) {}

    /// A request has ended, well or not.
    fn answered(&self, _record: &RequestRecord) {}
}

impl Observer for () {}

/// One request, as the server saw it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Where it came from.
    pub peer: SocketAddr,
    /// Name of the service.
    pub model: Arc<str>,
    /// Its id; 0 if none could be read.
    pub id: u128,
    /// Its items; 0 if none could be read.
    pub batch: u16,
    /// What it was answered.
    pub status: Status,
    /// What went wrong, for the provider.
    pub detail: Option<String>,
    /// Whether the reply was taken by the client.
    pub delivered: bool,
    /// Frame bytes read.
    pub bytes_in: u64,
    /// Frame bytes of the reply.
    pub bytes_out: u64,
    /// From the opening of the stream to the end of the reply.
    pub elapsed: Duration,
}

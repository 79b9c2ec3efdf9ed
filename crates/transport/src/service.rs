//! What a server hosts, and who may watch it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use cleave_wire::{Element, Status};

use crate::TransportError;

/// Something that answers requests, each for itself: a back half, a keyed model.
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

/// Something that keeps a state for each connection and answers messages in turn: an evaluation on
/// ciphertexts, a long job that is asked for its progress.
///
/// Threads and panics are as with [`Service`].
pub trait SessionService: Send + Sync + 'static {
    /// What this service takes and gives. Asked once, when the server is bound.
    fn info(&self) -> SessionInfo;

    /// Begins the session of a connection, before its hello is answered. It is dropped, on a thread that may
    /// block, when the connection has ended.
    ///
    /// # Errors
    ///
    /// [`ServiceError`], which the hello is then answered with.
    fn open(&self, peer: &Peer) -> Result<Box<dyn Session>, ServiceError>;
}

/// The state of one connection. What takes longer than a client waits for a reply belongs on a thread of the
/// session's own, which later messages ask for its progress and `drop` ends.
pub trait Session: Send {
    /// Answers one message of at most [`SessionInfo::max_request`] bytes; the next comes after it has returned.
    /// After an error the session goes on. After a panic it is dropped, and later messages fail.
    ///
    /// # Errors
    ///
    /// [`ServiceError`], which decides what the client learns.
    fn answer(&mut self, message: Vec<u8>) -> Result<Vec<u8>, ServiceError>;

    /// Whether work has begun that a server which shuts down should let this connection finish.
    fn is_unfinished(&self) -> bool {
        false
    }
}

/// Who opened a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Where it came from.
    pub addr: SocketAddr,
    /// Its certificate (DER), which the handshake has checked; `None` where none was asked for.
    pub certificate: Option<Arc<[u8]>>,
}

/// How a [`SessionService`] introduces itself to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// What the client may ask to be the same as it knows it: a hash of what is served.
    pub hash: [u8; 32],
    /// Bytes of the longest message.
    pub max_request: u32,
    /// Bytes of the longest answer.
    pub max_answer: u32,
    /// Text that each client must show; at most 1024 bytes.
    pub notice: Option<String>,
}

/// What a server hosts under a name.
#[derive(Clone)]
pub enum Hosting {
    /// Batches of numbers, each for itself.
    Numbers(Arc<dyn Service>),
    /// Messages, with a state for each connection.
    Messages(Arc<dyn SessionService>),
}

impl From<Arc<dyn Service>> for Hosting {
    fn from(service: Arc<dyn Service>) -> Self {
        Self::Numbers(service)
    }
}

impl From<Arc<dyn SessionService>> for Hosting {
    fn from(service: Arc<dyn SessionService>) -> Self {
        Self::Messages(service)
    }
}

impl Hosting {
    /// What stands in the hello.
    pub(crate) fn info(&self) -> ServiceInfo {
        match self {
            Self::Numbers(service) => service.info(),
            Self::Messages(service) => {
                let SessionInfo { hash, max_request, max_answer, notice } = service.info();
                let (item_shape, output_shape) = (vec![max_request], vec![max_answer]);
                let elements = vec![Element::Bytes];
                ServiceInfo { pair_hash: hash, item_shape, output_shape, max_batch: 1, elements, notice }
            }
        }
    }
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
    /// There is no room at present; the client is told why, and may send the same again.
    #[error("put off: {message}")]
    Busy {
        /// For the client's eyes.
        message: String,
        /// When to try again.
        retry_after: Duration,
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
    /// What it was made of.
    pub element: Element,
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

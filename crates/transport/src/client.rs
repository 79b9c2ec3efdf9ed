//! The client: one connection, requests side by side, retries.

use crate::config::{CloseCode, endpoint};
use crate::stream::{read_head, read_payload, within, write_frame};
use crate::tls::explain;
use crate::{ClientConfig, ClientTls, TransportError};
use bytes::Bytes;
use cleave_wire::{
    ClientHello, Element, Head, Layout, Limits, Preamble, ReplyHead, RequestHead, ServerHello, Status, VERSION_MAX,
    VERSION_MIN,
};
use quinn::{Connection, Endpoint, VarInt};
use rand::RngExt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// The answer to one call.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// Logits, `[batch, output_shape…]`, all finite.
    pub values: Vec<f32>,
    /// The request's id.
    pub id: u128,
    /// Frame bytes sent, of the last attempt.
    pub bytes_sent: u64,
    /// Frame bytes received, of the last attempt.
    pub bytes_received: u64,
    /// From the call to the answer, retries included.
    pub elapsed: Duration,
}

/// A session with one model of one server. Clones share the connection.
#[derive(Clone)]
pub struct Client(Arc<Session>);

/// Where a client connects, and how.
pub(crate) struct Link {
    endpoint: Endpoint,
    addr: SocketAddr,
    server_name: String,
    hello: ClientHello,
    pub(crate) config: ClientConfig,
}

struct Session {
    link: Link,
    info: ServerHello,
    item_len: usize,
    output_len: usize,
    connection: Mutex<Connection>,
}

impl Client {
    /// Connects and settles the session.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`]; [`TransportError::ServerCertificateRefused`] and
    /// [`TransportError::ClientCertificateRefused`]; [`TransportError::Refused`] for an unknown model and
    /// the like; [`TransportError::PairMismatch`].
    pub async fn connect(
        addr: SocketAddr,
        server_name: &str,
        tls: ClientTls,
        model: &str,
        config: ClientConfig,
    ) -> Result<Self, TransportError> {
        let link = Link::new(addr, server_name, tls, model, config)?;
        let (connection, info) = link.dial().await?;
        let (item_len, output_len) = link.sizes(&info)?;
        let connection = Mutex::new(connection);
        Ok(Self(Arc::new(Session { link, info, item_len, output_len, connection })))
    }

    /// What the server announced.
    pub fn info(&self) -> &ServerHello {
        &self.0.info
    }

    /// Sends `batch` items and waits for their logits; retries while the server is busy or the connection is lost.
    ///
    /// # Shapes
    /// `values`: `[batch, item_shape…]`, flattened.
    ///
    /// # Errors
    /// [`TransportError::Frame`] for values that do not fit or are not finite; [`TransportError::Busy`] and
    /// [`TransportError::Lost`] after the last retry; [`TransportError::Refused`].
    pub async fn call(&self, values: &[f32], batch: usize) -> Result<Answer, TransportError> {
        let began = Instant::now();
        let broken = |source| TransportError::Frame { during: "encoding the request", source };
        let payload: Bytes = Layout::new(self.0.item_len, batch, self.0.link.config.element)
            .and_then(|layout| layout.encode(values))
            .map_err(broken)?
            .into();
        let id = rand::random::<u128>();
        let element = self.0.link.config.element;
        let head = RequestHead { id, batch: u16::try_from(batch).unwrap_or(u16::MAX), element };
        let head: Bytes = Head::Request(head).to_bytes(&payload).map_err(broken)?.into();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let connection = self.0.connection.lock().await.clone();
            let outcome = self.0.once(&connection, &head, &payload, id, batch).await;
            match outcome {
                Ok(mut answer) => {
                    answer.elapsed = began.elapsed();
                    return Ok(answer);
                }
                Err(error) if attempt > self.0.link.config.retries => return Err(exhausted(error, attempt)),
                Err(TransportError::Busy { retry_after, .. }) => self.0.link.pause(attempt, retry_after).await,
                Err(error) if is_passing(&error) => {
                    self.0.link.pause(attempt, Duration::ZERO).await;
                    self.0.reconnect(&connection).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Says goodbye and waits until the server has heard it, or a moment.
    pub async fn close(&self) {
        let connection = self.0.connection.lock().await.clone();
        self.0.link.close(&connection).await;
    }
}

fn exhausted(error: TransportError, attempts: u32) -> TransportError {
    match error {
        TransportError::Busy { message, retry_after, .. } => TransportError::Busy { attempts, message, retry_after },
        error => error,
    }
}

/// Whether another connection may help.
fn is_passing(error: &TransportError) -> bool {
    match error {
        TransportError::Lost { .. } | TransportError::StreamAbandoned { .. } => true,
        TransportError::Refused { status, .. } => status.is_passing(),
        _ => false,
    }
}

impl Session {
    async fn once(
        &self,
        connection: &Connection,
        head: &Bytes,
        payload: &Bytes,
        id: u128,
        batch: usize,
    ) -> Result<Answer, TransportError> {
        let limit = self.output_len * batch * 4;
        let (preamble, reply, bytes) = self.link.exchange(connection, head, payload, limit).await?;
        let values = self.check(&preamble, &reply, &bytes, id, batch)?;
        Ok(Answer {
            values,
            id,
            bytes_sent: (head.len() + payload.len()) as u64,
            bytes_received: (Preamble::LEN + preamble.header_len() + bytes.len()) as u64,
            elapsed: Duration::ZERO,
        })
    }

    fn check(
        &self,
        preamble: &Preamble,
        reply: &ReplyHead,
        bytes: &[u8],
        id: u128,
        batch: usize,
    ) -> Result<Vec<f32>, TransportError> {
        let broken = |source| TransportError::Frame { during: "reading the reply", source };
        checked_ok(reply, id, batch)?;
        preamble.check_payload(bytes).map_err(broken)?;
        Layout::new(self.output_len, batch, Element::F32).and_then(|layout| layout.decode(bytes)).map_err(broken)
    }

    /// Replaces `broken`, unless another call has done so already.
    async fn reconnect(&self, broken: &Connection) -> Result<(), TransportError> {
        let mut connection = self.connection.lock().await;
        if connection.stable_id() != broken.stable_id() {
            return Ok(());
        }
        match self.link.dial().await {
            Ok((_, info)) if info != self.info => {
                Err(TransportError::ServerChanged { model: self.link.hello.model.clone() })
            }
            Ok((new, _)) => {
                *connection = new;
                Ok(())
            }
            // The next attempt fails on the broken connection and comes back here, until the retries are used up.
            Err(TransportError::Unreachable { .. } | TransportError::Lost { .. } | TransportError::TimedOut { .. }) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Refuses a reply that is none to this request, or that says no.
pub(crate) fn checked_ok(reply: &ReplyHead, id: u128, batch: usize) -> Result<(), TransportError> {
    let message = || reply.message.clone().unwrap_or_default();
    match reply.status {
        Status::Ok => {}
        Status::Busy => {
            let retry_after = Duration::from_millis(reply.retry_after_ms.unwrap_or(0).into());
            return Err(TransportError::Busy { attempts: 1, message: message(), retry_after });
        }
        status => return Err(TransportError::Refused { status, message: message() }),
    }
    if reply.id != id {
        return Err(TransportError::WrongReply { field: "id", expected: id, got: reply.id });
    }
    if usize::from(reply.batch) != batch {
        return Err(TransportError::WrongReply { field: "batch", expected: batch as u128, got: reply.batch.into() });
    }
    Ok(())
}

impl Link {
    pub(crate) fn new(
        addr: SocketAddr,
        server_name: &str,
        tls: ClientTls,
        model: &str,
        config: ClientConfig,
    ) -> Result<Self, TransportError> {
        let local = if addr.is_ipv4() {
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
        } else {
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
        };
        let mut endpoint = endpoint(local, None)?;
        let mut quic = quinn::ClientConfig::new(Arc::new(tls.config()?));
        quic.transport_config(config.transport()?);
        endpoint.set_default_client_config(quic);
        let hello = ClientHello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            model: model.to_owned(),
            expected_pair_hash: config.expected_pair_hash,
            element: config.element,
        };
        Ok(Self { endpoint, addr, server_name: server_name.to_owned(), hello, config })
    }

    pub(crate) async fn dial(&self) -> Result<(Connection, ServerHello), TransportError> {
        dial(&self.endpoint, self.addr, &self.server_name, &self.hello, &self.config).await
    }

    /// One stream: a frame there, a frame of at most `limit` bytes of payload back.
    pub(crate) async fn exchange(
        &self,
        connection: &Connection,
        head: &Bytes,
        payload: &Bytes,
        limit: usize,
    ) -> Result<(Preamble, ReplyHead, Vec<u8>), TransportError> {
        const DURING: &str = "waiting for the reply";
        let exchange = async {
            let lost = |source| TransportError::Lost { during: "sending the request", source };
            let (mut send, mut recv) = connection.open_bi().await.map_err(lost)?;
            // A server that is busy stops reading and says so in its reply, so a failed write is not the last word.
            drop(write_frame(&mut send, head.clone(), payload.clone()).await);
            let limits = Limits { max_payload: limit as u64 };
            let (preamble, reply) = read_head(&mut recv, &limits, DURING).await?;
            let Head::Reply(reply) = reply else { return Err(unexpected(DURING)) };
            let bytes = read_payload(&mut recv, &preamble, DURING).await?;
            Ok((preamble, reply, bytes))
        };
        within(self.config.request_timeout, DURING, exchange).await
    }

    /// Waits longer each time, with jitter so that clients do not come back together: as long as the server asks for, up
    /// to the longest pause of the settings.
    pub(crate) async fn pause(&self, attempt: u32, at_least: Duration) {
        let doubled = self.config.backoff.saturating_mul(1 << (attempt - 1).min(16)).min(self.config.max_backoff);
        let jitter = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(doubled.mul_f64(jitter).max(at_least).min(self.config.max_backoff)).await;
    }

    pub(crate) async fn close(&self, connection: &Connection) {
        connection.close(CloseCode::Done.into(), b"done");
        drop(tokio::time::timeout(Duration::from_millis(500), self.endpoint.wait_idle()).await);
    }
}

async fn dial(
    endpoint: &Endpoint,
    addr: SocketAddr,
    server_name: &str,
    hello: &ClientHello,
    config: &ClientConfig,
) -> Result<(Connection, ServerHello), TransportError> {
    let undialled = |source| TransportError::Dial { addr, server_name: server_name.to_owned(), source };
    let connecting = endpoint.connect(addr, server_name).map_err(undialled)?;
    let waited = config.connect_timeout;
    let connection = match tokio::time::timeout(waited, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(quinn::ConnectionError::TimedOut)) | Err(_) => return Err(TransportError::Unreachable { addr, waited }),
        Ok(Err(error)) => return Err(explain(error, "the handshake", server_name)),
    };
    let info = within(waited, "the hello", greet(&connection, hello)).await.map_err(|error| match error {
        TransportError::Lost { during, source } => explain(source, during, server_name),
        error => error,
    })?;
    Ok((connection, info))
}

async fn greet(connection: &Connection, hello: &ClientHello) -> Result<ServerHello, TransportError> {
    const DURING: &str = "the hello";
    let lost = |source| TransportError::Lost { during: DURING, source };
    let broken = |source| TransportError::Frame { during: DURING, source };
    let (mut send, mut recv) = connection.open_bi().await.map_err(lost)?;
    let bytes = Head::ClientHello(hello.clone()).to_bytes(&[]).map_err(broken)?;
    drop(write_frame(&mut send, bytes.into(), Bytes::new()).await); // the answer says what went wrong
    match read_head(&mut recv, &Limits { max_payload: 0 }, DURING).await?.1 {
        Head::ServerHello(info) => match hello.expected_pair_hash {
            Some(expected) if expected != info.pair_hash => {
                Err(TransportError::PairMismatch { expected, got: info.pair_hash })
            }
            _ => Ok(info),
        },
        Head::Reply(reply) => {
            connection.close(VarInt::from(CloseCode::Done), b"refused");
            Err(TransportError::Refused { status: reply.status, message: reply.message.unwrap_or_default() })
        }
        _ => Err(unexpected(DURING)),
    }
}

fn unexpected(during: &'static str) -> TransportError {
    TransportError::Refused {
        status: Status::Internal,
        message: format!("the server sent a frame of another kind in {during}"),
    }
}

impl Link {
    /// Checks that the announced sizes agree with one another and with what was asked for.
    fn sizes(&self, info: &ServerHello) -> Result<(usize, usize), TransportError> {
        let ClientConfig { element, expected_item_len, expected_output_len, .. } = self.config;
        let (item_len, output_len) = (info.item_len().map_err(broken)?, info.output_len().map_err(broken)?);
        for (field, expected, got) in
            [("item", expected_item_len, item_len), ("output", expected_output_len, output_len)]
        {
            if let Some(expected) = expected.filter(|&expected| expected != got) {
                return Err(TransportError::WrongReply { field, expected: expected as u128, got: got as u128 });
            }
        }
        let item = Layout::new(item_len, 1, element).map_err(broken)?;
        self.check_item(info, item.byte_len())?;
        Ok((item_len, output_len))
    }

    /// The longest request and the longest answer in bytes. The answer is not longer than was expected.
    pub(crate) fn message_limits(&self, info: &ServerHello) -> Result<[usize; 2], TransportError> {
        let [request, answer] = [info.item_len().map_err(broken)?, info.output_len().map_err(broken)?];
        self.check_item(info, request)?;
        match self.config.expected_output_len.filter(|&expected| answer > expected) {
            None => Ok([request, answer]),
            Some(expected) => Err(TransportError::WrongReply {
                field: "longest answer",
                expected: expected as u128,
                got: answer as u128,
            }),
        }
    }

    fn check_item(&self, info: &ServerHello, bytes: usize) -> Result<(), TransportError> {
        let element = self.config.element;
        if info.element == element && info.item_bytes == bytes as u64 {
            return Ok(());
        }
        let message = format!(
            "the hello announces {:?} items of {} bytes, expected {element:?} of {bytes}",
            info.element, info.item_bytes
        );
        Err(TransportError::Refused { status: Status::Internal, message })
    }
}

fn broken(source: cleave_wire::WireError) -> TransportError {
    TransportError::Frame { during: "the hello", source }
}

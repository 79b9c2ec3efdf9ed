//! The client of a service that talks messages.

use crate::client::{Link, checked_ok};
use crate::{ClientConfig, ClientTls, TransportError};
use bytes::Bytes;
use cleave_wire::{Element, Head, Preamble, RequestHead, ServerHello};
use quinn::Connection;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The answer to one message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Told {
    /// The answer; at most what the hello announced.
    pub message: Vec<u8>,
    /// Frame bytes sent, of the last attempt.
    pub bytes_sent: u64,
    /// Frame bytes received, of the last attempt.
    pub bytes_received: u64,
    /// From the question to the answer, retries included.
    pub elapsed: Duration,
}

/// A connection to a service that keeps a state for it.
///
/// The state ends with the connection: a lost one is an error and not dialled again.
pub struct MessageClient {
    link: Link,
    connection: Connection,
    info: ServerHello,
    /// Longest request and longest answer in bytes.
    limits: [usize; 2],
}

impl MessageClient {
    /// Connects and settles the session. Of `config`, element type and expected item are not looked at; the expected
    /// output is the longest answer in bytes that the client takes, and a server that announces a longer one is refused.
    ///
    /// # Errors
    /// As [`Client::connect`](crate::Client::connect).
    pub async fn connect(
        addr: SocketAddr,
        server_name: &str,
        tls: ClientTls,
        model: &str,
        config: ClientConfig,
    ) -> Result<Self, TransportError> {
        let config = ClientConfig { element: Element::Bytes, ..config };
        let link = Link::new(addr, server_name, tls, model, config)?;
        let (connection, info) = link.dial().await?;
        let limits = link.message_limits(&info)?;
        Ok(Self { link, connection, info, limits })
    }

    /// What the server announced.
    pub fn info(&self) -> &ServerHello {
        &self.info
    }

    /// Bytes of the longest message that the server takes.
    pub fn max_request(&self) -> usize {
        self.limits[0]
    }

    /// Sends a message and waits for its answer; sends it again while the server is busy.
    ///
    /// # Errors
    /// [`TransportError::MessageTooLong`], [`TransportError::Busy`] after the last retry,
    /// [`TransportError::Refused`], [`TransportError::Lost`].
    pub async fn ask(&mut self, message: Vec<u8>) -> Result<Told, TransportError> {
        let began = Instant::now();
        if message.len() > self.limits[0] {
            return Err(TransportError::MessageTooLong { got: message.len(), limit: self.limits[0] });
        }
        let payload = Bytes::from(message);
        let id = rand::random::<u128>();
        let head = Head::Request(RequestHead { id, batch: 1, element: Element::Bytes }).to_bytes(&payload);
        let head: Bytes =
            head.map_err(|source| TransportError::Frame { during: "encoding the request", source })?.into();
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.once(&head, &payload, id).await {
                Err(TransportError::Busy { retry_after, .. }) if attempt <= self.link.config.retries => {
                    self.link.pause(attempt, retry_after).await;
                }
                Err(TransportError::Busy { retry_after, message, .. }) => {
                    return Err(TransportError::Busy { attempts: attempt, message, retry_after });
                }
                Err(error) => return Err(error),
                Ok(told) => return Ok(Told { elapsed: began.elapsed(), ..told }),
            }
        }
    }

    async fn once(&self, head: &Bytes, payload: &Bytes, id: u128) -> Result<Told, TransportError> {
        let limit = self.limits[1];
        let (preamble, reply, message) = self.link.exchange(&self.connection, head, payload, limit).await?;
        checked_ok(&reply, id, 1)?;
        preamble
            .check_payload(&message)
            .map_err(|source| TransportError::Frame { during: "reading the reply", source })?;
        let bytes_received = (Preamble::LEN + preamble.header_len() + message.len()) as u64;
        let bytes_sent = (head.len() + payload.len()) as u64;
        Ok(Told { message, bytes_sent, bytes_received, elapsed: Duration::ZERO })
    }

    /// Says goodbye, which ends the session, and waits until the server has heard it, or a moment.
    pub async fn close(self) {
        self.link.close(&self.connection).await;
    }
}

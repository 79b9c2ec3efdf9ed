//! Settings of both sides, and what they cost in memory.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use cleave_wire::Element;
use quinn::{EndpointConfig, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::TransportError;

/// Bytes of one stream in flight. Chosen because a batch of 16 AlexNet items (64×27×27 f32, 3.0 MB)
/// then never waits for the receiver to grant more.
const STREAM_WINDOW: u32 = 4 << 20;
/// Bytes of one connection in flight, both for receiving and sending. Chosen as two streams' worth:
/// one is computed while the next arrives.
const CONNECTION_WINDOW: u32 = 2 * STREAM_WINDOW;
/// Largest datagram offered to path discovery. Chosen because the fewer packets the less work,
/// and 8952 bytes fill a jumbo frame; a path that carries only 1500 keeps its 1452.
const LARGEST_DATAGRAM: u16 = 8952;

/// How long the other side may hold back an acknowledgement. Chosen because a request whose last packets wait for the
/// congestion window otherwise stands still for QUIC's default of 25 ms, which is as long as a batch takes to compute.
const LONGEST_ACK_DELAY: Duration = Duration::from_millis(1);

/// Bytes that the system is asked to hold for a socket, each way. Chosen because a whole stream window may arrive while
/// the reading thread waits for a core that computes.
const SOCKET_BUFFER: usize = STREAM_WINDOW as usize;

/// Settings of a server.
///
/// Worst-case memory in bytes:
/// `max_connections × 8 MiB + (workers + queue) × P + workers × (4 × V + P')`, where the 8 MiB are
/// the flow-control window of a connection, `P` the largest payload of any service in f32,
/// `V` the values in it and `P'` the payload of its reply.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Connections served at once; more are refused during the handshake.
    pub max_connections: u16,
    /// Requests of one connection that run side by side; more wait inside QUIC.
    pub max_concurrent_requests: u16,
    /// Requests that compute at once, over all connections.
    pub workers: u16,
    /// Requests that may wait for a worker, over all connections; more are answered `Busy`.
    pub queue: u16,
    /// The hint that goes with `Busy`.
    pub retry_after: Duration,
    /// Longest time for handshake and hello, each.
    pub handshake_timeout: Duration,
    /// Longest time for one frame to arrive.
    pub read_timeout: Duration,
    /// Longest time for a reply to be taken.
    pub write_timeout: Duration,
    /// A connection without a request for this long is closed; also QUIC's own idle timeout.
    pub idle_timeout: Duration,
    /// How long requests in progress may take to finish after shutdown was asked for.
    pub drain_deadline: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_connections: 64,
            max_concurrent_requests: 8,
            workers: 2,
            queue: 16,
            retry_after: Duration::from_millis(50),
            handshake_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            drain_deadline: Duration::from_secs(30),
        }
    }
}

impl ServerConfig {
    pub(crate) fn check(&self) -> Result<(), TransportError> {
        let counts = [
            ("max_connections", self.max_connections),
            ("max_concurrent_requests", self.max_concurrent_requests),
            ("workers", self.workers),
        ];
        match counts.into_iter().find(|&(_, count)| count == 0) {
            None => Ok(()),
            Some((field, _)) => Err(TransportError::Config { field, got: 0, expected: "at least 1" }),
        }
    }

    pub(crate) fn transport(&self) -> Result<Arc<TransportConfig>, TransportError> {
        let mut transport = transport(self.idle_timeout)?;
        transport.max_concurrent_bidi_streams(self.max_concurrent_requests.into());
        Ok(Arc::new(transport))
    }
}

/// Settings of a client.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Element type to send; the server may refuse it.
    pub element: Element,
    /// Hash in the client's front half. With `None` any back half of that name is taken.
    pub expected_pair_hash: Option<[u8; 32]>,
    /// Values that the client will send for one item, and values that it will take for one answer. A server that
    /// announces others is refused; with `None` whatever it announces is believed, and memory is set aside for it.
    pub expected_item_len: Option<usize>,
    /// See [`ClientConfig::expected_item_len`].
    pub expected_output_len: Option<usize>,
    /// Attempts after the first, on `Busy`, `ShuttingDown` or a lost connection.
    pub retries: u32,
    /// Pause before the first retry; it doubles with each, and part of it is drawn at random.
    pub backoff: Duration,
    /// Longest pause, also where the server hints at a longer one.
    pub max_backoff: Duration,
    /// Longest time for handshake and hello together.
    pub connect_timeout: Duration,
    /// Longest time for one attempt, computing included.
    pub request_timeout: Duration,
    /// After this long without a packet the connection counts as lost. A quarter of it is the
    /// interval of keep-alives, so that a long computation does not look like a dead server.
    pub idle_timeout: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            element: Element::F32,
            expected_pair_hash: None,
            expected_item_len: None,
            expected_output_len: None,
            retries: 5,
            backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(20),
        }
    }
}

impl ClientConfig {
    pub(crate) fn transport(&self) -> Result<Arc<TransportConfig>, TransportError> {
        let mut transport = transport(self.idle_timeout)?;
        transport.max_concurrent_bidi_streams(0u8.into()); // servers open no streams
        transport.keep_alive_interval(Some(self.idle_timeout / 4));
        Ok(Arc::new(transport))
    }
}

fn transport(idle_timeout: Duration) -> Result<TransportConfig, TransportError> {
    let mut acks = quinn::AckFrequencyConfig::default();
    acks.max_ack_delay(Some(LONGEST_ACK_DELAY));
    let mut transport = TransportConfig::default();
    transport
        .ack_frequency_config(Some(acks))
        .max_concurrent_uni_streams(0u8.into())
        .datagram_receive_buffer_size(None)
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(CONNECTION_WINDOW.into())
        .mtu_discovery_config(Some(mtu_discovery()))
        .max_idle_timeout(Some(idle_timeout.try_into().map_err(|_| TransportError::Config {
            field: "idle_timeout",
            got: idle_timeout.as_secs(),
            expected: "under 2^62 milliseconds",
        })?));
    Ok(transport)
}

fn mtu_discovery() -> MtuDiscoveryConfig {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(LARGEST_DATAGRAM);
    discovery
}

/// Opens a UDP socket that takes the large datagrams of this configuration.
pub(crate) fn endpoint(
    addr: SocketAddr,
    server: Option<quinn::ServerConfig>,
) -> Result<quinn::Endpoint, TransportError> {
    let failed = |source| TransportError::Socket { addr, source };
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(LARGEST_DATAGRAM).map_err(|e| failed(std::io::Error::other(e)))?;
    let socket = std::net::UdpSocket::bind(addr).map_err(failed)?;
    // The system may grant less; what overflows the buffer is sent again.
    drop(socket2::SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER));
    drop(socket2::SockRef::from(&socket).set_send_buffer_size(SOCKET_BUFFER));
    quinn::Endpoint::new(config, server, socket, Arc::new(quinn::TokioRuntime)).map_err(failed)
}

/// Codes with which a connection or a stream is given up. They appear in packet captures.
#[derive(Clone, Copy)]
pub(crate) enum CloseCode {
    Done = 0,
    Refused = 1,
    ShuttingDown = 2,
    NotReading = 3,
}

impl From<CloseCode> for VarInt {
    fn from(code: CloseCode) -> Self {
        VarInt::from_u32(code as u32)
    }
}

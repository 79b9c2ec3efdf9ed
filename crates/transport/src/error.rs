use std::{fmt, io, net::SocketAddr, path::PathBuf, time::Duration};

use cleave_wire::{Status, WireError};

/// What can go wrong between a client and a server. Each variant says whose move is next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// A key or certificate file could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    KeyFile {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A key or certificate file is there already.
    #[error("{path} exists; choose another folder, or ask for it to be replaced")]
    KeyExists {
        /// The file.
        path: PathBuf,
    },
    /// A file holds no usable PEM.
    #[error("{path} holds no {expected} in PEM form: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
        /// What was found wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// The authority's certificate does not belong to its private key.
    #[error("{certificate} and {key} are not a pair; load the two files that were made together")]
    KeyMismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// A client name that cannot be part of a file name.
    #[error("client name {name:?} is unusable; use 1 to 64 of a-z, A-Z, 0-9, '.', '-', '_', not starting with '.'")]
    ClientName {
        /// The name.
        name: String,
    },
    /// A validity that no calendar holds.
    #[error("a certificate cannot be valid for {days} days; choose fewer")]
    Validity {
        /// Days asked for.
        days: i32,
    },
    /// A certificate or key could not be made or understood.
    #[error("cannot make or read the {what}: {source}")]
    Certificate {
        /// What was being made or read.
        what: &'static str,
        /// What the certificate library says.
        source: rcgen::Error,
    },
    /// Keys and certificates do not make a TLS configuration.
    #[error("these keys and certificates make no TLS configuration: {source}; issue them again")]
    Tls {
        /// What the TLS library says.
        source: rustls::Error,
    },
    /// The trusted certificates make no verifier.
    #[error("the trusted certificates make no verifier: {source}; check ca.pem")]
    Verifier {
        /// What the TLS library says.
        source: rustls::server::VerifierBuilderError,
    },
    /// A configuration field holds a value that cannot work.
    #[error("configuration field {field} is {got}, expected {expected}")]
    Config {
        /// Name of the field.
        field: &'static str,
        /// The value.
        got: u64,
        /// Values that work.
        expected: &'static str,
    },
    /// The socket could not be opened.
    #[error("cannot open a UDP socket on {addr}: {source}; is the port taken?")]
    Socket {
        /// Local address asked for.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Two services of one name.
    #[error("two services are called {name:?}; give each its own name")]
    DuplicateService {
        /// The name.
        name: String,
    },
    /// A service describes itself in a way no hello can carry.
    #[error("service {name:?} cannot be announced: {source}")]
    ServiceInfo {
        /// The name.
        name: String,
        /// The field at fault.
        source: WireError,
    },
    /// The address or the server name cannot be dialled at all.
    #[error("cannot dial {addr} as {server_name:?}: {source}")]
    Dial {
        /// Address of the server.
        addr: SocketAddr,
        /// Name its certificate must carry.
        server_name: String,
        /// What quinn says.
        source: quinn::ConnectError,
    },
    /// Nobody answered the handshake.
    #[error("no answer from {addr} within {waited:?}; is the server running, and does UDP pass?")]
    Unreachable {
        /// Address of the server.
        addr: SocketAddr,
        /// How long was waited.
        waited: Duration,
    },
    /// This client does not accept the server's certificate.
    #[error("the certificate of {server_name:?} is refused: {fault} ({detail})")]
    ServerCertificateRefused {
        /// Name the certificate had to carry.
        server_name: String,
        /// What is wrong with it.
        fault: CertificateFault,
        /// The verifier's own words.
        detail: String,
    },
    /// The server does not accept this client's certificate, or wants one and got none.
    #[error(
        "the server refused this client's certificate: {fault}; ask the provider for a certificate issued by its authority"
    )]
    ClientCertificateRefused {
        /// What is wrong with it, as far as the server said.
        fault: CertificateFault,
    },
    /// The other side is not a Cleave server of a version this build knows.
    #[error("the peer speaks no {expected}; check the address and update the older side")]
    NoCommonProtocol {
        /// Protocol name offered in the handshake.
        expected: &'static str,
    },
    /// The connection ended.
    #[error("the connection was lost while {during}: {source}")]
    Lost {
        /// What was going on.
        during: &'static str,
        /// How it ended.
        source: quinn::ConnectionError,
    },
    /// The peer gave up one stream.
    #[error("the peer abandoned the stream while {during}, code {code}")]
    StreamAbandoned {
        /// What was going on.
        during: &'static str,
        /// Application code of the reset.
        code: u64,
    },
    /// Something took longer than its limit.
    #[error("{during} took longer than {limit:?}")]
    TimedOut {
        /// What was going on.
        during: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The peer broke the protocol, or a tensor breaks its rules.
    #[error("{during}: {source}")]
    Frame {
        /// What was going on.
        during: &'static str,
        /// The rule that was broken.
        source: WireError,
    },
    /// The server understood and said no.
    #[error("the server answered {status}: {message}")]
    Refused {
        /// Its status.
        status: Status,
        /// Its words.
        message: String,
    },
    /// The server has no free place.
    #[error("the server is busy after {attempts} attempts ({message}); try again in {retry_after:?} or later")]
    Busy {
        /// Attempts made.
        attempts: u32,
        /// Its words.
        message: String,
        /// The server's hint; zero if it gave none.
        retry_after: Duration,
    },
    /// The back half behind this name belongs to another pair.
    #[error(
        "pair hash expected {}, the server has {}; fetch the front half that belongs to it",
        hex(expected),
        hex(got)
    )]
    PairMismatch {
        /// Hash in the client's front half.
        expected: [u8; 32],
        /// Hash of the server's back half.
        got: [u8; 32],
    },
    /// After a reconnection the server announced something else than before.
    #[error("the server changed what it announces for {model:?} during this session; connect anew and read its notice")]
    ServerChanged {
        /// Name of the service.
        model: String,
    },
    /// A message is longer than the server takes.
    #[error("a message of {got} bytes, the server takes {limit}; send less at a time")]
    MessageTooLong {
        /// Its bytes.
        got: usize,
        /// Bytes that the hello allows.
        limit: usize,
    },
    /// The reply does not belong to the request.
    #[error("reply has {field} {got}, the request has {expected}; the server is at fault")]
    WrongReply {
        /// The field: `id` or `batch`.
        field: &'static str,
        /// What the request has.
        expected: u128,
        /// What the reply has.
        got: u128,
    },
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateFault {
    /// None was shown.
    Missing,
    /// It is no longer valid, or not yet.
    Expired,
    /// No trusted authority has issued it.
    UnknownAuthority,
    /// It does not carry the name that was dialled.
    WrongName,
    /// It may not be used for this purpose.
    WrongPurpose,
    /// Something else; the number of the TLS alert.
    Other(u8),
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "none was shown",
            Self::Expired => "it is expired or not yet valid",
            Self::UnknownAuthority => "no trusted authority issued it",
            Self::WrongName => "it does not carry this name",
            Self::WrongPurpose => "it was issued for another purpose",
            Self::Other(alert) => return write!(f, "TLS alert {alert}"),
        })
    }
}

fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

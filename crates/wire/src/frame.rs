//! Preamble, checksums and limits: the part of a frame that is read before anything is allocated.

use std::fmt;

use crate::{Head, MAX_HEADER, WireError};

/// Oldest protocol version this build speaks.
pub const VERSION_MIN: u16 = 1;
/// Newest protocol version this build speaks.
pub const VERSION_MAX: u16 = 1;

/// Not text, so that a line of HTTP or SSH can never look like a frame.
const MAGIC: [u8; 4] = [0xC1, b'E', b'A', 0x0E];
/// Bytes of the preamble that `head_crc` covers: all but itself.
const COVERED: usize = Preamble::LEN - 4;

/// Newest version that both sides speak; `None` if the ranges do not meet.
pub fn settle_version(min: u16, max: u16) -> Option<u16> {
    let newest = max.min(VERSION_MAX);
    (newest >= min.max(VERSION_MIN)).then_some(newest)
}

/// Kind of a frame, as its byte in the preamble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
#[allow(missing_docs)] // each is the message of the same name
pub enum Kind {
    ClientHello = 1,
    ServerHello = 2,
    Request = 3,
    Reply = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::ClientHello, Self::ServerHello, Self::Request, Self::Reply].into_iter().find(|&kind| kind as u8 == byte)
    }

    fn has_payload(self) -> bool {
        matches!(self, Self::Request | Self::Reply)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientHello => "client hello",
            Self::ServerHello => "server hello",
            Self::Request => "request",
            Self::Reply => "reply",
        })
    }
}

/// What a reader is willing to hold of one frame.
///
/// Worst-case memory of one frame in bytes: `Preamble::LEN + MAX_HEADER + max_payload`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest payload in bytes. Before the hello is settled this is 0.
    pub max_payload: u64,
}

/// The fixed first bytes of a frame, checked against [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    kind: Kind,
    header_len: usize,
    payload_len: usize,
    payload_crc: u32,
    head_crc: u32,
    crc_so_far: u32,
}

impl Preamble {
    /// Bytes of a preamble.
    pub const LEN: usize = 28;

    /// Reads a preamble. Nothing is allocated, and nothing depends on earlier calls.
    ///
    /// # Errors
    ///
    /// [`WireError::WrongMagic`], [`WireError::UnsupportedVersion`], [`WireError::UnknownKind`],
    /// [`WireError::Reserved`], [`WireError::OverLimit`], [`WireError::UnexpectedPayload`], in this
    /// order of precedence.
    pub fn parse(bytes: &[u8; Self::LEN], limits: &Limits) -> Result<Self, WireError> {
        let version = u16::from_le_bytes(field(bytes, 4));
        let [kind, reserved] = field(bytes, 6);
        let kind = check_start(field(bytes, 0), version, kind, reserved)?;
        let header_len = u32::from_le_bytes(field(bytes, 8)).into();
        let payload_len = u64::from_le_bytes(field(bytes, 12));
        if payload_len > 0 && !kind.has_payload() {
            return Err(WireError::UnexpectedPayload { kind, got: payload_len });
        }
        Ok(Self {
            kind,
            header_len: within("header", header_len, MAX_HEADER as u64)?,
            payload_len: within("payload", payload_len, limits.max_payload)?,
            payload_crc: u32::from_le_bytes(field(bytes, 20)),
            head_crc: u32::from_le_bytes(field(bytes, COVERED)),
            crc_so_far: crc32fast::hash(&bytes[..COVERED]),
        })
    }

    /// Kind of the message.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Bytes of the header that follows; at most [`MAX_HEADER`].
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Bytes of the payload that follows the header; at most the limit it was parsed with.
    pub fn payload_len(&self) -> usize {
        self.payload_len
    }

    /// Decodes the header after checking its checksum.
    ///
    /// # Errors
    ///
    /// [`WireError::Truncated`] or [`WireError::TrailingBytes`] for the wrong number of bytes,
    /// [`WireError::Checksum`], [`WireError::Header`], [`WireError::Field`].
    pub fn open(&self, header: &[u8]) -> Result<Head, WireError> {
        check_len("header", self.header_len, header.len())?;
        let mut crc = crc32fast::Hasher::new_with_initial_len(self.crc_so_far, COVERED as u64);
        crc.update(header);
        check_crc("head", self.head_crc, crc.finalize())?;
        Head::from_header(self.kind, header)
    }

    /// Checks length and checksum of the payload.
    ///
    /// # Errors
    ///
    /// [`WireError::Truncated`], [`WireError::TrailingBytes`] or [`WireError::Checksum`].
    pub fn check_payload(&self, payload: &[u8]) -> Result<(), WireError> {
        check_len("payload", self.payload_len, payload.len())?;
        check_crc("payload", self.payload_crc, crc32fast::hash(payload))
    }
}

/// Decodes a whole frame that lies in one buffer, and nothing after it.
///
/// # Errors
///
/// Any [`WireError`] that [`Preamble::parse`], [`Preamble::open`] and [`Preamble::check_payload`]
/// give.
pub fn decode<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Head, &'a [u8]), WireError> {
    let (start, rest) = bytes.split_first_chunk().ok_or(WireError::Truncated {
        part: "preamble",
        expected: Preamble::LEN as u64,
        got: bytes.len() as u64,
    })?;
    let preamble = Preamble::parse(start, limits)?;
    let (header, payload) = rest.split_at(preamble.header_len.min(rest.len()));
    let head = preamble.open(header)?;
    preamble.check_payload(payload)?;
    Ok((head, payload))
}

pub(crate) fn head_bytes(kind: Kind, header: &[u8], payload: &[u8]) -> Result<Vec<u8>, WireError> {
    let (header_len, payload_len) = (header.len() as u32, payload.len() as u64);
    if payload_len > 0 && !kind.has_payload() {
        return Err(WireError::UnexpectedPayload { kind, got: payload_len });
    }
    let mut bytes = Vec::with_capacity(Preamble::LEN + header.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION_MAX.to_le_bytes());
    bytes.extend_from_slice(&[kind as u8, 0]);
    bytes.extend_from_slice(&header_len.to_le_bytes());
    bytes.extend_from_slice(&payload_len.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes);
    crc.update(header);
    bytes.extend_from_slice(&crc.finalize().to_le_bytes());
    bytes.extend_from_slice(header);
    Ok(bytes)
}

/// The `N` bytes that start at `at`.
fn field<const N: usize>(bytes: &[u8; Preamble::LEN], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

fn check_start(magic: [u8; 4], version: u16, kind: u8, reserved: u8) -> Result<Kind, WireError> {
    if magic != MAGIC {
        return Err(WireError::WrongMagic { expected: MAGIC, got: magic });
    }
    if !(VERSION_MIN..=VERSION_MAX).contains(&version) {
        let (min, max) = (VERSION_MIN, VERSION_MAX);
        return Err(WireError::UnsupportedVersion { got: version, min, max });
    }
    if reserved != 0 {
        return Err(WireError::Reserved { got: reserved });
    }
    Kind::from_byte(kind).ok_or(WireError::UnknownKind { got: kind })
}

fn within(part: &'static str, got: u64, limit: u64) -> Result<usize, WireError> {
    let over = WireError::OverLimit { part, got, limit };
    if got > limit {
        return Err(over);
    }
    usize::try_from(got).map_err(|_| over)
}

fn check_len(part: &'static str, expected: usize, got: usize) -> Result<(), WireError> {
    let (wanted, present) = (expected as u64, got as u64);
    match got.cmp(&expected) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(WireError::Truncated { part, expected: wanted, got: present }),
        std::cmp::Ordering::Greater => Err(WireError::TrailingBytes { part, extra: present - wanted }),
    }
}

fn check_crc(part: &'static str, expected: u32, got: u32) -> Result<(), WireError> {
    if expected == got {
        return Ok(());
    }
    Err(WireError::Checksum { part, expected, got })
}

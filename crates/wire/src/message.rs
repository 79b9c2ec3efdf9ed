//! The four messages and the bounds on their fields.

// bincode is no longer developed. It is pinned to one exact release and used in this file and in
// `error.rs` only, on headers of at most `MAX_HEADER` bytes and behind a size limit, so that
// replacing it means writing the four headers by hand and nothing else. Tensors never pass it.
use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{AllowedEnumVariants, DecodeError, EncodeError},
};

use crate::{Element, HeaderFault, Kind, Layout, Status, WireError, frame};

/// Most items in one request. Chosen because 64 items of AlexNet's first cut (64×27×27 f32) are
/// 12 MB, about what one machine answers in a second; more gains nothing and holds more memory.
pub const MAX_BATCH: u16 = 64;
/// Most dimensions of one item's shape. Images need 3; the rest is room.
pub const MAX_DIMENSIONS: usize = 8;
/// Longest header in bytes. Chosen because the longest legal one, a `ServerHello` with a full
/// name, notice and shapes, needs under 1400.
pub const MAX_HEADER: usize = 2048;
/// Longest model name in bytes.
pub const MAX_NAME: usize = 128;
/// Longest notice in bytes; a paragraph that a person reads in a terminal.
pub const MAX_NOTICE: usize = 1024;
/// Longest message of a reply in bytes.
pub const MAX_MESSAGE: usize = 512;

/// First message of a connection: what the client speaks and wants.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ClientHello {
    /// Oldest protocol version the client speaks.
    pub version_min: u16,
    /// Newest protocol version the client speaks.
    pub version_max: u16,
    /// Name of the service; 1 to [`MAX_NAME`] bytes.
    pub model: String,
    /// Hash that both halves of a pair share; `None` takes whatever the server has.
    pub expected_pair_hash: Option<[u8; 32]>,
    /// Element type the client wants to send.
    pub element: Element,
}

/// The server's answer to a hello: everything that fixes the size of later frames.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ServerHello {
    /// Protocol version of this connection.
    pub version: u16,
    /// Name of the service.
    pub model: String,
    /// Hash that both halves of the pair share.
    pub pair_hash: [u8; 32],
    /// Element type settled for requests. Replies are f32, or bytes where requests are.
    pub element: Element,
    /// Shape of one smashed item, such as `[64, 27, 27]`; for bytes `[n]`, the longest request.
    pub item_shape: Vec<u32>,
    /// Shape of one answer, such as `[2]`; for bytes `[n]`, the longest answer.
    pub output_shape: Vec<u32>,
    /// Most items in one request; 1 to [`MAX_BATCH`], and 1 for bytes.
    pub max_batch: u16,
    /// Payload bytes of one item in the settled element type, exactly; for bytes at most.
    pub item_bytes: u64,
    /// Text that each client must show, such as the reason given for releasing a pair that fails
    /// its leakage check; at most [`MAX_NOTICE`] bytes.
    pub notice: Option<String>,
}

/// Header of a request. Its payload is the smashed data, laid out by [`Layout`], or a message.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RequestHead {
    /// Drawn at random by the client; the reply repeats it.
    pub id: u128,
    /// Items in the payload; 1 to [`MAX_BATCH`].
    pub batch: u16,
    /// Element type of the payload; must be the settled one.
    pub element: Element,
}

/// Header of a reply. If the status is `Ok`, its payload is the logits as f32, or a message; otherwise it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ReplyHead {
    /// Id of the request; 0 where none could be read.
    pub id: u128,
    /// How it went.
    pub status: Status,
    /// Items in the payload; 0 unless the status is `Ok`.
    pub batch: u16,
    /// When to try again, in milliseconds; a hint that goes with `Busy`.
    pub retry_after_ms: Option<u32>,
    /// What went wrong, for a person; at most [`MAX_MESSAGE`] bytes.
    pub message: Option<String>,
}

/// A message without its payload: what the header of a frame decodes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// First message of a connection.
    ClientHello(ClientHello),
    /// Its answer.
    ServerHello(ServerHello),
    /// A batch to compute.
    Request(RequestHead),
    /// The answer, or the reason why there is none.
    Reply(ReplyHead),
}

impl Head {
    /// Kind of the frame that carries this message.
    pub fn kind(&self) -> Kind {
        match self {
            Self::ClientHello(_) => Kind::ClientHello,
            Self::ServerHello(_) => Kind::ServerHello,
            Self::Request(_) => Kind::Request,
            Self::Reply(_) => Kind::Reply,
        }
    }

    /// Preamble and header of the frame that carries this message and `payload`. The payload itself
    /// is not copied: send it after these bytes.
    ///
    /// # Errors
    ///
    /// [`WireError::Field`] if a field is out of its bounds, [`WireError::UnexpectedPayload`] if a
    /// hello is given a payload.
    pub fn to_bytes(&self, payload: &[u8]) -> Result<Vec<u8>, WireError> {
        self.check()?;
        let header = match self {
            Self::ClientHello(m) => encode(m),
            Self::ServerHello(m) => encode(m),
            Self::Request(m) => encode(m),
            Self::Reply(m) => encode(m),
        };
        let header = header.map_err(|_| self.fault(HeaderFault::Long))?;
        frame::head_bytes(self.kind(), &header, payload)
    }

    pub(crate) fn from_header(kind: Kind, header: &[u8]) -> Result<Self, WireError> {
        let head = match kind {
            Kind::ClientHello => Self::ClientHello(decode(kind, header)?),
            Kind::ServerHello => Self::ServerHello(decode(kind, header)?),
            Kind::Request => Self::Request(decode(kind, header)?),
            Kind::Reply => Self::Reply(decode(kind, header)?),
        };
        head.check()?;
        Ok(head)
    }

    fn fault(&self, fault: HeaderFault) -> WireError {
        WireError::Header { kind: self.kind(), fault }
    }

    fn check(&self) -> Result<(), WireError> {
        match self {
            Self::ClientHello(hello) => hello.check(),
            Self::ServerHello(hello) => hello.check(),
            Self::Request(request) if request.element == Element::Bytes => {
                check_message("request.batch", request.batch)
            }
            Self::Request(request) => check_batch("request.batch", request.batch),
            Self::Reply(reply) => reply.check(),
        }
    }
}

impl ClientHello {
    fn check(&self) -> Result<(), WireError> {
        if self.version_min > self.version_max {
            return Err(WireError::Field {
                field: "client_hello.version_min",
                got: self.version_min.into(),
                expected: "at most version_max",
            });
        }
        check_name("client_hello.model", &self.model)
    }
}

impl ServerHello {
    /// Numbers in one smashed item: the product of `item_shape`.
    ///
    /// # Errors
    ///
    /// [`WireError::Field`] if the shape is empty, has a zero or too many dimensions, or overflows.
    pub fn item_len(&self) -> Result<usize, WireError> {
        shape_len("server_hello.item_shape", &self.item_shape)
    }

    /// Numbers in one answer: the product of `output_shape`.
    ///
    /// # Errors
    ///
    /// As [`ServerHello::item_len`].
    pub fn output_len(&self) -> Result<usize, WireError> {
        shape_len("server_hello.output_shape", &self.output_shape)
    }

    fn check(&self) -> Result<(), WireError> {
        check_name("server_hello.model", &self.model)?;
        check_batch("server_hello.max_batch", self.max_batch)?;
        self.output_len()?;
        let item_len = self.item_len()?;
        if self.element == Element::Bytes {
            check_message("server_hello.max_batch", self.max_batch)?;
            self.one_dimension()?;
        } else {
            Layout::new(item_len, 1, self.element)?;
        }
        if self.element.item_bytes(item_len).is_none_or(|bytes| bytes as u64 != self.item_bytes) {
            return Err(WireError::Field {
                field: "server_hello.item_bytes",
                got: self.item_bytes,
                expected: "the size of item_shape in the settled element type",
            });
        }
        check_text("server_hello.notice", self.notice.as_deref(), MAX_NOTICE)
    }
}

impl ServerHello {
    fn one_dimension(&self) -> Result<(), WireError> {
        let shapes = [("server_hello.item_shape", &self.item_shape), ("server_hello.output_shape", &self.output_shape)];
        match shapes.into_iter().find(|(_, shape)| shape.len() != 1) {
            None => Ok(()),
            Some((field, shape)) => {
                Err(WireError::Field { field, got: shape.len() as u64, expected: "1 dimension for bytes" })
            }
        }
    }
}

impl ReplyHead {
    fn check(&self) -> Result<(), WireError> {
        match self.status {
            Status::Ok => check_batch("reply.batch", self.batch)?,
            _ if self.batch != 0 => {
                return Err(WireError::Field {
                    field: "reply.batch",
                    got: self.batch.into(),
                    expected: "0 unless the status is Ok",
                });
            }
            _ => {}
        }
        check_text("reply.message", self.message.as_deref(), MAX_MESSAGE)
    }
}

/// Numbers in a tensor of `shape`; `field` names it in an error.
///
/// # Errors
///
/// [`WireError::Field`] unless there are 1 to [`MAX_DIMENSIONS`] dimensions, none of them zero, and
/// the product fits 32 bits.
pub fn shape_len(field: &'static str, shape: &[u32]) -> Result<usize, WireError> {
    let wrong = |got, expected| WireError::Field { field, got, expected };
    if shape.is_empty() || shape.len() > MAX_DIMENSIONS {
        return Err(wrong(shape.len() as u64, "1 to 8 dimensions"));
    }
    let product = shape.iter().try_fold(1u32, |product, &side| product.checked_mul(side));
    match product {
        Some(0) => Err(wrong(0, "no dimension of size 0")),
        Some(len) => Ok(len as usize),
        None => Err(wrong(u64::from(u32::MAX), "a product of dimensions under 2^32")),
    }
}

fn check_batch(field: &'static str, batch: u16) -> Result<(), WireError> {
    if (1..=MAX_BATCH).contains(&batch) {
        return Ok(());
    }
    Err(WireError::Field { field, got: batch.into(), expected: "1 to 64" })
}

/// Bytes travel as one message.
fn check_message(field: &'static str, batch: u16) -> Result<(), WireError> {
    match batch {
        1 => Ok(()),
        got => Err(WireError::Field { field, got: got.into(), expected: "1 for bytes" }),
    }
}

fn check_name(field: &'static str, name: &str) -> Result<(), WireError> {
    let plain = name.bytes().all(|b| b.is_ascii_graphic());
    if !name.is_empty() && name.len() <= MAX_NAME && plain {
        return Ok(());
    }
    let expected = "1 to 128 printable ASCII characters without blanks";
    Err(WireError::Field { field, got: name.len() as u64, expected })
}

/// Bounds a text and refuses control characters: it will be printed in somebody's terminal.
fn check_text(field: &'static str, text: Option<&str>, limit: usize) -> Result<(), WireError> {
    let text = text.unwrap_or_default();
    if text.len() <= limit && text.chars().all(|c| c == '\n' || !c.is_control()) {
        return Ok(());
    }
    let expected = "a short text without control characters";
    Err(WireError::Field { field, got: text.len() as u64, expected })
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_fixed_int_encoding().with_limit::<MAX_HEADER>()
}

fn encode<T: Encode>(message: &T) -> Result<Vec<u8>, EncodeError> {
    bincode::encode_to_vec(message, config())
}

fn decode<T: Decode<()>>(kind: Kind, header: &[u8]) -> Result<T, WireError> {
    let (message, used) =
        bincode::decode_from_slice(header, config()).map_err(|e| WireError::Header { kind, fault: e.into() })?;
    let extra = (header.len() - used) as u64;
    if extra > 0 {
        return Err(WireError::TrailingBytes { part: "header", extra });
    }
    Ok(message)
}

/// Refuses a code that no variant has.
fn unknown(type_name: &'static str, found: u16) -> DecodeError {
    const ALLOWED: &AllowedEnumVariants = &AllowedEnumVariants::Allowed(&[]); // not shown to anyone
    DecodeError::UnexpectedVariant { type_name, allowed: ALLOWED, found: found.into() }
}

impl Encode for Status {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.code().encode(encoder)
    }
}

impl<C> Decode<C> for Status {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let code = u16::decode(decoder)?;
        Self::from_code(code).ok_or_else(|| unknown("status", code))
    }
}

impl Encode for Element {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.code().encode(encoder)
    }
}

impl<C> Decode<C> for Element {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let code = u8::decode(decoder)?;
        Self::from_code(code).ok_or_else(|| unknown("element", code.into()))
    }
}

bincode::impl_borrow_decode!(Status);
bincode::impl_borrow_decode!(Element);

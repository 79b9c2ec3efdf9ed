use crate::{Element, Kind};

/// Why bytes are not a frame, a header or a tensor. Every variant carries the numbers that matter.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end before the frame does.
    #[error("{part} is cut short: expected {expected} bytes, got {got}; send the whole frame")]
    Truncated {
        /// Which part of the frame: preamble, header or payload.
        part: &'static str,
        /// Bytes announced.
        expected: u64,
        /// Bytes present.
        got: u64,
    },
    /// Bytes follow the end of the frame or of its header.
    #[error("{extra} bytes follow the end of the {part}; a stream carries exactly one frame")]
    TrailingBytes {
        /// Which part of the frame should have ended.
        part: &'static str,
        /// Bytes too many.
        extra: u64,
    },
    /// The first four bytes are not Cleave's.
    #[error("not a Cleave frame: expected magic {expected:02x?}, got {got:02x?}; check the address and port")]
    WrongMagic {
        /// The magic of this protocol.
        expected: [u8; 4],
        /// The bytes found.
        got: [u8; 4],
    },
    /// The frame belongs to a protocol version this build does not speak.
    #[error("frame of protocol version {got}, this side speaks {min} to {max}; update the older side")]
    UnsupportedVersion {
        /// Version found.
        got: u16,
        /// Oldest version spoken here.
        min: u16,
        /// Newest version spoken here.
        max: u16,
    },
    /// No message has this kind.
    #[error("unknown frame kind {got}; kinds 1 to 4 exist in this version")]
    UnknownKind {
        /// Kind byte found.
        got: u8,
    },
    /// The reserved byte of the preamble is not zero.
    #[error("reserved preamble byte is {got}, expected 0; the sender does not follow this version")]
    Reserved {
        /// Byte found.
        got: u8,
    },
    /// A well-formed message of the wrong kind for this moment.
    #[error("expected a {expected} here, got a {got}; a connection starts with its hello")]
    UnexpectedKind {
        /// Kind that had to come.
        expected: Kind,
        /// Kind that came.
        got: Kind,
    },
    /// The preamble announces more than the reader's limit.
    #[error("{part} of {got} bytes announced, the limit here is {limit}; send a smaller batch")]
    OverLimit {
        /// Which part of the frame: header or payload.
        part: &'static str,
        /// Bytes announced.
        got: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A hello announces a payload.
    #[error("a {kind} carries no payload, but {got} bytes are announced")]
    UnexpectedPayload {
        /// Kind of the frame.
        kind: Kind,
        /// Bytes announced.
        got: u64,
    },
    /// A checksum does not fit the bytes it covers.
    #[error("{part} was changed on its way: checksum {expected:08x} announced, {got:08x} computed; send it again")]
    Checksum {
        /// Which part of the frame: head (preamble and header) or payload.
        part: &'static str,
        /// Checksum in the preamble.
        expected: u32,
        /// Checksum of the bytes received.
        got: u32,
    },
    /// The header is not an encoding of its message.
    #[error("header of the {kind} cannot be read: {fault}")]
    Header {
        /// Kind of the frame.
        kind: Kind,
        /// What is wrong with it.
        fault: HeaderFault,
    },
    /// A field holds a value that its message does not allow.
    #[error("field {field} is {got}, expected {expected}")]
    Field {
        /// Message and field, as `message.field`.
        field: &'static str,
        /// The value, or the length for a text or a list.
        got: u64,
        /// The values allowed, in words.
        expected: &'static str,
    },
    /// A tensor of `batch` items of `item_len` numbers would overflow the address space.
    #[error("{batch} items of {item_len} numbers each are too large to address")]
    Unaddressable {
        /// Numbers in one item.
        item_len: usize,
        /// Items.
        batch: usize,
    },
    /// A tensor was asked for where messages travel.
    #[error("a payload of {element} holds no numbers; send a message, or settle another element type")]
    NotNumbers {
        /// The element type.
        element: Element,
    },
    /// The tensor has the wrong number of values or bytes.
    #[error("tensor has {got} {unit}, expected {expected} for {batch} items; check shape and batch")]
    TensorSize {
        /// What is counted: `values` or `bytes`.
        unit: &'static str,
        /// Count demanded by the layout.
        expected: usize,
        /// Count found.
        got: usize,
        /// Items in the batch.
        batch: usize,
    },
    /// A value is NaN or infinite.
    #[error("value {index} of the tensor is NaN or infinite; only finite numbers travel")]
    NotFinite {
        /// Position in the flat tensor.
        index: usize,
    },
    /// A finite value that half precision would turn into infinity.
    #[error("value {index} is {value}, beyond the ±65504 of f16; send f32 or u8 instead")]
    BeyondF16 {
        /// Position in the flat tensor.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The scale or offset of an 8-bit item is unusable.
    #[error(
        "item {item} has u8 scale {scale} and offset {offset}: both must be finite, the scale not negative, and offset + 255*scale finite"
    )]
    AffineRange {
        /// Item in the batch.
        item: usize,
        /// Width of one step.
        scale: f32,
        /// Value of code 0.
        offset: f32,
    },
}

/// What is wrong with the bytes of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderFault {
    /// The header ends inside a field.
    #[error("it ends inside a field")]
    Short,
    /// A text or list claims more than a header may hold.
    #[error("a field claims more than a header may hold")]
    Long,
    /// A code of `what` that this version does not know.
    #[error("{what} has no code {code} in this version")]
    UnknownCode {
        /// The enum.
        what: &'static str,
        /// The code.
        code: u32,
    },
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// Anything else, such as a flag byte that is neither 0 nor 1.
    #[error("a field has no valid encoding")]
    Malformed,
}

impl From<bincode::error::DecodeError> for HeaderFault {
    fn from(error: bincode::error::DecodeError) -> Self {
        use bincode::error::DecodeError as E;
        match error {
            E::UnexpectedEnd { .. } => Self::Short,
            E::LimitExceeded | E::OutsideUsizeRange(_) => Self::Long,
            E::UnexpectedVariant { type_name, found, .. } => Self::UnknownCode { what: type_name, code: found },
            E::Utf8 { .. } => Self::NotUtf8,
            _ => Self::Malformed,
        }
    }
}

//! One frame over one QUIC stream.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use cleave_wire::{Head, Limits, Preamble, WireError};
use quinn::{ReadError, ReadExactError, RecvStream, SendStream, WriteError};

use crate::TransportError;

/// Reads preamble and header, and not a byte of the payload.
pub(crate) async fn read_head(
    recv: &mut RecvStream,
    limits: &Limits,
    during: &'static str,
) -> Result<(Preamble, Head), TransportError> {
    let broken = |source| TransportError::Frame { during, source };
    let mut start = [0; Preamble::LEN];
    read_exact(recv, &mut start, "preamble", during).await?;
    let preamble = Preamble::parse(&start, limits).map_err(broken)?;
    let mut header = vec![0; preamble.header_len()];
    read_exact(recv, &mut header, "header", during).await?;
    let head = preamble.open(&header).map_err(broken)?;
    Ok((preamble, head))
}

/// Reads the payload and the end of the stream after it. Its checksum is left to the caller,
/// which may have a better thread for it.
pub(crate) async fn read_payload(
    recv: &mut RecvStream,
    preamble: &Preamble,
    during: &'static str,
) -> Result<Vec<u8>, TransportError> {
    let mut payload = vec![0; preamble.payload_len()];
    read_exact(recv, &mut payload, "payload", during).await?;
    match recv.read(&mut [0]).await {
        Ok(None) => Ok(payload),
        Ok(Some(_)) => {
            let source = WireError::TrailingBytes { part: "payload", extra: 1 };
            Err(TransportError::Frame { during, source })
        }
        Err(error) => Err(read_failed(error, during)),
    }
}

/// Sends a frame and ends the stream. The bytes are handed over, not copied.
pub(crate) async fn write_frame(send: &mut SendStream, head: Bytes, payload: Bytes) -> Result<(), WriteError> {
    send.write_all_chunks(&mut [head, payload]).await?;
    send.finish().map_err(WriteError::from)
}

/// Gives `work` at most `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    during: &'static str,
    work: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(TransportError::TimedOut { during, limit }),
    }
}

async fn read_exact(
    recv: &mut RecvStream,
    buffer: &mut [u8],
    part: &'static str,
    during: &'static str,
) -> Result<(), TransportError> {
    let expected = buffer.len() as u64;
    recv.read_exact(buffer).await.map_err(|error| match error {
        ReadExactError::FinishedEarly(got) => {
            let source = WireError::Truncated { part, expected, got: got as u64 };
            TransportError::Frame { during, source }
        }
        ReadExactError::ReadError(error) => read_failed(error, during),
    })
}

fn read_failed(error: ReadError, during: &'static str) -> TransportError {
    match error {
        ReadError::ConnectionLost(source) => TransportError::Lost { during, source },
        ReadError::Reset(code) => TransportError::StreamAbandoned { during, code: code.into() },
        // The rest cannot come from a stream that is read once, in order, without early data.
        _ => TransportError::StreamAbandoned { during, code: 0 },
    }
}

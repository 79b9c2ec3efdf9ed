//! A back half as a service, and what a server's owner sees of it.

use cleave_nets::{Shape, argmax};
use cleave_partition::{BackHalf, Error, SmashedData};
use cleave_transport::{Observer, Reply, Request, RequestRecord, Service, ServiceError, ServiceInfo, TransportError};
use cleave_wire::Element;
use std::net::SocketAddr;
use std::sync::Mutex;

/// Items in one request.
pub const MAX_BATCH: u16 = 64;

/// Serves a back half.
pub struct BackService {
    back: BackHalf,
    pair_hash: [u8; 32],
    /// Masked labels answered last, which is all that the server learns from its own answer; kept for the demo.
    last: Mutex<Vec<usize>>,
}

impl BackService {
    /// A service over `back`; `None` where its pair hash cannot be read.
    pub fn new(back: BackHalf) -> Option<Self> {
        let pair_hash = back.manifest().terms.pair_hash()?;
        Some(Self { back, pair_hash, last: Mutex::default() })
    }

    /// The masked labels of the last request.
    pub fn last_masked(&self) -> Vec<usize> {
        self.last.lock().map(|last| last.clone()).unwrap_or_default()
    }
}

/// What every client of a pair that leaks by the check is shown.
pub fn notice(reason: &str) -> String {
    format!("this pair was released although its check leaks: {reason}")
}

fn dims(shape: Shape) -> Vec<u32> {
    shape.dims().iter().filter_map(|&extent| u32::try_from(extent).ok()).collect()
}

impl Service for BackService {
    fn info(&self) -> ServiceInfo {
        let terms = &self.back.manifest().terms;
        ServiceInfo {
            pair_hash: self.pair_hash,
            item_shape: dims(terms.smashed),
            output_shape: u32::try_from(terms.outputs).into_iter().collect(),
            max_batch: MAX_BATCH,
            elements: vec![Element::F32, Element::F16, Element::U8],
            notice: terms.accepted.as_deref().map(notice),
        }
    }

    fn answer(&self, request: Request) -> Result<Reply, ServiceError> {
        let Request { batch, values, .. } = request;
        let refused = |error: Error| ServiceError::Refused { message: error.to_string() };
        let failed = |error: Error| ServiceError::Failed { message: error.to_string() };
        let data = SmashedData::new(values, self.back.manifest().terms.smashed, batch).map_err(refused)?;
        let values = self.back.answer(data).map_err(failed)?;
        let outputs = self.back.manifest().terms.outputs.max(1);
        if let Ok(mut last) = self.last.lock() {
            *last = values.chunks(outputs).map(argmax).collect();
        }
        Ok(Reply { values })
    }
}

/// One line on stderr for each request.
pub struct Lines;

impl Observer for Lines {
    fn connected(&self, peer: SocketAddr, model: &str) {
        eprintln!("{peer} connected for {model}");
    }

    fn refused(&self, peer: SocketAddr, reason: &TransportError) {
        eprintln!("{peer} refused: {reason}");
    }

    fn answered(&self, record: &RequestRecord) {
        let RequestRecord { peer, model, id, batch, status, bytes_in, elapsed, detail, .. } = record;
        let detail = detail.as_deref().map_or_else(String::new, |detail| format!(" ({detail})"));
        let milliseconds = elapsed.as_secs_f64() * 1000.0;
        eprintln!("{peer} {model} {id:032x} {batch} items {bytes_in} bytes {milliseconds:.1} ms {status:?}{detail}");
    }
}

//! A back half, an ensemble on ciphertexts and trainings as services, and what a server's owner sees of them.

use cleave_encrypted::service::{Error as Encrypted, MAX_ANSWER, MAX_REQUEST, Provider, ProviderSession, jobs};
use cleave_nets::{Shape, argmax};
use cleave_partition::{BackHalf, Error, SmashedData};
use cleave_transport::{
    Observer, Peer, Reply, Request, RequestRecord, Service, ServiceError, ServiceInfo, Session, SessionInfo,
    SessionService, TransportError,
};
use cleave_wire::{Element, Status};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

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

/// Serves an ensemble on ciphertexts.
pub struct EncryptedService {
    name: String,
    provider: Provider,
    hash: [u8; 32],
}

/// When to try again where memory is taken.
const PUT_OFF: Duration = Duration::from_secs(1);

impl EncryptedService {
    /// A service over `provider`.
    pub fn new(name: &str, provider: Provider) -> Result<Self, Encrypted> {
        let hash = provider.description().hash()?;
        Ok(Self { name: name.to_owned(), provider, hash })
    }
}

/// How a service that talks messages on ciphertexts introduces itself.
fn session_info(hash: [u8; 32]) -> SessionInfo {
    let length = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
    let (max_request, max_answer) = (length(MAX_REQUEST), length(MAX_ANSWER));
    SessionInfo { hash, max_request, max_answer, notice: None }
}

impl SessionService for EncryptedService {
    fn info(&self) -> SessionInfo {
        session_info(self.hash)
    }

    fn open(&self, peer: &Peer) -> Result<Box<dyn Session>, ServiceError> {
        let (title, session) = (format!("{} {}", peer.addr, self.name), self.provider.session());
        Ok(Box::new(EncryptedSession { title, session, began: None }))
    }
}

/// One client's ciphertexts.
struct EncryptedSession {
    /// Whom lines on stderr are about.
    title: String,
    session: ProviderSession,
    /// When the batch under way began.
    began: Option<Instant>,
}

impl Session for EncryptedSession {
    fn answer(&mut self, message: Vec<u8>) -> Result<Vec<u8>, ServiceError> {
        let answer = self.session.answer(&message).map_err(service_error);
        match (self.began, self.session.is_unfinished()) {
            (None, true) => self.began = Some(Instant::now()),
            (Some(began), false) => {
                self.began = None;
                eprintln!("{} a batch, over after {:.1} s", self.title, began.elapsed().as_secs_f64());
            }
            _ => {}
        }
        answer
    }

    fn is_unfinished(&self) -> bool {
        self.session.is_unfinished()
    }
}

impl Drop for EncryptedSession {
    fn drop(&mut self) {
        if self.began.is_some() {
            eprintln!("{} went away in the middle of a batch", self.title);
        }
    }
}

/// Trains on ciphertexts.
pub struct TrainingService {
    name: String,
    provider: jobs::Provider,
}

impl TrainingService {
    /// A service over `provider`.
    pub fn new(name: &str, provider: jobs::Provider) -> Self {
        Self { name: name.to_owned(), provider }
    }
}

impl SessionService for TrainingService {
    fn info(&self) -> SessionInfo {
        session_info([0; 32])
    }

    fn open(&self, peer: &Peer) -> Result<Box<dyn Session>, ServiceError> {
        let owner = peer.certificate.as_deref().map(|certificate| Sha256::digest(certificate).into());
        let (title, session) = (format!("{} {}", peer.addr, self.name), self.provider.session(owner));
        Ok(Box::new(TrainingSession { title, session, working: false }))
    }
}

/// One connection of a client with a job.
struct TrainingSession {
    /// Whom lines on stderr are about.
    title: String,
    session: jobs::ProviderSession,
    /// Whether a round is under way.
    working: bool,
}

impl Session for TrainingSession {
    fn answer(&mut self, message: Vec<u8>) -> Result<Vec<u8>, ServiceError> {
        let answer = self.session.answer(&message).map_err(service_error);
        match (self.working, self.session.is_unfinished()) {
            (false, true) => eprintln!("{} begins a round", self.title),
            (true, false) => eprintln!("{} has its weights", self.title),
            _ => {}
        }
        self.working = self.session.is_unfinished();
        answer
    }

    fn is_unfinished(&self) -> bool {
        self.session.is_unfinished()
    }
}

impl Drop for TrainingSession {
    fn drop(&mut self) {
        if self.session.is_unfinished() {
            eprintln!("{} went away in the middle of a round, which is kept for a while", self.title);
        }
    }
}

fn service_error(error: Encrypted) -> ServiceError {
    let message = error.to_string();
    match error {
        error if error.is_passing() => ServiceError::Busy { message, retry_after: PUT_OFF },
        error if error.is_internal() => ServiceError::Failed { message },
        _ => ServiceError::Refused { message },
    }
}

/// One line on stderr for each request; of messages, for those that were not answered.
pub struct Lines;

impl Observer for Lines {
    fn connected(&self, peer: SocketAddr, model: &str) {
        eprintln!("{peer} connected for {model}");
    }

    fn refused(&self, peer: SocketAddr, reason: &TransportError) {
        eprintln!("{peer} refused: {reason}");
    }

    fn answered(&self, record: &RequestRecord) {
        if (record.element, record.status) == (Element::Bytes, Status::Ok) {
            return;
        }
        let RequestRecord { peer, model, id, batch, status, bytes_in, elapsed, detail, .. } = record;
        let detail = detail.as_deref().map_or_else(String::new, |detail| format!(" ({detail})"));
        let milliseconds = elapsed.as_secs_f64() * 1000.0;
        eprintln!("{peer} {model} {id:032x} {batch} items {bytes_in} bytes {milliseconds:.1} ms {status:?}{detail}");
    }
}

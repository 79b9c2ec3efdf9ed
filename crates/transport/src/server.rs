//! The server: connections, hellos, admission, answers, draining.

use crate::config::{CloseCode, endpoint};
use crate::session::Conversation;
use crate::stream::{read_head, read_payload, within, write_frame};
use crate::{
    Hosting, Observer, Peer, Request, RequestRecord, ServerConfig, ServerTls, Service, ServiceError, ServiceInfo,
    TransportError,
};
use bytes::Bytes;
use cleave_wire::{
    ClientHello, Element, Head, Layout, Limits, MAX_MESSAGE, Preamble, ReplyHead, RequestHead, ServerHello, Status,
    settle_version, shape_len,
};
use quinn::{Connection, Incoming, RecvStream, SendStream};
use rustls::pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

/// What a server did, from its binding to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Connections that passed handshake and hello.
    pub connections: u64,
    /// Connections that did not.
    pub refused: u64,
    /// Requests answered `Ok`.
    pub answered: u64,
    /// Requests answered `Busy`.
    pub busy: u64,
    /// Requests that ended otherwise.
    pub failed: u64,
    /// Frame bytes read.
    pub bytes_in: u64,
    /// Frame bytes sent.
    pub bytes_out: u64,
}

#[derive(Default)]
struct Counters {
    connections: AtomicU64,
    refused: AtomicU64,
    answered: AtomicU64,
    busy: AtomicU64,
    failed: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Counters {
    fn record(&self, record: &RequestRecord) {
        let outcome = match record.status {
            Status::Ok => &self.answered,
            Status::Busy => &self.busy,
            _ => &self.failed,
        };
        outcome.fetch_add(1, Ordering::Relaxed);
        self.bytes_in.fetch_add(record.bytes_in, Ordering::Relaxed);
        self.bytes_out.fetch_add(record.bytes_out, Ordering::Relaxed);
    }

    fn read(&self) -> Statistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            connections: read(&self.connections),
            refused: read(&self.refused),
            answered: read(&self.answered),
            busy: read(&self.busy),
            failed: read(&self.failed),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
        }
    }
}

/// A service with what it said of itself when the server was bound.
struct Hosted {
    name: Arc<str>,
    service: Hosting,
    info: ServiceInfo,
    item_len: usize,
    output_len: usize,
}

pub(crate) struct Shared {
    services: BTreeMap<String, Arc<Hosted>>,
    config: ServerConfig,
    observer: Arc<dyn Observer>,
    counters: Counters,
    /// Places in the queue and at work together.
    places: Arc<Semaphore>,
    /// Places at work.
    workers: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// Requests whose reply has not arrived yet.
    under_way: watch::Sender<usize>,
    draining: AtomicBool,
}

/// A bound server; [`Server::run`] serves.
///
/// Worst-case memory for payloads: `(workers + queue) · (max payload bytes + 4 · max payload values)`.
/// A request beyond that is answered `Busy` before its payload is read.
pub struct Server {
    endpoint: quinn::Endpoint,
    shared: Shared,
}

impl Server {
    /// Opens the socket. Each service is asked once what it takes; both kinds may stand side by side, as [`Hosting`].
    ///
    /// # Errors
    /// [`TransportError::Socket`], [`TransportError::Config`], [`TransportError::DuplicateService`],
    /// [`TransportError::ServiceInfo`], [`TransportError::Tls`].
    pub fn bind(
        addr: SocketAddr,
        tls: ServerTls,
        services: Vec<(String, impl Into<Hosting>)>,
        config: ServerConfig,
    ) -> Result<Self, TransportError> {
        config.check()?;
        let mut hosted = BTreeMap::new();
        for (name, service) in services {
            let entry = Arc::new(host(&name, service.into())?);
            if hosted.insert(name.clone(), entry).is_some() {
                return Err(TransportError::DuplicateService { name });
            }
        }
        let mut quic = quinn::ServerConfig::with_crypto(Arc::new(tls.config()?));
        quic.transport_config(config.transport()?);
        let places = usize::from(config.workers) + usize::from(config.queue);
        let shared = Shared {
            services: hosted,
            observer: Arc::new(()),
            counters: Counters::default(),
            places: Arc::new(Semaphore::new(places)),
            workers: Arc::new(Semaphore::new(config.workers.into())),
            connections: Arc::new(Semaphore::new(config.max_connections.into())),
            under_way: watch::Sender::new(0),
            draining: AtomicBool::new(false),
            config,
        };
        Ok(Self { endpoint: endpoint(addr, Some(quic))?, shared })
    }

    /// Tells `observer` what happens.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.shared.observer = observer;
        self
    }

    /// The address that the socket got.
    ///
    /// # Errors
    /// [`TransportError::Socket`].
    pub fn local_addr(&self) -> Result<SocketAddr, TransportError> {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        self.endpoint.local_addr().map_err(|source| TransportError::Socket { addr: unknown, source })
    }

    /// Serves until `shutdown` resolves, then drains: new requests are answered `ShuttingDown`, those
    /// under way are finished, for at most the configured time.
    ///
    /// # Errors
    /// None at present; a broken connection ends that connection only.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<Statistics, TransportError> {
        let (endpoint, shared) = (self.endpoint, Arc::new(self.shared));
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => admit(&shared, incoming, &mut connections),
                    None => break,
                },
                Some(_) = connections.join_next() => {}
            }
        }
        shared.draining.store(true, Ordering::Relaxed);
        endpoint.set_server_config(None);
        let mut under_way = shared.under_way.subscribe();
        let idle = under_way.wait_for(|&requests| requests == 0);
        drop(tokio::time::timeout(shared.config.drain_deadline, idle).await);
        endpoint.close(CloseCode::ShuttingDown.into(), b"shutting down");
        drop(tokio::time::timeout(shared.config.write_timeout, endpoint.wait_idle()).await);
        Ok(shared.counters.read())
    }
}

/// Counts a request as under way until it is dropped.
pub(crate) struct UnderWay(Arc<Shared>);

impl UnderWay {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.under_way.send_modify(|requests| *requests += 1);
        Self(shared)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|requests| *requests -= 1);
    }
}

fn host(name: &str, service: Hosting) -> Result<Hosted, TransportError> {
    let info = service.info();
    let refused = |source| TransportError::ServiceInfo { name: name.to_owned(), source };
    let item_len = shape_len("item_shape", &info.item_shape).map_err(refused)?;
    let output_len = shape_len("output_shape", &info.output_shape).map_err(refused)?;
    let hosted = Hosted { name: name.into(), service, info, item_len, output_len };
    let element = hosted.info.elements.first().copied().unwrap_or(Element::F32);
    let hello = hosted.hello(cleave_wire::VERSION_MAX, element).map_err(refused)?;
    Head::ServerHello(hello).to_bytes(&[]).map_err(refused)?;
    Ok(hosted)
}

impl Hosted {
    fn hello(&self, version: u16, element: Element) -> Result<ServerHello, cleave_wire::WireError> {
        let item_bytes = match element {
            Element::Bytes => self.item_len,
            element => Layout::new(self.item_len, 1, element)?.byte_len(),
        };
        Ok(ServerHello {
            version,
            model: self.name.to_string(),
            pair_hash: self.info.pair_hash,
            element,
            item_shape: self.info.item_shape.clone(),
            output_shape: self.info.output_shape.clone(),
            max_batch: self.info.max_batch,
            item_bytes: item_bytes as u64,
            notice: self.info.notice.clone(),
        })
    }
}

/// Takes a connection, or turns it away when there are too many.
fn admit(shared: &Arc<Shared>, incoming: Incoming, connections: &mut JoinSet<()>) {
    let half = usize::from(shared.config.max_connections) / 2;
    if !incoming.remote_address_validated() && shared.connections.available_permits() <= half {
        drop(incoming.retry()); // a forged address never comes back with the token, and so takes no place
        return;
    }
    match Arc::clone(&shared.connections).try_acquire_owned() {
        Ok(place) => {
            let shared = Arc::clone(shared);
            connections.spawn(async move {
                let peer = incoming.remote_address();
                if let Err(reason) = serve_connection(&shared, incoming, peer).await {
                    shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                    shared.observer.refused(peer, &reason);
                }
                drop(place);
            });
        }
        Err(_) => {
            shared.counters.refused.fetch_add(1, Ordering::Relaxed);
            incoming.refuse();
        }
    }
}

/// What the hello settled.
#[derive(Clone)]
struct Session {
    hosted: Arc<Hosted>,
    element: Element,
    peer: SocketAddr,
    /// What a service that talks messages knows of this connection.
    conversation: Option<Arc<Conversation>>,
}

async fn serve_connection(shared: &Arc<Shared>, incoming: Incoming, peer: SocketAddr) -> Result<(), TransportError> {
    let lost = |source| TransportError::Lost { during: "the handshake", source };
    let limit = shared.config.handshake_timeout;
    let handshake = async { incoming.accept().map_err(lost)?.await.map_err(lost) };
    let connection = within(limit, "the handshake", handshake).await?;
    let session = match within(limit, "the hello", greet(shared, &connection, peer)).await {
        Ok(session) => session,
        Err(error) => {
            // The reply says why; closing at once would drop it.
            drop(tokio::time::timeout(limit, connection.closed()).await);
            connection.close(CloseCode::Refused.into(), b"refused");
            return Err(error);
        }
    };
    shared.counters.connections.fetch_add(1, Ordering::Relaxed);
    shared.observer.connected(peer, &session.hosted.name);
    let active = Arc::new(()); // each request of this connection holds a clone
    loop {
        // Keep-alives do not count: a place is for whoever asks something.
        let (send, recv) = match tokio::time::timeout(shared.config.idle_timeout, connection.accept_bi()).await {
            Ok(Ok(streams)) => streams,
            Ok(Err(_)) => break,
            Err(_) if Arc::strong_count(&active) > 1 => continue,
            Err(_) => {
                connection.close(CloseCode::Done.into(), b"idle");
                break;
            }
        };
        let (request, session, active) = (UnderWay::new(Arc::clone(shared)), session.clone(), Arc::clone(&active));
        tokio::spawn(async move {
            serve_request(&request.0, &session, send, recv).await;
            drop(active);
        });
    }
    Ok(())
}

async fn greet(shared: &Arc<Shared>, connection: &Connection, peer: SocketAddr) -> Result<Session, TransportError> {
    const DURING: &str = "reading the hello";
    let lost = |source| TransportError::Lost { during: DURING, source };
    let (mut send, mut recv) = connection.accept_bi().await.map_err(lost)?;
    let head = match read_head(&mut recv, &Limits { max_payload: 0 }, DURING).await {
        Ok((_, head)) => head,
        Err(error) => return Err(turn_away(&mut send, status_of_hello(&error), error.to_string()).await),
    };
    let Head::ClientHello(hello) = head else {
        return Err(turn_away(
            &mut send,
            Status::BadRequest,
            format!("the first frame is a {}, not a hello", head.kind()),
        )
        .await);
    };
    let (hosted, version) = match settle(shared, &hello) {
        Ok(settled) => settled,
        Err((status, message)) => return Err(turn_away(&mut send, status, message).await),
    };
    let conversation = match open(shared, &hosted, connection, peer).await {
        Ok(conversation) => conversation,
        Err(refusal) => return Err(turn_away_with(&mut send, refusal).await),
    };
    let answer =
        hosted.hello(version, hello.element).map_err(|source| TransportError::Frame { during: DURING, source })?;
    let bytes =
        Head::ServerHello(answer).to_bytes(&[]).map_err(|source| TransportError::Frame { during: DURING, source })?;
    write_frame(&mut send, bytes.into(), Bytes::new())
        .await
        .map_err(|_| TransportError::StreamAbandoned { during: DURING, code: 0 })?;
    Ok(Session { hosted, element: hello.element, peer, conversation })
}

/// A hello whose element type was not there yet when this was built is told from a broken one.
fn status_of_hello(error: &TransportError) -> Status {
    use cleave_wire::{HeaderFault, WireError};
    match error {
        TransportError::Frame {
            source: WireError::Header { fault: HeaderFault::UnknownCode { what: "element", .. }, .. },
            ..
        } => Status::UnsupportedElement,
        _ => Status::BadRequest,
    }
}

/// Begins the session of a service that has one.
async fn open(
    shared: &Arc<Shared>,
    hosted: &Hosted,
    connection: &Connection,
    addr: SocketAddr,
) -> Result<Option<Arc<Conversation>>, Refusal> {
    let Hosting::Messages(service) = &hosted.service else { return Ok(None) };
    let chain = connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let certificate = chain.as_ref().and_then(|chain| chain.first()).map(|own| own.as_ref().into());
    let (service, peer) = (Arc::clone(service), Peer { addr, certificate });
    let opened = tokio::task::spawn_blocking(move || guarded(|| service.open(&peer))).await;
    let session = opened.map_err(|_| internal("the session was not begun".to_owned()))??;
    Ok(Some(Arc::new(Conversation::new(session, Arc::clone(shared)))))
}

fn settle(shared: &Shared, hello: &ClientHello) -> Result<(Arc<Hosted>, u16), (Status, String)> {
    let version = settle_version(hello.version_min, hello.version_max).ok_or_else(|| {
        let (min, max) = (cleave_wire::VERSION_MIN, cleave_wire::VERSION_MAX);
        (Status::UnsupportedVersion, format!("this server speaks versions {min} to {max}"))
    })?;
    let hosted = shared.services.get(&hello.model).ok_or_else(|| {
        let names: Vec<_> = shared.services.keys().map(String::as_str).collect();
        (Status::UnknownModel, format!("there is no model {:?} here; there are: {}", hello.model, names.join(", ")))
    })?;
    if hello.expected_pair_hash.is_some_and(|expected| expected != hosted.info.pair_hash) {
        return Err((Status::PairMismatch, "the front half belongs to another pair".to_owned()));
    }
    if !hosted.info.elements.contains(&hello.element) {
        return Err((
            Status::UnsupportedElement,
            format!("{:?} is not taken; taken are {:?}", hello.element, hosted.info.elements),
        ));
    }
    Ok((Arc::clone(hosted), version))
}

/// Answers a hello with a status, and gives the error for the server's own record.
async fn turn_away(send: &mut SendStream, status: Status, message: String) -> TransportError {
    turn_away_with(send, Refusal::new(status, message)).await
}

async fn turn_away_with(send: &mut SendStream, refusal: Refusal) -> TransportError {
    drop(send_reply(send, refusal.reply(0), &[]).await);
    let Refusal { status, message, detail, .. } = refusal;
    TransportError::Refused { status, message: detail.unwrap_or(message) }
}

/// A reply without values.
pub(crate) struct Refusal {
    status: Status,
    /// For the client.
    message: String,
    /// For the provider, where it is more than the client may know.
    detail: Option<String>,
    retry_after_ms: Option<u32>,
}

impl Refusal {
    pub(crate) fn new(status: Status, message: String) -> Self {
        Self { status, message, detail: None, retry_after_ms: None }
    }

    fn reply(&self, id: u128) -> ReplyHead {
        let mut message = self.message.clone();
        message.retain(|c| c == '\n' || !c.is_control()); // the wire refuses what could steer a terminal
        let end = (0..=MAX_MESSAGE.min(message.len())).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
        message.truncate(end);
        ReplyHead { id, status: self.status, batch: 0, retry_after_ms: self.retry_after_ms, message: Some(message) }
    }
}

async fn send_reply(send: &mut SendStream, head: ReplyHead, payload: &[u8]) -> Result<u64, TransportError> {
    const DURING: &str = "sending the reply";
    let bytes =
        Head::Reply(head).to_bytes(payload).map_err(|source| TransportError::Frame { during: DURING, source })?;
    let sent = (bytes.len() + payload.len()) as u64;
    let written = write_frame(send, bytes.into(), Bytes::copy_from_slice(payload)).await;
    written.map_err(|_| TransportError::StreamAbandoned { during: DURING, code: 0 })?;
    Ok(sent)
}

/// One request, from its stream to its reply.
async fn serve_request(shared: &Shared, session: &Session, mut send: SendStream, mut recv: RecvStream) {
    let began = Instant::now();
    let mut record = RequestRecord {
        peer: session.peer,
        model: Arc::clone(&session.hosted.name),
        id: 0,
        batch: 0,
        element: session.element,
        status: Status::Ok,
        detail: None,
        delivered: false,
        bytes_in: 0,
        bytes_out: 0,
        elapsed: began.elapsed(),
    };
    let (reply, payload) = match compute(shared, session, &mut recv, &mut record).await {
        Ok(payload) => (
            ReplyHead { id: record.id, status: Status::Ok, batch: record.batch, retry_after_ms: None, message: None },
            payload,
        ),
        Err(refusal) => {
            record.status = refusal.status;
            record.detail = Some(refusal.detail.clone().unwrap_or_else(|| refusal.message.clone()));
            drop(recv.stop(CloseCode::Refused.into())); // what was not read is not wanted
            (refusal.reply(record.id), Vec::new())
        }
    };
    let sending = within(shared.config.write_timeout, "sending the reply", send_reply(&mut send, reply, &payload));
    match sending.await {
        Ok(bytes) => (record.bytes_out, record.delivered) = (bytes, true),
        Err(_) => drop(send.reset(CloseCode::NotReading.into())),
    }
    record.elapsed = began.elapsed();
    shared.counters.record(&record);
    shared.observer.answered(&record);
    // Closing the connection would drop what the client has not acknowledged yet.
    drop(tokio::time::timeout(shared.config.write_timeout, send.stopped()).await);
}

/// Reads, admits, decodes, computes and encodes; the reply's payload.
async fn compute(
    shared: &Shared,
    session: &Session,
    recv: &mut RecvStream,
    record: &mut RequestRecord,
) -> Result<Vec<u8>, Refusal> {
    const DURING: &str = "reading the request";
    let limits = Limits { max_payload: largest_payload(session)? };
    let limit = shared.config.read_timeout;
    let (preamble, head) = within(limit, DURING, read_head(recv, &limits, DURING)).await.map_err(refused)?;
    let Head::Request(request) = head else {
        return Err(Refusal::new(Status::BadRequest, format!("a {} came where a request belongs", head.kind())));
    };
    (record.id, record.batch) = (request.id, request.batch);
    let layout = layout(session, &request, &preamble)?;
    let place = admission(shared, session.conversation.as_deref())?;
    let payload = within(limit, DURING, read_payload(recv, &preamble, DURING)).await.map_err(refused)?;
    record.bytes_in = (Preamble::LEN + preamble.header_len() + payload.len()) as u64;
    let worker = async { Arc::clone(&shared.workers).acquire_owned().await.map_err(|_| shutting_down()) };
    let hosted = Arc::clone(&session.hosted);
    let done = match (&hosted.service, &session.conversation, layout) {
        (Hosting::Messages(_), Some(conversation), _) => {
            // Who waits for its turn takes no worker.
            let turn = conversation.turn().await;
            let worker = worker.await?;
            tokio::task::spawn_blocking(move || {
                let answer = check(&preamble, &payload).and_then(|()| turn.answer(payload));
                drop((place, worker));
                fits(answer?, hosted.output_len)
            })
            .await
        }
        (Hosting::Numbers(service), _, Some(layout)) => {
            let (service, worker) = (Arc::clone(service), worker.await?);
            tokio::task::spawn_blocking(move || {
                let answer = answer(&*service, hosted.output_len, &preamble, &layout, &request, &payload);
                drop((place, worker));
                answer
            })
            .await
        }
        _ => return Err(internal("numbers and messages were taken for each other".to_owned())),
    };
    done.unwrap_or_else(|_| Err(internal("the answer was given up".to_owned())))
}

/// All that a client learns of a fault on the server's side.
const INTERNAL: &str = "the server failed on this request; it is not the request's fault";

pub(crate) fn internal(detail: String) -> Refusal {
    Refusal { detail: Some(detail), ..Refusal::new(Status::Internal, INTERNAL.to_owned()) }
}

fn shutting_down() -> Refusal {
    Refusal::new(Status::ShuttingDown, "the server is shutting down; ask another or come back".to_owned())
}

fn refused(error: TransportError) -> Refusal {
    let status = match &error {
        TransportError::TimedOut { .. } => Status::TimedOut,
        TransportError::Frame { source: cleave_wire::WireError::OverLimit { .. }, .. } => Status::TooLarge,
        _ => Status::BadRequest,
    };
    Refusal::new(status, error.to_string())
}

fn largest_payload(session: &Session) -> Result<u64, Refusal> {
    if session.element == Element::Bytes {
        return Ok(session.hosted.item_len as u64);
    }
    let batch = usize::from(session.hosted.info.max_batch);
    let layout = Layout::new(session.hosted.item_len, batch, session.element);
    layout.map(|layout| layout.byte_len() as u64).map_err(|error| Refusal::new(Status::Internal, error.to_string()))
}

/// Compares batch, element type and payload length with what the hello settled. A message has no layout.
fn layout(session: &Session, request: &RequestHead, preamble: &Preamble) -> Result<Option<Layout>, Refusal> {
    let bad = |message| Refusal::new(Status::BadRequest, message);
    let most = session.hosted.info.max_batch;
    if request.batch == 0 || request.batch > most {
        return Err(bad(format!("a batch of {}; this service takes 1 to {most}", request.batch)));
    }
    if request.element != session.element {
        return Err(bad(format!("element type {:?}; the hello settled {:?}", request.element, session.element)));
    }
    if session.element == Element::Bytes {
        return Ok(None);
    }
    let layout = Layout::new(session.hosted.item_len, request.batch.into(), session.element)
        .map_err(|error| bad(error.to_string()))?;
    if layout.byte_len() != preamble.payload_len() {
        return Err(bad(format!(
            "a payload of {} bytes; {} items have {}",
            preamble.payload_len(),
            request.batch,
            layout.byte_len()
        )));
    }
    Ok(Some(layout))
}

/// A place in the queue, or `Busy` before the payload is read.
fn admission(shared: &Shared, conversation: Option<&Conversation>) -> Result<OwnedSemaphorePermit, Refusal> {
    let unfinished = conversation.is_some_and(Conversation::is_unfinished);
    if shared.draining.load(Ordering::Relaxed) && !unfinished {
        return Err(shutting_down());
    }
    Arc::clone(&shared.places).try_acquire_owned().map_err(|_| {
        let retry_after_ms = u32::try_from(shared.config.retry_after.as_millis()).ok();
        Refusal { retry_after_ms, ..Refusal::new(Status::Busy, "all places are taken".to_owned()) }
    })
}

fn check(preamble: &Preamble, payload: &[u8]) -> Result<(), Refusal> {
    preamble.check_payload(payload).map_err(|error| Refusal::new(Status::BadRequest, error.to_string()))
}

fn fits(answer: Vec<u8>, limit: usize) -> Result<Vec<u8>, Refusal> {
    match answer.len() <= limit {
        true => Ok(answer),
        false => Err(internal(format!("the service's answer has {} bytes, it announced {limit}", answer.len()))),
    }
}

/// Runs a service; a panic in it becomes `Internal`.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, ServiceError>) -> Result<T, Refusal> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(ServiceError::Refused { message })) => Err(Refusal::new(Status::BadRequest, message)),
        Ok(Err(ServiceError::Busy { message, retry_after })) => {
            let retry_after_ms = u32::try_from(retry_after.as_millis()).ok();
            Err(Refusal { retry_after_ms, ..Refusal::new(Status::Busy, message) })
        }
        Ok(Err(error)) => Err(internal(error.to_string())),
        Err(panic) => Err(internal(format!("the service panicked: {}", panic_text(&*panic)))),
    }
}

/// The blocking part of a request of numbers.
fn answer(
    service: &dyn Service,
    output_len: usize,
    preamble: &Preamble,
    layout: &Layout,
    request: &RequestHead,
    payload: &[u8],
) -> Result<Vec<u8>, Refusal> {
    check(preamble, payload)?;
    let values = layout.decode(payload).map_err(|error| Refusal::new(Status::BadRequest, error.to_string()))?;
    let batch = usize::from(request.batch);
    let request = Request { id: request.id, batch, values };
    let reply = guarded(|| service.answer(request))?;
    let encoded = Layout::new(output_len, batch, Element::F32).and_then(|layout| layout.encode(&reply.values));
    encoded.map_err(|error| internal(format!("the service's answer cannot be sent: {error}")))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

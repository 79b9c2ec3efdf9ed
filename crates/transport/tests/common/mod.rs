//! A service that adds, and a server around it on a free port.

#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, reason = "helpers of tests")]

use cleave_transport::{
    Authority, Client, ClientConfig, ClientTls, Hosting, MessageClient, Peer, Reply, Request, Server, ServerConfig,
    ServerTls, Service, ServiceError, ServiceInfo, Session, SessionInfo, SessionService, Statistics, TransportError,
};
use cleave_wire::Element;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const PAIR: [u8; 32] = [7; 32];

/// Sums each item of four values into two; does what its first value says.
#[derive(Default)]
pub struct Sums {
    pub calls: AtomicUsize,
}

impl Service for Sums {
    fn info(&self) -> ServiceInfo {
        ServiceInfo {
            pair_hash: PAIR,
            item_shape: vec![4, 1, 1],
            output_shape: vec![2],
            max_batch: 8,
            elements: vec![Element::F32, Element::F16, Element::U8],
            notice: Some("for tests".to_owned()),
        }
    }

    fn answer(&self, request: Request) -> Result<Reply, ServiceError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match request.values[0] as i32 {
            -1 => panic!("as asked"),
            -2 => return Ok(Reply { values: vec![f32::NAN; request.batch * 2] }),
            -3 => return Err(ServiceError::Failed { message: "secret detail".to_owned() }),
            -4 => return Ok(Reply { values: vec![0.0] }),
            -5 => std::thread::sleep(Duration::from_millis(400)),
            _ => {}
        }
        Ok(Reply { values: request.values.chunks(4).flat_map(|item| [item[0] + item[1], item[2] + item[3]]).collect() })
    }
}

/// Sessions that keep what they are told.
#[derive(Default)]
pub struct Diaries {
    /// Sessions that exist.
    pub open: Arc<AtomicUsize>,
    pub peers: Mutex<Vec<Peer>>,
    /// What the next sessions are refused with.
    pub full: Mutex<Option<ServiceError>>,
}

pub struct Diary {
    open: Arc<AtomicUsize>,
    text: Vec<u8>,
    busy: u8,
    unfinished: bool,
}

impl SessionService for Diaries {
    fn info(&self) -> SessionInfo {
        SessionInfo { hash: PAIR, max_request: 64, max_answer: 1024, notice: None }
    }

    fn open(&self, peer: &Peer) -> Result<Box<dyn Session>, ServiceError> {
        if let Some(error) = self.full.lock().unwrap().clone() {
            return Err(error);
        }
        self.peers.lock().unwrap().push(peer.clone());
        self.open.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Diary { open: Arc::clone(&self.open), text: vec![], busy: 0, unfinished: false }))
    }
}

impl Session for Diary {
    fn answer(&mut self, message: Vec<u8>) -> Result<Vec<u8>, ServiceError> {
        match &message[..] {
            b"panic" => panic!("as asked"),
            b"slow" => std::thread::sleep(Duration::from_millis(300)),
            b"fail" => return Err(ServiceError::Failed { message: "secret detail".to_owned() }),
            b"refuse" => return Err(ServiceError::Refused { message: "not this one".to_owned() }),
            b"busy" if self.busy < 2 => {
                self.busy += 1;
                let retry_after = Duration::from_millis(10);
                return Err(ServiceError::Busy { message: "2 bytes needed, 1 is free".to_owned(), retry_after });
            }
            b"begin" => self.unfinished = true,
            b"end" => self.unfinished = false,
            b"long" => return Ok(vec![0; 1025]),
            _ => {}
        }
        self.text.extend(message);
        Ok(self.text.clone())
    }

    fn is_unfinished(&self) -> bool {
        self.unfinished
    }
}

impl Drop for Diary {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A server under test.
pub struct Running {
    pub addr: SocketAddr,
    pub authority: Authority,
    pub service: Arc<Sums>,
    pub diaries: Arc<Diaries>,
    pub stop: oneshot::Sender<()>,
    pub task: JoinHandle<Result<Statistics, TransportError>>,
}

pub fn quick() -> ServerConfig {
    ServerConfig {
        handshake_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(1),
        drain_deadline: Duration::from_secs(2),
        ..ServerConfig::default()
    }
}

pub fn start_with(config: ServerConfig, server_days: i32) -> Running {
    let authority = Authority::make(2).unwrap();
    let identity = authority.issue_server(&["localhost".to_owned()], server_days).unwrap();
    let service = Arc::new(Sums::default());
    let numbers = |service: Arc<dyn Service>| Hosting::from(service);
    let diaries = Arc::new(Diaries::default());
    let services = vec![
        ("sums".to_owned(), numbers(Arc::clone(&service) as Arc<dyn Service>)),
        ("other".to_owned(), numbers(Arc::new(Sums::default()))),
        ("diary".to_owned(), Hosting::Messages(Arc::clone(&diaries) as Arc<dyn SessionService>)),
    ];
    let tls = ServerTls::new(identity, authority.trust());
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), tls, services, config).unwrap();
    let addr = server.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.run(async { drop(stopped.await) }));
    Running { addr, authority, service, diaries, stop, task }
}

pub fn start() -> Running {
    start_with(quick(), 2)
}

pub fn patient() -> ClientConfig {
    ClientConfig {
        retries: 3,
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(5),
        ..ClientConfig::default()
    }
}

impl Running {
    pub fn tls(&self) -> ClientTls {
        ClientTls::new(self.authority.issue_client("tester", 2).unwrap(), self.authority.trust())
    }

    pub async fn client(&self, config: ClientConfig) -> Client {
        Client::connect(self.addr, "localhost", self.tls(), "sums", config).await.unwrap()
    }

    pub async fn diary(&self, config: ClientConfig) -> Result<MessageClient, TransportError> {
        MessageClient::connect(self.addr, "localhost", self.tls(), "diary", config).await
    }

    pub async fn refuses(&self, tls: ClientTls, name: &str, model: &str, config: ClientConfig) -> TransportError {
        let error =
            Client::connect(self.addr, name, tls, model, config).await.err().expect("the connection must be refused");
        assert_eq!(self.service.calls.load(Ordering::SeqCst), 0, "no request may reach the service");
        error
    }
}

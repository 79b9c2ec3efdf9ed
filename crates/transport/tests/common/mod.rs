//! A service that adds, and a server around it on a free port.

#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, reason = "helpers of tests")]

use cleave_transport::{
    Authority, Client, ClientConfig, ClientTls, Reply, Request, Server, ServerConfig, ServerTls, Service, ServiceError,
    ServiceInfo, Statistics, TransportError,
};
use cleave_wire::Element;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// A server under test.
pub struct Running {
    pub addr: SocketAddr,
    pub authority: Authority,
    pub service: Arc<Sums>,
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
    let services: Vec<(String, Arc<dyn Service>)> = vec![
        ("sums".to_owned(), Arc::clone(&service) as Arc<dyn Service>),
        ("other".to_owned(), Arc::new(Sums::default())),
    ];
    let tls = ServerTls::new(identity, authority.trust());
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), tls, services, config).unwrap();
    let addr = server.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.run(async { drop(stopped.await) }));
    Running { addr, authority, service, stop, task }
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

    pub async fn refuses(&self, tls: ClientTls, name: &str, model: &str, config: ClientConfig) -> TransportError {
        let error =
            Client::connect(self.addr, name, tls, model, config).await.err().expect("the connection must be refused");
        assert_eq!(self.service.calls.load(Ordering::SeqCst), 0, "no request may reach the service");
        error
    }
}

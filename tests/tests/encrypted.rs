//! An ensemble on ciphertexts beside a service of numbers, on one server, over real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use cleave_encrypted::{
    EvaluationKeys, IntegerLayer, IntegerNetwork, ParamSet, Precision, Release, Scores, Shape, levels, ranges,
    service::{self, ClientSession, Memory, Provider, ProviderSession, Step},
};
use cleave_secrets::Secret;
use cleave_tests::decoders::release;
use cleave_transport::{
    Authority, Client, ClientConfig, ClientTls, Hosting, MessageClient, Peer, Reply, Request, Server, ServerConfig,
    ServerTls, Service, ServiceError, ServiceInfo, Session, SessionInfo, SessionService, TransportError,
};
use cleave_wire::Element;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

struct Encrypted(Provider);
struct Open(ProviderSession);

impl SessionService for Encrypted {
    fn info(&self) -> SessionInfo {
        let [max_request, max_answer] = [service::MAX_REQUEST, service::MAX_ANSWER].map(|bytes| bytes as u32);
        SessionInfo { hash: self.0.description().hash().unwrap(), max_request, max_answer, notice: None }
    }

    fn open(&self, _: &Peer) -> Result<Box<dyn Session>, ServiceError> {
        Ok(Box::new(Open(self.0.session())))
    }
}

impl Session for Open {
    fn answer(&mut self, message: Vec<u8>) -> Result<Vec<u8>, ServiceError> {
        self.0.answer(&message).map_err(|error| match error.is_passing() {
            true => ServiceError::Busy { message: error.to_string(), retry_after: Duration::from_millis(50) },
            false => ServiceError::Refused { message: error.to_string() },
        })
    }

    fn is_unfinished(&self) -> bool {
        self.0.is_unfinished()
    }
}

struct Doubles;

impl Service for Doubles {
    fn info(&self) -> ServiceInfo {
        let (item_shape, output_shape, elements) = (vec![1], vec![1], vec![Element::F32]);
        ServiceInfo { pair_hash: [0; 32], item_shape, output_shape, max_batch: 8, elements, notice: None }
    }

    fn answer(&self, request: Request) -> Result<Reply, ServiceError> {
        Ok(Reply { values: request.values.iter().map(|value| 2.0 * value).collect() })
    }
}

struct Running {
    addr: SocketAddr,
    authority: Authority,
    memory: Memory,
}

/// A server with room for one batch.
fn start(release: &Release) -> Running {
    let ensemble = release.ensemble().unwrap();
    let keys = EvaluationKeys::memory_bytes(ensemble.params());
    let memory = Memory::new(ensemble.memory_bytes() + keys);
    let provider = Provider::new(release, &memory, 1).unwrap();
    let authority = Authority::make(2).unwrap();
    let tls = ServerTls::new(authority.issue_server(&["localhost".to_owned()], 2).unwrap(), authority.trust());
    let services = vec![
        ("yes-or-no".to_owned(), Hosting::from(Arc::new(Encrypted(provider)) as Arc<dyn SessionService>)),
        ("doubles".to_owned(), Hosting::from(Arc::new(Doubles) as Arc<dyn Service>)),
    ];
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), tls, services, ServerConfig::default()).unwrap();
    let addr = server.local_addr().unwrap();
    tokio::spawn(server.run(std::future::pending()));
    Running { addr, authority, memory }
}

impl Running {
    fn tls(&self) -> ClientTls {
        ClientTls::new(self.authority.issue_client("tester", 2).unwrap(), self.authority.trust())
    }

    /// A connection that has sent its keys.
    async fn greeted(&self, retries: u32) -> (MessageClient, ClientSession) {
        let config =
            ClientConfig { retries, expected_output_len: Some(service::MAX_ANSWER), ..ClientConfig::default() };
        let mut client = MessageClient::connect(self.addr, "localhost", self.tls(), "yes-or-no", config).await.unwrap();
        let description = client.ask(ClientSession::describe()).await.unwrap().message;
        let session = ClientSession::new(&description, &Secret::generate().unwrap()).unwrap();
        let answer = client.ask(session.keys().unwrap()).await.unwrap().message;
        ClientSession::accepted(&answer).unwrap();
        (client, session)
    }

    async fn settles_at(&self, bytes: usize) {
        for _ in 0..250 {
            if self.memory.used() == bytes {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} bytes are taken, expected {bytes}", self.memory.used());
    }
}

async fn scored(client: &mut MessageClient, session: &ClientSession, pixels: &[u8]) -> Scores {
    let mut batch = session.begin(pixels).unwrap();
    while let Some(message) = batch.next().unwrap() {
        let answer = client.ask(message).await.unwrap().message;
        match batch.take(&answer).unwrap() {
            Step::Done(scores) => return scores,
            Step::Waiting { .. } | Step::Evaluating { .. } => tokio::time::sleep(Duration::from_millis(5)).await,
            _ => {}
        }
    }
    panic!("no scores")
}

#[tokio::test(flavor = "multi_thread")]
async fn ciphertexts_and_numbers_are_answered_by_one_server() {
    let server = start(&release());
    let (mut client, session) = server.greeted(0).await;
    let doubles =
        Client::connect(server.addr, "localhost", server.tls(), "doubles", ClientConfig::default()).await.unwrap();
    let pixels = [3, 4, 15, 0, 0, 15];
    let scores = scored(&mut client, &session, &pixels).await;
    let expected: Vec<_> =
        pixels.chunks(2).flat_map(|image| release().networks[0].evaluate(image).unwrap().output).collect();
    assert_eq!(scores.values, expected);
    assert_eq!(doubles.call(&[21.0], 1).await.unwrap().values, [42.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_in_the_middle_makes_room_for_who_waits() {
    let server = start(&release());
    let base = server.memory.used();
    let (mut first, session) = server.greeted(0).await;
    let mut batch = session.begin(&[1, 2]).unwrap();
    let begin = batch.next().unwrap().unwrap();
    let answer = first.ask(begin).await.unwrap().message;
    batch.take(&answer).unwrap();
    assert_eq!(server.memory.used(), server.memory.limit());

    let config = ClientConfig { retries: 0, ..ClientConfig::default() };
    let mut second = MessageClient::connect(server.addr, "localhost", server.tls(), "yes-or-no", config).await.unwrap();
    let description = second.ask(ClientSession::describe()).await.unwrap().message;
    let session = ClientSession::new(&description, &Secret::generate().unwrap()).unwrap();
    let error = second.ask(session.keys().unwrap()).await.unwrap_err();
    assert!(matches!(error, TransportError::Busy { .. }) && error.to_string().contains("--memory"), "{error}");

    drop(first);
    server.settles_at(base).await;
    ClientSession::accepted(&second.ask(session.keys().unwrap()).await.unwrap().message).unwrap();
    assert_eq!(scored(&mut second, &session, &[1, 2]).await.images, 1);
    second.close().await;
    server.settles_at(base).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_of_order_is_refused_with_what_to_do() {
    let server = start(&release());
    let (mut client, session) = server.greeted(0).await;
    let error = client.ask(session.keys().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("had keys") && error.contains("open another"), "{error}");
    let error = client.ask(service::Request::Evaluate.to_bytes()).await.unwrap_err().to_string();
    assert!(error.contains("begin a batch first"), "{error}");
    assert_eq!(scored(&mut client, &session, &[15, 15]).await.classes, 2, "the session goes on");
}

/// CryptoNets' shape with random weights on images of MNIST.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(real_data), ignore = "set CLEAVE_DATA to the folder of real data")]
async fn scores_of_real_images_are_exact() {
    let root = std::path::PathBuf::from(std::env::var_os("CLEAVE_DATA").unwrap());
    let options = cleave_data::OpenOptions::split("test");
    let data = cleave_data::Dataset::open(root.join("mnist"), &options).unwrap();
    let bytes: Vec<u8> = (0..200).flat_map(|index| data.decode(index).unwrap().data).collect();
    let pixels = levels(&bytes, 15);
    let network = random(Shape::cryptonets());
    let ranges = ranges(std::slice::from_ref(&network), &pixels).unwrap();
    let release = Release {
        set: ParamSet::holding(ranges.sum, 3).unwrap(),
        shape: network.shape,
        scale: 1.0,
        classes: data.classes().to_vec(),
        precision: Precision::default(),
        ranges,
        margin: 3,
        sources: vec!["random".into()],
        networks: vec![network],
    };
    let server = start(&release);
    let (mut client, session) = server.greeted(0).await;
    let scores = scored(&mut client, &session, &pixels).await;
    for (index, image) in pixels.chunks(784).enumerate() {
        assert_eq!(scores.image(index), release.networks[0].evaluate(image).unwrap().output, "image {index}");
    }
}

fn random(shape: Shape) -> IntegerNetwork {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut layer = |rows: usize, columns: usize| IntegerLayer {
        weights: (0..rows * columns).map(|_| rng.random_range(-31..=31)).collect(),
        biases: (0..rows).map(|_| rng.random_range(-999..=999)).collect(),
    };
    let layers = [
        layer(shape.maps, shape.kernel * shape.kernel),
        layer(shape.hidden, shape.features()),
        layer(shape.classes, shape.hidden),
    ];
    IntegerNetwork { shape, max_pixel: 15, layers, scale: 1.0 }
}

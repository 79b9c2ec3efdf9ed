//! Services with a state for each connection, beside services without one, over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use cleave_transport::{ClientConfig, MessageClient, ServerConfig, ServiceError, TransportError};
use cleave_wire::{Element, Status};
use common::{Running, patient, quick, start, start_with};
use std::sync::atomic::Ordering;
use std::time::Duration;

async fn ask(client: &mut MessageClient, message: &[u8]) -> Vec<u8> {
    client.ask(message.to_vec()).await.unwrap().message
}

async fn open_sessions(server: &Running, expected: usize) {
    for _ in 0..100 {
        if server.diaries.open.load(Ordering::SeqCst) == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} sessions are open, expected {expected}", server.diaries.open.load(Ordering::SeqCst));
}

#[tokio::test]
async fn each_connection_has_a_state_of_its_own_that_ends_with_it() {
    let server = start();
    let mut one = server.diary(patient()).await.unwrap();
    let mut two = server.diary(patient()).await.unwrap();
    assert_eq!(one.max_request(), 64);
    assert_eq!(ask(&mut one, b"a").await, b"a");
    assert_eq!(ask(&mut two, b"x").await, b"x");
    assert_eq!(ask(&mut one, b"").await, b"a");
    let told = one.ask(b"b".to_vec()).await.unwrap();
    assert_eq!(told.message, b"ab");
    assert!(told.bytes_sent > 1 && told.bytes_received > 2);
    let peers = server.diaries.peers.lock().unwrap().clone();
    assert_eq!(peers.len(), 2);
    assert!(peers.iter().all(|peer| peer.certificate.as_ref().is_some_and(|der| der.len() > 100)));
    open_sessions(&server, 2).await;
    one.close().await;
    open_sessions(&server, 1).await;
    drop(two);
    open_sessions(&server, 0).await;
}

#[tokio::test]
async fn both_kinds_of_service_stand_on_one_server() {
    let server = start();
    let mut diary = server.diary(patient()).await.unwrap();
    let numbers = server.client(patient()).await;
    assert_eq!(ask(&mut diary, b"one").await, b"one");
    assert_eq!(numbers.call(&[1.0, 2.0, 3.0, 4.0], 1).await.unwrap().values, [3.0, 7.0]);
    assert_eq!(ask(&mut diary, b"two").await, b"onetwo");
    server.stop.send(()).unwrap();
    diary.close().await;
    numbers.close().await;
    let statistics = server.task.await.unwrap().unwrap();
    assert_eq!((statistics.connections, statistics.answered, statistics.failed), (2, 3, 0));
}

#[tokio::test]
async fn one_kind_is_not_taken_for_the_other() {
    let server = start();
    let config = ClientConfig { element: Element::Bytes, ..patient() };
    let error = server.refuses(server.tls(), "localhost", "sums", config).await;
    assert!(matches!(error, TransportError::Frame { .. } | TransportError::Refused { .. }), "{error}");
    let error = MessageClient::connect(server.addr, "localhost", server.tls(), "sums", patient()).await.err().unwrap();
    assert!(matches!(error, TransportError::Refused { status: Status::UnsupportedElement, .. }), "{error}");
    let error = server.refuses(server.tls(), "localhost", "diary", patient()).await;
    assert!(matches!(error, TransportError::Refused { status: Status::UnsupportedElement, .. }), "{error}");
}

#[tokio::test]
async fn an_answer_longer_than_the_client_takes_is_refused_before_it_is_asked_for() {
    let server = start();
    let config = |len| ClientConfig { expected_output_len: Some(len), ..patient() };
    let error = server.diary(config(1023)).await.err().unwrap();
    assert!(matches!(error, TransportError::WrongReply { expected: 1023, got: 1024, .. }), "{error}");
    assert!(server.diary(config(1024)).await.is_ok());
}

#[tokio::test]
async fn faults_of_a_session_end_a_message_and_a_panic_ends_the_session() {
    let server = start();
    let mut client = server.diary(patient()).await.unwrap();
    let status = |error| match error {
        TransportError::Refused { status, message } => {
            assert!(!message.contains("secret"), "{message}");
            status
        }
        other => panic!("{other}"),
    };
    assert_eq!(ask(&mut client, b"a").await, b"a");
    assert_eq!(status(client.ask(b"fail".to_vec()).await.unwrap_err()), Status::Internal);
    assert_eq!(status(client.ask(b"long".to_vec()).await.unwrap_err()), Status::Internal);
    let error = client.ask(b"refuse".to_vec()).await.unwrap_err();
    assert!(error.to_string().contains("not this one"), "{error}");
    assert_eq!(status(error), Status::BadRequest);
    let error = client.ask(vec![0; 65]).await.unwrap_err();
    assert!(matches!(error, TransportError::MessageTooLong { got: 65, limit: 64 }), "{error}");
    assert_eq!(ask(&mut client, b"b").await, b"ab", "the state is as it was");
    assert_eq!(status(client.ask(b"panic".to_vec()).await.unwrap_err()), Status::Internal);
    open_sessions(&server, 0).await;
    assert_eq!(status(client.ask(b"c".to_vec()).await.unwrap_err()), Status::Internal);
    let mut client = server.diary(patient()).await.unwrap();
    assert_eq!(ask(&mut client, b"c").await, b"c");
}

#[tokio::test]
async fn a_session_can_put_a_message_off() {
    let server = start();
    let mut client = server.diary(ClientConfig { retries: 1, ..patient() }).await.unwrap();
    let error = client.ask(b"busy".to_vec()).await.unwrap_err();
    assert!(matches!(&error, TransportError::Busy { attempts: 2, .. }), "{error}");
    assert!(error.to_string().contains("2 bytes needed"), "{error}");
    assert_eq!(ask(&mut client, b"busy").await, b"busy", "the third time there is room");
}

#[tokio::test]
async fn a_session_that_does_not_begin_refuses_the_hello() {
    let server = start();
    let message = "no more sessions".to_owned();
    *server.diaries.full.lock().unwrap() = Some(ServiceError::Busy { message, retry_after: Duration::ZERO });
    let error = server.diary(patient()).await.err().unwrap();
    assert!(matches!(error, TransportError::Refused { status: Status::Busy, .. }), "{error}");
    *server.diaries.full.lock().unwrap() = Some(ServiceError::Failed { message: "secret detail".to_owned() });
    let error = server.diary(patient()).await.err().unwrap();
    assert!(matches!(error, TransportError::Refused { status: Status::Internal, .. }), "{error}");
    assert!(!error.to_string().contains("secret"));
}

#[tokio::test]
async fn a_connection_that_says_nothing_loses_its_session_and_one_that_asks_does_not() {
    let idle_timeout = Duration::from_millis(600);
    let server = start_with(ServerConfig { idle_timeout, ..quick() }, 2);
    let mut asking = server.diary(patient()).await.unwrap();
    let mut silent = server.diary(ClientConfig { idle_timeout, ..patient() }).await.unwrap();
    assert_eq!(ask(&mut silent, b"begin").await, b"begin");
    for _ in 0..12 {
        drop(ask(&mut asking, b"").await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    open_sessions(&server, 1).await;
    assert!(matches!(silent.ask(vec![]).await, Err(TransportError::Lost { .. })));
    assert_eq!(ask(&mut asking, b"here").await, b"here");
}

#[tokio::test]
async fn a_server_that_shuts_down_lets_a_session_finish_what_it_began() {
    let server = start();
    let mut begun = server.diary(patient()).await.unwrap();
    let mut other = server.diary(patient()).await.unwrap();
    assert_eq!(ask(&mut begun, b"begin").await, b"begin");
    assert_eq!(ask(&mut other, b"a").await, b"a");
    server.stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(ask(&mut begun, b"+").await, b"begin+");
    let error = other.ask(b"b".to_vec()).await.unwrap_err();
    assert!(matches!(error, TransportError::Refused { status: Status::ShuttingDown, .. }), "{error}");
    assert_eq!(ask(&mut begun, b"end").await, b"begin+end");
    let began = std::time::Instant::now();
    let statistics = tokio::time::timeout(Duration::from_secs(5), server.task).await.unwrap().unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_millis(1500), "it waits for nothing else");
    assert_eq!(statistics.answered, 4);
}

#[tokio::test]
async fn a_session_that_never_finishes_does_not_stop_a_shutdown() {
    let server = start();
    let mut begun = server.diary(patient()).await.unwrap();
    drop(ask(&mut begun, b"begin").await);
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.task).await.unwrap().unwrap().unwrap();
}

//! Sessions over real sockets: what works, what is refused, and what the server survives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use cleave_transport::{
    Authority, CertificateFault, Client, ClientConfig, ClientTls, Server, ServerConfig, ServerTls, Service,
    TransportError,
};
use cleave_wire::{Element, Status};
use common::{PAIR, Sums, patient, quick, start, start_with};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test]
async fn every_element_type_makes_the_round_trip() {
    let server = start();
    for (element, tolerance) in [(Element::F32, 0.0), (Element::F16, 0.01), (Element::U8, 0.1)] {
        let client = server.client(ClientConfig { element, expected_pair_hash: Some(PAIR), ..patient() }).await;
        assert_eq!(client.info().notice.as_deref(), Some("for tests"));
        let answer = client.call(&[1.5, 2.25, 3.0, 4.0, 0.0, 1.0, 0.5, 0.25], 2).await.unwrap();
        for (got, expected) in answer.values.iter().zip([3.75, 7.0, 1.0, 0.75]) {
            assert!((got - expected).abs() <= tolerance, "{element:?}: {got} {expected}");
        }
        assert!(answer.bytes_sent > 0 && answer.bytes_received > 0);
    }
}

#[tokio::test]
async fn requests_run_side_by_side_on_one_connection() {
    let server = start();
    let client = server.client(patient()).await;
    let calls = (0..6).map(|index| {
        let client = client.clone();
        tokio::spawn(async move { client.call(&[index as f32, 1.0, 0.0, 0.0], 1).await.unwrap().values[0] })
    });
    for (index, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), index as f32 + 1.0);
    }
}

#[tokio::test]
async fn reject_missing_client_certificate() {
    let server = start();
    let tls = ClientTls::without_identity(server.authority.trust());
    let error = server.refuses(tls, "localhost", "sums", patient()).await;
    assert!(matches!(error, TransportError::ClientCertificateRefused { fault: CertificateFault::Missing }), "{error}");
}

#[tokio::test]
async fn reject_client_certificate_of_another_authority() {
    let server = start();
    let stranger = Authority::make(2).unwrap().issue_client("tester", 2).unwrap();
    let error =
        server.refuses(ClientTls::new(stranger, server.authority.trust()), "localhost", "sums", patient()).await;
    assert!(matches!(error, TransportError::ClientCertificateRefused { .. }), "{error}");
}

#[tokio::test]
async fn reject_expired_client_certificate() {
    let server = start();
    let expired = server.authority.issue_client("tester", -1).unwrap();
    let error = server.refuses(ClientTls::new(expired, server.authority.trust()), "localhost", "sums", patient()).await;
    assert!(matches!(error, TransportError::ClientCertificateRefused { fault: CertificateFault::Expired }), "{error}");
}

#[tokio::test]
async fn reject_expired_server_certificate() {
    let server = start_with(quick(), -1);
    let error = server.refuses(server.tls(), "localhost", "sums", patient()).await;
    assert!(matches!(error, TransportError::ServerCertificateRefused { .. }), "{error}");
}

#[tokio::test]
async fn reject_server_of_another_name_or_authority() {
    let server = start();
    let error = server.refuses(server.tls(), "example.org", "sums", patient()).await;
    assert!(matches!(error, TransportError::ServerCertificateRefused { .. }), "{error}");
    let stranger = Authority::make(2).unwrap();
    let tls = ClientTls::new(server.authority.issue_client("tester", 2).unwrap(), stranger.trust());
    let error = server.refuses(tls, "localhost", "sums", patient()).await;
    assert!(matches!(error, TransportError::ServerCertificateRefused { .. }), "{error}");
}

#[tokio::test]
async fn reject_unknown_model_and_wrong_pair() {
    let server = start();
    let error = server.refuses(server.tls(), "localhost", "nothing", patient()).await;
    assert!(
        matches!(&error, TransportError::Refused { status: Status::UnknownModel, message } if message.contains("sums")),
        "{error}"
    );
    let config = ClientConfig { expected_pair_hash: Some([8; 32]), ..patient() };
    let error = server.refuses(server.tls(), "localhost", "sums", config).await;
    assert!(matches!(error, TransportError::Refused { status: Status::PairMismatch, .. }), "{error}");
}

#[tokio::test]
async fn values_that_do_not_fit_never_leave_the_client() {
    let server = start();
    let client = server.client(patient()).await;
    for (values, batch) in
        [(vec![0.0; 3], 1), (vec![0.0; 4], 2), (vec![], 0), (vec![f32::NAN; 4], 1), (vec![f32::INFINITY; 4], 1)]
    {
        assert!(matches!(client.call(&values, batch).await, Err(TransportError::Frame { .. })));
    }
    assert_eq!(server.service.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_batch_beyond_the_announced_one_is_refused() {
    let server = start();
    let client = server.client(patient()).await;
    let error = client.call(&[0.0; 36], 9).await.unwrap_err();
    assert!(matches!(error, TransportError::Refused { status: Status::TooLarge | Status::BadRequest, .. }), "{error}");
    assert!(client.call(&[0.0; 32], 8).await.is_ok());
}

#[tokio::test]
async fn a_service_that_panics_or_answers_rubbish_leaves_the_server_alive() {
    let server = start();
    let client = server.client(patient()).await;
    for fault in [-1.0, -2.0, -3.0, -4.0] {
        let error = client.call(&[fault, 0.0, 0.0, 0.0], 1).await.unwrap_err();
        let TransportError::Refused { status: Status::Internal, message } = &error else { panic!("{error}") };
        assert!(!message.contains("secret") && !message.contains("as asked"), "{message}");
    }
    assert_eq!(client.call(&[1.0, 1.0, 1.0, 1.0], 1).await.unwrap().values, [2.0, 2.0]);
}

#[tokio::test]
async fn a_full_server_says_busy_and_the_client_comes_back() {
    let server = start_with(ServerConfig { workers: 1, queue: 0, ..quick() }, 2);
    let client = server.client(ClientConfig { retries: 20, ..patient() }).await;
    let slow = tokio::spawn({
        let client = client.clone();
        async move { client.call(&[-5.0, 0.0, 0.0, 0.0], 1).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let hasty = server.client(ClientConfig { retries: 0, ..patient() }).await;
    let error = hasty.call(&[1.0; 4], 1).await.unwrap_err();
    assert!(matches!(error, TransportError::Busy { attempts: 1, .. }), "{error}");
    assert!(client.call(&[1.0; 4], 1).await.is_ok());
    assert!(slow.await.unwrap().is_ok());
}

#[tokio::test]
async fn draining_finishes_what_is_under_way() {
    let server = start();
    let client = server.client(patient()).await;
    let slow = tokio::spawn(async move { client.call(&[-5.0, 1.0, 0.0, 0.0], 1).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.send(()).unwrap();
    assert_eq!(slow.await.unwrap().unwrap().values, [-4.0, 0.0]);
    let statistics = server.task.await.unwrap().unwrap();
    assert_eq!((statistics.answered, statistics.connections), (1, 1));
}

#[tokio::test]
async fn a_request_during_the_drain_is_told_so_at_once() {
    let server = start();
    let client = server.client(patient()).await;
    let hasty = server.client(ClientConfig { retries: 0, ..patient() }).await;
    let slow = tokio::spawn(async move { client.call(&[-5.0, 1.0, 0.0, 0.0], 1).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let error = hasty.call(&[1.0; 4], 1).await.unwrap_err();
    assert!(!slow.is_finished(), "the answer came only with the end of the drain");
    assert!(
        matches!(error, TransportError::Refused { status: Status::ShuttingDown, .. } | TransportError::Busy { .. }),
        "{error}"
    );
    assert!(slow.await.unwrap().is_ok());
}

#[tokio::test]
async fn an_idle_connection_gives_its_place_back_and_is_made_again() {
    let server = start_with(ServerConfig { idle_timeout: Duration::from_millis(600), ..quick() }, 2);
    let client = server.client(ClientConfig { idle_timeout: Duration::from_millis(400), ..patient() }).await;
    assert!(client.call(&[1.0; 4], 1).await.is_ok());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(client.call(&[1.0; 4], 1).await.is_ok());
    server.stop.send(()).unwrap();
    let statistics = server.task.await.unwrap().unwrap();
    assert_eq!((statistics.connections, statistics.answered), (2, 2));
}

#[tokio::test]
async fn a_full_house_asks_for_addresses_to_be_proved() {
    let server = start_with(ServerConfig { max_connections: 2, ..quick() }, 2);
    let first = server.client(patient()).await;
    let second = server.client(patient()).await; // comes in by way of a retry packet
    for client in [&first, &second] {
        assert!(client.call(&[1.0; 4], 1).await.is_ok());
    }
}

#[tokio::test]
async fn a_server_that_announces_other_sizes_is_refused() {
    let server = start();
    for (item, output) in [(Some(5), None), (None, Some(3))] {
        let config = ClientConfig { expected_item_len: item, expected_output_len: output, ..patient() };
        let error = server.refuses(server.tls(), "localhost", "sums", config).await;
        assert!(matches!(error, TransportError::WrongReply { .. }), "{error}");
    }
    server.client(ClientConfig { expected_item_len: Some(4), expected_output_len: Some(2), ..patient() }).await;
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_a_request_is_a_typed_error() {
    let machine = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = machine.spawn(async { start() }).await.unwrap();
    let client = server.client(ClientConfig { retries: 1, idle_timeout: Duration::from_secs(1), ..patient() }).await;
    let call = tokio::spawn(async move { client.call(&[-5.0, 0.0, 0.0, 0.0], 1).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    machine.shutdown_background(); // its tasks and its socket are gone; no goodbye is sent
    let error = call.await.unwrap().unwrap_err();
    let expected = matches!(
        error,
        TransportError::Lost { .. }
            | TransportError::Unreachable { .. }
            | TransportError::TimedOut { .. }
            | TransportError::StreamAbandoned { .. }
    );
    assert!(expected, "{error}");
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let first = start();
    let (addr, authority) = (first.addr, first.authority);
    let tls = ClientTls::new(authority.issue_client("tester", 2).unwrap(), authority.trust());
    let config = ClientConfig { retries: 8, idle_timeout: Duration::from_secs(1), ..patient() };
    let client = Client::connect(addr, "localhost", tls, "sums", config).await.unwrap();
    assert!(client.call(&[1.0; 4], 1).await.is_ok());
    first.stop.send(()).unwrap();
    first.task.await.unwrap().unwrap();
    let identity = authority.issue_server(&["localhost".to_owned()], 2).unwrap();
    let services: Vec<(String, Arc<dyn Service>)> = vec![("sums".to_owned(), Arc::new(Sums::default()))];
    let second = Server::bind(addr, ServerTls::new(identity, authority.trust()), services, quick()).unwrap();
    tokio::spawn(second.run(std::future::pending()));
    assert_eq!(client.call(&[1.0, 2.0, 3.0, 4.0], 1).await.unwrap().values, [3.0, 7.0]);
}

#[tokio::test]
async fn a_client_that_vanishes_costs_the_server_nothing_but_that_request() {
    let server = start();
    let vanishing = server.client(patient()).await;
    let call = tokio::spawn(async move { vanishing.call(&[-5.0, 0.0, 0.0, 0.0], 1).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    call.abort();
    let client = server.client(patient()).await;
    assert_eq!(client.call(&[1.0; 4], 1).await.unwrap().values, [2.0, 2.0]);
}

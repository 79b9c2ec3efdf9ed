//! Clients with a good certificate that break the protocol below the level of the library's own client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use cleave_transport::{Existing, PROTOCOL};
use cleave_wire::{ClientHello, Element, Head, Layout, Limits, Preamble, RequestHead, Status, decode};
use common::{PAIR, Running, patient, start};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, VarInt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const REPLY: Limits = Limits { max_payload: 1 << 16 };

/// A connection with a certificate of the server's authority, and nothing said on it.
async fn connect(server: &Running) -> Connection {
    let folder = tempfile::tempdir().unwrap();
    server.authority.issue_client("rude", 2).unwrap().save(folder.path(), "rude", Existing::Keep).unwrap();
    server.authority.save(folder.path(), Existing::Keep).unwrap();
    let certificate = |name: &str| CertificateDer::from_pem_file(folder.path().join(name)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate("ca.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.path().join("rude-key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate("rude.pem")], key)
        .unwrap();
    tls.alpn_protocols = vec![PROTOCOL.into()];
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap())));
    endpoint.connect(server.addr, "localhost").unwrap().await.unwrap()
}

/// Sends bytes on a new stream, ends it, and gives what the server answers.
async fn send(connection: &Connection, bytes: &[u8]) -> Option<Head> {
    let (mut sender, mut receiver) = connection.open_bi().await.ok()?;
    drop(sender.write_all(bytes).await); // a server that refuses early may stop the stream
    drop(sender.finish());
    let answer = receiver.read_to_end(1 << 16).await.ok()?;
    Some(decode(&answer, &REPLY).unwrap().0)
}

async fn status(connection: &Connection, bytes: &[u8]) -> Status {
    match send(connection, bytes).await {
        Some(Head::Reply(reply)) => reply.status,
        other => panic!("expected a reply, got {other:?}"),
    }
}

fn hello() -> Vec<u8> {
    let hello = ClientHello {
        version_min: 1,
        version_max: 1,
        model: "sums".to_owned(),
        expected_pair_hash: Some(PAIR),
        element: Element::F32,
    };
    Head::ClientHello(hello).to_bytes(&[]).unwrap()
}

async fn greeted(server: &Running) -> Connection {
    let connection = connect(server).await;
    assert!(matches!(send(&connection, &hello()).await, Some(Head::ServerHello(_))));
    connection
}

fn frame(batch: u16, element: Element, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Head::Request(RequestHead { id: 5, batch, element }).to_bytes(payload).unwrap();
    bytes.extend_from_slice(payload);
    bytes
}

fn payload(items: usize) -> Vec<u8> {
    Layout::new(4, items, Element::F32).unwrap().encode(&vec![1.0; items * 4]).unwrap()
}

/// The server still answers a client that behaves, and no request before this one reached the service.
async fn unharmed(server: &Running) {
    assert_eq!(server.service.calls.load(Ordering::SeqCst), 0, "a broken request reached the service");
    let client = server.client(patient()).await;
    assert_eq!(client.call(&[1.0, 2.0, 3.0, 4.0], 1).await.unwrap().values, [3.0, 7.0]);
}

#[tokio::test]
async fn whatever_comes_instead_of_a_hello_is_refused() {
    let server = start();
    let oversize = [&hello()[..8], &u32::MAX.to_le_bytes(), &hello()[12..]].concat();
    for first in [frame(1, Element::F32, &payload(1)), b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), oversize]
    {
        let connection = connect(&server).await;
        assert_eq!(status(&connection, &first).await, Status::BadRequest);
    }
    for length in 0..hello().len() {
        let connection = connect(&server).await;
        assert_eq!(status(&connection, &hello()[..length]).await, Status::BadRequest, "{length} bytes of a hello");
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn a_request_cannot_go_before_its_hello() {
    let server = start();
    let connection = connect(&server).await;
    // The stream opened first is the hello's; a request on the next one must wait for it in vain.
    let (_held, _) = connection.open_bi().await.unwrap();
    let answer = send(&connection, &frame(1, Element::F32, &payload(1))).await;
    assert!(!matches!(&answer, Some(Head::Reply(reply)) if reply.status == Status::Ok), "{answer:?}");
    unharmed(&server).await;
}

#[tokio::test]
async fn lengths_batches_and_types_other_than_settled_are_refused() {
    let server = start();
    let connection = greeted(&server).await;
    let good = frame(1, Element::F32, &payload(1));
    let length = |at: usize, bytes: &[u8]| [&good[..at], bytes, &good[at + bytes.len()..]].concat();
    let half = Layout::new(4, 1, Element::F16).unwrap().encode(&[1.0; 4]).unwrap();
    let mut not_a_number = payload(1);
    not_a_number[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut infinite = payload(1);
    infinite[4..8].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    for (what, bytes, expected) in [
        ("a payload of 2^64 - 1 bytes", length(12, &u64::MAX.to_le_bytes()), Status::TooLarge),
        ("a payload of one byte more than a full batch", length(12, &129_u64.to_le_bytes()), Status::TooLarge),
        ("a header of 2^32 - 1 bytes", length(8, &u32::MAX.to_le_bytes()), Status::TooLarge),
        ("two items called one", frame(1, Element::F32, &payload(2)), Status::BadRequest),
        ("one item called two", frame(2, Element::F32, &payload(1)), Status::BadRequest),
        ("no payload", frame(1, Element::F32, &[]), Status::BadRequest),
        ("a larger batch than announced", frame(9, Element::F32, &payload(8)), Status::BadRequest),
        ("another element type", frame(1, Element::F16, &half), Status::BadRequest),
        ("a NaN", frame(1, Element::F32, &not_a_number), Status::BadRequest),
        ("an infinity", frame(1, Element::F32, &infinite), Status::BadRequest),
        ("bytes after the payload", [&good[..], &[0]].concat(), Status::BadRequest),
        ("a second hello", hello(), Status::BadRequest),
    ] {
        assert_eq!(status(&connection, &bytes).await, expected, "{what}");
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn every_prefix_and_every_flipped_bit_of_a_request_is_refused() {
    let server = start();
    let connection = greeted(&server).await;
    let good = frame(1, Element::F32, &payload(1));
    assert!(good.len() > Preamble::LEN);
    for length in 0..good.len() {
        let refusal = status(&connection, &good[..length]).await;
        assert_ne!(refusal, Status::Ok, "{length} bytes of a request");
    }
    for bit in 0..good.len() * 8 {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(status(&connection, &flipped).await, Status::Ok, "bit {bit}");
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_is_not_waited_for() {
    let server = start();
    let connection = greeted(&server).await;
    let good = frame(1, Element::F32, &payload(1));
    let (mut sender, mut receiver) = connection.open_bi().await.unwrap();
    sender.write_all(&good[..good.len() - 1]).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(5), receiver.read_to_end(1 << 16)).await.unwrap().unwrap();
    let Head::Reply(reply) = decode(&answer, &REPLY).unwrap().0 else { panic!("expected a reply") };
    assert_eq!(reply.status, Status::TimedOut);
    let (mut sender, _) = connection.open_bi().await.unwrap();
    sender.write_all(&good[..40]).await.unwrap();
    sender.reset(VarInt::from_u32(9)).unwrap();
    unharmed(&server).await;
}

/// A connection whose hello asks for the diary.
async fn writing(server: &Running) -> Connection {
    let connection = connect(server).await;
    let hello = ClientHello {
        version_min: 1,
        version_max: 1,
        model: "diary".to_owned(),
        expected_pair_hash: None,
        element: Element::Bytes,
    };
    let hello = Head::ClientHello(hello).to_bytes(&[]).unwrap();
    assert!(matches!(send(&connection, &hello).await, Some(Head::ServerHello(_))));
    connection
}

#[tokio::test]
async fn messages_that_break_a_rule_never_reach_their_session() {
    let server = start();
    let connection = writing(&server).await;
    let good = frame(1, Element::Bytes, b"good");
    let length = |bytes: &[u8]| [&good[..12], bytes, &good[20..]].concat();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let numbers = frame(1, Element::F32, &payload(1));
    for (what, bytes, expected) in [
        ("a message of 2^64 - 1 bytes", length(&u64::MAX.to_le_bytes()), Status::TooLarge),
        ("a message of one byte more than announced", length(&65_u64.to_le_bytes()), Status::TooLarge),
        ("a message that is cut short", good[..good.len() - 1].to_vec(), Status::BadRequest),
        ("a flipped bit", flipped, Status::BadRequest),
        ("numbers", numbers, Status::BadRequest),
    ] {
        assert_eq!(status(&connection, &bytes).await, expected, "{what}");
    }
    let (mut sender, mut receiver) = connection.open_bi().await.unwrap();
    sender.write_all(&good).await.unwrap();
    sender.finish().unwrap();
    let answer = receiver.read_to_end(1 << 16).await.unwrap();
    assert_eq!(decode(&answer, &REPLY).unwrap().1, b"good", "the diary holds this one only");
}

#[tokio::test]
async fn a_message_of_which_half_arrives_gives_its_place_back() {
    let server = start();
    let connection = writing(&server).await;
    let bytes = frame(1, Element::Bytes, &[1; 60]);
    let mut half = Vec::new();
    for _ in 0..6 {
        let (mut sender, receiver) = connection.open_bi().await.unwrap();
        sender.write_all(&bytes[..80]).await.unwrap();
        half.push((sender, receiver));
    }
    tokio::time::sleep(Duration::from_millis(1500)).await; // the time for a frame is one second here
    drop(half);
    assert!(
        matches!(send(&connection, &frame(1, Element::Bytes, b"x")).await, Some(Head::Reply(reply)) if reply.status == Status::Ok)
    );
}

#[tokio::test]
async fn an_element_type_of_a_later_version_is_named_as_such() {
    let server = start();
    let connection = connect(&server).await;
    let mut bytes = hello();
    let last = bytes.len() - 1;
    bytes[last] = 200; // the element is the last field
    let crc = crc(&bytes);
    bytes[24..28].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(status(&connection, &bytes).await, Status::UnsupportedElement);
    unharmed(&server).await;
}

/// CRC-32 of a preamble without its last field, and the header.
fn crc(frame: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in frame[..24].iter().chain(&frame[28..]) {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

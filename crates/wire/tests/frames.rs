//! What a hostile or broken sender can put into a frame.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use cleave_wire::{
    ClientHello, Element, Head, HeaderFault, Kind, Layout, Limits, MAX_NAME, MAX_NOTICE, Preamble, ReplyHead,
    RequestHead, ServerHello, Status, WireError, decode, settle_version, shape_len,
};
use proptest::prelude::*;

const LIMITS: Limits = Limits { max_payload: 64 };

fn client_hello() -> ClientHello {
    ClientHello {
        version_min: 1,
        version_max: 1,
        model: "cats".into(),
        expected_pair_hash: Some([7; 32]),
        element: Element::F16,
    }
}

fn server_hello() -> ServerHello {
    ServerHello {
        version: 1,
        model: "cats".into(),
        pair_hash: [7; 32],
        element: Element::U8,
        item_shape: vec![2, 3],
        output_shape: vec![2],
        max_batch: 64,
        item_bytes: 14,
        notice: Some("released for tests".into()),
    }
}

fn reply(status: Status) -> ReplyHead {
    let batch = u16::from(status == Status::Ok);
    ReplyHead { id: 9, status, batch, retry_after_ms: Some(20), message: Some("later".into()) }
}

fn frame(head: &Head, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head.to_bytes(payload).unwrap();
    bytes.extend_from_slice(payload);
    bytes
}

fn small_frames() -> Vec<(Head, Vec<u8>)> {
    let request = RequestHead { id: u128::MAX, batch: 2, element: Element::F32 };
    vec![
        (Head::ClientHello(client_hello()), vec![]),
        (Head::ServerHello(server_hello()), vec![]),
        (Head::Request(request), vec![1; 48]),
        (Head::Reply(reply(Status::Ok)), vec![0; 8]),
        (Head::Reply(reply(Status::Busy)), vec![]),
    ]
}

#[test]
fn whole_frames_come_back_as_they_were() {
    for (head, payload) in small_frames() {
        assert_eq!(decode(&frame(&head, &payload), &LIMITS), Ok((head, &payload[..])));
    }
}

fn message_hello() -> ServerHello {
    let (item_shape, output_shape) = (vec![100], vec![1000]);
    ServerHello { element: Element::Bytes, item_shape, output_shape, max_batch: 1, item_bytes: 100, ..server_hello() }
}

#[test]
fn bytes_travel_as_one_message_of_any_length_up_to_the_limit() {
    assert_eq!(Element::ALL.map(Element::code), [0, 1, 2, 128]);
    for element in Element::ALL {
        assert_eq!(Element::from_code(element.code()), Some(element));
    }
    assert_eq!([3, 127, 129, 255].map(Element::from_code), [None; 4]);
    let hello = Head::ServerHello(message_hello());
    assert_eq!(decode(&frame(&hello, &[]), &LIMITS), Ok((hello, &[][..])));
    let request = |batch| Head::Request(RequestHead { id: 1, batch, element: Element::Bytes });
    for length in [0, 1, 63, 64] {
        let payload = vec![0xFF; length]; // as f32 it would be NaN
        assert_eq!(decode(&frame(&request(1), &payload), &LIMITS), Ok((request(1), &payload[..])));
    }
    let mut damaged = frame(&request(1), &[1, 2, 3]);
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(decode(&damaged, &LIMITS), Err(WireError::Checksum { part: "payload", .. })));
    assert!(matches!(decode(&frame(&request(1), &[0; 65]), &LIMITS), Err(WireError::OverLimit { limit: 64, .. })));
    assert!(matches!(request(2).to_bytes(&[]), Err(WireError::Field { field: "request.batch", got: 2, .. })));
    assert_eq!(Layout::new(4, 1, Element::Bytes), Err(WireError::NotNumbers { element: Element::Bytes }));
}

#[test]
fn a_hello_for_bytes_has_one_message_and_one_dimension() {
    let wrong = |change: fn(&mut ServerHello), expected: &str| {
        let mut hello = message_hello();
        change(&mut hello);
        match Head::ServerHello(hello).to_bytes(&[]) {
            Err(WireError::Field { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    };
    wrong(|hello| hello.max_batch = 2, "server_hello.max_batch");
    wrong(|hello| hello.item_bytes = 101, "server_hello.item_bytes");
    wrong(|hello| hello.item_shape = vec![10, 10], "server_hello.item_shape");
    wrong(|hello| hello.output_shape = vec![10, 10], "server_hello.output_shape");
}

#[test]
fn every_prefix_is_refused() {
    for (head, payload) in small_frames() {
        let bytes = frame(&head, &payload);
        for end in 0..bytes.len() {
            let error = decode(&bytes[..end], &LIMITS).unwrap_err();
            assert!(matches!(error, WireError::Truncated { .. }), "{end}: {error}");
        }
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    for (head, payload) in small_frames() {
        let mut bytes = frame(&head, &payload);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes, &LIMITS).is_err(), "{}: bit {bit}", head.kind());
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn byte_after_the_payload_is_refused() {
    for (head, payload) in small_frames() {
        let mut bytes = frame(&head, &payload);
        bytes.push(0);
        let error = decode(&bytes, &LIMITS).unwrap_err();
        assert_eq!(error, WireError::TrailingBytes { part: "payload", extra: 1 });
    }
}

/// Parses the preamble of a good request after `at..` was overwritten.
fn parse_with(at: usize, new: &[u8]) -> WireError {
    let (head, payload) = small_frames().swap_remove(2);
    let mut bytes = frame(&head, &payload);
    bytes[at..at + new.len()].copy_from_slice(new);
    Preamble::parse(bytes.first_chunk().unwrap(), &LIMITS).unwrap_err()
}

#[test]
fn line_of_http_is_not_a_frame() {
    assert!(matches!(parse_with(0, b"GET "), WireError::WrongMagic { got: [b'G', ..], .. }));
}

#[test]
fn unknown_version_kind_and_reserved_byte_are_named() {
    let newer = WireError::UnsupportedVersion { got: 2, min: 1, max: 1 };
    assert_eq!(parse_with(4, &2u16.to_le_bytes()), newer);
    assert_eq!(parse_with(6, &[5]), WireError::UnknownKind { got: 5 });
    assert_eq!(parse_with(7, &[1]), WireError::Reserved { got: 1 });
}

#[test]
fn oversize_lengths_are_refused_from_the_preamble_alone() {
    let header = WireError::OverLimit { part: "header", got: u32::MAX.into(), limit: 2048 };
    assert_eq!(parse_with(8, &u32::MAX.to_le_bytes()), header);
    for got in [65, u64::MAX] {
        let payload = WireError::OverLimit { part: "payload", got, limit: 64 };
        assert_eq!(parse_with(12, &got.to_le_bytes()), payload);
    }
}

#[test]
fn hello_with_a_payload_is_refused_on_both_sides() {
    let head = Head::ClientHello(client_hello());
    let error = WireError::UnexpectedPayload { kind: Kind::ClientHello, got: 4 };
    assert_eq!(head.to_bytes(&[0; 4]), Err(error.clone()));
    let mut bytes = frame(&head, &[]);
    bytes[12] = 4;
    assert_eq!(decode(&bytes, &LIMITS), Err(error));
}

/// A frame with a correct checksum around an arbitrary header, as a malicious sender builds it.
fn forge(kind: u8, header: &[u8]) -> Vec<u8> {
    let good = frame(&Head::ClientHello(client_hello()), &[]);
    let mut bytes = good[..Preamble::LEN - 4].to_vec();
    bytes[6] = kind;
    bytes[8..12].copy_from_slice(&u32::try_from(header.len()).unwrap().to_le_bytes());
    bytes[20..24].fill(0); // the checksum of no bytes
    let crc = crc32fast::hash(&[&bytes, header].concat());
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(header);
    bytes
}

fn header_of(head: &Head) -> Vec<u8> {
    head.to_bytes(&[]).unwrap().split_off(Preamble::LEN)
}

#[test]
fn forged_codes_are_named() {
    let mut header = header_of(&Head::Reply(reply(Status::Busy)));
    header[16..18].copy_from_slice(&77u16.to_le_bytes());
    let fault = HeaderFault::UnknownCode { what: "status", code: 77 };
    let error = WireError::Header { kind: Kind::Reply, fault };
    assert_eq!(decode(&forge(4, &header), &LIMITS), Err(error));

    let mut header = header_of(&Head::ClientHello(client_hello()));
    *header.last_mut().unwrap() = 200;
    let fault = HeaderFault::UnknownCode { what: "element", code: 200 };
    let error = WireError::Header { kind: Kind::ClientHello, fault };
    assert_eq!(decode(&forge(1, &header), &LIMITS), Err(error));
}

#[test]
fn forged_string_length_does_not_allocate_its_claim() {
    let mut header = header_of(&Head::ClientHello(client_hello()));
    header[4..12].copy_from_slice(&u64::MAX.to_le_bytes());
    let error = decode(&forge(1, &header), &LIMITS).unwrap_err();
    assert_eq!(error, WireError::Header { kind: Kind::ClientHello, fault: HeaderFault::Long });
}

#[test]
fn forged_header_with_a_spare_byte_is_refused() {
    let mut header = header_of(&Head::ClientHello(client_hello()));
    header.push(0);
    let error = decode(&forge(1, &header), &LIMITS).unwrap_err();
    assert_eq!(error, WireError::TrailingBytes { part: "header", extra: 1 });
}

fn field_of(head: Head) -> &'static str {
    match head.to_bytes(&[]) {
        Err(WireError::Field { field, .. }) => field,
        other => panic!("expected a field error, got {other:?}"),
    }
}

#[test]
fn fields_out_of_bounds_are_named() {
    let hello = |change: fn(&mut ClientHello)| {
        let mut hello = client_hello();
        change(&mut hello);
        field_of(Head::ClientHello(hello))
    };
    assert_eq!(hello(|h| h.version_min = 2), "client_hello.version_min");
    assert_eq!(hello(|h| h.model.clear()), "client_hello.model");
    assert_eq!(hello(|h| h.model = "x".repeat(MAX_NAME + 1)), "client_hello.model");
    assert_eq!(hello(|h| h.model = "a\x1b[2J".into()), "client_hello.model");

    let hello = |change: fn(&mut ServerHello)| {
        let mut hello = server_hello();
        change(&mut hello);
        field_of(Head::ServerHello(hello))
    };
    assert_eq!(hello(|h| h.item_shape.clear()), "server_hello.item_shape");
    assert_eq!(hello(|h| h.item_shape = vec![1; 9]), "server_hello.item_shape");
    assert_eq!(hello(|h| h.item_shape = vec![u32::MAX; 2]), "server_hello.item_shape");
    assert_eq!(hello(|h| h.output_shape = vec![2, 0]), "server_hello.output_shape");
    assert_eq!(hello(|h| h.max_batch = 65), "server_hello.max_batch");
    assert_eq!(hello(|h| h.item_bytes = 24), "server_hello.item_bytes");
    assert_eq!(hello(|h| h.notice = Some("x".repeat(MAX_NOTICE + 1))), "server_hello.notice");
    assert_eq!(hello(|h| h.notice = Some("\x1b]0;title".into())), "server_hello.notice");

    let batch = |batch| Head::Request(RequestHead { id: 1, batch, element: Element::F32 });
    assert_eq!(field_of(batch(0)), "request.batch");
    assert_eq!(field_of(batch(65)), "request.batch");
    let busy_with_logits = ReplyHead { batch: 1, ..reply(Status::Busy) };
    assert_eq!(field_of(Head::Reply(busy_with_logits)), "reply.batch");
}

#[test]
fn longest_legal_hello_fits_its_header() {
    let hello = ServerHello {
        model: "m".repeat(MAX_NAME),
        item_shape: vec![1; 8],
        output_shape: vec![1; 8],
        item_bytes: 9,
        notice: Some("n".repeat(MAX_NOTICE)),
        ..server_hello()
    };
    let head = Head::ServerHello(hello);
    assert_eq!(decode(&frame(&head, &[]), &LIMITS), Ok((head, &[][..])));
}

#[test]
fn versions_that_do_not_meet_settle_on_nothing() {
    assert_eq!(settle_version(1, 5), Some(1));
    assert_eq!(settle_version(0, 0), None);
    assert_eq!(settle_version(2, 9), None);
}

#[test]
fn alexnet_cut_has_the_length_of_the_papers() {
    assert_eq!(shape_len("shape", &[64, 27, 27]), Ok(46_656));
    assert_eq!(Layout::new(46_656, 16, Element::F32).unwrap().byte_len(), 2_985_984);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&bytes, &LIMITS).is_err());
    }

    #[test]
    fn any_header_behind_a_good_checksum_is_read_without_panic(
        kind in 0u8..6,
        header in prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..200),
    ) {
        if let Ok((head, _)) = decode(&forge(kind, &header), &LIMITS) {
            prop_assert_eq!(header_of(&head), header);
        }
    }

    #[test]
    fn any_legal_request_comes_back(
        id: u128, batch in 1u16..=64, payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let head = Head::Request(RequestHead { id, batch, element: Element::U8 });
        let bytes = frame(&head, &payload);
        prop_assert_eq!(decode(&bytes, &LIMITS), Ok((head, &payload[..])));
    }
}

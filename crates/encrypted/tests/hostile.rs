//! Bytes that are cut, changed, made up, or meant for somebody else. Each gives an error, none a panic.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy exempts only the test functions themselves")]

mod common;

use std::sync::LazyLock;

use cleave_encrypted::{
    Collector, EncryptedEnsemble, EncryptedImages, EncryptedScores, Error, EvaluationKeys, Fault, ParamSet,
};
use common::{Client, ONE, TWO, network, rng};
use proptest::prelude::*;

use cleave_encrypted::Shape;
const TINY: Shape = Shape { height: 1, width: 2, kernel: 1, stride: 1, padding: 0, maps: 1, hidden: 1, classes: 1 };

/// A whole exchange: images, their chunks, the answer.
struct Exchange {
    images: EncryptedImages,
    chunks: Vec<Vec<u8>>,
    scores: Vec<u8>,
    keys: Vec<u8>,
}

static EXCHANGE: LazyLock<Exchange> = LazyLock::new(|| {
    let networks = [network(&mut rng(1), TINY, [3; 3], [3; 3])];
    let ensemble = EncryptedEnsemble::new(&ONE.params, &networks).unwrap();
    let images = ONE.secret.encrypt(&[1, 2, 3, 4], 2).unwrap();
    let chunks = images.chunks(&ONE.secret, 1 << 18).unwrap().collect();
    let scores = ensemble.evaluate(&ONE.keys, &images).unwrap().to_bytes(&ONE.keys).unwrap();
    Exchange { images, chunks, scores, keys: ONE.keys.to_bytes().to_vec() }
});

/// What each decoder says of `bytes`.
fn errors(bytes: &[u8]) -> [Option<Error>; 3] {
    [
        EvaluationKeys::from_bytes(bytes, &ONE.params).err(),
        Collector::new(&ONE.keys, 2).unwrap().accept(&ONE.keys, bytes).err(),
        EncryptedScores::from_bytes(bytes, &ONE.secret, &EXCHANGE.images).err(),
    ]
}

fn fault(error: Error) -> Fault {
    match error {
        Error::Bytes { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

#[test]
fn what_was_written_is_read() {
    let keys = EvaluationKeys::from_bytes(&EXCHANGE.keys, &ONE.params).unwrap();
    assert_eq!(EXCHANGE.keys.len(), EvaluationKeys::bytes_len(&ONE.params));
    assert_eq!(keys.to_bytes()[..], EXCHANGE.keys[..]);
    let mut collector = Collector::new(&keys, 2).unwrap();
    assert_eq!(collector.progress(), (0, 2));
    for chunk in &EXCHANGE.chunks {
        collector.accept(&keys, chunk).unwrap();
    }
    let images = collector.finish().unwrap();
    assert_eq!(images.batch(), EXCHANGE.images.batch());
    let networks = [network(&mut rng(1), TINY, [3; 3], [3; 3])];
    let ensemble = EncryptedEnsemble::new(&ONE.params, &networks).unwrap();
    let bytes = ensemble.evaluate(&keys, &images).unwrap().to_bytes(&keys).unwrap();
    assert_eq!(bytes.len(), EncryptedScores::bytes_len(&ONE.params, 1));
    assert_eq!(bytes, EXCHANGE.scores, "keys and images that were read compute the same");
    let scores = EncryptedScores::from_bytes(&bytes, &ONE.secret, &EXCHANGE.images).unwrap();
    let expected = [[1, 2], [3, 4]].map(|image| networks[0].evaluate(&image).unwrap().output[0]);
    assert_eq!(ONE.secret.decrypt(&scores).unwrap().values, expected);
}

#[test]
fn flipped_bits_are_found() {
    let all = [&EXCHANGE.keys, &EXCHANGE.chunks[0], &EXCHANGE.scores];
    for (which, bytes) in all.into_iter().enumerate() {
        assert!(errors(bytes)[which].is_none());
        let spread = (160..bytes.len() * 8).step_by(bytes.len() / 3 * 8 + 13);
        for bit in (0..160 * 8).step_by(7).chain(spread).chain([bytes.len() * 8 - 1]) {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(errors(&bytes)[which].is_some(), "bit {bit} of {which}");
        }
    }
}

#[test]
fn cut_and_extended_bytes_are_refused() {
    let all = [&EXCHANGE.keys, &EXCHANGE.chunks[0], &EXCHANGE.scores];
    for (which, bytes) in all.into_iter().enumerate() {
        for end in (0..110).chain([bytes.len() / 2, bytes.len() - 1]) {
            let [mut a, mut b, mut c] = errors(&bytes[..end]);
            let error = [&mut a, &mut b, &mut c][which].take().unwrap();
            assert!(matches!(fault(error), Fault::Truncated { got, .. } if got == end), "{end} of {which}");
        }
        let longer = [&bytes[..], &[0]].concat();
        let [a, b, c] = errors(&longer);
        let error = [a, b, c].into_iter().nth(which).flatten().unwrap();
        assert_eq!(fault(error), Fault::Trailing { extra: 1 });
    }
}

#[test]
fn kinds_parameters_and_keys_are_told_apart() {
    let [keys, chunk, scores] = [&EXCHANGE.keys, &EXCHANGE.chunks[0], &EXCHANGE.scores];
    let kind = |error: Option<Error>| matches!(fault(error.unwrap()), Fault::Kind { .. });
    let [a, b, c] = errors(chunk);
    assert!(kind(a) && b.is_none() && kind(c));
    assert!(kind(errors(scores)[0].take()) && kind(errors(keys)[1].take()));

    assert!(matches!(EvaluationKeys::from_bytes(keys, &TWO.params), Err(Error::OtherParams { .. })));
    let other = Client::new(ParamSet::Bfv8192x45, 9);
    let read = EncryptedScores::from_bytes(scores, &other.secret, &EXCHANGE.images);
    assert_eq!(fault(read.unwrap_err()), Fault::Tag, "another key has another tag");
    let error = Collector::new(&other.keys, 2).unwrap().accept(&other.keys, chunk).unwrap_err();
    assert_eq!(fault(error), Fault::Tag);
    let again = ONE.secret.encrypt(&[1, 2, 3, 4], 2).unwrap();
    assert!(matches!(EncryptedScores::from_bytes(scores, &ONE.secret, &again), Err(Error::OtherBatch)));
}

#[test]
fn chunks_out_of_order_or_of_another_batch_change_nothing() {
    let [first, second] = &EXCHANGE.chunks[..] else { panic!("two chunks") };
    let again = ONE.secret.encrypt(&[1, 2, 3, 4], 2).unwrap();
    let other: Vec<_> = again.chunks(&ONE.secret, 1 << 18).unwrap().collect();
    let mut collector = Collector::new(&ONE.keys, 2).unwrap();
    let order = |result: Result<(), Error>| matches!(result, Err(Error::ChunkOrder { .. }));
    assert!(order(collector.accept(&ONE.keys, second)));
    collector.accept(&ONE.keys, first).unwrap();
    assert!(order(collector.accept(&ONE.keys, first)), "twice the same");
    assert!(matches!(collector.accept(&ONE.keys, &other[1]), Err(Error::OtherBatch)));
    assert_eq!(collector.progress(), (1, 2));
    collector.accept(&ONE.keys, second).unwrap();
    assert!(collector.accept(&ONE.keys, second).is_err(), "one too many");
    assert!(collector.finish().is_ok());

    let started = Collector::new(&ONE.keys, 2).unwrap();
    assert!(matches!(started.finish(), Err(Error::Incomplete { got: 0, expected: 2 })));
    let mut larger = Collector::new(&ONE.keys, 3).unwrap();
    assert!(matches!(fault(larger.accept(&ONE.keys, first).unwrap_err()), Fault::Field { field: "items", got: 2 }));
}

#[test]
fn a_chunk_never_exceeds_its_bound() {
    let images = TWO.secret.encrypt(&[1; 35], 5).unwrap();
    let bound = 500_000;
    let chunks: Vec<_> = images.chunks(&TWO.secret, bound).unwrap().collect();
    assert!(chunks.iter().all(|chunk| chunk.len() <= bound) && chunks.len() == 6, "two a chunk, five a lane");
    assert!(matches!(images.chunks(&TWO.secret, 1000).err(), Some(Error::Count { .. })));
    assert!(matches!(images.chunks(&ONE.secret, bound).err(), Some(Error::OtherKey { .. })));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(errors(&bytes).iter().all(Option::is_some));
    }

    /// With a true head, so that what lies behind it is reached.
    #[test]
    fn arbitrary_bodies_are_refused(which in 0_usize..3, from in 0_usize..200, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let source = [&EXCHANGE.keys, &EXCHANGE.chunks[0], &EXCHANGE.scores][which];
        let bytes = [&source[..from], &body].concat();
        prop_assert!(errors(&bytes).iter().all(Option::is_some));
    }
}

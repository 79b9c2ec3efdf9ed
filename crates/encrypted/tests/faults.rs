//! The faults that were seen in `fhe` 0.1.1, each shown on it, and what this crate does in its place.
//! What is not shown on it (residues out of range, damage) is in `hostile.rs`.

#![allow(clippy::unwrap_used, reason = "clippy exempts only the test functions themselves")]

mod common;

use std::{fmt, panic::catch_unwind, sync::Arc};

use cleave_encrypted::{EncryptedEnsemble, Error, Params};
use common::{ONE, SMALL, TWO, network, pixels, rng, signed};
use fhe::bfv::{self, BfvParameters, BfvParametersBuilder, Encoding, Plaintext};
use fhe_traits::{DeserializeParametrized, FheDecoder, FheDecrypter, FheEncoder, FheEncrypter, Serialize};

const MODULI: [u64; 4] =
    [18_014_398_508_400_641, 18_014_398_508_138_497, 18_014_398_507_892_737, 18_014_398_507_794_433];
const PLAINTEXT: u64 = 35_184_371_613_697;

fn theirs(degree: usize, moduli: &[u64], plaintext: u64) -> Arc<BfvParameters> {
    let mut builder = BfvParametersBuilder::new();
    builder.set_degree(degree).set_moduli(moduli).set_plaintext_modulus(plaintext).build_arc().unwrap()
}

#[test]
fn plaintext_moduli_above_a_ciphertext_modulus_are_refused() {
    let moduli = [MODULI[1], MODULI[2], MODULI[3]];
    let values = [MODULI[0] - 1, MODULI[0] - 2];
    let there = catch_unwind(|| {
        let parameters = theirs(8192, &moduli, MODULI[0]);
        let mut rng = rand_09::rng();
        let key = bfv::SecretKey::random(&parameters, &mut rng);
        let plain = Plaintext::try_encode(&values[..], Encoding::poly(), &parameters).unwrap();
        let cipher: bfv::Ciphertext = key.try_encrypt(&plain, &mut rng).unwrap();
        Vec::<u64>::try_decode(&key.try_decrypt(&cipher).unwrap(), Encoding::poly()).unwrap()
    });
    assert!(there.is_err() || there.is_ok_and(|back| back[..2] != values), "there it decrypts wrong, or overflows");

    let error = Params::new(8192, &moduli, &[MODULI[0]]).unwrap_err();
    assert!(matches!(error, Error::PlaintextTooLarge { .. }), "{error}");
}

#[test]
fn parameters_outside_of_the_table_are_refused() {
    let mut builder = BfvParametersBuilder::new();
    builder.set_degree(8192).set_moduli_sizes(&[54; 5]).set_plaintext_modulus(PLAINTEXT);
    let five = builder.build_arc().unwrap().moduli().to_vec();
    theirs(1024, &MODULI, PLAINTEXT);

    let error = Params::new(8192, &five, &[PLAINTEXT]).unwrap_err();
    assert!(matches!(error, Error::BeyondTable { got: 270, limit: 218, .. }), "{error}");
    let error = Params::new(1024, &MODULI, &[PLAINTEXT]).unwrap_err();
    assert!(matches!(error, Error::BeyondTable { got: 216, limit: 27, .. }), "{error}");
    for degree in [0, 16, 512, 8191, 65536, usize::MAX] {
        assert!(matches!(Params::new(degree, &MODULI, &[PLAINTEXT]), Err(Error::Degree { .. })), "{degree}");
    }
}

#[test]
fn moduli_of_the_wrong_form_are_refused() {
    let new = |moduli: &[u64], plaintexts: &[u64]| Params::new(8192, moduli, plaintexts).unwrap_err();
    let modulus = |error| matches!(error, Error::Modulus { .. });
    assert!(modulus(new(&[MODULI[0], MODULI[1], MODULI[1]], &[PLAINTEXT])), "twice the same");
    assert!(modulus(new(&[MODULI[0], MODULI[1], MODULI[2] - 2], &[PLAINTEXT])), "no prime of the form");
    assert!(modulus(new(&MODULI, &[PLAINTEXT - 2])) && modulus(new(&MODULI, &[0])) && modulus(new(&[1; 4], &[1])));
    assert!(modulus(new(&[u64::MAX; 3], &[PLAINTEXT])));
    for (moduli, plaintexts) in [(&MODULI[..2], &[PLAINTEXT][..]), (&MODULI, &[]), (&MODULI, &[PLAINTEXT; 3])] {
        assert!(matches!(new(moduli, plaintexts), Error::ModulusCount { .. }));
    }
}

#[test]
fn unequal_parameters_and_levels_are_errors() {
    let [a, b] = [theirs(8192, &MODULI, PLAINTEXT), theirs(8192, &MODULI, PLAINTEXT)];
    let zero = |parameters| {
        let plain = Plaintext::zero(Encoding::poly(), parameters).unwrap();
        let cipher: bfv::Ciphertext =
            bfv::SecretKey::random(parameters, &mut rand_09::rng()).try_encrypt(&plain, &mut rand_09::rng()).unwrap();
        cipher
    };
    let (first, second) = (zero(&a), zero(&b));
    let mut lower = first.clone();
    lower.switch_down().unwrap();
    assert!(catch_unwind(|| &first + &second).is_err(), "there unequal parameters panic");
    assert!(catch_unwind(|| &first + &lower).is_err(), "and so do unequal levels");

    // Here a level is a part of the type: images are at the first, scores at the last.
    let network = network(&mut common::rng(1), SMALL, [1; 3], [1; 3]);
    let images = TWO.secret.encrypt(&signed(&pixels(&mut common::rng(2), 1, SMALL)), 36).unwrap();
    let ensemble = EncryptedEnsemble::new(&ONE.params, std::slice::from_ref(&network)).unwrap();
    assert!(matches!(ensemble.evaluate(&ONE.keys, &images), Err(Error::OtherParams { .. })));
    assert!(matches!(ensemble.evaluate(&TWO.keys, &images), Err(Error::OtherParams { .. })));
    let own = EncryptedEnsemble::new(&TWO.params, &[network]).unwrap();
    let scores = own.evaluate(&TWO.keys, &images).unwrap();
    assert!(matches!(ONE.secret.decrypt(&scores), Err(Error::OtherParams { .. })));
    let stranger = common::Client::new(cleave_encrypted::ParamSet::Bfv8192x40x2, 5);
    assert!(matches!(stranger.secret.decrypt(&scores), Err(Error::OtherKey { .. })));
    assert!(matches!(own.evaluate(&stranger.keys, &images), Err(Error::OtherKey { .. })));
    let other = TWO.secret.encrypt(&[1; 35], 35).unwrap();
    assert!(matches!(own.evaluate(&TWO.keys, &other), Err(Error::Count { .. })));
}

#[test]
fn values_out_of_range_are_errors() {
    let parameters = theirs(8192, &MODULI, PLAINTEXT);
    let beyond = [PLAINTEXT as i64];
    let plain = Plaintext::try_encode(&beyond[..], Encoding::poly(), &parameters).unwrap();
    assert_eq!(Vec::<u64>::try_decode(&plain, Encoding::poly()).unwrap()[0], 0, "there it is reduced");

    let largest = ONE.params.largest() as i64;
    assert!(ONE.secret.encrypt(&[largest, -largest], 1).is_ok());
    for value in [largest + 1, -largest - 1, i64::MIN, i64::MAX] {
        let error = ONE.secret.encrypt(&[0, value], 1).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { index: 1, .. }), "{error}");
    }
    assert!(matches!(ONE.secret.encrypt(&[], 1), Err(Error::Count { .. })));
    assert!(matches!(ONE.secret.encrypt(&[1; 3], 2), Err(Error::Count { .. })));
    assert!(matches!(ONE.secret.encrypt(&[1; 8193], 1), Err(Error::Count { .. })));
    assert!(matches!(ONE.secret.encrypt(&[1], 0), Err(Error::Count { .. })));
    let network = network(&mut rng(1), SMALL, [1; 3], [1; 3]);
    assert!(matches!(network.evaluate(&[16; 36]), Err(Error::OutOfRange { index: 0, min: 0, max: 15 })));
}

/// Compiles only if a type lacks a trait: with the trait, the second method fits as well and
/// the compiler cannot choose.
macro_rules! assert_lacks {
    ($type:ty: $($lacked:path),+) => {$({
        trait Ambiguous<A> {
            fn probe() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct Has;
        impl<T: ?Sized + $lacked> Ambiguous<Has> for T {}
        <$type as Ambiguous<_>>::probe();
    })+};
}

#[test]
fn secret_keys_are_not_printed_copied_or_serialised() {
    let theirs = format!("{:?}", bfv::SecretKey::random(&theirs(1024, &MODULI, PLAINTEXT), &mut rand_09::rng()));
    assert!(theirs.contains("coeffs"), "there Debug prints the coefficients");
    assert_lacks!(cleave_encrypted::SecretKey: fmt::Debug, fmt::Display, Clone, PartialEq, serde::Serialize);
    let printed = format!("{:?}", ONE.keys);
    assert!(printed.len() < 300, "neither tag nor residues: {printed}");
}

#[test]
fn changed_bytes_are_errors() {
    let parameters = theirs(8192, &MODULI, PLAINTEXT);
    let key = bfv::SecretKey::random(&parameters, &mut rand_09::rng());
    let plain = Plaintext::zero(Encoding::poly(), &parameters).unwrap();
    let cipher: bfv::Ciphertext = key.try_encrypt(&plain, &mut rand_09::rng()).unwrap();
    let mut bytes = cipher.to_bytes();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let changed = bfv::Ciphertext::from_bytes(&bytes, &parameters).unwrap();
    assert_ne!(changed, cipher, "there nobody notices");

    let images = ONE.secret.encrypt(&[1], 1).unwrap();
    let mut chunk = images.chunks(&ONE.secret, 1 << 18).unwrap().next().unwrap();
    let middle = chunk.len() / 2;
    chunk[middle] ^= 1;
    let mut collector = cleave_encrypted::Collector::new(&ONE.keys, 1).unwrap();
    assert!(matches!(collector.accept(&ONE.keys, &chunk), Err(Error::Bytes { .. })));
}

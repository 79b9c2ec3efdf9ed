//! Holds the crate against `vectors.json`, which `reference.py` computed without it.
//!
//! These numbers never change: a key made today has to open the same model later.

#![allow(clippy::unwrap_used, reason = "clippy exempts only the test functions themselves")]

use std::num::NonZeroU32;

use cleave_secrets::{Cost, Domain, KeyId, Label, Secret, open};
use data_encoding::HEXLOWER;
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Vectors {
    streams: Vec<StreamVector>,
    files: Vec<FileVector>,
}

#[derive(Deserialize)]
struct StreamVector {
    secret: String,
    id: KeyId,
    purpose: String,
    numbers: Vec<u64>,
    words: Vec<u32>,
    mebibyte_sha256: String,
    five_bytes: String,
    word_after_five_bytes: u32,
    below: Vec<(NonZeroU32, u32)>,
    permutations: Vec<Vec<u32>>,
    signs: Vec<Vec<bool>>,
}

#[derive(Deserialize)]
struct FileVector {
    payload: String,
    key: Option<KeyId>,
    purpose: String,
    passphrase: Option<String>,
    #[serde(flatten)]
    cost: Option<Cost>,
    text: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).unwrap()
}

#[test]
fn streams_are_what_they_are_documented_to_be() {
    for vector in vectors().streams {
        let secret = Secret::from_bytes(bytes(&vector.secret).as_slice().try_into().unwrap());
        let fresh = || secret.stream(Domain::new(&vector.purpose, &vector.numbers));
        assert_eq!(secret.id(), vector.id);

        let mut stream = fresh();
        assert_eq!(vector.words.iter().map(|_| stream.word()).collect::<Vec<_>>(), vector.words);

        let mut mebibyte = vec![0; 1 << 20];
        fresh().fill(&mut mebibyte);
        assert_eq!(HEXLOWER.encode(&Sha256::digest(&mebibyte)), vector.mebibyte_sha256);

        let (mut stream, mut five) = (fresh(), [0; 5]);
        stream.fill(&mut five);
        assert_eq!(five.as_slice(), bytes(&vector.five_bytes));
        assert_eq!(stream.word(), vector.word_after_five_bytes);

        let mut stream = fresh();
        for (bound, expected) in vector.below {
            assert_eq!(stream.below(bound), expected, "below {bound}");
        }
        let mut stream = fresh();
        for expected in vector.permutations {
            assert_eq!(stream.permutation(expected.len() as u32), expected);
        }
        let mut stream = fresh();
        for expected in vector.signs {
            assert_eq!(stream.balanced_signs(expected.len() as u32), expected);
        }
    }
}

#[test]
fn files_of_version_1_open() {
    for vector in vectors().files {
        let label = Label::read(vector.text.as_bytes()).unwrap();
        assert_eq!(label, Label { purpose: vector.purpose.clone(), key: vector.key, sealed: vector.cost });
        let contents = open(vector.text.as_bytes(), &vector.purpose, vector.passphrase.as_deref()).unwrap();
        assert_eq!(contents.payload(), bytes(&vector.payload));
        assert_eq!(contents.key(), vector.key);
        assert_eq!(contents.secret().is_ok(), vector.key.is_some());
    }
}

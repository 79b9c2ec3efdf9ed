//! Key files that are cut, changed, made up or made to do harm. Each gives an error, none a panic,
//! and no message repeats what must stay secret.

#![allow(clippy::unwrap_used, reason = "clippy exempts only the test functions themselves")]

use cleave_secrets::{Contents, Cost, Error, Label, MAX_PAYLOAD, Protection, Secret, open, seal};
use proptest::prelude::*;
use serde_json::{Value, json};

const PURPOSE: &str = "test";
const PASSPHRASE: &str = "correct horse battery staple";
const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
const SEALED: Protection<'_> = Protection::Passphrase { passphrase: PASSPHRASE, cost: CHEAP };
const METHOD: &str = "argon2id-xchacha20poly1305";
/// Of 32 times 0xa5, in hex and base64.
const SPELLINGS: [&str; 2] = ["a5a5a5a5", "paWlpaWl"];

fn secret() -> Secret {
    Secret::from_bytes(&[0xa5; 32])
}

fn sealed() -> Vec<u8> {
    seal(&(&secret()).into(), PURPOSE, SEALED).unwrap().to_vec()
}

fn clear() -> Vec<u8> {
    seal(&(&secret()).into(), PURPOSE, Protection::ClearText).unwrap().to_vec()
}

/// The error that `text` gives; its message must repeat neither secret nor passphrase.
#[track_caller]
fn refused(text: &[u8], passphrase: Option<&str>) -> Error {
    let error = open(text, PURPOSE, passphrase).err().unwrap();
    let messages = format!("{error} {error:?}");
    let told = SPELLINGS.into_iter().chain([PASSPHRASE]).find(|secret| messages.contains(secret));
    assert!(told.is_none(), "{messages}");
    error
}

/// The sealed file with `value` at `pointer`.
fn edited(pointer: &str, value: Value) -> Vec<u8> {
    let mut file: Value = serde_json::from_slice(&sealed()).unwrap();
    *file.pointer_mut(pointer).unwrap() = value;
    serde_json::to_vec(&file).unwrap()
}

#[test]
fn every_flipped_bit_of_a_sealed_file_is_found() {
    let text = sealed();
    assert!(open(&text, PURPOSE, Some(PASSPHRASE)).is_ok());
    for bit in 0..text.len() * 8 {
        let mut text = text.clone();
        text[bit / 8] ^= 1 << (bit % 8);
        refused(&text, Some(PASSPHRASE));
        let _ = Label::read(&text); // may succeed: nothing in it is authenticated
    }
}

#[test]
fn every_flipped_bit_of_a_clear_file_is_found_except_in_its_note() {
    let text = clear();
    let note = text.windows(10).position(|window| window == b"NOT SEALED").unwrap();
    let note = note..note + "NOT SEALED: whoever can read this file has the secret".len();
    for bit in 0..text.len() * 8 {
        let mut text = text.clone();
        text[bit / 8] ^= 1 << (bit % 8);
        match open(&text, PURPOSE, None) {
            Ok(contents) => assert!(note.contains(&(bit / 8)) && contents.payload() == [0xa5; 32]),
            Err(_) => drop(refused(&text, None)),
        }
    }
}

#[test]
fn every_cut_is_found() {
    for (text, passphrase) in [(sealed(), Some(PASSPHRASE)), (clear(), None)] {
        for len in 0..text.len() - 1 {
            let error = refused(&text[..len], passphrase);
            assert!(matches!(error, Error::Truncated { got } if got == len), "{len}: {error}");
            assert!(Label::read(&text[..len]).is_err());
        }
        // Only the newline after the last brace may be missing.
        assert!(open(&text[..text.len() - 1], PURPOSE, passphrase).is_ok());
    }
}

#[test]
fn whatever_stands_in_the_header_is_bound() {
    let other = Secret::from_bytes(&[1; 32]).id().to_string();
    for (pointer, value) in [
        ("/key", json!(other)),
        ("/key", json!(null)),
        (&format!("/protection/{METHOD}/salt"), json!("00".repeat(16))),
        (&format!("/protection/{METHOD}/nonce"), json!("00".repeat(24))),
        (&format!("/protection/{METHOD}/cost/memory_kib"), json!(9)), // works on 8 KiB all the same
        (&format!("/protection/{METHOD}/cost/passes"), json!(2)),
        ("/payload", json!("")),
        ("/payload", json!("AAAA")),
    ] {
        let error = refused(&edited(pointer, value), Some(PASSPHRASE));
        assert!(matches!(error, Error::WrongPassphrase), "{pointer}: {error}");
    }
    // The purpose is compared first; asked for as it now says, it does not fit the payload.
    let text = edited("/purpose", json!("other"));
    assert!(matches!(refused(&text, Some(PASSPHRASE)), Error::OtherPurpose { .. }));
    assert!(matches!(open(&text, "other", Some(PASSPHRASE)), Err(Error::WrongPassphrase)));
}

#[test]
fn cost_is_bounded_before_anything_is_computed() {
    for (field, value) in [
        ("memory_kib", json!(u32::MAX)),
        ("memory_kib", json!((1 << 20) + 1)),
        ("memory_kib", json!(7)),
        ("passes", json!(0)),
        ("passes", json!(17)),
        ("passes", json!(u32::MAX)),
        ("lanes", json!(0)),
        ("lanes", json!(2)), // would need 16 KiB
        ("lanes", json!(u32::MAX)),
    ] {
        let error = refused(&edited(&format!("/protection/{METHOD}/cost/{field}"), value), Some(PASSPHRASE));
        assert!(matches!(error, Error::Cost { .. }), "{field}: {error}");
    }
    for value in [json!(-1), json!(8.0), json!(1u64 << 40), json!("8"), json!(null), json!([8])] {
        let error = refused(&edited(&format!("/protection/{METHOD}/cost/memory_kib"), value), Some(PASSPHRASE));
        assert!(matches!(error, Error::NotAKeyFile { .. }), "{error}");
    }
}

#[test]
fn fields_that_cannot_be_are_named() {
    for (pointer, value) in [
        ("/purpose", json!("")),
        ("/purpose", json!("x".repeat(65))),
        ("/purpose", json!("töst")),
        ("/version", json!(0)),
        ("/payload", json!("A")),
        ("/payload", json!("AA=A")),
        ("/payload", json!("AB==")), // bits that are not used must be zero
        (&format!("/protection/{METHOD}/salt"), json!("00".repeat(15))),
        (&format!("/protection/{METHOD}/salt"), json!("AA".repeat(16))),
        (&format!("/protection/{METHOD}/nonce"), json!("zz".repeat(24))),
    ] {
        let text = edited(pointer, value);
        let asked = Label::read(&text).map_or(PURPOSE.into(), |label| label.purpose);
        let error = open(&text, &asked, Some(PASSPHRASE)).err().unwrap();
        assert!(matches!(error, Error::Field { field, .. } if pointer.ends_with(field)), "{pointer}: {error}");
    }
}

#[test]
fn later_versions_are_told_from_rubbish() {
    let later = br#"{"version": 2, "format": "cleave key file", "new": {"deep": [1, 2, {"a": "b"}]}}"#;
    for text in [&edited("/version", json!(2)), &later[..]] {
        assert!(matches!(refused(text, None), Error::NewerVersion { got: 2, newest: 1 }));
    }
    let deep = format!(r#"{{"format": "cleave key file", "version": {}"#, "[".repeat(100_000));
    let repeated = String::from_utf8(sealed()).unwrap().replacen("\"version\": 1", "\"version\": 1, \"version\": 1", 1);
    let escaped = String::from_utf8(sealed()).unwrap().replacen("\"test\"", "\"t\\u0065st\"", 1);
    let texts = [
        &b"{}"[..],
        b"null",
        b"\0",
        b"-----BEGIN PRIVATE KEY-----",
        br#"{"format": "other", "version": 1}"#,
        deep.as_bytes(),
        repeated.as_bytes(),
        escaped.as_bytes(),
        &edited("/protection", json!({ "rot13": {} })),
        &edited("/protection", json!("none")),
    ];
    for text in texts {
        let error = refused(text, Some(PASSPHRASE));
        assert!(matches!(error, Error::NotAKeyFile { .. }), "{}: {error}", String::from_utf8_lossy(text));
    }
}

#[test]
fn passphrase_and_file_must_fit() {
    assert!(matches!(refused(&sealed(), None), Error::PassphraseNeeded));
    assert!(matches!(refused(&clear(), Some(PASSPHRASE)), Error::PassphraseNotNeeded));
    for wrong in ["correct horse battery stapl", "Correct horse battery staple", " correct horse battery staple"] {
        assert!(matches!(refused(&sealed(), Some(wrong)), Error::WrongPassphrase));
    }
    assert!(matches!(refused(&sealed(), Some("")), Error::PassphraseLength { got: 0, .. }));
    assert!(matches!(open(&sealed(), "other", Some(PASSPHRASE)), Err(Error::OtherPurpose { .. })));
}

#[test]
fn what_cannot_be_sealed_is_refused() {
    let contents = Contents::new(vec![1, 2, 3]);
    for purpose in ["", "tést", "a\"b", "a\\b", "a\nb", "a\u{1b}[31m", &"x".repeat(65)] {
        let error = seal(&contents, purpose, SEALED).unwrap_err();
        assert!(matches!(error, Error::Purpose { got } if got == purpose.len()), "{error}");
    }
    let empty = Protection::Passphrase { passphrase: "", cost: CHEAP };
    assert!(matches!(seal(&contents, PURPOSE, empty), Err(Error::PassphraseLength { got: 0, .. })));
    let dear = Protection::Passphrase { passphrase: PASSPHRASE, cost: Cost { passes: 100, ..CHEAP } };
    assert!(matches!(seal(&contents, PURPOSE, dear), Err(Error::Cost { field: "passes", .. })));
}

#[test]
fn largest_payload_fits_and_more_is_refused() {
    let mut bytes = vec![7; MAX_PAYLOAD];
    for (protection, passphrase) in [(SEALED, Some(PASSPHRASE)), (Protection::ClearText, None)] {
        let text = seal(&Contents::new(bytes.clone()), PURPOSE, protection).unwrap();
        assert!(open(&text, PURPOSE, passphrase).unwrap().payload() == bytes);
    }
    bytes.push(7);
    assert!(matches!(seal(&Contents::new(bytes), PURPOSE, SEALED), Err(Error::TooLarge { what: "payload", .. })));
    let endless = vec![b' '; MAX_PAYLOAD * 2];
    assert!(matches!(refused(&endless, None), Error::TooLarge { what: "file", .. }));
}

proptest! {
    #[test]
    fn rubbish_is_refused(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        refused(&text, Some(PASSPHRASE));
        refused(&text, None);
        prop_assert!(Label::read(&text).is_err());
    }

    #[test]
    fn rubbish_within_a_file_is_refused(at in any::<prop::sample::Index>(), rubbish in proptest::collection::vec(any::<u8>(), 1..40)) {
        let mut text = sealed();
        let at = at.index(text.len() - rubbish.len());
        text[at..at + rubbish.len()].copy_from_slice(&rubbish);
        match open(&text, PURPOSE, Some(PASSPHRASE)) {
            Ok(contents) => prop_assert_eq!(contents.payload(), &[0xa5; 32]), // one space for another
            Err(_) => drop(refused(&text, Some(PASSPHRASE))),
        }
    }

    #[test]
    fn what_is_sealed_opens(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        purpose in "[-A-Za-z0-9 _./]{1,64}",
        passphrase in "\\PC{1,40}",
    ) {
        let cases = [(Protection::Passphrase { passphrase: &passphrase, cost: CHEAP }, Some(passphrase.as_str())), (Protection::ClearText, None)];
        for (protection, passphrase) in cases {
            let text = seal(&Contents::new(bytes.clone()), &purpose, protection).unwrap();
            let opened = open(&text, &purpose, passphrase).unwrap();
            prop_assert_eq!(opened.payload(), &bytes);
            prop_assert_eq!(opened.key(), None);
        }
    }
}

//! A network under a key, from training to an answer.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{bad, good, images, serve};
use std::path::Path;

const PASSPHRASE: [&str; 2] = ["--passphrase-file", "words"];

/// A small trained ConvMixer, two keys and a pair that is locked with the first.
fn locked(folder: &Path) {
    let options = ["train", "--arch", "convmixer-8-1", "--size", "32", "--kernel", "3", "--out", "plain.safetensors"];
    let training = ["--data", "builtin", "--limit", "100", "--steps", "30", "--batch", "16", "--optimizer", "adam"];
    good(folder, &[&options[..], &training].concat());
    std::fs::write(folder.join("words"), "correct horse\n").unwrap();
    for key in ["a.key", "b.key"] {
        good(folder, &[&["key", "new", "--out", key][..], &PASSPHRASE].concat());
    }
    lock(folder, "plain.safetensors", "a.key", "");
}

fn lock(folder: &Path, model: &str, key: &str, prefix: &str) {
    let (front, back) = (format!("{prefix}front.safetensors"), format!("{prefix}back.safetensors"));
    let files = ["--out-front", &front, "--out-back", &back, "--name", "mixer"];
    good(folder, &[&["lock", model, "--key", key][..], &files, &PASSPHRASE].concat());
}

fn infer<'a>(front: &'a str, key: &'a str, address: &'a str) -> Vec<&'a str> {
    let pair = ["infer", "images", "--front", front, "--key", key, "--compare-whole", "plain.safetensors"];
    let connection = ["--connect", address, "--server-name", "localhost", "--keys", "keys", "--client", "ann"];
    [&pair[..], &connection, &PASSPHRASE].concat()
}

#[test]
fn three_parties_with_three_files_and_a_change_of_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    locked(path);
    images(path);
    good(path, &["keys", "--out", "keys", "--client", "ann"]);

    let serving = serve(path, "back.safetensors");
    let said = good(path, &infer("front.safetensors", "a.key", &serving.address));
    assert!(said.contains("0 of 40 labels differ"), "{said}");
    drop(serving);

    let pair = ["--front", "front.safetensors", "--back", "back.safetensors", "--from", "a.key", "--to", "b.key"];
    let files = ["--per-patch", "--out-front", "new-front.safetensors", "--out-back", "new-back.safetensors"];
    good(path, &[&["key", "rotate"][..], &pair, &files, &PASSPHRASE].concat());
    let serving = serve(path, "new-back.safetensors");
    let said = good(path, &infer("new-front.safetensors", "b.key", &serving.address));
    assert!(said.contains("0 of 40 labels differ"), "{said}");
    assert!(bad(path, 5, &infer("front.safetensors", "a.key", &serving.address)).contains("another pair"));
}

#[test]
fn keyed_images_are_files_that_the_network_under_the_key_takes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    locked(path);
    images(path);
    let keyed = ["encrypt-images", "images", "--front", "front.safetensors", "--key", "a.key", "--out", "keyed"];
    let said = good(path, &[&keyed[..], &PASSPHRASE].concat());
    assert!(said.contains("40 images in keyed"), "{said}");
    let original = cleave_data::Pixels::read(path.join("images/disc/0.png")).unwrap();
    let png = cleave_data::Pixels::read(path.join("keyed/disc/0.png")).unwrap();
    assert_eq!((png.width, png.height, png.channels), (32, 32, 3));
    assert_ne!(png.data, original.data);
    assert!(bad(path, 2, &[&keyed[..], &PASSPHRASE].concat()).contains("holds files already"));
}

#[test]
fn rubbish_leaves_no_half_of_a_pair() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    locked(path);
    let files = ["--out-front", "f", "--out-back", "b"];
    let try_lock = |code: i32, arguments: &[&str]| {
        let said = bad(path, code, &[&["lock"][..], arguments, &files].concat());
        assert!(!path.join("f").exists() && !path.join("b").exists(), "{said}");
        said
    };
    let words = &PASSPHRASE[..];
    assert!(try_lock(2, &[&["back.safetensors", "--key", "a.key"], words].concat()).contains("is locked already"));
    std::fs::write(path.join("wrong"), "incorrect horse").unwrap();
    let wrong = ["plain.safetensors", "--key", "a.key", "--passphrase-file", "wrong"];
    assert!(try_lock(3, &wrong).contains("wrong passphrase, or the file was altered"));
    let key = std::fs::read(path.join("a.key")).unwrap();
    std::fs::write(path.join("cut.key"), &key[..key.len() / 2]).unwrap();
    assert!(try_lock(3, &[&["plain.safetensors", "--key", "cut.key"], words].concat()).contains("cut short"));
    good(path, &["key", "new", "--clear", "--out", "open.key"]);
    let said = try_lock(3, &[&["plain.safetensors", "--key", "open.key"], words].concat());
    assert!(said.contains("passphrase"), "a key in the clear in place of a sealed one: {said}");
    common::train(path); // AlexNet, whose first convolution overlaps itself
    let said = try_lock(2, &[&["base.safetensors", "--key", "a.key"], words].concat());
    assert!(said.contains("cannot be locked") && said.contains("stride"), "{said}");
    let said = bad(path, 2, &["train", "--arch", "convmixer-8-1", "--size", "30", "--data", "builtin", "--out", "x"]);
    assert!(said.contains("patches of 4"), "{said}");
    assert!(bad(path, 3, &[&["key", "new", "--out", "a.key"], words].concat()).contains("is there already"));
    assert_eq!(std::fs::read(path.join("a.key")).unwrap(), key, "an old key stays");

    std::fs::create_dir(path.join("images")).unwrap();
    std::fs::write(path.join("images/x.png"), "no image").unwrap();
    let ask = ["infer", "images", "--front", "front.safetensors", "--keys", "keys", "--client", "ann"];
    assert!(bad(path, 2, &ask).contains("is of use only with the key"));
    let said = bad(path, 2, &[&ask[..], &["--key", "b.key"], words].concat());
    assert!(said.contains("was locked with the key"), "{said}");
}

#[test]
fn an_audit_of_a_locked_pair_finds_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    locked(path);
    let pair = ["audit", "--front", "front.safetensors", "--back", "back.safetensors", "--record", "audit.json"];
    let rest = [
        "--data",
        "builtin",
        "--limit",
        "200",
        "--effort",
        "quick",
        "--invert",
        "4",
        "--probe",
        "40",
        "--report",
        "audit.html",
    ];
    let defended = [&pair[..], &rest, &["--key", "a.key", "--defend", "gaussian:1"], &PASSPHRASE].concat();
    assert!(bad(path, 2, &defended).contains("--defend stands for a cut inside a network"));
    let missing = bad(path, 2, &[&pair[..], &rest].concat());
    assert!(missing.contains("is of use only with the key"), "{missing}");
    let said = good(path, &[&pair[..], &rest, &["--key", "a.key"], &PASSPHRASE].concat());
    assert!(said.contains("key from known images: mean SSIM 1.000"), "{said}");
    let page = std::fs::read_to_string(path.join("audit.html")).unwrap();
    assert!(page.contains("How soon the key is found"));

    let again = ["lock", "plain.safetensors", "--key", "a.key", "--name", "mixer", "--force", "--audit", "audit.json"];
    let files = ["--out-front", "front.safetensors", "--out-back", "back.safetensors"];
    let said = good(path, &[&again[..], &files, &PASSPHRASE].concat());
    assert!(said.contains("known-images"), "the manifest says what was tried: {said}");
    let policy = ["--policy", "no-recognisable-image"];
    let said = bad(path, 4, &[&again[..], &files, &policy, &PASSPHRASE].concat());
    assert!(said.contains("is not kept"), "{said}");
}

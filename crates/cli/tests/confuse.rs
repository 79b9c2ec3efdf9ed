//! A network with confusion neurons, from training to an answer.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{bad, good, images, serve};
use std::path::Path;

const PASSPHRASE: [&str; 2] = ["--passphrase-file", "words"];

/// A small trained network and the same with confusion neurons.
fn confused(folder: &Path) {
    common::train(folder);
    std::fs::write(folder.join("words"), "correct horse\n").unwrap();
    let files = ["--out", "wide.safetensors", "--key-out", "wide.key"];
    let measured = ["--data", "builtin", "--images", "16", "--proportion", "0.2", "--strategy", "mixed"];
    let said = good(folder, &[&["confuse", "base.safetensors"][..], &files, &measured, &PASSPHRASE].concat());
    assert!(said.contains("Eq. 1: scores move by") && said.contains("% without"), "{said}");
}

/// The bytes behind the manifest.
fn tensors(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + length..].to_vec()
}

#[test]
fn the_key_brings_back_every_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    confused(path);
    assert!(good(path, &["inspect", "wide.safetensors"]).contains("wrong without the key"));
    let strip = ["strip", "wide.safetensors", "--key", "wide.key", "--out", "back.safetensors"];
    good(path, &[&strip[..], &PASSPHRASE].concat());
    assert_eq!(tensors(&path.join("back.safetensors")), tensors(&path.join("base.safetensors")));
    let eval = |model, key: &[&str]| good(path, &[&["eval", model, "--data", "builtin"], key].concat());
    let with = [&["--key", "wide.key"][..], &PASSPHRASE].concat();
    assert_eq!(eval("wide.safetensors", &with), eval("base.safetensors", &[]));
    eval("wide.safetensors", &[]);
}

#[test]
fn training_on_with_the_key_keeps_the_positions_and_draws_other_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    confused(path);
    let further = ["train", "--from", "wide.safetensors", "--key", "wide.key", "--data", "builtin", "--out"];
    let steps = ["--steps", "2", "--batch", "8", "--eval-every", "0"];
    let anew = ["--strategy", "mixed"];
    good(path, &[&further[..], &["tuned.safetensors"], &steps, &anew, &PASSPHRASE].concat());
    let plain = ["train", "--from", "base.safetensors", "--data", "builtin", "--out", "expected.safetensors"];
    good(path, &[&plain[..], &steps].concat());
    let eval = ["eval", "tuned.safetensors", "--data", "builtin", "--key", "wide.key"];
    good(path, &[&eval[..], &PASSPHRASE].concat());
    let strip =
        |model, out| good(path, &[&["strip", model, "--key", "wide.key", "--out", out][..], &PASSPHRASE].concat());
    strip("tuned.safetensors", "plain.safetensors");
    let [tuned, expected] = ["plain", "expected"].map(|name| tensors(&path.join(format!("{name}.safetensors"))));
    assert_eq!(tuned, expected, "what was trained is the original, and it stands where it stood");
    let again = ["confuse", "plain.safetensors", "--key", "wide.key", "--out", "anew.safetensors"];
    good(path, &[&again[..], &anew, &PASSPHRASE].concat());
    assert!(bad(path, 2, &[&again[..], &PASSPHRASE].concat()).contains("name the --strategy again"));
    assert_ne!(tensors(&path.join("anew.safetensors")), tensors(&path.join("tuned.safetensors")));
    strip("anew.safetensors", "again.safetensors");
    assert_eq!(tensors(&path.join("again.safetensors")), tensors(&path.join("plain.safetensors")));
    let without = ["train", "--data", "builtin", "--key", "wide.key", "--out", "x"];
    assert!(bad(path, 2, &without).contains("add --from MODEL"));
    let both = ["train", "--from", "wide.safetensors", "--arch", "alexnet", "--data", "builtin", "--out", "x"];
    assert!(bad(path, 2, &both).contains("cannot be used with"));
}

#[test]
fn a_front_half_is_of_use_to_a_client_with_the_key_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    confused(path);
    images(path);
    good(path, &["keys", "--out", "keys", "--client", "ann"]);
    let files = ["--out-front", "front.safetensors", "--out-back", "back.safetensors", "--name", "model"];
    let cut = ["cut", "base.safetensors", "--cut", "3", "--accept-leak", "a test", "--confuse-front", "front.key"];
    let said = good(path, &[&cut[..], &files, &["--proportion", "0.2"], &PASSPHRASE].concat());
    assert!(said.contains("give it to clients, with the key"), "{said}");
    let serving = serve(path, "back.safetensors");
    let pair = ["infer", "images", "--front", "front.safetensors", "--compare-whole", "base.safetensors"];
    let connection = ["--connect", &serving.address, "--server-name", "localhost", "--keys", "keys", "--client", "ann"];
    let infer = |code: i32, key: &[&str]| {
        let arguments = [&pair[..], &connection, key, &PASSPHRASE].concat();
        if code == 0 { good(path, &arguments) } else { bad(path, code, &arguments) }
    };
    assert!(infer(0, &["--key", "front.key"]).contains("0 of 40 labels differ"));
    assert!(infer(2, &[]).contains("is of use only with the key"));
    assert!(infer(2, &["--key", "wide.key"]).contains("the key given is"));
    assert!(infer(3, &["--key", "base.safetensors"]).contains("not a key file"));
}

#[test]
fn rubbish_leaves_no_half_written_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    confused(path);
    let attempt = |code: i32, arguments: &[&str]| {
        let said = bad(path, code, &[arguments, &PASSPHRASE].concat());
        assert!(!path.join("x").exists() && !path.join("y").exists(), "{said}");
        said
    };
    let out = ["--out", "x", "--key-out", "y"];
    let confuse = |model: &'static str, rest: &[&'static str]| [&["confuse", model], rest, &out].concat();
    assert!(attempt(2, &confuse("wide.safetensors", &[])).contains("has confusion neurons"), "confused twice");
    for (proportion, reason) in [("0", "above 0"), ("-1", "above 0"), ("2", "at most 1"), ("0.00001", "is the least")] {
        assert!(attempt(2, &confuse("base.safetensors", &["--proportion", proportion])).contains(reason));
    }
    assert!(attempt(2, &confuse("base.safetensors", &["--search", "-1", "--data", "builtin"])).contains("the budget"));
    let tiny = ["--search", "0.000001", "--data", "builtin", "--images", "4"];
    assert!(attempt(2, &confuse("base.safetensors", &tiny)).contains("no channel would be inserted"));
    let same = ["confuse", "base.safetensors", "--out", "y", "--key-out", "y"];
    assert!(attempt(2, &same).contains("is named twice"));
    let key = std::fs::read(path.join("wide.key")).unwrap();
    let over = ["confuse", "base.safetensors", "--key", "wide.key", "--strategy", "samp", "--out", "wide.key"];
    assert!(attempt(2, &over).contains("is named twice"));
    assert_eq!(std::fs::read(path.join("wide.key")).unwrap(), key, "an old key stays");
    let open = ["cut", "base.safetensors", "--cut", "3", "--proportion", "0.1", "--out-front", "x", "--out-back", "y"];
    assert!(attempt(2, &open).contains("add --confuse-front"));
    let taken = ["confuse", "base.safetensors", "--out", "x", "--key-out", "wide.key"];
    assert!(attempt(3, &taken).contains("is there already"));
    let nowhere = ["confuse", "base.safetensors", "--out", "no/x", "--key-out", "y"];
    assert!(attempt(3, &nowhere).contains("no/x"));

    let strip = |model: &'static str, key: &'static str| ["strip", model, "--key", key, "--out", "x"];
    assert!(attempt(2, &strip("base.safetensors", "wide.key")).contains("has no confusion neurons"));
    let key = std::fs::read(path.join("wide.key")).unwrap();
    std::fs::write(path.join("cut.key"), &key[..key.len() / 2]).unwrap();
    assert!(attempt(3, &strip("wide.safetensors", "cut.key")).contains("cut short"));
    good(path, &[&["key", "new", "--out", "image.key"][..], &PASSPHRASE].concat());
    assert!(attempt(3, &strip("wide.safetensors", "image.key")).contains("choose the key file for this use"));
    let other = ["confuse", "base.safetensors", "--out", "other.safetensors", "--key-out", "other.key"];
    good(path, &[&other[..], &PASSPHRASE].concat());
    assert!(attempt(2, &strip("wide.safetensors", "other.key")).contains("was confused with the key"));
    std::fs::write(path.join("wrong"), "incorrect horse").unwrap();
    let wrong = ["strip", "wide.safetensors", "--key", "wide.key", "--out", "x", "--passphrase-file", "wrong"];
    assert!(bad(path, 3, &wrong).contains("wrong passphrase"));
    assert!(
        attempt(2, &["cut", "wide.safetensors", "--cut", "3", "--out-front", "x", "--out-back", "y"])
            .contains("has confusion")
    );
}

#[test]
fn an_audit_says_what_attacks_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    confused(path);
    let audit = ["audit-confused", "--data", "builtin", "--limit", "40", "--labelled", "8", "--steps", "2", "--record"];
    let audit = [&audit[..], &["audit.json", "--report", "audit.html"], &PASSPHRASE].concat();
    let wide = [&audit[..], &["wide.safetensors", "--key", "wide.key"]].concat();
    assert!(bad(path, 2, &[&wide[..], &["--resume"]].concat()).contains("leave --resume away"));
    std::fs::create_dir(path.join("audit.json.run")).unwrap();
    assert!(bad(path, 2, &wide).contains("add --resume"));
    let said = good(path, &[&wide[..], &["--resume"]].concat());
    assert!(!path.join("audit.json.run").exists(), "it is finished");
    assert!(said.contains("test images right with the key"), "{said}");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(path.join("audit.json")).unwrap()).unwrap();
    assert!(record["detections"].as_array().is_some_and(|detections| !detections.is_empty()));
    assert!(std::fs::read_to_string(path.join("audit.html")).unwrap().contains("<h1>"));
    let refused = bad(path, 2, &[&audit[..], &["base.safetensors", "--key", "wide.key"]].concat());
    assert!(refused.contains("has no confusion neurons"), "{refused}");
}

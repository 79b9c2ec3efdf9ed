//! Releases: what is written is read, and what was changed, cut, exchanged or made up is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy exempts only the test functions themselves")]

mod common;

use std::path::{Path, PathBuf};

use cleave_encrypted::{Error, ParamSet, Precision, Ranges, Release, ReleaseFault, levels, ranges};
use cleave_secrets::Existing;
use common::{SMALL, network, pixels, rng};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

fn release(members: usize) -> Release {
    let mut rng = rng(1);
    let networks: Vec<_> = (0..members).map(|_| network(&mut rng, SMALL, [31; 3], [9, 99, 1 << 70])).collect();
    Release {
        set: ParamSet::Bfv8192x40x2,
        shape: SMALL,
        scale: 1.0,
        classes: ["zero", "one", "two"].map(str::to_owned).into(),
        precision: Precision::default(),
        ranges: ranges(&networks, &pixels(&mut rng, 4, SMALL)).unwrap(),
        margin: 3,
        sources: (0..members).map(|number| format!("model {number}.safetensors")).collect(),
        networks,
    }
}

fn written(release: &Release) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ensemble.toml");
    release.write(&path, Existing::Keep).unwrap();
    (folder, path)
}

/// What is wrong, and with which file.
fn fault(path: &Path) -> (String, ReleaseFault) {
    match Release::read(path).unwrap_err() {
        Error::Release { path, fault } => (path.file_name().unwrap().to_str().unwrap().to_owned(), fault),
        other => panic!("{other}"),
    }
}

/// What is said of a list in which `from` stands as `to`.
fn edited(from: &str, to: &str) -> ReleaseFault {
    let (_folder, path) = written(&release(2));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    fault(&path).1
}

/// The field that is refused.
fn refused(fault: ReleaseFault) -> &'static str {
    match fault {
        ReleaseFault::Field { field, .. } => field,
        other => panic!("{other}"),
    }
}

#[test]
fn what_was_written_is_read() {
    let release = release(3);
    let (folder, path) = written(&release);
    assert_eq!(Release::read(&path).unwrap(), release);
    assert_eq!(release.ensemble().unwrap().shape(), SMALL);
    let mut names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["ensemble-1.json", "ensemble-2.json", "ensemble-3.json", "ensemble.toml"]);
    let again = release.write(&path, Existing::Keep);
    assert!(matches!(again, Err(Error::Write(cleave_secrets::Error::Exists { .. }))));
    let fewer = self::release(1);
    fewer.write(&path, Existing::Replace).unwrap();
    assert_eq!(Release::read(&path).unwrap(), fewer);
}

#[test]
fn every_cut_is_found() {
    let (_folder, path) = written(&release(1));
    let member = path.with_file_name("ensemble-1.json");
    for file in [&path, &member] {
        let bytes = std::fs::read(file).unwrap();
        for end in (0..bytes.len() - 1).step_by(7).chain([bytes.len() - 2]) {
            std::fs::write(file, &bytes[..end]).unwrap();
            let (name, fault) = fault(&path);
            assert_eq!(name, file.file_name().unwrap().to_str().unwrap(), "{end}: {fault}");
        }
        std::fs::write(file, bytes).unwrap();
    }
    Release::read(&path).unwrap();
}

#[test]
fn changed_and_exchanged_networks_are_found() {
    let (_folder, path) = written(&release(2));
    let [first, second] = ["ensemble-1.json", "ensemble-2.json"].map(|name| path.with_file_name(name));
    let bytes = std::fs::read(&first).unwrap();
    std::fs::copy(&second, &first).unwrap();
    assert!(matches!(fault(&path), (name, ReleaseFault::Hash { .. }) if name == "ensemble-1.json"));
    std::fs::write(&first, [&bytes[..], b"\n"].concat()).unwrap();
    assert!(matches!(fault(&path).1, ReleaseFault::Hash { .. }), "also where the JSON is the same");
    std::fs::remove_file(&first).unwrap();
    assert!(matches!(fault(&path).1, ReleaseFault::Io(_)));
    std::fs::create_dir(&first).unwrap();
    assert!(matches!(fault(&path).1, ReleaseFault::NotAFile));
}

#[test]
fn files_above_the_limit_are_not_read() {
    let (_folder, path) = written(&release(1));
    let member = std::fs::File::create(path.with_file_name("ensemble-1.json")).unwrap();
    member.set_len(1 << 40).unwrap(); // sparse
    assert!(matches!(fault(&path).1, ReleaseFault::TooLarge { got, limit } if got == 1 << 40 && limit == 1 << 25));
    std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(fault(&path).1, ReleaseFault::TooLarge { .. }));
}

/// A list that names this file, with its true hash, for its only network.
fn with_member(json: &serde_json::Value) -> ReleaseFault {
    let (_folder, path) = written(&release(1));
    let (member, list) = (path.with_file_name("ensemble-1.json"), std::fs::read_to_string(&path).unwrap());
    let hash = |text: &[u8]| data_encoding::HEXLOWER.encode(&Sha256::digest(text));
    let (old, new) = (hash(&std::fs::read(&member).unwrap()), serde_json::to_vec(json).unwrap());
    std::fs::write(&path, list.replace(&old, &hash(&new))).unwrap();
    std::fs::write(&member, &new).unwrap();
    fault(&path).1
}

#[test]
fn networks_that_do_not_fit_the_list_are_refused() {
    let network = &release(1).networks[0];
    let json = serde_json::to_value(network).unwrap();
    let changed = |pointer: &str, value: serde_json::Value| {
        let mut json = json.clone();
        *json.pointer_mut(pointer).unwrap() = value;
        with_member(&json)
    };
    let unusable = |fault| matches!(fault, ReleaseFault::Refused(error) if matches!(*error, Error::Network { .. }));
    assert!(unusable(changed("/shape/hidden", 6.into())));
    assert!(unusable(changed("/shape/kernel", 7.into())));
    assert!(unusable(changed("/layers/1/weights", serde_json::json!([1]))));
    assert!(unusable(changed("/layers/0/weights/0", 70_000.into())));
    assert!(matches!(changed("/layers/0/biases/0", "1e3".into()), ReleaseFault::Format { .. }));
    assert_eq!(refused(changed("/layers/0/weights/0", 32.into())), "weight of a network");
    assert_eq!(refused(changed("/max_pixel", 16.into())), "max_pixel of a network");
    assert_eq!(refused(changed("/scale", 2.0.into())), "scale of the networks");
    let mut narrow = network.clone();
    narrow.shape.width -= 1; // stride 2 leaves as many positions
    let narrow = serde_json::to_value(narrow).unwrap();
    assert_eq!(refused(with_member(&narrow)), "height and width");
}

#[test]
fn names_stay_in_their_folder() {
    let long = "x".repeat(129);
    for name in ["../ensemble-1.json", "/etc/passwd", "a/b.json", r"a\\b.json", "..", ".", "", "c:x", ".x", "-x", &long]
    {
        assert_eq!(refused(edited("ensemble-1.json", name)), "file", "{name}");
    }
    assert_eq!(refused(edited("ensemble-1.json", r"a\u001bb")), "file");
    assert_eq!(refused(edited("ensemble-2.json", "ensemble-1.json")), "file", "twice the same");
    assert_eq!(refused(edited("model 0", r"\u001b[2J")), "name of a class or source");
}

#[test]
fn unknown_sets_versions_and_fields_are_refused() {
    let error = edited("bfv-8192-40x2", "bfv-1024-1");
    assert!(matches!(&error, ReleaseFault::Refused(error) if matches!(**error, Error::UnknownSet { .. })), "{error}");
    assert!(matches!(edited("format = 1", "format = 2"), ReleaseFault::Version { got: 2, known: 1 }));
    assert!(matches!(edited("format = 1", "format = 1\nnew = 3"), ReleaseFault::Format { .. }));
    assert!(matches!(edited("max_pixel = 15", "max_pixel = 256"), ReleaseFault::Format { .. }));
    assert_eq!(refused(edited("format = 1\n", "")), "format");
    assert_eq!(refused(edited("\"grey\"", "\"rgb\"")), "channels");
    assert_eq!(refused(edited("height = 6", "height = 7")), "height and width");
    assert_eq!(refused(edited("\"one\"", "\"zero\"")), "classes");
    assert_eq!(refused(edited(", \"two\"", "")), "number of classes");
    assert_eq!(refused(edited("scale = 1.0", "scale = nan")), "scale of the networks");
    assert_eq!(refused(edited("images = 4", "images = 0")), "images in ranges");
    assert_eq!(refused(edited("sum = \"", "sum = \"-")), "ranges.sum");
    assert_eq!(refused(edited("max_weight = [31", "max_weight = [30")), "weight of a network");
}

#[test]
fn a_sum_that_the_set_does_not_hold_is_refused() {
    assert!(matches!(edited("margin_bits = 3", "margin_bits = 99"), ReleaseFault::Exceeds { margin: 99, .. }));
    assert!(matches!(edited("bfv-8192-40x2", "bfv-8192-45"), ReleaseFault::Exceeds { set: ParamSet::Bfv8192x45, .. }));
    let held = |sum, margin| {
        let release = release(1);
        Release { ranges: Ranges { sum, ..release.ranges }, margin, ..release }.check().is_ok()
    };
    let limit = ParamSet::Bfv8192x40x2.largest();
    assert!(held(limit, 0) && !held(limit + 1, 0));
    assert!(held(limit / 2, 1) && !held(limit / 2 + 1, 1));
}

#[test]
fn nothing_unusable_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |release: Release, name: &str| {
        let error = release.write(&folder.path().join(name), Existing::Replace).unwrap_err();
        assert!(matches!(error, Error::Release { .. }), "{error}");
    };
    refuse(Release { networks: vec![], sources: vec![], ..release(1) }, "a.toml");
    refuse(Release { sources: vec![], ..release(1) }, "a.toml");
    refuse(Release { networks: vec![release(1).networks.remove(0); 65], ..release(65) }, "a.toml");
    let mut unlike = release(2);
    unlike.networks[1].scale = 2.0;
    refuse(unlike, "a.toml");
    refuse(release(1), ".toml");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn levels_are_the_nearest() {
    let bytes: Vec<u8> = (0..=255).collect();
    for max in 1..=255 {
        let near = |byte: u8| (f64::from(byte) * f64::from(max) / 255.0).round() as u8;
        let expected: Vec<_> = bytes.iter().map(|&byte| near(byte)).collect();
        assert_eq!(levels(&bytes, max), expected, "{max}");
    }
}

//! Model files: what is written is read back, what is damaged is an error, what fails leaves the old file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use cleave_data::{Glyphs, Preparation};
use cleave_nets::{
    AlexNet, Architecture, Checkpoint, DenseNet, Device, Error, Header, ModelCard, Network, Role, SignalKind,
    SignalSpec, Training, device, read_manifest,
};
use std::path::Path;

fn flex() -> Device {
    device("flex").unwrap()
}

fn checkpoint(seed: u64) -> Checkpoint {
    let plain = AlexNet { size: 64, divisor: 32, ..AlexNet::default() }.architecture().unwrap();
    let architecture = plain.with_join(2, SignalSpec::new(SignalKind::Complement, 2)).unwrap();
    Checkpoint { glyphs: Some(Glyphs::drawn(1, &[0, 1], 3).unwrap()), ..of(architecture, 64, seed) }
}

fn of(architecture: Architecture, side: usize, seed: u64) -> Checkpoint {
    let card = ModelCard {
        header: Header::of(Role::Whole),
        architecture: architecture.clone(),
        classes: vec!["cat".into(), "dog".into()],
        preparation: Preparation::new(side, side, 3),
        training: Training::default(),
        defences: Vec::new(),
        confused: None,
    };
    let network = Network::random(architecture, seed, &flex()).unwrap();
    Checkpoint { card, network, glyphs: None }
}

fn saved(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("model.safetensors");
    checkpoint(1).save(&path).unwrap();
    path
}

#[test]
fn a_saved_network_comes_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = Checkpoint::load(&saved(folder.path()), &flex()).unwrap();
    let original = checkpoint(1);
    assert_eq!(loaded.card, original.card);
    assert!(loaded.glyphs == original.glyphs);
    assert_eq!(loaded.network.tensors().unwrap(), original.network.tensors().unwrap());
}

#[test]
fn branches_and_convolutions_without_bias_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let dense = DenseNet { size: 8, classes: 2, ..DenseNet::compact(10, 2).unwrap() }.architecture().unwrap();
    let original = of(dense, 8, 1);
    original.save(&path).unwrap();
    let loaded = Checkpoint::load(&path, &flex()).unwrap();
    assert_eq!(loaded.card, original.card);
    let tensors = loaded.network.tensors().unwrap();
    assert!(tensors.contains_key("1.branches.1.2.weight") && !tensors.contains_key("1.branches.1.2.bias"));
    assert_eq!(tensors, original.network.tensors().unwrap());
}

#[test]
fn every_truncation_and_every_flipped_bit_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = saved(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    let other = folder.path().join("damaged.safetensors");
    for length in (0..bytes.len()).step_by(997) {
        std::fs::write(&other, &bytes[..length]).unwrap();
        assert!(Checkpoint::load(&other, &flex()).is_err(), "cut at {length}");
    }
    for bit in (0..4000 * 8).step_by(61).chain((0..bytes.len() * 8).step_by(100_003)) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&other, &flipped).unwrap();
        assert!(Checkpoint::load(&other, &flex()).is_err(), "bit {bit}");
    }
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let mut tensors = checkpoint(1).network.tensors().unwrap();
    let bias = tensors.values_mut().next().unwrap();
    bias.values[1] = f32::NAN;
    let error = Network::from_tensors(checkpoint(1).card.architecture, tensors, &flex()).unwrap_err();
    assert!(matches!(error, Error::NotFinite { position: 1, .. }), "{error}");
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = saved(folder.path());
    let before = std::fs::read(&path).unwrap();
    let missing = folder.path().join("no-such-folder/model.safetensors");
    assert!(matches!(checkpoint(2).save(&missing), Err(Error::Io { action: "write", .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    checkpoint(2).save(&path).unwrap();
    assert_ne!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn foreign_and_newer_files_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/alexnet-64-16.safetensors");
    let error = Checkpoint::load(&foreign, &flex()).unwrap_err();
    assert!(error.to_string().contains("cleave import"), "{error}");
    let mut newer = checkpoint(1);
    newer.card.header.format = 99;
    let path = folder.path().join("newer.safetensors");
    newer.save(&path).unwrap();
    assert!(matches!(Checkpoint::load(&path, &flex()), Err(Error::Version { got: 99, .. })));
}

#[test]
fn the_manifest_is_read_without_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (header, manifest) = read_manifest(&saved(folder.path())).unwrap();
    assert_eq!(header.role, Role::Whole);
    assert_eq!(manifest["classes"][1], "dog");
}

#[test]
fn wrong_shapes_are_errors_before_burn_sees_them() {
    let network = checkpoint(1).network;
    assert!(matches!(network.infer(vec![0.0; 5], None, 1), Err(Error::Input { .. })));
    assert!(matches!(network.infer(vec![], None, 0), Err(Error::EmptyBatch)));
    assert!(matches!(network.infer(vec![0.0; 3 * 64 * 64], None, 1), Err(Error::Signal { got: None, .. })));
}

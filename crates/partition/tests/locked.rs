//! A locked pair is what its files say, or is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use cleave_data::Preparation;
use cleave_keyed::{Keying, Lock, Scramble};
use cleave_nets::{
    Checkpoint, ConvMixer, Device, Header, ModelCard, Network, Role, Training, read_checkpoint, write_checkpoint,
};
use cleave_partition::{BackHalf, Error, FrontHalf, Release, lock_pair, rekey_pair};
use cleave_secrets::Secret;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn device() -> Device {
    cleave_nets::device("flex").unwrap()
}

fn secret(seed: u8) -> Secret {
    Secret::from_bytes(&[seed; 32])
}

fn model() -> Checkpoint {
    let mixer = ConvMixer { size: 8, classes: 2, width: 4, depth: 1, kernel: 3, ..ConvMixer::default() };
    let network = Network::random(mixer.architecture().unwrap(), 1, &device()).unwrap();
    let card = ModelCard {
        header: Header::of(Role::Whole),
        architecture: network.architecture().clone(),
        classes: vec!["a".to_owned(), "b".to_owned()],
        preparation: Preparation::new(8, 8, 3).normalised([0.4, 0.5, 0.6], [0.2, 0.2, 0.3]),
        training: Training::default(),
        defences: Vec::new(),
        confused: None,
    };
    Checkpoint { card, network, glyphs: None }
}

fn scramble(seed: u8, keying: Keying) -> Scramble {
    let lock = Lock::of(model().network.architecture(), secret(seed).id(), keying).unwrap();
    Scramble::new(&secret(seed), &lock).unwrap()
}

fn written(release: &Release, folder: &Path) -> [PathBuf; 2] {
    let files = [folder.join("front"), folder.join("back")];
    release.write(&files[0], &files[1], true).unwrap();
    files
}

#[test]
fn the_front_half_has_no_weights_and_needs_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let [front, back] = written(&lock_pair(&model(), "m", &scramble(1, Keying::Shared)).unwrap(), folder.path());
    let (mut front, back) = (FrontHalf::load(&front, &device()).unwrap(), BackHalf::load(&back, &device()).unwrap());
    assert!(front.network().tensors().unwrap().is_empty());
    let image = vec![0.25; 192];
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    assert!(matches!(front.smash(image.clone(), &[0], &mut rng), Err(Error::KeyNeeded { .. })));
    assert!(matches!(front.unlock(&secret(2)), Err(Error::Keyed(cleave_keyed::Error::OtherKey { .. }))));
    front.unlock(&secret(1)).unwrap();
    let scores = back.answer(front.smash(image.clone(), &[0], &mut rng).unwrap()).unwrap();
    let plain = model();
    let prepared = front.manifest().preparation.renormalised(&image, &plain.card.preparation).unwrap();
    let expected = plain.network.infer(prepared, None, 1).unwrap();
    assert!(scores.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4), "{scores:?} and {expected:?}");
}

#[test]
fn halves_of_two_pairs_are_not_moved_to_another_key() {
    let folder = tempfile::tempdir().unwrap();
    let old = scramble(1, Keying::Shared);
    let [front, _] = written(&lock_pair(&model(), "m", &old).unwrap(), folder.path());
    let front = FrontHalf::load(&front, &device()).unwrap();
    let [_, back] = written(&lock_pair(&model(), "other", &old).unwrap(), folder.path());
    let back = BackHalf::load(&back, &device()).unwrap();
    let moved = rekey_pair(&front, &back, &old, &scramble(2, Keying::Shared));
    assert!(matches!(moved, Err(Error::OtherPair { .. })));
}

/// Changes the manifest of one half, or a weight, and writes it with hashes that are right.
fn altered(role: Role, keying: Keying, weight: bool, change: impl Fn(&mut Value)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let files = written(&lock_pair(&model(), "m", &scramble(1, keying)).unwrap(), folder.path());
    let file = &files[usize::from(role == Role::Back)];
    let (mut manifest, mut contents) = read_checkpoint::<Value>(file, role).unwrap();
    change(&mut manifest);
    if weight {
        contents.tensors.get_mut("0.bias").unwrap().values[0] += 1.0;
    }
    write_checkpoint(file, &contents, &manifest).unwrap();
    let error = match role {
        Role::Back => BackHalf::load(file, &device()).err(),
        _ => FrontHalf::load(file, &device()).err(),
    };
    error.map_or_else(|| panic!("it was taken"), |error| error.to_string())
}

#[test]
fn files_that_contradict_themselves_are_refused() {
    let same = |_: &mut Value| {};
    assert!(altered(Role::Back, Keying::Shared, true, same).contains("the hash"));
    let lock =
        |key: &'static str, value: Value| move |manifest: &mut Value| manifest["terms"]["lock"][key] = value.clone();
    assert!(altered(Role::Back, Keying::Shared, false, lock("keying", json!("per-patch"))).contains("its lock is"));
    assert!(altered(Role::Back, Keying::PerPatch, false, lock("keying", json!("shared"))).contains("its lock is"));
    assert!(altered(Role::Back, Keying::Shared, false, lock("patch", json!([2, 2]))).contains("its lock is"));
    for role in [Role::Front, Role::Back] {
        assert!(altered(role, Keying::Shared, false, lock("patch", json!([0, 4]))).contains("manifest"));
        let open = |manifest: &mut Value| manifest["terms"]["lock"] = Value::Null;
        let said = altered(role, Keying::Shared, false, open);
        assert!(said.contains(if role == Role::Front { "states the hash" } else { "no key at cut 0" }), "{said}");
        let inside = |manifest: &mut Value| manifest["terms"]["cut"]["layer"] = json!(2);
        assert!(altered(role, Keying::Shared, false, inside).contains("a key at cut 2"));
    }
}

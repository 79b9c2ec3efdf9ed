//! Attacks find the key of a locked pair, and nothing where there is nothing to find.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use cleave_audit::{
    Audit, AuditSettings, Auditor, Candidate, CutFindings, Judge, KeySettings, Silent, Subject, Target,
};
use cleave_data::{Dataset, LoadOptions, Loader, Preparation, Shapes};
use cleave_keyed::{Keying, Lock, Scramble, lock};
use cleave_nets::{ConvMixer, Network};
use cleave_partition::{Attack, Cut};
use cleave_secrets::Secret;
use std::sync::Arc;

/// Side of the images in pixels.
const SIDE: usize = 16;
const CLASSES: usize = 2;

fn loader(split: &str, images: usize) -> Loader {
    let dataset: Dataset = Shapes::new(CLASSES, SIDE, 5).unwrap().dataset(split, images);
    Loader::new(dataset, Preparation::new(SIDE, SIDE, 3), LoadOptions::training(16, 3)).unwrap()
}

fn network() -> Network {
    let mixer = ConvMixer { size: SIDE, classes: CLASSES, width: 8, depth: 1, kernel: 3, ..ConvMixer::default() };
    Network::random(mixer.architecture().unwrap(), 4, &cleave_nets::device("flex").unwrap()).unwrap()
}

/// An audit of a locked network with random weights, on drawn shapes.
fn audit(keying: Keying, images: usize) -> Audit {
    let (plain, preparation) = (network(), Preparation::new(SIDE, SIDE, 3));
    let secret = Secret::from_bytes(&[9; 32]);
    let at = Lock::of(plain.architecture(), secret.id(), keying).unwrap();
    let scramble = Arc::new(Scramble::new(&secret, &at).unwrap());
    let (locked, _) = lock(&plain, &preparation, &scramble).unwrap();
    let target = Target::new(locked.slice(0..0).unwrap(), locked, None, Vec::new(), &preparation);
    let candidate = Candidate {
        model: "random".to_owned(),
        cut: Cut::NOTHING,
        layer: "key".to_owned(),
        target: target.under_key(scramble),
        defences: Vec::new(),
        front_hash: "ab".to_owned(),
        check: None,
    };
    let settings = AuditSettings {
        seed: 3,
        invert: 4,
        probe: images,
        pictures: 1,
        attacks: vec![Attack::KnownImages, Attack::KeyedImages, Attack::WrongKeys, Attack::WhiteBox, Attack::Jacobian],
        key: KeySettings { wrong_keys: 5, wrong_key_images: 20, ..KeySettings::default() },
        ..AuditSettings::default()
    };
    let (attacker, tuning, private) = (loader("train", 600), loader("tuning", 8), loader("val", 300));
    let judge = Judge::new(plain, None, &preparation).unwrap();
    let auditor =
        Auditor { settings, attacker: &attacker, tuning: &tuning, private: &private, judge: &judge, folder: None };
    auditor.run(Subject::default(), &[candidate], &mut Silent).unwrap()
}

fn only(audit: &Audit) -> &CutFindings {
    let [found] = &audit.cuts[..] else { panic!("one candidate") };
    found
}

#[test]
fn one_key_for_all_patches_falls_to_known_images_and_to_keyed_ones() {
    let audit = audit(Keying::Shared, 300);
    let found = only(&audit);
    let key = found.key.as_ref().unwrap();
    let (known, keyed) = (key.known.last().unwrap(), key.keyed.last().unwrap());
    assert!(known.right > 0.95 && known.ssim > 0.95, "{known:?}");
    assert!(keyed.ssim > key.ssim + 0.2, "{keyed:?} against {} of the keyed images", key.ssim);
    assert_eq!((key.wrong_keys.len(), key.wrong_key_images), (5, 20));
    assert_eq!(key.pictures.len(), 1);
    assert_eq!(found.inversions.len(), 2, "nothing that needs the front half's weights is tried");
    assert!(found.visible.is_empty());
}

#[test]
fn a_key_for_each_patch_falls_as_one_for_all_does() {
    let audit = audit(Keying::PerPatch, 300);
    let key = only(&audit).key.as_ref().unwrap();
    let (known, keyed) = (key.known.last().unwrap(), key.keyed.last().unwrap());
    assert!(known.right > 0.95 && known.ssim > 0.95, "{known:?}");
    assert!(keyed.ssim > key.ssim + 0.2, "{keyed:?} against {} of the keyed images", key.ssim);
}

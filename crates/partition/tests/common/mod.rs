//! A small network, and a pair made of it.

#![allow(dead_code, reason = "each test file takes what it needs")]

use cleave_data::{Glyphs, Preparation};
use cleave_nets::{
    AlexNet, Checkpoint, Device, Header, ModelCard, Network, Role, SignalKind, SignalSpec, Training, device,
    read_checkpoint, write_checkpoint,
};
use cleave_partition::{Attack, AuditSummary, Cut, Offer, Sight, Tried, Worst};
use serde_json::Value;
use std::path::{Path, PathBuf};

pub(crate) fn flex() -> Device {
    device("flex").unwrap()
}

pub(crate) fn network(join: Option<usize>, size: usize, divisor: usize) -> Network {
    let plain = AlexNet { size, divisor, ..AlexNet::default() }.architecture().unwrap();
    let spec = SignalSpec::new(SignalKind::Complement, 2);
    let architecture = join.map_or(plain.clone(), |k| plain.with_join(k, spec).unwrap());
    Network::random(architecture, 11, &flex()).unwrap()
}

pub(crate) fn checkpoint(network: Network) -> Checkpoint {
    let input = network.input();
    let card = ModelCard {
        header: Header::of(Role::Whole),
        architecture: network.architecture().clone(),
        classes: vec!["cat".into(), "dog".into()],
        preparation: Preparation::new(input.height, input.width, 3),
        training: Training::default(),
        defences: Vec::new(),
        confused: None,
    };
    Checkpoint { card, network, glyphs: Some(Glyphs::drawn(1, &[0, 1], 3).unwrap()) }
}

/// A small network with a signal, which passes the check behind layer 2.
pub(crate) fn small() -> Checkpoint {
    checkpoint(network(Some(2), 64, 8))
}

pub(crate) fn images(count: usize) -> Vec<f32> {
    (0..count * 3 * 64 * 64).map(|index| (index as f32 * 0.7).sin()).collect()
}

/// Releases an offer into a folder; the two files.
pub(crate) fn write(offer: &Offer<'_>, folder: &Path) -> (PathBuf, PathBuf) {
    let (front, back) = (folder.join("front.safetensors"), folder.join("back.safetensors"));
    cleave_partition::release(offer).unwrap().write(&front, &back, true).unwrap();
    (front, back)
}

/// Writes a half again with one entry of its manifest changed, under a hash that fits.
pub(crate) fn forge(path: &Path, role: Role, pointer: &str, value: Value) {
    let (mut manifest, contents) = read_checkpoint::<Value>(path, role).unwrap();
    *manifest.pointer_mut(pointer).expect(pointer) = value;
    write_checkpoint(path, &contents, &manifest).unwrap();
}

/// An audit of the front half behind layer 2, in which no attack came far.
pub(crate) fn mild(front_hash: &str) -> AuditSummary {
    let worst = |attack: &str, value| Some(Worst { attack: attack.into(), value });
    AuditSummary {
        record: "ab".repeat(32),
        front_hash: front_hash.into(),
        cut: Cut::after(2).to_string(),
        defences: vec![],
        tried: Attack::ALL.map(|attack| Tried { attack, steps: 8 }).to_vec(),
        judged: 1000,
        images: 60,
        inversion: worst("decoder", 0.3),
        worst_ssim: Some(0.45),
        ssim_lead: Some(0.02),
        worst_ssim_lead: Some(0.05),
        explained: Some(0.2),
        signal_probe: worst("linear probe", 0.52),
        label_probe: worst("small probe", 0.53),
        label_guess: 0.5,
        signal_guess: Some(0.5),
        sight: Some(Sight { rank: 3000.0, of: 12288 }),
        traced: 8,
        dfil: Some(25.0),
        task_accuracy: 0.9,
    }
}

//! What a key costs: `cargo bench -p cleave-keyed` prints how fast images are keyed on one thread, and the time of a
//! network with one key, and with a key for each patch position, against the plain one. All take turns in one run, so
//! that a machine that slows down slows all.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people at a terminal")]

mod turns;

use cleave_data::Preparation;
use cleave_keyed::{Keying, Lock, Scramble, lock};
use cleave_nets::{ConvMixer, Network};
use cleave_secrets::Secret;
use std::hint::black_box;
use turns::medians;

/// Images that are keyed at once: 47 MiB of CIFAR-10's.
const KEYED: usize = 4096;
/// Images a forward pass.
const BATCH: usize = 16;

fn scramble(network: &Network, keying: Keying) -> Scramble {
    let secret = Secret::from_bytes(&[7; 32]);
    Scramble::new(&secret, &Lock::of(network.architecture(), secret.id(), keying).unwrap()).unwrap()
}

fn main() {
    let device = cleave_nets::device("flex").unwrap();
    let plain = Network::random(ConvMixer::default().architecture().unwrap(), 1, &device).unwrap();
    let preparation = Preparation::new(32, 32, 3);
    let images: Vec<f32> = (0..KEYED * plain.input().values()).map(|at| (at % 255) as f32 / 127.0 - 1.0).collect();
    let keys = [Keying::Shared, Keying::PerPatch].map(|keying| scramble(&plain, keying));

    let keying =
        keys.each_ref().map(|key| Box::new(|| drop(black_box(key.apply(&images).unwrap()))) as Box<dyn FnMut()>);
    let gigabytes = size_of_val(&images[..]) as f64 / 1e9;
    for (name, seconds) in ["one key", "a key for each patch"].iter().zip(medians(keying)) {
        println!("{name}: images are keyed at {:.2} GB/s", gigabytes / seconds);
    }

    let folded = plain.folded().unwrap();
    let locked = keys.each_ref().map(|key| lock(&plain, &preparation, key).unwrap().0);
    let batch = images[..BATCH * plain.input().values()].to_vec();
    let run = |network: &Network| drop(black_box(network.infer(batch.clone(), None, BATCH).unwrap()));
    let [one, each] = &locked;
    let [plain, one, each] =
        medians([Box::new(|| run(&folded)), Box::new(|| run(one)), Box::new(|| run(each))] as [Box<dyn FnMut()>; 3]);
    println!("plain network: {:.2} ms for {BATCH} images", 1000.0 * plain);
    println!("one key: {:.4} times that; a key for each patch: {:.4} times that", one / plain, each / plain);
}

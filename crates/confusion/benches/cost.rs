//! What confusion neurons cost: `cargo bench -p cleave-confusion` prints the time of a network with its key, and of the
//! widened one without, against the original. All take turns in one run.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people at a terminal")]

#[path = "../../keyed/benches/turns/mod.rs"]
mod turns;

use cleave_confusion::{ConfusionKey, Groups, PerLayer, Plan, Strategy, confuse, strip};
use cleave_nets::{AlexNet, CifarResNet, Network, Vgg};
use cleave_secrets::Secret;
use std::hint::black_box;
use std::time::Instant;
use turns::medians;

/// Images a forward pass.
const BATCH: usize = 16;
const PROPORTION: f64 = 0.05;

fn main() {
    let device = cleave_nets::device("flex").unwrap();
    let networks = [
        ("resnet-20", CifarResNet::default().architecture()),
        ("vgg-11-bn, half as wide", Vgg { size: 32, batch_norm: true, divisor: 2, ..Vgg::default() }.architecture()),
        ("alexnet at 64 pixels", AlexNet { size: 64, ..AlexNet::default() }.architecture()),
    ];
    for (name, architecture) in networks {
        let plain = Network::random(architecture.unwrap(), 1, &device).unwrap();
        let groups = Groups::of(plain.architecture()).unwrap();
        let plan = Plan::uniform(&groups, PROPORTION, PerLayer::Absolute).unwrap();
        let key = ConfusionKey::draw(Secret::from_bytes(&[7; 32]), &groups, &plan).unwrap();
        let widened = confuse(&plain, &key, Strategy::Samp, &Secret::from_bytes(&[8; 32])).unwrap();
        let began = Instant::now();
        let stripped = strip(&widened, &key).unwrap();
        let seconds = began.elapsed().as_secs_f64();
        let images: Vec<f32> = (0..BATCH * plain.input().values()).map(|at| (at % 255) as f32 / 127.0 - 1.0).collect();
        let run = |network: &Network| drop(black_box(network.infer(images.clone(), None, BATCH).unwrap()));
        let ways: [Box<dyn FnMut()>; 3] =
            [Box::new(|| run(&plain)), Box::new(|| run(&stripped)), Box::new(|| run(&widened))];
        let [original, with, without] = medians(ways);
        println!(
            "{name}: {:.2} ms for {BATCH} images; with the key {:.4} times that, and {:.1} ms once to leave the neurons out; \
             without {:.4} times that",
            1000.0 * original,
            with / original,
            1000.0 * seconds,
            without / original
        );
    }
}

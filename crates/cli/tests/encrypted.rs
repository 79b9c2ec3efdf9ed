//! Ciphertexts from command to command.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use cleave_encrypted::{IntegerLayer, IntegerNetwork, ParamSet, Precision, Release, Shape, ranges};
use cleave_secrets::Existing;
use common::{bad, good, images, serve_with};
use std::path::Path;

/// A release of one network on 4×4 pixels, of which `bias` is one of the last.
fn release(path: &Path, bias: i128) {
    let shape = Shape { height: 4, width: 4, kernel: 2, stride: 2, padding: 0, maps: 1, hidden: 2, classes: 2 };
    let layer = |weights: &[i32], biases: &[i128]| IntegerLayer { weights: weights.into(), biases: biases.into() };
    let hidden = [1, -2, 3, -4, 4, 3, -2, 1];
    let layers = [layer(&[1, -1, 2, 1], &[-7]), layer(&hidden, &[9, -9]), layer(&[1, -1, -1, 1], &[bias, 5])];
    let networks = vec![IntegerNetwork { shape, max_pixel: 15, layers, scale: 1.0 }];
    let release = Release {
        set: ParamSet::Bfv8192x45,
        shape,
        scale: 1.0,
        classes: vec!["circle".into(), "square".into()],
        precision: Precision { max_pixel: 15, max_weight: [31; 3] },
        ranges: ranges(&networks, &[15; 16]).unwrap(),
        margin: 3,
        sources: vec!["test".into()],
        networks,
    };
    release.write(path, Existing::Keep).unwrap();
}

#[test]
fn images_are_labelled_as_ciphertexts_and_every_score_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    release(&folder.join("shapes.toml"), 3);
    release(&folder.join("other.toml"), 4);
    images(folder);
    good(folder, &["keys", "--out", "keys", "--client", "alice"]);
    good(folder, &["key", "new", "--for", "ciphertexts", "--clear", "--out", "my.key"]);
    good(folder, &["key", "new", "--clear", "--out", "pairs.key"]);
    let server = serve_with(folder, &["--encrypted", "shapes.toml", "--encrypted", "again=shapes.toml"]);
    let base = ["infer", "images", "--keys", "keys", "--client", "alice", "--connect", &server.address, "--json"];
    let ask = |more: &[&'static str]| [&base[..], more].concat();

    let labels = good(folder, &ask(&["--encrypted", "shapes", "--check-against", "shapes.toml"]));
    let labels: serde_json::Value = serde_json::from_str(&labels).unwrap();
    assert_eq!((labels["labels"].as_array().unwrap().len(), labels["compared"].as_u64()), (40, Some(80)));
    assert!(labels["noise_budget_bits"].as_f64().unwrap() > 20.0 && labels["bytes_sent"].as_u64().unwrap() > 3_000_000);
    let two = ask(&["--encrypted", "again", "--encrypted-batch", "25", "--key", "my.key", "--out", "labels.csv"]);
    let two: serde_json::Value = serde_json::from_str(&good(folder, &two)).unwrap();
    assert_eq!((two["batches"].as_u64(), &two["labels"]), (Some(2), &labels["labels"]));
    assert_eq!(std::fs::read_to_string(folder.join("labels.csv")).unwrap().lines().count(), 41);
    assert!(good(folder, &["key", "id", "my.key"]).contains(two["key"].as_str().unwrap()));

    let differs = bad(folder, 1, &ask(&["--encrypted", "shapes", "--check-against", "other.toml"]));
    assert!(differs.contains("circle") && differs.contains("was decrypted"), "{differs}");
    bad(folder, 3, &ask(&["--encrypted", "shapes", "--key", "pairs.key"]));
    let unknown = bad(folder, 5, &ask(&["--encrypted", "nothing"]));
    assert!(unknown.contains("again, shapes"), "{unknown}");
    bad(folder, 2, &ask(&["--encrypted", "shapes", "--element", "f16"]));
    bad(folder, 2, &ask(&["--check-against", "shapes.toml", "--front", "front.safetensors"]));
    bad(folder, 2, &ask(&[]));
}

#[test]
fn a_server_says_how_much_memory_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    release(&folder.join("shapes.toml"), 3);
    good(folder, &["keys", "--out", "keys"]);
    let serve = ["serve", "--encrypted", "shapes.toml", "--keys", "keys", "--listen", "127.0.0.1:0", "--memory"];
    let error = bad(folder, 2, &[&serve[..], &["100MB"]].concat());
    assert!(error.contains("--memory"), "{error}");
    bad(folder, 2, &[&serve[..], &["much"]].concat());
    bad(folder, 3, &["serve", "--encrypted", "none.toml", "--keys", "keys"]);
}

//! From training to an ensemble in integers that runs on ciphertexts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy exempts only the test functions themselves")]

mod common;

use cleave_encrypted::{EncryptedScores, Params, Release, SecretKey, levels};
use cleave_nets::{Architecture, Checkpoint, Layer, Network, Shape, Window};
use cleave_secrets::Secret;
use common::{TINY, bad, good};
use serde_json::Value;
use std::path::Path;

/// A network of 3×3×5 values and 10 hidden units, for 8×8 pixels.
fn member(folder: &Path, name: &str, seed: &str, size: &str) {
    let arguments = ["train", "--arch", "cryptonets", "--size", size, "--divisor", "10", "--seed", seed, "--out", name];
    good(folder, &[&arguments[..], &TINY, &["--shift", "1"]].concat());
}

const QUANTISE: [&str; 8] =
    ["quantise", "a.safetensors", "b.safetensors", "--data", "builtin", "--limit", "20", "--out"];

#[test]
fn what_is_written_runs_on_ciphertexts_and_gives_the_same_integers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    member(folder, "a.safetensors", "1", "8");
    member(folder, "b.safetensors", "2", "8");
    let json = good(folder, &[&["--json"], &QUANTISE[..], &["ensemble.toml"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["images"], &json["held_out"], &json["left_out"]), (&80.into(), &40.into(), &0.into()));
    assert_eq!(json["members"].as_array().unwrap().len(), 2);
    for accuracy in json["members"].as_array().unwrap().iter().chain([&json["ensemble"]]) {
        assert!(accuracy["alike"].as_f64().unwrap() > 0.8, "{json}");
    }

    let release = Release::read(&folder.join("ensemble.toml")).unwrap();
    assert_eq!(release.sources, ["a.safetensors", "b.safetensors"]);
    assert_eq!((release.ranges.images, release.margin), (80, 4));
    assert_eq!(json["ranges"][3]["largest"], release.ranges.sum.to_string());
    let images = cleave_data::Shapes::new(2, 64, 0).unwrap().dataset("val", 3);
    let model = Checkpoint::load(&folder.join("a.safetensors"), &cleave_nets::device("flex").unwrap()).unwrap();
    let prepare = |index| model.card.preparation.fit_pixels(&images.decode(index).unwrap()).unwrap().data;
    let bytes: Vec<u8> = (0..3).flat_map(prepare).collect();
    let pixels = levels(&bytes, release.precision.max_pixel);
    let expected: Vec<Vec<i128>> =
        release.networks.iter().map(|network| network.evaluate_all(&pixels).unwrap()).collect();
    let floats = model.network.infer(bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect(), None, 3).unwrap();
    for (float, integer) in floats.iter().zip(&expected[0]) {
        let integer = *integer as f64 / release.scale;
        assert!((f64::from(*float) - integer).abs() < 0.2 + 0.2 * integer.abs(), "{float} {integer}");
    }

    let params = Params::named(release.set).unwrap();
    let secret = SecretKey::new(&params, &Secret::generate().unwrap());
    let keys = secret.evaluation_keys().unwrap();
    let asked = secret.encrypt(&pixels.iter().map(|&pixel| pixel.into()).collect::<Vec<_>>(), 64).unwrap();
    let answer = release.ensemble().unwrap().evaluate(&keys, &asked).unwrap().to_bytes(&keys).unwrap();
    let scores = secret.decrypt(&EncryptedScores::from_bytes(&answer, &secret, &asked).unwrap()).unwrap();
    for image in 0..3 {
        let sums: Vec<_> = (image * 2..image * 2 + 2).map(|at| expected[0][at] + expected[1][at]).collect();
        assert_eq!(scores.image(image), sums);
    }
}

#[test]
fn files_that_are_there_stay_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    member(folder, "a.safetensors", "1", "8");
    member(folder, "b.safetensors", "2", "8");
    let quantise = [&QUANTISE[..], &["ensemble.toml"]].concat();
    assert!(good(folder, &quantise).contains("wrote ensemble.toml and 2 networks beside it"));
    let before = std::fs::read(folder.join("ensemble.toml")).unwrap();
    let other = [&quantise[..], &["--max-weight", "15,31,63", "--max-pixel", "7"]].concat();
    assert!(bad(folder, 3, &other).contains("--force"));
    assert_eq!(std::fs::read(folder.join("ensemble.toml")).unwrap(), before);
    good(folder, &[&other[..], &["--force"]].concat());
    let release = Release::read(&folder.join("ensemble.toml")).unwrap();
    assert_eq!((release.precision.max_pixel, release.precision.max_weight), (7, [15, 31, 63]));
}

#[test]
fn networks_that_do_not_fit_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    member(folder, "a.safetensors", "1", "8");
    member(folder, "b.safetensors", "2", "10");
    let quantise = [&QUANTISE[..], &["x.toml"]].concat();
    assert!(bad(folder, 2, &quantise).contains("b.safetensors has another shape"));
    member(folder, "b.safetensors", "2", "8");
    for (options, word) in [
        (&["--max-weight", "1,2"][..], "--max-weight takes one number"),
        (&["--max-weight", "0"], "--max-weight"),
        (&["--margin-bits", "64", "--max-pixel", "255", "--max-weight", "1023"], "fit no parameter set"),
        (&["--max-pixel", "255", "--max-weight", "65535"], "has a bias beyond"),
        (&["--classes", "triangle,disc"], "--classes names"),
    ] {
        let error = bad(folder, 2, &[&quantise[..], options].concat());
        assert!(error.contains(word), "{error}");
    }

    let flex = cleave_nets::device("flex").unwrap();
    let model = Checkpoint::load(&folder.join("a.safetensors"), &flex).unwrap();
    let mut wrong = model.clone();
    let conv = Layer::Conv2d { filters: 5, window: Window::square(5, 2, 1), groups: 1, bias: true };
    let linear = |features| Layer::Linear { features };
    let layers = vec![conv, Layer::Relu, Layer::Flatten, linear(9), Layer::Square, linear(2)];
    wrong.card.architecture = Architecture::new(Shape::new(1, 8, 8), layers).unwrap();
    wrong.network = Network::random(wrong.card.architecture.clone(), 1, &flex).unwrap();
    wrong.save(&folder.join("b.safetensors")).unwrap();
    assert!(bad(folder, 2, &quantise).contains("layer 1 of b.safetensors is Relu, expected a square"));
    let mut wrong = model;
    wrong.card.preparation = wrong.card.preparation.normalised([0.1], [0.3]);
    wrong.save(&folder.join("b.safetensors")).unwrap();
    assert!(bad(folder, 2, &quantise).contains("not from 0 to 1"));
    bad(folder, 3, &["quantise", "missing", "--data", "builtin", "--out", "x.toml"]);
    assert!(!folder.join("x.toml").exists() && !folder.join("x-1.json").exists());
}

#[test]
fn shares_of_classes_are_kept_recorded_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let train = |shares: &[&'static str]| {
        [&["train", "--size", "64", "--divisor", "16", "--out", "m.safetensors"][..], &TINY, shares].concat()
    };
    let few = bad(folder, 2, &train(&["--label-share", "disc=0.1,triangle=0.05"]));
    assert!(few.contains("there are 3 images, which do not fill one batch of 4"), "{few}");
    good(folder, &train(&["--label-share", "disc=0.5"]));
    let model = Checkpoint::load(&folder.join("m.safetensors"), &cleave_nets::device("flex").unwrap()).unwrap();
    assert_eq!(model.card.training.history[0]["shares"]["label_share"][0][1], 0.5);
    bad(folder, 3, &train(&["--label-share", "square=0.5"]));
    assert!(bad(folder, 2, &train(&["--split-by", "regular:0"])).contains("the digits 0 to 9"));
    for wrong in [
        ["--split-by", "even:0"],
        ["--split-by", "regular:3"],
        ["--label-share", "disc"],
        ["--label-share", "disc=1.5"],
    ] {
        bad(folder, 2, &train(&wrong));
    }
    bad(folder, 2, &train(&["--split-by", "regular:0", "--group-share", "0.9-0.8"]));
}

#[test]
#[cfg_attr(not(real_data), ignore = "set CLEAVE_DATA to the folder of real data")]
fn three_models_of_skewed_digits_answer_together() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = std::env::var("CLEAVE_DATA").unwrap() + "/mnist";
    let members = [0, 1, 2].map(|model| {
        let (name, split) = (format!("{model}.safetensors"), format!("likewise:{model}"));
        let arguments = ["train", "--arch", "cryptonets", "--data", &data, "--split-by", &split, "--out", &name];
        let training = "--optimizer adam --weight-decay 0 --batch 64 --steps 400 --shift 0 --flip 0 --eval-every 0";
        good(folder, &arguments.into_iter().chain(training.split(' ')).collect::<Vec<_>>());
        name
    });
    let arguments = ["--json", "quantise", &members[0], &members[1], &members[2], "--data", &data, "--limit", "200"];
    let json: Value = serde_json::from_str(&good(folder, &[&arguments[..], &["--out", "e.toml"]].concat())).unwrap();
    assert!(json["ensemble"]["integer"].as_f64().unwrap() > 0.9, "{json}");
    assert!(json["ensemble"]["alike"].as_f64().unwrap() > 0.97, "{json}");
}

//! Features of networks and front halves, and heads on them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod common;

use cleave_nets::{Checkpoint, Device, FeatureSource, Features, Head, Layer, device, head};
use common::{TINY, bad, cleave, cut, good, images, retrain, text, train};
use serde_json::Value;
use std::path::Path;

fn flex() -> Device {
    device("flex").unwrap()
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&good(folder, &[&["--json"], arguments].concat())).unwrap()
}

/// The last layer of a network as a head, which says where its features come from unless it is to keep that to itself.
fn last_layer(folder: &Path, model: &str, out: &str, says: bool) {
    let model = Checkpoint::load(&folder.join(model), &flex()).unwrap();
    let tensors = model.network.tensors().unwrap();
    let last = model.network.architecture().layers.len() - 1;
    let [weights, bias] = ["weight", "bias"].map(|name| &tensors[&format!("{last}.{name}")]);
    let rows = weights.values.chunks_exact(weights.shape[1]).zip(&bias.values);
    let rows: Vec<f32> = rows.flat_map(|(row, &bias)| [&[bias], row].concat()).collect();
    let at = FeatureSource::place(model.network.architecture(), None).unwrap();
    let source = says.then(|| FeatureSource::of(&model.network, at).unwrap());
    let names = if says { model.card.classes } else { vec!["0".into(), "1".into()] };
    head(&rows, names, source, &flex()).unwrap().save(&folder.join(out)).unwrap();
}

const EVAL: [&str; 4] = ["--data", "builtin", "--limit", "30"];

#[test]
fn a_networks_own_last_layer_is_as_right_as_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    last_layer(folder, "base.safetensors", "head.safetensors", true);
    last_layer(folder, "base.safetensors", "silent.safetensors", false);
    let accuracy = |arguments: &[&str]| json(folder, &[&["eval"], arguments, &EVAL].concat())["accuracy"].clone();
    let whole = accuracy(&["base.safetensors"]);
    assert_eq!(accuracy(&["base.safetensors", "--head", "head.safetensors"]), whole);
    assert_eq!(accuracy(&["base.safetensors", "--head", "silent.safetensors"]), whole);
    assert_eq!(accuracy(&["base.safetensors", "--head", "silent.safetensors", "--layer", "7"]), whole);
    for name in ["val.csv", "val.safetensors"] {
        let made =
            good(folder, &[&["features", "base.safetensors", "--split", "val", "--out", name][..], &EVAL].concat());
        assert!(made.contains("60 samples of 64 values, 0 broken") && made.contains("features of layer 7"), "{made}");
        for head in ["head.safetensors", "silent.safetensors"] {
            assert_eq!(json(folder, &["eval", head, "--data", name])["accuracy"], whole, "{head} {name}");
        }
    }
    let table = cleave(folder, &["eval", "head.safetensors", "--data", "val.csv"]);
    assert!(text(&table.stderr).contains("val.csv does not say which layers"), "{}", text(&table.stderr));
    let attach = ["attach", "base.safetensors", "--head", "head.safetensors", "--out", "joined.safetensors"];
    assert!(good(folder, &attach).contains("answers in the classes disc, triangle"));
    assert_eq!(accuracy(&["joined.safetensors"]), whole);
    assert_eq!(accuracy(&["joined.safetensors", "--head", "head.safetensors"]), whole, "its layers are the same");
    let cut =
        ["cut", "joined.safetensors", "--cut", "5", "--accept-leak", "a test", "--out-front", "f", "--out-back", "b"];
    good(folder, &cut);
    assert_eq!(accuracy(&["joined.safetensors", "--head", "silent.safetensors"]), whole);
}

#[test]
fn the_forms_hold_the_same_and_the_order_is_that_of_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    let make = |out: &'static str, more: &[&'static str]| {
        let output =
            cleave(folder, &[&["features", "base.safetensors", "--data", "builtin", "--out", out], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        (Features::read(&folder.join(out)).unwrap(), text(&output.stderr))
    };
    let (whole, said) = make("f.safetensors", &["--first", "130"]);
    assert!(!said.contains("does not say which layers"), "{said}");
    let (table, said) = make("f.csv", &["--first", "130"]);
    assert!(said.contains("does not say which layers"), "{said}");
    assert_eq!((table.values(), table.labels()), (whole.values(), whole.labels()));
    let data = cleave_data::Shapes::new(2, 64, 0).unwrap().dataset("train", 2000);
    assert!(data.labels().take(130).eq(whole.labels().iter().copied()));
    let model = Checkpoint::load(&folder.join("base.safetensors"), &flex()).unwrap();
    let (place, layers) = (whole.source().unwrap().at, model.network.architecture());
    assert_eq!(place, FeatureSource::place(layers, None).unwrap());
    assert!(matches!(layers.layers.last(), Some(Layer::Linear { .. })));
    let image = model.card.preparation.prepare(&data.decode(129).unwrap()).unwrap();
    let one = model.network.slice(0..place).unwrap().infer(image, None, 1).unwrap();
    let last = &whole.values()[129 * whole.width()..];
    assert!(one.iter().zip(last).all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + a.abs())), "the same up to its batch");
    let (third, _) = make("third.safetensors", &["--first", "5", "--layer", "3"]);
    assert_eq!((third.len(), third.source().unwrap().layer), (5, 3));
    assert_ne!(third.width(), whole.width());
    let inspected = good(folder, &["inspect", "third.safetensors"]);
    assert!(
        inspected.contains("features of labelled images") && inspected.contains("features of layer 3"),
        "{inspected}"
    );
}

#[test]
fn broken_images_are_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    images(folder);
    std::fs::write(folder.join("images/disc/broken.png"), "no image").unwrap();
    let features = ["features", "base.safetensors", "--data", "images", "--out", "f.safetensors"];
    let made = json(folder, &features);
    assert_eq!((&made["samples"], &made["left_out"]), (&40.into(), &1.into()));
    assert_eq!(made["classes"], serde_json::json!(["disc", "triangle"]));
    bad(folder, 3, &[&features[..], &["--force", "--strict"]].concat());
    for file in std::fs::read_dir(folder.join("images/triangle"))
        .unwrap()
        .chain(std::fs::read_dir(folder.join("images/disc")).unwrap())
    {
        std::fs::write(file.unwrap().path(), "no image").unwrap();
    }
    let none = ["features", "base.safetensors", "--data", "images", "--out", "none.csv"];
    assert!(bad(folder, 3, &none).contains("none of the 41 images"));
    assert!(!folder.join("none.csv").exists());
}

#[test]
fn smashed_data_are_features_that_depend_on_signals() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    retrain(folder);
    cut(folder);
    let run = |model: &str, out: &str, more: &[&str]| {
        let output =
            cleave(folder, &[&["features", model, "--data", "builtin", "--limit", "8", "--out", out], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        (Features::read(&folder.join(out)).unwrap(), text(&output.stderr))
    };
    let (front, said) = run("front.safetensors", "front.f.safetensors", &[]);
    assert!(said.contains("depend on signals"), "{said}");
    let (whole, said) = run("split.safetensors", "split.f.safetensors", &["--layer", "2"]);
    assert!(said.contains("depend on signals"), "{said}");
    assert_eq!(front, whole, "the same seed, the same signals");
    let (other, _) = run("front.safetensors", "other.f.safetensors", &["--seed", "1"]);
    assert_ne!(front.values(), other.values());
    assert!(front.source().unwrap().signals);
    let (before, said) = run("split.safetensors", "before.f.safetensors", &["--layer", "1"]);
    assert!(!said.contains("depend on signals") && !before.source().unwrap().signals, "{said}");

    let write = |features: &Features, out: &str| {
        let weights: Vec<f32> = (0..2 * (features.width() + 1)).map(|number| (number as f32).sin()).collect();
        let names = features.classes().to_vec();
        head(&weights, names, features.source().cloned(), &flex()).unwrap().save(&folder.join(out)).unwrap();
    };
    write(&front, "smashed.head");
    write(&before, "before.head");
    for model in ["front.safetensors", "split.safetensors"] {
        let accuracy = json(folder, &[&["eval", model, "--head", "smashed.head"][..], &EVAL].concat());
        assert_eq!(accuracy["samples"], 60);
    }
    let attach = |head: &'static str| ["attach", "split.safetensors", "--head", head, "--out", "joined.safetensors"];
    assert!(bad(folder, 2, &attach("smashed.head")).contains("--layer before the signal joins"));
    good(folder, &attach("before.head"));
    let eval = [&["eval", "joined.safetensors"][..], &EVAL].concat();
    assert_eq!(json(folder, &eval)["passes"], 1, "it has no join");
    let layer = ["features", "front.safetensors", "--layer", "1", "--data", "builtin", "--out", "x.csv"];
    assert!(bad(folder, 2, &layer).contains("leave --layer out"));
}

#[test]
fn confusion_neurons_take_their_key() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    std::fs::write(folder.join("words"), "correct horse\n").unwrap();
    let key = ["--key", "wide.key", "--passphrase-file", "words"];
    let confuse = ["confuse", "base.safetensors", "--out", "wide.safetensors", "--key-out", "wide.key"];
    good(folder, &[&confuse[..], &key[2..], &["--data", "builtin", "--images", "8"]].concat());
    let features = |model: &str, out: &str, key: &[&str]| {
        let arguments = ["features", model, "--data", "builtin", "--first", "20", "--out", out];
        good(folder, &[&arguments[..], key].concat());
        Features::read(&folder.join(out)).unwrap()
    };
    let plain = features("base.safetensors", "plain.safetensors", &[]);
    let with = features("wide.safetensors", "with.safetensors", &key);
    let without = features("wide.safetensors", "without.safetensors", &[]);
    assert_eq!(plain.values(), with.values());
    assert_ne!(plain.values(), without.values()[..plain.values().len()].to_vec());
    let [plain_source, source] = [&plain, &with].map(|features| features.source().unwrap());
    assert!(source.key.is_some() && source.part != plain_source.part, "no hash of the original is in the file");

    last_layer(folder, "base.safetensors", "own.head", true);
    let mut own = Head::load(&folder.join("own.head"), &flex()).unwrap();
    own.card.source = with.source().cloned();
    own.save(&folder.join("wide.head")).unwrap();
    let eval = |model: &'static str, head: &'static str| [&["eval", model, "--head", head][..], &EVAL].concat();
    let with_key = json(folder, &[&eval("wide.safetensors", "wide.head")[..], &key].concat());
    assert_eq!(with_key["accuracy"], json(folder, &eval("base.safetensors", "own.head"))["accuracy"]);
    assert!(
        bad(folder, 2, &eval("wide.safetensors", "wide.head")).contains("without the confusion neurons of the key")
    );
    assert!(bad(folder, 2, &eval("base.safetensors", "wide.head")).contains("was trained on features of"));
    let attach = ["attach", "wide.safetensors", "--head", "wide.head", "--out", "joined.safetensors"];
    assert!(bad(folder, 2, &attach).contains("has confusion neurons"));
    good(folder, &[&attach[..], &key].concat());
    let joined = Checkpoint::load(&folder.join("joined.safetensors"), &flex()).unwrap();
    let base = Checkpoint::load(&folder.join("base.safetensors"), &flex()).unwrap();
    assert_eq!(joined.card.confused, None);
    let values = |model: &Checkpoint| {
        model.network.tensors().unwrap().into_values().map(|tensor| tensor.values).collect::<Vec<_>>()
    };
    let [mut joined, mut base] = [values(&joined), values(&base)];
    joined.sort_by(|a, b| a.partial_cmp(b).unwrap());
    base.sort_by(|a, b| a.partial_cmp(b).unwrap());
    assert_eq!(joined, base, "the original and its own last layer");
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    good(folder, &[&["train", "--size", "64", "--divisor", "8", "--out", "other.safetensors"][..], &TINY].concat());
    last_layer(folder, "base.safetensors", "head.safetensors", true);
    last_layer(folder, "base.safetensors", "silent.safetensors", false);
    let eval = |code: i32, arguments: &[&str]| bad(folder, code, &[&["eval"], arguments, &EVAL].concat());
    let other = eval(2, &["other.safetensors", "--head", "head.safetensors"]);
    assert!(
        other.contains("was trained on features of layer 7") && other.contains("hint: name the network"),
        "{other}"
    );
    assert!(
        eval(2, &["other.safetensors", "--head", "silent.safetensors"]).contains("takes samples of 64 values, got 128")
    );
    assert!(eval(2, &["base.safetensors", "--head", "head.safetensors", "--layer", "7"]).contains("leave --layer out"));
    assert!(
        eval(2, &["base.safetensors", "--head", "silent.safetensors", "--layer", "9"]).contains("there is no layer 9")
    );
    assert!(eval(3, &["base.safetensors", "--head", "base.safetensors"]).contains("it holds a whole network"));
    assert!(eval(3, &["base.safetensors", "--head", "missing"]).contains("missing"));
    let classes = ["base.safetensors", "--head", "head.safetensors", "--classes", "triangle,disc"];
    assert!(eval(2, &classes).contains("--classes names"));
    let three = ["eval", "base.safetensors", "--head", "silent.safetensors", "--data", "builtin", "--classes", "a,b,c"];
    assert!(bad(folder, 2, &three).contains("the head answers in the classes 0, 1"));
    assert!(bad(folder, 2, &["eval", "base.safetensors", "--layer", "2", "--data", "builtin"]).contains("--head"));

    std::fs::write(folder.join("wrong.csv"), "0,1\n").unwrap();
    std::fs::write(folder.join("text.csv"), "0,1\n0,one\n").unwrap();
    let on_file = |code: i32, data: &'static str| bad(folder, code, &["eval", "head.safetensors", "--data", data]);
    assert!(on_file(2, "wrong.csv").contains("takes samples of 64 values, got 1"));
    assert!(on_file(3, "text.csv").contains("line 2, column 2: expected a finite number, got \"one\""));
    assert!(on_file(3, "builtin").contains("cannot read builtin"));
    assert!(on_file(3, "base.safetensors").contains("needed here is features"));
    assert!(
        bad(folder, 2, &["eval", "head.safetensors", "--data", "wrong.csv", "--split", "val"])
            .contains("leave --split")
    );

    let features =
        |code: i32, more: &[&str]| bad(folder, code, &[&["features"], more, &["--data", "builtin"]].concat());
    std::fs::write(folder.join("kept.csv"), "kept").unwrap();
    let kept = ["base.safetensors", "--first", "3", "--out", "kept.csv"];
    assert!(features(3, &kept).contains("add --force"));
    assert_eq!(std::fs::read(folder.join("kept.csv")).unwrap(), b"kept");
    good(folder, &[&["features"], &kept[..], &["--force", "--data", "builtin"]].concat());
    assert_eq!(Features::read(&folder.join("kept.csv")).unwrap().len(), 3);
    assert!(features(2, &["base.safetensors", "--out", "x.txt"]).contains("write .safetensors or .csv"));
    assert!(features(2, &["base.safetensors", "--layer", "9", "--out", "x.csv"]).contains("there is no layer 9"));
    assert!(features(2, &["base.safetensors", "--first", "2", "--limit", "2", "--out", "x.csv"]).contains("--limit"));
    assert!(features(3, &["head.safetensors", "--out", "x.csv"]).contains("it holds a head"));
    assert!(features(2, &["base.safetensors", "--force", "--out", "base.safetensors"]).contains("named twice"));
    assert!(features(3, &["base.safetensors", "--out", "no/x.csv"]).contains("there is no folder"));
    assert!(!folder.join("x.csv").exists());

    let attach = ["attach", "other.safetensors", "--head", "head.safetensors", "--out", "x.safetensors"];
    assert!(bad(folder, 2, &attach).contains("was trained on features of"));
    assert!(!folder.join("x.safetensors").exists());
    let inspected = good(folder, &["inspect", "head.safetensors"]);
    for word in ["a head, the last layer of a network", "classes  disc, triangle", "features of layer 7", "fc1 2x1x1"] {
        assert!(inspected.contains(word), "{inspected}");
    }
    assert!(good(folder, &["inspect", "silent.safetensors"]).contains("layers that are not named"));
}

#[test]
fn a_locked_pair_has_no_layers_that_give_features() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let arch = ["train", "--arch", "convmixer-8-1", "--size", "64", "--patch", "8", "--kernel", "3", "--out", "base"];
    good(folder, &[&arch[..], &TINY].concat());
    good(folder, &["key", "new", "--out", "my.key", "--clear"]);
    good(folder, &["lock", "base", "--key", "my.key", "--out-front", "front", "--out-back", "back"]);
    let features = ["features", "front", "--key", "my.key", "--data", "builtin", "--out", "x.csv"];
    assert!(bad(folder, 2, &features).contains("has no layers that give features"));
}

#[test]
#[cfg_attr(not(real_data), ignore = "set CLEAVE_DATA to the folder of real data")]
fn the_papers_table_is_read() {
    let path = Path::new(&std::env::var_os("CLEAVE_DATA").unwrap()).join("regnet-mnist/features-first256.csv.gz");
    let features = Features::read(&path).unwrap();
    assert_eq!((features.len(), features.width(), features.classes().len()), (256, 400, 10));
    assert_eq!(
        (features.labels()[..2].to_vec(), features.values()[0], features.values()[400]),
        (vec![5, 0], 4.153106, 3.1332304)
    );
}

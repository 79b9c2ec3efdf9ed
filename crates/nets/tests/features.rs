//! Features and heads: what is written is read back, and whatever else lies in a file is an error with its place.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use cleave_nets::{
    AlexNet, Architecture, Defence, Device, Error, FeatureSource, Features, Head, HeadCard, Header, Layer, Network,
    Role, Shape, SignalKind, SignalSpec, Training, device, head, read_manifest, write_checkpoint,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

fn flex() -> Device {
    device("flex").unwrap()
}

fn names(classes: &[&str]) -> Vec<String> {
    classes.iter().map(ToString::to_string).collect()
}

fn network(seed: u64) -> Network {
    let architecture = AlexNet { size: 64, divisor: 32, ..AlexNet::default() }.architecture().unwrap();
    Network::random(architecture, seed, &flex()).unwrap()
}

fn features() -> Features {
    let defences = vec![Defence::Quantise { bits: 4, low: 0.0, high: 1.0 }];
    let source = FeatureSource { defences, ..FeatureSource::of(&network(1), 5).unwrap() };
    let values = vec![0.5, -1e-30, f32::MAX, 3.0, f32::MIN_POSITIVE, -0.0];
    Features::new(values, 2, vec![2, 0, 2], names(&["a", "b", "c", "d"]), Some(source)).unwrap()
}

fn place(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

/// What is wrong with a table.
fn csv(text: &[u8]) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder, "table.csv");
    std::fs::write(&path, text).unwrap();
    Features::read(&path).unwrap_err()
}

fn zipped(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn both_forms_come_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, table) = (place(&folder, "f.safetensors"), place(&folder, "f.csv"));
    features().write_safetensors(&whole).unwrap();
    assert_eq!(Features::read(&whole).unwrap(), features());
    features().write_csv(&table).unwrap();
    let read = Features::read(&table).unwrap();
    let bits = |features: &Features| features.values().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&read), bits(&features()));
    assert_eq!((read.width(), read.labels(), read.source()), (2, features().labels(), None));
    assert_eq!(read.classes(), names(&["0", "1", "2"]), "up to the largest label");
    assert_eq!(read.with_classes(features().classes().to_vec()).unwrap().classes(), features().classes());
    std::fs::write(&table, zipped(&std::fs::read(&table).unwrap())).unwrap();
    assert_eq!(bits(&Features::read(&table).unwrap()), bits(&features()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file stays");
}

#[test]
fn tables_of_other_programs_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder, "table.csv");
    std::fs::write(&path, "5.0, 1e-3,2\r\n1.000000000000000000e+00,-3,+.5").unwrap();
    let read = Features::read(&path).unwrap();
    assert_eq!((read.len(), read.labels(), read.values()), (2, &[5, 1][..], &[1e-3, 2.0, -3.0, 0.5][..]));
    assert_eq!(read.classes().len(), 6);
}

#[test]
fn a_table_that_is_wrong_is_refused_with_line_and_column() {
    for (text, at, word) in [
        ("0,1\n1,nan\n", (2, 2), "a finite number"),
        ("0,1,-inf", (1, 3), "a finite number"),
        ("0,1,1e39", (1, 3), "a finite number"),
        ("0,1\n0,x\n", (2, 2), "\"x\""),
        ("0,1\n0,1,\n", (2, 3), "1 numbers behind the label"),
        ("0,1\n0,1,2\n", (2, 3), "1 numbers behind the label"),
        ("0,1,2\n0,1\n", (2, 3), "2 numbers behind the label"),
        ("0,,2\n", (1, 2), "\"\""),
        ("0\n", (1, 2), "numbers behind the label"),
        ("0,1\n\n0,1\n", (2, 1), "a whole number"),
        ("label,a\n0,1\n", (1, 1), "\"label\""),
        ("0.5,1\n", (1, 1), "a whole number"),
        ("-1,1\n", (1, 1), "a whole number"),
        ("65536,1\n", (1, 1), "65535"),
        ("inf,1\n", (1, 1), "a whole number"),
        ("nan,1\n", (1, 1), "a whole number"),
        ("1e300,1\n", (1, 1), "a whole number"),
        ("0,\u{1b}[2J\n", (1, 2), "\\u{1b}"),
    ] {
        let error = csv(text.as_bytes());
        assert!(matches!(&error, Error::Csv { line, column, .. } if (*line, *column) == at), "{text:?}: {error}");
        assert!(error.to_string().contains(word), "{text:?}: {error}");
    }
    assert!(matches!(csv(&[b'0', b',', 0xff]), Error::Csv { line: 1, column: 1, .. }));
    for nothing in [&b""[..], &zipped(b"")] {
        assert!(csv(nothing).to_string().contains("no sample"));
    }
    assert!(matches!(Features::read(Path::new("no-such-file")), Err(Error::Io { action: "read", .. })));
    assert!(matches!(Features::read(Path::new(env!("CARGO_MANIFEST_DIR"))), Err(Error::Io { .. })), "a folder");
}

#[test]
fn tables_beyond_the_bounds_end_early() {
    let wide = ["0", &",0".repeat(1 << 16), ",0"].concat();
    assert!(csv(wide.as_bytes()).to_string().contains("1 to 65536 numbers"));
    let one_line = zipped(&vec![b'0'; 64 << 20]);
    assert!(one_line.len() < 1 << 20);
    assert!(csv(&one_line).to_string().contains("a line of less than"));
    let many = zipped("0,0\n".repeat((1 << 20) + 1).as_bytes());
    assert!(matches!(csv(&many), Error::Csv { line, .. } if line == (1 << 20) + 1));
    let table = zipped(b"0,1\n1,2\n");
    for end in 2..table.len() {
        assert!(matches!(csv(&table[..end]), Error::Io { .. }), "cut at {end}");
    }
}

#[test]
fn features_at_odds_with_themselves_are_refused() {
    let new = |values: usize, width, labels: &[usize], classes: &[&str]| {
        Features::new(vec![0.0; values], width, labels.to_vec(), names(classes), None).unwrap_err().to_string()
    };
    assert!(new(3, 2, &[0, 0], &["a"]).contains("expected 2 x 2, got 3"));
    assert!(new(0, 2, &[], &["a"]).contains("samples: expected 1 to"));
    assert!(new(0, 0, &[0], &["a"]).contains("values of a sample"));
    assert!(new(2, 2, &[1], &["a"]).contains("a label: expected less than the 1 classes, got 1"));
    assert!(new(2, 2, &[0], &[]).contains("names of classes"));
    assert!(Features::check_size(1 << 20, 1 << 8).is_ok());
    for (samples, width) in [(1 << 20, (1 << 8) + 1), ((1 << 20) + 1, 1), (1, (1 << 16) + 1), (usize::MAX, usize::MAX)]
    {
        assert!(matches!(Features::check_size(samples, width), Err(Error::Features { .. })));
    }
    let infinite = Features::new(vec![0.0, f32::INFINITY], 2, vec![0], names(&["a"]), None);
    assert!(matches!(infinite, Err(Error::NotFinite { position: 1, .. })));
}

/// Writes a safetensors file as the project does, with its hash, and says what is wrong with it.
fn forged(manifest: &Value, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder, "f.safetensors");
    let manifest = manifest.to_string();
    let write = |hash: &str| {
        let entry = |(key, text): (&str, &str)| (key.to_owned(), text.to_owned());
        let metadata = HashMap::from([("cleave", manifest.as_str()), ("cleave.sha256", hash)].map(entry));
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
        std::fs::write(&path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
        Features::read(&path).unwrap_err()
    };
    match write("none") {
        Error::Damaged { got, .. } => write(&got),
        other => other,
    }
}

#[test]
fn files_whose_parts_do_not_fit_are_refused() {
    let card = json!({ "format": 1, "role": "features", "classes": ["a", "b"], "source": null });
    let values =
        |shape: &[usize]| ("features", Dtype::F32, shape.to_vec(), vec![0; 4 * shape.iter().product::<usize>()]);
    let labels = |labels: &[i64]| {
        let bytes = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        ("labels", Dtype::I64, vec![labels.len()], bytes)
    };
    let nan = ("features", Dtype::F32, vec![1, 1], f32::NAN.to_le_bytes().to_vec());
    let half = ("features", Dtype::F16, vec![1, 1], vec![0; 2]);
    let floats = ("labels", Dtype::F32, vec![1], vec![0; 4]);
    let more = ("more", Dtype::U8, vec![1], vec![0]);
    for (tensors, word) in [
        (vec![], "missing [features, labels]"),
        (vec![values(&[1, 1])], "missing [labels]"),
        (vec![values(&[1, 1]), labels(&[0]), more], "unknown [more]"),
        (vec![values(&[1, 1]), labels(&[0, 0])], "expected I64 [1], got I64 [2]"),
        (vec![values(&[1, 1]), floats], "got F32 [1]"),
        (vec![values(&[1, 1, 1]), labels(&[0])], "expected F32 [samples, values]"),
        (vec![half, labels(&[0])], "got F16 [1, 1]"),
        (vec![nan, labels(&[0])], "holds NaN"),
        (vec![values(&[1, 0]), labels(&[0])], "values of a sample"),
        (vec![values(&[0, 1]), labels(&[])], "samples: expected 1"),
        (vec![values(&[1, 1]), labels(&[-1])], "a whole number from 0, got -1"),
        (vec![values(&[1, 1]), labels(&[2])], "less than the 2 classes"),
        (vec![values(&[1, 1]), labels(&[i64::MAX])], "less than the 2 classes"),
    ] {
        let error = forged(&card, &tensors);
        assert!(matches!(error, Error::Format { .. }), "{error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    let good = [values(&[1, 1]), labels(&[0])];
    for (pointer, value, word) in [
        ("/role", json!("whole"), "it holds a whole network, and needed here is features"),
        ("/role", json!("key"), "unknown variant"),
        ("/format", json!(2), "format version 2"),
        ("/classes", json!([]), "names of classes"),
        ("/classes", json!(7), "manifest"),
        ("/source", json!({ "part": "" }), "manifest"),
    ] {
        let mut card = card.clone();
        *card.pointer_mut(pointer).expect(pointer) = value;
        let error = forged(&card, &good);
        assert!(error.to_string().contains(word), "{pointer}: {error}");
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder, "f.safetensors");
    features().write_safetensors(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(Features::read(&path).is_err(), "cut at {length}");
    }
    for bit in (0..bytes.len() * 8).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &flipped).unwrap();
        assert!(Features::read(&path).is_err(), "bit {bit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_features_come_back(
        rows in prop::collection::vec((0_usize..9, prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO, 3)), 1..20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let labels: Vec<_> = rows.iter().map(|(label, _)| *label).collect();
        let values: Vec<_> = rows.iter().flat_map(|(_, values)| values.clone()).collect();
        let classes = (0..=*labels.iter().max().unwrap()).map(|label| label.to_string()).collect();
        let features = Features::new(values, 3, labels, classes, None).unwrap();
        features.write_csv(&place(&folder, "csv")).unwrap();
        features.write_safetensors(&place(&folder, "safetensors")).unwrap();
        prop_assert_eq!(&Features::read(&place(&folder, "csv")).unwrap(), &features);
        prop_assert_eq!(&Features::read(&place(&folder, "safetensors")).unwrap(), &features);
    }

    #[test]
    fn rubbish_is_features_or_an_error(bytes in prop::collection::vec(prop_oneof![9 => 44_u8..58, 1 => any::<u8>(), 1 => Just(b'\n')], 0..60)) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(place(&folder, "f"), &bytes).unwrap();
        if let Ok(features) = Features::read(&place(&folder, "f")) {
            prop_assert_eq!(features.values().len(), features.len() * features.width());
            prop_assert!(features.values().iter().all(|value| value.is_finite()));
        }
    }
}

#[test]
fn a_place_is_behind_a_layer_or_before_the_last() {
    let network = network(1);
    let architecture = network.architecture();
    let place = |layer| FeatureSource::place(architecture, layer);
    let (last, before) = (place(None).unwrap(), architecture.numbered_layer(7).unwrap());
    assert_eq!(last, before.end, "dropout behind layer 7 passes on what it gets");
    assert_eq!(place(Some(7)).unwrap(), last);
    assert_eq!(place(Some(8)).unwrap(), architecture.layers.len());
    assert!(matches!(place(Some(0)), Err(Error::NoSuchLayer { .. })));
    assert!(matches!(place(Some(9)), Err(Error::NoSuchLayer { .. })));
    let one = Architecture::new(Shape::new(1, 2, 2), vec![Layer::Flatten, Layer::Linear { features: 2 }]).unwrap();
    assert_eq!(FeatureSource::place(&one, None).unwrap(), 0, "the image itself");
    let none = Architecture::new(Shape::new(1, 2, 2), vec![Layer::Relu]).unwrap();
    assert!(matches!(FeatureSource::place(&none, None), Err(Error::NoSuchLayer { .. })));
}

#[test]
fn a_source_is_known_by_the_layers_before_its_place_alone() {
    let (first, second) = (network(1), network(2));
    let source = FeatureSource::of(&first, 5).unwrap();
    assert!(source.is_alike(&FeatureSource::of(&first, 5).unwrap()));
    assert!(!source.is_alike(&FeatureSource::of(&first, 6).unwrap()));
    assert!(!source.is_alike(&FeatureSource::of(&second, 5).unwrap()));
    let mixed = first.slice(0..5).unwrap().followed_by(&second.slice(5..second.architecture().layers.len()).unwrap());
    assert!(source.is_alike(&FeatureSource::of(&mixed.unwrap(), 5).unwrap()), "what follows does not matter");
    assert!(matches!(FeatureSource::of(&first, 99), Err(Error::Range { .. })));
    let joined = first.architecture().with_join(2, SignalSpec::new(SignalKind::Complement, 2)).unwrap();
    let joined = Network::random(joined, 1, &flex()).unwrap();
    let (index, _) = joined.architecture().join().unwrap();
    assert_eq!([0, 1].map(|more| FeatureSource::of(&joined, index + more).unwrap().signals), [false, true]);
}

#[test]
fn a_head_comes_back_and_stands_behind_layers() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder, "head.safetensors");
    let layers = network(1).slice(0..5).unwrap();
    let width = layers.output().values();
    assert!(!layers.output().is_vector());
    let weights: Vec<f32> = (0..3 * (width + 1)).map(|number| (number as f32).sin()).collect();
    let source = FeatureSource::of(&network(1), 5).unwrap();
    let mut made = head(&weights, names(&["a", "b", "c"]), Some(source), &flex()).unwrap();
    made.card.training.history.push(json!({ "run": "a test" }));
    made.save(&path).unwrap();
    let read = Head::load(&path, &flex()).unwrap();
    assert_eq!(read.card, made.card);
    assert_eq!((read.width(), read_manifest(&path).unwrap().0.role), (width, Role::Head));
    let image: Vec<f32> = (0..2 * layers.input().values()).map(|number| (number as f32).cos()).collect();
    let features = layers.infer(image.clone(), None, 2).unwrap();
    let scores = read.scores(features.clone(), 2).unwrap();
    for (sample, scores) in features.chunks_exact(width).zip(scores.chunks_exact(3)) {
        for (row, &score) in weights.chunks_exact(width + 1).zip(scores) {
            let sum: f64 = row[1..].iter().zip(sample).map(|(weight, x)| f64::from(*weight) * f64::from(*x)).sum();
            assert!((sum + f64::from(row[0]) - f64::from(score)).abs() < 1e-3, "bias first");
        }
    }
    assert_eq!(read.behind(&layers).unwrap().infer(image, None, 2).unwrap(), scores);
    let narrow = network(1).slice(0..1).unwrap();
    assert!(matches!(read.behind(&narrow), Err(Error::Input { .. })));
}

#[test]
fn heads_that_are_none_are_refused() {
    let made = |weights: &[f32], classes: &[&str]| head(weights, names(classes), None, &flex()).unwrap_err();
    for (weights, classes) in [(&[][..], &["a"][..]), (&[1.0], &["a"]), (&[1.0; 5], &["a", "b"]), (&[1.0; 4], &[])] {
        assert!(matches!(made(weights, classes), Error::Features { .. }));
    }
    assert!(matches!(made(&[0.0, f32::NAN], &["a"]), Error::NotFinite { .. }));

    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder, "head.safetensors");
    let write = |layers: Vec<Layer>, classes: &[&str]| {
        let architecture = Architecture::new(Shape::vector(2), layers).unwrap();
        let tensors = Network::random(architecture.clone(), 1, &flex()).unwrap().tensors().unwrap();
        let (header, training) = (Header::of(Role::Head), Training::default());
        let card = HeadCard { header, architecture, classes: names(classes), source: None, training };
        write_checkpoint(&path, &cleave_nets::Contents { tensors, glyphs: None }, &card).unwrap();
        Head::load(&path, &flex())
    };
    let linear = Layer::Linear { features: 2 };
    write(vec![linear.clone()], &["a", "b"]).unwrap();
    assert!(write(vec![linear.clone()], &["a"]).unwrap_err().to_string().contains("names 1 classes for 2 outputs"));
    let two = write(vec![linear, Layer::Relu], &["a", "b"]).unwrap_err();
    assert!(two.to_string().contains("one linear layer"), "{two}");
    let as_network = cleave_nets::Checkpoint::load(&path, &flex()).unwrap_err();
    assert!(as_network.to_string().contains("it holds a head, and needed here is a whole network"), "{as_network}");
}

//! Layer lists and manifests that nobody would write: each is refused or runs, and nothing panics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use cleave_data::{Glyphs, Preparation};
use cleave_nets::{
    AlexNet, Architecture, Checkpoint, Contents, Device, Error, Header, Layer, ModelCard, Network, Role, Shape,
    SignalForm, SignalKind, SignalSpec, Training, Window, device, write_checkpoint,
};
use proptest::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use std::collections::HashMap;

fn flex() -> Device {
    device("flex").unwrap()
}

/// Mostly small, sometimes nothing or absurd.
fn number(small: std::ops::Range<usize>) -> impl Strategy<Value = usize> {
    prop_oneof![96 => small, 1 => Just(0), 1 => Just(usize::MAX), 1 => Just(usize::MAX / 2 + 1), 1 => Just(1 << 33)]
}

fn window() -> impl Strategy<Value = Window> {
    let pair = |small: std::ops::Range<usize>| [number(small.clone()), number(small)];
    (pair(1..5), pair(1..4), pair(0..3)).prop_map(|(size, stride, padding)| Window { size, stride, padding })
}

fn signal() -> impl Strategy<Value = SignalSpec> {
    let kind = prop_oneof![Just(SignalKind::Complement), Just(SignalKind::Offset)];
    let form = prop_oneof![Just(SignalForm::Digit), Just(SignalForm::Plane)];
    (kind, form, number(2..4), prop_oneof![Just(1.0_f32), any::<f32>()])
        .prop_map(|(kind, form, classes, scale)| SignalSpec { kind, form, classes, scale })
}

fn convolution() -> impl Strategy<Value = Layer> {
    let groups = prop_oneof![3 => Just(1), 1 => number(1..4)];
    (number(1..5), window(), groups, any::<bool>()).prop_map(|(filters, window, groups, bias)| Layer::Conv2d {
        filters,
        window,
        groups,
        bias,
    })
}

fn layer() -> impl Strategy<Value = Layer> {
    let leaf = prop_oneof![
        6 => convolution(),
        2 => (number(1..5), [number(1..4), number(1..4)]).prop_map(|(filters, size)| Layer::LocalConv2d { filters, size }),
        4 => window().prop_map(Layer::MaxPool),
        4 => window().prop_map(Layer::AvgPool),
        4 => number(1..6).prop_map(|features| Layer::Linear { features }),
        1 => prop_oneof![Just(1e-5), any::<f64>()].prop_map(|epsilon| Layer::BatchNorm { epsilon }),
        1 => prop_oneof![Just(0.5), any::<f64>()].prop_map(|probability| Layer::Dropout { probability }),
        4 => prop_oneof![Just(Layer::Relu), Just(Layer::Gelu), Just(Layer::Square)],
        4 => prop_oneof![Just(Layer::GlobalAvgPool), Just(Layer::Flatten)],
        1 => signal().prop_map(Layer::SignalJoin),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        let branch = || prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            (branch(), branch()).prop_map(|(body, shortcut)| Layer::Residual { body, shortcut }),
            prop::collection::vec(branch(), 0..4).prop_map(|branches| Layer::Concat { branches }),
        ]
    })
}

fn samples(architecture: &Architecture) -> usize {
    let weights = Network::tensor_shapes(architecture).unwrap();
    let weights: usize = weights.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    architecture.shapes().unwrap().iter().map(Shape::values).sum::<usize>() + weights
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_runs(
        sides in (number(1..5), number(1..16), number(1..16)),
        layers in prop::collection::vec(layer(), 1..4),
    ) {
        let Ok(architecture) = Architecture::new(Shape::new(sides.0, sides.1, sides.2), layers) else { return Ok(()) };
        prop_assume!(samples(&architecture) < 1 << 20);
        let network = Network::random(architecture.clone(), 1, &flex()).unwrap();
        let signal = network.signal_shape().map(|shape| vec![0.5; 2 * shape.values()]);
        let out = network.infer(vec![0.5; 2 * network.input().values()], signal, 2).unwrap();
        prop_assert_eq!(out.len(), 2 * architecture.output().unwrap().values());
    }
}

#[test]
fn slices_beyond_the_end_are_errors() {
    let architecture = AlexNet { size: 64, divisor: 32, ..AlexNet::default() }.architecture().unwrap();
    let count = architecture.layers.len();
    let network = Network::random(architecture, 1, &flex()).unwrap();
    let backwards = std::ops::Range { start: 3, end: 2 };
    for range in [0..count + 1, count + 1..count + 2, 0..usize::MAX, backwards] {
        assert!(matches!(network.slice(range.clone()), Err(Error::Range { .. })), "{range:?}");
    }
    assert!(network.slice(count..count).is_ok());
}

#[test]
fn branches_that_do_not_fit_side_by_side_are_refused() {
    let pool = Layer::MaxPool(Window::square(2, 2, 0));
    let of = |branches: Vec<Vec<Layer>>| Architecture::new(Shape::new(3, 4, 4), vec![Layer::Concat { branches }]);
    let reason = |branches| of(branches).unwrap_err().to_string();
    assert!(reason(vec![]).contains("joins 0 branches"));
    assert!(reason(vec![vec![Layer::Relu]]).contains("joins 1 branches"));
    assert!(reason(vec![vec![], vec![pool.clone()]]).contains("3x4x4 beside 3x2x2"));
    assert!(reason(vec![vec![]; (1 << 26) / 48 + 1]).contains("more than"));
    let both = of(vec![vec![], vec![Layer::Relu], vec![]]).unwrap();
    assert_eq!(both.output().unwrap(), Shape::new(9, 4, 4));
    assert_eq!(both.numbered_layers()[0].name, "block1");
}

#[test]
fn two_signals_or_one_inside_a_block_are_refused() {
    let join = || Layer::SignalJoin(SignalSpec::new(SignalKind::Complement, 2));
    let input = Shape::new(1, 4, 4);
    assert!(matches!(Architecture::new(input, vec![join(), join()]), Err(Error::JoinTwice)));
    let residual = Layer::Residual { body: vec![join()], shortcut: vec![join()] };
    let concat = Layer::Concat { branches: vec![vec![join()], vec![]] };
    for block in [residual, concat] {
        assert!(matches!(Architecture::new(input, vec![block]), Err(Error::Architecture { index: 0, .. })));
    }
}

fn model() -> (Value, Contents) {
    let plain = AlexNet { size: 64, divisor: 32, ..AlexNet::default() }.architecture().unwrap();
    let architecture = plain.with_join(2, SignalSpec::new(SignalKind::Complement, 2)).unwrap();
    let network = Network::random(architecture.clone(), 1, &flex()).unwrap();
    let card = ModelCard {
        header: Header::of(Role::Whole),
        architecture,
        classes: vec!["cat".into(), "dog".into()],
        preparation: Preparation::new(64, 64, 3),
        training: Training::default(),
        defences: Vec::new(),
        confused: None,
    };
    let contents =
        Contents { tensors: network.tensors().unwrap(), glyphs: Some(Glyphs::drawn(1, &[0, 1], 3).unwrap()) };
    (serde_json::to_value(card).unwrap(), contents)
}

#[test]
fn a_manifest_at_odds_with_itself_is_refused_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let (good, contents) = model();
    write_checkpoint(&path, &contents, &good).unwrap();
    Checkpoint::load(&path, &flex()).unwrap();
    let joined = "/architecture/layers/3";
    assert_eq!(good.pointer(&format!("{joined}/type")), Some(&json!("signal_join")));
    for (pointer, value, expected) in [
        ("/preparation/height", json!(65), "prepares images of"),
        ("/preparation/std", json!([0.5, 0.0, 0.5]), "preparation of images"),
        ("/preparation/mean", json!([0.5]), "preparation of images"),
        ("/classes", json!(["cat"]), "names 1 classes for 2 outputs"),
        ("/architecture/layers/3/classes", json!(3), "complements 3 classes"),
        ("/architecture/layers/3/scale", json!(-1.0), "scale -1"),
        ("/architecture/layers/0/filters", json!(u64::MAX), "more than"),
        ("/architecture/layers/0/window/stride", json!([0, 4]), "no room"),
        ("/architecture/layers/0/window/padding", json!([1_u64 << 40, 2]), "above"),
        ("/architecture/input/channels", json!(1_u64 << 60), "expected 1 to"),
        ("/architecture/input/height", json!(0), "expected 1 to"),
        ("/architecture/layers", json!([]), "names 2 classes"),
        ("/format", json!(-1), "manifest"),
        ("/role", json!("front"), "it holds a front half"),
    ] {
        let mut manifest = good.clone();
        *manifest.pointer_mut(pointer).expect(pointer) = value;
        write_checkpoint(&path, &contents, &manifest).unwrap();
        let error = Checkpoint::load(&path, &flex()).expect_err(pointer).to_string();
        assert!(error.contains(expected), "{pointer}: {error}");
    }
}

#[test]
fn glyphs_of_an_impossible_number_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let manifest = model().0.to_string();
    for shape in [[1_usize << 60, 0, 28, 28], [11, 0, 28, 28], [0, 0, 28, 28], [2, 0, 28, 28]] {
        let write = |hash: &str| {
            let entry = |(key, text): (&str, &str)| (key.to_owned(), text.to_owned());
            let metadata = HashMap::from([("cleave", manifest.as_str()), ("cleave.sha256", hash)].map(entry));
            let view = TensorView::new(Dtype::U8, shape.to_vec(), &[]).unwrap();
            std::fs::write(&path, safetensors::serialize([("signal.glyphs", view)], Some(metadata)).unwrap()).unwrap();
            Checkpoint::load(&path, &flex()).unwrap_err()
        };
        let Error::Damaged { got, .. } = write("none") else { panic!("a file without its hash was read") };
        let error = write(&got);
        assert!(matches!(&error, Error::Format { reason, .. } if reason.contains("glyphs")), "{shape:?}: {error}");
    }
}

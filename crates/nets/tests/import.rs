//! Import of PyTorch weights against PyTorch's own logits (fixture: experiments/import-reference/make.py).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use cleave_nets::{AlexNet, Architecture, Device, Error, KeyMapping, Network, device, import_network};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn architecture() -> Architecture {
    AlexNet { size: 64, divisor: 16, ..AlexNet::default() }.architecture().unwrap()
}

fn flex() -> Device {
    device("flex").unwrap()
}

fn reference_logits() -> Vec<f32> {
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture("alexnet-64-16.json")).unwrap()).unwrap();
    serde_json::from_value::<Vec<Vec<f32>>>(record["logits"].clone()).unwrap().concat()
}

fn inputs() -> Vec<f32> {
    (0..4 * 3 * 64 * 64).map(|index| (f64::from(index) * 0.37).sin() as f32).collect()
}

#[test]
fn logits_agree_with_pytorch_from_a_state_dict_and_from_safetensors() {
    for name in ["alexnet-64-16.pt", "alexnet-64-16.safetensors"] {
        let (network, report) = import_network(&fixture(name), architecture(), &KeyMapping::Auto, &flex()).unwrap();
        assert_eq!(report.mapped_by, "order");
        assert_eq!(report.tensors[0].from, "features.0.weight");
        assert_eq!(report.tensors[15].from, "classifier.6.bias");
        let logits = network.infer(inputs(), None, 4).unwrap();
        let reference = reference_logits();
        assert!(
            reference.iter().any(|value| (value - reference[0]).abs() > 0.01),
            "the fixture must tell inputs apart"
        );
        for (ours, theirs) in logits.iter().zip(&reference) {
            assert!((ours - theirs).abs() <= 1e-4, "{name}: {ours} against {theirs}");
        }
    }
}

#[test]
fn a_misshapen_tensor_is_named() {
    let wide = AlexNet { size: 64, divisor: 8, ..AlexNet::default() }.architecture().unwrap();
    let error = import_network(&fixture("alexnet-64-16.pt"), wide, &KeyMapping::Auto, &flex()).unwrap_err();
    assert!(matches!(error, Error::TensorShape { .. }), "{error}");
}

#[test]
fn unknown_and_missing_keys_are_named() {
    let error = import_network(&fixture("alexnet-64-16.pt"), architecture(), &KeyMapping::ByName, &flex()).unwrap_err();
    let Error::Keys { missing, unknown } = error else { panic!("{error}") };
    assert!(missing.contains(&"0.weight".to_owned()) && unknown.contains(&"features.0.weight".to_owned()));
}

#[test]
fn a_given_mapping_is_followed() {
    let (_, report) = import_network(&fixture("alexnet-64-16.pt"), architecture(), &KeyMapping::Auto, &flex()).unwrap();
    let names: BTreeMap<_, _> = report.tensors.iter().map(|mapped| (mapped.from.clone(), mapped.to.clone())).collect();
    let given = KeyMapping::Given(names.clone());
    let (network, report) = import_network(&fixture("alexnet-64-16.pt"), architecture(), &given, &flex()).unwrap();
    assert_eq!((report.mapped_by, network.output().values()), ("given", 2));
    let short = KeyMapping::Given(names.into_iter().skip(1).collect());
    assert!(import_network(&fixture("alexnet-64-16.pt"), architecture(), &short, &flex()).is_err());
}

#[test]
fn garbage_and_truncated_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.pt");
    for name in ["alexnet-64-16.pt", "alexnet-64-16.safetensors"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        for length in (0..bytes.len()).step_by(bytes.len() / 37) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(
                import_network(&path, architecture(), &KeyMapping::Auto, &flex()).is_err(),
                "{name} cut at {length}"
            );
        }
    }
    std::fs::write(&path, b"not a model").unwrap();
    assert!(import_network(&path, architecture(), &KeyMapping::Auto, &flex()).is_err());
}

#[test]
fn counters_are_left_and_reported_and_one_missing_key_is_named() {
    let own = Network::random(architecture(), 3, &flex()).unwrap().tensors().unwrap();
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = own
        .iter()
        .map(|(name, tensor)| {
            let bytes = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name.clone(), tensor.shape.clone(), bytes)
        })
        .collect();
    let view = |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    let mut views: Vec<_> =
        bytes.iter().map(|(name, shape, bytes)| (name.as_str(), view(Dtype::F32, shape, bytes))).collect();
    views.push(("1.num_batches_tracked", view(Dtype::I64, &[], &[0; 8])));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let import = |views: Vec<(&str, TensorView<'_>)>| {
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        import_network(&path, architecture(), &KeyMapping::Auto, &flex())
    };
    let (_, report) = import(views.clone()).unwrap();
    assert_eq!((report.mapped_by, report.ignored), ("name", vec!["1.num_batches_tracked".to_owned()]));
    views.retain(|(name, _)| *name != "0.bias");
    let Err(Error::Keys { missing, unknown }) = import(views) else { panic!("a bias is missing") };
    assert_eq!((missing, unknown), (vec!["0.bias".to_owned()], vec![]));
}

//! Networks with torchvision's names against torchvision's own logits (fixture: fixtures/torchvision.py).

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use cleave_nets::{
    DenseNet, Error, HostTensor, ImportReport, KeyMapping, Network, Published, RegNetX, ResNet, Vgg, device,
    import_network,
};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

const CLASSES: usize = 10;

/// `count` multiples of 2⁻²³ in [-1, 1): FNV-1a of the key, continued by SplitMix64.
fn units(key: &str, count: usize) -> impl Iterator<Item = f32> {
    let byte = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let seed = key.bytes().fold(0xcbf2_9ce4_8422_2325, byte);
    (1..=count as u64).map(move |at| {
        let z = at.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// Kernels and matrices by their fan-in, scales and variances in [0.5, 1.5), biases and means in [-0.25, 0.25).
fn values(key: &str, shape: &[usize]) -> Vec<f32> {
    let unit = units(key, shape.iter().product());
    let bound = (4.0 / shape[1..].iter().product::<usize>() as f64).sqrt() as f32;
    match shape.len() {
        1 if key.ends_with("weight") || key.ends_with("running_var") => unit.map(|value| 1.0 + value * 0.5).collect(),
        1 => unit.map(|value| value * 0.25).collect(),
        _ => unit.map(|value| value * bound).collect(),
    }
}

/// What torchvision's file has, but for the older spellings.
fn state(published: &Published) -> BTreeMap<String, HostTensor> {
    let shapes: BTreeMap<_, _> = Network::tensor_shapes(&published.architecture).unwrap().into_iter().collect();
    let keys = published.keys.iter().filter(|(key, _)| !is_old(key));
    let tensor = |(key, name): (&String, &String)| {
        let shape = shapes[name].clone();
        (key.clone(), HostTensor { values: values(key, &shape), shape })
    };
    keys.map(tensor).collect()
}

fn is_old(key: &str) -> bool {
    [".norm.1.", ".norm.2.", ".conv.1.", ".conv.2."].iter().any(|part| key.contains(part))
}

/// The state through a file, with a counter as every file has since PyTorch 0.4.1.
fn imported(published: &Published, state: &BTreeMap<String, HostTensor>) -> Result<(Network, ImportReport), Error> {
    let bytes = |tensor: &HostTensor| tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let all: Vec<_> = state.iter().map(|(key, tensor)| (key.as_str(), tensor.shape.clone(), bytes(tensor))).collect();
    let view = |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    let mut views: Vec<_> = all.iter().map(|(key, shape, bytes)| (*key, view(Dtype::F32, shape, bytes))).collect();
    views.push(("bn1.num_batches_tracked", view(Dtype::I64, &[], &[0; 8])));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    safetensors::serialize_to_file(views, None, &path).unwrap();
    let mapping = KeyMapping::Published(published.keys.clone());
    import_network(&path, published.architecture.clone(), &mapping, &device("flex").unwrap())
}

/// The fixture's logits, and ours under the same weights.
fn compare(name: &str, published: &Published, state: &BTreeMap<String, HostTensor>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torchvision.json");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let record = &record[name];
    assert_eq!(record["size"], published.architecture.input.height);
    assert_eq!(record["tensors"], state.len());
    let (network, report) = imported(published, state).unwrap();
    assert_eq!((report.mapped_by, report.ignored.len()), ("torchvision", 1));
    let theirs: Vec<f32> = serde_json::from_value(record["logits"].clone()).unwrap();
    let ours = network.infer(units("image", network.input().values()).collect(), None, 1).unwrap();
    let largest = theirs.iter().map(|value| value.abs()).fold(0.0, f32::max);
    let apart = ours.iter().zip(&theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max);
    assert!(ours.len() == theirs.len() && apart <= 1e-4 * largest, "{name}: {ours:?} against {theirs:?}");
}

fn agrees(name: &str, published: Result<Published, Error>) {
    let published = published.unwrap();
    compare(name, &published, &state(&published));
}

fn vgg(depth: usize, batch_norm: bool) -> Result<Published, Error> {
    Vgg { depth, batch_norm, classes: CLASSES, divisor: 8, ..Vgg::default() }.published()
}

fn resnet(depth: usize) -> Result<Published, Error> {
    ResNet { depth, size: 64, classes: CLASSES, ..ResNet::default() }.published()
}

fn densenet() -> Published {
    DenseNet { size: 64, classes: CLASSES, ..DenseNet::default() }.published().unwrap()
}

#[test]
fn vgg_agrees() {
    agrees("vgg11", vgg(11, false));
    agrees("vgg16_bn", vgg(16, true));
}

#[test]
fn resnet_18_agrees() {
    agrees("resnet18", resnet(18));
}

#[test]
fn resnet_50_agrees() {
    agrees("resnet50", resnet(50));
}

#[test]
fn regnet_agrees() {
    agrees("regnet_x_400mf", RegNetX { size: 64, classes: CLASSES, ..RegNetX::default() }.published());
}

#[test]
fn densenet_agrees_under_new_and_old_keys() {
    let published = densenet();
    let new = state(&published);
    compare("densenet121", &published, &new);
    let old = |key: String| match published.keys.iter().find(|(old, to)| is_old(old) && **to == published.keys[&key]) {
        Some((old, _)) => old.clone(),
        None => key,
    };
    let old: BTreeMap<_, _> = new.into_iter().map(|(key, tensor)| (old(key), tensor)).collect();
    assert!(old.contains_key("features.denseblock4.denselayer16.norm.2.running_mean"));
    compare("densenet121", &published, &old);
}

#[test]
fn missing_and_unknown_keys_go_by_torchvisions_names() {
    let published = DenseNet { size: 32, classes: 2, ..DenseNet::compact(10, 2).unwrap() }.published().unwrap();
    let mut state = state(&published);
    let gone = "features.denseblock1.denselayer1.norm1.weight";
    let tensor = state.remove(gone).unwrap();
    state.insert("features.aux.weight".to_owned(), tensor);
    let Err(Error::Keys { missing, unknown }) = imported(&published, &state) else { panic!("a key is missing") };
    assert_eq!((missing, unknown), (vec![gone.to_owned()], vec!["features.aux.weight".to_owned()]));
}

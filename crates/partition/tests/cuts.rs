//! Cuts compose exactly, the gate holds, and files say what they are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use cleave_leakage::Effort;
use cleave_nets::Role;
use cleave_partition::{
    BackHalf, Cut, Error, FrontHalf, Offer, Point, Release, SmashedData, check_cut, cut, measure_zeros, release,
};
use common::{checkpoint, flex, forge, images, network, small};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::path::Path;

fn released(folder: &Path) -> (Release, std::path::PathBuf, std::path::PathBuf) {
    let model = small();
    let release = release(&Offer::new(&model, Cut::after(2), "shapes")).unwrap();
    let (front, back) = (folder.join("front.safetensors"), folder.join("back.safetensors"));
    release.write(&front, &back, false).unwrap();
    (release, front, back)
}

#[test]
fn the_halves_compose_bit_for_bit_at_every_cut_and_join() {
    for join in [None, Some(1), Some(2), Some(3), Some(4), Some(5)] {
        let whole = network(join, 64, 16);
        let signal = whole.signal_shape().map(|shape| vec![0.5; 2 * shape.values()]);
        let expected = whole.infer(images(2), signal.clone(), 2).unwrap();
        for layer in join.unwrap_or(1)..=7 {
            for point in [Point::Linear, Point::Activation, Point::Whole] {
                let (front, back) = cut(&whole, Cut { layer, point }).unwrap();
                let smashed = front.infer(images(2), signal.clone(), 2).unwrap();
                assert_eq!(back.infer(smashed, None, 2).unwrap(), expected, "join {join:?} layer {layer} {point:?}");
            }
        }
    }
}

#[test]
fn a_cut_before_the_join_is_refused() {
    let network = network(Some(3), 64, 16);
    for (layer, point) in [(1, Point::Whole), (2, Point::Linear), (2, Point::Whole)] {
        let error = cut(&network, Cut { layer, point }).unwrap_err();
        assert!(matches!(error, Error::BeforeJoin { join: 3, .. }), "{error}");
    }
    assert!(cut(&network, Cut { layer: 3, point: Point::Linear }).is_ok());
}

#[test]
fn a_cut_that_leaves_nothing_or_does_not_exist_is_refused() {
    let network = network(None, 64, 16);
    assert!(matches!(cut(&network, Cut::after(8)), Err(Error::NothingLeft { .. })));
    assert!(matches!(cut(&network, Cut::after(9)), Err(Error::Network(_))));
    assert!(matches!(cut(&network, Cut::after(0)), Err(Error::Network(_))));
}

#[test]
fn cuts_are_written_and_read() {
    for text in ["3", "1:linear", "1:activation"] {
        assert_eq!(text.parse::<Cut>().unwrap().to_string(), text);
    }
    for text in ["", "x", "1:", "1:pool", "-1", ":linear"] {
        assert!(matches!(text.parse::<Cut>(), Err(Error::Syntax { .. })), "{text}");
    }
}

#[test]
fn the_papers_own_choice_is_stopped_at_the_gate() {
    let network = network(Some(1), 224, 1);
    let model = checkpoint(network);
    for point in [Point::Linear, Point::Activation] {
        let at = Cut { layer: 1, point };
        let offer = Offer::new(&model, at, "m");
        let Err(Error::Leaks { cut, report }) = release(&offer) else { panic!("{point:?}") };
        assert!(cut == at && report.verdict.leaks());
        assert!(matches!(release(&Offer { accept: Some(" "), ..offer }), Err(Error::EmptyReason)));
        let accepted = release(&Offer { accept: Some(" a test"), ..offer }).unwrap();
        assert_eq!(accepted.front().terms.accepted.as_deref(), Some("a test"));
        assert_eq!(accepted.back().terms.accepted.as_deref(), Some("a test"));
        assert_eq!(accepted.back().terms.leakage, *report);
    }
    assert!(release(&Offer::new(&model, Cut::after(1), "m")).is_ok());
}

#[test]
fn a_pair_goes_through_files_and_answers_like_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (release, front, back) = released(folder.path());
    let (front, back) = (FrontHalf::load(&front, &flex()).unwrap(), BackHalf::load(&back, &flex()).unwrap());
    assert_eq!(front.manifest(), release.front());
    assert_eq!(front.manifest().terms.pair, back.manifest().terms.pair);
    assert!(front.manifest().terms.pair_hash().is_some());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let signals = front.draw(4, &mut rng);
    let smashed = front.smash(images(4), &signals, &mut rng).unwrap();
    let scores = back.answer(smashed).unwrap();
    assert_eq!(scores.len(), 8);
    assert_eq!(front.unmask(&[1.0, 2.0], 1).unwrap(), [2.0, 1.0]);
    assert_eq!(front.unmask(&[1.0, 2.0], 0).unwrap(), [1.0, 2.0]);
    assert!(matches!(front.unmask(&[1.0], 0), Err(Error::Signal(_))));
}

#[test]
fn the_front_file_holds_nothing_of_the_back_half() {
    let folder = tempfile::tempdir().unwrap();
    let (release, front, _) = released(folder.path());
    let layers = release.front().architecture.layers.len();
    let bytes = std::fs::read(front).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let text = String::from_utf8(bytes[8..8 + header].to_vec()).unwrap();
    for index in layers..layers + 16 {
        assert!(!text.contains(&format!("\"{index}.weight\"")));
    }
    assert!(!text.contains("linear\\\"") && !text.contains("features"), "no linear layer lies before the cut");
}

#[test]
fn a_flipped_bit_in_the_weights_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (_, front, back) = released(folder.path());
    for path in [front, back] {
        let bytes = std::fs::read(&path).unwrap();
        let data = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let weights = (bytes.len() - data) / 2;
        for byte in (data..data + weights).step_by(weights / 50) {
            let mut flipped = bytes.clone();
            flipped[byte] ^= 4;
            std::fs::write(&path, &flipped).unwrap();
            let failed = FrontHalf::load(&path, &flex()).is_err() && BackHalf::load(&path, &flex()).is_err();
            assert!(failed, "{} byte {byte}", path.display());
        }
    }
}

#[test]
fn a_half_is_not_taken_for_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let (_, front, back) = released(folder.path());
    assert!(BackHalf::load(&front, &flex()).err().unwrap().to_string().contains("it holds a front half"));
    assert!(FrontHalf::load(&back, &flex()).err().unwrap().to_string().contains("it holds a back half"));
}

#[test]
fn nothing_is_overwritten_unasked_and_a_failed_release_leaves_no_half() {
    let folder = tempfile::tempdir().unwrap();
    let (release, front, back) = released(folder.path());
    assert!(matches!(release.write(&front, &back, false), Err(Error::Exists { .. })));
    assert!(matches!(release.write(&front, &front, true), Err(Error::SameFile { .. })));
    release.write(&front, &back, true).unwrap();
    let lone = folder.path().join("lone.safetensors");
    assert!(release.write(&folder.path().join("no-folder/front"), &lone, false).is_err());
    assert!(!lone.exists());
}

#[test]
fn smashed_data_that_does_not_fit_does_not_exist() {
    let item = cleave_nets::Shape::new(2, 2, 2);
    assert!(matches!(SmashedData::new(vec![0.0; 7], item, 1), Err(Error::SmashedLength { expected: 8, got: 7, .. })));
    assert!(SmashedData::new(vec![], item, 0).is_err());
    for value in [f32::NAN, f32::INFINITY] {
        assert!(matches!(SmashedData::new(vec![value; 8], item, 1), Err(Error::NotFinite { position: 0, .. })));
    }
}

#[test]
fn zeros_are_measured_behind_each_layer() {
    let network = network(Some(2), 64, 16);
    let signal = vec![0.0; 2 * network.signal_shape().unwrap().values()];
    let zeros = measure_zeros(&network, Cut::after(3), &images(2), Some(&signal), 2).unwrap();
    assert_eq!(zeros.len(), 3);
    assert!(zeros.iter().all(|share| (0.0..1.0).contains(share)), "{zeros:?}");
    let report = check_cut(&network, Cut::after(3), Some(&zeros), &Effort::default()).unwrap();
    assert_eq!(report.layers.len(), 3);
    let error = check_cut(&network, Cut::after(3), Some(&zeros[..2]), &Effort::default()).unwrap_err();
    assert!(matches!(error, Error::ZeroShares { layers: 3, got: 2 }), "{error}");
}

#[test]
fn a_manifest_that_contradicts_its_half_is_refused() {
    let forgeries = [
        ("/terms/pair", json!("00")),
        ("/terms/pair", json!("+0".repeat(32))),
        ("/terms/smashed/height", json!(2)),
        ("/terms/smashed/channels", json!(u64::MAX)),
        ("/terms/outputs", json!(3)),
        ("/terms/outputs", json!(u64::MAX)),
        ("/terms/cut/layer", json!(-1)),
        ("/architecture/input/channels", json!(5)),
        ("/architecture/layers", json!([])),
        ("/terms/defences", json!([{"type": "noise", "distribution": "laplace", "scale": 0.0, "dfil": null}])),
        ("/terms/defences", json!([{"type": "quantise", "bits": 64, "low": 0.0, "high": 1.0}])),
        ("/terms/policy", json!({"name": "n", "promise": "p", "limits": {"largest_mean_ssim": 0.1}})),
        ("/terms/policy", json!({"name": "n", "promise": "p", "limits": {}})),
    ];
    let of_the_front = [
        ("/classes", json!(["cat", "dog", "cow"])),
        ("/preparation/width", json!(65)),
        ("/architecture/layers/3/classes", json!(10)),
        ("/terms/front_hash", json!("")),
    ];
    let folder = tempfile::tempdir().unwrap();
    let (release, front, back) = released(folder.path());
    for (pointer, value) in forgeries.iter().chain(&of_the_front) {
        release.write(&front, &back, true).unwrap();
        forge(&front, Role::Front, pointer, value.clone());
        assert!(FrontHalf::load(&front, &flex()).is_err(), "front {pointer} {value}");
    }
    for (pointer, value) in &forgeries {
        release.write(&front, &back, true).unwrap();
        forge(&back, Role::Back, pointer, value.clone());
        assert!(BackHalf::load(&back, &flex()).is_err(), "back {pointer} {value}");
    }
}

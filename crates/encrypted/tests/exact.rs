//! What is decrypted equals what the integer network gives in the clear, exactly.

#![allow(clippy::unwrap_used, reason = "clippy exempts only the test functions themselves")]

mod common;

use cleave_encrypted::{EncryptedEnsemble, EncryptedScores, Error, IntegerNetwork, Scores, Shape, Stage, ranges};
use common::{Client, ONE, SMALL, TWO, network, pixels, rng, signed};
use proptest::prelude::*;

fn through_ciphertexts(client: &Client, networks: &[IntegerNetwork], images: &[u8]) -> Scores {
    let ensemble = EncryptedEnsemble::new(&client.params, networks).unwrap();
    let encrypted = client.secret.encrypt(&signed(images), ensemble.shape().pixels()).unwrap();
    let scores = ensemble.evaluate(&client.keys, &encrypted).unwrap();
    client.secret.decrypt(&scores).unwrap()
}

fn sums(networks: &[IntegerNetwork], images: &[u8]) -> Vec<i128> {
    let one = |image: &[u8]| {
        let outputs: Vec<_> = networks.iter().map(|network| network.evaluate(image).unwrap().output).collect();
        (0..outputs[0].len()).map(|class| outputs.iter().map(|output| output[class]).sum()).collect::<Vec<i128>>()
    };
    images.chunks_exact(networks[0].shape.pixels()).flat_map(one).collect()
}

#[test]
fn small_networks_are_exact_with_one_prime() {
    for seed in 0..3 {
        let mut rng = rng(seed);
        let networks = [network(&mut rng, SMALL, [7, 7, 3], [99, 99_999, 999_999_999])];
        let images = pixels(&mut rng, 9, SMALL);
        let scores = through_ciphertexts(&ONE, &networks, &images);
        assert_eq!(scores.values, sums(&networks, &images), "seed {seed}");
        assert!(scores.budget_bits > 30.0, "{}", scores.budget_bits);
    }
}

#[test]
fn an_ensemble_gives_the_sum_of_three_with_two_primes() {
    let mut rng = rng(7);
    let networks: [_; 3] = std::array::from_fn(|_| network(&mut rng, SMALL, [31; 3], [999, 1 << 30, 1 << 62]));
    let images = pixels(&mut rng, 4, SMALL);
    let scores = through_ciphertexts(&TWO, &networks, &images);
    let expected = sums(&networks, &images);
    assert_eq!(scores.values, expected);
    assert!(expected.iter().any(|x| x.unsigned_abs() > 1 << 45), "one prime would not do");
    assert_eq!((scores.networks, scores.images, scores.classes), (3, 4, 3));
    let average = scores.averages(2.0).next().unwrap();
    assert!((average - expected[0] as f64 / 6.0).abs() <= average.abs() * 1e-12);
    let best = (0..3).max_by_key(|&class| expected[class]).unwrap();
    assert_eq!(scores.labels().next(), Some(best));
}

#[test]
fn every_slot_is_used_and_none_spills() {
    let mut rng = rng(3);
    let shape = Shape { height: 3, width: 3, kernel: 3, stride: 1, padding: 0, maps: 1, hidden: 2, classes: 2 };
    let networks = [network(&mut rng, shape, [3; 3], [5; 3])];
    let images = pixels(&mut rng, 8192, shape);
    assert_eq!(through_ciphertexts(&ONE, &networks, &images).values, sums(&networks, &images));
}

/// CryptoNets' own shape, with the weights and pixels of the named precision.
#[test]
fn cryptonets_is_exact() {
    let mut rng = rng(11);
    let shape = Shape::cryptonets();
    assert_eq!(shape.features(), 845);
    let networks = [network(&mut rng, shape, [31; 3], [9999, 1 << 30, 1 << 70])];
    let images = pixels(&mut rng, 3, shape);
    let scores = through_ciphertexts(&TWO, &networks, &images);
    assert_eq!(scores.values, sums(&networks, &images));
    assert!(scores.budget_bits > 20.0, "{}", scores.budget_bits);
}

#[test]
fn values_at_the_edge_come_back_and_beyond_wrap_unless_ranges_say_so() {
    let shape = Shape { height: 1, width: 1, kernel: 1, stride: 1, padding: 0, maps: 1, hidden: 1, classes: 1 };
    let largest = ONE.params.largest();
    let mut one = network(&mut rng(0), shape, [0; 3], [0; 3]);
    for (bias, expected) in [(largest, largest), (-largest, -largest), (largest + 1, -largest)] {
        one.layers[2].biases[0] = bias;
        assert_eq!(through_ciphertexts(&ONE, std::slice::from_ref(&one), &[1]).values, [expected]);
        let fits = ranges(std::slice::from_ref(&one), &[1]).unwrap().sum <= largest.unsigned_abs();
        assert_eq!(fits, expected == bias);
    }
}

#[test]
fn stages_are_reported_in_order() {
    let mut rng = rng(5);
    let networks = [network(&mut rng, SMALL, [1; 3], [1; 3])];
    let ensemble = EncryptedEnsemble::new(&ONE.params, &networks).unwrap();
    let images = ONE.secret.encrypt(&signed(&pixels(&mut rng, 1, SMALL)), 36).unwrap();
    let mut seen = Vec::new();
    ensemble.evaluate_watched(&ONE.keys, &images, |stage, _| seen.push(stage)).unwrap();
    seen.dedup();
    let order = [Stage::Convolution, Stage::FirstSquare, Stage::Hidden, Stage::SecondSquare, Stage::Output];
    assert_eq!(seen, order);
}

#[test]
fn an_ensemble_refuses_networks_that_cannot_be_added() {
    let mut rng = rng(6);
    let one = network(&mut rng, SMALL, [3; 3], [3; 3]);
    let new = |networks: &[IntegerNetwork]| EncryptedEnsemble::new(&ONE.params, networks).unwrap_err();
    let mut scaled = one.clone();
    scaled.scale = 1.5;
    assert!(matches!(new(&[one.clone(), scaled]), Error::Scales { index: 1, .. }));
    let mut other = one.clone();
    other.max_pixel = 7;
    assert!(matches!(new(&[one.clone(), other]), Error::Network { .. }));
    let mut heavy = one;
    heavy.layers[1].weights.fill(1 << 16);
    assert!(matches!(new(&[heavy]), Error::Weights { layer: "hidden", .. }));
    assert!(matches!(new(&[]), Error::Count { .. }));
}

#[test]
fn scores_are_added_only_where_they_belong_together() {
    let mut rng = rng(8);
    let networks = [network(&mut rng, SMALL, [2; 3], [2; 3])];
    let images = pixels(&mut rng, 2, SMALL);
    let score = |client: &Client| -> EncryptedScores {
        let ensemble = EncryptedEnsemble::new(&client.params, &networks).unwrap();
        ensemble.evaluate(&client.keys, &client.secret.encrypt(&signed(&images), 36).unwrap()).unwrap()
    };
    let mut first = score(&ONE);
    assert!(matches!(first.add(&score(&ONE)), Err(Error::OtherBatch)));
    assert!(matches!(first.add(&score(&TWO)), Err(Error::OtherParams { .. })));
    let same = first.clone();
    first.add(&same).unwrap();
    let doubled = sums(&networks, &images).iter().map(|x| 2 * x).collect::<Vec<_>>();
    assert_eq!(ONE.secret.decrypt(&first).unwrap().values, doubled);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// A network that squares twice and multiplies by one shows the values that were encrypted.
    #[test]
    fn values_come_back_to_the_fourth_power(values in prop::collection::vec(-1500_i64..=1500, 1..20)) {
        let shape = Shape { height: 1, width: 1, kernel: 1, stride: 1, padding: 0, maps: 1, hidden: 1, classes: 1 };
        let mut identity = network(&mut rng(0), shape, [0; 3], [0; 3]);
        identity.layers.iter_mut().for_each(|layer| layer.weights[0] = 1);
        let ensemble = EncryptedEnsemble::new(&ONE.params, &[identity]).unwrap();
        let images = ONE.secret.encrypt(&values, 1).unwrap();
        let scores = ONE.secret.decrypt(&ensemble.evaluate(&ONE.keys, &images).unwrap()).unwrap();
        prop_assert_eq!(scores.values, values.iter().map(|&x| i128::from(x).pow(4)).collect::<Vec<_>>());
    }
}

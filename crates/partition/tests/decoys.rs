//! What decoys hide, against going through every case.

use cleave_partition::{Error, guess_with_decoys};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Every sequence of labels, the real one first: for each multiset of labels, the best class to name.
fn by_brute_force(prior: &[f64], pool: &[f64], decoys: usize) -> f64 {
    let share = |weights: &[f64], class: usize| weights[class] / weights.iter().sum::<f64>();
    let classes = prior.len();
    let mut seen = std::collections::BTreeMap::<Vec<usize>, Vec<f64>>::new();
    for code in 0..classes.pow(decoys as u32 + 1) {
        let labels: Vec<_> = (0..=decoys).map(|place| code / classes.pow(place as u32) % classes).collect();
        let decoy = labels[1..].iter().map(|&label| share(pool, label)).product::<f64>();
        let mut sorted = labels.clone();
        sorted.sort_unstable();
        seen.entry(sorted).or_insert_with(|| vec![0.0; classes])[labels[0]] += share(prior, labels[0]) * decoy;
    }
    seen.values().map(|joint| joint.iter().copied().fold(0.0, f64::max)).sum()
}

fn largest(weights: &[f64]) -> f64 {
    weights.iter().copied().fold(0.0, f64::max) / weights.iter().sum::<f64>()
}

/// Weights of which some may be 0, but not all.
fn weights(classes: usize) -> impl Strategy<Value = Vec<f64>> {
    let weight = prop_oneof![1 => Just(0.0), 4 => 0.01..10.0f64];
    proptest::collection::vec(weight, classes).prop_filter("all 0", |weights| weights.iter().any(|w| *w > 0.0))
}

fn pairs() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    (1..5usize).prop_flat_map(|classes| (weights(classes), weights(classes)))
}

proptest! {
    #[test]
    fn it_is_what_going_through_every_case_gives((prior, pool) in pairs(), decoys in 0..5usize) {
        let (got, expected) = (guess_with_decoys(&prior, &pool, decoys).unwrap(), by_brute_force(&prior, &pool, decoys));
        prop_assert!((got - expected).abs() < 1e-9, "{} against {}", got, expected);
    }

    #[test]
    fn it_lies_between_the_likeliest_class_and_certainty_and_falls_with_more_decoys(
        (prior, pool) in pairs(),
        decoys in 0..12usize,
    ) {
        let (few, more) = (guess_with_decoys(&prior, &pool, decoys).unwrap(), guess_with_decoys(&prior, &pool, decoys + 1).unwrap());
        prop_assert!(few <= 1.0 && more >= largest(&prior) - 1e-9);
        prop_assert!(more <= few + 1e-9, "{} after {}", more, few);
    }

    #[test]
    fn with_a_pool_like_the_images_it_falls_and_stays_above_one_image_in_all(prior in weights(3), decoys in 1..8usize) {
        let alike = guess_with_decoys(&prior, &prior, decoys).unwrap();
        prop_assert!(alike <= guess_with_decoys(&prior, &prior, decoys - 1).unwrap() + 1e-9);
        prop_assert!(alike >= 1.0 / (decoys as f64 + 1.0));
    }
}

#[test]
fn without_decoys_every_label_is_known() {
    assert!((guess_with_decoys(&[3.0, 1.0], &[1.0, 1.0], 0).unwrap() - 1.0).abs() < 1e-12);
}

/// Two classes, one decoy, all even: equal labels give it away, and one of each leaves a coin to toss.
#[test]
fn one_decoy_among_two_even_classes_leaves_three_quarters() {
    assert!((guess_with_decoys(&[1.0, 1.0], &[1.0, 1.0], 1).unwrap() - 0.75).abs() < 1e-12);
}

#[test]
fn a_class_that_the_pool_lacks_gives_the_image_away() {
    let hidden = guess_with_decoys(&[0.5, 0.5, 0.0], &[0.5, 0.5, 0.0], 63).unwrap();
    let away = guess_with_decoys(&[0.25, 0.25, 0.5], &[0.5, 0.5, 0.0], 63).unwrap();
    assert!((away - (0.5 + 0.5 * hidden)).abs() < 1e-9, "{away} {hidden}");
    assert_eq!(guess_with_decoys(&[1.0, 0.0], &[0.0, 1.0], 9).unwrap(), 1.0);
}

/// For many classes and decoys, against drawing: a mean of 40 000 largest posteriors, five standard errors allowed.
#[test]
fn for_many_classes_it_is_what_drawing_gives() {
    const DRAWS: usize = 40_000;
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut draw = |classes: usize| (0..classes).map(|_| rng.random_range(0.2..1.0)).collect::<Vec<f64>>();
    for (classes, decoys) in [(10, 15), (100, 63)] {
        let (prior, pool) = (draw(classes), draw(classes));
        let posteriors: Vec<f64> = (0..DRAWS).map(|seed| posterior(&prior, &pool, decoys, seed as u64)).collect();
        let mean = posteriors.iter().sum::<f64>() / DRAWS as f64;
        let variance = posteriors.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / DRAWS as f64;
        let got = guess_with_decoys(&prior, &pool, decoys).unwrap();
        assert!((got - mean).abs() < 5.0 * (variance / DRAWS as f64).sqrt(), "{got} against {mean}");
    }
}

/// The largest posterior after one draw of all labels.
fn posterior(prior: &[f64], pool: &[f64], decoys: usize, seed: u64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut label = |weights: &[f64]| {
        let mut rest = rng.random_range(0.0..weights.iter().sum());
        weights.iter().position(|weight| {
            rest -= weight;
            rest < 0.0
        })
    };
    let mut counts = vec![0.0; prior.len()];
    let real = label(prior).unwrap_or(0);
    counts[real] += 1.0;
    (0..decoys).for_each(|_| counts[label(pool).unwrap_or(0)] += 1.0);
    let joint: Vec<f64> = (0..prior.len()).map(|k| prior[k] / pool[k] * counts[k]).collect();
    joint.iter().copied().fold(0.0, f64::max) / joint.iter().sum::<f64>()
}

#[test]
fn weights_that_are_no_distribution_are_refused() {
    let wrong: [&[f64]; 6] = [&[], &[0.0, 0.0], &[1.0, -1.0], &[1.0, f64::NAN], &[1.0, f64::INFINITY], &[1.0]];
    for weights in wrong {
        let classes = if weights.len() == 1 { 2 } else { weights.len() };
        let even = vec![1.0; classes];
        assert!(matches!(guess_with_decoys(weights, &even, 3), Err(Error::Frequencies { .. })), "{weights:?}");
        assert!(matches!(guess_with_decoys(&even, weights, 3), Err(Error::Frequencies { .. })), "{weights:?}");
    }
}

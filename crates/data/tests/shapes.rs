//! The drawn shapes: the same for the same seed, balanced, and beyond a linear model.

#![allow(clippy::unwrap_used)] // helpers of tests may stop the test

use cleave_data::{DataError, Dataset, Preparation, Shapes};

#[test]
fn images_depend_on_seed_split_and_index_alone() {
    let shapes = Shapes::new(4, 24, 1).unwrap();
    let short = shapes.dataset("train", 8);
    let long = shapes.dataset("train", 20);
    let other = Shapes::new(4, 24, 2).unwrap().dataset("train", 8);
    for index in 0..8 {
        assert_eq!(short.decode(index).unwrap(), long.decode(index).unwrap());
        assert_ne!(short.decode(index).unwrap(), other.decode(index).unwrap());
        assert_ne!(short.decode(index).unwrap(), shapes.dataset("val", 8).decode(index).unwrap());
    }
    assert_eq!(long.class_counts(), [5; 4]);
    assert_eq!(long.classes(), ["disc", "triangle", "cross", "ring"]);
    assert_eq!(long.name(3), "train/3");
    assert!(matches!(long.decode(20), Err(DataError::Index { .. })));
}

#[test]
fn a_fingerprint_tells_sets_of_the_same_names_apart() {
    let fingerprint = |seed, images| Shapes::new(4, 24, seed).unwrap().dataset("train", images).fingerprint();
    assert_eq!(fingerprint(1, 40), fingerprint(1, 40));
    assert_ne!(fingerprint(1, 40), fingerprint(1, 41));
    assert_ne!(fingerprint(1, 40), fingerprint(2, 40), "the pixels differ, and nothing else");
    let relabelled = Shapes::new(4, 24, 1).unwrap().dataset("train", 40);
    let relabelled = relabelled.with_classes(&["disc", "triangle", "ring", "cross"]).unwrap();
    assert_ne!(fingerprint(1, 40), relabelled.fingerprint());
}

#[test]
fn impossible_sets_are_refused() {
    for (classes, side) in [(1, 32), (9, 32), (2, 15), (2, 513)] {
        assert!(matches!(Shapes::new(classes, side, 0), Err(DataError::Shapes { .. })));
    }
}

const SIDE: usize = 32;
const VALUES: usize = 3 * SIDE * SIDE;

fn vectors(dataset: &Dataset) -> Vec<(Vec<f32>, f32)> {
    let preparation = Preparation::new(SIDE, SIDE, 3);
    let vector = |index| {
        let values = preparation.prepare(&dataset.decode(index).unwrap()).unwrap();
        (values, dataset.label(index).unwrap() as f32)
    };
    (0..dataset.len()).map(vector).collect()
}

/// Logistic regression by stochastic gradient descent, with decay.
fn train(samples: &[(Vec<f32>, f32)]) -> Vec<f32> {
    let mut weights = vec![0.0_f32; VALUES + 1];
    for epoch in 0..12 {
        let rate = 2e-3 / (1.0 + epoch as f32);
        for (values, label) in samples {
            let gap = 1.0 / (1.0 + (-score(&weights, values)).exp()) - label;
            for (weight, value) in weights.iter_mut().zip(values.iter().chain(&[1.0])) {
                *weight -= rate * (gap * value + 1e-3 * *weight);
            }
        }
    }
    weights
}

fn score(weights: &[f32], values: &[f32]) -> f32 {
    weights.iter().zip(values.iter().chain(&[1.0])).map(|(w, v)| w * v).sum()
}

fn accuracy(weights: &[f32], samples: &[(Vec<f32>, f32)]) -> f32 {
    let right = |(values, label): &&(Vec<f32>, f32)| (score(weights, values) > 0.0) == (*label > 0.5);
    samples.iter().filter(right).count() as f32 / samples.len() as f32
}

#[test]
fn a_linear_model_on_pixels_stays_near_chance() {
    let shapes = Shapes::new(2, SIDE, 11).unwrap();
    let (known, new) = (vectors(&shapes.dataset("train", 3000)), vectors(&shapes.dataset("val", 1000)));
    let weights = train(&known);
    let accuracy = accuracy(&weights, &new);
    assert!(accuracy <= 0.65, "accuracy {accuracy}");
}

/// The same model does learn where there is something linear to learn: the test can fail.
#[test]
fn the_linear_model_learns_a_linear_question() {
    let shapes = Shapes::new(2, SIDE, 11).unwrap();
    let bright = |(values, _): (Vec<f32>, f32)| {
        let sum: f32 = values.iter().sum();
        (values, f32::from(sum > 0.0))
    };
    let set = |split, len| -> Vec<_> { vectors(&shapes.dataset(split, len)).into_iter().map(bright).collect() };
    let weights = train(&set("train", 1000));
    let accuracy = accuracy(&weights, &set("val", 400));
    assert!(accuracy >= 0.85, "accuracy {accuracy}");
}

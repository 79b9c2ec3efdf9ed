#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy exempts only the test functions themselves")]

use cleave_secrets::Secret;

use super::*;
use crate::{Error, ckks::Params};

const SHAPE: Shape = Shape { samples: 13, features: 12, classes: 3 };

/// Two clusters a class, from a fixed sequence.
fn data(shape: Shape) -> TrainingData {
    let labels: Vec<_> = (0..shape.samples).map(|i| i % shape.classes).collect();
    let value = |i: usize, j: usize| {
        ((i * 37 + j * 11) as f64 * 0.7).sin() * 0.4 + if j % shape.classes == labels[i] { 1.0 } else { 0.0 }
    };
    let features: Vec<_> =
        (0..shape.samples).flat_map(|i| (1..shape.features).map(move |j| (i, j))).map(|(i, j)| value(i, j)).collect();
    TrainingData::new(&features, &labels, shape.classes).unwrap()
}

fn worst(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn encrypted_training_is_that_in_the_clear() {
    let data = data(SHAPE);
    for (params, rounds) in
        [(Params::insecure_for_tests(512, 8, 1, 1), vec![2]), (Params::insecure_for_tests(256, 8, 3, 3), vec![1, 2, 2])]
    {
        for preconditioner in [Preconditioner::Diagonal, Preconditioner::Ridge(0.5)] {
            let client = TrainingClient::new(&params, &Secret::from_bytes(&[1; 32]), SHAPE).unwrap();
            let trainer = Trainer::new(client.evaluation_keys().unwrap(), SHAPE).unwrap();
            let encrypted = client.encrypt_data(&data, preconditioner).unwrap();
            let how = Method { preconditioner, ..Method::PAPER };
            let mut clear = Model::start(&data, 0.0128);
            let mut model = Model::start(&data, 0.0128);
            for count in rounds.iter().copied() {
                let answer = trainer
                    .train(&encrypted, client.encrypt_model(&model).unwrap(), Cubic::PAPER, count, |_, _| true)
                    .unwrap();
                assert_eq!(answer.level(), 8 - 4 * count);
                model = client.decrypt_model(&answer).unwrap();
                (0..count).for_each(|_| clear.advance(&data, how).unwrap());
                assert_eq!(model.iterations(), clear.iterations());
                let errors = [worst(model.weights(), clear.weights()), worst(model.ahead(), clear.ahead())];
                println!("{errors:?}");
                assert!(errors.into_iter().all(|error| error < 1e-6), "{errors:?}");
            }
        }
    }
}

//! Two iterations of Chiang 2023 on ciphertexts, at the paper's size, against the same in the clear. `CLEAVE_DATA`
//! names the folder of real data; where it was not set when these tests were built, they report themselves as
//! ignored.

#![allow(clippy::unwrap_used, reason = "clippy exempts only the test functions themselves")]

use std::{fs::File, io::Read, path::PathBuf};

use cleave_encrypted::{
    ckks::{ParamSet, Params},
    training::{Activation, Cubic, Method, Model, Preconditioner, Shape, Trainer, TrainingClient, TrainingData},
};
use cleave_secrets::Secret;

const FEATURES: usize = 400;

/// Features of the first 256 images, cut into those trained on and the others.
fn load(samples: usize) -> [TrainingData; 2] {
    let root = PathBuf::from(std::env::var_os("CLEAVE_DATA").unwrap());
    let file = File::open(root.join("regnet-mnist/features-first256.csv.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let numbers = |line: &str| line.split(',').map(|x| x.parse().unwrap()).collect::<Vec<f64>>();
    let rows: Vec<_> = text.lines().map(numbers).collect();
    let part = |rows: &[Vec<f64>]| {
        let features: Vec<_> = rows.iter().flat_map(|row| row[1..].to_vec()).collect();
        let labels: Vec<_> = rows.iter().map(|row| row[0] as usize).collect();
        TrainingData::new(&features, &labels, 10).unwrap()
    };
    let (first, rest) = rows.split_at(samples);
    [part(first), part(rest)]
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Trains under encryption and in the clear, and compares the weights.
fn train(data: &TrainingData, start: f64, cubic: Cubic, preconditioner: Preconditioner) -> Model {
    let params = Params::named(ParamSet::Ckks16384x8).unwrap();
    let shape = Shape { samples: data.samples(), features: FEATURES + 1, classes: 10 };
    let client = TrainingClient::new(&params, &Secret::generate().unwrap(), shape).unwrap();
    let trainer = Trainer::new(client.evaluation_keys().unwrap(), shape).unwrap();
    let encrypted = client.encrypt_data(data, preconditioner).unwrap();
    let mut clear = Model::start(data, start);
    let asked = client.encrypt_model(&clear).unwrap();
    let answer = trainer.train(&encrypted, asked, cubic, 2, |_, _| true).unwrap();
    let model = client.decrypt_model(&answer).unwrap();
    let how = Method { activation: Activation::Cubic(cubic), preconditioner };
    (0..2).for_each(|_| clear.advance(data, how).unwrap());
    let error = distance(model.weights(), clear.weights()).max(distance(model.ahead(), clear.ahead()));
    assert!(error < 1e-5, "{error:e}");
    model
}

#[test]
#[cfg_attr(not(real_data), ignore = "set CLEAVE_DATA to the folder of real data")]
fn the_papers_two_iterations() {
    let [data, rest] = load(128);
    assert!((Model::start(&data, 0.0128).range(&data).unwrap() - 4.05).abs() < 0.01, "the data that were measured");
    let model = train(&data, 0.0128, Cubic::PAPER, Preconditioner::Diagonal);
    // The paper, on 10,000 test images: 21.49 % and −14.72 an image.
    let loss = model.loss(&rest).unwrap() / rest.samples() as f64;
    assert!((loss + 14.78).abs() < 0.01, "{loss}");
    assert!((model.accuracy(&rest).unwrap() - 29.0 / 128.0).abs() < 0.02);
}

#[test]
#[cfg_attr(not(real_data), ignore = "set CLEAVE_DATA to the folder of real data")]
fn a_ridge_learns_in_two_iterations() {
    let [data, rest] = load(192);
    let model = train(&data, 0.0, Cubic::fitted(8.0).unwrap(), Preconditioner::Ridge(10.0));
    assert!(model.accuracy(&rest).unwrap() >= 0.85);
}

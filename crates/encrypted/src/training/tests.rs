//! On rings that hide nothing, so that they are quick. `tests/training.rs` has the real ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy exempts only the test functions themselves")]

use std::time::Duration;

use cleave_secrets::Secret;
use zeroize::Zeroizing;

use super::*;
use crate::{
    Error, Fault,
    ckks::{KeyCollector, Params},
};

const SHAPE: Shape = Shape { samples: 13, features: 12, classes: 3 };

/// A cluster a class, from a fixed sequence.
fn data(shape: Shape) -> TrainingData {
    let labels: Vec<_> = (0..shape.samples).map(|i| i % shape.classes).collect();
    let value = |i: usize, j: usize| {
        ((i * 37 + j * 11) as f64 * 0.7).sin() * 0.4 + f64::from(u8::from(j % shape.classes == labels[i]))
    };
    let places = (0..shape.samples).flat_map(|i| (1..shape.features).map(move |j| (i, j)));
    let features: Vec<_> = places.map(|(i, j)| value(i, j)).collect();
    TrainingData::new(&features, &labels, shape.classes).unwrap()
}

fn worst(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn go_on(_: usize, _: Duration) -> bool {
    true
}

fn client(params: &Params, shape: Shape) -> (TrainingClient, Trainer) {
    let client = TrainingClient::new(params, &Secret::from_bytes(&[1; 32]), shape).unwrap();
    let trainer = Trainer::new(client.evaluation_keys().unwrap(), shape).unwrap();
    (client, trainer)
}

#[test]
fn encrypted_training_is_that_in_the_clear() {
    let one = Params::insecure_for_tests(512, 8, 1, 1);
    let three = Params::insecure_for_tests(256, 8, 3, 3);
    // Several blocks of samples, one full block, more slots than samples need; one class group, or several.
    let several = Shape { samples: 300, ..SHAPE };
    let full = Shape { samples: 16, features: 5, classes: 2 };
    let cases =
        [(&one, SHAPE, vec![2]), (&three, SHAPE, vec![1, 2, 2]), (&one, full, vec![2]), (&three, full, vec![2])];
    let wide = Params::insecure_for_tests(2048, 8, 1, 1);
    for (params, shape, rounds) in cases.into_iter().chain([(&wide, several, vec![2, 1])]) {
        let data = data(shape);
        let (client, trainer) = client(params, shape);
        for preconditioner in [Preconditioner::Diagonal, Preconditioner::Ridge(0.5)] {
            let encrypted = client.encrypt_data(&data, preconditioner).unwrap();
            let how = Method { preconditioner, ..Method::PAPER };
            let [mut clear, mut model] = [0.0128; 2].map(|value| Model::start(&data, value));
            for &count in &rounds {
                let asked = client.encrypt_model(&model).unwrap();
                let answer = trainer.train(&encrypted, asked, Cubic::PAPER, count, go_on).unwrap();
                assert_eq!((answer.level(), answer.iterations()), (8 - 4 * count, clear.iterations() + count));
                model = client.decrypt_model(&answer).unwrap();
                (0..count).for_each(|_| clear.advance(&data, how).unwrap());
                let errors = [worst(model.weights(), clear.weights()), worst(model.ahead(), clear.ahead())];
                assert!(errors.into_iter().all(|error| error < 2e-7), "{shape:?} {errors:?}");
                assert!(worst(clear.ahead(), &vec![0.0128; clear.ahead().len()]) > 0.01, "something was learnt");
            }
        }
    }
}

/// Algorithm 1 of Chiang 2023 once more, with matrices in place of sums, for one step by hand.
#[test]
fn steps_and_the_quadratic_gradient_are_the_papers() {
    let mut steps = steps(128);
    let (first, second) = (steps.next().unwrap(), steps.next().unwrap());
    let one = (1.0 + 1.0004_f64.sqrt()) / 2.0;
    let two = (1.0 + (1.0 + 4.0 * one * one).sqrt()) / 2.0;
    assert_eq!((first.gain, second.gain), (1.0 + 1.0 / 128.0, 1.0 + 1.0 / 256.0));
    assert!((first.eta - 0.99 / one).abs() < 1e-15 && (second.eta - (1.0 - one) / two).abs() < 1e-15);

    let data = TrainingData::new(&[2.0, -4.0], &[0, 1], 2).unwrap();
    // X = [[1, 2], [1, −4]]; Σ_k|x_ik| = 3 and 5; columns weigh 3 + 5 and 6 + 20.
    let directions = data.directions(Preconditioner::Diagonal).unwrap();
    let b = [1.0 / (1e-10 + 2.0), 1.0 / (1e-10 + 6.5)];
    assert!(worst(&directions, &[b[0], 2.0 * b[1], b[0], -4.0 * b[1]]) < 1e-15);
    let mut model = Model::start(&data, 0.0);
    model.advance(&data, Method::PAPER).unwrap();
    // Y − P = ±½, so that the gradient of class 0 is ½(x₀ − x₁) = (0, 3).
    let next = 1.5 * (3.0 * b[1]);
    assert!(worst(model.ahead(), &[0.0, next, 0.0, -next]) < 1e-15);
    let weight = (1.0 - first.eta) * next;
    assert!(worst(model.weights(), &[0.0, weight, 0.0, -weight]) < 1e-15);
    assert_eq!(model.accuracy(&data).unwrap(), 1.0);
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let loss = 2.0 * sigmoid(2.0 * weight).ln() + 2.0 * sigmoid(4.0 * weight).ln();
    assert!((model.loss(&data).unwrap() - loss).abs() < 1e-12);
    assert!((model.range(&data).unwrap() - 4.0 * next).abs() < 1e-12);
}

#[test]
fn the_ridge_solves_its_equation() {
    let data = data(SHAPE);
    let d = SHAPE.features;
    let directions = data.directions(Preconditioner::Ridge(0.3)).unwrap();
    // (¼XᵀX + λ)·direction_i = x_i.
    for i in 0..SHAPE.samples {
        let direction = &directions[i * d..(i + 1) * d];
        let mut out: Vec<f64> = direction.iter().map(|x| 0.3 * x).collect();
        for k in 0..SHAPE.samples {
            let product: f64 = data.sample(k).iter().zip(direction).map(|(x, y)| x * y).sum();
            out.iter_mut().zip(data.sample(k)).for_each(|(out, x)| *out += product * x / 4.0);
        }
        assert!(worst(&out, data.sample(i)) < 1e-12);
    }
    for lambda in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(data.directions(Preconditioner::Ridge(lambda)), Err(Error::Value { .. })));
    }
}

/// The two ways to decompose give the same.
#[test]
fn the_ridge_solves_its_equation_for_many_samples_too() {
    let many = data(Shape { samples: 700, ..SHAPE });
    let d = SHAPE.features;
    let directions = many.directions(Preconditioner::Ridge(0.3)).unwrap();
    let mut gram = vec![0.0; d * d];
    for (i, (j, k)) in (0..700).flat_map(|i| (0..d * d).map(move |at| (i, (at / d, at % d)))) {
        gram[j * d + k] += many.sample(i)[j] * many.sample(i)[k] / 4.0;
    }
    for (i, direction) in directions.chunks_exact(d).enumerate() {
        let out: Vec<f64> =
            (0..d).map(|j| 0.3 * direction[j] + (0..d).map(|k| gram[j * d + k] * direction[k]).sum::<f64>()).collect();
        assert!(worst(&out, many.sample(i)) < 1e-10);
    }
}

/// The gradient of `advance_plain`, from where it goes, against differences of what it makes larger.
#[test]
fn plain_gradients_are_those_of_their_likelihoods() {
    let data = data(SHAPE);
    let weights = (0..SHAPE.classes * SHAPE.features).map(|k| (k as f64).sin()).collect::<Vec<_>>();
    let model = |weights: &[f64]| {
        let copy = || Zeroizing::new(weights.to_vec());
        Model::from_parts(SHAPE.classes, SHAPE.features, 0, copy(), copy())
    };
    for likelihood in [Likelihood::Softmax, Likelihood::Sigmoid] {
        let value = |weights: &[f64]| match likelihood {
            Likelihood::Softmax => model(weights).log_likelihood(&data).unwrap(),
            Likelihood::Sigmoid => model(weights).loss(&data).unwrap(),
        };
        for (rate, factors) in [(Rate::Constant(0.5), [0.5, 0.5]), (Rate::Falling(0.5), [0.5, 0.25])] {
            let mut moved = model(&weights);
            for factor in factors {
                let (from, at) = (moved.weights().to_vec(), moved.ahead().to_vec());
                moved.advance_plain(&data, Plain { likelihood, rate }).unwrap();
                for k in 0..at.len() {
                    let ends = [1e-4, -1e-4].map(|step| {
                        let mut near = at.clone();
                        near[k] += step;
                        value(&near)
                    });
                    let slope = (ends[0] - ends[1]) / 2e-4;
                    let gone = (moved.ahead()[k] - from[k]) * data.samples() as f64 / factor;
                    assert!((gone - slope).abs() < 1e-6, "{likelihood:?} {k}: {gone} {slope}");
                }
            }
        }
    }
    let how = Plain { likelihood: Likelihood::Softmax, rate: Rate::Constant(f64::NAN) };
    assert!(matches!(model(&weights).advance_plain(&data, how), Err(Error::Value { .. })));
    let other = self::data(Shape { features: 11, ..SHAPE });
    let how = Plain { rate: Rate::Constant(1.0), ..how };
    assert!(matches!(model(&weights).advance_plain(&other, how), Err(Error::Count { .. })));
    assert!(matches!(model(&weights).log_likelihood(&other), Err(Error::Count { .. })));
}

/// Softmax where `exp` would overflow, and where every class scores alike.
#[test]
fn the_log_likelihood_holds_for_large_scores() {
    let data = TrainingData::new(&[2.0, -2.0], &[0, 1], 2).unwrap();
    let model = |weights: [f64; 4]| {
        let weights = Zeroizing::new(weights.to_vec());
        Model::from_parts(2, 2, 0, weights.clone(), weights)
    };
    let even = model([5.0, 0.0, 5.0, 0.0]).log_likelihood(&data).unwrap();
    assert!((even - 2.0 * 0.5_f64.ln()).abs() < 1e-15);
    assert_eq!(model([0.0, 1e6, 0.0, 0.0]).log_likelihood(&data).unwrap(), 0.0);
}

#[test]
fn directions_computed_before_are_those_of_every_iteration() {
    let shape = Shape { samples: 1300, ..SHAPE };
    let data = data(shape);
    let directions = data.directions(Preconditioner::Diagonal).unwrap();
    let [mut model, mut other] = [0.0128; 2].map(|value| Model::start(&data, value));
    for _ in 0..3 {
        model.advance(&data, Method::PAPER).unwrap();
        other.advance_along(&data, &directions, Method::PAPER.activation).unwrap();
    }
    assert_eq!((model.weights(), model.ahead()), (other.weights(), other.ahead()));
    let short = &directions[1..];
    assert!(matches!(other.advance_along(&data, short, Activation::Sigmoid), Err(Error::Count { .. })));
}

#[test]
fn fitted_cubics_are_better_than_their_neighbours() {
    for range in [4.0, 8.0] {
        let fitted = Cubic::fitted(range).unwrap();
        let error = |cubic: Cubic| {
            let points = (-400..=400).map(|k| f64::from(k) * range / 400.0);
            points.map(|x| (cubic.at(x) - 1.0 / (1.0 + (-x).exp())).powi(2)).sum::<f64>()
        };
        for (linear, cubic) in [(1.01, 1.0), (0.99, 1.0), (1.0, 1.05), (1.0, 0.95)] {
            let other = Cubic { linear: fitted.linear * linear, cubic: fitted.cubic * cubic };
            assert!(error(fitted) < error(other) && error(fitted) < error(Cubic::PAPER));
        }
    }
    for range in [0.0, -8.0, f64::NAN, 1e9] {
        assert!(matches!(Cubic::fitted(range), Err(Error::Value { .. })));
    }
    assert_eq!(Cubic::PAPER.at(0.0), 0.5);
}

#[test]
fn data_that_cannot_be_is_refused() {
    let new = |features: &[f64], labels: &[usize], classes| TrainingData::new(features, labels, classes);
    assert!(matches!(new(&[], &[], 2), Err(Error::Count { .. })));
    assert!(matches!(new(&[], &[0], 2), Err(Error::Count { .. })), "no features");
    assert!(matches!(new(&[1.0; 3], &[0, 1], 2), Err(Error::Count { .. })));
    assert!(matches!(new(&[1.0], &[0], 1), Err(Error::Count { .. })));
    assert!(matches!(new(&[1.0; 2], &[0, 2], 2), Err(Error::OutOfRange { index: 1, .. })));
    assert!(matches!(new(&[1.0, f64::NAN], &[0, 1], 2), Err(Error::Value { index: 1 })));
    let (small, other) = (data(SHAPE), data(Shape { features: 11, ..SHAPE }));
    assert!(matches!(Model::start(&small, 0.0).advance(&other, Method::PAPER), Err(Error::Count { .. })));
    assert!(matches!(Model::start(&small, 0.0).loss(&other), Err(Error::Count { .. })));
    assert!(matches!(Model::start(&small, 0.0).accuracy(&other), Err(Error::Count { .. })));
    let text = format!("{small:?} {:?}", Model::start(&small, 0.25));
    assert!(!text.contains("0.25") && !text.contains("labels"), "{text}");
}

#[test]
fn what_does_not_fit_is_an_error() {
    let params = Params::insecure_for_tests(512, 8, 1, 1);
    let (own, trainer) = client(&params, SHAPE);
    let encrypted = own.encrypt_data(&data(SHAPE), Preconditioner::Diagonal).unwrap();
    let model = || own.encrypt_model(&Model::start(&data(SHAPE), 0.0)).unwrap();
    for count in [3, usize::MAX] {
        let error = trainer.train(&encrypted, model(), Cubic::PAPER, count, go_on).unwrap_err();
        assert!(matches!(error, Error::Level { got: 8, .. }), "{error}");
    }
    let answer = trainer.train(&encrypted, model(), Cubic::PAPER, 1, go_on).unwrap();
    let again = trainer.train(&encrypted, answer, Cubic::PAPER, 1, go_on).unwrap();
    assert_eq!((again.iterations(), again.level()), (2, 0));
    assert!(matches!(trainer.train(&encrypted, again, Cubic::PAPER, 1, go_on), Err(Error::Level { got: 0, .. })));
    let mut seen = Vec::new();
    let stopped = trainer.train(&encrypted, model(), Cubic::PAPER, 2, |t, _| {
        seen.push(t);
        false
    });
    assert!(matches!(stopped, Err(Error::Stopped)) && seen == [1]);

    let shape = Shape { features: 11, ..SHAPE };
    let (other, _) = client(&params, shape);
    assert!(matches!(own.encrypt_data(&data(shape), Preconditioner::Diagonal), Err(Error::Count { .. })));
    assert!(matches!(own.encrypt_model(&Model::start(&data(shape), 0.0)), Err(Error::Count { .. })));
    let strange = other.encrypt_model(&Model::start(&data(shape), 0.0)).unwrap();
    assert!(matches!(own.decrypt_model(&strange), Err(Error::Count { .. })));
    assert!(matches!(trainer.train(&encrypted, strange, Cubic::PAPER, 1, go_on), Err(Error::Count { .. })));
    let foreign = TrainingClient::new(&params, &Secret::generate().unwrap(), SHAPE).unwrap();
    let strange = foreign.encrypt_model(&Model::start(&data(SHAPE), 0.0)).unwrap();
    assert!(matches!(own.decrypt_model(&strange), Err(Error::OtherKey { .. })));
    assert!(matches!(trainer.train(&encrypted, strange, Cubic::PAPER, 1, go_on), Err(Error::OtherKey { .. })));
    let shallow = Params::insecure_for_tests(512, 3, 1, 1);
    assert!(matches!(TrainingClient::new(&shallow, &Secret::from_bytes(&[1; 32]), SHAPE), Err(Error::Level { .. })));
    // A cubic whose numbers no plaintext holds.
    let large = Cubic { linear: 1e300, cubic: f64::NAN };
    assert!(matches!(trainer.train(&encrypted, model(), large, 1, go_on), Err(Error::Value { .. })));
}

#[test]
fn everything_travels_in_pieces() {
    let params = Params::insecure_for_tests(512, 8, 3, 3);
    let (own, _) = client(&params, SHAPE);
    let (data, tags) = (data(SHAPE), own.tags());
    let keys = own.evaluation_keys().unwrap();
    let mut collector = KeyCollector::new(&key_plan(&params, SHAPE).unwrap());
    keys.pieces().for_each(|piece| collector.accept(&piece).unwrap());
    let trainer = Trainer::new(collector.finish().unwrap(), SHAPE).unwrap();

    let sent = own.encrypt_data(&data, Preconditioner::Diagonal).unwrap();
    let mut collector = Collector::data(trainer.tags(), SHAPE, sent.batch()).unwrap();
    for piece in sent.pieces(&tags) {
        let piece = piece.unwrap();
        assert!(piece.len() <= collector.piece_bytes());
        collector.accept(&piece).unwrap();
        assert!(collector.accept(&piece).is_err(), "twice the same");
    }
    assert!(collector.memory_bytes() > 0);
    let received = collector.into_data().unwrap();

    let asked = own.encrypt_model(&Model::start(&data, 0.1)).unwrap();
    let mut collector = Collector::model(trainer.tags(), SHAPE, asked.batch(), 0).unwrap();
    assert!(matches!(
        Collector::model(trainer.tags(), SHAPE, asked.batch(), 0).unwrap().into_model(),
        Err(Error::Incomplete { .. })
    ));
    asked.pieces(&tags).for_each(|piece| collector.accept(&piece.unwrap()).unwrap());
    let model = collector.into_model().unwrap();

    let answer = trainer.train(&received, model, Cubic::PAPER, 2, go_on).unwrap();
    let bytes: Vec<_> = answer.pieces(&trainer.tags()).map(Result::unwrap).collect();
    let mut collector = Collector::answer(own.tags(), &asked, 2).unwrap();
    for piece in &bytes {
        assert_eq!(piece.len(), collector.piece_bytes());
        collector.accept(piece).unwrap();
    }
    let model = own.decrypt_model(&collector.into_model().unwrap()).unwrap();
    let mut clear = Model::start(&data, 0.1);
    (0..2).for_each(|_| clear.advance(&data, Method::PAPER).unwrap());
    assert_eq!(model.iterations(), 2);
    assert!(worst(model.weights(), clear.weights()) < 2e-7);

    // The answer to other questions, or something else in its place.
    let first = &bytes[0];
    let other_place = |collector: crate::Result<Collector>, piece: &[u8]| {
        matches!(collector.unwrap().accept(piece), Err(Error::OtherPlace))
    };
    assert!(other_place(Collector::answer(own.tags(), &asked, 1), first), "of another iteration");
    assert!(other_place(Collector::answer(own.tags(), &asked, 2), &bytes[1]), "out of order");
    let again = own.encrypt_model(&Model::start(&data, 0.1)).unwrap();
    assert!(other_place(Collector::answer(own.tags(), &again, 2), first), "of another round");
    let mirrored = asked.pieces(&tags).next().unwrap().unwrap();
    assert!(other_place(Collector::answer(own.tags(), &asked, 2), &mirrored), "the question itself");
    assert!(other_place(Collector::data(own.tags(), SHAPE, asked.batch()), &mirrored), "weights for data");
    assert!(matches!(Collector::answer(own.tags(), &asked, 3), Err(Error::Count { .. })));
    assert!(matches!(Collector::answer(own.tags(), &asked, 0), Err(Error::Count { .. })));
    let complete = || {
        let mut collector = Collector::answer(own.tags(), &asked, 2).unwrap();
        bytes.iter().for_each(|piece| collector.accept(piece).unwrap());
        collector
    };
    assert!(matches!(complete().accept(first), Err(Error::OtherPlace)), "one too many");
    assert!(matches!(complete().into_data(), Err(Error::OtherPlace)));
    for bit in (0..first.len() * 8).step_by(1009) {
        let mut bytes = first.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut collector = Collector::answer(own.tags(), &asked, 2).unwrap();
        assert!(collector.accept(&bytes).is_err() && collector.progress().0 == 0, "bit {bit}");
        assert!(collector.accept(&first[..bit / 8]).is_err(), "cut at {}", bit / 8);
    }
    let foreign = TrainingClient::new(&params, &Secret::generate().unwrap(), SHAPE).unwrap();
    let error = Collector::answer(foreign.tags(), &asked, 2).unwrap().accept(first).unwrap_err();
    assert!(matches!(error, Error::Bytes { fault: Fault::Tag, .. }));
    let params = Params::insecure_for_tests(256, 8, 3, 3);
    let foreign = TrainingClient::new(&params, &Secret::from_bytes(&[1; 32]), SHAPE).unwrap();
    assert!(matches!(Collector::answer(foreign.tags(), &asked, 2), Err(Error::OtherParams { .. })));
    let error = Collector::data(foreign.tags(), SHAPE, sent.batch()).unwrap().accept(first).unwrap_err();
    assert!(matches!(error, Error::OtherParams { .. }));
}

/// A provider that answers with anything at all must not see the client fail.
#[test]
fn whatever_is_answered_can_be_encrypted_anew() {
    let params = Params::insecure_for_tests(512, 8, 1, 1);
    let (own, trainer) = client(&params, SHAPE);
    let encrypted = own.encrypt_data(&data(SHAPE), Preconditioner::Diagonal).unwrap();
    let asked = own.encrypt_model(&Model::start(&data(SHAPE), 0.0)).unwrap();
    let mut answer = trainer.train(&encrypted, asked, Cubic::PAPER, 2, go_on).unwrap();
    for ciphertext in answer.ahead.iter_mut().chain(&mut answer.other) {
        // Residues that decrypt to noise over the whole range, at the smallest scale there is.
        *ciphertext = ciphertext.drop_to(0).unwrap().garbled(65_536.0);
    }
    let model = own.decrypt_model(&answer).unwrap();
    assert!(model.ahead().iter().any(|v| v.abs() == 65_536.0), "some were cut off");
    own.encrypt_model(&model).unwrap();
}

/// A level or a scale that was not agreed upon, with a right tag.
#[test]
fn pieces_at_other_levels_are_refused() {
    use crate::ckks::{Complex, Plaintext, SecretKey};
    let params = Params::insecure_for_tests(512, 8, 1, 1);
    let secret = SecretKey::new(&params, &Secret::from_bytes(&[1; 32]));
    let batch = [4; 32];
    let piece = |level, scale| {
        let plain = Plaintext::encode(&params, &[Complex::from(1.0)], level, scale).unwrap();
        secret.encrypt(&plain).unwrap().to_bytes(&secret.tags(), &batch, 1 << 56).unwrap()
    };
    let accept = |piece: &[u8]| Collector::data(secret.tags(), SHAPE, batch).unwrap().accept(piece);
    accept(&piece(8, params.scale())).unwrap();
    assert!(matches!(accept(&piece(7, params.scale())), Err(Error::Level { expected: 8, got: 7, .. })));
    assert!(matches!(accept(&piece(8, params.scale() * 2.0)), Err(Error::Scale { .. })));
}

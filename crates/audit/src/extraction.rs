//! A back half made up by a client who asks questions.

use crate::learner::{Learner, cosine};
use crate::observer::{Observer, step};
use crate::pixels::{Lot, to_host};
use crate::probe::{CHUNK, client_hits};
use crate::target::{Stream, Target};
use crate::{Error, Extraction, Share};
use burn::tensor::activation::{log_softmax, softmax};
use cleave_data::Loader;
use cleave_nets::{Pass, argmax};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

/// Settings of model extraction (Tramèr et al. 2016; the loss is that of Hinton, Vinyals, Dean 2015).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ExtractionSettings {
    /// Batches to train on; the loader cuts them, and each image is one question.
    pub steps: usize,
    /// Rate of Adam at the start.
    pub rate: f64,
}

impl Default for ExtractionSettings {
    fn default() -> Self {
        Self { steps: 300, rate: 1e-3 }
    }
}

/// Trains a back half of the same layers and random weights to answer as the true one does, and compares the two on
/// private images. Whoever does this has the front half, images of the same kind without labels, and every score that
/// the back half answers, and leaves the defences at the cut away.
pub(crate) fn extract(
    target: &Target,
    loader: &Loader,
    private: &Lot,
    settings: &ExtractionSettings,
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<Extraction, Error> {
    let began = Instant::now();
    let target = &target.undefended();
    let mut learner = Learner::new(target.back.architecture().clone(), seed, target.front.device())?;
    let mut stream = Stream::new(target, loader, seed)?;
    let mut questions = 0;
    for at in 0..settings.steps {
        step(observer)?;
        let seen = stream.next()?;
        questions += seen.labels.len();
        let answers = target.back.forward(seen.smashed.clone(), Pass::default())?.flatten::<2>(1, 3); // [batch, classes]
        let scores = learner.forward(seen.smashed, None)?.flatten::<2>(1, 3);
        let likelihood = log_softmax(scores, 1) * softmax(answers, 1).autodiff();
        let loss = likelihood.sum_dim(1).mean() * -1.0;
        let value = loss.clone().into_scalar::<f32>();
        if !value.is_finite() {
            return Err(Error::Diverged { attack: "the extraction of the back half", value, step: at });
        }
        learner.step(cosine(settings.rate, at, settings.steps), &mut loss.backward());
    }
    let copy = learner.finished();
    let (mut rng, classes) = (ChaCha8Rng::seed_from_u64(!seed), target.classes());
    let (mut alike, mut right, mut own) = (0, 0, 0);
    for chunk in private.chunks(CHUNK) {
        let seen = target.see(chunk, &mut rng)?;
        let answers = target.answers(seen.smashed.clone())?;
        let copied = to_host(copy.forward(seen.smashed.clone(), Pass::default())?)?;
        let pairs = answers.chunks(classes).zip(copied.chunks(classes));
        alike += pairs.filter(|(answer, copied)| argmax(answer) == argmax(copied)).count();
        right += client_hits(target, &seen, &copied);
        own += client_hits(target, &seen, &answers);
    }
    Ok(Extraction {
        agreement: Share::of(alike, private.len()),
        accuracy: Share::of(right, private.len()),
        undefended: Share::of(own, private.len()),
        questions,
        steps: settings.steps,
        seconds: began.elapsed().as_secs_f64(),
        seed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;
    use cleave_data::{LoadOptions, Preparation, Shapes};
    use cleave_nets::{Architecture, Layer, Network, Shape, Window};
    use cleave_partition::{Cut, Point, cut};

    const SIDE: usize = 16;

    fn loader(split: &str, images: usize) -> Loader {
        let shapes = Shapes::new(2, 32, 5).unwrap().dataset(split, images);
        Loader::new(shapes, Preparation::new(SIDE, SIDE, 3), LoadOptions::training(16, 3)).unwrap()
    }

    /// Random weights whose two answers are given to as many images each.
    fn balanced(images: &Lot) -> Network {
        let conv = Layer::Conv2d { filters: 8, window: Window::square(5, 2, 2), groups: 1, bias: true };
        let layers = vec![conv, Layer::Relu, Layer::Flatten, Layer::Linear { features: 2 }];
        let architecture = Architecture::new(Shape::new(3, SIDE, SIDE), layers).unwrap();
        let device = cleave_nets::device("flex").unwrap();
        let network = Network::random(architecture.clone(), 7, &device).unwrap();
        let scores = to_host(network.forward(images.prepared.clone(), Pass::default()).unwrap()).unwrap();
        let mut leads: Vec<f32> = scores.chunks(2).map(|row| row[0] - row[1]).collect();
        leads.sort_by(f32::total_cmp);
        let mut tensors = network.tensors().unwrap();
        tensors.get_mut("3.bias").unwrap().values[1] += leads[leads.len() / 2];
        Network::from_tensors(architecture, tensors, &device).unwrap()
    }

    #[test]
    fn answers_teach_and_without_them_nothing_is_learned() {
        let device = cleave_nets::device("flex").unwrap();
        let private = Lot::load(&loader("val", 200), 200, "the private set", &device).unwrap();
        let (front, back) = cut(&balanced(&private), Cut { layer: 1, point: Point::Whole }).unwrap();
        let target = Target::new(front, back, None, vec![], &Preparation::new(SIDE, SIDE, 3));
        let copied = |steps| {
            let settings = ExtractionSettings { steps, rate: 1e-2 };
            extract(&target, &loader("train", 400), &private, &settings, 3, &mut Silent).unwrap()
        };
        let (taught, untaught) = (copied(150), copied(0));
        assert_eq!((taught.questions, untaught.questions), (150 * 16, 0));
        assert!(taught.agreement.low > 0.8, "{taught:?}");
        assert!(untaught.agreement.share < 0.7, "{untaught:?}");
    }
}

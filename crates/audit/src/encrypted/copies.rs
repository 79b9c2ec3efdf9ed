//! Networks of the same shape that a client trains on answers.

use super::record::{CopyFindings, Lesson};
use super::{Field, largest, scores};
use crate::Error;
use crate::learner::{Learner, cosine};
use crate::observer::{Observer, step};
use crate::pixels::to_host;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};
use cleave_nets::{Architecture, Layer, Network, Pass, Shape, Window};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

/// Images that are answered at a time.
const CHUNK: usize = 500;
/// Scores are rounded to multiples of this, in standard deviations.
const ROUNDED: f64 = 0.5;

/// Trains a copy for each number of images and each lesson.
pub(super) fn all(field: &Field, observer: &mut dyn Observer) -> Result<Vec<CopyFindings>, Error> {
    let mut counts: Vec<usize> = field.settings.copies.iter().map(|&images| images.min(field.own.len())).collect();
    counts.sort_unstable();
    counts.dedup();
    let mut found = Vec::new();
    if counts.is_empty() {
        return Ok(found);
    }
    let answers = scores(field.networks(), &field.own)?;
    for images in counts {
        for lesson in Lesson::ALL {
            let copy = train(field, lesson, &answers[..images], observer)?;
            let share = 100.0 * copy.agreement.share;
            observer.found(&format!("{}, {images} images: {share:.1} % alike", lesson.name()));
            found.push(copy);
        }
    }
    Ok(found)
}

fn train(
    field: &Field,
    lesson: Lesson,
    answers: &[Vec<i128>],
    observer: &mut dyn Observer,
) -> Result<CopyFindings, Error> {
    let (began, settings) = (Instant::now(), field.settings);
    let mut learner = Learner::new(architecture(field)?, settings.seed, field.device)?;
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let classes = field.target.release.shape.classes;
    let lessons = targets(field, lesson, answers);
    let mut order: Vec<usize> = (0..answers.len()).collect();
    let (batch, mut next) = (settings.batch.min(answers.len()), answers.len());
    for at in 0..settings.steps {
        step(observer)?;
        if next + batch > order.len() {
            order.shuffle(&mut rng);
            next = 0;
        }
        let chosen = &order[next..next + batch];
        next += batch;
        let wanted: Vec<f32> = chosen.iter().flat_map(|&image| &lessons[image]).copied().collect();
        let wanted = Tensor::<2>::from_data(TensorData::new(wanted, [batch, classes]), field.device).autodiff();
        let scores = learner.forward(pixels(field, &field.own, chosen), None)?.flatten::<2>(1, 3); // [batch, classes]
        let loss = match lesson {
            Lesson::Scores | Lesson::Rounded => (scores - wanted).powi_scalar(2).mean(),
            Lesson::Answers | Lesson::Labels => (log_softmax(scores, 1) * wanted).sum_dim(1).mean() * -1.0,
        };
        let value = loss.clone().into_scalar::<f32>();
        if !value.is_finite() {
            return Err(Error::Diverged { attack: "the training of a copy", value, step: at });
        }
        learner.step(cosine(settings.rate, at, settings.steps), &mut loss.backward());
    }
    let copied = classify(field, &learner.finished())?;
    Ok(CopyFindings {
        lesson,
        images: answers.len(),
        agreement: field.agreement(copied.iter().copied()),
        accuracy: field.right(copied.into_iter()),
        steps: settings.steps,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// What the copy is to say of each image: scores around 0 with deviation 1, or 1 for one class.
fn targets(field: &Field, lesson: Lesson, answers: &[Vec<i128>]) -> Vec<Vec<f32>> {
    let one_hot = |class: usize, classes: usize| (0..classes).map(|at| f32::from(u8::from(at == class))).collect();
    let all = || answers.iter().flatten().map(|&score| score as f64);
    let count = all().count().max(1) as f64;
    let mean = all().sum::<f64>() / count;
    let deviation = (all().map(|score| (score - mean).powi(2)).sum::<f64>() / count).sqrt().max(f64::MIN_POSITIVE);
    let scaled = |score: &i128| (*score as f64 - mean) / deviation;
    let one = |(image, scores): (usize, &Vec<i128>)| match lesson {
        Lesson::Scores => scores.iter().map(|score| scaled(score) as f32).collect(),
        Lesson::Rounded => scores.iter().map(|score| ((scaled(score) / ROUNDED).round() * ROUNDED) as f32).collect(),
        Lesson::Answers => one_hot(largest(scores), scores.len()),
        Lesson::Labels => one_hot(field.own.labels[image], scores.len()),
    };
    answers.iter().enumerate().map(one).collect()
}

/// The layers of the networks of the release; a client knows its shape from the list of the release.
fn architecture(field: &Field) -> Result<Architecture, Error> {
    let shape = &field.target.release.shape;
    let window = Window::square(shape.kernel, shape.stride, shape.padding);
    let layers = vec![
        Layer::Conv2d { filters: shape.maps, window, groups: 1, bias: true },
        Layer::Square,
        Layer::Flatten,
        Layer::Linear { features: shape.hidden },
        Layer::Square,
        Layer::Linear { features: shape.classes },
    ];
    Ok(Architecture::new(Shape::new(1, shape.height, shape.width), layers)?)
}

/// Images as floats from 0 to 1, `[images, 1, height, width]`.
fn pixels(field: &Field, images: &super::Grey, chosen: &[usize]) -> Tensor<4> {
    let release = &field.target.release;
    let most = f32::from(release.precision.max_pixel);
    let values: Vec<f32> = chosen.iter().flat_map(|&at| images.image(at)).map(|&x| f32::from(x) / most).collect();
    let shape = [chosen.len(), 1, release.shape.height, release.shape.width];
    Tensor::from_data(TensorData::new(values, shape), field.device)
}

/// The classes that a copy gives test images.
fn classify(field: &Field, copy: &Network) -> Result<Vec<usize>, Error> {
    let mut answers = Vec::new();
    let all: Vec<usize> = (0..field.test.len()).collect();
    for chosen in all.chunks(CHUNK) {
        let scores = to_host(copy.forward(pixels(field, &field.test, chosen), Pass::default())?)?;
        answers.extend(scores.chunks(field.target.release.shape.classes).map(largest));
    }
    Ok(answers)
}

//! Accuracy over random signals, after unmasking.

use crate::{Error, SignalSource, unmask};
use burn::tensor::{Tensor, TensorData};
use cleave_data::Loader;
use cleave_nets::{Network, Pass, argmax};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a network answered on a labelled set.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// For each pass over the set, whether each image's *unmasked* label was right.
    pub correct: Vec<Vec<bool>>,
    /// Share of answers whose *masked* label equals the true one: what the reply alone tells.
    pub masked_matches: f64,
}

impl Evaluation {
    /// Share of right answers over all passes.
    pub fn accuracy(&self) -> f64 {
        let right = self.correct.iter().flatten().filter(|&&right| right).count();
        right as f64 / self.correct.iter().map(Vec::len).sum::<usize>().max(1) as f64
    }
}

/// Runs `passes` passes over the set, each image with a fresh signal in each.
///
/// A network without a join needs no `source`; its labels are not masked.
///
/// # Errors
/// [`Error::Network`], [`Error::Data`].
pub fn evaluate(
    network: &Network,
    source: Option<&SignalSource>,
    loader: &Loader,
    passes: usize,
    seed: u64,
) -> Result<Evaluation, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut evaluation = Evaluation { correct: Vec::new(), masked_matches: 0.0 };
    let (mut matches, mut total) = (0usize, 0usize);
    for _ in 0..passes {
        let mut correct = Vec::new();
        for batch in loader.epoch(0)? {
            let batch = batch?;
            let signals = source.map_or_else(|| vec![0; batch.len()], |source| source.draw(batch.len(), &mut rng));
            let planes = source.map(|source| source.planes(&signals, &mut rng)).transpose()?;
            let scores = network.infer(batch.images, planes, batch.labels.len())?;
            for (index, row) in scores.chunks(network.output().values()).enumerate() {
                let masked = argmax(row);
                let spec = source.map(SignalSource::spec);
                let label = spec.map_or(masked, |spec| unmask(spec.kind, spec.classes, masked, signals[index]));
                matches += usize::from(masked == batch.labels[index]);
                correct.push(label == batch.labels[index]);
            }
        }
        total += correct.len();
        evaluation.correct.push(correct);
    }
    evaluation.masked_matches = matches as f64 / total.max(1) as f64;
    Ok(evaluation)
}

/// Average accuracy (sun2019, Eq. 11): the mean over `draws` random samples of `size` images of the share that is right.
///
/// The paper takes 1000 draws of 100. Each draw is without replacement inside one pass.
pub fn average_accuracy(evaluation: &Evaluation, draws: usize, size: usize, seed: u64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let passes: Vec<_> = evaluation.correct.iter().filter(|pass| !pass.is_empty()).collect();
    if passes.is_empty() || draws == 0 {
        return 0.0;
    }
    let share = |_| {
        let pass = passes[rng.random_range(0..passes.len())];
        let size = size.clamp(1, pass.len());
        let chosen = rand::seq::index::sample(&mut rng, pass.len(), size);
        chosen.iter().filter(|&index| pass[index]).count() as f64 / size as f64
    };
    (0..draws).map(share).sum::<f64>() / draws as f64
}

/// Host values `[batch, ...]` with their signal as tensors on the network's device, gradients not tracked.
pub(crate) fn to_device(network: &Network, images: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(images, shape), &network.device().clone().without_autodiff())
}

/// Runs the frozen layers, where there are any.
pub(crate) fn frozen_features(prefix: Option<&Network>, x: Tensor<4>) -> Result<Tensor<4>, Error> {
    match prefix {
        Some(prefix) => Ok(prefix.forward(x, Pass::default())?),
        None => Ok(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_accuracy_is_near_the_plain_share() {
        let pass: Vec<bool> = (0..3000).map(|index| index % 10 != 0).collect();
        let evaluation = Evaluation { correct: vec![pass], masked_matches: 0.5 };
        assert!((evaluation.accuracy() - 0.9).abs() < 1e-9);
        assert!((average_accuracy(&evaluation, 1000, 100, 1) - 0.9).abs() < 0.005);
    }

    #[test]
    fn a_small_set_is_drawn_whole() {
        let evaluation = Evaluation { correct: vec![vec![true, false]], masked_matches: 0.5 };
        assert_eq!(average_accuracy(&evaluation, 10, 100, 1), 0.5);
        assert_eq!(average_accuracy(&Evaluation { correct: vec![], masked_matches: 0.0 }, 10, 100, 1), 0.0);
    }
}

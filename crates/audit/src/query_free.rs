//! A front half made up by somebody who has only the back half.

use crate::Error;
use crate::learner::{Learner, cosine};
use crate::observer::{Observer, step};
use crate::target::{Stream, Target};
use burn::tensor::loss::cross_entropy_with_logits;
use burn::tensor::{Int, Tensor, TensorData};
use cleave_data::Loader;
use cleave_nets::{Network, Pass};
use cleave_retrain::relabel;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Settings of a substitute front half (He, Zhang, Lee 2019, Section 6).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct SubstituteSettings {
    /// Batches to train on; the attacker's loader cuts them.
    pub steps: usize,
    /// Rate of Adam at the start.
    pub rate: f64,
}

impl Default for SubstituteSettings {
    fn default() -> Self {
        Self { steps: 600, rate: 1e-3 }
    }
}

/// Trains a front half of the same layers and random weights until the true back half answers the attacker's own
/// images right. The attacker never sees the true front half, nor smashed data with its image.
pub(crate) fn substitute(
    target: &Target,
    loader: &Loader,
    settings: &SubstituteSettings,
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<Network, Error> {
    let mut learner = Learner::new(target.front.architecture().clone(), seed, target.front.device())?;
    let back = target.back.differentiable();
    let mut stream = Stream::new(target, loader, seed)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for at in 0..settings.steps {
        step(observer)?;
        let lot = stream.next_lot()?;
        let images = lot.len();
        let (signals, labels) = match &target.source {
            Some(source) => {
                let signals = source.draw(images, &mut rng);
                let masked = relabel(source.spec(), &lot.labels, &signals);
                (signals, masked)
            }
            None => (vec![0; images], lot.labels.clone()),
        };
        let smashed = learner.forward(lot.prepared, target.planes(&signals, &mut rng)?)?;
        let scores = back.forward(smashed, Pass::default())?.flatten::<2>(1, 3); // [batch, classes]
        let loss = cross_entropy(scores, &labels);
        let value = loss.clone().into_scalar::<f32>();
        if !value.is_finite() {
            return Err(Error::Diverged { attack: "the substitute front half", value, step: at });
        }
        learner.step(cosine(settings.rate, at, settings.steps), &mut loss.backward());
    }
    Ok(learner.finished())
}

/// Mean cross-entropy of `scores`, `[batch, classes]`, against labels.
pub(crate) fn cross_entropy(scores: Tensor<2>, labels: &[usize]) -> Tensor<1> {
    let [batch, classes] = scores.dims();
    let device = scores.device();
    let labels: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [batch]), &device);
    cross_entropy_with_logits(scores, labels.one_hot::<2>(classes).float())
}

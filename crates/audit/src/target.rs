//! What is attacked, and what the attacker sees of it.

use crate::Error;
use crate::pixels::{Lot, PixelScale};
use burn::tensor::{Tensor, TensorData};
use cleave_data::{Batches, Loader, Preparation};
use cleave_keyed::Scramble;
use cleave_nets::{Defence, Network, Pass, SignalSpec};
use cleave_partition::apply_defences;
use cleave_retrain::SignalSource;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// A front half as a client runs it, and the back half behind it.
///
/// The attacker holds both, the way the signal is drawn and the digits that it is drawn with. What is secret is the
/// image and the signal.
#[derive(Clone)]
pub struct Target {
    pub(crate) front: Network,
    pub(crate) back: Network,
    pub(crate) source: Option<SignalSource>,
    pub(crate) defences: Vec<Defence>,
    pub(crate) scale: PixelScale,
    /// The client's secret, where images travel under a key. It makes what arrives. The label probe learns from keyed
    /// images with their labels, which a provider can only have from somebody who has the key; no other attack is
    /// given anything that it made but what arrives and, in known images, pairs.
    pub(crate) scramble: Option<Arc<Scramble>>,
}

/// Images, and what the server sees of them.
pub(crate) struct Seen {
    /// What went in: `[batch, channels, height, width]`, as the network takes it.
    pub(crate) prepared: Tensor<4>,
    /// What arrives: `[batch, channels, height, width]` at the cut.
    pub(crate) smashed: Tensor<4>,
    /// True labels.
    pub(crate) labels: Vec<usize>,
    /// Secret signals; 0 without a join.
    pub(crate) signals: Vec<usize>,
    /// The channel that carries them, `[batch, 1, height, width]`; `None` without a join.
    pub(crate) planes: Option<Tensor<4>>,
}

impl Target {
    /// A pair. `defences` are those that the client applies at the cut; `source` draws the signal, where one joins.
    pub fn new(
        front: Network,
        back: Network,
        source: Option<SignalSource>,
        defences: Vec<Defence>,
        preparation: &Preparation,
    ) -> Self {
        Self { front, back, source, defences, scale: PixelScale::of(preparation), scramble: None }
    }

    /// The pair whose images travel under a key.
    #[must_use]
    pub fn under_key(self, scramble: Arc<Scramble>) -> Self {
        Self { scramble: Some(scramble), ..self }
    }

    /// The pair as a client runs it that wants no defence.
    pub(crate) fn undefended(&self) -> Self {
        Self { defences: Vec::new(), ..self.clone() }
    }

    /// All digit images that the signal is drawn with, one after the other.
    pub(crate) fn digits(&self) -> Option<Vec<u8>> {
        let glyphs = self.source.as_ref()?.glyphs()?;
        let images = glyphs.digits().into_iter().flat_map(|digit| (0..glyphs.len(digit)).map(move |at| (digit, at)));
        Some(images.filter_map(|(digit, at)| glyphs.get(digit, at).ok()).flatten().copied().collect())
    }

    /// The pair with another front half.
    pub(crate) fn with_front(&self, front: Network) -> Self {
        Self { front, ..self.clone() }
    }

    /// What the signal is; `None` without one.
    pub(crate) fn spec(&self) -> Option<&SignalSpec> {
        self.source.as_ref().map(SignalSource::spec)
    }

    /// Classes that a signal probe tells apart.
    pub(crate) fn classes(&self) -> usize {
        self.back.output().values()
    }

    /// Runs the front half on images with fresh signals.
    pub(crate) fn see(&self, images: Lot, rng: &mut ChaCha8Rng) -> Result<Seen, Error> {
        let Lot { prepared, labels } = images;
        let signals =
            self.source.as_ref().map_or_else(|| vec![0; labels.len()], |source| source.draw(labels.len(), rng));
        let planes = self.planes(&signals, rng)?;
        let input = match &self.scramble {
            Some(scramble) => {
                let keyed = scramble.apply(&crate::pixels::to_host(prepared.clone())?)?;
                Tensor::from_data(TensorData::new(keyed, prepared.dims()), &prepared.device())
            }
            None => prepared.clone(),
        };
        let clean = self.front.forward(input, Pass { signal: planes.clone(), ..Pass::default() })?;
        Ok(Seen { prepared, smashed: self.defended(clean, rng)?, labels, signals, planes })
    }

    /// The channel that carries `signals`, `[signals, 1, height, width]`.
    pub(crate) fn planes(&self, signals: &[usize], rng: &mut ChaCha8Rng) -> Result<Option<Tensor<4>>, Error> {
        let (Some(source), Some(shape)) = (&self.source, self.front.signal_shape()) else { return Ok(None) };
        let values = source.planes(signals, rng)?;
        let shape = [signals.len(), 1, shape.height, shape.width];
        Ok(Some(Tensor::from_data(TensorData::new(values, shape), self.front.device())))
    }

    /// The mean of the channels of many signals, `[1, 1, height, width]`: an attacker's first guess.
    pub(crate) fn mean_plane(&self, rng: &mut ChaCha8Rng) -> Result<Option<Tensor<4>>, Error> {
        let Some(source) = &self.source else { return Ok(None) };
        let planes = self.planes(&source.draw(MEAN_OF, rng), rng)?;
        Ok(planes.map(|planes| planes.mean_dim(0)))
    }

    /// Scores of the masked labels, `[batch, classes]`, one after the other.
    pub(crate) fn answers(&self, smashed: Tensor<4>) -> Result<Vec<f32>, Error> {
        crate::pixels::to_host(self.back.forward(smashed, Pass::default())?)
    }

    /// What the client's defences at the cut leave of smashed data: the very function that a client runs.
    fn defended(&self, clean: Tensor<4>, rng: &mut ChaCha8Rng) -> Result<Tensor<4>, Error> {
        if self.defences.is_empty() {
            return Ok(clean);
        }
        let (shape, device) = (clean.dims(), clean.device());
        let mut values = crate::pixels::to_host(clean)?;
        apply_defences(&self.defences, &mut values, rng);
        Ok(Tensor::from_data(TensorData::new(values, shape), &device))
    }
}

/// Signals that a mean channel is taken over.
const MEAN_OF: usize = 256;

/// The attacker's images with signals of its own drawing, without end.
pub(crate) struct Stream<'a> {
    target: &'a Target,
    loader: &'a Loader,
    batches: Batches,
    epoch: u64,
    rng: ChaCha8Rng,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(target: &'a Target, loader: &'a Loader, seed: u64) -> Result<Self, Error> {
        Ok(Self { target, loader, batches: loader.epoch(0)?, epoch: 0, rng: ChaCha8Rng::seed_from_u64(seed) })
    }

    /// The next batch of images, and what the server would see of it.
    pub(crate) fn next(&mut self) -> Result<Seen, Error> {
        let lot = self.next_lot()?;
        self.target.see(lot, &mut self.rng)
    }

    /// The next batch of images.
    pub(crate) fn next_lot(&mut self) -> Result<Lot, Error> {
        for _ in 0..2 {
            if let Some(batch) = self.batches.next() {
                let batch = batch?;
                let data = TensorData::new(batch.images, batch.shape);
                return Ok(Lot { prepared: Tensor::from_data(data, self.target.front.device()), labels: batch.labels });
            }
            self.epoch += 1;
            self.batches = self.loader.epoch(self.epoch)?;
        }
        Err(Error::TooFewImages { side: "the attacker", images: 0, least: 1 })
    }
}

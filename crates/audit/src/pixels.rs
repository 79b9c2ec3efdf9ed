//! Images as tensors, in pixels of 0 to 1 and as a network takes them.

use crate::Error;
use burn::tensor::{Device, Tensor, TensorData};
use cleave_data::{Loader, Preparation};

/// The way between pixels of 0 to 1 and a network's input.
#[derive(Clone, Debug)]
pub(crate) struct PixelScale {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl PixelScale {
    pub(crate) fn of(preparation: &Preparation) -> Self {
        Self { mean: preparation.mean.clone(), std: preparation.std.clone() }
    }

    /// Pixels as the network takes them.
    pub(crate) fn prepared(&self, pixels: Tensor<4>) -> Tensor<4> {
        let [mean, std] = self.channels(&pixels);
        (pixels - mean) / std
    }

    /// A network's input as pixels.
    pub(crate) fn pixels(&self, prepared: Tensor<4>) -> Tensor<4> {
        let [mean, std] = self.channels(&prepared);
        prepared * std + mean
    }

    /// A change of a network's input for a change of pixels.
    pub(crate) fn prepared_change(&self, change: Tensor<4>) -> Tensor<4> {
        let [_, std] = self.channels(&change);
        change / std
    }

    /// Mean and deviation, `[1, channels, 1, 1]`, where `like` is.
    fn channels(&self, like: &Tensor<4>) -> [Tensor<4>; 2] {
        let device = like.device();
        [&self.mean, &self.std]
            .map(|values| Tensor::from_data(TensorData::new(values.clone(), [1, values.len(), 1, 1]), &device))
    }
}

/// Images held in memory, as a network takes them.
#[derive(Clone, Debug)]
pub(crate) struct Lot {
    /// `[images, channels, height, width]`.
    pub(crate) prepared: Tensor<4>,
    /// One an image.
    pub(crate) labels: Vec<usize>,
}

impl Lot {
    /// The first `most` readable images of a loader.
    pub(crate) fn load(loader: &Loader, most: usize, side: &'static str, device: &Device) -> Result<Self, Error> {
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for batch in loader.epoch(0)? {
            if labels.len() >= most {
                break;
            }
            let batch = batch?;
            values.extend(batch.images);
            labels.extend(batch.labels);
        }
        labels.truncate(most);
        if labels.is_empty() {
            return Err(Error::TooFewImages { side, images: 0, least: 1 });
        }
        let [channels, height, width] = loader.preparation().shape();
        values.truncate(labels.len() * channels * height * width);
        let shape = [labels.len(), channels, height, width];
        Ok(Self { prepared: Tensor::from_data(TensorData::new(values, shape), device), labels })
    }

    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The images `from` to, not including, `to`.
    pub(crate) fn part(&self, from: usize, to: usize) -> Self {
        let labels = self.labels[from..to].to_vec();
        Self { prepared: self.prepared.clone().slice(from..to), labels }
    }

    /// All images, `size` at a time.
    pub(crate) fn chunks(&self, size: usize) -> impl Iterator<Item = Self> + '_ {
        (0..self.len()).step_by(size).map(move |from| self.part(from, (from + size).min(self.len())))
    }

    /// The share of the most frequent label: what guessing gets.
    pub(crate) fn guess(&self, classes: usize) -> f64 {
        let mut counts = vec![0_usize; classes];
        self.labels.iter().for_each(|&label| counts[label] += 1);
        counts.into_iter().max().unwrap_or(0) as f64 / self.len() as f64
    }
}

/// Values on the host.
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, Error> {
    let failed = |reason: String| Error::Network(cleave_nets::Error::Execution { reason });
    let data = tensor.try_into_data().map_err(|error| failed(error.to_string()))?;
    data.convert::<f32>().try_into_vec().map_err(|error| failed(format!("{error:?}")))
}

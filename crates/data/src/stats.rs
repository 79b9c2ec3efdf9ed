use rand::seq::SliceRandom;

use crate::draw::{Purpose, rng_for};
use crate::{DataError, Dataset, Preparation};

/// Mean and deviation of the pixel values of each channel, in units of 0..=1.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChannelStatistics {
    /// One mean a channel.
    pub mean: Vec<f32>,
    /// One standard deviation a channel, at least 1/255 so that it can be divided by.
    pub std: Vec<f32>,
    /// The number of images that were measured; broken ones are passed over.
    pub images: usize,
}

impl ChannelStatistics {
    /// Measures up to `most` images of a dataset, drawn with `seed`, after they are brought to
    /// the size and channels of `preparation`, whose own mean and deviation play no part.
    ///
    /// # Errors
    ///
    /// Those of [`Preparation::validate`]; those of [`Dataset::decode`] if the dataset is strict
    /// or if no image can be decoded; [`DataError::Index`] if the dataset or `most` is empty.
    pub fn measure(dataset: &Dataset, preparation: &Preparation, most: usize, seed: u64) -> Result<Self, DataError> {
        preparation.validate()?;
        let mut order: Vec<usize> = (0..dataset.len()).collect();
        order.shuffle(&mut rng_for(Purpose::Statistics, seed, 0, 0));
        let mut sums = Sums::new(preparation.channels);
        let mut last = DataError::Index { index: 0, len: 0 };
        for &index in order.iter().take(most) {
            let image = dataset.decode(index);
            match image.and_then(|image| preparation.fit_pixels(&image)) {
                Ok(image) => sums.add(&image.data),
                Err(error) if dataset.is_strict() => return Err(error),
                Err(error) => last = error,
            }
        }
        sums.finish().ok_or(last)
    }
}

/// Sums of bytes and of their squares: whole numbers, so that the order does not matter.
struct Sums {
    channels: Vec<(u64, u64)>,
    pixels: u64,
    images: usize,
}

impl Sums {
    fn new(channels: usize) -> Self {
        Self { channels: vec![(0, 0); channels], pixels: 0, images: 0 }
    }

    fn add(&mut self, data: &[u8]) {
        for pixel in data.chunks_exact(self.channels.len()) {
            for ((sum, squares), &value) in self.channels.iter_mut().zip(pixel) {
                *sum += u64::from(value);
                *squares += u64::from(value).pow(2);
            }
            self.pixels += 1;
        }
        self.images += 1;
    }

    fn finish(self) -> Option<ChannelStatistics> {
        if self.pixels == 0 {
            return None;
        }
        let pixels = self.pixels as f64;
        let moments = self.channels.iter().map(|&(sum, squares)| {
            let mean = sum as f64 / pixels;
            let variance = squares as f64 / pixels - mean * mean;
            let std = variance.max(1.0).sqrt();
            ((mean / 255.0) as f32, (std / 255.0) as f32)
        });
        let (mean, std) = moments.unzip();
        Some(ChannelStatistics { mean, std, images: self.images })
    }
}

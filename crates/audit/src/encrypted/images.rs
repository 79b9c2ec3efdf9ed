//! Grey images in the steps that networks in integers take.

use crate::Error;
use cleave_data::{Dataset, Preparation};
use cleave_encrypted::{Shape, levels};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Images one after the other.
pub(super) struct Grey {
    pub(super) pixels: Vec<u8>,
    pub(super) labels: Vec<usize>,
    size: usize,
}

impl Grey {
    /// Reads up to `most` images in an order drawn with `seed`. Images that cannot be read are left out.
    pub(super) fn read(
        data: &Dataset,
        (shape, max_pixel): (&Shape, u8),
        most: usize,
        seed: u64,
        side: &'static str,
    ) -> Result<Self, Error> {
        let preparation = Preparation::new(shape.height, shape.width, 1);
        let mut order: Vec<usize> = (0..data.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let mut all = Self { pixels: Vec::new(), labels: Vec::new(), size: shape.pixels() };
        for index in order {
            if all.labels.len() >= most {
                break;
            }
            match data.decode(index).and_then(|image| preparation.fit_pixels(&image)) {
                Ok(image) => {
                    all.pixels.extend(levels(&image.data, max_pixel));
                    all.labels.extend(data.label(index));
                }
                Err(error) if data.is_strict() => return Err(error.into()),
                Err(_) => {}
            }
        }
        match all.labels.is_empty() {
            true => Err(Error::TooFewImages { side, images: 0, least: 1 }),
            false => Ok(all),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(super) fn image(&self, at: usize) -> &[u8] {
        &self.pixels[at * self.size..(at + 1) * self.size]
    }

    /// Images as values to encrypt; beyond the last one it begins anew.
    pub(super) fn values(&self, images: impl IntoIterator<Item = usize>) -> Vec<i64> {
        images.into_iter().flat_map(|at| self.image(at % self.len())).map(|&pixel| pixel.into()).collect()
    }

    /// The same, of some pixels alone.
    pub(super) fn columns(&self, images: impl IntoIterator<Item = usize>, items: &[usize]) -> Vec<i64> {
        let of = |at: usize| items.iter().map(move |&item| i64::from(self.image(at % self.len())[item]));
        images.into_iter().flat_map(of).collect()
    }

    /// The pixels that are black in the fewest images.
    pub(super) fn brightest(&self, most: usize) -> Vec<usize> {
        let all: Vec<usize> = (0..self.len()).collect();
        let lit = self.lit(&all);
        largest(most, |item| lit[item], self.size)
    }

    /// The pixels whose share of images in which they are not black differs most.
    pub(super) fn most_different(&self, [first, second]: &[Vec<usize>; 2], most: usize) -> Vec<usize> {
        let (first, second) = (self.lit(first), self.lit(second));
        let by = |item: usize| (first[item] - second[item]).abs();
        largest(most, by, self.size)
    }

    pub(super) fn of_label(&self, label: usize) -> Vec<usize> {
        (0..self.len()).filter(|&at| self.labels[at] == label).collect()
    }

    /// The share of images in which each pixel is not black.
    fn lit(&self, images: &[usize]) -> Vec<f64> {
        let mut counts = vec![0_usize; self.size];
        for &at in images {
            counts.iter_mut().zip(self.image(at)).for_each(|(count, &pixel)| *count += usize::from(pixel > 0));
        }
        counts.into_iter().map(|count| count as f64 / images.len().max(1) as f64).collect()
    }

    /// The share of the most frequent label.
    pub(super) fn guess(&self) -> f64 {
        let classes = self.labels.iter().copied().max().unwrap_or(0) + 1;
        let counts = (0..classes).map(|label| self.labels.iter().filter(|&&other| other == label).count());
        counts.max().unwrap_or(0) as f64 / self.len().max(1) as f64
    }
}

/// The `most` pixels with the largest values.
fn largest(most: usize, by: impl Fn(usize) -> f64, size: usize) -> Vec<usize> {
    let mut items: Vec<usize> = (0..size).collect();
    items.sort_by(|a, b| by(*b).total_cmp(&by(*a)));
    items.truncate(most);
    items
}

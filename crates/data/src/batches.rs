use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use rand::seq::SliceRandom;

use crate::cache::PixelCache;
use crate::draw::{Purpose, rng_for};
use crate::faults::Fault;
use crate::prefetch::Prefetch;
use crate::prepare::Table;
use crate::{Augmentation, DataError, Dataset, Faults, Pixels, Preparation};

/// The bytes of decoded images that a loader keeps, unless told otherwise.
const DEFAULT_CACHE: usize = 1 << 30;
/// Batches that are made ahead, unless told otherwise: enough to hide an uneven decoder.
const DEFAULT_PREFETCH: usize = 4;

/// How a dataset is cut into batches.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// Images a batch; the last batch of an epoch may hold fewer.
    pub batch_size: usize,
    /// Whether the order is drawn anew every epoch, or is that of the dataset.
    pub shuffle: bool,
    /// The seed for the order and for the augmentation.
    pub seed: u64,
    /// Random changes to the images; `None` for evaluation.
    pub augmentation: Option<Augmentation>,
    /// Whether a last batch with fewer images is left out.
    pub drop_last: bool,
    /// Threads that decode; 0 takes as many as the machine has cores.
    pub workers: usize,
    /// Batches that may wait to be taken, at least 1.
    pub prefetch: usize,
    /// The bytes of decoded and resized images that are kept from epoch to epoch; images beyond
    /// that are decoded again every epoch. 0 keeps none.
    pub cache_bytes: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            batch_size: 64,
            shuffle: false,
            seed: 0,
            augmentation: None,
            drop_last: false,
            workers: 0,
            prefetch: DEFAULT_PREFETCH,
            cache_bytes: DEFAULT_CACHE,
        }
    }
}

impl LoadOptions {
    /// Shuffled batches for training.
    pub fn training(batch_size: usize, seed: u64) -> Self {
        Self { batch_size, shuffle: true, seed, ..Self::default() }
    }

    /// Batches in the order of the dataset, for evaluation.
    pub fn evaluation(batch_size: usize) -> Self {
        Self { batch_size, ..Self::default() }
    }
}

/// Prepared images with their labels.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Batch {
    /// The batch's number in its epoch, from 0; resume after it with
    /// [`Loader::epoch_from`]`(epoch, number + 1)`.
    pub number: usize,
    /// `[images, channels, height, width]`.
    pub shape: [usize; 4],
    /// The prepared values, of the shape above.
    pub images: Vec<f32>,
    /// One label an image.
    pub labels: Vec<usize>,
    /// One index into the dataset an image.
    pub indices: Vec<usize>,
    /// The samples that were left out of this batch.
    pub faults: Faults,
}

impl Batch {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether the batch holds no image; a loader never gives such a batch.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Cuts a dataset into batches, epoch after epoch.
///
/// What is in batch `b` of epoch `e` depends on the dataset, the preparation, the seed, the batch
/// size and the augmentation: not on the number of workers, nor on where an epoch was entered.
/// Decoded images are kept in a cache, so that the first epoch alone pays for decoding.
///
/// Memory: `(prefetch + workers + 1) * batch_size * channels * height * width * 4` bytes for
/// batches, and `cache_bytes` for the cache.
///
/// ```
/// use cleave_data::{LoadOptions, Loader, Preparation, Shapes};
///
/// let dataset = Shapes::new(2, 32, 7)?.dataset("train", 100);
/// let loader = Loader::new(dataset, Preparation::new(32, 32, 3), LoadOptions::training(32, 1))?;
/// for batch in loader.epoch(0)? {
///     let batch = batch?;
///     assert_eq!(batch.images.len(), batch.len() * 3 * 32 * 32);
/// }
/// # Ok::<(), cleave_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Loader {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dataset: Dataset,
    preparation: Preparation,
    table: Table,
    options: LoadOptions,
    cache: PixelCache,
    faults: Mutex<Faults>,
}

impl Loader {
    /// Sets up a loader; no image is decoded yet.
    ///
    /// # Errors
    ///
    /// [`DataError::EmptyBatch`], and those of [`Preparation::validate`] and
    /// [`Augmentation::validate`].
    pub fn new(dataset: Dataset, preparation: Preparation, options: LoadOptions) -> Result<Self, DataError> {
        preparation.validate()?;
        options.augmentation.unwrap_or_default().validate()?;
        if options.batch_size == 0 {
            return Err(DataError::EmptyBatch);
        }
        let shared = Shared {
            table: preparation.table(),
            cache: PixelCache::new(dataset.len(), options.cache_bytes),
            faults: Mutex::default(),
            dataset,
            preparation,
            options,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The dataset.
    pub fn dataset(&self) -> &Dataset {
        &self.shared.dataset
    }

    /// How the dataset is cut into batches.
    pub fn options(&self) -> &LoadOptions {
        &self.shared.options
    }

    /// The preparation.
    pub fn preparation(&self) -> &Preparation {
        &self.shared.preparation
    }

    /// Batches an epoch, counting one that might turn out to hold broken images only.
    pub fn batches(&self) -> usize {
        let (len, size) = (self.shared.dataset.len(), self.shared.options.batch_size);
        match self.shared.options.drop_last {
            true => len / size,
            false => len.div_ceil(size),
        }
    }

    /// The batches of an epoch.
    ///
    /// # Errors
    ///
    /// [`DataError::Thread`].
    pub fn epoch(&self, epoch: u64) -> Result<Batches, DataError> {
        self.epoch_from(epoch, 0)
    }

    /// The batches of an epoch from number `first` on, as they would have been in the full epoch.
    ///
    /// # Errors
    ///
    /// [`DataError::Thread`].
    pub fn epoch_from(&self, epoch: u64, first: usize) -> Result<Batches, DataError> {
        let (shared, order) = (Arc::clone(&self.shared), self.order(epoch));
        let numbers = first..self.batches();
        let prefetch = self.shared.options.prefetch.max(1);
        let make = move |number| shared.batch(epoch, number, &order);
        Ok(Batches {
            shared: Arc::clone(&self.shared),
            ahead: Prefetch::start(numbers, self.workers(), prefetch, make)?,
        })
    }

    /// All broken samples that any epoch has met so far.
    pub fn faults(&self) -> Faults {
        let faults = self.shared.faults.lock();
        faults.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes of decoded images that the cache holds.
    pub fn cached_bytes(&self) -> usize {
        self.shared.cache.used()
    }

    fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.shared.dataset.len()).collect();
        if self.shared.options.shuffle {
            let seed = self.shared.options.seed;
            order.shuffle(&mut rng_for(Purpose::Shuffle, seed, epoch, 0));
        }
        order
    }

    fn workers(&self) -> usize {
        match self.shared.options.workers {
            0 => std::thread::available_parallelism().map_or(1, NonZero::get),
            workers => workers,
        }
    }
}

impl Shared {
    fn batch(&self, epoch: u64, number: usize, order: &[usize]) -> Result<Batch, DataError> {
        let size = self.options.batch_size;
        let members = order.iter().skip(number * size).take(size);
        let [channels, height, width] = self.preparation.shape();
        let values = channels * height * width;
        let mut batch = Batch {
            number,
            shape: [0, channels, height, width],
            images: Vec::with_capacity(members.len() * values),
            labels: Vec::with_capacity(members.len()),
            indices: Vec::with_capacity(members.len()),
            faults: Faults::default(),
        };
        for &index in members {
            let pushed = self.fitted(index).and_then(|image| self.push(&mut batch, epoch, index, &image));
            match pushed {
                Ok(()) => {}
                Err(error) if self.dataset.is_strict() => return Err(error),
                Err(error) => batch.faults.add(Fault { index, name: self.dataset.name(index), error: Arc::new(error) }),
            }
        }
        Ok(batch)
    }

    fn push(&self, batch: &mut Batch, epoch: u64, index: usize, image: &Pixels) -> Result<(), DataError> {
        let change = self.options.augmentation.unwrap_or_default();
        let shown = change.show(image, &self.preparation, self.options.seed, [epoch, index as u64])?;
        let start = batch.images.len();
        let values: usize = self.preparation.shape().iter().product();
        batch.images.resize(start + values, 0.0);
        shown.write(&self.table, &mut batch.images[start..]);
        batch.labels.push(self.dataset.label(index).unwrap_or_default());
        batch.indices.push(index);
        batch.shape[0] += 1;
        Ok(())
    }

    /// A decoded image of the prepared size, plus the margin of an enlarging augmentation.
    fn fitted(&self, index: usize) -> Result<Arc<Pixels>, DataError> {
        if let Some(image) = self.cache.get(index) {
            return Ok(image);
        }
        let margin = self.options.augmentation.unwrap_or_default().margin();
        let (height, width) = (self.preparation.height + margin, self.preparation.width + margin);
        let decoded = self.dataset.decode(index)?;
        let image = Arc::new(self.preparation.resize(&decoded, height, width)?);
        self.cache.put(index, &image);
        Ok(image)
    }

    fn note(&self, faults: &Faults) {
        if !faults.is_empty() {
            let all = self.faults.lock();
            all.unwrap_or_else(PoisonError::into_inner).merge(faults);
        }
    }
}

/// The batches of one epoch in their order, made ahead by worker threads.
///
/// Broken images are left out of their batch, and a batch that would be empty is left out of the
/// epoch; with [`OpenOptions::strict`](crate::OpenOptions) the first one ends the epoch with its
/// error. Dropping the iterator stops the workers.
#[derive(Debug)]
pub struct Batches {
    shared: Arc<Shared>,
    ahead: Prefetch<Result<Batch, DataError>>,
}

impl Iterator for Batches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.ahead.next()? {
                Ok(batch) => {
                    self.shared.note(&batch.faults);
                    if !batch.is_empty() {
                        return Some(Ok(batch));
                    }
                }
                Err(error) => {
                    self.ahead.stop();
                    return Some(Err(error));
                }
            }
        }
    }
}

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use rand::seq::SliceRandom;
use sha2::{Digest, Sha256};

use crate::draw::{Purpose, rng_for};
use crate::source::{Encoded, Found, Raw, RawNames, Sample, Source, by_name, open_cifar, open_idx, split_name};
use crate::{DataError, Pixels, Skipped};

/// The encoded images of a gzipped tar that are held in memory, in bytes, unless told otherwise.
const DEFAULT_MEMORY: u64 = 2 << 30;

/// Images whose pixels go into a fingerprint.
const FINGERPRINTED: usize = 16;

/// How the images of a dataset lie on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// Told from what is there.
    #[default]
    Auto,
    /// `CLASS/NAME.jpg`, or `SPLIT/CLASS/NAME.jpg`; in a folder or a tar.
    Folders,
    /// `CLASS.NUMBER.jpg`, perhaps in a folder for each split; in a folder or a tar.
    Kaggle,
    /// A folder with the idx files of MNIST, gzipped or not.
    MnistIdx,
    /// A folder with `data_batch_*.bin` and `test_batch.bin`.
    Cifar10Bin,
}

/// What to take from a dataset.
///
/// ```
/// use cleave_data::OpenOptions;
///
/// let zeros_and_ones = OpenOptions {
///     split: Some("train".into()),
///     classes: Some(vec!["0".into(), "1".into()]),
///     limit: Some(500),
///     ..OpenOptions::default()
/// };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// The split to take: `train`, `val` or `test`, also by the names `valid`, `t10k` and the
    /// like. `None` takes all of them together.
    pub split: Option<String>,
    /// How the images lie on disk.
    pub layout: Layout,
    /// Whether the first broken image stops an epoch, instead of being left out and counted.
    pub strict: bool,
    /// The classes to take; their order gives the labels. `None` takes all, sorted.
    pub classes: Option<Vec<String>>,
    /// The most samples a class; which ones is drawn with `seed`.
    pub limit: Option<usize>,
    /// The seed for `limit`.
    pub seed: u64,
    /// The most bytes of a gzipped tar's images that are held in memory. A plain tar is read by
    /// position and needs no such memory.
    pub memory: u64,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            split: None,
            layout: Layout::Auto,
            strict: false,
            classes: None,
            limit: None,
            seed: 0,
            memory: DEFAULT_MEMORY,
        }
    }
}

impl OpenOptions {
    /// The default options for one split.
    pub fn split(name: impl Into<String>) -> Self {
        Self { split: Some(name.into()), ..Self::default() }
    }
}

/// Labelled images that are decoded when they are asked for. Clones share the images.
#[derive(Clone, Debug)]
pub struct Dataset {
    source: Arc<dyn Source>,
    samples: Arc<[Sample]>,
    classes: Arc<[String]>,
    splits: Arc<[String]>,
    skipped: Skipped,
    strict: bool,
}

impl Dataset {
    /// Opens a folder, a tar or a gzipped tar; see [`Layout`]. No image is decoded yet.
    ///
    /// The order of the samples is that of their names (or records), whatever the file system
    /// says.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`], [`DataError::UnknownLayout`], [`DataError::NoImages`],
    /// [`DataError::NoSplit`], [`DataError::NoClass`], and for damaged files
    /// [`DataError::Magic`], [`DataError::Length`], [`DataError::EmptyFile`], [`DataError::LabelCount`],
    /// [`DataError::LabelRange`], [`DataError::ArchiveCut`] or [`DataError::TooLarge`].
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, DataError> {
        let path = path.as_ref();
        let dataset = Self { strict: options.strict, ..Self::from_found(find(path, options)?) };
        let split = match &options.split {
            Some(split) => dataset.in_split(split)?,
            None => dataset,
        };
        let chosen = match &options.classes {
            Some(classes) => split.with_classes(classes)?,
            None => split,
        };
        let limited = match options.limit {
            Some(limit) => chosen.limited(limit, options.seed),
            None => chosen,
        };
        if limited.is_empty() {
            return Err(no_images(path, limited.skipped.total()));
        }
        Ok(limited)
    }

    /// Takes images that are in memory already; `name` goes before their numbers.
    ///
    /// # Errors
    ///
    /// [`DataError::LabelCount`] when there are not as many labels as images,
    /// [`DataError::LabelRange`] for a label without a class.
    pub fn from_pixels(name: &str, classes: &[&str], images: Vec<Pixels>, labels: &[usize]) -> Result<Self, DataError> {
        let (path, classes_len) = (name.into(), classes.len());
        if images.len() != labels.len() {
            let (images, labels) = (images.len(), labels.len());
            return Err(DataError::LabelCount { path, images, labels });
        }
        if let Some(record) = labels.iter().position(|&label| label >= classes_len) {
            return Err(DataError::LabelRange { path, record, label: labels[record], classes: classes_len });
        }
        let names = RawNames::Numbered(name.to_owned());
        let source = Arc::new(Raw { names, images });
        let classes = classes.iter().map(|&class| class.to_owned()).collect();
        Ok(Self::of_source(source, labels, classes))
    }

    pub(crate) fn of_source(source: Arc<dyn Source>, labels: &[usize], classes: Vec<String>) -> Self {
        let sample = |(at, &label)| Sample { at, label, split: 0 };
        Self::from_found(Found {
            source,
            samples: labels.iter().enumerate().map(sample).collect(),
            classes,
            splits: Vec::new(),
            skipped: Skipped::default(),
        })
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The names of the classes, in order of their labels.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The splits that the whole set has, sorted; empty when it has none.
    pub fn splits(&self) -> &[String] {
        &self.splits
    }

    /// What was passed over when the set was opened.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Whether the first broken image stops an epoch.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// The label of a sample, `None` out of range.
    pub fn label(&self, index: usize) -> Option<usize> {
        self.samples.get(index).map(|sample| sample.label)
    }

    /// All labels, in order of the samples.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.samples.iter().map(|sample| sample.label)
    }

    /// The number of samples of every class, in order of their labels.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for label in self.labels() {
            counts[label] += 1;
        }
        counts
    }

    /// The name of a sample: its path below the root of the set, or its file and record; empty
    /// out of range.
    pub fn name(&self, index: usize) -> String {
        let sample = self.samples.get(index);
        sample.map(|sample| self.source.name(sample.at)).unwrap_or_default()
    }

    /// Decodes a sample.
    ///
    /// # Errors
    ///
    /// [`DataError::Index`] out of range, [`DataError::Io`], and those of
    /// [`Pixels::from_encoded`].
    pub fn decode(&self, index: usize) -> Result<Pixels, DataError> {
        let len = self.len();
        let sample = self.samples.get(index);
        self.source.pixels(sample.ok_or(DataError::Index { index, len })?.at)
    }

    /// Tells sets apart, by mistake and not by malice: SHA-256, in hexadecimal, of classes, names and labels, and of the
    /// pixels of 16 images spread over the set. An image that cannot be decoded goes in without pixels.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for word in self.classes().iter().cloned().chain((0..self.len()).map(|index| self.name(index))) {
            hash.update((word.len() as u64).to_le_bytes());
            hash.update(word);
        }
        self.labels().for_each(|label| hash.update((label as u64).to_le_bytes()));
        for index in (0..self.len()).step_by(self.len().div_ceil(FINGERPRINTED).max(1)) {
            self.decode(index).iter().for_each(|pixels| hash.update(&pixels.data));
        }
        data_encoding::HEXLOWER.encode(&hash.finalize())
    }

    /// The samples of one split.
    ///
    /// # Errors
    ///
    /// [`DataError::NoSplit`].
    pub fn in_split(&self, name: &str) -> Result<Self, DataError> {
        let wanted = split_name(name).unwrap_or(name);
        let split = self.splits.iter().position(|split| split == wanted);
        let split =
            split.ok_or_else(|| DataError::NoSplit { wanted: name.to_owned(), available: self.splits.to_vec() })?;
        Ok(self.keep(|sample| (sample.split == split).then_some(*sample)))
    }

    /// The samples of some classes; the order of `classes` gives the new labels.
    ///
    /// # Errors
    ///
    /// [`DataError::NoClass`] or [`DataError::RepeatedClass`].
    pub fn with_classes(&self, classes: &[impl AsRef<str>]) -> Result<Self, DataError> {
        let mut labels = vec![None; self.classes.len()];
        for (label, class) in classes.iter().map(AsRef::as_ref).enumerate() {
            let old = self.classes.iter().position(|name| name == class);
            let old =
                old.ok_or_else(|| DataError::NoClass { wanted: class.to_owned(), available: self.classes.to_vec() })?;
            if labels[old].replace(label).is_some() {
                let class = class.to_owned();
                return Err(DataError::RepeatedClass { class });
            }
        }
        let relabelled = |sample: &Sample| {
            let label = labels[sample.label]?;
            Some(Sample { label, ..*sample })
        };
        Ok(Self { classes: classes.iter().map(|c| c.as_ref().to_owned()).collect(), ..self.keep(relabelled) })
    }

    /// At most `most` samples a class, drawn with `seed`; their order is kept.
    #[must_use]
    pub fn limited(&self, most: usize, seed: u64) -> Self {
        self.each_class(|class, members| {
            members.shuffle(&mut rng_for(Purpose::Limit, seed, class as u64, 0));
            members.truncate(most);
        })
    }

    /// A portion of the samples of every class: those that lie between two shares of an order drawn with `seed`, so that
    /// portions that do not overlap have no sample in common. The order of what is kept stays.
    ///
    /// `portions` has one range of 0 to 1 a class, in order of the labels.
    ///
    /// # Errors
    ///
    /// [`DataError::PortionCount`] or [`DataError::Portion`].
    pub fn portions(&self, portions: &[Range<f64>], seed: u64) -> Result<Self, DataError> {
        if portions.len() != self.classes.len() {
            return Err(DataError::PortionCount { portions: portions.len(), classes: self.classes.len() });
        }
        let fits = |part: &Range<f64>| 0.0 <= part.start && part.start <= part.end && part.end <= 1.0;
        if let Some(class) = portions.iter().position(|part| !fits(part)) {
            let (class, Range { start, end }) = (self.classes[class].clone(), portions[class].clone());
            return Err(DataError::Portion { class, start, end });
        }
        let portion = |class: usize, members: &mut Vec<usize>| {
            members.shuffle(&mut rng_for(Purpose::Portion, seed, class as u64, 0));
            let at = |share: f64| (share * members.len() as f64).round() as usize;
            let kept = at(portions[class].start)..at(portions[class].end);
            *members = members[kept].to_vec();
        };
        Ok(self.each_class(portion))
    }

    /// The samples that `choose` leaves of every class's, in the order of the set.
    fn each_class(&self, choose: impl Fn(usize, &mut Vec<usize>)) -> Self {
        let mut members = vec![Vec::new(); self.classes.len()];
        self.labels().enumerate().for_each(|(index, label)| members[label].push(index));
        members.iter_mut().enumerate().for_each(|(class, members)| choose(class, members));
        let mut kept = members.concat();
        kept.sort_unstable();
        let samples = kept.into_iter().map(|index| self.samples[index]).collect();
        Self { samples, ..self.clone() }
    }

    /// The samples at `indices`, in this order.
    ///
    /// # Errors
    ///
    /// [`DataError::Index`].
    pub fn subset(&self, indices: &[usize]) -> Result<Self, DataError> {
        let len = self.len();
        let sample = |&index: &usize| {
            let sample = self.samples.get(index).copied();
            sample.ok_or(DataError::Index { index, len })
        };
        let samples = indices.iter().map(sample).collect::<Result<_, _>>()?;
        Ok(Self { samples, ..self.clone() })
    }

    fn from_found(found: Found) -> Self {
        Self {
            source: found.source,
            samples: found.samples.into(),
            classes: found.classes.into(),
            splits: found.splits.into(),
            skipped: found.skipped,
            strict: false,
        }
    }

    fn keep(&self, choose: impl Fn(&Sample) -> Option<Sample>) -> Self {
        Self { samples: self.samples.iter().filter_map(choose).collect(), ..self.clone() }
    }
}

fn find(path: &Path, options: &OpenOptions) -> Result<Found, DataError> {
    let unknown = || DataError::UnknownLayout { path: path.to_owned() };
    match options.layout {
        Layout::MnistIdx => return open_idx(path)?.ok_or_else(unknown),
        Layout::Cifar10Bin => return open_cifar(path)?.ok_or_else(unknown),
        Layout::Auto if path.is_dir() => {
            if let Some(found) = open_idx(path)? {
                return Ok(found);
            }
            if let Some(found) = open_cifar(path)? {
                return Ok(found);
            }
        }
        _ => {}
    }
    let encoded = Encoded::open(path, options.memory)?;
    let skipped = encoded.skipped.total() + encoded.entries.len();
    by_name(encoded, options.layout).ok_or_else(|| no_images(path, skipped))
}

fn no_images(path: &Path, skipped: usize) -> DataError {
    DataError::NoImages { path: path.to_owned(), skipped }
}

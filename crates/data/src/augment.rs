use std::borrow::Cow;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::draw::{Purpose, rng_for};
use crate::erase::Hole;
use crate::prepare::{Table, View, stretched};
use crate::rand_augment::{LARGEST_MAGNITUDE, MOST_OPERATIONS};
use crate::{DataError, Pixels, Preparation, RandAugment, tone};

/// The largest shift in pixels.
const LARGEST_SHIFT: usize = 1024;

/// Random changes to a training image, drawn anew every epoch and made in the order of the fields.
///
/// The changes to a sample depend on the seed, the epoch and the sample's index alone, so that a
/// training run that was interrupted goes on exactly as it would have. A field at 0 changes
/// nothing, and leaves what the fields before it draw as it is.
///
/// The published recipe for ConvMixer on CIFAR-10 (github.com/locuslab/convmixer-cifar10) is
///
/// ```
/// use cleave_data::{Augmentation, RandAugment};
///
/// let recipe = Augmentation {
///     flip: 0.5,
///     crop: 0.75,
///     rand_augment: Some(RandAugment { operations: 1, magnitude: 8 }),
///     jitter: 0.1,
///     erase: 0.25,
///     ..Augmentation::default()
/// };
/// recipe.validate()?;
/// # Ok::<(), cleave_data::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// How far the image may move, in pixels of the prepared image, up, down, left and right.
    pub shift: usize,
    /// Where the room for the move comes from: `false` repeats the border pixels, `true` resizes
    /// to `2 * shift` pixels more than the prepared size and cuts a window out.
    pub enlarge: bool,
    /// The probability of mirroring left and right.
    pub flip: f64,
    /// The least share of the prepared image's area that a random crop keeps, in 0..=1; 0 crops
    /// nothing. The share is uniform between this and 1, both sides shrink by its square root, and
    /// the crop is resized to the prepared size, as in torchvision's `RandomResizedCrop` with the
    /// image's own aspect ratio.
    #[serde(skip_serializing_if = "is_off")]
    pub crop: f64,
    /// Random operations on the bytes of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rand_augment: Option<RandAugment>,
    /// By what share brightness, contrast and saturation may change, up and down and in random
    /// order, in 0..=1: torchvision's `ColorJitter` with one value for the three.
    #[serde(skip_serializing_if = "is_off")]
    pub jitter: f64,
    /// The probability of setting a random rectangle to the mean, 0 after normalisation: random
    /// erasing (Zhong et al. 2020) of 0.02 to 0.33 of the area, at ratios of the sides from 0.3 to
    /// 3.3.
    #[serde(skip_serializing_if = "is_off")]
    pub erase: f64,
}

/// Later fields are written when they are on alone, so that earlier settings are written as they
/// always were: records of interrupted runs are compared by what is written.
fn is_off(value: &f64) -> bool {
    *value == 0.0
}

impl Augmentation {
    /// Moves by up to `shift` pixels over repeated borders, and mirrors every other image.
    pub fn shift_and_flip(shift: usize) -> Self {
        Self { shift, flip: 0.5, ..Self::default() }
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`DataError::Augmentation`] when `flip`, `crop`, `jitter` or `erase` lies outside 0..=1,
    /// `shift` is over 1024, or [`RandAugment`] has more than 16 operations or a magnitude over 30.
    pub fn validate(&self) -> Result<(), DataError> {
        at_most("shift", self.shift as f64, LARGEST_SHIFT as f64)?;
        for (setting, value) in
            [("flip", self.flip), ("crop", self.crop), ("jitter", self.jitter), ("erase", self.erase)]
        {
            at_most(setting, value, 1.0)?;
        }
        let Some(RandAugment { operations, magnitude }) = self.rand_augment else {
            return Ok(());
        };
        at_most("rand_augment.operations", operations as f64, MOST_OPERATIONS as f64)?;
        at_most("rand_augment.magnitude", magnitude as f64, LARGEST_MAGNITUDE as f64)
    }

    /// Pixels by which each side of the fitted image exceeds the prepared one.
    pub(crate) fn margin(&self) -> usize {
        if self.enlarge { 2 * self.shift } else { 0 }
    }

    /// How an epoch shows a fitted image; expects valid settings.
    pub(crate) fn show<'a>(
        &self,
        image: &'a Pixels,
        preparation: &Preparation,
        seed: u64,
        [epoch, sample]: [u64; 2],
    ) -> Result<Shown<'a>, DataError> {
        // Drawn in the order of the fields, and only for those that are on: new fields must come
        // after old ones, or old settings would give other images.
        let mut rng = rng_for(Purpose::Augment, seed, epoch, sample);
        let mut view = self.view(preparation, &mut rng);
        let mut image = Cow::Borrowed(image);
        if self.crop > 0.0 {
            view = self.cropped(view, &mut rng);
        }
        if self.crop > 0.0 || self.rand_augment.is_some() || self.jitter > 0.0 {
            let mut cut = stretched(view.cut(&image), preparation.height, preparation.width)?;
            self.repaint(&mut cut, &mut rng);
            (image, view) = (Cow::Owned(cut), View::plain(preparation));
        }
        let erased = self.erase > 0.0 && rng.random_bool(self.erase);
        let hole = erased.then(|| Hole::draw(preparation.height, preparation.width, &mut rng)).flatten();
        Ok(Shown { image, view, hole })
    }

    fn view(&self, preparation: &Preparation, rng: &mut impl Rng) -> View {
        let reach = self.shift as i32;
        let base = if self.enlarge { self.shift as isize } else { 0 };
        View {
            left: base + rng.random_range(-reach..=reach) as isize,
            top: base + rng.random_range(-reach..=reach) as isize,
            mirrored: rng.random_bool(self.flip.clamp(0.0, 1.0)),
            ..View::plain(preparation)
        }
    }

    /// A window within a window.
    fn cropped(&self, view: View, rng: &mut impl Rng) -> View {
        let scale = rng.random_range(self.crop..=1.0).sqrt();
        let [width, height] = [view.width, view.height].map(|side| ((side as f64 * scale).round() as usize).max(1));
        View {
            left: view.left + rng.random_range(0..=view.width - width) as isize,
            top: view.top + rng.random_range(0..=view.height - height) as isize,
            width,
            height,
            ..view
        }
    }

    /// Changes the bytes in place.
    fn repaint(&self, image: &mut Pixels, rng: &mut impl Rng) {
        if let Some(operations) = self.rand_augment {
            operations.apply(image, rng);
        }
        if self.jitter > 0.0 {
            let mut changes = [tone::brightness, tone::contrast, tone::saturation];
            changes.shuffle(rng);
            for change in changes {
                change(image, rng.random_range(1.0 - self.jitter..=1.0 + self.jitter) as f32);
            }
        }
    }
}

fn at_most(setting: &'static str, value: f64, most: f64) -> Result<(), DataError> {
    if (0.0..=most).contains(&value) {
        return Ok(());
    }
    Err(DataError::Augmentation { setting, value, most })
}

/// A training image as one epoch shows it.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    image: Cow<'a, Pixels>,
    view: View,
    hole: Option<Hole>,
}

impl Shown<'_> {
    /// Writes `[channels, height, width]` into `out`, which must have that length.
    pub(crate) fn write(&self, table: &Table, out: &mut [f32]) {
        table.write(&self.image, self.view, out);
        if let Some(hole) = self.hole {
            hole.clear(out, self.view.height, self.view.width);
        }
    }
}

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::draw::{Purpose, rng_for};
use crate::prepare::View;
use crate::{DataError, Preparation};

/// The largest shift in pixels.
const LARGEST_SHIFT: usize = 1024;

/// Random changes to a training image, drawn anew every epoch.
///
/// The changes to a sample depend on the seed, the epoch and the sample's index alone, so that a
/// training run that was interrupted goes on exactly as it would have.
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
}

impl Augmentation {
    /// Moves by up to `shift` pixels over repeated borders, and mirrors every other image.
    pub fn shift_and_flip(shift: usize) -> Self {
        Self { shift, enlarge: false, flip: 0.5 }
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`DataError::Augmentation`] when `flip` is no probability or `shift` is over 1024.
    pub fn validate(&self) -> Result<(), DataError> {
        at_most("shift", self.shift as f64, LARGEST_SHIFT as f64)?;
        at_most("flip", self.flip, 1.0)
    }

    /// Pixels by which each side of the fitted image exceeds the prepared one.
    pub(crate) fn margin(&self) -> usize {
        if self.enlarge { 2 * self.shift } else { 0 }
    }

    pub(crate) fn view(&self, preparation: &Preparation, seed: u64, epoch: u64, sample: u64) -> View {
        let mut rng = rng_for(Purpose::Augment, seed, epoch, sample);
        let reach = self.shift as i32;
        let base = if self.enlarge { self.shift as isize } else { 0 };
        View {
            left: base + rng.random_range(-reach..=reach) as isize,
            top: base + rng.random_range(-reach..=reach) as isize,
            mirrored: rng.random_bool(self.flip.clamp(0.0, 1.0)),
            ..View::plain(preparation)
        }
    }
}

fn at_most(setting: &'static str, value: f64, most: f64) -> Result<(), DataError> {
    if (0.0..=most).contains(&value) {
        return Ok(());
    }
    Err(DataError::Augmentation { setting, value, most })
}

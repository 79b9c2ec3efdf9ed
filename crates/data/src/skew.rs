use std::ops::Range;

use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::draw::{Purpose, rng_for};

const DIGITS: usize = 10;
const MODELS: usize = 3;

/// How the ten digits are shared out among three models, by Xiong, Nguyen and So ("Privacy Preserving Inference with
/// Convolutional Neural Network Ensemble", Experiment Results, Figs. 5 to 7).
///
/// Each model has a group of digits, and most images of a digit go to the model of its group. How many is drawn for
/// each digit from a range; the other two models get half of the rest each. The paper has six ranges and names none, nor
/// says what becomes of the rest.
///
/// ```
/// use cleave_data::Skew;
///
/// let part = |model| Skew::Regular.portions(model, 0.8..0.8, 1);
/// assert_eq!(part(0)?[1], 0.0..0.8); // a 1, of which model 0 gets four fifths
/// assert_eq!(part(1)?[1], 0.8..0.9);
/// # Ok::<(), cleave_data::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Skew {
    /// {0, 1, 2}, {3, 4, 5}, {6, 7, 8, 9} (Fig. 5).
    Regular,
    /// Digits that look alike: {0, 6, 8}, {2, 3, 5, 7}, {1, 4, 9} (Fig. 6).
    Likewise,
    /// Three, three and four digits, drawn (Fig. 7; the groups that the paper gives are those of Fig. 6).
    Random,
}

impl Skew {
    /// All of them, in the order of the figures.
    pub const ALL: [Self; 3] = [Self::Regular, Self::Likewise, Self::Random];

    /// The name, as in commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Likewise => "likewise",
            Self::Random => "random",
        }
    }

    /// The digits of each model's group. The seed decides for [`Skew::Random`] alone.
    pub fn groups(self, seed: u64) -> [Vec<usize>; MODELS] {
        match self {
            Self::Regular => [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7, 8, 9]],
            Self::Likewise => [vec![0, 6, 8], vec![2, 3, 5, 7], vec![1, 4, 9]],
            Self::Random => {
                let mut digits: Vec<_> = (0..DIGITS).collect();
                digits.shuffle(&mut rng_for(Purpose::Skew, seed, 0, 0));
                [0..3, 3..6, 6..10].map(|part| {
                    let mut group = digits[part].to_vec();
                    group.sort_unstable();
                    group
                })
            }
        }
    }

    /// The portion of each digit's images that `model`, 0 to 2, gets, for [`Dataset::portions`](crate::Dataset::portions).
    /// `share` is the range of what goes to the model of the digit's group. With one seed, the three models get all
    /// images between them, and none twice.
    ///
    /// # Errors
    ///
    /// [`DataError::Skew`].
    pub fn portions(self, model: usize, share: Range<f64>, seed: u64) -> Result<Vec<Range<f64>>, DataError> {
        let Range { start: low, end: high } = share;
        if model >= MODELS || !(0.0 <= low && low <= high && high <= 1.0) {
            return Err(DataError::Skew { model, low, high });
        }
        let groups = self.groups(seed);
        let portion = |digit: usize| {
            let own = groups.iter().position(|group| group.contains(&digit)).unwrap_or(0);
            let most = rng_for(Purpose::Skew, seed, 1, digit as u64).random_range(low..=high);
            let half = f64::midpoint(most, 1.0);
            match model - usize::from(model > own) {
                _ if model == own => 0.0..most,
                0 => most..half, // the first of the other two
                _ => half..1.0,
            }
        };
        Ok((0..DIGITS).map(portion).collect())
    }
}

impl std::str::FromStr for Skew {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|skew| skew.name() == name);
        found.ok_or_else(|| format!("take one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl std::fmt::Display for Skew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

//! What everybody may know of a lock.

use crate::Error;
use cleave_nets::{Architecture, Layer, Shape};
use cleave_secrets::KeyId;
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};

/// Values of an image that a key may be laid out for: the top bit of a place holds its sign.
const MAX_VALUES: usize = 1 << 28;

/// Whether all blocks share one order and one choice of signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keying {
    /// One for all blocks (iijima2023, Section 3.2).
    #[default]
    Shared,
    /// One for each place of the image.
    PerPatch,
}

impl Display for Keying {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Shared => "one key for all patches",
            Self::PerPatch => "a key for each patch position",
        })
    }
}

/// How a network is locked, without the secret: which key, what images, what blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Lock {
    /// The public name of the secret.
    pub key: KeyId,
    /// Shape of one image.
    pub image: Shape,
    /// Rows and columns of a block, in pixels.
    pub patch: [usize; 2],
    /// One order for all blocks or one for each.
    pub keying: Keying,
}

/// A lock as a file has it, before it is known to make sense.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    key: KeyId,
    image: Shape,
    patch: [usize; 2],
    keying: Keying,
}

impl TryFrom<Written> for Lock {
    type Error = Error;

    fn try_from(Written { key, image, patch, keying }: Written) -> Result<Self, Error> {
        let lock = Self { key, image, patch, keying };
        lock.check().map(|()| lock)
    }
}

impl Lock {
    /// The lock that fits a network's first layer, under the key called `key`.
    ///
    /// # Errors
    /// [`Error::NotLockable`] says what the network begins with; [`Error::Uneven`] where rows or columns at the edge
    /// belong to no block; [`Error::TooLarge`].
    pub fn of(architecture: &Architecture, key: KeyId, keying: Keying) -> Result<Self, Error> {
        let refused = |reason: String| Err(Error::NotLockable { reason });
        let patch = match architecture.layers.first() {
            Some(Layer::Conv2d { groups, .. }) if *groups != 1 => {
                return refused(format!("its first convolution has {groups} groups"));
            }
            Some(Layer::Conv2d { window, .. }) if window.padding != [0, 0] => {
                return refused(format!("its first convolution pads the image by {:?} pixels", window.padding));
            }
            Some(Layer::Conv2d { window, .. }) if window.stride != window.size => {
                let (size, stride) = (window.size, window.stride);
                return refused(format!("its first convolution has a kernel of {size:?} and a stride of {stride:?}"));
            }
            Some(Layer::Conv2d { window, .. }) => window.size,
            Some(Layer::LocalConv2d { size, .. }) => *size,
            Some(layer) => return refused(format!("its first layer is {}", name(layer))),
            None => return refused("it has no layers".to_owned()),
        };
        let lock = Self { key, image: architecture.input, patch, keying };
        lock.check()?;
        Ok(lock)
    }

    /// Whether blocks and image fit each other.
    ///
    /// # Errors
    /// [`Error::Uneven`], [`Error::TooLarge`].
    pub fn check(&self) -> Result<(), Error> {
        let Self { image, patch, .. } = *self;
        let even = |side: usize, patch: usize| patch > 0 && side > 0 && side.is_multiple_of(patch);
        if image.channels == 0 || !even(image.height, patch[0]) || !even(image.width, patch[1]) {
            return Err(Error::Uneven { image, patch });
        }
        if image.values() > MAX_VALUES {
            return Err(Error::TooLarge { image, patch, limit: "2^28 values an image" });
        }
        Ok(())
    }

    /// Values of one block (the paper's p_b).
    pub const fn block(&self) -> usize {
        self.image.channels * self.patch[0] * self.patch[1]
    }

    /// Blocks of an image, `[down, across]`.
    pub const fn grid(&self) -> [usize; 2] {
        [self.image.height / self.patch[0], self.image.width / self.patch[1]]
    }

    /// Blocks of an image.
    pub const fn blocks(&self) -> usize {
        self.image.values() / self.block()
    }

    /// Where a value of a block lies in an image `[channels, height, width]`. Blocks count row by row, the values of a
    /// block by channel, row and column, as the weights of a kernel do.
    pub const fn place(&self, block: usize, value: usize) -> usize {
        let ([rows, columns], Shape { height, width, .. }) = (self.patch, self.image);
        let across = width / columns;
        let (top, left) = (block / across * rows, block % across * columns);
        let (channel, row, column) = (value / (rows * columns), value / columns % rows, value % columns);
        (channel * height + top + row) * width + left + column
    }

    /// Orders and choices of signs that the secret picks.
    pub const fn tables(&self) -> usize {
        match self.keying {
            Keying::Shared => 1,
            Keying::PerPatch => self.blocks(),
        }
    }

    /// What everybody who uses the lock must know.
    pub fn warning(&self) -> String {
        // As many blocks as a block has values, at the most; every patch of an image is one, whatever the keying.
        let needed = match self.block().div_ceil(self.blocks()) {
            1 => "one image".to_owned(),
            images => format!("{images} images"),
        };
        format!(
            "images are sent under a key that is the same linear map each time: whoever holds the locked network and knows \
             {needed} in both forms can compute the key, and keyed images alone can be enough to find it"
        )
    }

    /// How many keys there are for whoever holds the locked network. Keys for each patch are no more than one: the
    /// weights of two patches are the same columns in another order and with other signs, which shows how the keys
    /// of the two differ.
    pub fn key_space(&self) -> KeySpace {
        KeySpace::of(self.block())
    }
}

impl Display for Lock {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let ([down, across], [rows, columns]) = (self.grid(), self.patch);
        write!(f, "key {}, {}: {down}x{across} patches of {rows}x{columns} pixels", self.key, self.keying)
    }
}

/// The name of a layer's kind, as its file has it.
fn name(layer: &Layer) -> &'static str {
    match layer {
        Layer::Linear { .. } => "a linear layer",
        Layer::Residual { .. } => "a residual block",
        Layer::Concat { .. } => "a block of branches side by side",
        Layer::SignalJoin(_) => "the join of a signal",
        Layer::Flatten => "a flatten",
        _ => "no convolution",
    }
}

/// Sizes of the key space as powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeySpace {
    /// Orders of the values of a block: log₂(p_b!).
    pub orders: f64,
    /// Choices of signs: log₂(p_b! / ((p_b/2)!)²).
    pub signs: f64,
    /// Bits of the secret that both are expanded from: there are never more keys than this.
    pub secret: f64,
}

impl KeySpace {
    /// Of blocks of `block` values (iijima2023, Section 4.3).
    ///
    /// The paper prints 2^543.8 for blocks of 4x4x3 values. Its own formula, 48! · 48!/(24!)², gives 2^247.8.
    pub fn of(block: usize) -> Self {
        let factorial = |n: usize| (2..=n).map(|i| (i as f64).log2()).sum::<f64>();
        let orders = factorial(block);
        let signs = orders - factorial(block / 2) - factorial(block - block / 2);
        Self { orders, signs, secret: 256.0 }
    }

    /// The smaller of what order and signs have and what the secret has, in bits.
    pub fn bits(&self) -> f64 {
        (self.orders + self.signs).min(self.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_space_is_what_the_papers_formula_gives() {
        let space = KeySpace::of(48);
        assert!((space.orders - 202.9).abs() < 0.05, "{}", space.orders);
        assert!((space.signs - 44.9).abs() < 0.05, "{}", space.signs);
        assert!((space.bits() - 247.8).abs() < 0.05, "{}", space.bits());
        assert_eq!(KeySpace::of(192).bits(), 256.0);
        assert_eq!(KeySpace::of(1).bits(), 0.0);
    }
}

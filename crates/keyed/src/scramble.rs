//! The key laid out over an image.

use crate::{Error, Keying, Lock};
use cleave_data::Pixels;
use cleave_secrets::{Domain, Secret};
use zeroize::{Zeroize, Zeroizing};

/// The bit of an entry that says that the value is negated; the others say where it comes from.
const NEGATED: u32 = 1 << 31;

/// What each stream of the secret is for.
const ORDER: &str = "keyed image/order";
const SIGNS: &str = "keyed image/signs";

/// Order and signs for the values of one block: entry `k` says which value comes to place `k`, and whether negated.
///
/// Values of a block count by channel, row and column, as a kernel's weights do.
pub(crate) struct Table(Vec<u32>);

impl Table {
    fn draw(secret: &Secret, lock: &Lock, place: usize) -> Self {
        let [channels, rows, columns] = [lock.image.channels, lock.patch[0], lock.patch[1]];
        let each = u64::from(lock.keying == Keying::PerPatch);
        let numbers = [channels as u64, rows as u64, columns as u64, each, place as u64];
        let block = lock.block() as u32; // bounded by `Lock::check`
        let order = Zeroizing::new(secret.stream(Domain::new(ORDER, &numbers)).permutation(block));
        let signs = Zeroizing::new(secret.stream(Domain::new(SIGNS, &numbers)).balanced_signs(block));
        Self(order.iter().zip(signs.iter()).map(|(&from, &negated)| entry(from, negated)).collect())
    }

    /// Every value at its own place.
    pub(crate) fn idle(lock: &Lock) -> Self {
        Self((0..lock.block() as u32).collect())
    }

    /// The table that turns what `self` made into what `other` makes.
    pub(crate) fn then_instead(&self, other: &Self) -> Self {
        let mut went = vec![0; self.0.len()]; // where each value of the block went, and whether negated
        for (to, &moved) in self.0.iter().enumerate() {
            went[source(moved)] = entry(to as u32, is_negated(moved));
        }
        let table = other.0.iter().map(|&moved| went[source(moved)] ^ (moved & NEGATED)).collect();
        went.zeroize();
        Self(table)
    }

    /// Pairs of source and sign, in the order of the places they come to.
    pub(crate) fn moves(&self) -> impl ExactSizeIterator<Item = (usize, f32)> + '_ {
        self.0.iter().map(|&moved| (source(moved), if is_negated(moved) { -1.0 } else { 1.0 }))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

const fn entry(from: u32, negated: bool) -> u32 {
    if negated { from | NEGATED } else { from }
}

const fn source(moved: u32) -> usize {
    (moved & !NEGATED) as usize
}

const fn is_negated(moved: u32) -> bool {
    moved & NEGATED != 0
}

/// A secret laid out over images of one shape: what a client does to its images (iijima2023, Section 3.2).
///
/// Value `k` of a block becomes value `v_k`, negated where `r_k` is 1, where `v` is the order and `r` the choice of
/// signs that the secret gives (Eqs. 4, 6 and 7): the permutation of its stream `keyed image/order` and the balanced
/// signs of `keyed image/signs`, both with the numbers channels, rows and columns of a block, 0, 0; under
/// [`Keying::PerPatch`](crate::Keying::PerPatch) 1 and the block's number, row by row, in place of the zeros. Values are those of an image from −1 to 1; negating one is the
/// paper's flipping of all bits of its byte. It can be neither printed nor cloned, and is wiped when it is dropped.
/// The time that applying it takes does not depend on the secret, but which memory is read in which order does.
pub struct Scramble {
    lock: Lock,
    tables: Vec<Table>,
    /// For each value of a keyed image: where it comes from.
    places: Zeroizing<Vec<u32>>,
}

impl Scramble {
    /// Expands the secret that `lock` names.
    ///
    /// # Errors
    /// [`Error::OtherKey`] where it names another; those of [`Lock::check`].
    pub fn new(secret: &Secret, lock: &Lock) -> Result<Self, Error> {
        lock.check()?;
        let got = secret.id();
        if got != lock.key {
            return Err(Error::OtherKey { expected: lock.key, got });
        }
        let tables: Vec<_> = (0..lock.tables()).map(|place| Table::draw(secret, lock, place)).collect();
        let mut places = Zeroizing::new(vec![0; lock.image.values()]);
        for block in 0..lock.blocks() {
            let table = &tables[block % tables.len()];
            for (to, &moved) in table.0.iter().enumerate() {
                let from = lock.place(block, source(moved));
                places[lock.place(block, to)] = entry(from as u32, is_negated(moved));
            }
        }
        Ok(Self { lock: lock.clone(), tables, places })
    }

    /// For each value of a block and each order and choice of signs: where it comes from, and whether it is negated.
    /// This is the key itself, for whoever has to compare a guess with it.
    pub fn tables_in_the_clear(&self) -> Zeroizing<Vec<Vec<(usize, bool)>>> {
        let table = |table: &Table| table.0.iter().map(|&moved| (source(moved), is_negated(moved))).collect();
        Zeroizing::new(self.tables.iter().map(table).collect())
    }

    /// What may be known of it.
    pub const fn lock(&self) -> &Lock {
        &self.lock
    }

    /// The tables of all blocks: one, or one for each.
    pub(crate) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Keyed images from plain ones.
    ///
    /// # Shapes
    /// `images` and the result: `[batch, channels, height, width]`, values from −1 to 1.
    ///
    /// # Errors
    /// [`Error::OtherImage`] when the values are no whole number of images.
    pub fn apply(&self, images: &[f32]) -> Result<Vec<f32>, Error> {
        self.check_length(images.len())?;
        let mut out = vec![0.0; images.len()];
        for (image, keyed) in images.chunks_exact(self.places.len()).zip(out.chunks_exact_mut(self.places.len())) {
            for (value, &moved) in keyed.iter_mut().zip(self.places.iter()) {
                *value = f32::from_bits(image[source(moved)].to_bits() ^ (moved & NEGATED)); // the sign bit is the top one
            }
        }
        Ok(out)
    }

    /// Plain images from keyed ones; shapes and errors as for [`Scramble::apply`].
    ///
    /// # Errors
    /// [`Error::OtherImage`].
    pub fn undo(&self, keyed: &[f32]) -> Result<Vec<f32>, Error> {
        self.check_length(keyed.len())?;
        let mut out = vec![0.0; keyed.len()];
        for (keyed, image) in keyed.chunks_exact(self.places.len()).zip(out.chunks_exact_mut(self.places.len())) {
            for (value, &moved) in keyed.iter().zip(self.places.iter()) {
                image[source(moved)] = f32::from_bits(value.to_bits() ^ (moved & NEGATED));
            }
        }
        Ok(out)
    }

    /// The keyed form of an image of bytes, as files show it: a negated value is 255 minus the byte (Eq. 5).
    ///
    /// # Errors
    /// [`Error::OtherImage`] for another size, [`Error::Data`] when the image is at odds with itself.
    pub fn apply_pixels(&self, image: &Pixels) -> Result<Pixels, Error> {
        let shape = self.lock.image;
        let Pixels { width, height, channels, .. } = *image;
        if [channels, height, width] != shape.dims() || image.data.len() != self.places.len() {
            return Err(Error::OtherImage { expected: shape, got: format!("{channels}x{height}x{width}") });
        }
        // Bytes lie channel by channel within a pixel, places channel by channel within an image.
        let plane = height * width;
        let mut data = vec![0; image.data.len()];
        for (to, &moved) in self.places.iter().enumerate() {
            let from = source(moved);
            let byte = image.data[from % plane * channels + from / plane];
            data[to % plane * channels + to / plane] = if is_negated(moved) { 255 - byte } else { byte };
        }
        Ok(Pixels::new(width, height, channels, data)?)
    }

    fn check_length(&self, values: usize) -> Result<(), Error> {
        let expected = self.lock.image;
        if values > 0 && values.is_multiple_of(expected.values()) {
            return Ok(());
        }
        Err(Error::OtherImage { expected, got: format!("{values} values") })
    }
}

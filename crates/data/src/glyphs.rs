use std::path::Path;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use crate::draw::{Purpose, rng_for};
use crate::source::read_split;
use crate::strokes::draw_digit;
use crate::{DataError, Pixels};

/// The side of a glyph in pixels.
const SIDE: usize = 28;
/// The bytes of a glyph.
const AREA: usize = SIDE * SIDE;
const DIGITS: usize = 10;

/// A bank of digit images, white on black, that a signal is drawn from.
///
/// # Shapes
///
/// A glyph is `[28, 28]`, values 0 (background) to 255 (stroke).
///
/// ```
/// use cleave_data::Glyphs;
///
/// let glyphs = Glyphs::drawn(7, &[0, 1], 20)?;
/// let one = glyphs.get(1, 3)?;
/// let plane = Glyphs::resize_to(one, 112, 112);
/// assert_eq!(plane.len(), 112 * 112);
/// # Ok::<(), cleave_data::DataError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Glyphs {
    /// For every digit its glyphs, one after the other.
    banks: [Vec<u8>; DIGITS],
}

impl Glyphs {
    /// The glyph's side in pixels.
    pub const SIDE: usize = SIDE;

    /// Takes the images of some digits from a folder with the idx files of MNIST.
    ///
    /// # Errors
    ///
    /// [`DataError::Digit`], [`DataError::NoSplit`] when the folder does not hold this split
    /// (`train`, or `test`), [`DataError::GlyphSize`], and for damaged files those of
    /// [`Dataset::open`](crate::Dataset::open).
    pub fn from_mnist(folder: impl AsRef<Path>, split: &str, digits: &[usize]) -> Result<Self, DataError> {
        check_digits(digits)?;
        let path = folder.as_ref();
        let set = read_split(path, split)?.ok_or_else(|| DataError::NoSplit {
            wanted: split.to_owned(),
            available: vec!["test".to_owned(), "train".to_owned()],
        })?;
        if (set.height, set.width) != (SIDE, SIDE) {
            return Err(DataError::GlyphSize { path: path.to_owned(), height: set.height, width: set.width });
        }
        let mut glyphs = Self::empty();
        for (glyph, &label) in set.data.chunks_exact(AREA).zip(&set.labels) {
            if digits.contains(&label) {
                glyphs.banks[label].extend_from_slice(glyph);
            }
        }
        Ok(glyphs)
    }

    /// Draws glyphs, `per_digit` of each: strokes with a random slant, size, place, thickness and
    /// wobble. Needs no file, and the same seed gives the same glyphs.
    ///
    /// # Errors
    ///
    /// [`DataError::Digit`].
    pub fn drawn(seed: u64, digits: &[usize], per_digit: usize) -> Result<Self, DataError> {
        check_digits(digits)?;
        let mut glyphs = Self::empty();
        for &digit in digits {
            for index in 0..per_digit {
                let mut rng = rng_for(Purpose::Glyph, seed, digit as u64, index as u64);
                glyphs.banks[digit].extend(draw_digit(digit, SIDE, &mut rng));
            }
        }
        Ok(glyphs)
    }

    /// Takes glyphs from bytes `[digits, per_digit, 28, 28]`, as [`Glyphs::to_bytes`] gives them.
    ///
    /// # Errors
    ///
    /// [`DataError::Digit`] or [`DataError::GlyphBytes`].
    pub fn from_bytes(digits: &[usize], per_digit: usize, bytes: &[u8]) -> Result<Self, DataError> {
        check_digits(digits)?;
        let bank = per_digit.saturating_mul(AREA);
        let expected = bank.saturating_mul(digits.len());
        if bytes.len() != expected {
            return Err(DataError::GlyphBytes { digits: digits.len(), per_digit, expected, got: bytes.len() });
        }
        let mut glyphs = Self::empty();
        for (place, &digit) in digits.iter().enumerate() {
            glyphs.banks[digit] = bytes[place * bank..(place + 1) * bank].to_vec();
        }
        Ok(glyphs)
    }

    /// The first `per_digit` glyphs of every digit in `digits`, as `[digits, per_digit, 28, 28]`.
    ///
    /// # Errors
    ///
    /// [`DataError::Digit`], or [`DataError::NoGlyph`] for a digit with fewer.
    pub fn to_bytes(&self, digits: &[usize], per_digit: usize) -> Result<Vec<u8>, DataError> {
        check_digits(digits)?;
        let mut bytes = Vec::new();
        for &digit in digits {
            let bank = self.banks[digit].get(..per_digit.saturating_mul(AREA));
            bytes.extend_from_slice(bank.ok_or_else(|| self.missing(digit, per_digit))?);
        }
        Ok(bytes)
    }

    /// The number of glyphs of a digit.
    pub fn len(&self, digit: usize) -> usize {
        self.banks.get(digit).map_or(0, |bank| bank.len() / AREA)
    }

    /// Whether the bank holds no glyph at all.
    pub fn is_empty(&self) -> bool {
        self.banks.iter().all(Vec::is_empty)
    }

    /// The digits of which there are glyphs, ascending.
    pub fn digits(&self) -> Vec<usize> {
        (0..DIGITS).filter(|&digit| self.len(digit) > 0).collect()
    }

    /// One glyph, `[28, 28]`.
    ///
    /// # Errors
    ///
    /// [`DataError::NoGlyph`].
    pub fn get(&self, digit: usize, index: usize) -> Result<&[u8], DataError> {
        let bank = self.banks.get(digit).map_or(&[][..], Vec::as_slice);
        let glyph = bank.chunks_exact(AREA).nth(index);
        glyph.ok_or_else(|| self.missing(digit, index))
    }

    /// A glyph of a digit drawn with `rng`, `[28, 28]`. Where the choice is a secret, give a
    /// generator that is fit for secrets.
    ///
    /// # Errors
    ///
    /// [`DataError::NoGlyph`].
    pub fn pick<R: Rng + ?Sized>(&self, digit: usize, rng: &mut R) -> Result<&[u8], DataError> {
        match self.len(digit) {
            0 => Err(self.missing(digit, 0)),
            len => self.get(digit, rng.random_range(0..len)),
        }
    }

    /// `per_digit` glyphs of every digit that the bank holds, drawn with `seed`.
    ///
    /// # Errors
    ///
    /// [`DataError::NoGlyph`] for a digit with fewer.
    pub fn subset(&self, per_digit: usize, seed: u64) -> Result<Self, DataError> {
        let mut chosen = Self::empty();
        for digit in self.digits() {
            let mut order: Vec<usize> = (0..self.len(digit)).collect();
            if per_digit > order.len() {
                return Err(self.missing(digit, per_digit));
            }
            order.shuffle(&mut rng_for(Purpose::Subset, seed, digit as u64, 0));
            for &index in &order[..per_digit] {
                chosen.banks[digit].extend_from_slice(self.get(digit, index)?);
            }
        }
        Ok(chosen)
    }

    /// A glyph as a plane of another size: 0.0 is the background, 1.0 the stroke. Each value is
    /// the mean over the area it covers when the plane is smaller, and interpolated when larger.
    ///
    /// # Shapes
    ///
    /// `[28, 28]` in, `[height, width]` out. A glyph of another length is read as if it went on
    /// in background.
    pub fn resize_to(glyph: &[u8], height: usize, width: usize) -> Vec<f32> {
        let (rows, columns) = (weights(height), weights(width));
        let pixel = |y: usize, x: usize| f32::from(glyph.get(y * SIDE + x).copied().unwrap_or(0));
        let mut narrow = vec![0.0; SIDE * width];
        for (y, line) in narrow.chunks_exact_mut(width.max(1)).enumerate() {
            for (value, taps) in line.iter_mut().zip(&columns) {
                *value = taps.iter().map(|&(x, weight)| pixel(y, x) * weight).sum();
            }
        }
        let mut plane = Vec::with_capacity(height * width);
        for taps in &rows {
            plane.extend((0..width).map(|x| {
                let sum = taps.iter().map(|&(y, weight)| narrow[y * width + x] * weight);
                sum.sum::<f32>() / 255.0
            }));
        }
        plane
    }

    /// A glyph as a grey image, for looking at it.
    ///
    /// # Errors
    ///
    /// [`DataError::NoGlyph`].
    pub fn pixels(&self, digit: usize, index: usize) -> Result<Pixels, DataError> {
        Pixels::new(SIDE, SIDE, 1, self.get(digit, index)?.to_vec())
    }

    fn empty() -> Self {
        Self { banks: std::array::from_fn(|_| Vec::new()) }
    }

    fn missing(&self, digit: usize, index: usize) -> DataError {
        let available = self.len(digit);
        DataError::NoGlyph { digit, index, available }
    }
}

impl std::fmt::Debug for Glyphs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = (0..DIGITS).map(|digit| self.len(digit));
        f.debug_list().entries(counts).finish()
    }
}

fn check_digits(digits: &[usize]) -> Result<(), DataError> {
    for (place, &digit) in digits.iter().enumerate() {
        if digit >= DIGITS || digits[..place].contains(&digit) {
            return Err(DataError::Digit { digit });
        }
    }
    Ok(())
}

/// For every one of `len` places, the glyph's pixels it draws on and their weights, which sum to
/// 1: a triangle as wide as a place, or as a pixel if that is wider.
fn weights(len: usize) -> Vec<Vec<(usize, f32)>> {
    let step = SIDE as f32 / len.max(1) as f32;
    let reach = step.max(1.0);
    let taps = |place: usize| {
        let centre = (place as f32 + 0.5) * step - 0.5;
        let near = |at: usize| (at, (1.0 - (at as f32 - centre).abs() / reach).max(0.0));
        let taps: Vec<_> = (0..SIDE).map(near).filter(|tap| tap.1 > 0.0).collect();
        let sum: f32 = taps.iter().map(|tap| tap.1).sum();
        taps.into_iter().map(|(at, weight)| (at, weight / sum)).collect()
    };
    (0..len).map(taps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn drawn_glyphs_are_the_same_for_the_same_seed_alone() {
        let all: Vec<usize> = (0..10).collect();
        let glyphs = Glyphs::drawn(3, &all, 4).unwrap();
        assert_eq!(glyphs, Glyphs::drawn(3, &all, 4).unwrap());
        assert_ne!(glyphs, Glyphs::drawn(4, &all, 4).unwrap());
        assert_eq!(Glyphs::drawn(3, &[5], 2).unwrap().get(5, 1).unwrap(), glyphs.get(5, 1).unwrap());
    }

    #[test]
    fn drawn_glyphs_are_dark_at_the_border_and_bright_inside() {
        let glyphs = Glyphs::drawn(1, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 50).unwrap();
        for digit in 0..10 {
            for index in 0..50 {
                let glyph = glyphs.get(digit, index).unwrap();
                let ink: usize = glyph.iter().map(|&v| usize::from(v)).sum();
                assert!((20 * 255..330 * 255).contains(&ink), "{digit}: {ink}");
                assert!(glyph[..SIDE].iter().all(|&v| v == 0), "{digit}/{index}");
                assert!(glyph.contains(&255));
            }
        }
    }

    /// Digits are told apart by the nearest mean, as a stand-in for a reader.
    #[test]
    fn drawn_digits_are_told_apart_by_their_mean_images() {
        let digits: Vec<usize> = (0..10).collect();
        let (known, new) = (Glyphs::drawn(1, &digits, 60).unwrap(), Glyphs::drawn(2, &digits, 20).unwrap());
        let mean = |digit: &usize| -> Vec<f32> {
            let bank = &known.banks[*digit];
            (0..AREA).map(|at| bank.iter().skip(at).step_by(AREA).map(|&v| f32::from(v)).sum::<f32>() / 60.0).collect()
        };
        let means: Vec<Vec<f32>> = digits.iter().map(mean).collect();
        let mut right = 0;
        for &digit in &digits {
            for index in 0..20 {
                let glyph = new.get(digit, index).unwrap();
                let distance =
                    |mean: &Vec<f32>| -> f32 { mean.iter().zip(glyph).map(|(m, &v)| (m - f32::from(v)).powi(2)).sum() };
                let best = digits.iter().min_by(|a, b| distance(&means[**a]).total_cmp(&distance(&means[**b])));
                right += usize::from(best == Some(&digit));
            }
        }
        assert!(right >= 150, "{right} of 200");
    }

    #[test]
    fn bytes_return_the_same_bank() {
        let glyphs = Glyphs::drawn(3, &[0, 1, 7], 5).unwrap();
        let bytes = glyphs.to_bytes(&[0, 1, 7], 5).unwrap();
        assert_eq!(bytes.len(), 3 * 5 * 28 * 28);
        assert_eq!(Glyphs::from_bytes(&[0, 1, 7], 5, &bytes).unwrap(), glyphs);
        assert!(matches!(Glyphs::from_bytes(&[0, 1], 5, &bytes), Err(DataError::GlyphBytes { .. })));
        assert!(matches!(glyphs.to_bytes(&[0, 1], 6), Err(DataError::NoGlyph { .. })));
        assert!(matches!(Glyphs::drawn(0, &[1, 1], 1), Err(DataError::Digit { digit: 1 })));
        assert!(matches!(Glyphs::drawn(0, &[10], 1), Err(DataError::Digit { digit: 10 })));
    }

    #[test]
    fn a_subset_holds_glyphs_of_the_bank_each_once() {
        let glyphs = Glyphs::drawn(3, &[2, 4], 30).unwrap();
        let subset = glyphs.subset(10, 1).unwrap();
        let mut seen: Vec<&[u8]> = subset.banks[4].chunks_exact(AREA).collect();
        assert!(seen.iter().all(|glyph| glyphs.banks[4].chunks_exact(AREA).any(|g| g == *glyph)));
        seen.sort();
        seen.dedup();
        assert_eq!((seen.len(), subset.len(2), subset.len(3)), (10, 10, 0));
        assert!(glyphs.subset(31, 1).is_err());
    }

    #[test]
    fn pick_reaches_every_glyph_and_no_missing_digit() {
        let glyphs = Glyphs::drawn(3, &[6], 4).unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut seen: Vec<Vec<u8>> = (0..60).map(|_| glyphs.pick(6, &mut rng).unwrap().to_vec()).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 4);
        assert!(glyphs.pick(5, &mut rng).is_err());
        assert!(glyphs.pick(11, &mut rng).is_err());
    }

    #[test]
    fn resizing_keeps_the_ink_and_the_range() {
        let glyphs = Glyphs::drawn(3, &[8], 1).unwrap();
        let glyph = glyphs.get(8, 0).unwrap();
        let ink = |plane: &[f32]| plane.iter().sum::<f32>() / plane.len() as f32;
        let same = Glyphs::resize_to(glyph, 28, 28);
        assert!(same.iter().zip(glyph).all(|(a, &b)| (a - f32::from(b) / 255.0).abs() < 1e-6));
        for (height, width) in [(14, 14), (56, 56), (112, 60), (13, 27), (1, 1)] {
            let plane = Glyphs::resize_to(glyph, height, width);
            assert_eq!(plane.len(), height * width);
            assert!(plane.iter().all(|v| (0.0..=1.0).contains(v)));
            assert!((ink(&plane) - ink(&same)).abs() < 0.35 * ink(&same) + 0.01 || height == 1);
        }
        assert!(Glyphs::resize_to(glyph, 0, 5).is_empty());
        assert!(Glyphs::resize_to(glyph, 5, 0).is_empty());
    }
}

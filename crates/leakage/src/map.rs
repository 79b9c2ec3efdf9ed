//! A matrix that is known only through its products with vectors.

use crate::LeakageError;
use nalgebra::DMatrix;
use std::ops::RangeInclusive;

/// A linear operator `J` that is known only through its products, such as the Jacobian of a front half at an image:
/// there `inputs` are the values of the image, `outputs` the values sent.
///
/// Products are asked for in batches, which a network computes cheaply, and in `f32`, in which it computes anyway;
/// sums and decompositions here are in `f64`. Whatever uses a map here checks the length and finiteness of what it
/// returns, so that a wrong one is an error and not a panic.
pub trait LinearMap {
    /// How a product can fail; what is refused here is turned into it.
    type Error: From<LeakageError>;

    /// Length of a vector that the map takes.
    fn inputs(&self) -> usize;

    /// Length of a vector that the map gives.
    fn outputs(&self) -> usize;

    /// `J x` for `batch` vectors: `[batch, inputs]` to `[batch, outputs]`, one vector after the other.
    ///
    /// # Errors
    /// Whatever keeps the map from computing them.
    fn apply(&self, xs: &[f32], batch: usize) -> Result<Vec<f32>, Self::Error>;

    /// `Jᵀ y` for `batch` vectors: `[batch, outputs]` to `[batch, inputs]`, one vector after the other.
    ///
    /// # Errors
    /// Whatever keeps the map from computing them.
    fn transpose(&self, ys: &[f32], batch: usize) -> Result<Vec<f32>, Self::Error>;
}

/// Told how many of how many steps are done; returns false to stop.
pub type Progress<'a> = dyn FnMut(usize, usize) -> bool + 'a;

/// A matrix in memory: products in `f64`, rounded to `f32`.
impl LinearMap for DMatrix<f64> {
    type Error = LeakageError;

    fn inputs(&self) -> usize {
        self.ncols()
    }

    fn outputs(&self) -> usize {
        self.nrows()
    }

    fn apply(&self, xs: &[f32], batch: usize) -> Result<Vec<f32>, LeakageError> {
        Ok(rounded(&(self * columns("xs", xs, [self.ncols(), batch])?)))
    }

    fn transpose(&self, ys: &[f32], batch: usize) -> Result<Vec<f32>, LeakageError> {
        Ok(rounded(&self.tr_mul(&columns("ys", ys, [self.nrows(), batch])?)))
    }
}

/// Vectors one after the other as the columns of a matrix.
fn columns(what: &'static str, values: &[f32], [rows, batch]: [usize; 2]) -> Result<DMatrix<f64>, LeakageError> {
    let expected = rows.saturating_mul(batch);
    if values.len() != expected {
        return Err(LeakageError::ArgumentLength { what, expected, got: values.len() });
    }
    Ok(DMatrix::from_iterator(rows, batch, values.iter().copied().map(f64::from)))
}

fn rounded(columns: &DMatrix<f64>) -> Vec<f32> {
    columns.iter().map(|&value| value as f32).collect()
}

/// The products of a map that is not empty, checked and in batches of limited size, seen from one of its two sides.
pub(crate) struct Products<'a, M: ?Sized> {
    map: &'a M,
    batch: usize,
    flipped: bool,
}

impl<'a, M: LinearMap + ?Sized> Products<'a, M> {
    /// Seen from the inputs, at most `batch` vectors at once.
    pub(crate) fn new(map: &'a M, batch: usize) -> Result<Self, LeakageError> {
        within("batch", batch as f64, 1.0..=1e6)?;
        let (inputs, outputs) = (map.inputs(), map.outputs());
        if inputs == 0 || outputs == 0 {
            return Err(LeakageError::EmptyMap { inputs, outputs });
        }
        Ok(Self { map, batch, flipped: false })
    }

    /// Seen from whichever side has fewer values.
    pub(crate) fn seen_from_the_smaller_side(self) -> Self {
        Self { flipped: self.map.outputs() < self.map.inputs(), ..self }
    }

    /// Inputs and outputs.
    pub(crate) fn shape(&self) -> [usize; 2] {
        [self.map.inputs(), self.map.outputs()]
    }

    /// Values on the side it is seen from.
    pub(crate) fn near(&self) -> usize {
        if self.flipped { self.map.outputs() } else { self.map.inputs() }
    }

    /// Values on the other side.
    pub(crate) fn far(&self) -> usize {
        if self.flipped { self.map.inputs() } else { self.map.outputs() }
    }

    /// From the near side to the far one; any number of vectors, one after the other.
    pub(crate) fn there(&self, vectors: &[f32]) -> Result<Vec<f32>, M::Error> {
        self.multiply(vectors, self.flipped)
    }

    /// From the far side to the near one.
    pub(crate) fn back(&self, vectors: &[f32]) -> Result<Vec<f32>, M::Error> {
        self.multiply(vectors, !self.flipped)
    }

    fn multiply(&self, vectors: &[f32], transposed: bool) -> Result<Vec<f32>, M::Error> {
        let [inputs, outputs] = self.shape();
        let (from, to) = if transposed { (outputs, inputs) } else { (inputs, outputs) };
        let mut all = Vec::with_capacity(vectors.len() / from * to);
        for chunk in vectors.chunks(from * self.batch) {
            let batch = chunk.len() / from;
            let values = if transposed { self.map.transpose(chunk, batch)? } else { self.map.apply(chunk, batch)? };
            check(if transposed { "Jᵀ y" } else { "J x" }, &values, batch, batch * to)?;
            all.extend(values);
        }
        Ok(all)
    }
}

fn check(product: &'static str, values: &[f32], batch: usize, expected: usize) -> Result<(), LeakageError> {
    if values.len() != expected {
        return Err(LeakageError::ProductLength { product, batch, expected, got: values.len() });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(LeakageError::ProductNotFinite { product, index, value: values[index] }),
        None => Ok(()),
    }
}

/// Refuses a setting outside its range, NaN included.
pub(crate) fn within(what: &'static str, got: f64, range: RangeInclusive<f64>) -> Result<(), LeakageError> {
    if range.contains(&got) {
        return Ok(());
    }
    Err(LeakageError::Setting { what, got, min: *range.start(), max: *range.end() })
}

/// Passes progress on and stops if told to.
pub(crate) fn report(progress: &mut Progress<'_>, done: usize, total: usize) -> Result<(), LeakageError> {
    if progress(done, total) { Ok(()) } else { Err(LeakageError::Stopped { done, total }) }
}

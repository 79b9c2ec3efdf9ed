//! Singular values and ranks by counting, which cannot fail to converge.
//!
//! nalgebra's iterative decompositions did not converge on some rank-deficient convolution matrices
//! and gave NaN on others, and a rank is wanted precisely there. So only its Householder reduction
//! to bidiagonal form is used. The bidiagonal matrix with diagonal `d` and off-diagonal `e` has the
//! singular values `σ` iff the symmetric tridiagonal matrix with zero diagonal and off-diagonal `d₁
//! e₁ d₂ e₂ …` has the eigenvalues `±σ` (Golub and Kahan 1965), and the signs of that matrix's
//! pivots count how many lie above any bound (Sylvester's law of inertia).

use nalgebra::{ComplexField, DMatrix};

/// Halvings of an interval of length 2: past the resolution of `f64` relative to the largest value.
const HALVINGS: usize = 60;

/// The bidiagonal form of a matrix, which has its singular values.
#[derive(Debug)]
pub(crate) struct Bidiagonal {
    /// Squares of `d₁ e₁ d₂ e₂ … dₙ`, scaled so that the largest is 1.
    squares: Vec<f64>,
    /// What the entries were divided by; 0 for a zero matrix.
    scale: f64,
    /// Number of singular values.
    len: usize,
}

impl Bidiagonal {
    /// Reduces a matrix that is finite and not empty.
    pub(crate) fn new<T: ComplexField<RealField = f64>>(matrix: DMatrix<T>) -> Self {
        let len = matrix.nrows().min(matrix.ncols());
        let reduced = matrix.bidiagonalize();
        let (diagonal, off) = (reduced.diagonal(), reduced.off_diagonal());
        let entry = |index: usize| {
            if index.is_multiple_of(2) { diagonal[index / 2] } else { off[index / 2] }
        };
        Self::from_entries(&(0..2 * len - 1).map(entry).collect::<Vec<_>>())
    }

    /// The form with the entries `d₁ e₁ d₂ e₂ …`, ending in either: `n` rows and columns, or one column more.
    pub(crate) fn from_entries(entries: &[f64]) -> Self {
        let len = entries.len().div_ceil(2);
        let scale = entries.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let unit = if scale > 0.0 { scale } else { 1.0 };
        Self { squares: entries.iter().map(|value| (value / unit).powi(2)).collect(), scale, len }
    }

    /// The largest singular value.
    pub(crate) fn largest(&self) -> f64 {
        self.scale * halve(|bound| self.above(bound) > 0)
    }

    /// The smallest of the `min(rows, columns)` singular values.
    pub(crate) fn smallest(&self) -> f64 {
        self.scale * halve(|bound| self.above(bound) == self.len)
    }

    /// All singular values, largest first: every interval that holds some is halved until nothing is left to resolve.
    pub(crate) fn values(&self) -> Vec<f64> {
        let mut values = Vec::with_capacity(self.len);
        let mut open = vec![Interval { low: 0.0, high: 2.0, above_low: self.len, above_high: 0, halvings: HALVINGS }];
        while let Some(interval) = open.pop() {
            if interval.halvings == 0 {
                values.extend(std::iter::repeat_n(self.scale * interval.low, interval.len()));
            } else if interval.len() > 0 {
                open.extend(interval.halve(|bound| self.above(bound)));
            }
        }
        values
    }

    /// How many singular values exceed `threshold`, which is positive unless the matrix is zero.
    pub(crate) fn rank(&self, threshold: f64) -> usize {
        if self.scale > 0.0 { self.above(threshold / self.scale) } else { 0 }
    }

    /// How many scaled singular values are above a positive bound: the positive pivots.
    fn above(&self, bound: f64) -> usize {
        let mut pivot = -bound;
        let mut count = 0;
        for square in &self.squares {
            pivot = away_from_zero(-bound - square / pivot);
            count += usize::from(pivot > 0.0);
        }
        count
    }
}

/// Bounds between which singular values lie, and how many lie above each.
struct Interval {
    low: f64,
    high: f64,
    above_low: usize,
    above_high: usize,
    halvings: usize,
}

impl Interval {
    fn len(&self) -> usize {
        self.above_low - self.above_high
    }

    /// The lower half, then the upper one.
    fn halve(&self, above: impl Fn(f64) -> usize) -> [Self; 2] {
        let middle = f64::midpoint(self.low, self.high);
        let count = above(middle).clamp(self.above_high, self.above_low);
        let halvings = self.halvings - 1;
        [
            Self { high: middle, above_high: count, halvings, ..*self },
            Self { low: middle, above_low: count, halvings, ..*self },
        ]
    }
}

/// A pivot one can divide by, on the negative side where it was zero.
fn away_from_zero(pivot: f64) -> f64 {
    if pivot.abs() < f64::MIN_POSITIVE { -f64::MIN_POSITIVE } else { pivot }
}

/// The bound between 0 and 2 below which `holds` is true. By Gershgorin's theorem no singular value
/// of a bidiagonal matrix exceeds twice its largest entry.
fn halve(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 2.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if holds(middle) { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{Complex, DVector};

    fn form(diagonal: &[f64]) -> Bidiagonal {
        Bidiagonal::new(DMatrix::from_diagonal(&DVector::from_column_slice(diagonal)))
    }

    #[test]
    fn a_diagonal_matrix_has_its_entries() {
        let form = form(&[3.0, 1e-6, 7.0, 0.5]);
        assert!((form.largest() - 7.0).abs() < 1e-14);
        assert!((form.smallest() - 1e-6).abs() < 1e-15);
        assert_eq!([1e-7, 1e-5, 1.0, 5.0, 8.0].map(|bound| form.rank(bound)), [4, 3, 2, 1, 0]);
        for (found, expected) in form.values().into_iter().zip([7.0, 3.0, 0.5, 1e-6]) {
            assert!((found - expected).abs() < 1e-14, "{found} {expected}");
        }
    }

    #[test]
    fn values_that_repeat_are_all_listed() {
        assert_eq!(form(&[2.0, 0.0, 2.0, 0.0, 2.0]).values().iter().filter(|&&value| value == 0.0).count(), 2);
        assert_eq!(form(&[2.0, 0.0, 2.0, 0.0, 2.0]).values().iter().filter(|&&value| value > 1.999).count(), 3);
        assert_eq!(form(&[0.0; 3]).values(), [0.0; 3]);
    }

    #[test]
    fn entries_that_end_off_the_diagonal_are_a_wide_matrix() {
        // [3 4] has the singular value 5.
        let values = Bidiagonal::from_entries(&[3.0, 4.0]).values();
        assert!(values.len() == 1 && (values[0] - 5.0).abs() < 1e-14, "{values:?}");
        assert!(Bidiagonal::from_entries(&[]).values().is_empty());
    }

    #[test]
    fn a_zero_matrix_has_rank_zero() {
        let form = form(&[0.0; 3]);
        assert_eq!((form.largest(), form.smallest(), form.rank(0.0)), (0.0, 0.0, 0));
    }

    #[test]
    fn an_outer_product_has_one_singular_value() {
        for (rows, columns) in [(1, 1), (7, 4), (4, 7), (1, 5), (5, 1)] {
            let outer =
                DMatrix::from_fn(rows, columns, |row, column| Complex::from_polar((row + 1) as f64, column as f64));
            let norm = outer.norm();
            let form = Bidiagonal::new(outer);
            assert!((form.largest() - norm).abs() < 1e-13 * norm);
            assert_eq!(form.rank(1e-12 * norm), 1);
        }
    }
}

//! Whole numbers from equations that are known to many digits: slots that nobody told hold noise alone, so that a
//! polynomial with whole coefficients is found from the others.

use super::key::Inverse;
use cleave_encrypted::ckks::Complex;

/// Most real numbers that are not told.
const MOST: usize = 16;
/// Equations beyond those that stand for what is not told, for each of these.
const MORE: usize = 3;
/// What an equation weighs beside the size of the whole numbers: those are thousands, and it is wrong by a thousandth.
const WEIGHT: f64 = 1_048_576.0;
/// A coefficient may be so far from a whole number.
const NEAR: f64 = 0.45;

/// Finds whole coefficients of polynomials in Y whose first slots are told.
///
/// Coefficients are c + B·t for real t, one for each part of a slot that is not told. Some of them, chosen so that they
/// fix t, are taken for the unknown whole numbers w; the others have to be whole too, and few such vectors are near 0: a
/// closest vector, by the reduction of Lenstra, Lenstra and Lovász (1982) and the nearest plane of Babai (1986). The
/// lattice follows from the places of slots alone, and is reduced once.
pub(super) struct Completion {
    pub(super) inverse: Inverse,
    hidden: Hidden,
}

enum Hidden {
    Nothing,
    TooMuch,
    Lattice(Lattice),
}

struct Lattice {
    chosen: Vec<usize>,
    /// How every coefficient depends on w.
    turned: Vec<Vec<f64>>,
    /// Coefficients that have to be whole.
    others: Vec<usize>,
    basis: Vec<Vec<f64>>,
    orthogonal: Vec<Vec<f64>>,
}

impl Completion {
    /// For `inner` slots of which the last ones are not told.
    pub(super) fn new(inner: usize, untold: usize) -> Self {
        let inverse = Inverse::new(inner);
        let hidden = match 2 * untold {
            0 => Hidden::Nothing,
            parts if parts > MOST => Hidden::TooMuch,
            _ => Lattice::new(&inverse, inner, untold).map_or(Hidden::TooMuch, Hidden::Lattice),
        };
        Self { inverse, hidden }
    }

    /// All coefficients times the scale, from the slots that are told. None where none are whole.
    pub(super) fn whole(&self, told: &[Complex], scale: f64) -> Option<Vec<i64>> {
        let known: Vec<f64> = self.inverse.coefficients(told).iter().map(|c| c * scale).collect();
        match &self.hidden {
            Hidden::Nothing => near(&known),
            Hidden::TooMuch => None,
            Hidden::Lattice(lattice) => lattice.whole(&known),
        }
    }
}

impl Lattice {
    fn new(inverse: &Inverse, inner: usize, untold: usize) -> Option<Self> {
        let factors = |k: usize| {
            let both = (inner - untold..inner).map(|slot| inverse.factors(slot, k));
            both.flat_map(|(cos, sin)| [cos, sin]).collect::<Vec<f64>>()
        };
        let rows: Vec<Vec<f64>> = (0..2 * inner).map(factors).collect();
        let chosen = independent(&rows, 2 * untold)?;
        let through = inverted(chosen.iter().map(|&at| rows[at].clone()).collect())?;
        let turned: Vec<Vec<f64>> = rows.iter().map(|row| times(row, &through)).collect();
        let others: Vec<usize> = (0..rows.len()).filter(|at| !chosen.contains(at)).take(MORE * chosen.len()).collect();
        let basis = reduced(&turned, &others, chosen.len());
        let orthogonal = orthogonal(&basis);
        Some(Self { chosen, turned, others, basis, orthogonal })
    }

    fn whole(&self, known: &[f64]) -> Option<Vec<i64>> {
        // What is chosen is start + w, so that every coefficient is base + turned·w.
        let shift: Vec<f64> = self.chosen.iter().map(|&at| known[at].round() - known[at]).collect();
        let base: Vec<f64> = known.iter().zip(&self.turned).map(|(known, row)| known + product(row, &shift)).collect();
        let w = self.closest(&base);
        near(&base.iter().zip(&self.turned).map(|(base, row)| base + product(row, &w)).collect::<Vec<_>>())
    }

    /// Small whole numbers w with base + turned·w near whole numbers at `others`.
    fn closest(&self, base: &[f64]) -> Vec<f64> {
        let width = self.chosen.len();
        let mut rest = vec![0.0; width + self.others.len()];
        rest[width..]
            .iter_mut()
            .zip(&self.others)
            .for_each(|(x, &other)| *x = -WEIGHT * (base[other] - base[other].round()));
        let target = rest.clone();
        for (row, straight) in self.basis.iter().zip(&self.orthogonal).rev() {
            let factor = (product(&rest, straight) / product(straight, straight)).round();
            rest.iter_mut().zip(row).for_each(|(x, y)| *x -= factor * y);
        }
        target.iter().zip(&rest).take(width).map(|(target, rest)| (target - rest).round()).collect()
    }
}

/// A reduced basis of the vectors of w and of WEIGHT times what turned·w is off whole numbers at `others`.
fn reduced(turned: &[Vec<f64>], others: &[usize], width: usize) -> Vec<Vec<f64>> {
    let unit = |at: usize, value: f64| {
        let mut row = vec![0.0; width + others.len()];
        row[at] = value;
        row
    };
    let mut basis: Vec<Vec<f64>> = (0..width).map(|at| unit(at, 1.0)).collect();
    for (at, row) in basis.iter_mut().enumerate() {
        row[width..].iter_mut().zip(others).for_each(|(x, &other)| *x = WEIGHT * turned[other][at]);
    }
    basis.extend((0..others.len()).map(|at| unit(width + at, WEIGHT)));
    reduce(&mut basis);
    basis
}

/// The nearest whole numbers, if all are near.
fn near(values: &[f64]) -> Option<Vec<i64>> {
    let whole = |&value: &f64| ((value - value.round()).abs() < NEAR).then(|| value.round() as i64);
    values.iter().map(whole).collect()
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A row times a matrix of rows.
fn times(row: &[f64], matrix: &[Vec<f64>]) -> Vec<f64> {
    (0..matrix.len()).map(|column| row.iter().zip(matrix).map(|(x, other)| x * other[column]).sum()).collect()
}

/// Rows that span all, each the one with the largest part that those before it leave.
fn independent(rows: &[Vec<f64>], count: usize) -> Option<Vec<usize>> {
    let mut left = rows.to_vec();
    let mut chosen = Vec::new();
    for _ in 0..count {
        let size = |row: &Vec<f64>| product(row, row);
        let (at, row) = left.iter().enumerate().max_by(|a, b| size(a.1).total_cmp(&size(b.1)))?;
        let (row, square) = (row.clone(), size(row));
        if square < 1e-20 {
            return None;
        }
        chosen.push(at);
        for other in &mut left {
            let factor = product(other, &row) / square;
            other.iter_mut().zip(&row).for_each(|(x, y)| *x -= factor * y);
        }
    }
    Some(chosen)
}

/// The inverse of a matrix of rows, by elimination.
fn inverted(mut rows: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    let count = rows.len();
    for (at, row) in rows.iter_mut().enumerate() {
        row.extend((0..count).map(|column| f64::from(u8::from(column == at))));
    }
    for at in 0..count {
        let pivot = (at..count).max_by(|&a, &b| rows[a][at].abs().total_cmp(&rows[b][at].abs()))?;
        rows.swap(at, pivot);
        let factor = rows[at][at];
        if factor == 0.0 {
            return None;
        }
        rows[at].iter_mut().for_each(|x| *x /= factor);
        let known = rows[at].clone();
        for row in rows.iter_mut().enumerate().filter(|(other, _)| *other != at).map(|(_, row)| row) {
            let factor = row[at];
            row.iter_mut().zip(&known).for_each(|(x, y)| *x -= factor * y);
        }
    }
    Some(rows.into_iter().map(|row| row[count..].to_vec()).collect())
}

/// Gram and Schmidt.
fn orthogonal(basis: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut out: Vec<Vec<f64>> = Vec::new();
    for row in basis {
        let mut straight = row.clone();
        for other in &out {
            let factor = product(&straight, other) / product(other, other);
            straight.iter_mut().zip(other).for_each(|(x, y)| *x -= factor * y);
        }
        out.push(straight);
    }
    out
}

/// The reduction of Lenstra, Lenstra and Lovász with ¾, in floating point: dimensions are small here.
fn reduce(basis: &mut [Vec<f64>]) {
    const STEPS: usize = 100_000;
    let mut at = 1;
    for _ in 0..STEPS {
        if at >= basis.len() {
            return;
        }
        let straight = orthogonal(&basis[..=at]);
        for before in (0..at).rev() {
            let (head, tail) = basis.split_at_mut(at);
            let square = product(&straight[before], &straight[before]);
            let factor = (product(&tail[0], &straight[before]) / square).round();
            tail[0].iter_mut().zip(&head[before]).for_each(|(x, y)| *x -= factor * y);
        }
        let (last, one) = (product(&straight[at - 1], &straight[at - 1]), product(&straight[at], &straight[at]));
        let factor = product(&basis[at], &straight[at - 1]) / last;
        if one >= (0.75 - factor * factor) * last {
            at += 1;
        } else {
            basis.swap(at - 1, at);
            at = (at - 1).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// A polynomial whose last slots are noise of this size in a coefficient.
    fn case(inner: usize, untold: usize, noise: i64) -> (Vec<Complex>, Vec<i64>) {
        let inverse = Inverse::new(inner);
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let told: Vec<Complex> = (0..inner - untold)
            .map(|_| Complex::new(rng.random_range(-1e11..1e11), rng.random_range(-1e11..1e11)))
            .collect();
        let message = inverse.coefficients(&told);
        let whole: Vec<i64> = message.iter().map(|c| c.round() as i64 + rng.random_range(-noise..=noise)).collect();
        let order = 4 * inner;
        let slot = |u: usize| {
            let power = (0..u).fold(1, |power, _| power * 5 % order);
            let angle = |k: usize| 2.0 * std::f64::consts::PI * (k * power % order) as f64 / order as f64;
            let sum = |of: fn(f64) -> f64| whole.iter().enumerate().map(|(k, &c)| c as f64 * of(angle(k))).sum();
            Complex::new(sum(f64::cos), sum(f64::sin))
        };
        ((0..inner - untold).map(slot).collect(), whole)
    }

    #[test]
    fn coefficients_are_found_where_some_slots_are_not_told() {
        for (untold, noise) in [(0, 20), (1, 50), (4, 5), (4, 1000), (4, 20_000)] {
            let (told, expected) = case(64, untold, noise);
            assert_eq!(Completion::new(64, untold).whole(&told, 1.0), Some(expected), "{untold} {noise}");
        }
    }

    #[test]
    fn rounded_slots_give_no_coefficients() {
        let (told, _) = case(64, 0, 20);
        let rounded: Vec<_> = told.iter().map(|x| Complex::new((x.re / 64.0).round() * 64.0, x.im)).collect();
        assert_eq!(Completion::new(64, 0).whole(&rounded, 1.0), None);
        assert_eq!(Completion::new(64, 10).whole(&told[..54], 1.0), None, "too many are not told");
    }

    #[test]
    fn matrices_are_inverted() {
        let rows = vec![vec![0.0, 2.0], vec![3.0, 4.0]];
        let inverse = inverted(rows.clone()).unwrap();
        let unit: Vec<_> = rows.iter().map(|row| times(row, &inverse)).collect();
        assert!((unit[0][0] - 1.0).abs() < 1e-12 && unit[0][1].abs() < 1e-12 && (unit[1][1] - 1.0).abs() < 1e-12);
        assert!(inverted(vec![vec![1.0, 1.0], vec![2.0, 2.0]]).is_none());
    }
}

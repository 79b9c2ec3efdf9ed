//! Residue number systems: changing the base, dividing by primes, automorphisms.
//!
//! A polynomial is a row of `degree` residues a prime, one row after the other, and transformed (NTT) unless a
//! function says otherwise. Nothing here sees a secret but [`permuted`], and all of it runs without a branch on
//! values.

use std::ops::Range;

use fhe_math::zq::Modulus;
use rayon::prelude::*;

use super::Params;
use crate::{Error, Result};

/// From the primes of `from` to any other: y_i = x_i·(D/q_i)⁻¹ mod q_i, then Σ y_i·(D/q_i) − v·D with
/// v = round(Σ y_i/q_i), which is the representative of x that is smallest in absolute value (the
/// correction of v in floating point: Halevi, Polyakov and Shoup 2019, section 2.2). Where x/D is within about 2⁻⁴⁸
/// of a half, it may be the one on the other side.
pub(super) struct Conversion {
    from: Range<usize>,
    /// (D/q_i)⁻¹ mod q_i.
    inverses: Vec<u64>,
    reciprocals: Vec<f64>,
    /// By target prime: D/q_i for each i, then −D.
    weights: Vec<Vec<u64>>,
}

/// What stands between the two halves of a conversion.
pub(super) struct Digits {
    /// Rows of y_i.
    rows: Vec<u64>,
    /// v.
    excess: Vec<u64>,
}

impl Conversion {
    /// From the primes `from` of `moduli` to all of them.
    pub(super) fn new(moduli: &[Modulus], from: Range<usize>) -> Result<Self> {
        let source = &moduli[from.clone()];
        let others = |modulus: &Modulus, skip: Option<usize>| {
            let kept = source.iter().enumerate().filter(|(i, _)| Some(*i) != skip);
            kept.fold(1, |product, (_, q)| modulus.mul(product, modulus.reduce(**q)))
        };
        let inverse = |(i, q): (usize, &Modulus)| q.inv(others(q, Some(i))).ok_or(Error::Refused { by: "fhe-math" });
        let weights = |modulus: &Modulus| {
            let each = (0..source.len()).map(|i| others(modulus, Some(i)));
            each.chain([modulus.neg(others(modulus, None))]).collect()
        };
        Ok(Self {
            inverses: source.iter().enumerate().map(inverse).collect::<Result<_>>()?,
            reciprocals: source.iter().map(|q| 1.0 / **q as f64).collect(),
            weights: moduli.iter().map(weights).collect(),
            from,
        })
    }

    pub(super) fn covers(&self, index: usize) -> bool {
        self.from.contains(&index)
    }

    /// The first half, of rows of coefficients, one for each prime of `from`.
    pub(super) fn digits(&self, params: &Params, coefficients: &[u64]) -> Digits {
        let n = params.degree();
        let mut rows = coefficients.to_vec();
        let mut fractions = vec![0.5; n];
        let primes = params.moduli()[self.from.clone()].iter().zip(&self.inverses).zip(&self.reciprocals);
        for (row, ((q, &inverse), reciprocal)) in rows.chunks_exact_mut(n).zip(primes) {
            q.scalar_mul_vec(row, inverse);
            for (fraction, &y) in fractions.iter_mut().zip(row.iter()) {
                *fraction += y as f64 * reciprocal;
            }
        }
        Digits { rows, excess: fractions.into_iter().map(|fraction| fraction as u64).collect() }
    }

    /// The second half: the row of coefficients of the prime `target`.
    pub(super) fn row(&self, params: &Params, digits: &Digits, target: usize) -> Vec<u64> {
        let n = params.degree();
        let modulus = &params.moduli()[target];
        let (negative, weights) = match self.weights[target].split_last() {
            Some((negative, weights)) => (u128::from(*negative), weights),
            None => (0, &[][..]),
        };
        let mut sums: Vec<u128> = digits.excess.iter().map(|&v| u128::from(v) * negative).collect();
        for (row, &weight) in digits.rows.chunks_exact(n).zip(weights) {
            for (sum, &y) in sums.iter_mut().zip(row) {
                *sum += u128::from(y) * u128::from(weight);
            }
        }
        sums.into_iter().map(|sum| modulus.reduce_u128(sum)).collect()
    }
}

/// Divides by the last prime and rounds: (x − [x]_q)/q (Cheon, Han, Kim, Kim and Song 2018, algorithm 2).
pub(super) fn rescaled(params: &Params, rows: &[u64]) -> Vec<u64> {
    let n = params.degree();
    let level = rows.len() / n - 1;
    let (kept, last) = rows.split_at(level * n);
    let top = &params.moduli()[level];
    let half = **top / 2;
    let mut last = last.to_vec();
    params.ntts()[level].backward(&mut last);
    // x + half, so that taking half off again below leaves the representative around 0.
    last.iter_mut().for_each(|x| *x = top.add(*x, half));
    let mut out = kept.to_vec();
    out.par_chunks_exact_mut(n).enumerate().for_each(|(index, row)| {
        let q = &params.moduli()[index];
        let half = q.reduce(half);
        let mut remainder: Vec<u64> = last.iter().map(|&x| q.sub(q.reduce(x), half)).collect();
        params.ntts()[index].forward(&mut remainder);
        q.sub_vec(row, &remainder);
        q.scalar_mul_vec(row, params.dropped(level)[index]);
    });
    out
}

/// Divides by the product P of the special primes and rounds: x has a row for each prime up to `level`, then one
/// for each special prime.
pub(super) fn without_special(params: &Params, level: usize, rows: &[u64]) -> Vec<u64> {
    let n = params.degree();
    let (kept, special) = rows.split_at((level + 1) * n);
    let mut special = special.to_vec();
    let first = params.special_from();
    special.par_chunks_exact_mut(n).enumerate().for_each(|(k, row)| params.ntts()[first + k].backward(row));
    let digits = params.down().digits(params, &special);
    let mut out = kept.to_vec();
    out.par_chunks_exact_mut(n).enumerate().for_each(|(index, row)| {
        let q = &params.moduli()[index];
        let mut remainder = params.down().row(params, &digits, index);
        params.ntts()[index].forward(&mut remainder);
        q.sub_vec(row, &remainder);
        q.scalar_mul_vec(row, params.special_inverse(index));
    });
    out
}

/// x(X^element): the value at the root ψ^e is that of x at ψ^(e·element), so that values change their places. Where
/// each comes from.
pub(super) fn places(params: &Params, element: u64) -> Vec<usize> {
    let n = params.degree();
    let bits = n.ilog2();
    let reversed = |i: usize| i.reverse_bits() >> (usize::BITS - bits);
    let place = |i: usize| {
        let exponent = (2 * reversed(i) as u64 + 1) * element % (2 * n as u64);
        reversed((exponent as usize - 1) / 2)
    };
    (0..n).map(place).collect()
}

/// x(X^element).
pub(super) fn permuted(params: &Params, rows: &[u64], element: u64) -> Vec<u64> {
    let places = places(params, element);
    let mut out = Vec::with_capacity(rows.len());
    for row in rows.chunks_exact(params.degree()) {
        out.extend(places.iter().map(|&place| row[place]));
    }
    out
}

//! From decrypted polynomials to the key, by linear algebra.
//!
//! Who has a ciphertext (b, a) modulo q_0 and knows the polynomial m that it decrypts to, to the last bit, has
//! m = b + a·s. That is the attack of Li and Micciancio ("On the Security of Homomorphic Encryption on Approximate
//! Numbers", EUROCRYPT 2021).
//!
//! The mean of a slot over the copies at all samples keeps of m exactly the coefficients at multiples of `block`: with
//! Y = X^block, a polynomial m' of degree below N/block. Of a·s these are Σ_j A_j·s_j, where s = Σ_j X^j·s_j(Y), and the
//! A_j are such parts of a. So each ciphertext gives one equation with `block` unknowns, each a polynomial in Y, and as
//! many ciphertexts as that give the key.

use super::record::Places;
use crate::Error;
use crate::ciphertexts::operator;
use cleave_encrypted::ckks::{Ciphertext, Complex};
use fhe_math::{ntt::NttOperator, zq::Modulus};
use rayon::prelude::*;
use std::f64::consts::PI;

/// Arithmetic modulo q_0.
pub(super) struct Solver {
    degree: usize,
    q: Modulus,
    ntt: NttOperator,
    /// In Y.
    small: NttOperator,
    places: Places,
}

impl Solver {
    pub(super) fn new(prime: u64, degree: usize, places: Places) -> Result<Self, Error> {
        let (q, ntt) = operator(prime, degree)?;
        let (_, small) = operator(prime, 2 * places.inner)?;
        Ok(Self { degree, q, ntt, small, places })
    }

    /// Coefficients of a polynomial in Y, and equations that a ciphertext gives.
    pub(super) fn width(&self) -> usize {
        2 * self.places.inner
    }

    /// Coefficients as signed numbers.
    fn signed(&self, row: &[u64]) -> Vec<i64> {
        let q = *self.q;
        row.iter().map(|&x| if x > q / 2 { x as i64 - q as i64 } else { x as i64 }).collect()
    }

    fn coefficients(&self, row: &[u64]) -> Vec<u64> {
        let mut row = row[..self.degree].to_vec();
        self.ntt.backward(&mut row);
        row
    }

    /// b + a·s, as who has the key decrypts it: for measuring.
    pub(super) fn phase(&self, ciphertext: &Ciphertext, key: &[i64]) -> Vec<i64> {
        let [b, a] = ciphertext.halves().map(|half| &half[..self.degree]);
        let mut s = self.q.reduce_vec_i64(key);
        self.ntt.forward(&mut s);
        let sum: Vec<u64> = b.iter().zip(a).zip(&s).map(|((&b, &a), &s)| self.q.add(b, self.q.mul(a, s))).collect();
        self.signed(&self.coefficients(&sum))
    }

    /// s = (m − b)/a, from all coefficients of m.
    pub(super) fn by_one(&self, ciphertext: &Ciphertext, told: &[i64]) -> Vec<i64> {
        let [b, a] = ciphertext.halves().map(|half| &half[..self.degree]);
        let mut m = self.q.reduce_vec_i64(told);
        self.ntt.forward(&mut m);
        let divided = |((&m, &b), &a): ((&u64, &u64), &u64)| {
            self.q.mul(self.q.sub(m, b), self.q.pow(a, (*self.q).saturating_sub(2)))
        };
        let s: Vec<u64> = m.iter().zip(b).zip(a).map(divided).collect();
        self.signed(&self.coefficients(&s))
    }

    /// s from the polynomials m' of several ciphertexts; none where they are too few.
    pub(super) fn by_many(&self, told: &[(&Ciphertext, Vec<i64>)]) -> Option<Vec<i64>> {
        let (block, width) = (self.places.block, self.width());
        let told = told.get(..block)?;
        let rows: Vec<Vec<Vec<u64>>> = told.par_iter().map(|(x, told)| self.equation(x, told)).collect();
        let points: Option<Vec<Vec<u64>>> = (0..width)
            .into_par_iter()
            .map(|point| solved(&self.q, rows.iter().map(|row| row.iter().map(|x| x[point]).collect()).collect()))
            .collect();
        let points = points?;
        let mut s = vec![0; self.degree];
        for j in 0..block {
            let mut part: Vec<u64> = points.iter().map(|point| point[j]).collect();
            self.small.backward(&mut part);
            part.iter().enumerate().for_each(|(k, &x)| s[block * k + j] = x);
        }
        Some(self.signed(&s))
    }

    /// A_0 to A_(block − 1), and m' − b', transformed.
    fn equation(&self, ciphertext: &Ciphertext, told: &[i64]) -> Vec<Vec<u64>> {
        let (block, q) = (self.places.block, &self.q);
        let [b, a] = ciphertext.halves().map(|half| self.coefficients(half));
        let part = |x: &[u64], j: usize| x.iter().skip(j).step_by(block).copied().collect::<Vec<_>>();
        // X^j·X^(block − j) is Y, and Y^width is −1.
        let times_y = |mut x: Vec<u64>| {
            x.rotate_right(1);
            x.iter_mut().take(1).for_each(|first| *first = q.neg(*first));
            x
        };
        let factor = |j: usize| if j == 0 { part(&a, 0) } else { times_y(part(&a, block - j)) };
        let mut rest = q.reduce_vec_i64(told);
        q.sub_vec(&mut rest, &part(&b, 0));
        let mut row: Vec<_> = (0..block).map(factor).chain([rest]).collect();
        row.iter_mut().for_each(|x| self.small.forward(x));
        row
    }
}

/// Solves equations of their factors and then their results, as many as there are unknowns.
fn solved(q: &Modulus, mut rows: Vec<Vec<u64>>) -> Option<Vec<u64>> {
    for at in 0..rows.len() {
        let pivot = (at..rows.len()).find(|&row| rows[row][at] != 0)?;
        rows.swap(at, pivot);
        let inverse = q.inv(rows[at][at])?;
        rows[at][at..].iter_mut().for_each(|x| *x = q.mul(*x, inverse));
        let (head, tail) = rows.split_at_mut(at);
        let (known, tail) = tail.split_first_mut()?;
        for row in head.iter_mut().chain(tail) {
            let factor = q.neg(row[at]);
            row[at..].iter_mut().zip(&known[at..]).for_each(|(x, &y)| *x = q.add(*x, q.mul(factor, y)));
        }
    }
    rows.iter().map(|row| row.last().copied()).collect()
}

/// Whether all coefficients are −1, 0 or 1: what the attacker sees too.
pub(super) fn is_key(found: &[i64]) -> bool {
    !found.is_empty() && found.iter().all(|s| (-1..=1).contains(s))
}

/// How the coefficients of m' follow from its slots: slot u is m'(ζ^(5^u)) with ζ = exp(πi/width), so that coefficient k
/// is the mean over u of Re(slot·ζ^(−k·5^u)).
pub(super) struct Inverse {
    /// 5^u modulo twice the width.
    powers: Vec<usize>,
    /// cos and sin of π/width times 0, 1, …
    roots: Vec<(f64, f64)>,
}

impl Inverse {
    /// For `inner` slots.
    pub(super) fn new(inner: usize) -> Self {
        let order = 4 * inner;
        let powers = std::iter::successors(Some(1), |power| Some(power * 5 % order)).take(inner).collect();
        let angle = |k: usize| 2.0 * PI * k as f64 / order as f64;
        Self { powers, roots: (0..order).map(|k| (angle(k).cos(), angle(k).sin())).collect() }
    }

    /// What one slot adds to coefficient k, by real and imaginary part.
    pub(super) fn factors(&self, slot: usize, k: usize) -> (f64, f64) {
        let (cos, sin) = self.roots[k * self.powers[slot] % self.roots.len()];
        (cos / self.powers.len() as f64, sin / self.powers.len() as f64)
    }

    /// All coefficients; slots that are missing are 0.
    pub(super) fn coefficients(&self, slots: &[Complex]) -> Vec<f64> {
        let one = |k: usize| {
            let term = |(u, slot): (usize, &Complex)| {
                let (cos, sin) = self.factors(u, k);
                slot.re * cos + slot.im * sin
            };
            slots.iter().enumerate().map(term).sum()
        };
        (0..2 * self.powers.len()).into_par_iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_modulo_a_prime_are_solved() {
        let q = Modulus::new(1153).unwrap();
        // x + 2y = 8, 3x + 4y = 18: x = 2, y = 3; with a pivot that is 0 at first.
        assert_eq!(solved(&q, vec![vec![1, 2, 8], vec![3, 4, 18]]), Some(vec![2, 3]));
        assert_eq!(solved(&q, vec![vec![0, 2, 6], vec![3, 4, 18]]), Some(vec![2, 3]));
        assert_eq!(solved(&q, vec![vec![1, 2, 8], vec![2, 4, 16]]), None, "the same equation twice");
    }

    #[test]
    fn coefficients_follow_from_slots() {
        let (inner, inverse) = (8, Inverse::new(8));
        let coefficients: Vec<f64> = (0..16).map(|k| f64::from(k * k % 11) - 5.0).collect();
        let slot = |u: usize| {
            let power = (0..u).fold(1_usize, |power, _| power * 5 % 32);
            let angle = |k: usize| PI * (k * power % 32) as f64 / 16.0;
            let sum = |of: fn(f64) -> f64| coefficients.iter().enumerate().map(|(k, c)| c * of(angle(k))).sum();
            Complex::new(sum(f64::cos), sum(f64::sin))
        };
        let back = inverse.coefficients(&(0..inner).map(slot).collect::<Vec<_>>());
        assert!(back.iter().zip(&coefficients).all(|(a, b)| (a - b).abs() < 1e-12), "{back:?}");
    }

    #[test]
    fn keys_are_known_by_their_coefficients() {
        assert!(is_key(&[0, 1, -1]) && !is_key(&[0, 2]) && !is_key(&[]));
    }
}

//! The canonical embedding: slots to coefficients and back, in double precision.

use std::{
    f64::consts::PI,
    ops::{Add, Mul, Sub},
};

use zeroize::{DefaultIsZeroes, Zeroizing};

/// One slot.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Complex {
    /// Real part.
    pub re: f64,
    /// Imaginary part.
    pub im: f64,
}

impl Complex {
    /// From both parts.
    pub const fn new(re: f64, im: f64) -> Self {
        Self { re, im }
    }

    /// The conjugate.
    #[must_use]
    pub fn conj(self) -> Self {
        Self::new(self.re, -self.im)
    }

    /// The absolute value.
    pub fn abs(self) -> f64 {
        self.re.hypot(self.im)
    }

    fn unit(angle: f64) -> Self {
        Self::new(angle.cos(), angle.sin())
    }

    fn scaled(self, factor: f64) -> Self {
        Self::new(self.re * factor, self.im * factor)
    }
}

impl From<f64> for Complex {
    fn from(re: f64) -> Self {
        Self::new(re, 0.0)
    }
}

impl Add for Complex {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(self.re + other.re, self.im + other.im)
    }
}

impl Sub for Complex {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::new(self.re - other.re, self.im - other.im)
    }
}

impl Mul for Complex {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self::new(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)
    }
}

impl DefaultIsZeroes for Complex {}

/// Slot j of a real polynomial m of degree below N is m(ζ^(5^j)), ζ = exp(πi/N), for the N/2 values j
/// (Cheon, Kim, Kim and Song 2017, section 3.2). The values at the other primitive roots are their conjugates.
///
/// The transform is that of the same authors' HEAAN: m is folded to N/2 complex coefficients
/// m_k + i·m_(k+N/2), since ζ^(5^j·N/2) = i for every j. Then butterflies as in any FFT, with roots ζ^(5^j).
pub(super) struct Embedding {
    slots: usize,
    /// ζ^k for k < 2N.
    roots: Vec<Complex>,
    /// 5^j modulo 2N.
    powers: Vec<usize>,
}

impl Embedding {
    /// For a power of two from 8.
    pub(super) fn new(degree: usize) -> Self {
        let order = 2 * degree;
        let roots = (0..order).map(|k| Complex::unit(2.0 * PI * k as f64 / order as f64)).collect();
        let powers = std::iter::successors(Some(1), |power| Some(power * 5 % order)).take(degree / 2).collect();
        Self { slots: degree / 2, roots, powers }
    }

    /// Coefficients of the real polynomial with these slots. Slots that are missing are 0.
    pub(super) fn coefficients(&self, slots: &[Complex]) -> Zeroizing<Vec<f64>> {
        let mut values = Zeroizing::new(vec![Complex::default(); self.slots]);
        values[..slots.len()].copy_from_slice(slots);
        let mut len = self.slots;
        while len >= 2 {
            for block in values.chunks_exact_mut(len) {
                let (left, right) = block.split_at_mut(len / 2);
                for (j, (left, right)) in left.iter_mut().zip(right).enumerate() {
                    let (sum, difference) = (*left + *right, *left - *right);
                    *left = sum;
                    *right = difference * self.root(j, len).conj();
                }
            }
            len /= 2;
        }
        reverse(&mut values);
        let mut out = Zeroizing::new(vec![0.0; 2 * self.slots]);
        let (low, high) = out.split_at_mut(self.slots);
        for ((low, high), value) in low.iter_mut().zip(high).zip(values.iter()) {
            let value = value.scaled(1.0 / self.slots as f64);
            (*low, *high) = (value.re, value.im);
        }
        out
    }

    /// Slots of the real polynomial with these coefficients.
    pub(super) fn slots_of(&self, coefficients: &[f64]) -> Zeroizing<Vec<Complex>> {
        let (low, high) = coefficients.split_at(self.slots);
        let both = low.iter().zip(high).map(|(&low, &high)| Complex::new(low, high));
        let mut values = Zeroizing::new(both.collect::<Vec<_>>());
        reverse(&mut values);
        let mut len = 2;
        while len <= self.slots {
            for block in values.chunks_exact_mut(len) {
                let (left, right) = block.split_at_mut(len / 2);
                for (j, (left, right)) in left.iter_mut().zip(right).enumerate() {
                    let turned = *right * self.root(j, len);
                    (*left, *right) = (*left + turned, *left - turned);
                }
            }
            len *= 2;
        }
        values
    }

    /// The root of butterfly j in blocks of `len`.
    fn root(&self, j: usize, len: usize) -> Complex {
        self.roots[self.powers[j] % (4 * len) * (self.roots.len() / (4 * len))]
    }
}

/// Bit reversal of the places.
fn reverse(values: &mut [Complex]) {
    let shift = usize::BITS - values.len().trailing_zeros();
    for i in 0..values.len() {
        let j = i.reverse_bits() >> shift;
        if i < j {
            values.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(count: usize) -> Vec<Complex> {
        (0..count).map(|j| Complex::new((j as f64 * 0.7).sin(), (j as f64 * 1.3 + 0.4).cos())).collect()
    }

    #[test]
    fn slots_are_values_at_powers_of_five() {
        for degree in [8, 64, 256] {
            let embedding = Embedding::new(degree);
            let coefficients: Vec<f64> = (0..degree).map(|k| (k as f64 * 0.9).sin()).collect();
            let got = embedding.slots_of(&coefficients);
            for (j, got) in got.iter().enumerate() {
                let turn = (0..j).fold(1, |power, _| power * 5 % (2 * degree));
                let angle = |k: usize| PI * ((k * turn) % (2 * degree)) as f64 / degree as f64;
                let value = coefficients.iter().enumerate().map(|(k, &c)| Complex::unit(angle(k)).scaled(c));
                let expected = value.fold(Complex::default(), Complex::add);
                assert!((*got - expected).abs() < 1e-10, "{degree} {j}");
            }
        }
    }

    #[test]
    fn there_and_back() {
        for degree in [8, 1024, 32768] {
            let embedding = Embedding::new(degree);
            let slots = slots(degree / 2);
            let back = embedding.slots_of(&embedding.coefficients(&slots));
            assert!(slots.iter().zip(back.iter()).all(|(a, b)| (*a - *b).abs() < 1e-13), "{degree}");
        }
    }

    #[test]
    fn a_constant_is_a_constant() {
        let coefficients = Embedding::new(64).coefficients(&[Complex::from(0.75); 32]);
        assert!((coefficients[0] - 0.75).abs() < 1e-15 && coefficients[1..].iter().all(|c| c.abs() < 1e-15));
    }
}

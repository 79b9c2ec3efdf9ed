//! Encryption with a part left out, so that tests have something to find. For audits alone: it hides nothing.

use super::record::Encryption;
use super::rings::{Cipher, Rings, operator};
use crate::Error;
use cleave_encrypted::Params;
use fhe_math::{ntt::NttOperator, zq::Modulus};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The crate's encryption written once more, with a hole in it.
pub(super) struct Weakened<'a> {
    rings: &'a Rings,
    kind: Encryption,
    plain: (Modulus, NttOperator),
    /// Q modulo t, and −1/t modulo each prime.
    rest: u64,
    inverse: Vec<u64>,
    /// A secret key of its own, transformed.
    secret: Vec<u64>,
    seed: u64,
}

impl<'a> Weakened<'a> {
    pub(super) fn new(rings: &'a Rings, params: &Params, kind: Encryption, seed: u64) -> Result<Self, Error> {
        let refused = || cleave_encrypted::Error::Refused { by: "fhe-math" };
        let t = params.plaintexts().next().ok_or_else(refused)?;
        let plain = operator(t, rings.degree)?;
        let rest = params.moduli().fold(1, |product, q| plain.0.mul(product, plain.0.reduce(q)));
        let inverse = |(q, _): &(Modulus, NttOperator)| q.inv(q.neg(q.reduce(t))).ok_or_else(refused);
        let inverse = rings.primes.iter().map(inverse).collect::<Result<_, _>>()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let ternary: Vec<i64> = (0..rings.degree).map(|_| rng.random_range(-1..=1)).collect();
        let mut weakened = Self { rings, kind, plain, rest, inverse, secret: Vec::new(), seed };
        weakened.secret = weakened.transformed(|q| ternary.iter().map(|&s| residue(q, s)).collect());
        Ok(weakened)
    }

    /// Encrypts one value of every image: ciphertext `item` of batch `batch`.
    pub(super) fn encrypt(&self, values: &[i64], batch: u64, item: u64) -> Cipher {
        let own = |batch: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(1 + (batch << 32 | item));
            rng
        };
        let mut mask = own(if self.kind == Encryption::MaskReused { 0 } else { 2 * batch });
        let mut noise = own(2 * batch + 1);
        let mut message = vec![0; self.rings.degree];
        for (slot, value) in message.iter_mut().zip(values) {
            *slot = value.rem_euclid(*self.plain.0 as i64) as u64;
        }
        self.plain.1.backward(&mut message);
        let error: Vec<i64> = match self.kind {
            Encryption::WithoutError => vec![0; self.rings.degree],
            _ => (0..self.rings.degree).map(|_| binomial(&mut noise)).collect(),
        };
        let mut inverse = self.inverse.iter();
        let mut b = self.transformed(|q| {
            let inverse = inverse.next().copied().unwrap_or(0);
            let scaled = |m: u64| q.mul(q.reduce(self.plain.0.mul(m, self.rest)), inverse);
            message.iter().zip(&error).map(|(&m, &e)| q.add(scaled(m), residue(q, e))).collect()
        });
        let mut a = Vec::with_capacity(b.len());
        for (q, _) in &self.rings.primes {
            a.extend((0..self.rings.degree).map(|_| mask.random_range(0..**q)));
        }
        if self.kind != Encryption::WithoutMask {
            let n = self.rings.degree;
            let rows = b.chunks_exact_mut(n).zip(a.chunks_exact(n)).zip(self.secret.chunks_exact(n));
            for (((b, a), s), (q, _)) in rows.zip(&self.rings.primes) {
                b.iter_mut().zip(a).zip(s).for_each(|((b, &a), &s)| *b = q.sub(*b, q.mul(a, s)));
            }
        }
        [b, a]
    }

    fn transformed(&self, mut row: impl FnMut(&Modulus) -> Vec<u64>) -> Vec<u64> {
        let one = |(q, ntt): &(Modulus, NttOperator)| {
            let mut row = row(q);
            ntt.forward(&mut row);
            row
        };
        self.rings.primes.iter().flat_map(one).collect()
    }
}

fn residue(q: &Modulus, small: i64) -> u64 {
    if small < 0 { q.neg(small.unsigned_abs()) } else { small.unsigned_abs() }
}

/// Variance 10.5, as in the real encryption.
fn binomial(rng: &mut ChaCha8Rng) -> i64 {
    const MASK: u64 = (1 << 21) - 1;
    let word: u64 = rng.random();
    i64::from((word & MASK).count_ones()) - i64::from(((word >> 21) & MASK).count_ones())
}

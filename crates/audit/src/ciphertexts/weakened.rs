//! Encryption with a part left out, so that tests have something to find. For audits alone: it hides nothing.

use super::record::Encryption;
use super::rings::{Cipher, Rings};
use fhe_math::{ntt::NttOperator, zq::Modulus};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The encryption of `cleave-encrypted` written once more, with a hole in it: b = message + e − a·s.
pub(crate) struct Weakened<'a> {
    rings: &'a Rings,
    kind: Encryption,
    /// A secret key of its own, transformed.
    secret: Vec<u64>,
    seed: u64,
}

impl<'a> Weakened<'a> {
    pub(crate) fn new(rings: &'a Rings, kind: Encryption, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let ternary: Vec<i64> = (0..rings.degree).map(|_| rng.random_range(-1..=1)).collect();
        let mut weakened = Self { rings, kind, secret: Vec::new(), seed };
        weakened.secret = weakened.transformed(|_, q| ternary.iter().map(|&s| residue(q, s)).collect());
        weakened
    }

    /// Encrypts coefficients, given modulo each prime: ciphertext `item` of batch `batch`.
    pub(crate) fn encrypt(&self, message: impl Fn(usize, &Modulus) -> Vec<u64>, batch: u64, item: u64) -> Cipher {
        let own = |batch: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(1 + (batch << 32 | item));
            rng
        };
        let mut mask = own(if self.kind == Encryption::MaskReused { 0 } else { 2 * batch });
        let mut noise = own(2 * batch + 1);
        let error: Vec<i64> = match self.kind {
            Encryption::WithoutError => vec![0; self.rings.degree],
            _ => (0..self.rings.degree).map(|_| binomial(&mut noise)).collect(),
        };
        let mut b = self.transformed(|prime, q| {
            let mut row = message(prime, q);
            row.iter_mut().zip(&error).for_each(|(m, &e)| *m = q.add(*m, residue(q, e)));
            row
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

    fn transformed(&self, row: impl Fn(usize, &Modulus) -> Vec<u64>) -> Vec<u64> {
        let one = |(at, (q, ntt)): (usize, &(Modulus, NttOperator))| {
            let mut row = row(at, q);
            ntt.forward(&mut row);
            row
        };
        self.rings.primes.iter().enumerate().flat_map(one).collect()
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

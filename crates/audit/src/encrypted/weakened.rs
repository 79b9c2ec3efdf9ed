//! Weakened encryptions of images.

use crate::Error;
use crate::ciphertexts::{Cipher, Encryption, Rings, Weakened, operator};
use cleave_encrypted::Params;
use fhe_math::{ntt::NttOperator, zq::Modulus};

/// Values in slots, scaled as BFV scales them.
pub(super) struct Scaled<'a> {
    weakened: Weakened<'a>,
    degree: usize,
    plain: (Modulus, NttOperator),
    /// Q modulo t, and −1/t modulo each prime.
    rest: u64,
    inverse: Vec<u64>,
}

impl<'a> Scaled<'a> {
    pub(super) fn new(rings: &'a Rings, params: &Params, kind: Encryption, seed: u64) -> Result<Self, Error> {
        let refused = || cleave_encrypted::Error::Refused { by: "fhe-math" };
        let t = params.plaintexts().next().ok_or_else(refused)?;
        let plain = operator(t, rings.degree)?;
        let rest = params.moduli().fold(1, |product, q| plain.0.mul(product, plain.0.reduce(q)));
        let inverse = |(q, _): &(Modulus, NttOperator)| q.inv(q.neg(q.reduce(t))).ok_or_else(refused);
        let inverse = rings.primes.iter().map(inverse).collect::<Result<_, _>>()?;
        Ok(Self { weakened: Weakened::new(rings, kind, seed), degree: rings.degree, plain, rest, inverse })
    }

    /// Encrypts one value of every image: ciphertext `item` of batch `batch`.
    pub(super) fn encrypt(&self, values: &[i64], batch: u64, item: u64) -> Cipher {
        let mut message = vec![0; self.degree];
        for (slot, value) in message.iter_mut().zip(values) {
            *slot = value.rem_euclid(*self.plain.0 as i64) as u64;
        }
        self.plain.1.backward(&mut message);
        let scaled = |prime: usize, q: &Modulus| {
            let one = |&m: &u64| q.mul(q.reduce(self.plain.0.mul(m, self.rest)), self.inverse[prime]);
            message.iter().map(one).collect()
        };
        self.weakened.encrypt(scaled, batch, item)
    }
}

use std::fmt;

use cleave_secrets::{Domain, KeyId, Secret};
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::{
    Error, Params, Result,
    envelope::{self, Kind, Reader, Seal},
    sample,
};

/// The client's secret key: a ternary polynomial, expanded from a [`Secret`].
///
/// It is not stored: keep the `Secret`, in the sealed files of `cleave-secrets`, and expand it
/// again. It can be neither printed, cloned nor serialised. What this crate holds of it is wiped when
/// it is dropped; polynomials that `fhe-math` makes while decrypting are not, see `docs/encrypted.md`.
pub struct SecretKey {
    params: Params,
    id: KeyId,
    /// s in the transformed domain: a row of `degree` residues a modulus.
    transformed: Zeroizing<Vec<u64>>,
    tag: Zeroizing<[u8; 32]>,
}

impl SecretKey {
    /// Draws a secret from the operating system and expands it. Whoever wants to decrypt later
    /// makes the [`Secret`] and calls [`SecretKey::new`].
    ///
    /// # Errors
    ///
    /// [`Error::Randomness`].
    pub fn generate(params: &Params) -> Result<Self> {
        Ok(Self::new(params, &Secret::generate()?))
    }

    /// Expands `secret`: its stream `encrypted/secret key` gives each coefficient as a number below
    /// three, less one; `encrypted/tag` gives the key of tags.
    pub fn new(params: &Params, secret: &Secret) -> Self {
        let mut stream = secret.stream(Domain::new("encrypted/secret key", &[params.degree() as u64]));
        let coefficients = sample::ternary(&mut stream, params.degree());
        let mut tag = Zeroizing::new([0; 32]);
        secret.stream(Domain::new("encrypted/tag", &[])).fill(tag.as_mut_slice());
        let transformed = transformed(params, &coefficients);
        Self { params: params.clone(), id: secret.id(), transformed, tag }
    }

    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The public name of the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn seal(&self) -> Seal<'_> {
        Seal::Tag(&self.tag)
    }

    /// A row of s for each modulus.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.transformed.chunks_exact(self.params.degree())
    }

    /// b = e − a·s in the transformed domain, where `error` has a row of residues a modulus, not yet
    /// transformed, and may hold a message on top.
    pub(crate) fn mask(&self, a: &[u64], mut error: Vec<u64>) -> Vec<u64> {
        let n = self.params.degree();
        let rows = error.chunks_exact_mut(n).zip(a.chunks_exact(n)).zip(self.rows());
        for (((row, a), s), (q, ntt)) in rows.zip(self.params.q(0).iter().zip(self.params.ntts(0))) {
            ntt.forward(row);
            for ((x, a), s) in row.iter_mut().zip(a).zip(s) {
                *x = q.sub(*x, q.mul(*a, *s));
            }
        }
        error
    }

    /// Makes the keys that a provider needs to multiply.
    ///
    /// # Errors
    ///
    /// [`Error::Randomness`].
    pub fn evaluation_keys(&self) -> Result<EvaluationKeys> {
        let seed = *Secret::generate()?.expose();
        let noise = Secret::generate()?;
        let n = self.params.degree();
        let digits = (0..self.params.q(0).len()).into_par_iter().map(|digit| {
            let index = [KEY_INDEX, digit as u64];
            let a = sample::public(&seed, index, self.params.q(0), n);
            let error = sample::error(&mut noise.stream(Domain::new("encrypted/key noise", &index)), n);
            let mut b = self.mask(&a, residues(&self.params, &error));
            // The gadget is 1 for the digit's own modulus and 0 for the others, at every level.
            let q = &self.params.q(0)[digit];
            let own = b.chunks_exact_mut(n).zip(self.rows()).nth(digit);
            for (b, s) in own.into_iter().flat_map(|(b, s)| b.iter_mut().zip(s)) {
                *b = q.add(*b, q.mul(*s, *s));
            }
            Digit { b, a }
        });
        let digits = digits.collect();
        Ok(EvaluationKeys { params: self.params.clone(), id: self.id, tag: self.tag.clone(), seed, digits })
    }
}

/// The public polynomials of keys are drawn under indices that no ciphertext has.
const KEY_INDEX: u64 = u64::MAX;

/// What a provider needs to compute on one client's ciphertexts: relinearisation keys for all
/// levels, and the key of tags.
///
/// Bring it to the provider over a channel that authenticates both sides. It does not decrypt. Whoever has
/// it can make tags that the client accepts.
pub struct EvaluationKeys {
    params: Params,
    id: KeyId,
    tag: Zeroizing<[u8; 32]>,
    seed: [u8; 32],
    digits: Vec<Digit>,
}

/// An encryption of s² times the gadget of one modulus: b + a·s = e + g·s².
struct Digit {
    b: Vec<u64>,
    a: Vec<u64>,
}

impl fmt::Debug for EvaluationKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvaluationKeys").field("key", &self.id).field("params", &self.params).finish_non_exhaustive()
    }
}

impl EvaluationKeys {
    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The public name of the client's key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Both halves of each ciphertext in them: a row of `degree` residues for each of [`Params::moduli`], transformed.
    pub fn ciphertexts(&self) -> impl Iterator<Item = [&[u64]; 2]> {
        self.digits.iter().map(|digit| [&digit.b[..], &digit.a[..]])
    }

    pub(crate) fn seal(&self) -> Seal<'_> {
        Seal::Tag(&self.tag)
    }

    /// Writes them: tag key, seed, and one packed polynomial a digit. The SHA-256 at the end finds
    /// damage and no forger.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut body = Zeroizing::new(Vec::with_capacity(Self::body_len(&self.params)));
        body.extend(*self.tag);
        body.extend(self.seed);
        for digit in &self.digits {
            envelope::put_polynomial(&mut body, &self.params, 0, &digit.b);
        }
        Zeroizing::new(envelope::wrap(Kind::EvaluationKeys, &self.params, self.id, &body, &Seal::Checksum))
    }

    /// Bytes of [`EvaluationKeys::to_bytes`]: what a receiver allows for.
    pub fn bytes_len(params: &Params) -> usize {
        envelope::HEAD + Self::body_len(params) + envelope::TAG
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(params: &Params) -> usize {
        2 * params.q(0).len() * params.residues(0) * 8
    }

    fn body_len(params: &Params) -> usize {
        64 + params.q(0).len() * envelope::packed_len(params, 0)
    }

    /// Reads them. Residues are compared with their modulus. Keys that were made to do harm give
    /// their own sender wrong scores and nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::Bytes`], [`Error::OtherParams`].
    pub fn from_bytes(bytes: &[u8], params: &Params) -> Result<Self> {
        let (name, body) = envelope::unwrap(Kind::EvaluationKeys, params, bytes, &Seal::Checksum)?;
        let mut reader = Reader::new(Kind::EvaluationKeys, body);
        let tag = Zeroizing::new(reader.array()?);
        let seed = reader.array()?;
        let b = params.q(0).iter().map(|_| reader.polynomial(params, 0)).collect::<Result<Vec<_>>>()?;
        reader.end()?;
        let digit = |(digit, b)| {
            let a = sample::public(&seed, [KEY_INDEX, digit as u64], params.q(0), params.degree());
            Digit { b, a }
        };
        let digits = b.into_iter().enumerate().map(digit).collect();
        Ok(Self { params: params.clone(), id: name.id()?, tag, seed, digits })
    }

    /// Turns the part of a ciphertext that stands with s² into parts that stand with 1 and s.
    ///
    /// `quadratic` has a row a modulus of `level`, in coefficients; what is returned is transformed.
    /// The digits are the residues themselves (Bajard et al., SAC 2016), so one key serves every
    /// level: gadget and rows beyond it are left out.
    pub(crate) fn relinearise(&self, level: usize, quadratic: &[u64]) -> [Vec<u64>; 2] {
        let n = self.params.degree();
        let (moduli, ntts) = (self.params.q(level), self.params.ntts(level));
        let mut out = [vec![0; quadratic.len()], vec![0; quadratic.len()]];
        for (index, (q, ntt)) in moduli.iter().zip(ntts).enumerate() {
            let place = index * n..(index + 1) * n;
            let [mut constant, mut linear] = [vec![0_u128; n], vec![0_u128; n]];
            for (digit, row) in self.digits.iter().zip(quadratic.chunks_exact(n)) {
                let mut row: Vec<_> = row.iter().map(|&x| q.reduce(x)).collect();
                ntt.forward(&mut row);
                accumulate(&mut constant, &row, &digit.b[place.clone()]);
                accumulate(&mut linear, &row, &digit.a[place.clone()]);
            }
            for (out, sums) in out.iter_mut().zip([constant, linear]) {
                for (out, sum) in out[place.clone()].iter_mut().zip(sums) {
                    *out = q.reduce_u128(sum);
                }
            }
        }
        out
    }
}

/// Products of up to 61 bits each; [`Params`] has 16 moduli at most, so that the sum fits.
fn accumulate(sums: &mut [u128], x: &[u64], y: &[u64]) {
    for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
        *sum += u128::from(*x) * u128::from(*y);
    }
}

/// A row of residues a modulus. It never moves while it grows, so that no copy is left behind.
fn residues(params: &Params, coefficients: &[i64]) -> Vec<u64> {
    let mut out = Vec::with_capacity(params.residues(0));
    for q in params.q(0) {
        out.extend(coefficients.iter().map(|&small| sample::residue(q, small)));
    }
    out
}

fn transformed(params: &Params, coefficients: &[i64]) -> Zeroizing<Vec<u64>> {
    let mut out = Zeroizing::new(residues(params, coefficients));
    for (row, ntt) in out.chunks_exact_mut(params.degree()).zip(params.ntts(0)) {
        ntt.forward(row);
    }
    out
}

/// Refuses keys or ciphertexts of another client.
pub(crate) fn same_key(what: &'static str, expected: KeyId, got: KeyId) -> Result<()> {
    match expected == got {
        true => Ok(()),
        false => Err(Error::OtherKey { what, expected, got }),
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::ParamSet;

    /// A secret made today opens its ciphertexts with every later version.
    #[test]
    fn what_a_secret_gives_never_changes() {
        let params = Params::named(ParamSet::Bfv8192x45).unwrap();
        let secret = Secret::from_bytes(&[3; 32]);
        let mut stream = secret.stream(Domain::new("encrypted/secret key", &[8192]));
        let coefficients = sample::ternary(&mut stream, 8192);
        let bytes: Vec<u8> = coefficients.iter().map(|&s| s as u8).collect();
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        assert_eq!(hex(&Sha256::digest(bytes)), "18dc484d6e025843a1b0244173a7f5ac26e7cdeefbef7b7abf3c7113a2152d29");
        assert_eq!(
            hex(SecretKey::new(&params, &secret).tag.as_slice()),
            "af501cccf970c0f2f515db34a26c2e771f58ee521d4750960ef9d7a6faa6def7"
        );
        let public = sample::public(&[4; 32], [0, 1], params.q(0), 8192);
        assert_eq!(public[..2], [10632133578489198, 8819530083507323]);
    }

    #[test]
    fn keys_for_all_levels_are_parts_of_one() {
        let params = Params::named(ParamSet::Bfv8192x45).unwrap();
        let secret = SecretKey::generate(&params).unwrap();
        let keys = secret.evaluation_keys().unwrap();
        for level in 0..2 {
            // c₂ = 1 stands with s²: relinearised, it decrypts to s², up to a small error.
            let (n, moduli) = (params.degree(), params.q(level));
            let mut one = vec![0; params.residues(level)];
            one.iter_mut().step_by(n).for_each(|x| *x = 1);
            let [constant, linear] = keys.relinearise(level, &one);
            let rows = constant.chunks_exact(n).zip(linear.chunks_exact(n)).zip(secret.rows());
            for (((c0, c1), s), (q, ntt)) in rows.zip(moduli.iter().zip(params.ntts(level))) {
                let rest = c0.iter().zip(c1).zip(s).map(|((&c0, &c1), &s)| q.sub(q.add(c0, q.mul(c1, s)), q.mul(s, s)));
                let mut rest: Vec<_> = rest.collect();
                ntt.backward(&mut rest);
                assert!(rest.iter().all(|&e| e.min(**q - e) <= 4 * 21), "one error a digit");
            }
        }
    }
}

use std::fmt;

use cleave_secrets::{Domain, KeyId, Secret};
use zeroize::Zeroizing;

use super::{Complex, Params, SecretKey, Tags, keys::transformed, ring};
use crate::{
    Error, Fault, Result,
    envelope::{self, Kind, Reader},
    keys::same_key,
    sample,
};

/// Scales that differ by less than this, relatively, are the same.
const SAME_SCALE: f64 = 1e-12;
/// Coefficients of a plaintext stay below this.
const MAX_COEFFICIENT: f64 = (1_u64 << 62) as f64;
/// Smallest scale of a ciphertext: below it nothing is left beside the error.
const MIN_SCALE: f64 = (1_u64 << 16) as f64;

/// Slots as a polynomial, for one level and scale. Wiped when it is dropped.
pub struct Plaintext {
    params: Params,
    level: usize,
    scale: f64,
    /// Transformed, a row for each prime of the level.
    rows: Zeroizing<Vec<u64>>,
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plaintext").field("level", &self.level).field("scale", &self.scale).finish_non_exhaustive()
    }
}

impl Plaintext {
    /// Encodes up to N/2 slots: the coefficients of the polynomial that has them, times `scale`, rounded (Cheon, Kim,
    /// Kim and Song 2017, section 3.2). Slots that are missing are 0. Not in constant time.
    ///
    /// # Errors
    ///
    /// [`Error::Count`], [`Error::Level`], [`Error::Scale`], [`Error::Value`].
    pub fn encode(params: &Params, slots: &[Complex], level: usize, scale: f64) -> Result<Self> {
        check_place(params, "plaintext", level, scale)?;
        let coefficients = params.coefficients(slots)?;
        let fits = |value: f64| (value * scale).abs() < MAX_COEFFICIENT;
        if let Some(index) = slots.iter().position(|slot| !fits(slot.re) || !fits(slot.im)) {
            return Err(Error::Value { index });
        }
        if let Some(index) = coefficients.iter().position(|&c| !fits(c)) {
            return Err(Error::Value { index });
        }
        let whole = Zeroizing::new(coefficients.iter().map(|c| (c * scale).round() as i64).collect::<Vec<_>>());
        let mut rows = Zeroizing::new(Vec::with_capacity((level + 1) * params.degree()));
        for (q, ntt) in params.q(level).iter().zip(params.ntts()) {
            let start = rows.len();
            rows.extend(Zeroizing::new(q.reduce_vec_i64(&whole)).iter());
            ntt.forward(&mut rows[start..]);
        }
        Ok(Self { params: params.clone(), level, scale, rows })
    }
}

/// N/2 complex numbers under encryption, with their level and scale.
#[derive(Clone)]
pub struct Ciphertext {
    pub(super) params: Params,
    pub(super) key: KeyId,
    pub(super) scale: f64,
    /// (c₀, c₁), transformed, a row for each prime of the level.
    pub(super) parts: [Vec<u64>; 2],
    /// What c₁ was expanded from, while it is fresh.
    pub(super) seed: Option<[u8; 32]>,
}

impl fmt::Debug for Ciphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ciphertext")
            .field("key", &self.key)
            .field("level", &self.level())
            .field("scale", &self.scale)
            .finish_non_exhaustive()
    }
}

impl SecretKey {
    /// Encrypts with the secret key: c₁ = a from a fresh public seed, c₀ = m + e − a·s.
    ///
    /// # Errors
    ///
    /// [`Error::Randomness`], [`Error::OtherParams`].
    pub fn encrypt(&self, message: &Plaintext) -> Result<Ciphertext> {
        let params = self.params();
        params.check_same(message.params.hash(), "plaintext")?;
        let (n, level) = (params.degree(), message.level);
        let seed = *Secret::generate()?.expose();
        let mut stream = Secret::generate()?.stream(Domain::new("encrypted/ckks noise", &[]));
        let a = sample::public(&seed, [0, 0], params.q(level), n);
        let mut b = transformed(params, 0..=level, &sample::error(&mut stream, n));
        let rows = b.chunks_exact_mut(n).zip(a.chunks_exact(n)).zip(message.rows.chunks_exact(n));
        for (index, ((b, a), m)) in rows.enumerate() {
            let q = &params.moduli()[index];
            for (((b, a), m), s) in b.iter_mut().zip(a).zip(m).zip(self.row(index)) {
                *b = q.sub(q.add(*b, *m), q.mul(*a, *s));
            }
        }
        let (params, key) = (params.clone(), self.id());
        Ok(Ciphertext { params, key, scale: message.scale, parts: [b, a], seed: Some(seed) })
    }

    /// Decrypts all slots, each with the error that the ciphertext carries.
    ///
    /// The first two primes are enough: values are expected to be below q_0·q_1/(2·scale). Not in constant time.
    /// **Give the result to nobody who has the ciphertext**, see the notes on this module.
    ///
    /// # Errors
    ///
    /// [`Error::OtherKey`], [`Error::OtherParams`].
    pub fn decrypt(&self, ciphertext: &Ciphertext) -> Result<Zeroizing<Vec<Complex>>> {
        let params = self.params();
        params.check_same(ciphertext.params.hash(), "ciphertext")?;
        same_key("ciphertext", self.id(), ciphertext.key)?;
        let n = params.degree();
        let [constant, linear] = &ciphertext.parts;
        let phase = |index: usize| {
            let q = &params.moduli()[index];
            let place = index * n..(index + 1) * n;
            let both = constant[place.clone()].iter().zip(&linear[place]).zip(self.row(index));
            let mut row = Zeroizing::new(both.map(|((&b, &a), &s)| q.add(b, q.mul(a, s))).collect::<Vec<_>>());
            params.ntts()[index].backward(&mut row);
            row
        };
        let low = phase(0);
        let q = i128::from(*params.moduli()[0]);
        let mut coefficients = Zeroizing::new(vec![0.0; n]);
        if ciphertext.level() == 0 {
            for (out, &x) in coefficients.iter_mut().zip(low.iter()) {
                *out = centred(i128::from(x), q) as f64 / ciphertext.scale;
            }
        } else {
            let (next, high) = (&params.moduli()[1], phase(1));
            let inverse = params.joining();
            for ((out, &x), &y) in coefficients.iter_mut().zip(low.iter()).zip(high.iter()) {
                let digit = next.mul(next.sub(y, next.reduce(x)), inverse);
                let whole = i128::from(x) + q * i128::from(digit);
                *out = centred(whole, q * i128::from(**next)) as f64 / ciphertext.scale;
            }
        }
        Ok(params.embedding().slots_of(&coefficients))
    }
}

fn centred(x: i128, modulus: i128) -> i128 {
    if x > modulus / 2 { x - modulus } else { x }
}

impl Ciphertext {
    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The name of the key.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// Rescalings that are left.
    pub fn level(&self) -> usize {
        self.parts[0].len() / self.params.degree() - 1
    }

    /// What the slots were multiplied with.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Both halves (c₀, c₁) as the provider has them: a row of `degree` residues for each of the first
    /// [`Params::primes`] up to the level, transformed.
    pub fn halves(&self) -> [&[u64]; 2] {
        self.parts.each_ref().map(Vec::as_slice)
    }

    /// The sum, slot by slot.
    ///
    /// # Errors
    ///
    /// [`Error::Level`], [`Error::Scale`], [`Error::OtherParams`], [`Error::OtherKey`] where the two do not go
    /// together.
    pub fn add(&self, other: &Self) -> Result<Self> {
        self.check_alike(other)?;
        Ok(self.with_parts([0, 1].map(|part| self.zip_rows(&self.parts[part], &other.parts[part], true))))
    }

    /// The difference, slot by slot.
    ///
    /// # Errors
    ///
    /// As [`Ciphertext::add`].
    pub fn sub(&self, other: &Self) -> Result<Self> {
        self.check_alike(other)?;
        Ok(self.with_parts([0, 1].map(|part| self.zip_rows(&self.parts[part], &other.parts[part], false))))
    }

    /// Adds a plaintext of the same level and scale.
    ///
    /// # Errors
    ///
    /// [`Error::Level`], [`Error::Scale`], [`Error::OtherParams`].
    pub fn add_plain(&self, plain: &Plaintext) -> Result<Self> {
        self.check_plain(plain)?;
        same_scale("plaintext", self.scale, plain.scale)?;
        Ok(self.with_parts([self.zip_rows(&self.parts[0], &plain.rows, true), self.parts[1].clone()]))
    }

    /// The product with a plaintext of the same level, slot by slot. Scales are multiplied too.
    ///
    /// # Errors
    ///
    /// [`Error::Level`], [`Error::Scale`], [`Error::OtherParams`].
    pub fn multiply_plain(&self, plain: &Plaintext) -> Result<Self> {
        self.check_plain(plain)?;
        let scale = self.scale * plain.scale;
        check_place(&self.params, "product", self.level(), scale)?;
        let n = self.params.degree();
        let parts = self.parts.clone().map(|mut part| {
            let rows = part.chunks_exact_mut(n).zip(plain.rows.chunks_exact(n)).zip(self.params.moduli());
            rows.for_each(|((row, plain), q)| q.mul_vec(row, plain));
            part
        });
        Ok(Self { scale, ..self.with_parts(parts) })
    }

    /// Divides by the last prime, rounds, and drops it: the scale is divided by it too (Cheon, Han, Kim, Kim and Song
    /// 2018).
    ///
    /// # Errors
    ///
    /// [`Error::Level`] at level 0, [`Error::Scale`] if too little scale would be left.
    pub fn rescale(&self) -> Result<Self> {
        let level = self.level();
        if level == 0 {
            return Err(Error::Level { what: "ciphertext to rescale", expected: 1, got: 0 });
        }
        let scale = self.scale / self.params.prime(level);
        check_place(&self.params, "rescaled ciphertext", level - 1, scale)?;
        let parts = self.parts.each_ref().map(|part| ring::rescaled(&self.params, part));
        Ok(Self { scale, ..self.with_parts(parts) })
    }

    /// The same values at a lower level, or the same one.
    ///
    /// # Errors
    ///
    /// [`Error::Level`] if it is higher, [`Error::Scale`].
    pub fn drop_to(&self, level: usize) -> Result<Self> {
        if level > self.level() {
            return Err(Error::Level { what: "ciphertext to drop", expected: level, got: self.level() });
        }
        check_place(&self.params, "ciphertext to drop", level, self.scale)?;
        let kept = (level + 1) * self.params.degree();
        Ok(self.with_parts(self.parts.each_ref().map(|part| part[..kept].to_vec())))
    }

    /// `factor` times the values, at exactly this level and scale: what makes two ciphertexts addable. It takes one
    /// level at least. The factor is rounded to a multiple of self.scale/(scale·q).
    ///
    /// # Errors
    ///
    /// [`Error::Level`], [`Error::Scale`], [`Error::Value`] for a factor that is not finite or too large.
    pub fn adjust(&self, factor: f64, level: usize, scale: f64) -> Result<Self> {
        check_place(&self.params, "adjusted ciphertext", level, scale)?;
        if level >= self.level() {
            return Err(Error::Level { what: "ciphertext to adjust", expected: level + 1, got: self.level() });
        }
        let whole = factor * scale * self.params.prime(level + 1) / self.scale;
        if whole.is_nan() || whole.abs() >= MAX_COEFFICIENT {
            return Err(Error::Value { index: 0 });
        }
        let whole = [whole.round() as i64];
        let mut out = self.drop_to(level + 1)?;
        let n = self.params.degree();
        for part in &mut out.parts {
            for (row, q) in part.chunks_exact_mut(n).zip(self.params.moduli()) {
                q.scalar_mul_vec(row, q.reduce_vec_i64(&whole)[0]);
            }
        }
        let parts = out.parts.each_ref().map(|part| ring::rescaled(&self.params, part));
        Ok(Self { scale, ..out.with_parts(parts) })
    }

    /// What decrypts to noise, at this scale.
    #[cfg(test)]
    pub(crate) fn garbled(mut self, scale: f64) -> Self {
        let q = *self.params.moduli()[0];
        self.parts[0].iter_mut().enumerate().for_each(|(i, x)| *x = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % q);
        Self { scale, ..self }
    }

    /// A ciphertext of the same key, not fresh.
    pub(super) fn with_parts(&self, parts: [Vec<u64>; 2]) -> Self {
        Self { params: self.params.clone(), key: self.key, scale: self.scale, parts, seed: None }
    }

    pub(super) fn zip_rows(&self, left: &[u64], right: &[u64], plus: bool) -> Vec<u64> {
        let n = self.params.degree();
        let mut out = left.to_vec();
        for ((row, right), q) in out.chunks_exact_mut(n).zip(right.chunks_exact(n)).zip(self.params.moduli()) {
            if plus { q.add_vec(row, right) } else { q.sub_vec(row, right) }
        }
        out
    }

    pub(super) fn check_level(&self, other: &Self) -> Result<()> {
        self.params.check_same(other.params.hash(), "ciphertext")?;
        same_key("ciphertext", self.key, other.key)?;
        same_level("ciphertext", self.level(), other.level())
    }

    fn check_alike(&self, other: &Self) -> Result<()> {
        self.check_level(other)?;
        same_scale("ciphertext", self.scale, other.scale)
    }

    fn check_plain(&self, plain: &Plaintext) -> Result<()> {
        self.params.check_same(plain.params.hash(), "plaintext")?;
        same_level("plaintext", self.level(), plain.level)
    }

    /// Writes the ciphertext for place `place` of batch `batch`; c₁ of a fresh one as its seed. It ends with an
    /// HMAC-SHA-256 over all that.
    ///
    /// # Errors
    ///
    /// [`Error::OtherParams`], [`Error::OtherKey`].
    pub fn to_bytes(&self, tags: &Tags, batch: &[u8; 32], place: u64) -> Result<Vec<u8>> {
        tags.params().check_same(self.params.hash(), "ciphertext")?;
        same_key("ciphertext", tags.id(), self.key)?;
        let (n, q) = (self.params.degree(), self.params.q(self.level()));
        let mut body = Vec::with_capacity(Self::body_len(&self.params, self.level(), self.seed.is_some()));
        body.extend(batch);
        body.extend(place.to_le_bytes());
        body.extend(self.scale.to_bits().to_le_bytes());
        body.extend((self.level() as u32).to_le_bytes());
        body.extend(u32::from(self.seed.is_some()).to_le_bytes());
        envelope::put_rows(&mut body, q, n, &self.parts[0]);
        match &self.seed {
            Some(seed) => body.extend(seed),
            None => envelope::put_rows(&mut body, q, n, &self.parts[1]),
        }
        Ok(envelope::wrap_for(Kind::CkksCiphertext, self.params.hash(), self.key, &body, &tags.seal()))
    }

    /// Bytes of [`Ciphertext::to_bytes`]: what a receiver allows for. Fresh ones are about half as long.
    pub fn bytes_len(params: &Params, level: usize, fresh: bool) -> usize {
        envelope::HEAD + Self::body_len(params, level, fresh) + envelope::TAG
    }

    fn body_len(params: &Params, level: usize, fresh: bool) -> usize {
        let level = level.min(params.levels());
        let packed: usize = params.q(level).iter().map(|q| q.serialization_length(params.degree())).sum();
        32 + 8 + 8 + 4 + 4 + if fresh { packed + 32 } else { 2 * packed }
    }

    /// Reads a ciphertext that was written for this place of this batch.
    ///
    /// # Errors
    ///
    /// [`Error::Bytes`], [`Error::OtherParams`], [`Error::OtherKey`], [`Error::OtherPlace`], [`Error::Scale`].
    pub fn from_bytes(bytes: &[u8], tags: &Tags, batch: &[u8; 32], place: u64) -> Result<Self> {
        const KIND: Kind = Kind::CkksCiphertext;
        let params = tags.params();
        let (name, body) = envelope::unwrap_for(KIND, params.hash(), bytes, &tags.seal())?;
        name.check(KIND, tags.id())?;
        let mut reader = Reader::new(KIND, body);
        if reader.array()? != *batch || reader.array()? != place.to_le_bytes() {
            return Err(Error::OtherPlace);
        }
        let scale = f64::from_bits(u64::from_le_bytes(reader.array()?));
        let level = reader.number("level", 0..=params.levels())?;
        let fresh = reader.number("fresh", 0..=1)? == 1;
        if !scale.is_finite() {
            return Err(KIND.error(Fault::Field { field: "scale", got: scale.to_bits() }));
        }
        check_place(params, "ciphertext", level, scale)?;
        let (n, q) = (params.degree(), params.q(level));
        let constant = reader.rows(q, n)?;
        let (linear, seed) = if fresh {
            let seed = reader.array()?;
            (sample::public(&seed, [0, 0], q, n), Some(seed))
        } else {
            (reader.rows(q, n)?, None)
        };
        reader.end()?;
        Ok(Self { params: params.clone(), key: tags.id(), scale, parts: [constant, linear], seed })
    }
}

fn same_level(what: &'static str, expected: usize, got: usize) -> Result<()> {
    match expected == got {
        true => Ok(()),
        false => Err(Error::Level { what, expected, got }),
    }
}

pub(super) fn same_scale(what: &'static str, expected: f64, got: f64) -> Result<()> {
    match (expected - got).abs() <= SAME_SCALE * expected {
        true => Ok(()),
        false => Err(Error::Scale { what, expected, got }),
    }
}

/// A level that there is, and a scale that leaves a bit for values at it.
pub(super) fn check_place(params: &Params, what: &'static str, level: usize, scale: f64) -> Result<()> {
    if level > params.levels() {
        return Err(Error::Level { what, expected: params.levels(), got: level });
    }
    let room: f64 = (0..=level).map(|level| params.prime(level)).product::<f64>() / 4.0;
    match (MIN_SCALE..=room).contains(&scale) {
        true => Ok(()),
        false => Err(Error::Scale { what, expected: if scale > room { room } else { MIN_SCALE }, got: scale }),
    }
}

use std::fmt;

use cleave_secrets::{Domain, KeyId, Secret};
use fhe_math::rq::{Poly, Representation, traits::TryConvertFrom};
use num_bigint::BigUint;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::{
    Error, EvaluationKeys, Params, Result, SecretKey,
    envelope::{self, Kind, Reader},
    error::refused,
    keys::same_key,
    params::SQUARES,
    sample,
};

/// Most values of an image, and most classes.
pub(crate) const MAX_ITEMS: usize = 1 << 14;
/// Below this many bits of budget a result is not to be trusted.
const MIN_BUDGET: f64 = 1.0;
/// Bytes of a chunk before its ciphertexts: seed, then five numbers.
const CHUNK_HEAD: usize = 32 + 5 * 4;
/// Bytes of scores before their ciphertexts: batch, then three numbers.
const SCORES_HEAD: usize = 32 + 3 * 4;

/// Names a batch of images: the public seed of its ciphertexts, drawn for each batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchId(pub(crate) [u8; 32]);

/// A batch of images under encryption: ciphertext i holds value i of every image.
///
/// Of each ciphertext (b, a) only b is kept; a is expanded from the seed of the batch.
#[derive(Clone)]
pub struct EncryptedImages {
    params: Params,
    key: KeyId,
    batch: BatchId,
    images: usize,
    items: usize,
    /// By lane and item: a row of residues a modulus, transformed.
    lanes: Vec<Vec<Vec<u64>>>,
}

impl fmt::Debug for EncryptedImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedImages")
            .field("key", &self.key)
            .field("images", &self.images)
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}

impl SecretKey {
    /// Encrypts `values`, image after image of `items` values each. Up to
    /// [`degree`](Params::degree) images cost the same as one.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for a value beyond ±[`largest`](Params::largest), [`Error::Count`],
    /// [`Error::Randomness`].
    pub fn encrypt(&self, values: &[i64], items: usize) -> Result<EncryptedImages> {
        let params = self.params();
        let images = check_values(params, values, items)?;
        let batch = BatchId(*Secret::generate()?.expose());
        let noise = Secret::generate()?;
        let one = |lane: usize, item: usize| {
            let slots = (0..images).map(|image| values[image * items + item]);
            let message = encode(params, lane, slots);
            let mut stream = noise.stream(Domain::new("encrypted/noise", &[lane as u64, item as u64]));
            let error = sample::error(&mut stream, params.degree());
            let noisy = noisy(params, lane, &message, &error);
            let a = sample::public(&batch.0, [lane as u64, item as u64], params.q(0), params.degree());
            self.mask(&a, noisy)
        };
        let lane = |lane| (0..items).into_par_iter().map(|item| one(lane, item)).collect();
        let lanes = (0..params.lanes().len()).map(lane).collect();
        Ok(EncryptedImages { params: params.clone(), key: self.id(), batch, images, items, lanes })
    }

    /// Decrypts scores, and measures what noise they carry.
    ///
    /// # Errors
    ///
    /// [`Error::NoiseBudget`] if less than one bit is left, [`Error::OtherKey`], [`Error::OtherParams`].
    pub fn decrypt(&self, scores: &EncryptedScores) -> Result<Scores> {
        self.params().check_same(scores.params.hash(), "encrypted scores")?;
        same_key("encrypted scores", self.id(), scores.key)?;
        let opened = |(lane, parts): (usize, &Vec<[Vec<u64>; 2]>)| {
            parts.par_iter().map(|parts| self.open(SQUARES, lane, parts)).collect::<Result<Vec<_>>>()
        };
        let lanes = scores.lanes.iter().enumerate().map(opened).collect::<Result<Vec<_>>>()?;
        let budget_bits = lanes.iter().flatten().map(|opened| opened.budget).fold(f64::INFINITY, f64::min);
        if budget_bits < MIN_BUDGET {
            return Err(Error::NoiseBudget { bits: budget_bits });
        }
        let join = |image: usize, class: usize| {
            join(self.params(), &lanes.iter().map(|lane| lane[class].slots[image]).collect::<Vec<_>>())
        };
        let classes = scores.classes();
        let values = (0..scores.images).flat_map(|image| (0..classes).map(move |class| (image, class)));
        let values = values.map(|(image, class)| join(image, class)).collect();
        Ok(Scores { values, images: scores.images, classes, networks: scores.networks, budget_bits })
    }

    /// The noise of each ciphertext of scores, by lane and class: log₂ of the root mean square over its coefficients of
    /// the distance between t·x/Q and the nearest integer, where x = c₀ + c₁·s. −1 and above is not decryptable.
    ///
    /// Whoever has the key can compute it, and it depends on the weights that the scores come from: the audit looks
    /// at it.
    ///
    /// # Errors
    ///
    /// [`Error::OtherKey`], [`Error::OtherParams`].
    pub fn noise(&self, scores: &EncryptedScores) -> Result<Vec<Vec<f64>>> {
        self.params().check_same(scores.params.hash(), "encrypted scores")?;
        same_key("encrypted scores", self.id(), scores.key)?;
        let one = |lane, parts| Ok(self.open(SQUARES, lane, parts)?.rms);
        let lanes = scores.lanes.iter().enumerate();
        lanes.map(|(lane, parts)| parts.par_iter().map(|parts| one(lane, parts)).collect()).collect()
    }

    /// The slots of one ciphertext at `level`, and the bits of noise budget that are left:
    /// log₂(Q) − 1 − log₂ max|(t·x) mod Q|, where x = c₀ + c₁·s. Not in constant time.
    pub(crate) fn open(&self, level: usize, lane: usize, parts: &[Vec<u64>; 2]) -> Result<Opened> {
        let params = self.params();
        let ring = &params.level(level).ring;
        let phase = Zeroizing::new(self.phase(level, parts));
        let poly = Poly::try_convert_from(phase.as_slice(), ring, false, Representation::PowerBasis);
        let poly = Zeroizing::new(poly.map_err(refused)?);
        let prime = &params.lanes()[lane];
        let (modulus, plaintext) = (ring.modulus(), BigUint::from(*prime.modulus));
        let half = modulus >> 1;
        let mut worst = BigUint::from(1_u8);
        let (mut squares, scale) = (0.0, log2(modulus));
        let round = |x: BigUint| {
            let product = x * &plaintext;
            let (mut message, mut noise) = (&product / modulus, product % modulus);
            if noise > half {
                message += 1_u8;
                noise = modulus - noise;
            }
            squares += (2.0 * (log2(&noise) - scale)).exp2();
            if noise > worst {
                worst = noise;
            }
            (message % &plaintext).iter_u64_digits().next().unwrap_or(0)
        };
        let mut slots = Zeroizing::new(Vec::<BigUint>::from(&*poly).into_iter().map(round).collect::<Vec<_>>());
        prime.ntt.forward(&mut slots);
        let rms = 0.5 * (squares / params.degree() as f64).log2();
        Ok(Opened { slots, budget: log2(modulus) - 1.0 - log2(&worst), rms })
    }

    /// c₀ + c₁·s in coefficients.
    fn phase(&self, level: usize, [constant, linear]: &[Vec<u64>; 2]) -> Vec<u64> {
        let params = self.params();
        let n = params.degree();
        let mut out = constant.clone();
        let rows = out.chunks_exact_mut(n).zip(linear.chunks_exact(n)).zip(self.rows());
        for (((row, linear), s), (q, ntt)) in rows.zip(params.q(level).iter().zip(params.ntts(level))) {
            for ((x, c), s) in row.iter_mut().zip(linear).zip(s) {
                *x = q.add(*x, q.mul(*c, *s));
            }
            ntt.backward(row);
        }
        out
    }
}

/// What a ciphertext held.
pub(crate) struct Opened {
    pub(crate) slots: Zeroizing<Vec<u64>>,
    pub(crate) budget: f64,
    /// log₂ of the root mean square of the noise, as a share of Q.
    pub(crate) rms: f64,
}

fn log2(x: &BigUint) -> f64 {
    let shift = x.bits().saturating_sub(53);
    let top = (x >> shift).iter_u64_digits().next().unwrap_or(0);
    (top as f64).log2() + shift as f64
}

/// The number of images, after all counts and values were checked.
fn check_values(params: &Params, values: &[i64], items: usize) -> Result<usize> {
    if !(1..=MAX_ITEMS).contains(&items) {
        return Err(Error::Count { what: "values of an image", got: items, expected: format!("1 to {MAX_ITEMS}") });
    }
    let images = values.len() / items;
    if !values.len().is_multiple_of(items) || !(1..=params.degree()).contains(&images) {
        let expected = format!("{items} for each of 1 to {} images", params.degree());
        return Err(Error::Count { what: "values", got: values.len(), expected });
    }
    let largest = params.largest();
    match values.iter().position(|&value| i128::from(value).abs() > largest) {
        Some(index) => Err(Error::OutOfRange { index, min: -largest, max: largest }),
        None => Ok(images),
    }
}

/// The coefficients of the polynomial with these slots; slots that are left are 0.
fn encode(params: &Params, lane: usize, slots: impl Iterator<Item = i64>) -> Zeroizing<Vec<u64>> {
    let lane = &params.lanes()[lane];
    let plaintext = i128::from(*lane.modulus);
    let mut out = Zeroizing::new(vec![0; params.degree()]);
    for (out, value) in out.iter_mut().zip(slots) {
        *out = i128::from(value).rem_euclid(plaintext) as u64;
    }
    lane.ntt.backward(&mut out);
    out
}

/// ⌊Q·m/t⌋ + e in residues. It never moves while it grows, so that no copy is left behind.
fn noisy(params: &Params, lane: usize, message: &[u64], error: &[i64]) -> Vec<u64> {
    let delta = &params.level(0).deltas[lane];
    let mut out = Vec::with_capacity(params.residues(0));
    for (index, q) in params.q(0).iter().enumerate() {
        let both = message.iter().zip(error);
        out.extend(both.map(|(&m, &e)| q.add(delta.scale(q, index, m), sample::residue(q, e))));
    }
    out
}

/// The value from −(T−1)/2 to (T−1)/2 with these residues (Garner).
fn join(params: &Params, residues: &[u64]) -> i128 {
    let (mut value, mut product) = (0_u128, 1_u128);
    for (lane, &residue) in params.lanes().iter().zip(residues) {
        let t = &lane.modulus;
        let digit = t.mul(t.sub(residue, t.reduce_u128(value)), lane.inverse);
        value += product * u128::from(digit);
        product *= u128::from(**t);
    }
    match value > (product - 1) / 2 {
        true => -((product - value) as i128),
        false => value as i128,
    }
}

impl EncryptedImages {
    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The name of the key.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// The name of the batch, which the scores carry too.
    pub fn batch(&self) -> BatchId {
        self.batch
    }

    /// Images in the batch.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Values of an image, and ciphertexts a lane.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Both halves of a ciphertext (b, a) as the provider has them: a row of `degree` residues for each of
    /// [`Params::moduli`], transformed. `None` beyond the lanes and items there are.
    pub fn ciphertext(&self, lane: usize, item: usize) -> Option<[Vec<u64>; 2]> {
        let b = self.lanes.get(lane)?.get(item)?.clone();
        let a = sample::public(&self.batch.0, [lane as u64, item as u64], self.params.q(0), self.params.degree());
        Some([b, a])
    }

    /// The second halves of the ciphertexts of a lane.
    pub(crate) fn expanded(&self, lane: usize) -> Vec<Vec<u64>> {
        let one =
            |item| sample::public(&self.batch.0, [lane as u64, item as u64], self.params.q(0), self.params.degree());
        (0..self.items).into_par_iter().map(one).collect()
    }

    /// The first halves of the ciphertexts of a lane.
    pub(crate) fn lane(&self, lane: usize) -> &[Vec<u64>] {
        &self.lanes[lane]
    }

    /// Writes the batch in chunks of at most `max_bytes`, in the order in which a [`Collector`] wants
    /// them. Each ends with an HMAC-SHA-256 under the key of tags, which `secret` gives and which
    /// stands in the evaluation keys.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] if not one ciphertext fits, [`Error::OtherKey`].
    pub fn chunks<'a>(&'a self, secret: &'a SecretKey, max_bytes: usize) -> Result<impl Iterator<Item = Vec<u8>> + 'a> {
        same_key("encrypted images", secret.id(), self.key)?;
        let most = self.most(max_bytes)?;
        let pieces = self.lanes.iter().enumerate().flat_map(move |(lane, all)| {
            all.chunks(most).enumerate().map(move |(index, piece)| (lane, index * most, piece))
        });
        Ok(pieces.map(move |(lane, first, piece)| self.chunk(secret, lane, first, piece)))
    }

    /// The chunk that follows `sent` ciphertexts, and how many are in it; `None` once all are sent.
    pub(crate) fn chunk_after(
        &self,
        secret: &SecretKey,
        sent: usize,
        max_bytes: usize,
    ) -> Result<Option<(usize, Vec<u8>)>> {
        let most = self.most(max_bytes)?;
        let (lane, first) = (sent / self.items, sent % self.items);
        let piece = self.lanes.get(lane).and_then(|all| all[first..].chunks(most).next());
        Ok(piece.map(|piece| (piece.len(), self.chunk(secret, lane, first, piece))))
    }

    /// Ciphertexts that fit into a chunk of `max_bytes`.
    fn most(&self, max_bytes: usize) -> Result<usize> {
        let each = envelope::packed_len(&self.params, 0);
        let fixed = envelope::HEAD + CHUNK_HEAD + envelope::TAG;
        match max_bytes.saturating_sub(fixed) / each {
            0 => Err(Error::Count {
                what: "bytes of a chunk",
                got: max_bytes,
                expected: format!("{} or more", fixed + each),
            }),
            most => Ok(most),
        }
    }

    fn chunk(&self, secret: &SecretKey, lane: usize, first: usize, piece: &[Vec<u64>]) -> Vec<u8> {
        let mut body = Vec::with_capacity(CHUNK_HEAD + piece.len() * envelope::packed_len(&self.params, 0));
        body.extend(self.batch.0);
        for number in [self.images, self.items, lane, first, piece.len()] {
            body.extend((number as u32).to_le_bytes());
        }
        for residues in piece {
            envelope::put_polynomial(&mut body, &self.params, 0, residues);
        }
        envelope::wrap(Kind::Images, &self.params, self.key, &body, &secret.seal())
    }
}

/// Puts a batch together from its chunks, on the provider's side.
///
/// It holds [`bytes`](Collector::bytes) at most, however large the chunks say they are.
#[derive(Debug)]
pub struct Collector {
    params: Params,
    key: KeyId,
    items: usize,
    batch: Option<(BatchId, usize)>,
    lanes: Vec<Vec<Vec<u64>>>,
}

impl Collector {
    /// Waits for images of `items` values under these keys.
    ///
    /// # Errors
    ///
    /// [`Error::Count`].
    pub fn new(keys: &EvaluationKeys, items: usize) -> Result<Self> {
        if !(1..=MAX_ITEMS).contains(&items) {
            return Err(Error::Count { what: "values of an image", got: items, expected: format!("1 to {MAX_ITEMS}") });
        }
        let params = keys.params().clone();
        let lanes = vec![Vec::new(); params.lanes().len()];
        Ok(Self { params, key: keys.id(), items, batch: None, lanes })
    }

    /// Waits for this batch of so many images.
    pub(crate) fn expecting(self, batch: BatchId, images: usize) -> Self {
        Self { batch: Some((batch, images)), ..self }
    }

    /// Bytes of memory that the ciphertexts of one batch take.
    pub fn bytes(params: &Params, items: usize) -> usize {
        params.lanes().len() * items * params.residues(0) * 8
    }

    /// Ciphertexts received, and ciphertexts expected.
    pub fn progress(&self) -> (usize, usize) {
        (self.lanes.iter().map(Vec::len).sum(), self.lanes.len() * self.items)
    }

    /// Takes the next chunk. After an error the collector is as it was before.
    ///
    /// # Errors
    ///
    /// [`Error::Bytes`], [`Error::OtherParams`], [`Error::OtherKey`], [`Error::OtherBatch`],
    /// [`Error::ChunkOrder`].
    pub fn accept(&mut self, keys: &EvaluationKeys, bytes: &[u8]) -> Result<()> {
        self.params.check_same(keys.params().hash(), "evaluation keys")?;
        same_key("evaluation keys", self.key, keys.id())?;
        let (name, body) = envelope::unwrap(Kind::Images, &self.params, bytes, &keys.seal())?;
        name.check(Kind::Images, self.key)?;
        let mut reader = Reader::new(Kind::Images, body);
        let batch = BatchId(reader.array()?);
        let images = reader.number("images", 1..=self.params.degree())?;
        reader.number("items", self.items..=self.items)?;
        let lane = reader.number("lane", 0..=self.lanes.len() - 1)?;
        let first = reader.number("first", 0..=self.items - 1)?;
        let count = reader.number("count", 1..=self.items - first)?;
        if self.batch.is_some_and(|known| known != (batch, images)) {
            return Err(Error::OtherBatch);
        }
        self.in_order(lane, first)?;
        let piece = (0..count).map(|_| reader.polynomial(&self.params, 0)).collect::<Result<Vec<_>>>()?;
        reader.end()?;
        self.batch = Some((batch, images));
        self.lanes[lane].extend(piece);
        Ok(())
    }

    fn in_order(&self, lane: usize, first: usize) -> Result<()> {
        let (got, _) = self.progress();
        let (expected_lane, expected) = (got / self.items, got % self.items);
        match (lane, first) == (expected_lane, expected) {
            true => Ok(()),
            false => Err(Error::ChunkOrder { lane, first, expected_lane, expected }),
        }
    }

    /// The batch, once it is whole.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`].
    pub fn finish(self) -> Result<EncryptedImages> {
        let (got, expected) = self.progress();
        let Some((batch, images)) = self.batch.filter(|_| got == expected) else {
            return Err(Error::Incomplete { got, expected });
        };
        let Self { params, key, items, lanes, .. } = self;
        Ok(EncryptedImages { params, key, batch, images, items, lanes })
    }
}

/// The scores of a batch under encryption: one ciphertext a class and lane.
#[derive(Clone)]
pub struct EncryptedScores {
    pub(crate) params: Params,
    pub(crate) key: KeyId,
    pub(crate) batch: BatchId,
    pub(crate) images: usize,
    pub(crate) networks: usize,
    /// By lane and class: both parts, transformed, at the last level.
    pub(crate) lanes: Vec<Vec<[Vec<u64>; 2]>>,
}

impl fmt::Debug for EncryptedScores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedScores")
            .field("key", &self.key)
            .field("images", &self.images)
            .field("networks", &self.networks)
            .finish_non_exhaustive()
    }
}

impl EncryptedScores {
    /// Classes of each image.
    pub fn classes(&self) -> usize {
        self.lanes.first().map_or(0, Vec::len)
    }

    /// Images scored.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Networks whose scores were added up.
    pub fn networks(&self) -> usize {
        self.networks
    }

    /// Both halves of a ciphertext as the provider has them: a row of `degree` residues for each of the primes
    /// that are left, the first of [`Params::moduli`], transformed. `None` beyond the lanes and classes there are.
    pub fn ciphertext(&self, lane: usize, class: usize) -> Option<&[Vec<u64>; 2]> {
        self.lanes.get(lane)?.get(class)
    }

    /// Adds the scores of other networks for the same batch.
    ///
    /// # Errors
    ///
    /// [`Error::OtherParams`], [`Error::OtherKey`], [`Error::OtherBatch`], [`Error::Count`].
    pub fn add(&mut self, other: &Self) -> Result<()> {
        self.params.check_same(other.params.hash(), "encrypted scores")?;
        same_key("encrypted scores", self.key, other.key)?;
        if (self.batch, self.images) != (other.batch, other.images) {
            return Err(Error::OtherBatch);
        }
        if self.classes() != other.classes() {
            let expected = self.classes().to_string();
            return Err(Error::Count { what: "classes", got: other.classes(), expected });
        }
        let moduli = self.params.q(SQUARES);
        let n = self.params.degree();
        let pairs = self.lanes.iter_mut().flatten().flatten().zip(other.lanes.iter().flatten().flatten());
        for (mine, theirs) in pairs {
            let rows = mine.chunks_exact_mut(n).zip(theirs.chunks_exact(n)).zip(moduli);
            rows.for_each(|((mine, theirs), q)| q.add_vec(mine, theirs));
        }
        self.networks += other.networks;
        Ok(())
    }

    /// Writes them, with an HMAC-SHA-256 under the client's key of tags.
    ///
    /// # Errors
    ///
    /// [`Error::OtherParams`], [`Error::OtherKey`].
    pub fn to_bytes(&self, keys: &EvaluationKeys) -> Result<Vec<u8>> {
        self.params.check_same(keys.params().hash(), "evaluation keys")?;
        same_key("evaluation keys", self.key, keys.id())?;
        let mut body = Vec::with_capacity(Self::bytes_len(&self.params, self.classes()));
        body.extend(self.batch.0);
        for number in [self.images, self.classes(), self.networks] {
            body.extend((number as u32).to_le_bytes());
        }
        for part in self.lanes.iter().flatten().flatten() {
            envelope::put_polynomial(&mut body, &self.params, SQUARES, part);
        }
        Ok(envelope::wrap(Kind::Scores, &self.params, self.key, &body, &keys.seal()))
    }

    /// Bytes of [`EncryptedScores::to_bytes`]: what a receiver allows for.
    pub fn bytes_len(params: &Params, classes: usize) -> usize {
        let parts = params.lanes().len() * classes * 2;
        envelope::HEAD + SCORES_HEAD + parts * envelope::packed_len(params, SQUARES) + envelope::TAG
    }

    /// Reads the answer to `asked`. The tag shows that it comes, unchanged, from somebody who has
    /// the evaluation keys. It does not show that the provider computed what it should.
    ///
    /// # Errors
    ///
    /// [`Error::Bytes`], [`Error::OtherParams`], [`Error::OtherKey`], [`Error::OtherBatch`].
    pub fn from_bytes(bytes: &[u8], secret: &SecretKey, asked: &EncryptedImages) -> Result<Self> {
        let params = secret.params();
        let (name, body) = envelope::unwrap(Kind::Scores, params, bytes, &secret.seal())?;
        name.check(Kind::Scores, secret.id())?;
        let mut reader = Reader::new(Kind::Scores, body);
        let batch = BatchId(reader.array()?);
        let images = reader.number("images", 1..=params.degree())?;
        if (batch, images) != (asked.batch, asked.images) {
            return Err(Error::OtherBatch);
        }
        let classes = reader.number("classes", 1..=MAX_ITEMS)?;
        let networks = reader.number("networks", 1..=MAX_ITEMS)?;
        let mut part = || reader.polynomial(params, SQUARES);
        let mut lane = || (0..classes).map(|_| Ok([part()?, part()?])).collect::<Result<Vec<_>>>();
        let lanes = params.lanes().iter().map(|_| lane()).collect::<Result<Vec<_>>>()?;
        reader.end()?;
        Ok(Self { params: params.clone(), key: secret.id(), batch, images, networks, lanes })
    }
}

/// Scores in the clear: exact integers, the sum over the networks.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Image after image, a value a class.
    pub values: Vec<i128>,
    /// Images.
    pub images: usize,
    /// Classes of each.
    pub classes: usize,
    /// Networks whose scores were added up. The average is the sum over this number.
    pub networks: usize,
    /// Bits of noise budget that were left, the least of all ciphertexts.
    pub budget_bits: f64,
}

impl Scores {
    /// The scores of one image.
    pub fn image(&self, image: usize) -> &[i128] {
        self.values.get(image * self.classes..(image + 1) * self.classes).unwrap_or(&[])
    }

    /// The class with the highest score of each image; the first of equals.
    pub fn labels(&self) -> impl Iterator<Item = usize> + '_ {
        self.values
            .chunks_exact(self.classes.max(1))
            .map(|row| row.iter().enumerate().rev().max_by_key(|(_, score)| **score).map_or(0, |(class, _)| class))
    }

    /// The average over the networks, in the units of the float networks whose output scale is `scale`.
    pub fn averages(&self, scale: f64) -> impl Iterator<Item = f64> + '_ {
        let divisor = self.networks as f64 * scale;
        self.values.iter().map(move |&value| value as f64 / divisor)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fhe::bfv::{self, BfvParameters, BfvParametersBuilder, Encoding, Plaintext};
    use fhe_traits::{DeserializeParametrized, FheDecoder, FheDecrypter, FheEncoder, FheEncrypter};

    use super::*;
    use crate::ParamSet;

    struct Both {
        params: Params,
        secret: SecretKey,
        theirs: Arc<BfvParameters>,
        their_secret: bfv::SecretKey,
    }

    /// One secret key, here and in `fhe`, which takes it as a protocol buffer: field 1, packed zigzag.
    fn both() -> Both {
        let params = Params::named(ParamSet::Bfv8192x45).unwrap();
        let secret = Secret::from_bytes(&[3; 32]);
        let mut stream = secret.stream(Domain::new("encrypted/secret key", &[8192]));
        let coefficients = sample::ternary(&mut stream, 8192);
        let zigzag = coefficients.iter().map(|&s| ((s << 1) ^ (s >> 63)) as u8);
        let bytes: Vec<u8> = [0x0a, 0x80, 0x40].into_iter().chain(zigzag).collect();
        let moduli: Vec<_> = params.moduli().collect();
        let plaintext = params.plaintexts().next().unwrap();
        let mut builder = BfvParametersBuilder::new();
        let theirs = builder.set_degree(8192).set_moduli(&moduli).set_plaintext_modulus(plaintext).build_arc().unwrap();
        let their_secret = bfv::SecretKey::from_bytes(&bytes, &theirs).unwrap();
        Both { secret: SecretKey::new(&params, &secret), params, theirs, their_secret }
    }

    fn coefficients(params: &Params, slots: &[i64]) -> Vec<u64> {
        encode(params, 0, slots.iter().copied()).to_vec()
    }

    #[test]
    fn fhe_decrypts_what_is_encrypted_here() {
        let Both { params, secret, theirs, their_secret } = both();
        let values: Vec<i64> = (0..8192).map(|i| i * i - 9_999_999).collect();
        let images = secret.encrypt(&values, 1).unwrap();
        let parts = [images.lane(0)[0].clone(), images.expanded(0)[0].clone()];
        let ring = theirs.context_at_level(0).unwrap();
        let poly = |part: &Vec<u64>| Poly::try_convert_from(part, ring, true, Representation::Ntt).unwrap();
        let cipher = bfv::Ciphertext::new(parts.iter().map(poly).collect(), &theirs).unwrap();
        let plain = their_secret.try_decrypt(&cipher).unwrap();
        let got = Vec::<u64>::try_decode(&plain, Encoding::poly()).unwrap();
        assert_eq!(got, coefficients(&params, &values));
        let opened = secret.open(0, 0, &parts).unwrap();
        assert!((164.0..168.0).contains(&opened.budget), "216 bits, 45 of plaintext, 4.4 of error: {}", opened.budget);
        assert_eq!(opened.slots[1], *params.lanes()[0].modulus - 9_999_998);
    }

    #[test]
    fn what_fhe_encrypts_is_decrypted_here() {
        let Both { params, secret, theirs, their_secret } = both();
        let values: Vec<i64> = (0..8192).map(|i| 7 * i - 20_000).collect();
        let encoded = coefficients(&params, &values);
        let plain = Plaintext::try_encode(&encoded[..], Encoding::poly(), &theirs).unwrap();
        let mut cipher: bfv::Ciphertext = their_secret.try_encrypt(&plain, &mut rand_09::rng()).unwrap();
        for level in 0..=SQUARES {
            let parts = [Vec::from(&cipher[0]), Vec::from(&cipher[1])];
            let opened = secret.open(level, 0, &parts).unwrap();
            let joined: Vec<_> = opened.slots.iter().map(|&slot| join(&params, &[slot]) as i64).collect();
            assert_eq!(joined, values, "level {level}");
            cipher.switch_down().unwrap();
        }
    }

    #[test]
    fn used_up_noise_is_an_error() {
        let params = Params::named(ParamSet::Bfv8192x45).unwrap();
        let secret = SecretKey::generate(&params).unwrap();
        let random = |index| sample::public(&[5; 32], [0, index], params.q(SQUARES), params.degree());
        let scores = EncryptedScores {
            params: params.clone(),
            key: secret.id(),
            batch: BatchId([0; 32]),
            images: 1,
            networks: 1,
            lanes: vec![vec![[random(0), random(1)]]],
        };
        let error = secret.decrypt(&scores).unwrap_err();
        assert!(matches!(error, Error::NoiseBudget { bits } if bits < 0.1), "{error}");
    }

    /// It shows that no plain value shines through. It cannot show that nothing can be learnt.
    #[test]
    fn residues_that_travel_are_spread_evenly() {
        let params = Params::named(ParamSet::Bfv8192x45).unwrap();
        let secret = SecretKey::generate(&params).unwrap();
        let [first, second] = [(); 2].map(|()| secret.encrypt(&[0; 8192], 1).unwrap());
        assert_ne!(first.lane(0), second.lane(0), "a batch is never encrypted alike twice");
        let mut bins = [0_u32; 64];
        for (row, q) in first.lane(0)[0].chunks_exact(8192).zip(params.q(0)) {
            row.iter().for_each(|&x| bins[(u128::from(x) * 64 / u128::from(**q)) as usize] += 1);
        }
        let chi: f64 = bins.iter().map(|&count| (f64::from(count) - 512.0).powi(2) / 512.0).sum();
        assert!(chi < 130.0, "63 degrees of freedom, exceeded once in a million runs: {chi}");
    }

    #[test]
    fn noise_that_was_put_in_is_measured() {
        let params = Params::named(ParamSet::Bfv8192x45).unwrap();
        let secret = SecretKey::generate(&params).unwrap();
        let q: f64 = params.q(SQUARES).iter().map(|q| (**q as f64).log2()).sum();
        let t = (params.plaintexts().next().unwrap() as f64).log2();
        let noisy = |size: i64| {
            let a = sample::public(&[6; 32], [0, 0], params.q(0), params.degree());
            let small: Vec<_> = (0..params.degree()).map(|at| if at % 2 == 0 { size } else { -size }).collect();
            let noise = params.q(0).iter().flat_map(|q| small.iter().map(|&e| sample::residue(q, e))).collect();
            let b = secret.mask(&a, noise);
            let parts = [b, a].map(|part| part[..params.residues(SQUARES)].to_vec());
            let (key, batch) = (secret.id(), BatchId([0; 32]));
            let scores = EncryptedScores {
                params: params.clone(),
                key,
                batch,
                images: 1,
                networks: 1,
                lanes: vec![vec![parts]],
            };
            secret.noise(&scores).unwrap()[0][0]
        };
        // t·e modulo Q, as a share of Q.
        for size in [1, 1 << 10] {
            let (got, expected) = (noisy(size), t + (size as f64).log2() - q);
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    #[test]
    fn a_ciphertext_is_given_as_it_was_received() {
        let params = Params::named(ParamSet::Bfv8192x45).unwrap();
        let secret = SecretKey::generate(&params).unwrap();
        let images = secret.encrypt(&[1, 2, 3, 4], 2).unwrap();
        assert_eq!(images.ciphertext(0, 1).unwrap(), [images.lane(0)[1].clone(), images.expanded(0)[1].clone()]);
        assert!(images.ciphertext(0, 2).is_none() && images.ciphertext(1, 0).is_none());
    }

    #[test]
    fn residues_are_joined_to_signed_values() {
        let params = Params::named(ParamSet::Bfv8192x40x2).unwrap();
        let largest = params.largest();
        for value in [0, 1, -1, 1 << 50, -(1 << 50), largest, -largest, largest - 12345] {
            let residues: Vec<_> = params.plaintexts().map(|t| value.rem_euclid(i128::from(t)) as u64).collect();
            assert_eq!(join(&params, &residues), value);
        }
    }
}

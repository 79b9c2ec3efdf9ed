use std::{collections::BTreeMap, fmt};

use cleave_secrets::{Domain, KeyId, Secret};
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::{Params, ring};
use crate::{
    Error, Result,
    envelope::{self, Kind, Reader, Seal},
    keys::same_key,
    sample,
};

/// Stands for relinearisation among the exponents of automorphisms, which are odd.
const RELINEARISE: u64 = 0;

/// The client's secret key: a dense ternary polynomial s, expanded from a [`Secret`].
///
/// It is not stored: keep the `Secret` and expand it again. It can be neither printed, cloned nor serialised, and
/// is wiped when it is dropped.
pub struct SecretKey {
    params: Params,
    id: KeyId,
    /// A transformed row of s for each prime, the special ones too.
    transformed: Zeroizing<Vec<u64>>,
    tag: Zeroizing<[u8; 32]>,
}

/// What makes and checks the tags of ciphertexts. The client has it, and with the evaluation keys the provider.
pub struct Tags {
    params: Params,
    id: KeyId,
    tag: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tags").field("key", &self.id).finish_non_exhaustive()
    }
}

impl Tags {
    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The public name of the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn seal(&self) -> Seal<'_> {
        Seal::Tag(&self.tag)
    }
}

/// Which keys a computation needs, and up to which level each. A key for a lower level is smaller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPlan {
    params: Params,
    /// By exponent of the automorphism.
    levels: BTreeMap<u64, usize>,
}

impl KeyPlan {
    /// No keys.
    pub fn new(params: &Params) -> Self {
        Self { params: params.clone(), levels: BTreeMap::new() }
    }

    /// Products at `level` or below.
    #[must_use]
    pub fn relinearise(self, level: usize) -> Self {
        self.with(RELINEARISE, level)
    }

    /// Rotations by `steps` slots at `level` or below; none for a multiple of the number of slots.
    #[must_use]
    pub fn rotate(self, steps: i64, level: usize) -> Self {
        match rotation(&self.params, steps) {
            1 => self,
            element => self.with(element, level),
        }
    }

    /// Conjugations at `level` or below.
    #[must_use]
    pub fn conjugate(self, level: usize) -> Self {
        let element = conjugation(&self.params);
        self.with(element, level)
    }

    /// Bytes of memory that the keys take.
    pub fn memory_bytes(&self) -> usize {
        let rows = |&level: &usize| 2 * self.params.digits(level).count() * self.params.key_primes(level).count();
        self.levels.values().map(rows).sum::<usize>() * self.params.degree() * 8
    }

    /// Bytes of the longest piece of the keys.
    pub fn piece_bytes(&self) -> usize {
        let longest = self.levels.values().map(|&level| piece_len(&self.params, level)).max().unwrap_or(0);
        envelope::HEAD + PIECE_HEAD + longest + envelope::TAG
    }

    /// What each piece is, in order.
    fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let digits = |(&element, &level): (&u64, &usize)| {
            (0..self.params.digits(level).count()).map(move |digit| (element, level, digit))
        };
        self.levels.iter().flat_map(digits)
    }

    fn with(mut self, element: u64, level: usize) -> Self {
        let level = level.min(self.params.levels());
        let entry = self.levels.entry(element).or_insert(level);
        *entry = level.max(*entry);
        self
    }
}

/// The exponent of a rotation to the left: slot j is the value at ζ^(5^j).
pub(super) fn rotation(params: &Params, steps: i64) -> u64 {
    let order = 2 * params.degree() as u64;
    let steps = steps.rem_euclid(params.slots() as i64);
    (0..steps).fold(1, |power, _| power * 5 % order)
}

/// The exponent of the conjugation.
pub(super) fn conjugation(params: &Params) -> u64 {
    2 * params.degree() as u64 - 1
}

impl SecretKey {
    /// Draws a secret from the operating system and expands it. Whoever wants to decrypt later makes the [`Secret`] and
    /// calls [`SecretKey::new`].
    ///
    /// # Errors
    ///
    /// [`Error::Randomness`].
    pub fn generate(params: &Params) -> Result<Self> {
        Ok(Self::new(params, &Secret::generate()?))
    }

    /// Expands `secret`: its stream `encrypted/ckks secret key` gives each coefficient as a number below three, less
    /// one; `encrypted/ckks tag` gives the key of tags.
    pub fn new(params: &Params, secret: &Secret) -> Self {
        let n = params.degree();
        let mut stream = secret.stream(Domain::new("encrypted/ckks secret key", &[n as u64]));
        let coefficients = sample::ternary(&mut stream, n);
        let all = params.moduli().len();
        let transformed = Zeroizing::new(transformed(params, 0..all, &coefficients));
        let mut tag = Zeroizing::new([0; 32]);
        secret.stream(Domain::new("encrypted/ckks tag", &[])).fill(tag.as_mut_slice());
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

    /// What makes and checks tags.
    pub fn tags(&self) -> Tags {
        Tags { params: self.params.clone(), id: self.id, tag: self.tag.clone() }
    }

    /// The row of s for prime `index`.
    pub(super) fn row(&self, index: usize) -> &[u64] {
        let n = self.params.degree();
        &self.transformed[index * n..(index + 1) * n]
    }

    /// Makes the keys of a plan.
    ///
    /// # Errors
    ///
    /// [`Error::Randomness`], [`Error::OtherParams`].
    pub fn evaluation_keys(&self, plan: &KeyPlan) -> Result<EvaluationKeys> {
        self.params.check_same(plan.params.hash(), "plan of keys")?;
        let noise = Secret::generate()?;
        let seed = *Secret::generate()?.expose();
        let key = |(&element, &level): (&u64, &usize)| (element, self.switching_key(element, level, &seed, &noise));
        let keys = plan.levels.iter().map(key).collect();
        Ok(EvaluationKeys { plan: plan.clone(), id: self.id, tag: self.tag.clone(), seed, keys })
    }

    /// For each digit d: (b, a) with b + a·s = e + P·g_d·s', where g_d is 1 modulo the primes of the digit and 0 modulo
    /// the others, at every level; s' is s² or s(X^element) (Han and Ki 2020, section 3).
    fn switching_key(&self, element: u64, level: usize, seed: &[u8; 32], noise: &Secret) -> SwitchingKey {
        let params = &self.params;
        let n = params.degree();
        let from = match element {
            RELINEARISE => {
                let mut square = self.transformed.clone();
                for (row, q) in square.chunks_exact_mut(n).zip(params.moduli()) {
                    row.iter_mut().for_each(|s| *s = q.mul(*s, *s));
                }
                square
            }
            element => Zeroizing::new(ring::permuted(params, &self.transformed, element)),
        };
        let digits = params.digits(level).collect::<Vec<_>>().into_par_iter().enumerate().map(|(index, digit)| {
            let a = public(params, seed, element, index, level);
            let mut stream = noise.stream(Domain::new("encrypted/ckks key noise", &[element, index as u64]));
            let mut b = transformed(params, params.key_primes(level), &sample::error(&mut stream, n));
            let rows = b.chunks_exact_mut(n).zip(a.chunks_exact(n)).zip(params.key_primes(level));
            for ((b, a), prime) in rows {
                let q = &params.moduli()[prime];
                for ((b, a), s) in b.iter_mut().zip(a).zip(self.row(prime)) {
                    *b = q.sub(*b, q.mul(*a, *s));
                }
                if digit.contains(&prime) {
                    for (b, s) in b.iter_mut().zip(&from[prime * n..]) {
                        *b = q.add(*b, q.mul(*s, params.special(prime)));
                    }
                }
            }
            [b, a]
        });
        SwitchingKey { level, digits: digits.collect() }
    }
}

/// Transformed rows of small coefficients for these primes. It never moves while it grows.
pub(super) fn transformed(params: &Params, primes: impl Iterator<Item = usize> + Clone, small: &[i64]) -> Vec<u64> {
    let n = params.degree();
    let mut out = Vec::with_capacity(primes.clone().count() * n);
    for prime in primes {
        let q = &params.moduli()[prime];
        let start = out.len();
        out.extend(small.iter().map(|&x| sample::residue(q, x)));
        params.ntts()[prime].forward(&mut out[start..]);
    }
    out
}

/// The public half of digit `index`.
fn public(params: &Params, seed: &[u8; 32], element: u64, index: usize, level: usize) -> Vec<u64> {
    let moduli: Vec<_> = params.key_primes(level).map(|prime| params.moduli()[prime].clone()).collect();
    sample::public(seed, [element, index as u64], &moduli, params.degree())
}

/// A key from s' to s.
pub(super) struct SwitchingKey {
    pub(super) level: usize,
    /// (b, a), rows for the primes of `key_primes(level)`.
    pub(super) digits: Vec<[Vec<u64>; 2]>,
}

/// What a provider needs to compute on one client's ciphertexts: the keys of a plan, and the key of tags.
///
/// Bring it to the provider over a channel that authenticates both sides. It does not decrypt. Whoever has it can make
/// tags that the client accepts.
pub struct EvaluationKeys {
    plan: KeyPlan,
    id: KeyId,
    tag: Zeroizing<[u8; 32]>,
    seed: [u8; 32],
    keys: BTreeMap<u64, SwitchingKey>,
}

impl fmt::Debug for EvaluationKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvaluationKeys").field("key", &self.id).field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl EvaluationKeys {
    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.plan.params
    }

    /// The public name of the client's key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What makes and checks tags.
    pub fn tags(&self) -> Tags {
        Tags { params: self.params().clone(), id: self.id, tag: self.tag.clone() }
    }

    /// Both halves of each ciphertext in them: a row of `degree` residues for each of [`Params::primes`] up to the
    /// level of its key, then for each of [`Params::special_primes`], transformed.
    pub fn ciphertexts(&self) -> impl Iterator<Item = [&[u64]; 2]> {
        self.keys.values().flat_map(|key| key.digits.iter().map(|halves| halves.each_ref().map(Vec::as_slice)))
    }

    /// Writes the keys, each digit of each in bytes of its own, in the order in which a [`KeyCollector`] wants them. Each
    /// piece ends with a SHA-256, which finds damage and no forger.
    pub fn pieces(&self) -> impl Iterator<Item = Zeroizing<Vec<u8>>> + '_ {
        self.plan.places().map_while(|place| self.piece_at(place))
    }

    /// Piece `index` of them.
    pub fn piece(&self, index: usize) -> Option<Zeroizing<Vec<u8>>> {
        self.plan.places().nth(index).and_then(|place| self.piece_at(place))
    }

    fn piece_at(&self, (element, level, digit): Place) -> Option<Zeroizing<Vec<u8>>> {
        let params = self.params();
        let [b, _] = self.keys.get(&element)?.digits.get(digit)?;
        let mut body = Zeroizing::new(Vec::with_capacity(PIECE_HEAD + piece_len(params, level)));
        body.extend(*self.tag);
        body.extend(self.seed);
        body.extend(element.to_le_bytes());
        body.extend((level as u32).to_le_bytes());
        body.extend((digit as u32).to_le_bytes());
        let moduli = params.key_primes(level).map(|prime| &params.moduli()[prime]);
        envelope::put_rows(&mut body, moduli, params.degree(), b);
        Some(Zeroizing::new(envelope::wrap_for(Kind::CkksKey, params.hash(), self.id, &body, &Seal::Checksum)))
    }

    /// Brings Σ_e x(X^e)·s(X^e) to (y₀, y₁) with y₀ + y₁·s ≈ that sum, for x transformed, with a row for each prime
    /// up to its level (hybrid key switching: Han and Ki 2020, section 3).
    ///
    /// Each digit of x is extended to all primes, multiplied with its part of the key and summed up; then P is divided
    /// out. The digits of x(X^e) are those of x with their values at other places, so that they are extended
    /// once for all e (hoisting: Halevi and Shoup 2018); and P is divided out once (Bossuat et al. 2021).
    pub(super) fn switch(&self, elements: &[u64], x: &[u64]) -> Result<[Vec<u64>; 2]> {
        let params = self.params();
        let n = params.degree();
        let level = x.len() / n - 1;
        let find = |&element: &u64| {
            let what = if element == RELINEARISE { "relinearisation" } else { "automorphism" };
            let missing = Error::MissingKey { what, element, level };
            let key = self.keys.get(&element).filter(|key| key.level >= level).ok_or(missing)?;
            Ok((key, (element != RELINEARISE).then(|| ring::places(params, element))))
        };
        let keys = elements.iter().map(find).collect::<Result<Vec<_>>>()?;
        let mut coefficients = x.to_vec();
        coefficients.par_chunks_exact_mut(n).zip(params.ntts()).for_each(|(row, ntt)| ntt.backward(row));
        let digits: Vec<_> = params.digits(level).collect();
        let digits: Vec<_> = digits
            .into_par_iter()
            .map(|digit| {
                let up = params.up(&digit);
                (up, up.digits(params, &coefficients[digit.start * n..digit.end * n]))
            })
            .collect();
        let primes: Vec<_> = params.key_primes(level).enumerate().collect();
        let rows = primes.into_par_iter().map(|(index, prime)| {
            let (q, ntt) = (&params.moduli()[prime], &params.ntts()[prime]);
            let extend = |(up, digits): &(&ring::Conversion, ring::Digits)| {
                if up.covers(prime) {
                    return x[prime * n..(prime + 1) * n].to_vec();
                }
                let mut row = up.row(params, digits, prime);
                ntt.forward(&mut row);
                row
            };
            let extended: Vec<_> = digits.iter().map(extend).collect();
            let mut out = [vec![0; n], vec![0; n]];
            for (key, places) in &keys {
                // Where the rows for a prime stand in a key that has more levels.
                let place = if index <= level { index } else { index + key.level - level };
                let mut sums = [vec![0_u128; n], vec![0_u128; n]];
                for (row, part) in extended.iter().zip(&key.digits) {
                    for (sums, part) in sums.iter_mut().zip(part) {
                        let part = &part[place * n..(place + 1) * n];
                        match places {
                            Some(places) => accumulate(sums, places.iter().map(|&place| row[place]), part),
                            None => accumulate(sums, row.iter().copied(), part),
                        }
                    }
                }
                for (out, sums) in out.iter_mut().zip(sums) {
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = q.add(*out, q.reduce_u128(sum)));
                }
            }
            out
        });
        let rows: Vec<_> = rows.collect();
        let joined = |half: usize| {
            let rows: Vec<_> = rows.iter().map(|row| row[half].as_slice()).collect();
            ring::without_special(params, level, &rows.concat())
        };
        Ok([joined(0), joined(1)])
    }

    /// Brings x·s² to x₀ + x₁·s.
    pub(super) fn relinearise(&self, x: &[u64]) -> Result<[Vec<u64>; 2]> {
        self.switch(&[RELINEARISE], x)
    }

    #[cfg(test)]
    pub(super) fn parts(&self) -> &BTreeMap<u64, SwitchingKey> {
        &self.keys
    }

    pub(super) fn check_key(&self, what: &'static str, id: KeyId) -> Result<()> {
        same_key(what, self.id, id)
    }
}

/// Products of up to 61 bits each; there are 48 primes at most, so that the sum fits.
fn accumulate(sums: &mut [u128], x: impl Iterator<Item = u64>, y: &[u64]) {
    for ((sum, x), &y) in sums.iter_mut().zip(x).zip(y) {
        *sum += u128::from(x) * u128::from(y);
    }
}

/// Bytes of a piece before its polynomial: key of tags, seed, exponent, level, digit.
const PIECE_HEAD: usize = 32 + 32 + 8 + 4 + 4;

/// Exponent, level and number of a digit.
type Place = (u64, usize, usize);

fn piece_len(params: &Params, level: usize) -> usize {
    params.key_primes(level).map(|prime| params.moduli()[prime].serialization_length(params.degree())).sum()
}

/// Puts evaluation keys together from their pieces, on the provider's side.
///
/// It takes the keys of a plan that the provider made itself, in the plan's order, so that nobody makes it hold more.
#[derive(Debug)]
pub struct KeyCollector {
    plan: KeyPlan,
    keys: Option<EvaluationKeys>,
}

impl KeyCollector {
    /// Waits for the keys of this plan.
    pub fn new(plan: &KeyPlan) -> Self {
        Self { plan: plan.clone(), keys: None }
    }

    /// Most bytes of a piece: what a receiver allows for.
    pub fn piece_bytes(&self) -> usize {
        self.plan.piece_bytes()
    }

    /// Pieces received, and pieces expected.
    pub fn progress(&self) -> (usize, usize) {
        let digits = |keys: &EvaluationKeys| keys.keys.values().map(|key| key.digits.len()).sum();
        (self.keys.as_ref().map_or(0, digits), self.plan.places().count())
    }

    /// Takes the next piece. After an error the collector is as it was before. Keys that were made to do harm give
    /// their own sender wrong numbers and nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::Bytes`], [`Error::OtherParams`], [`Error::OtherKey`], [`Error::OtherPlace`] for a piece that is not
    /// next.
    pub fn accept(&mut self, bytes: &[u8]) -> Result<()> {
        let params = &self.plan.params;
        let (name, body) = envelope::unwrap_for(Kind::CkksKey, params.hash(), bytes, &Seal::Checksum)?;
        let id = name.id()?;
        let mut reader = Reader::new(Kind::CkksKey, body);
        let tag = Zeroizing::new(reader.array()?);
        let seed = reader.array()?;
        let given = u64::from_le_bytes(reader.array()?);
        let (element, level, digit) = self.plan.places().nth(self.progress().0).ok_or(Error::OtherPlace)?;
        if given != element {
            return Err(Error::OtherPlace);
        }
        reader.number("level", level..=level)?;
        if reader.number("digit", 0..=params.levels())? != digit {
            return Err(Error::OtherPlace);
        }
        if let Some(keys) = &self.keys {
            same_key("CKKS key", keys.id, id)?;
            if *keys.tag != *tag || keys.seed != seed {
                return Err(Error::OtherPlace);
            }
        }
        let b = reader.rows(params.key_primes(level).map(|prime| &params.moduli()[prime]), params.degree())?;
        reader.end()?;
        let a = public(params, &seed, element, digit, level);
        let plan = self.plan.clone();
        let keys = self.keys.get_or_insert_with(|| EvaluationKeys { plan, id, tag, seed, keys: BTreeMap::new() });
        keys.keys.entry(element).or_insert(SwitchingKey { level, digits: Vec::new() }).digits.push([b, a]);
        Ok(())
    }

    /// The keys, once all are there.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`].
    pub fn finish(self) -> Result<EvaluationKeys> {
        let (got, expected) = self.progress();
        self.keys.filter(|_| got == expected).ok_or(Error::Incomplete { got, expected })
    }
}

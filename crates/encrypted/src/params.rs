use std::{fmt, str::FromStr, sync::Arc};

use data_encoding::HEXLOWER;
use fhe_math::{
    ntt::NttOperator,
    rns::ScalingFactor,
    rq::{Context, scaler::Scaler},
    zq::{Modulus, primes::generate_prime},
};
use num_bigint::BigUint;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Result, error::refused};

/// Bits of the ciphertext modulus for 128 bits against a classical attacker: Albrecht et al.,
/// "Homomorphic Encryption Security Standard" (HomomorphicEncryption.org, 2018), Table 1, rows
/// (−1, 1), which is the ternary secret. Its error has a standard deviation of 3.19 or more.
const TABLE: [(usize, u64); 6] = [(1024, 27), (2048, 54), (4096, 109), (8192, 218), (16384, 438), (32768, 881)];

/// Squares that a network has, and so the moduli that are dropped.
pub(crate) const SQUARES: usize = 2;
const MAX_MODULI: usize = 16;
/// Two of 61 bits have a product that 128-bit integers hold.
const MAX_LANES: usize = 2;
/// Bits of the moduli that a product is computed with before it is scaled back.
const WIDE_BITS: usize = 62;
/// Bits of the largest sum of weights in a row that a product has room for.
const GAIN_BITS: u64 = 17;
/// Names what a hash of parameters is over.
const HASH_LABEL: &[u8] = b"cleave encrypted parameters v1";

/// The parameter sets that have a name. All have degree 8192, four ciphertext primes of 54 bits
/// (216 in sum, the table allows 218), a ternary secret and errors of variance 10.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ParamSet {
    /// One plaintext prime of 45 bits: outputs up to a little less than ±2⁴⁴.
    #[serde(rename = "bfv-8192-45")]
    Bfv8192x45,
    /// Two plaintext primes of 40 bits: outputs up to a little less than ±2⁷⁹, at twice the cost.
    #[serde(rename = "bfv-8192-40x2")]
    Bfv8192x40x2,
}

impl ParamSet {
    /// All of them, the cheapest first.
    pub const ALL: [Self; 2] = [Self::Bfv8192x45, Self::Bfv8192x40x2];

    /// The name, as in files and commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bfv8192x45 => "bfv-8192-45",
            Self::Bfv8192x40x2 => "bfv-8192-40x2",
        }
    }

    /// The numbers behind the name.
    pub const fn plaintexts(self) -> &'static [u64] {
        match self {
            Self::Bfv8192x45 => &[35_184_371_613_697],
            Self::Bfv8192x40x2 => &[1_099_511_480_321, 1_099_510_890_497],
        }
    }

    /// The cheapest set that holds ±`largest` with a margin of `margin` bits.
    ///
    /// # Errors
    ///
    /// [`Error::NoSetHolds`].
    pub fn holding(largest: u128, margin: u32) -> Result<Self> {
        Self::ALL.into_iter().find(|set| set.holds(largest, margin)).ok_or_else(|| {
            let limit = Self::ALL.into_iter().map(Self::largest).max().unwrap_or(0);
            Error::NoSetHolds { largest, margin, limit }
        })
    }

    /// Whether the set holds ±`largest` with a margin of `margin` bits.
    pub fn holds(self, largest: u128, margin: u32) -> bool {
        let needed = 1_u128.checked_shl(margin).and_then(|factor| largest.checked_mul(factor));
        needed.is_some_and(|needed| needed <= self.largest())
    }

    /// (T − 1)/2 for the product T of the plaintext primes.
    pub fn largest(self) -> u128 {
        (self.plaintexts().iter().map(|&t| u128::from(t)).product::<u128>() - 1) / 2
    }
}

impl fmt::Display for ParamSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ParamSet {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::UnknownSet`].
    fn from_str(name: &str) -> Result<Self> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|set| set.name() == name);
        found.ok_or_else(|| Error::UnknownSet { name: name.chars().take(64).collect(), known: known() })
    }
}

/// SHA-256 over all numbers of a parameter set. Everything written carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ParamsHash(pub(crate) [u8; 32]);

impl ParamsHash {
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ParamsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ParamsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParamsHash({self})")
    }
}

/// BFV parameters that were checked, with what is computed from them once. Cloning is cheap.
///
/// With several plaintext primes every value is encrypted once under each (a *lane*), and the
/// Chinese remainder theorem joins what is decrypted.
#[derive(Clone)]
pub struct Params(Arc<Inner>);

struct Inner {
    degree: usize,
    moduli: Vec<Modulus>,
    ntts: Vec<NttOperator>,
    lanes: Vec<Lane>,
    levels: Vec<Level>,
    hash: ParamsHash,
}

/// One plaintext prime.
pub(crate) struct Lane {
    pub(crate) modulus: Modulus,
    pub(crate) ntt: NttOperator,
    /// Of the product of the lanes before, modulo this one: what joins the lanes.
    pub(crate) inverse: u64,
}

/// The ring after `level` moduli were dropped, and the wider ring in which products are taken.
pub(crate) struct Level {
    pub(crate) ring: Arc<Context>,
    pub(crate) wide: Arc<Context>,
    /// From the ring to the wide ring, the centred representative.
    pub(crate) lift: Scaler,
    /// From the wide ring to the ring, multiplied by t/Q and rounded. One a lane.
    pub(crate) scale: Vec<Scaler>,
    /// One a lane.
    pub(crate) deltas: Vec<Delta>,
    /// Largest sum of absolute weights in a row of the layer behind a square at this level.
    pub(crate) gain: u64,
}

/// What brings a plaintext below t to ⌊Q·m/t⌋ in residues: ((Q·m) mod t)·(−t)⁻¹ mod qᵢ.
pub(crate) struct Delta {
    modulus: Modulus,
    q_mod_t: u64,
    inverse: Vec<u64>,
}

impl Delta {
    /// The residue of ⌊Q·m/t⌋ for modulus `index`, where `m` < t.
    pub(crate) fn scale(&self, q: &Modulus, index: usize, m: u64) -> u64 {
        q.mul(self.modulus.mul(m, self.q_mod_t), self.inverse[index])
    }

    /// A signed constant.
    pub(crate) fn scale_signed(&self, q: &Modulus, index: usize, value: i128) -> u64 {
        let reduced = value.rem_euclid(i128::from(*self.modulus));
        self.scale(q, index, reduced as u64)
    }
}

impl Params {
    /// The parameters behind a name.
    ///
    /// # Errors
    ///
    /// None that was ever seen: the numbers are checked as those of [`Params::new`].
    pub fn named(set: ParamSet) -> Result<Self> {
        const MODULI: [u64; 4] =
            [18_014_398_508_400_641, 18_014_398_508_138_497, 18_014_398_507_892_737, 18_014_398_507_794_433];
        Self::new(8192, &MODULI, set.plaintexts())
    }

    /// Checks and prepares parameters: `degree` coefficients a polynomial, which is also the number
    /// of values side by side in a ciphertext; ciphertext primes, of which the last is dropped first;
    /// plaintext primes.
    ///
    /// # Errors
    ///
    /// [`Error::Degree`], [`Error::ModulusCount`], [`Error::Modulus`] for a number that is no prime
    /// of 24 to 61 bits with p ≡ 1 modulo 2·`degree`, [`Error::BeyondTable`],
    /// [`Error::PlaintextTooLarge`].
    pub fn new(degree: usize, moduli: &[u64], plaintexts: &[u64]) -> Result<Self> {
        check(degree, moduli, plaintexts)?;
        let q: Vec<_> = moduli.iter().map(|&p| Modulus::new(p).map_err(refused)).collect::<Result<_>>()?;
        let ntts = q.iter().map(|q| transform(q, degree, "ciphertext")).collect::<Result<Vec<_>>>()?;
        let lane = |(index, &t)| Lane::new(t, &plaintexts[..index], degree);
        let lanes = plaintexts.iter().enumerate().map(lane).collect::<Result<Vec<_>>>()?;
        let levels = (0..=SQUARES).map(|level| Level::new(degree, &moduli[..moduli.len() - level], plaintexts));
        let levels = levels.collect::<Result<Vec<_>>>()?;
        let hash = hash(degree, &q, &ntts, &lanes);
        Ok(Self(Arc::new(Inner { degree, moduli: q, ntts, lanes, levels, hash })))
    }

    /// Coefficients of a polynomial, and values side by side in one ciphertext.
    pub fn degree(&self) -> usize {
        self.0.degree
    }

    /// The hash of all numbers.
    pub fn hash(&self) -> ParamsHash {
        self.0.hash
    }

    /// The ciphertext primes.
    pub fn moduli(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.moduli.iter().map(|q| **q)
    }

    /// The plaintext primes, one a lane.
    pub fn plaintexts(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.lanes.iter().map(|lane| *lane.modulus)
    }

    /// Values from `−largest` to `largest` come back as they were: (T − 1)/2 for the product T of
    /// the plaintext primes.
    pub fn largest(&self) -> i128 {
        (self.plaintexts().map(i128::from).product::<i128>() - 1) / 2
    }

    /// Bits of the product of the ciphertext primes, and what the standard's table allows.
    pub fn modulus_bits(&self) -> (u64, u64) {
        (self.level(0).ring.modulus().bits(), table(self.degree()).unwrap_or(0))
    }

    /// Refuses `other` where it is not the same.
    pub(crate) fn check_same(&self, other: ParamsHash, what: &'static str) -> Result<()> {
        match self.hash() == other {
            true => Ok(()),
            false => Err(Error::OtherParams { what, expected: self.hash(), got: other }),
        }
    }

    pub(crate) fn level(&self, level: usize) -> &Level {
        &self.0.levels[level]
    }

    pub(crate) fn lanes(&self) -> &[Lane] {
        &self.0.lanes
    }

    /// The moduli left at `level`.
    pub(crate) fn q(&self, level: usize) -> &[Modulus] {
        &self.0.moduli[..self.0.moduli.len() - level]
    }

    /// The transforms left at `level`.
    pub(crate) fn ntts(&self, level: usize) -> &[NttOperator] {
        &self.0.ntts[..self.0.moduli.len() - level]
    }

    /// Residues of one polynomial at `level`.
    pub(crate) fn residues(&self, level: usize) -> usize {
        self.q(level).len() * self.degree()
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plaintexts: Vec<_> = self.plaintexts().collect();
        f.debug_struct("Params").field("hash", &self.hash()).field("plaintexts", &plaintexts).finish_non_exhaustive()
    }
}

impl PartialEq for Params {
    fn eq(&self, other: &Self) -> bool {
        self.hash() == other.hash()
    }
}

impl Eq for Params {}

impl Lane {
    fn new(plaintext: u64, before: &[u64], degree: usize) -> Result<Self> {
        let modulus = Modulus::new(plaintext).map_err(refused)?;
        let ntt = transform(&modulus, degree, "plaintext")?;
        let product = before.iter().fold(1, |product, &t| modulus.mul(product, modulus.reduce(t)));
        let inverse = modulus.inv(product).ok_or(Error::Refused { by: "fhe-math" })?;
        Ok(Self { modulus, ntt, inverse })
    }
}

impl Level {
    fn new(degree: usize, moduli: &[u64], plaintexts: &[u64]) -> Result<Self> {
        let ring = Context::new_arc(moduli, degree).map_err(refused)?;
        let extension = extension(degree, moduli, ring.modulus().bits())?;
        let wide = Context::new_arc(&[moduli, &extension].concat(), degree).map_err(refused)?;
        let scale = |&t: &u64| {
            let factor = ScalingFactor::new(&BigUint::from(t), ring.modulus());
            Scaler::new(&wide, &ring, factor).map_err(refused)
        };
        Ok(Self {
            lift: Scaler::new(&ring, &wide, ScalingFactor::one()).map_err(refused)?,
            scale: plaintexts.iter().map(scale).collect::<Result<_>>()?,
            deltas: plaintexts.iter().map(|&t| Delta::new(t, &ring)).collect::<Result<_>>()?,
            gain: gain(degree, ring.modulus(), wide.modulus()),
            ring,
            wide,
        })
    }
}

impl Delta {
    fn new(plaintext: u64, ring: &Context) -> Result<Self> {
        let modulus = Modulus::new(plaintext).map_err(refused)?;
        let rest = ring.modulus() % plaintext;
        let q_mod_t = rest.iter_u64_digits().next().unwrap_or(0);
        let invert = |q: &Modulus| q.inv(q.neg(q.reduce(plaintext))).ok_or(Error::Refused { by: "fhe-math" });
        let inverse = ring.moduli_operators().iter().map(invert).collect::<Result<_>>()?;
        Ok(Self { modulus, q_mod_t, inverse })
    }
}

fn table(degree: usize) -> Option<u64> {
    TABLE.into_iter().find(|row| row.0 == degree).map(|row| row.1)
}

fn check(degree: usize, moduli: &[u64], plaintexts: &[u64]) -> Result<()> {
    let limit = table(degree).ok_or(Error::Degree { got: degree })?;
    count("ciphertext", moduli.len(), SQUARES + 1, MAX_MODULI)?;
    count("plaintext", plaintexts.len(), 1, MAX_LANES)?;
    for (role, list) in [("ciphertext", moduli), ("plaintext", plaintexts)] {
        for (index, &got) in list.iter().enumerate() {
            let fail = |expected| Err(Error::Modulus { role, got, expected });
            if !(1 << 23..1 << 61).contains(&got) {
                return fail("of 24 to 61 bits");
            }
            if list[..index].contains(&got) {
                return fail("different from the others");
            }
        }
    }
    let smallest = moduli.iter().copied().min().unwrap_or(0);
    if let Some(&plaintext) = plaintexts.iter().find(|&&t| t >= smallest) {
        return Err(Error::PlaintextTooLarge { plaintext, modulus: smallest });
    }
    let product: BigUint = moduli.iter().map(|&q| BigUint::from(q)).product();
    match product.bits() <= limit {
        true => Ok(()),
        false => Err(Error::BeyondTable { degree, got: product.bits(), limit }),
    }
}

fn count(role: &'static str, got: usize, min: usize, max: usize) -> Result<()> {
    match (min..=max).contains(&got) {
        true => Ok(()),
        false => Err(Error::ModulusCount { role, got, min, max }),
    }
}

/// The transform, which exists for primes of the right form only.
fn transform(modulus: &Modulus, degree: usize, role: &'static str) -> Result<NttOperator> {
    let expected = "a prime that is 1 modulo twice the degree";
    NttOperator::new(modulus, degree).ok_or(Error::Modulus { role, got: **modulus, expected })
}

/// Primes P beside the modulus Q, so that Σ w·(c ⊗ c) is below Q·P/2 for Σ|w| up to 2¹⁷: its
/// coefficients are at most Σ|w|·n·Q²/2.
fn extension(degree: usize, moduli: &[u64], bits: u64) -> Result<Vec<u64>> {
    let needed = bits + u64::from(degree.ilog2()) + GAIN_BITS;
    let mut primes = Vec::new();
    let mut bound = 1 << WIDE_BITS;
    while (primes.len() * WIDE_BITS) as u64 <= needed {
        bound = generate_prime(WIDE_BITS, 2 * degree as u64, bound).ok_or(Error::Refused { by: "fhe-math" })?;
        primes.extend(Some(bound).filter(|prime| !moduli.contains(prime)));
    }
    Ok(primes)
}

/// The largest Σ|w| for which twice Σ|w|·n·Q²/2 stays below Q·P/2, and below 2²¹ in any case.
fn gain(degree: usize, q: &BigUint, wide: &BigUint) -> u64 {
    let room = wide / (q * q * BigUint::from(2 * degree));
    u64::try_from(room).unwrap_or(u64::MAX).min(1 << 21)
}

/// The transform of x depends on the root of unity that a build chose, so it is a part of the
/// hash: two builds that chose differently must not take each other's ciphertexts.
fn hash(degree: usize, moduli: &[Modulus], ntts: &[NttOperator], lanes: &[Lane]) -> ParamsHash {
    let mut hash = Sha256::new_with_prefix(HASH_LABEL);
    let mut number = |number: u64| hash.update(number.to_le_bytes());
    for length in [degree, moduli.len(), lanes.len()] {
        number(length as u64);
    }
    let rings = moduli.iter().zip(ntts).chain(lanes.iter().map(|lane| (&lane.modulus, &lane.ntt)));
    for (modulus, ntt) in rings {
        let mut x = vec![0; degree];
        x[1] = 1;
        ntt.forward(&mut x);
        number(**modulus);
        number(x[0]);
    }
    number(crate::sample::ERROR_PAIRS.into());
    ParamsHash(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_sets_are_what_they_say() {
        for set in ParamSet::ALL {
            let params = Params::named(set).unwrap();
            assert_eq!(params.modulus_bits(), (216, 218));
            assert_eq!(params.degree(), 8192);
            assert_eq!(set.name().parse::<ParamSet>().unwrap(), set);
            assert_eq!(serde_json::to_string(&set).unwrap(), format!("\"{set}\""));
            assert!((0..SQUARES).all(|level| params.level(level).gain >= 1 << GAIN_BITS));
        }
        assert!(matches!("bfv-4096".parse::<ParamSet>(), Err(Error::UnknownSet { .. })));
    }

    /// Another hash means other numbers, or another root of unity in `fhe-math`: then what was
    /// written before cannot be read, and the version of the format has to change.
    #[test]
    fn hashes_of_the_named_sets_never_change() {
        let hash = |set| Params::named(set).unwrap().hash().to_string();
        assert_eq!(hash(ParamSet::Bfv8192x45), "94d808e3c2eb5af8ef2880e523a09a0f25f17fbdb2249eb0651ace48d7cb9b32");
        assert_eq!(hash(ParamSet::Bfv8192x40x2), "12188d2149f9efcffee48e45a7aa85f3fb9e75fdc16410d2ef11843a92c2346c");
    }

    #[test]
    fn cheapest_set_that_holds_is_chosen() {
        assert_eq!(ParamSet::holding(1 << 40, 3).unwrap(), ParamSet::Bfv8192x45);
        assert_eq!(ParamSet::holding(1 << 40, 4).unwrap(), ParamSet::Bfv8192x40x2);
        assert_eq!(ParamSet::holding(0, 0).unwrap(), ParamSet::Bfv8192x45);
        for (largest, margin) in [(1 << 77, 2), (1 << 79, 0), (u128::MAX, 1), (1, 128), (0, u32::MAX)] {
            assert!(matches!(ParamSet::holding(largest, margin), Err(Error::NoSetHolds { .. })));
        }
        for set in ParamSet::ALL {
            let largest = Params::named(set).unwrap().largest().unsigned_abs();
            assert_eq!(ParamSet::holding(largest, 0).unwrap(), set);
            assert_ne!(ParamSet::holding(largest + 1, 0).ok(), Some(set));
        }
    }
}

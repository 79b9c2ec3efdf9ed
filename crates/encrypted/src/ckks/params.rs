use std::{fmt, str::FromStr, sync::Arc};

use fhe_math::{
    ntt::NttOperator,
    zq::{Modulus, primes::generate_prime},
};
use num_bigint::BigUint;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Complex, embedding::Embedding, ring::Conversion};
use crate::{Error, ParamsHash, Result, error::refused, sample};

/// Bits of the product of all primes, special ones too, for 128 bits against a classical attacker: Albrecht et al.,
/// "Homomorphic Encryption Security Standard" (HomomorphicEncryption.org, 2018), Table 1, ternary secret.
/// It ends at 2¹⁵.
const TABLE: [(usize, u64); 4] = [(4096, 109), (8192, 218), (16384, 438), (32768, 881)];
/// Later estimates are lower than the table, so that a thirtieth of it stays unused: 210 bits at degree 2¹³, 423 at
/// 2¹⁴, 851 at 2¹⁵. The documentation of the lattice estimator (github.com/malb/lattice-estimator, docs/schemes/hes.rst)
/// gives 2^121.8 operations for 226 bits at 2¹³; as these bits go about with the inverse of the modulus', 128 are met
/// near 215, and not at the 218 of the table.
const RESERVE: u64 = 30;
/// Products of two residues of 61 bits, summed over a digit for each prime, fit into 128 bits.
const MAX_PRIMES: usize = 48;
/// Bounds of the bits of a scale.
const SCALE_BITS: std::ops::RangeInclusive<u32> = 20..=58;
/// Names what a hash of parameters is over.
const HASH_LABEL: &[u8] = b"cleave ckks parameters v1";

/// The parameter sets that have a name. Both have a dense ternary secret and errors of variance 10.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ParamSet {
    /// Degree 2¹⁴, scale 2³⁸, 8 levels: a base prime of 55 bits, 8 of 38 bits, a special one of 60 bits; 419 bits in
    /// all.
    #[serde(rename = "ckks-16384-8")]
    Ckks16384x8,
    /// Degree 2¹⁵, scale 2³⁹, 16 levels: a base prime of 55 bits, 16 of 39 bits, three special ones of 45 bits; 814
    /// bits in all.
    #[serde(rename = "ckks-32768-16")]
    Ckks32768x16,
}

impl ParamSet {
    /// All of them, the cheapest first.
    pub const ALL: [Self; 2] = [Self::Ckks16384x8, Self::Ckks32768x16];

    /// The name, as in files and commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ckks16384x8 => "ckks-16384-8",
            Self::Ckks32768x16 => "ckks-32768-16",
        }
    }

    /// Rescalings that a fresh ciphertext has room for.
    pub const fn levels(self) -> usize {
        match self {
            Self::Ckks16384x8 => 8,
            Self::Ckks32768x16 => 16,
        }
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

/// CKKS parameters that were checked, with what is computed from them once. Cloning is cheap.
///
/// A ciphertext at level l is under the primes q_0 to q_l; each rescaling takes the last one away. Keys are under
/// the special primes too.
#[derive(Clone)]
pub struct Params(Arc<Inner>);

struct Inner {
    degree: usize,
    /// q_0 to q_L, then the special primes.
    moduli: Vec<Modulus>,
    ntts: Vec<NttOperator>,
    levels: usize,
    /// Primes of a digit.
    digit: usize,
    scale_bits: u32,
    embedding: Embedding,
    /// By digit and by how many of its primes are left, less one.
    up: Vec<Vec<Conversion>>,
    /// From the special primes.
    down: Conversion,
    /// By prime: P, and P⁻¹.
    special: Vec<(u64, u64)>,
    /// By prime l: its inverse modulo each prime before it.
    dropped: Vec<Vec<u64>>,
    /// q_0⁻¹ modulo q_1.
    joining: u64,
    hash: ParamsHash,
}

impl Params {
    /// The parameters behind a name.
    ///
    /// # Errors
    ///
    /// None that was ever seen: the numbers are checked as those of [`Params::new`].
    pub fn named(set: ParamSet) -> Result<Self> {
        let (degree, scale, special, digit) = match set {
            ParamSet::Ckks16384x8 => (1 << 14, 38, (60, 1), 1),
            ParamSet::Ckks32768x16 => (1 << 15, 39, (45, 3), 3),
        };
        let chain = [primes(degree, 55, 1)?, primes(degree, scale, set.levels())?].concat();
        Self::new(degree, &chain, &primes(degree, special.0, special.1)?, digit, scale as u32)
    }

    /// Checks and prepares parameters: `degree` N of the polynomials, twice the number of slots; the primes q_0 to
    /// q_L, of which the last is dropped first; the special primes; how many primes a digit of a key switch has;
    /// the binary logarithm of the scale of fresh ciphertexts.
    ///
    /// # Errors
    ///
    /// [`Error::Degree`], [`Error::ModulusCount`], [`Error::Modulus`] for a number that is no prime of 24 to 61 bits
    /// with p ≡ 1 modulo 2N, [`Error::BeyondReserve`], [`Error::Count`] for a digit or a scale.
    pub fn new(degree: usize, chain: &[u64], special: &[u64], digit: usize, scale_bits: u32) -> Result<Self> {
        let table = table(degree).ok_or(Error::Degree { got: degree })?;
        let product: BigUint = chain.iter().chain(special).map(|&q| BigUint::from(q)).product();
        let limit = table - table.div_ceil(RESERVE);
        if product.bits() > limit {
            return Err(Error::BeyondReserve { degree, got: product.bits(), limit, table });
        }
        Self::prepared(degree, chain, special, digit, scale_bits)
    }

    /// Rings far too small to hide anything, for tests of the arithmetic.
    #[cfg(test)]
    pub(crate) fn insecure_for_tests(degree: usize, levels: usize, specials: usize, digit: usize) -> Self {
        let chain = [primes(degree, 55, 1).unwrap(), primes(degree, 38, levels).unwrap()].concat();
        let special = primes(degree, if specials == 1 { 60 } else { 45 }, specials).unwrap();
        Self::prepared(degree, &chain, &special, digit, 38).unwrap()
    }

    /// All but the check against the table.
    fn prepared(degree: usize, chain: &[u64], special: &[u64], digit: usize, scale_bits: u32) -> Result<Self> {
        check(chain, special, digit, scale_bits)?;
        let all = [chain, special].concat();
        let moduli = all.iter().map(|&p| Modulus::new(p).map_err(refused)).collect::<Result<Vec<_>>>()?;
        let ntts = moduli.iter().map(|q| transform(q, degree)).collect::<Result<Vec<_>>>()?;
        let (levels, first) = (chain.len() - 1, chain.len());
        let up = (0..first).step_by(digit).map(|start| {
            let most = digit.min(first - start);
            (1..=most).map(|count| Conversion::new(&moduli, start..start + count)).collect()
        });
        let invert = |q: &Modulus, x: u64| q.inv(x).ok_or(Error::Refused { by: "fhe-math" });
        let product = |q: &Modulus| special.iter().fold(1, |product, &p| q.mul(product, q.reduce(p)));
        let special = moduli[..first].iter().map(|q| Ok((product(q), invert(q, product(q))?)));
        let dropped = |l: usize| moduli[..l].iter().map(|q| invert(q, q.reduce(*moduli[l]))).collect();
        let mut hash = Sha256::new_with_prefix(HASH_LABEL);
        let mut number = |number: u64| hash.update(number.to_le_bytes());
        for small in [degree, chain.len(), all.len() - first, digit, scale_bits as usize] {
            number(small as u64);
        }
        for (modulus, ntt) in moduli.iter().zip(&ntts) {
            number(**modulus);
            number(root(modulus, ntt, degree)?);
        }
        number(sample::ERROR_PAIRS.into());
        let inner = Inner {
            degree,
            levels,
            digit,
            scale_bits,
            embedding: Embedding::new(degree),
            up: up.collect::<Result<_>>()?,
            down: Conversion::new(&moduli, first..all.len())?,
            special: special.collect::<Result<_>>()?,
            dropped: (0..first).map(dropped).collect::<Result<_>>()?,
            joining: invert(&moduli[1], moduli[1].reduce(*moduli[0]))?,
            hash: ParamsHash(hash.finalize().into()),
            moduli,
            ntts,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// N: coefficients of a polynomial.
    pub fn degree(&self) -> usize {
        self.0.degree
    }

    /// N/2: complex numbers in a ciphertext.
    pub fn slots(&self) -> usize {
        self.0.degree / 2
    }

    /// Rescalings that a fresh ciphertext has room for.
    pub fn levels(&self) -> usize {
        self.0.levels
    }

    /// The scale of fresh ciphertexts, a power of two.
    pub fn scale(&self) -> f64 {
        f64::from(self.0.scale_bits).exp2()
    }

    /// The primes of ciphertexts, q_0 to q_L: the last one is dropped first.
    pub fn primes(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.0.moduli[..self.special_from()].iter().map(|q| **q)
    }

    /// The special primes, which only keys are under too.
    pub fn special_primes(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.0.moduli[self.special_from()..].iter().map(|q| **q)
    }

    /// The coefficients of the real polynomial that has these slots, before it is scaled and rounded. Slots that are
    /// missing are 0. It needs no key: whoever is told slots can compute it.
    ///
    /// # Errors
    ///
    /// [`Error::Count`] for too many slots.
    pub fn coefficients(&self, slots: &[Complex]) -> Result<Zeroizing<Vec<f64>>> {
        match slots.len() <= self.slots() {
            true => Ok(self.embedding().coefficients(slots)),
            false => {
                let expected = format!("{} at most", self.slots());
                Err(Error::Count { what: "slots", got: slots.len(), expected })
            }
        }
    }

    /// The hash of all numbers.
    pub fn hash(&self) -> ParamsHash {
        self.0.hash
    }

    /// The prime that a rescaling from `level` divides by; 1 beyond the last level.
    pub fn prime(&self, level: usize) -> f64 {
        self.0.moduli[..self.special_from()].get(level).map_or(1.0, |q| **q as f64)
    }

    /// Bits of the product of all primes, and what the standard's table allows.
    pub fn modulus_bits(&self) -> (u64, u64) {
        let product: BigUint = self.0.moduli.iter().map(|q| BigUint::from(**q)).product();
        (product.bits(), table(self.degree()).unwrap_or(0))
    }

    /// Refuses `other` where it is not the same.
    pub(crate) fn check_same(&self, other: ParamsHash, what: &'static str) -> Result<()> {
        match self.hash() == other {
            true => Ok(()),
            false => Err(Error::OtherParams { what, expected: self.hash(), got: other }),
        }
    }

    pub(super) fn moduli(&self) -> &[Modulus] {
        &self.0.moduli
    }

    pub(super) fn ntts(&self) -> &[NttOperator] {
        &self.0.ntts
    }

    /// The primes of a ciphertext at `level`.
    pub(super) fn q(&self, level: usize) -> &[Modulus] {
        &self.0.moduli[..=level]
    }

    /// Place of the first special prime.
    pub(super) fn special_from(&self) -> usize {
        self.0.levels + 1
    }

    /// The places of the primes of a key for `level`: its own, then the special ones.
    pub(super) fn key_primes(&self, level: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        (0..=level).chain(self.special_from()..self.0.moduli.len())
    }

    /// The places of the primes of each digit at `level`.
    pub(super) fn digits(&self, level: usize) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let digit = self.0.digit;
        (0..=level).step_by(digit).map(move |start| start..(start + digit).min(level + 1))
    }

    pub(super) fn up(&self, digit: &std::ops::Range<usize>) -> &Conversion {
        &self.0.up[digit.start / self.0.digit][digit.len() - 1]
    }

    pub(super) fn down(&self) -> &Conversion {
        &self.0.down
    }

    /// P modulo prime `index`.
    pub(super) fn special(&self, index: usize) -> u64 {
        self.0.special[index].0
    }

    /// P⁻¹ modulo prime `index`.
    pub(super) fn special_inverse(&self, index: usize) -> u64 {
        self.0.special[index].1
    }

    /// The inverses of prime `level`.
    pub(super) fn dropped(&self, level: usize) -> &[u64] {
        &self.0.dropped[level]
    }

    /// q_0⁻¹ modulo q_1, which joins the first two residues.
    pub(super) fn joining(&self) -> u64 {
        self.0.joining
    }

    pub(super) fn embedding(&self) -> &Embedding {
        &self.0.embedding
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Params")
            .field("hash", &self.hash())
            .field("degree", &self.degree())
            .field("levels", &self.levels())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Params {
    fn eq(&self, other: &Self) -> bool {
        self.hash() == other.hash()
    }
}

impl Eq for Params {}

fn table(degree: usize) -> Option<u64> {
    TABLE.into_iter().find(|row| row.0 == degree).map(|row| row.1)
}

/// The `count` largest primes of `bits` bits that are 1 modulo twice the degree.
fn primes(degree: usize, bits: usize, count: usize) -> Result<Vec<u64>> {
    let mut bound = 1 << bits;
    let next = || {
        bound = generate_prime(bits, 2 * degree as u64, bound).ok_or(Error::Refused { by: "fhe-math" })?;
        Ok(bound)
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn check(chain: &[u64], special: &[u64], digit: usize, scale_bits: u32) -> Result<()> {
    let count = |role, got, min, max| match (min..=max).contains(&got) {
        true => Ok(()),
        false => Err(Error::ModulusCount { role, got, min, max }),
    };
    count("ciphertext", chain.len(), 2, MAX_PRIMES - 1)?;
    count("special", special.len(), 1, MAX_PRIMES - chain.len())?;
    let mut seen = Vec::new();
    for (role, list) in [("ciphertext", chain), ("special", special)] {
        for &got in list {
            let fail = |expected| Err(Error::Modulus { role, got, expected });
            if !(1 << 23..1 << 61).contains(&got) {
                return fail("of 24 to 61 bits");
            }
            if seen.contains(&got) {
                return fail("different from the others");
            }
            seen.push(got);
        }
    }
    if !SCALE_BITS.contains(&scale_bits) || chain[0] >> scale_bits < 4 {
        let expected = format!("{SCALE_BITS:?}, and two less than the base prime has");
        return Err(Error::Count { what: "bits of the scale", got: scale_bits as usize, expected });
    }
    // A digit larger than P would drown the result in the noise of the key.
    let size = |primes: &[u64]| primes.iter().map(|&q| BigUint::from(q)).product::<BigUint>();
    let fits = (1..=chain.len()).contains(&digit) && chain.chunks(digit).all(|digit| size(digit) < size(special));
    match fits {
        true => Ok(()),
        false => Err(Error::Count {
            what: "primes of a digit",
            got: digit,
            expected: "1 or more, with a product below that of the special primes".into(),
        }),
    }
}

/// The transform, which exists for primes of the right form only.
fn transform(modulus: &Modulus, degree: usize) -> Result<NttOperator> {
    let expected = "a prime that is 1 modulo twice the degree";
    NttOperator::new(modulus, degree).ok_or(Error::Modulus { role: "ciphertext", got: **modulus, expected })
}

/// The root ψ that the transform chose. Place i has to hold the value at ψ^(2·r+1), where r is i with its bits
/// reversed: automorphisms rely on it.
fn root(modulus: &Modulus, ntt: &NttOperator, degree: usize) -> Result<u64> {
    let mut x = vec![0; degree];
    x[1] = 1;
    ntt.forward(&mut x);
    let (root, bits) = (x[0], degree.ilog2());
    let square = modulus.mul(root, root);
    let mut power = root;
    for r in 0..degree {
        if x[r.reverse_bits() >> (usize::BITS - bits)] != power {
            return Err(Error::Refused { by: "fhe-math" });
        }
        power = modulus.mul(power, square);
    }
    Ok(root)
}

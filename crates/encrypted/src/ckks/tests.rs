//! Small rings that hide nothing, and bounds on errors from the analysis in `bounds`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy exempts only the test functions themselves")]

use std::sync::LazyLock;

use cleave_secrets::{Domain, Secret};
use fhe_math::zq::Modulus;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{ring, *};
use crate::{Error, Fault, Result, sample};

const DEGREE: usize = 512;
const SLOTS: usize = DEGREE / 2;
const LEVELS: usize = 4;

struct Setting {
    params: Params,
    secret: SecretKey,
    keys: EvaluationKeys,
    plan: KeyPlan,
}

impl Setting {
    fn new(params: Params) -> Self {
        let secret = SecretKey::new(&params, &Secret::from_bytes(&[7; 32]));
        let plan = KeyPlan::new(&params).relinearise(LEVELS).conjugate(LEVELS).rotate(-1, 2);
        let plan = (0..8).fold(plan, |plan, bit| plan.rotate(1 << bit, LEVELS));
        let keys = secret.evaluation_keys(&plan).unwrap();
        Self { params, secret, keys, plan }
    }

    fn encrypt(&self, slots: &[Complex]) -> Ciphertext {
        let plain = Plaintext::encode(&self.params, slots, LEVELS, self.params.scale()).unwrap();
        self.secret.encrypt(&plain).unwrap()
    }

    /// The largest error of a slot.
    fn error(&self, ciphertext: &Ciphertext, expected: impl Fn(usize) -> Complex) -> f64 {
        let got = self.secret.decrypt(ciphertext).unwrap();
        let error = |(j, got): (usize, &Complex)| (*got - expected(j)).abs();
        got.iter().enumerate().map(error).fold(0.0, f64::max)
    }
}

/// One prime a digit; and three, so that digits are cut where a level ends.
static SETTINGS: LazyLock<[Setting; 2]> = LazyLock::new(|| {
    [
        Setting::new(Params::insecure_for_tests(DEGREE, LEVELS, 1, 1)),
        Setting::new(Params::insecure_for_tests(DEGREE, LEVELS, 3, 3)),
    ]
});

/// Errors of a slot: a slot is a sum of N coefficients times roots of unity, so that its standard deviation is √N
/// times that of a coefficient, and that it is about normal.
mod bounds {
    /// A complex normal number is beyond eight standard deviations with probability e⁻⁶⁴.
    const SUM: f64 = 8.0;
    /// The slot of a product of polynomials is a product of two such numbers, which is beyond t standard deviations
    /// with probability about √(πt)·e⁻²ᵗ: less than 10⁻¹² here.
    const PRODUCT: f64 = 16.0;

    /// e, of variance 10.5, and the rounding of the message, 1/12.
    pub(super) fn fresh(n: f64, scale: f64) -> f64 {
        SUM * (n * (10.5 + 1.0 / 12.0)).sqrt() / scale
    }

    /// Rounding both halves, of which the second meets s with 2N/3 coefficients ±1: variance (1 + 2N/3)/12.
    pub(super) fn rounding(n: f64, scale: f64) -> f64 {
        PRODUCT * (n * (1.0 + 2.0 * n / 3.0) / 12.0).sqrt() / scale
    }

    /// `digits` digits, even up to ±D/2, each times e, over P: variance digits·N·(D/P)²/12·10.5; then rounding.
    pub(super) fn switching(n: f64, digits: f64, ratio: f64, scale: f64) -> f64 {
        PRODUCT * (n * digits * n * ratio * ratio / 12.0 * 10.5).sqrt() / scale + rounding(n, scale)
    }
}

fn switching(setting: &Setting, scale: f64) -> f64 {
    let (digits, ratio) = if setting.params.digits(LEVELS).count() == 5 {
        (5.0, (55.0_f64 - 60.0).exp2())
    } else {
        (2.0, (131.0_f64 - 135.0).exp2())
    };
    bounds::switching(DEGREE as f64, digits, ratio, scale)
}

fn slots() -> impl Strategy<Value = Vec<Complex>> {
    prop::collection::vec((-1.0..1.0, -1.0..1.0).prop_map(|(re, im)| Complex::new(re, im)), SLOTS)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn operations_are_those_of_the_slots(a in slots(), b in slots(), which in 0..2_usize, factor in -2.0..2.0) {
        let setting = &SETTINGS[which];
        let (n, scale) = (DEGREE as f64, setting.params.scale());
        let (x, y) = (setting.encrypt(&a), setting.encrypt(&b));
        let fresh = bounds::fresh(n, scale);
        prop_assert!(setting.error(&x, |j| a[j]) <= fresh);
        prop_assert!(setting.error(&x.drop_to(0).unwrap(), |j| a[j]) <= fresh);
        prop_assert!(setting.error(&x.add(&y).unwrap(), |j| a[j] + b[j]) <= 2.0 * fresh);
        prop_assert!(setting.error(&x.sub(&y).unwrap(), |j| a[j] - b[j]) <= 2.0 * fresh);

        // |a|, |b| ≤ √2: each error is multiplied with it, and the product of both errors is negligible.
        let product = 2.0 * 2.0_f64.sqrt() * fresh;
        let exact = setting.keys.multiply(&x, &y).unwrap();
        let bound = product + switching(setting, exact.scale());
        prop_assert!(setting.error(&exact, |j| a[j] * b[j]) <= bound);
        let rescaled = exact.rescale().unwrap();
        let bound = bound + bounds::rounding(n, rescaled.scale());
        prop_assert_eq!(rescaled.level(), LEVELS - 1);
        prop_assert!(setting.error(&rescaled, |j| a[j] * b[j]) <= bound);
        let sum = setting.keys.dot(&[(&x, &y), (&y, &y), (&x, &x)]).unwrap();
        prop_assert!(setting.error(&sum, |j| a[j] * b[j] + b[j] * b[j] + a[j] * a[j]) <= 3.0 * bound);

        let plain = Plaintext::encode(&setting.params, &b, LEVELS, scale).unwrap();
        let by_plain = x.multiply_plain(&plain).unwrap().rescale().unwrap();
        let bound = product + bounds::rounding(n, by_plain.scale());
        prop_assert!(setting.error(&by_plain, |j| a[j] * b[j]) <= bound);
        prop_assert!(setting.error(&x.add_plain(&plain).unwrap(), |j| a[j] + b[j]) <= 2.0 * fresh);

        let adjusted = x.adjust(factor, 1, scale * 1.5).unwrap();
        prop_assert!((adjusted.level(), adjusted.scale()) == (1, scale * 1.5));
        let bound = 2.0 * fresh + bounds::rounding(n, scale);
        prop_assert!(setting.error(&adjusted, |j| a[j] * Complex::from(factor)) <= bound);
    }

    #[test]
    fn rotations_are_a_group(a in slots(), which in 0..2_usize, bits in (0..8_u32, 0..8_u32), level in 0..=LEVELS) {
        let setting = &SETTINGS[which];
        let keys = &setting.keys;
        let scale = setting.params.scale();
        let bound = bounds::fresh(DEGREE as f64, scale) + 2.0 * switching(setting, scale);
        let x = setting.encrypt(&a).drop_to(level).unwrap();
        let (i, j) = (1_usize << bits.0, 1_usize << bits.1);
        let both = keys.rotate(&keys.rotate(&x, i as i64).unwrap(), j as i64).unwrap();
        prop_assert!(setting.error(&both, |slot| a[(slot + i + j) % SLOTS]) <= bound);
        let turned = keys.conjugate(&keys.rotate(&x, i as i64).unwrap()).unwrap();
        prop_assert!(setting.error(&turned, |slot| a[(slot + i) % SLOTS].conj()) <= bound);
        let back = keys.conjugate(&keys.conjugate(&x).unwrap()).unwrap();
        prop_assert!(setting.error(&back, |slot| a[slot]) <= bound);
        let whole = keys.rotate(&x, SLOTS as i64).unwrap();
        prop_assert!(setting.error(&whole, |slot| a[slot]) <= bound);
        let sum = keys.add_rotations(&x, &[1, 2, 64]).unwrap();
        let expected = |slot: usize| [1, 2, 64].iter().fold(a[slot], |sum, step| sum + a[(slot + step) % SLOTS]);
        prop_assert!(setting.error(&sum, expected) <= 4.0 * bound);
        let x = x.drop_to(level.min(2)).unwrap();
        let back = keys.rotate(&keys.rotate(&x, 1).unwrap(), -1).unwrap();
        prop_assert!(setting.error(&back, |slot| a[slot]) <= bound);
    }

    #[test]
    fn a_changed_base_holds_the_smallest_representative(x in any::<i64>(), y in -(1_i64 << 36)..(1 << 36)) {
        let params = &SETTINGS[1].params;
        let whole = i128::from(x) * i128::from(y); // |x·y| < 2⁹⁹, and the primes have 131 bits
        let digit = params.digits(LEVELS).next().unwrap();
        let residue = |q: &Modulus, x: i128| x.rem_euclid(i128::from(**q)) as u64;
        let rows: Vec<u64> =
            params.moduli()[digit.clone()].iter().flat_map(|q| [residue(q, whole); DEGREE]).collect();
        let up = params.up(&digit);
        let digits = up.digits(params, &rows);
        for target in digit.end..params.moduli().len() {
            let row = up.row(params, &digits, target);
            prop_assert!(row.iter().all(|&got| got == residue(&params.moduli()[target], whole)));
        }
    }
}

#[test]
fn automorphisms_change_places_of_values() {
    let params = &SETTINGS[0].params;
    let (q, ntt) = (&params.moduli()[1], &params.ntts()[1]);
    let x: Vec<u64> = (0..DEGREE as u64).map(|k| k * k + 1).collect();
    for element in [5, 25, 2 * DEGREE as u64 - 1] {
        let mut expected = vec![0; DEGREE];
        for (k, &value) in x.iter().enumerate() {
            let to = k * element as usize % (2 * DEGREE);
            expected[to % DEGREE] = if to < DEGREE { value } else { q.neg(value) };
        }
        let mut values = x.clone();
        ntt.forward(&mut values);
        ntt.forward(&mut expected);
        assert_eq!(ring::permuted(params, &values, element), expected);
    }
}

#[test]
fn dividing_by_primes_rounds_to_the_nearest() {
    let params = &SETTINGS[0].params;
    let quotients: Vec<i64> = (0..DEGREE as i64).map(|k| k * 12345 - 3_000_000).collect();
    // x = quotient·divisor + rest, where the rest goes from about −divisor/2 to divisor/2.
    let rows = |primes: &[usize], divisor: i128, rest: bool| {
        let mut out = Vec::new();
        for &prime in primes {
            let q = i128::from(*params.moduli()[prime]);
            let residue = |(k, &x): (usize, &i64)| {
                let rest = if rest { (k as i128 - 256) * (divisor / 2 - 1) / 256 } else { 0 };
                (i128::from(x) * (divisor % q) + rest).rem_euclid(q) as u64
            };
            let start = out.len();
            out.extend(quotients.iter().enumerate().map(residue));
            params.ntts()[prime].forward(&mut out[start..]);
        }
        out
    };
    let last = i128::from(*params.moduli()[LEVELS]);
    assert_eq!(ring::rescaled(params, &rows(&[0, 1, 2, 3, 4], last, true)), rows(&[0, 1, 2, 3], 1, false));
    let special = i128::from(*params.moduli()[LEVELS + 1]);
    let got = ring::without_special(params, 2, &rows(&[0, 1, 2, LEVELS + 1], special, true));
    assert_eq!(got, rows(&[0, 1, 2], 1, false));
}

/// What `docs/encrypted-training.md` lists: `cargo test -p cleave-encrypted --lib errors_of_named -- --nocapture`.
#[test]
fn errors_of_named_sets_stay_within_the_analysis() {
    for set in ParamSet::ALL {
        let params = Params::named(set).unwrap();
        let (n, scale) = (params.degree() as f64, params.scale());
        let secret = SecretKey::generate(&params).unwrap();
        // Keys for a low level, so that the test stays short.
        let plan = KeyPlan::new(&params).relinearise(2).rotate(3, 2).conjugate(2);
        let keys = secret.evaluation_keys(&plan).unwrap();
        let slots: Vec<_> =
            (0..params.slots()).map(|j| Complex::new((j as f64).sin(), (j as f64 * 1.7).cos())).collect();
        let plain = Plaintext::encode(&params, &slots, 2, scale).unwrap();
        let x = secret.encrypt(&plain).unwrap();
        let (fresh, rounding) = (bounds::fresh(n, scale), bounds::rounding(n, scale));
        // The worst digit is the first one, four times smaller than P or more.
        let switching = bounds::switching(n, 3.0, 0.25, scale);
        let product = 2.0 * 2.0_f64.sqrt() * fresh + rounding;
        let same = |j: usize| slots[j];
        let square = |j: usize| slots[j] * slots[j];
        let turned = |j: usize| slots[(j + 3) % slots.len()];
        let third = |j: usize| slots[j] * Complex::from(1.0 / 3.0);
        type Expected<'a> = &'a dyn Fn(usize) -> Complex;
        let operations: [(&str, Ciphertext, Expected<'_>, f64); 7] = [
            ("encrypt", x.clone(), &same, fresh),
            ("add", x.add(&x).unwrap(), &|j| slots[j] + slots[j], 2.0 * fresh),
            ("multiply by a plaintext", x.multiply_plain(&plain).unwrap().rescale().unwrap(), &square, product),
            ("multiply", keys.multiply(&x, &x).unwrap().rescale().unwrap(), &square, product + switching),
            ("rotate", keys.rotate(&x, 3).unwrap(), &turned, fresh + switching),
            ("conjugate", keys.conjugate(&x).unwrap(), &|j| slots[j].conj(), fresh + switching),
            ("adjust", x.adjust(1.0 / 3.0, 1, scale).unwrap(), &third, fresh + rounding),
        ];
        for (name, ciphertext, expected, bound) in operations {
            let got = secret.decrypt(&ciphertext).unwrap();
            let error = got.iter().enumerate().map(|(j, got)| (*got - expected(j)).abs()).fold(0.0, f64::max);
            println!("{set}, {name}: error {error:.1e}, bound {bound:.1e}");
            assert!(error <= bound, "{set}, {name}: {error:e} beyond {bound:e}");
        }
    }
}

#[test]
fn named_sets_are_within_the_table() {
    let bits = ParamSet::ALL.map(|set| Params::named(set).unwrap().modulus_bits());
    assert_eq!(bits, [(419, 438), (814, 881)]);
    for set in ParamSet::ALL {
        assert_eq!(Params::named(set).unwrap().levels(), set.levels());
        assert_eq!(set.name().parse::<ParamSet>().unwrap(), set);
        assert_eq!(serde_json::to_string(&set).unwrap(), format!("\"{set}\""));
    }
    assert!(matches!("ckks-8192".parse::<ParamSet>(), Err(Error::UnknownSet { .. })));
}

#[test]
fn parameters_beyond_the_table_are_refused() {
    let named = Params::named(ParamSet::Ckks16384x8).unwrap();
    let all: Vec<u64> = named.moduli().iter().map(|q| **q).collect();
    let (chain, special) = all.split_at(9);
    assert_eq!(Params::new(1 << 14, chain, special, 1, 38).unwrap(), named);
    let wide = Params::named(ParamSet::Ckks32768x16).unwrap();
    let more: Vec<u64> = wide.moduli()[1..2].iter().map(|q| **q).collect();
    // 419 + 39 bits are beyond 423, at a degree where the table has 438.
    let error = Params::new(1 << 14, &[chain, &more].concat(), special, 1, 38).unwrap_err();
    assert!(matches!(error, Error::BeyondReserve { degree: 16384, got: 457 | 458, limit: 423, table: 438 }), "{error}");
    let special_counts = Params::new(1 << 14, chain, &[special, &more].concat(), 1, 38);
    assert!(matches!(special_counts, Err(Error::BeyondReserve { .. })), "special primes count too");
    assert!(matches!(Params::new(1 << 13, chain, special, 1, 38), Err(Error::BeyondReserve { limit: 210, .. })));
    for degree in [0, 7, 512, 2048, 12345, 1 << 16, usize::MAX] {
        assert!(matches!(Params::new(degree, chain, special, 1, 38), Err(Error::Degree { got }) if got == degree));
    }
    // q at 851 bits is let through at degree 2¹⁵, one more prime is not.
    let limit = |bits: u64| Params::new(1 << 15, &vec![1 << 24; (bits / 24) as usize], &[1 << 24], 1, 20);
    assert!(matches!(limit(864), Err(Error::BeyondReserve { limit: 851, .. })));
    assert!(matches!(limit(800), Err(Error::Modulus { .. })));
}

#[test]
fn wrong_numbers_are_refused() {
    let named = Params::named(ParamSet::Ckks16384x8).unwrap();
    let all: Vec<u64> = named.moduli().iter().map(|q| **q).collect();
    let (chain, special) = all.split_at(9);
    let new = |chain: &[u64], special: &[u64], digit, scale| Params::new(1 << 14, chain, special, digit, scale);
    let count = |result: Result<Params>| matches!(result, Err(Error::Count { .. }));
    assert!(count(new(chain, special, 0, 38)) && count(new(chain, special, 10, 38)));
    assert!(count(new(chain, special, 2, 38)), "a digit of two primes is larger than the special one");
    assert!(count(new(chain, special, 1, 19)) && count(new(chain, special, 1, 54)));
    assert!(matches!(new(&chain[..1], special, 1, 38), Err(Error::ModulusCount { .. })));
    assert!(matches!(new(chain, &[], 1, 38), Err(Error::ModulusCount { .. })));
    let modulus = |result: Result<Params>| matches!(result, Err(Error::Modulus { .. }));
    assert!(modulus(new(chain, &chain[..1], 1, 38)), "there twice");
    assert!(modulus(new(&[chain[0], chain[1] + 2], special, 1, 38)), "of another form");
    assert!(modulus(new(&[chain[0], 0], special, 1, 38)) && modulus(new(&[chain[0], u64::MAX], special, 1, 38)));
}

/// Another hash means other numbers, or another root of unity in `fhe-math`: then what was written before cannot be
/// read, and the version of the format has to change.
#[test]
fn hashes_of_the_named_sets_never_change() {
    let hash = |set| Params::named(set).unwrap().hash().to_string();
    assert_eq!(hash(ParamSet::Ckks16384x8), "e76544d41c3ab086ce5c7e44bbda1a09eaea61c205772fa4d8ac7a17306d263b");
    assert_eq!(hash(ParamSet::Ckks32768x16), "5a9789d4c9973d26384ad7ec810794f25bccc38ad9b66b0c36134d44929d8e55");
}

/// A secret made today opens its ciphertexts with every later version.
#[test]
fn what_a_secret_gives_never_changes() {
    let params = &SETTINGS[0].params;
    let mut hash = Sha256::new();
    let secret = Secret::from_bytes(&[3; 32]);
    let key = SecretKey::new(params, &secret);
    let mut s = key.row(0).to_vec();
    params.ntts()[0].backward(&mut s);
    let q = &params.moduli()[0];
    let mut stream = secret.stream(Domain::new("encrypted/ckks secret key", &[DEGREE as u64]));
    let expected = sample::ternary(&mut stream, DEGREE);
    assert!(s.iter().zip(expected.iter()).all(|(&s, &small)| s == sample::residue(q, small)));
    hash.update(s.iter().flat_map(|&s| if s > 1 { [255] } else { [s as u8] }).collect::<Vec<_>>());
    assert_eq!(
        data_encoding::HEXLOWER.encode(&hash.finalize()),
        "9c574bfe9dfb754c0718d4335031dced87fa354cd4a1107c5740631a25a349fc"
    );
}

#[test]
fn what_does_not_fit_is_an_error() {
    let [one, three] = &*SETTINGS;
    let params = &one.params;
    let scale = params.scale();
    let x = one.encrypt(&[Complex::from(0.5); SLOTS]);
    let low = x.drop_to(1).unwrap();
    assert!(matches!(x.add(&low), Err(Error::Level { expected: LEVELS, got: 1, .. })));
    assert!(matches!(one.keys.multiply(&x, &low), Err(Error::Level { .. })));
    assert!(matches!(low.drop_to(2), Err(Error::Level { .. })));
    assert!(matches!(low.drop_to(0).unwrap().rescale(), Err(Error::Level { .. })));
    assert!(matches!(low.adjust(1.0, 1, scale), Err(Error::Level { .. })));
    let square = one.keys.multiply(&x, &x).unwrap();
    assert!(matches!(square.add(&x), Err(Error::Scale { .. })));
    assert!(matches!(one.keys.dot(&[(&x, &x), (&x, &square)]), Err(Error::Scale { .. })));
    let low = low.drop_to(0).unwrap();
    assert!(matches!(one.keys.multiply(&low, &low), Err(Error::Scale { .. })), "2⁷⁶ does not fit under q_0");
    let poor = x.adjust(1.0, 1, (1_u64 << 17) as f64).unwrap();
    assert!(matches!(poor.rescale(), Err(Error::Scale { .. })), "no scale would be left");
    for factor in [f64::NAN, f64::INFINITY, 1e30] {
        assert!(matches!(x.adjust(factor, 1, scale), Err(Error::Value { .. })));
    }
    assert!(matches!(one.keys.dot(&[]), Err(Error::Count { .. })));

    // Keys: none for these steps, or only for lower levels.
    assert!(matches!(one.keys.rotate(&x, 3), Err(Error::MissingKey { .. })));
    assert!(matches!(one.keys.rotate(&x, -1), Err(Error::MissingKey { level: LEVELS, .. })));
    assert!(matches!(one.keys.add_rotations(&x, &[1, 3]), Err(Error::MissingKey { .. })));
    assert!(matches!(one.keys.add_rotations(&x, &[SLOTS as i64]), Err(Error::MissingKey { .. })));
    let other = SecretKey::generate(params).unwrap();
    assert!(matches!(other.decrypt(&x), Err(Error::OtherKey { .. })));
    let foreign = other.encrypt(&Plaintext::encode(params, &[], LEVELS, scale).unwrap()).unwrap();
    assert!(matches!(x.add(&foreign), Err(Error::OtherKey { .. })));
    assert!(matches!(one.keys.rotate(&foreign, 1), Err(Error::OtherKey { .. })));

    // Parameters.
    let y = three.encrypt(&[]);
    assert!(matches!(x.add(&y), Err(Error::OtherParams { .. })));
    assert!(matches!(one.keys.multiply(&x, &y), Err(Error::OtherParams { .. })));
    assert!(matches!(one.secret.decrypt(&y), Err(Error::OtherParams { .. })));
    assert!(matches!(one.secret.evaluation_keys(&three.plan), Err(Error::OtherParams { .. })));

    // Plaintexts.
    let encode = |slots: &[Complex], level, scale| Plaintext::encode(params, slots, level, scale);
    assert!(matches!(encode(&[Complex::default(); SLOTS + 1], 0, scale), Err(Error::Count { .. })));
    assert!(matches!(encode(&[], LEVELS + 1, scale), Err(Error::Level { .. })));
    for scale in [f64::NAN, 0.0, -scale, 1.0, f64::INFINITY, 1e300] {
        assert!(matches!(encode(&[], 0, scale), Err(Error::Scale { .. })), "{scale}");
    }
    for value in [f64::NAN, f64::INFINITY, 1e9] {
        let slots = [Complex::default(), Complex::new(0.0, value)];
        assert!(matches!(encode(&slots, 1, scale), Err(Error::Value { index: 1 })), "{value}");
    }
    assert!(matches!(x.add_plain(&encode(&[], 1, scale).unwrap()), Err(Error::Level { .. })));
    assert!(matches!(x.add_plain(&encode(&[], LEVELS, 2.0 * scale).unwrap()), Err(Error::Scale { .. })));
}

const BATCH: [u8; 32] = [5; 32];

fn fault(error: Error) -> Fault {
    match error {
        Error::Bytes { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

#[test]
fn what_was_written_is_read() {
    let setting = &SETTINGS[1];
    let slots: Vec<_> = (0..SLOTS).map(|j| Complex::from(j as f64 / 256.0)).collect();
    let x = setting.encrypt(&slots);
    let sent = x.to_bytes(&setting.secret.tags(), &BATCH, 3).unwrap();
    assert_eq!(sent.len(), Ciphertext::bytes_len(&setting.params, LEVELS, true));

    let mut collector = KeyCollector::new(&setting.plan);
    assert!(matches!(KeyCollector::new(&setting.plan).finish(), Err(Error::Incomplete { got: 0, .. })));
    for piece in setting.keys.pieces() {
        assert!(piece.len() <= collector.piece_bytes());
        collector.accept(&piece).unwrap();
    }
    let keys = collector.finish().unwrap();
    let got = Ciphertext::from_bytes(&sent, &keys.tags(), &BATCH, 3).unwrap();
    let turned = keys.rotate(&got, 4).unwrap();
    assert_eq!(turned.parts, setting.keys.rotate(&x, 4).unwrap().parts, "keys that were read compute the same");
    let answer = turned.to_bytes(&keys.tags(), &BATCH, 9).unwrap();
    assert_eq!(answer.len(), Ciphertext::bytes_len(&setting.params, LEVELS, false));
    let answer = Ciphertext::from_bytes(&answer, &setting.secret.tags(), &BATCH, 9).unwrap();
    assert!(setting.error(&answer, |j| slots[(j + 4) % SLOTS]) < 1e-6);
}

#[test]
fn hostile_ciphertexts_are_refused() {
    let setting = &SETTINGS[0];
    let tags = setting.secret.tags();
    let fresh = setting.encrypt(&[Complex::from(1.0)]);
    let worn = fresh.add(&fresh).unwrap();
    for bytes in [&fresh, &worn].map(|x| x.to_bytes(&tags, &BATCH, 3).unwrap()) {
        let read = |bytes: &[u8]| Ciphertext::from_bytes(bytes, &tags, &BATCH, 3);
        read(&bytes).unwrap();
        for end in (0..170).chain([bytes.len() / 2, bytes.len() - 1]) {
            assert!(matches!(fault(read(&bytes[..end]).unwrap_err()), Fault::Truncated { .. }), "{end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(fault(read(&longer).unwrap_err()), Fault::Trailing { extra: 1 });
        for bit in (0..170 * 8).chain((170 * 8..bytes.len() * 8).step_by(977)) {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bytes).is_err(), "bit {bit}");
        }
        assert!(matches!(Ciphertext::from_bytes(&bytes, &tags, &BATCH, 4), Err(Error::OtherPlace)));
        assert!(matches!(Ciphertext::from_bytes(&bytes, &tags, &[6; 32], 3), Err(Error::OtherPlace)));
        let three = SETTINGS[1].secret.tags();
        assert!(matches!(Ciphertext::from_bytes(&bytes, &three, &BATCH, 3), Err(Error::OtherParams { .. })));
        let other = SecretKey::generate(&setting.params).unwrap().tags();
        assert_eq!(fault(Ciphertext::from_bytes(&bytes, &other, &BATCH, 3).unwrap_err()), Fault::Tag);
    }
}

/// Whoever has the key of tags can write any body.
#[test]
fn hostile_bodies_with_a_right_tag_are_refused() {
    use crate::envelope::{self, Kind};
    let setting = &SETTINGS[0];
    let tags = setting.secret.tags();
    let fresh = setting.encrypt(&[Complex::from(1.0)]);
    let bytes = fresh.to_bytes(&tags, &BATCH, 3).unwrap();
    let body = &bytes[envelope::HEAD..bytes.len() - envelope::TAG];
    let read = |body: &[u8]| {
        let bytes = envelope::wrap_for(Kind::CkksCiphertext, setting.params.hash(), tags.id(), body, &tags.seal());
        Ciphertext::from_bytes(&bytes, &tags, &BATCH, 3)
    };
    read(body).unwrap();
    let with = |at: usize, new: &[u8]| {
        let mut body = body.to_vec();
        body[at..at + new.len()].copy_from_slice(new);
        read(&body).unwrap_err()
    };
    for scale in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300, f64::MIN_POSITIVE] {
        let error = with(40, &scale.to_bits().to_le_bytes());
        assert!(matches!(error, Error::Scale { .. } | Error::Bytes { fault: Fault::Field { .. }, .. }), "{scale}");
    }
    for level in [LEVELS as u32 + 1, u32::MAX] {
        assert!(matches!(fault(with(48, &level.to_le_bytes())), Fault::Field { field: "level", .. }));
    }
    assert!(matches!(fault(with(52, &[2])), Fault::Field { field: "fresh", .. }));
    assert!(matches!(fault(with(52, &[0])), Fault::Truncated { .. }), "a seed in place of a polynomial");
    assert!(matches!(fault(with(48, &3_u32.to_le_bytes())), Fault::Trailing { .. } | Fault::Residue { .. }));
    assert!(matches!(fault(with(56, &[255; 64])), Fault::Residue { .. }));
    for end in 0..60 {
        assert!(matches!(fault(read(&body[..end]).unwrap_err()), Fault::Truncated { .. }));
    }
}

#[test]
fn hostile_keys_are_refused() {
    let setting = &SETTINGS[0];
    let pieces: Vec<_> = setting.keys.pieces().collect();
    let fresh = || KeyCollector::new(&setting.plan);
    let first = &pieces[0];
    for end in (0..200).chain([first.len() - 1]) {
        assert!(matches!(fault(fresh().accept(&first[..end]).unwrap_err()), Fault::Truncated { .. }));
    }
    for bit in (0..200 * 8).step_by(3).chain((200 * 8..first.len() * 8).step_by(9973)) {
        let mut bytes = first.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut collector = fresh();
        assert!(collector.accept(&bytes).is_err() && collector.progress().0 == 0, "bit {bit}");
    }
    assert!(matches!(fresh().accept(&pieces[1]), Err(Error::OtherPlace)), "out of order");
    assert!(matches!(KeyCollector::new(&SETTINGS[1].plan).accept(first), Err(Error::OtherParams { .. })));
    let mut collector = fresh();
    collector.accept(first).unwrap();
    assert!(matches!(collector.accept(first), Err(Error::OtherPlace)), "twice the same");
    let again = setting.secret.evaluation_keys(&setting.plan).unwrap();
    let foreign = again.pieces().nth(1).unwrap();
    assert!(matches!(collector.accept(&foreign), Err(Error::OtherPlace)), "of another draw");
    let other = SecretKey::generate(&setting.params).unwrap().evaluation_keys(&setting.plan).unwrap();
    assert!(matches!(collector.accept(&other.pieces().nth(1).unwrap()), Err(Error::OtherKey { .. })));
    let lower = KeyPlan::new(&setting.params).relinearise(1);
    let error = KeyCollector::new(&lower).accept(first).unwrap_err();
    assert!(matches!(fault(error), Fault::Field { field: "level", .. }));
    for piece in &pieces[1..] {
        collector.accept(piece).unwrap();
    }
    assert!(matches!(collector.accept(first), Err(Error::OtherPlace)), "one too many");
    let plan = setting.plan.clone();
    assert_eq!(collector.finish().unwrap().tags().id(), setting.keys.id());
    assert!(plan.memory_bytes() > 0);
}

#[test]
fn nothing_prints_a_secret() {
    let setting = &SETTINGS[0];
    let text = format!("{:?} {:?} {:?}", setting.keys, setting.keys.tags(), setting.encrypt(&[]));
    assert!(!text.contains("parts") && !text.contains("tag:") && !text.contains("seed"), "{text}");
}

/// Mean and variance of centred residues, which have to be small.
fn moments(q: &Modulus, residues: &[u64]) -> (f64, f64) {
    let small = residues.iter().map(|&x| if x > **q / 2 { -((**q - x) as f64) } else { x as f64 });
    let (sum, squares) = small.fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
    (sum / residues.len() as f64, squares / residues.len() as f64)
}

/// Without its error a ciphertext or a key would be a linear equation for s.
#[test]
fn ciphertexts_and_keys_have_their_error() {
    let setting = &SETTINGS[1];
    let params = &setting.params;
    let phase = |index: usize, b: &[u64], a: &[u64], less: &dyn Fn(usize) -> u64| {
        let q = &params.moduli()[index];
        let place = |i: usize| q.sub(q.add(b[i], q.mul(a[i], setting.secret.row(index)[i])), less(i));
        let mut out: Vec<_> = (0..DEGREE).map(place).collect();
        params.ntts()[index].backward(&mut out);
        moments(q, &out)
    };
    let (mut mean, mut variance) = (0.0, 0.0);
    for _ in 0..16 {
        let [b, a] = &setting.encrypt(&[]).parts;
        let (m, v) = phase(0, b, a, &|_| 0);
        assert_eq!((m, v), phase(4, &b[4 * DEGREE..], &a[4 * DEGREE..], &|_| 0), "the same error for every prime");
        (mean, variance) = (mean + m / 16.0, variance + v / 16.0);
    }
    assert!(mean.abs() < 0.2 && (variance - 10.5).abs() < 1.0, "{mean} {variance}");

    // b + a·s = e + P·g·s', for each digit: g is 1 modulo the primes of its digit.
    for (element, key) in setting.keys.parts() {
        let from = match *element {
            0 => None,
            element => Some(ring::places(params, element)),
        };
        for (digit, [b, a]) in params.digits(key.level).zip(&key.digits) {
            let mut seen = Vec::new();
            for (row, prime) in params.key_primes(key.level).enumerate() {
                let (q, s) = (&params.moduli()[prime], setting.secret.row(prime));
                let gadget = if digit.contains(&prime) { params.special(prime) } else { 0 };
                let from = |i: usize| from.as_ref().map_or_else(|| q.mul(s[i], s[i]), |places| s[places[i]]);
                let place = row * DEGREE..(row + 1) * DEGREE;
                seen.push(phase(prime, &b[place.clone()], &a[place], &|i| q.mul(gadget, from(i))));
            }
            assert!(seen.iter().all(|both| *both == seen[0]), "the same error for every prime");
            let (mean, variance) = seen[0];
            assert!(mean.abs() < 1.0 && (variance - 10.5).abs() < 4.0, "{element}: {mean} {variance}");
        }
    }
}

/// The attack of Li and Micciancio 2021: whoever has (b, a) and is told what it decrypts to, to the last bit, solves
/// m = b + a·s for s. One ciphertext is enough, at a real size too. Rounded to six decimals, this way fails; others
/// may not.
#[test]
fn one_decrypted_ciphertext_gives_the_key() {
    let params = Params::named(ParamSet::Ckks16384x8).unwrap();
    let secret = SecretKey::generate(&params).unwrap();
    let slots: Vec<_> = (0..params.slots()).map(|j| Complex::new((j as f64).sin(), 0.25)).collect();
    let x = secret.encrypt(&Plaintext::encode(&params, &slots, 1, params.scale()).unwrap()).unwrap();
    let told = secret.decrypt(&x).unwrap();

    let (n, q) = (params.degree(), &params.moduli()[0]);
    let solve = |told: &[Complex]| {
        let whole =
            params.embedding().coefficients(told).iter().map(|c| (c * x.scale()).round() as i64).collect::<Vec<_>>();
        let mut m = q.reduce_vec_i64(&whole);
        params.ntts()[0].forward(&mut m);
        let [b, a] = x.parts.each_ref().map(|part| &part[..n]);
        let inverse = |a: u64| q.pow(a, **q - 2);
        let mut s: Vec<_> = (0..n).map(|i| q.mul(q.sub(m[i], b[i]), inverse(a[i]))).collect();
        params.ntts()[0].backward(&mut s);
        s
    };
    let mut expected = secret.row(0).to_vec();
    params.ntts()[0].backward(&mut expected);
    assert!(solve(&told) == expected, "the whole key");
    let rounded = |x: f64| (x * 1e6).round() / 1e6;
    let told: Vec<_> = told.iter().map(|slot| Complex::new(rounded(slot.re), rounded(slot.im))).collect();
    assert!(solve(&told) != expected);
}

#[test]
fn encryptions_of_the_same_differ() {
    let setting = &SETTINGS[0];
    let [x, y] = [0, 1].map(|_| setting.encrypt(&[Complex::from(1.0)]).parts);
    assert!(x[0] != y[0] && x[1] != y[1]);
    let again = setting.secret.evaluation_keys(&setting.plan).unwrap();
    for ((_, one), (_, other)) in setting.keys.parts().iter().zip(again.parts()) {
        assert!(one.digits[0][0] != other.digits[0][0] && one.digits[0][1] != other.digits[0][1]);
    }
}

#[test]
fn fresh_residues_are_even() {
    let setting = &SETTINGS[0];
    let q = &setting.params.moduli()[1];
    let mut bins = [0_u32; 64];
    for _ in 0..16 {
        let x = setting.encrypt(&[Complex::from(1.0); SLOTS]);
        for &residue in x.parts[0][DEGREE..2 * DEGREE].iter() {
            bins[(u128::from(residue) * 64 / u128::from(**q)) as usize] += 1;
        }
    }
    let expected = 16.0 * DEGREE as f64 / 64.0;
    let chi: f64 = bins.iter().map(|&got| (f64::from(got) - expected).powi(2) / expected).sum();
    assert!(chi < 130.0, "{chi} with 63 degrees of freedom");
}

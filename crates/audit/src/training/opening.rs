//! Clients that tell the provider what they decrypted, and what it gets from that.

use super::field::{Field, Party};
use super::key::{Solver, is_key};
use super::lattice::Completion;
use super::record::{Opening, Told};
use crate::Error;
use crate::observer::{Observer, step};
use cleave_encrypted::ckks::{Ciphertext, Complex, Plaintext, SecretKey};
use cleave_encrypted::training::{EncryptedData, Model};
use cleave_secrets::{Domain, Secret};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::num::NonZeroU32;
use std::time::Instant;

/// Roundings below the one that a single ciphertext needs, at which known numbers are added.
const COARSER: usize = 4;

/// Tries everything with one key.
pub(super) fn all(field: &Field, observer: &mut dyn Observer) -> Result<Vec<Opening>, Error> {
    let party = Party::new(field)?;
    let prime = field.params.primes().next().unwrap_or_default();
    let attack = Attack {
        field,
        key: party.key(),
        truth: coefficients(&party.secret, field.params.degree())?,
        solver: Solver::new(prime, field.params.degree(), field.places)?,
        completion: Completion::new(field.places.inner, field.places.untold(field.shape().classes)),
    };
    let data = party.encrypt(&field.target.data)?;
    let mut found = attack.of_one(observer)?;
    let rounds = attack.rounds(&party, &data, observer)?;
    if let Some(answer) = rounds.first().and_then(|(answer, _)| answer.first()) {
        found.push(attack.slots(Told::AnswerSlots, None, answer)?);
        let failed: Vec<u32> = found.iter().filter(|one| !one.recovered).filter_map(|one| one.bits).collect();
        for bits in failed.into_iter().take(COARSER) {
            found.push(attack.offsets(answer, bits, observer)?);
        }
    }
    found.extend(attack.means(&rounds, observer)?);
    found.push(attack.nothing(&party, &data)?);
    step(observer)?;
    let keys = found.iter().filter(|one| one.recovered).count();
    observer.found(&format!("the key in {keys} of {} cases", found.len()));
    Ok(found)
}

/// The coefficients of the key, as `SecretKey::new` says that they are drawn: what attackers are measured against.
fn coefficients(secret: &Secret, degree: usize) -> Result<Vec<i64>, Error> {
    let three = NonZeroU32::new(3).ok_or(cleave_encrypted::Error::Refused { by: "arithmetic" })?;
    let mut stream = secret.stream(Domain::new("encrypted/ckks secret key", &[degree as u64]));
    Ok((0..degree).map(|_| i64::from(stream.below(three)) - 1).collect())
}

struct Attack<'a> {
    field: &'a Field<'a>,
    /// For measuring, and for the client that tells.
    key: SecretKey,
    truth: Vec<i64>,
    solver: Solver,
    completion: Completion,
}

/// The ciphertexts of V that a round answered, and what the client decrypted.
type Answered = (Vec<Ciphertext>, Model);

impl Attack<'_> {
    /// A ciphertext that the client encrypted, told to the last bit and rounded.
    fn of_one(&self, observer: &mut dyn Observer) -> Result<Vec<Opening>, Error> {
        let params = &self.field.params;
        let mut rng = ChaCha8Rng::seed_from_u64(self.field.settings.seed);
        let mut draw = || rng.random_range(-1.0..1.0);
        let slots: Vec<Complex> = (0..params.slots()).map(|_| Complex::new(draw(), draw())).collect();
        let fresh = self.key.encrypt(&Plaintext::encode(params, &slots, 0, params.scale())?)?;
        let mut found = Vec::new();
        for bits in std::iter::once(None).chain(self.field.settings.bits.iter().copied().map(Some)) {
            step(observer)?;
            found.push(self.slots(Told::FreshSlots, bits, &fresh)?);
        }
        Ok(found)
    }

    /// All slots of one ciphertext.
    fn slots(&self, told: Told, bits: Option<u32>, ciphertext: &Ciphertext) -> Result<Opening, Error> {
        let slots: Vec<_> = self.key.decrypt(ciphertext)?.iter().map(|slot| rounded(*slot, bits)).collect();
        self.solve_one(told, bits, 1, ciphertext, &slots)
    }

    fn solve_one(
        &self,
        told: Told,
        bits: Option<u32>,
        times: usize,
        ciphertext: &Ciphertext,
        slots: &[Complex],
    ) -> Result<Opening, Error> {
        let began = Instant::now();
        let values = self.field.params.coefficients(slots)?;
        let values: Vec<f64> = values.iter().map(|c| c * ciphertext.scale()).collect();
        let whole: Vec<i64> = values.iter().map(|c| c.round() as i64).collect();
        let key = self.solver.by_one(ciphertext, &whole);
        let seconds = began.elapsed().as_secs_f64();
        let true_values = self.solver.phase(ciphertext, &self.truth);
        let n = self.truth.len();
        let left = deviation(values.iter().zip(&true_values).map(|(told, is)| told - *is as f64));
        let opening = Opening { known: n, of: n, equations: n, left, seconds, ..self.opening(told, bits, times) };
        Ok(self.judged(opening, Some(key)))
    }

    /// One answer again and again, each time with another known number added to its slots, rounded each time: their mean
    /// has more digits than any of them.
    fn offsets(&self, ciphertext: &Ciphertext, bits: u32, observer: &mut dyn Observer) -> Result<Opening, Error> {
        let (times, scale) = (self.field.settings.offsets, ciphertext.scale());
        let mut sum = vec![Complex::default(); self.field.params.slots()];
        for time in 0..times {
            step(observer)?;
            // A whole number, so that the sum of coefficients is known exactly.
            let offset = (scale * (time as f64 / times as f64 - 0.5) * (-f64::from(bits)).exp2()).round() / scale;
            let slots = vec![Complex::new(offset, offset); self.field.params.slots()];
            let moved = ciphertext.add_plain(&Plaintext::encode(&self.field.params, &slots, 0, scale)?)?;
            for (sum, slot) in sum.iter_mut().zip(self.key.decrypt(&moved)?.iter()) {
                *sum = *sum + rounded(*slot, Some(bits)) - Complex::new(offset, offset);
            }
        }
        let mean = |sum: &Complex| Complex::new(sum.re / times as f64, sum.im / times as f64);
        let slots: Vec<_> = sum.iter().map(mean).collect();
        self.solve_one(Told::Offsets, Some(bits), times, ciphertext, &slots)
    }

    /// Rounds of training as the protocol has them, up to those whose ciphertexts are enough for the means.
    fn rounds(&self, party: &Party, data: &EncryptedData, observer: &mut dyn Observer) -> Result<Vec<Answered>, Error> {
        let places = &self.field.places;
        let needed = places.block.div_ceil(places.full.max(1));
        let most = self.field.settings.rounds;
        let start = party.start(&self.field.target.data);
        let mut rounds: Vec<Answered> = Vec::new();
        // Too few anyway: one is enough to say so.
        for _ in 0..if needed > most { 1 } else { needed } {
            step(observer)?;
            let model = rounds.last().map_or(&start, |(_, model)| model);
            let answer = party.round(data, model, self.field.cubic)?.answer;
            rounds.push((answer.ahead().to_vec(), party.client.decrypt_model(&answer)?));
        }
        Ok(rounds)
    }

    /// The weights of all rounds in the clear: to the last bit, of fewer rounds, as numbers of 32 bits, rounded.
    fn means(&self, rounds: &[Answered], observer: &mut dyn Observer) -> Result<Vec<Opening>, Error> {
        let exact = |x: Complex| x;
        let mut found = vec![self.of_means((Told::Means, None), rounds, exact)];
        if rounds.len() > 1 {
            found.push(self.of_means((Told::FewMeans, None), &rounds[..rounds.len() - 1], exact));
        }
        let single = |x: Complex| Complex::new(f64::from(x.re as f32), f64::from(x.im as f32));
        found.push(self.of_means((Told::SingleMeans, None), rounds, single));
        for &bits in &self.field.settings.bits {
            step(observer)?;
            found.push(self.of_means((Told::Means, Some(bits)), rounds, |x| rounded(x, Some(bits))));
        }
        Ok(found)
    }

    fn of_means(
        &self,
        (told, bits): (Told, Option<u32>),
        rounds: &[Answered],
        change: impl Fn(Complex) -> Complex + Sync,
    ) -> Opening {
        let places = &self.field.places;
        let untold = places.untold(self.field.shape().classes);
        let groups: Vec<(usize, &Ciphertext, &Model)> = rounds
            .iter()
            .flat_map(|(answer, model)| {
                answer.iter().take(places.full).enumerate().map(move |(group, x)| (group, x, model))
            })
            .collect();
        let began = Instant::now();
        let each = |&(group, ciphertext, model): &(usize, &Ciphertext, &Model)| {
            let exact = self.weights(model, group);
            let slots: Vec<Complex> = exact.iter().map(|slot| change(*slot)).collect();
            let wrong: Vec<Complex> = slots.iter().zip(&exact).map(|(a, b)| *a - *b).collect();
            let scale = ciphertext.scale();
            let left = deviation(self.completion.inverse.coefficients(&wrong).into_iter().map(|c| c * scale));
            (left, self.completion.whole(&slots, scale))
        };
        let found: Vec<_> = groups.par_iter().map(each).collect();
        let left = deviation(found.iter().map(|(left, _)| *left));
        let pairs = groups.iter().zip(found);
        let polynomials: Vec<_> = pairs.filter_map(|((_, x, _), (_, told))| Some((*x, told?))).collect();
        let key = self.solver.by_many(&polynomials);
        let opening = Opening {
            known: 2 * (places.inner - untold),
            of: self.solver.width(),
            equations: polynomials.len() * self.solver.width(),
            left,
            rounds: rounds.len(),
            seconds: began.elapsed().as_secs_f64(),
            ..self.opening(told, bits, groups.len())
        };
        self.judged(opening, key)
    }

    /// Slots of V in a group, as they stand at each sample.
    fn weights(&self, model: &Model, group: usize) -> Vec<Complex> {
        let (shape, pairs) = (self.field.shape(), self.field.places.pairs);
        let of = |q: usize, class: usize| {
            let at = class * shape.features + 2 * (group * pairs + q);
            Complex::new(model.ahead()[at], model.ahead()[at + 1])
        };
        (0..pairs).flat_map(|q| (0..shape.classes).map(move |class| of(q, class))).collect()
    }

    /// What the protocol tells: a fresh encryption of the same weights. The provider brings its own ciphertext to the same
    /// scale, and takes the difference for an encryption of 0.
    fn nothing(&self, party: &Party, data: &EncryptedData) -> Result<Opening, Error> {
        let asked = party.client.encrypt_model(&party.start(&self.field.target.data))?;
        let answer = party.trainer.train(data, asked, self.field.cubic, 1, |_, _| true)?;
        let again = party.client.encrypt_model(&party.client.decrypt_model(&answer)?)?;
        let missing = || cleave_encrypted::Error::Incomplete { got: 0, expected: 1 };
        let (own, fresh) = (answer.ahead().first().ok_or_else(missing)?, again.ahead().first().ok_or_else(missing)?);
        let own = own.adjust(1.0, own.level().saturating_sub(1), fresh.scale())?.drop_to(0)?;
        let difference = fresh.drop_to(0)?.sub(&own)?;
        let opening = self.solve_one(Told::Nothing, None, 1, &difference, &[])?;
        Ok(Opening { known: 0, rounds: 1, ..opening })
    }

    fn opening(&self, told: Told, bits: Option<u32>, ciphertexts: usize) -> Opening {
        Opening {
            told,
            bits,
            ciphertexts,
            known: 0,
            of: 0,
            equations: 0,
            unknowns: self.truth.len(),
            left: 0.0,
            right: 0,
            recovered: false,
            rounds: 0,
            seconds: 0.0,
        }
    }

    fn judged(&self, opening: Opening, key: Option<Vec<i64>>) -> Opening {
        let key = key.unwrap_or_default();
        let right = key.iter().zip(&self.truth).filter(|(a, b)| a == b).count();
        Opening { right, recovered: is_key(&key), ..opening }
    }
}

/// To so many bits behind the binary point.
fn rounded(slot: Complex, bits: Option<u32>) -> Complex {
    let Some(bits) = bits else { return slot };
    let factor = f64::from(bits).exp2();
    let one = |x: f64| (x * factor).round() / factor;
    Complex::new(one(slot.re), one(slot.im))
}

/// Root mean square.
fn deviation(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0_usize, 0.0), |(count, sum), x| (count + 1, x.mul_add(x, sum)));
    (sum / count.max(1) as f64).sqrt()
}

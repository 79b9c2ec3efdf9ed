//! What a provider finds that looks at ciphertexts.

use super::field::{Field, LARGE, Party};
use crate::Error;
use crate::ciphertexts::{Cipher, Encryption, Rings, Sample, Seen, Sides, Sight, View, Weakened, add, tests};
use crate::observer::{Observer, step};
use cleave_encrypted::ckks::{Ciphertext, Complex};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Ciphertexts of two uploads, place by place: both of data that are 0, or of two data sets that are not.
trait Source {
    /// At most `most` pairs of the sort `varied`.
    fn look(&mut self, rings: &Rings, varied: bool, most: usize) -> Result<Seen, Error>;
}

struct Real<'a>(&'a Party<'a>, &'a Field<'a>);

impl Source for Real<'_> {
    fn look(&mut self, rings: &Rings, varied: bool, most: usize) -> Result<Seen, Error> {
        let Self(party, field) = self;
        let data = if varied { [&field.varied, &field.other] } else { [&field.plain; 2] };
        let [first, second] = [party.encrypt(data[0])?, party.encrypt(data[1])?];
        let pairs: Vec<_> = first.ciphertexts().zip(second.ciphertexts()).take(most).collect();
        rings.look(&pairs, |(one, two)| Ok([halves(one), halves(two)]))
    }
}

struct OnPurpose<'a> {
    weakened: Weakened<'a>,
    field: &'a Field<'a>,
    rng: ChaCha8Rng,
    batch: u64,
}

impl Source for OnPurpose<'_> {
    fn look(&mut self, rings: &Rings, varied: bool, most: usize) -> Result<Seen, Error> {
        let params = &self.field.params;
        let mut draw = || if varied { LARGE * (2.0 * self.rng.random::<f64>() - 1.0) } else { 0.0 };
        let mut whole = || {
            let slots: Vec<Complex> = (0..params.slots()).map(|_| Complex::new(draw(), draw())).collect();
            let coefficients = params.coefficients(&slots)?;
            Ok::<Vec<i64>, Error>(coefficients.iter().map(|c| (c * params.scale()).round() as i64).collect())
        };
        let whole = [whole()?, whole()?];
        self.batch += 2;
        let (batch, weakened) = (self.batch, &self.weakened);
        let places: Vec<u64> = (0..most.min(CHUNK) as u64).collect();
        rings.look(&places, |&item| {
            let of = |at: usize| weakened.encrypt(|_, q| q.reduce_vec_i64(&whole[at]), batch + at as u64, item);
            Ok([of(0), of(1)])
        })
    }
}

/// Weakened ciphertexts of the same slots.
const CHUNK: usize = 16;

fn halves(ciphertext: &Ciphertext) -> Cipher {
    ciphertext.halves().map(<[u64]>::to_vec)
}

/// The real encryption, with keys and an answer.
pub(super) fn real(field: &Field, observer: &mut dyn Observer) -> Result<Sight, Error> {
    let party = Party::new(field)?;
    let mut sight = look(field, Encryption::Real, &mut Real(&party, field), field.settings.ciphertexts, observer)?;
    of_keys(field, &party, &mut sight)?;
    let data = &field.target.data;
    let round = party.round(&party.encrypt(data)?, &party.start(data), field.cubic)?;
    let answer: Vec<Cipher> = round.answer.ahead().iter().chain(round.answer.other()).map(halves).collect();
    for view in [View::Residues, View::Second, View::Coefficients] {
        let mut sum = field.rings.empty();
        answer.iter().for_each(|cipher| add(&mut sum, &field.rings.counts(&field.rings.form(view, cipher, cipher))));
        let left = answer.first().map_or(0, |[b, _]| b.len() / field.rings.degree);
        sight.tests.extend(tests(Sample::Answers, view, &sum[..left]));
    }
    sight.ciphertexts += answer.len();
    Ok(sight)
}

/// Keys are under the primes of their level, and then under the special ones.
fn of_keys(field: &Field, party: &Party, sight: &mut Sight) -> Result<(), Error> {
    let keys = party.evaluation_keys()?;
    let special = field.special.primes.len() * field.special.degree;
    let views = [View::Residues, View::Coefficients];
    let mut counts = views.map(|_| [field.rings.empty(), field.special.empty()]);
    for [b, a] in keys.ciphertexts() {
        let (own, rest) = (b.len().saturating_sub(special), [b, a]);
        let parts = [rest.map(|half| half[..own].to_vec()), rest.map(|half| half[own..].to_vec())];
        for (sums, view) in counts.iter_mut().zip(views) {
            for ((sum, rings), part) in sums.iter_mut().zip([&field.rings, &field.special]).zip(&parts) {
                add(sum, &rings.counts(&rings.form(view, part, part)));
            }
        }
        sight.ciphertexts += 1;
    }
    for (sums, view) in counts.iter().zip(views) {
        sight.tests.extend(tests(Sample::Keys, view, &sums.concat()));
    }
    Ok(())
}

/// An encryption with a part left out, looked at in the same way, on fewer ciphertexts.
pub(super) fn weakened(field: &Field, kind: Encryption, observer: &mut dyn Observer) -> Result<Sight, Error> {
    let seed = field.settings.seed;
    let weakened = Weakened::new(&field.rings, kind, seed);
    let mut source = OnPurpose { weakened, field, rng: ChaCha8Rng::seed_from_u64(!seed), batch: 0 };
    look(field, kind, &mut source, field.settings.controls.min(field.settings.ciphertexts), observer)
}

fn look(
    field: &Field,
    encryption: Encryption,
    source: &mut impl Source,
    count: usize,
    observer: &mut dyn Observer,
) -> Result<Sight, Error> {
    let mut sides = Sides::new(&field.rings);
    for (side, half) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let mut left = count;
        while left > 0 {
            let seen = source.look(&field.rings, side == 1, left)?;
            let looked = seen.rows.len().clamp(1, left);
            for _ in 0..looked {
                step(observer)?;
            }
            left -= looked;
            sides.add(side, half, seen);
        }
    }
    let names = ["0 and one class", "large and all classes"].map(str::to_owned);
    let distinguishers = vec![sides.distinguisher(names)];
    Ok(Sight { encryption, ciphertexts: sides.ciphertexts(), tests: sides.tests(), distinguishers })
}

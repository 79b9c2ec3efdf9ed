//! What a provider can compute from residues with the parameters alone.

use super::record::View;
use super::statistics::BINS;
use crate::Error;
use fhe_math::{ntt::NttOperator, zq::Modulus};
use rayon::prelude::*;

/// Both halves of a ciphertext: a row of residues for each prime, transformed.
pub(crate) type Cipher = [Vec<u64>; 2];
/// Counts by prime.
pub(crate) type Counts = Vec<[u64; BINS]>;

/// What the transforms of a set of parameters take.
pub(crate) struct Rings {
    pub(crate) degree: usize,
    pub(crate) primes: Vec<(Modulus, NttOperator)>,
}

/// The forms in which ciphertexts of images are looked at.
pub(crate) const VIEWS: [View; 4] = [View::Residues, View::Coefficients, View::Difference, View::Quotient];
/// Values that a form of a ciphertext is summed up in.
const SUMMARY: usize = 16;

/// Counts of several ciphertexts, and a row of values for each.
pub(crate) struct Seen {
    /// By form.
    pub(crate) counts: Vec<Counts>,
    pub(crate) rows: Vec<Vec<f64>>,
}

pub(crate) fn operator(prime: u64, degree: usize) -> Result<(Modulus, NttOperator), Error> {
    let refused = || cleave_encrypted::Error::Refused { by: "fhe-math" };
    let modulus = Modulus::new(prime).map_err(|_| refused())?;
    let transform = NttOperator::new(&modulus, degree).ok_or_else(refused)?;
    Ok((modulus, transform))
}

impl Rings {
    pub(crate) fn new(degree: usize, primes: impl Iterator<Item = u64>) -> Result<Self, Error> {
        let primes = primes.map(|prime| operator(prime, degree)).collect::<Result<_, _>>()?;
        Ok(Self { degree, primes })
    }

    /// Looks at ciphertexts, each with another one of the same place.
    pub(crate) fn look<T: Sync>(
        &self,
        places: &[T],
        pair: impl Fn(&T) -> Result<[Cipher; 2], Error> + Sync,
    ) -> Result<Seen, Error> {
        let one = |place: &T| {
            let [first, second] = pair(place)?;
            let forms = VIEWS.map(|view| self.form(view, &first, &second));
            let counts = forms.iter().map(|form| self.counts(form)).collect::<Vec<_>>();
            let row = forms.iter().zip(&counts).flat_map(|(form, counts)| self.summary(form, counts)).collect();
            Ok((counts, row))
        };
        let found = places.par_iter().map(one).collect::<Result<Vec<(Vec<Counts>, Vec<f64>)>, Error>>()?;
        let mut seen = Seen { counts: vec![self.empty(); VIEWS.len()], rows: Vec::new() };
        for (counts, row) in found {
            seen.counts.iter_mut().zip(&counts).for_each(|(sum, counts)| add(sum, counts));
            seen.rows.push(row);
        }
        Ok(seen)
    }

    pub(crate) fn empty(&self) -> Counts {
        vec![[0; BINS]; self.primes.len()]
    }

    /// The first of two ciphertexts in a form of the same size.
    pub(crate) fn form(&self, view: View, [b, a]: &Cipher, [other, _]: &Cipher) -> Vec<u64> {
        match view {
            View::Residues => b.clone(),
            View::Second => a.clone(),
            View::Coefficients => self.back(b.clone()),
            View::Difference => {
                let mut out = b.clone();
                self.rows(&mut out).zip(other.chunks_exact(self.degree)).for_each(|((q, _, x), y)| q.sub_vec(x, y));
                self.back(out)
            }
            View::Quotient => {
                let mut out = inverses(self, a);
                self.rows(&mut out).zip(b.chunks_exact(self.degree)).for_each(|((q, _, x), y)| q.mul_vec(x, y));
                self.back(out)
            }
        }
    }

    fn rows<'a>(&'a self, x: &'a mut [u64]) -> impl Iterator<Item = (&'a Modulus, &'a NttOperator, &'a mut [u64])> {
        self.primes.iter().zip(x.chunks_exact_mut(self.degree)).map(|((q, ntt), row)| (q, ntt, row))
    }

    fn back(&self, mut x: Vec<u64>) -> Vec<u64> {
        self.rows(&mut x).for_each(|(_, ntt, row)| ntt.backward(row));
        x
    }

    /// Counts in ranges of equal width, by prime; fewer primes where the ciphertext has fewer.
    pub(crate) fn counts(&self, x: &[u64]) -> Counts {
        let one = |((q, _), row): (&(Modulus, NttOperator), &[u64])| {
            let mut counts = [0; BINS];
            for &x in row {
                let bin = u128::from(x) * BINS as u128 / u128::from(**q);
                counts[(bin as usize).min(BINS - 1)] += 1;
            }
            counts
        };
        self.primes.iter().zip(x.chunks_exact(self.degree)).map(one).collect()
    }

    /// A few values that hold all primes together, around 0 and of size 1 where residues are spread evenly: eight
    /// ranges, the distance to 0 and its square, the lowest bit, four ranges of steps from one residue to the next, and
    /// how often residues modulo two primes are the same small number.
    fn summary(&self, x: &[u64], counts: &Counts) -> [f64; SUMMARY] {
        const WIDE: usize = 8;
        let n = x.len() as f64;
        let mut out = [0.0; SUMMARY];
        let share =
            |hits: f64, chance: f64, of: f64| ((hits - of * chance) / (of * chance * (1.0 - chance)).sqrt()).asinh();
        for (at, value) in out[..WIDE].iter_mut().enumerate() {
            let range = at * BINS / WIDE..(at + 1) * BINS / WIDE;
            let hits: u64 = counts.iter().flat_map(|counts| &counts[range.clone()]).sum();
            *value = share(hits as f64, 1.0 / WIDE as f64, n);
        }
        let (mut near, mut square, mut odd, mut steps) = (0.0, 0.0, 0_usize, [0_usize; 4]);
        for ((q, _), row) in self.primes.iter().zip(x.chunks_exact(self.degree)) {
            for (at, &x) in row.iter().enumerate() {
                let part = x.min(**q - x) as f64 / **q as f64; // even from 0 to 1/2
                near += part - 0.25;
                square += part * part - 1.0 / 12.0;
                odd += (x & 1) as usize;
                let next = row[(at + 1) % row.len()];
                steps[(u128::from(q.sub(next, x)) * 4 / u128::from(**q)) as usize & 3] += 1;
            }
        }
        out[WIDE] = (near / (n / 48.0).sqrt()).asinh();
        out[WIDE + 1] = (square / (n / 180.0).sqrt()).asinh();
        out[WIDE + 2] = share(odd as f64, 0.5, n);
        for (value, hits) in out[WIDE + 3..].iter_mut().zip(steps) {
            *value = share(hits as f64, 0.25, n);
        }
        out[SUMMARY - 1] = (self.same(x) as f64).ln_1p();
        out
    }

    /// Coefficients that are the same signed number modulo the first two primes.
    fn same(&self, x: &[u64]) -> usize {
        let mut rows = self.primes.iter().zip(x.chunks_exact(self.degree));
        let (Some(((p, _), first)), Some(((q, _), second))) = (rows.next(), rows.next()) else { return 0 };
        let signed = |x: u64, p: u64| if x > p / 2 { x as i64 - p as i64 } else { x as i64 };
        first.iter().zip(second).filter(|(x, y)| signed(**x, **p) == signed(**y, **q)).count()
    }
}

pub(crate) fn add(sum: &mut Counts, counts: &Counts) {
    for (sum, counts) in sum.iter_mut().zip(counts) {
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
}

/// 1/x for each residue with one inversion a row (Montgomery 1987); 0 stays 0.
fn inverses(rings: &Rings, x: &[u64]) -> Vec<u64> {
    let mut out = Vec::with_capacity(x.len());
    for ((q, _), row) in rings.primes.iter().zip(x.chunks_exact(rings.degree)) {
        let mut products = Vec::with_capacity(row.len());
        let mut product = 1;
        for &x in row {
            products.push(product);
            product = if x == 0 { product } else { q.mul(product, x) };
        }
        let mut inverse = q.inv(product).unwrap_or(0);
        for (before, &x) in products.iter_mut().zip(row).rev() {
            if x == 0 {
                *before = 0;
            } else {
                *before = q.mul(*before, inverse);
                inverse = q.mul(inverse, x);
            }
        }
        out.extend(products);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use cleave_encrypted::{ParamSet, Params, SecretKey};

    fn rings(params: &Params) -> Rings {
        Rings::new(params.degree(), params.moduli()).unwrap()
    }

    #[test]
    fn inverses_are_inverse_and_zero_stays() {
        let rings = rings(&Params::named(ParamSet::Bfv8192x45).unwrap());
        let x: Vec<u64> = (0..4 * 8192).map(|at| at * at * 7919 % 1_000_003 * u64::from(at % 10 != 0)).collect();
        let inverse = inverses(&rings, &x);
        for (((q, _), x), y) in rings.primes.iter().zip(x.chunks(8192)).zip(inverse.chunks(8192)) {
            assert!(x.iter().zip(y).all(|(&x, &y)| if x == 0 { y == 0 } else { q.mul(x, y) == 1 }));
        }
    }

    /// The transforms here are those that the ciphertexts were made with: evaluation keys hide s² times a gadget that is
    /// 0 modulo all primes but one, and an image of zeros hides nothing, so no form of them may be small.
    #[test]
    fn a_constant_is_a_constant_in_both_forms() {
        let params = Params::named(ParamSet::Bfv8192x45).unwrap();
        let rings = rings(&params);
        let images = SecretKey::generate(&params).unwrap().encrypt(&[0, 0], 1).unwrap();
        let cipher = images.ciphertext(0, 0).unwrap();
        let coefficients = rings.form(View::Coefficients, &cipher, &cipher);
        let mut again = coefficients.clone();
        rings.rows(&mut again).for_each(|(_, ntt, row)| ntt.forward(row));
        assert_eq!(again, cipher[0]);
        assert_ne!(coefficients, cipher[0]);
        assert!(rings.form(View::Difference, &cipher, &cipher).iter().all(|&x| x == 0));
    }
}

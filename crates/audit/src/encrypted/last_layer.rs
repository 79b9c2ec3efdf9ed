//! The last layer from answers, by somebody who has the layers before it.

use super::record::LastLayer;
use super::{Field, Wire, all_hidden, hidden, largest};
use crate::Error;
use crate::observer::{Observer, step};
use cleave_encrypted::{EncryptedEnsemble, EncryptedScores, IntegerNetwork};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

/// The prime that equations are solved modulo, 2⁶¹ − 1: weights are far smaller, and come back with their sign.
const PRIME: u64 = (1 << 61) - 1;
/// Images of random pixels are tried up to so many times the unknowns.
const MOST: usize = 4;

/// Asks for answers on ciphertexts, and solves for the last layer.
pub(super) fn solve(field: &Field, observer: &mut dyn Observer) -> Result<LastLayer, Error> {
    let (networks, release) = (field.networks(), &field.target.release);
    let asked = field.settings.asked.min(field.params.degree()).min(field.own.len());
    let decrypted = ask(field, asked)?;
    step(observer)?;
    let images: Vec<&[u8]> = (0..asked).map(|at| field.own.image(at)).collect();
    let known = all_hidden(networks, &images)?;
    let truth = super::scores(networks, &field.own)?;
    let exact = decrypted == truth[..asked];
    step(observer)?;

    let began = Instant::now();
    let (unknowns, classes) = (release.shape.hidden * networks.len() + 1, release.shape.classes);
    let mut system = System::new(unknowns, classes);
    let mut needed = None;
    for (at, (values, scores)) in known.iter().zip(&decrypted).enumerate() {
        system.add(values, scores);
        if system.rank() == unknowns {
            needed = Some(at + 1);
            break;
        }
    }
    let rows = system.solved();
    let seconds = began.elapsed().as_secs_f64();

    let truth = rows_of(networks);
    let right = |(found, row): (&Vec<i64>, &(Vec<i64>, i128))| found.iter().zip(&row.0).filter(|(a, b)| a == b).count();
    // A bias has more bits than the prime: what is left of one answer, in whole numbers.
    let bias = |(class, weights): (usize, &Vec<i64>)| decrypted[0][class].checked_sub(product(weights, &known[0])?);
    let biases: Vec<Option<i128>> = rows.iter().enumerate().map(bias).collect();
    let mut answers = Vec::new();
    for at in 0..field.test.len() {
        let values = hidden(networks, field.test.image(at))?;
        let score = |(weights, bias): (&Vec<i64>, &Option<i128>)| product(weights, &values)?.checked_add((*bias)?);
        answers.push(largest(&rows.iter().zip(&biases).map(score).collect::<Vec<_>>()));
    }
    step(observer)?;
    observer.found(&format!("{} of {} answers gave the last layer", needed.unwrap_or(asked), asked));
    Ok(LastLayer {
        unknowns,
        asked,
        exact,
        rank: system.rank(),
        images: needed,
        noise: of_noise(field, unknowns)?,
        weights: (unknowns - 1) * classes,
        right: rows.iter().zip(&truth).map(right).sum(),
        biases: biases.iter().zip(&truth).filter(|(found, row)| **found == Some(row.1)).count(),
        agreement: field.agreement(answers.into_iter()),
        seconds,
    })
}

/// The whole way of a batch: encrypted, evaluated by all networks, decrypted.
fn ask(field: &Field, images: usize) -> Result<Vec<Vec<i128>>, Error> {
    let wire = Wire::new(field)?;
    let ensemble = EncryptedEnsemble::new(&field.params, field.networks())?;
    let values = field.own.values(0..images);
    let sent = wire.send(&values, field.pixels())?;
    let bytes = ensemble.evaluate(&wire.keys, &sent.images)?.to_bytes(&wire.keys)?;
    let scores = wire.secret.decrypt(&EncryptedScores::from_bytes(&bytes, &wire.secret, &sent.images)?)?;
    Ok((0..images).map(|image| scores.image(image).to_vec()).collect())
}

/// The same number of answers for images of random pixels, from their values in the clear.
fn of_noise(field: &Field, unknowns: usize) -> Result<Option<usize>, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(field.settings.seed);
    let most = field.target.release.precision.max_pixel;
    let mut random = || (0..field.pixels()).map(|_| rng.random_range(0..=most)).collect::<Vec<u8>>();
    let images: Vec<Vec<u8>> = (0..MOST * unknowns).map(|_| random()).collect();
    let mut system = System::new(unknowns, 0);
    for (chunk, images) in images.chunks(unknowns).enumerate() {
        let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        for (at, values) in all_hidden(field.networks(), &images)?.iter().enumerate() {
            system.add(values, &[]);
            if system.rank() == unknowns {
                return Ok(Some(chunk * unknowns + at + 1));
            }
        }
    }
    Ok(None)
}

/// Weights of each class over all networks, and the sum of its biases.
fn rows_of(networks: &[IntegerNetwork]) -> Vec<(Vec<i64>, i128)> {
    let classes = networks.first().map_or(0, |network| network.shape.classes);
    let of = |class: usize| {
        let row = |network: &IntegerNetwork| {
            let hidden = network.shape.hidden;
            let all = &network.layers[2].weights;
            all[class * hidden..(class + 1) * hidden].iter().map(|&w| i64::from(w)).collect::<Vec<_>>()
        };
        let bias = networks.iter().map(|network| network.layers[2].biases[class]).sum();
        (networks.iter().flat_map(row).collect(), bias)
    };
    (0..classes).map(of).collect()
}

fn product(weights: &[i64], values: &[i128]) -> Option<i128> {
    weights.iter().zip(values).try_fold(0_i128, |sum, (&w, &x)| sum.checked_add(i128::from(w).checked_mul(x)?))
}

/// Linear equations modulo a prime, brought to echelon form one by one.
struct System {
    unknowns: usize,
    results: usize,
    /// Each with 1 at its pivot and 0 at the pivots before it: unknowns, then results.
    rows: Vec<(usize, Vec<u64>)>,
}

impl System {
    fn new(unknowns: usize, results: usize) -> Self {
        Self { unknowns, results, rows: Vec::new() }
    }

    fn rank(&self) -> usize {
        self.rows.len()
    }

    /// Adds the equation: values and a 1 for the bias, and a result a class.
    fn add(&mut self, values: &[i128], results: &[i128]) {
        let reduced = |x: &i128| x.rem_euclid(i128::from(PRIME)) as u64;
        let mut row: Vec<u64> = values.iter().map(reduced).chain([1]).chain(results.iter().map(reduced)).collect();
        for (pivot, known) in &self.rows {
            let factor = row[*pivot];
            if factor != 0 {
                row.iter_mut().zip(known).for_each(|(x, &y)| *x = subtract(*x, times(factor, y)));
            }
        }
        if let Some(pivot) = row[..self.unknowns].iter().position(|&x| x != 0) {
            let inverse = power(row[pivot], PRIME - 2);
            row.iter_mut().for_each(|x| *x = times(*x, inverse));
            self.rows.push((pivot, row));
        }
    }

    /// Weights for each result, as small signed numbers; unknowns that equations leave open are 0.
    fn solved(&self) -> Vec<Vec<i64>> {
        let mut solution = vec![vec![0; self.unknowns]; self.results];
        for (pivot, row) in self.rows.iter().rev() {
            for (at, solution) in solution.iter_mut().enumerate() {
                let mut rest = row[self.unknowns + at];
                for (&factor, &x) in row.iter().zip(solution.iter()).filter(|(factor, x)| **factor != 0 && **x != 0) {
                    rest = subtract(rest, times(factor, x));
                }
                solution[*pivot] = rest;
            }
        }
        let signed = |x: u64| if x > PRIME / 2 { -((PRIME - x) as i64) } else { x as i64 };
        let weights = self.unknowns - 1;
        solution.into_iter().map(|row| row[..weights].iter().map(|&x| signed(x)).collect()).collect()
    }
}

fn times(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    let folded = (product as u64 & PRIME) + (product >> 61) as u64; // 2⁶¹ is 1
    if folded >= PRIME { folded - PRIME } else { folded }
}

const fn subtract(a: u64, b: u64) -> u64 {
    if a >= b { a - b } else { a + PRIME - b }
}

fn power(mut base: u64, mut exponent: u64) -> u64 {
    let mut out = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            out = times(out, base);
        }
        base = times(base, base);
        exponent >>= 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved_to_the_last_digit() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let weights: Vec<Vec<i64>> = (0..3).map(|_| (0..12).map(|_| rng.random_range(-31..=31)).collect()).collect();
        let biases: Vec<i128> = (0..3).map(|_| i128::from(rng.random_range(-(1_i64 << 50)..1 << 50)) << 30).collect();
        let mut system = System::new(13, 3);
        let mut asked = 0;
        while system.rank() < 13 {
            let values: Vec<i128> = (0..12).map(|_| i128::from(rng.random_range(0..1_u64 << 60))).collect();
            let scores: Vec<i128> =
                weights.iter().zip(&biases).map(|(row, bias)| product(row, &values).unwrap() + bias).collect();
            system.add(&values, &scores);
            system.add(&values, &scores); // the same again says nothing new
            asked += 1;
        }
        assert_eq!((asked, system.solved()), (13, weights));
    }

    #[test]
    fn the_prime_field_is_one() {
        for x in [1, 2, 12_345, PRIME - 1, PRIME / 2] {
            assert_eq!(times(x, power(x, PRIME - 2)), 1);
            assert_eq!(u128::from(times(x, PRIME - 3)), u128::from(x) * u128::from(PRIME - 3) % u128::from(PRIME));
        }
        assert_eq!([subtract(1, 2), subtract(5, 2)], [PRIME - 1, 3]);
    }
}

//! Two sorts of ciphertexts against an even spread and against each other.

use super::record::{Distinguisher, ResidueTest, Sample, View};
use super::rings::{Counts, Rings, Seen, VIEWS, add};
use super::statistics::{BINS, alike, even};
use crate::Share;
use crate::linear::Logistic;

/// By side, and there those to learn from and those to be tried on.
type Rows = [[Vec<Vec<f64>>; 2]; 2];

/// What was seen of ciphertexts of what is 0 throughout, and of what is not.
pub(crate) struct Sides {
    counts: [Vec<Counts>; 2],
    rows: Rows,
}

impl Sides {
    pub(crate) fn new(rings: &Rings) -> Self {
        Self { counts: [(); 2].map(|()| vec![rings.empty(); VIEWS.len()]), rows: Rows::default() }
    }

    /// Adds to the side 0 or 1: to learn from in half 0, to be tried on in half 1.
    pub(crate) fn add(&mut self, side: usize, half: usize, seen: Seen) {
        self.counts[side].iter_mut().zip(&seen.counts).for_each(|(sum, counts)| add(sum, counts));
        self.rows[side][half].extend(seen.rows);
    }

    /// Ciphertexts that were looked at: those of the rows, and what each was compared with.
    pub(crate) fn ciphertexts(&self) -> usize {
        2 * self.rows.iter().flatten().map(Vec::len).sum::<usize>()
    }

    pub(crate) fn tests(&self) -> Vec<ResidueTest> {
        let mut found = Vec::new();
        for (at, view) in VIEWS.into_iter().enumerate() {
            let [plain, varied] = self.counts.each_ref().map(|counts| &counts[at]);
            found.extend(tests(Sample::Plain, view, plain));
            found.extend(tests(Sample::Varied, view, varied));
            found.extend(plain.iter().zip(varied).enumerate().map(|(prime, (plain, varied))| {
                let (chi_squared, p) = alike(plain, varied);
                let residues = plain.iter().chain(varied).sum();
                ResidueTest { sample: Sample::PlainAgainstVaried, view, prime, residues, bins: BINS, chi_squared, p }
            }));
        }
        found
    }

    pub(crate) fn distinguisher(&self, between: [String; 2]) -> Distinguisher {
        distinguisher(between, &self.rows)
    }
}

/// Tests of counts by prime against an even spread.
pub(crate) fn tests(sample: Sample, view: View, counts: &[[u64; BINS]]) -> Vec<ResidueTest> {
    let one = |(prime, counts): (usize, &[u64; BINS])| {
        let (chi_squared, p) = even(counts);
        ResidueTest { sample, view, prime, residues: counts.iter().sum(), bins: BINS, chi_squared, p }
    };
    counts.iter().enumerate().map(one).collect()
}

/// Learns on the first rows of each side and is tried on the second.
fn distinguisher(between: [String; 2], rows: &Rows) -> Distinguisher {
    let part = |at: usize| {
        let sides = rows.iter().zip([false, true]);
        sides.flat_map(move |(side, is)| side[at].iter().map(move |row| (row.as_slice(), is))).collect::<Vec<_>>()
    };
    let (known, others) = (part(0), part(1));
    let scale = Scale::of(&known);
    let known: Vec<_> = known.iter().map(|(row, is)| (scale.scaled(row), *is)).collect();
    let fitted = Logistic::fit(&known.iter().map(|(row, is)| (row.as_slice(), *is)).collect::<Vec<_>>());
    let right = others.iter().filter(|(row, is)| (fitted.score(&scale.scaled(row)) > 0.0) == *is).count();
    Distinguisher { between, accuracy: Share::of(right, others.len()), training: known.len() }
}

/// Means and deviations of what a classifier learned from.
struct Scale(Vec<(f64, f64)>);

impl Scale {
    fn of(rows: &[(&[f64], bool)]) -> Self {
        let width = rows.first().map_or(0, |(row, _)| row.len());
        let count = rows.len().max(1) as f64;
        let column = |at: usize| {
            let mean = rows.iter().map(|(row, _)| row[at]).sum::<f64>() / count;
            let variance = rows.iter().map(|(row, _)| (row[at] - mean).powi(2)).sum::<f64>() / count;
            (mean, variance.sqrt().max(1e-9))
        };
        Self((0..width).map(column).collect())
    }

    fn scaled(&self, row: &[f64]) -> Vec<f64> {
        row.iter()
            .zip(&self.0)
            .map(|(value, (mean, deviation))| ((value - mean) / deviation).clamp(-8.0, 8.0))
            .collect()
    }
}

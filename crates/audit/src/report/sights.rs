//! What tests and classifiers found in ciphertexts.

use super::figures::{NONE, count, fixed, share_cell, significant};
use super::html::{Column, details, escape, head, number, row, table, words};
use crate::{Encryption, ResidueTest, Sample, Sight, View};

const fn view_name(view: View) -> &'static str {
    match view {
        View::Residues => "first half, as it travels",
        View::Second => "second half, as it travels",
        View::Coefficients => "coefficients",
        View::Difference => "difference of two for one place",
        View::Quotient => "first half divided by the second",
    }
}

const fn encryption_name(encryption: Encryption) -> &'static str {
    match encryption {
        Encryption::Real => "as it is",
        Encryption::WithoutMask => "without the mask",
        Encryption::WithoutError => "without the error",
        Encryption::MaskReused => "with one mask for two batches or uploads",
    }
}

/// A probability; what a double cannot hold any more is only said to be small.
fn probability(p: f64) -> String {
    if p < 1e-300 { "below 10⁻³⁰⁰".to_owned() } else { significant(p, 2) }
}

/// The most ciphertexts that a classifier learned from.
pub(super) fn trained(sights: &[Sight]) -> usize {
    sights.iter().flat_map(|sight| &sight.distinguishers).map(|told| told.training).max().unwrap_or(0)
}

/// One row an encryption: what all tests and classifiers made of it, and what the classifiers are, in words.
pub(super) fn controls(sights: &[Sight], classifiers: &str) -> String {
    let most = sights.iter().map(|sight| sight.distinguishers.len()).max().unwrap_or(0);
    let between = |at: usize| {
        let names = sights.iter().find_map(|sight| sight.distinguishers.get(at)).map(|told| &told.between);
        let names = names.map_or_else(|| NONE.to_owned(), |[a, b]| format!("“{}” from “{}”", escape(a), escape(b)));
        format!("classifier tells {names}")
    };
    let names: Vec<String> = (0..most).map(between).collect();
    let mut columns = vec![
        Column::Text("encryption"),
        Column::Number("ciphertexts"),
        Column::Number("tests that found something"),
        Column::Number("smallest probability"),
    ];
    columns.extend(names.iter().map(|name| Column::Number(name)));
    columns.push(Column::Text("told"));
    let rows = sights.iter().map(|sight| {
        let control =
            if sight.encryption == Encryption::Real { "" } else { "<small>control, weakened on purpose</small>" };
        let told =
            |at: usize| sight.distinguishers.get(at).map_or_else(|| NONE.to_owned(), |told| share_cell(told.accuracy));
        let verdict = match (sight.encryption, sight.is_told()) {
            (Encryption::Real, false) if sight.distinguishers.iter().any(|told| told.accuracy.low > 0.5) => {
                "nothing beyond chance<small>one interval lies above 50 %, as one in 40 does by chance: run it again</small>"
            }
            (Encryption::Real, false) => "nothing found",
            (Encryption::Real, true) => "<b class=\"no\">something found</b>",
            (_, true) => "found, as it must be",
            (_, false) => "<b class=\"no\">missed: the tests are blind to it</b>",
        };
        let mut cells = vec![
            head(&format!("{}{control}", encryption_name(sight.encryption)), 1),
            number(&count(sight.ciphertexts)),
            number(&format!("{} of {}", sight.found(), sight.tests.len())),
            number(&sight.least().map_or_else(|| NONE.to_owned(), |test| probability(test.p))),
        ];
        cells.extend((0..most).map(|at| number(&told(at))));
        cells.push(words(verdict));
        row("", &cells)
    });
    let tests = sights.iter().find(|sight| sight.encryption == Encryption::Real).map_or(0, |sight| sight.tests.len());
    let note = format!(
        "<p class=\"note\">A test counts as a finding below 1 in 1,000 for all tests of a row together. Of {} even spreads the \
         smallest probability is about {} on average. {classifiers} Guessing is right in 50 %, and as often as they were in fewer \
         than 1 of 1,000 trials before that counts as a finding. Below each share stands its 95 % interval.</p>\n",
        tests,
        if tests == 0 { NONE.to_owned() } else { probability(1.0 / (tests + 1) as f64) },
    );
    table("Encryptions and what was found", &columns, &rows.collect::<Vec<_>>()) + &note
}

/// The tests of the real encryption, all primes of a form together.
pub(super) fn residues(sight: &Sight, primes: &[u64], sample_name: fn(Sample) -> &'static str) -> String {
    let mut kinds: Vec<(Sample, View)> = Vec::new();
    for test in &sight.tests {
        if !kinds.contains(&(test.sample, test.view)) {
            kinds.push((test.sample, test.view));
        }
    }
    kinds.sort_by_key(|(sample, _)| SAMPLES.iter().position(|known| known == sample));
    let columns = [
        Column::Text("of"),
        Column::Text("form"),
        Column::Number("primes"),
        Column::Number("residues a prime"),
        Column::Number("χ² with 63 degrees of freedom"),
        Column::Number("smallest probability"),
    ];
    let rows = kinds.iter().enumerate().map(|(at, &(sample, view))| {
        let tests: Vec<&ResidueTest> =
            sight.tests.iter().filter(|test| (test.sample, test.view) == (sample, view)).collect();
        let all = |of: fn(&ResidueTest) -> f64| tests.iter().map(move |test| of(test));
        let [low, high] = [
            all(|test| test.chi_squared).fold(f64::INFINITY, f64::min),
            all(|test| test.chi_squared).fold(0.0, f64::max),
        ];
        let first = at == 0 || kinds[at - 1].0 != sample;
        let alike = kinds.iter().filter(|(other, _)| *other == sample).count();
        let cells = [
            words(view_name(view)),
            number(&count(tests.len())),
            number(&count(tests.first().map_or(0, |test| test.residues) as usize)),
            number(&format!("{} to {}", fixed(low, 1), fixed(high, 1))),
            number(&probability(all(|test| test.p).fold(1.0, f64::min))),
        ];
        let name = first.then(|| head(sample_name(sample), alike));
        row(if first { "group" } else { "" }, &name.into_iter().chain(cells).collect::<Vec<_>>())
    });
    let rows = rows.collect::<Vec<_>>();
    let primes: Vec<_> = primes.iter().map(|&prime| count(prime as usize)).collect();
    let note = format!(
        "<p class=\"note\">Primes: {}. The first half divided by the second is the secret key itself, were there neither message nor \
         error.</p>\n",
        primes.join("; ")
    );
    details("Every test of the real encryption", &(table("Tests of residues", &columns, &rows) + &note))
}

/// The order of tables.
const SAMPLES: [Sample; 5] = [Sample::Plain, Sample::Varied, Sample::PlainAgainstVaried, Sample::Keys, Sample::Answers];

//! What a provider finds that looks at ciphertexts.

use super::record::{Distinguisher, Encryption, ResidueTest, Sample, Sight, View};
use super::rings::{Counts, Rings, Seen, VIEWS, add};
use super::statistics::{BINS, alike, even};
use super::weakened::Weakened;
use super::{Field, Wire};
use crate::linear::Logistic;
use crate::observer::{Observer, step};
use crate::{Error, Share};
use cleave_encrypted::EncryptedScores;

/// Pixels of a single image that its label is guessed from, each on its own.
const TELLING: usize = 8;
/// Times that pairs of batches are looked at: to learn from, and to be tried on.
const PAIRS: usize = 2;

/// Where ciphertexts come from.
enum Source<'a> {
    Real(&'a Wire<'a>),
    Weakened(Box<Weakened<'a>>, u64),
}

impl Source<'_> {
    /// Encrypts two batches of `items` values an image, and looks at each ciphertext of the first beside that of the second.
    fn look(&mut self, rings: &Rings, batches: [&[i64]; 2], items: usize) -> Result<Seen, Error> {
        match self {
            Self::Real(wire) => {
                let [first, second] = batches.map(|values| wire.send(values, items).map(|sent| sent.images));
                let (first, second) = (first?, second?);
                let lanes = wire.params.plaintexts().count();
                let places: Vec<_> = (0..lanes).flat_map(|lane| (0..items).map(move |item| (lane, item))).collect();
                rings.look(&places, |&(lane, item)| {
                    let missing = || cleave_encrypted::Error::Incomplete { got: item, expected: items };
                    let [one, two] = [&first, &second].map(|images| images.ciphertext(lane, item).ok_or_else(missing));
                    Ok([one?, two?])
                })
            }
            Self::Weakened(weakened, batch) => {
                *batch += 2;
                let number = *batch;
                let places: Vec<usize> = (0..items).collect();
                rings.look(&places, |&item| {
                    let column = |values: &[i64]| values.iter().skip(item).step_by(items).copied().collect::<Vec<_>>();
                    let of = |at: usize| weakened.encrypt(&column(batches[at]), number + at as u64, item as u64);
                    Ok([of(0), of(1)])
                })
            }
        }
    }
}

/// The real encryption.
pub(super) fn real(field: &Field, observer: &mut dyn Observer) -> Result<Sight, Error> {
    let wire = Wire::new(field)?;
    let mut sight = look(field, Encryption::Real, Source::Real(&wire), field.settings.ciphertexts, observer)?;
    let mut counts = [field.rings.empty(), field.rings.empty()];
    for cipher in wire.keys.ciphertexts() {
        let cipher = cipher.map(<[u64]>::to_vec);
        for (sum, view) in counts.iter_mut().zip([View::Residues, View::Coefficients]) {
            add(sum, &field.rings.counts(&field.rings.form(view, &cipher, &cipher)));
        }
    }
    for (counts, view) in counts.iter().zip([View::Residues, View::Coefficients]) {
        sight.tests.extend(tests(Sample::Keys, view, counts));
    }
    step(observer)?;
    let sent = wire.send(&field.own.values(0..field.batch()), field.pixels())?;
    let scores = field.member(0)?.evaluate(&wire.keys, &sent.images)?;
    sight.tests.extend(of_scores(field, &scores));
    sight.ciphertexts += wire.keys.ciphertexts().count() + scores.classes() * wire.params.plaintexts().count();
    Ok(sight)
}

fn of_scores(field: &Field, scores: &EncryptedScores) -> Vec<ResidueTest> {
    let views = [View::Residues, View::Second, View::Coefficients];
    let lanes = field.params.plaintexts().count();
    let ciphers =
        || (0..lanes).flat_map(|lane| (0..scores.classes()).filter_map(move |class| scores.ciphertext(lane, class)));
    let one = |view| {
        let mut sum = field.rings.empty();
        ciphers().for_each(|cipher| add(&mut sum, &field.rings.counts(&field.rings.form(view, cipher, cipher))));
        let left = ciphers().next().map_or(0, |[b, _]| b.len() / field.rings.degree);
        tests(Sample::Scores, view, &sum[..left])
    };
    views.into_iter().flat_map(one).collect()
}

/// An encryption with a part left out, looked at in the same way, on fewer ciphertexts.
pub(super) fn weakened(field: &Field, kind: Encryption, observer: &mut dyn Observer) -> Result<Sight, Error> {
    let source = Weakened::new(&field.rings, &field.params, kind, field.settings.seed)?;
    look(field, kind, Source::Weakened(Box::new(source), 0), field.settings.controls, observer)
}

fn look(
    field: &Field,
    encryption: Encryption,
    mut source: Source,
    most: usize,
    observer: &mut dyn Observer,
) -> Result<Sight, Error> {
    let items = field.own.brightest(most);
    let mut ciphertexts = 0;
    let mut counts: [Vec<Counts>; 2] = [(); 2].map(|()| vec![field.rings.empty(); VIEWS.len()]);
    let mut rows: [Vec<Vec<Vec<f64>>>; 2] = [(); 2].map(|()| Vec::new());
    for pair in 0..PAIRS {
        for (black, (counts, rows)) in [true, false].into_iter().zip(counts.iter_mut().zip(&mut rows)) {
            step(observer)?;
            let batches = [2 * pair, 2 * pair + 1].map(|at| match black {
                true => vec![0; field.batch() * items.len()],
                false => field.own.columns(field.some(at), &items),
            });
            let seen = source.look(&field.rings, batches.each_ref().map(Vec::as_slice), items.len())?;
            counts.iter_mut().zip(&seen.counts).for_each(|(sum, counts)| add(sum, counts));
            ciphertexts += 2 * seen.rows.len();
            rows.push(seen.rows);
        }
    }
    let mut found = Vec::new();
    for (at, view) in VIEWS.into_iter().enumerate() {
        let [black, images] = counts.each_ref().map(|counts| &counts[at]);
        found.extend(tests(Sample::Black, view, black));
        found.extend(tests(Sample::Images, view, images));
        found.extend(black.iter().zip(images).enumerate().map(|(prime, (black, images))| {
            let (chi_squared, p) = alike(black, images);
            let residues = black.iter().chain(images).sum();
            ResidueTest { sample: Sample::BlackAgainstImages, view, prime, residues, bins: BINS, chi_squared, p }
        }));
    }
    let names = ["black images".to_owned(), "real images".to_owned()];
    let mut distinguishers = vec![distinguisher(names, rows)];
    if let Some((distinguisher, seen)) = labels(field, &mut source, encryption, observer)? {
        distinguishers.push(distinguisher);
        ciphertexts += seen;
    }
    Ok(Sight { encryption, ciphertexts, tests: found, distinguishers })
}

fn tests(sample: Sample, view: View, counts: &[[u64; BINS]]) -> Vec<ResidueTest> {
    let one = |(prime, counts): (usize, &[u64; BINS])| {
        let (chi_squared, p) = even(counts);
        ResidueTest { sample, view, prime, residues: counts.iter().sum(), bins: BINS, chi_squared, p }
    };
    counts.iter().enumerate().map(one).collect()
}

/// Tells images of the first label from those of the second by one ciphertext of one image: at the pixels that differ
/// most between them. None where there are too few images of them.
fn labels(
    field: &Field,
    source: &mut Source,
    encryption: Encryption,
    observer: &mut dyn Observer,
) -> Result<Option<(Distinguisher, usize)>, Error> {
    let asked = match encryption {
        Encryption::Real => field.settings.label_pairs,
        _ => field.settings.label_pairs.min(field.settings.controls),
    };
    let chosen = [0, 1].map(|label| field.own.of_label(label));
    let pairs = chosen.iter().map(|images| images.len() / 2).min().unwrap_or(0).min(asked) / 2 * 2;
    if pairs < 2 {
        return Ok(None);
    }
    let items = field.own.most_different(&chosen, TELLING);
    let mut rows: [Vec<Vec<Vec<f64>>>; 2] = [(); 2].map(|()| vec![Vec::new(); PAIRS]);
    for pair in 0..pairs {
        step(observer)?;
        for (images, rows) in chosen.iter().zip(&mut rows) {
            let batches = [2 * pair, 2 * pair + 1].map(|at| field.own.columns([images[at]], &items));
            let seen = source.look(&field.rings, batches.each_ref().map(Vec::as_slice), items.len())?;
            rows[usize::from(pair >= pairs / 2)].extend(seen.rows);
        }
    }
    let seen = 2 * rows.iter().flatten().map(Vec::len).sum::<usize>();
    let names = [0, 1].map(|label| field.target.release.classes.get(label).cloned().unwrap_or_default());
    Ok(Some((distinguisher(names, rows), seen)))
}

/// Learns on the first rows of each side and is tried on the second.
fn distinguisher(between: [String; 2], rows: [Vec<Vec<Vec<f64>>>; 2]) -> Distinguisher {
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

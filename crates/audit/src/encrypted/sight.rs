//! What a provider finds that looks at ciphertexts.

use super::weakened::Scaled;
use super::{Field, Wire};
use crate::Error;
use crate::ciphertexts::{Distinguisher, Encryption, ResidueTest, Rings, Sample, Seen, Sides, Sight, View, add, tests};
use crate::observer::{Observer, step};
use cleave_encrypted::EncryptedScores;

/// Pixels of a single image that its label is guessed from, each on its own.
const TELLING: usize = 8;
/// Times that pairs of batches are looked at: to learn from, and to be tried on.
const PAIRS: usize = 2;

/// Where ciphertexts come from.
enum Source<'a> {
    Real(&'a Wire<'a>),
    Weakened(Box<Scaled<'a>>, u64),
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
        tests(Sample::Answers, view, &sum[..left])
    };
    views.into_iter().flat_map(one).collect()
}

/// An encryption with a part left out, looked at in the same way, on fewer ciphertexts.
pub(super) fn weakened(field: &Field, kind: Encryption, observer: &mut dyn Observer) -> Result<Sight, Error> {
    let source = Scaled::new(&field.rings, &field.params, kind, field.settings.seed)?;
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
    let mut sides = Sides::new(&field.rings);
    for pair in 0..PAIRS {
        for black in [true, false] {
            step(observer)?;
            let batches = [2 * pair, 2 * pair + 1].map(|at| match black {
                true => vec![0; field.batch() * items.len()],
                false => field.own.columns(field.some(at), &items),
            });
            let seen = source.look(&field.rings, batches.each_ref().map(Vec::as_slice), items.len())?;
            sides.add(usize::from(!black), pair, seen);
        }
    }
    let mut ciphertexts = sides.ciphertexts();
    let mut distinguishers = vec![sides.distinguisher(["black images".to_owned(), "real images".to_owned()])];
    if let Some((distinguisher, seen)) = labels(field, &mut source, encryption, observer)? {
        distinguishers.push(distinguisher);
        ciphertexts += seen;
    }
    Ok(Sight { encryption, ciphertexts, tests: sides.tests(), distinguishers })
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
    let mut sides = Sides::new(&field.rings);
    for pair in 0..pairs {
        step(observer)?;
        for (side, images) in chosen.iter().enumerate() {
            let batches = [2 * pair, 2 * pair + 1].map(|at| field.own.columns([images[at]], &items));
            let seen = source.look(&field.rings, batches.each_ref().map(Vec::as_slice), items.len())?;
            sides.add(side, usize::from(pair >= pairs / 2), seen);
        }
    }
    let names = [0, 1].map(|label| field.target.release.classes.get(label).cloned().unwrap_or_default());
    Ok(Some((sides.distinguisher(names), sides.ciphertexts())))
}

//! What was found of the key of a locked pair.

use super::axis::Axis;
use super::chart::{Chart, Ink, Marker, Point, Series, Spread};
use super::curves::GUESS;
use super::figures::{count, counted, fixed, percent, share_cell};
use super::html::{Column, clean, head, number, row, section as part, table, words};
use super::view::{Entry, View};
use crate::{Error, KeyFindings, KeyGuess};
use cleave_keyed::Keying;

/// A section where a pair is locked, and nothing elsewhere.
pub(super) fn section(view: &View) -> Result<String, Error> {
    let locked = view.entries.iter().filter_map(|entry| Some((entry, entry.found.key.as_ref()?)));
    let body = locked.map(|(entry, key)| one(entry, key)).collect::<Result<String, Error>>()?;
    if body.is_empty() {
        return Ok(body);
    }
    let lead = "Images are sent under a secret key that the provider does not have. A place of the key counts as found where \
        both its source and its sign are right.";
    Ok(part("key", "The key", lead, &body))
}

fn one(entry: &Entry, key: &KeyFindings) -> Result<String, Error> {
    let chart = accuracies(entry, key).figure()?;
    Ok(format!(
        "<p>{}</p>\n<h3>How soon the key is found</h3>\n{}<h3>Other keys</h3>\n<div class=\"charts\">\n{chart}</div>\n{}",
        said(key),
        guesses(key),
        others(entry, key)
    ))
}

fn said(key: &KeyFindings) -> String {
    let space = key.key_space;
    let tables = match key.lock.keying {
        Keying::Shared => "One order and one choice of signs serve all patches".to_owned(),
        Keying::PerPatch => format!(
            "Each of {} patches has an order and signs of its own, and the weights of the locked network show how they \
             differ from those of the first, which leaves as many keys as one patch has",
            count(key.lock.blocks())
        ),
    };
    format!(
        "{tables}: 2<sup>{}</sup> keys. That is what trying all keys would take; the attacks in this table try none.",
        fixed(space.bits(), 1)
    )
}

fn guesses(key: &KeyFindings) -> String {
    let columns = [
        Column::Text("from"),
        Column::Number("images"),
        Column::Number("of the key found"),
        Column::Number("mean SSIM"),
        Column::Number("mean PSNR, dB"),
    ];
    let lines = |name: &str, guesses: &[KeyGuess]| -> Vec<String> {
        let line = |(index, guess): (usize, &KeyGuess)| {
            let name = (index == 0).then(|| head(name, guesses.len()));
            let cells = [count(guess.images), percent(guess.right), fixed(guess.ssim, 3), fixed(guess.psnr, 1)];
            row("", &name.into_iter().chain(cells.iter().map(|cell| number(cell))).collect::<Vec<_>>())
        };
        guesses.iter().enumerate().map(line).collect()
    };
    let known = lines("images known in both forms", &key.known);
    let rows: Vec<_> = known.into_iter().chain(lines("keyed images alone", &key.keyed)).collect();
    match rows.is_empty() {
        true => super::html::nothing("No attack on the key was tried."),
        false => table("Guesses at the key", &columns, &rows),
    }
}

/// Lowest, quartiles, median and highest.
fn quartiles(key: &KeyFindings) -> Option<[f64; 5]> {
    let mut all: Vec<f64> = key.wrong_keys.iter().copied().filter(|share| share.is_finite()).collect();
    all.sort_by(f64::total_cmp);
    let last = all.len().checked_sub(1)?;
    Some([0, 1, 2, 3, 4].map(|quarter| all[(last * quarter + 2) / 4]))
}

fn others(entry: &Entry, key: &KeyFindings) -> String {
    let columns = [Column::Text("images sent"), Column::Number("right answers"), Column::Text("")];
    let mut rows = vec![
        row("", &[words("under the right key"), number(&share_cell(entry.found.task_accuracy)), words("")]),
        row("", &[words("without a key"), number(&share_cell(key.without_key)), words("")]),
    ];
    if let Some([least, low, median, high, most]) = quartiles(key) {
        let all = format!(
            "{} to {}; half of them {} to {}; {} each",
            percent(least),
            percent(most),
            percent(low),
            percent(high),
            counted(key.wrong_key_images, "image", "images")
        );
        let name = format!("under {}, median", counted(key.wrong_keys.len(), "wrong key", "wrong keys"));
        rows.push(row("", &[words(&name), number(&percent(median)), words(&all)]));
    }
    let guess = entry.found.label_guess;
    rows.push(row("", &[words("guessing the most frequent class"), number(&percent(guess)), words("")]));
    table("Answers under other keys", &columns, &rows)
}

/// Fig. 5 of iijima2023: the accuracy under wrong keys, beside that under the right one and under none.
fn accuracies(entry: &Entry, key: &KeyFindings) -> Chart {
    let names = ["right key", "no key", "wrong keys"];
    let at = |x: f64, y: Spread| Point { x: x.into(), y, tag: String::new() };
    let series = |name: &str, look, points| Series { name: name.to_owned(), look, joined: false, points };
    let (right, none) = (entry.found.task_accuracy, key.without_key);
    let single = vec![at(0.0, right.into()), at(1.0, none.into())];
    let mut all = vec![series("one accuracy, with its interval", (Ink::Blue, Marker::Disc), single)];
    let mut words =
        format!("Right answers: {} under the right key, {} without one", percent(right.share), percent(none.share));
    if let Some([least, low, middle, high, most]) = quartiles(key) {
        let half = Spread { middle, low, high };
        all.push(series("median and quartiles", (Ink::Orange, Marker::Square), vec![at(2.0, half)]));
        let ends = vec![at(2.0, least.into()), at(2.0, most.into())];
        all.push(series("lowest and highest", (Ink::Orange, Marker::Cross), ends));
        words +=
            &format!("; {} to {} under wrong keys, in the middle {}", percent(least), percent(most), percent(middle));
    }
    let guess = entry.found.label_guess;
    let level = [-0.5, 2.5].map(|x| at(x, guess.into())).into();
    all.push(Series { name: "guessing".to_owned(), look: GUESS, joined: true, points: level });
    Chart {
        title: format!("Right answers of {}", clean(&entry.found.model)),
        words: format!("{words}."),
        x: Axis::names("images sent under", names.iter().map(|name| (*name).to_owned())),
        y: Axis::shares("right answers"),
        series: all,
        upright: Vec::new(),
    }
}

//! What defences at the same cut buy, and what they cost.

use super::axis::{Axis, roomy, share_mark};
use super::chart::{Chart, Ink, Look, Marker, Point, Series, Spread};
use super::figures::{NONE, chosen, count, fixed, percent, significant};
use super::html::{Column, clean, escape, head, nothing, number, row, section as part, table, words};
use super::view::{Entry, View};
use crate::Error;
use cleave_nets::Defence;

/// Charts and a table for each cut with several candidates.
pub(super) fn section(view: &View) -> Result<String, Error> {
    let lead = "Candidates at the same cut, each with a letter. Further up is a better answer for the client; further \
        left is less for the attacker. A defence is worth its cost where it moves left more than down.";
    let mut body = String::new();
    for (cut, entries) in view.contests() {
        let (title, charts) = (escape(cut), charts(cut, &entries)?);
        body +=
            &format!("<h3>Cut {title}</h3>\n<div class=\"charts\">\n{charts}</div>\n{}", costs(view, cut, &entries));
    }
    if body.is_empty() {
        body = nothing("No cut was tried with several defences or models, so there is nothing to weigh.");
    }
    Ok(part("defences", "What defences buy and cost", lead, &body))
}

/// One of the attacker's successes, and what counts as none.
struct Success {
    title: &'static str,
    axis: &'static str,
    of: fn(&Entry) -> Option<Spread>,
    guess: fn(&Entry) -> Option<f64>,
    mark: fn(f64) -> String,
    digits: fn(f64) -> String,
}

const SUCCESSES: [Success; 3] = [
    Success {
        title: "Accuracy against similarity",
        axis: "mean SSIM of the best attack",
        of: |entry| entry.best_inversion().map(|attack| attack.scores.ssim.into()),
        guess: |_| None,
        mark: chosen,
        digits: |value| fixed(value, 2),
    },
    Success {
        title: "Accuracy against label probe",
        axis: "best label probe",
        of: |entry| entry.label_probe().map(|probe| probe.accuracy.into()),
        guess: |entry| entry.label_probe().map(|probe| probe.guess),
        mark: share_mark,
        digits: percent,
    },
    Success {
        title: "Accuracy against signal probe",
        axis: "best signal probe",
        of: |entry| entry.signal_probe().map(|probe| probe.accuracy.into()),
        guess: |entry| entry.signal_probe().map(|probe| probe.guess),
        mark: share_mark,
        digits: percent,
    },
];

fn charts(cut: &str, entries: &[&Entry]) -> Result<String, Error> {
    SUCCESSES.iter().filter_map(|success| success.chart(cut, entries)).map(|chart| chart.figure()).collect()
}

impl Success {
    fn chart(&self, cut: &str, entries: &[&Entry]) -> Option<Chart> {
        let mut series: Vec<Series> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let Some(x) = (self.of)(entry) else { continue };
            let point = Point { x, y: entry.found.task_accuracy.into(), tag: letter(index) };
            let (name, look) = family(&entry.found.defences);
            match series.iter_mut().find(|series| series.name == name) {
                Some(series) => series.points.push(point),
                None => series.push(Series { name: name.to_owned(), look, joined: false, points: vec![point] }),
            }
        }
        series.iter_mut().for_each(|series| series.joined = series.points.len() > 1);
        let points = || series.iter().flat_map(|series| &series.points);
        let ends = |spread: Spread| [spread.middle, spread.low, spread.high];
        let x_range = roomy(points().flat_map(|point| ends(point.x)));
        let y_range = roomy(points().flat_map(|point| ends(point.y)));
        let guess = entries.iter().find_map(|entry| (self.guess)(entry));
        let guessing = guess.map_or(String::new(), |guess| format!(", guessing {}", percent(guess)));
        let x = Axis::within(&format!("{}{guessing}", self.axis), x_range, self.mark);
        let y = Axis::within("task accuracy", y_range, share_mark);
        let upright = guess.filter(|guess| (x_range.0..=x_range.1).contains(guess));
        let upright = upright.map(|guess| ("guessing".to_owned(), guess)).into_iter().collect();
        let told: Vec<_> = points().map(|point| self.told(point)).collect();
        let words = format!("{} at cut {cut}. {}.", self.title, told.join("; "));
        (!told.is_empty()).then(|| Chart { title: self.title.to_owned(), words, x, y, series, upright })
    }

    fn told(&self, point: &Point) -> String {
        format!("{}: attacker {}, task {}", point.tag, (self.digits)(point.x.middle), percent(point.y.middle))
    }
}

/// A, B, ..., Z, AA, AB, ...
fn letter(index: usize) -> String {
    let last = char::from(b'A' + (index % 26) as u8);
    if index < 26 { last.to_string() } else { format!("{}{last}", letter(index / 26 - 1)) }
}

/// Defences of a kind share a series.
fn family(defences: &[Defence]) -> (&'static str, Look) {
    match defences {
        [] => ("no defence", (Ink::Text, Marker::Ring)),
        [Defence::Noise { .. }] => ("noise", (Ink::Blue, Marker::Disc)),
        [Defence::Quantise { .. }] => ("fewer bits", (Ink::Orange, Marker::Square)),
        [Defence::Bottleneck { .. }] => ("bottleneck", (Ink::Green, Marker::Triangle)),
        [Defence::NoPeek { .. }] => ("NoPeek", (Ink::Purple, Marker::Diamond)),
        [Defence::Adversarial { .. }] => ("adversarial training", (Ink::Red, Marker::Cross)),
        _ => ("several or other", (Ink::Brown, Marker::Square)),
    }
}

/// The figures behind the charts, with the difference from the same cut without a defence.
fn costs(view: &View, cut: &str, entries: &[&Entry]) -> String {
    let plain = entries.iter().find(|entry| entry.found.defences.is_empty()).copied();
    let columns = [
        Column::Text(""),
        Column::Text("defences"),
        Column::Text("release?"),
        Column::Number("task accuracy"),
        Column::Number("best SSIM"),
        Column::Number("label probe"),
        Column::Number("signal probe"),
        Column::Number("bytes"),
        Column::Number("front half"),
    ];
    let rows = entries.iter().enumerate().map(|(index, entry)| {
        let against = plain.filter(|plain| !std::ptr::eq(*plain, *entry));
        row("", &cost_cells(view, entry, against, &letter(index)))
    });
    let rows: Vec<_> = rows.collect();
    let note = match plain {
        Some(_) => "<p class=\"note\">Small figures: difference from the candidate without a defence.</p>\n",
        None => "",
    };
    format!("{}{note}", table(&format!("Candidates at cut {}", clean(cut)), &columns, &rows))
}

fn cost_cells(view: &View, entry: &Entry, plain: Option<&Entry>, letter: &str) -> Vec<String> {
    let points = |value: f64| format!("{} points", signed(100.0 * value, 1));
    let task = |entry: &Entry| Some(entry.found.task_accuracy.into());
    let model = if view.models { format!("<small>{}</small>", escape(&entry.found.model)) } else { String::new() };
    let release = if entry.verdict.passes { "<b class=\"yes\">✓ yes</b>" } else { "<b class=\"no\">✕ no</b>" };
    let mut cells = vec![head(letter, 1), words(&format!("{}{model}", escape(&entry.defences()))), words(release)];
    cells.push(compared(entry, plain, task, percent, points));
    for success in &SUCCESSES {
        let difference = if success.title.ends_with("probe") { points } else { |value: f64| signed(value, 2) };
        cells.push(compared(entry, plain, success.of, success.digits, difference));
    }
    let factor = |value: f64, plain: f64| {
        let factor = value / plain;
        let told = factor.is_finite() && (factor - 1.0).abs() > 0.005;
        if told { format!("<small>×{}</small>", chosen(factor)) } else { String::new() }
    };
    let (bytes, ms) = (entry.found.bytes, entry.found.front_ms);
    let factors = plain.map(|plain| (factor(bytes as f64, plain.found.bytes as f64), factor(ms, plain.found.front_ms)));
    let (bytes_factor, ms_factor) = factors.unwrap_or_default();
    cells.push(number(&format!("{}{bytes_factor}", count(bytes))));
    cells.push(number(&format!("{}\u{a0}ms{ms_factor}", significant(ms, 3))));
    cells
}

/// A value, and below it the difference from another entry.
fn compared(
    entry: &Entry,
    plain: Option<&Entry>,
    value: impl Fn(&Entry) -> Option<Spread>,
    digits: fn(f64) -> String,
    difference: impl Fn(f64) -> String,
) -> String {
    let value = |entry: &Entry| value(entry).map(|spread| spread.middle).filter(|middle| middle.is_finite());
    let Some(own) = value(entry) else {
        return number(NONE);
    };
    let less =
        plain.and_then(value).map_or(String::new(), |plain| format!("<small>{}</small>", difference(own - plain)));
    number(&format!("{}{less}", digits(own)))
}

fn signed(value: f64, digits: usize) -> String {
    let text = fixed(value, digits);
    if value > 0.0 { format!("+{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_go_on_after_z() {
        assert_eq!([0, 25, 26, 51, 52, 702].map(letter), ["A", "Z", "AA", "AZ", "BA", "AAA"]);
    }
}

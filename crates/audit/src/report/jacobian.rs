//! How many directions of an image smashed data shows, and what noise guarantees.

use super::axis::Axis;
use super::chart::{Chart, Ink, Marker, Point, Series};
use super::curves::GUESS;
use super::figures::{chosen, count, fixed, part_of, power, significant};
use super::html::{Column, clean, details, escape, head, nothing, number, row, section as part, table, words};
use super::view::{Entry, View};
use crate::Error;
use crate::Visible;
use cleave_nets::Defence;

/// Points of a spectrum that are drawn.
const POINTS: usize = 120;
/// Singular values below this share of the largest are drawn at the foot of the chart.
const FLOOR: f64 = 1e-6;

/// Spectra, ranks and bounds.
pub(super) fn section(view: &View) -> Result<String, Error> {
    let lead = "A small change of the image changes smashed data by the Jacobian times that change. Directions with a \
        singular value near 0 do not show; their number is what an attacker has to guess from what images have in common.";
    let body = format!("{}{}<h3>What noise guarantees</h3>\n{}", spectra(view)?, ranks(view), bounds(view));
    Ok(part("directions", "Directions of the image that show", lead, &body))
}

/// A chart for each entry; those of the first kind of front half are open.
fn spectra(view: &View) -> Result<String, Error> {
    let mut body = String::new();
    for shelf in view.shelves() {
        let figures =
            shelf.entries.iter().filter_map(|entry| spectrum(entry, shelf.one_cut)).map(|chart| chart.figure());
        let figures = figures.collect::<Result<String, _>>()?;
        if figures.is_empty() {
            continue;
        }
        let (title, charts) = (escape(&shelf.title), format!("<div class=\"charts\">\n{figures}</div>\n"));
        body += &if body.is_empty() { format!("<h3>{title}</h3>\n{charts}") } else { details(&title, &charts) };
    }
    Ok(body)
}

fn spectrum(entry: &Entry, one_cut: bool) -> Option<Chart> {
    let visible: Vec<&Visible> = entry.found.visible.iter().filter(|one| largest(one) > 0.0).collect();
    let threshold = visible.first()?.threshold;
    let of = visible.iter().map(|one| one.of).max()? as f64;
    let mut series: Vec<_> = visible.iter().map(|one| line(one)).collect();
    series.iter_mut().skip(1).for_each(|series| series.name.clear());
    let level = [0.0, of].map(|x| Point { x: x.into(), y: threshold.into(), tag: String::new() });
    let name = format!("threshold {}", chosen(threshold));
    series.push(Series { name, look: GUESS, joined: true, points: level.into() });
    let least =
        series.iter().flat_map(|series| &series.points).map(|point| point.y.middle).fold(threshold / 10.0, f64::min);
    let mean = visible.iter().map(|one| one.rank).sum::<f64>() / visible.len() as f64;
    let words = format!(
        "Singular values of the Jacobian at {}, from the largest on, one line for each of {} images. On average {} of {} \
         lie above {} of the largest.",
        entry.name,
        visible.len(),
        fixed(mean, 0),
        fixed(of, 0),
        significant(threshold, 2)
    );
    let x = Axis::within("position of the singular value", (0.0, of), |value| fixed(value, 0));
    let y = Axis::decades("share of the largest", (least.max(FLOOR), 1.0), power);
    let subject = if one_cut { entry.treatment.clone() } else { format!("cut {}", clean(&entry.found.cut)) };
    let title = format!("{subject}: {} of {} show", fixed(mean, 0), fixed(of, 0));
    Some(Chart { title, words, x, y, series, upright: Vec::new() })
}

fn largest(visible: &Visible) -> f64 {
    visible.spectrum.iter().map(|point| point.1).filter(|value| value.is_finite()).fold(0.0, f64::max)
}

fn line(visible: &Visible) -> Series {
    let (all, top) = (&visible.spectrum, largest(visible));
    let step = all.len().div_ceil(POINTS).max(1);
    let chosen = all.iter().enumerate().filter(|(index, _)| index % step == 0 || index + 1 == all.len());
    let points =
        chosen.map(|(_, (x, value))| Point { x: (*x).into(), y: (value / top).max(FLOOR).into(), tag: String::new() });
    Series { name: "an image".to_owned(), look: (Ink::Blue, Marker::Line), joined: true, points: points.collect() }
}

const RANKS_HEAD: [Column; 8] = [
    Column::Text("candidate"),
    Column::Number("image"),
    Column::Number("directions that show"),
    Column::Number("of"),
    Column::Number("share"),
    Column::Number("threshold"),
    Column::Number("tr(JᵀJ)"),
    Column::Text("computed"),
];

fn ranks(view: &View) -> String {
    let mut rows = Vec::new();
    for entry in &view.entries {
        let visible = &entry.found.visible;
        for (index, one) in visible.iter().enumerate() {
            let mut cells = Vec::new();
            if index == 0 {
                cells.push(head(&escape(&entry.name), visible.len()));
            }
            cells.push(number(&count(index + 1)));
            cells.extend(rank_cells(one));
            rows.push(row(if index == 0 { "group" } else { "" }, &cells));
        }
    }
    if rows.is_empty() {
        return nothing("The Jacobian was not measured.");
    }
    table("Directions that show", &RANKS_HEAD, &rows)
}

fn rank_cells(one: &Visible) -> [String; 6] {
    let how = if one.exact { "exactly" } else { "estimated" };
    [
        number(&rank(one)),
        number(&count(one.of)),
        number(&part_of(one.rank, one.of as f64)),
        number(&chosen(one.threshold)),
        number(&with_error(significant(one.trace, 3), one.trace_error, one.exact, |error| significant(error, 2))),
        words(how),
    ]
}

/// `812`, or `812 (790 to 831)` where it was estimated.
fn rank(one: &Visible) -> String {
    let value = fixed(one.rank, 0);
    if one.exact { value } else { format!("{value} ({} to {})", fixed(one.rank_low, 0), fixed(one.rank_high, 0)) }
}

/// `812 ± 12`; without the error where there is none.
fn with_error(value: String, error: f64, exact: bool, digits: impl Fn(f64) -> String) -> String {
    if exact || error == 0.0 { value } else { format!("{value} ± {}", digits(error)) }
}

fn bounds(view: &View) -> String {
    let noisy = |entry: &Entry| entry.found.defences.iter().any(|defence| matches!(defence, Defence::Noise { .. }));
    let rows: Vec<_> =
        view.entries.iter().filter(|entry| entry.found.bound.is_some() || noisy(entry)).map(bound_row).collect();
    if rows.is_empty() {
        return nothing("No candidate adds noise, so there is no bound: only the attacks say what can be got.");
    }
    let columns = [
        Column::Text("candidate"),
        Column::Number("dFIL"),
        Column::Number("bound on the MSE"),
        Column::Number("as PSNR"),
        Column::Number("least MSE measured"),
        Column::Text(""),
    ];
    let note = "<p class=\"note\">dFIL is the diagonal Fisher information leakage (Maeng et al. 2023), and 1/dFIL the \
        least mean squared error of an unbiased attacker. An attacker that knows what images look like is biased, and \
        may come nearer. Candidates without noise have no bound.</p>\n";
    format!("{}{note}", table("Bounds", &columns, &rows))
}

fn bound_row(entry: &Entry) -> String {
    let name = head(&escape(&entry.name), 1);
    let least = entry.found.inversions.iter().map(|attack| attack.scores.mse.mean).fold(f64::NAN, f64::min);
    let measured = number(&significant(least, 3));
    let cells = match entry.found.bound {
        Some(bound) => {
            let below = if least < bound.mse { "an attack came below the bound: it is biased" } else { "" };
            let psnr = format!("{}\u{a0}dB", fixed(-10.0 * bound.mse.log10(), 1));
            [
                name,
                number(&significant(bound.dfil, 3)),
                number(&significant(bound.mse, 3)),
                number(&psnr),
                measured,
                words(below),
            ]
        }
        None => [name, number("–"), number("–"), number("–"), measured, words("not computed")],
    };
    row("", &cells)
}

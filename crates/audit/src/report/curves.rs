//! What changes with the depth of the cut.

use super::axis::Axis;
use super::chart::{Chart, Ink, Look, Marker, Point, Series, Spread};
use super::figures::{chosen, fixed, percent, short};
use super::html::{clean, details, escape, nothing, section as part};
use super::threats::{INVERSIONS, inversion_name, probe_name, target_name};
use super::view::{Entry, View};
use crate::Error;
use crate::{InversionKind, ProbeKind, ProbeTarget};

/// Level of guessing, in every chart that has one.
pub(super) const GUESS: Look = (Ink::Faint, Marker::Level);

/// Charts against the cut, for each way the front half was treated that was tried at several cuts.
pub(super) fn section(view: &View) -> Result<String, Error> {
    let lead = "A later cut usually shows less of the image, takes the client longer, and gives more of the model away. \
        Bars are 95 % intervals; points are set apart sideways so that the bars can be told apart.";
    let mut body = String::new();
    for (variant, entries) in view.variants().into_iter().filter(|(_, entries)| entries.len() > 1) {
        let charts = format!("<div class=\"charts\">\n{}</div>\n", charts(view, &entries)?);
        let title = escape(variant);
        body += &if body.is_empty() { format!("<h3>{title}</h3>\n{charts}") } else { details(&title, &charts) };
    }
    if body.is_empty() {
        body =
            nothing("Nothing was tried at more than one cut, so there is no curve. The figures stand in the tables.");
    }
    Ok(part("curves", "How it changes with the cut", lead, &body))
}

fn charts(view: &View, entries: &[&Entry]) -> Result<String, Error> {
    let input: usize = view.audit.subject.input.iter().product();
    let all = [
        ssim(entries),
        probes(entries, "Signal read by probes", |target| target == ProbeTarget::Signal),
        probes(entries, "Label read by probes", |target| target != ProbeTarget::Signal),
        task(entries),
        amount(entries, "Bytes sent for an image", "bytes", short, |entry| entry.found.bytes as f64)
            .map(|chart| with_level(chart, "the image itself, 8 bits a value", input as f64, entries)),
        amount(entries, "Time of the front half for an image", "milliseconds", chosen, |entry| entry.found.front_ms),
    ];
    all.iter().flatten().map(Chart::figure).collect()
}

fn ssim(entries: &[&Entry]) -> Option<Chart> {
    let best = curve(entries, "best attack", (Ink::Text, Marker::Best), |entry| {
        entry.best_inversion().map(|attack| attack.scores.ssim.into())
    });
    let each = INVERSIONS.map(|kind| {
        curve(entries, inversion_name(kind), inversion_look(kind), |entry| {
            entry.inversion(|attack| attack.kind == kind).map(|attack| attack.scores.ssim.into())
        })
    });
    let least = lowest(&each);
    let y = Axis::linear("mean SSIM, 1 = same image", (least.min(0.0), 1.0), |value| fixed(value, 1));
    chart(entries, "Similarity of reconstructions", y, [best].into_iter().chain(each), |value| fixed(value, 2))
}

fn lowest(series: &[Series]) -> f64 {
    let values = series.iter().flat_map(|series| &series.points).map(|point| point.y.middle);
    values.filter(|value| value.is_finite()).fold(0.0, f64::min)
}

fn inversion_look(kind: InversionKind) -> Look {
    match kind {
        InversionKind::WhiteBox => (Ink::Blue, Marker::Disc),
        InversionKind::Decoder => (Ink::Orange, Marker::Square),
        InversionKind::QueryFree => (Ink::Green, Marker::Triangle),
        InversionKind::LeastSquares => (Ink::Purple, Marker::Cross),
        InversionKind::KnownImages => (Ink::Blue, Marker::Diamond),
        InversionKind::KeyedImages => (Ink::Orange, Marker::Cross),
    }
}

fn probes(entries: &[&Entry], title: &str, reads: impl Fn(ProbeTarget) -> bool) -> Option<Chart> {
    let looks = [
        (ProbeTarget::Signal, ProbeKind::Linear, (Ink::Blue, Marker::Disc)),
        (ProbeTarget::Signal, ProbeKind::Small, (Ink::Orange, Marker::Square)),
        (ProbeTarget::Label, ProbeKind::Linear, (Ink::Blue, Marker::Disc)),
        (ProbeTarget::Label, ProbeKind::Small, (Ink::Orange, Marker::Square)),
        (ProbeTarget::LabelByAnswer, ProbeKind::Linear, (Ink::Green, Marker::Triangle)),
        (ProbeTarget::LabelByAnswer, ProbeKind::Small, (Ink::Purple, Marker::Diamond)),
    ];
    let mut series: Vec<Series> = Vec::new();
    for (target, kind, look) in looks.into_iter().filter(|(target, ..)| reads(*target)) {
        let by_answer =
            if target == ProbeTarget::LabelByAnswer { format!(", {}", target_name(target)) } else { String::new() };
        let name = format!("{}{by_answer}", probe_name(kind));
        series.push(curve(entries, &name, look, |entry| {
            entry.probe(|probe| probe.target == target && probe.kind == kind).map(|probe| probe.accuracy.into())
        }));
    }
    series.retain(|series| !series.points.is_empty());
    if !series.is_empty() {
        series.push(curve(entries, "guessing", GUESS, |entry| {
            entry.probe(|probe| reads(probe.target)).map(|probe| probe.guess.into())
        }));
    }
    chart(entries, title, Axis::shares("accuracy"), series.into_iter(), percent)
}

fn task(entries: &[&Entry]) -> Option<Chart> {
    let task = curve(entries, "client, after unmasking", (Ink::Blue, Marker::Disc), |entry| {
        Some(entry.found.task_accuracy.into())
    });
    let guess = curve(entries, "guessing", GUESS, |entry| Some(entry.found.label_guess.into()));
    chart(entries, "Task accuracy", Axis::shares("accuracy"), [task, guess].into_iter(), percent)
}

fn amount(
    entries: &[&Entry],
    title: &str,
    unit: &str,
    format: fn(f64) -> String,
    value: impl Fn(&Entry) -> f64,
) -> Option<Chart> {
    let axis = Axis::amounts(unit, entries.iter().map(|entry| value(entry)), format);
    let series = curve(entries, unit, (Ink::Blue, Marker::Disc), |entry| {
        Some(value(entry)).filter(|value| *value > 0.0).map(Spread::from)
    });
    chart(entries, title, axis, [series].into_iter(), format)
}

/// The chart with a level across it, where that lies between its marks.
fn with_level(mut chart: Chart, name: &str, level: f64, entries: &[&Entry]) -> Chart {
    let inside = chart.y.ticks.iter().any(|tick| tick.0 >= level) && chart.y.ticks.iter().any(|tick| tick.0 <= level);
    if inside {
        chart.series.push(curve(entries, name, GUESS, |_| Some(level.into())));
    }
    chart
}

/// A value of each entry, at the entry's number; entries without one are left out.
fn curve(entries: &[&Entry], name: &str, look: Look, value: impl Fn(&Entry) -> Option<Spread>) -> Series {
    let points = entries.iter().enumerate().filter_map(|(index, entry)| {
        let y = value(entry).filter(|y| y.middle.is_finite())?;
        Some(Point { x: (index as f64).into(), y, tag: String::new() })
    });
    Series { name: name.to_owned(), look, joined: true, points: points.collect() }
}

/// A chart against the cut; nothing without values.
fn chart(
    entries: &[&Entry],
    title: &str,
    y: Axis,
    series: impl Iterator<Item = Series>,
    format: fn(f64) -> String,
) -> Option<Chart> {
    let series: Vec<_> = series.filter(|series| !series.points.is_empty()).collect();
    if series.is_empty() {
        return None;
    }
    let told: Vec<_> = series.iter().map(|series| told(series, entries, format)).collect();
    let words = format!("{title} against the cut. {}.", told.join("; "));
    let x = Axis::names("cut", entries.iter().map(|entry| clean(&entry.found.cut)));
    Some(Chart { title: title.to_owned(), words, x, y, series, upright: Vec::new() })
}

/// `white-box: 0.91 at cut 1, 0.40 at cut 3`.
fn told(series: &Series, entries: &[&Entry], format: fn(f64) -> String) -> String {
    let points = series.points.iter().map(|point| {
        let cut = &entries[point.x.middle as usize].found.cut;
        format!("{} at cut {cut}", format(point.y.middle))
    });
    format!("{}: {}", series.name, points.collect::<Vec<_>>().join(", "))
}

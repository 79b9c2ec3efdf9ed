//! One HTML page about an attack on a confused network.

mod said;

use super::axis::Axis;
use super::chart::{Chart, Ink, Look, Marker, Point, Series};
use super::curves::GUESS;
use super::document;
use super::figures::{chosen, count, counted, fixed, part_of, percent, seconds, share_cell, short};
use super::html::{Column, details, escape, head, nothing, number, row, scroll, section as part, table, words};
use super::pictures::image;
use crate::{ConfusionAudit, Error, PruningKind, SaliencyKind, SaliencyOf, Share, TuneStart};
use said::best;
use std::fmt::Write;

/// Draws what was found of a confused network as one HTML page, UTF-8, that answers "what is the key worth?".
///
/// As [`page`](crate::page): nothing is fetched or run, foreign names are escaped, and pictures are drawn where the audit
/// still has them.
///
/// # Errors
///
/// [`Error::Drawing`] where a chart cannot be drawn.
pub fn confusion_page(audit: &ConfusionAudit) -> Result<String, Error> {
    let body = [
        first(audit),
        recovered(audit)?,
        detections(audit),
        prunings(audit),
        tunings(audit)?,
        saliency(audit),
        key(audit),
        closing(audit),
    ];
    Ok(document(&format!("What is the key worth? {}", audit.model), &body.concat()))
}

fn first(audit: &ConfusionAudit) -> String {
    let model = escape(&audit.model);
    let cards = [("with the key", "kept", audit.with_key), ("without it", "broken", audit.without_key)];
    let mut boxes: String = cards.iter().map(|(name, class, share)| card(name, class, *share)).collect();
    if let Some(best) = best(audit) {
        boxes += &card("after the best attack", "open", best.accuracy);
    }
    let links = [
        ("recovered", "What attacks recovered"),
        ("detection", "Detection"),
        ("pruning", "Pruning"),
        ("tuning", "Fine-tuning"),
        ("saliency", "Where it looks"),
        ("positions", "Key"),
        ("run", "What was run"),
    ];
    let links: Vec<_> = links.iter().map(|(id, name)| format!("<a href=\"#{id}\">{name}</a>")).collect();
    format!(
        "<header>\n<p class=\"eyebrow\">Cleave audit of the confused network <b>{model}</b></p>\n<div class=\"hero\">\n<div>\n\
         <h1>What is the key worth?</h1>\n{}</div>\n<aside>\n<h2>The attacker</h2>\n{}</aside>\n</div>\n\
         <h2>Right answers on {} <span class=\"muted\">guessing gets {}</span></h2>\n<div class=\"cards\">\n{boxes}</div>\n\
         <nav aria-label=\"Contents\">{}</nav>\n</header>\n",
        said::answer(audit),
        said::attacker(audit),
        counted(audit.test_images, "test image", "test images"),
        percent(audit.guess),
        links.join(" ")
    )
}

fn card(name: &str, class: &str, share: Share) -> String {
    let (low, high) = (percent(share.low), percent(share.high));
    format!(
        "<article class=\"{class}\">\n<h3>{}</h3>\n<p class=\"answer\"><b>{}</b></p>\n<p><small>95 % interval: {low} to {high}\
         </small></p>\n</article>\n",
        escape(name),
        percent(share.share)
    )
}

/// An attack's result, for the table and the charts of all of them.
struct Outcome {
    name: String,
    labelled: usize,
    seconds: f64,
    accuracy: Share,
    look: Look,
}

fn results(audit: &ConfusionAudit) -> Vec<Outcome> {
    let mut all: Vec<Outcome> = Vec::new();
    let detections = audit.detections.iter().map(|found| Outcome {
        name: format!("detection: {}", found.kind.name()),
        labelled: 0,
        seconds: found.seconds,
        accuracy: found.accuracy,
        look: (Ink::Brown, Marker::Cross),
    });
    all.extend(detections);
    all.extend(audit.prunings.iter().map(|found| Outcome {
        name: format!("pruning: {}", found.kind.name()),
        labelled: found.labelled,
        seconds: found.seconds,
        accuracy: found.accuracy,
        look: pruning_look(found.kind),
    }));
    all.extend(audit.tunings.iter().map(|found| Outcome {
        name: format!("fine-tuned {}", found.start.name()),
        labelled: found.labelled,
        seconds: found.seconds,
        accuracy: found.accuracy,
        look: start_look(found.start),
    }));
    all
}

const fn pruning_look(kind: PruningKind) -> Look {
    match kind {
        PruningKind::Sensitivity | PruningKind::Pairs => (Ink::Purple, Marker::Triangle),
        PruningKind::Factors => (Ink::Purple, Marker::Diamond),
        PruningKind::Ablation => (Ink::Purple, Marker::Square),
        PruningKind::Refined => (Ink::Red, Marker::Disc),
    }
}

const fn start_look(start: TuneStart) -> Look {
    match start {
        TuneStart::WithoutKey => (Ink::Orange, Marker::Square),
        TuneStart::Pruned => (Ink::Red, Marker::Diamond),
        TuneStart::WithKey => (Ink::Green, Marker::Triangle),
        TuneStart::Scratch => (Ink::Blue, Marker::Ring),
    }
}

fn recovered(audit: &ConfusionAudit) -> Result<String, Error> {
    let all = results(audit);
    let lead = "Against labelled images and against time, on the device named below. Detection needs no label, and stands at the \
        left end. What an honest client gets by fine-tuning with the key, and what training from random weights gets without \
        the model, are drawn beside the attacks.";
    if all.is_empty() {
        return Ok(part("recovered", "What attacks recovered", lead, &nothing("No attack was run.")));
    }
    let labelled = by(audit, &all, "labelled images", short, |result| result.labelled as f64)?;
    let time = by(audit, &all, "seconds", short, |result| result.seconds)?;
    let body = format!("<div class=\"charts\">\n{labelled}{time}</div>\n{}", summary(audit));
    Ok(part("recovered", "What attacks recovered", lead, &body))
}

/// The best of each kind of attack.
fn summary(audit: &ConfusionAudit) -> String {
    let columns = [
        Column::Text("attack"),
        Column::Number("labelled images"),
        Column::Number("time"),
        Column::Number("right answers"),
        Column::Number("of the key’s worth regained"),
    ];
    let regained = |accuracy: Share| audit.regained(accuracy.share).map_or_else(|| "–".to_owned(), percent);
    let rows = said::by_kind(audit).into_iter().map(|attack| {
        let cells = [
            head(
                &format!(
                    "{}{}",
                    escape(&attack.name),
                    if attack.baseline { "<small>baseline, no attack</small>" } else { "" }
                ),
                1,
            ),
            number(&count(attack.labelled)),
            number(&seconds(attack.seconds)),
            number(&share_cell(attack.accuracy)),
            number(&regained(attack.accuracy)),
        ];
        row("", &cells)
    });
    let note = "<p class=\"note\">Of each kind the run that did best on the test images, which the attacker does not have: it \
        would choose on images of its own. Regained: 0 is the accuracy without the key, 100 % that with it. Times are of the \
        step alone: a refinement begins with what was found before it, and fine-tuning after pruning with that.</p>\n";
    format!("{}{note}", table("The best of each kind of attack", &columns, &rows.collect::<Vec<_>>()))
}

/// Accuracies of all attacks that can be placed on an axis of costs.
fn by(
    audit: &ConfusionAudit,
    all: &[Outcome],
    unit: &str,
    format: fn(f64) -> String,
    cost: impl Fn(&Outcome) -> f64,
) -> Result<String, Error> {
    // What needs no label stands at the left end.
    let positive = all.iter().map(&cost).filter(|&cost| cost > 0.0);
    let (low, high) = positive.fold((f64::MAX, 0.0_f64), |(low, high), cost| (low.min(cost), high.max(cost)));
    let least = if low == f64::MAX { 1.0 } else { low / 2.0 };
    let mut series: Vec<Series> = Vec::new();
    for result in all {
        let name = match result.labelled {
            0 => "detection".to_owned(),
            _ => match result.name.starts_with("pruning: ") {
                true if result.look != pruning_look(PruningKind::Refined) => "other prunings".to_owned(),
                _ => result.name.clone(),
            },
        };
        let look = if name == "other prunings" { pruning_look(PruningKind::Factors) } else { result.look };
        let point = Point { x: cost(result).max(least).into(), y: result.accuracy.into(), tag: String::new() };
        let joined = !matches!(name.as_str(), "detection" | "other prunings");
        match series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push(point),
            None => series.push(Series { name, look, joined: joined && unit != "seconds", points: vec![point] }),
        }
    }
    let x = Axis::decades(unit, (least, high.max(2.0 * least)), format);
    let ends = [least, high.max(2.0 * least)];
    for (name, share) in [("with the key", audit.with_key.share), ("without it", audit.without_key.share)] {
        let look = if name == "with the key" { (Ink::Text, Marker::Best) } else { (Ink::Faint, Marker::Line) };
        let points = ends.map(|x| Point { x: x.into(), y: share.into(), tag: String::new() });
        series.push(Series { name: name.to_owned(), look, joined: true, points: points.into() });
    }
    let level = ends.map(|x| Point { x: x.into(), y: audit.guess.into(), tag: String::new() });
    series.push(Series { name: "guessing".to_owned(), look: GUESS, joined: true, points: level.into() });
    let told = all.iter().map(|result| {
        format!("{} at {} {unit}: {}", result.name, format(cost(result)), percent(result.accuracy.share))
    });
    let words = format!("Right answers against {unit}. {}.", told.collect::<Vec<_>>().join("; "));
    let title = format!("Right answers by {unit}");
    Chart { title, words, x, y: Axis::shares("right answers"), series, upright: Vec::new() }.figure()
}

fn detections(audit: &ConfusionAudit) -> String {
    let lead = "Without a label. In each group as many units are marked as there are confusion neurons, so precision and recall \
        are the same share. Average precision judges the whole order of suspicion within each group.";
    let columns = [
        Column::Text("looks at"),
        Column::Number("unlabelled images"),
        Column::Number("precision and recall"),
        Column::Number("average precision"),
        Column::Number("of a random order"),
        Column::Number("right answers without what it marked"),
        Column::Number("time"),
    ];
    let rows = audit.detections.iter().map(|found| {
        let cells = [
            head(found.kind.name(), 1),
            number(&count(found.images)),
            number(&percent(found.recall)),
            number(&percent(found.average_precision)),
            number(&percent(found.chance)),
            number(&share_cell(found.accuracy)),
            number(&seconds(found.seconds)),
        ];
        row("", &cells)
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return part("detection", "Detection from statistics", lead, &nothing("No detection was run."));
    }
    let body = table("Detection", &columns, &rows) + &details("Precision in each group", &by_group(audit));
    part("detection", "Detection from statistics", lead, &body)
}

fn by_group(audit: &ConfusionAudit) -> String {
    let mut columns = vec![Column::Text("looks at")];
    let names: Vec<String> = audit.groups.iter().map(|group| escape(&group.writers.join(", "))).collect();
    columns.extend(names.iter().map(|name| Column::Number(name)));
    let rows = audit.detections.iter().map(|found| {
        let cells = found.by_group.iter().zip(&audit.groups).map(|(precision, group)| match group.confusion {
            0 => number("–"),
            _ => number(&percent(*precision)),
        });
        row("", &std::iter::once(head(found.kind.name(), 1)).chain(cells).collect::<Vec<_>>())
    });
    table("Precision in each group", &columns, &rows.collect::<Vec<_>>())
}

fn prunings(audit: &ConfusionAudit) -> String {
    let lead = "On a few labelled images: what is the loss without a unit? No more units are left out of a group than there are \
        confusion neurons. The last line starts from the best of all choices before it, those of detections included, and \
        exchanges units; what was learned without labels counts there beside the labels.";
    let columns = [
        Column::Text("labelled images"),
        Column::Text("how"),
        Column::Number("precision"),
        Column::Number("recall"),
        Column::Number("loss"),
        Column::Number("right answers"),
        Column::Number("images forward"),
        Column::Number("backward"),
        Column::Number("time"),
    ];
    let rows = audit.prunings.iter().enumerate().map(|(at, found)| {
        let first = at == 0 || audit.prunings[at - 1].labelled != found.labelled;
        let alike = audit.prunings.iter().filter(|other| other.labelled == found.labelled).count();
        let cells = [
            words(found.kind.name()),
            number(&percent(found.precision)),
            number(&percent(found.recall)),
            number(&fixed(found.loss, 3)),
            number(&share_cell(found.accuracy)),
            number(&count(found.forward)),
            number(&count(found.backward)),
            number(&seconds(found.seconds)),
        ];
        let name = first.then(|| head(&count(found.labelled), alike));
        row(if first { "group" } else { "" }, &name.into_iter().chain(cells).collect::<Vec<_>>())
    });
    let rows: Vec<_> = rows.collect();
    let body = match rows.is_empty() {
        true => nothing("No pruning was run."),
        false => table("Pruning", &columns, &rows),
    };
    part("pruning", "Pruning by sensitivity", lead, &body)
}

fn tunings(audit: &ConfusionAudit) -> Result<String, Error> {
    let settings = &audit.settings.finetune;
    let lead = format!(
        "All weights are trained for {} of {} images with stochastic gradient descent, momentum 0.9, weight decay 0.0001 and a \
         rate that falls in a straight line to 0: from {}, and from {} where weights are random at first. The paper has half \
         a cosine instead (Section 3.3).",
        counted(settings.steps, "step", "steps"),
        count(settings.batch),
        chosen(settings.learning_rate),
        chosen(settings.scratch_rate)
    );
    let mut numbers: Vec<usize> = audit.tunings.iter().map(|run| run.labelled).collect();
    numbers.dedup();
    let charts = numbers.iter().map(|&labelled| curve(audit, labelled)).collect::<Result<String, Error>>()?;
    let columns = [
        Column::Text("labelled images"),
        Column::Text("begins"),
        Column::Number("right answers at first"),
        Column::Number("at the end"),
        Column::Number("time"),
    ];
    let rows = audit.tunings.iter().enumerate().map(|(at, run)| {
        let first = at == 0 || audit.tunings[at - 1].labelled != run.labelled;
        let alike = audit.tunings.iter().filter(|other| other.labelled == run.labelled).count();
        let ended = if run.diverged { " <small>ended early: the loss was no number any more</small>" } else { "" };
        let cells = [
            words(run.start.name()),
            number(&run.curve.first().map_or_else(|| "–".to_owned(), |point| percent(point.accuracy.share))),
            number(&format!("{}{ended}", share_cell(run.accuracy))),
            number(&seconds(run.seconds)),
        ];
        let name = first.then(|| head(&count(run.labelled), alike));
        row(if first { "group" } else { "" }, &name.into_iter().chain(cells).collect::<Vec<_>>())
    });
    let rows: Vec<_> = rows.collect();
    let body = match rows.is_empty() {
        true => nothing("Nothing was fine-tuned."),
        false => format!("<div class=\"charts\">\n{charts}</div>\n{}", table("Fine-tuning", &columns, &rows)),
    };
    Ok(part("tuning", "Fine-tuning without the key", &lead, &body))
}

fn curve(audit: &ConfusionAudit, labelled: usize) -> Result<String, Error> {
    let runs: Vec<_> = audit.tunings.iter().filter(|run| run.labelled == labelled).collect();
    let series = runs.iter().map(|run| Series {
        name: run.start.name().to_owned(),
        look: start_look(run.start),
        joined: true,
        points: run
            .curve
            .iter()
            .map(|point| Point { x: (point.step as f64).into(), y: point.accuracy.into(), tag: String::new() })
            .collect(),
    });
    let told = runs.iter().map(|run| {
        let points = run.curve.iter().map(|point| format!("{} at step {}", percent(point.accuracy.share), point.step));
        format!("{}: {}", run.start.name(), points.collect::<Vec<_>>().join(", "))
    });
    let title = format!("Fine-tuned on {}", counted(labelled, "labelled image", "labelled images"));
    let words = format!("{title}. {}.", told.collect::<Vec<_>>().join("; "));
    let last = runs.iter().flat_map(|run| &run.curve).map(|point| point.step).max().unwrap_or(0) as f64;
    let x = Axis::linear("steps", (0.0, last.max(1.0)), short);
    Chart { title, words, x, y: Axis::shares("right answers"), series: series.collect(), upright: Vec::new() }.figure()
}

fn saliency(audit: &ConfusionAudit) -> String {
    let title = "Where the network looks";
    let Some(found) = audit.saliency.as_ref() else {
        return part("saliency", title, "", &nothing("No saliency was computed."));
    };
    let how = match found.kind {
        SaliencyKind::ClassActivation => "Class activation maps (the paper’s Fig. 2)",
        SaliencyKind::InputGradient => {
            "Absolute derivatives of the class’s score by the pixels, smoothed, since the network does not end in a mean over \
             all positions as class activation maps need it"
        }
    };
    let lead = format!(
        "{how}, for the true class: blue where it is lowest in the image, red where it is highest. Below each name stands the \
         mean correlation of its maps with those of the network with the key."
    );
    if found.originals.is_empty() {
        return part(
            "saliency",
            title,
            &lead,
            &nothing("No pictures came with this audit. A record keeps the figures only."),
        );
    }
    let mut names = String::new();
    for column in &found.columns {
        let likeness = fixed(column.likeness, 2);
        let _ =
            write!(names, "<th scope=\"col\">{}<small>correlation {likeness}</small></th>", saliency_name(column.of));
    }
    let [_, height, width] = audit.input;
    let rows = found.originals.iter().enumerate().map(|(at, original)| {
        let own = image(Some(original), &format!("Test image {}", at + 1), (width, height));
        let maps = found.columns.iter().map(|column| {
            let words = format!("Where the network looks in test image {}, {}", at + 1, saliency_name(column.of));
            format!("<td>{}</td>", image(column.pictures.get(at), &words, (width, height)))
        });
        format!("<tr><th scope=\"row\">{own}</th>{}</tr>\n", maps.collect::<String>())
    });
    let table = format!(
        "<table class=\"grid\">\n<thead>\n<tr><th scope=\"col\">original</th>{names}</tr>\n</thead>\n<tbody>\n{}</tbody>\n</table>\n",
        rows.collect::<String>()
    );
    part("saliency", title, &lead, &scroll("Test images and where networks look", &table))
}

const fn saliency_name(of: SaliencyOf) -> &'static str {
    match of {
        SaliencyOf::WithKey => "with the key",
        SaliencyOf::WithoutKey => "without the key",
        SaliencyOf::Attacked => "after the best attack without training",
    }
}

fn key(audit: &ConfusionAudit) -> String {
    let lead = format!(
        "{} among {} units, at places that 2<sup>{}</sup> choices are left for whoever knows how many there are in each group. \
         Nobody has to try them all: the attacks on this page do not.",
        counted(audit.confusion(), "confusion neuron", "confusion neurons"),
        count(audit.groups.iter().map(|group| group.units).sum()),
        fixed(audit.bits, 1)
    );
    let columns = [
        Column::Text("written by layer"),
        Column::Number("units"),
        Column::Number("confusion neurons"),
        Column::Number("share"),
    ];
    let rows = audit.groups.iter().map(|group| {
        let cells = [
            head(&escape(&group.writers.join(", ")), 1),
            number(&count(group.units)),
            number(&count(group.confusion)),
            number(&part_of(group.confusion as f64, group.units as f64)),
        ];
        row("", &cells)
    });
    let added =
        (audit.widened_parameters as f64 - audit.plain_parameters as f64) / audit.plain_parameters.max(1) as f64;
    let gain = format!(
        "<p>{} parameters with the key, {} as released: {} more. Eq. 1 of the paper, with λ = {}: the scores move by {} on \
         average, less λ times {} of memory, {} in all.</p>\n",
        count(audit.plain_parameters),
        count(audit.widened_parameters),
        percent(added),
        fixed(audit.gain.balance, 1),
        fixed(audit.gain.distance, 2),
        fixed(audit.gain.memory, 3),
        fixed(audit.gain.value(), 2)
    );
    let body = gain + &table("Groups of channels", &columns, &rows.collect::<Vec<_>>());
    part("positions", "The key", &lead, &body)
}

fn closing(audit: &ConfusionAudit) -> String {
    let input = audit.input.map(count).join(" × ");
    let strategy =
        audit.strategy.map_or_else(|| "not told to the attacker".to_owned(), |strategy| strategy.to_string());
    let labelled: Vec<_> = audit.settings.labelled.iter().map(|&number| count(number)).collect();
    let facts = [
        ("Model", audit.model.clone()),
        ("Key", audit.key.clone()),
        ("Strategy", strategy),
        ("Images", format!("{input} values (channels, height, width)")),
        (
            "Classes",
            format!(
                "{}: {}",
                audit.classes.len(),
                audit.classes.iter().take(12).cloned().collect::<Vec<_>>().join(", ")
            ),
        ),
        ("Attacker’s images", format!("{}, of which labelled: {}", count(audit.own_images), labelled.join(", "))),
        ("Test images", count(audit.test_images)),
        ("Version", audit.version.clone()),
        ("Seed", audit.settings.seed.to_string()),
        ("Device", audit.device.clone()),
        ("Time", seconds(audit.seconds)),
    ];
    let list: String = facts.iter().map(|(name, fact)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(fact))).collect();
    let body = format!(
        "<dl class=\"wide\">\n{list}</dl>\n<h3>What was not tried</h3>\n<ul>\n{}</ul>\n",
        said::NOT_TRIED.map(|line| format!("<li>{line}</li>\n")).concat()
    );
    let lead =
        "With the same version, data and seed the figures should come out again on the same device; times will not.";
    let footer = "<footer>\n<p>What no attack on this page recovered may fall to another one.</p>\n</footer>\n";
    part("run", "What was run", lead, &body) + footer
}

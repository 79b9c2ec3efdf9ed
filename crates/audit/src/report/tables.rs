//! The figures themselves.

use super::answer;
use super::figures::{count, estimate_cell, fixed, interval, part_of, percent, seconds, share_cell, significant};
use super::html::{
    Column, details, escape, head, nothing, number, row, scroll, section as part, table, table_with_head, words,
};
use super::threats::{inversion_name, probe_name, target_name};
use super::view::{Entry, View};
use crate::{Inversion, Scores};

/// Cuts, inversions, probes and baselines, as tables.
pub(super) fn section(view: &View) -> String {
    let lead = "Small figures below a mean or a share are its 95 % interval. “Worst 5 %” is the mean over the images \
        on which the attacker does best.";
    let parts = [
        ("Cuts", cuts(view)),
        ("Inversions", inversions(view)),
        ("Baselines", baselines(view)),
        ("Probes", probes(view)),
    ];
    let body = parts.map(|(title, body)| format!("<h3>{title}</h3>\n{body}"));
    part("figures", "Figures", lead, &body.concat())
}

const CUTS_HEAD: [Column; 9] = [
    Column::Text("candidate"),
    Column::Text("layer"),
    Column::Number("smashed data"),
    Column::Number("bytes"),
    Column::Number("front half"),
    Column::Number("its parameters"),
    Column::Number("task accuracy"),
    Column::Number("guessing"),
    Column::Text("SHA-256 of the front half"),
];

fn cuts(view: &View) -> String {
    if view.entries.is_empty() {
        return nothing("No cut was tried.");
    }
    let rows = view.entries.iter().map(|entry| {
        let found = entry.found;
        let share = part_of(found.front_parameters as f64, found.all_parameters as f64);
        let parameters = format!("{}<small>{share} of all</small>", count(found.front_parameters));
        let hash = format!("<code class=\"hash\">{}</code>", escape(&found.front_hash));
        let cells = [
            head(&escape(&entry.name), 1),
            words(&escape(&found.layer)),
            number(&entry.shape()),
            number(&count(found.bytes)),
            number(&format!("{}\u{a0}ms", significant(found.front_ms, 3))),
            number(&parameters),
            number(&share_cell(found.task_accuracy)),
            number(&percent(found.label_guess)),
            words(&hash),
        ];
        row("", &cells)
    });
    table("Cuts", &CUTS_HEAD, &rows.collect::<Vec<_>>())
}

const SCORES_HEAD: &str = "<th scope=\"colgroup\" colspan=\"2\">MSE</th>\
    <th scope=\"colgroup\" colspan=\"2\">PSNR, dB</th><th scope=\"colgroup\" colspan=\"2\">SSIM</th>\
    <th scope=\"colgroup\" colspan=\"2\">perceptual</th><th scope=\"col\" rowspan=\"2\" class=\"n\">recognised</th>";
const PAIRS_HEAD: &str = "<th scope=\"col\" class=\"n\">mean</th><th scope=\"col\" class=\"n\">worst 5 %</th>";

fn inversions(view: &View) -> String {
    let mut rows = Vec::new();
    for entry in &view.entries {
        let attacks = &entry.found.inversions;
        for (index, attack) in attacks.iter().enumerate() {
            let mut cells = Vec::new();
            if index == 0 {
                cells.push(head(&escape(&entry.name), attacks.len()));
            }
            cells.extend(inversion_cells(attack));
            rows.push(row(if index == 0 { "group" } else { "" }, &cells));
        }
    }
    if rows.is_empty() {
        return nothing("No inversion was run, so nothing is known about the image.");
    }
    let head = format!(
        "<tr><th scope=\"col\" rowspan=\"2\">candidate</th><th scope=\"col\" rowspan=\"2\">attack</th>{SCORES_HEAD}\
         <th scope=\"col\" rowspan=\"2\" class=\"n\">attacker’s images</th><th scope=\"col\" rowspan=\"2\" class=\"n\">steps\
         </th><th scope=\"col\" rowspan=\"2\" class=\"n\">time</th><th scope=\"col\" rowspan=\"2\" class=\"n\">seed</th></tr>\n\
         <tr>{}</tr>\n",
        PAIRS_HEAD.repeat(4)
    );
    let subject = &view.audit.subject;
    format!(
        "{}<p class=\"note\">Pixels are 0 to 1. Recognised: reconstructions that the judge still gives the right class; \
         perceptual: distance of its features. The judge is {}; on the images themselves it is right in {}.</p>\n",
        table_with_head("Inversions", &head, &rows),
        escape(&subject.judge),
        percent(subject.judge_accuracy.share)
    )
}

fn inversion_cells(attack: &Inversion) -> Vec<String> {
    let settings = escape(&attack.settings);
    let mut cells =
        vec![words(&format!("<b>{}</b><small class=\"settings\">{settings}</small>", inversion_name(attack.kind)))];
    cells.extend(score_cells(&attack.scores));
    cells.extend([
        number(&count(attack.attacker_images)),
        number(&count(attack.steps)),
        number(&seconds(attack.seconds)),
        number(&attack.seed.to_string()),
    ]);
    cells
}

fn score_cells(scores: &Scores) -> Vec<String> {
    let measures = [(scores.mse, 4), (scores.psnr, 1), (scores.ssim, 3), (scores.perceptual, 3)];
    let pairs = measures.into_iter().flat_map(|(estimate, digits)| {
        [number(&estimate_cell(estimate, digits)), number(&fixed(estimate.worst, digits))]
    });
    pairs.chain([number(&share_cell(scores.recognised))]).collect()
}

fn baselines(view: &View) -> String {
    let rows = view.audit.baselines.iter().map(|baseline| {
        let cut = baseline
            .cut
            .as_ref()
            .map_or(String::new(), |cut| format!("<small>as many bytes as cut {}</small>", escape(cut)));
        let mut cells = vec![head(&format!("{}{cut}", escape(&baseline.name)), 1)];
        cells.extend(score_cells(&baseline.scores));
        row("", &cells)
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return nothing("No baseline was computed.");
    }
    let head = format!(
        "<tr><th scope=\"col\" rowspan=\"2\">instead of an attack</th>{SCORES_HEAD}</tr>\n<tr>{}</tr>\n",
        PAIRS_HEAD.repeat(4)
    );
    let note = "<p class=\"note\">What needs no smashed data. An attack that does no better has learned nothing about \
        the one image; a cut whose JPEG does worse than the attack sends the picture along.</p>\n";
    format!("{}{note}", table_with_head("Baselines", &head, &rows))
}

const PROBES_HEAD: [Column; 11] = [
    Column::Text("candidate"),
    Column::Text("reads"),
    Column::Text("probe"),
    Column::Number("accuracy"),
    Column::Number("95 % interval"),
    Column::Number("guessing"),
    Column::Number("on images"),
    Column::Number("attacker’s images"),
    Column::Number("steps"),
    Column::Number("time"),
    Column::Number("seed"),
];

fn probes(view: &View) -> String {
    let mut rows = Vec::new();
    for entry in &view.entries {
        let probes = &entry.found.probes;
        for (index, probe) in probes.iter().enumerate() {
            let mut cells = Vec::new();
            if index == 0 {
                cells.push(head(&escape(&entry.name), probes.len()));
            }
            cells.extend([
                words(target_name(probe.target)),
                words(probe_name(probe.kind)),
                number(&percent(probe.accuracy.share)),
                number(&interval(probe.accuracy)),
                number(&percent(probe.guess)),
                number(&count(probe.accuracy.of)),
                number(&count(probe.attacker_images)),
                number(&count(probe.steps)),
                number(&seconds(probe.seconds)),
                number(&probe.seed.to_string()),
            ]);
            rows.push(row(if index == 0 { "group" } else { "" }, &cells));
        }
    }
    if rows.is_empty() {
        return nothing("No probe was trained, so nothing is known about label and signal.");
    }
    table("Probes", &PROBES_HEAD, &rows)
}

/// Judgements and leakage check of each candidate, to be opened one by one.
pub(super) fn candidates(view: &View) -> String {
    let all = view.entries.iter().map(|entry| {
        let Entry { found, verdict, .. } = entry;
        let (state, check) = match &found.check {
            Some(report) => {
                let text = format!("<pre>{}</pre>\n", escape(&report.to_string()));
                let state = if report.verdict.leaks() { "leakage check: leaks" } else { "leakage check: passes" };
                (state, scroll(&format!("Leakage check, {}", entry.name), &text))
            }
            None => ("no leakage check", nothing("The leakage check cannot count a layer of this front half.")),
        };
        let answer = if verdict.passes { "<b class=\"yes\">✓ yes</b>" } else { "<b class=\"no\">✕ no</b>" };
        let (policy, promise) = (escape(&verdict.policy), escape(&verdict.promise));
        let summary = format!("{} <span class=\"muted\">{answer}, {state}</span>", escape(&entry.name));
        let policy = format!("<p class=\"policy\">Policy <b>{policy}</b>: {promise}</p>\n");
        let cards = answer::cards(entry);
        details(&summary, &format!("{policy}<div class=\"cards\">\n{cards}</div>\n<h3>Leakage check</h3>\n{check}"))
    });
    let all: String = all.collect();
    let lead = "The judgements with their evidence, and what counting equations against unknowns says.";
    let all = if all.is_empty() { nothing("No candidate was tried.") } else { all };
    part("candidates", "Each candidate in full", lead, &all)
}

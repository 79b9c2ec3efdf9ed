//! The first screen: the question, the answer, and what stands behind it.

use super::figures::{NONE, count, counted, fixed, percent, share_cell};
use super::html::{Column, escape, head, nothing, number, row, section as part, table, words};
use super::threats::{INVERSIONS, inversion_name, probe_name, target_name};
use super::view::{Entry, View};
use crate::{Judgement, Privacy, Probe, Stand};

/// The question and its answer, the three judgements on one entry, and the verdict on each.
pub(super) fn section(view: &View) -> String {
    let model = escape(&view.audit.subject.model);
    format!(
        "<header>\n<p class=\"eyebrow\">Cleave audit of <b>{model}</b></p>\n<div class=\"hero\">\n<div>\n\
         <h1>May I release this?</h1>\n{}{}</div>\n{}</div>\n{}{}</header>\n{}",
        answer(view),
        policies(view),
        basis(view),
        judgements(view),
        contents(view),
        overview(view)
    )
}

fn contents(view: &View) -> String {
    let sections = [
        ("verdicts", "Verdicts"),
        ("threats", "Attacker"),
        ("pictures", "Pictures"),
        ("key", "Key"),
        ("curves", "Curves"),
        ("defences", "Defences"),
        ("figures", "Figures"),
        ("directions", "Directions"),
        ("candidates", "Each candidate"),
        ("run", "What was run"),
    ];
    let locked = view.entries.iter().any(|entry| entry.found.key.is_some());
    let there = sections.iter().filter(|(id, _)| *id != "key" || locked);
    let links: Vec<_> = there.map(|(id, name)| format!("<a href=\"#{id}\">{name}</a>")).collect();
    format!("<nav aria-label=\"Contents\">{}</nav>\n", links.join(" "))
}

fn answer(view: &View) -> String {
    let (all, passing) = (view.entries.len(), view.entries.iter().filter(|entry| entry.verdict.passes).count());
    let tried = counted(all, "candidate", "candidates");
    let (verdict, reason) = match (view.recommended(), view.telling()) {
        (Some(entry), _) => {
            let accuracy = percent(entry.found.task_accuracy.share);
            let why = match (all, passing) {
                (1, _) => "The only candidate that was tried keeps every limit of the policy.".to_owned(),
                (_, 1) => format!("Of the {tried} that were tried, it alone keeps every limit of the policy."),
                _ => format!(
                    "Of the {tried} that were tried, {} keep every limit of the policy; this one has the highest task \
                     accuracy, {accuracy}.",
                    count(passing)
                ),
            };
            let yes = format!("<strong class=\"yes\">Yes</strong>, at {}", escape(&entry.name));
            (format!("{yes}{}", all_the_same(entry)), why)
        }
        (None, Some(entry)) => {
            let why = match all {
                1 => "The only candidate that was tried breaks limits of the policy.".to_owned(),
                _ => format!(
                    "None of the {tried} that were tried keeps every limit of the policy. The fewest judgements are \
                     broken at {}.",
                    escape(&entry.name)
                ),
            };
            ("<strong class=\"no\">No</strong> cut that was tried passes.".to_owned(), why)
        }
        (None, None) => ("No cut was tried.".to_owned(), "So there is no answer.".to_owned()),
    };
    let limits = match view.telling() {
        None => "",
        Some(entry) if entry.found.inversions.is_empty() && entry.found.probes.is_empty() => {
            " <b>No attack was run against it, so the answer rests on nothing that was measured.</b>"
        }
        Some(_) => " The answer holds for the attacks and images named on this page; nothing follows for others.",
    };
    format!("<p class=\"answer\">{verdict}</p>\n<p>{reason}{limits}</p>\n")
}

/// What is broken by limits that the policy does not set, although it is kept.
fn all_the_same(entry: &Entry) -> String {
    let broken = entry.verdict.judgements.iter().filter(|judgement| judgement.stand == Stand::Broken);
    let names: Vec<_> = broken
        .map(|judgement| match judgement.privacy {
            Privacy::Input => "the client’s image",
            Privacy::Output => "the client’s label",
            Privacy::Model => "the provider’s network",
        })
        .collect();
    match names.is_empty() {
        true => ".".to_owned(),
        false => format!(
            ", as far as this policy goes. Beyond its limits, attacks came <strong class=\"no\">through</strong> on {}.",
            names.join(" and ")
        ),
    }
}

/// Names and promises of the policies, one line each.
fn policies(view: &View) -> String {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for verdict in view.entries.iter().map(|entry| entry.verdict) {
        let policy = (verdict.policy.as_str(), verdict.promise.as_str());
        if !seen.contains(&policy) {
            seen.push(policy);
        }
    }
    let lines = seen.iter().map(|(name, promise)| {
        format!("<p class=\"policy\">Policy <b>{}</b>: {}</p>\n", escape(name), escape(promise))
    });
    lines.collect()
}

/// How many images and which attacks stand behind the answer.
fn basis(view: &View) -> String {
    let subject = &view.audit.subject;
    let images = format!(
        "{} inverted and {} probed ({})",
        count(subject.inverted_images),
        count(subject.private_images),
        escape(&subject.private_source)
    );
    let attacker = format!("{} ({})", count(subject.attacker_images), escape(&subject.attacker_source));
    let mut facts = vec![("Private images", images), ("Attacker’s images", attacker)];
    if let Some(entry) = view.telling() {
        let (tried, missing) = attacks(entry);
        facts.push(("Attacks here", tried));
        if !missing.is_empty() {
            facts.push(("Not tried here", missing));
        }
    }
    let list = facts.iter().map(|(name, fact)| format!("<dt>{name}</dt><dd>{fact}</dd>\n"));
    format!("<aside>\n<h2>What stands behind it</h2>\n<dl>\n{}</dl>\n</aside>\n", list.collect::<String>())
}

/// The attacks that ran against an entry, with their steps, and those that did not run.
fn attacks(entry: &Entry) -> (String, String) {
    let inversion = |kind| entry.found.inversions.iter().find(|attack| attack.kind == kind).map(|attack| attack.steps);
    let open = INVERSIONS.into_iter().filter(|&kind| entry.is_open_to(kind));
    let inversions = open.map(|kind| (inversion_name(kind), inversion(kind)));
    let steps = |probe: Option<&Probe>| probe.map(|probe| probe.steps);
    let signal = entry.found.key.is_none().then(|| ("signal probe", steps(entry.signal_probe())));
    let all = inversions.chain(signal).chain([("label probe", steps(entry.label_probe()))]);
    let ran = |(name, steps): (&str, Option<usize>)| Some(format!("{name} ({})", counted(steps?, "step", "steps")));
    let tried: Vec<_> = all.clone().filter_map(ran).collect();
    let missing: Vec<_> = all.filter(|(_, steps)| steps.is_none()).map(|(name, _)| name).collect();
    (if tried.is_empty() { "none".to_owned() } else { tried.join(", ") }, missing.join(", "))
}

fn judgements(view: &View) -> String {
    let Some(entry) = view.telling() else {
        return String::new();
    };
    let why = match view.recommended() {
        Some(_) => "recommended: of the passing candidates, the one with the highest task accuracy",
        None => "fewest judgements broken, then least similar reconstructions",
    };
    let title = format!("<h2>Judgements on {} <span class=\"muted\">{why}</span></h2>\n", escape(&entry.name));
    format!("{title}<div class=\"cards\">\n{}</div>\n", cards(entry))
}

/// The three judgements on an entry, side by side.
pub(super) fn cards(entry: &Entry) -> String {
    let all = [
        (Privacy::Input, "Input", "the client’s image"),
        (Privacy::Output, "Output", "the client’s label and signal"),
        (Privacy::Model, "Model", "the provider’s network"),
    ];
    all.map(|(privacy, name, what)| {
        let judgement = entry.judgement(privacy);
        let stand = judgement.map_or(Stand::NotMeasured, |judgement| judgement.stand);
        format!(
            "<article class=\"{}\">\n<h3>{name} <span class=\"muted\">{what}</span></h3>\n<p>{}</p>\n{}</article>\n",
            class(stand),
            chip(stand),
            evidence(judgement)
        )
    })
    .concat()
}

fn evidence(judgement: Option<&Judgement>) -> String {
    let sentences = judgement.map_or(&[][..], |judgement| &judgement.evidence);
    if sentences.is_empty() {
        return nothing("No evidence is given.");
    }
    let items = sentences.iter().map(|sentence| format!("<li>{}</li>", escape(&sentence.replace(" %", "\u{a0}%"))));
    format!("<ul>{}</ul>\n", items.collect::<String>())
}

fn class(stand: Stand) -> &'static str {
    match stand {
        Stand::NotBroken => "kept",
        Stand::NotMeasured => "open",
        Stand::Broken => "broken",
    }
}

/// How a judgement stands, in words and with a sign.
fn chip(stand: Stand) -> String {
    let (sign, words) = match stand {
        Stand::NotBroken => ("○", "not broken by what was tried"),
        Stand::NotMeasured => ("?", "not measured"),
        Stand::Broken => ("✕", "broken"),
    };
    format!("<span class=\"chip {}\"><span aria-hidden=\"true\">{sign}</span> {words}</span>", class(stand))
}

const OVERVIEW_HEAD: [Column; 11] = [
    Column::Text("cut"),
    Column::Text("release?"),
    Column::Text("defences"),
    Column::Number("task accuracy"),
    Column::Number("best SSIM"),
    Column::Number("recognised"),
    Column::Number("label probe"),
    Column::Number("signal probe"),
    Column::Text("input"),
    Column::Text("output"),
    Column::Text("model"),
];

/// Yes or no for each entry, with the figures that decide.
fn overview(view: &View) -> String {
    let recommended = view.recommended().map(|entry| std::ptr::from_ref(entry.found));
    let rows: Vec<_> = view
        .entries
        .iter()
        .map(|entry| {
            let pick = recommended == Some(std::ptr::from_ref(entry.found));
            row(if pick { "pick" } else { "" }, &overview_cells(view, entry, pick))
        })
        .collect();
    let lead = "A candidate is a cut with its defences. Best SSIM and recognised are the best attack’s; probes are the \
        best of their kind, with guessing below.";
    let table = table("Verdict on each candidate", &OVERVIEW_HEAD, &rows);
    let body = if rows.is_empty() { nothing("No candidate was tried.") } else { table };
    part("verdicts", "Verdict on each candidate", lead, &body)
}

fn overview_cells(view: &View, entry: &Entry, pick: bool) -> Vec<String> {
    let found = entry.found;
    let release = match (entry.verdict.passes, pick) {
        (true, true) => "<b class=\"yes\">✓ yes</b><small>recommended</small>",
        (true, false) => "<b class=\"yes\">✓ yes</b>",
        (false, _) => "<b class=\"no\">✕ no</b>",
    };
    let model = if view.models { format!("<small>{}</small>", escape(&found.model)) } else { String::new() };
    let cut = format!("{}<small>{}</small>{model}", escape(&found.cut), escape(&found.layer));
    let ssim = entry.best_inversion().map_or(NONE.to_owned(), |attack| {
        format!("{}<small>{}</small>", fixed(attack.scores.ssim.mean, 2), inversion_name(attack.kind))
    });
    let recognised = found.inversions.iter().map(|attack| attack.scores.recognised).filter(|share| share.of > 0);
    let recognised = recognised.max_by(|a, b| a.share.total_cmp(&b.share));
    let mut cells = vec![
        head(&cut, 1),
        words(release),
        words(&escape(&entry.defences())),
        number(&share_cell(found.task_accuracy)),
        number(&ssim),
        number(&recognised.map_or(NONE.to_owned(), |share| percent(share.share))),
        number(&probed(entry.label_probe())),
        number(&probed(entry.signal_probe())),
    ];
    cells.extend([Privacy::Input, Privacy::Output, Privacy::Model].map(|privacy| {
        let stand = entry.judgement(privacy).map_or(Stand::NotMeasured, |judgement| judgement.stand);
        words(&format!("<span class=\"stand {}\">{}</span>", class(stand), short_stand(stand)))
    }));
    cells
}

fn probed(probe: Option<&Probe>) -> String {
    probe.map_or(NONE.to_owned(), |probe| {
        let how = format!("{}, {}", target_name(probe.target), probe_name(probe.kind));
        format!(
            "<span title=\"{how}\">{}</span><small>guess {}</small>",
            percent(probe.accuracy.share),
            percent(probe.guess)
        )
    })
}

fn short_stand(stand: Stand) -> &'static str {
    match stand {
        Stand::NotBroken => "○ not broken",
        Stand::NotMeasured => "? not measured",
        Stand::Broken => "✕ broken",
    }
}

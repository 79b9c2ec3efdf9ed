//! What was run, on what, and by which version.

use super::figures::{count, counted, percent, seconds};
use super::html::{clean, escape, section as part};
use super::view::View;
use cleave_nets::SignalKind;

/// The last section, and the footer.
pub(super) fn sections(view: &View) -> String {
    let audit = view.audit;
    let list = facts(view).into_iter().map(|(name, fact)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(&fact)));
    let body = format!("<dl class=\"wide\">\n{}</dl>\n", list.collect::<String>());
    let lead =
        "With the same version, data and seed the figures should come out again on the same device; times will not.";
    let footer = format!(
        "<footer>\n<p>Cleave {}, seed {}, {}, {}. A judgement that says “not broken” says which attacks were tried, and \
         no more.</p>\n</footer>\n",
        escape(&audit.version),
        audit.seed,
        escape(&audit.device),
        seconds(audit.seconds)
    );
    part("run", "What was run", lead, &body) + &footer
}

fn facts(view: &View) -> Vec<(&'static str, String)> {
    let (audit, subject) = (view.audit, &view.audit.subject);
    let inversions: usize = audit.cuts.iter().map(|cut| cut.inversions.len()).sum();
    let probes: usize = audit.cuts.iter().map(|cut| cut.probes.len()).sum();
    let signal = match (subject.signal, subject.join) {
        (Some(kind), Some(join)) => format!("{}, joined at layer {join}", signal_name(kind)),
        (Some(kind), None) => signal_name(kind).to_owned(),
        (None, _) => "none".to_owned(),
    };
    let judge = format!(
        "{}, right in {} of {} images",
        clean(&subject.judge),
        percent(subject.judge_accuracy.share),
        count(subject.judge_accuracy.of)
    );
    vec![
        (
            "Model",
            format!("{}, {}", clean(&subject.model), counted(subject.layers, "numbered layer", "numbered layers")),
        ),
        ("Images", subject.input.map(count).join(" × ") + " values (channels, height, width)"),
        ("Classes", classes(&subject.classes)),
        ("Signal", signal),
        (
            "Private images",
            format!(
                "{}: {} for probes, {} for inversions",
                subject.private_source,
                count(subject.private_images),
                count(subject.inverted_images)
            ),
        ),
        ("Attacker’s images", format!("{}: {}", subject.attacker_source, count(subject.attacker_images))),
        ("Judge", judge),
        (
            "Tried",
            format!(
                "{}, {}, {}",
                counted(view.entries.len(), "candidate", "candidates"),
                counted(inversions, "inversion", "inversions"),
                counted(probes, "probe", "probes")
            ),
        ),
        ("Version", audit.version.clone()),
        ("Seed", audit.seed.to_string()),
        ("Device", audit.device.clone()),
        ("Time", seconds(audit.seconds)),
    ]
}

fn signal_name(kind: SignalKind) -> &'static str {
    match kind {
        SignalKind::Complement => "complement",
        SignalKind::Offset => "offset",
    }
}

/// The first dozen, and how many more.
fn classes(names: &[String]) -> String {
    const MOST: usize = 12;
    let first: Vec<_> = names.iter().take(MOST).map(String::as_str).collect();
    let more = names.len().saturating_sub(MOST);
    let rest = if more > 0 { format!(" and {} more", count(more)) } else { String::new() };
    format!("{}: {}{rest}", count(names.len()), first.join(", "))
}

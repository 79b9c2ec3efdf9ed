//! What was run, on what, and by which version.

use super::figures::{count, counted, percent, seconds};
use super::html::{escape, section as part};
use super::view::View;
use crate::Subject;
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
    let [shape, classes] = [subject.input.map(count).join(" × "), classes(&subject.classes)];
    let probed =
        format!("{} for probes, {} for inversions", count(subject.private_images), count(subject.inverted_images));
    let (right, of) = (percent(subject.judge_accuracy.share), count(subject.judge_accuracy.of));
    let layers = counted(subject.layers, "numbered layer", "numbered layers");
    vec![
        ("Model", format!("{}, {layers}", subject.model)),
        ("Images", format!("{shape} values (channels, height, width)")),
        ("Classes", classes),
        ("Signal", signal(subject)),
        ("Private images", format!("{}: {probed}", subject.private_source)),
        ("Attacker’s images", format!("{}: {}", subject.attacker_source, count(subject.attacker_images))),
        ("Judge", format!("{}, right in {right} of {of} images", subject.judge)),
        ("Tried", tried(view)),
        ("Version", audit.version.clone()),
        ("Seed", audit.seed.to_string()),
        ("Device", audit.device.clone()),
        ("Time", seconds(audit.seconds)),
    ]
}

fn tried(view: &View) -> String {
    let cuts = || view.audit.cuts.iter();
    let inversions = cuts().map(|cut| cut.inversions.len()).sum();
    let probes = cuts().map(|cut| cut.probes.len()).sum();
    let (inversions, probes) = (counted(inversions, "inversion", "inversions"), counted(probes, "probe", "probes"));
    format!("{}, {inversions}, {probes}", counted(view.entries.len(), "candidate", "candidates"))
}

fn signal(subject: &Subject) -> String {
    let name = match subject.signal {
        Some(SignalKind::Complement) => "complement",
        Some(SignalKind::Offset) => "offset",
        None => return "none".to_owned(),
    };
    subject.join.map_or(name.to_owned(), |join| format!("{name}, joined at layer {join}"))
}

/// The first dozen, and how many more.
fn classes(names: &[String]) -> String {
    const MOST: usize = 12;
    let first: Vec<_> = names.iter().take(MOST).map(String::as_str).collect();
    let more = names.len().saturating_sub(MOST);
    let rest = if more > 0 { format!(" and {} more", count(more)) } else { String::new() };
    format!("{}: {}{rest}", count(names.len()), first.join(", "))
}

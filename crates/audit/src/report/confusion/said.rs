//! The answer in words, computed from the figures.

use super::super::figures::{count, counted, fixed, percent};
use crate::{ConfusionAudit, Share, TuneStart};

/// One attack and what it came to.
pub(super) struct Attack {
    pub(super) name: String,
    pub(super) labelled: usize,
    pub(super) seconds: f64,
    pub(super) accuracy: Share,
    /// A baseline: with the key, or without the model.
    pub(super) baseline: bool,
}

/// Of each kind of attack the run that was right most often.
pub(super) fn by_kind(audit: &ConfusionAudit) -> Vec<Attack> {
    let mut all: Vec<Attack> = Vec::new();
    let detection = audit.detections.iter().map(|found| {
        let name = format!("detection by {}", found.kind.name());
        ("detection", Attack { name, labelled: 0, seconds: found.seconds, accuracy: found.accuracy, baseline: false })
    });
    let pruning = audit.prunings.iter().map(|found| {
        let name = format!("pruning, {}", found.kind.name());
        let (labelled, seconds, accuracy) = (found.labelled, found.seconds, found.accuracy);
        ("pruning", Attack { name, labelled, seconds, accuracy, baseline: false })
    });
    let tuning = audit.tunings.iter().map(|run| {
        let (labelled, seconds, accuracy) = (run.labelled, run.seconds, run.accuracy);
        let baseline = matches!(run.start, TuneStart::WithKey | TuneStart::Scratch);
        let name = format!("fine-tuning {}", run.start.name());
        (run.start.name(), Attack { name, labelled, seconds, accuracy, baseline })
    });
    let mut kinds: Vec<&str> = Vec::new();
    for (kind, attack) in detection.chain(pruning).chain(tuning) {
        match kinds.iter().position(|&other| other == kind) {
            Some(at) if attack.accuracy.share > all[at].accuracy.share => all[at] = attack,
            Some(_) => {}
            None => {
                kinds.push(kind);
                all.push(attack);
            }
        }
    }
    all
}

/// The attack that was right most often; of equal ones the one with fewer labels.
pub(super) fn best(audit: &ConfusionAudit) -> Option<Attack> {
    let attacks = by_kind(audit).into_iter().filter(|attack| !attack.baseline);
    attacks.max_by(|a, b| a.accuracy.share.total_cmp(&b.accuracy.share).then(b.labelled.cmp(&a.labelled)))
}

/// The first lines of the page.
pub(super) fn answer(audit: &ConfusionAudit) -> String {
    let worth = 100.0 * (audit.with_key.share - audit.without_key.share);
    let overlap = audit.with_key.low <= audit.without_key.high;
    let stands = format!(
        "The network is right in {} of the test images with the key and in {} without it",
        percent(audit.with_key.share),
        percent(audit.without_key.share)
    );
    let Some(best) = best(audit) else {
        return format!(
            "<p class=\"answer\">{stands}.</p>\n<p><b>No attack was run, so nothing is known of what the key is worth.</b></p>\n"
        );
    };
    if worth <= 0.0 || overlap {
        return format!(
            "<p class=\"answer\"><strong class=\"no\">Little:</strong> {stands}, which these test images do not tell \
             apart.</p>\n<p>Without the key the network works about as well, so there is little to recover.</p>\n"
        );
    }
    let back = 100.0 * (best.accuracy.share - audit.without_key.share);
    let with = match best.labelled {
        0 => "without a single label".to_owned(),
        labelled => format!("with {}", counted(labelled, "labelled image", "labelled images")),
    };
    let share = back / worth;
    let [class, verdict] = match share {
        share if share >= 0.9 => ["no", "Next to nothing against this attacker"],
        share if share >= 0.5 => ["no", "Less than half of what it seems"],
        share if share >= 0.1 => ["open", "Most of what it seems, against the attacks that were tried"],
        _ => ["open", "Nearly all of what it seems, against the attacks that were tried"],
    };
    let least = cheapest(audit).map(|labelled| match labelled {
        0 => " No label was needed to bring back nine tenths.".to_owned(),
        labelled => format!(
            " {} were enough to bring back nine tenths.",
            counted(labelled, "labelled image", "labelled images")
        ),
    });
    format!(
        "<p class=\"answer\"><strong class=\"{class}\">{verdict}.</strong> {stands}; the best attack, {}, {with}, brought back {} \
         of the {} points between them.</p>\n<p>It is right in {} of the test images.{} The answer holds for the attacks, the network \
         and the images of this page; nothing follows for others.</p>\n",
        best.name,
        fixed(back, 1),
        fixed(worth, 1),
        percent(best.accuracy.share),
        least.unwrap_or_default()
    )
}

/// The fewest labels with which an attack brought back nine tenths.
fn cheapest(audit: &ConfusionAudit) -> Option<usize> {
    let detections = audit.detections.iter().map(|found| (0, found.accuracy));
    let prunings = audit.prunings.iter().map(|found| (found.labelled, found.accuracy));
    let tunings = audit.tunings.iter().filter(|run| matches!(run.start, TuneStart::WithoutKey | TuneStart::Pruned));
    let tunings = tunings.map(|run| (run.labelled, run.accuracy));
    let all = detections.chain(prunings).chain(tunings);
    let enough = all.filter(|(_, accuracy)| audit.regained(accuracy.share).is_some_and(|share| share >= 0.9));
    enough.map(|(labelled, _)| labelled).min()
}

/// Who the attacker is.
pub(super) fn attacker(audit: &ConfusionAudit) -> String {
    let strategy = match audit.strategy {
        Some(strategy) => format!("It knows that the weights were drawn by the strategy <b>{strategy}</b>"),
        None => "It does not know by which strategy the weights were drawn".to_owned(),
    };
    format!(
        "<p>Holds the whole widened network, knows the scheme and how images are prepared. {strategy}, and, as the worst case, \
         how many confusion neurons each group of channels has.</p>\n<p>Has {} of its own, of which it labels up to {}. Never \
         the key, and never a test image.</p>\n",
        counted(audit.own_images, "image", "images"),
        count(audit.settings.labelled.iter().copied().max().unwrap_or(0).min(audit.own_images))
    )
}

pub(super) const NOT_TRIED: [&str; 7] = [
    "an attacker that holds two releases of one network, with other positions or other weights drawn anew",
    "an attacker that holds the network before some fine-tuning, or another network trained on the same images",
    "an attacker that can ask the network with the key for answers, and distils from them",
    "an attacker that does not know how many confusion neurons there are and has to estimate it",
    "rates, schedules and augmentation for fine-tuning other than those named above; freezing of layers",
    "statistics of pairs of layers, and detectors trained on other networks",
    "data of another task, for which an honest client would fine-tune",
];

//! Who the attacker is, what that attacker does, and what nobody looked at.

use super::figures::{count, counted};
use super::html::{Column, escape, row, section as part, table, words};
use super::view::View;
use crate::{InversionKind, ProbeKind, ProbeTarget};

/// All inversions, in the order of the page.
pub(super) const INVERSIONS: [InversionKind; 6] = [
    InversionKind::WhiteBox,
    InversionKind::Decoder,
    InversionKind::QueryFree,
    InversionKind::LeastSquares,
    InversionKind::KnownImages,
    InversionKind::KeyedImages,
];

/// Name of an inversion, for a cell or a legend.
pub(super) fn inversion_name(kind: InversionKind) -> &'static str {
    match kind {
        InversionKind::WhiteBox => "white-box",
        InversionKind::Decoder => "decoder",
        InversionKind::QueryFree => "query-free",
        InversionKind::LeastSquares => "least squares",
        InversionKind::KnownImages => "known images",
        InversionKind::KeyedImages => "keyed images alone",
    }
}

/// Name of a probe.
pub(super) fn probe_name(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Linear => "linear",
        ProbeKind::Small => "one hidden layer",
    }
}

/// What a probe reads, for a cell or a legend.
pub(super) fn target_name(target: ProbeTarget) -> &'static str {
    match target {
        ProbeTarget::Signal => "signal",
        ProbeTarget::Label => "label",
        ProbeTarget::LabelByAnswer => "label, by the answer",
    }
}

/// The attacker, in plain words.
pub(super) fn section(view: &View) -> String {
    let subject = &view.audit.subject;
    let locked = view.entries.iter().any(|entry| entry.found.key.is_some());
    let [knows, sees] = match locked {
        true => ["the locked network and not its key", "keyed image that arrives"],
        false => ["the front half’s weights", "smashed tensor that crosses the cut"],
    };
    let given = match locked {
        true => {
            "<li>for the label probe alone is given keyed images with their labels, and for known images alone the two \
            forms of some, which somebody with the key has to let out;</li>\n"
        }
        false => "",
    };
    let known = format!(
        "<div class=\"pair\">\n<div>\n<h3>The attacker that was measured</h3>\n<ul>\n\
         <li>is the provider: whoever runs the back half and answers the client;</li>\n\
         <li>knows {knows}, and what the training images look like: it has {} of its own ({});</li>\n\
         <li>sees every {sees}, and every reply that goes back;</li>\n{given}\
         <li>keeps all of it, and computes on it at leisure; each attack below had the images, steps and time that \
         stand in its row;</li>\n\
         <li>follows the protocol: the front half in use is the one measured here, and the answers are honest.</li>\n\
         </ul>\n</div>\n",
        counted(subject.attacker_images, "image", "images"),
        escape(&subject.attacker_source),
    );
    let body = format!("{known}{NOT_COVERED}</div>\n{}", attacks(view));
    let lead = "Each figure on this page is what one attacker reached. It says little about another one.";
    part("threats", "Who is the attacker?", lead, &body)
}

const NOT_COVERED: &str = "<div>\n<h3>What is not covered</h3>\n<ul>\n\
    <li>a provider that makes the front half leak on purpose: the client cannot tell, and nothing here would show \
    it;</li>\n\
    <li>side channels: time, power, memory, the length and timing of messages;</li>\n\
    <li>attacks stronger than those listed: more images or steps, better knowledge of what images look like, several \
    requests of one person taken together;</li>\n\
    <li>a client that copies the provider’s network with more questions, or better chosen ones, than were tried here;</li>\n\
    <li>break-ins, and faults in the software.</li>\n\
    </ul>\n</div>\n";

/// All attacks that there are, with what they do and how often they ran.
fn attacks(view: &View) -> String {
    let all = view.entries.len();
    let open_to = |kind| view.entries.iter().filter(|entry| entry.is_open_to(kind)).count();
    let cells = |name: &str, what: &str, ran: usize, applies: usize| {
        let muted = |text: &str| format!("<span class=\"muted\">{text}</span>");
        let often = match ran {
            0 if applies == 0 => muted("does not apply"),
            0 => muted("not tried"),
            ran if ran == all => "everywhere".to_owned(),
            ran => format!("at {} of {}", count(ran), count(all)),
        };
        row("", &[words(&format!("<b>{name}</b>")), words(what), words(&often)])
    };
    let inversions = INVERSIONS.map(|kind| {
        let ran = view.entries.iter().filter(|entry| entry.tried(kind)).count();
        cells(inversion_name(kind), what_inversion(kind), ran, open_to(kind))
    });
    let probes = [ProbeTarget::Signal, ProbeTarget::Label, ProbeTarget::LabelByAnswer].map(|target| {
        let ran = view.entries.iter().filter(|entry| entry.probe(|probe| probe.target == target).is_some()).count();
        let signals = view.entries.iter().filter(|entry| entry.found.key.is_none()).count();
        let applies = if target == ProbeTarget::Signal { signals } else { all };
        cells(&format!("probe: {}", target_name(target)), what_probe(target), ran, applies)
    });
    let copied = view.entries.iter().filter(|entry| entry.found.extraction.is_some()).count();
    let extraction = cells("model extraction", EXTRACTION, copied, all);
    let rows: Vec<_> = inversions.into_iter().chain(probes).chain([extraction]).collect();
    let table = table("Attacks", &[Column::Text("attack"), Column::Text("what it does"), Column::Text("tried")], &rows);
    format!("<h3>The attacks</h3>\n{table}")
}

const EXTRACTION: &str = "Not by the provider, but on it: a client trains a back half of its own on the answers.";

fn what_inversion(kind: InversionKind) -> &'static str {
    match kind {
        InversionKind::WhiteBox => {
            "Changes an image step by step until the front half, whose weights it knows, gives the same smashed data."
        }
        InversionKind::Decoder => "A network trained on images of the attacker’s own to turn smashed data into images.",
        InversionKind::QueryFree => {
            "As white-box, but on a substitute front half, because it does not know the weights. A weaker attacker, \
             for comparison."
        }
        InversionKind::LeastSquares => "Solves the front half as a linear system.",
        InversionKind::KnownImages => {
            "Finds the key by comparing images that it knows with their keyed forms, and opens the others with it."
        }
        InversionKind::KeyedImages => {
            "Finds the key in keyed images alone, by how values of natural images vary together, and opens them with it."
        }
    }
}

fn what_probe(target: ProbeTarget) -> &'static str {
    match target {
        ProbeTarget::Signal => "A classifier trained to read the client’s secret signal from smashed data.",
        ProbeTarget::Label => "A classifier trained to read the true label from smashed data.",
        ProbeTarget::LabelByAnswer => "Unmasks the back half’s answer with the signal that a probe read.",
    }
}

//! The page's sentences, computed from the figures.

use super::super::figures::{NONE, count, counted, fixed, significant};
use super::classifier;
use crate::{Encryption, MessageKind, Opening, Sight, Told, TrainingAudit, WrongKind};

pub(super) const LOOKERS: &str = "<p><b>The provider</b> gets evaluation keys and ciphertexts, computes, and keeps what it gets.</p>\n\
    <p><b>The client</b> has the key, the samples and the labels, decrypts the weights of a round, and encrypts them anew for the \
    next one.</p>\n";

/// Controls that were missed.
fn missed(audit: &TrainingAudit) -> usize {
    audit.sights.iter().filter(|sight| sight.encryption != Encryption::Real && !sight.is_told()).count()
}

/// The case of the protocol itself.
fn protocol(audit: &TrainingAudit) -> Option<&Opening> {
    audit.openings.iter().find(|opening| opening.told.is_protocol())
}

/// To the last bit.
fn exact(audit: &TrainingAudit, told: Told) -> Option<&Opening> {
    audit.told(told).find(|opening| opening.bits.is_none())
}

/// The fewest bits at which the key was found.
fn fewest(audit: &TrainingAudit, told: Told) -> Option<u32> {
    audit.told(told).filter(|opening| opening.recovered).filter_map(|opening| opening.bits).min()
}

/// The first lines of the page.
pub(super) fn answer(audit: &TrainingAudit) -> String {
    let sees = match audit.sight(Encryption::Real) {
        None => "<strong class=\"no\">Nobody knows:</strong> no ciphertexts were looked at".to_owned(),
        Some(sight) if sight.is_told() => {
            "<strong class=\"no\">Something shows through:</strong> a test or a classifier found a \
            pattern in the ciphertexts"
                .to_owned()
        }
        Some(_) if missed(audit) > 0 => {
            "<strong class=\"open\">Nothing was found in the ciphertexts, but the tests missed an \
            encryption that was weakened on purpose, so they say little</strong>"
                .to_owned()
        }
        Some(_) => {
            "<strong class=\"open\">No test told ciphertexts from even noise</strong>, and the same tests found each \
            encryption that was weakened on purpose"
                .to_owned()
        }
    };
    let kept = match protocol(audit) {
        None => "What a decrypted number gives away was not tried".to_owned(),
        Some(opening) if opening.recovered => {
            "<b class=\"no\">What the protocol sends back gave the key</b>".to_owned()
        }
        Some(_) => "From what the protocol sends back the attack that was tried got nothing".to_owned(),
    };
    let flawed = match exact(audit, Told::AnswerSlots) {
        Some(opening) if opening.recovered => {
            ". A client that tells the provider all slots of <b>one</b> decrypted answer gives it the whole key"
        }
        _ => "",
    };
    let means = exact(audit, Told::Means).filter(|opening| opening.recovered).map(|opening| {
        format!(
            "; one that returns its decrypted weights in the clear, to the last bit, after <b>{}</b>",
            counted(opening.rounds, "round", "rounds")
        )
    });
    format!(
        "<p class=\"answer\">{sees}. {kept}{flawed}{}.</p>\n<p>The provider still learns how many samples, features and classes there \
         are, the cubic, how many rounds, and when. <b>Nothing floods the noise.</b> The answer holds for what was tried on this \
         page; nothing follows for other attacks.</p>\n",
        means.unwrap_or_default()
    )
}

/// The four questions.
pub(super) fn cards(audit: &TrainingAudit) -> String {
    let card = |bad: bool, title: &str, big: &str, small: &str| {
        format!(
            "<article class=\"{}\">\n<h3>{title}</h3>\n<p class=\"answer\"><b>{big}</b></p>\n<p><small>{small}</small></p>\n\
             </article>\n",
            if bad { "broken" } else { "open" }
        )
    };
    let shown = audit.sight(Encryption::Real).is_none_or(Sight::is_told) || missed(audit) > 0;
    let sees = classifier(audit).unwrap_or_else(|| NONE.to_owned());
    let one = exact(audit, Told::AnswerSlots).filter(|opening| opening.recovered);
    let told = if one.is_some() { "the key" } else { "not found" };
    let failed: usize = audit.hostile.iter().map(|found| found.failed).sum();
    let tried: usize = audit.hostile.iter().map(|found| found.tried).sum();
    let taken = audit.wrong.iter().filter(|found| found.kind != WrongKind::Honest && !found.refused).count();
    [
        card(shown, "Ciphertexts", &sees, "right of a classifier for data of 0 and large data; guessing gets 50 %"),
        card(
            one.is_some(),
            "One decrypted answer",
            told,
            "if the provider were told all slots to the last bit; the protocol tells none",
        ),
        card(
            failed > 0,
            "Other answers",
            &format!("{} of {}", count(failed), count(tried)),
            "made the client fail after it had decrypted",
        ),
        card(
            taken > 0,
            "Wrong training",
            if taken > 0 { "not noticed" } else { NONE },
            "by the client’s functions; only the training in the clear tells",
        ),
    ]
    .concat()
}

/// Whether lengths depend on the data.
pub(super) fn lengths(audit: &TrainingAudit) -> String {
    let messages = &audit.protocol.messages;
    let alike = messages.iter().all(|message| message.alike);
    let sum = |kinds: &[MessageKind]| -> usize {
        messages.iter().filter(|message| kinds.contains(&message.kind)).map(|message| message.bytes[2]).sum()
    };
    let found = match alike {
        true => "All pieces had the same lengths, whatever was in them: they follow from n, d, c and the parameters.",
        false => "<b class=\"no\">Some pieces had lengths that differ between data sets.</b>",
    };
    let linked = match audit.protocol.linked {
        true => "All messages name the same key, which links them",
        false => "Messages named different keys",
    };
    format!(
        "<p>{found} Sent once: {} bytes; each round of {}: {} bytes there and {} back. {linked}. Largest error of a decrypted weight \
         against the training in the clear: {}.</p>\n",
        count(sum(&[MessageKind::Keys, MessageKind::Data])),
        counted(audit.protocol.iterations, "iteration", "iterations"),
        count(sum(&[MessageKind::Weights])),
        count(sum(&[MessageKind::Answer])),
        significant(audit.protocol.error, 2)
    )
}

/// What stands beside the ciphertexts.
pub(super) fn in_the_clear(audit: &TrainingAudit) -> String {
    format!(
        "<p>It learns: n = {}, d = {}, c = {}; the cubic’s two numbers; how many iterations a round has and how many rounds there \
         are; the name of the key, and a random name for each upload; who is connected, and when. It does not get: samples, \
         labels, weights, the preconditioner. The number of rounds has to be fixed beforehand: one that is chosen by what was \
         decrypted would tell of it.</p>\n",
        count(audit.samples),
        count(audit.features),
        count(audit.classes)
    )
}

/// What the cubic says of the data it was fitted to.
pub(super) fn cubic(audit: &TrainingAudit) -> String {
    let found = &audit.cubic;
    let [low, high] = found.exact;
    let [least, most] = found.rounded;
    let tells = match high - low < found.range {
        true => format!(
            "The largest score in the clear was {}. Fitted to it, the cubic’s numbers to the last bit are those of ranges from {} \
             to {} alone, which are {} apart: <b>they tell the range of the client’s scores.</b> Rounded to three digits, they are those of \
             ranges from {} to {}. A cubic whose numbers were fixed before anybody saw the data, such as the paper’s, tells \
             nothing.",
            significant(found.range, 6),
            significant(low, 6),
            significant(high, 6),
            significant(high - low, 1),
            fixed(least, 3),
            fixed(most, 3)
        ),
        false => "These two numbers are those of no range of the client’s: they were fixed before, and tell nothing of its data."
            .to_owned(),
    };
    format!(
        "<h3>The cubic</h3>\n<p>½ + ({})·z + ({})·z³ stands in for the sigmoid. {tells}</p>\n",
        significant(found.linear, 6),
        significant(found.cubic, 6)
    )
}

/// Whether times could be told apart.
pub(super) fn times(audit: &TrainingAudit) -> String {
    let overlap = match audit.timings.as_slice() {
        [one, other, ..] => one.overlaps(other),
        _ => true,
    };
    let found = match overlap {
        true => "The ranges overlap: in these runs time told nothing of the data.",
        false => {
            "<b class=\"no\">The ranges do not overlap.</b> With few runs and other work on the machine that happens by chance too: run it again."
        }
    };
    format!(
        "<p>{found} The two took turns. Other work on the machine adds to the times, and could hide a small difference. The \
         provider’s arithmetic sees ciphertexts alone, so its time can say no more of the data than they do.</p>\n"
    )
}

/// How classifiers were trained.
pub(super) fn classifiers(trained: usize) -> String {
    format!(
        "The classifiers are logistic regressions on summaries of one ciphertext and its difference from that of the same place in \
         another upload (ranges, steps, lowest bits, small numbers), trained on up to {} and tried on ciphertexts of other uploads.",
        count(trained)
    )
}

/// What linear algebra got, and what follows.
pub(super) fn openings(audit: &TrainingAudit) -> String {
    let places = &audit.places;
    let mut out = String::new();
    let mut say = |text: String| out.push_str(&format!("<p>{text}</p>\n"));
    if let Some(opening) = protocol(audit) {
        let what = match opening.recovered {
            true => "<b class=\"no\">and this gave the key</b>",
            false => "and this gave nothing",
        };
        say(format!(
            "<b>As the protocol has it</b>, the weights come back as a fresh encryption. The provider brought its own answer to the \
             same scale, took the difference of both for an encryption of 0, and solved for the key as if it were one: {what}. The \
             difference has an error of {} in each coefficient, of which the fresh encryption’s own is 3.24, drawn anew. What is left \
             is a sample of ring-LWE, which was not attacked.",
            significant(opening.left, 2)
        ));
    }
    if let Some(bits) = fewest(audit, Told::FreshSlots) {
        say(format!(
            "<b>All slots of one ciphertext</b>: rounded to {bits} bits behind the point and more, the key came out by one division. With \
             fewer bits the told polynomial is wrong in some coefficients, and the division gives noise. What is then left is \
             ring-LWE modulo q₀ with what rounding left as its error, on {} bits of modulus. That was not attacked, nor were several \
             such ciphertexts together.",
            audit.scheme.primes.first().map_or(0, |q| q.ilog2() + 1)
        ));
    }
    if let Some(bits) = fewest(audit, Told::Offsets) {
        let times = audit.told(Told::Offsets).map(|opening| opening.ciphertexts).max().unwrap_or(0);
        say(format!(
            "<b>Rounding is no protection against a provider that chooses its answers.</b> It needs no key to add a known number to a \
             ciphertext. Told of {} such, it averaged the rounding away and got the key at {bits} bits behind the point.",
            count(times)
        ));
    }
    if places.full == 0 {
        say("No ciphertext of the weights was full, so that most of its slots are told by nobody: what their means give away was not \
             tried."
            .to_owned());
    } else if let Some(opening) = exact(audit, Told::Means) {
        let needed = places.block.div_ceil(places.full.max(1));
        let came = match opening.recovered {
            true => "<b class=\"no\">the whole key came out</b>",
            false => "the key did not come out",
        };
        say(format!(
            "<b>What <code>decrypt_model</code> gives</b> is the mean of each weight over {} copies. That mean is exactly {} of the {} \
             coefficients of the polynomial: those at multiples of {}. {} of the {} slots that these have are weights; the others \
             hold noise alone, and were found by lattice reduction in a few dimensions where there were at most 8. Each full ciphertext so gives {} \
             exact equations for the {} coefficients of the key, and {} of them are enough, that is {} of training. With {} from {} \
             {came}{}.",
            count(places.block),
            count(opening.of),
            count(opening.unknowns),
            count(places.block),
            count(places.inner.saturating_sub(places.untold(audit.classes))),
            count(places.inner),
            count(2 * places.inner),
            count(opening.unknowns),
            count(places.block),
            counted(needed, "round", "rounds"),
            counted(opening.ciphertexts, "ciphertext", "ciphertexts"),
            counted(opening.rounds, "round", "rounds"),
            fewest(audit, Told::Means).map_or_else(String::new, |bits| format!(
                ", also where they were rounded to {bits} bits behind the point"
            ))
        ));
    }
    if let Some(opening) = audit.told(Told::SingleMeans).next().filter(|opening| opening.ciphertexts > 0) {
        let found =
            if opening.recovered { "<b class=\"no\">the key came out</b>" } else { "the same code got nothing" };
        say(format!(
            "<b>A published head</b> has weights of 32 bits. With V of every round told that way, {} known linear functions of \
             the noise for {} coefficients of the key, each wrong by about {} where 0.1 or so can be rounded away, {found}. A head shows W \
             of the last round alone, which is less. Nothing floods that noise, so this says only that plain linear algebra \
             stops there.",
            count(opening.ciphertexts * opening.known),
            count(opening.unknowns),
            significant(opening.left, 2)
        ));
    }
    out
}

/// What hostile answers showed.
pub(super) fn hostile(audit: &TrainingAudit) -> String {
    let failed: usize = audit.hostile.iter().map(|found| found.failed).sum();
    let mixed = audit.hostile.iter().filter(|found| found.refused > 0 && found.refused < found.tried).count();
    let found = match (failed, mixed) {
        (0, 0) => "No answer made the client fail after it had decrypted, and each kind was refused always or never: what is refused \
            is seen in the clear, and the provider knows it beforehand. The messages of the next round had their usual lengths."
            .to_owned(),
        (0, _) => "<b class=\"no\">A kind of answer was refused for some keys or data and not for others.</b>".to_owned(),
        _ => format!(
            "<b class=\"no\">{} made the client fail after it had decrypted:</b> a provider that sees it fail learns something.",
            counted(failed, "answer", "answers")
        ),
    };
    format!(
        "<p>{found} Weights are cut off at ±65,536. The client’s time for decrypting and encoding was not measured, and is not \
         constant.</p>\n"
    )
}

/// Who notices wrong training.
pub(super) fn wrong(audit: &TrainingAudit) -> String {
    let honest = audit.wrong.iter().find(|found| found.kind == WrongKind::Honest).map(|found| found.distance);
    format!(
        "<p>Nothing in the scheme shows what was computed. Who trains the same in the clear sees it by the distance, which is {} for an \
         honest provider; but such a client needs no provider. Losses on samples that were kept back would show some of it, and were \
         not tried.</p>\n",
        honest.map_or_else(|| NONE.to_owned(), |distance| significant(distance, 2))
    )
}

pub(super) fn limits(audit: &TrainingAudit) -> Vec<String> {
    let scheme = &audit.scheme;
    vec![
        format!(
            "That ciphertexts hide data rests on a problem with lattices, ring-LWE, that nobody is known to solve for these parameters. At \
             degree {} the table of the HomomorphicEncryption.org standard (2018) allows {} bits for 128 bits against a classical \
             attacker; {} are used. No attack on the problem was run, and no estimate made for this set.",
            count(scheme.degree),
            scheme.allowed_bits,
            scheme.modulus_bits
        ),
        "Evaluation keys encrypt functions of the key under itself. That this gives nothing away is an assumption.".to_owned(),
        "<b>Nothing floods the noise.</b> Where linear algebra stopped on this page, a better attack may go on. Whoever wants to show \
         decrypted numbers to the provider or the public needs noise added that is large enough, which this software does not do."
            .to_owned(),
        "A provider may compute anything on the ciphertexts, and answer with anything. Tests of some answers do not show that no \
         other makes a client fail."
            .to_owned(),
        "What the weights themselves tell of the samples, to whoever is shown them in the end, is another question.".to_owned(),
        "The operating system’s generator is taken to be good, on the client’s side.".to_owned(),
        "Nobody outside this project has reviewed the scheme’s code, this audit, or the libraries’ arithmetic below them.".to_owned(),
    ]
}

pub(super) const NOT_TRIED: [&str; 8] = [
    "attacks on ring-LWE itself (lattice reduction, hybrid and dual attacks), and on the ternary key in particular",
    "told numbers that are too coarse to be rounded away, taken as samples with a larger error: by lattice reduction, by guessing the few \
     coefficients that are wrong, or by choosing the surest of many ciphertexts",
    "fewer ciphertexts than linear algebra needs, with the knowledge that the key has coefficients −1, 0 and 1 alone",
    "the weights W alone, which are a mean of V and another polynomial with factors that are no whole numbers",
    "answers that a provider scales up, so that rounded weights show the noise; a client may see that its weights are odd",
    "times, caches and power of the client while it encrypts, decrypts and encodes; docs/encrypted-training.md lists what is not in constant time",
    "times over a network, and statistics that need more than a few runs",
    "classifiers other than logistic regression on the summaries named above: networks on raw residues, many uploads at once",
];

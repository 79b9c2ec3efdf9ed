//! The page's sentences, computed from the figures.

use super::super::figures::{count, counted, fixed, interval, percent};
use super::super::html::escape;
use super::told;
use crate::{CopyFindings, EncryptedAudit, Encryption, Lesson};

pub(super) const LOOKERS: &str = "<p><b>The provider</b> has the networks in the clear, gets ciphertexts and evaluation keys, and \
    keeps what it gets. It computes what it was asked to.</p>\n<p><b>The client</b> has the key, asks about as many images as it \
    likes, and gets the exact sum of all networks’ scores.</p>\n";

/// The copy that answers like the ensemble most often, of those trained on this.
fn best(audit: &EncryptedAudit, lesson: Lesson) -> Option<&CopyFindings> {
    let copies = audit.copies.iter().filter(|copy| copy.lesson == lesson);
    copies.max_by(|a, b| a.agreement.share.total_cmp(&b.agreement.share))
}

/// Whether all weights and biases of the last layer came out.
fn layer_is_known(audit: &EncryptedAudit) -> bool {
    let found = &audit.last_layer;
    found.weights > 0 && found.right == found.weights && found.biases == audit.shape.classes
}

/// Controls that were missed.
fn missed(audit: &EncryptedAudit) -> usize {
    audit.sights.iter().filter(|sight| sight.encryption != Encryption::Real && !sight.is_told()).count()
}

/// The first lines of the page.
pub(super) fn answer(audit: &EncryptedAudit) -> String {
    let sees = match audit.sight(Encryption::Real) {
        None => "<strong class=\"no\">Nobody knows:</strong> no ciphertexts were looked at".to_owned(),
        Some(sight) if sight.is_told() => {
            "<strong class=\"no\">Something shows through:</strong> a test or a classifier found a pattern in the ciphertexts".to_owned()
        }
        Some(_) if missed(audit) > 0 => "<strong class=\"open\">Nothing was found in the ciphertexts, but the tests missed an \
            encryption that was weakened on purpose, so they say little</strong>"
            .to_owned(),
        Some(_) => "<strong class=\"open\">No test told ciphertexts from even noise</strong>, and the same tests found each encryption \
            that was weakened on purpose"
            .to_owned(),
    };
    let found = &audit.last_layer;
    let learns = match found.images {
        Some(images) if layer_is_known(audit) => {
            format!(
                "A client that has the first layers gets the whole last layer from <b>{} answers</b>",
                count(images)
            )
        }
        _ => format!(
            "A client that has the first layers got {} of {} weights of the last layer from {} answers",
            count(found.right),
            count(found.weights),
            count(found.asked)
        ),
    };
    let copied = best(audit, Lesson::Scores).map(|copy| {
        let own = audit.copies.iter().find(|other| (other.lesson, other.images) == (Lesson::Labels, copy.images));
        let own = own.map_or_else(String::new, |own| {
            format!("; one trained on as many true labels, in {}", percent(own.agreement.share))
        });
        format!(
            " One that has none of them trained a copy on {} exact scores which answers like the ensemble in {} of the test \
             images{own}.",
            counted(copy.images, "image’s", "images’"),
            percent(copy.agreement.share)
        )
    });
    format!(
        "<p class=\"answer\">{sees}. {learns}.</p>\n<p>{} The provider still learns how many images there are, whose key they are \
         under, and when. The answer holds for what was tried on this page; nothing follows for other attacks.</p>\n",
        copied.unwrap_or_default().trim_start()
    )
}

/// The three questions.
pub(super) fn cards(audit: &EncryptedAudit) -> String {
    let card = |class: &str, title: &str, big: &str, small: &str| {
        format!(
            "<article class=\"{class}\">\n<h3>{title}</h3>\n<p class=\"answer\"><b>{big}</b></p>\n<p><small>{small}</small></p>\n\
             </article>\n"
        )
    };
    let shown = audit.sight(Encryption::Real).is_none_or(crate::Sight::is_told) || missed(audit) > 0;
    let sees = match told(audit).first() {
        Some(told) => (
            percent(told.accuracy.share),
            format!(
                "right of a classifier for black and real images; guessing gets 50 %. 95 % interval: {} %",
                interval(told.accuracy)
            ),
        ),
        None => ("–".to_owned(), "no classifier was trained".to_owned()),
    };
    let found = &audit.last_layer;
    let needed = found.images.map_or_else(|| format!("over {}", count(found.asked)), count);
    let copy = best(audit, Lesson::Scores);
    let copied = match copy {
        Some(copy) => (
            percent(copy.agreement.share),
            format!("same answers, from {} exact scores", counted(copy.images, "image’s", "images’")),
        ),
        None => ("–".to_owned(), "no copy was trained".to_owned()),
    };
    let layer =
        format!("answers for {} of {} weights of the last layer, exactly", count(found.right), count(found.weights));
    let batches = audit.traffic.batches.iter().all(|batch| batch.told == batch.images);
    let in_clear = if batches { "read off each batch, with the name of the key" } else { "not read off each batch" };
    [
        card(if shown { "broken" } else { "open" }, "What the provider sees", &sees.0, &sees.1),
        card("broken", "What it still learns", "how many images", in_clear),
        card(if layer_is_known(audit) { "broken" } else { "open" }, "What the client learns", &needed, &layer),
        card(if copy.is_some() { "broken" } else { "open" }, "A copy", &copied.0, &copied.1),
    ]
    .concat()
}

/// How classifiers were trained.
pub(super) fn classifiers(trained: usize) -> String {
    format!(
        "The classifiers are logistic regressions on summaries of one ciphertext and its difference from another (ranges, steps, \
         lowest bits, small numbers), trained on up to {} and tried on ciphertexts of other batches. Of labels a batch is one \
         image, and each ciphertext one of the pixels that differ most between the two labels.",
        count(trained)
    )
}

/// What stands beside the ciphertexts.
pub(super) fn in_the_clear(audit: &EncryptedAudit) -> String {
    let told = audit.traffic.batches.iter().all(|batch| batch.told == batch.images);
    let told = match told {
        true => "the number of images, which the provider read off every batch correctly",
        false => "a number of images that was not that of the batch",
    };
    let linked = match audit.traffic.linked {
        true => "the name of the key, the same on every batch, which links the batches of a client",
        false => "the name of the key, which differed between batches",
    };
    format!(
        "<p>In the clear on each batch: {told}; {linked}; the number of values of an image; a hash of the parameters; a public seed, \
         drawn anew for each batch. Beside it: who is connected, when, and how often.</p>\n"
    )
}

/// Whether lengths depend on what is in the images.
pub(super) fn lengths(audit: &EncryptedAudit) -> String {
    let batches = &audit.traffic.batches;
    let content = batches.iter().all(|batch| batch.sent[0] == batch.sent[1]);
    let number = batches.windows(2).all(|pair| pair[0].sent == pair[1].sent && pair[0].scores == pair[1].scores);
    let content = match content {
        true => "Black and real images took the same number of bytes.",
        false => "<b class=\"no\">Black and real images took different numbers of bytes.</b>",
    };
    let number = match number {
        true => "The number of images changed no length: a batch is as large for one image as for a full one.",
        false => "The number of images changed lengths.",
    };
    format!("<p>{content} {number} Evaluation keys, sent once, took {} bytes.</p>\n", count(audit.traffic.keys))
}

/// Which times could be told apart.
pub(super) fn times(audit: &EncryptedAudit) -> String {
    let mut apart = Vec::new();
    for (at, one) in audit.timings.iter().enumerate() {
        for other in &audit.timings[at + 1..] {
            if !one.overlaps(other) {
                let name = |timing: &crate::Timing| {
                    let kind = if timing.black { "black" } else { "real" };
                    format!("{} {kind}", count(timing.images))
                };
                apart.push(format!("{} and {}", name(one), name(other)));
            }
        }
    }
    let found = match apart.is_empty() {
        true => "The ranges of all kinds of batches overlap: in these runs time told neither what was in them nor how many images \
            there were."
            .to_owned(),
        false => format!("<b class=\"no\">The ranges of these do not overlap:</b> {}.", apart.join("; ")),
    };
    format!(
        "<p>{found} The kinds took turns, each time with a batch encrypted anew. Other work on the machine adds to the times, and could \
         hide a small difference. The \
         provider’s arithmetic sees ciphertexts alone, so its time can say no more of the images than they do.</p>\n"
    )
}

/// What the numbers of unknowns say about answers.
pub(super) fn counting(audit: &EncryptedAudit) -> String {
    let found = &audit.last_layer;
    let features = audit.shape.features();
    let pairs = features.saturating_mul(features + 1) / 2 + features + 1;
    let share = found.images.map(|images| {
        let batch = audit.parameters.degree;
        format!(
            "That is {} of one batch; nothing counts how many a client asks for. ",
            percent(images as f64 / batch.max(1) as f64)
        )
    });
    format!(
        "<p>{}More networks in the ensemble cost the client as many more answers, and no more than that. By the same counting, who has \
         the convolution alone faces a quadratic form in the squares of its {} values: at most {} unknowns a class, {} full batches. \
         That was not tried.</p>\n",
        share.unwrap_or_default(),
        count(features),
        count(pairs),
        count(pairs.div_ceil(audit.parameters.degree.max(1)))
    )
}

/// What rounding or labels alone would change.
pub(super) fn lessons(audit: &EncryptedAudit) -> String {
    let most = audit.copies.iter().map(|copy| copy.images).max().unwrap_or(0);
    let of = |lesson| audit.copies.iter().find(|copy| (copy.lesson, copy.images) == (lesson, most));
    let said = |lesson: Lesson| {
        let share = of(lesson).map_or_else(|| "–".to_owned(), |copy| percent(copy.agreement.share));
        format!("{}: {share}", escape(lesson.name()))
    };
    let all: Vec<_> = Lesson::ALL.into_iter().map(said).collect();
    let (scores, labels) = (of(Lesson::Scores), of(Lesson::Labels));
    let gain = match (scores, labels) {
        (Some(scores), Some(labels)) if scores.agreement.low > labels.agreement.high => {
            " Exact scores gave the copy more than true labels would have."
        }
        (Some(_), Some(_)) => " These test images do not tell a copy from exact scores above one from true labels.",
        _ => "",
    };
    format!(
        "<p>With {} images, same answers as the ensemble: {}.{gain}</p>\n<p class=\"note\">Rounded scores are multiples of half their \
         standard deviation. They and largest classes stand for defences that this encryption does not offer: a provider can add \
         and multiply under it, and neither round nor compare. It could add noise of its own to scores, which was not tried.</p>\n",
        count(most),
        all.join("; ")
    )
}

/// What a correlation with the weights says.
pub(super) fn correlation(correlation: Option<f64>) -> String {
    let Some(correlation) = correlation else { return String::new() };
    format!(
        " Over networks and classes the noise has a correlation of {} with the length of the class’s row of weights in the last layer, \
         both as logarithms.",
        fixed(correlation, 2)
    )
}

pub(super) fn assumptions(audit: &EncryptedAudit) -> Vec<String> {
    let parameters = &audit.parameters;
    vec![
        format!(
            "That ciphertexts hide images rests on a problem with lattices, ring-LWE, that nobody is known to solve for these \
             parameters. At degree {} the table of the HomomorphicEncryption.org standard (2018) allows {} bits of modulus for 128 \
             bits against a classical attacker; {} are used. No attack on the problem was run, and no newer estimate made.",
            count(parameters.degree),
            parameters.allowed_bits,
            parameters.modulus_bits
        ),
        "The provider must never learn what one of its answers decrypted to, nor whether decrypting failed. BFV withstands those who \
         only see ciphertexts. A provider that sends ciphertexts of its choice and learns what comes out can compute the secret key, and \
         then reads every batch."
            .to_owned(),
        "The provider may compute anything else on the ciphertexts than what it was asked to. Nothing shows the client that it did not."
            .to_owned(),
        "The tags on batches keep out those without the evaluation keys. The provider has them.".to_owned(),
        "The operating system’s generator is taken to be good, on the client’s side.".to_owned(),
        "Nobody outside this project has reviewed the scheme’s code, this audit, or the libraries’ arithmetic below them.".to_owned(),
    ]
}

pub(super) const NOT_TRIED: [&str; 9] = [
    "attacks on ring-LWE itself (lattice reduction, hybrid and dual attacks), and on the ternary key in particular",
    "a provider that sends ciphertexts of its choice and watches what the client does",
    "times, caches and power of the client while it encrypts and decrypts; docs/encrypted.md lists what is not in constant time",
    "times over a network, with batches of several clients, and statistics that need more than a few runs",
    "classifiers other than logistic regression on the summaries named above: networks on raw residues, many batches at once",
    "solving for the first layers too, by algebra on exact scores; images chosen so that few weights matter at a time",
    "copies of other shapes, on images chosen to tell most, and with more training; copies of the sum as several networks",
    "rounding, noise or limits on the number of answers as defences, beyond the copies above",
    "reading single weights from noise: only whether it tells two networks apart, and how it goes with the length of rows",
];

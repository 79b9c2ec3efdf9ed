//! One HTML page about training on ciphertexts.

mod said;

use super::document;
use super::figures::{NONE, count, counted, fixed, percent, seconds, significant};
use super::html::{Column, escape, head, nothing, number, row, section as part, table, words};
use super::sights;
use crate::{Encryption, HostileKind, MessageKind, Opening, RoundTiming, Sample, Told, TrainingAudit, WrongKind};

/// Draws what was found of training on ciphertexts as one HTML page, UTF-8, that answers "what does the provider learn?".
///
/// As [`page`](crate::page): nothing is fetched or run, and foreign names are escaped.
pub fn training_page(audit: &TrainingAudit) -> String {
    let body = [
        first(audit),
        messages(audit),
        learned(audit),
        ciphertexts(audit),
        openings(audit),
        answers(audit),
        limits(audit),
        closing(audit),
    ];
    document(&format!("What does the provider learn? {}", audit.data), &body.concat())
}

fn first(audit: &TrainingAudit) -> String {
    let links = [
        ("messages", "Messages"),
        ("learned", "What is in the clear"),
        ("ciphertexts", "Ciphertexts"),
        ("openings", "Decrypted numbers"),
        ("answers", "Other answers"),
        ("limits", "What none of this shows"),
        ("run", "What was run"),
    ];
    let links: Vec<_> = links.iter().map(|(id, name)| format!("<a href=\"#{id}\">{name}</a>")).collect();
    format!(
        "<header>\n<p class=\"eyebrow\">Cleave audit of training on ciphertexts, <b>{}</b></p>\n<div class=\"hero\">\n<div>\n\
         <h1>What does the provider learn?</h1>\n{}</div>\n<aside>\n<h2>Who looks</h2>\n{}</aside>\n</div>\n\
         <h2>In short <span class=\"muted\">{}, {}, {}</span></h2>\n\
         <div class=\"cards\">\n{}</div>\n<nav aria-label=\"Contents\">{}</nav>\n</header>\n",
        escape(&audit.data),
        said::answer(audit),
        said::LOOKERS,
        counted(audit.samples, "sample", "samples"),
        counted(audit.features, "feature with the leading 1", "features with the leading 1"),
        counted(audit.classes, "class", "classes"),
        said::cards(audit),
        links.join(" ")
    )
}

const fn message_name(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Keys => "evaluation keys<small>to the provider, once</small>",
        MessageKind::Data => "samples, directions, labels<small>to the provider, once</small>",
        MessageKind::Weights => "weights<small>to the provider, each round</small>",
        MessageKind::Answer => "weights<small>to the client, each round</small>",
    }
}

fn messages(audit: &TrainingAudit) -> String {
    let lead = "One run of the protocol with each of three data sets of the same shape: every feature 0 and every label the first; \
        features drawn up to ±8 and labels in turn; and the client’s. Each ciphertext travels in bytes of its own.";
    let columns = [
        Column::Text("message"),
        Column::Number("pieces"),
        Column::Number("all 0"),
        Column::Number("drawn large"),
        Column::Number("the client’s"),
        Column::Text("length of each piece"),
    ];
    let rows = audit.protocol.messages.iter().map(|message| {
        let [plain, varied, own] = message.bytes.map(|bytes| number(&count(bytes)));
        let alike = if message.alike { "the same for all" } else { "<b class=\"no\">not the same</b>" };
        let name = head(message_name(message.kind), 1);
        row("", &[name, number(&count(message.pieces)), plain, varied, own, words(alike)])
    });
    let sizes = table("Bytes of messages", &columns, &rows.collect::<Vec<_>>());
    part("messages", "What is sent and received", lead, &(sizes + &said::lengths(audit)))
}

fn learned(audit: &TrainingAudit) -> String {
    let lead = "What the provider needs to compute stands in the clear, and it has a clock.";
    let body = format!("{}{}{}", said::in_the_clear(audit), said::cubic(audit), times(audit));
    part("learned", "What it learns without a ciphertext", lead, &body)
}

fn times(audit: &TrainingAudit) -> String {
    let columns = [
        Column::Text("data"),
        Column::Number("rounds"),
        Column::Number("median"),
        Column::Number("shortest"),
        Column::Number("longest"),
    ];
    let rows = audit.timings.iter().filter_map(|timing: &RoundTiming| {
        let [median, low, high] = timing.spread()?.map(|seconds| number(&format!("{} s", fixed(seconds, 2))));
        let name = if timing.plain { "all 0, one class" } else { "drawn large, all classes" };
        Some(row("", &[head(name, 1), number(&count(timing.seconds.len())), median, low, high]))
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return "<h3>Times</h3>\n".to_owned() + &nothing("No round was timed.");
    }
    format!("<h3>Times of a round</h3>\n{}{}", table("Times", &columns, &rows), said::times(audit))
}

const fn sample_name(sample: Sample) -> &'static str {
    match sample {
        Sample::Plain => "data that are 0",
        Sample::Varied => "large data",
        Sample::PlainAgainstVaried => "0 against large data",
        Sample::Keys => "evaluation keys",
        Sample::Answers => "weights, as the provider computes them",
    }
}

fn ciphertexts(audit: &TrainingAudit) -> String {
    let title = "What the ciphertexts show";
    let lead = "Residues: numbers modulo large primes. Counted in 64 ranges of equal width, they are held against an even spread \
        (χ²), and those of data that are 0 against those of large data. A test that finds nothing proves nothing, so each is \
        run on encryptions with a part left out too: there it has to find something.";
    let Some(real) = audit.sight(Encryption::Real) else {
        return part("ciphertexts", title, lead, &nothing("No ciphertexts were looked at."));
    };
    let primes: Vec<u64> = audit.scheme.primes.iter().chain(&audit.scheme.special).copied().collect();
    let note = said::classifiers(sights::trained(&audit.sights));
    let body = sights::controls(&audit.sights, &note) + &sights::residues(real, &primes, sample_name);
    part("ciphertexts", title, lead, &body)
}

const fn told_name(told: Told) -> &'static str {
    match told {
        Told::FreshSlots => "all slots of one ciphertext of the client’s own",
        Told::AnswerSlots => "all slots of one answer",
        Told::Offsets => "all slots of one answer, again and again, known numbers added",
        Told::Means => "the weights V of each round",
        Told::FewMeans => "the same, one round fewer",
        Told::SingleMeans => "the weights V of each round, as numbers of 32 bits",
        Told::Nothing => "nothing: weights encrypted anew, as the protocol has it",
    }
}

const ORDER: [Told; 7] =
    [Told::Nothing, Told::AnswerSlots, Told::FreshSlots, Told::Offsets, Told::Means, Told::FewMeans, Told::SingleMeans];

fn openings(audit: &TrainingAudit) -> String {
    let title = "What decrypted numbers would give away";
    let lead = "A number decrypted from CKKS has the error of its ciphertext in it. Who has the ciphertext and the exact number has a \
        linear equation for the key (Li and Micciancio 2021). The protocol tells the provider no decrypted number. Here are \
        clients that do, and how far plain linear algebra gets.";
    if audit.openings.is_empty() {
        return part("openings", title, lead, &nothing("Not tried."));
    }
    let columns = [
        Column::Text("told"),
        Column::Text("to"),
        Column::Number("ciphertexts"),
        Column::Number("functions known of each"),
        Column::Number("equations for the key"),
        Column::Number("wrong in an equation"),
        Column::Number("coefficients right"),
        Column::Text("key"),
    ];
    let mut rows = Vec::new();
    for told in ORDER {
        let of_it: Vec<&Opening> = audit.told(told).collect();
        for (at, opening) in of_it.iter().enumerate() {
            let name = (at == 0).then(|| head(told_name(told), of_it.len()));
            let cells = name.into_iter().chain(opening_cells(opening));
            rows.push(row(if at == 0 { "group" } else { "" }, &cells.collect::<Vec<_>>()));
        }
    }
    let body = table("Decrypted numbers and the key", &columns, &rows) + &said::openings(audit);
    part("openings", title, lead, &body)
}

fn opening_cells(opening: &Opening) -> [String; 7] {
    let digits = match (opening.told, opening.bits) {
        (Told::Nothing, _) => NONE.to_owned(),
        (Told::SingleMeans, _) => "24 bits that count".to_owned(),
        (_, None) => "the last bit".to_owned(),
        (_, Some(bits)) => counted(bits as usize, "bit behind the point", "bits behind the point"),
    };
    let times = if opening.told == Told::Offsets { "<small>times one</small>" } else { "" };
    let key = match opening.recovered {
        true if opening.right == opening.unknowns => "<b class=\"no\">found</b>",
        true => "<b class=\"no\">something like it</b>",
        false => "not found",
    };
    [
        words(&digits),
        number(&format!("{}{times}", count(opening.ciphertexts))),
        number(&format!("{} of {}", count(opening.known), count(opening.of))),
        number(&format!("{} of {}", count(opening.equations), count(opening.unknowns))),
        number(&significant(opening.left, 2)),
        number(&count(opening.right)),
        words(key),
    ]
}

const fn hostile_name(kind: HostileKind) -> &'static str {
    match kind {
        HostileKind::Even => "residues drawn evenly",
        HostileKind::Largest => "every residue the largest",
        HostileKind::Zero => "every residue 0",
        HostileKind::SmallScale => "residues drawn evenly, the smallest scale",
        HostileKind::LargeScale => "residues drawn evenly, the largest scale",
        HostileKind::NoScale => "residues drawn evenly, a scale that there is not",
        HostileKind::WildCubic => "trained with factors of 1,000,000",
    }
}

fn answers(audit: &TrainingAudit) -> String {
    let lead = "The provider has the key of tags, so it can answer with anything. What the client does next must not depend on \
        what that decrypts to.";
    let columns = [
        Column::Text("answer"),
        Column::Number("tried"),
        Column::Number("refused before decrypting"),
        Column::Number("refused after it"),
        Column::Number("next round as ever"),
        Column::Number("largest weight"),
    ];
    let rows = audit.hostile.iter().map(|found| {
        let failed = match found.failed {
            0 => "0".to_owned(),
            failed => format!("<b class=\"no\">{}</b>", count(failed)),
        };
        let cells = [
            head(hostile_name(found.kind), 1),
            number(&count(found.tried)),
            number(&count(found.refused)),
            number(&failed),
            number(&count(found.went_on)),
            number(&significant(found.largest, 3)),
        ];
        row("", &cells)
    });
    let hostile = match audit.hostile.is_empty() {
        true => nothing("Not tried."),
        false => table("Hostile answers", &columns, &rows.collect::<Vec<_>>()) + &said::hostile(audit),
    };
    part("answers", "What a provider gets that answers with something else", lead, &(hostile + &wrong(audit)))
}

fn wrong(audit: &TrainingAudit) -> String {
    let columns = [
        Column::Text("what it computed"),
        Column::Text("the client’s functions"),
        Column::Number("largest distance from the training in the clear"),
    ];
    let rows = audit.wrong.iter().map(|found| {
        let name = match found.kind {
            WrongKind::Honest => "what it was asked to",
            WrongKind::Idle => "nothing: it sent the client’s weights back",
            WrongKind::OtherCubic => "with the factors of the cubic negated",
        };
        let noticed = if found.refused { "refused it" } else { "took it" };
        let distance = if found.refused { NONE.to_owned() } else { significant(found.distance, 2) };
        row("", &[head(name, 1), words(noticed), number(&distance)])
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("<h3>Wrong training</h3>\n{}{}", table("Wrong training", &columns, &rows), said::wrong(audit))
}

fn limits(audit: &TrainingAudit) -> String {
    let lead = "What the figures above cannot show, in plain words.";
    let lines: String = said::limits(audit).iter().map(|line| format!("<li>{line}</li>\n")).collect();
    part("limits", "What none of this shows", lead, &format!("<ul>\n{lines}</ul>\n"))
}

fn closing(audit: &TrainingAudit) -> String {
    let (scheme, settings, places) = (&audit.scheme, &audit.settings, &audit.places);
    let facts = [
        ("Features", if audit.drawn { "drawn, and nobody’s".to_owned() } else { audit.data.clone() }),
        ("Shape", format!("n = {}, d = {}, c = {}", count(audit.samples), count(audit.features), count(audit.classes))),
        (
            "Slots",
            format!(
                "{} samples of {} slots in a ciphertext, {} pairs of features; {} for the weights, {} of them full",
                count(places.block),
                count(places.inner),
                count(places.pairs),
                counted(places.groups, "ciphertext", "ciphertexts"),
                count(places.full)
            ),
        ),
        (
            "Parameters",
            format!(
                "{}: degree {}, scale 2^{}, {} bits of all primes where the table allows {}",
                scheme.set,
                count(scheme.degree),
                scheme.scale_bits,
                scheme.modulus_bits,
                scheme.allowed_bits
            ),
        ),
        ("Weights at the start", settings.start.to_string()),
        ("Version", audit.version.clone()),
        ("Seed", settings.seed.to_string()),
        ("Threads", audit.threads.to_string()),
        ("Time", seconds(audit.seconds)),
    ];
    let facts: String =
        facts.iter().map(|(name, fact)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(fact))).collect();
    let body = format!(
        "<dl class=\"wide\">\n{facts}</dl>\n<h3>What was not tried</h3>\n<ul>\n{}</ul>\n",
        said::NOT_TRIED.map(|line| format!("<li>{line}</li>\n")).concat()
    );
    let lead = "Keys, masks and errors come from the operating system, as they do for clients: figures differ a little from run to \
        run, and times more.";
    let footer = "<footer>\n<p>What no attack on this page recovered may fall to another one.</p>\n</footer>\n";
    part("run", "What was run", lead, &body) + footer
}

/// The share of right answers of the first classifier of the real encryption.
fn classifier(audit: &TrainingAudit) -> Option<String> {
    let told = audit.sight(Encryption::Real)?.distinguishers.first()?;
    Some(percent(told.accuracy.share))
}

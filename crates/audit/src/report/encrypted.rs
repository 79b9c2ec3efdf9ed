//! One HTML page about inference on ciphertexts.

mod said;

use super::axis::{Axis, share_mark};
use super::chart::{Chart, Ink, Look, Marker, Point, Series};
use super::document;
use super::figures::{count, counted, fixed, percent, seconds, share_cell, short, significant};
use super::html::{Column, escape, head, nothing, number, row, section as part, table, words};
use super::sights;
use crate::{CopyFindings, Distinguisher, EncryptedAudit, Encryption, Error, Lesson, Sample, Share};

/// Draws what was found of an ensemble on ciphertexts as one HTML page, UTF-8, that answers "what does encryption leave?".
///
/// As [`page`](crate::page): nothing is fetched or run, and foreign names are escaped.
///
/// # Errors
///
/// [`Error::Drawing`] where a chart cannot be drawn.
pub fn encrypted_page(audit: &EncryptedAudit) -> Result<String, Error> {
    let body = [
        first(audit),
        ciphertexts(audit),
        traffic(audit),
        last_layer(audit),
        copies(audit)?,
        noise(audit),
        assumptions(audit),
        closing(audit),
    ];
    Ok(document(&format!("What does encryption leave? {}", audit.model), &body.concat()))
}

fn first(audit: &EncryptedAudit) -> String {
    let links = [
        ("ciphertexts", "Ciphertexts"),
        ("traffic", "Sizes and times"),
        ("layer", "Last layer"),
        ("copies", "Copies"),
        ("noise", "Noise"),
        ("assumptions", "Assumptions"),
        ("run", "What was run"),
    ];
    let links: Vec<_> = links.iter().map(|(id, name)| format!("<a href=\"#{id}\">{name}</a>")).collect();
    format!(
        "<header>\n<p class=\"eyebrow\">Cleave audit of the encrypted ensemble <b>{}</b></p>\n<div class=\"hero\">\n<div>\n\
         <h1>What does encryption leave?</h1>\n{}</div>\n<aside>\n<h2>Who looks</h2>\n{}</aside>\n</div>\n\
         <h2>In short <span class=\"muted\">{} of {} test images right, {} by guessing</span></h2>\n\
         <div class=\"cards\">\n{}</div>\n<nav aria-label=\"Contents\">{}</nav>\n</header>\n",
        escape(&audit.model),
        said::answer(audit),
        said::LOOKERS,
        percent(audit.accuracy.share),
        count(audit.test_images),
        percent(audit.guess),
        said::cards(audit),
        links.join(" ")
    )
}

const fn sample_name(sample: Sample) -> &'static str {
    match sample {
        Sample::Plain => "black images",
        Sample::Varied => "real images",
        Sample::PlainAgainstVaried => "black against real images",
        Sample::Keys => "evaluation keys",
        Sample::Answers => "scores, as the provider computes them",
    }
}

fn ciphertexts(audit: &EncryptedAudit) -> String {
    let title = "What the provider sees";
    let lead = "Residues: numbers modulo large primes. If they are spread evenly whatever was encrypted, looking at them tells \
        nothing. Counted in 64 ranges of equal width, they are held against an even spread (χ²), and those of black images against \
        those of real ones. A test that finds nothing proves nothing, so each is run on encryptions with a part left out too: \
        there it has to find something.";
    let Some(real) = audit.sight(Encryption::Real) else {
        return part("ciphertexts", title, lead, &nothing("No ciphertexts were looked at."));
    };
    let note = said::classifiers(sights::trained(&audit.sights));
    let body = sights::controls(&audit.sights, &note) + &sights::residues(real, &audit.parameters.primes, sample_name);
    part("ciphertexts", title, lead, &body)
}

fn traffic(audit: &EncryptedAudit) -> String {
    let lead = "A provider counts bytes, reads what stands in the clear, and has a clock.";
    let columns = [
        Column::Number("images"),
        Column::Number("sent, black images"),
        Column::Number("sent, real images"),
        Column::Number("scores sent back"),
        Column::Number("images that the provider reads off"),
    ];
    let rows = audit.traffic.batches.iter().map(|batch| {
        let [black, real] = batch.sent.map(|bytes| number(&megabytes(bytes)));
        let cells =
            [head(&count(batch.images), 1), black, real, number(&megabytes(batch.scores)), number(&count(batch.told))];
        row("", &cells)
    });
    let sizes = table("Bytes of a batch", &columns, &rows.collect::<Vec<_>>());
    let body = format!("{}{sizes}{}{}", said::in_the_clear(audit), said::lengths(audit), times(audit));
    part("traffic", "What it still learns", lead, &body)
}

fn megabytes(bytes: usize) -> String {
    format!("{} MB", significant(bytes as f64 / 1e6, 3))
}

fn times(audit: &EncryptedAudit) -> String {
    let columns = [
        Column::Text("batch"),
        Column::Number("runs"),
        Column::Number("median"),
        Column::Number("shortest"),
        Column::Number("longest"),
    ];
    let rows = audit.timings.iter().filter_map(|timing| {
        let [median, low, high] = timing.spread()?;
        let kind = if timing.black { "black" } else { "real" };
        let cells = [
            head(&format!("{}, {kind}", counted(timing.images, "image", "images")), 1),
            number(&count(timing.seconds.len())),
            number(&precise(median)),
            number(&precise(low)),
            number(&precise(high)),
        ];
        Some(row("", &cells))
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return "<h3>Times</h3>\n".to_owned() + &nothing("No evaluation was timed.");
    }
    format!("<h3>Times of one network</h3>\n{}{}", table("Times", &columns, &rows), said::times(audit))
}

fn precise(seconds: f64) -> String {
    format!("{} s", fixed(seconds, 2))
}

fn last_layer(audit: &EncryptedAudit) -> String {
    let lead = "Scores are exact whole numbers: the values behind the second square times the weights of the last layer. Whoever \
        has the layers before it, because they are public or leaked, can compute those values for its own images, and each \
        answer is then a linear equation for each class.";
    let found = &audit.last_layer;
    let needed = |images: Option<usize>| images.map_or_else(|| "more than were asked for".to_owned(), count);
    let facts = [
        (
            "Unknowns a class",
            format!(
                "{} × {} weights and a bias: {}",
                counted(audit.networks, "network", "networks"),
                count(audit.shape.hidden),
                count(found.unknowns)
            ),
        ),
        ("Answers needed, real images", needed(found.images)),
        ("Answers needed, random pixels", needed(found.noise)),
        (
            "Asked for",
            format!("{} in one batch on ciphertexts, which costs as much as one of a single image", count(found.asked)),
        ),
        (
            "Decrypted scores",
            match found.exact {
                true => "all equal to those of the integer networks in the clear".to_owned(),
                false => "not all equal to those in the clear: scores wrapped around".to_owned(),
            },
        ),
        ("Independent equations", format!("{} of {}", count(found.rank), count(found.unknowns))),
        ("Weights right to the last digit", format!("{} of {}", count(found.right), count(found.weights))),
        ("Biases right to the last digit", format!("{} of {}", count(found.biases), count(audit.shape.classes))),
        ("Same answers on test images", format!("{} of {}", percent(found.agreement.share), count(found.agreement.of))),
        ("Time for solving", seconds(found.seconds)),
    ];
    let body = format!("<dl class=\"wide\">\n{}</dl>\n{}", list(&facts), said::counting(audit));
    part("layer", "What a client with the first layers learns", lead, &body)
}

fn list(facts: &[(&str, String)]) -> String {
    facts.iter().map(|(name, fact)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(fact))).collect()
}

const fn look(lesson: Lesson) -> Look {
    match lesson {
        Lesson::Scores => (Ink::Red, Marker::Disc),
        Lesson::Rounded => (Ink::Purple, Marker::Diamond),
        Lesson::Answers => (Ink::Orange, Marker::Square),
        Lesson::Labels => (Ink::Blue, Marker::Ring),
    }
}

fn copies(audit: &EncryptedAudit) -> Result<String, Error> {
    let title = "What a client without any layer learns";
    let lead = "It knows the shape of the networks, has images of its own, and trains one network of that shape on answers. \
        Beside it stands the same network trained on true labels, which takes no provider: what lies above that was taken from the \
        answers.";
    if audit.copies.is_empty() {
        return Ok(part("copies", title, lead, &nothing("No copy was trained.")));
    }
    let alike = curve(audit, "Same answers as the ensemble", "same answers", None, |copy| copy.agreement)?;
    let right = curve(audit, "Right answers", "right answers", Some(audit.accuracy.share), |copy| copy.accuracy)?;
    let columns = [
        Column::Number("images"),
        Column::Text("learned from"),
        Column::Number("same answers as the ensemble"),
        Column::Number("right answers"),
        Column::Number("time"),
    ];
    let rows = audit.copies.iter().enumerate().map(|(at, copy)| {
        let first = at == 0 || audit.copies[at - 1].images != copy.images;
        let alike = audit.copies.iter().filter(|other| other.images == copy.images).count();
        let cells = [
            words(copy.lesson.name()),
            number(&share_cell(copy.agreement)),
            number(&share_cell(copy.accuracy)),
            number(&seconds(copy.seconds)),
        ];
        let name = first.then(|| head(&count(copy.images), alike));
        row(if first { "group" } else { "" }, &name.into_iter().chain(cells).collect::<Vec<_>>())
    });
    let table = table("Copies", &columns, &rows.collect::<Vec<_>>());
    let body = format!("<div class=\"charts\">\n{alike}{right}</div>\n{table}{}", said::lessons(audit));
    Ok(part("copies", title, lead, &body))
}

fn curve(
    audit: &EncryptedAudit,
    title: &str,
    unit: &str,
    level: Option<f64>,
    of: fn(&CopyFindings) -> Share,
) -> Result<String, Error> {
    let images = || audit.copies.iter().map(|copy| copy.images as f64);
    let (low, high) = images().fold((f64::MAX, 0.0_f64), |(low, high), images| (low.min(images), high.max(images)));
    let mut series = Vec::new();
    let mut told = Vec::new();
    for lesson in Lesson::ALL {
        let mut points = Vec::new();
        for copy in audit.copies.iter().filter(|copy| copy.lesson == lesson) {
            points.push(Point { x: (copy.images as f64).into(), y: of(copy).into(), tag: String::new() });
            told.push(format!("{} of {} images {}", lesson.name(), count(copy.images), percent(of(copy).share)));
        }
        series.push(Series { name: lesson.name().to_owned(), look: look(lesson), joined: true, points });
    }
    if let Some(level) = level {
        let points = [low, high.max(2.0 * low)].map(|x| Point { x: x.into(), y: level.into(), tag: String::new() });
        let look = (Ink::Text, Marker::Best);
        series.push(Series { name: "the ensemble".to_owned(), look, joined: true, points: points.into() });
    }
    let words = format!("{title} by images. {}.", told.join("; "));
    let x = Axis::decades("images asked about", (low, high.max(2.0 * low)), short);
    let least = audit.copies.iter().map(|copy| of(copy).low).fold(1.0, f64::min);
    let y = Axis::linear(unit, (least, 1.0), share_mark);
    Chart { title: title.to_owned(), words, x, y, series, upright: Vec::new() }.figure()
}

fn noise(audit: &EncryptedAudit) -> String {
    let title = "What noise tells the client";
    let lead = "With the key a client can compute the noise of each score. It comes from errors that were drawn and from the \
        weights that they were multiplied with, and nothing is added to hide the latter.";
    let Some(found) = &audit.noise else {
        return part(
            "noise",
            title,
            lead,
            &nothing("Not measured: the release has one network, and two are compared."),
        );
    };
    let per_class = audit.classes.iter().map(|class| escape(class)).collect::<Vec<_>>();
    let mut columns = vec![Column::Text("network")];
    columns.extend(per_class.iter().map(|class| Column::Number(class)));
    let rows = found.runs.iter().enumerate().map(|(network, runs)| {
        let classes = runs.first().map_or(0, Vec::len).min(audit.classes.len());
        let cells = (0..classes).map(|class| {
            let values: Vec<f64> = runs.iter().map(|run| run[class]).filter(|value| value.is_finite()).collect();
            let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
            let spread = values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
                - values.iter().copied().fold(f64::INFINITY, f64::min);
            number(&format!("{}<small>± {}</small>", fixed(mean, 2), fixed(spread / 2.0, 2)))
        });
        row("", &std::iter::once(head(&format!("{}", network + 1), 1)).chain(cells).collect::<Vec<_>>())
    });
    let header = format!(
        "<p>Two networks of the release scored the same {} images, encrypted anew {}. By the noise alone {} of {} runs lay nearer \
         to the other runs of their own network than to those of the other ({}).{}</p>\n",
        count(audit.parameters.degree.min(audit.own_images / 4).max(1)),
        counted(found.runs[0].len(), "time", "times"),
        count((found.told.share * found.told.of as f64).round() as usize),
        count(found.told.of),
        percent(found.told.share),
        said::correlation(found.correlation)
    );
    let note = "<p class=\"note\">log₂ of the root mean square of the noise as a share of the ciphertext modulus, by class (with \
        several plaintext primes: of the first): the mean of the runs, and half of what lies between the least and the most. \
        Decryption fails at about −1.</p>\n";
    let body = header + &table("Noise by class", &columns, &rows.collect::<Vec<_>>()) + note;
    part("noise", title, lead, &body)
}

fn assumptions(audit: &EncryptedAudit) -> String {
    let lead = "What the figures above cannot show, in plain words.";
    let lines: String = said::assumptions(audit).iter().map(|line| format!("<li>{line}</li>\n")).collect();
    part("assumptions", "What is taken for granted", lead, &format!("<ul>\n{lines}</ul>\n"))
}

fn closing(audit: &EncryptedAudit) -> String {
    let (parameters, settings) = (&audit.parameters, &audit.settings);
    let shape = &audit.shape;
    let facts = [
        ("Release", audit.model.clone()),
        (
            "Networks",
            format!(
                "{} of {}×{} pixels, {} maps of {}×{} with stride {}, {} hidden, {} classes",
                count(audit.networks),
                shape.height,
                shape.width,
                shape.maps,
                shape.kernel,
                shape.kernel,
                shape.stride,
                shape.hidden,
                shape.classes
            ),
        ),
        ("SHA-256 of the networks", audit.fingerprint.clone()),
        (
            "Classes",
            format!(
                "{}: {}",
                audit.classes.len(),
                audit.classes.iter().take(12).cloned().collect::<Vec<_>>().join(", ")
            ),
        ),
        (
            "Parameters",
            format!(
                "{}: degree {}, {} bits of modulus where the table allows {}",
                parameters.set,
                count(parameters.degree),
                parameters.modulus_bits,
                parameters.allowed_bits
            ),
        ),
        ("Client’s images", count(audit.own_images)),
        ("Test images", count(audit.test_images)),
        (
            "Copies",
            format!("{} batches of {} images, Adam from {}", count(settings.steps), settings.batch, settings.rate),
        ),
        ("Version", audit.version.clone()),
        ("Seed", settings.seed.to_string()),
        ("Device", audit.device.clone()),
        ("Time", seconds(audit.seconds)),
    ];
    let body = format!(
        "<dl class=\"wide\">\n{}</dl>\n<h3>What was not tried</h3>\n<ul>\n{}</ul>\n",
        list(&facts),
        said::NOT_TRIED.map(|line| format!("<li>{line}</li>\n")).concat()
    );
    let lead = "Keys, masks and errors come from the operating system, as they do for clients: figures about ciphertexts and noise \
        differ a little from run to run. With the same version, data and seed the others should come out again on the same device; \
        times will not.";
    let footer = "<footer>\n<p>What no attack on this page recovered may fall to another one.</p>\n</footer>\n";
    part("run", "What was run", lead, &body) + footer
}

/// The classifiers of the real encryption.
fn told(audit: &EncryptedAudit) -> &[Distinguisher] {
    audit.sight(Encryption::Real).map_or(&[], |sight| &sight.distinguishers)
}

//! `cleave infer --encrypted`: the server gets ciphertexts, and the key stays here.

use super::{Infer, Label, accuracy, render};
use crate::inputs::{Entry, Inputs};
use crate::line::POLL;
use crate::secret::CIPHERTEXTS;
use crate::{Failure, Output};
use clap::Args;
use cleave_data::{DataError, Preparation};
use cleave_encrypted::service::{ClientSession, Description, Step};
use cleave_encrypted::{Release, Scores, levels};
use cleave_secrets::{KeyId, Secret};
use cleave_transport::{MessageClient, Told};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Ciphertexts in place of smashed data.
#[derive(Args, Clone, Debug)]
pub(super) struct EncryptedOptions {
    /// Send ciphertexts to the ensemble of this name, in place of the output of a front half
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with_all = ["front", "element", "batch", "require", "decoys", "decoy_pool", "compare_whole", "device"]
    )]
    encrypted: Option<String>,
    /// Images in one batch of ciphertexts; a smaller batch costs the same as a full one
    #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u16).range(1..=8192), conflicts_with = "front")]
    encrypted_batch: u16,
    /// Compare every decrypted score with what the networks of this release give in the clear, and stop at the first difference
    #[arg(long, value_name = "FILE", conflicts_with = "front")]
    check_against: Option<PathBuf>,
}

impl EncryptedOptions {
    /// The ensemble asked for.
    pub(super) fn name(&self) -> Option<&str> {
        self.encrypted.as_deref()
    }
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Seconds {
    encrypt: f64,
    send: f64,
    evaluate: f64,
    fetch: f64,
    total: f64,
}

/// All answers.
#[derive(Debug, Serialize)]
struct Labels {
    labels: Vec<Label>,
    left_out: Vec<String>,
    accuracy: Option<f64>,
    set: String,
    networks: usize,
    batches: usize,
    /// The key's public name.
    key: KeyId,
    /// The least over all batches.
    noise_budget_bits: Option<f64>,
    bytes_sent: u64,
    bytes_received: u64,
    seconds: Seconds,
    /// Scores that were compared with those in the clear; none of them differed.
    compared: Option<usize>,
}

impl std::fmt::Display for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for Label { name, label, probability, .. } in &self.labels {
            writeln!(f, "{name}\t{label}\t{probability:.4}")?;
        }
        let Seconds { encrypt, send, evaluate, fetch, total } = self.seconds;
        write!(f, "{} images, {} left out, ", self.labels.len(), self.left_out.len())?;
        writeln!(f, "{} bytes sent, {} received, {} batches", self.bytes_sent, self.bytes_received, self.batches)?;
        write!(
            f,
            "{total:.1} s: {encrypt:.1} encrypting, {send:.1} sending, {evaluate:.1} evaluating, {fetch:.1} fetching"
        )?;
        if let Some(bits) = self.noise_budget_bits {
            write!(f, "\n{bits:.1} bits of noise budget left")?;
        }
        if let Some(accuracy) = self.accuracy {
            write!(f, "\n{:.2} % right", 100.0 * accuracy)?;
        }
        if let Some(compared) = self.compared {
            write!(f, "\n{compared} scores are those of the networks in the clear")?;
        }
        Ok(())
    }
}

/// Runs the command.
pub(super) fn run(infer: &Infer, name: &str, output: &Output) -> Result<(), Failure> {
    let secret = match &infer.key {
        Some(path) => infer.passphrase.open_for(path, CIPHERTEXTS)?,
        None => {
            eprintln!("a key is drawn for this run and forgotten after it; --key FILE keeps one");
            Secret::generate()?
        }
    };
    let release = infer.encrypted.check_against.as_deref().map(read_release).transpose()?;
    let inputs = Inputs::open(&infer.images, infer.split.as_deref(), infer.strict)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let labels = runtime.block_on(label(infer, name, &secret, release.as_ref(), &inputs))?;
    if let Some(path) = &infer.out {
        cleave_nets::write_atomically(path, render(path, &labels.labels)?.as_bytes())?;
    }
    output.result(&labels)
}

/// The release to compare with, and its path.
fn read_release(path: &Path) -> Result<(&Path, Release), Failure> {
    Ok((path, Release::read(path)?))
}

async fn label(
    infer: &Infer,
    name: &str,
    secret: &Secret,
    release: Option<&(&Path, Release)>,
    inputs: &Inputs,
) -> Result<Labels, Failure> {
    let began = Instant::now();
    let (mut line, session) = Line::open(infer, name, secret).await?;
    let description = session.description();
    describe(name, description);
    if let Some((path, release)) = release {
        same(path, release, description)?;
    }
    let mut all = Labels::of(description, secret, release.is_some());
    ClientSession::accepted(&line.ask(session.keys()?).await?.message)?;
    for entries in inputs.entries.chunks(infer.encrypted.encrypted_batch.into()) {
        let (kept, pixels) = prepare(inputs, entries, description, infer.strict, &mut all.left_out)?;
        if kept.is_empty() {
            continue;
        }
        let scores = line.batch(&session, &pixels, &mut all.seconds).await?;
        if let (Some((path, release)), Some(compared)) = (release, &mut all.compared) {
            *compared += compare(path, release, &kept, &pixels, &scores)?;
        }
        all.add(description, &kept, &scores);
    }
    if all.labels.is_empty() {
        return Err(Failure::AllBroken { count: all.left_out.len() });
    }
    all.accuracy = accuracy(&all.labels, &description.classes);
    (all.bytes_sent, all.bytes_received) = (line.sent, line.received);
    all.seconds.total = began.elapsed().as_secs_f64();
    line.client.close().await;
    Ok(all)
}

fn describe(name: &str, description: &Description) {
    let Description { set, height, width, max_pixel, classes, networks, .. } = description;
    eprintln!(
        "{name} is what the provider says it is, and no proof: networks {networks}, {height}x{width} grey pixels from 0 to \
         {max_pixel}, {} classes, parameters {set}",
        classes.len()
    );
}

fn same(path: &Path, release: &Release, description: &Description) -> Result<(), Failure> {
    let text = |set: &str, networks: usize, classes: &[String]| {
        format!("{set}, networks {networks}, classes {}", classes.join(" "))
    };
    let got = text(release.set.name(), release.networks.len(), &release.classes);
    let expected = text(&description.set, description.networks, &description.classes);
    match got == expected && release.shape.pixels() == description.pixels() {
        true => Ok(()),
        false => Err(Failure::OtherRelease { path: path.to_owned(), got, expected }),
    }
}

/// Images as pixels of the networks, one after the other; broken ones are named and left out.
fn prepare<'a>(
    inputs: &Inputs,
    entries: &'a [Entry],
    description: &Description,
    strict: bool,
    left_out: &mut Vec<String>,
) -> Result<(Vec<&'a Entry>, Vec<u8>), Failure> {
    let preparation = Preparation::new(description.height, description.width, 1);
    let one = |entry| -> Result<_, DataError> {
        let bytes = preparation.fit_pixels(&inputs.pixels(entry)?)?.data;
        Ok(levels(&bytes, description.max_pixel))
    };
    let (mut kept, mut pixels) = (Vec::new(), Vec::new());
    for entry in entries {
        match one(entry) {
            Ok(image) => {
                kept.push(entry);
                pixels.extend(image);
            }
            Err(error) if strict => return Err(error.into()),
            Err(error) => {
                eprintln!("left out {}: {error}", entry.name);
                left_out.push(entry.name.clone());
            }
        }
    }
    Ok((kept, pixels))
}

/// Compares each score with that of the networks in the clear; how many there were.
fn compare(
    path: &Path,
    release: &Release,
    entries: &[&Entry],
    pixels: &[u8],
    scores: &Scores,
) -> Result<usize, Failure> {
    for (index, (entry, image)) in entries.iter().zip(pixels.chunks_exact(release.shape.pixels())).enumerate() {
        let mut sums = vec![0_i128; release.shape.classes];
        for network in &release.networks {
            let output = network.evaluate(image)?.output;
            sums.iter_mut().zip(output).for_each(|(sum, score)| *sum += score);
        }
        let got = scores.image(index);
        if let Some(class) = (0..sums.len()).find(|&class| got.get(class) != Some(&sums[class])) {
            return Err(Failure::ScoreDiffers {
                path: path.to_owned(),
                image: entry.name.clone(),
                class: release.classes.get(class).cloned().unwrap_or_default(),
                expected: sums[class],
                got: got.get(class).copied().unwrap_or_default(),
            });
        }
    }
    Ok(scores.values.len())
}

impl Labels {
    fn of(description: &Description, secret: &Secret, compare: bool) -> Self {
        Self {
            labels: Vec::new(),
            left_out: Vec::new(),
            accuracy: None,
            set: description.set.clone(),
            networks: description.networks,
            batches: 0,
            key: secret.id(),
            noise_budget_bits: None,
            bytes_sent: 0,
            bytes_received: 0,
            seconds: Seconds::default(),
            compared: compare.then_some(0),
        }
    }

    fn add(&mut self, description: &Description, entries: &[&Entry], scores: &Scores) {
        self.batches += 1;
        let bits = self.noise_budget_bits.map_or(scores.budget_bits, |bits| bits.min(scores.budget_bits));
        self.noise_budget_bits = Some(bits);
        let averages: Vec<f64> = scores.averages(description.scale).collect();
        for ((entry, class), row) in entries.iter().zip(scores.labels()).zip(averages.chunks_exact(scores.classes)) {
            let label = description.classes.get(class).cloned().unwrap_or_else(|| class.to_string());
            let probability = softmax(row, class);
            self.labels.push(Label { name: entry.name.clone(), label, probability, truth: entry.class.clone() });
        }
    }
}

/// The share of one class.
fn softmax(scores: &[f64], class: usize) -> f32 {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
    scores.get(class).map_or(0.0, |score| ((score - largest).exp() / sum) as f32)
}

/// The connection, and what went over it.
struct Line {
    client: MessageClient,
    bar: ProgressBar,
    sent: u64,
    received: u64,
}

impl Line {
    async fn open(infer: &Infer, name: &str, secret: &Secret) -> Result<(Self, ClientSession), Failure> {
        let client = infer.line.open(name).await?;
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}");
        let bar = ProgressBar::new(1).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let mut line = Self { client, bar, sent: 0, received: 0 };
        let described = line.ask(ClientSession::describe()).await?;
        Ok((line, ClientSession::new(&described.message, secret)?))
    }

    async fn ask(&mut self, message: Vec<u8>) -> Result<Told, Failure> {
        let told = self.client.ask(message).await?;
        self.sent += told.bytes_sent;
        self.received += told.bytes_received;
        Ok(told)
    }

    /// One batch, from pixels to scores.
    async fn batch(
        &mut self,
        session: &ClientSession,
        pixels: &[u8],
        seconds: &mut Seconds,
    ) -> Result<Scores, Failure> {
        let mut clock = Instant::now();
        self.bar.set_message("encrypting");
        let mut batch = session.begin(pixels)?;
        seconds.encrypt += lap(&mut clock);
        while let Some(message) = batch.next()? {
            let answer = self.ask(message).await?.message;
            match batch.take(&answer)? {
                Step::Sending { sent, of } => {
                    self.show(sent, of, "ciphertexts sent");
                    seconds.send += lap(&mut clock);
                }
                Step::Waiting { ahead } => {
                    self.show(0, 100, &format!("{ahead} evaluations come first"));
                    tokio::time::sleep(POLL).await;
                    seconds.evaluate += lap(&mut clock);
                }
                Step::Evaluating { stage, share } => {
                    self.show((100.0 * share) as usize, 100, &format!("evaluated, {stage}"));
                    tokio::time::sleep(POLL).await;
                    seconds.evaluate += lap(&mut clock);
                }
                Step::Fetching { got, of } => {
                    self.show(got, of, "bytes of scores");
                    seconds.fetch += lap(&mut clock);
                }
                Step::Done(scores) => {
                    seconds.fetch += lap(&mut clock);
                    self.bar.finish_and_clear();
                    return Ok(scores);
                }
            }
        }
        Err(Failure::Options { reason: "the batch ended without scores" })
    }

    fn show(&self, done: usize, of: usize, what: &str) {
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
        self.bar.set_message(what.to_owned());
    }
}

/// Seconds since the last one.
fn lap(clock: &mut Instant) -> f64 {
    let seconds = clock.elapsed().as_secs_f64();
    *clock = Instant::now();
    seconds
}

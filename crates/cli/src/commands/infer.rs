//! `cleave infer`: labels for images, by way of a server that does not see them.

mod encrypted;

use crate::decoys::{DecoyOptions, Hidden, Item, Pool};
use crate::inputs::{Entry, Inputs};
use crate::line::LineOptions;
use crate::model;
use crate::options::DeviceOption;
use crate::secret::{PassphraseOption, unlock};
use crate::{Failure, Output, gate};
use clap::{Args, ValueEnum};
use cleave_nets::{Checkpoint, Defence, argmax};
use cleave_partition::{FrontHalf, list_defences, probabilities};
use cleave_transport::{Client, ClientConfig};
use cleave_wire::Element;
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng;
use rand::rngs::SysRng;
use rand_chacha::ChaCha20Rng;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Label images: run the front half here, let a server finish, unmask its answer; or send ciphertexts
#[derive(Args, Clone, Debug)]
pub struct Infer {
    /// Images, folders or tars
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The front half
    #[arg(long, required_unless_present = "encrypted")]
    front: Option<PathBuf>,
    #[command(flatten)]
    encrypted: encrypted::EncryptedOptions,
    /// The secret key of a pair that is locked with one, or that ciphertexts are made with
    #[arg(long)]
    key: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseOption,
    #[command(flatten)]
    line: LineOptions,
    /// Element type on the wire
    #[arg(long, value_enum, default_value_t = ElementType::F32)]
    element: ElementType,
    /// Images a request, 1 to 64, decoys among them; one image and its decoys always share a request
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=64))]
    batch: u16,
    /// Write the labels to a .csv or .jsonl file
    #[arg(long, value_parser = table_path)]
    out: Option<PathBuf>,
    /// Refuse a pair that does not keep this policy by what it says of itself, before connecting: one of `cleave policies`, or a TOML file
    #[arg(long, value_name = "NAME_OR_FILE")]
    require: Option<String>,
    #[command(flatten)]
    decoys: DecoyOptions,
    /// Also run this whole network here, with the same signals and without the defences at the cut, and count labels that differ
    #[arg(long)]
    compare_whole: Option<PathBuf>,
    /// Of a labelled set, take this split only
    #[arg(long)]
    split: Option<String>,
    /// Stop at the first broken image instead of naming and leaving it out
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    device: DeviceOption,
}

/// Element types.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ElementType {
    /// 4 bytes a value, exact
    F32,
    /// 2 bytes a value
    F16,
    /// 1 byte a value, with a scale for each image
    U8,
}

/// One image's answer.
#[derive(Clone, Debug, Serialize)]
struct Label {
    name: String,
    label: String,
    probability: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    truth: Option<String>,
}

/// All answers.
#[derive(Debug, Default, Serialize)]
struct Labels {
    labels: Vec<Label>,
    left_out: Vec<String>,
    bytes_sent: u64,
    bytes_received: u64,
    mean_milliseconds_a_request: f64,
    accuracy: Option<f64>,
    differs_from_whole: Option<usize>,
    /// Defences that the whole network runs without.
    not_in_whole: Vec<Defence>,
    hidden: Option<Hidden>,
}

impl std::fmt::Display for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for Label { name, label, probability, .. } in &self.labels {
            writeln!(f, "{name}\t{label}\t{probability:.4}")?;
        }
        write!(
            f,
            "{} images, {} left out, {} bytes sent, {:.1} ms a request",
            self.labels.len(),
            self.left_out.len(),
            self.bytes_sent,
            self.mean_milliseconds_a_request
        )?;
        if let Some(accuracy) = self.accuracy {
            write!(f, ", {:.2} % right", 100.0 * accuracy)?;
        }
        if let Some(differs) = self.differs_from_whole {
            let share = 100.0 * differs as f64 / self.labels.len().max(1) as f64;
            write!(f, "\n{differs} of {} labels differ from the whole network's ({share:.3} %)", self.labels.len())?;
            if !self.not_in_whole.is_empty() {
                write!(f, ", which runs without {}: that is their cost", list_defences(&self.not_in_whole))?;
            }
        }
        if let Some(hidden) = &self.hidden {
            write!(f, "\n{hidden}")?;
        }
        Ok(())
    }
}

/// A class and the network's trust in it.
type Answer = (usize, f32);

impl Infer {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        match (self.encrypted.name(), &self.front) {
            (Some(name), _) => encrypted::run(self, name, output),
            (None, Some(front)) => self.run_front(front, output),
            (None, None) => Err(Failure::Options { reason: "give --front FILE, or --encrypted NAME" }),
        }
    }

    fn run_front(&self, front: &Path, output: &Output) -> Result<(), Failure> {
        let required = self.require.as_deref().map(gate::policy).transpose()?;
        let device = self.device.open()?;
        let mut front = FrontHalf::load(front, &device)?;
        unlock(&mut front, self.key.as_ref(), &self.passphrase)?;
        let terms = &front.manifest().terms;
        eprintln!(
            "what this pair says of itself, and no promise: a stronger attack may find more\n{}",
            gate::statement(terms)
        );
        if let Some(policy) = required {
            let violations = terms.violations(&policy);
            if !violations.is_empty() {
                return Err(Failure::Required { policy: policy.name, violations });
            }
        }
        self.decoys.check(&terms.defences)?;
        let whole = self.compare_whole.as_ref().map(|path| model::load(path, &device)).transpose()?;
        let inputs = Inputs::open(&self.images, self.split.as_deref(), self.strict)?;
        let mut rng = ChaCha20Rng::try_from_rng(&mut SysRng)
            .map_err(|error| Failure::Randomness { reason: error.to_string() })?;
        let classes = &front.manifest().classes;
        let pool = self.decoys.open(&self.images, inputs.entries.len(), classes, &mut rng)?;
        let run = Run { infer: self, front: &front, whole: whole.as_ref(), inputs: &inputs, pool, rng };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let labels = runtime.block_on(run.label())?;
        if let Some(path) = &self.out {
            cleave_nets::write_atomically(path, render(path, &labels.labels)?.as_bytes())?;
        }
        output.result(&labels)
    }

    async fn connect(&self, front: &FrontHalf) -> Result<Client, Failure> {
        let (tls, (address, name)) = (self.line.tls()?, self.line.server().await?);
        let element = match self.element {
            ElementType::F32 => Element::F32,
            ElementType::F16 => Element::F16,
            ElementType::U8 => Element::U8,
        };
        let terms = &front.manifest().terms;
        let config = ClientConfig {
            element,
            expected_pair_hash: terms.pair_hash(),
            expected_item_len: Some(terms.smashed.values()),
            expected_output_len: Some(terms.outputs),
            ..ClientConfig::default()
        };
        let client = Client::connect(address, name, tls, &terms.model, config).await?;
        if let Some(notice) = client.info().notice.as_ref().or(terms.accepted.as_ref()) {
            eprintln!("NOTICE from the provider: {notice}");
        }
        Ok(client)
    }
}

/// All that one run works with.
struct Run<'a> {
    infer: &'a Infer,
    front: &'a FrontHalf,
    whole: Option<&'a Checkpoint>,
    inputs: &'a Inputs,
    pool: Option<Pool>,
    rng: ChaCha20Rng,
}

impl Run<'_> {
    async fn label(mut self) -> Result<Labels, Failure> {
        let client = self.infer.connect(self.front).await?;
        let entries = &self.inputs.entries;
        let bar = progress(entries.len());
        let (mut all, mut requests) = (Labels::default(), 0u32);
        all.differs_from_whole = self.whole.map(|_| 0);
        all.not_in_whole = self.front.manifest().terms.defences_at_cut();
        let classes = &self.front.manifest().classes;
        let mut seen = vec![0; classes.len()];
        let chunk = (usize::from(self.infer.batch) / (self.infer.decoys.count() + 1)).max(1);
        for first in (0..entries.len()).step_by(chunk) {
            let places = first..entries.len().min(first + chunk);
            bar.inc(places.len() as u64);
            let Some(items) = self.prepare(places, &mut all.left_out)? else { continue };
            self.ask(&client, items, &mut all, &mut seen).await?;
            requests += 1;
        }
        bar.finish_and_clear();
        if all.labels.is_empty() {
            return Err(Failure::AllBroken { count: all.left_out.len() });
        }
        all.mean_milliseconds_a_request /= f64::from(requests);
        all.accuracy = accuracy(&all.labels, classes);
        all.hidden = self.pool.as_ref().map(|pool| self.infer.decoys.hidden(pool, classes, &seen)).transpose()?;
        client.close().await;
        Ok(all)
    }

    /// Prepared images, in secret random order among their decoys; broken ones are named and left out.
    fn prepare(
        &mut self,
        places: std::ops::Range<usize>,
        left_out: &mut Vec<String>,
    ) -> Result<Option<Vec<Item>>, Failure> {
        let preparation = &self.front.manifest().preparation;
        let mut items = Vec::new();
        for place in places {
            let entry = &self.inputs.entries[place];
            match self.inputs.prepared(entry, preparation) {
                Ok(image) => items.push(Item { place: Some(place), image }),
                Err(error) if self.infer.strict => return Err(error.into()),
                Err(error) => {
                    eprintln!("left out {}: {error}", entry.name);
                    left_out.push(entry.name.clone());
                }
            }
        }
        if let Some(pool) = &mut self.pool {
            pool.hide(&mut items, preparation, &mut self.rng)?;
        }
        Ok(Some(items).filter(|items| !items.is_empty()))
    }

    /// Sends a request and keeps what comes back for the images; of decoys, how often each class came.
    async fn ask(
        &mut self,
        client: &Client,
        items: Vec<Item>,
        all: &mut Labels,
        seen: &mut [usize],
    ) -> Result<(), Failure> {
        let places: Vec<_> = items.iter().map(|item| item.place).collect();
        let images: Vec<f32> = items.into_iter().flat_map(|item| item.image).collect();
        let signals = self.front.draw(places.len(), &mut self.rng);
        let whole = self.whole.map(|whole| self.whole_answers(whole, &images, &signals)).transpose()?;
        let smashed = self.front.smash(images, &signals, &mut self.rng)?;
        let reply = client.call(smashed.values(), smashed.batch()).await?;
        all.mean_milliseconds_a_request += reply.elapsed.as_secs_f64() * 1000.0;
        all.bytes_sent += reply.bytes_sent;
        all.bytes_received += reply.bytes_received;
        let answers = read(self.front, &reply.values, &signals)?;
        let differs = |index: usize| whole.as_ref().is_some_and(|whole| whole[index].0 != answers[index].0);
        let mut kept = Vec::new();
        for (index, (place, &(class, probability))) in places.into_iter().zip(&answers).enumerate() {
            match place {
                Some(place) => kept.push((place, class, probability, differs(index))),
                None => seen[class] += 1,
            }
        }
        kept.sort_by_key(|(place, ..)| *place);
        for (place, class, probability, differs) in kept {
            all.differs_from_whole = all.differs_from_whole.map(|count| count + usize::from(differs));
            all.labels.push(self.named(&self.inputs.entries[place], class, probability));
        }
        Ok(())
    }

    /// What the whole network answers, with the same signals drawn with the same digit images.
    fn whole_answers(&self, whole: &Checkpoint, images: &[f32], signals: &[usize]) -> Result<Vec<Answer>, Failure> {
        let planes = self.front.planes(signals, &mut self.rng.clone())?;
        let images = self.front.manifest().preparation.renormalised(images, &whole.card.preparation)?;
        let scores = whole.network.infer(images, planes, signals.len())?;
        read(self.front, &scores, signals)
    }

    fn named(&self, entry: &Entry, class: usize, probability: f32) -> Label {
        let label = self.front.manifest().classes.get(class).cloned().unwrap_or_else(|| class.to_string());
        Label { name: entry.name.clone(), label, probability, truth: entry.class.clone() }
    }
}

fn progress(images: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} images {eta} left");
    ProgressBar::new(images as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A file that labels can be written to.
fn table_path(text: &str) -> Result<PathBuf, String> {
    match text.rsplit_once('.') {
        Some((_, "csv" | "jsonl")) => Ok(PathBuf::from(text)),
        _ => Err("write .csv or .jsonl".to_owned()),
    }
}

/// The class of each sample, unmasked.
fn read(front: &FrontHalf, scores: &[f32], signals: &[usize]) -> Result<Vec<Answer>, Failure> {
    let outputs = front.manifest().terms.outputs.max(1);
    let rows = scores.chunks(outputs).zip(signals);
    rows.map(|(row, &signal)| {
        let shares = probabilities(&front.unmask(row, signal)?);
        let best = argmax(&shares);
        Ok((best, shares[best]))
    })
    .collect()
}

/// Share of right labels, where the images' own classes are those of the network.
fn accuracy(labels: &[Label], classes: &[String]) -> Option<f64> {
    let known: Vec<_> =
        labels.iter().filter(|label| label.truth.as_ref().is_some_and(|truth| classes.contains(truth))).collect();
    let right = known.iter().filter(|label| label.truth.as_ref() == Some(&label.label)).count();
    (!known.is_empty()).then(|| right as f64 / known.len() as f64)
}

fn render(path: &Path, labels: &[Label]) -> Result<String, Failure> {
    let mut text = String::new();
    match path.extension().and_then(|end| end.to_str()) {
        Some("jsonl") => {
            for label in labels {
                text.push_str(&serde_json::to_string(label)?);
                text.push('\n');
            }
        }
        _ => {
            text.push_str("name,label,probability\n");
            for Label { name, label, probability, .. } in labels {
                let _ = writeln!(text, "{},{},{probability}", quoted(name), quoted(label));
            }
        }
    }
    Ok(text)
}

/// A field of a CSV file (RFC 4180).
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

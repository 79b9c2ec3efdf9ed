//! `cleave infer`: labels for images, by way of a server that does not see them.

use crate::options::DeviceOption;
use crate::serving::largest;
use crate::{Failure, Output};
use clap::{Args, ValueEnum};
use cleave_data::{Dataset, Images, OpenOptions};
use cleave_nets::Checkpoint;
use cleave_partition::{FrontHalf, probabilities};
use cleave_transport::{Client, ClientConfig, ClientTls, Identity, Trust, client_stem};
use cleave_wire::Element;
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng;
use rand::rngs::SysRng;
use rand_chacha::ChaCha20Rng;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Label images: run the front half here, let a server finish, unmask its answer
#[derive(Args, Clone, Debug)]
pub struct Infer {
    /// Images, folders or tars
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The front half
    #[arg(long)]
    front: PathBuf,
    /// Host and port of the server
    #[arg(long, default_value = "127.0.0.1:4433")]
    connect: String,
    /// Name on the server's certificate; without it the host of --connect
    #[arg(long)]
    server_name: Option<String>,
    /// Folder with ca.pem and this client's certificate
    #[arg(long)]
    keys: PathBuf,
    /// This client's name, as given to `cleave keys`
    #[arg(long)]
    client: String,
    /// Element type on the wire
    #[arg(long, value_enum, default_value_t = ElementType::F32)]
    element: ElementType,
    /// Images a request, 1 to 64
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=64))]
    batch: u16,
    /// Write the labels to a .csv or .jsonl file
    #[arg(long, value_parser = table_path)]
    out: Option<PathBuf>,
    /// Also run this whole network here, with the same signals, and count labels that differ
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
#[derive(Debug, Serialize)]
struct Labels {
    labels: Vec<Label>,
    left_out: Vec<String>,
    bytes_sent: u64,
    bytes_received: u64,
    mean_milliseconds_a_request: f64,
    accuracy: Option<f64>,
    differs_from_whole: Option<usize>,
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
        }
        Ok(())
    }
}

/// An image with its name and, in a labelled set, its class.
struct Entry {
    name: String,
    class: Option<String>,
    set: usize,
    index: usize,
}

/// Where images come from.
enum Set {
    Labelled(Dataset),
    Plain(Images),
}

impl Infer {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let device = self.device.open()?;
        let front = FrontHalf::load(&self.front, &device)?;
        let whole = self.compare_whole.as_ref().map(|path| Checkpoint::load(path, &device)).transpose()?;
        let (sets, entries) = self.entries()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let labels = runtime.block_on(self.label(&front, whole.as_ref(), &sets, &entries))?;
        if let Some(path) = &self.out {
            cleave_nets::write_atomically(path, render(path, &labels)?.as_bytes())?;
        }
        output.result(&labels)
    }

    fn entries(&self) -> Result<(Vec<Set>, Vec<Entry>), Failure> {
        let (mut sets, mut entries) = (Vec::new(), Vec::new());
        for path in &self.images {
            let set = sets.len();
            let options = OpenOptions { strict: self.strict, split: self.split.clone(), ..OpenOptions::default() };
            match Dataset::open(path, &options) {
                Err(error) if self.split.is_some() => return Err(error.into()),
                Ok(data) if self.split.is_some() || (data.skipped().unlabelled == 0 && holds_many(path)) => {
                    let class = |index| data.label(index).map(|label| data.classes()[label].clone());
                    entries.extend((0..data.len()).map(|index| Entry {
                        name: data.name(index),
                        class: class(index),
                        set,
                        index,
                    }));
                    sets.push(Set::Labelled(data));
                }
                _ => {
                    let images = Images::open(path)?;
                    entries.extend((0..images.len()).map(|index| Entry {
                        name: images.name(index),
                        class: None,
                        set,
                        index,
                    }));
                    sets.push(Set::Plain(images));
                }
            }
        }
        Ok((sets, entries))
    }

    async fn label(
        &self,
        front: &FrontHalf,
        whole: Option<&Checkpoint>,
        sets: &[Set],
        entries: &[Entry],
    ) -> Result<Labels, Failure> {
        let client = self.connect(front).await?;
        let mut rng = ChaCha20Rng::try_from_rng(&mut SysRng)
            .map_err(|error| Failure::Randomness { reason: error.to_string() })?;
        let bar = ProgressBar::new(entries.len() as u64);
        bar.set_style(
            ProgressStyle::with_template("{bar:24} {pos}/{len} images {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let mut all = Labels {
            labels: vec![],
            left_out: vec![],
            bytes_sent: 0,
            bytes_received: 0,
            mean_milliseconds_a_request: 0.0,
            accuracy: None,
            differs_from_whole: whole.map(|_| 0),
        };
        let (mut requests, mut milliseconds) = (0u32, 0.0);
        for chunk in entries.chunks(usize::from(self.batch)) {
            let (kept, images) = self.prepare(front, sets, chunk, &mut all.left_out)?;
            bar.inc(chunk.len() as u64);
            if kept.is_empty() {
                continue;
            }
            let signals = front.draw(kept.len(), &mut rng);
            let mut compared = whole.map(|_| rng.clone()); // the same digit images for the whole network
            let smashed = front.smash(images.clone(), &signals, &mut rng)?;
            let reply = client.call(smashed.values(), smashed.batch()).await?;
            (requests, milliseconds) = (requests + 1, milliseconds + reply.elapsed.as_secs_f64() * 1000.0);
            all.bytes_sent += reply.bytes_sent;
            all.bytes_received += reply.bytes_received;
            let labels = answers(front, &kept, &reply.values, &signals)?;
            if let (Some(whole), Some(rng)) = (whole, &mut compared) {
                let planes = front.planes(&signals, rng)?;
                let scores = whole.network.infer(images, planes, kept.len())?;
                let differing = answers(front, &kept, &scores, &signals)?
                    .iter()
                    .zip(&labels)
                    .filter(|(a, b)| a.label != b.label)
                    .count();
                all.differs_from_whole = all.differs_from_whole.map(|count| count + differing);
            }
            all.labels.extend(labels);
        }
        bar.finish_and_clear();
        if all.labels.is_empty() {
            return Err(Failure::AllBroken { count: all.left_out.len() });
        }
        all.mean_milliseconds_a_request = milliseconds / f64::from(requests.max(1));
        all.accuracy = accuracy(&all.labels, &front.manifest().classes);
        client.close().await;
        Ok(all)
    }

    async fn connect(&self, front: &FrontHalf) -> Result<Client, Failure> {
        let stem = client_stem(&self.client)?;
        let file = |name: String| self.keys.join(name);
        let identity = Identity::load(&file(format!("{stem}.pem")), &file(format!("{stem}-key.pem")))?;
        let tls = ClientTls::new(identity, Trust::load(&file("ca.pem".into()))?);
        let resolved = tokio::net::lookup_host(&self.connect)
            .await
            .map_err(|source| Failure::Address { address: self.connect.clone(), source })?;
        let mut addresses: Vec<_> = resolved.collect();
        addresses.sort_by_key(std::net::SocketAddr::is_ipv6); // `cleave serve` listens on 127.0.0.1 by default
        let address = addresses.into_iter().next().ok_or_else(|| Failure::Address {
            address: self.connect.clone(),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        let host = self.connect.rsplit_once(':').map_or(self.connect.as_str(), |(host, _)| host);
        let name = self.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']);
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

    /// Prepared images of a chunk; broken ones are named and left out.
    fn prepare<'a>(
        &self,
        front: &FrontHalf,
        sets: &[Set],
        chunk: &'a [Entry],
        left_out: &mut Vec<String>,
    ) -> Result<(Vec<&'a Entry>, Vec<f32>), Failure> {
        let (mut kept, mut images) = (Vec::new(), Vec::new());
        for entry in chunk {
            let pixels = match &sets[entry.set] {
                Set::Labelled(data) => data.decode(entry.index),
                Set::Plain(plain) => plain.decode(entry.index),
            };
            match pixels.and_then(|pixels| front.manifest().preparation.prepare(&pixels)) {
                Ok(values) => {
                    kept.push(entry);
                    images.extend(values);
                }
                Err(error) if self.strict => return Err(error.into()),
                Err(error) => {
                    eprintln!("left out {}: {error}", entry.name);
                    left_out.push(entry.name.clone());
                }
            }
        }
        Ok((kept, images))
    }
}

/// Whether a path is a folder or an archive, and not one image.
fn holds_many(path: &Path) -> bool {
    !path.is_file() || path.extension().is_some_and(|end| ["tar", "gz", "tgz"].iter().any(|archive| end == *archive))
}

/// A file that labels can be written to.
fn table_path(text: &str) -> Result<PathBuf, String> {
    match text.rsplit_once('.') {
        Some((_, "csv" | "jsonl")) => Ok(PathBuf::from(text)),
        _ => Err("write .csv or .jsonl".to_owned()),
    }
}

fn answers(front: &FrontHalf, entries: &[&Entry], scores: &[f32], signals: &[usize]) -> Result<Vec<Label>, Failure> {
    let outputs = front.manifest().terms.outputs.max(1);
    let rows = entries.iter().zip(scores.chunks(outputs)).zip(signals);
    rows.map(|((entry, row), &signal)| {
        let shares = probabilities(&front.unmask(row, signal)?);
        let best = largest(&shares);
        let label = front.manifest().classes.get(best).cloned().unwrap_or_else(|| best.to_string());
        Ok(Label { name: entry.name.clone(), label, probability: shares[best], truth: entry.class.clone() })
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

fn render(path: &Path, labels: &Labels) -> Result<String, Failure> {
    let mut text = String::new();
    match path.extension().and_then(|end| end.to_str()) {
        Some("jsonl") => {
            for label in &labels.labels {
                text.push_str(&serde_json::to_string(label)?);
                text.push('\n');
            }
        }
        _ => {
            text.push_str("name,label,probability\n");
            for Label { name, label, probability, .. } in &labels.labels {
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

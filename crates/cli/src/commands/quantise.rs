//! `cleave quantise`: an ensemble in integers, for ciphertexts.

use crate::options::{DataOptions, DeviceOption, open_dataset, open_held_out};
use crate::output::place_for;
use crate::quantising::Member;
use crate::{Failure, Output};
use clap::Args;
use cleave_data::{Dataset, Preparation};
use cleave_encrypted::{FloatNetwork, IntegerNetwork, ParamSet, Precision, Ranges, Release, levels, quantise, ranges};
use cleave_nets::argmax;
use cleave_secrets::Existing;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Turn networks of convolution, square, linear, square, linear into integers that run on ciphertexts
#[derive(Args, Clone, Debug)]
pub struct Quantise {
    /// The networks of the ensemble, whose scores are averaged; `cleave train --arch cryptonets` makes one
    #[arg(required = true)]
    models: Vec<PathBuf>,
    #[command(flatten)]
    data: DataOptions,
    /// Pixels become 0 to this number
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u8).range(1..))]
    max_pixel: u8,
    /// Largest absolute weight, or one for each of the three layers as in 31,31,31
    #[arg(long, default_value = "31", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    max_weight: Vec<u16>,
    /// Bits that the parameters have to hold above the largest sum of scores that was measured
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(..=64))]
    margin_bits: u32,
    #[command(flatten)]
    device: DeviceOption,
    /// The list to write; the networks go beside it, as NAME-1.json and so on
    #[arg(long)]
    out: PathBuf,
    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
}

/// What was measured and made.
#[derive(Serialize)]
struct Quantised {
    out: PathBuf,
    set: ParamSet,
    margin_bits: u32,
    /// Bits between the largest sum measured and what the set holds.
    spare_bits: u32,
    /// Images that the ranges were measured on.
    images: usize,
    ranges: Vec<Range>,
    scale: f64,
    /// Images that the accuracy was measured on, which the ranges hold for too.
    held_out: usize,
    members: Vec<Accuracy>,
    ensemble: Accuracy,
    left_out: usize,
}

#[derive(Serialize)]
struct Range {
    layer: &'static str,
    /// In decimals, since it has more bits than many readers of JSON take.
    largest: String,
    bits: u32,
}

/// Share of right answers in floats and in integers, and of images on which both answer alike.
#[derive(Serialize)]
struct Accuracy {
    name: String,
    float: f64,
    integer: f64,
    alike: f64,
}

impl std::fmt::Display for Quantised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{:14} {:>26} {:>5}", "layer", "largest value", "bits")?;
        for Range { layer, largest, bits } in &self.ranges {
            writeln!(f, "{layer:14} {largest:>26} {bits:>5}")?;
        }
        let Self { set, margin_bits, spare_bits, images, .. } = self;
        writeln!(f, "on {images} images; {set} holds {spare_bits} bits more, {margin_bits} were asked for\n")?;
        writeln!(f, "{:28} {:>9} {:>9} {:>9}", "", "floats", "integers", "alike")?;
        for Accuracy { name, float, integer, alike } in self.members.iter().chain([&self.ensemble]) {
            let [float, integer, alike] = [float, integer, alike].map(|share| 100.0 * share);
            writeln!(f, "{name:28} {float:7.2} % {integer:7.2} % {alike:7.2} %")?;
        }
        writeln!(f, "right answers on {} held-out images\n", self.held_out)?;
        let (out, members, left_out) = (self.out.display(), self.members.len(), self.left_out);
        write!(f, "wrote {out} and {members} networks beside it; {left_out} broken images were left out")
    }
}

/// Images as bytes of the prepared size, one after the other.
struct Bytes {
    pixels: Vec<u8>,
    labels: Vec<usize>,
    left_out: usize,
}

impl Bytes {
    /// The bytes are those before any mean and deviation.
    fn read(data: &Dataset, preparation: &Preparation) -> Result<Self, Failure> {
        let mut all = Self { pixels: Vec::new(), labels: Vec::new(), left_out: 0 };
        for index in 0..data.len() {
            let fitted = data.decode(index).and_then(|image| preparation.fit_pixels(&image));
            match fitted {
                Ok(image) => {
                    all.pixels.extend(image.data);
                    all.labels.extend(data.label(index));
                }
                Err(error) if data.is_strict() => return Err(error.into()),
                Err(error) => {
                    eprintln!("left out {}: {error}", data.name(index));
                    all.left_out += 1;
                }
            }
        }
        Ok(all)
    }
}

/// Images between two moves of the bar.
const CHUNK: usize = 500;

impl Quantise {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        place_for(&self.out)?;
        if self.out.exists() && !self.force {
            let path = self.out.clone();
            return Err(cleave_encrypted::Error::Write(cleave_secrets::Error::Exists { path }).into());
        }
        let device = self.device.open()?;
        let members = self.models.iter().map(|path| Member::load(path, &device)).collect::<Result<Vec<_>, _>>()?;
        let first = alike(&members)?;
        let precision = self.precision()?;
        let floats: Vec<FloatNetwork<'_>> = members.iter().map(Member::float).collect();
        let networks = quantise(&floats, first.shape, precision)?;

        let data = self.data.with_classes_of(&first.model.card.classes)?;
        let preparation = &first.model.card.preparation;
        let [train, held_out] = [open_dataset(&data, Some("train"))?, open_held_out(&data, None)?]
            .map(|dataset| Bytes::read(&dataset, preparation));
        let (train, held_out) = (train?, held_out?);
        let count = train.labels.len() + held_out.labels.len();
        if train.labels.is_empty() || held_out.labels.is_empty() {
            return Err(Failure::AllBroken { count: train.left_out + held_out.left_out });
        }
        let bar = progress(count + held_out.labels.len());
        let seen = measure(&networks, &train, precision, &bar)?.merge(measure(&networks, &held_out, precision, &bar)?);
        let set = ParamSet::holding(seen.sum, self.margin_bits)?;
        let (accuracies, ensemble) = compare(&members, &networks, &held_out, &bar)?;
        bar.finish_and_clear();

        let release = Release {
            set,
            shape: first.shape,
            scale: networks[0].scale,
            classes: first.model.card.classes.clone(),
            precision,
            ranges: seen,
            margin: self.margin_bits,
            sources: members.iter().map(|member| name(&member.path)).collect(),
            networks,
        };
        release.ensemble()?; // it runs on ciphertexts, or nothing is written
        release.write(&self.out, if self.force { Existing::Replace } else { Existing::Keep })?;
        output.result(&Quantised {
            out: self.out.clone(),
            set,
            margin_bits: self.margin_bits,
            spare_bits: (set.largest() / seen.sum.max(1)).checked_ilog2().unwrap_or(0),
            images: seen.images,
            ranges: rows(&seen),
            scale: release.scale,
            held_out: held_out.labels.len(),
            members: accuracies,
            ensemble,
            left_out: train.left_out + held_out.left_out,
        })
    }

    fn precision(&self) -> Result<Precision, Failure> {
        let max_weight = match self.max_weight[..] {
            [all] => [all; 3],
            [first, second, third] => [first, second, third],
            _ => return Err(Failure::Options { reason: "--max-weight takes one number, or one for each of 3 layers" }),
        };
        Ok(Precision { max_pixel: self.max_pixel, max_weight })
    }
}

fn rows(seen: &Ranges) -> Vec<Range> {
    let Ranges { convolution, hidden, output, sum, .. } = *seen;
    let row = |(layer, largest): (_, u128)| {
        let bits = largest.checked_ilog2().map_or(0, |bits| bits + 1);
        Range { layer, largest: largest.to_string(), bits }
    };
    [("convolution", convolution), ("hidden", hidden), ("output", output), ("sum", sum)].map(row).into()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn progress(images: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("quantise {bar:24} {pos}/{len} images {eta} left");
    ProgressBar::new(images as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The first of networks that have one shape, one preparation and one list of classes.
fn alike(members: &[Member]) -> Result<&Member, Failure> {
    let (first, rest) = members.split_first().ok_or(Failure::Options { reason: "there is no network" })?;
    for other in rest {
        let (card, expected) = (&other.model.card, &first.model.card);
        if card.classes != expected.classes {
            return Err(Failure::OtherClasses { network: expected.classes.clone(), given: card.classes.clone() });
        }
        if (other.shape, &card.preparation) != (first.shape, &expected.preparation) {
            return Err(Failure::OtherMember { path: other.path.clone(), first: first.path.clone() });
        }
    }
    Ok(first)
}

fn measure(
    networks: &[IntegerNetwork],
    images: &Bytes,
    precision: Precision,
    bar: &ProgressBar,
) -> Result<Ranges, Failure> {
    let mut seen = Ranges::default();
    for chunk in images.pixels.chunks(CHUNK * networks[0].shape.pixels()) {
        let part = ranges(networks, &levels(chunk, precision.max_pixel))?;
        bar.inc(part.images as u64);
        seen = seen.merge(part);
    }
    Ok(seen)
}

/// Right answers of each member, and of the sum of their scores.
fn compare(
    members: &[Member],
    networks: &[IntegerNetwork],
    images: &Bytes,
    bar: &ProgressBar,
) -> Result<(Vec<Accuracy>, Accuracy), Failure> {
    let (pixels, classes) = (networks[0].shape.pixels(), networks[0].shape.classes);
    let mut counts = vec![[0_usize; 3]; members.len() + 1];
    let labels = images.labels.chunks(CHUNK);
    for (chunk, labels) in images.pixels.chunks(CHUNK * pixels).zip(labels) {
        let plain: Vec<f32> = chunk.iter().map(|&byte| f32::from(byte) / 255.0).collect();
        let grey = levels(chunk, networks[0].max_pixel);
        let mut sums = (vec![0.0; labels.len() * classes], vec![0; labels.len() * classes]);
        for ((member, network), count) in members.iter().zip(networks).zip(&mut counts) {
            let floats = member.model.network.infer(plain.clone(), None, labels.len())?;
            let integers = network.evaluate_all(&grey)?;
            sums.0.iter_mut().zip(&floats).for_each(|(sum, score)| *sum += score);
            sums.1.iter_mut().zip(&integers).for_each(|(sum, score)| *sum += score);
            add(count, &floats, &integers, labels);
        }
        if let Some(count) = counts.last_mut() {
            add(count, &sums.0, &sums.1, labels);
        }
        bar.inc(labels.len() as u64);
    }
    let share = |count: usize| count as f64 / images.labels.len() as f64;
    let accuracy = |name, [float, integer, alike]: [usize; 3]| {
        let [float, integer, alike] = [float, integer, alike].map(share);
        Accuracy { name, float, integer, alike }
    };
    let single = members.iter().zip(&counts).map(|(member, &count)| accuracy(name(&member.path), count)).collect();
    Ok((single, accuracy("ensemble".to_owned(), counts[members.len()])))
}

/// Counts right answers in floats, in integers, and answers that are alike.
fn add(count: &mut [usize; 3], floats: &[f32], integers: &[i128], labels: &[usize]) {
    let classes = floats.len() / labels.len();
    let rows = floats.chunks_exact(classes).zip(integers.chunks_exact(classes)).zip(labels);
    for ((floats, integers), &label) in rows {
        let (float, integer) = (argmax(floats), largest(integers));
        count[0] += usize::from(float == label);
        count[1] += usize::from(integer == label);
        count[2] += usize::from(float == integer);
    }
}

/// Position of the largest score; the first of equal ones.
fn largest(scores: &[i128]) -> usize {
    scores.iter().enumerate().fold(0, |best, (index, score)| if *score > scores[best] { index } else { best })
}

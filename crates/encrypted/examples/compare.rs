//! The comparisons of Chiang 2023 that need no ciphertexts, on features in CSV files: a label, then its features, a row
//! an image, no header; `.gz` is unpacked.
//!
//! `cargo run --release -p cleave-encrypted --example compare -- curves TRAIN.csv.gz TEST.csv.gz --iterations 100 --out
//! CURVES.csv`: the accuracy after every iteration, of each method of the paper's Figure 1 and of some others.
//!
//! `cargo run --release -p cleave-encrypted --example compare -- few TRAIN.csv.gz TEST.csv.gz --samples 128,256,512`: as
//! few images as an encrypted training takes, with the paper's preconditioner and with the ridge.
//!
//! What is chosen (rates, λ, the range of a cubic) is chosen on images of TRAIN.

#![allow(clippy::print_stdout, reason = "an example's output")]

use std::{
    error::Error,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Parser;
use cleave_encrypted::training::{
    Activation, Cubic, Likelihood, Method, Model, Plain, Preconditioner, Rate, TrainingData,
};
use flate2::read::GzDecoder;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Parts that the images are taken apart into, each of which is tested on once.
const PARTS: usize = 4;
const LAMBDAS: [f64; 9] = [0.01, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 1e3, 1e4];
const RANGES: [f64; 4] = [12.0, 8.0, 6.0, 4.0];

#[derive(Parser)]
enum Command {
    /// Accuracy after every iteration of every method
    Curves(Curves),
    /// The quadratic gradient and the ridge on few images
    Few(Few),
}

#[derive(clap::Args)]
struct Tables {
    /// Features to train on
    train: PathBuf,
    /// Features to test on; without it the last sixth of TRAIN, which then is not trained on
    test: Option<PathBuf>,
    /// Take the images of TRAIN in an order drawn from this seed, as a table that is sorted by class needs it
    #[arg(long, value_name = "SEED")]
    shuffle: Option<u64>,
}

#[derive(clap::Args)]
struct Curves {
    #[command(flatten)]
    tables: Tables,
    #[arg(long, default_value_t = 100)]
    iterations: usize,
    /// Train on the first so many images of TRAIN
    #[arg(long)]
    first: Option<usize>,
    /// Rates and λ are chosen on so many images, half of them to train and half to test
    #[arg(long, default_value_t = 4000)]
    sweep: usize,
    /// Where the fitted cubic is fitted: −RANGE to RANGE
    #[arg(long, default_value_t = 8.0)]
    range: f64,
    /// The table to write
    #[arg(long)]
    out: PathBuf,
}

#[derive(clap::Args)]
struct Few {
    #[command(flatten)]
    tables: Tables,
    /// Images to train on: the first so many, then the next, and so on
    #[arg(long, value_delimiter = ',', default_values_t = [128, 256, 512])]
    samples: Vec<usize>,
    #[arg(long, default_value_t = 2)]
    iterations: usize,
    /// How often so many images are taken
    #[arg(long, default_value_t = 1)]
    draws: usize,
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Curves(options) => options.run(),
        Command::Few(options) => options.run(),
    }
}

/// Rows as they stand in a file.
struct Table {
    features: Vec<f64>,
    labels: Vec<usize>,
    width: usize,
}

impl Table {
    fn read(path: &Path) -> Result<Self> {
        let wrong = |line: usize, reason: String| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}, line {line}: {reason}", path.display()))
        };
        let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let bytes: Box<dyn Read> = match path.extension().is_some_and(|end| end == "gz") {
            true => Box::new(GzDecoder::new(file)),
            false => Box::new(file),
        };
        let mut table = Self { features: Vec::new(), labels: Vec::new(), width: 0 };
        for (line, text) in (1..).zip(BufReader::new(bytes).lines()) {
            let text = text?;
            let mut fields = text.split(',').map(|field| field.trim().parse::<f64>());
            let label = match fields.next() {
                Some(Ok(label)) if label >= 0.0 && label.fract() == 0.0 => label as usize,
                _ => return Err(wrong(line, "expected a label 0, 1, … first".into()).into()),
            };
            table.labels.push(label);
            for field in fields {
                table.features.push(field.map_err(|error| wrong(line, error.to_string()))?);
            }
            let (rows, width) = (table.labels.len(), table.features.len() / table.labels.len());
            if width * rows != table.features.len() || (rows > 1 && width != table.width) {
                return Err(wrong(line, format!("expected {} features", table.width)).into());
            }
            table.width = width;
        }
        Ok(table)
    }

    fn shuffle(&mut self, seed: u64) {
        let mut order: Vec<_> = (0..self.rows()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        self.features = order.iter().flat_map(|&i| self.row(i)).copied().collect();
        self.labels = order.iter().map(|&i| self.labels[i]).collect();
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.features[i * self.width..(i + 1) * self.width]
    }

    fn rows(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> usize {
        self.labels.iter().max().map_or(0, |label| label + 1)
    }

    fn pick(&self, rows: impl Iterator<Item = usize> + Clone, classes: usize) -> Result<TrainingData> {
        let features: Vec<_> = rows.clone().flat_map(|i| self.row(i)).copied().collect();
        let labels: Vec<_> = rows.map(|i| self.labels[i]).collect();
        Ok(TrainingData::new(&features, &labels, classes)?)
    }
}

/// What can be trained on, what is tested on, and of how many classes.
struct Split {
    table: Table,
    trained: usize,
    classes: usize,
    test: TrainingData,
}

impl Tables {
    fn read(&self) -> Result<Split> {
        let mut table = Table::read(&self.train)?;
        if let Some(seed) = self.shuffle {
            table.shuffle(seed);
        }
        let rows = table.rows();
        let (trained, classes, test) = match &self.test {
            Some(path) => {
                let test = Table::read(path)?;
                let classes = table.classes().max(test.classes());
                (rows, classes, test.pick(0..test.rows(), classes)?)
            }
            None => (rows - rows / 6, table.classes(), table.pick(rows - rows / 6..rows, table.classes())?),
        };
        println!("{rows} images of {} features, {trained} to train on, {} to test", table.width, test.samples());
        Ok(Split { table, trained, classes, test })
    }
}

/// One line of a figure.
#[derive(Clone, Copy)]
enum Way {
    Plain(Plain),
    Preconditioned(Method),
}

fn plain(likelihood: Likelihood, rate: Rate) -> Way {
    Way::Plain(Plain { likelihood, rate })
}

/// Accuracy on `test` before the first iteration and after each.
fn curve(way: Way, data: &TrainingData, test: &TrainingData, iterations: usize) -> Result<Vec<f64>> {
    let mut model = Model::start(data, 0.0);
    let mut found = vec![model.accuracy(test)?];
    let directions = match way {
        Way::Plain(_) => None,
        Way::Preconditioned(how) => Some(data.directions(how.preconditioner)?),
    };
    for _ in 0..iterations {
        match (way, &directions) {
            (Way::Preconditioned(how), Some(directions)) => model.advance_along(data, directions, how.activation)?,
            (Way::Preconditioned(how), None) => model.advance(data, how)?,
            (Way::Plain(how), _) => model.advance_plain(data, how)?,
        }
        found.push(model.accuracy(test)?);
    }
    Ok(found)
}

impl Curves {
    fn run(&self) -> Result<()> {
        let split = self.tables.read()?;
        let half = self.sweep.min(split.trained) / 2;
        let (own, rest) = (split.table.pick(0..half, split.classes)?, split.table.pick(half..2 * half, split.classes)?);
        let best = |name: &str, ways: Vec<(f64, Way)>| self.best(name, ways, &own, &rest);
        // The mean Hessian of SLE is at most a quarter of this.
        let square = mean_square(&own);
        let rates = || (-2..11).map(|power| 2_f64.powi(power) / square);
        let swept = |likelihood, rate: fn(f64) -> Rate| {
            rates().map(move |value| (value, plain(likelihood, rate(value)))).collect::<Vec<_>>()
        };
        let sigmoid = |preconditioner| Method { activation: Activation::Sigmoid, preconditioner };
        let exact = sigmoid(Preconditioner::Diagonal);
        let fitted = Method { activation: Activation::Cubic(Cubic::fitted(self.range)?), ..exact };
        let ridges = LAMBDAS.map(|lambda| (lambda, Way::Preconditioned(sigmoid(Preconditioner::Ridge(lambda)))));
        let ways = [
            ("RawNAG, rate 1/t", plain(Likelihood::Softmax, Rate::Falling(1.0))),
            ("SigmoidNAG, rate 1/t", plain(Likelihood::Sigmoid, Rate::Falling(1.0))),
            ("SigmoidNAGQG", Way::Preconditioned(exact)),
            ("RawNAG, best r/t", best("RawNAG, r/t", swept(Likelihood::Softmax, Rate::Falling))?),
            ("RawNAG, best constant", best("RawNAG, constant", swept(Likelihood::Softmax, Rate::Constant))?),
            ("SigmoidNAG, best r/t", best("SigmoidNAG, r/t", swept(Likelihood::Sigmoid, Rate::Falling))?),
            ("SigmoidNAG, best constant", best("SigmoidNAG, constant", swept(Likelihood::Sigmoid, Rate::Constant))?),
            ("SigmoidNAGQG, the paper's cubic", Way::Preconditioned(Method::PAPER)),
            ("SigmoidNAGQG, fitted cubic", Way::Preconditioned(fitted)),
            ("ridge", best("ridge", ridges.to_vec())?),
        ];
        let first = self.first.unwrap_or(split.trained).min(split.trained);
        let data = split.table.pick(0..first, split.classes)?;
        let mut curves = Vec::new();
        for (name, way) in ways {
            let clock = Instant::now();
            let found = curve(way, &data, &split.test, self.iterations)?;
            let seconds = clock.elapsed().as_secs_f64();
            let shown = [1, 2, 5, 10, 20, 50, 100, 200, 500].into_iter().filter(|&t| t < found.len());
            let shown: Vec<_> = shown.map(|t| format!("{t}: {:.4}", found[t])).collect();
            println!("{name:<32}{}  ({seconds:.0} s)", shown.join("  "));
            curves.push((name, found));
        }
        self.write(&curves)
    }

    /// The one with the highest mean accuracy over all iterations.
    fn best(&self, name: &str, ways: Vec<(f64, Way)>, own: &TrainingData, rest: &TrainingData) -> Result<Way> {
        let mut best: Option<(f64, f64, Way)> = None;
        for (value, way) in ways {
            let found = curve(way, own, rest, self.iterations)?;
            let mean = found.iter().sum::<f64>() / found.len() as f64;
            let last = found.last().copied().unwrap_or_default();
            println!("  {name} {value:.6}: accuracy {mean:.4} on average, {last:.4} at the end");
            if best.is_none_or(|best| mean > best.0) {
                best = Some((mean, value, way));
            }
        }
        let (mean, value, way) = best.ok_or("nothing to choose from")?;
        println!("{name}: {value:.6} (accuracy {mean:.4} on average)");
        Ok(way)
    }

    fn write(&self, curves: &[(&str, Vec<f64>)]) -> Result<()> {
        let mut out = io::BufWriter::new(File::create(&self.out)?);
        let names: Vec<_> = curves.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        writeln!(out, "iteration,{}", names.join(","))?;
        for t in 0..=self.iterations {
            let row: Vec<_> = curves.iter().map(|(_, found)| format!("{:.4}", found[t])).collect();
            writeln!(out, "{t},{}", row.join(","))?;
        }
        Ok(out.flush()?)
    }
}

/// The mean of |x_i|².
fn mean_square(data: &TrainingData) -> f64 {
    let sum: f64 = (0..data.samples()).flat_map(|i| data.sample(i)).map(|x| x * x).sum();
    sum / data.samples() as f64
}

/// λ and the range of a cubic.
#[derive(Clone, Copy)]
struct Choice {
    lambda: f64,
    range: f64,
    /// On the parts left out.
    accuracy: f64,
}

impl Few {
    fn run(&self) -> Result<()> {
        let split = self.tables.read()?;
        for &samples in &self.samples {
            if samples < PARTS || samples * self.draws > split.trained {
                let expected = split.trained / self.draws.max(1);
                return Err(format!("--samples {samples}: expected {PARTS} to {expected}").into());
            }
            let mut all: Vec<(&str, Vec<f64>)> = Vec::new();
            for draw in 0..self.draws {
                for (name, found) in self.draw(&split, draw * samples..(draw + 1) * samples)? {
                    let after: Vec<_> = found.iter().map(|share| format!("{share:.4}")).collect();
                    println!("  {name:<34}{}", after.join("  "));
                    let last = found.last().copied().unwrap_or_default();
                    match all.iter_mut().find(|known| known.0 == name) {
                        Some((_, known)) => known.push(last),
                        None => all.push((name, vec![last])),
                    }
                }
            }
            for (name, found) in all.iter().filter(|_| self.draws > 1) {
                let mean = found.iter().sum::<f64>() / found.len() as f64;
                let (low, high) =
                    found.iter().fold((1.0, 0.0), |(low, high): (f64, f64), &x| (low.min(x), high.max(x)));
                println!("{samples} images, {} draws, {name}: {mean:.4} ({low:.4} to {high:.4})", self.draws);
            }
        }
        Ok(())
    }

    /// The accuracy after each iteration, of each way.
    fn draw(&self, split: &Split, rows: std::ops::Range<usize>) -> Result<Vec<(&'static str, Vec<f64>)>> {
        let Choice { lambda, range, accuracy } = self.choose(split, rows.clone())?;
        let data = split.table.pick(rows.clone(), split.classes)?;
        println!(
            "images {} to {}: λ = {lambda}, cubic fitted on −{range} to {range}, {accuracy:.4} on the parts left out",
            rows.start + 1,
            rows.end
        );
        let (ridge, cubic) = (Preconditioner::Ridge(lambda), Activation::Cubic(Cubic::fitted(range)?));
        let ways = [
            ("diagonal, the paper's cubic", Method::PAPER),
            ("diagonal, sigmoid", Method { activation: Activation::Sigmoid, ..Method::PAPER }),
            ("ridge, the paper's cubic", Method { preconditioner: ridge, ..Method::PAPER }),
            ("ridge, fitted cubic", Method { activation: cubic, preconditioner: ridge }),
            ("ridge, sigmoid", Method { activation: Activation::Sigmoid, preconditioner: ridge }),
        ];
        let found = |how| curve(Way::Preconditioned(how), &data, &split.test, self.iterations);
        ways.into_iter().map(|(name, how)| Ok((name, found(how)?.split_off(1)))).collect()
    }

    /// The choice with the highest accuracy after the last iteration, on each part after training on the others.
    fn choose(&self, split: &Split, rows: std::ops::Range<usize>) -> Result<Choice> {
        let mut choices: Vec<_> = LAMBDAS
            .into_iter()
            .flat_map(|lambda| RANGES.map(|range| Choice { lambda, range, accuracy: 0.0 }))
            .collect();
        for part in 0..PARTS {
            let left_out = |i: &usize| (i - rows.start) * PARTS / rows.len() == part;
            let data = split.table.pick(rows.clone().filter(|i| !left_out(i)), split.classes)?;
            let rest = split.table.pick(rows.clone().filter(left_out), split.classes)?;
            for choices in choices.chunk_by_mut(|a, b| a.lambda == b.lambda) {
                let Some(Choice { lambda, .. }) = choices.first() else { continue };
                let directions = data.directions(Preconditioner::Ridge(*lambda))?;
                for choice in choices {
                    let activation = Activation::Cubic(Cubic::fitted(choice.range)?);
                    let mut model = Model::start(&data, 0.0);
                    for _ in 0..self.iterations {
                        model.advance_along(&data, &directions, activation)?;
                    }
                    choice.accuracy += model.accuracy(&rest)? * rest.samples() as f64 / rows.len() as f64;
                }
            }
        }
        // Of equals the first.
        choices.into_iter().rev().max_by(|a, b| a.accuracy.total_cmp(&b.accuracy)).ok_or("no choice".into())
    }
}

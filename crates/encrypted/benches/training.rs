//! Seconds, memory and results of training on ciphertexts.
//!
//! `CLEAVE_DATA=FOLDER cargo bench -p cleave-encrypted --bench training`: two iterations as in Chiang 2023 on the
//! first 128 images of `regnet-mnist`, for each parameter set; then more rounds, with weights that the client
//! encrypts anew; then the ridge on 192 images, and in the clear with parts left out in turn. Without real data,
//! drawn features stand in, and only the times mean anything.

#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]
#![allow(clippy::print_stdout, reason = "a benchmark's output")]

use std::{fs, io::Read, path::Path, time::Instant};

use cleave_encrypted::{
    ckks::{ParamSet, Params},
    training::{
        Activation, Cubic, Method, Model, Preconditioner, Trainer, TrainingClient, TrainingData, iterations, key_plan,
        memory_bytes,
    },
};
use cleave_secrets::Secret;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const FEATURES: usize = 400;
const CLASSES: usize = 10;

struct Run {
    name: &'static str,
    set: ParamSet,
    /// The first so many images; the others are tested on.
    samples: usize,
    start: f64,
    cubic: Cubic,
    preconditioner: Preconditioner,
    /// Iterations of each round.
    rounds: Vec<usize>,
    /// The images start with this one, and go around.
    first: usize,
}

fn main() {
    let (features, labels) = load();
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let paper = |name, set, rounds| Run {
        name,
        set,
        samples: 128,
        start: 0.0128,
        cubic: Cubic::PAPER,
        preconditioner: Preconditioner::Diagonal,
        rounds,
        first: 0,
    };
    let fitted = Cubic::fitted(8.0).expect("a range");
    let ridge = |name, set, rounds| Run {
        samples: 192,
        start: 0.0,
        cubic: fitted,
        preconditioner: Preconditioner::Ridge(10.0),
        ..paper(name, set, rounds)
    };
    let runs = [
        paper("paper", ParamSet::Ckks16384x8, vec![2]),
        paper("paper-32768", ParamSet::Ckks32768x16, vec![4]),
        paper("rounds", ParamSet::Ckks16384x8, vec![2; 12]),
        ridge("ridge", ParamSet::Ckks16384x8, vec![2]),
        Run { first: 64, ..ridge("ridge-turned", ParamSet::Ckks16384x8, vec![2]) },
        Run { first: 128, ..ridge("ridge-turned", ParamSet::Ckks16384x8, vec![2]) },
        Run { first: 192, ..ridge("ridge-turned", ParamSet::Ckks16384x8, vec![2]) },
        ridge("ridge-rounds", ParamSet::Ckks16384x8, vec![1, 2, 1]),
    ];
    if wanted.as_ref().is_none_or(|name| name == "left-out") {
        left_out(&features, &labels);
    }
    for run in runs.iter().filter(|run| wanted.as_ref().is_none_or(|name| run.name == name)) {
        train(run, &features, &labels);
    }
}

fn train(run: &Run, features: &[f64], labels: &[usize]) {
    // Starts the count of peak memory anew, where the system allows it.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let (mut features, mut labels) = (features.to_vec(), labels.to_vec());
    features.rotate_left(run.first * FEATURES);
    labels.rotate_left(run.first);
    let cut = run.samples * FEATURES;
    let data = TrainingData::new(&features[..cut], &labels[..run.samples], CLASSES).expect("data");
    let rest = TrainingData::new(&features[cut..], &labels[run.samples..], CLASSES).expect("data");
    let params = Params::named(run.set).expect("parameters");
    let shape = data.shape();
    println!(
        "{}: {}, {} images, rounds {:?}, {} threads",
        run.name,
        run.set,
        run.samples,
        run.rounds,
        rayon::current_num_threads()
    );
    assert!(run.rounds.iter().all(|&count| count <= iterations(&params)));

    let clock = Clock::now();
    let client = TrainingClient::new(&params, &Secret::generate().expect("randomness"), shape).expect("a client");
    let keys = client.evaluation_keys().expect("keys");
    let plan = key_plan(&params, shape).expect("a plan");
    clock.report("keys");
    println!("  keys {:.1} MB, {} MiB in memory", megabytes(keys.pieces()), plan.memory_bytes() >> 20);
    println!("  set aside for a provider {} MiB", memory_bytes(&params, shape).expect("a size") >> 20);
    let trainer = Trainer::new(keys, shape).expect("a trainer");
    let clock = Clock::now();
    let encrypted = client.encrypt_data(&data, run.preconditioner).expect("ciphertexts");
    clock.report("encrypt data");
    let tags = client.tags();
    println!("  data {:.1} MB", megabytes(encrypted.pieces(&tags).map(|piece| piece.expect("bytes"))));

    let how = Method { activation: Activation::Cubic(run.cubic), preconditioner: run.preconditioner };
    let exact = Method { activation: Activation::Sigmoid, ..how };
    let [mut model, mut clear, mut sigmoid] = [run.start; 3].map(|value| Model::start(&data, value));
    let all = Clock::now();
    for &count in &run.rounds {
        let clock = Clock::now();
        let fresh = client.encrypt_model(&model).expect("ciphertexts");
        clock.report("encrypt weights");
        let asked = megabytes(fresh.pieces(&tags).map(|piece| piece.expect("bytes")));
        let mut clock = Clock::now();
        let watch = |t, _| {
            clock.report(&format!("iteration {t}"));
            clock = Clock::now();
            true
        };
        let answer = trainer.train(&encrypted, fresh, run.cubic, count, watch).expect("weights");
        let clock = Clock::now();
        model = client.decrypt_model(&answer).expect("weights");
        clock.report("decrypt weights");
        let answered = megabytes(answer.pieces(&tags).map(|piece| piece.expect("bytes")));
        println!("  weights {asked:.1} MB, answer {answered:.1} MB");
        for _ in 0..count {
            let range = clear.range(&data).expect("scores");
            clear.advance(&data, how).expect("an iteration");
            sigmoid.advance(&data, exact).expect("an iteration");
            println!(
                "  in the clear, iteration {:2}: scores up to {range:.2}, loss {:8.1}, accuracy {:.4}; \
                 with the exact sigmoid {:8.1}, {:.4}",
                clear.iterations(),
                clear.loss(&rest).expect("a loss"),
                clear.accuracy(&rest).expect("a share"),
                sigmoid.loss(&rest).expect("a loss"),
                sigmoid.accuracy(&rest).expect("a share"),
            );
        }
        println!(
            "  decrypted, iteration {:2}: largest error of a weight {:.1e} (largest weight {:.3}), loss {:.1}, \
             accuracy {:.4} on {} other images",
            model.iterations(),
            distance(model.weights(), clear.weights()),
            distance(clear.weights(), &vec![0.0; clear.weights().len()]),
            model.loss(&rest).expect("a loss"),
            model.accuracy(&rest).expect("a share"),
            rest.samples(),
        );
    }
    all.report("all rounds");
    println!("  peak memory {} MiB", peak_mib());
}

/// In the clear: every part of the images is tested on once, after training on the others.
fn left_out(features: &[f64], labels: &[usize]) {
    let cubic = Activation::Cubic(Cubic::fitted(8.0).expect("a range"));
    println!("left-out: mean accuracy on the part left out, after 1 to 4 iterations");
    for (parts, lambda) in [2, 4].into_iter().flat_map(|parts| [1.0, 10.0, 100.0].map(|lambda| (parts, lambda))) {
        let how = Method { activation: cubic, preconditioner: Preconditioner::Ridge(lambda) };
        let mut means = [0.0; 4];
        for part in 0..parts {
            let tested = |i: &usize| i * parts / labels.len() == part;
            let pick = |rows: Vec<usize>| {
                let x: Vec<f64> =
                    rows.iter().flat_map(|&i| features[i * FEATURES..(i + 1) * FEATURES].to_vec()).collect();
                TrainingData::new(&x, &rows.iter().map(|&i| labels[i]).collect::<Vec<_>>(), CLASSES).expect("data")
            };
            let rest = pick((0..labels.len()).filter(tested).collect());
            let data = pick((0..labels.len()).filter(|i| !tested(i)).collect());
            let mut model = Model::start(&data, 0.0);
            for mean in &mut means {
                model.advance(&data, how).expect("an iteration");
                *mean += model.accuracy(&rest).expect("a share") / parts as f64;
            }
        }
        let samples = labels.len() - labels.len() / parts;
        println!("  trained on {samples} images, λ = {lambda:3}: {means:.4?}");
    }
}

fn megabytes<B: AsRef<[u8]>>(pieces: impl Iterator<Item = B>) -> f64 {
    pieces.map(|piece| piece.as_ref().len()).sum::<usize>() as f64 / 1e6
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Features and labels of 256 images.
fn load() -> (Vec<f64>, Vec<usize>) {
    let Some(folder) = std::env::var_os("CLEAVE_DATA") else {
        println!("CLEAVE_DATA is not set: drawn features stand in");
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        return ((0..256 * FEATURES).map(|_| rng.random_range(0.0..2.0)).collect(), (0..256).map(|i| i % 10).collect());
    };
    let file = fs::File::open(Path::new(&folder).join("regnet-mnist/features-first256.csv.gz")).expect("features");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    let rows: Vec<Vec<f64>> =
        text.lines().map(|line| line.split(',').map(|x| x.parse().expect("a number")).collect()).collect();
    (rows.iter().flat_map(|row| row[1..].to_vec()).collect(), rows.iter().map(|row| row[0] as usize).collect())
}

/// By the clock, and of all threads' processor time where the system tells.
struct Clock(Instant, f64);

impl Clock {
    fn now() -> Self {
        Self(Instant::now(), processor_seconds())
    }

    fn report(&self, what: &str) {
        let (seconds, cpu) = (self.0.elapsed().as_secs_f64(), processor_seconds() - self.1);
        println!("  {what:<20}{seconds:8.2} s, {cpu:7.2} s of processor time");
    }
}

/// User and system time of this process, in steps of 10 ms (proc(5): fields 14 and 15, in ticks of 1/100 s).
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Largest resident set so far, where the system tells.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib >> 10)
}

//! Seconds a layer for a batch of 8192 images and one model, as in Table 3 of Xiong et al. (encrypted
//! ensemble, i9-9900K: 1.126, 2.930, 6.308, 6.853, 0.741, 0.117), for each parameter set.
//!
//! `cargo bench -p cleave-encrypted [-- NAME_OF_SET]`. A square is the lift into the wide ring; the products
//! themselves, rescaling and relinearisation stand with the dense layer behind it.

#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]
#![allow(clippy::print_stdout, reason = "a benchmark's output")]

use std::{fs, time::Instant};

use cleave_encrypted::{EncryptedEnsemble, IntegerLayer, IntegerNetwork, ParamSet, Params, SecretKey, Shape, Stage};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const STAGES: [Stage; 5] = [Stage::Convolution, Stage::FirstSquare, Stage::Hidden, Stage::SecondSquare, Stage::Output];

fn main() {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    for set in ParamSet::ALL.into_iter().filter(|set| wanted.as_ref().is_none_or(|name| set.name() == name)) {
        table(set);
    }
}

fn table(set: ParamSet) {
    // Starts the count of peak memory anew, where the system allows it.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let params = Params::named(set).expect("parameters");
    let bounds = if set == ParamSet::Bfv8192x45 { [3, 1, 1] } else { [31; 3] };
    let network = network(&mut rng, bounds);
    let ensemble = EncryptedEnsemble::new(&params, std::slice::from_ref(&network)).expect("an ensemble");
    let pixels: Vec<u8> = (0..8192 * 784).map(|_| rng.random_range(0..16)).collect();
    let values: Vec<i64> = pixels.iter().map(|&pixel| pixel.into()).collect();
    let secret = SecretKey::generate(&params).expect("a key");

    let start = Instant::now();
    let keys = secret.evaluation_keys().expect("keys");
    let keys_seconds = start.elapsed().as_secs_f64();
    let start = Clock::now();
    let images = secret.encrypt(&values, 784).expect("ciphertexts");
    let mut rows = vec![("encrypt".to_string(), start.elapsed())];
    let mut stages = [Times::default(); 5];
    let start = Clock::now();
    let mut last = start.elapsed();
    let scores = ensemble.evaluate_watched(&keys, &images, |stage, time| {
        let place = STAGES.iter().position(|known| *known == stage).expect("a stage");
        let now = start.elapsed();
        stages[place] = stages[place].plus(Times { seconds: time.as_secs_f64(), cpu: now.cpu - last.cpu });
        last = now;
    });
    let scores = scores.expect("scores");
    let whole = start.elapsed();
    rows.extend(STAGES.iter().zip(stages).map(|(stage, times)| (format!("{stage:?}"), times)));
    let known = stages.into_iter().fold(Times::default(), Times::plus);
    rows.push(("the rest".into(), Times { seconds: whole.seconds - known.seconds, cpu: whole.cpu - known.cpu }));
    let start = Clock::now();
    let opened = secret.decrypt(&scores).expect("decrypted scores");
    rows.push(("decrypt".into(), start.elapsed()));

    println!("{set}: 8192 images, one model, {} threads", rayon::current_num_threads());
    rows.push(("sum".into(), rows.iter().map(|row| row.1).fold(Times::default(), Times::plus)));
    for (name, times) in rows {
        println!("  {name:<14}{:8.3} s, {:6.2} s of processor time", times.seconds, times.cpu);
    }
    println!("  keys {keys_seconds:.3} s, noise budget left {:.1} bits", opened.budget_bits);
    println!("  peak memory {} MiB, announced {} MiB", peak_mib(), ensemble.memory_bytes() >> 20);
    for image in (0..8192).step_by(512) {
        let expected = network.evaluate(&pixels[image * 784..(image + 1) * 784]).expect("reference");
        assert_eq!(opened.image(image), expected.output, "image {image}");
    }
    println!("  16 images compared with the integer network: equal");
}

/// What a piece of work took: by the clock, and of all threads' processor time where the system tells.
#[derive(Clone, Copy, Default)]
struct Times {
    seconds: f64,
    cpu: f64,
}

impl Times {
    fn plus(self, other: Self) -> Self {
        Self { seconds: self.seconds + other.seconds, cpu: self.cpu + other.cpu }
    }
}

struct Clock(Instant, f64);

impl Clock {
    fn now() -> Self {
        Self(Instant::now(), processor_seconds())
    }

    fn elapsed(&self) -> Times {
        Times { seconds: self.0.elapsed().as_secs_f64(), cpu: processor_seconds() - self.1 }
    }
}

/// User and system time of this process, in steps of 10 ms (proc(5): fields 14 and 15, in ticks of 1/100 s).
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn network(rng: &mut impl Rng, bounds: [i32; 3]) -> IntegerNetwork {
    let mut layer = |weights: usize, biases: usize, bound: i32| IntegerLayer {
        weights: (0..weights).map(|_| rng.random_range(-bound..=bound)).collect(),
        biases: (0..biases).map(|_| rng.random_range(-9..=9)).collect(),
    };
    let layers = [layer(125, 5, bounds[0]), layer(84_500, 100, bounds[1]), layer(1000, 10, bounds[2])];
    IntegerNetwork { shape: Shape::cryptonets(), max_pixel: 15, layers, scale: 1.0 }
}

/// Largest resident set so far, where the system tells.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib >> 10)
}

//! Defences that are trained in: they train, they resume exactly, and who attacks afterwards reads less.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use cleave_data::{Dataset, LoadOptions, Loader, OpenOptions, Pixels, Preparation};
use cleave_nets::{Architecture, Defence, Layer, Network, Shape, SignalForm, SignalKind, Window, device};
use cleave_retrain::{
    Adversary, Curriculum, Error, Guard, JoinSettings, Measurement, NoPeek, Observer, Outcome, SignalSource,
    TrainSettings, Trainer, TrainingNoise, evaluate, insert_bottleneck, join_signal,
};
use common::{alexnet, assert_equal, joined, loader, run};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// Everything at once, behind `layer`.
fn all(layer: usize) -> Guard {
    Guard {
        nopeek: Some(NoPeek { layer, weight: 0.5 }),
        adversary: Some(Adversary { layer, signal: 1.0, label: 2.0, ..Adversary::default() }),
        noise: Some(TrainingNoise { layer, scale: 0.1 }),
        ..Guard::default()
    }
}

/// All signals from the start, so that the adversary has its full weight soon.
fn settings(steps: usize, guard: Guard) -> TrainSettings {
    let curriculum = Curriculum { start: 1.0, hold: 0.0, span: 0.0 };
    TrainSettings { curriculum, guard, ..common::settings(steps) }
}

fn guarded(guard: Guard, steps: usize) -> Trainer {
    let (network, source) = joined(1);
    let network = insert_bottleneck(&network, 3, 4, 1).unwrap();
    common::trainer((network, source), 1, settings(steps, guard))
}

#[test]
fn a_guarded_run_that_is_interrupted_ends_with_the_same_weights() {
    let whole = run(guarded(all(4), 12), None, usize::MAX).0.network().unwrap().tensors().unwrap();
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(guarded(all(4), 12), Some(folder.path()), 7).1, Outcome::Interrupted);
    let resumed = guarded(all(4), 12).resume(folder.path()).unwrap();
    let resumed = run(resumed, Some(folder.path()), usize::MAX).0;
    assert_equal(&whole, &resumed.network().unwrap().tensors().unwrap());
    let other = Guard { nopeek: None, ..all(4) };
    assert!(matches!(guarded(other, 12).resume(folder.path()), Err(Error::OtherRun { .. })));
    Trainer::clear(folder.path());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn each_defence_moves_the_weights_and_measuring_alone_does_not() {
    let after = |guard| {
        let network = run(guarded(guard, 3), None, usize::MAX).0.network().unwrap();
        network.tensors().unwrap()
    };
    let at_once = Guard { warm_up: 0.0, ..Guard::default() };
    let plain = after(at_once);
    let nopeek = |weight| Guard { nopeek: Some(NoPeek { layer: 4, weight }), ..at_once };
    let noise = |scale| Guard { noise: Some(TrainingNoise { layer: 4, scale }), ..at_once };
    let usual = Adversary { layer: 4, ..Adversary::default() };
    let against = |signal, label| Guard { adversary: Some(Adversary { signal, label, ..usual }), ..at_once };
    for guard in [nopeek(0.0), noise(0.0), against(0.0, 0.0)] {
        assert_equal(&plain, &after(guard));
    }
    for guard in [nopeek(1.0), noise(1.0), against(1.0, 0.0), against(0.0, 1.0)] {
        let moved = after(guard);
        let (first, narrow, last) = ("0.weight", "10.weight", "23.weight");
        assert!(moved[first] == plain[first], "a frozen layer moved with {guard:?}");
        assert!(moved[narrow] != plain[narrow], "the bottleneck stayed with {guard:?}");
        assert!(moved[last] != plain[last] || guard.noise.is_none(), "{guard:?}");
    }
}

#[test]
fn a_bottleneck_is_trained_and_answers_keep_their_shape() {
    let (network, source) = joined(1);
    let narrow = insert_bottleneck(&network, 2, 3, 1).unwrap();
    let layer = narrow.architecture().numbered_layer(3).unwrap();
    assert_eq!(narrow.architecture().shapes().unwrap()[layer.range.end], Shape::new(3, 3, 3));
    let trained = run(common::trainer((narrow.clone(), source), 1, settings(3, Guard::default())), None, usize::MAX).0;
    let trained = trained.network().unwrap();
    assert_eq!(trained.architecture(), narrow.architecture());
    assert_eq!(trained.output(), network.output());
    let (before, after) = (narrow.tensors().unwrap(), trained.tensors().unwrap());
    for leaf in [layer.weight, layer.weight + 1].map(|at| format!("{at}.weight")) {
        assert!(before[&leaf] != after[&leaf], "{leaf}");
    }
}

#[test]
fn what_cannot_be_trained_in_is_refused_with_its_reason() {
    let refused = |guard, preserved: usize| {
        let (network, source) = joined(2);
        let train = loader("train", 16, true);
        Trainer::new(&network, preserved, Some(source), train, None, settings(3, guard)).err().unwrap()
    };
    for layer in [0, 2, 8, 9] {
        assert!(matches!(refused(all(layer), 2), Error::Place { first: 3, last: 7, .. }), "{layer}");
    }
    assert!(matches!(refused(all(3), 3), Error::Place { layer: 3, first: 4, last: 7 }));
    let with = |change: fn(&mut Guard)| {
        let mut guard = all(4);
        change(&mut guard);
        refused(guard, 2).to_string()
    };
    let adversary = |change: fn(&mut Adversary)| {
        let mut guard = all(4);
        guard.adversary.iter_mut().for_each(change);
        refused(guard, 2).to_string()
    };
    assert!(with(|guard| guard.nopeek = Some(NoPeek { layer: 4, weight: -1.0 })).contains("nopeek.weight is -1"));
    assert!(with(|guard| guard.noise = Some(TrainingNoise { layer: 4, scale: f32::NAN })).contains("scale is NaN"));
    assert!(adversary(|adversary| adversary.signal = f32::INFINITY).contains("adversary.signal is inf"));
    assert!(adversary(|adversary| adversary.label = -0.5).contains("adversary.label is -0.5"));
    assert!(with(|guard| guard.warm_up = 1.5).contains("warm_up is 1.5"));
    assert!(with(|guard| guard.warm_up = -0.1).contains("warm_up is -0.1"));
    assert!(adversary(|adversary| adversary.rounds = 0).contains("rounds is 0"));
    assert!(adversary(|adversary| adversary.rate = 0.0).contains("rate is 0"));
    assert!(with(|guard| guard.clip = 0.0).contains("clip is 0"));
    let base = Trainer::new(&alexnet(), 0, None, loader("train", 16, true), None, settings(3, all(4)));
    assert!(matches!(base.err().unwrap(), Error::NoSignal));
}

#[test]
fn the_card_gets_what_acted_and_nothing_else() {
    let adversary = Adversary { layer: 4, signal: 0.0, label: 0.0, ..Adversary::default() };
    let measured = Guard { nopeek: Some(NoPeek { layer: 4, weight: 0.0 }), adversary: Some(adversary), ..all(4) };
    assert_eq!(measured.defences(), []);
    let expected =
        [Defence::NoPeek { weight: 0.5, layer: 4 }, Defence::Adversarial { signal: 1.0, label: 2.0, layer: 4 }];
    assert_eq!(all(4).defences(), expected);
}

#[test]
fn settings_of_before_there_were_defences_still_load() {
    let mut old = serde_json::to_value(common::settings(5)).unwrap();
    old.as_object_mut().unwrap().remove("guard").unwrap();
    assert_eq!(serde_json::from_value::<TrainSettings>(old).unwrap(), common::settings(5));
}

/// A set-up that trains in a second: bright and dark squares with a slope, a signal at the input, four layers of which
/// three are in front of the cut.
struct Toy {
    data: Dataset,
    network: Network,
    source: SignalSource,
}

const SIDE: usize = 8;
/// Where the toy is cut.
const CUT: usize = 3;

impl Toy {
    fn new(folder: &Path) -> Self {
        let data = squares(folder, 300);
        let conv = Layer::Conv2d { filters: 8, window: Window::square(3, 2, 1), groups: 1, bias: true };
        let layers = vec![conv, Layer::Relu, Layer::Flatten, Layer::Linear { features: 32 }, Layer::Relu];
        let more = vec![Layer::Linear { features: 16 }, Layer::Relu, Layer::Linear { features: 2 }];
        let architecture = Architecture::new(Shape::new(1, SIDE, SIDE), [layers, more].concat()).unwrap();
        let base = Network::random(architecture, 7, &device("flex").unwrap()).unwrap();
        let (kind, form) = (SignalKind::Complement, SignalForm::Plane);
        let join = JoinSettings { preserved: 0, kind, form, strength: 1.0, new_weights: 1.0, seed: 3 };
        let samples = Self::load(&data, LoadOptions::evaluation(100)).epoch(0).unwrap().next().unwrap().unwrap().images;
        let (network, source) = join_signal(&base, &join, None, samples).unwrap();
        Self { data, network, source }
    }

    fn load(data: &Dataset, options: LoadOptions) -> Loader {
        let preparation = Preparation::new(SIDE, SIDE, 1).normalised(vec![0.45], vec![0.2]);
        Loader::new(data.clone(), preparation, options).unwrap()
    }

    fn train(&self, steps: usize, guard: Guard) -> (Network, Measurement) {
        let curriculum = Curriculum { start: 0.0, hold: 0.1, span: 0.2 };
        let settings = TrainSettings {
            batch: 32,
            learning_rate: 0.02,
            log_every: 50,
            weight_decay: 0.0,
            curriculum,
            ..settings(steps, guard)
        };
        let train = Self::load(&self.data, LoadOptions { drop_last: true, ..LoadOptions::training(32, 1) });
        let mut trainer = Trainer::new(&self.network, 0, Some(self.source.clone()), train, None, settings).unwrap();
        let mut last = Last(None);
        trainer.run(None, &mut last).unwrap();
        (trainer.network().unwrap(), last.0.unwrap())
    }

    /// Accuracy after unmasking, with noise of deviation `scale` on what crosses the cut.
    fn accuracy(&self, network: &Network, scale: f32) -> f64 {
        let (smashed, facts) = self.smashed(network);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut noise = || (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0; // nearly Gaussian, deviation 1
        let noisy = smashed.iter().flatten().map(|value| value + scale * noise()).collect();
        let back = network.slice(position(network)..network.architecture().layers.len()).unwrap();
        let scores = back.infer(noisy, None, smashed.len()).unwrap();
        let right = scores
            .chunks(2)
            .zip(&facts)
            .filter(|(score, [label, signal])| usize::from(score[1] > score[0]) == label ^ signal);
        right.count() as f64 / smashed.len() as f64
    }

    /// Share of the labels and of the signals that the nine nearest neighbours tell from what crosses the cut.
    fn told(&self, network: &Network) -> [f64; 2] {
        let (smashed, facts) = self.smashed(network);
        let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        let mut right = [0; 2];
        for at in 0..smashed.len() {
            let others = (0..smashed.len()).filter(|&other| other != at);
            let mut near: Vec<_> = others.map(|other| (distance(&smashed[at], &smashed[other]), other)).collect();
            near.select_nth_unstable_by(9, |a, b| a.0.total_cmp(&b.0));
            for (target, right) in right.iter_mut().enumerate() {
                let votes = near[..9].iter().filter(|(_, other)| facts[*other][target] == 1).count();
                *right += usize::from(usize::from(votes > 4) == facts[at][target]);
            }
        }
        right.map(|right| f64::from(u32::try_from(right).unwrap()) / smashed.len() as f64)
    }

    /// What crosses the cut for every image under a fresh signal, with the image's label and signal.
    fn smashed(&self, network: &Network) -> (Vec<Vec<f32>>, Vec<[usize; 2]>) {
        let front = network.slice(0..position(network)).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let (mut smashed, mut facts) = (Vec::new(), Vec::new());
        for batch in Self::load(&self.data, LoadOptions::evaluation(100)).epoch(0).unwrap() {
            let batch = batch.unwrap();
            let signals = self.source.draw(batch.len(), &mut rng);
            let planes = self.source.planes(&signals, &mut rng).unwrap();
            facts.extend(batch.labels.iter().zip(&signals).map(|(&label, &signal)| [label, signal]));
            let values = front.infer(batch.images.clone(), Some(planes), batch.len()).unwrap();
            smashed.extend(values.chunks(front.output().values()).map(<[f32]>::to_vec));
        }
        (smashed, facts)
    }
}

fn position(network: &Network) -> usize {
    network.architecture().numbered_layer(CUT).unwrap().range.end
}

/// Bright and dark squares with a random slope: the class is easy, the rest of the image is not.
fn squares(folder: &Path, each: usize) -> Dataset {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (class, name) in ["dark", "bright"].into_iter().enumerate() {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        for index in 0..each {
            let level = rng.random_range(50.0..90.0) + 80.0 * class as f32;
            let slope: [f32; 2] = [(); 2].map(|()| rng.random_range(-8.0..8.0));
            let pixel = |at: usize| {
                let place = [at % SIDE, at / SIDE].map(|side| side as f32 - 3.5);
                (level + slope[0] * place[0] + slope[1] * place[1]) as u8
            };
            let pixels = Pixels::new(SIDE, SIDE, 1, (0..SIDE * SIDE).map(pixel).collect()).unwrap();
            pixels.save_png(folder.join(name).join(format!("{index}.png"))).unwrap();
        }
    }
    Dataset::open(folder, &OpenOptions::default()).unwrap()
}

struct Last(Option<Measurement>);

impl Observer for Last {
    fn measured(&mut self, measurement: &Measurement) {
        self.0 = Some(measurement.clone());
    }
}

#[test]
fn against_adversaries_neighbours_read_less_and_the_client_as_much() {
    let folder = tempfile::tempdir().unwrap();
    let toy = Toy::new(folder.path());
    let against = |weight| {
        let adversary = Adversary { layer: CUT, signal: weight, label: weight, ..Adversary::default() };
        toy.train(1000, Guard { adversary: Some(adversary), ..Guard::default() })
    };
    let ((plain, watched), (trained, fought)) = (against(0.0), against(1.0));
    let ([label, signal], [less_label, less_signal]) = (toy.told(&plain), toy.told(&trained));
    assert!(label > 0.95 && signal > 0.95, "{label} {signal}");
    assert!(less_label < 0.75 && less_signal < 0.75, "{less_label} {less_signal}");
    assert!(watched.label_probe > Some(0.95) && watched.signal_probe > Some(0.95), "{watched:?}");
    assert!(fought.label_probe < Some(0.75) && fought.signal_probe < Some(0.75), "{fought:?}");
    let source = Some(&toy.source);
    let all = Toy::load(&toy.data, LoadOptions::evaluation(100));
    let accuracy = evaluate(&trained, source, &all, 1, 0).unwrap().accuracy();
    assert!(accuracy > 0.95, "{accuracy}");
}

#[test]
fn nopeek_lowers_the_distance_correlation() {
    let folder = tempfile::tempdir().unwrap();
    let toy = Toy::new(folder.path());
    let nopeek = |weight| {
        let guard = Guard { nopeek: Some(NoPeek { layer: CUT, weight }), ..Guard::default() };
        toy.train(300, guard).1.distance_correlation.unwrap()
    };
    let (plain, trained) = (nopeek(0.0), nopeek(3.0));
    assert!(trained < 0.6 * plain, "{trained}, without {plain}");
}

#[test]
fn who_trained_with_noise_stands_noise() {
    let folder = tempfile::tempdir().unwrap();
    let toy = Toy::new(folder.path());
    let scale = 5.0;
    let noise = |scale| Guard { noise: Some(TrainingNoise { layer: CUT, scale }), ..Guard::default() };
    let (plain, used) = (toy.train(400, Guard::default()).0, toy.train(400, noise(scale)).0);
    let (unused, used) = (toy.accuracy(&plain, scale), toy.accuracy(&used, scale));
    assert!(used > 0.95 && used > unused + 0.05, "{used}, without {unused}");
}

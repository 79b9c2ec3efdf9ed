//! Attacks on encrypted inference find what is there, and their record says so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use cleave_audit::{
    EncryptedAudit, EncryptedSettings, EncryptedTarget, Encryption, Error, Lesson, Observer, Sample, Silent, View,
    audit_encrypted, encrypted_page,
};
use cleave_data::{Dataset, Pixels};
use cleave_encrypted::{IntegerLayer, IntegerNetwork, ParamSet, Precision, Release, Shape, ranges};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use std::sync::LazyLock;

const SHAPE: Shape = Shape { height: 6, width: 6, kernel: 3, stride: 2, padding: 1, maps: 2, hidden: 5, classes: 3 };
const CLASSES: [&str; 3] = ["dark", "bright", "half"];

fn network(rng: &mut impl Rng) -> IntegerNetwork {
    let mut layer = |weights: usize, biases: usize| IntegerLayer {
        weights: (0..weights).map(|_| rng.random_range(-2..=2)).collect(),
        biases: (0..biases).map(|_| i128::from(rng.random_range(-9..=9))).collect(),
    };
    let layers = [layer(18, 2), layer(5 * 18, 5), layer(15, 3)];
    IntegerNetwork { shape: SHAPE, max_pixel: 15, layers, scale: 1.0 }
}

/// Networks with weights that nobody trained.
fn target(networks: usize) -> EncryptedTarget {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let networks: Vec<_> = (0..networks).map(|_| network(&mut rng)).collect();
    let images: Vec<u8> = (0..36 * 50).map(|_| rng.random_range(0..16)).collect();
    let ranges = ranges(&networks, &images).unwrap();
    let release = Release {
        set: ParamSet::Bfv8192x45,
        shape: SHAPE,
        scale: 1.0,
        classes: CLASSES.map(str::to_owned).into(),
        precision: Precision { max_pixel: 15, max_weight: [2; 3] },
        ranges,
        margin: 1,
        sources: (0..networks.len()).map(|at| format!("network-{at}")).collect(),
        networks,
    };
    EncryptedTarget { model: "tiny".to_owned(), release }
}

/// The upper half is black in the first class and lit in the second.
fn images(count: usize, seed: u64) -> Dataset {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let labels: Vec<usize> = (0..count).map(|at| at % 3).collect();
    let mut pixel = |label: usize, at: usize| match (label, at < 18) {
        (0, true) => 0,
        (1, true) => rng.random_range(100..=255),
        _ => rng.random_range(0..=255),
    };
    let image = |&label: &usize| Pixels::new(6, 6, 1, (0..36).map(|at| pixel(label, at)).collect()).unwrap();
    let pixels = labels.iter().map(image).collect();
    Dataset::from_pixels("halves", &CLASSES, pixels, &labels).unwrap()
}

fn settings() -> EncryptedSettings {
    EncryptedSettings {
        ciphertexts: 36,
        controls: 16,
        label_pairs: 12,
        batches: vec![1, 40],
        rounds: 2,
        asked: 40,
        copies: vec![60],
        steps: 40,
        batch: 16,
        seed: 5,
        ..EncryptedSettings::default()
    }
}

fn audited(
    target: &EncryptedTarget,
    settings: &EncryptedSettings,
    folder: Option<&Path>,
    observer: &mut dyn Observer,
) -> Result<EncryptedAudit, Error> {
    let device = cleave_nets::device("flex").unwrap();
    audit_encrypted(target, &images(120, 1), &images(60, 2), settings, (folder, &device), observer)
}

static AUDIT: LazyLock<EncryptedAudit> = LazyLock::new(|| audited(&target(2), &settings(), None, &mut Silent).unwrap());

/// Fails once in a thousand runs by luck, as its threshold says, and once more for each classifier's interval.
#[test]
fn residues_of_the_real_encryption_are_even() {
    let real = AUDIT.sight(Encryption::Real).unwrap();
    assert_eq!(real.found(), 0, "{:?}", real.least());
    for told in &real.distinguishers {
        assert!(told.accuracy.low < 0.6 && told.accuracy.of > 50, "{told:?}");
    }
    let with = |sample, view| real.tests.iter().filter(|test| (test.sample, test.view) == (sample, view)).count();
    assert_eq!(with(Sample::Varied, View::Quotient), 4);
    assert_eq!([with(Sample::Keys, View::Coefficients), with(Sample::Answers, View::Second)], [4, 2]);
    assert!(real.tests.iter().all(|test| test.residues >= 3 * 8192 && (0.0..=1.0).contains(&test.p)));
}

#[test]
fn encryptions_that_were_weakened_are_found() {
    for kind in Encryption::WEAKENED {
        let sight = AUDIT.sight(kind).unwrap();
        assert!(sight.is_told() && sight.found() > 0, "{kind:?}: {:?}", sight.least());
        for told in &sight.distinguishers {
            assert!(told.accuracy.share > 0.85 && told.accuracy.low > 0.6, "{kind:?}: {told:?}");
        }
        // Each by what it lacks: small coefficients, a small quotient, a small difference.
        let telling = match kind {
            Encryption::WithoutMask => View::Coefficients,
            Encryption::WithoutError => View::Quotient,
            _ => View::Difference,
        };
        let black = sight.tests.iter().filter(|test| test.sample == Sample::Plain && test.view == telling);
        assert!(black.clone().count() == 4 && black.clone().all(|test| test.p < 1e-12), "{kind:?}");
    }
}

#[test]
fn the_last_layer_comes_out_to_the_last_digit() {
    let found = &AUDIT.last_layer;
    assert_eq!((found.unknowns, found.rank, found.asked), (11, 11, 40));
    assert_eq!((found.images, found.noise), (Some(11), Some(11)));
    assert_eq!((found.right, found.weights, found.biases), (30, 30, 3));
    assert!(found.exact && found.agreement.share == 1.0);
    let few = EncryptedSettings { asked: 10, copies: vec![], ..settings() };
    let found = audited(&target(2), &few, None, &mut Silent).unwrap().last_layer;
    assert_eq!((found.images, found.rank), (None, 10));
    assert!(found.right < 30, "ten equations for eleven unknowns");
}

#[test]
fn sizes_tell_nothing_and_headers_tell_the_number() {
    let traffic = &AUDIT.traffic;
    assert_eq!(traffic.batches.iter().map(|batch| batch.told).collect::<Vec<_>>(), [1, 40]);
    assert_eq!(
        (traffic.batches[0].sent, traffic.batches[0].scores),
        (traffic.batches[1].sent, traffic.batches[1].scores)
    );
    assert_eq!(traffic.batches[0].sent[0], traffic.batches[0].sent[1]);
    assert!(traffic.linked && traffic.batches[0].sent[0] > 36 * 8192 * 27 && traffic.keys > 4 * 8192 * 27);
    assert_eq!(AUDIT.timings.iter().map(|timing| timing.seconds.len()).collect::<Vec<_>>(), [2; 4]);
}

#[test]
fn copies_and_noise_are_measured() {
    let lessons: Vec<_> = AUDIT.copies.iter().map(|copy| copy.lesson).collect();
    assert_eq!(lessons, Lesson::ALL);
    assert!(AUDIT.copies.iter().all(|copy| copy.images == 60 && copy.agreement.of == 60));
    let noise = AUDIT.noise.as_ref().unwrap();
    assert!(noise.runs.iter().all(|runs| runs.len() == 2 && runs.iter().all(|run| run.len() == 3)));
    assert!(noise.runs.iter().flatten().flatten().all(|&bits| (-80.0..-2.0).contains(&bits)), "{noise:?}");
}

#[test]
fn the_record_comes_back_from_json_and_makes_the_same_page() {
    let read = |text: &str| serde_json::from_str::<EncryptedAudit>(text).unwrap();
    let again = read(&serde_json::to_string(&*AUDIT).unwrap()); // to the last digit but one
    let text = serde_json::to_string(&again).unwrap();
    assert_eq!(read(&text), again);
    assert_eq!((&again.last_layer.images, &again.copies.len()), (&AUDIT.last_layer.images, &AUDIT.copies.len()));
    assert_eq!(encrypted_page(&again).unwrap(), encrypted_page(&AUDIT).unwrap());
    let page = encrypted_page(&again).unwrap();
    for piece in ["30 of 30", "found, as it must be", "11 answers", "tiny", "half"] {
        assert!(page.contains(piece), "{piece}");
    }
}

/// Stops at the step with this number.
struct Impatient(usize);

impl Observer for Impatient {
    fn stepped(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    fn stop(&self) -> bool {
        self.0 == 0
    }
}

#[test]
fn an_audit_goes_on_where_it_was_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let quick = EncryptedSettings { copies: vec![], rounds: 1, label_pairs: 1, controls: 2, ..settings() };
    let (target, path) = (target(1), folder.path());
    let error = audited(&target, &quick, Some(path), &mut Impatient(7)).unwrap_err();
    assert!(matches!(error, Error::Interrupted { done: 1, all: 9 }), "{error}");
    let traffic = std::fs::read(path.join("traffic.json")).unwrap();
    let audit = audited(&target, &quick, Some(path), &mut Silent).unwrap();
    assert_eq!(std::fs::read(path.join("traffic.json")).unwrap(), traffic, "it was not made anew");
    assert_eq!((audit.noise.as_ref(), audit.copies.len()), (None, 0));
    assert_eq!(audited(&target, &quick, Some(path), &mut Silent).unwrap(), audit);
    let other = EncryptedSettings { seed: 6, ..quick };
    assert!(matches!(audited(&target, &other, Some(path), &mut Silent), Err(Error::OtherRun { .. })));
    let page = encrypted_page(&audit).unwrap();
    for piece in ["No copy was trained", "the release has one network"] {
        assert!(page.contains(piece), "{piece}");
    }
}

#[test]
fn what_cannot_be_audited_is_refused() {
    let refused = |change: &dyn Fn(&mut EncryptedTarget, &mut EncryptedSettings)| {
        let (mut target, mut settings) = (target(1), settings());
        change(&mut target, &mut settings);
        audited(&target, &settings, None, &mut Silent).unwrap_err()
    };
    assert!(matches!(refused(&|_, settings| settings.rounds = 0), Error::Setting { name: "rounds", .. }));
    assert!(matches!(refused(&|_, settings| settings.batches = vec![0]), Error::Setting { name: "batches", .. }));
    assert!(matches!(refused(&|_, settings| settings.rate = f64::NAN), Error::Setting { name: "rate", .. }));
    assert!(matches!(refused(&|target, _| target.release.networks.clear()), Error::Encrypted(_)));
    assert!(matches!(
        refused(&|target, _| target.release.networks[0].layers[2].weights.truncate(1)),
        Error::Encrypted(_)
    ));
    let device = cleave_nets::device("flex").unwrap();
    let two = images(12, 1).with_classes(&CLASSES[..2]).unwrap();
    let found = audit_encrypted(&target(1), &two, &two, &settings(), (None, &device), &mut Silent);
    assert!(matches!(found, Err(Error::Classes { data: 2, outputs: 3, .. })), "{found:?}");
    let mut interrupted = Impatient(0);
    let error = audited(&target(1), &settings(), None, &mut interrupted).unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
}

//! Attacks on training on ciphertexts find what is there, and their record says so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use cleave_audit::{
    Encryption, Error, HostileKind, MessageKind, Observer, Opening, Sample, Silent, Told, TrainingAudit,
    TrainingSettings, TrainingTarget, View, WrongKind, audit_training, training_page,
};
use cleave_encrypted::training::TrainingData;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use std::sync::LazyLock;

/// 4 ciphertexts of weights, each 8 times over, with 1020 of 1024 slots of a sample full: two rounds are enough.
const SAMPLES: usize = 8;
const FEATURES: usize = 32;
const CLASSES: usize = 255;
const DEGREE: usize = 16_384;

fn target() -> TrainingTarget {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let features: Vec<f64> = (0..SAMPLES * (FEATURES - 1)).map(|_| rng.random()).collect();
    let labels: Vec<usize> = (0..SAMPLES).map(|at| at % CLASSES).collect();
    let data = TrainingData::new(&features, &labels, CLASSES).unwrap();
    TrainingTarget { name: "small".to_owned(), drawn: true, data }
}

fn settings() -> TrainingSettings {
    TrainingSettings {
        ciphertexts: 16,
        controls: 16,
        repeats: 1,
        rounds: 2,
        bits: vec![44, 30],
        offsets: 16,
        hostile: 2,
        seed: 5,
        ..TrainingSettings::default()
    }
}

static AUDIT: LazyLock<TrainingAudit> =
    LazyLock::new(|| audit_training(&target(), &settings(), None, &mut Silent).unwrap());

/// Fails once in a thousand runs by luck, as its threshold says, and once more for the classifier.
#[test]
fn residues_of_the_real_encryption_are_even() {
    let real = AUDIT.sight(Encryption::Real).unwrap();
    assert!(!real.is_told(), "{:?} {:?}", real.least(), real.distinguishers);
    let with = |sample, view| real.tests.iter().filter(|test| (test.sample, test.view) == (sample, view)).count();
    assert_eq!(with(Sample::Varied, View::Quotient), 9);
    assert_eq!([with(Sample::Keys, View::Coefficients), with(Sample::Answers, View::Second)], [10, 1]);
    assert!(real.tests.iter().all(|test| test.residues >= DEGREE as u64 && (0.0..=1.0).contains(&test.p)));
}

#[test]
fn encryptions_that_were_weakened_are_found() {
    for kind in Encryption::WEAKENED {
        let sight = AUDIT.sight(kind).unwrap();
        assert!(sight.is_told() && sight.found() > 0, "{kind:?}: {:?}", sight.least());
        let told = &sight.distinguishers[0];
        assert!(told.accuracy.share > 0.9, "{kind:?}: {told:?}");
        // Each by what it lacks: small coefficients, a small quotient, a small difference.
        let telling = match kind {
            Encryption::WithoutMask => View::Coefficients,
            Encryption::WithoutError => View::Quotient,
            _ => View::Difference,
        };
        let plain = sight.tests.iter().filter(|test| test.sample == Sample::Plain && test.view == telling);
        assert!(plain.clone().count() == 9 && plain.clone().all(|test| test.p < 1e-12), "{kind:?}");
    }
}

#[test]
fn lengths_tell_nothing_of_the_data() {
    let protocol = &AUDIT.protocol;
    let kinds: Vec<_> = protocol.messages.iter().map(|message| message.kind).collect();
    assert_eq!(kinds, [MessageKind::Keys, MessageKind::Data, MessageKind::Weights, MessageKind::Answer]);
    assert!(protocol.messages.iter().all(|message| message.alike && message.bytes[0] == message.bytes[2]));
    assert_eq!(protocol.messages[1..].iter().map(|message| message.pieces).collect::<Vec<_>>(), [9, 8, 8]);
    assert!(protocol.linked && protocol.error < 1e-5, "{}", protocol.error);
    assert_eq!(AUDIT.timings.iter().map(|timing| timing.seconds.len()).collect::<Vec<_>>(), [1; 2]);
}

#[test]
fn a_fitted_cubic_gives_the_range_away() {
    let found = &AUDIT.cubic;
    assert!(found.exact[0] <= found.range && found.range <= found.exact[1]);
    assert!(found.exact[1] - found.exact[0] < 1e-9 && found.rounded[0] < found.range);
}

/// The key came out to the last coefficient.
fn is_whole(opening: &Opening) -> bool {
    opening.recovered && opening.right == DEGREE && opening.unknowns == DEGREE
}

#[test]
fn a_client_that_tells_what_it_decrypted_loses_its_key() {
    let one = |told, bits| AUDIT.told(told).find(|opening| opening.bits == bits).unwrap();
    for (told, bits) in [(Told::FreshSlots, None), (Told::FreshSlots, Some(44)), (Told::AnswerSlots, None)] {
        assert!(is_whole(one(told, bits)), "{:?}", one(told, bits));
    }
    let coarse = one(Told::FreshSlots, Some(30));
    assert!(!coarse.recovered && coarse.right < 100 && coarse.left > 0.5, "{coarse:?}");
    // 16 times 2³⁰ is 2³⁴, which is enough.
    let often = one(Told::Offsets, Some(30));
    assert!(is_whole(often) && often.ciphertexts == 16, "{often:?}");
}

#[test]
fn weights_in_the_clear_give_the_key_after_enough_rounds() {
    let one = |told, bits| AUDIT.told(told).find(|opening| opening.bits == bits).unwrap();
    let means = one(Told::Means, None);
    assert!(is_whole(means) && (means.rounds, means.ciphertexts) == (2, 8), "{means:?}");
    assert_eq!((means.known, means.of, means.equations), (2040, 2048, DEGREE));
    assert!(is_whole(one(Told::Means, Some(44))));
    let few = one(Told::FewMeans, None);
    assert!(!few.recovered && few.equations == DEGREE / 2, "{few:?}");
    for told in [(Told::SingleMeans, None), (Told::Means, Some(30))] {
        let found = one(told.0, told.1);
        assert!(!found.recovered && found.left > 0.5, "{found:?}");
    }
}

#[test]
fn what_the_protocol_sends_back_gives_no_key() {
    let found = AUDIT.told(Told::Nothing).next().unwrap();
    assert!(found.told.is_protocol() && !found.recovered && found.right < 100, "{found:?}");
    assert!(found.left > 3.0, "at least the error that was drawn anew: {found:?}");
}

#[test]
fn hostile_answers_do_not_make_a_client_fail() {
    assert_eq!(AUDIT.hostile.iter().map(|found| found.kind).collect::<Vec<_>>(), HostileKind::ALL);
    for found in &AUDIT.hostile {
        let refused = if found.kind == HostileKind::NoScale { 2 } else { 0 };
        assert_eq!((found.tried, found.refused, found.failed), (2, refused, 0), "{found:?}");
        assert_eq!(found.went_on, 2 - refused, "{found:?}");
    }
    let small = AUDIT.hostile.iter().find(|found| found.kind == HostileKind::SmallScale).unwrap();
    assert_eq!(small.largest, 65_536.0, "cut off");
}

#[test]
fn wrong_training_is_not_noticed() {
    let [honest, idle, other] = AUDIT.wrong.as_slice() else { panic!("{:?}", AUDIT.wrong) };
    assert_eq!([honest.kind, idle.kind, other.kind], [WrongKind::Honest, WrongKind::Idle, WrongKind::OtherCubic]);
    assert!(AUDIT.wrong.iter().all(|found| !found.refused), "{:?}", AUDIT.wrong);
    assert!(honest.distance < 1e-5 && idle.distance > 1e-3 && other.distance > 1e-3, "{:?}", AUDIT.wrong);
}

#[test]
fn the_record_comes_back_from_json_and_makes_the_same_page() {
    let read = |text: &str| serde_json::from_str::<TrainingAudit>(text).unwrap();
    let again = read(&serde_json::to_string(&*AUDIT).unwrap()); // to the last digit but one
    assert_eq!((again.openings.len(), again.sights.len()), (AUDIT.openings.len(), AUDIT.sights.len()));
    let page = training_page(&again);
    assert_eq!(page, training_page(&AUDIT));
    for piece in ["found, as it must be", "the whole key", "floods", "2 rounds", "not noticed"] {
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
fn an_audit_that_was_interrupted_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let audited = |settings: &TrainingSettings, folder: Option<&Path>, steps: usize| {
        audit_training(&target(), settings, folder, &mut Impatient(steps))
    };
    let error = audited(&settings(), Some(path), 4).unwrap_err();
    assert!(matches!(error, Error::Interrupted { done: 1, all: 8 }), "{error}");
    assert!(path.join("protocol.json").exists());
    let other = TrainingSettings { seed: 6, ..settings() };
    assert!(matches!(audited(&other, Some(path), 4), Err(Error::OtherRun { .. })));
}

#[test]
fn what_cannot_be_audited_is_refused() {
    let refused = |change: &dyn Fn(&mut TrainingSettings)| {
        let mut settings = settings();
        change(&mut settings);
        audit_training(&target(), &settings, None, &mut Silent).unwrap_err()
    };
    assert!(matches!(refused(&|settings| settings.repeats = 0), Error::Setting { name: "repeats", .. }));
    assert!(matches!(refused(&|settings| settings.bits = vec![61]), Error::Setting { name: "bits", .. }));
    assert!(matches!(refused(&|settings| settings.start = f64::NAN), Error::Setting { name: "start", .. }));
    let many = TrainingData::new(&[0.0; 2], &[0, 16_383], 16_384).unwrap();
    let target = TrainingTarget { data: many, ..target() };
    assert!(matches!(audit_training(&target, &settings(), None, &mut Silent), Err(Error::Encrypted(_))));
}

//! The page about training on ciphertexts.

use super::fixture::{HOSTILE, share};
use super::{claims_nothing, fits_at_all_widths};
use cleave_audit::{
    CubicFindings, Distinguisher, Encryption, HostileAnswer, HostileKind, Message, MessageKind, Opening, Places,
    Protocol, ResidueTest, RoundTiming, Sample, Scheme, Sight, Told, TrainingAudit, TrainingSettings, View, WrongKind,
    WrongTraining, training_page,
};
use cleave_encrypted::ckks::ParamSet;

const DEGREE: usize = 16_384;

fn sights() -> Vec<Sight> {
    let one = |encryption: Encryption| {
        let real = encryption == Encryption::Real;
        let views = [View::Residues, View::Coefficients, View::Difference, View::Quotient];
        let samples = [Sample::Plain, Sample::Varied, Sample::PlainAgainstVaried];
        let kinds = samples.into_iter().flat_map(|sample| views.map(|view| (sample, view)));
        let tests = kinds.flat_map(|(sample, view)| {
            (0..9).map(move |prime| {
                let p = if real || view != View::Quotient { 0.3 } else { 0.0 };
                ResidueTest { sample, view, prime, residues: 4_521_984, bins: 64, chi_squared: 68.1, p }
            })
        });
        let accuracy = share(if real { 0.5 } else { 1.0 }, 552);
        let between = ["0 and one class", "large and all classes"].map(str::to_owned);
        let distinguishers = vec![Distinguisher { between, accuracy, training: 552 }];
        Sight { encryption, ciphertexts: 2208, tests: tests.collect(), distinguishers }
    };
    [Encryption::Real].into_iter().chain(Encryption::WEAKENED).map(one).collect()
}

fn opening(told: Told, bits: Option<u32>, recovered: bool) -> Opening {
    Opening {
        told,
        bits,
        ciphertexts: 132,
        known: 120,
        of: 128,
        equations: DEGREE,
        unknowns: DEGREE,
        left: if recovered { 0.01 } else { 37.0 },
        right: if recovered { DEGREE } else { 1 },
        recovered,
        rounds: 4,
        seconds: 2.0,
    }
}

fn rich() -> TrainingAudit {
    let message = |kind, pieces, bytes| Message { kind, pieces, bytes: [bytes; 3], alike: true };
    let timing = |plain| RoundTiming { plain, seconds: vec![4.1, 4.4, 3.9] };
    let hostile = |kind| {
        let refused = if kind == HostileKind::NoScale { 4 } else { 0 };
        HostileAnswer { kind, tried: 4, refused, failed: 0, went_on: 4 - refused, largest: 65_536.0 }
    };
    TrainingAudit {
        version: "0.1.0".to_owned(),
        data: "features-first256.csv.gz".to_owned(),
        drawn: false,
        samples: 128,
        features: 401,
        classes: 10,
        places: Places { block: 128, inner: 64, pairs: 6, groups: 34, full: 33, blocks: 1 },
        scheme: Scheme {
            set: ParamSet::Ckks16384x8,
            degree: DEGREE,
            primes: vec![36_028_797_018_652_673; 9],
            special: vec![1_152_921_504_606_748_673],
            scale_bits: 38,
            modulus_bits: 419,
            allowed_bits: 438,
        },
        protocol: Protocol {
            iterations: 2,
            messages: vec![
                message(MessageKind::Keys, 16, 71_000_000),
                message(MessageKind::Data, 69, 43_000_000),
                message(MessageKind::Weights, 68, 42_000_000),
                message(MessageKind::Answer, 68, 15_000_000),
            ],
            linked: true,
            error: 5e-7,
        },
        cubic: CubicFindings {
            linear: 0.15,
            cubic: -0.001,
            range: 8.0,
            exact: [8.0 - 1e-14, 8.0 + 1e-14],
            rounded: [7.9, 8.1],
        },
        sights: sights(),
        timings: vec![timing(true), timing(false)],
        openings: vec![
            opening(Told::FreshSlots, None, true),
            opening(Told::FreshSlots, Some(34), true),
            opening(Told::FreshSlots, Some(30), false),
            opening(Told::AnswerSlots, None, true),
            opening(Told::Offsets, Some(30), true),
            opening(Told::Means, None, true),
            opening(Told::Means, Some(30), false),
            opening(Told::FewMeans, None, false),
            opening(Told::SingleMeans, None, false),
            opening(Told::Nothing, None, false),
        ],
        hostile: HostileKind::ALL.map(hostile).into(),
        wrong: [WrongKind::Honest, WrongKind::Idle, WrongKind::OtherCubic]
            .map(|kind| WrongTraining { kind, refused: false, distance: 0.01 })
            .into(),
        settings: TrainingSettings::default(),
        seconds: 300.0,
        threads: 2,
    }
}

/// Nothing was measured, and a control was missed.
fn bare() -> TrainingAudit {
    let mut audit = TrainingAudit { timings: vec![], openings: vec![], hostile: vec![], wrong: vec![], ..rich() };
    audit.sights.truncate(2);
    audit.sights.iter_mut().for_each(|sight| {
        sight.distinguishers.clear();
        sight.tests.iter_mut().for_each(|test| test.p = 0.2);
    });
    audit.cubic.exact = [0.0, 1000.0];
    audit.drawn = true;
    audit
}

/// Something shows through everywhere, and names are hostile.
fn hostile() -> TrainingAudit {
    let mut audit = TrainingAudit { data: HOSTILE.to_owned(), version: HOSTILE.to_owned(), ..rich() };
    audit.sights[0].tests[3].p = 1e-12;
    audit.sights[0].distinguishers[0].between = [HOSTILE.to_owned(), HOSTILE.to_owned()];
    audit.protocol.messages[1].alike = false;
    audit.timings[0].seconds = vec![1.0];
    audit.openings.iter_mut().for_each(|opening| opening.recovered = true);
    audit.hostile[2].failed = 1;
    audit.wrong[1].refused = true;
    audit
}

fn cases() -> [(&'static str, TrainingAudit); 3] {
    [("training", rich()), ("training-bare", bare()), ("training-hostile", hostile())]
}

fn words(audit: &TrainingAudit) -> String {
    training_page(audit).replace('\n', " ")
}

#[test]
fn the_answer_about_training_follows_from_the_figures() {
    let rich = words(&rich());
    for piece in [
        "No test told ciphertexts from even noise",
        "the attack that was tried got nothing",
        "all slots of <b>one</b> decrypted answer gives it the whole key",
        "after <b>4 rounds</b>",
        "Nothing floods the noise",
        "rounded to 34 bits",
        "got the key at 30 bits",
        "tell the range of the client’s scores",
        "overlap",
        "refused always or never",
        "What was not tried",
        "ring-LWE",
    ] {
        assert!(rich.contains(piece), "{piece}");
    }
    let bare = words(&bare());
    for piece in ["say little", "was not tried", "No round was timed", "fixed before", "missed: the tests are blind"] {
        assert!(bare.contains(piece), "{piece}");
    }
    let hostile = words(&hostile());
    for piece in [
        "Something shows through",
        "gave the key",
        "lengths that differ",
        "do not overlap",
        "1 answer made the client fail",
        "refused it",
    ] {
        assert!(hostile.contains(piece), "{piece}");
    }
}

#[test]
fn pages_about_training_fetch_nothing_and_claim_nothing() {
    for (name, audit) in cases() {
        claims_nothing(name, &training_page(&audit), false);
    }
}

#[test]
#[cfg_attr(not(chromium), ignore = "put chromium on the path, or name it in CLEAVE_CHROMIUM, and build again")]
fn pages_about_training_fit_at_all_widths() {
    for (name, audit) in cases() {
        fits_at_all_widths(name, &training_page(&audit));
    }
}

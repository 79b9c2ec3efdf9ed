//! The page about an ensemble on ciphertexts.

use super::fixture::{HOSTILE, share};
use super::{claims_nothing, fits_at_all_widths};
use cleave_audit::{
    BatchSize, CopyFindings, Distinguisher, EncryptedAudit, EncryptedSettings, Encryption, LastLayer, Lesson,
    NoiseFindings, Parameters, ResidueTest, Sample, Sight, Timing, Traffic, View, encrypted_page,
};
use cleave_encrypted::{ParamSet, Shape};

const TESTS: usize = 5000;

/// The encryption as it is, and three that were weakened.
fn sights() -> Vec<Sight> {
    let one = |encryption: Encryption| {
        let real = encryption == Encryption::Real;
        let views = [View::Residues, View::Coefficients, View::Difference, View::Quotient];
        let samples = [Sample::Plain, Sample::Varied, Sample::PlainAgainstVaried];
        let kinds = samples.into_iter().flat_map(|sample| views.map(|view| (sample, view)));
        let tests = kinds.flat_map(|(sample, view)| {
            (0..4).map(move |prime| {
                let p = if real || view != View::Coefficients { 0.3 } else { 0.0 };
                ResidueTest { sample, view, prime, residues: 6_553_600, bins: 64, chi_squared: 68.1, p }
            })
        });
        let between = |names: [&str; 2], right: f64| Distinguisher {
            between: names.map(str::to_owned),
            accuracy: share(if real { 0.5 } else { right }, 1600),
            training: 1600,
        };
        let distinguishers = vec![between(["black images", "real images"], 1.0), between(["0", "1"], 0.93)];
        Sight { encryption, ciphertexts: 9608, tests: tests.collect(), distinguishers }
    };
    [Encryption::Real].into_iter().chain(Encryption::WEAKENED).map(one).collect()
}

fn rich() -> EncryptedAudit {
    let batch = |images| BatchSize { images, sent: [346_901_264; 2], scores: 4_424_000, told: images };
    let timing = |black, images| Timing { black, images, seconds: vec![8.1, 8.4, 7.9] };
    let copy = |images: usize, lesson: Lesson, step: f64| CopyFindings {
        lesson,
        images,
        agreement: share(0.70 + 0.05 * step + 0.04 * (images as f64).log10(), TESTS),
        accuracy: share(0.68 + 0.05 * step + 0.04 * (images as f64).log10(), TESTS),
        steps: 2000,
        seconds: 11.0,
    };
    let lessons = Lesson::ALL.into_iter().zip([2.0, 1.0, 0.5, 0.0]);
    let copies =
        [100, 1000, 8192].into_iter().flat_map(|n| lessons.clone().map(move |(lesson, at)| copy(n, lesson, at)));
    let runs = [0.0, 0.4]
        .map(|shift| (0..3).map(|_| (0..10).map(|class| -31.0 + shift + 0.1 * f64::from(class)).collect()).collect());
    EncryptedAudit {
        version: "0.1.0".to_owned(),
        model: "regular-0.80-0.90".to_owned(),
        fingerprint: "0f".repeat(32),
        classes: (0..10).map(|digit| digit.to_string()).collect(),
        shape: Shape::cryptonets(),
        networks: 3,
        parameters: Parameters {
            set: ParamSet::Bfv8192x40x2,
            degree: 8192,
            primes: vec![18_014_398_508_400_641; 4],
            plaintexts: vec![1_099_511_480_321, 1_099_510_890_497],
            modulus_bits: 216,
            allowed_bits: 218,
        },
        accuracy: share(0.97, TESTS),
        guess: 0.11,
        own_images: 32_768,
        test_images: TESTS,
        sights: sights(),
        traffic: Traffic { keys: 884_900, batches: [1, 100, 8192].map(batch).into(), linked: true },
        timings: vec![timing(true, 1), timing(false, 1), timing(true, 8192), timing(false, 8192)],
        last_layer: LastLayer {
            unknowns: 301,
            asked: 8192,
            exact: true,
            rank: 301,
            images: Some(301),
            noise: Some(301),
            weights: 3000,
            right: 3000,
            biases: 10,
            agreement: share(1.0, TESTS),
            seconds: 0.1,
        },
        copies: copies.collect(),
        noise: Some(NoiseFindings { runs, told: share(1.0, 6), correlation: Some(0.8) }),
        settings: EncryptedSettings::default(),
        seconds: 700.0,
        device: "Flex(Cpu), 2 threads".to_owned(),
    }
}

/// Nothing was measured, and a control was missed.
fn bare() -> EncryptedAudit {
    let mut audit = EncryptedAudit { timings: vec![], copies: vec![], noise: None, ..rich() };
    audit.sights.truncate(2);
    audit.sights.iter_mut().for_each(|sight| {
        sight.distinguishers.clear();
        sight.tests.iter_mut().for_each(|test| test.p = 0.2);
    });
    audit.last_layer = LastLayer { images: None, noise: None, right: 12, exact: false, ..audit.last_layer };
    audit
}

/// Something shows through, and names are hostile.
fn hostile() -> EncryptedAudit {
    let classes = vec![HOSTILE.to_owned(); 3];
    let mut audit = EncryptedAudit { model: HOSTILE.to_owned(), classes, device: HOSTILE.to_owned(), ..rich() };
    audit.fingerprint = HOSTILE.to_owned();
    audit.sights[0].tests[3].p = 1e-12;
    audit.sights[0].distinguishers[1].between = [HOSTILE.to_owned(), HOSTILE.to_owned()];
    audit.traffic.batches[0].sent[1] += 1;
    audit.timings[0].seconds = vec![1.0];
    audit
}

fn cases() -> [(&'static str, EncryptedAudit); 3] {
    [("encrypted", rich()), ("encrypted-bare", bare()), ("encrypted-hostile", hostile())]
}

fn words(audit: &EncryptedAudit) -> String {
    encrypted_page(audit).unwrap().replace('\n', " ")
}

#[test]
fn the_answer_about_ciphertexts_follows_from_the_figures() {
    let rich = words(&rich());
    for piece in [
        "No test told ciphertexts from even noise",
        "301 answers",
        "below 10⁻³⁰⁰",
        "found, as it must be",
        "1 in 1,000",
        "What was not tried",
        "read off each batch",
        "overlap",
        "3,000 of 3,000",
        "ring-LWE",
    ] {
        assert!(rich.contains(piece), "{piece}");
    }
    let bare = words(&bare());
    for piece in [
        "say little",
        "missed: the tests are blind to it",
        "12 of 3,000 weights",
        "scores wrapped around",
        "No evaluation was timed",
        "No copy was trained",
        "one network, and two are compared",
    ] {
        assert!(bare.contains(piece), "{piece}");
    }
    let hostile = words(&hostile());
    for piece in ["Something shows through", "something found", "took different numbers of bytes", "do not overlap"] {
        assert!(hostile.contains(piece), "{piece}");
    }
}

#[test]
fn pages_about_ciphertexts_fetch_nothing_and_claim_nothing() {
    for (name, audit) in cases() {
        claims_nothing(name, &encrypted_page(&audit).unwrap(), false);
    }
}

#[test]
#[cfg_attr(not(chromium), ignore = "put chromium on the path, or name it in CLEAVE_CHROMIUM, and build again")]
fn pages_about_ciphertexts_fit_at_all_widths() {
    for (name, audit) in cases() {
        fits_at_all_widths(name, &encrypted_page(&audit).unwrap());
    }
}

//! Attacks find what is there, and nothing where there is nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use cleave_audit::{
    Audit, AuditSettings, Auditor, Candidate, CutFindings, DecoderSettings, DescentSettings, Error, ExtractionSettings,
    InversionKind, Judge, LinearSettings, Observer, Probe, ProbeSettings, ProbeTarget, Silent, Subject,
    SubstituteSettings, Target, mean_trace,
};
use cleave_data::{Dataset, Glyphs, LoadOptions, Loader, Pixels, Preparation, Shapes};
use cleave_nets::{
    Architecture, Defence, Device, Distribution, Layer, Network, Shape, SignalForm, SignalKind, SignalSpec, Window,
};
use cleave_partition::{Cut, Point, cut};
use cleave_retrain::SignalSource;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Side of the images in pixels.
const SIDE: usize = 16;
const CLASSES: usize = 2;

fn device() -> Device {
    cleave_nets::device("flex").unwrap()
}

fn preparation() -> Preparation {
    Preparation::new(SIDE, SIDE, 3).normalised([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])
}

fn shapes(split: &str, images: usize) -> Dataset {
    Shapes::new(CLASSES, 32, 5).unwrap().dataset(split, images)
}

fn loader(dataset: Dataset) -> Loader {
    Loader::new(dataset, preparation(), LoadOptions::training(16, 3)).unwrap()
}

fn spec() -> SignalSpec {
    SignalSpec { scale: 2.0, ..SignalSpec::new(SignalKind::Complement, CLASSES) }
}

/// Random weights behind a signal that joins the image.
fn network(kernels: usize) -> Network {
    let conv = |filters, size, stride| Layer::Conv2d {
        filters,
        window: Window::square(size, stride, size / 2),
        groups: 1,
        bias: true,
    };
    let layers = vec![
        Layer::SignalJoin(spec()),
        conv(kernels, 5, 2),
        Layer::Relu,
        conv(16, 3, 1),
        Layer::Relu,
        Layer::MaxPool(Window::square(2, 2, 0)),
        Layer::Flatten,
        Layer::Linear { features: CLASSES },
    ];
    Network::random(Architecture::new(Shape::new(3, SIDE, SIDE), layers).unwrap(), 7, &device()).unwrap()
}

fn candidate(network: &Network, at: Cut, defences: Vec<Defence>) -> Candidate {
    let (front, back) = cut(network, at).unwrap();
    let glyphs = Glyphs::drawn(1, &[0, 1], 3).unwrap();
    let source = SignalSource::new(spec(), Some(glyphs), SIDE, SIDE).unwrap();
    Candidate {
        model: "random".to_owned(),
        cut: at,
        layer: "conv1".to_owned(),
        front_hash: cleave_partition::tensor_hash(&front).unwrap(),
        target: Target::new(front, back, Some(source), defences.clone(), &preparation()),
        defences,
        check: None,
    }
}

fn settings() -> AuditSettings {
    AuditSettings {
        seed: 2,
        invert: 6,
        probe: 300,
        pictures: 2,
        descent: DescentSettings {
            steps: 150,
            smoothness: vec![0.0, 0.03],
            anchors: vec![0.0, 1.0],
            tuning_images: 4,
            ..DescentSettings::default()
        },
        decoder: DecoderSettings { steps: 120, width: 32, ..DecoderSettings::default() },
        substitute: SubstituteSettings { steps: 20, ..SubstituteSettings::default() },
        probes: ProbeSettings { steps: 150, ..ProbeSettings::default() },
        linear: LinearSettings { iterations: 300, rounds: 3 },
        extraction: ExtractionSettings { steps: 20, ..ExtractionSettings::default() },
        jacobians: 1,
        ..AuditSettings::default()
    }
}

struct Setting {
    attacker: Loader,
    tuning: Loader,
    private: Loader,
    judge: Judge,
}

impl Setting {
    fn new() -> Self {
        Self::of(shapes("train", 400), shapes("val", 300))
    }

    fn of(attacker: Dataset, private: Dataset) -> Self {
        let mut layers = network(8).architecture().layers.clone();
        layers.remove(0); // the judge takes no signal
        let judge =
            Network::random(Architecture::new(Shape::new(3, SIDE, SIDE), layers).unwrap(), 1, &device()).unwrap();
        let judge = Judge::new(judge, None, &preparation()).unwrap();
        Self { attacker: loader(attacker), tuning: loader(shapes("tuning", 8)), private: loader(private), judge }
    }

    fn auditor<'a>(&'a self, folder: Option<&'a std::path::Path>) -> Auditor<'a> {
        Auditor {
            settings: settings(),
            attacker: &self.attacker,
            tuning: &self.tuning,
            private: &self.private,
            judge: &self.judge,
            folder,
        }
    }

    fn audit(&self, candidates: &[Candidate]) -> Audit {
        self.auditor(None).run(Subject::default(), candidates, &mut Silent).unwrap()
    }
}

fn ssim(findings: &CutFindings, kind: InversionKind) -> f64 {
    findings.inversions.iter().find(|inversion| inversion.kind == kind).unwrap().scores.ssim.mean
}

fn best(findings: &CutFindings, target: ProbeTarget) -> &Probe {
    let probes = findings.probes.iter().filter(|probe| probe.target == target);
    probes.max_by(|a, b| a.accuracy.share.total_cmp(&b.accuracy.share)).unwrap()
}

const LINEAR: Cut = Cut { layer: 1, point: Point::Linear };
const ACTIVATION: Cut = Cut { layer: 1, point: Point::Activation };

#[test]
fn every_attack_finds_what_a_front_half_lets_through() {
    let audit =
        Setting::new().audit(&[candidate(&network(32), LINEAR, vec![]), candidate(&network(16), ACTIVATION, vec![])]);
    let [linear, activation] = &audit.cuts[..] else { panic!("two cuts") };
    let solved = linear.inversions.iter().find(|inversion| inversion.kind == InversionKind::LeastSquares).unwrap();
    assert!(solved.scores.psnr.mean > 40.0, "{:?}", solved.scores.psnr); // 32 kernels for 12 values a step, and known digits
    let other = audit.baselines.iter().find(|baseline| baseline.name == "another image").unwrap().scores.ssim;
    assert!(ssim(activation, InversionKind::WhiteBox) > other.high + 0.2, "{activation:?}");
    assert!(ssim(activation, InversionKind::Decoder) > other.high, "{activation:?}");
    assert!(ssim(activation, InversionKind::QueryFree) < ssim(activation, InversionKind::WhiteBox));
    assert!(best(linear, ProbeTarget::Signal).accuracy.low > 0.6, "{:?}", linear.probes);
    assert_eq!(audit.baselines[0].scores.ssim.mean, 1.0, "the original is itself");
    let visible = &linear.visible[0];
    assert_eq!((visible.rank, visible.exact, visible.of), (768.0, true, 768));
    assert!(activation.visible[0].rank < 768.0);
    assert!(linear.bound.is_none());
    assert_eq!(linear.inversions[0].pictures.len(), 2);
}

#[test]
fn smashed_data_drowned_in_noise_leaves_guessing() {
    let noise = Defence::Noise { distribution: Distribution::Gaussian, scale: 1e5, dfil: None };
    let drowned = candidate(&network(8), ACTIVATION, vec![noise]);
    let audit = Setting::new().audit(&[drowned]);
    let findings = &audit.cuts[0];
    for target in [ProbeTarget::Signal, ProbeTarget::Label, ProbeTarget::LabelByAnswer] {
        for probe in findings.probes.iter().filter(|probe| probe.target == target) {
            let guess = if target == ProbeTarget::Signal { 0.5 } else { probe.guess };
            assert!(probe.accuracy.share < guess + 0.1, "{probe:?}");
        }
    }
    let mean = audit.baselines.iter().find(|baseline| baseline.name == "mean image").unwrap().scores;
    assert!(findings.inversions.iter().all(|found| found.scores.ssim.mean < mean.ssim.high + 0.1), "{findings:?}");
    let bound = findings.bound.unwrap();
    assert!((bound.dfil * bound.mse - 1.0).abs() < 1e-9 && bound.mse > 1.0, "{bound:?}");
}

#[test]
fn labels_that_mean_nothing_leave_guessing() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut meaningless = |split: &str, images: usize| {
        let shapes = shapes(split, images);
        let pixels: Vec<Pixels> = (0..images).map(|at| shapes.decode(at).unwrap()).collect();
        let labels: Vec<usize> = pixels.iter().map(|_| rng.random_range(0..CLASSES)).collect();
        Dataset::from_pixels(split, &["a", "b"], pixels, &labels).unwrap()
    };
    let setting = Setting::of(meaningless("train", 400), meaningless("val", 300));
    let audit = setting.audit(&[candidate(&network(8), ACTIVATION, vec![])]);
    let probe = best(&audit.cuts[0], ProbeTarget::Label);
    assert!(probe.accuracy.low < 0.55, "{probe:?}");
    assert!(best(&audit.cuts[0], ProbeTarget::Signal).accuracy.low > 0.55, "the signal still means something");
}

/// Says stop after some steps.
struct After(usize);

impl Observer for After {
    fn stepped(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    fn stop(&self) -> bool {
        self.0 == 0
    }
}

#[test]
fn an_interrupted_audit_goes_on_where_it_was_and_ends_alike() {
    let setting = Setting::new();
    let candidates = [candidate(&network(8), ACTIVATION, vec![]), candidate(&network(8), Cut::after(2), vec![])];
    let [other, folder] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let whole = setting.auditor(Some(other.path())).run(Subject::default(), &candidates, &mut Silent).unwrap();
    let auditor = setting.auditor(Some(folder.path()));
    let error = auditor.run(Subject::default(), &candidates, &mut After(900)).unwrap_err();
    assert!(matches!(error, Error::Interrupted { all: 2, .. }), "{error}");
    assert!(folder.path().join("0-probes.json").exists());
    let resumed = auditor.run(Subject::default(), &candidates, &mut Silent).unwrap();
    assert!(timeless(resumed) == timeless(whole), "another audit than the one without a break");
    let other = Auditor { settings: AuditSettings { seed: 9, ..settings() }, ..auditor };
    let error = other.run(Subject::default(), &candidates, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("seed was 2, now 9"), "{error}");
}

/// An audit without what depends on the clock.
fn timeless(mut audit: Audit) -> Audit {
    audit.seconds = 0.0;
    for cut in &mut audit.cuts {
        cut.front_ms = 0.0;
        cut.probes.iter_mut().for_each(|probe| probe.seconds = 0.0);
        cut.inversions.iter_mut().for_each(|inversion| inversion.seconds = 0.0);
        cut.extraction.iter_mut().for_each(|extraction| extraction.seconds = 0.0);
    }
    audit
}

#[test]
fn noise_is_calibrated_to_the_trace_that_the_spectrum_has() {
    let candidate = candidate(&network(8), LINEAR, vec![]);
    let setting = Setting::new();
    let images = setting.private.epoch(0).unwrap().next().unwrap().unwrap().images;
    let estimated = mean_trace(&candidate.target, &images, 1).unwrap();
    let exact = setting.audit(&[candidate]).cuts[0].visible[0].trace; // of a linear map: the same at every image
    assert!((estimated / exact - 1.0).abs() < 0.1, "{estimated} against {exact}");
}

#[test]
fn what_cannot_be_audited_is_said() {
    let setting = Setting::new();
    let none = setting.auditor(None).run(Subject::default(), &[], &mut Silent).unwrap_err();
    assert!(none.to_string().contains("at least one cut"), "{none}");
    let one = Setting::of(shapes("train", 40), shapes("val", 2).subset(&[0]).unwrap());
    let candidates = [candidate(&network(8), ACTIVATION, vec![])];
    let error = one.auditor(None).run(Subject::default(), &candidates, &mut Silent).unwrap_err();
    assert!(matches!(error, Error::TooFewImages { images: 1, least: 2, .. }), "{error}");
    let three = Setting::of(Shapes::new(3, 32, 5).unwrap().dataset("train", 40), shapes("val", 20));
    let error = three.auditor(None).run(Subject::default(), &candidates, &mut Silent).unwrap_err();
    assert!(matches!(error, Error::Classes { data: 3, network: "network", outputs: 2 }), "{error}");
}

#[test]
fn planes_are_seen_through_as_well_as_digits() {
    let spec = SignalSpec { form: SignalForm::Plane, ..spec() };
    let mut layers = network(32).architecture().layers.clone();
    layers[0] = Layer::SignalJoin(spec.clone());
    let network = Network::random(Architecture::new(Shape::new(3, SIDE, SIDE), layers).unwrap(), 7, &device()).unwrap();
    let mut candidate = candidate(&network, LINEAR, vec![]);
    let (front, back) = cut(&network, LINEAR).unwrap();
    let source = SignalSource::new(spec, None, SIDE, SIDE).unwrap();
    candidate.target = Target::new(front, back, Some(source), vec![], &preparation());
    let audit = Setting::new().audit(&[candidate]);
    let solved = &audit.cuts[0].inversions;
    let solved = solved.iter().find(|inversion| inversion.kind == InversionKind::LeastSquares).unwrap();
    assert!(solved.scores.psnr.mean > 40.0, "{:?}", solved.scores.psnr);
}

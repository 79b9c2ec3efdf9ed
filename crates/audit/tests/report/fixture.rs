//! Made-up audits: figures that move as real ones do, and pictures drawn for the purpose.

use cleave_audit::{
    Audit, Baseline, Bound, CutFindings, CutVerdict, Estimate, Extraction, Inversion, InversionKind, Judgement,
    KeyFindings, KeyGuess, Privacy, Probe, ProbeKind, ProbeTarget, Scores, Share, Stand, Subject, Visible,
};
use cleave_data::{Pixels, Shapes};
use cleave_keyed::{Keying, Lock};
use cleave_leakage::{Activation, ConvShape, Effort, FrontLayer, Op, Pool, Report, Stage};
use cleave_nets::{Defence, Distribution, Shape, SignalKind};
use cleave_secrets::Secret;

/// Markup, quotes, an address, controls and turned writing, as a folder may be called.
pub(crate) const HOSTILE: &str =
    "<img src=x onerror=\"alert(1)\"><script>'&amp;\u{202e}\u{7}</script></svg>--><b onx='1'>http://evil.example/x";

/// Pictures in a set.
const PICTURES: usize = 5;
const SIDE: usize = 64;

/// An audit with its verdicts.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) audit: Audit,
    pub(crate) verdicts: Vec<CutVerdict>,
}

impl Case {
    fn judged(audit: Audit) -> Self {
        let verdicts = audit.cuts.iter().map(|cut| verdict(cut, 0.5, 0.8)).collect();
        Self { audit, verdicts }
    }
}

/// Six cuts without a defence, and eleven candidates with one.
pub(crate) fn rich() -> Case {
    let plain =
        ["1:linear", "1", "2", "3", "4", "5"].into_iter().enumerate().map(|(depth, cut)| findings(cut, depth, vec![]));
    let noise =
        |scale: f32, dfil: f64| vec![Defence::Noise { distribution: Distribution::Gaussian, scale, dfil: Some(dfil) }];
    let at = |cut: &str, depth: usize, defences: Vec<Vec<Defence>>| {
        defences.into_iter().map(|defences| findings(cut, depth, defences)).collect::<Vec<_>>()
    };
    let three = vec![
        noise(0.021, 10.0),
        noise(0.068, 1.0),
        noise(0.2149, 0.1),
        vec![Defence::Quantise { bits: 4, low: 0.0, high: 6.0 }],
        vec![Defence::Quantise { bits: 2, low: 0.0, high: 6.0 }],
        vec![Defence::Bottleneck { channels: 8 }],
        vec![Defence::NoPeek { weight: 0.3, layer: 3 }],
        vec![Defence::Adversarial { signal: 0.5, label: 0.5, layer: 3 }],
        vec![Defence::Bottleneck { channels: 8 }, noise(0.113, 0.3)[0].clone()],
    ];
    let cuts: Vec<_> =
        plain.chain(at("3", 3, three)).chain(at("4", 4, vec![noise(0.031, 10.0), noise(0.31, 0.1)])).collect();
    Case::judged(Audit { cuts, ..frame() })
}

/// A pair under a key.
pub(crate) fn locked() -> Case {
    let mut found = findings("0", 0, vec![]);
    let secret = Secret::from_bytes(&[1; 32]);
    let image = Shape::new(3, SIDE, SIDE);
    let lock = Lock { key: secret.id(), image, patch: [4, 4], keying: Keying::Shared };
    let guess =
        |(images, right): (usize, f64)| KeyGuess { images, right, ssim: 0.1 + 0.9 * right, psnr: 10.0 + 90.0 * right };
    let key = KeyFindings {
        key_space: lock.key_space(),
        lock,
        ssim: 0.07,
        without_key: share(0.113, 1_000),
        wrong_keys: (0..100).map(|at| 0.07 + 0.0013 * (at * 37 % 100) as f64).collect(),
        wrong_key_images: 500,
        known: [(1, 1.0), (2, 1.0)].map(guess).to_vec(),
        keyed: [(1, 0.1), (10, 0.9), (100, 1.0)].map(guess).to_vec(),
        pictures: originals()
            .iter()
            .map(|image| spoiled(image, &mean_image(&originals()), 0.1, 9).to_png().unwrap())
            .collect(),
    };
    found.layer = "key".to_owned();
    found.signal_guess = None;
    found.inversions.truncate(2);
    found.inversions[0].kind = InversionKind::KnownImages;
    found.inversions[1].kind = InversionKind::KeyedImages;
    (found.visible, found.bound, found.key) = (Vec::new(), None, Some(key));
    Case::judged(Audit { cuts: vec![found], ..frame() })
}

/// [`rich`], but nothing passes.
pub(crate) fn refused() -> Case {
    let mut case = rich();
    case.verdicts = case.audit.cuts.iter().map(|cut| verdict(cut, 0.3, 0.6)).collect();
    case
}

/// Nothing at all.
pub(crate) fn empty() -> Case {
    let subject =
        Subject { classes: vec![], attacker_images: 0, private_images: 0, inverted_images: 0, ..frame().subject };
    Case::judged(Audit { baselines: vec![], cuts: vec![], subject, ..frame() })
}

/// One cut that nothing was tried at.
pub(crate) fn bare() -> Case {
    let mut cut = findings("2", 2, vec![]);
    (cut.inversions, cut.probes, cut.visible, cut.check) = (vec![], vec![], vec![], None);
    let mut case = Case::judged(Audit { baselines: vec![], cuts: vec![cut], ..frame() });
    for judgement in &mut case.verdicts[0].judgements {
        (judgement.stand, judgement.evidence) = (Stand::NotMeasured, vec![]);
    }
    case
}

/// Many cuts of several models, and figures that no measurement should give.
pub(crate) fn wild() -> Case {
    let mut cuts: Vec<CutFindings> = Vec::new();
    for model in ["plain", "retrained with a long name for a network of its own"] {
        for depth in 0..24 {
            let stage = [":linear", ":activation", ""][depth % 3];
            let mut cut = findings(&format!("{}{stage}", depth / 3 + 1), depth / 4, vec![]);
            cut.model = model.to_owned();
            cuts.push(cut);
        }
    }
    let odd = Estimate { mean: f64::NAN, low: f64::NEG_INFINITY, high: f64::INFINITY, worst: f64::NAN };
    let nothing = Share { share: f64::NAN, low: f64::NAN, high: f64::NAN, of: 0 };
    let scores = Scores {
        mse: odd,
        psnr: odd,
        ssim: odd,
        ssim_lead: Some(odd),
        explained: Some(f64::NAN),
        perceptual: odd,
        recognised: nothing,
    };
    let cut = &mut cuts[1];
    cut.inversions[0].scores = scores;
    (cut.inversions[0].seconds, cut.inversions[0].seed) = (f64::NAN, u64::MAX);
    (cut.task_accuracy, cut.front_ms, cut.bytes, cut.all_parameters) = (nothing, f64::INFINITY, 0, 0);
    cut.probes[0].accuracy = nothing;
    (cut.visible[0].spectrum, cut.visible[0].of) = (vec![(0.0, f64::NAN), (1.0, 0.0)], 0);
    let same = cuts[2].inversions[0].scores.ssim.mean;
    cuts[3].inversions[0].scores.ssim = Estimate { mean: same, low: same, high: same, worst: same };
    for cut in &mut cuts {
        cut.inversions.iter_mut().for_each(|attack| attack.pictures.truncate(1));
    }
    Case::judged(Audit { cuts, ..frame() })
}

/// [`rich`] with [`HOSTILE`] in every place that holds words of somebody else's.
pub(crate) fn hostile() -> Case {
    let mut case = rich();
    let bad = || HOSTILE.to_owned();
    case.audit.cuts.truncate(8);
    case.verdicts.truncate(8);
    let Audit { version, subject, baselines, cuts, device, .. } = &mut case.audit;
    (*version, *device) = (bad(), bad());
    subject.classes.fill(bad());
    for text in [&mut subject.model, &mut subject.attacker_source, &mut subject.private_source, &mut subject.judge] {
        *text = bad();
    }
    for baseline in baselines.iter_mut().skip(1) {
        (baseline.name, baseline.cut) = (bad(), baseline.cut.as_ref().map(|_| bad()));
    }
    for (index, cut) in cuts.iter_mut().enumerate() {
        (cut.model, cut.layer, cut.front_hash) = (format!("{index}{HOSTILE}"), bad(), bad());
        cut.cut = if index % 2 == 0 { bad() } else { "x".repeat(300) };
        cut.inversions.iter_mut().for_each(|attack| attack.settings = bad());
        cut.check = Some(check(HOSTILE));
    }
    for verdict in &mut case.verdicts {
        (verdict.policy, verdict.promise) = (bad(), bad());
        verdict.judgements.iter_mut().for_each(|judgement| judgement.evidence.fill(bad()));
    }
    case
}

/// An audit without cuts.
fn frame() -> Audit {
    let images = originals();
    let mean = mean_image(&images);
    let baseline = |name: &str, cut: Option<&str>, quality: f64, pictures: Vec<Vec<u8>>| Baseline {
        name: name.to_owned(),
        cut: cut.map(str::to_owned),
        scores: scores(quality),
        pictures,
    };
    let pngs = |images: &[Pixels]| images.iter().map(|image| image.to_png().unwrap()).collect::<Vec<_>>();
    let mut others = images.clone();
    others.rotate_left(1);
    let jpeg = |radius| pngs(&images.iter().map(|image| spoiled(image, &mean, 0.97, radius)).collect::<Vec<_>>());
    Audit {
        version: "0.1.0".to_owned(),
        subject: subject(),
        baselines: vec![
            baseline("original", None, 1.0, pngs(&images)),
            baseline("mean image", None, 0.16, pngs(&vec![mean.clone(); PICTURES])),
            baseline("another image", None, 0.09, pngs(&others)),
            baseline("JPEG of 12544 bytes", Some("3"), 0.93, jpeg(0)),
            baseline("JPEG of 3136 bytes", Some("5"), 0.81, jpeg(1)),
        ],
        cuts: vec![],
        seed: 20_260_117,
        seconds: 5_432.1,
        device: "CPU, 16 threads".to_owned(),
    }
}

fn subject() -> Subject {
    Subject {
        model: "alexnet-shapes".to_owned(),
        classes: ["disc", "triangle", "cross", "ring"].map(str::to_owned).to_vec(),
        input: [3, SIDE, SIDE],
        signal: Some(SignalKind::Offset),
        join: Some(1),
        layers: 8,
        attacker_source: "shapes, split train".to_owned(),
        attacker_images: 5_000,
        private_source: "shapes, split val".to_owned(),
        private_images: 1_000,
        inverted_images: 32,
        judge_accuracy: share(0.962, 1_000),
        judge: "the same architecture, trained on the attacker’s images without a signal".to_owned(),
    }
}

/// What was found at a cut so deep, from 0 on.
fn findings(cut: &str, depth: usize, defences: Vec<Defence>) -> CutFindings {
    let (leak, cost) = strength(&defences);
    let quality = (0.94 - 0.135 * depth as f64) * leak;
    let [channels, side] = [[64, 32], [64, 16], [96, 8], [128, 8], [64, 4], [64, 2]][depth.min(5)];
    let scale = defences.iter().find_map(|d| if let Defence::Noise { dfil, .. } = d { *dfil } else { None });
    let channels = defences
        .iter()
        .find_map(|d| if let Defence::Bottleneck { channels } = d { Some(*channels) } else { None })
        .unwrap_or(channels);
    CutFindings {
        model: "alexnet-shapes".to_owned(),
        cut: cut.to_owned(),
        layer: format!("conv{}", depth.max(1)),
        front_hash: hash(depth as u64 ^ cost.to_bits()),
        shape: [channels, side, side],
        bytes: channels * side * side * 4,
        front_ms: 0.9 + 0.83 * (depth as f64).powf(1.4) + if channels == 8 { 0.04 } else { 0.0 },
        front_parameters: [23_296, 23_296, 330_688, 994_624, 1_879_616, 2_469_696][depth.min(5)],
        all_parameters: 57_012_034,
        task_accuracy: share(0.934 - 0.002 * depth as f64 - cost, 1_000),
        label_guess: 0.25,
        signal_guess: Some(0.25),
        check: Some(check("conv1")),
        inversions: inversions(quality, depth),
        probes: probes(leak, depth),
        key: None,
        extraction: Some(Extraction {
            agreement: share(0.71 + 0.04 * depth as f64, 1_000),
            accuracy: share(0.68 + 0.045 * depth as f64, 1_000),
            undefended: share(0.934 - 0.002 * depth as f64, 1_000),
            questions: 9_600,
            steps: 300,
            seconds: 41.0,
            seed: 20_260_117,
        }),
        visible: (0..3).map(|image| visible(depth, image, leak)).collect(),
        bound: scale.map(|dfil| Bound { dfil, mse: 1.0 / dfil * 0.01 }),
        defences,
    }
}

/// Looks like a hash.
fn hash(of: u64) -> String {
    let part = |index: u64| (of ^ (index + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23 * index as u32);
    (0..4).map(|index| format!("{:016x}", part(index))).collect()
}

/// What is left of the leak, and what it costs in accuracy.
fn strength(defences: &[Defence]) -> (f64, f64) {
    let each = defences.iter().map(|defence| match defence {
        Defence::Noise { dfil: Some(dfil), .. } => (0.72 + 0.09 * dfil.log10(), 0.03 - 0.011 * dfil.log10()),
        Defence::Quantise { bits, .. } => (0.8 + 0.04 * f64::from(*bits), 0.06 / f64::from(*bits * *bits)),
        Defence::Bottleneck { .. } => (0.7, 0.012),
        Defence::NoPeek { .. } => (0.62, 0.021),
        _ => (0.55, 0.038),
    });
    each.fold((1.0, 0.0), |(leak, cost), (l, c)| (leak * l, cost + c))
}

fn inversions(quality: f64, depth: usize) -> Vec<Inversion> {
    let images = originals();
    let mean = mean_image(&images);
    let attack = |kind, quality: f64, settings: &str, steps, seconds| Inversion {
        kind,
        scores: scores(quality),
        settings: settings.to_owned(),
        attacker_images: if kind == InversionKind::Decoder { 5_000 } else { 200 },
        steps,
        seconds,
        seed: 20_260_117 + depth as u64,
        pictures: images
            .iter()
            .map(|image| spoiled(image, &mean, quality, (3.2 * (1.0 - quality)) as usize).to_png().unwrap())
            .collect(),
    };
    let mut all = vec![
        attack(
            InversionKind::WhiteBox,
            quality * 0.96,
            "learning rate 0.05, total variation 0.001; the best of 6 on 16 of the attacker’s images",
            12_000,
            312.4,
        ),
        attack(
            InversionKind::Decoder,
            0.16 + quality * 0.8,
            "4 blocks, learning rate 0.001; the best of 3 on 500 of the attacker’s images",
            20_000,
            847.0,
        ),
        attack(
            InversionKind::QueryFree,
            quality * 0.6,
            "substitute trained for 4,000 steps; total variation 0.01",
            16_000,
            958.2,
        ),
    ];
    if depth == 0 {
        all.push(attack(InversionKind::LeastSquares, 0.985, "ridge 0.000001", 1, 4.1));
    }
    all
}

fn probes(leak: f64, depth: usize) -> Vec<Probe> {
    let probe = |target, kind, accuracy: f64, seconds| Probe {
        target,
        kind,
        accuracy: share(accuracy, 1_000),
        guess: 0.25,
        attacker_images: 5_000,
        steps: 3_000,
        seconds,
        seed: 20_260_117,
    };
    let (near, far) = (0.25 + 0.74 * leak.powf(1.5), depth as f64);
    vec![
        probe(ProbeTarget::Signal, ProbeKind::Linear, near - 0.03 * far, 8.3),
        probe(ProbeTarget::Signal, ProbeKind::Small, near - 0.012 * far, 41.9),
        probe(ProbeTarget::Label, ProbeKind::Linear, 0.46 + 0.09 * far * leak, 8.1),
        probe(ProbeTarget::Label, ProbeKind::Small, 0.61 + 0.062 * far * leak, 40.7),
        probe(ProbeTarget::LabelByAnswer, ProbeKind::Small, near - 0.07 - 0.012 * far, 0.6),
    ]
}

fn visible(depth: usize, image: usize, leak: f64) -> Visible {
    let of = 3 * SIDE * SIDE;
    let decay = 1.5 + 2.2 * depth as f64 + 0.2 * image as f64 + 2.0 * (1.0 - leak);
    let value = |at: f64| 7.3 * (-decay * at).exp() * (1.0 - at).max(1e-9).powf(0.4);
    let count = if depth == 0 { of } else { 64 };
    let spectrum =
        (0..count).map(|index| index as f64 / (count - 1) as f64).map(|at| (at * of as f64, value(at))).collect();
    let rank = of as f64 * (4.6 / decay).min(1.0);
    let error = if depth == 0 { 0.0 } else { rank * 0.014 };
    Visible {
        rank,
        rank_low: rank - error,
        rank_high: rank + error,
        of,
        threshold: 0.01,
        spectrum,
        trace: 7.3 * of as f64 / decay,
        trace_error: error * 0.3,
        exact: depth == 0,
    }
}

fn check(name: &str) -> Report {
    let shape = ConvShape::new([3; 2], [1; 2], [1; 2], [4, 16], [32; 2]).with_known_channels(1);
    let pool = Pool { window: [2; 2], stride: [2; 2], padding: [0; 2] };
    let first =
        FrontLayer::new(name, Op::Conv(shape)).with_activation(Activation::Relu).with_pool(pool).with_zero_share(0.4);
    cleave_leakage::check(&[first], Stage::Pooled, &Effort::default()).unwrap()
}

/// A policy with two limits.
fn verdict(cut: &CutFindings, most_ssim: f64, most_label: f64) -> CutVerdict {
    let ssim = cut.inversions.iter().map(|attack| attack.scores.ssim.mean).fold(0.0, f64::max);
    let label = cut.probes.iter().map(|probe| probe.accuracy.share).fold(0.0, f64::max);
    let judgement = |privacy, broken: bool, evidence: &[String]| Judgement {
        privacy,
        stand: if broken { Stand::Broken } else { Stand::NotBroken },
        evidence: evidence.to_vec(),
    };
    let input = [
        format!("The best reconstruction, by the decoder, has a mean SSIM of {ssim:.2}; the limit is {most_ssim:.2}."),
        format!("The judge recognises {:.1} % of them; the limit is 60 %.", 100.0 * (ssim * 0.8 + 0.1)),
    ];
    let output = [format!(
        "The best probe is right in {:.1} %, against 25.0 % for guessing; the limit is {:.0} %.",
        100.0 * label,
        100.0 * most_label
    )];
    let model = Judgement {
        privacy: Privacy::Model,
        stand: Stand::NotMeasured,
        evidence: vec![format!(
            "The client gets {} of {} parameters. Model extraction was not tried.",
            cut.front_parameters, cut.all_parameters
        )],
    };
    CutVerdict {
        policy: "balanced".to_owned(),
        promise: "A reconstruction shows neither the image nor its class, and a probe gets the label clearly less often than the client.".to_owned(),
        passes: ssim <= most_ssim && label <= most_label,
        judgements: vec![judgement(Privacy::Input, ssim > most_ssim, &input), judgement(Privacy::Output, label > most_label, &output), model],
    }
}

fn scores(quality: f64) -> Scores {
    let around = |mean: f64, spread: f64, worst: f64| Estimate { mean, low: mean - spread, high: mean + spread, worst };
    let mse = 0.065 * (1.0 - quality).powf(1.5) + 1e-5;
    let psnr = -10.0 * mse.log10();
    let ssim = quality.clamp(0.02, 1.0);
    Scores {
        mse: around(mse, mse * 0.08, mse * 0.5),
        psnr: around(psnr, 0.4, psnr + 2.8),
        ssim: around(ssim, 0.021, (ssim + 0.11).min(1.0)),
        ssim_lead: Some(around(ssim - 0.16, 0.021, (ssim - 0.1).min(0.84))),
        explained: Some(1.0 - mse / 0.06),
        perceptual: around(0.9 * (1.0 - quality), 0.02, 0.6 * (1.0 - quality)),
        recognised: share((0.25 + 0.72 * quality).min(0.96), 32),
    }
}

pub(crate) fn share(share: f64, of: usize) -> Share {
    let share = share.clamp(0.0, 1.0);
    let half = 1.96 * (share * (1.0 - share) / of as f64).sqrt();
    Share { share, low: (share - half).max(0.0), high: (share + half).min(1.0), of }
}

pub(crate) fn originals() -> Vec<Pixels> {
    let dataset = Shapes::new(5, SIDE, 11).unwrap().dataset("val", PICTURES);
    (0..PICTURES).map(|index| dataset.decode(index).unwrap()).collect()
}

fn mean_image(images: &[Pixels]) -> Pixels {
    let mean = |at: usize| (images.iter().map(|image| usize::from(image.data[at])).sum::<usize>() / images.len()) as u8;
    Pixels::new(SIDE, SIDE, 3, (0..3 * SIDE * SIDE).map(mean).collect()).unwrap()
}

/// An image blurred over squares of so many pixels to each side, and drawn towards another and towards noise.
fn spoiled(image: &Pixels, mean: &Pixels, quality: f64, radius: usize) -> Pixels {
    let mut state = 12_345_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 16) / 65_536.0 - 0.5
    };
    let blurred = |row: usize, column: usize, channel: usize| {
        let span = |at: usize| at.saturating_sub(radius)..(at + radius + 1).min(SIDE);
        let values: Vec<f64> = span(row)
            .flat_map(|r| span(column).map(move |c| (r, c)))
            .map(|(r, c)| f64::from(image.data[3 * (r * SIDE + c) + channel]))
            .collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let data = (0..3 * SIDE * SIDE).map(|at| {
        let own = blurred(at / 3 / SIDE, at / 3 % SIDE, at % 3);
        let keep = quality.clamp(0.0, 1.0).sqrt();
        (keep * own + (1.0 - keep) * f64::from(mean.data[at]) + 90.0 * (1.0 - keep) * noise()).clamp(0.0, 255.0) as u8
    });
    Pixels::new(SIDE, SIDE, 3, data.collect()).unwrap()
}

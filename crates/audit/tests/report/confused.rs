//! The page about a confused network.

use super::fixture::{HOSTILE, originals, share};
use super::{claims_nothing, fits_at_all_widths};
use cleave_audit::{
    ConfusionAudit, ConfusionSettings, Detection, DetectionKind, GroupFindings, Pruning, PruningKind, Saliency,
    SaliencyColumn, SaliencyKind, SaliencyOf, TuneStart, Tuning, TuningPoint, confusion_page,
};
use cleave_confusion::{Gain, Strategy};

const TESTS: usize = 2000;

/// A network on which every attack was tried.
fn rich() -> ConfusionAudit {
    let pictures = || originals().iter().map(|image| image.to_png().unwrap()).collect::<Vec<_>>();
    let column = |of, likeness| SaliencyColumn { of, likeness, pictures: pictures() };
    let groups: Vec<_> = [("0", 44), ("3", 108), ("6", 204), ("9.body.0, 9.shortcut.0", 204), ("12", 268)]
        .map(|(writers, units)| GroupFindings { writers: vec![writers.to_owned()], units, confusion: 12 })
        .into();
    let labelled = [10, 50, 200, 1000];
    ConfusionAudit {
        version: "0.1.0".to_owned(),
        model: "AlexNet on CIFAR-10".to_owned(),
        key: "0f1e2d3c4b5a69788796a5b4c3d2e1f0".to_owned(),
        strategy: Some(Strategy::Mimic),
        classes: ["airplane", "automobile", "bird", "cat", "deer"].map(str::to_owned).into(),
        input: [3, 64, 64],
        bits: 312.4,
        plain_parameters: 1_132_010,
        widened_parameters: 1_241_990,
        gain: Gain { distance: 7.3, memory: 0.097, balance: 1.0 },
        with_key: share(0.77, TESTS),
        without_key: share(0.31, TESTS),
        guess: 0.1,
        own_images: 50_000,
        test_images: TESTS,
        detections: detections(groups.len()),
        prunings: labelled.iter().enumerate().flat_map(|(at, &labelled)| prunings(at, labelled)).collect(),
        tunings: labelled.iter().enumerate().flat_map(|(at, &labelled)| tunings(at, labelled)).collect(),
        saliency: Some(Saliency {
            kind: SaliencyKind::InputGradient,
            originals: pictures(),
            columns: vec![
                column(SaliencyOf::WithKey, 1.0),
                column(SaliencyOf::WithoutKey, 0.31),
                column(SaliencyOf::Attacked, 0.97),
            ],
        }),
        settings: ConfusionSettings::default(),
        seconds: 1234.0,
        device: "Flex(Cpu)".to_owned(),
        groups,
    }
}

fn detections(groups: usize) -> Vec<Detection> {
    let kinds = [
        (DetectionKind::Weights, 0.12),
        (DetectionKind::Initial, 0.03),
        (DetectionKind::Repeats, 0.05),
        (DetectionKind::Statistics, 0.4),
        (DetectionKind::Peeled, 0.6),
        (DetectionKind::Copies, 0.2),
        (DetectionKind::Learned, 0.9),
    ];
    let one = |(kind, recall): (DetectionKind, f64)| Detection {
        kind,
        images: 256,
        precision: recall,
        recall,
        average_precision: recall,
        chance: 0.06,
        by_group: vec![recall; groups],
        accuracy: share(0.31 + 0.4 * recall, TESTS),
        seconds: 2.0 + recall,
    };
    kinds.map(one).into()
}

fn prunings(at: usize, labelled: usize) -> Vec<Pruning> {
    let kinds = [
        PruningKind::Sensitivity,
        PruningKind::Pairs,
        PruningKind::Factors,
        PruningKind::Ablation,
        PruningKind::Refined,
    ];
    let one = |(kind, index): (PruningKind, usize)| Pruning {
        kind,
        labelled,
        precision: 0.1 * index as f64 + 0.1 * at as f64,
        recall: 0.1 * index as f64 + 0.1 * at as f64,
        loss: 1.0 / (1.0 + at as f64),
        accuracy: share(0.35 + 0.08 * index as f64 + 0.02 * at as f64, TESTS),
        forward: 1000 * labelled,
        backward: 100 * labelled,
        seconds: 0.2 * labelled as f64,
    };
    kinds.into_iter().zip(0..).map(one).collect()
}

fn tunings(at: usize, labelled: usize) -> Vec<Tuning> {
    let starts =
        [(TuneStart::WithoutKey, 0.3), (TuneStart::WithKey, 0.76), (TuneStart::Scratch, 0.1), (TuneStart::Pruned, 0.7)];
    let one = |(start, first): (TuneStart, f64)| {
        let point = |step: usize| {
            let accuracy = share(first + (0.78 - first) * step as f64 * (1 + at) as f64 / 2400.0, TESTS);
            TuningPoint { step, accuracy }
        };
        let curve: Vec<_> = [0, 100, 200, 300, 400].map(point).into();
        Tuning { start, labelled, accuracy: curve[4].accuracy, curve, diverged: labelled == 10, seconds: 21.0 }
    };
    starts.map(one).into()
}

/// Nothing was tried.
fn bare() -> ConfusionAudit {
    ConfusionAudit { detections: vec![], prunings: vec![], tunings: vec![], saliency: None, strategy: None, ..rich() }
}

fn hostile() -> ConfusionAudit {
    let classes = vec![HOSTILE.to_owned(); 3];
    let mut audit = ConfusionAudit { model: HOSTILE.to_owned(), classes, device: HOSTILE.to_owned(), ..rich() };
    audit.groups.iter_mut().for_each(|group| group.writers = vec![HOSTILE.to_owned()]);
    audit
}

fn cases() -> [(&'static str, ConfusionAudit); 3] {
    [("confused", rich()), ("confused-bare", bare()), ("confused-hostile", hostile())]
}

#[test]
fn the_answer_follows_from_the_figures() {
    let page = confusion_page(&rich()).unwrap();
    let words = page.replace('\n', " ");
    for piece in
        ["What is the key worth?", "points between them", "95 % interval", "What was not tried", "2<sup>312.4</sup>"]
    {
        assert!(words.contains(piece), "{piece}");
    }
    let small = ConfusionAudit { without_key: share(0.76, TESTS), ..rich() };
    assert!(confusion_page(&small).unwrap().contains("Little:"));
    assert!(confusion_page(&bare()).unwrap().contains("No attack was run"));
    let stands =
        ConfusionAudit { detections: vec![], tunings: vec![], prunings: prunings(0, 10)[..1].to_vec(), ..rich() };
    assert!(confusion_page(&stands).unwrap().contains("Nearly all of what it seems"));
}

#[test]
fn pages_of_confused_networks_fetch_nothing_and_claim_nothing() {
    for (name, audit) in cases() {
        claims_nothing(name, &confusion_page(&audit).unwrap(), true);
    }
}

#[test]
#[cfg_attr(not(chromium), ignore = "put chromium on the path, or name it in CLEAVE_CHROMIUM, and build again")]
fn pages_of_confused_networks_fit_at_all_widths() {
    for (name, audit) in cases() {
        fits_at_all_widths(name, &confusion_page(&audit).unwrap());
    }
}

//! From one entry of a record to what a manifest carries of it.

use crate::verdict::inversion_name;
use crate::{CutFindings, InversionKind, Probe, ProbeKind, ProbeTarget, Visible};
use cleave_partition::{Attack, AuditSummary, Sight, Tried, Worst};
use sha2::{Digest, Sha256};

/// The few numbers that a policy asks for: of every kind of attack the one that came furthest.
///
/// `record_hash`: that of the record that the findings stand in, by [`record_hash`].
pub fn summarise(findings: &CutFindings, record_hash: &str) -> AuditSummary {
    let inversions = || findings.inversions.iter();
    let leads = || inversions().filter_map(|inversion| inversion.scores.ssim_lead);
    let signal = |probe: &&Probe| probe.target == ProbeTarget::Signal;
    let judged = findings.probes.iter().map(|probe| probe.accuracy.of).chain([findings.task_accuracy.of]);
    AuditSummary {
        record: record_hash.to_owned(),
        front_hash: findings.front_hash.clone(),
        cut: findings.cut.clone(),
        defences: findings.defences.clone(),
        tried: tried(findings),
        judged: judged.min().unwrap_or_default(),
        images: inversions().map(|inversion| inversion.scores.recognised.of).min().unwrap_or_default(),
        inversion: worst(inversions().map(|inversion| (inversion_name(inversion.kind), inversion.scores.ssim.mean))),
        worst_ssim: inversions().map(|inversion| inversion.scores.ssim.worst).max_by(f64::total_cmp),
        ssim_lead: leads().map(|lead| lead.mean).max_by(f64::total_cmp),
        worst_ssim_lead: leads().map(|lead| lead.worst).max_by(f64::total_cmp),
        explained: inversions().filter_map(|inversion| inversion.scores.explained).max_by(f64::total_cmp),
        signal_probe: worst(findings.probes.iter().filter(signal).map(probe_result)),
        label_probe: worst(findings.probes.iter().filter(|probe| !signal(probe)).map(probe_result)),
        label_guess: findings.label_guess,
        signal_guess: findings.signal_guess.or_else(|| findings.probes.iter().find(signal).map(|probe| probe.guess)),
        sight: findings.visible.iter().max_by(|a, b| share(a).total_cmp(&share(b))).map(sight),
        traced: findings.visible.len(),
        dfil: findings.bound.map(|bound| bound.dfil),
        task_accuracy: findings.task_accuracy.share,
    }
}

fn tried(findings: &CutFindings) -> Vec<Tried> {
    let probes = findings.probes.first().map(|probe| (Attack::Probes, probe.steps));
    let inversions = findings.inversions.iter().map(|inversion| (attack_of(inversion.kind), inversion.steps));
    let extraction = findings.extraction.iter().map(|copy| (Attack::Extraction, copy.steps));
    let jacobian = Some((Attack::Jacobian, findings.visible.len())).filter(|(_, images)| *images > 0);
    let wrong =
        findings.key.as_ref().map(|key| (Attack::WrongKeys, key.wrong_keys.len())).filter(|(_, keys)| *keys > 0);
    let all = probes.into_iter().chain(inversions).chain(wrong).chain(extraction).chain(jacobian);
    all.map(|(attack, steps)| Tried { attack, steps }).collect()
}

const fn attack_of(kind: InversionKind) -> Attack {
    match kind {
        InversionKind::WhiteBox => Attack::WhiteBox,
        InversionKind::Decoder => Attack::Decoder,
        InversionKind::QueryFree => Attack::QueryFree,
        InversionKind::LeastSquares => Attack::LeastSquares,
        InversionKind::KnownImages => Attack::KnownImages,
        InversionKind::KeyedImages => Attack::KeyedImages,
    }
}

/// The hash that a summary names its record by: SHA-256 over the bytes of the file, in hexadecimal.
pub fn record_hash(record: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(record))
}

fn worst(attacks: impl Iterator<Item = (&'static str, f64)>) -> Option<Worst> {
    let (attack, value) = attacks.max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(Worst { attack: attack.to_owned(), value })
}

const fn probe_result(probe: &Probe) -> (&'static str, f64) {
    let name = match (probe.kind, probe.target) {
        (ProbeKind::Linear, ProbeTarget::LabelByAnswer) => "linear probe on the answer",
        (ProbeKind::Small, ProbeTarget::LabelByAnswer) => "small probe on the answer",
        (ProbeKind::Linear, _) => "linear probe",
        (ProbeKind::Small, _) => "small probe",
    };
    (name, probe.accuracy.share)
}

fn share(visible: &Visible) -> f64 {
    visible.rank_high / visible.of as f64
}

const fn sight(visible: &Visible) -> Sight {
    Sight { rank: visible.rank_high, of: visible.of }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Bound, Estimate, Inversion, InversionKind, Scores, Share};
    use cleave_nets::{Defence, Distribution};

    fn inversion(kind: InversionKind, mean: f64, worst: f64, of: usize) -> Inversion {
        let ssim = Estimate { mean, worst, ..Estimate::default() };
        let ssim_lead = Some(Estimate { mean: mean / 4.0, worst: worst / 2.0, ..Estimate::default() });
        let recognised = Share { of, ..Share::default() };
        Inversion {
            kind,
            scores: Scores { ssim, ssim_lead, explained: Some(2.0 * mean), recognised, ..Scores::default() },
            settings: String::new(),
            attacker_images: 0,
            steps: 6,
            seconds: 0.0,
            seed: 0,
            pictures: vec![],
        }
    }

    fn probe(target: ProbeTarget, kind: ProbeKind, share: f64, of: usize) -> Probe {
        let accuracy = Share { share, of, ..Share::default() };
        Probe { target, kind, accuracy, guess: 0.25, attacker_images: 0, steps: 5, seconds: 0.0, seed: 0 }
    }

    fn visible(rank: f64, of: usize) -> Visible {
        Visible {
            rank,
            rank_low: rank - 2.0,
            rank_high: rank + 2.0,
            of,
            threshold: 0.0,
            spectrum: vec![],
            trace: 0.0,
            trace_error: 0.0,
            exact: true,
        }
    }

    pub(crate) fn findings() -> CutFindings {
        CutFindings {
            model: "m".into(),
            cut: "2".into(),
            layer: "conv2".into(),
            defences: vec![Defence::Noise { distribution: Distribution::Laplace, scale: 0.5, dfil: None }],
            front_hash: "ab".into(),
            shape: [1, 1, 1],
            bytes: 4,
            front_ms: 1.0,
            front_parameters: 1,
            all_parameters: 2,
            task_accuracy: Share { share: 0.9, of: 900, ..Share::default() },
            label_guess: 0.3,
            signal_guess: Some(0.25),
            check: None,
            inversions: vec![
                inversion(InversionKind::WhiteBox, 0.4, 0.5, 60),
                inversion(InversionKind::Decoder, 0.3, 0.7, 40),
            ],
            probes: vec![
                probe(ProbeTarget::Signal, ProbeKind::Linear, 0.5, 800),
                probe(ProbeTarget::Signal, ProbeKind::Small, 0.4, 900),
                probe(ProbeTarget::Label, ProbeKind::Linear, 0.6, 900),
                probe(ProbeTarget::LabelByAnswer, ProbeKind::Small, 0.8, 900),
            ],
            key: None,
            extraction: None,
            visible: vec![visible(50.0, 100), visible(70.0, 100), visible(60.0, 100)],
            bound: Some(Bound { dfil: 2.0, mse: 0.5 }),
        }
    }

    #[test]
    fn the_summary_takes_what_came_furthest_of_each_kind() {
        let got = summarise(&findings(), "cd");
        let worst = |attack: &str, value| Some(Worst { attack: attack.into(), value });
        let expected = AuditSummary {
            record: "cd".into(),
            tried: [(Attack::Probes, 5), (Attack::WhiteBox, 6), (Attack::Decoder, 6), (Attack::Jacobian, 3)]
                .map(|(attack, steps)| Tried { attack, steps })
                .to_vec(),
            front_hash: "ab".into(),
            cut: "2".into(),
            defences: findings().defences,
            judged: 800,
            images: 40,
            inversion: worst("white-box inversion", 0.4),
            worst_ssim: Some(0.7),
            ssim_lead: Some(0.4 / 4.0),
            worst_ssim_lead: Some(0.7 / 2.0),
            explained: Some(0.8),
            signal_probe: worst("linear probe", 0.5),
            label_probe: worst("small probe on the answer", 0.8),
            label_guess: 0.3,
            signal_guess: Some(0.25),
            sight: Some(Sight { rank: 72.0, of: 100 }),
            traced: 3,
            dfil: Some(2.0),
            task_accuracy: 0.9,
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn what_was_not_tried_is_not_in_the_summary() {
        let bare = CutFindings { inversions: vec![], probes: vec![], visible: vec![], bound: None, ..findings() };
        let got = summarise(&bare, "");
        assert_eq!((got.inversion, got.worst_ssim, got.images), (None, None, 0));
        assert_eq!((got.signal_probe, got.label_probe, got.judged), (None, None, 900));
        assert_eq!((got.sight, got.dfil, got.tried), (None, None, vec![]));
        assert_eq!(got.signal_guess, Some(0.25), "the signal is there, whether it was probed or not");
    }

    #[test]
    fn a_record_is_named_by_its_bytes() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(record_hash(b""), empty);
        assert_ne!(record_hash(b"{}"), record_hash(b"{ }"));
    }
}

//! "May I release this?", by a policy and with evidence.

use crate::{
    CutFindings, CutVerdict, Extraction, Inversion, InversionKind, Judgement, Privacy, Probe, ProbeKind, ProbeTarget,
    Stand, Visible, summarise,
};
use cleave_nets::Defence;
use cleave_partition::{Attack, AuditSummary, Measure, Policy, Violation};

/// Judges one entry of an audit by a policy.
///
/// Beyond the policy's own limits, input is judged by those of `reference`'s first policy, and output by those of its
/// second, so that what a promise leaves out does not count as private. Whether the policy itself is kept stands apart.
pub fn judge(findings: &CutFindings, policy: &Policy, reference: [&Policy; 2]) -> CutVerdict {
    let summary = summarise(findings, "");
    let verdict = findings.check.as_ref().map(|report| &report.verdict);
    let violations = |policy: &Policy| policy.check(Some(&summary), verdict);
    let asked = violations(policy);
    let all = |privacy: Privacy, reference: &Policy| -> Vec<Violation> {
        let both = asked.iter().cloned().chain(violations(reference));
        both.filter(|violation| privacy_of(violation) == privacy).collect()
    };
    let mut output =
        judgement(Privacy::Output, &all(Privacy::Output, reference[1]), output_evidence(findings, &summary));
    if summary.signal_guess.is_none() {
        output.stand = Stand::Broken; // nothing has to be read: the answer says it
    }
    let judgements = vec![
        judgement(Privacy::Input, &all(Privacy::Input, reference[0]), input_evidence(findings)),
        output,
        model_judgement(findings, &all(Privacy::Model, policy)),
    ];
    CutVerdict { policy: policy.name.clone(), promise: policy.promise.clone(), passes: asked.is_empty(), judgements }
}

/// What a violated limit speaks of.
const fn privacy_of(violation: &Violation) -> Privacy {
    match violation {
        Violation::Limit {
            measure: Measure::SignalLead | Measure::LabelLead | Measure::ReplyLead | Measure::Judged,
            ..
        }
        | Violation::NotTried { attack: Attack::Probes } => Privacy::Output,
        Violation::NotTried { attack: Attack::Extraction } => Privacy::Model,
        _ => Privacy::Input,
    }
}

/// Whether an attack went too far, and not merely that too little was tried.
const fn is_found(violation: &Violation) -> bool {
    !matches!(
        violation,
        Violation::NotChecked
            | Violation::NotTried { .. }
            | Violation::Limit { found: None, .. }
            | Violation::Limit { measure: Measure::Inverted | Measure::Judged | Measure::Traced, .. }
    )
}

/// The violations first, each once, and then what was found.
fn judgement(privacy: Privacy, violations: &[Violation], found: Vec<String>) -> Judgement {
    let stand = match violations {
        [] => Stand::NotBroken,
        some if some.iter().any(is_found) => Stand::Broken,
        _ => Stand::NotMeasured,
    };
    let mut evidence: Vec<String> = Vec::new();
    for sentence in violations.iter().map(|violation| format!("{violation}.")).chain(found) {
        if !evidence.contains(&sentence) {
            evidence.push(sentence);
        }
    }
    Judgement { privacy, stand, evidence }
}

fn input_evidence(findings: &CutFindings) -> Vec<String> {
    let mut evidence: Vec<String> = findings.inversions.iter().map(inversion_sentence).collect();
    evidence.extend(findings.visible.iter().max_by(|a, b| a.rank.total_cmp(&b.rank)).map(visible_sentence));
    evidence.extend(findings.check.as_ref().map(|report| format!("The leakage check: {}", report.verdict)));
    evidence.push(match findings.bound {
        Some(bound) => format!(
            "Noise: no unbiased attacker has a mean squared error below {:.2e} a pixel (dFIL {:.3e}); one who knows \
             what images look like may.",
            bound.mse, bound.dfil
        ),
        None if findings.defences.iter().any(Defence::is_noise) => {
            "There is noise. What it guarantees was not measured, which takes the Jacobian.".to_owned()
        }
        None => "Without noise there is no bound on any attacker's error.".to_owned(),
    });
    evidence
}

fn inversion_sentence(inversion: &Inversion) -> String {
    let (scores, percent) = (&inversion.scores, 100.0 * inversion.scores.recognised.share);
    format!(
        "{}: mean SSIM {:.3} ({:.3} to {:.3}), {:.1} dB, best 5 % of images {:.3}; of {} reconstructions the judge \
         still recognises {percent:.0} %.",
        inversion_name(inversion.kind),
        scores.ssim.mean,
        scores.ssim.low,
        scores.ssim.high,
        scores.psnr.mean,
        scores.ssim.worst,
        scores.recognised.of,
    )
}

fn visible_sentence(visible: &Visible) -> String {
    let Visible { rank, rank_low, rank_high, of, .. } = visible;
    let known = if visible.exact { String::new() } else { format!(" ({rank_low:.0} to {rank_high:.0})") };
    format!("{rank:.0}{known} of {of} directions of an image are visible in what is sent.")
}

fn output_evidence(findings: &CutFindings, summary: &AuditSummary) -> Vec<String> {
    let mut evidence: Vec<String> = findings.probes.iter().map(probe_sentence).collect();
    evidence.push(match summary.signal_guess {
        Some(_) => {
            format!("The client's own answers are right in {:.1} % of the cases.", 100.0 * summary.task_accuracy)
        }
        None => "There is no signal: the server's answer is the label.".to_owned(),
    });
    evidence
}

fn probe_sentence(probe: &Probe) -> String {
    let Probe { accuracy, guess, .. } = probe;
    format!(
        "{} by a {} probe: {:.1} % right ({:.1} to {:.1}), guessing {:.1} %.",
        target_name(probe.target),
        kind_name(probe.kind),
        100.0 * accuracy.share,
        100.0 * accuracy.low,
        100.0 * accuracy.high,
        100.0 * guess
    )
}

/// The model counts as broken where a copy of the back half has this share of the pair's lead over guessing: a
/// convention, since no policy limits what clients learn of the model.
const COPIED: f64 = 0.9;

fn model_judgement(findings: &CutFindings, violations: &[Violation]) -> Judgement {
    let guess = findings.label_guess;
    let broken = |copy: &Extraction| {
        copy.accuracy.low > guess && copy.accuracy.share - guess >= COPIED * (copy.undefended.share - guess)
    };
    let stand = match &findings.extraction {
        None => Stand::NotMeasured,
        Some(copy) if broken(copy) => Stand::Broken,
        Some(_) => Stand::NotBroken,
    };
    let missing = violations.iter().map(|violation| format!("{violation}."));
    Judgement { privacy: Privacy::Model, stand, evidence: missing.chain(model_evidence(findings)).collect() }
}

fn model_evidence(findings: &CutFindings) -> Vec<String> {
    let CutFindings { front_parameters: front, all_parameters: all, .. } = findings;
    let share = 100.0 * *front as f64 / (*all).max(1) as f64;
    let mut evidence = vec![
        match front {
            0 => "Clients get none of the network's parameters.".to_owned(),
            _ => format!(
                "Clients get {front} of {all} parameters ({share:.1} %): the front half is given away, not protected."
            ),
        },
        match &findings.extraction {
            Some(copy) => extraction_sentence(copy),
            None => "Model extraction was not tried; nothing follows from that.".to_owned(),
        },
    ];
    let own = findings.probes.iter().filter(|probe| probe.target == ProbeTarget::Label);
    evidence.extend(own.max_by(|a, b| a.accuracy.share.total_cmp(&b.accuracy.share)).map(|probe| {
        format!(
            "A {} classifier of one's own on the front half's output, trained on {} labelled images, is right in \
             {:.1} % of the cases; with the back half it is {:.1} %.",
            kind_name(probe.kind),
            probe.attacker_images,
            100.0 * probe.accuracy.share,
            100.0 * findings.task_accuracy.share
        )
    }));
    evidence
}

fn extraction_sentence(copy: &Extraction) -> String {
    format!(
        "A copy of the back half, from random weights and the answers to {} questions, asked with the \
         attacker's images, answers {:.1} % of images alike \
         and is right in {:.1} % ({:.1} to {:.1}), where the back half itself is in {:.1} %. Nine tenths of its lead \
         over guessing count as broken.",
        copy.questions,
        100.0 * copy.agreement.share,
        100.0 * copy.accuracy.share,
        100.0 * copy.accuracy.low,
        100.0 * copy.accuracy.high,
        100.0 * copy.undefended.share,
    )
}

/// What a reader calls an inversion.
pub(crate) const fn inversion_name(kind: InversionKind) -> &'static str {
    match kind {
        InversionKind::WhiteBox => "white-box inversion",
        InversionKind::Decoder => "trained decoder",
        InversionKind::QueryFree => "query-free inversion",
        InversionKind::LeastSquares => "least squares",
        InversionKind::KnownImages => "key from known images",
        InversionKind::KeyedImages => "key from keyed images alone",
    }
}

const fn target_name(target: ProbeTarget) -> &'static str {
    match target {
        ProbeTarget::Signal => "The signal",
        ProbeTarget::Label => "The label",
        ProbeTarget::LabelByAnswer => "The label, from the answer unmasked with what is read,",
    }
}

const fn kind_name(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Linear => "linear",
        ProbeKind::Small => "small non-linear",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::findings;
    use cleave_partition::Limits;

    #[test]
    fn without_a_signal_the_answer_gives_the_label_away() {
        let generous = Limits { largest_mean_ssim: Some(0.9), ..Limits::default() };
        let generous = Policy { name: "p".into(), promise: "q".into(), limits: generous };
        let output = |findings| judge(&findings, &generous, [&generous, &generous]).judgements[1].stand;
        assert_eq!(output(findings()), Stand::NotBroken);
        let plain = CutFindings { signal_guess: None, probes: vec![], ..findings() };
        assert_eq!(output(plain), Stand::Broken);
    }

    #[test]
    fn too_few_images_break_nothing_and_a_limit_that_was_passed_does() {
        let images = 1 + findings().inversions[0].scores.recognised.of;
        let policy = |limits| Policy { name: "p".into(), promise: "q".into(), limits };
        let generous = policy(Limits { largest_mean_ssim: Some(0.9), ..Limits::default() });
        let many = policy(Limits { fewest_inverted: Some(images), ..generous.limits.clone() });
        let strict = policy(Limits { largest_mean_ssim: Some(0.1), ..many.limits.clone() });
        let input = |findings: &CutFindings, policy: &Policy| {
            let verdict = judge(findings, policy, [&generous, &generous]);
            (verdict.judgements[0].stand, verdict.passes)
        };
        assert_eq!(input(&findings(), &generous), (Stand::NotBroken, true));
        assert_eq!(input(&findings(), &many), (Stand::NotMeasured, false));
        assert_eq!(input(&findings(), &strict), (Stand::Broken, false));
        let none = CutFindings { inversions: vec![], ..findings() };
        assert_eq!(input(&none, &strict), (Stand::NotMeasured, false));
    }
}

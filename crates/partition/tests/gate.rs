//! Defences, audits and policies at the gate and in the files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use cleave_leakage::Verdict;
use cleave_nets::{Checkpoint, Defence, Distribution, Role};
use cleave_partition::{
    Attack, AuditSummary, BackHalf, Bound, Cut, Error, FrontHalf, Limits, Measure, Offer, Policy, Tried, Violation,
    apply_defences, cut, release, tensor_hash,
};
use common::{checkpoint, flex, forge, images, mild, network, small, write};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

const NOISE: Defence = Defence::Noise { distribution: Distribution::Gaussian, scale: 0.25, dfil: None };
const LEVELS: Defence = Defence::Quantise { bits: 3, low: -0.5, high: 1.5 };

fn offer(model: &Checkpoint) -> Offer<'_> {
    Offer::new(model, Cut::after(2), "shapes")
}

fn hash(model: &Checkpoint, at: Cut) -> String {
    tensor_hash(&cut(&model.network, at).unwrap().0).unwrap()
}

fn audited(model: &Checkpoint) -> AuditSummary {
    mild(&hash(model, Cut::after(2)))
}

fn policy(limits: Limits) -> Policy {
    Policy { name: "house".into(), promise: "a test".into(), limits }
}

#[test]
fn the_client_applies_what_both_manifests_record() {
    let folder = tempfile::tempdir().unwrap();
    let (mut model, plain) = (small(), tempfile::tempdir().unwrap());
    model.card.defences = vec![Defence::NoPeek { weight: 0.5, layer: 2 }];
    let (undefended, _) = write(&offer(&model), plain.path());
    let (front, back) = write(&Offer { defences: &[NOISE, LEVELS], ..offer(&model) }, folder.path());
    let (front, back) = (FrontHalf::load(&front, &flex()).unwrap(), BackHalf::load(&back, &flex()).unwrap());
    let recorded = [model.card.defences[0].clone(), NOISE, LEVELS];
    assert_eq!(front.manifest().terms.defences, recorded);
    assert_eq!(back.manifest().terms.defences, recorded);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let undefended = FrontHalf::load(&undefended, &flex()).unwrap();
    let mut expected = undefended.smash(images(2), &[0, 1], &mut rng).unwrap().values().to_vec();
    let clean = expected.clone();
    apply_defences(&recorded, &mut expected, &mut rng);
    let sent = front.smash(images(2), &[0, 1], &mut ChaCha8Rng::seed_from_u64(5)).unwrap();
    assert_eq!(sent.values(), expected);
    assert_ne!(sent.values(), clean);
    let again = front.smash(images(2), &[0, 1], &mut ChaCha8Rng::seed_from_u64(6)).unwrap();
    assert_ne!(sent.values(), again.values(), "noise is drawn afresh");
    let mut levels = sent.values().to_vec();
    levels.sort_by(f32::total_cmp);
    levels.dedup();
    assert!(levels.len() <= 8, "{levels:?}");
    back.answer(sent).unwrap();
}

#[test]
fn halves_with_other_defences_are_no_pair() {
    let model = small();
    let pair = |defences| release(&Offer { defences, ..offer(&model) }).unwrap().front().terms.pair.clone();
    let louder = Defence::Noise { distribution: Distribution::Gaussian, scale: 0.5, dfil: None };
    let pairs =
        [pair(&[]), pair(&[NOISE]), pair(std::slice::from_ref(&louder)), pair(&[LEVELS]), pair(&[NOISE, LEVELS])];
    assert_eq!(pairs.iter().collect::<std::collections::BTreeSet<_>>().len(), pairs.len());
    assert_eq!(pair(&[NOISE]), pairs[1]);
    let weights = |defences| release(&Offer { defences, ..offer(&model) }).unwrap().front().terms.front_hash.clone();
    assert_eq!(weights(&[NOISE]), hash(&model, Cut::after(2)));
}

#[test]
fn a_defence_of_a_newer_build_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let model = small();
    let (front, back) = write(&offer(&model), folder.path());
    for defence in [json!({"type": "shuffle", "blocks": 4}), json!({"type": "noise", "distribution": "cauchy"})] {
        forge(&front, Role::Front, "/terms/defences", json!([defence]));
        forge(&back, Role::Back, "/terms/defences", json!([defence]));
        for error in [FrontHalf::load(&front, &flex()).err().unwrap(), BackHalf::load(&back, &flex()).err().unwrap()] {
            assert!(matches!(error, Error::UnknownDefence { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("newer cleave") && (text.contains("shuffle") || text.contains("cauchy")), "{text}");
        }
    }
}

#[test]
fn an_audit_travels_in_both_files() {
    let folder = tempfile::tempdir().unwrap();
    let model = small();
    let (audit, house) = (audited(&model), policy(Limits { largest_dfil: Some(30.0), ..Limits::default() }));
    let (front, back) = write(&Offer { audit: Some(&audit), policy: Some(&house), ..offer(&model) }, folder.path());
    let front = FrontHalf::load(&front, &flex()).unwrap();
    assert_eq!(front.manifest().terms.audit.as_ref(), Some(&audit));
    assert_eq!(front.manifest().terms.policy.as_ref(), Some(&house));
    assert_eq!(BackHalf::load(&back, &flex()).unwrap().manifest().terms, front.manifest().terms);
    assert!(front.manifest().terms.violations(&house).is_empty());
}

#[test]
fn an_audit_of_something_else_is_refused() {
    let model = small();
    let good = audited(&model);
    let others = [
        ("hash", AuditSummary { front_hash: "cd".repeat(32), ..good.clone() }),
        ("cut", AuditSummary { cut: "2:activation".into(), ..good.clone() }),
        ("defences", AuditSummary { defences: vec![NOISE], ..good.clone() }),
    ];
    for (what, audit) in &others {
        let error = release(&Offer { audit: Some(audit), ..offer(&model) }).unwrap_err();
        assert!(matches!(error, Error::AuditOfOther { .. }) && error.to_string().contains(what), "{error}");
    }
    let escaping = AuditSummary { record: "\u{1b}[2J".into(), ..good.clone() };
    assert!(matches!(release(&Offer { audit: Some(&escaping), ..offer(&model) }), Err(Error::AuditText)));
    let undefended = release(&Offer { audit: Some(&good), defences: &[NOISE], ..offer(&model) });
    assert!(matches!(undefended, Err(Error::AuditOfOther { what: "list of defences", .. })));
    let defended = AuditSummary { defences: vec![NOISE], ..good };
    assert!(release(&Offer { audit: Some(&defended), defences: &[NOISE], ..offer(&model) }).is_ok());
}

#[test]
fn files_whose_audit_is_not_theirs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = small();
    let audit = audited(&model);
    let house = policy(Limits { largest_mean_ssim: Some(0.35), ..Limits::default() });
    let forgeries = [
        ("/terms/audit/front_hash", json!("cd".repeat(32))),
        ("/terms/audit/cut", json!("3")),
        ("/terms/audit/inversion/attack", json!("\u{1b}[2J")),
        ("/terms/audit/inversion/value", json!(0.6)),
        ("/terms/audit", json!(null)),
        ("/terms/policy/limits/largest_mean_ssim", json!(0.1)),
        ("/terms/policy/promise", json!("")),
    ];
    for (pointer, value) in forgeries {
        let (front, back) = write(&Offer { audit: Some(&audit), policy: Some(&house), ..offer(&model) }, folder.path());
        forge(&front, Role::Front, pointer, value.clone());
        forge(&back, Role::Back, pointer, value.clone());
        for error in [FrontHalf::load(&front, &flex()).err(), BackHalf::load(&back, &flex()).err()] {
            assert!(matches!(error, Some(Error::Contradiction { .. })), "{pointer} {value}: {error:?}");
        }
    }
}

#[test]
fn a_pair_that_breaks_its_policy_is_not_made() {
    let model = small();
    let audit = audited(&model);
    let house = policy(Limits {
        largest_mean_ssim: Some(0.2),
        largest_worst_ssim: Some(0.5),
        largest_signal_lead: Some(0.01),
        ..Limits::default()
    });
    let Err(Error::Policy { policy, violations }) =
        release(&Offer { audit: Some(&audit), policy: Some(&house), ..offer(&model) })
    else {
        panic!("it was released")
    };
    assert_eq!((policy.as_str(), violations.len()), ("house", 2));
    assert!(matches!(violations[0], Violation::Limit { measure: Measure::MeanSsim, found: Some(0.3), .. }));
    assert!(matches!(violations[1], Violation::Limit { measure: Measure::SignalLead, .. }));
    let Err(Error::Policy { violations, .. }) = release(&Offer { policy: Some(&house), ..offer(&model) }) else {
        panic!("it was released without an audit")
    };
    assert!(violations.iter().all(|violation| violation.to_string().contains("not measured")), "{violations:?}");
    assert_eq!(violations.len(), 3);
}

/// A reason opens the check's gate and not the policy's.
#[test]
fn a_reason_does_not_override_a_policy() {
    let model = checkpoint(network(None, 64, 1));
    let leaking = Offer::new(&model, "1:linear".parse().unwrap(), "m");
    assert!(matches!(release(&leaking), Err(Error::Leaks { .. })), "the case to be tested");
    let accepted = Offer { accept: Some("a test"), ..leaking };
    let strict = policy(Limits { check_passes: true, ..Limits::default() });
    let error = release(&Offer { policy: Some(&strict), ..accepted }).unwrap_err();
    assert!(matches!(&error, Error::Policy { violations, .. } if *violations == [Violation::CheckLeaks]), "{error}");
    let audit = AuditSummary { cut: "1:linear".into(), ..mild(&hash(&model, "1:linear".parse().unwrap())) };
    let lax = policy(Limits { largest_mean_ssim: Some(0.9), ..Limits::default() });
    let released = release(&Offer { policy: Some(&lax), audit: Some(&audit), ..accepted }).unwrap();
    assert_eq!(released.front().terms.accepted.as_deref(), Some("a test"));
}

/// Where a policy keeps one of its limits.
type Field = fn(&mut Limits) -> &mut Option<f64>;

#[test]
fn every_limit_is_compared_with_its_own_number() {
    let audit = mild("");
    let table: [(Field, Measure, f64, f64); 10] = [
        (|limits| &mut limits.largest_mean_ssim, Measure::MeanSsim, 0.3, -0.01),
        (|limits| &mut limits.largest_worst_ssim, Measure::WorstSsim, 0.45, -0.01),
        (|limits| &mut limits.largest_mean_ssim_lead, Measure::MeanSsimLead, 0.02, -0.01),
        (|limits| &mut limits.largest_worst_ssim_lead, Measure::WorstSsimLead, 0.05, -0.01),
        (|limits| &mut limits.largest_explained, Measure::Explained, 0.2, -0.01),
        (|limits| &mut limits.largest_signal_lead, Measure::SignalLead, 0.02, -0.01),
        (|limits| &mut limits.largest_label_lead, Measure::LabelLead, 0.03, -0.01),
        (|limits| &mut limits.largest_reply_lead, Measure::ReplyLead, 0.1, -0.01),
        (|limits| &mut limits.smallest_hidden_share, Measure::HiddenShare, 1.0 - 3000.0 / 12288.0, 0.01),
        (|limits| &mut limits.largest_dfil, Measure::Dfil, 25.0, -0.01),
    ];
    for (field, expected, found, stricter) in table {
        let mut limits = Limits::default();
        *field(&mut limits) = Some(found - 1e-9 * stricter.signum());
        let exact = limits.clone();
        assert!(policy(exact).check(Some(&audit), Some(&Verdict::Passes)).is_empty(), "{expected:?}");
        *field(&mut limits) = Some(found + stricter);
        let broken = policy(limits).check(Some(&audit), Some(&Verdict::Passes));
        let [Violation::Limit { measure, bound, found: Some(got) }] = broken[..] else { panic!("{broken:?}") };
        assert!(measure == expected && (got - found).abs() < 1e-9 && bound.value() == found + stricter, "{broken:?}");
    }
    for (count, kept) in [(60, true), (61, false)] {
        let limits = Limits { fewest_inverted: Some(count), ..Limits::default() };
        assert_eq!(policy(limits).check(Some(&audit), Some(&Verdict::Passes)).is_empty(), kept);
    }
    for (count, kept) in [(8, true), (9, false)] {
        let limits = Limits { fewest_traced: Some(count), ..Limits::default() };
        assert_eq!(policy(limits).check(Some(&audit), Some(&Verdict::Passes)).is_empty(), kept);
    }
    for (count, kept) in [(1000, true), (1001, false)] {
        let limits = Limits { fewest_judged: Some(count), ..Limits::default() };
        assert_eq!(policy(limits).check(Some(&audit), Some(&Verdict::Passes)).is_empty(), kept);
    }
}

#[test]
fn what_was_not_measured_breaks_a_limit_and_so_does_no_number() {
    let audit = AuditSummary {
        inversion: None,
        worst_ssim: None,
        ssim_lead: None,
        worst_ssim_lead: None,
        explained: None,
        signal_probe: None,
        label_probe: None,
        signal_guess: None,
        sight: None,
        dfil: None,
        ..mild("")
    };
    let all = Limits {
        largest_mean_ssim: Some(1.0),
        largest_worst_ssim: Some(1.0),
        largest_mean_ssim_lead: Some(1.0),
        largest_worst_ssim_lead: Some(1.0),
        largest_explained: Some(1.0),
        largest_signal_lead: Some(1.0),
        largest_label_lead: Some(1.0),
        largest_reply_lead: Some(1.0),
        smallest_hidden_share: Some(0.0),
        largest_dfil: Some(1e9),
        ..Limits::default()
    };
    let broken = policy(all.clone()).check(Some(&audit), Some(&Verdict::Passes));
    assert_eq!(broken.len(), 10);
    assert!(broken.iter().all(|violation| matches!(violation, Violation::Limit { found: None, .. })), "{broken:?}");
    let nan = AuditSummary { worst_ssim: Some(f64::NAN), ..mild("") };
    assert_eq!(policy(all).check(Some(&nan), Some(&Verdict::Passes)).len(), 1);
    assert!(!Bound::Least(0.0).allows(f64::NAN));
}

#[test]
fn a_policy_asks_for_attacks_by_name() {
    let limits = Limits { required_attacks: vec![Attack::Decoder, Attack::WhiteBox], ..Limits::default() };
    let tried = vec![Tried { attack: Attack::QueryFree, steps: 9 }, Tried { attack: Attack::WhiteBox, steps: 9 }];
    let audit = AuditSummary { tried, ..mild("") };
    let broken = policy(limits.clone()).check(Some(&audit), Some(&Verdict::Passes));
    assert_eq!(broken, [Violation::NotTried { attack: Attack::Decoder }]);
    assert!(policy(limits.clone()).check(Some(&mild("")), Some(&Verdict::Passes)).is_empty());
    assert_eq!(policy(limits).check(None, Some(&Verdict::Passes)).len(), 2);
    let head = "name = 'n'\npromise = 'p'\n[limits]\n";
    assert!(Policy::from_toml(&format!("{head}required_attacks = ['white-box']")).is_ok());
    let unknown = Policy::from_toml(&format!("{head}required_attacks = ['telepathy']"));
    assert!(matches!(unknown, Err(Error::PolicySyntax { .. })));
    assert!(mild("").to_string().contains("white-box of 8 steps") && mild("").to_string().contains("jacobian at 8"));
}

#[test]
fn shipped_policies_are_read_under_their_names_and_can_be_kept_and_broken() {
    for (name, toml) in Policy::SHIPPED {
        let policy = Policy::from_toml(toml).unwrap();
        assert_eq!(policy.name, name);
        assert!(policy.check(Some(&mild("")), Some(&Verdict::Passes)).is_empty(), "{name}");
        assert!(!policy.check(None, Some(&Verdict::Passes)).is_empty(), "{name}");
        let unchecked = policy.check(Some(&mild("")), None);
        assert_eq!(unchecked.contains(&Violation::NotChecked), policy.limits.check_passes, "{name}");
        let written: Policy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
        assert_eq!(written, policy);
    }
}

#[test]
fn limits_that_no_front_half_breaks_are_refused() {
    let head = "name = 'n'\npromise = 'p'\n[limits]\n";
    assert!(Policy::from_toml(&format!("{head}largest_mean_ssim = 0.5")).is_ok());
    for limit in ["largest_mean_ssim = 1.5", "largest_label_lead = -0.1", "smallest_hidden_share = nan"] {
        assert!(matches!(Policy::from_toml(&format!("{head}{limit}")), Err(Error::PolicyLimit { .. })), "{limit}");
    }
    for limit in ["largest_dfil = 0.0", "largest_dfil = inf", "fewest_inverted = 0"] {
        assert!(matches!(Policy::from_toml(&format!("{head}{limit}")), Err(Error::PolicyLimit { .. })), "{limit}");
    }
    assert!(matches!(Policy::from_toml(head), Err(Error::EmptyPolicy { .. })));
    for text in
        ["", "largest = 1", &format!("{head}largest_meen_ssim = 0.5"), &format!("x = 1\n{head}check_passes = true")]
    {
        assert!(matches!(Policy::from_toml(text), Err(Error::PolicySyntax { .. })), "{text}");
    }
    let escape = "name = 'n'\npromise = \"\\u001b[2J\"\n[limits]\ncheck_passes = true";
    assert!(matches!(Policy::from_toml(escape), Err(Error::PolicyText { field: "promise", .. })));
    let nameless = "name = ' '\npromise = 'p'\n[limits]\ncheck_passes = true";
    assert!(matches!(Policy::from_toml(nameless), Err(Error::PolicyText { field: "name", .. })));
}

//! `cleave audit` as a user runs it, and what rubbish brings.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{bad, cleave, good, retrain, text, train};
use serde_json::Value;
use std::path::Path;

/// Little enough for a test.
const LITTLE: [&str; 12] =
    ["--data", "builtin", "--limit", "20", "--effort", "quick", "--invert", "3", "--probe", "30", "--batch", "8"];

fn audit(arguments: &[&str]) -> Vec<String> {
    ["audit"].iter().chain(arguments).chain(&LITTLE).map(|&argument| argument.to_owned()).collect()
}

fn run(folder: &Path, arguments: &[&str]) -> String {
    let arguments = audit(arguments);
    good(folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn refused(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let arguments = audit(arguments);
    bad(folder, code, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn an_audit_goes_into_a_release() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    retrain(folder);
    let attacks = ["split.safetensors", "--cuts", "2", "--base", "base.safetensors", "--defend", "gaussian:dfil:50"];
    let files =
        ["--attacks", "probes,white-box,extraction,jacobian", "--record", "audit.json", "--report", "audit.html"];
    let said = run(folder, &[&attacks[..], &files].concat());
    assert!(said.contains("Input privacy: ") && said.contains("Output privacy: "), "{said}");
    assert!(said.contains("Model privacy: ") && said.contains("A copy of the back half"), "{said}");
    assert!(said.contains("Without noise there is no bound") && said.contains("no unbiased attacker"), "{said}");
    assert!(!folder.join("audit.json.run").exists());
    let page = std::fs::read_to_string(folder.join("audit.html")).unwrap();
    assert!(page.contains("May I release this?") && page.contains("data:image/png"));
    let record: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("audit.json")).unwrap()).unwrap();
    let cuts = record["cuts"].as_array().unwrap();
    assert_eq!((cuts.len(), &cuts[0]["bound"]), (2, &Value::Null));
    let dfil = cuts[1]["bound"]["dfil"].as_f64().unwrap();
    assert!((25.0..100.0).contains(&dfil), "calibrated on other images than it was measured at: {dfil}");

    let cut = [
        "cut",
        "split.safetensors",
        "--cut",
        "2",
        "--out-front",
        "front.safetensors",
        "--out-back",
        "back.safetensors",
    ];
    let audited = [&cut[..], &["--audit", "audit.json"]].concat();
    assert!(good(folder, &audited).contains("audit    record "));
    let held_out =
        ["split.safetensors", "--cuts", "2", "--attacker", "held-out", "--jacobians", "1", "--record", "h.json"];
    let compared = [&held_out[..], &["--compare", "audit.json"]].concat();
    assert!(refused(folder, 2, &compared).contains("other images"));
    run(folder, &[&held_out[..], &["--attacks", "probes,jacobian"]].concat());
    let held_out: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("h.json")).unwrap()).unwrap();
    assert_eq!(held_out["subject"]["private_source"], "builtin (the other half of val)");
    assert_eq!(held_out["cuts"][0]["visible"].as_array().unwrap().len(), 1);
    let calibrated = ["--defend", "gaussian:dfil:50", "--data", "builtin", "--force"];
    good(folder, &[&audited[..], &calibrated].concat()); // the same images give the same noise
    let pair =
        ["--front", "front.safetensors", "--back", "back.safetensors", "--attacks", "probes", "--record", "p.json"];
    run(folder, &pair);
    let pair: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("p.json")).unwrap()).unwrap();
    assert_eq!(pair["cuts"][0]["front_hash"], cuts[1]["front_hash"]);
    assert_eq!(pair["cuts"][0]["defences"], cuts[1]["defences"]);
    std::fs::write(folder.join("never.toml"), "name = 'never'\npromise = 'p'\n[limits]\nlargest_mean_ssim = 0.0\n")
        .unwrap();
    bad(folder, 4, &[&audited[..], &["--policy", "never.toml", "--force"]].concat());
}

#[test]
fn rubbish_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    let base = ["base.safetensors", "--record", "r.json", "--attacks", "probes"];
    refused(folder, 2, &[&base[..], &["--cuts", "99"]].concat());
    refused(folder, 2, &[&base[..], &["--cuts", "2", "--policy", "no-such"]].concat());
    refused(folder, 3, &["missing.safetensors", "--cuts", "2", "--record", "r.json"]);
    assert!(
        refused(folder, 3, &[&base[..], &["--cuts", "2", "--compare", "missing.json"]].concat())
            .contains("missing.json")
    );
    std::fs::write(folder.join("rubbish.json"), "{}").unwrap();
    refused(folder, 3, &[&base[..], &["--cuts", "2", "--compare", "rubbish.json"]].concat());
    refused(folder, 2, &[&base[..], &["--cuts", "2", "--resume"]].concat());
    for levels in ["bits:4:3:-3", "bits:4:1:1", "bits:2:nan:1"] {
        let upside_down = refused(folder, 2, &[&base[..], &["--cuts", "2", "--defend", levels]].concat());
        assert!(
            upside_down.contains("a value from ") && upside_down.contains("is not above its lowest"),
            "{upside_down}"
        );
    }
    for wrong in [&["audit", "--record", "r.json"][..], &["audit", "--front", "f", "--record", "r.json"]] {
        let output = cleave(folder, wrong);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    }
    let nowhere = refused(folder, 3, &[&base[..], &["--cuts", "2", "--report", "nowhere/r.html"]].concat());
    assert!(nowhere.contains("nowhere") && !folder.join("r.json.run").exists(), "before the work: {nowhere}");
    assert!(refused(folder, 3, &["base.safetensors", "--cuts", "2", "--record", "."]).contains("it is a folder"));
    std::fs::create_dir(folder.join("r.json.run")).unwrap();
    assert!(refused(folder, 2, &[&base[..], &["--cuts", "2"]].concat()).contains("--resume"));
}

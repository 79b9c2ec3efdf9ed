//! Defences of `cleave retrain` as a user asks for them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

fn cleave(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cleave")).args(arguments.split_whitespace()).current_dir(folder).output().unwrap()
}

/// Runs a command that must succeed; its standard output.
fn good(folder: &Path, arguments: &str) -> String {
    let output = cleave(folder, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail as wrongly used; its standard error.
fn refused(folder: &Path, arguments: &str) -> String {
    let output = cleave(folder, arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments}: {error}");
    assert!(error.contains("error: ") && !error.contains("panicked"), "{arguments}: {error}");
    error
}

const TINY: &str = "--data builtin --limit 20 --steps 4 --batch 4 --log-every 2";

fn base(folder: &Path) {
    good(folder, &format!("train --size 64 --divisor 16 --out base {TINY}"));
}

#[test]
fn defences_go_into_the_card_the_history_the_log_and_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    base(folder);
    let defences = "--at 3 --bottleneck 4 --nopeek 0.5 --adversary-signal 1 --adversary-label 2";
    let noise = "--noise-at 4 --noise-scale 0.1";
    let retrain = format!("retrain base --preserve 1 --out split {defences} {noise} {TINY}");
    let answer: serde_json::Value = serde_json::from_str(&good(folder, &format!("--json {retrain}"))).unwrap();
    assert_eq!(answer["narrow_cut"], 4);
    assert_eq!(answer["last"]["step"], 4);
    let log = std::fs::read_to_string(folder.join("split.run/log.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    for field in ["signal_probe", "label_probe", "distance_correlation"] {
        assert!(line[field].is_number(), "{field}: {line}");
    }
    let card: serde_json::Value = serde_json::from_str(&good(folder, "--json inspect split")).unwrap();
    let kinds: Vec<_> = card["defences"].as_array().unwrap().iter().map(|defence| defence["type"].clone()).collect();
    assert_eq!(kinds, ["bottleneck", "no_peek", "adversarial"]);
    assert_eq!(card["defences"], answer["defences"]);
    assert_eq!(card["defences"][2]["layer"], 4); // behind the narrow tensor
    let history = card["training"]["history"].as_array().unwrap();
    let run = |name: &str| history.iter().find(|run| run["run"] == name).unwrap()["settings"].clone();
    assert_eq!(run("bottleneck")["channels"], 4);
    assert_eq!(run("retrain N=1")["guard"]["noise"]["layer"], 4);
    good(folder, "cut split --cut 4 --out-front f --out-back b --accept-leak test");
    assert!(good(folder, "inspect f").contains("sending 36 values")); // 4 channels of 3 by 3
    assert!(good(folder, &retrain.replace("--out split", "--out again")).contains("--cut 4"));
}

#[test]
fn defences_that_cannot_be_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    base(folder);
    let wrong = |defences: &str| refused(folder, &format!("retrain base --preserve 2 --out x {TINY} {defences}"));
    for defences in ["--at 2 --nopeek 1", "--at 8 --adversary-label 1", "--at 9 --bottleneck 2"] {
        assert!(wrong(defences).contains("layers 3 to 7"), "{defences}");
    }
    assert!(wrong("--at 3 --bottleneck 0").contains("take 1 to 24"));
    assert!(wrong("--at 3 --bottleneck 25").contains("hint: "));
    assert!(wrong("--at 3 --nopeek=-1").contains("nopeek.weight is -1"));
    assert!(wrong("--at 3 --adversary-signal NaN").contains("adversary.signal is NaN"));
    assert!(wrong("--at 3 --adversary-label 1 --defence-warm-up 0.9").contains("warm_up is 1.4"));
    assert!(wrong("--nopeek 1").contains("--at"));
    assert!(wrong("--at 3").contains("--nopeek"));
    assert!(wrong("--noise-at 3").contains("--noise-scale"));
    assert!(!folder.join("x").exists() && !folder.join("x.run").exists());
}

//! Trainings on ciphertexts from command to command.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{bad, cleave, good, serve_with};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// 12 samples of 3 features in 2 classes, of which the first feature tells.
fn table(path: &Path) {
    let line = |i: usize| format!("{},{}.5,{},1.25\n", i % 2, i % 2 * 2, i % 3);
    std::fs::write(path, (0..12).map(line).collect::<String>()).unwrap();
}

const TRAIN: [&str; 9] =
    ["encrypted-train", "features.csv", "--first", "8", "--keys", "keys", "--client", "alice", "--json"];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_head_is_trained_on_ciphertexts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    table(&folder.join("features.csv"));
    good(folder, &["keys", "--out", "keys", "--client", "alice"]);
    good(folder, &["key", "new", "--for", "ciphertexts", "--clear", "--out", "images.key"]);
    let server = serve_with(folder, &["--training"]);
    let train = |more: &[&'static str]| [&TRAIN[..], &["--connect", &server.address], more].concat();

    let rounds = ["--iterations", "3", "--each", "2", "--preconditioner", "ridge:0.1", "--out", "head.safetensors"];
    let trained = json(&good(folder, &train(&rounds)));
    let all = trained["rounds"].as_array().unwrap();
    assert_eq!(all.iter().map(|round| round["iterations"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 3]);
    assert!(all.iter().all(|round| round["largest_error"].as_f64().unwrap() < 1e-4), "{trained}");
    assert!(all[1]["largest_weight"].as_f64().unwrap() > 0.1, "something was learnt: {trained}");
    assert_eq!((trained["measured_on"].as_u64(), all[1]["decrypted"]["accuracy"].as_f64()), (Some(4), Some(1.0)));
    assert!(trained["bytes_sent"].as_u64().unwrap() > 10_000_000);
    let evaluated = good(folder, &["eval", "head.safetensors", "--data", "features.csv", "--json"]);
    assert_eq!(json(&evaluated)["accuracy"].as_f64(), Some(1.0), "{evaluated}");

    let there = bad(folder, 3, &train(&["--out", "head.safetensors"]));
    assert!(there.contains("--force"), "{there}");
    bad(folder, 3, &train(&["--out", "other.safetensors", "--key", "images.key"]));
    bad(folder, 5, &train(&["--out", "other.safetensors", "--service", "nothing"]));
    bad(folder, 2, &train(&["--out", "other.safetensors", "--preconditioner", "ridge:0"]));
    bad(folder, 2, &train(&["--out", "other.safetensors", "--job", "my.job"]));
    bad(folder, 2, &train(&["--out", "other.safetensors", "--each", "3"]));
    let many = ["encrypted-train", "features.csv", "--first", "13", "--keys", "keys", "--client", "alice"];
    bad(folder, 2, &[&many[..], &["--out", "other.safetensors"]].concat());
    std::fs::write(folder.join("test.csv"), "0,1,2\n").unwrap();
    bad(folder, 2, &train(&["--out", "other.safetensors", "--test", "test.csv"]));
    std::fs::write(folder.join("large.csv"), "0,1e30,2\n1,3,4\n").unwrap();
    let large = ["encrypted-train", "large.csv", "--keys", "keys", "--client", "alice", "--preconditioner", "paper"];
    let error = cleave(folder, &[&large[..], &["--start", "1", "--out", "other.safetensors"]].concat());
    assert_eq!(error.status.code(), Some(2));
    assert!(!folder.join("other.safetensors").exists());
}

#[test]
fn a_client_that_was_killed_comes_back_to_its_job() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    table(&folder.join("features.csv"));
    good(folder, &["keys", "--out", "keys", "--client", "alice", "--client", "bob"]);
    good(folder, &["key", "new", "--for", "training", "--clear", "--out", "my.key"]);
    good(folder, &["key", "new", "--for", "training", "--clear", "--out", "other.key"]);
    let server = serve_with(folder, &["--training"]);
    let more = ["--connect", &server.address, "--iterations", "4", "--key", "my.key", "--job", "my.job", "--out"];
    let train = [&TRAIN[..], &more, &["head.safetensors"]].concat();

    let mut first = Command::new(env!("CARGO_BIN_EXE_cleave"))
        .args(&train)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Killed in the second round.
    let (job, began) = (folder.join("my.job"), Instant::now());
    let state = || json(&std::fs::read_to_string(&job).unwrap_or_else(|_| "{}".into()))["state"].clone();
    while !(state()["done"].as_u64() == Some(2) && state()["sent"].is_array()) {
        assert!(began.elapsed() < Duration::from_secs(300) && first.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    first.kill().unwrap();
    first.wait().unwrap();

    // Not with another certificate, other settings or other data.
    let other: Vec<_> = train.iter().map(|&argument| if argument == "alice" { "bob" } else { argument }).collect();
    let error = bad(folder, 5, &other);
    assert!(error.contains("another client"), "{error}");
    let error = bad(folder, 2, &[&train[..], &["--cubic", "paper"]].concat());
    assert!(error.contains("another training"), "{error}");

    let other: Vec<_> =
        train.iter().map(|&argument| if argument == "my.key" { "other.key" } else { argument }).collect();
    assert!(bad(folder, 2, &other).contains("another training"));

    let second = json(&good(folder, &train));
    let rounds = second["rounds"].as_array().unwrap();
    assert_eq!(rounds.iter().map(|round| round["iterations"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 4]);
    assert!(rounds.iter().all(|round| round["largest_error"].as_f64().unwrap() < 1e-4), "{second}");
    assert!(second["bytes_sent"].as_u64().unwrap() < 6_000_000, "keys and data were there: {second}");
    assert!(!job.exists(), "nothing is left of it");

    std::fs::write(&job, "{}").unwrap();
    let broken = bad(folder, 3, &[&train[..], &["--force"]].concat());
    assert!(broken.contains("my.job"), "{broken}");
}

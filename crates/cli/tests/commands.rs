//! The command as a user runs it: the whole path, and what rubbish brings.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{TINY, bad, cleave, cut, good, images, retrain, serve, text, train};
use std::io::Read;
use std::process::{Child, Command, Stdio};

#[test]
fn a_stranger_goes_the_whole_way() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    retrain(folder);
    let accuracy =
        good(folder, &["--json", "eval", "split.safetensors", "--data", "builtin", "--passes", "1", "--limit", "10"]);
    let accuracy: serde_json::Value = serde_json::from_str(&accuracy).unwrap();
    assert_eq!(accuracy["images"], 20);
    assert!(good(folder, &["check", "split.safetensors", "--cut", "2"]).contains("Verdict: passes"));
    cut(folder);
    for (file, word) in [("base", "a whole network"), ("front", "the front half"), ("back", "the back half")] {
        assert!(good(folder, &["inspect", &format!("{file}.safetensors")]).contains(word));
    }
    good(folder, &["keys", "--out", "keys", "--client", "alice"]);
    images(folder);
    let server = serve(folder, "back.safetensors");
    let base = ["infer", "images", "--front", "front.safetensors", "--keys", "keys", "--client", "alice", "--json"];
    let base = [&base[..], &["--connect", &server.address, "--compare-whole", "split.safetensors"]].concat();
    for element in ["f32", "f16", "u8"] {
        let arguments = [&base[..], &["--element", element, "--out", "labels.csv"]].concat();
        let answer: serde_json::Value = serde_json::from_str(&good(folder, &arguments)).unwrap();
        assert_eq!(answer["labels"].as_array().unwrap().len(), 40);
        assert!(element != "f32" || answer["differs_from_whole"] == 0, "{answer}");
        assert_eq!(std::fs::read_to_string(folder.join("labels.csv")).unwrap().lines().count(), 41);
    }
    good(folder, &["keys", "--out", "strange", "--client", "bob"]);
    let stranger = ["infer", "images", "--front", "front.safetensors", "--keys", "strange", "--client", "bob"];
    bad(folder, 5, &[&stranger[..], &["--connect", &server.address]].concat());
    let unknown = ["infer", "images", "--front", "front.safetensors", "--keys", "keys", "--client", "carol"];
    bad(folder, 3, &[&unknown[..], &["--connect", &server.address]].concat());
}

#[test]
fn the_gate_stops_a_leaking_cut_and_lets_it_through_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    good(folder, &[&["train", "--size", "64", "--out", "base.safetensors", "--divisor", "1"][..], &TINY].concat());
    assert!(good_or_leak(folder, &["check", "base.safetensors", "--cut", "1:linear"]).contains("leaks"));
    let cut = ["cut", "base.safetensors", "--cut", "1:linear", "--out-front", "f", "--out-back", "b"];
    bad(folder, 4, &cut);
    assert!(!folder.join("f").exists() && !folder.join("b").exists());
    assert!(
        good(folder, &[&cut[..], &["--accept-leak", "a test of the gate"]].concat()).contains("a test of the gate")
    );
    assert!(good(folder, &["inspect", "f"]).contains("a test of the gate"));
}

fn good_or_leak(folder: &std::path::Path, arguments: &[&str]) -> String {
    let output = cleave(folder, arguments);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn rubbish_brings_an_error_and_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("rubbish.safetensors"), b"not a model at all").unwrap();
    std::fs::write(folder.join("rubbish.toml"), b"[train\nx").unwrap();
    std::fs::create_dir(folder.join("empty")).unwrap();
    for file in ["missing.safetensors", "rubbish.safetensors"] {
        bad(folder, 3, &["inspect", file]);
        bad(folder, 3, &["check", file, "--cut", "1"]);
        bad(folder, 3, &["eval", file, "--data", "builtin"]);
        bad(folder, 3, &["import", file, "--classes", "a,b", "--size", "64", "--out", "x.safetensors"]);
    }
    bad(folder, 3, &["train", "--data", "missing", "--out", "x.safetensors"]);
    bad(folder, 3, &["train", "--data", "empty", "--out", "x.safetensors"]);
    bad(folder, 2, &["train", "--data", "builtin", "--size", "8", "--out", "x.safetensors"]);
    bad(folder, 2, &["train", "--data", "builtin", "--size", "64", "--device", "abacus", "--out", "x.safetensors"]);
    bad(folder, 2, &["--config", "rubbish.toml", "train", "--data", "builtin", "--out", "x.safetensors"]);
    bad(folder, 2, &["check", "rubbish.safetensors", "--cut", "first"]);
    assert!(!folder.join("x.safetensors").exists());
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_old_model() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    let before = std::fs::read(folder.join("base.safetensors")).unwrap();
    // A limit on the size of files stands in for a full disk: the write fails with an error of the system.
    let arguments =
        "train --size 64 --divisor 16 --out base.safetensors --seed 5 --data builtin --limit 20 --steps 4 --batch 4";
    let script = format!("trap '' XFSZ; ulimit -f 8; exec {} {arguments}", env!("CARGO_BIN_EXE_cleave"));
    let output = Command::new("sh").args(["-c", &script]).current_dir(folder).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("cannot write"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read(folder.join("base.safetensors")).unwrap(), before);
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_resume_ends_with_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let options = "--size 64 --divisor 16 --data builtin --limit 20 --steps 400 --batch 4 --eval-every 0 --log-every 1";
    let arguments =
        |out: &'static str| ["train", "--out", out].into_iter().chain(options.split_whitespace()).collect::<Vec<_>>();
    good(folder, &arguments("whole"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_cleave"));
    let mut child = command.args(arguments("halved")).current_dir(folder).stderr(Stdio::piped()).spawn().unwrap();
    let log = folder.join("halved.run/log.jsonl");
    while std::fs::read_to_string(&log).unwrap_or_default().lines().count() < 5 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be interrupted");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("--resume") && !folder.join("halved").exists());
    bad(folder, 2, &arguments("halved"));
    let fewer = |argument: &'static str| if argument == "20" { "19" } else { argument };
    let others: Vec<_> = arguments("halved").into_iter().map(fewer).chain(["--resume"]).collect();
    let refused = bad(folder, 2, &others);
    assert!(refused.contains("the images were others: 40 images"), "{refused}");
    good(folder, &[&arguments("halved")[..], &["--resume"]].concat());
    let flex = cleave_nets::device("flex").unwrap();
    let tensors = |name| cleave_nets::Checkpoint::load(&folder.join(name), &flex).unwrap().network.tensors().unwrap();
    assert!(tensors("whole") == tensors("halved"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_server_with_its_totals() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    retrain(folder);
    cut(folder);
    good(folder, &["keys", "--out", "keys", "--client", "alice"]);
    images(folder);
    let mut server = serve(folder, "back.safetensors");
    let infer = ["infer", "images", "--front", "front.safetensors", "--keys", "keys", "--client", "alice"];
    good(folder, &[&infer[..], &["--connect", &server.address]].concat());
    interrupt(&server.child);
    let mut totals = String::new();
    server.stdout.read_to_string(&mut totals).unwrap();
    assert!(server.child.wait().unwrap().success());
    assert!(totals.contains("stopped after 1 connections") && totals.contains("3 requests answered"), "{totals}");
}

#[test]
fn too_few_images_and_foreign_classes_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let few = ["train", "--data", "builtin", "--limit", "4", "--size", "64", "--divisor", "16", "--out", "few"];
    assert!(bad(folder, 2, &few).contains("do not fill one batch of 16"));
    train(folder);
    let swapped = ["--data", "builtin", "--classes", "triangle,disc", "--steps", "4", "--out", "x.safetensors"];
    bad(folder, 2, &[&["retrain", "base.safetensors", "--preserve", "1"][..], &swapped].concat());
    let none = ["retrain", "base.safetensors", "--preserve", "1", "--released-glyphs", "0", "--out", "x.safetensors"];
    assert_eq!(cleave(folder, &[&none[..], &TINY].concat()).status.code(), Some(2));
    assert!(!folder.join("x.safetensors").exists());
}

#[test]
fn broken_images_are_named_counted_and_stop_a_strict_run() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    images(folder);
    let class = std::fs::read_dir(folder.join("images")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(class.join("broken.png"), b"no image").unwrap();
    let arguments = "--json train --data images --size 64 --divisor 16 --steps 12 --batch 4 --out m.safetensors";
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    let output = cleave(folder, &arguments);
    assert!(output.status.success() && text(&output.stderr).contains("broken.png"), "{}", text(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["left_out"], 1);
    bad(folder, 3, &[&arguments[..], &["--strict"]].concat());
}

#[test]
fn options_from_a_file_lose_against_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[train]\ndata = 'builtin'\nlimit = 20\nsize = 64\ndivisor = 16\nbatch = 4\nsteps = 9\n";
    std::fs::write(folder.path().join("cleave.toml"), config).unwrap();
    let out =
        good(folder.path(), &["--json", "--config", "cleave.toml", "train", "--steps", "3", "--out", "m.safetensors"]);
    let out: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["last"]["step"], 3);
}

#[test]
fn every_command_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    let commands = [
        "demo",
        "train",
        "import",
        "retrain",
        "eval",
        "check",
        "cut",
        "policies",
        "quantise",
        "inspect",
        "keys",
        "serve",
        "infer",
        "completions",
    ];
    for command in commands {
        assert!(good(folder.path(), &[command, "--help"]).contains("Usage:"), "{command}");
    }
    assert!(good(folder.path(), &["completions", "bash"]).contains("cleave"));
}

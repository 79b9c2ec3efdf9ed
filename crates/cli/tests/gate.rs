//! Defences, audits, policies and decoys, as a provider and a client use them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use cleave_nets::Checkpoint;
use cleave_partition::{Cut, cut, tensor_hash};
use common::{TINY, bad, cleave, good, images, retrain, serve, text, train};
use serde_json::{Value, json};
use std::path::Path;

const CUT: [&str; 8] =
    ["cut", "split.safetensors", "--cut", "2", "--out-front", "front.safetensors", "--out-back", "back.safetensors"];

fn split(folder: &Path) {
    train(folder);
    retrain(folder);
}

/// `cleave cut` at layer 2 with more options.
fn cut_with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&CUT[..], more].concat()
}

fn estimate(mean: f64, worst: f64) -> Value {
    json!({"mean": mean, "low": mean, "high": mean, "worst": worst})
}

fn share(share: f64, of: usize) -> Value {
    json!({"share": share, "low": share, "high": share, "of": of})
}

/// Writes the record of an audit of the model's front half behind layer 2, whose best inversion reached `ssim`.
fn record(folder: &Path, model: &str, ssim: f64, defences: Value) {
    let model = Checkpoint::load(&folder.join(model), &cleave_nets::device("flex").unwrap()).unwrap();
    let hash = tensor_hash(&cut(&model.network, Cut::after(2)).unwrap().0).unwrap();
    let scores = json!({
        "mse": estimate(0.1, 0.1), "psnr": estimate(10.0, 10.0), "ssim": estimate(ssim, ssim + 0.1),
        "ssim_lead": estimate(ssim - 0.32, ssim - 0.3), "explained": 0.2, "perceptual": estimate(1.0, 1.0),
        "recognised": share(0.1, 60),
    });
    let inversion = |kind: &str| {
        json!({
            "kind": kind, "scores": scores, "settings": "", "attacker_images": 0, "steps": 1, "seconds": 1.0, "seed": 0,
        })
    };
    let probe = |target: &str, accuracy: f64| {
        json!({
            "target": target, "kind": "linear", "accuracy": share(accuracy, 500), "guess": 0.5, "attacker_images": 9,
            "steps": 1, "seconds": 1.0, "seed": 0,
        })
    };
    let visible = json!({
        "rank": 300.0, "rank_low": 290.0, "rank_high": 310.0, "of": 12288, "threshold": 0.001, "spectrum": [], "trace": 1.0,
        "trace_error": 0.0, "exact": true,
    });
    let cut = json!({
        "model": "m", "cut": "2", "layer": "conv2", "defences": defences, "front_hash": hash, "shape": [1, 1, 1],
        "bytes": 4, "front_ms": 1.0, "front_parameters": 1, "all_parameters": 2, "task_accuracy": share(0.9, 500),
        "label_guess": 0.5, "signal_guess": 0.5, "check": null, "inversions": [inversion("white-box"), inversion("decoder")],
        "probes": [probe("signal", 0.93), probe("label", 0.88)], "visible": [visible], "bound": null,
    });
    let subject = json!({
        "model": "m", "classes": ["disc", "triangle"], "input": [3, 64, 64], "signal": "complement", "join": 2,
        "layers": 8, "attacker_source": "a", "attacker_images": 9, "private_source": "p", "private_images": 500,
        "inverted_images": 60, "judge_accuracy": share(0.9, 500), "judge": "j",
    });
    let audit = json!({
        "version": "0", "subject": subject, "baselines": [], "cuts": [cut], "seed": 0, "seconds": 1.0, "device": "flex",
    });
    std::fs::write(folder.join("record.json"), audit.to_string()).unwrap();
}

#[test]
fn a_release_carries_its_audit_and_keeps_its_policy() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    split(folder);
    record(folder, "split.safetensors", 0.35, json!([]));
    let released = good(folder, &cut_with(&["--audit", "record.json", "--policy", "no-recognisable-image"]));
    let inspected = good(folder, &["inspect", "back.safetensors"]);
    for text in [&released, &inspected] {
        for word in [
            "mean SSIM 0.350",
            "linear probe: reads the signal in 93.0 %",
            "no bound",
            "policy   no-recognisable-image",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
    let bytes = std::fs::read(folder.join("record.json")).unwrap();
    let front: Value = serde_json::from_str(&good(folder, &["--json", "inspect", "front.safetensors"])).unwrap();
    assert_eq!(front["terms"]["audit"]["record"], cleave_audit::record_hash(&bytes));

    // The client's own policy is asked before a key is read or a packet sent: there are neither keys nor a server.
    images(folder);
    let infer = ["infer", "images", "--front", "front.safetensors", "--keys", "none", "--client", "alice"];
    let refused = bad(folder, 4, &[&infer[..], &["--require", "noise-bounded"]].concat());
    assert!(
        refused.contains("dFIL") && refused.contains("not measured") && refused.contains("0.43 was found"),
        "{refused}"
    );
    let keys_missing = bad(folder, 3, &[&infer[..], &["--require", "no-recognisable-image"]].concat());
    assert!(keys_missing.contains("mean SSIM 0.350"), "{keys_missing}");
}

#[test]
fn a_policy_that_is_broken_or_cannot_be_judged_stops_a_release() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    split(folder);
    let unaudited = bad(folder, 4, &cut_with(&["--policy", "no-recognisable-image"]));
    assert!(unaudited.contains("not measured"), "{unaudited}");
    record(folder, "split.safetensors", 0.6, json!([]));
    let broken = ["--audit", "record.json", "--policy", "no-recognisable-image"];
    let refused = bad(folder, 4, &cut_with(&broken));
    for violation in ["at most 0.05 is allowed, 0.28 was found", "at most 0.1 is allowed, 0.3 was found"] {
        assert!(refused.contains(violation), "{refused}");
    }
    bad(folder, 4, &cut_with(&[&broken[..], &["--accept-leak", "a reason is for the check alone"]].concat()));
    bad(folder, 2, &cut_with(&["--audit", "record.json", "--policy", "no-such-policy"]));
    std::fs::write(folder.join("own.toml"), "name = 'own'\npromise = 'p'\n[limits]\nlargest_mean_ssim = 1.2\n")
        .unwrap();
    assert!(bad(folder, 2, &cut_with(&["--policy", "own.toml"])).contains("0 to 1"));
    assert!(!folder.join("front.safetensors").exists() && !folder.join("back.safetensors").exists());
    std::fs::write(folder.join("own.toml"), "name = 'own'\npromise = 'p'\n[limits]\nlargest_mean_ssim = 0.7\n")
        .unwrap();
    assert!(good(folder, &cut_with(&["--audit", "record.json", "--policy", "own.toml"])).contains("policy   own: p"));
}

#[test]
fn an_audit_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    split(folder);
    good(folder, &[&["train", "--size", "64", "--divisor", "16", "--seed", "9", "--out", "other"][..], &TINY].concat());
    record(folder, "other", 0.3, json!([]));
    let error = bad(folder, 3, &cut_with(&["--audit", "record.json"]));
    assert!(
        error.contains("holds no audit of cut 2 of weights") && error.contains("it holds cut 2 of weights"),
        "{error}"
    );
    record(
        folder,
        "split.safetensors",
        0.3,
        json!([{"type": "noise", "distribution": "gaussian", "scale": 0.3, "dfil": 9.0}]),
    );
    assert!(bad(folder, 3, &cut_with(&["--audit", "record.json"])).contains("Gaussian noise of scale 0.3"));
    bad(folder, 3, &cut_with(&["--audit", "record.json", "--defend", "gaussian:0.2"]));
    assert!(!folder.join("front.safetensors").exists());
    good(folder, &cut_with(&["--audit", "record.json", "--defend", "gaussian:0.3"]));
    std::fs::write(folder.join("record.json"), "{}").unwrap();
    bad(folder, 3, &cut_with(&["--audit", "record.json", "--force"]));
    bad(folder, 3, &cut_with(&["--audit", "missing.json", "--force"]));
}

#[test]
fn defences_go_over_the_wire_and_what_differs_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    split(folder);
    assert!(bad(folder, 2, &cut_with(&["--defend", "bits:4"])).contains("--data"));
    for wrong in [["--defend", "bits:9"], ["--defend", "bits:4:1"], ["--defend", "gaussian"]] {
        assert_eq!(cleave(folder, &cut_with(&wrong)).status.code(), Some(2), "{wrong:?}");
    }
    bad(folder, 2, &cut_with(&["--defend", "gaussian:0"]));
    bad(folder, 2, &cut_with(&["--defend", "bits:4:3:-3"]));
    let defences = ["--defend", "laplace:0.5+bits:6", "--data", "builtin"];
    let released: Value =
        serde_json::from_str(&good(folder, &[&["--json"], &cut_with(&defences)[..]].concat())).unwrap();
    assert_eq!(released["defences"][0]["distribution"], "laplace");
    let (low, high) = (&released["defences"][1]["low"], &released["defences"][1]["high"]);
    assert!(low.as_f64().unwrap() < 0.0 && high.as_f64().unwrap() > 0.5, "{low} to {high}, with the noise");
    let again = format!("laplace:0.5+bits:6:{low}:{high}");
    let again = ["--defend", &again, "--force"];
    let repeated: Value = serde_json::from_str(&good(folder, &[&["--json"], &cut_with(&again)[..]].concat())).unwrap();
    assert_eq!(repeated["pair"], released["pair"]);
    good(folder, &["keys", "--out", "keys", "--client", "alice"]);
    images(folder);
    let server = serve(folder, "back.safetensors");
    let infer = ["infer", "images", "--front", "front.safetensors", "--keys", "keys", "--client", "alice"];
    let infer = [&infer[..], &["--connect", &server.address, "--compare-whole", "split.safetensors"]].concat();
    let output = cleave(folder, &infer);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(stdout.contains("which runs without Laplace noise of scale 0.5, 6 bits a value"), "{stdout}{stderr}");
    assert!(stderr.contains("no audit: nothing was measured") && stderr.contains("defences Laplace"), "{stderr}");
    let answer: Value = serde_json::from_str(&good(folder, &[&infer[..], &["--json"]].concat())).unwrap();
    assert_eq!(answer["not_in_whole"].as_array().unwrap().len(), 2);
}

/// Without a signal an answer does not depend on what is drawn, so that each image must get the same one as alone.
#[test]
fn decoys_hide_among_themselves_and_change_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    good(folder, &["cut", "base.safetensors", "--cut", "2", "--out-front", "front", "--out-back", "back"]);
    good(folder, &["keys", "--out", "keys", "--client", "alice"]);
    images(folder);
    let pool = cleave_data::Shapes::new(2, 64, 77).unwrap().dataset("train", 121);
    for index in 0..121 {
        let class = folder.join("pool").join(&pool.classes()[pool.label(index).unwrap()]);
        std::fs::create_dir_all(&class).unwrap();
        pool.decode(index).unwrap().save_png(class.join(format!("{index}.png"))).unwrap();
    }
    let broken = folder.join("pool").join(&pool.classes()[0]).join("broken.png");
    std::fs::write(broken, b"no image").unwrap();
    let server = serve(folder, "back");
    let base = ["infer", "images", "--front", "front", "--keys", "keys", "--client", "alice", "--json"];
    let base = [&base[..], &["--connect", &server.address, "--compare-whole", "base.safetensors"]].concat();
    let answer = |more: &[&str]| -> Value { serde_json::from_str(&good(folder, &[&base[..], more].concat())).unwrap() };
    let (alone, among) = (answer(&[]), answer(&["--decoys", "3", "--decoy-pool", "pool", "--batch", "10"]));
    let rows = |answer: &Value| answer["labels"].as_array().unwrap().clone();
    assert_eq!(rows(&alone).len(), 40);
    for (alone, among) in rows(&alone).iter().zip(rows(&among)) {
        assert_eq!((&alone["name"], &alone["label"]), (&among["name"], &among["label"]));
        let difference = alone["probability"].as_f64().unwrap() - among["probability"].as_f64().unwrap();
        assert!(difference.abs() < 1e-4, "{alone} {among}");
    }
    let different: std::collections::BTreeSet<_> =
        rows(&alone).iter().map(|row| row["probability"].to_string()).collect();
    assert!(different.len() > 20, "answers that are alike would show no mistake: {different:?}");
    assert_eq!(among["differs_from_whole"], 0);
    let bytes = |answer: &Value| answer["bytes_sent"].as_f64().unwrap();
    assert!((3.8..4.3).contains(&(bytes(&among) / bytes(&alone))), "{} {}", bytes(&among), bytes(&alone));
    assert_eq!(alone["hidden"], Value::Null);
    let hidden = &among["hidden"];
    assert!(
        (hidden["image"].as_f64().unwrap() - 0.25).abs() < 1e-12 && hidden["frequencies"] == "the classes of the pool"
    );
    // Two classes, near even: E[max n] / 4 for 4 draws is (4 + 4 + 4·3·2 + 6·2) / 16 / 4.
    assert!((hidden["label"].as_f64().unwrap() - 0.6875).abs() < 0.01, "{hidden}");
    let given = answer(&["--decoys", "1", "--decoy-pool", "pool", "--decoy-prior", "1,0"]);
    assert_eq!(given["hidden"]["label"], 1.0);

    let decoys = |more: &[&'static str]| [&base[..], &["--decoys"], more].concat();
    assert!(bad(folder, 2, &decoys(&["4", "--decoy-pool", "pool"])).contains("160 decoys are needed"));
    assert!(bad(folder, 2, &decoys(&["1", "--decoy-pool", "images"])).contains("lie in one another"));
    bad(folder, 2, &decoys(&["1", "--decoy-pool", "pool", "--decoy-prior", "1,1,1"]));
    assert_eq!(cleave(folder, &decoys(&["1"])).status.code(), Some(2));

    let cut = ["cut", "base.safetensors", "--cut", "2", "--out-front", "front", "--out-back", "back", "--force"];
    assert!(good(folder, &[&cut[..], &["--decoys", "2"]].concat()).contains("among 2 or more decoys"));
    for fewer in [base.clone(), decoys(&["1", "--decoy-pool", "pool"])] {
        assert!(bad(folder, 2, &fewer).contains("2 or more decoys an image"));
    }
    drop(server);
    let server = serve(folder, "back");
    let enough = ["infer", "images", "--front", "front", "--keys", "keys", "--client", "alice"];
    let enough = [&enough[..], &["--connect", &server.address, "--decoys", "2", "--decoy-pool", "pool"]].concat();
    good(folder, &enough);
}

#[test]
fn policies_are_listed_printed_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let list = good(folder, &["policies"]);
    for name in ["answer-only-masked", "no-recognisable-image", "noise-bounded"] {
        assert!(list.contains(name), "{list}");
        let toml = good(folder, &["policies", name]);
        std::fs::write(folder.join("copy.toml"), &toml).unwrap();
        assert_eq!(good(folder, &["policies", "./copy.toml"]), toml);
        let json: Value = serde_json::from_str(&good(folder, &["--json", "policies", name])).unwrap();
        assert!(json["name"] == name && json["limits"].is_object());
    }
    bad(folder, 2, &["policies", "no-such-policy"]);
    std::fs::write(folder.join("copy.toml"), "name = 'n'\npromise = 'p'\n[limits]\nsmallest_luck = 1\n").unwrap();
    assert!(bad(folder, 2, &["policies", "copy.toml"]).contains("smallest_luck"));
}

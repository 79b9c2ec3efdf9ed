//! An ensemble on ciphertexts, from training to its audit.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{bad, good};

#[test]
fn an_ensemble_is_audited_and_a_page_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let train = ["train", "--arch", "cryptonets", "--size", "8", "--divisor", "20", "--data", "builtin"];
    let train = [&train[..], &["--limit", "20", "--steps", "4", "--batch", "4", "--out", "net.safetensors"]].concat();
    good(path, &train);
    good(path, &["quantise", "net.safetensors", "--data", "builtin", "--limit", "20", "--out", "shapes.toml"]);
    let quick = ["--copies", "8", "--steps", "3", "--rounds", "1", "--ciphertexts", "4", "--limit", "20"];
    let audit = ["audit-encrypted", "shapes.toml", "--data", "builtin", "--record", "r.json", "--report", "r.html"];
    let audit = [&audit[..], &quick].concat();
    let said = good(path, &audit);
    assert!(said.contains("control, without the mask") && said.contains("last layer"), "{said}");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(path.join("r.json")).unwrap()).unwrap();
    assert_eq!((&record["model"], &record["last_layer"]["exact"]), (&"shapes".into(), &true.into()));
    let page = std::fs::read_to_string(path.join("r.html")).unwrap();
    assert!(page.contains("What does encryption leave?") && !path.join("r.json.run").exists());
    assert!(bad(path, 2, &[&audit[..], &["--resume"]].concat()).contains("holds no state"));
    std::fs::write(path.join("shapes-1.json"), "{}").unwrap();
    bad(path, 3, &audit);
}

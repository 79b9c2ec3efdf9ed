//! Training on ciphertexts, from features to the audit's page.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{bad, good};

#[test]
fn a_training_is_audited_and_a_page_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // Many classes, so that few keys are needed.
    let row = |at: usize| format!("{},{}.5,{}", if at == 0 { 254 } else { at }, at, 8 - at);
    std::fs::write(path.join("f.csv"), (0..8).map(row).collect::<Vec<_>>().join("\n")).unwrap();
    let audit = ["audit-training", "--features", "f.csv", "--effort", "quick", "--out", "r.html"];
    let audit = [&audit[..], &["--record", "r.json"]].concat();
    let said = good(path, &audit);
    assert!(
        said.contains("control, without the mask") && said.contains("told all slots of an answer: the key"),
        "{said}"
    );
    assert!(said.contains("as the protocol has it: no key") && said.contains("0 after it"), "{said}");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(path.join("r.json")).unwrap()).unwrap();
    assert_eq!((&record["data"], &record["samples"]), (&"f.csv".into(), &8.into()));
    let page = std::fs::read_to_string(path.join("r.html")).unwrap();
    assert!(page.contains("What does the provider learn?") && !path.join("r.json.run").exists());
    assert!(bad(path, 2, &[&audit[..], &["--resume"]].concat()).contains("holds no state"));
    std::fs::write(path.join("f.csv"), "0,1\n0,x\n").unwrap();
    assert!(bad(path, 3, &audit).contains("line 2"));
    bad(path, 2, &["audit-training", "--set", "ckks-1", "--out", "r.html"]);
}

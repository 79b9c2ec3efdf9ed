//! The rules of ARCHITECTURE.md on what may depend on what, held against `cargo metadata`.
//!
//! Only normal dependencies count. What a build script or a test needs is not linked into a crate.

#![allow(clippy::expect_used, reason = "cargo's own output; clippy exempts only the test functions themselves")]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::LazyLock,
};

use serde_json::Value;

/// The rooms. A member that is not listed here fails [`every_member_has_a_rule`].
const ROOMS: [&str; 12] = [
    "cleave-nets",
    "cleave-data",
    "cleave-retrain",
    "cleave-partition",
    "cleave-keyed",
    "cleave-confusion",
    "cleave-leakage",
    "cleave-audit",
    "cleave-encrypted",
    "cleave-secrets",
    "cleave-wire",
    "cleave-transport",
];
const COMMAND: &str = "cleave";
const TESTS: &str = "cleave-tests";

/// Asked once for all tests.
static GRAPH: LazyLock<Graph> = LazyLock::new(Graph::read);

#[test]
fn wire_knows_no_tensors_runtime_or_socket() {
    GRAPH.refuse("cleave-wire", |name| is_burn(name) || ["tokio", "quinn"].contains(&name));
}

#[test]
fn transport_knows_no_tensors_or_matrices() {
    GRAPH.refuse("cleave-transport", |name| is_burn(name) || name == "nalgebra");
}

#[test]
fn transport_knows_no_encryption_scheme() {
    GRAPH.refuse("cleave-transport", |name| name.starts_with("fhe") || name == "cleave-encrypted");
}

#[test]
fn leakage_knows_no_tensors_images_or_runtime() {
    GRAPH.refuse("cleave-leakage", |name| is_burn(name) || ["image", "tokio"].contains(&name));
}

#[test]
fn secrets_know_no_other_room_tensors_runtime_or_socket() {
    let refused = |name: &str| is_burn(name) || name.starts_with("cleave") || ["tokio", "quinn"].contains(&name);
    GRAPH.refuse("cleave-secrets", refused);
}

#[test]
fn encrypted_knows_no_tensors_runtime_or_socket() {
    GRAPH.refuse("cleave-encrypted", |name| is_burn(name) || ["tokio", "quinn"].contains(&name));
}

#[test]
fn data_knows_no_tensors_runtime_or_socket() {
    GRAPH.refuse("cleave-data", |name| is_burn(name) || ["tokio", "quinn"].contains(&name));
}

#[test]
fn only_the_command_knows_all_rooms() {
    for room in ROOMS {
        let reached = GRAPH.closure(room);
        assert!(!reached.contains(COMMAND), "{room} depends on the command");
        assert!(!reached.contains(TESTS), "{room} depends on the tests");
        let both = reached.iter().any(|name| is_burn(name)) && reached.contains("quinn");
        assert!(!both, "{room} reaches both burn and quinn: only the command may join them");
    }
}

#[test]
fn every_member_has_a_rule() {
    let known: BTreeSet<_> = ROOMS.into_iter().chain([COMMAND, TESTS]).collect();
    assert_eq!(GRAPH.members.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
}

/// A walker that finds nothing would pass all of the above.
#[test]
fn walker_reaches_burn_through_several_crates() {
    let direct = &GRAPH.edges[GRAPH.id("cleave-nets")];
    assert!(direct.iter().any(|id| GRAPH.names[id] == "burn"), "cleave-nets names burn");
    let reached = GRAPH.closure("cleave-nets");
    assert!(reached.contains("burn-tensor"), "burn's own dependencies are followed");
    assert!(GRAPH.closure("cleave-retrain").contains("burn-tensor"), "also through a member");
}

#[test]
fn walker_leaves_out_what_only_tests_need() {
    let data = GRAPH.closure("cleave-data");
    assert!(data.contains("image"), "a normal dependency counts");
    assert!(!data.contains("proptest"), "a dev-dependency does not");
}

#[test]
#[should_panic(expected = "cleave-nets must not reach")]
fn refusal_fails_where_a_forbidden_crate_is_reached() {
    GRAPH.refuse("cleave-nets", is_burn);
}

fn is_burn(name: &str) -> bool {
    name == "burn" || name.starts_with("burn-")
}

/// The resolved packages and the normal dependencies between them, all targets together.
struct Graph {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<String>>,
    members: BTreeSet<String>,
}

impl Graph {
    fn read() -> Self {
        let metadata = metadata();
        let names: BTreeMap<_, _> =
            list(&metadata["packages"]).iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
        let nodes = list(&metadata["resolve"]["nodes"]);
        let edges = nodes.iter().map(|node| (text(&node["id"]), normal(node))).collect();
        let members = list(&metadata["workspace_members"]).iter().map(|id| names[&text(id)].clone()).collect();
        Self { names, edges, members }
    }

    fn refuse(&self, member: &str, forbidden: impl Fn(&str) -> bool) {
        let reached: Vec<_> = self.closure(member).into_iter().filter(|name| forbidden(name)).collect();
        assert!(reached.is_empty(), "{member} must not reach {reached:?}; `cargo tree -p {member}` shows the way");
    }

    /// Names of all packages that `member` depends on, directly or not.
    fn closure(&self, member: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![self.id(member)];
        while let Some(id) = open.pop() {
            let fresh = self.edges[id].iter().map(String::as_str).filter(|next| reached.insert(*next));
            open.extend(fresh);
        }
        reached.into_iter().map(|id| self.names[id].as_str()).collect()
    }

    /// The id of a member. A package of the same name from a registry is none.
    fn id(&self, member: &str) -> &str {
        assert!(self.members.contains(member), "{member} is not a member of the workspace");
        let mut found = self.names.iter().filter(|(id, name)| *name == member && id.starts_with("path+"));
        let (id, _) = found.next().expect("a member has a path");
        id
    }
}

/// Ids of the dependencies of `node` that are linked into it.
fn normal(node: &Value) -> Vec<String> {
    let linked = |dep: &&Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
    list(&node["deps"]).iter().filter(linked).map(|dep| text(&dep["pkg"])).collect()
}

/// Asks cargo without the network, and with it only where the registry's index is not there yet.
fn metadata() -> Value {
    let output = cargo(&["--offline"]).or_else(|_| cargo(&[])).expect("cargo metadata");
    serde_json::from_slice(&output).expect("cargo metadata prints JSON")
}

fn cargo(more: &[&str]) -> Result<Vec<u8>, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1"])
        .args(more)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").into()
}

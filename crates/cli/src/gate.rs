//! Policies and audits from files, and what a pair says of itself.

use crate::Failure;
use crate::options::PairFiles;
use clap::Args;
use cleave_audit::{Audit, record_hash, summarise};
use cleave_keyed::{KeySpace, Lock};
use cleave_nets::{Checkpoint, Defence};
use cleave_partition::{AuditSummary, Cut, Policy, Release, Terms, cut, list_defences, tensor_hash};
use cleave_secrets::KeyId;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a pair that is locked has to keep.
#[derive(Args, Clone, Debug)]
pub struct GateOptions {
    /// Record of an audit of this very pair, as it was made before; both files carry a summary of it
    #[arg(long, value_name = "RECORD.json")]
    audit: Option<PathBuf>,
    /// Release only what keeps this policy, by the audit: one of `cleave policies`, or a TOML file
    #[arg(long, value_name = "NAME_OR_FILE")]
    policy: Option<String>,
}

impl GateOptions {
    /// The release with the summary of its audit, if it keeps the policy.
    pub fn pass(&self, release: Release) -> Result<Release, Failure> {
        let terms = &release.front().terms;
        let of_this = |path: &PathBuf| audit_of(path, terms.cut, &terms.front_hash, &terms.defences);
        let audit = self.audit.as_ref().map(of_this).transpose()?;
        let policy = self.policy.as_deref().map(policy).transpose()?;
        Ok(release.audited(audit.as_ref(), policy.as_ref())?)
    }
}

/// The TOML of a policy, by the name of one that comes with the command or from a file.
pub fn policy_text(name_or_file: &str) -> Result<String, Failure> {
    if let Some((_, toml)) = Policy::SHIPPED.iter().find(|(name, _)| *name == name_or_file) {
        return Ok((*toml).to_owned());
    }
    std::fs::read_to_string(name_or_file).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Failure::NoPolicy { name: name_or_file.to_owned() },
        _ => Failure::file(Path::new(name_or_file), source),
    })
}

/// A policy, by name or from a file.
pub fn policy(name_or_file: &str) -> Result<Policy, Failure> {
    let text = policy_text(name_or_file)?;
    Policy::from_toml(&text).map_err(|source| Failure::Policy { name: name_or_file.to_owned(), source })
}

/// An audit's record.
pub fn record(path: &Path) -> Result<Audit, Failure> {
    parsed(path, &std::fs::read(path).map_err(|source| Failure::file(path, source))?)
}

fn parsed(path: &Path, bytes: &[u8]) -> Result<Audit, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::Record { path: path.to_owned(), reason: error.to_string() })
}

/// What an audit's record says of the front half of a model up to a cut, with these defences at it.
pub fn audit(path: &Path, model: &Checkpoint, at: Cut, at_cut: &[Defence]) -> Result<AuditSummary, Failure> {
    let (hash, defences) = (tensor_hash(&cut(&model.network, at)?.0)?, [&model.card.defences, at_cut].concat());
    audit_of(path, at, &hash, &defences)
}

/// What an audit's record says of a front half by its hash.
pub fn audit_of(path: &Path, at: Cut, hash: &str, defences: &[Defence]) -> Result<AuditSummary, Failure> {
    let bytes = std::fs::read(path).map_err(|source| Failure::file(path, source))?;
    let record = parsed(path, &bytes)?;
    let record_hash = record_hash(&bytes);
    let mut summaries = record.cuts.iter().map(|findings| summarise(findings, &record_hash));
    summaries.find(|summary| summary.check_subject(at, hash, defences).is_ok()).ok_or_else(|| Failure::NotAudited {
        path: path.to_owned(),
        wanted: subject(&at.to_string(), hash, defences),
        audited: record.cuts.iter().map(|found| subject(&found.cut, &found.front_hash, &found.defences)).collect(),
    })
}

/// The digits of a hash that tell two apart for people.
const HASH_DIGITS: usize = 12;

fn subject(cut: &str, front_hash: &str, defences: &[Defence]) -> String {
    let hash = front_hash.get(..HASH_DIGITS).unwrap_or(front_hash);
    format!("cut {cut} of weights {hash} with {}", list_defences(defences))
}

/// What a pair's manifest says of its defences, its audit and its policy.
pub fn statement(terms: &Terms) -> String {
    let audit = terms.audit.as_ref().map(ToString::to_string);
    let audit = audit.unwrap_or_else(|| "audit    no audit: nothing was measured".to_owned());
    let policy = terms.policy.as_ref();
    let policy = policy.map(|policy| format!("\npolicy   {}: {}", policy.name, policy.promise)).unwrap_or_default();
    let key = terms.lock.as_ref().map(|lock| keyed(lock) + "\n").unwrap_or_default();
    let neurons = terms.confused.map(|key| confused("the front half has", key) + "\n").unwrap_or_default();
    format!("{key}{neurons}{}\n{audit}{policy}", defended(&terms.defences))
}

/// A line on confusion neurons.
pub fn confused(what: &str, key: KeyId) -> String {
    format!("neurons  {what} confusion neurons: wrong without the key {key}")
}

/// A line on what a pair was released in spite of. A locked pair always has one, which its provider did not write.
pub fn accepted(terms: &Terms) -> Option<String> {
    let (reason, locked) = (terms.accepted.as_ref()?, terms.lock.is_some());
    Some(if locked {
        format!("WARNING  {reason}")
    } else {
        format!("RELEASED ALTHOUGH THE CHECK LEAKS, because: {reason}")
    })
}

/// Lines on the key of a pair, and on how many there are.
fn keyed(lock: &Lock) -> String {
    let KeySpace { orders, signs, .. } = lock.key_space();
    let bits = lock.key_space().bits();
    format!(
        "key      {lock}\n         2^{orders:.1} orders and 2^{signs:.1} choices of signs, 2^{bits:.1} keys; known images \
         need no search"
    )
}

/// A pair that was locked.
#[derive(Serialize)]
pub struct Locked<'a> {
    front: &'a Path,
    back: &'a Path,
    key_space: Option<KeySpace>,
    #[serde(flatten)]
    terms: &'a Terms,
}

impl<'a> Locked<'a> {
    /// Of a release and its files.
    pub fn new(files: &'a PairFiles, release: &'a Release) -> Self {
        let terms = &release.front().terms;
        let key_space = terms.lock.as_ref().map(Lock::key_space);
        Self { front: &files.out_front, back: &files.out_back, key_space, terms }
    }
}

impl std::fmt::Display for Locked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", statement(self.terms))?;
        if let Some(accepted) = accepted(self.terms) {
            writeln!(f, "{accepted}")?;
        }
        writeln!(f, "front    {} (give it to clients, with the key by another way)", self.front.display())?;
        writeln!(f, "back     {} (give it to the provider, who must not get the key)", self.back.display())?;
        write!(f, "pair     {}", self.terms.pair)
    }
}

/// A line on defences.
pub fn defended(defences: &[Defence]) -> String {
    if defences.is_empty() { "defences none".to_owned() } else { format!("defences {}", list_defences(defences)) }
}

//! What can go wrong with a cut.

use crate::Cut;
use crate::policy::{Measure, Violation};
use cleave_leakage::{Report, Verdict};
use cleave_nets::{Defence, Shape};
use cleave_secrets::KeyId;
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// From the network or its file.
    #[error(transparent)]
    Network(#[from] cleave_nets::Error),
    /// From the signal.
    #[error(transparent)]
    Signal(#[from] cleave_retrain::Error),
    /// From the leakage check.
    #[error(transparent)]
    Leakage(#[from] cleave_leakage::LeakageError),
    /// From the key or what it acts on.
    #[error(transparent)]
    Keyed(#[from] cleave_keyed::Error),
    /// From confusion neurons in a front half.
    #[error(transparent)]
    Confusion(#[from] cleave_confusion::Error),
    /// A key of confusion neurons for a front half without them.
    #[error("this front half has no confusion neurons; leave the key out")]
    NotConfused,
    /// Confusion neurons for a pair that has a key already.
    #[error("this pair has a key already; put confusion neurons into one that is cut anew")]
    ConfusedAlready,
    /// The client needs a key, and it is not there.
    #[error("this pair is of use only with the key {key}; give that key")]
    KeyNeeded {
        /// Its public name.
        key: KeyId,
    },
    /// A key for a pair that has none.
    #[error("this pair is locked with no key; leave the key out")]
    NotLocked,
    /// A signal in a network that is to be locked.
    #[error(
        "a signal joins this network, and a key that stands before the first layer would have to carry it too; lock the network from before its retraining"
    )]
    SignalUnderKey,
    /// Defences that belong to a cut inside the network.
    #[error(
        "this network was trained with {defences} at a cut inside it; a locked network is cut before its first layer, where they do nothing"
    )]
    TrainedDefences {
        /// The defences.
        defences: String,
    },
    /// Halves of two pairs.
    #[error("the front half is of the pair {front} and the back half of {back}; take both from one release")]
    OtherPair {
        /// The front half's.
        front: String,
        /// The back half's.
        back: String,
    },
    /// A cut that is not written as one.
    #[error("{text:?} is not a cut; write a layer number, such as 3, or 1:linear or 1:activation")]
    Syntax {
        /// What was written.
        text: String,
    },
    /// The signal would go out in the clear.
    #[error(
        "a cut at {cut} lies before the join at layer {join}, and would send the signal in the clear; cut at layer {join} or later"
    )]
    BeforeJoin {
        /// The cut.
        cut: Cut,
        /// The layer that the signal joins.
        join: usize,
    },
    /// Nothing is left for the provider.
    #[error("a cut at {cut} leaves nothing for the provider; cut before layer {last}")]
    NothingLeft {
        /// The cut.
        cut: Cut,
        /// The last numbered layer.
        last: usize,
    },
    /// The check cannot take a layer of this kind.
    #[error("layer {layer} of the front half is a {kind}, which the leakage check cannot count; choose an earlier cut")]
    Uncountable {
        /// Name of the layer.
        layer: String,
        /// What it is.
        kind: &'static str,
    },
    /// One share of zeros a layer.
    #[error(
        "the front half has {layers} numbered layers and {got} shares of zeros were given; measure them at this cut"
    )]
    ZeroShares {
        /// Layers of the front half.
        layers: usize,
        /// Shares given.
        got: usize,
    },
    /// The gate.
    #[error("nothing was written: the front half up to {cut} leaks by the check ({})", reasons(.report))]
    Leaks {
        /// The cut.
        cut: Cut,
        /// What was counted.
        report: Box<Report>,
    },
    /// A reason that says nothing.
    #[error("a leak is accepted with a reason, and an empty one was given; say why this pair is released all the same")]
    EmptyReason,
    /// The files are there already.
    #[error("{} is there already; take another name or allow overwriting", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Both halves under one name.
    #[error("both halves were to go to {}; give two names", .path.display())]
    SameFile {
        /// The file.
        path: PathBuf,
    },
    /// Not the values of the cut.
    #[error("smashed data of {batch} samples of {item} has {expected} values, got {got}")]
    SmashedLength {
        /// Samples.
        batch: usize,
        /// Shape of one.
        item: Shape,
        /// Values there should be.
        expected: usize,
        /// Values there are.
        got: usize,
    },
    /// NaN or infinity.
    #[error("{what} holds {value} at position {position}; the input or the model is damaged")]
    NotFinite {
        /// Smashed data or scores.
        what: &'static str,
        /// Where.
        position: usize,
        /// The value.
        value: f32,
    },
    /// One signal a sample.
    #[error("there are {samples} samples and {signals} signals; draw one signal for each sample")]
    SignalCount {
        /// Samples.
        samples: usize,
        /// Signals.
        signals: usize,
    },
    /// The manifest contradicts its own network.
    #[error("{} contradicts itself: {reason}; release the pair again", .path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// What does not agree.
        reason: String,
    },
    /// A defence that cannot be applied.
    #[error("{} cannot be applied: {reason}", crate::list_defences(std::slice::from_ref(.defence)))]
    Defence {
        /// Which.
        defence: Defence,
        /// Why not.
        reason: &'static str,
    },
    /// A manifest of a newer build.
    #[error(
        "{} asks for the defence {name}, which this build does not know; its data would go out without it, so use a newer cleave", .path.display()
    )]
    UnknownDefence {
        /// The file.
        path: PathBuf,
        /// The defence, as the file writes it.
        name: String,
    },
    /// An audit of something else.
    #[error(
        "the audit is of another front half: its {what} is {audited}, here {released}; audit this network at this cut with these defences"
    )]
    AuditOfOther {
        /// The cut, the weights' hash or the defences.
        what: &'static str,
        /// That of the audit.
        audited: String,
        /// That of the release.
        released: String,
    },
    /// An audit that cannot be shown.
    #[error("the audit names a record, a cut or an attack with control characters in it; make the audit again")]
    AuditText,
    /// A policy that is broken.
    #[error("the policy {policy} is not kept: {}", list(.violations, "; "))]
    Policy {
        /// Its name.
        policy: String,
        /// Every limit that is broken.
        violations: Vec<Violation>,
    },
    /// Not a policy.
    #[error("this is no policy: {reason}")]
    PolicySyntax {
        /// Where and why.
        reason: String,
    },
    /// A policy that cannot be shown.
    #[error("the {field} of a policy is {text:?}; write a text on one line, without control characters")]
    PolicyText {
        /// Name or promise.
        field: &'static str,
        /// What was written.
        text: String,
    },
    /// A limit that every front half keeps, or none.
    #[error("the policy {name} has a limit of {value} on the {measure}, expected {expected}")]
    PolicyLimit {
        /// The policy.
        name: String,
        /// What is limited.
        measure: Measure,
        /// The limit.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// A promise that nothing stands for.
    #[error("the policy {name} limits nothing, so that every front half would keep it; set a limit")]
    EmptyPolicy {
        /// The policy.
        name: String,
    },
    /// Not a distribution over the classes.
    #[error(
        "the weights {weights:?} of {what} are no frequencies of {classes} classes; give one finite weight of 0 or more for each, and not 0 for all"
    )]
    Frequencies {
        /// The pool or the prior.
        what: &'static str,
        /// Classes there are.
        classes: usize,
        /// Weights given.
        weights: Vec<f64>,
    },
}

fn reasons(report: &Report) -> String {
    match &report.verdict {
        Verdict::Leaks { by } => list(by, ", "),
        Verdict::Passes => "none".to_owned(),
    }
}

fn list(items: &[impl ToString], between: &str) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

//! What an attacker gets at a cut: inversions, probes, bounds, and the report about them.

mod findings;
mod report;

pub use findings::{
    Audit, Baseline, Bound, CutFindings, CutVerdict, Estimate, Inversion, InversionKind, Judgement, Privacy, Probe,
    ProbeKind, ProbeTarget, Scores, Share, Stand, Subject, Visible,
};
pub use report::{ReportError, page};

//! What an attacker gets at a cut: inversions, probes, bounds, and the report about them.

mod auditor;
mod baseline;
mod ciphertexts;
mod confusion;
mod decoder;
mod encrypted;
mod error;
mod estimate;
mod extraction;
mod findings;
mod jacobian;
mod keyed;
mod learner;
mod least_squares;
mod linear;
mod observer;
mod parts;
mod pixels;
mod probe;
mod query_free;
mod report;
mod similarity;
mod summary;
mod target;
mod training;
mod verdict;
mod white_box;

pub use auditor::{AuditSettings, Auditor, Candidate};
pub use ciphertexts::{Distinguisher, Encryption, ResidueTest, Sample, Sight, View};
pub use cleave_partition::Attack;
pub use confusion::{
    ConfusionAttack, ConfusionAudit, ConfusionSettings, ConfusionTarget, Detection, DetectionKind, FineTuneSettings,
    GroupFindings, PruneSettings, Pruning, PruningKind, Saliency, SaliencyColumn, SaliencyKind, SaliencyOf, TuneStart,
    Tuning, TuningPoint, audit_confusion,
};
pub use decoder::DecoderSettings;
pub use encrypted::{
    BatchSize, CopyFindings, EncryptedAudit, EncryptedSettings, EncryptedTarget, LastLayer, Lesson, NoiseFindings,
    Parameters, Timing, Traffic, audit_encrypted,
};
pub use error::Error;
pub use extraction::ExtractionSettings;
pub use findings::{
    Audit, Baseline, Bound, CutFindings, CutVerdict, Estimate, Extraction, Inversion, InversionKind, Judgement,
    KeyFindings, KeyGuess, Privacy, Probe, ProbeKind, ProbeTarget, Scores, Share, Stand, Subject, Visible,
};
pub use jacobian::mean_trace;
pub use keyed::KeySettings;
pub use least_squares::LinearSettings;
pub use observer::{Observer, Silent};
pub use probe::ProbeSettings;
pub use query_free::SubstituteSettings;
pub use report::{confusion_page, encrypted_page, page, training_page};
pub use similarity::Judge;
pub use summary::{record_hash, summarise};
pub use target::Target;
pub use training::{
    CubicFindings, HostileAnswer, HostileKind, Message, MessageKind, Opening, Places, Protocol, RoundTiming, Scheme,
    Told, TrainingAudit, TrainingSettings, TrainingTarget, WrongKind, WrongTraining, audit_training,
};
pub use verdict::judge;
pub use white_box::DescentSettings;

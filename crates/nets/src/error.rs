//! What can go wrong with a network.

use crate::Shape;
use std::ops::Range;
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A layer cannot take the output of the one before it.
    #[error("layer {index} {reason}")]
    Architecture {
        /// Position in the layer list, from 0.
        index: usize,
        /// What does not fit.
        reason: String,
    },
    /// A numbered layer beyond the end.
    #[error("there is no layer {number}: the network has numbered layers 1 to {count}")]
    NoSuchLayer {
        /// The layer asked for.
        number: usize,
        /// Numbered layers there are.
        count: usize,
    },
    /// A slice beyond the end.
    #[error("there are no layers {range:?} in the list: it has {count}, counted from 0")]
    Range {
        /// The slice asked for.
        range: Range<usize>,
        /// Entries of the list.
        count: usize,
    },
    /// The network carries a signal already.
    #[error("a signal joins this network already; start from the network before its retraining")]
    JoinTwice,
    /// No height and width to draw on.
    #[error("the signal cannot join layer {number}: its input {shape} is made a vector there; choose an earlier layer")]
    JoinVector {
        /// The layer asked for.
        number: usize,
        /// Its input.
        shape: Shape,
    },
    /// The images or activations have another shape than the network takes.
    #[error("the network takes samples of {expected}, got {got}")]
    Input {
        /// Shape that the architecture states.
        expected: Shape,
        /// Shape of the tensor.
        got: Shape,
    },
    /// The batch holds no sample.
    #[error("the batch is empty; give at least one sample")]
    EmptyBatch,
    /// The signal's channel is missing or misshapen.
    #[error("the join takes a signal of {expected:?} (batch, 1, height, width), got {got:?}")]
    Signal {
        /// Shape at the join.
        expected: [usize; 4],
        /// Shape given, if any.
        got: Option<[usize; 4]>,
    },
    /// Tensors that the architecture needs are not there, or others are.
    #[error("the weights do not fit the architecture: missing [{}], unknown [{}]", .missing.join(", "), .unknown.join(", "))]
    Keys {
        /// Names that the architecture needs.
        missing: Vec<String>,
        /// Names that it has no place for.
        unknown: Vec<String>,
    },
    /// A tensor of another shape.
    #[error("tensor {name} has shape {got:?}, the architecture needs {expected:?}")]
    TensorShape {
        /// Its name in the file.
        name: String,
        /// What the architecture needs.
        expected: Vec<usize>,
        /// What the file holds.
        got: Vec<usize>,
    },
    /// NaN or infinity among the weights.
    #[error("tensor {name} holds {value} at position {position}; the file is damaged or the training diverged")]
    NotFinite {
        /// Its name.
        name: String,
        /// Position in row-major order.
        position: usize,
        /// The value.
        value: f32,
    },
    /// An element type that is not a real number.
    #[error("tensor {name} has element type {got}; f32, f16, bf16 and f64 can be read")]
    ElementType {
        /// Its name.
        name: String,
        /// The type in the file.
        got: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// "read", "write", ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
    /// Not a checkpoint of this project, or a damaged one.
    #[error("{} is not a file that cleave can read here: {reason}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A line of a table that is none of features.
    #[error("{}, line {line}, column {column}: expected {expected}, got {got}", .path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The field in the line, from 1, which is the label.
        column: usize,
        /// What should stand there.
        expected: Box<str>,
        /// What stands there.
        got: Box<str>,
    },
    /// Features or a head at odds with themselves, or beyond the bounds.
    #[error("{what}: expected {expected}, got {got}")]
    Features {
        /// What of them.
        what: &'static str,
        /// What should be.
        expected: String,
        /// What is.
        got: String,
    },
    /// The contents are not those that were written.
    #[error("{} is damaged: the hash of its contents is {got}, written was {expected}; get the file again", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The hash in the file.
        expected: String,
        /// The hash of what the file holds.
        got: String,
    },
    /// A later version wrote the file.
    #[error("{} has format version {got}, this build reads up to {supported}; use a newer cleave", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        got: u32,
        /// The newest that is known here.
        supported: u32,
    },
    /// The backend was not compiled in.
    #[error("there is no device {name:?} in this build; it has: {}", .available.join(", "))]
    Device {
        /// The name given.
        name: String,
        /// The names that work.
        available: Vec<&'static str>,
    },
    /// The device failed while it ran.
    #[error("the device failed: {reason}")]
    Execution {
        /// In its own words.
        reason: String,
    },
    /// A manifest that cannot be written as JSON.
    #[error("the manifest cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

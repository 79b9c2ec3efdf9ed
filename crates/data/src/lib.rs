//! Datasets, image preparation, batches and a built-in generator.

mod augment;
mod batches;
mod cache;
mod dataset;
mod draw;
mod error;
mod faults;
mod glyphs;
mod images;
mod pixels;
mod prefetch;
mod prepare;
mod shapes;
mod source;
mod stats;
mod strokes;

pub use augment::Augmentation;
pub use batches::{Batch, Batches, LoadOptions, Loader};
pub use dataset::{Dataset, Layout, OpenOptions};
pub use error::DataError;
pub use faults::{Fault, Faults, Skipped};
pub use glyphs::Glyphs;
pub use images::Images;
pub use pixels::Pixels;
pub use prepare::{Fit, Preparation};
pub use shapes::Shapes;
pub use stats::ChannelStatistics;

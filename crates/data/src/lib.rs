//! Datasets, image preparation, batches and a built-in generator.
//!
//! ```text
//! folder, tar, MNIST, CIFAR-10 ──┐
//! Shapes (drawn) ────────────────┴─▶ Dataset ─▶ Loader ─▶ Batches ─▶ Batch [N, C, H, W]
//!                                                 ▲
//!                       Preparation, Augmentation ┘
//!
//! file, folder, tar ─▶ Images ─▶ Pixels ─▶ Preparation::prepare ─▶ [C, H, W]
//! MNIST, drawn ─────▶ Glyphs ─▶ resize_to ─▶ [H, W]
//! ```
//!
//! - [`Dataset`] numbers labelled images, names them, and decodes one when it is asked for.
//!   [`Dataset::open`] finds out the [`Layout`] by itself; [`OpenOptions`] choose split and
//!   classes. [`Images`] is the same without labels, for inference.
//! - [`Skew`] shares the digits out unevenly among several models; [`Dataset::portions`] takes any share of a class.
//! - [`Preparation`] says how an image becomes numbers. It is stored with the model, because a
//!   client must prepare its images as they were prepared in training. [`ChannelStatistics`]
//!   measures the mean and deviation it wants.
//! - [`Loader`] cuts a dataset into [`Batches`], decoded ahead on worker threads. What a batch
//!   holds depends on the seed, the epoch and its number alone; [`Augmentation`] too.
//! - Broken images are collected as [`Faults`], passed-over files as [`Skipped`]; every error is
//!   a [`DataError`].
//! - [`Glyphs`] are the digit images that carry a signal; [`Shapes`] draws a dataset, so that
//!   nothing has to be downloaded.
//!
//! Deliberately absent: tensors, sockets, and anything that unpacks an archive to disk.

mod augment;
mod batches;
mod cache;
mod dataset;
mod draw;
mod erase;
mod error;
mod faults;
mod glyphs;
mod images;
mod pixels;
mod prefetch;
mod prepare;
mod rand_augment;
mod shapes;
mod skew;
mod source;
mod stats;
mod strokes;
mod tone;
mod warp;

pub use augment::Augmentation;
pub use batches::{Batch, Batches, LoadOptions, Loader};
pub use dataset::{Dataset, Layout, OpenOptions};
pub use error::DataError;
pub use faults::{Fault, Faults, Skipped};
pub use glyphs::Glyphs;
pub use images::Images;
pub use pixels::Pixels;
pub use prepare::{Fit, Preparation};
pub use rand_augment::RandAugment;
pub use shapes::Shapes;
pub use skew::Skew;
pub use stats::ChannelStatistics;

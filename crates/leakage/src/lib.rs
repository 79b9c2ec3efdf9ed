//! What counting and linear algebra say about a cut.
//!
//! A client sends the output of a front half; the provider knows its weights. Can the provider
//! solve for the image? This crate counts equations against unknowns and computes ranks, from layer
//! shapes and plain `f32` slices:
//!
//! ```text
//! [FrontLayer] ──check──▶ Report ─┬─ LayerReport ─┬─ Count: the paper's window, larger windows, the whole image
//!      │                          │               └─ Rank: singular values of the linear part
//!      │                          └─ Verdict: Leaks { by } or Passes
//!      └────cost_table──▶ [CutCost]: parameters, storage, values sent, time
//! ```
//!
//! - [`check`] gives the verdict on a whole front half; its page says how the findings combine.
//! - [`paper_count`], [`largest_passing_kernels`] and [`window_counts`] are the counts one by one (Sun et al. 2019, Eq. 9 and 10).
//! - [`spectrum`] is the rank alone.
//! - [`cost_table`] is what the front half costs its client (Sun et al. 2019, Tables 4 and 5).
//!
//! Those work from shapes and weights, before any image. At one image, the front half's Jacobian tells more. It is
//! too large to write down and is known through its products, a [`LinearMap`]:
//!
//! - [`spectrum_of`]: how many directions of the image are visible in what is sent, exact or estimated with error bars.
//! - [`dfil`], [`mse_bound`] and [`scale_for`]: what noise on the values sent guarantees at that image.
//! - [`least_squares`]: the image that explains the values sent best.
//!
//! Counting is neither necessary nor sufficient for privacy. Images are far from arbitrary
//! unknowns, so fewer equations than pixels can be plenty; only measured attacks say what an
//! attacker gets.
//!
//! ```
//! use cleave_leakage::{Activation, ConvShape, Effort, FrontLayer, Op, Pool, Stage, check};
//!
//! let conv1 = ConvShape::new([11, 11], [4, 4], [2, 2], [3, 64], [224, 224]);
//! let layer = FrontLayer::new("conv1", Op::Conv(conv1))
//!     .with_activation(Activation::Relu)
//!     .with_pool(Pool { window: [3, 3], stride: [2, 2], padding: [0, 0] });
//! let front = [layer];
//! assert!(check(&front, Stage::Linear, &Effort::default())?.verdict.leaks());
//! assert!(!check(&front, Stage::Pooled, &Effort::default())?.verdict.leaks());
//! # Ok::<(), cleave_leakage::LeakageError>(())
//! ```

mod bidiagonal;
mod check;
mod cost;
mod count;
mod error;
mod fisher;
mod geometry;
mod jacobian;
mod lanczos;
mod least_squares;
mod map;
mod report;
mod shape;
mod spectrum;
mod symbol;
mod table;
mod vector;

pub use check::check;
pub use cost::{CostModel, CutCost, STATED_BITS_PER_LINK, USED_BITS_PER_LINK, cost_table, transfer_ms};
pub use count::{Count, WindowCounts, largest_passing_kernels, paper_count, window_counts};
pub use error::LeakageError;
pub use fisher::{Noise, dfil, mse_bound, scale_for};
pub use jacobian::{Estimated, JacobianSpectrum, SpectrumSettings, spectrum_of};
pub use least_squares::{Equations, Solution, SolveSettings, least_squares};
pub use map::{LinearMap, Progress};
pub use report::{Finding, LayerReport, Reason, Report, Verdict, Zeros};
pub use shape::{
    Activation, ConvShape, FrontLayer, LinearShape, MAX_CHANNELS, MAX_EXTENT, MAX_FEATURES, Op, Pool, Stage,
};
pub use spectrum::{Effort, Injectivity, Rank, Spectrum, spectrum};

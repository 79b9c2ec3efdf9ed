//! What a check returns.

use crate::{Count, Rank, Stage};
use serde::{Deserialize, Serialize};

/// Everything that was counted of a front half, and the verdict.
///
/// It prints as a table with a sentence for each number that needs one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// From the image to the cut.
    pub layers: Vec<LayerReport>,
    /// The whole chain at once: as many equations as there are values at its narrowest point,
    /// against the unknowns of the image. None for a single layer, where it would repeat the
    /// whole-image count.
    pub chain: Option<Count>,
    /// The stricter of all findings.
    pub verdict: Verdict,
}

/// What was counted of one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerReport {
    /// The layer's name.
    pub name: String,
    /// What the stage amounts to; see [`Stage`].
    pub stage: Stage,
    /// How zeros were treated.
    pub zeros: Zeros,
    /// Its windows: the paper's, the first that turns (or else the largest), that in the corner,
    /// the whole image.
    pub counts: Vec<Count>,
    /// The largest number of kernels that passes the paper's Eq. 10; convolutions only.
    pub largest_by_paper: Option<u64>,
    /// The largest number of kernels that no window of an endless image turns; convolutions only.
    pub largest_by_windows: Option<u64>,
    /// Rank of the linear part.
    pub rank: Rank,
    /// Whether the layer's inputs follow from its outputs, by the stricter of all findings.
    pub verdict: Verdict,
}

/// How values that a ReLU cuts to zero were treated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Zeros {
    /// Nothing was cut to zero at this stage.
    NoneCut,
    /// Not measured, so counted as if none were zero: the stricter reading.
    NotMeasured,
    /// This share of the values, 0 to 1, was left out of the equations. A zero still tells that the
    /// value was not positive; such inequalities are not counted.
    Measured(f64),
}

/// What counting and rank say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// There are at least as many equations as unknowns, or the linear part is injective.
    Leaks {
        /// Every finding that says so. For a chain that is undone layer by layer: those of all its
        /// layers.
        by: Vec<Reason>,
    },
    /// No count and no rank says it leaks. That is not privacy: an image has far fewer degrees of
    /// freedom than pixels, and only a measured attack says what can be recovered.
    Passes,
}

impl Verdict {
    /// Whether any finding says that the inputs follow from the outputs.
    #[must_use]
    pub fn leaks(&self) -> bool {
        matches!(self, Verdict::Leaks { .. })
    }

    pub(crate) fn from_reasons(by: Vec<Reason>) -> Self {
        if by.is_empty() { Verdict::Passes } else { Verdict::Leaks { by } }
    }
}

/// One finding at one layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reason {
    /// The layer, or None for the chain as a whole.
    pub layer: Option<String>,
    /// What was found there.
    pub finding: Finding,
}

/// The ways of counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Finding {
    /// The window of Eq. 9 of Sun et al. (2019), as corrected in
    /// [`paper_count`](crate::paper_count).
    PaperWindow,
    /// The smallest square window that turns, or the largest if none does; padding counted as
    /// unknown.
    Window,
    /// The same in the corner, padding known to be zero.
    EdgeWindow,
    /// All values sent, against all real inputs they depend on.
    WholeImage,
    /// The linear part is injective, single frequencies aside, and the values not cut to zero are
    /// enough to invert it.
    Rank,
    /// The narrowest point of a chain, against the image.
    Chain,
}

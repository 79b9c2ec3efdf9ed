//! Unknowns against equations: Eq. 9 and 10 of Sun et al. (2019), and the same count for every
//! other window.

use crate::geometry::Axis;
use crate::shape::{Activation, ConvShape, FrontLayer, Op, Stage};
use crate::{Finding, LeakageError};
use serde::{Deserialize, Serialize};

/// The equations and unknowns of one window of output positions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Count {
    /// Which window.
    pub finding: Finding,
    /// Its output positions, `[height, width]`.
    pub positions: [usize; 2],
    /// Equations `M`: values sent from these positions; less those a ReLU is expected to cut to
    /// zero, hence not always whole.
    pub equations: f64,
    /// Unknowns `N`: the input values those positions see, known channels and padding aside.
    pub unknowns: u64,
    /// Whether `M ≥ N`. A window that sees no unknown at all does not leak.
    pub leaks: bool,
}

impl Count {
    pub(crate) fn new(finding: Finding, positions: [usize; 2], equations: f64, unknowns: u64) -> Self {
        let leaks = unknowns > 0 && equations >= unknowns as f64;
        Self { finding, positions, equations, unknowns, leaks }
    }
}

/// A count for a window of `p × p` neighbouring output positions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WindowCounts {
    /// Where the window sees no border, or the padding is counted as unknown: `M = p²k`, `N = (n +
    /// (p − 1)s)² l`.
    pub open: Count,
    /// Where the window lies in the corner that shows it the fewest real pixels; padding is known
    /// to be zero.
    pub edge: Count,
}

/// Equation 9 of Sun et al. (2019) with the exponent that its printed figures need, an axis at a
/// time: `q = ⌈2n/s⌉ − 1`, `M = q_h q_w k`, `N = (n_h − s_h + q_h s_h)(n_w − s_w + q_w s_w) l`.
///
/// `kernel` (`n`) and `stride` (`s`) are `[height, width]` in pixels, `unknown_channels` is `l` and
/// `kernels` is `k`. The paper lets the layer pass iff `N > M`. Where `s ≥ 2n` the formula would
/// have no position at all; then one is counted, and pixels between the kernels are not counted as
/// unknowns.
///
/// # Errors
/// [`LeakageError::Extent`] if a side or a number of channels is 0 or too large.
pub fn paper_count(
    kernel: [usize; 2],
    stride: [usize; 2],
    unknown_channels: usize,
    kernels: usize,
) -> Result<Count, LeakageError> {
    let shape = ConvShape::new(kernel, stride, [0, 0], [unknown_channels, kernels], kernel);
    Counter::new(&FrontLayer::new("(Eq. 9)", Op::Conv(shape)), Stage::Linear).map(|counter| counter.paper())
}

/// The largest number of kernels that passes Equation 10 of Sun et al. (2019) as corrected in
/// [`paper_count`]: the largest `k` with `q_h q_w k < N`, or 0. Arguments as there.
///
/// # Errors
/// As [`paper_count`].
pub fn largest_passing_kernels(
    kernel: [usize; 2],
    stride: [usize; 2],
    unknown_channels: usize,
) -> Result<u64, LeakageError> {
    let one = paper_count(kernel, stride, unknown_channels, 1)?;
    Ok(largest_below(one.unknowns, one.positions))
}

fn largest_below(unknowns: u64, [height, width]: [usize; 2]) -> u64 {
    unknowns.saturating_sub(1) / (height * width).max(1) as u64
}

/// The counts for `p × p` output positions, `p` from 1 to the smaller side of the output, of a
/// convolution at `stage`. After a pool each pooled value is one equation and sees the window its
/// convolution outputs see together.
///
/// Empty for a fully connected layer, whose outputs have no neighbours.
///
/// # Errors
/// Any of the shape errors of [`LeakageError`].
pub fn window_counts(layer: &FrontLayer, stage: Stage) -> Result<Vec<WindowCounts>, LeakageError> {
    Ok(Counter::new(layer, stage)?.windows())
}

/// A validated layer at a stage, ready to be counted.
#[derive(Debug)]
pub(crate) struct Counter {
    map: Option<[Axis; 2]>,
    unknown_channels: u64,
    /// Outputs a position, before any is cut to zero.
    outputs: u64,
    /// Share of the values that count as equations.
    active: f64,
}

impl Counter {
    pub(crate) fn new(layer: &FrontLayer, stage: Stage) -> Result<Self, LeakageError> {
        layer.validate()?;
        let pool = layer.pool.filter(|_| stage == Stage::Pooled);
        let [channels, ..] = layer.unknown_input();
        let (outputs, map) = match &layer.op {
            Op::Linear(linear) => (linear.out_features, None),
            Op::Conv(conv) => (conv.out_channels, Some([0, 1].map(|axis| Axis::new(conv, pool.as_ref(), axis)))),
        };
        Ok(Self { map, unknown_channels: channels as u64, outputs: outputs as u64, active: active_share(layer, stage) })
    }

    /// Everything counted at this layer: the paper's window, the first windows that turn, the whole
    /// image.
    pub(crate) fn counts(&self) -> Vec<Count> {
        let mut counts = Vec::new();
        if let Some(map) = &self.map {
            let windows = self.windows();
            counts.push(self.paper());
            counts.extend(first_to_turn(windows.iter().map(|window| &window.open)));
            if map.iter().any(Axis::sees_padding) {
                counts.extend(first_to_turn(windows.iter().map(|window| &window.edge)));
            }
        }
        counts.push(self.whole());
        counts
    }

    fn paper(&self) -> Count {
        let positions = self.sides(|axis| ((2 * axis.kernel).div_ceil(axis.stride) - 1).max(1));
        let [height, width] = positions;
        let unknowns = self.per_axis([height, width], Axis::span);
        self.count(Finding::PaperWindow, positions, unknowns)
    }

    fn windows(&self) -> Vec<WindowCounts> {
        let [height, width] = self.sides(|axis| axis.outputs);
        let largest = if self.map.is_some() { height.min(width) } else { 0 };
        (1..=largest)
            .map(|p| WindowCounts {
                open: self.count(Finding::Window, [p, p], self.per_axis([p, p], Axis::span)),
                edge: self.count(Finding::EdgeWindow, [p, p], self.per_axis([p, p], Axis::fewest)),
            })
            .collect()
    }

    /// The whole layer as built: all values sent, all real input values they depend on.
    pub(crate) fn whole(&self) -> Count {
        let positions = self.sides(|axis| axis.outputs);
        self.count(Finding::WholeImage, positions, self.per_axis([0, 0], |axis, _| axis.covered()))
    }

    /// The largest number of kernels Eq. 10 lets pass at this stage, all values counted as
    /// equations.
    pub(crate) fn largest_by_paper(&self) -> Option<u64> {
        self.map.as_ref()?;
        let paper = self.paper();
        Some(largest_below(paper.unknowns, paper.positions))
    }

    /// The largest number of kernels that no window of an endless image turns: `min(n, s)² l`, less
    /// one where kernels do not overlap, for then the bound is reached.
    pub(crate) fn largest_by_windows(&self) -> Option<u64> {
        let map = self.map.as_ref()?;
        let limit = self.per_axis([0, 0], |axis, _| axis.span(2) - axis.span(1));
        let overlap = map.iter().any(|axis| 2 * axis.span(1) > axis.span(2));
        Some(if overlap { limit } else { limit - 1 })
    }

    /// Share of the values that count as equations, 0 to 1.
    pub(crate) fn active(&self) -> f64 {
        self.active
    }

    fn sides(&self, side: impl Fn(&Axis) -> usize) -> [usize; 2] {
        self.map.as_ref().map_or([1, 1], |axes| [side(&axes[0]), side(&axes[1])])
    }

    fn per_axis(&self, [height, width]: [usize; 2], side: impl Fn(&Axis, usize) -> usize) -> u64 {
        let pixels = self.map.as_ref().map_or(1, |axes| side(&axes[0], height) * side(&axes[1], width));
        pixels as u64 * self.unknown_channels
    }

    fn count(&self, finding: Finding, positions: [usize; 2], unknowns: u64) -> Count {
        let values = positions.iter().product::<usize>() as u64 * self.outputs;
        Count::new(finding, positions, values as f64 * self.active, unknowns)
    }
}

/// One less the measured share of zeros where a ReLU cut values to zero; 1 where it did not, or
/// nobody measured.
fn active_share(layer: &FrontLayer, stage: Stage) -> f64 {
    let cut = layer.activation == Activation::Relu && layer.effective(stage) != Stage::Linear;
    layer.zero_share.filter(|_| cut).map_or(1.0, |share| 1.0 - share)
}

/// The first count that leaks, or the last one.
fn first_to_turn<'a>(mut counts: impl DoubleEndedIterator<Item = &'a Count> + Clone) -> Option<Count> {
    counts.clone().find(|count| count.leaks).or_else(|| counts.next_back()).cloned()
}

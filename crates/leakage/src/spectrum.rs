//! The exact rank of a layer's linear part, from the singular values of its stride-phase symbol.
//!
//! A convolution with stride `s` is a convolution with stride 1 on `s_h s_w l` *phases*: the input
//! split by position modulo the stride. On a torus (borders wrapped) its matrix falls apart into
//! one `k × s_h s_w l` block a frequency, the symbol `Ŵ(ω)[o, (c, r)] = Σ_q w[o, c, s q + r] e^{i
//! ω·q}`, and the singular values of all blocks together are those of the matrix (Sedghi, Gupta and
//! Long, "The singular values of convolutional layers", 2019, for stride 1).

use crate::bidiagonal::Bidiagonal;
use crate::shape::{ConvShape, FrontLayer, LinearShape, Op, sides};
use crate::{LeakageError, symbol};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

/// What a rank may cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// At most this many frequencies a layer, but never fewer than four; a conjugate pair counts once.
    pub frequencies: usize,
    /// At most this many multiplications a layer, a decomposition of an `m × n` matrix being taken
    /// as `m n min(m, n)`, four times that if it is complex. The limit lowers the number of
    /// frequencies first; below four of them nothing is computed and the report says so.
    pub multiplications: u64,
    /// A singular value counts towards the rank if it exceeds this share of the layer's largest
    /// one.
    pub tolerance: f64,
}

impl Default for Effort {
    /// Every frequency of a 64-kernel first layer on 224 × 224 pixels, samples of the later layers
    /// of an AlexNet, within seconds. The tolerance of 1e-10 lies far above the rounding of `f64`
    /// and well below that of `f32` weights, so that the rank is that of the weights as stored.
    fn default() -> Self {
        Self { frequencies: 2_048, multiplications: 2_000_000_000, tolerance: 1e-10 }
    }
}

/// What is known about the rank of a layer's linear part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Rank {
    /// It was computed.
    Evaluated(Spectrum),
    /// The layer came without weights.
    NoWeights,
    /// What is sent has passed a pool, which is not linear.
    Pooled,
    /// The kernel is larger than the torus its output size makes, which would not describe the
    /// layer.
    KernelWraps,
    /// It would have cost more than [`Effort::multiplications`] allows.
    TooLarge {
        /// Work of the fewest decompositions that say something.
        multiplications: u64,
        /// The limit.
        limit: u64,
    },
}

/// Singular values and rank of a convolution on the torus, or of a weight matrix (one frequency,
/// one position).
///
/// On the torus an output at the border sees the opposite border, so the real layer may know the
/// pixels near its border better or worse; away from them the two agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spectrum {
    /// Output positions of the layer, `[height, width]`: the size of the full frequency grid.
    pub positions: [usize; 2],
    /// The frequency grid evaluated, `[height, width]`.
    pub grid: [usize; 2],
    /// Frequencies evaluated; the rest of the grid follows by conjugation.
    pub evaluated: usize,
    /// Outputs a position: `k`, the rows of the symbol.
    pub outputs: usize,
    /// Unknowns a position: `s_h s_w l`, the columns of the symbol.
    pub unknowns: usize,
    /// Unknowns a position that no kernel touches, because the stride is larger than the kernel.
    pub untouched: usize,
    /// Smallest rank at any frequency evaluated.
    pub min_rank: usize,
    /// Rank at most frequencies: the largest one met.
    pub generic_rank: usize,
    /// Largest singular value.
    pub largest: f64,
    /// Smallest singular value on the side of the unknowns: 0 where there are fewer outputs than
    /// unknowns.
    pub smallest: f64,
    /// The singular value below which a direction counts as lost.
    pub threshold: f64,
    /// Whether the outputs determine the unknowns.
    pub injectivity: Injectivity,
}

impl Spectrum {
    /// Whether every frequency of the layer's own grid was evaluated.
    #[must_use]
    pub fn exhaustive(&self) -> bool {
        self.grid == self.positions
    }
}

/// Whether linear outputs determine their inputs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Injectivity {
    /// The rank equals the number of unknowns at every frequency evaluated: least squares returns
    /// the input.
    Injective {
        /// Largest over smallest singular value: by how much the input's relative error can exceed
        /// the output's.
        condition: f64,
    },
    /// Some inputs cannot be told apart.
    Hidden {
        /// Dimension of what stays unknown over all positions; scaled up where only a sample of the
        /// frequencies was evaluated.
        dimension: u64,
    },
}

/// Computes the rank of a layer's linear part, whatever follows it; known channels or features are
/// left out.
///
/// # Errors
/// Any of the shape and weight errors of [`LeakageError`], and [`LeakageError::Tolerance`].
pub fn spectrum(layer: &FrontLayer, effort: &Effort) -> Result<Rank, LeakageError> {
    layer.validate()?;
    effort.validate()?;
    match (&layer.op, layer.weights.as_deref()) {
        (_, None) => Ok(Rank::NoWeights),
        (Op::Conv(conv), Some(weights)) => Ok(convolution(conv, weights, effort)),
        (Op::Linear(linear), Some(weights)) => Ok(matrix(linear, weights, effort)),
    }
}

fn convolution(conv: &ConvShape, weights: &[f32], effort: &Effort) -> Rank {
    let positions = [0, 1].map(|axis| sides(conv, None, axis).0);
    if (0..2).any(|axis| conv.kernel[axis] > conv.stride[axis] * positions[axis]) {
        return Rank::KernelWraps;
    }
    let unknowns = symbol::phases(conv);
    let work = COMPLEX.saturating_mul(decomposition(conv.out_channels, unknowns));
    let allowed = match effort.decompositions(work, 4) {
        Ok(allowed) => allowed,
        Err(too_large) => return too_large,
    };
    let grid = symbol::grid(positions, allowed);
    let blocks = symbol::frequencies(grid)
        .map(|(frequency, multiplicity)| {
            (multiplicity, Bidiagonal::new(symbol::symbol(conv, weights, frequency, grid)))
        })
        .collect();
    let shape = [conv.out_channels, unknowns, unknowns - symbol::touched(conv)];
    Rank::Evaluated(Tally { positions, grid, blocks }.finish(shape, effort.tolerance))
}

fn matrix(linear: &LinearShape, weights: &[f32], effort: &Effort) -> Rank {
    let (outputs, unknowns) = (linear.out_features, linear.in_features - linear.known_features);
    if let Err(too_large) = effort.decompositions(decomposition(outputs, unknowns), 1) {
        return too_large;
    }
    let entry = |row, column| f64::from(weights[row * linear.in_features + column]);
    let blocks = vec![(1, Bidiagonal::new(DMatrix::from_fn(outputs, unknowns, entry)))];
    let tally = Tally { positions: [1, 1], grid: [1, 1], blocks };
    Rank::Evaluated(tally.finish([outputs, unknowns, 0], effort.tolerance))
}

/// Real multiplications in a complex one.
const COMPLEX: u64 = 4;

/// The order of the multiplications that reducing a `rows × columns` matrix takes.
fn decomposition(rows: usize, columns: usize) -> u64 {
    [rows, columns, rows.min(columns)].iter().fold(1, |work: u64, &side| work.saturating_mul(side as u64))
}

impl Effort {
    fn validate(&self) -> Result<(), LeakageError> {
        if self.tolerance > 0.0 && self.tolerance < 1.0 {
            return Ok(());
        }
        Err(LeakageError::Tolerance { got: self.tolerance })
    }

    /// How many decompositions of this many multiplications are allowed, or the answer if that is
    /// fewer than `fewest`.
    fn decompositions(&self, work: u64, fewest: usize) -> Result<usize, Rank> {
        let affordable = usize::try_from(self.multiplications / work).unwrap_or(usize::MAX);
        let allowed = affordable.min(self.frequencies.max(fewest));
        if allowed >= fewest {
            return Ok(allowed);
        }
        let multiplications = work.saturating_mul(fewest as u64);
        Err(Rank::TooLarge { multiplications, limit: self.multiplications })
    }
}

/// The blocks of a layer, each with the number of frequencies that share it.
struct Tally {
    positions: [usize; 2],
    grid: [usize; 2],
    blocks: Vec<(u64, Bidiagonal)>,
}

impl Tally {
    fn finish(self, [outputs, unknowns, untouched]: [usize; 3], tolerance: f64) -> Spectrum {
        let largest = self.blocks.iter().map(|(_, block)| block.largest()).fold(0.0, f64::max);
        let threshold = largest * tolerance;
        let ranks: Vec<_> = self.blocks.iter().map(|(count, block)| (*count, block.rank(threshold))).collect();
        let min_rank = ranks.iter().map(|&(_, rank)| rank).min().unwrap_or(0);
        let smallest = if outputs < unknowns { 0.0 } else { self.smallest(largest) };
        Spectrum {
            positions: self.positions,
            grid: self.grid,
            evaluated: ranks.len(),
            outputs,
            unknowns,
            untouched,
            min_rank,
            generic_rank: ranks.iter().map(|&(_, rank)| rank).max().unwrap_or(0),
            largest,
            smallest,
            threshold,
            injectivity: if min_rank == unknowns {
                Injectivity::Injective { condition: largest / smallest }
            } else {
                Injectivity::Hidden { dimension: hidden(&ranks, unknowns, self.positions) }
            },
        }
    }

    fn smallest(&self, largest: f64) -> f64 {
        self.blocks.iter().map(|(_, block)| block.smallest()).fold(largest, f64::min)
    }
}

/// Mean of what is lost at a frequency, times the number of positions.
fn hidden(ranks: &[(u64, usize)], unknowns: usize, positions: [usize; 2]) -> u64 {
    let lost: u128 = ranks.iter().map(|&(count, rank)| u128::from(count) * (unknowns - rank) as u128).sum();
    let frequencies: u128 = ranks.iter().map(|&(count, _)| u128::from(count)).sum();
    let positions = positions.iter().product::<usize>() as u128;
    u64::try_from((lost * positions).div_ceil(frequencies.max(1))).unwrap_or(u64::MAX)
}

//! The stride-phase symbol of a convolution and the frequencies to evaluate it at.

use crate::shape::ConvShape;
use nalgebra::{Complex, DMatrix};
use std::f64::consts::TAU;

/// Columns of the symbol: unknowns a position, `s_h s_w l`.
pub(crate) fn phases(conv: &ConvShape) -> usize {
    conv.stride[0] * conv.stride[1] * conv.unknown_channels()
}

/// Columns that some tap of the kernel reaches.
pub(crate) fn touched(conv: &ConvShape) -> usize {
    let side = |axis: usize| conv.kernel[axis].min(conv.stride[axis]);
    side(0) * side(1) * conv.unknown_channels()
}

/// The full grid if it has at most `allowed` frequencies up to conjugation, else an even one that
/// has, so that both the zero frequency and the highest are in it. `allowed` is at least 4.
pub(crate) fn grid(full: [usize; 2], allowed: usize) -> [usize; 2] {
    let cost = |[height, width]: [usize; 2]| height * width / 2 + 2;
    if full.iter().product::<usize>() < 4 || cost(full) <= allowed {
        return full;
    }
    let mut grid = full.map(|side| side.min(2));
    while let Some(larger) = enlarge(grid, full).filter(|&larger| cost(larger) <= allowed) {
        grid = larger;
    }
    grid
}

/// Two more frequencies on the axis that has the smallest share of its own.
fn enlarge(grid: [usize; 2], full: [usize; 2]) -> Option<[usize; 2]> {
    let axis = usize::from(grid[0] * full[1] > grid[1] * full[0]);
    let mut larger = grid;
    larger[axis] = (grid[axis] + 2).min(full[axis]);
    (larger != grid).then_some(larger)
}

/// One of each conjugate pair of frequencies, `[height, width]` indices into `grid`, with the size
/// of its pair.
pub(crate) fn frequencies([height, width]: [usize; 2]) -> impl Iterator<Item = ([usize; 2], u64)> {
    (0..height * width).filter_map(move |index| {
        let [row, column] = [index / width, index % width];
        let conjugate = (height - row) % height * width + (width - column) % width;
        let multiplicity = if index == conjugate { 1 } else { 2 };
        (index <= conjugate).then_some(([row, column], multiplicity))
    })
}

/// The symbol at a frequency: `k × s_h s_w l`, columns by channel, then row phase, then column
/// phase. Known channels, the last ones, are left out. `weights` are `[k, in_channels, n_h, n_w]`.
pub(crate) fn symbol(
    conv: &ConvShape,
    weights: &[f32],
    frequency: [usize; 2],
    grid: [usize; 2],
) -> DMatrix<Complex<f64>> {
    let turns = [0, 1].map(|axis| twiddles(conv.kernel[axis], conv.stride[axis], frequency[axis], grid[axis]));
    let [kernel_height, kernel_width] = conv.kernel;
    let mut block = DMatrix::zeros(conv.out_channels, phases(conv));
    for (plane, taps) in weights.chunks_exact(kernel_height * kernel_width).enumerate() {
        let (output, channel) = (plane / conv.in_channels, plane % conv.in_channels);
        if channel >= conv.unknown_channels() {
            continue;
        }
        for (tap, &weight) in taps.iter().enumerate() {
            let [row, column] = [tap / kernel_width, tap % kernel_width];
            let phase = (channel * conv.stride[0] + row % conv.stride[0]) * conv.stride[1] + column % conv.stride[1];
            block[(output, phase)] += turns[0][row] * turns[1][column] * f64::from(weight);
        }
    }
    block
}

/// `e^{i ω q}` for every tap of an axis, `q` being the tap's whole strides.
fn twiddles(kernel: usize, stride: usize, frequency: usize, grid: usize) -> Vec<Complex<f64>> {
    (0..kernel)
        .map(|tap| {
            let turns = (frequency * (tap / stride) % grid) as f64 / grid as f64;
            Complex::from_polar(1.0, TAU * turns)
        })
        .collect()
}

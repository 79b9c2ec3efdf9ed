//! Which input pixels the outputs of a convolution, with or without its pool, can see.

use crate::shape::{ConvShape, Pool, sides};

/// One image axis of a convolution that may run on through a pool.
#[derive(Debug)]
pub(crate) struct Axis {
    /// Side and stride of the input window that one output sees.
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Number of outputs.
    pub(crate) outputs: usize,
    conv: Window,
    pool: Option<Window>,
    /// `[q]`: real pixels that the first (last) `q` outputs see.
    from_start: Vec<usize>,
    from_end: Vec<usize>,
}

/// A sliding window: output `i` sees inputs `i·stride − padding .. + size`.
#[derive(Debug, Clone, Copy)]
struct Window {
    size: usize,
    stride: usize,
    padding: usize,
}

impl Window {
    /// First and last of `outputs` positions that see any of the inputs `low..=high`.
    fn seen_by(self, (low, high): (usize, usize), outputs: usize) -> Option<(usize, usize)> {
        let first = (low + self.padding + 1).saturating_sub(self.size).div_ceil(self.stride);
        let last = ((high + self.padding) / self.stride).min(outputs - 1);
        (first <= last).then_some((first, last))
    }

    /// Inputs that `positions` neighbouring windows see, none of them padding.
    fn span(self, positions: usize) -> usize {
        if self.stride > self.size { positions * self.size } else { self.size + (positions - 1) * self.stride }
    }
}

impl Axis {
    pub(crate) fn new(conv: &ConvShape, pool: Option<&Pool>, axis: usize) -> Self {
        let (convolved, outputs) = sides(conv, pool, axis);
        let window = Window { size: conv.kernel[axis], stride: conv.stride[axis], padding: conv.padding[axis] };
        let pool =
            pool.map(|pool| Window { size: pool.window[axis], stride: pool.stride[axis], padding: pool.padding[axis] });
        let seen: Vec<_> =
            (0..conv.input[axis]).filter_map(|pixel| seers(window, pool, pixel, convolved, outputs)).collect();
        let (size, stride) = pool.map_or((1, 1), |pool| (pool.size, pool.stride));
        Self {
            kernel: window.size + (size - 1) * window.stride,
            stride: window.stride * stride,
            outputs,
            conv: window,
            pool,
            from_start: cumulate(seen.iter().map(|&(first, _)| first + 1), outputs),
            from_end: cumulate(seen.iter().map(|&(_, last)| outputs - last), outputs),
        }
    }

    /// Pixels that `q` neighbouring outputs see where the image goes on in both directions: Eq. 9's
    /// side of `N`.
    pub(crate) fn span(&self, q: usize) -> usize {
        let Some(pool) = self.pool else {
            return self.conv.span(q);
        };
        if self.conv.stride > self.conv.size {
            return self.conv.span(pool.span(q));
        }
        let block = Window { size: self.kernel, stride: self.stride, padding: 0 };
        block.span(q)
    }

    /// Fewest real pixels that `q` neighbouring outputs see: those at one of the two ends.
    pub(crate) fn fewest(&self, q: usize) -> usize {
        self.from_start[q].min(self.from_end[q])
    }

    /// Real pixels that all outputs see.
    pub(crate) fn covered(&self) -> usize {
        self.from_start[self.outputs]
    }

    /// Whether any output sees padding.
    pub(crate) fn sees_padding(&self) -> bool {
        self.conv.padding > 0 || self.pool.is_some_and(|pool| pool.padding > 0)
    }
}

/// First and last output that sees a pixel.
fn seers(conv: Window, pool: Option<Window>, pixel: usize, convolved: usize, outputs: usize) -> Option<(usize, usize)> {
    let values = conv.seen_by((pixel, pixel), convolved)?;
    pool.map_or(Some(values), |pool| pool.seen_by(values, outputs))
}

/// `[q]`: how many of the `needs` are at most `q`, for `q` from 0 to `outputs`.
fn cumulate(needs: impl Iterator<Item = usize>, outputs: usize) -> Vec<usize> {
    let mut counts = vec![0; outputs + 1];
    needs.for_each(|need| counts[need] += 1);
    let mut total = 0;
    counts.iter_mut().for_each(|count| {
        total += *count;
        *count = total;
    });
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The pixels an output window sees, by walking every tap.
    fn walk(conv: &ConvShape, pool: Pool, start: usize, q: usize) -> usize {
        let convolved = sides(conv, None, 0).0;
        let real = |position: usize, pad: usize, end: usize| position.checked_sub(pad).filter(|&inside| inside < end);
        let mut seen = BTreeSet::new();
        for output in start..start + q {
            for tap in 0..pool.window[0] {
                let position = output * pool.stride[0] + tap;
                let Some(value) = real(position, pool.padding[0], convolved) else {
                    continue;
                };
                seen.extend(
                    (0..conv.kernel[0])
                        .filter_map(|tap| real(value * conv.stride[0] + tap, conv.padding[0], conv.input[0])),
                );
            }
        }
        seen.len()
    }

    proptest! {
        #[test]
        fn covered_pixels_are_those_that_a_walk_over_all_taps_meets(
            (kernel, stride, padding) in (1usize..6, 1usize..6, 0usize..4),
            (window, pool_stride, pool_padding) in (1usize..4, 1usize..4, 0usize..2),
            extra in 0usize..25, q in 0usize..8,
        ) {
            // Room for at least one pooled output.
            let input = kernel + (window - 1) * stride + extra;
            let conv = ConvShape::new([kernel; 2], [stride; 2], [padding; 2], [1, 1], [input; 2]);
            let pool = Pool {
                window: [window; 2],
                stride: [pool_stride; 2],
                padding: [pool_padding.min(window / 2); 2],
            };
            let axis = Axis::new(&conv, Some(&pool), 0);
            prop_assert_eq!(axis.covered(), walk(&conv, pool, 0, axis.outputs));
            let q = 1 + q % axis.outputs;
            let fewest = (0..=axis.outputs - q).map(|start| walk(&conv, pool, start, q)).min();
            prop_assert_eq!(axis.from_start[q], walk(&conv, pool, 0, q));
            prop_assert_eq!(axis.from_end[q], walk(&conv, pool, axis.outputs - q, q));
            prop_assert_eq!(Some(axis.fewest(q)), fewest);
            prop_assert!(axis.fewest(q) <= axis.span(q));
        }
    }
}

//! Products of small integer matrices with residues, in floating point that stays exact.
//!
//! A residue is split into limbs of 31 bits. With Σ|w| ≤ 2²¹ in every row, no partial sum leaves
//! ±2⁵², where every integer is a double: with or without fused multiplications, and in whatever order,
//! the sums are exact. The instructions are chosen at run time by `pulp`.

use std::{array, ops::Range};

use fhe_math::zq::Modulus;
use pulp::{Arch, Simd, WithSimd};

/// Columns that are worked on together.
pub(crate) const TILE: usize = 64;
/// Largest sum of absolute weights in a row.
pub(crate) const MAX_GAIN: u64 = 1 << 21;

const LIMB: u32 = 31;
const GROUP: usize = 4;

/// Rows of integer weights, in groups of up to four that lie interleaved.
pub(crate) struct Weights {
    rows: usize,
    groups: Vec<Group>,
}

struct Group {
    rows: usize,
    weights: Vec<f64>,
}

impl Weights {
    /// `rows` × `depth` weights.
    pub(crate) fn new(rows: usize, depth: usize, weight: impl Fn(usize, usize) -> i32) -> Self {
        let group = |first: usize| {
            let count = GROUP.min(rows - first);
            let weights = (0..depth).flat_map(|k| (first..first + count).map(move |row| (row, k)));
            Group { rows: count, weights: weights.map(|(row, k)| weight(row, k).into()).collect() }
        };
        Self { rows, groups: (0..rows).step_by(GROUP).map(group).collect() }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Multiplies the weights of `columns` with a tile of as many rows.
    pub(crate) fn multiply(&self, columns: Range<usize>, x: &Limbs, out: &mut Limbs) {
        let arch = Arch::new();
        for (x, out) in x.0.iter().zip(&mut out.0) {
            arch.dispatch(Product { weights: self, columns: columns.clone(), x, out });
        }
    }
}

/// Tiles of `TILE` columns, split into a low and a high limb.
pub(crate) struct Limbs([Vec<f64>; 2]);

impl Limbs {
    pub(crate) fn new(rows: usize) -> Self {
        Self([vec![0.0; rows * TILE], vec![0.0; rows * TILE]])
    }

    /// Splits residues below 2⁶² into row `row`.
    pub(crate) fn set(&mut self, row: usize, residues: impl Iterator<Item = u64>) {
        let [low, high] = &mut self.0;
        let place = row * TILE..(row + 1) * TILE;
        for ((low, high), x) in low[place.clone()].iter_mut().zip(&mut high[place]).zip(residues) {
            *low = f64::from((x & ((1 << LIMB) - 1)) as i32);
            *high = f64::from((x >> LIMB) as i32);
        }
    }

    /// Row `row` modulo `modulus`.
    pub(crate) fn residues(&self, row: usize, modulus: &Modulus) -> impl Iterator<Item = u64> {
        let [low, high] = &self.0;
        let place = row * TILE..(row + 1) * TILE;
        // A multiple of the modulus, from 2⁸⁷ to 2¹²⁶, makes every sum positive.
        let positive = i128::from(**modulus) << 64;
        low[place.clone()].iter().zip(&high[place]).map(move |(&low, &high)| {
            let sum = (i128::from(high as i64) << LIMB) + i128::from(low as i64);
            modulus.reduce_u128((sum + positive) as u128)
        })
    }
}

struct Product<'a> {
    weights: &'a Weights,
    columns: Range<usize>,
    x: &'a [f64],
    out: &'a mut [f64],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, _) = S::as_simd_f64s(self.x);
        let (out, _) = S::as_mut_simd_f64s(self.out);
        let width = TILE / S::F64_LANES;
        let mut rest = out;
        for group in &self.weights.groups {
            let weights = &group.weights[self.columns.start * group.rows..self.columns.end * group.rows];
            let (out, next) = rest.split_at_mut(group.rows * width);
            match group.rows {
                4 => rows::<S, 4>(simd, weights, x, out),
                3 => rows::<S, 3>(simd, weights, x, out),
                2 => rows::<S, 2>(simd, weights, x, out),
                _ => rows::<S, 1>(simd, weights, x, out),
            }
            rest = next;
        }
    }
}

/// R rows of sums. Wide registers come with more of them, which more columns at once put to use.
#[inline(always)]
fn rows<S: Simd, const R: usize>(simd: S, weights: &[f64], x: &[S::f64s], out: &mut [S::f64s]) {
    let width = TILE / S::F64_LANES;
    let step = if S::F64_LANES >= 8 { 4 } else { 2 };
    for column in (0..width).step_by(step) {
        match step {
            4 => block::<S, R, 4>(simd, weights, x, out, column),
            _ => block::<S, R, 2>(simd, weights, x, out, column),
        }
    }
}

#[inline(always)]
fn block<S: Simd, const R: usize, const C: usize>(
    simd: S,
    weights: &[f64],
    x: &[S::f64s],
    out: &mut [S::f64s],
    column: usize,
) {
    let width = TILE / S::F64_LANES;
    let mut sums = [[simd.splat_f64s(0.0); C]; R];
    for (x, weights) in x.chunks_exact(width).zip(weights.as_chunks::<R>().0) {
        let x: [_; C] = array::from_fn(|c| x[column + c]);
        for (sums, &weight) in sums.iter_mut().zip(weights) {
            let weight = simd.splat_f64s(weight);
            *sums = array::from_fn(|c| simd.mul_add_e_f64s(weight, x[c], sums[c]));
        }
    }
    for (out, sums) in out.chunks_exact_mut(width).zip(sums) {
        out[column..column + C].copy_from_slice(&sums);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn products_are_those_of_integers(
            rows in 1_usize..11,
            depth in 1_usize..9,
            seed in any::<u64>(),
            bound in prop::sample::select(vec![1, 31, (1 << 18) - 1]),
        ) {
            let q = Modulus::new((1 << 62) - 57).unwrap();
            let mix = |a: usize, b: usize| (seed ^ (a * 1000 + b) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let weight = |row, k| (mix(row, k) % (2 * bound + 1)) as i32 - bound as i32;
            let value = |k, column| if seed % 3 == 0 { *q - 1 } else { mix(k, column + 7) % *q };
            let mut x = Limbs::new(depth);
            for k in 0..depth {
                x.set(k, (0..TILE).map(|column| value(k, column)));
            }
            let first = seed as usize % depth;
            let mut out = Limbs::new(rows);
            let mut part = Limbs::new(depth - first);
            for k in first..depth {
                part.set(k - first, (0..TILE).map(|column| value(k, column)));
            }
            Weights::new(rows, depth, weight).multiply(first..depth, &part, &mut out);
            for row in 0..rows {
                for (column, got) in out.residues(row, &q).enumerate() {
                    let sum: i128 = (first..depth).map(|k| i128::from(weight(row, k)) * i128::from(value(k, column))).sum();
                    prop_assert_eq!(i128::from(got), sum.rem_euclid(i128::from(*q)));
                }
            }
        }
    }

    #[test]
    fn largest_sums_stay_exact() {
        let q = Modulus::new((1 << 62) - 57).unwrap();
        let weights = Weights::new(1, 2, |_, k| if k == 0 { (MAX_GAIN - 1) as i32 } else { -1 });
        let mut x = Limbs::new(2);
        let mut out = Limbs::new(1);
        x.set(0, [*q - 1; TILE].into_iter());
        x.set(1, [1; TILE].into_iter());
        weights.multiply(0..2, &x, &mut out);
        let expected = (i128::from(MAX_GAIN - 1) * i128::from(*q - 1) - 1).rem_euclid(i128::from(*q));
        assert!(out.residues(0, &q).all(|got| i128::from(got) == expected));
    }
}

//! Images as blocks, and what blocks of natural images have in common.

use super::matching::Square;
use cleave_keyed::Lock;

/// Images cut into blocks, `[image][block][value]`.
pub(crate) struct Blocks {
    values: Vec<f32>,
    pub(crate) images: usize,
    blocks: usize,
    pub(crate) side: usize,
}

impl Blocks {
    /// Cuts images `[batch, channels, height, width]` as a lock does.
    pub(crate) fn of(lock: &Lock, images: &[f32]) -> Self {
        let (blocks, side) = (lock.blocks(), lock.block());
        let places: Vec<_> = (0..blocks * side).map(|at| lock.place(at / side, at % side)).collect();
        let image = |image: &[f32]| places.iter().map(|&place| image[place]).collect::<Vec<_>>();
        let values: Vec<_> = images.chunks_exact(lock.image.values()).flat_map(image).collect();
        Self { images: values.len() / (blocks * side), values, blocks, side }
    }

    /// One block of one image.
    pub(crate) fn block(&self, image: usize, block: usize) -> &[f32] {
        &self.values[(image * self.blocks + block) * self.side..][..self.side]
    }

    /// Mean of each value over all images and the given blocks.
    pub(crate) fn means(&self, places: impl Iterator<Item = usize> + Clone) -> Vec<f64> {
        let mut sums = vec![0.0; self.side];
        let mut count = 0.0;
        for image in 0..self.images {
            for block in places.clone() {
                self.block(image, block).iter().zip(&mut sums).for_each(|(&value, sum)| *sum += f64::from(value));
                count += 1.0;
            }
        }
        sums.into_iter().map(|sum| sum / f64::max(count, 1.0)).collect()
    }

    /// Covariance of the values of one block with those of another, over all images and all `pairs` of blocks.
    pub(crate) fn covariance(&self, pairs: &[(usize, usize)]) -> Square {
        let means = [self.means(pairs.iter().map(|pair| pair.0)), self.means(pairs.iter().map(|pair| pair.1))];
        let mut sums = Square::zero(self.side);
        let centred = |values: &[f32], mean: &[f64]| -> Vec<f64> {
            values.iter().zip(mean).map(|(&value, mean)| f64::from(value) - mean).collect()
        };
        for image in 0..self.images {
            for &(a, b) in pairs {
                let (a, b) = (centred(self.block(image, a), &means[0]), centred(self.block(image, b), &means[1]));
                for (row, a) in sums.values.chunks_exact_mut(self.side).zip(&a) {
                    row.iter_mut().zip(&b).for_each(|(sum, b)| *sum += a * b);
                }
            }
        }
        let count = (self.images * pairs.len()).max(1) as f64;
        sums.values.iter_mut().for_each(|value| *value /= count);
        sums
    }

    /// Mean over the values of a block with the given signs, of every block, in ascending order.
    pub(crate) fn brightness(&self, signs: &[f64]) -> Vec<f64> {
        let mean = |block: &[f32]| block.iter().zip(signs).map(|(&value, sign)| f64::from(value) * sign).sum::<f64>();
        let mut means: Vec<_> =
            self.values.chunks_exact(self.side).map(|block| mean(block) / self.side as f64).collect();
        means.sort_by(f64::total_cmp);
        means
    }

    /// All blocks of all images, one after the other: `[images * blocks, value]`.
    pub(crate) fn by_value(&self) -> &[f32] {
        &self.values
    }
}

/// Pairs of blocks that stand alike to one another: each with itself, with its right neighbour, with the one below.
pub(crate) struct Neighbours {
    pub(crate) same: Vec<(usize, usize)>,
    pub(crate) right: Vec<(usize, usize)>,
    pub(crate) below: Vec<(usize, usize)>,
}

impl Neighbours {
    pub(crate) fn of(lock: &Lock) -> Self {
        let [down, across] = lock.grid();
        let all = || 0..down * across;
        Self {
            same: all().map(|at| (at, at)).collect(),
            right: all().filter(|at| at % across + 1 < across).map(|at| (at, at + 1)).collect(),
            below: all().filter(|at| at / across + 1 < down).map(|at| (at, at + across)).collect(),
        }
    }
}

/// How a block's values can be named anew so that statistics of natural images hardly change: mirrored, turned, and
/// with its channels exchanged. `names[value]` is the new name.
pub(crate) fn symmetries(lock: &Lock) -> Vec<Vec<usize>> {
    let ([rows, columns], channels) = (lock.patch, lock.image.channels);
    let orders: Vec<Vec<usize>> = match channels {
        3 => vec![vec![0, 1, 2], vec![0, 2, 1], vec![1, 0, 2], vec![1, 2, 0], vec![2, 0, 1], vec![2, 1, 0]],
        _ => vec![(0..channels).collect()],
    };
    let turns = if rows == columns { 8 } else { 4 };
    let name = |order: &[usize], turn: usize, value: usize| {
        let (channel, mut row, mut column) = (value / (rows * columns), value / columns % rows, value % columns);
        if turn & 4 != 0 {
            (row, column) = (column, row);
        }
        row = if turn & 1 != 0 { rows - 1 - row } else { row };
        column = if turn & 2 != 0 { columns - 1 - column } else { column };
        order[channel] * rows * columns + row * columns + column
    };
    let all = orders.iter().flat_map(|order| (0..turns).map(move |turn| (order, turn)));
    all.map(|(order, turn)| (0..lock.block()).map(|value| name(order, turn, value)).collect()).collect()
}

/// The signs that make most of a covariance positive: those of its first eigenvector. Values of a natural image go up
/// and down together.
pub(crate) fn common_signs(covariance: &Square) -> Vec<f64> {
    let side = covariance.side;
    let largest = (0..side).max_by(|&a, &b| covariance.at(a, a).total_cmp(&covariance.at(b, b))).unwrap_or(0);
    let mut vector: Vec<f64> = (0..side).map(|row| covariance.at(row, largest)).collect();
    for _ in 0..POWER_STEPS {
        let next: Vec<f64> =
            (0..side).map(|row| (0..side).map(|column| covariance.at(row, column) * vector[column]).sum()).collect();
        let length = next.iter().map(|value| value * value).sum::<f64>().sqrt();
        if length == 0.0 {
            break;
        }
        vector = next.into_iter().map(|value| value / length).collect();
    }
    vector.into_iter().map(|value| if value < 0.0 { -1.0 } else { 1.0 }).collect()
}

/// Multiplications with the covariance; its first eigenvalue is far above the others.
const POWER_STEPS: usize = 100;

/// Whether one sorted list of values is nearer to a third than another, by their quantiles.
pub(crate) fn is_nearer(a: &[f64], b: &[f64], to: &[f64]) -> bool {
    let quantile = |values: &[f64], at: usize| {
        let last = values.len().saturating_sub(1);
        values.get(last * at / QUANTILES).copied().unwrap_or_default()
    };
    let distance =
        |values: &[f64]| (1..QUANTILES).map(|at| (quantile(values, at) - quantile(to, at)).abs()).sum::<f64>();
    distance(a) < distance(b)
}

const QUANTILES: usize = 50;

//! Two sets of values matched by what is known of each alone.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A square matrix, row by row.
#[derive(Clone, Debug)]
pub(crate) struct Square {
    pub(crate) side: usize,
    pub(crate) values: Vec<f64>,
}

impl Square {
    pub(crate) fn zero(side: usize) -> Self {
        Self { side, values: vec![0.0; side * side] }
    }

    pub(crate) fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.side + column]
    }

    fn row(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        self.values[row * self.side..][..self.side].iter().copied()
    }

    fn column(&self, column: usize) -> impl Iterator<Item = f64> + '_ {
        self.values.iter().skip(column).step_by(self.side).copied()
    }
}

/// What a matching has to bring together: `known` and `seen` matrices in pairs, and a cost of each single choice.
///
/// The cost of `p`, which says for each known value which seen one it is, is the sum over all pairs and all `i`, `j` of
/// `(known[i][j] − seen[p[i]][p[j]])²`, and over all `i` of `single[i][p[i]]`: a quadratic assignment.
pub(crate) struct Matching {
    pub(crate) pairs: Vec<[Square; 2]>,
    pub(crate) single: Square,
}

/// Swaps are tried until none helps by more than this share of the cost.
const GAIN: f64 = 1e-9;

impl Matching {
    /// The cost of a matching.
    pub(crate) fn cost(&self, p: &[usize]) -> f64 {
        let pair = |[known, seen]: &[Square; 2]| -> f64 {
            let all = (0..p.len()).flat_map(|i| (0..p.len()).map(move |j| (i, j)));
            all.map(|(i, j)| (known.at(i, j) - seen.at(p[i], p[j])).powi(2)).sum()
        };
        self.pairs.iter().map(pair).sum::<f64>() + p.iter().enumerate().map(|(i, &k)| self.single.at(i, k)).sum::<f64>()
    }

    /// What the cost changes by when the values at `a` and `b` are exchanged.
    fn change(&self, p: &[usize], a: usize, b: usize) -> f64 {
        let single = &self.single;
        let mut change = single.at(a, p[b]) + single.at(b, p[a]) - single.at(a, p[a]) - single.at(b, p[b]);
        let at = |k: usize| {
            if k == a {
                p[b]
            } else if k == b {
                p[a]
            } else {
                p[k]
            }
        };
        for [known, seen] in &self.pairs {
            let gap = |i: usize, j: usize| {
                (known.at(i, j) - seen.at(at(i), at(j))).powi(2) - (known.at(i, j) - seen.at(p[i], p[j])).powi(2)
            };
            change += (0..p.len())
                .filter(|&j| j != a && j != b)
                .map(|j| gap(a, j) + gap(j, a) + gap(b, j) + gap(j, b))
                .sum::<f64>();
            change += gap(a, a) + gap(a, b) + gap(b, a) + gap(b, b);
        }
        change
    }

    /// Exchanges pairs as long as that helps.
    fn descend(&self, mut p: Vec<usize>) -> (Vec<usize>, f64) {
        let mut cost = self.cost(&p);
        loop {
            let before = cost;
            for a in 0..p.len() {
                let best = (a + 1..p.len()).map(|b| (self.change(&p, a, b), b)).min_by(|x, y| x.0.total_cmp(&y.0));
                if let Some((change, b)) = best.filter(|(change, _)| *change < -GAIN * before.abs()) {
                    p.swap(a, b);
                    cost += change;
                }
            }
            if before - cost <= GAIN * before.abs() {
                return (p, cost);
            }
        }
    }

    /// A start: each value with the one whose rows and columns, sorted, are nearest to its own.
    fn start(&self) -> Vec<usize> {
        let side = self.single.side;
        let features = |which: usize| -> Vec<Vec<f64>> {
            let sorted = |values: &mut dyn Iterator<Item = f64>| {
                let mut values: Vec<_> = values.collect();
                values.sort_by(f64::total_cmp);
                values
            };
            let of = |i: usize| {
                let lines = self
                    .pairs
                    .iter()
                    .flat_map(|pair| [sorted(&mut pair[which].row(i)), sorted(&mut pair[which].column(i))]);
                lines.flatten().chain(self.pairs.iter().map(|pair| pair[which].at(i, i))).collect()
            };
            (0..side).map(of).collect()
        };
        let (known, seen) = (features(0), features(1));
        let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        let all = (0..side).flat_map(|i| (0..side).map(move |k| (i, k)));
        greedy(side, all.map(|(i, k)| (distance(&known[i], &seen[k]) + self.single.at(i, k), i, k)).collect())
    }

    /// The best matching that was found: from the start above, from `relabelled` forms of what it led to, and from
    /// `restarts` random ones.
    ///
    /// `relabelled`: ways to name the known values anew that leave what is known of them nearly the same, as mirrored
    /// images do. A descent ends in one of those as easily as in the true one.
    pub(crate) fn best(&self, relabelled: &[Vec<usize>], restarts: usize, seed: u64) -> Vec<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut best = self.descend(self.start());
        for _ in 0..restarts {
            let mut p = best.0.clone();
            p.shuffle(&mut rng);
            best = better(best, self.descend(p));
            let near = shaken(&mut rng, &best.0);
            best = better(best, self.descend(near));
        }
        let found = best.0.clone();
        for names in relabelled {
            best = better(best, self.descend(names.iter().map(|&name| found[name]).collect()));
        }
        best.0
    }
}

/// A matching with an eighth of its values moved.
fn shaken(rng: &mut ChaCha8Rng, p: &[usize]) -> Vec<usize> {
    let mut p = p.to_vec();
    for _ in 0..p.len().div_ceil(16) {
        let (a, b) = (rng.random_range(0..p.len()), rng.random_range(0..p.len()));
        p.swap(a, b);
    }
    p
}

fn better(a: (Vec<usize>, f64), b: (Vec<usize>, f64)) -> (Vec<usize>, f64) {
    if b.1 < a.1 { b } else { a }
}

/// Pairs from the cheapest on, each value once.
pub(crate) fn greedy(side: usize, mut costs: Vec<(f64, usize, usize)>) -> Vec<usize> {
    costs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut matched, mut taken) = (vec![None; side], vec![false; side]);
    for (_, i, k) in costs {
        if matched[i].is_none() && !taken[k] {
            matched[i] = Some(k);
            taken[k] = true;
        }
    }
    matched.into_iter().map(Option::unwrap_or_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(side: usize, seed: u64) -> Square {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Square { side, values: (0..side * side).map(|_| rng.random_range(-1.0..1.0)).collect() }
    }

    fn permuted(known: &Square, p: &[usize]) -> Square {
        let mut seen = Square::zero(known.side);
        for i in 0..known.side {
            for j in 0..known.side {
                seen.values[p[i] * known.side + p[j]] = known.at(i, j);
            }
        }
        seen
    }

    #[test]
    fn a_matrix_is_found_again_under_another_order() {
        for seed in 0..10 {
            let known = random(20, seed);
            let mut p: Vec<usize> = (0..20).collect();
            p.shuffle(&mut ChaCha8Rng::seed_from_u64(seed + 100));
            let pairs = vec![[known.clone(), permuted(&known, &p)]];
            let matching = Matching { pairs, single: Square::zero(20) };
            assert!(matching.cost(&p) < 1e-12);
            assert_eq!(matching.best(&[], 0, seed), p);
            assert_eq!(matching.best(&[], 3, seed), p, "starts at the optimum itself end too");
        }
    }

    #[test]
    fn a_change_is_the_difference_of_two_costs() {
        let matching =
            Matching { pairs: vec![[random(7, 1), random(7, 2)], [random(7, 3), random(7, 4)]], single: random(7, 5) };
        let p = [3, 1, 4, 0, 6, 2, 5];
        for (a, b) in (0..7).flat_map(|a| (a + 1..7).map(move |b| (a, b))) {
            let mut swapped = p;
            swapped.swap(a, b);
            let expected = matching.cost(&swapped) - matching.cost(&p);
            assert!((matching.change(&p, a, b) - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn single_costs_alone_decide_where_nothing_else_is_known() {
        let mut single = Square { side: 4, values: vec![1.0; 16] };
        for (i, k) in [(0, 2), (1, 0), (2, 3), (3, 1)] {
            single.values[i * 4 + k] = 0.0;
        }
        let matching = Matching { pairs: vec![[Square::zero(4), Square::zero(4)]], single };
        assert_eq!(matching.best(&[], 2, 1), [2, 0, 3, 1]);
    }
}

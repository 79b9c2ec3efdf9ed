//! Small systems of equations, and a classifier that takes them.

/// A share of the mean square that is added to the diagonal.
const RIDGE: f64 = 0.05;

/// Σ aᵢ·bᵢ.
pub(crate) fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// For each vector the share of its square that a ridge regression on the others leaves.
pub(crate) fn leave_one_out(vectors: &[Vec<f32>]) -> Vec<f64> {
    let count = vectors.len();
    let unit: Vec<Vec<f32>> = vectors.iter().map(|vector| scaled(vector)).collect();
    let mut gram = vec![vec![0.0; count]; count];
    for a in 0..count {
        for b in 0..=a {
            let value = f64::from(product(&unit[a], &unit[b]));
            (gram[a][b], gram[b][a]) = (value, value);
        }
    }
    (0..count).for_each(|at| gram[at][at] += RIDGE);
    match Cholesky::of(gram) {
        Some(factor) => (0..count).map(|at| 1.0 / factor.inverse_diagonal(at)).collect(),
        None => vec![0.0; count],
    }
}

fn scaled(vector: &[f32]) -> Vec<f32> {
    let length = product(vector, vector).sqrt().max(1e-12);
    vector.iter().map(|value| value / length).collect()
}

/// The lower triangle L of a positive definite matrix LLᵀ.
struct Cholesky(Vec<Vec<f64>>);

impl Cholesky {
    fn of(mut matrix: Vec<Vec<f64>>) -> Option<Self> {
        for row in 0..matrix.len() {
            for column in 0..=row {
                let (head, tail) = matrix.split_at_mut(row);
                let other = if column < row { &head[column] } else { &tail[0] };
                let sum: f64 = tail[0][..column].iter().zip(&other[..column]).map(|(a, b)| a * b).sum();
                let value = tail[0][column] - sum;
                if column < row {
                    tail[0][column] = value / head[column][column];
                } else if value > 0.0 {
                    tail[0][column] = value.sqrt();
                } else {
                    return None;
                }
            }
        }
        Some(Self(matrix))
    }

    fn forward(&self, mut right: Vec<f64>) -> Vec<f64> {
        for row in 0..right.len() {
            let sum: f64 = self.0[row][..row].iter().zip(&right).map(|(a, b)| a * b).sum();
            right[row] = (right[row] - sum) / self.0[row][row];
        }
        right
    }

    fn solve(&self, right: Vec<f64>) -> Vec<f64> {
        let mut out = self.forward(right);
        for row in (0..out.len()).rev() {
            let sum: f64 = (row + 1..out.len()).map(|below| self.0[below][row] * out[below]).sum();
            out[row] = (out[row] - sum) / self.0[row][row];
        }
        out
    }

    fn inverse_diagonal(&self, at: usize) -> f64 {
        let mut right = vec![0.0; self.0.len()];
        right[at] = 1.0;
        self.forward(right).iter().map(|value| value * value).sum()
    }
}

/// A logistic regression with a penalty on its weights, by Newton's method.
pub(crate) struct Logistic(Vec<f64>);

impl Logistic {
    const STEPS: usize = 12;
    /// Penalty on the square of each weight but the first, as so many examples.
    const PENALTY: f64 = 3.0;

    /// Learns to tell rows of `true` from those of `false`; both together weigh the same.
    pub(crate) fn fit(rows: &[(&[f64], bool)]) -> Self {
        let width = rows.first().map_or(0, |(row, _)| row.len()) + 1;
        let positive = rows.iter().filter(|(_, label)| *label).count().max(1) as f64;
        let negative = (rows.len() as f64 - positive).max(1.0);
        let mut weights = vec![0.0; width];
        for _ in 0..Self::STEPS {
            let mut slope = vec![0.0; width];
            let mut curve = vec![vec![0.0; width]; width];
            for (row, label) in rows {
                let row: Vec<f64> = std::iter::once(1.0).chain(row.iter().copied()).collect();
                let score: f64 = row.iter().zip(&weights).map(|(a, b)| a * b).sum();
                let chance = 1.0 / (1.0 + (-score).exp());
                let weight = if *label { negative / positive } else { 1.0 };
                for a in 0..width {
                    slope[a] += weight * (f64::from(u8::from(*label)) - chance) * row[a];
                    for b in 0..width {
                        curve[a][b] += weight * chance * (1.0 - chance) * row[a] * row[b];
                    }
                }
            }
            for at in 0..width {
                let penalty = if at == 0 { 1e-6 } else { Self::PENALTY };
                slope[at] -= penalty * weights[at];
                curve[at][at] += penalty;
            }
            let Some(factor) = Cholesky::of(curve) else { break };
            weights.iter_mut().zip(factor.solve(slope)).for_each(|(weight, step)| *weight += step.clamp(-5.0, 5.0));
        }
        Self(weights)
    }

    /// The logarithm of the odds that a row is one of `true`.
    pub(crate) fn score(&self, row: &[f64]) -> f64 {
        std::iter::once(&1.0).chain(row).zip(&self.0).map(|(a, b)| a * b).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_solved() {
        let factor = Cholesky::of(vec![vec![4.0, 2.0], vec![2.0, 3.0]]).unwrap();
        let solved = factor.solve(vec![2.0, 5.0]);
        assert!((solved[0] + 0.5).abs() < 1e-12 && (solved[1] - 2.0).abs() < 1e-12, "{solved:?}");
        assert!((factor.inverse_diagonal(1) - 0.5).abs() < 1e-12);
        assert!(Cholesky::of(vec![vec![0.0]]).is_none());
    }

    #[test]
    fn what_the_others_span_is_told_from_what_they_do_not() {
        let rows = vec![vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0], vec![1.0, 1.0, 0.0], vec![0.0, 0.0, 1.0]];
        let left = leave_one_out(&rows);
        assert!(left[3] > 0.99 && left[2] < 0.3, "{left:?}");
    }

    #[test]
    fn a_classifier_finds_what_tells_rows_apart() {
        let rows: Vec<_> = (0..40).map(|at| (vec![f64::from(at % 7), f64::from(at)], at >= 30)).collect();
        let rows: Vec<_> = rows.iter().map(|(row, label)| (row.as_slice(), *label)).collect();
        let fitted = Logistic::fit(&rows);
        assert!(fitted.score(&[3.0, 39.0]) > 0.0 && fitted.score(&[3.0, 5.0]) < 0.0);
    }
}

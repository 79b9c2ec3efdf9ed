//! How much two samples depend on each other.

use burn::tensor::Tensor;

/// Distances below this share of the typical distance count as 0: the inner products that they come from are not exact
/// to more digits, and the root of a distance of 0 has no derivative.
const NEAR: f32 = 1e-3;
/// The least product of variances; both are of the order of 1 where anything varies.
const LEAST_VARIANCE: f32 = 1e-12;

/// The squared distance correlation of the rows of `x` with those of `y`, 0 to 1.
///
/// The empirical form of Székely, Rizzo and Bakirov (2007, Section 2): with A and B the distances of all pairs of rows,
/// the means of rows and columns taken off, `mean(A∘B) / sqrt(mean(A∘A) · mean(B∘B))`. NoPeek (Vepakomma et al. 2020)
/// writes its loss with the root of it, whose derivative grows without bound as the dependence goes to 0; this one's
/// does not. In a batch of few rows of many values it is far above 0 for independent rows too: good for comparing, not
/// for judging alone. Where all rows of `x` or of `y` are equal it is 0.
///
/// # Shapes
/// `x`: `[batch, p]`, `y`: `[batch, q]`; the result: `[1]`. Gradients flow to both.
pub(crate) fn distance_correlation(x: Tensor<2>, y: Tensor<2>) -> Tensor<1> {
    let (a, b) = (centred_distances(x), centred_distances(y));
    let product = |a: &Tensor<2>, b: &Tensor<2>| (a.clone() * b.clone()).mean();
    let variances = product(&a, &a) * product(&b, &b);
    product(&a, &b) / variances.clamp_min(LEAST_VARIANCE).sqrt()
}

/// Euclidean distances of all pairs of rows, `[batch, batch]`, in units of the rows' deviation from their mean; the mean
/// of each row and of each column is taken off.
fn centred_distances(x: Tensor<2>) -> Tensor<2> {
    let [batch, _] = x.dims();
    let x = x.clone() - x.mean_dim(0);
    let products = x.clone().matmul(x.transpose()); // [batch, batch]
    let squares = (products.clone() * Tensor::eye(batch, &products.device())).sum_dim(1); // [batch, 1]
    let unit = squares.clone().mean().detach().clamp_min(f32::MIN_POSITIVE).unsqueeze::<2>();
    let squared = (squares.clone() + squares.transpose() - products.mul_scalar(2.0)) / unit;
    let apart = squared.clone().greater_elem(NEAR * NEAR).float();
    let distances = squared.clamp_min(NEAR * NEAR).sqrt() * apart;
    let mean = distances.clone().mean().unsqueeze::<2>();
    distances.clone() - distances.clone().mean_dim(0) - distances.mean_dim(1) + mean
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use cleave_nets::device;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// By the definition, in f64.
    fn plain(x: &[Vec<f64>], y: &[Vec<f64>]) -> f64 {
        let centred = |rows: &[Vec<f64>]| {
            let n = rows.len();
            let distance =
                |j: usize, k: usize| rows[j].iter().zip(&rows[k]).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            let row = |j: usize| (0..n).map(|k| distance(j, k)).sum::<f64>() / n as f64;
            let mean = (0..n).map(row).sum::<f64>() / n as f64;
            let entries = (0..n).flat_map(|j| (0..n).map(move |k| (j, k)));
            entries.map(|(j, k)| distance(j, k) - row(j) - row(k) + mean).collect::<Vec<f64>>()
        };
        let (a, b) = (centred(x), centred(y));
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
    }

    fn rows(count: usize, values: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| (0..values).map(|_| rng.random_range(-1.0..1.0)).collect()).collect()
    }

    /// `y` follows `x` and a chance of its own.
    fn dependent(x: &[Vec<f64>], values: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut y = rows(x.len(), values, seed);
        for (y, x) in y.iter_mut().zip(x) {
            y.iter_mut().for_each(|value| *value = 0.5 * *value + x[0] * x[0] + x[1]);
        }
        y
    }

    fn tensor(rows: &[Vec<f64>]) -> Tensor<2> {
        let values = rows.iter().flatten().map(|&value| value as f32).collect::<Vec<f32>>();
        let shape = [rows.len(), rows[0].len()];
        Tensor::from_data(TensorData::new(values, shape), &device("flex").unwrap())
    }

    fn value(x: &[Vec<f64>], y: &[Vec<f64>]) -> f64 {
        f64::from(distance_correlation(tensor(x), tensor(y)).into_scalar::<f32>())
    }

    #[test]
    fn it_is_what_the_definition_gives() {
        for (count, p, q, seed) in [(4, 3, 2, 1), (16, 50, 20, 2), (40, 300, 7, 3)] {
            let x = rows(count, p, seed);
            for y in [rows(count, q, seed + 100), dependent(&x, q, seed + 200)] {
                let (got, expected) = (value(&x, &y), plain(&x, &y));
                assert!((got - expected).abs() < 2e-5, "{count} rows: {got}, expected {expected}");
            }
            let far: Vec<Vec<f64>> =
                x.iter().map(|row| row.iter().map(|value| 300.0 + 5.0 * value).collect()).collect();
            assert!((value(&x, &far) - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn its_gradient_is_that_of_finite_differences() {
        let x = rows(8, 5, 1);
        let y = dependent(&x, 4, 2);
        let leaf = tensor(&y).autodiff().require_grad();
        let gradients = distance_correlation(tensor(&x), leaf.clone()).backward();
        let gradient = leaf.grad(&gradients).unwrap().into_data().try_into_vec::<f32>().unwrap();
        let step = 1e-5;
        let moved = |row: usize, column: usize, by: f64| {
            let mut y = y.clone();
            y[row][column] += by;
            plain(&x, &y)
        };
        for (at, got) in gradient.iter().enumerate() {
            let (row, column) = (at / 4, at % 4);
            let expected = (moved(row, column, step) - moved(row, column, -step)) / (2.0 * step);
            assert!((f64::from(*got) - expected).abs() < 1e-4, "{row}, {column}: {got}, expected {expected}");
        }
    }

    #[test]
    fn equal_rows_give_a_finite_value_and_a_finite_gradient() {
        let x = rows(6, 4, 1);
        let mut twice = rows(6, 3, 2);
        twice[1] = twice[0].clone();
        for y in [twice, vec![vec![0.5; 3]; 6], vec![vec![0.0; 3]; 6]] {
            let leaf = tensor(&y).autodiff().require_grad();
            let correlation = distance_correlation(tensor(&x), leaf.clone());
            let gradient = leaf.grad(&correlation.backward()).unwrap().into_data().try_into_vec::<f32>().unwrap();
            assert!(gradient.iter().all(|value| value.is_finite()), "{gradient:?}");
            let constant = y.iter().all(|row| *row == y[0]);
            assert_eq!(correlation.into_scalar::<f32>() == 0.0, constant);
        }
    }
}

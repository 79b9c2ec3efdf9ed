//! What a client's decoys hide from somebody who reads every label.

use crate::Error;

/// The chance that somebody who reads the label of every image still names that of the real one, `decoys` others
/// being sent with it in random order.
///
/// The real label is drawn from `prior`, each decoy's independently from `pool`. Whoever sees the labels only knows
/// how often each occurs: n₁ … n_K, N = `decoys` + 1 in all. The joint probability of a real label k and these counts is
/// pₖ · Mult(n − eₖ; N − 1, q), which is (pₖ/qₖ) · nₖ/N · Mult(n; N, q). The best guess takes the k where it is largest,
/// so that it is right with probability E[maxₖ (pₖ/qₖ) nₖ] / N for counts drawn from Mult(N, q). A class that the pool
/// does not have gives the real image away, and adds its pₖ. The result is exact up to rounding; the work grows with
/// K·N³·log K.
///
/// This holds where no decoy can be told from a real image by anything but its label. `1 / (decoys + 1)`, the chance of
/// naming the image itself, holds only then too.
///
/// # Shapes
/// `prior`, `pool`: one weight a class, such as counts; each is divided by its sum.
///
/// # Errors
/// [`Error::Frequencies`] for weights that are no distribution, or lists of different length.
pub fn guess_with_decoys(prior: &[f64], pool: &[f64], decoys: usize) -> Result<f64, Error> {
    if prior.len() != pool.len() {
        return Err(Error::Frequencies { what: "the pool", classes: prior.len(), weights: pool.to_vec() });
    }
    let (prior, pool) = (distribution("the prior", prior)?, distribution("the pool", pool)?);
    let pairs = || prior.iter().zip(&pool);
    let given_away: f64 = pairs().filter(|(_, q)| **q == 0.0).map(|(p, _)| p).sum();
    let hidden: Vec<Class> =
        pairs().filter(|(_, q)| **q > 0.0).map(|(&p, &q)| Class { share: q, weight: p / q }).collect();
    Ok((given_away + mean_of_the_largest(&hidden, decoys + 1) / (decoys + 1) as f64).min(1.0))
}

fn distribution(what: &'static str, weights: &[f64]) -> Result<Vec<f64>, Error> {
    let sum: f64 = weights.iter().sum();
    if weights.iter().all(|&weight| weight >= 0.0) && sum.is_finite() && sum > 0.0 {
        return Ok(weights.iter().map(|weight| weight / sum).collect());
    }
    Err(Error::Frequencies { what, classes: weights.len(), weights: weights.to_vec() })
}

/// A class that decoys may have.
struct Class {
    /// qₖ, above 0.
    share: f64,
    /// pₖ/qₖ.
    weight: f64,
}

/// E[maxₖ weightₖ · nₖ] for counts n of `total` draws.
///
/// The maximum takes one of the values weightₖ · c. Going through them in order, P(max ≤ value) grows as one class
/// after the other may occur once more.
fn mean_of_the_largest(classes: &[Class], total: usize) -> f64 {
    let mut steps: Vec<(f64, usize, usize)> = classes
        .iter()
        .enumerate()
        .flat_map(|(index, class)| (1..=total).map(move |count| (class.weight * count as f64, index, count)))
        .collect();
    steps.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
    let mut counts = BoundedCounts::new(classes, total);
    let (mut mean, mut below) = (0.0, 0.0);
    for (value, index, count) in steps {
        let reached = counts.allow(index, count);
        mean += value * (reached - below);
        below = reached;
    }
    mean
}

/// The probability that multinomial counts stay within a bound for each class.
///
/// Counts of N draws are independent Poisson counts of means N·qₖ, given that they sum to N. So the probability is a
/// coefficient of a product of polynomials, one a class, cut off at its bound. The product is kept as a binary tree,
/// and a bound that is raised touches one path of it.
struct BoundedCounts {
    /// Node 1 is the root; the children of node i are 2i and 2i + 1; the leaves are the classes.
    nodes: Vec<Vec<f64>>,
    /// The Poisson means.
    means: Vec<f64>,
    /// The probability that the Poisson counts sum to N.
    sum: f64,
}

impl BoundedCounts {
    /// Every class bounded to 0.
    fn new(classes: &[Class], total: usize) -> Self {
        let leaves = classes.len().next_power_of_two();
        let means: Vec<f64> = classes.iter().map(|class| class.share * total as f64).collect();
        let constant = |value| std::iter::once(value).chain(std::iter::repeat_n(0.0, total)).collect::<Vec<f64>>();
        let mut nodes = vec![constant(1.0); 2 * leaves];
        for (leaf, mean) in nodes[leaves..].iter_mut().zip(&means) {
            *leaf = constant(poisson(*mean, 0));
        }
        for node in (1..leaves).rev() {
            nodes[node] = product(&nodes[2 * node], &nodes[2 * node + 1]);
        }
        Self { nodes, means, sum: poisson(total as f64, total) }
    }

    /// Raises the bound of a class from `count` - 1 to `count`; the probability under all bounds.
    fn allow(&mut self, class: usize, count: usize) -> f64 {
        let mut node = self.nodes.len() / 2 + class;
        self.nodes[node][count] = poisson(self.means[class], count);
        while node > 1 {
            node /= 2;
            self.nodes[node] = product(&self.nodes[2 * node], &self.nodes[2 * node + 1]);
        }
        self.nodes[1].last().copied().unwrap_or_default() / self.sum
    }
}

/// Two polynomials multiplied, as far as they go.
fn product(a: &[f64], b: &[f64]) -> Vec<f64> {
    (0..a.len()).map(|degree| (0..=degree).map(|part| a[part] * b[degree - part]).sum()).collect()
}

/// e^(−mean) meanⁿ / n!, by logarithms, so that nothing overflows.
fn poisson(mean: f64, count: usize) -> f64 {
    let factorial: f64 = (1..=count).map(|factor| (factor as f64).ln()).sum();
    (count as f64 * mean.ln() - mean - factorial).exp()
}

//! The density of singular values as a few random vectors see it: stochastic Lanczos quadrature.
//!
//! A vector `v` of `±1/√n` sees the singular values `σᵢ` with the weights `(v · vᵢ)²`, which are `1/n` each on average.
//! After `k` steps of the Lanczos process from `v`, the small matrix it yields has `k` values `θ` with weights that
//! stand for this distribution exactly in its first `2k` moments: a Gauss quadrature (Lin, Saad and Yang,
//! "Approximating spectral densities of large matrices", 2016; Ubaru, Chen and Saad, "Fast estimation of tr(f(A)) via
//! stochastic Lanczos quadrature", 2017).
//!
//! The process here is the bidiagonalisation of Golub and Kahan (1965), which is Lanczos on `JᵀJ` without forming it:
//! `JᵀJ` loses every singular value below the root of the rounding error, 3e-4 of the largest in `f32`, while this
//! loses those below about 1e-6. Only the vectors of the smaller side are kept and reorthogonalised, in full; the
//! singular values are then off by no more than rounding and the loss of orthogonality on that side (Simon and Zha
//! 2000; Barlow, "Reorthogonalization for the Golub-Kahan-Lanczos bidiagonal reduction", 2013).

use crate::bidiagonal::Bidiagonal;
use crate::map::{LinearMap, Products, Progress, report};
use crate::vector::{add, dot, norm_squared, widened};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random vectors that a value of the near side has to leave without trace to be called silent.
const WITNESSES: usize = 2;

/// Sum of squares past which a share is nothing.
const UNSEEN: f64 = 1e30;

/// What the probes saw.
pub(crate) struct Sample {
    /// One measure a probe.
    pub(crate) measures: Vec<Measure>,
    /// Values of the near side that the map does not ignore; the measures are about these alone.
    pub(crate) heard: usize,
}

/// Draws `probes` vectors on the near side and takes `steps` steps from each, all in one batch.
pub(crate) fn sample<M: LinearMap + ?Sized>(
    products: &Products<'_, M>,
    [probes, steps]: [usize; 2],
    seed: u64,
    progress: &mut Progress<'_>,
) -> Result<Sample, M::Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let heard = heard(products, &mut rng)?;
    let count = heard.iter().filter(|&&heard| heard).count();
    let mut chains: Vec<_> = (0..probes).map(|_| Chain::new(&heard, count, products.far(), &mut rng)).collect();
    for step in 0..steps {
        if step > 0 {
            advance(&mut chains, |vectors| products.back(vectors), Chain::last_far, Chain::push_near)?;
        }
        advance(&mut chains, |vectors| products.there(vectors), Chain::last_near, Chain::push_far)?;
        report(progress, step + 1, steps)?;
    }
    Ok(Sample { measures: chains.into_iter().map(|chain| chain.measure(count)).collect(), heard: count })
}

/// Which values of the near side the map does not ignore: behind a ReLU, many outputs are zero whatever happens to the
/// image. To know them, rather than to estimate how many there are, leaves less to chance and to the quadrature.
fn heard<M: LinearMap + ?Sized>(products: &Products<'_, M>, rng: &mut ChaCha8Rng) -> Result<Vec<bool>, M::Error> {
    let vectors: Vec<f32> = (0..WITNESSES * products.far()).map(|_| rng.random_range(-1.0..=1.0)).collect();
    let echoes = products.back(&vectors)?;
    let near = products.near();
    Ok((0..near).map(|index| echoes.iter().skip(index).step_by(near).any(|&value| value != 0.0)).collect())
}

/// One product for every chain that is not exhausted.
fn advance<E>(
    chains: &mut [Chain],
    multiply: impl FnOnce(&[f32]) -> Result<Vec<f32>, E>,
    last: impl Fn(&Chain) -> &[f32],
    push: impl Fn(&mut Chain, &[f32]),
) -> Result<(), E> {
    let mut open: Vec<_> = chains.iter_mut().filter(|chain| !chain.exhausted).collect();
    let vectors: Vec<f32> = open.iter().flat_map(|chain| last(chain)).copied().collect();
    let images = multiply(&vectors)?;
    let length = images.len() / open.len().max(1);
    for (chain, image) in open.iter_mut().zip(images.chunks(length.max(1))) {
        push(chain, image);
    }
    Ok(())
}

/// The Golub-Kahan process from one vector: `J V = U B` and `Jᵀ U = V Bᵀ` up to its next vector.
struct Chain {
    /// `V`: orthonormal vectors of the near side, each as rounded for the map.
    basis: Vec<Vec<f32>>,
    /// Last column of `U`.
    far: Vec<f32>,
    /// `α₁ β₁ α₂ β₂ …` of the upper bidiagonal `B`.
    entries: Vec<f64>,
    /// Whether the space that the map makes of the first vector has been exhausted.
    exhausted: bool,
}

impl Chain {
    fn new(heard: &[bool], count: usize, far: usize, rng: &mut ChaCha8Rng) -> Self {
        let entry = (count.max(1) as f32).sqrt().recip();
        let mut draw = |heard: &bool| match (heard, rng.random::<bool>()) {
            (false, _) => 0.0,
            (true, true) => entry,
            (true, false) => -entry,
        };
        let first = heard.iter().map(&mut draw).collect();
        Self { basis: vec![first], far: vec![0.0; far], entries: Vec::new(), exhausted: false }
    }

    fn last_near(&self) -> &[f32] {
        self.basis.last().map_or(&[], Vec::as_slice)
    }

    fn last_far(&self) -> &[f32] {
        &self.far
    }

    fn last_entry(&self) -> f64 {
        self.entries.last().copied().unwrap_or(0.0)
    }

    /// `α u = J v − β u'`.
    fn push_far(&mut self, image: &[f32]) {
        let mut vector = widened(image);
        add(&mut vector, -self.last_entry(), &self.far);
        let norm = norm_squared(&vector).sqrt();
        self.exhausted = self.negligible(norm);
        self.entries.push(if self.exhausted { 0.0 } else { norm });
        if !self.exhausted {
            self.far = unit(&vector, norm);
        }
    }

    /// `β v = Jᵀ u − α v'`, without what is left in it of all earlier vectors; twice is enough.
    fn push_near(&mut self, image: &[f32]) {
        let mut vector = widened(image);
        for _ in 0..2 {
            for earlier in self.basis.iter().rev() {
                let part = dot(earlier, &vector);
                add(&mut vector, -part, earlier);
            }
        }
        let norm = norm_squared(&vector).sqrt();
        self.exhausted = self.negligible(norm);
        if !self.exhausted {
            self.entries.push(norm);
            self.basis.push(unit(&vector, norm));
        }
    }

    /// Nothing but the rounding of the map.
    fn negligible(&self, norm: f64) -> bool {
        norm <= f64::from(f32::EPSILON) * self.entries.iter().copied().fold(0.0, f64::max)
    }

    fn measure(self, dimension: usize) -> Measure {
        Measure::new(self.entries, self.exhausted || self.basis.len() >= dimension)
    }
}

/// A vector over its length, rounded to what a map takes.
fn unit(vector: &[f64], norm: f64) -> Vec<f32> {
    vector.iter().map(|value| (value / norm) as f32).collect()
}

/// A distribution on the singular values with as many moments right as steps were taken.
pub(crate) struct Measure {
    /// Where its mass lies, largest first.
    pub(crate) nodes: Vec<f64>,
    /// How much, together 1.
    pub(crate) weights: Vec<f64>,
    /// `α₁ β₁ α₂ β₂ … αₖ`.
    entries: Vec<f64>,
    /// Whether it is the distribution itself.
    complete: bool,
}

impl Measure {
    /// The values of a bidiagonal matrix as its first row sees them. By bisection alone: the weights follow from the
    /// values and from those of the same matrix without its first column (Boley and Golub, "A survey of matrix inverse
    /// eigenvalue problems", 1987).
    fn new(entries: Vec<f64>, complete: bool) -> Self {
        let nodes = Bidiagonal::from_entries(&entries).values();
        let between = Bidiagonal::from_entries(&entries[1..]).values();
        let weights: Vec<f64> = (0..nodes.len()).map(|index| weight(&nodes, &between, index)).collect();
        let total: f64 = weights.iter().sum();
        Self { nodes, weights: weights.iter().map(|weight| weight / total).collect(), entries, complete }
    }

    /// Mean of the squared singular values.
    pub(crate) fn mean_square(&self) -> f64 {
        self.entries[0].powi(2)
    }

    /// Share of the singular values above a bound.
    pub(crate) fn above(&self, bound: f64) -> f64 {
        self.nodes.iter().zip(&self.weights).filter(|(node, _)| **node > bound).map(|(_, weight)| weight).sum()
    }

    /// By how much [`Self::above`] can be wrong: of all distributions of squares with these moments, the largest mass
    /// that one can have at the bound (Chebyshev, Markov and Stieltjes; Akhiezer, "The classical moment problem", 1965,
    /// section 2.5).
    ///
    /// With the polynomials `q₀ = 1`, `q₁ = τ q₀ / α₁`, `q₂ = (τ q₁ − α₁ q₀) / β₁` and so on, those of even degree are
    /// orthonormal for the distribution of the squares and those of odd degree, over `τ`, for the same times the
    /// squares. Each kind bounds the mass at `τ²` by `1 / Σ qⱼ(τ)²`. The second uses that squares are not negative;
    /// without it singular values of zero could not be told from small ones.
    pub(crate) fn doubt(&self, bound: f64) -> f64 {
        if self.complete {
            return 0.0;
        }
        let [mut earlier, mut last, mut entry_before] = [0.0, 1.0, 0.0];
        let mut sums: [f64; 2] = [1.0, 0.0];
        for (degree, entry) in (1..).zip(&self.entries) {
            let next = (bound * last - entry_before * earlier) / entry;
            [earlier, last, entry_before] = [last, next, *entry];
            sums[degree % 2] += next * next;
            if sums[degree % 2] > UNSEEN {
                return 0.0;
            }
        }
        sums[0].max(sums[1]).recip()
    }
}

/// `Π (θᵢ² − μⱼ²) / (θᵢ² − θⱼ²)`, every factor between 0 and 1 because the `μ` lie between the `θ`. Of values that
/// cannot be told apart the first takes the weight of all.
fn weight(nodes: &[f64], between: &[f64], index: usize) -> f64 {
    let node = nodes[index];
    let difference = |other: f64| (node - other) * (node + other);
    let factor = |other: usize| {
        let over = difference(nodes[other]);
        let under = difference(between[if other < index { other } else { other - 1 }]);
        if over == 0.0 { f64::from(u8::from(other > index)) } else { (under / over).clamp(0.0, 1.0) }
    };
    (0..nodes.len()).filter(|&other| other != index).map(factor).product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The first two moments of a bidiagonal matrix's square, as its first row sees them, from its entries alone.
        /// Bisection resolves 1e-18 beside an entry of 1, so what lies 1e-10 apart has weights right to 1e-8.
        #[test]
        fn weights_have_the_moments_of_the_entries(
            entries in prop::collection::vec(prop_oneof![0.1f64..2.0, Just(1.0), Just(1e-9)], 1..40),
        ) {
            let entries = entries[..(entries.len() - 1) / 2 * 2 + 1].to_vec();
            let [first, second] = [entries[0].powi(2), entries.get(1).map_or(0.0, |entry| entry.powi(2))];
            let measure = Measure::new(entries, false);
            let moment = |power| -> f64 {
                measure.nodes.iter().zip(&measure.weights).map(|(node, weight)| node.powi(power) * weight).sum()
            };
            prop_assert!((moment(0) - 1.0).abs() < 1e-12);
            prop_assert!((moment(2) - first).abs() < 1e-6);
            prop_assert!((moment(4) - first * (first + second)).abs() < 1e-6);
        }
    }

    #[test]
    fn values_that_coincide_share_one_weight() {
        let [nodes, between] = [[2.0, 2.0, 1.0].as_slice(), &[2.0, 1.5]];
        let weights = [0, 1, 2].map(|index| weight(nodes, between, index));
        assert_eq!(weights[1], 0.0);
        assert!((weights[0] - 1.75 / 3.0).abs() < 1e-15 && (weights[2] - 1.25 / 3.0).abs() < 1e-15, "{weights:?}");
    }

    #[test]
    fn an_exhausted_chain_leaves_no_doubt() {
        assert_eq!(Measure::new(vec![1.0, 0.5, 1.0], true).doubt(0.3), 0.0);
        assert!(Measure::new(vec![1.0, 0.5, 1.0], false).doubt(0.3) > 0.1);
    }
}

use crate::{
    Error, Result,
    ckks::{Complex, KeyPlan, Params},
};

/// Most samples side by side in one ciphertext.
const MAX_BLOCK: usize = 128;
/// Levels of an iteration: X·V, z² and the mask, z·z², the directions.
pub(crate) const LEVELS: usize = 4;

/// The public numbers of a training: who sees ciphertexts knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// n.
    pub samples: usize,
    /// d, with the leading 1.
    pub features: usize,
    /// c.
    pub classes: usize,
}

/// Where numbers stand in the slots: it follows from shape and parameters, and is no secret.
///
/// Slot (i, q, k) at i·inner + q·classes + k is about sample i of a block, pair q of features and class k. The
/// others are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// Samples in a ciphertext, a power of two. Weights stand as often in theirs.
    pub block: usize,
    /// Slots of a sample.
    pub inner: usize,
    /// Pairs of features in a ciphertext.
    pub pairs: usize,
    /// Ciphertexts for the features of a block, and for the weights.
    pub groups: usize,
    /// Ciphertexts for the samples.
    pub blocks: usize,
}

/// Where numbers stand in the slots.
///
/// Slot (i, q, k) of ciphertext m, at i·inner + q·classes + k, is about sample i of a block, class k, and the
/// features 2f and 2f + 1 with f = m·pairs + q, the first as real part and the second as imaginary part.
///
/// Samples go around the whole ciphertext, so that few rotations sum over them and leave the sum at every sample,
/// without a mask: that is what the new weights have to look like. Only the scores, one ciphertext a block, are
/// summed over q, where a mask is needed. Complex slots halve the number of ciphertexts: Re((a − ib)(v + iw)) = av +
/// bw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) params: Params,
    pub(crate) shape: Shape,
    /// Samples in a ciphertext, a power of two.
    block: usize,
    /// Slots of a sample.
    inner: usize,
    /// q goes up to this: 2^a·3^b.
    pairs: usize,
}

impl Layout {
    pub(crate) fn new(params: &Params, shape: Shape) -> Result<Self> {
        let Shape { samples, features, classes } = shape;
        let count = |what, got, max: usize| match (1..=max).contains(&got) {
            true => Ok(()),
            false => Err(Error::Count { what, got, expected: format!("1 to {max}") }),
        };
        count("samples", samples, 1 << 12)?;
        count("features of a sample", features, 1 << 12)?;
        let block = samples.next_power_of_two().min(MAX_BLOCK).min(params.slots());
        let inner = params.slots() / block;
        count("classes", classes, inner)?;
        let smooth = |q: usize| {
            let odd = q >> q.trailing_zeros();
            (0..).map(|power| 3_usize.pow(power)).take_while(|&power| power <= odd).any(|power| power == odd)
        };
        let pairs = (1..=inner / classes).rev().find(|&q| smooth(q)).unwrap_or(1);
        Ok(Self { params: params.clone(), shape, block, inner, pairs })
    }

    /// For parameters that have the levels of an iteration.
    pub(crate) fn checked(params: &Params, shape: Shape) -> Result<Self> {
        if params.levels() < LEVELS {
            return Err(Error::Level { what: "fresh weights", expected: LEVELS, got: params.levels() });
        }
        Self::new(params, shape)
    }

    pub(crate) fn packing(&self) -> Packing {
        let (groups, blocks) = (self.groups(), self.blocks());
        Packing { block: self.block, inner: self.inner, pairs: self.pairs, groups, blocks }
    }

    /// Ciphertexts for the features of a block, and for the weights.
    pub(crate) fn groups(&self) -> usize {
        self.shape.features.div_ceil(2 * self.pairs)
    }

    /// Ciphertexts for the samples.
    pub(crate) fn blocks(&self) -> usize {
        self.shape.samples.div_ceil(self.block)
    }

    /// One after the other, steps to rotate by at once: x plus its rotations replaces x. `step` is that from one
    /// place to the next. Fours cost less than twos, since the rotations of one step share most of their work.
    fn chain(count: usize, step: i64) -> Vec<Vec<i64>> {
        let (mut rest, mut step, mut out) = (count, step, Vec::new());
        while rest > 1 {
            let factor = [4, 2, 3].into_iter().find(|&factor| rest.is_multiple_of(factor)).unwrap_or(rest);
            let factor = factor as i64;
            out.push((1..factor).map(|k| k * step).collect());
            step *= factor;
            rest /= factor as usize;
        }
        out
    }

    /// Sums over q what stands in a sample; right at q = 0.
    pub(crate) fn gather(&self) -> Vec<Vec<i64>> {
        Self::chain(self.pairs, self.shape.classes as i64)
    }

    /// Brings what stands at q = 0 to every q.
    pub(crate) fn spread(&self) -> Vec<Vec<i64>> {
        Self::chain(self.pairs, -(self.shape.classes as i64))
    }

    /// Sums over all samples.
    pub(crate) fn over_samples(&self) -> Vec<Vec<i64>> {
        Self::chain(self.block, self.inner as i64)
    }

    /// The keys that an iteration needs, each up to the level at which it is used.
    pub(crate) fn plan(&self) -> KeyPlan {
        let top = self.params.levels();
        let plan = KeyPlan::new(&self.params).relinearise(top).conjugate(top.saturating_sub(1));
        let rotate = |plan: KeyPlan, steps: Vec<Vec<i64>>, below: usize| {
            steps.into_iter().flatten().fold(plan, |plan, step| plan.rotate(step, top.saturating_sub(below)))
        };
        let plan = rotate(plan, self.gather(), 1);
        let plan = rotate(plan, self.spread(), 3);
        rotate(plan, self.over_samples(), 4)
    }

    fn slot(&self, i: usize, q: usize, class: usize) -> usize {
        i * self.inner + q * self.shape.classes + class
    }

    /// Slots of group `group` from the number of each sample (in the block), feature and class.
    pub(crate) fn features(&self, group: usize, value: impl Fn(usize, usize, usize) -> f64) -> Vec<Complex> {
        let mut out = vec![Complex::default(); self.params.slots()];
        for q in 0..self.pairs {
            let first = 2 * (group * self.pairs + q);
            for (i, class) in (0..self.block).flat_map(|i| (0..self.shape.classes).map(move |class| (i, class))) {
                let part = |feature| if feature < self.shape.features { value(i, feature, class) } else { 0.0 };
                out[self.slot(i, q, class)] = Complex::new(part(first), part(first + 1));
            }
        }
        out
    }

    /// Slots at q = 0 from the number of each sample (in the block) and class.
    pub(crate) fn scores(&self, value: impl Fn(usize, usize) -> f64) -> Vec<Complex> {
        let mut out = vec![Complex::default(); self.params.slots()];
        for (i, class) in (0..self.block).flat_map(|i| (0..self.shape.classes).map(move |class| (i, class))) {
            out[self.slot(i, 0, class)] = value(i, class).into();
        }
        out
    }

    /// The sample at place `i` of block `block`, if there is one.
    pub(crate) fn sample(&self, block: usize, i: usize) -> Option<usize> {
        Some(block * self.block + i).filter(|&sample| sample < self.shape.samples)
    }

    /// Takes weights out of the slots of group `group`, class after class. The copies at all samples differ by their
    /// errors: their mean is taken.
    pub(crate) fn take_weights(&self, group: usize, slots: &[Complex], weights: &mut [f64]) {
        let d = self.shape.features;
        for (q, class) in (0..self.pairs).flat_map(|q| (0..self.shape.classes).map(move |class| (q, class))) {
            let first = 2 * (group * self.pairs + q);
            let copies = (0..self.block).map(|i| slots[self.slot(i, q, class)]);
            let sum = copies.fold(Complex::default(), |sum, slot| sum + slot);
            for (feature, part) in [(first, sum.re), (first + 1, sum.im)] {
                if feature < d {
                    weights[class * d + feature] = part / self.block as f64;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ckks::ParamSet;

    #[test]
    fn the_papers_data_fits_as_described() {
        let shape = Shape { samples: 128, features: 401, classes: 10 };
        let layout = |set, shape| Layout::new(&Params::named(set).unwrap(), shape).unwrap();
        let small = layout(ParamSet::Ckks16384x8, shape);
        assert_eq!((small.block, small.inner, small.pairs, small.groups(), small.blocks()), (128, 64, 6, 34, 1));
        let large = layout(ParamSet::Ckks32768x16, Shape { samples: 512, ..shape });
        assert_eq!((large.block, large.inner, large.pairs, large.groups(), large.blocks()), (128, 128, 12, 17, 4));
        assert_eq!(small.gather(), [vec![10], vec![20, 40]]);
        assert_eq!(small.over_samples().concat(), [64, 128, 192, 256, 512, 768, 1024, 2048, 3072, 4096]);
        assert!(small.plan().memory_bytes() < 256 << 20 && large.plan().memory_bytes() < 1 << 30);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let params = Params::insecure_for_tests(256, 4, 1, 1);
        let refused = |samples, features, classes| {
            matches!(Layout::new(&params, Shape { samples, features, classes }), Err(Error::Count { .. }))
        };
        assert!(refused(0, 3, 2) && refused(3, 0, 2) && refused(3, 3, 0));
        assert!(refused(usize::MAX, 3, 2) && refused(8, usize::MAX, 2) && refused(8, 3, 17) && !refused(8, 3, 16));
    }
}

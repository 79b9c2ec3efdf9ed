//! Keys guessed from images, and from the locked network.

use super::blocks::{Blocks, Neighbours, common_signs, is_nearer, symmetries};
use super::matching::{Matching, Square, greedy};
use cleave_keyed::{Keying, Lock};

/// Values of a block up to which a matching is tried from many starts; a descent takes the cube of them.
const MANY_STARTS: usize = 128;
/// Random starts.
const RESTARTS: usize = 6;

/// For each order and choice of signs, and each value of a keyed block: where it is thought to come from, and whether
/// negated.
#[derive(Clone)]
pub(crate) struct Guess(Vec<Vec<(usize, bool)>>);

/// What blocks of natural images have in common.
pub(crate) struct Nature {
    covariances: [Square; 3],
    means: Vec<f64>,
    brightness: Vec<f64>,
}

impl Nature {
    /// Of images that are not under a key.
    pub(crate) fn of(lock: &Lock, images: &Blocks) -> Self {
        let Neighbours { same, right, below } = Neighbours::of(lock);
        Self {
            covariances: [&same, &right, &below].map(|pairs| images.covariance(pairs)),
            means: images.means(0..lock.blocks()),
            brightness: images.brightness(&vec![1.0; lock.block()]),
        }
    }
}

impl Guess {
    /// How the keys of all patches differ from that of the first, from the weights of a network that is locked with a
    /// key for each patch, `[blocks, filters, block]`.
    ///
    /// The weights of two patches are the same columns in another order and with other signs. So no image is needed:
    /// each column of a patch is that one of the first which it equals, or is the negative of.
    pub(crate) fn of_differences(lock: &Lock, weights: &[f32]) -> Self {
        let (side, blocks) = (lock.block(), lock.blocks());
        let each = weights.len() / blocks.max(1);
        let of = |block: usize| &weights[block * each..][..each];
        Self((0..blocks).map(|block| matched_columns(side, of(0), of(block))).collect())
    }

    /// From what this one makes of keyed images, to what `next`, with one table, makes of that.
    pub(crate) fn followed_by(&self, next: &Self) -> Self {
        let then = |&(at, negated): &(usize, bool)| {
            let (from, again) = next.0[0][at];
            (from, negated ^ again)
        };
        Self(self.0.iter().map(|table| table.iter().map(then).collect()).collect())
    }

    /// Images without the key, if the guess is right.
    pub(crate) fn undo(&self, lock: &Lock, keyed: &[f32]) -> Vec<f32> {
        let mut plain = vec![0.0; keyed.len()];
        let size = lock.image.values();
        for (keyed, plain) in keyed.chunks_exact(size).zip(plain.chunks_exact_mut(size)) {
            for block in 0..lock.blocks() {
                for (at, &(from, negated)) in self.0[block % self.0.len()].iter().enumerate() {
                    let value = keyed[lock.place(block, at)];
                    plain[lock.place(block, from)] = if negated { -value } else { value };
                }
            }
        }
        plain
    }

    /// The share of the key's places and signs that are right.
    pub(crate) fn right(&self, truth: &[Vec<(usize, bool)>]) -> f64 {
        let pairs = || self.0.iter().flatten().zip(truth.iter().flatten());
        pairs().filter(|(guess, truth)| guess == truth).count() as f64 / pairs().count().max(1) as f64
    }

    /// One order and signs for all blocks, from images that are known in both forms: each value is the one that it
    /// equals, or is the negative of, in all of them.
    pub(crate) fn from_known(plain: &Blocks, keyed: &Blocks) -> Self {
        Self(vec![matched_columns(plain.side, plain.by_value(), keyed.by_value())])
    }

    /// One order and signs for all blocks, from keyed images alone.
    ///
    /// Neighbouring pixels are nearly alike. So the signs are those that make the values of a block vary together, and
    /// the order is the one whose covariances within a block, and with the blocks to the right and below, and whose
    /// means are those of other images.
    pub(crate) fn from_keyed(lock: &Lock, keyed: &Blocks, nature: &Nature, seed: u64) -> Self {
        let Neighbours { same, right, below } = Neighbours::of(lock);
        let within = keyed.covariance(&same);
        let signs = signs_of(keyed, &within, &nature.brightness);
        let seen = [within, keyed.covariance(&right), keyed.covariance(&below)].map(|seen| signed(&seen, &signs));
        let pairs = nature.covariances.iter().cloned().zip(seen).map(|(known, seen)| [known, seen]).collect();
        let single = mean_gaps(&nature.means, &keyed.means(0..lock.blocks()), &signs);
        let (relabelled, restarts) = match lock.block() <= MANY_STARTS {
            true => (symmetries(lock), RESTARTS),
            false => (Vec::new(), 0),
        };
        let matched = Matching { pairs, single }.best(&relabelled, restarts, seed);
        Self(vec![table(&matched, |at, _| signs[at] < 0.0)])
    }
}

/// The lock as it looks once the keys of all patches are brought to that of the first.
pub(crate) fn as_one(lock: &Lock) -> Lock {
    Lock { keying: Keying::Shared, ..lock.clone() }
}

/// For each of `seen`'s columns, of `side` values a row, the column of `known` that it equals or is the negative of.
fn matched_columns(side: usize, known: &[f32], seen: &[f32]) -> Vec<(usize, bool)> {
    let (mut products, mut squares) = (Square::zero(side), [vec![0.0; side], vec![0.0; side]]);
    for (x, y) in known.chunks_exact(side).zip(seen.chunks_exact(side)) {
        for (from, &x) in x.iter().enumerate() {
            let row = &mut products.values[from * side..][..side];
            row.iter_mut().zip(y).for_each(|(sum, &y)| *sum += f64::from(x) * f64::from(y));
            squares[0][from] += f64::from(x).powi(2);
        }
        y.iter().zip(&mut squares[1]).for_each(|(&y, sum)| *sum += f64::from(y).powi(2));
    }
    // The squared distance of one column from the other, or from its negative.
    let distance = |from: usize, at: usize| squares[0][from] + squares[1][at] - 2.0 * products.at(from, at).abs();
    let all = (0..side).flat_map(|from| (0..side).map(move |at| (from, at)));
    let matched = greedy(side, all.map(|(from, at)| (distance(from, at), from, at)).collect());
    table(&matched, |at, from| products.at(from, at) < 0.0)
}

/// From `matched[from] = at` to what each value of a keyed block comes from.
fn table(matched: &[usize], negated: impl Fn(usize, usize) -> bool) -> Vec<(usize, bool)> {
    let mut table = vec![(0, false); matched.len()];
    for (from, &at) in matched.iter().enumerate() {
        table[at] = (from, negated(at, from));
    }
    table
}

fn signed(covariance: &Square, signs: &[f64]) -> Square {
    let side = covariance.side;
    let value = |at: usize| covariance.values[at] * signs[at / side] * signs[at % side];
    Square { side, values: (0..side * side).map(value).collect() }
}

/// The common signs of a block's values, up or down as brightness goes in other images.
fn signs_of(keyed: &Blocks, covariance: &Square, others: &[f64]) -> Vec<f64> {
    let signs = common_signs(covariance);
    let brightness = keyed.brightness(&signs);
    let turned: Vec<f64> = brightness.iter().rev().map(|value| -value).collect();
    let up = is_nearer(&brightness, &turned, others);
    signs.into_iter().map(|sign| if up { sign } else { -sign }).collect()
}

/// How far the mean of each value of a keyed block is from that of each value of other images' blocks, squared, and as
/// often as a covariance counts it: what tells the channels apart.
fn mean_gaps(known: &[f64], seen: &[f64], signs: &[f64]) -> Square {
    let side = known.len();
    let gap = |at: usize| side as f64 * (known[at / side] - seen[at % side] * signs[at % side]).powi(2);
    Square { side, values: (0..side * side).map(gap).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cleave_data::Preparation;
    use cleave_keyed::Scramble;
    use cleave_nets::{ConvMixer, Network, Shape};
    use cleave_secrets::Secret;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const IMAGE: Shape = Shape::new(1, 16, 16);

    /// Images whose values go up and down together where they are near, or each for itself.
    fn images(count: usize, smooth: bool, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut image = || {
            let waves: Vec<[f32; 4]> = (0..4).map(|_| std::array::from_fn(|_| rng.random_range(-1.0..1.0))).collect();
            let value = move |at: usize| {
                let (x, y) = (at % 16, at / 16);
                let wave = |w: &[f32; 4]| w[0] * (0.4 * (w[1] * x as f32 + 0.6 * w[2] * y as f32) + 3.0 * w[3]).sin();
                0.4 * waves.iter().map(wave).sum::<f32>() - 0.02 * y as f32 + 0.2
            };
            (0..256).map(|at| if smooth { value(at) } else { rng.random_range(-1.0..1.0) }).collect::<Vec<_>>()
        };
        (0..count).flat_map(|_| image()).collect()
    }

    fn scramble(keying: Keying) -> Scramble {
        let secret = Secret::from_bytes(&[3; 32]);
        Scramble::new(&secret, &Lock { key: secret.id(), image: IMAGE, patch: [4, 4], keying }).unwrap()
    }

    fn found(plain: &[f32], others: &[f32]) -> f64 {
        let scramble = scramble(Keying::Shared);
        let lock = scramble.lock();
        let keyed = Blocks::of(lock, &scramble.apply(plain).unwrap());
        let guess = Guess::from_keyed(lock, &keyed, &Nature::of(lock, &Blocks::of(lock, others)), 1);
        guess.right(&scramble.tables_in_the_clear())
    }

    #[test]
    fn keyed_images_alone_give_a_shared_key_away() {
        let right = found(&images(200, true, 1), &images(400, true, 2));
        assert!(right > 0.9, "{right}");
    }

    #[test]
    fn images_without_anything_in_common_give_nothing_away() {
        let right = found(&images(200, false, 1), &images(400, false, 2));
        assert!(right < 0.3, "{right}"); // a sixteenth by luck, and half of those signs
        let right = found(&images(200, false, 1), &images(400, true, 2));
        assert!(right < 0.3, "{right}");
    }

    #[test]
    fn a_known_image_gives_the_key_away_and_another_image_does_not() {
        let scramble = scramble(Keying::Shared);
        let (lock, truth, plain) = (scramble.lock(), scramble.tables_in_the_clear(), images(1, false, 3));
        let keyed = scramble.apply(&plain).unwrap();
        let guess = Guess::from_known(&Blocks::of(lock, &plain), &Blocks::of(lock, &keyed));
        assert_eq!(guess.right(&truth), 1.0);
        assert_eq!(guess.undo(lock, &keyed), plain);
        let other = Guess::from_known(&Blocks::of(lock, &images(1, false, 4)), &Blocks::of(lock, &keyed));
        assert!(other.right(&truth) < 0.3, "pairs that do not belong together");
    }

    #[test]
    fn the_weights_of_a_key_for_each_patch_show_all_keys_but_one() {
        let mixer = ConvMixer { size: 16, channels: 1, classes: 2, width: 8, depth: 1, kernel: 3, patch: 4 };
        let network = Network::random(mixer.architecture().unwrap(), 3, &cleave_nets::device("flex").unwrap()).unwrap();
        let scramble = scramble(Keying::PerPatch);
        let locked = cleave_keyed::lock(&network, &Preparation::new(16, 16, 1), &scramble).unwrap().0;
        let (lock, truth) = (scramble.lock(), scramble.tables_in_the_clear());
        let differences = Guess::of_differences(lock, &locked.tensors().unwrap()["0.weight"].values);
        let first = Guess(vec![truth[0].clone()]);
        assert_eq!(differences.followed_by(&first).right(&truth), 1.0, "with the first key comes every other");
        let plain = images(2, true, 5);
        let brought = Blocks::of(&as_one(lock), &differences.undo(lock, &scramble.apply(&plain).unwrap()));
        let guess = Guess::from_known(&Blocks::of(lock, &plain), &brought);
        assert_eq!(differences.followed_by(&guess).right(&truth), 1.0, "and that from known images");
    }
}

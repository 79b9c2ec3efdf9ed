//! Keys guessed from images.

use super::blocks::{Blocks, Neighbours, common_signs, is_nearer, symmetries};
use super::matching::{Matching, Square, greedy};
use cleave_keyed::{Keying, Lock};

/// Values of a block up to which a matching is tried from many starts; a descent takes the cube of them.
const MANY_STARTS: usize = 128;
/// Random starts.
const RESTARTS: usize = 6;

/// For each order and choice of signs, and each value of a keyed block: where it is thought to come from, and whether
/// negated.
pub(crate) struct Guess(Vec<Vec<(usize, bool)>>);

impl Guess {
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

    /// From images that are known in both forms: each value is the one that it equals, or is the negative of, in all
    /// of them.
    pub(crate) fn from_known(lock: &Lock, plain: &Blocks, keyed: &Blocks) -> Self {
        Self((0..lock.tables()).map(|table| known_table(&places(lock, table), plain, keyed)).collect())
    }

    /// From keyed images alone, and other images to learn from what natural images are like.
    ///
    /// Neighbouring pixels are nearly alike. So the signs are those that make the values of a block vary together, and
    /// the order is the one whose covariances within a block, and with the blocks to the right and below, are those of
    /// the other images.
    pub(crate) fn from_keyed(lock: &Lock, keyed: &Blocks, others: &Blocks, seed: u64) -> Self {
        match lock.keying {
            Keying::Shared => Self(vec![shared_table(lock, keyed, others, seed)]),
            Keying::PerPatch => Self(own_tables(lock, keyed, others, seed)),
        }
    }
}

/// The blocks that share a table.
fn places(lock: &Lock, table: usize) -> Vec<usize> {
    match lock.keying {
        Keying::Shared => (0..lock.blocks()).collect(),
        Keying::PerPatch => vec![table],
    }
}

fn known_table(places: &[usize], plain: &Blocks, keyed: &Blocks) -> Vec<(usize, bool)> {
    let side = plain.side;
    let (mut products, mut squares) = (Square::zero(side), [vec![0.0; side], vec![0.0; side]]);
    for image in 0..plain.images {
        for &place in places {
            let (x, y) = (plain.block(image, place), keyed.block(image, place));
            for (from, &x) in x.iter().enumerate() {
                let row = &mut products.values[from * side..][..side];
                row.iter_mut().zip(y).for_each(|(sum, &y)| *sum += f64::from(x) * f64::from(y));
                squares[0][from] += f64::from(x).powi(2);
            }
            y.iter().zip(&mut squares[1]).for_each(|(&y, sum)| *sum += f64::from(y).powi(2));
        }
    }
    // The squared distance of one value from the other, or from its negative, over all blocks.
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

fn signed(covariance: &Square, rows: &[f64], columns: &[f64]) -> Square {
    let side = covariance.side;
    let value = |at: usize| covariance.values[at] * rows[at / side] * columns[at % side];
    Square { side, values: (0..side * side).map(value).collect() }
}

/// The common signs of blocks at `places`, up or down as brightness goes in other images.
fn signs_at(places: &[usize], keyed: &Blocks, covariance: &Square, others: &[f64]) -> Vec<f64> {
    let signs = common_signs(covariance);
    let brightness = keyed.brightness(places, &signs);
    let turned: Vec<f64> = brightness.iter().rev().map(|value| -value).collect();
    let up = is_nearer(&brightness, &turned, others);
    signs.into_iter().map(|sign| if up { sign } else { -sign }).collect()
}

fn shared_table(lock: &Lock, keyed: &Blocks, others: &Blocks, seed: u64) -> Vec<(usize, bool)> {
    let Neighbours { same, right, below } = Neighbours::of(lock);
    let all: Vec<_> = (0..lock.blocks()).collect();
    let within = keyed.covariance(&same);
    let bright = others.brightness(&all, &vec![1.0; lock.block()]);
    let signs = signs_at(&all, keyed, &within, &bright);
    let known = [&same, &right, &below].map(|pairs| others.covariance(pairs));
    let seen = [within, keyed.covariance(&right), keyed.covariance(&below)].map(|seen| signed(&seen, &signs, &signs));
    let pairs = known.into_iter().zip(seen).map(|(known, seen)| [known, seen]).collect();
    let single = mean_gaps(others, &all, keyed, &all, &signs);
    let matching = Matching { pairs, single };
    let (relabelled, restarts) = starts(lock);
    table(&matching.best(&relabelled, restarts, seed), |at, _| signs[at] < 0.0)
}

/// How far the mean of each value of a keyed block is from that of each value of other images' blocks, squared, and as
/// often as a covariance counts it: what tells the channels apart.
fn mean_gaps(others: &Blocks, all: &[usize], keyed: &Blocks, places: &[usize], signs: &[f64]) -> Square {
    let (known, seen) = (others.means(all.iter().copied()), keyed.means(places.iter().copied()));
    let side = known.len();
    let gap = |at: usize| side as f64 * (known[at / side] - seen[at % side] * signs[at % side]).powi(2);
    Square { side, values: (0..side * side).map(gap).collect() }
}

fn starts(lock: &Lock) -> (Vec<Vec<usize>>, usize) {
    let many = lock.block() <= MANY_STARTS;
    (symmetries(lock), if many { RESTARTS } else { 0 })
}

/// One table for each place, row by row: what is known of the neighbours above and to the left helps with each.
fn own_tables(lock: &Lock, keyed: &Blocks, others: &Blocks, seed: u64) -> Vec<Vec<(usize, bool)>> {
    let (side, across) = (lock.block(), lock.grid()[1]);
    let Neighbours { same, right, below } = Neighbours::of(lock);
    let [known, known_right, known_below] = [&same, &right, &below].map(|pairs| others.covariance(pairs));
    let all: Vec<_> = (0..lock.blocks()).collect();
    let bright = others.brightness(&all, &vec![1.0; side]);
    let (symmetries, restarts) = starts(lock);
    let mut found: Vec<(Vec<usize>, Vec<f64>)> = Vec::new(); // matched places and signs, block by block
    for place in 0..lock.blocks() {
        let within = keyed.covariance(&[(place, place)]);
        let mut signs = signs_at(&[place], keyed, &within, &bright);
        let left = (place % across > 0).then(|| (place - 1, &known_right));
        let above = (place >= across).then(|| (place - across, &known_below));
        let neighbours: Vec<_> = left
            .into_iter()
            .chain(above)
            .map(|(at, known)| (&found[at], keyed.covariance(&[(at, place)]), known))
            .collect();
        let together = |(own, seen, _): &(&(Vec<usize>, Vec<f64>), Square, &Square)| {
            signed(seen, &own.1, &signs).values.iter().sum::<f64>()
        };
        if neighbours.iter().map(together).sum::<f64>() < 0.0 {
            signs.iter_mut().for_each(|sign| *sign = -*sign); // neighbours are bright together
        }
        let mut single = mean_gaps(others, &all, keyed, &[place], &signs);
        for (own, seen, known) in &neighbours {
            let seen = signed(seen, &own.1, &signs);
            for (from, at) in (0..side).flat_map(|from| (0..side).map(move |at| (from, at))) {
                let gaps = own
                    .0
                    .iter()
                    .enumerate()
                    .map(|(other, &place)| (known.at(other, from) - seen.at(place, at)).powi(2));
                single.values[from * side + at] += gaps.sum::<f64>();
            }
        }
        let alone = neighbours.is_empty();
        let matching = Matching { pairs: vec![[known.clone(), signed(&within, &signs, &signs)]], single };
        let matched = if alone { matching.best(&symmetries, restarts, seed) } else { matching.best(&[], 1, seed) };
        found.push((matched, signs));
    }
    found.iter().map(|(matched, signs)| table(matched, |at, _| signs[at] < 0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cleave_keyed::Scramble;
    use cleave_nets::Shape;
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

    fn found(scramble: &Scramble, plain: &[f32], others: &[f32]) -> f64 {
        let lock = scramble.lock();
        let keyed = Blocks::of(lock, &scramble.apply(plain).unwrap());
        let guess = Guess::from_keyed(lock, &keyed, &Blocks::of(lock, others), 1);
        guess.right(&scramble.tables_in_the_clear())
    }

    #[test]
    fn keyed_images_alone_give_a_shared_key_away() {
        let right = found(&scramble(Keying::Shared), &images(200, true, 1), &images(400, true, 2));
        assert!(right > 0.9, "{right}");
    }

    #[test]
    fn images_without_anything_in_common_give_nothing_away() {
        let right = found(&scramble(Keying::Shared), &images(200, false, 1), &images(400, false, 2));
        assert!(right < 0.3, "{right}"); // a sixteenth by luck, and half of those signs
        let right = found(&scramble(Keying::Shared), &images(200, false, 1), &images(400, true, 2));
        assert!(right < 0.3, "{right}");
    }

    #[test]
    fn known_images_give_both_kinds_of_keys_away_and_other_images_none() {
        for (keying, few) in [(Keying::Shared, 1), (Keying::PerPatch, 40)] {
            let scramble = scramble(keying);
            let (lock, truth, plain) = (scramble.lock(), scramble.tables_in_the_clear(), images(few, false, 3));
            let keyed = scramble.apply(&plain).unwrap();
            let guess = Guess::from_known(lock, &Blocks::of(lock, &plain), &Blocks::of(lock, &keyed));
            assert_eq!(guess.right(&truth), 1.0, "{keying:?}");
            assert_eq!(guess.undo(lock, &keyed), plain);
            let other = Guess::from_known(lock, &Blocks::of(lock, &images(few, false, 4)), &Blocks::of(lock, &keyed));
            assert!(other.right(&truth) < 0.3, "{keying:?}: pairs that do not belong together");
        }
    }
}

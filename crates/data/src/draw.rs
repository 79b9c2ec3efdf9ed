use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are for; two purposes never share a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Shuffle = 1,
    Augment = 2,
    Limit = 3,
    Statistics = 4,
    Glyph = 5,
    Subset = 6,
    Shape = 7,
    Portion = 8,
    Skew = 9,
}

/// A generator that depends on these four numbers and nothing else. The stream of ChaCha with 8
/// rounds is fixed by its definition, so that it is the same on every machine.
pub(crate) fn rng_for(purpose: Purpose, seed: u64, a: u64, b: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, value) in key.chunks_exact_mut(8).zip([purpose as u64, seed, a, b]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

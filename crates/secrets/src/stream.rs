use std::{hint::black_box, num::NonZeroU32};

use hmac::{Hmac, Mac, digest::KeyInit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{Secret, framed::framed};

/// Keeps the keys of streams apart from whatever else is ever derived from a secret.
const STREAM_LABEL: &[u8] = b"cleave stream v1";

/// What a stream is for: a purpose in words, and numbers such as a layer or a block.
///
/// Two domains that differ in anything give unrelated streams. Numbers count by their place and by
/// how many there are: `[1]`, `[1, 0]` and `[0, 1]` are three domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Domain<'a> {
    /// The use, such as `keyed image/permutation`. Choose one that no other crate has.
    pub purpose: &'a str,
    /// What tells apart several streams of one use.
    pub numbers: &'a [u64],
}

impl<'a> Domain<'a> {
    /// The domain of `purpose` and `numbers`.
    pub const fn new(purpose: &'a str, numbers: &'a [u64]) -> Self {
        Self { purpose, numbers }
    }
}

/// Numbers that depend on a [`Secret`] and a [`Domain`] and on nothing else.
///
/// All of it is defined to the bit, so that another implementation can follow:
///
/// - The key of the stream is `HMAC-SHA-256(secret, info ‖ 01)`, which is HKDF-Expand (RFC 5869)
///   for 32 bytes with the secret in place of the pseudorandom key. `info` holds the parts
///   `cleave stream v1`, the purpose, and each number as 8 bytes; before each part stands its
///   length as 8 bytes. All are little-endian.
/// - The bytes are the ChaCha20 keystream (RFC 8439) under this key, with a nonce of zeros and the
///   counter starting at 0. The counter goes on to 64 bits where the RFC stops after 256 GiB.
/// - A word is the next four bytes, little-endian.
///
/// It can be neither printed nor cloned, and is wiped when it is dropped. The time and the memory
/// accesses of [`below`](Self::below) and of all that stands on it depend on the secret.
pub struct Stream(ChaCha20Rng);

impl Secret {
    /// Starts the stream of `domain`. Asked again, it starts again at the same place.
    pub fn stream(&self, domain: Domain<'_>) -> Stream {
        let numbers: Vec<_> = domain.numbers.iter().map(|number| number.to_le_bytes()).collect();
        let info = framed(
            [STREAM_LABEL, domain.purpose.as_bytes()].into_iter().chain(numbers.iter().map(<[u8; 8]>::as_slice)),
        );
        // HMAC pads a key that is shorter than a block with zeros; a padded one cannot be refused.
        let mut padded = Zeroizing::new([0; 64]);
        padded[..self.expose().len()].copy_from_slice(self.expose());
        let expand = <Hmac<Sha256> as KeyInit>::new(padded.as_ref().into());
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(&expand.chain_update(info).chain_update([1]).finalize().into_bytes());
        Stream(ChaCha20Rng::from_seed(*key))
    }
}

impl Stream {
    /// The next word.
    pub fn word(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Fills `bytes` with whole words; what is left of the last word is passed over.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// A number from 0 to `bound` − 1, each with the same probability.
    ///
    /// It is `w mod bound` for the first word `w` below the largest multiple of `bound` that is at
    /// most 2³². Words above it are passed over, since they would favour small numbers. A word is
    /// used also where `bound` is 1.
    pub fn below(&mut self, bound: NonZeroU32) -> u32 {
        let bound = u64::from(bound.get());
        let words = 1 << 32;
        let end = words - words % bound;
        loop {
            let word = u64::from(self.word());
            if word < end {
                return (word % bound) as u32;
            }
        }
    }

    /// The numbers from 0 to `len` − 1 in a random order (Fisher and Yates).
    ///
    /// It starts with `p[i] = i`. For `i` from `len` − 1 down to 1 it draws `j` as
    /// [`below`](Self::below)`(i + 1)` and swaps `p[i]` with `p[j]`.
    ///
    /// If words are drawn at random, each order has the same probability. A secret has 256 bits,
    /// and from `len` 58 on there are more than 2²⁵⁶ orders: then not each of them has a secret.
    ///
    /// The list is secret and is not wiped by itself.
    pub fn permutation(&mut self, len: u32) -> Vec<u32> {
        let mut order: Vec<_> = (0..len).collect();
        for last in (1..len).rev() {
            let other = self.below(NonZeroU32::MIN.saturating_add(last));
            order.swap(last as usize, other as usize);
        }
        order
    }

    /// `len` signs of which exactly ⌊`len` / 2⌋ are set: half of them, or one less than the others
    /// where `len` is odd. Each choice of places has the same probability.
    ///
    /// Sign `i` is set if `p[i]` < ⌊`len` / 2⌋, where `p` is the next
    /// [`permutation`](Self::permutation)`(len)`.
    ///
    /// The list is secret and is not wiped by itself.
    pub fn balanced_signs(&mut self, len: u32) -> Vec<bool> {
        Zeroizing::new(self.permutation(len)).iter().map(|&place| place < len / 2).collect()
    }

    fn wipe(&mut self) {
        self.0 = ChaCha20Rng::from_seed([0; 32]);
        // The generator has no wiping of its own. An overwrite that nobody reads may be left out by
        // the compiler; this has it read.
        black_box(&self.0);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiping_leaves_no_key_and_no_words() {
        let mut stream = Secret::from_bytes(&[1; 32]).stream(Domain::new("test", &[]));
        stream.word();
        assert_ne!(stream.0.get_seed(), [0; 32]);
        stream.wipe();
        assert_eq!(stream.0, ChaCha20Rng::from_seed([0; 32]));
        assert_eq!(stream.word(), 0xade0_b876, "the first word under a key of zeros, RFC 8439 A.1");
    }
}

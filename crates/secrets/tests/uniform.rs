//! Whether each outcome comes as often as it should, over many secrets that differ in few bits.
//!
//! The secrets are 0, 1, 2 …, so a run is the same each time. A limit is the value of chi-square
//! that a fair source exceeds once in a million runs.

use std::{collections::BTreeMap, num::NonZeroU32};

use cleave_secrets::{Domain, Secret, Stream};

const PLAIN: Domain<'_> = Domain::new("uniform", &[]);

fn streams(count: u64) -> impl Iterator<Item = Stream> {
    (0..count).map(|number| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Secret::from_bytes(&bytes).stream(PLAIN)
    })
}

/// Chi-square of `seen` against `outcomes` that should come equally often.
fn chi_square<T: Ord>(seen: impl IntoIterator<Item = T>, outcomes: usize) -> f64 {
    let mut counts = BTreeMap::new();
    seen.into_iter().for_each(|outcome| *counts.entry(outcome).or_insert(0) += 1);
    assert!(counts.len() <= outcomes, "{} outcomes of {outcomes}", counts.len());
    let expected = f64::from(counts.values().sum::<u32>()) / outcomes as f64;
    let absent = (outcomes - counts.len()) as f64 * expected;
    absent + counts.values().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum::<f64>()
}

/// Exceeded once in a million, by the approximation of Wilson and Hilferty.
fn limit(freedom: usize) -> f64 {
    let (freedom, normal) = (freedom as f64, 4.753);
    let spread = 2.0 / (9.0 * freedom);
    freedom * (1.0 - spread + normal * spread.sqrt()).powi(3)
}

#[track_caller]
fn assert_uniform<T: Ord>(seen: impl IntoIterator<Item = T>, outcomes: usize) {
    let (got, limit) = (chi_square(seen, outcomes), limit(outcomes - 1));
    assert!(got < limit, "chi-square {got:.1}, limit {limit:.1}");
}

fn bound(bound: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(bound - 1)
}

#[test]
fn orders_of_four_come_equally_often() {
    assert_uniform(streams(24_000).map(|mut stream| stream.permutation(4)), 24);
}

#[test]
fn signs_come_equally_often_and_half_are_set() {
    assert_uniform(streams(20_000).map(|mut stream| stream.balanced_signs(6)), 20);
    assert_uniform(streams(20_000).map(|mut stream| stream.balanced_signs(5)), 10);
    for (len, mut stream) in (0..200).zip(streams(200)) {
        let set = stream.balanced_signs(len).into_iter().filter(|&sign| sign).count();
        assert_eq!(set, len as usize / 2);
    }
}

#[test]
fn numbers_below_come_equally_often() {
    assert_uniform(streams(20_000).map(|mut stream| stream.below(bound(7))), 7);
    assert!(streams(100).all(|mut stream| stream.below(bound(1)) == 0));
    // Without rejection, numbers in the first third of this range would come twice as often.
    let third = 1 << 30;
    assert_uniform(streams(20_000).map(|mut stream| stream.below(bound(3 * third)) / third), 3);
}

/// In a longer order each number stands at each place equally often. Rows and columns of that table
/// are fixed, hence the factor and the degrees of freedom.
#[test]
fn numbers_of_a_long_order_stand_everywhere_equally_often() {
    let len = 32;
    let orders = streams(4_000).map(|mut stream| stream.permutation(len as u32));
    let places = orders.flat_map(|order| order.into_iter().enumerate());
    let got = chi_square(places, len * len) * (len - 1) as f64 / len as f64;
    let limit = limit((len - 1) * (len - 1));
    assert!(got < limit, "chi-square {got:.1}, limit {limit:.1}");
}

/// A test that nothing fails would show nothing.
#[test]
fn a_well_known_wrong_shuffle_is_found() {
    let wrong = streams(24_000).map(|mut stream| {
        let mut order = [0, 1, 2, 3];
        (0..4).for_each(|place| order.swap(place, stream.below(bound(4)) as usize));
        order
    });
    assert!(chi_square(wrong, 24) > limit(23) * 5.0);
}

#[test]
fn neighbours_share_nothing() {
    let mut firsts = Vec::new();
    for flipped in 0..256 {
        let mut bytes = [0; 32];
        bytes[flipped / 8] ^= 1 << (flipped % 8);
        firsts.push(first(&Secret::from_bytes(&bytes), PLAIN));
    }
    let secret = Secret::from_bytes(&[0; 32]);
    for (purpose, numbers) in [
        ("uniform", &[][..]),
        ("unifor", &[]),
        ("uniform\0", &[]),
        ("", &[]),
        ("uniform", &[0]),
        ("uniform", &[0, 0]),
        ("uniform", &[1]),
        ("uniform", &[1, 0]),
        ("uniform", &[0, 1]),
        ("uniform", &[1 << 32]),
        ("uniform1", &[]),
        // What the encoding of the purpose and a number would be, as a purpose.
        ("uniform\u{8}\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", &[]),
    ] {
        firsts.push(first(&secret, Domain::new(purpose, numbers)));
    }
    // 512 bits from two unrelated streams differ in 256 ± 11; six deviations are allowed.
    for (index, a) in firsts.iter().enumerate() {
        for b in &firsts[..index] {
            let differ: u32 = a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert!((188..=324).contains(&differ), "{differ} of 512 bits");
        }
    }
}

fn first(secret: &Secret, domain: Domain<'_>) -> [u8; 64] {
    let mut bytes = [0; 64];
    secret.stream(domain).fill(&mut bytes);
    bytes
}

use cleave_secrets::{Domain, Secret, Stream};
use fhe_math::zq::Modulus;
use zeroize::Zeroizing;

/// An error coefficient is the number of ones in 21 bits less that in 21 others: variance 10.5,
/// a standard deviation of 3.24, and at most 21.
pub(crate) const ERROR_PAIRS: u32 = 21;

/// Residues below each modulus, each with the same probability, one modulus after the other.
pub(crate) fn uniform(stream: &mut Stream, moduli: &[Modulus], degree: usize) -> Vec<u64> {
    let mut out = Vec::with_capacity(moduli.len() * degree);
    let mut block = [0; 512];
    for modulus in moduli {
        let end = out.len() + degree;
        let mask = u64::MAX >> (**modulus).leading_zeros();
        while out.len() < end {
            stream.fill(&mut block);
            let words = block.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word) & mask);
            let room = end - out.len();
            out.extend(words.filter(|word| *word < **modulus).take(room));
        }
    }
    out
}

/// The public polynomial `index` of `seed`, in the transformed domain.
pub(crate) fn public(seed: &[u8; 32], index: [u64; 2], moduli: &[Modulus], degree: usize) -> Vec<u64> {
    let mut stream = Secret::from_bytes(seed).stream(Domain::new("encrypted/public", &index));
    uniform(&mut stream, moduli, degree)
}

/// Coefficients of an error.
pub(crate) fn error(stream: &mut Stream, degree: usize) -> Zeroizing<Vec<i64>> {
    const MASK: u64 = (1 << ERROR_PAIRS) - 1;
    let mut bytes = Zeroizing::new(vec![0; 8 * degree]);
    stream.fill(&mut bytes);
    let draw = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        i64::from((word & MASK).count_ones()) - i64::from(((word >> ERROR_PAIRS) & MASK).count_ones())
    };
    Zeroizing::new(bytes.as_chunks().0.iter().map(draw).collect())
}

/// Coefficients −1, 0 and 1, each with the same probability.
pub(crate) fn ternary(stream: &mut Stream, degree: usize) -> Zeroizing<Vec<i64>> {
    let three = const { std::num::NonZeroU32::new(3).unwrap() };
    Zeroizing::new((0..degree).map(|_| i64::from(stream.below(three)) - 1).collect())
}

/// The residue of a small signed coefficient, without a branch on it.
pub(crate) fn residue(modulus: &Modulus, small: i64) -> u64 {
    (small as u64).wrapping_add(**modulus & (small >> 63) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        Secret::from_bytes(&[9; 32]).stream(Domain::new("test", &[]))
    }

    #[test]
    fn errors_have_the_variance_and_the_bound() {
        let error = error(&mut stream(), 1 << 16);
        let mean = error.iter().sum::<i64>() as f64 / error.len() as f64;
        let variance = error.iter().map(|e| e * e).sum::<i64>() as f64 / error.len() as f64;
        assert!(mean.abs() < 0.06 && (variance - 10.5).abs() < 0.3, "{mean} {variance}");
        assert!(error.iter().all(|e| e.abs() <= 21));
    }

    #[test]
    fn secrets_are_ternary_and_even() {
        let secret = ternary(&mut stream(), 1 << 16);
        for value in -1..=1 {
            let count = secret.iter().filter(|&&s| s == value).count();
            assert!(count.abs_diff(21845) < 600, "{value}: {count}");
        }
    }

    #[test]
    fn uniform_residues_are_below_their_modulus() {
        let moduli = [Modulus::new(1153).unwrap(), Modulus::new((1 << 54) - 33).unwrap()];
        let out = uniform(&mut stream(), &moduli, 1000);
        assert_eq!(out.len(), 2000);
        assert!(out[..1000].iter().all(|&x| x < 1153) && out[1000..].iter().any(|&x| x > 1 << 53));
        let mean = out[..1000].iter().sum::<u64>() as f64 / 1000.0;
        assert!((mean - 576.0).abs() < 50.0, "{mean}");
    }

    #[test]
    fn residues_of_small_numbers() {
        let q = Modulus::new(1153).unwrap();
        assert_eq!([-21, -1, 0, 1, 21].map(|e| residue(&q, e)), [1132, 1152, 0, 1, 21]);
    }
}

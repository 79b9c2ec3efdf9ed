//! Tests of counts.

/// Values that fall into one of these many ranges of equal width are counted together.
pub(crate) const BINS: usize = 64;

/// Counts against an even spread: Pearson's χ², and the probability of one as large where the spread is even.
pub(crate) fn even(counts: &[u64]) -> (f64, f64) {
    let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    let squared: f64 = counts.iter().map(|&count| (count as f64 - expected).powi(2)).sum();
    let chi = if expected > 0.0 { squared / expected } else { 0.0 };
    (chi, chi_squared_above(chi, counts.len().saturating_sub(1)))
}

/// Two samples against one common distribution: χ² of the table of both, and its probability.
pub(crate) fn alike(first: &[u64], second: &[u64]) -> (f64, f64) {
    let sums = [first, second].map(|counts| counts.iter().sum::<u64>() as f64);
    let total = sums[0] + sums[1];
    let (mut chi, mut filled) = (0.0, 0_usize);
    for (&a, &b) in first.iter().zip(second) {
        let both = (a + b) as f64;
        if both > 0.0 {
            filled += 1;
            for (count, sum) in [a, b].into_iter().zip(sums) {
                let expected = both * sum / total;
                chi += (count as f64 - expected).powi(2) / expected.max(f64::MIN_POSITIVE);
            }
        }
    }
    (chi, chi_squared_above(chi, filled.saturating_sub(1)))
}

/// The median, the least and the most.
pub(crate) fn spread(values: &[f64]) -> Option<[f64; 3]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (first, last) = (*sorted.first()?, *sorted.last()?);
    let middle = sorted.len() / 2;
    let median = match sorted.len() % 2 {
        0 => 0.5 * (sorted[middle - 1] + sorted[middle]),
        _ => sorted[middle],
    };
    Some([median, first, last])
}

/// Whether the ranges of both overlap; so they do where one of them is empty.
pub(crate) fn overlap(one: &[f64], other: &[f64]) -> bool {
    match (spread(one), spread(other)) {
        (Some([_, a, b]), Some([_, c, d])) => a <= d && c <= b,
        _ => true,
    }
}

/// The probability that χ² with so many degrees of freedom lies above `chi`.
pub(crate) fn chi_squared_above(chi: f64, freedom: usize) -> f64 {
    match freedom {
        0 => 1.0,
        _ => upper_gamma(freedom as f64 / 2.0, chi / 2.0),
    }
}

/// The regularised upper incomplete gamma function Q(a, x), for a > 0 (Abramowitz and Stegun 1964, 6.5): its series
/// (6.5.29) below a + 1, and above the continued fraction (6.5.31) by the method of Lentz (1976).
fn upper_gamma(a: f64, x: f64) -> f64 {
    const STEPS: usize = 10_000;
    if x <= 0.0 || x.is_nan() {
        return 1.0;
    }
    let scale = a.mul_add(x.ln(), -x) - ln_gamma(a);
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for step in 1..STEPS {
            term *= x / (a + step as f64);
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        return (1.0 - sum * scale.exp()).clamp(0.0, 1.0);
    }
    let safe = |value: f64| if value.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { value };
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1.0 / f64::MIN_POSITIVE, 1.0 / safe(b));
    let mut fraction = d;
    for step in 1..STEPS {
        let numerator = -(step as f64) * (step as f64 - a);
        b += 2.0;
        d = 1.0 / safe(numerator.mul_add(d, b));
        c = safe(b + numerator / c);
        let change = c * d;
        fraction *= change;
        if (change - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    (scale.exp() * fraction).clamp(0.0, 1.0)
}

/// ln Γ(x) for x > 0: Stirling's series (Abramowitz and Stegun 1964, 6.1.41) behind a recurrence up to 10.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0];
    let rest = series.iter().rev().fold(0.0, |sum: f64, term| sum.mul_add(square, *term)) / x;
    shift + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Γ(n) = (n−1)! and Γ(1/2) = √π.
    #[test]
    fn the_gamma_function_has_its_known_values() {
        let mut factorial = 1.0_f64;
        for n in 1..30 {
            assert!((ln_gamma(f64::from(n)) - factorial.ln()).abs() < 1e-11 * factorial.ln().max(1.0), "{n}");
            factorial *= f64::from(n);
        }
        assert!((ln_gamma(0.5) - 0.5 * std::f64::consts::PI.ln()).abs() < 1e-12);
    }

    /// Quantiles from tables of the χ² distribution (NIST/SEMATECH e-Handbook, 1.3.6.7.4), given to three decimals.
    #[test]
    fn tails_are_those_of_the_tables() {
        let tables = [
            (1, 3.841, 0.05),
            (1, 6.635, 0.01),
            (2, 5.991, 0.05),
            (10, 18.307, 0.05),
            (10, 29.588, 0.001),
            (63, 82.529, 0.05),
            (63, 92.010, 0.01),
            (63, 103.442, 0.001),
            (100, 149.449, 0.001),
        ];
        for (freedom, chi, tail) in tables {
            let got = chi_squared_above(chi, freedom);
            assert!((got / tail - 1.0).abs() < 1e-3, "{freedom} {chi}: {got}");
        }
        // With two degrees of freedom it is e^(−χ²/2), also far out.
        for chi in [0.1, 1.0, 3.0, 30.0, 300.0, 1400.0] {
            let expected = f64::exp(-chi / 2.0);
            assert!((chi_squared_above(chi, 2) / expected - 1.0).abs() < 1e-11, "{chi}");
        }
        assert_eq!([chi_squared_above(0.0, 63), chi_squared_above(5.0, 0)], [1.0, 1.0]);
        assert_eq!(chi_squared_above(1e6, 63), 0.0);
    }

    #[test]
    fn uneven_and_unlike_counts_are_found() {
        assert_eq!(even(&[100; 64]), (0.0, 1.0));
        let mut skewed = [1000; 64];
        skewed[0] = 2000;
        assert!(even(&skewed).1 < 1e-4);
        assert!(alike(&[1000; 64], &[500; 64]).1 > 0.99);
        assert!(alike(&[1000; 64], &skewed).1 < 1e-3);
        assert_eq!((even(&[0; 64]).1, alike(&[0; 4], &[0; 4]).1), (1.0, 1.0));
    }
}

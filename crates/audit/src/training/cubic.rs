//! What a cubic's two numbers tell of the data that it was fitted to.

use super::record::CubicFindings;
use cleave_encrypted::training::Cubic;

/// Ranges that a cubic is fitted to end here.
const MOST: f64 = 1000.0;

/// The ranges that give the two numbers of `cubic`.
pub(super) fn findings(range: f64, cubic: Cubic) -> CubicFindings {
    let between = |digits: Option<i32>| {
        let number = |value: f64| digits.map_or(value, |digits| rounded(value, digits));
        let wanted = [number(cubic.linear), number(cubic.cubic)];
        let same = |range: f64| Cubic::fitted(range).is_ok_and(|c| [number(c.linear), number(c.cubic)] == wanted);
        match same(range) {
            true => [edge(range, 0.0, same), edge(range, MOST, same)],
            false => [0.0, MOST],
        }
    };
    let (exact, of_three) = (between(None), between(Some(3)));
    CubicFindings { linear: cubic.linear, cubic: cubic.cubic, range, exact, rounded: of_three }
}

/// The last number on the way from `inside` to `outside` that is still the same, by halving.
fn edge(mut inside: f64, mut outside: f64, same: impl Fn(f64) -> bool) -> f64 {
    if same(outside) {
        return outside;
    }
    loop {
        let middle = 0.5 * (inside + outside);
        if middle == inside || middle == outside {
            return inside;
        }
        *(if same(middle) { &mut inside } else { &mut outside }) = middle;
    }
}

/// So many decimal digits that count.
fn rounded(value: f64, digits: i32) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let power = 10_f64.powi(digits - 1 - value.abs().log10().floor() as i32);
    (value * power).round() / power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fitted_cubic_gives_its_range_away() {
        for range in [3.0, 8.0, 21.5] {
            let found = findings(range, Cubic::fitted(range).unwrap());
            let [low, high] = found.exact;
            assert!(low <= range && range <= high && high - low < 1e-12, "{found:?}");
            let [low, high] = found.rounded;
            assert!(low < range && range < high && high - low < 0.02 * range, "{found:?}");
        }
    }

    #[test]
    fn a_cubic_of_somebody_else_says_nothing() {
        let found = findings(8.0, Cubic::PAPER);
        assert_eq!((found.exact, found.rounded), ([0.0, MOST], [0.0, MOST]));
    }
}

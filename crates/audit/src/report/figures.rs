//! Numbers as a reader wants them.

use crate::{Estimate, Share};

/// Stands where there is no number.
pub(super) const NONE: &str = "–";

/// A number with `digits` decimals, thousands set apart, and a real minus.
pub(super) fn fixed(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return NONE.to_owned();
    }
    let text = if value.is_infinite() { "∞".to_owned() } else { grouped(&format!("{:.digits$}", value.abs())) };
    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
    if value < 0.0 && !zero { format!("−{text}") } else { text }
}

/// A number with so many significant digits; as a power of ten where it is tiny or huge.
pub(super) fn significant(value: f64, digits: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return fixed(value, 0);
    }
    let power = value.abs().log10().floor() as i32;
    if (-4..7).contains(&power) {
        return fixed(value, (digits - 1 - power).max(0) as usize);
    }
    let mantissa = fixed(value / 10f64.powi(power), (digits - 1).max(0) as usize);
    format!("{mantissa}×10{}", superscript(power))
}

/// A number that somebody chose, without zeros at its end: `0.1`, `10`.
pub(super) fn chosen(value: f64) -> String {
    let text = significant(value, 3);
    if !text.contains('.') || text.contains('×') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A power of ten for the marks of an axis.
pub(super) fn power(value: f64) -> String {
    if value >= 0.01 { chosen(value) } else { format!("10{}", superscript(value.log10().round() as i32)) }
}

/// A share of 0 to 1 as per cent.
pub(super) fn percent(share: f64) -> String {
    format!("{}\u{a0}%", fixed(100.0 * share, 1))
}

/// A whole number, thousands set apart.
pub(super) fn count(number: usize) -> String {
    grouped(&number.to_string())
}

/// `1 image`, `2 images`.
pub(super) fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// Seconds in units that suit their size.
pub(super) fn seconds(value: f64) -> String {
    let whole = value.round();
    match whole {
        _ if !value.is_finite() => NONE.to_owned(),
        _ if value < 1.0 => format!("{} ms", significant(1000.0 * value, 2)),
        _ if value < 10.0 => format!("{} s", fixed(value, 1)),
        _ if whole < 60.0 => format!("{} s", fixed(value, 0)),
        _ if whole < 3600.0 => format!("{} min {:02} s", (whole / 60.0).floor(), whole % 60.0),
        _ => format!("{} h {:02} min", fixed((whole / 3600.0).floor(), 0), (whole % 3600.0 / 60.0).floor()),
    }
}

/// Bytes, short, for the marks of an axis: `200`, `4k`, `1.5M`.
pub(super) fn short(value: f64) -> String {
    let (scale, unit) = match value.abs() {
        v if v >= 1e9 => (1e9, "G"),
        v if v >= 1e6 => (1e6, "M"),
        v if v >= 1e3 => (1e3, "k"),
        _ => (1.0, ""),
    };
    format!("{}{unit}", chosen(value / scale))
}

/// A part of a whole in per cent, small ones with two digits that count.
pub(super) fn part_of(part: f64, whole: f64) -> String {
    let share = 100.0 * part / whole;
    if share.abs() < 10.0 { format!("{}\u{a0}%", significant(share, 2)) } else { percent(part / whole) }
}

/// A share with its interval below, as HTML.
pub(super) fn share_cell(share: Share) -> String {
    if share.of == 0 { NONE.to_owned() } else { format!("{}<small>{}</small>", percent(share.share), interval(share)) }
}

/// The interval of a share alone, in per cent.
pub(super) fn interval(share: Share) -> String {
    between(100.0 * share.low, 100.0 * share.high, 1)
}

/// A mean with its interval below, as HTML.
pub(super) fn estimate_cell(estimate: Estimate, digits: usize) -> String {
    let interval = between(estimate.low, estimate.high, digits);
    format!("{}<small>{interval}</small>", fixed(estimate.mean, digits))
}

fn between(low: f64, high: f64, digits: usize) -> String {
    format!("{}\u{2009}–\u{2009}{}", fixed(low, digits), fixed(high, digits))
}

/// Commas between thousands of the whole part.
fn grouped(text: &str) -> String {
    let whole = text.find('.').unwrap_or(text.len());
    let mut out = String::with_capacity(text.len() + whole / 3);
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index < whole && (whole - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(character);
    }
    out
}

fn superscript(power: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raise = |c: char| c.to_digit(10).map_or('⁻', |digit| DIGITS[digit as usize]);
    power.to_string().chars().map(raise).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_sensible_digits() {
        assert_eq!(fixed(1234.5678, 2), "1,234.57");
        assert_eq!(fixed(-0.001, 2), "0.00");
        assert_eq!(fixed(-1.5, 1), "−1.5");
        assert_eq!([fixed(f64::NAN, 1), fixed(f64::NEG_INFINITY, 1)], ["–", "−∞"]);
        assert_eq!(significant(0.012_345, 3), "0.0123");
        assert_eq!(significant(1.5e-7, 2), "1.5×10⁻⁷");
        assert_eq!(significant(123_456.0, 3), "123,456");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!([short(4000.0), short(1_500_000.0), short(200.0)], ["4k", "1.5M", "200"]);
        assert_eq!([chosen(0.1), chosen(10.0), chosen(200.0), chosen(0.21491)], ["0.1", "10", "200", "0.215"]);
        assert_eq!([power(1.0), power(0.01), power(1e-5)], ["1", "0.01", "10⁻⁵"]);
        assert_eq!([part_of(1.0, 3.0), part_of(1.0, 3000.0)], ["33.3\u{a0}%", "0.033\u{a0}%"]);
    }

    #[test]
    fn times_have_units_that_suit_them() {
        assert_eq!([seconds(0.012), seconds(2.34), seconds(59.2)], ["12 ms", "2.3 s", "59 s"]);
        assert_eq!([seconds(59.7), seconds(125.0), seconds(7500.0)], ["1 min 00 s", "2 min 05 s", "2 h 05 min"]);
    }
}

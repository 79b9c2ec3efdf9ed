//! An axis: where values lie, which of them are marked, and how they read.

use super::figures::percent;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged};
use std::ops::Range;

/// Marks that a linear axis aims at.
const MARKS: f64 = 5.0;
/// Values that differ by more than this factor get a logarithmic axis.
const WIDE: f64 = 20.0;

/// One axis of a chart.
#[derive(Clone)]
pub(super) struct Axis {
    /// What it shows, and in which unit.
    pub(super) title: String,
    /// Marked values, and what stands beside them.
    pub(super) ticks: Vec<(f64, String)>,
    low: f64,
    high: f64,
    logarithmic: bool,
    categories: bool,
}

impl Axis {
    /// A place for each name, 0, 1, ...
    pub(super) fn names(title: &str, names: impl Iterator<Item = String>) -> Self {
        let ticks: Vec<_> = names.enumerate().map(|(index, name)| (index as f64, name)).collect();
        let high = ticks.len() as f64 - 0.5;
        Self { title: title.to_owned(), ticks, low: -0.5, high, logarithmic: false, categories: true }
    }

    /// 0 to 1 in per cent.
    pub(super) fn shares(title: &str) -> Self {
        Self::linear(title, (0.0, 1.0), |share| format!("{:.0} %", 100.0 * share))
    }

    /// Round marks that enclose the values.
    pub(super) fn linear(title: &str, (low, high): (f64, f64), format: fn(f64) -> String) -> Self {
        let (low, high) = if high - low > 1e-9 { (low, high) } else { (low - 0.5, low + 0.5) };
        let step = round_step((high - low) / MARKS);
        let (first, last) = ((low / step + 1e-6).floor(), (high / step - 1e-6).ceil());
        let marks = (0..=(last - first) as usize).map(|mark| (first + mark as f64) * step);
        let ticks = marks.map(|value| (value, format(value))).collect();
        let (low, high) = (first * step, last * step);
        Self { title: title.to_owned(), ticks, low, high, logarithmic: false, categories: false }
    }

    /// Round marks between two ends that are kept as they are.
    pub(super) fn within(title: &str, ends: (f64, f64), format: fn(f64) -> String) -> Self {
        let mut axis = Self::linear(title, ends, format);
        if ends.0 < ends.1 {
            axis.ticks.retain(|(value, _)| (ends.0..=ends.1).contains(value));
            (axis.low, axis.high) = ends;
        }
        axis
    }

    /// From 0, or logarithmic where the values are far apart. Values below 0 are left out.
    pub(super) fn amounts(title: &str, values: impl Iterator<Item = f64>, format: fn(f64) -> String) -> Self {
        let positive: Vec<f64> = values.filter(|value| *value > 0.0 && value.is_finite()).collect();
        let high = positive.iter().copied().fold(0.0, f64::max);
        let low = positive.iter().copied().fold(high, f64::min);
        if high == 0.0 {
            Self::linear(title, (0.0, 1.0), format)
        } else if high / low <= WIDE {
            Self::linear(title, (0.0, high), format)
        } else {
            Self::decades(title, (low, high), format)
        }
    }

    /// Powers of ten that enclose the values, both above 0; not every one is marked where there are many.
    pub(super) fn decades(title: &str, (low, high): (f64, f64), format: fn(f64) -> String) -> Self {
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let step = ((last - first) as usize / 5).max(1);
        let ticks = (first..=last).rev().step_by(step).map(|power| 10f64.powi(power));
        let ticks = ticks.map(|value| (value, format(value))).collect();
        let (low, high) = (10f64.powi(first), 10f64.powi(last));
        Self { title: format!("{title}, logarithmic"), ticks, low, high, logarithmic: true, categories: false }
    }

    /// Whether its places have names and no order of their own.
    pub(super) fn categorical(&self) -> bool {
        self.categories
    }

    fn ratio(&self, value: f64) -> f64 {
        let scale = |v: f64| if self.logarithmic { v.max(f64::MIN_POSITIVE).ln() } else { v };
        let (low, high, value) = (scale(self.low), scale(self.high), scale(value));
        ((value - low) / (high - low)).clamp(0.0, 1.0)
    }
}

/// The ends of some values, with room around them.
pub(super) fn roomy(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    let high = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let low = finite.iter().copied().fold(high, f64::min);
    let room = ((high - low) / 20.0).max(0.005);
    if finite.is_empty() { (0.0, 1.0) } else { (low - room, high + room) }
}

/// A mark's share, without decimals that say nothing.
pub(super) fn share_mark(share: f64) -> String {
    percent(share).replace(".0", "")
}

/// The next of 1, 2 or 5 times a power of ten.
fn round_step(least: f64) -> f64 {
    let unit = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * unit >= least * 0.999).unwrap_or(10.0);
    factor * unit
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (self.ratio(*value) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|tick| tick.0).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.1.as_str()).collect()
    }

    #[test]
    fn marks_are_round_and_enclose_the_values() {
        let axis = Axis::linear("x", (0.13, 0.87), |v| format!("{v:.1}"));
        assert_eq!(marks(&axis), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!([axis.map(&0.0, (10, 110)), axis.map(&0.5, (10, 110)), axis.map(&9.0, (10, 110))], [10, 60, 110]);
        let flat = Axis::linear("x", (0.0, 0.0), |v| format!("{v:.1}"));
        assert!(flat.range().start < 0.0 && flat.range().end > 0.0, "{:?}", flat.range());
    }

    #[test]
    fn amounts_far_apart_are_logarithmic() {
        let near = Axis::amounts("x", [3.0, 40.0].into_iter(), |v| format!("{v}"));
        let far = Axis::amounts("x", [3.0, 4000.0].into_iter(), |v| format!("{v}"));
        assert_eq!(marks(&near), ["0", "10", "20", "30", "40"]);
        assert_eq!(marks(&far), ["10000", "1000", "100", "10", "1"]);
        assert_eq!([1.0, 100.0, 10_000.0].map(|v| far.map(&v, (0, 100))), [0, 50, 100]);
        assert_eq!(marks(&Axis::amounts("x", [f64::NAN].into_iter(), |v| format!("{v}"))).len(), 6);
    }
}

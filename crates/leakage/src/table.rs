//! A report as text: an aligned table, then sentences.

use crate::Count;
use crate::report::{Finding, LayerReport, Reason, Report, Verdict, Zeros};
use crate::shape::Stage;
use crate::spectrum::{Injectivity, Rank, Spectrum};
use std::fmt::{self, Display, Formatter};

const HEAD: [&str; 6] = ["layer", "stage", "count", "equations", "unknowns", "result"];
/// Equations and unknowns are numbers and stand to the right.
const RIGHT: [bool; 6] = [false, false, false, true, true, false];
const UNMEASURED: &str = "share of zeros not measured; counted as if none were zero.";
const CLOSING: &str = "Counting is neither necessary nor sufficient for privacy: only measured \
                       attacks say what an attacker gets.";

type Row = [String; 6];

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write_table(out, &rows(self))?;
        writeln!(out)?;
        for layer in &self.layers {
            notes(layer).iter().try_for_each(|note| writeln!(out, "{}: {note}", layer.name))?;
        }
        writeln!(out, "Verdict: {}", self.verdict)?;
        write!(out, "{CLOSING}")
    }
}

impl Display for Verdict {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Verdict::Leaks { by } = self else {
            return write!(out, "passes; no count and no rank says that the image follows from what is sent.");
        };
        let reasons: Vec<_> = by.iter().map(Reason::to_string).collect();
        write!(out, "leaks, by {}.", reasons.join(", "))
    }
}

impl Display for Reason {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match &self.layer {
            Some(layer) => write!(out, "{} of {layer}", self.finding),
            None => write!(out, "{}", self.finding),
        }
    }
}

impl Display for Finding {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Finding::PaperWindow => "paper's window",
            Finding::Window => "square window",
            Finding::EdgeWindow => "corner window",
            Finding::WholeImage => "whole image",
            Finding::Rank => "rank",
            Finding::Chain => "narrowest point",
        })
    }
}

impl Display for Stage {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Stage::Linear => "linear",
            Stage::Activation => "activation",
            Stage::Pooled => "pooled",
        })
    }
}

fn rows(report: &Report) -> Vec<Row> {
    let mut rows = vec![HEAD.map(str::to_owned)];
    for layer in &report.layers {
        let stage = layer.stage.to_string();
        rows.extend(layer.counts.iter().map(|count| count_row(&layer.name, &stage, count)));
        if let Rank::Evaluated(spectrum) = &layer.rank {
            rows.push(rank_row(layer, &stage, spectrum));
        }
    }
    rows.extend(report.chain.iter().map(|count| count_row("(all)", "", count)));
    rows
}

fn count_row(layer: &str, stage: &str, count: &Count) -> Row {
    let [height, width] = count.positions;
    let result = if count.leaks { "leaks" } else { "passes" };
    [
        layer.to_owned(),
        stage.to_owned(),
        format!("{} {height}x{width}", count.finding),
        number(count.equations),
        number(count.unknowns as f64),
        result.to_owned(),
    ]
}

fn rank_row(layer: &LayerReport, stage: &str, spectrum: &Spectrum) -> Row {
    let full = spectrum.generic_rank == spectrum.unknowns;
    let result = match (leaks_by_rank(&layer.verdict), full) {
        (true, _) => "leaks",
        (false, true) => "injective, but for zeros",
        (false, false) => "not injective",
    };
    [
        layer.name.clone(),
        stage.to_owned(),
        "rank a frequency".to_owned(),
        number(spectrum.generic_rank as f64),
        number(spectrum.unknowns as f64),
        result.to_owned(),
    ]
}

fn leaks_by_rank(verdict: &Verdict) -> bool {
    let Verdict::Leaks { by } = verdict else {
        return false;
    };
    by.iter().any(|reason| reason.finding == Finding::Rank)
}

fn notes(layer: &LayerReport) -> Vec<String> {
    let mut notes = Vec::new();
    if let (Some(paper), Some(windows)) = (layer.largest_by_paper, layer.largest_by_windows) {
        notes.push(format!(
            "the paper's window passes up to {} kernels; windows of every size pass up to {}.",
            number(paper as f64),
            number(windows as f64)
        ));
    }
    notes.push(rank_note(&layer.rank));
    match layer.zeros {
        Zeros::NoneCut => {}
        Zeros::NotMeasured => notes.push(UNMEASURED.to_owned()),
        Zeros::Measured(share) => notes.push(format!(
            "{:.1} % of the values were measured to be zero and are left out; a rank is what would be \
             known if none were.",
            share * 100.0
        )),
    }
    notes
}

fn rank_note(rank: &Rank) -> String {
    match rank {
        Rank::Evaluated(spectrum) => spectrum_note(spectrum),
        Rank::NoWeights => "no weights, hence no rank.".to_owned(),
        Rank::Pooled => "no rank behind a pool, which is not linear.".to_owned(),
        Rank::KernelWraps => "no rank: the kernel is larger than the torus that the output size makes.".to_owned(),
        Rank::TooLarge { multiplications, limit } => {
            format!(
                "no rank: it would take {multiplications:.1e} multiplications, the limit is {limit:.1e}; counts only."
            )
        }
    }
}

fn spectrum_note(spectrum: &Spectrum) -> String {
    let found = match spectrum.injectivity {
        Injectivity::Injective { condition } => {
            format!(
                "injective before the activation: least squares returns the input, condition number {}",
                real(condition)
            )
        }
        Injectivity::Hidden { dimension } => {
            format!("{} dimensions of the input stay unknown before the activation", number(dimension as f64))
        }
    };
    let unseen = match spectrum.untouched {
        0 => String::new(),
        untouched => format!("; {} unknowns a position are touched by no kernel", number(untouched as f64)),
    };
    format!(
        "rank {} to {} of {} unknowns {}; singular values {} to {}, counted above {}; {found}{unseen}.",
        spectrum.min_rank,
        spectrum.generic_rank,
        spectrum.unknowns,
        evaluated(spectrum),
        real(spectrum.smallest),
        real(spectrum.largest),
        real(spectrum.threshold),
    )
}

fn evaluated(spectrum: &Spectrum) -> String {
    let [height, width] = spectrum.grid;
    let share = if spectrum.exhaustive() { "all" } else { "a sample" };
    match spectrum.positions {
        [1, 1] => "(one matrix)".to_owned(),
        _ => format!(
            "on the torus, at {} frequencies ({share}, grid {height}x{width})",
            number(spectrum.evaluated as f64)
        ),
    }
}

/// A measured number: four digits or so, in powers of ten where it is very small or large.
fn real(value: f64) -> String {
    if value == 0.0 || (1e-3..1e5).contains(&value) { format!("{value:.3}") } else { format!("{value:.2e}") }
}

/// A number with separators, with one decimal where it is not whole.
fn number(value: f64) -> String {
    let text = if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") };
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), String::new()), |(w, r)| (w, format!(".{r}")));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + &rest
}

fn write_table(out: &mut Formatter<'_>, rows: &[Row]) -> fmt::Result {
    let widths: [usize; 6] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    rows.iter().try_for_each(|row| write_row(out, row, &widths))
}

fn write_row(out: &mut Formatter<'_>, row: &Row, widths: &[usize; 6]) -> fmt::Result {
    let mut line = String::new();
    for ((cell, &width), right) in row.iter().zip(widths).zip(RIGHT) {
        let cell = if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
        line.push_str(&cell);
        line.push_str("  ");
    }
    writeln!(out, "{}", line.trim_end())
}

//! The verdict on a front half: every layer on its own, then the chain.

use crate::count::Counter;
use crate::report::{Finding, LayerReport, Reason, Report, Verdict, Zeros};
use crate::shape::{Activation, FrontLayer, Op, Stage};
use crate::spectrum::{Effort, Rank, spectrum};
use crate::{Count, LeakageError};

/// Counts a front half, layers in order from the image to the cut, whose last layer goes as far as
/// `stage`.
///
/// A layer is undone when one of these says so: the paper's window, a larger window, a window in
/// the corner, the whole image, or its rank. The rank says so if it is full at most frequencies; to
/// lose a few, such as the mean, hides little of an image. It decides alone where what is sent is
/// the linear part's output, or a one-to-one function of it. Behind a ReLU enough values must also
/// be left, `(1 − zeros) k ≥ s_h s_w l`. Behind a pool there is no rank.
///
/// The front half leaks if every layer is undone, going back from the cut to the image, or if its
/// narrowest point still has at least as many values as the image has unknowns. No number of values
/// sent can tell more than the narrowest point lets through.
///
/// # Errors
/// [`LeakageError`]: a shape that cannot be built or joined, weights that do not fit or are not
/// finite, a share of zeros outside 0 to 1, or a tolerance outside 0 to 1.
pub fn check(front: &[FrontLayer], stage: Stage, effort: &Effort) -> Result<Report, LeakageError> {
    front.iter().try_for_each(FrontLayer::validate)?;
    front.windows(2).try_for_each(|pair| joined(&pair[0], &pair[1]))?;
    let last = front.len().checked_sub(1).ok_or(LeakageError::EmptyFront)?;
    let mut layers = Vec::with_capacity(front.len());
    let mut wholes = Vec::with_capacity(front.len());
    for (index, layer) in front.iter().enumerate() {
        let stage = layer.effective(if index == last { stage } else { Stage::Pooled });
        let counter = Counter::new(layer, stage)?;
        wholes.push(counter.whole());
        layers.push(layer_report(layer, stage, &counter, effort)?);
    }
    let chain = (last > 0).then(|| narrowest(&wholes)).flatten();
    let verdict = chain_verdict(&layers, chain.as_ref());
    Ok(Report { layers, chain, verdict })
}

fn layer_report(
    layer: &FrontLayer,
    stage: Stage,
    counter: &Counter,
    effort: &Effort,
) -> Result<LayerReport, LeakageError> {
    let rank = if stage == Stage::Pooled { Rank::Pooled } else { spectrum(layer, effort)? };
    let counts = counter.counts();
    let mut found: Vec<_> = counts.iter().filter(|count| count.leaks).map(|count| count.finding).collect();
    if undone_by_rank(&rank, counter.active()) {
        found.push(Finding::Rank);
    }
    let reason = |finding| Reason { layer: Some(layer.name.clone()), finding };
    Ok(LayerReport {
        name: layer.name.clone(),
        stage,
        zeros: zeros(layer, stage),
        counts,
        largest_by_paper: counter.largest_by_paper(),
        largest_by_windows: counter.largest_by_windows(),
        rank,
        verdict: Verdict::from_reasons(found.into_iter().map(reason).collect()),
    })
}

/// Injective at most frequencies, with enough values left at each position once those cut to zero
/// are gone. A layer that loses single frequencies, such as the mean, still gives the image away.
fn undone_by_rank(rank: &Rank, active: f64) -> bool {
    match rank {
        Rank::Evaluated(spectrum) => {
            spectrum.generic_rank == spectrum.unknowns && spectrum.outputs as f64 * active >= spectrum.unknowns as f64
        }
        _ => false,
    }
}

fn zeros(layer: &FrontLayer, stage: Stage) -> Zeros {
    if stage == Stage::Linear || layer.activation != Activation::Relu {
        return Zeros::NoneCut;
    }
    layer.zero_share.map_or(Zeros::NotMeasured, Zeros::Measured)
}

/// The fewest values at any point of the chain, against the unknowns of the image.
fn narrowest(wholes: &[Count]) -> Option<Count> {
    let image = wholes.first()?;
    let narrow = wholes.iter().min_by(|a, b| a.equations.total_cmp(&b.equations))?;
    Some(Count::new(Finding::Chain, narrow.positions, narrow.equations, image.unknowns))
}

fn chain_verdict(layers: &[LayerReport], chain: Option<&Count>) -> Verdict {
    let mut by = Vec::new();
    if layers.iter().all(|layer| layer.verdict.leaks()) {
        by.extend(layers.iter().flat_map(|layer| match &layer.verdict {
            Verdict::Leaks { by } => by.clone(),
            Verdict::Passes => Vec::new(),
        }));
    }
    if chain.is_some_and(|count| count.leaks) {
        by.push(Reason { layer: None, finding: Finding::Chain });
    }
    Verdict::from_reasons(by)
}

/// Refuses a layer whose unknown inputs are not what the layer before gives.
fn joined(before: &FrontLayer, layer: &FrontLayer) -> Result<(), LeakageError> {
    let got = before.output(Stage::Pooled)?;
    let expected = layer.unknown_input();
    let fits = match layer.op {
        Op::Conv(_) => expected == got,
        Op::Linear(_) => expected.iter().product::<usize>() == got.iter().product(),
    };
    if fits {
        return Ok(());
    }
    Err(LeakageError::ChainMismatch { layer: layer.name.clone(), expected, got })
}

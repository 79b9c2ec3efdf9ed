//! Leaving out what does harm on a few labelled images.

use super::detect::Found;
use super::signs::cosines;
use super::{DetectionKind, Field, Marks, Pruning, PruningKind, found, nothing};
use crate::Error;
use crate::observer::{Observer, step};
use crate::parts::Pictured;
use crate::pixels::{Lot, to_host};
use crate::probe::CHUNK;
use crate::query_free::cross_entropy;
use cleave_confusion::{Side, Tensors, without};
use cleave_nets::{Network, Pass};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Units whose outgoing weights have a lower cosine than this are taken for a pair.
const OPPOSED: f64 = -0.5;

/// A choice of units, and the loss without them.
#[derive(Clone)]
struct Choice {
    marks: Marks,
    loss: f64,
}

/// What all prunings found, and what the last of them marked.
#[derive(Serialize, Deserialize)]
pub(super) struct Pruned {
    pub(super) findings: Vec<Pruning>,
    pub(super) marks: Marks,
}

impl Pictured for Pruned {}

/// All prunings on one set of labelled images. `detected`: what was found without labels. Its marks are starts for the
/// refinement, and the odds that were learned count there beside the labels.
pub(super) fn all(
    field: &Field<'_>,
    images: &Lot,
    detected: &[Found],
    observer: &mut dyn Observer,
) -> Result<Pruned, Error> {
    let mut kinds = vec![PruningKind::Sensitivity, PruningKind::Pairs, PruningKind::Factors];
    let units: usize = field.truth.iter().map(Vec::len).sum();
    if units * images.len() <= field.settings.prune.exact {
        kinds.push(PruningKind::Ablation);
    }
    let (mut findings, mut choices) = (Vec::new(), Vec::new());
    let mut search = Search::new(field, images)?;
    for kind in kinds {
        let (finding, choice) = search.measured(kind, observer, |search, observer| match kind {
            PruningKind::Sensitivity => search.sensitivity(false, observer),
            PruningKind::Pairs => search.sensitivity(true, observer),
            PruningKind::Factors => search.factors(observer),
            _ => search.ablation(observer),
        })?;
        findings.push(finding);
        choices.push(choice);
    }
    let (finding, best) = search.measured(PruningKind::Refined, observer, |search, observer| {
        search.evidence = evidence(field, detected);
        let all = choices.drain(..).map(|choice| choice.marks).chain(detected.iter().map(|found| found.marks.clone()));
        let starts = all.map(|marks| search.filled(marks)).collect::<Result<Vec<_>, _>>()?;
        match starts.into_iter().min_by(|a, b| search.cost(a).total_cmp(&search.cost(b))) {
            Some(best) => search.refined(best, observer),
            None => search.sensitivity(false, observer),
        }
    })?;
    findings.push(finding);
    Ok(Pruned { findings, marks: best.marks })
}

struct Search<'a> {
    field: &'a Field<'a>,
    images: &'a Lot,
    tensors: Tensors,
    /// Logarithms of odds that a unit is a confusion neuron, from what it looks like; 0 where nothing is known.
    evidence: Vec<Vec<f64>>,
    /// A unit's opposite.
    partners: Vec<Vec<Option<usize>>>,
    forward: usize,
    backward: usize,
}

impl<'a> Search<'a> {
    fn new(field: &'a Field<'a>, images: &'a Lot) -> Result<Self, Error> {
        let tensors = field.widened.tensors()?;
        let columns = field.groups.values(&tensors, Side::Outgoing, |_| true)?;
        let partners = columns.iter().map(|columns| partners(columns)).collect();
        let evidence = evidence(field, &[]);
        Ok(Self { field, images, tensors, evidence, partners, forward: 0, backward: 0 })
    }

    fn measured(
        &mut self,
        kind: PruningKind,
        observer: &mut dyn Observer,
        attack: impl FnOnce(&mut Self, &mut dyn Observer) -> Result<Choice, Error>,
    ) -> Result<(Pruning, Choice), Error> {
        let began = Instant::now();
        (self.forward, self.backward) = (0, 0);
        observer.began(&format!("pruning on {} images: {}", self.images.len(), kind.name()), 0);
        let choice = attack(self, observer)?;
        let seconds = began.elapsed().as_secs_f64();
        let ([precision, recall], accuracy) =
            (found(&choice.marks, &self.field.truth), self.field.accuracy(&choice.marks)?);
        observer.found(&format!("{}: {:.1} % right", kind.name(), 100.0 * accuracy.share));
        let (labelled, loss, forward, backward) = (self.images.len(), choice.loss, self.forward, self.backward);
        Ok((Pruning { kind, labelled, precision, recall, loss, accuracy, forward, backward, seconds }, choice))
    }

    /// The mean loss on images with a factor for each unit, and its derivatives by the factors.
    fn derivatives(&mut self, factors: &[Vec<f32>], images: &Lot) -> Result<(f64, Vec<Vec<f64>>), Error> {
        let mut gated = self.tensors.clone();
        self.field.groups.gate(&mut gated, factors)?;
        let widened = self.field.widened;
        let network = Network::from_tensors(widened.architecture().clone(), gated, widened.device())?.steady();
        let (mut total, mut sums) = (0.0, vec![]);
        for chunk in images.chunks(CHUNK) {
            let share = chunk.len() as f64 / images.len() as f64;
            let scores = network.forward(chunk.prepared.autodiff(), Pass::default())?.flatten::<2>(1, 3);
            let loss = cross_entropy(scores, &chunk.labels);
            total += share * f64::from(loss.clone().into_scalar::<f32>());
            let slopes = self.field.groups.outgoing(&self.tensors, &network.gradients(&loss.backward())?)?;
            add(&mut sums, &slopes, share);
        }
        self.forward += images.len();
        self.backward += images.len();
        Ok((total, sums))
    }

    /// The mean loss without the marked units.
    fn loss(&mut self, marks: &Marks) -> Result<f64, Error> {
        self.forward += self.images.len();
        let network = without(self.field.widened, marks)?;
        mean_loss(&network, self.images)
    }

    /// To first order: the units whose leaving out would lower the loss most go, a few at a time.
    fn sensitivity(&mut self, pairs: bool, observer: &mut dyn Observer) -> Result<Choice, Error> {
        let mut marks = nothing(&self.field.groups);
        let (mut left, all) = (self.field.hidden.clone(), self.field.hidden.iter().sum::<usize>());
        let images = self.images.clone();
        let mut best = Choice { loss: f64::INFINITY, marks: marks.clone() };
        loop {
            step(observer)?;
            let (loss, slopes) = self.derivatives(&factors(&marks), &images)?;
            if loss < best.loss {
                best = Choice { loss, marks: marks.clone() };
            }
            let mut quota = all.div_ceil(self.field.settings.prune.rounds.max(1));
            let mut harms = self.harms(&marks, &slopes, pairs);
            harms.sort_by(|a, b| b.0.total_cmp(&a.0));
            let before = left.clone();
            for (_, group, units) in harms {
                let free = units.iter().all(|&unit| !marks[group][unit]);
                if quota > 0 && free && left[group] >= units.len() {
                    units.iter().for_each(|&unit| marks[group][unit] = true);
                    left[group] -= units.len();
                    quota = quota.saturating_sub(units.len());
                }
            }
            if left == before {
                return Ok(best);
            }
        }
    }

    /// Units that can go, alone or with their opposite, and how much each of them raises the loss.
    fn harms(&self, marks: &Marks, slopes: &[Vec<f64>], pairs: bool) -> Vec<(f64, usize, Vec<usize>)> {
        let mut out = Vec::new();
        for (group, marked) in marks.iter().enumerate() {
            for unit in (0..marked.len()).filter(|&unit| !marked[unit]) {
                let slope = slopes[group][unit];
                match self.partners[group][unit].filter(|&other| pairs && !marked[other]) {
                    Some(other) if other > unit => {
                        out.push(((slope + slopes[group][other]) / 2.0, group, vec![unit, other]));
                    }
                    Some(_) => {}
                    None => out.push((slope, group, vec![unit])),
                }
            }
        }
        out
    }

    /// By projected descent on factors of 0 to 1 whose complements add up to the number of confusion neurons in each
    /// group; those that end lowest go.
    fn factors(&mut self, observer: &mut dyn Observer) -> Result<Choice, Error> {
        let settings = &self.field.settings.prune;
        let (steps, rate, most) = (settings.factor_steps, settings.factor_rate, settings.images.max(1));
        let hidden = self.field.hidden.clone();
        let share = |(units, &hidden): (usize, &usize)| 1.0 - hidden as f64 / units.max(1) as f64;
        let units = self.field.truth.iter().map(Vec::len);
        let mut values: Vec<Vec<f64>> =
            units.zip(&hidden).map(|(units, hidden)| vec![share((units, hidden)); units]).collect();
        let [mut first, mut second] = [0, 1].map(|_| values.iter().map(|v| vec![0.0; v.len()]).collect::<Vec<_>>());
        for at in 0..steps {
            step(observer)?;
            let count = self.images.len();
            let from = at * most % count;
            let images = self.images.part(from, (from + most).min(count));
            let gates: Vec<Vec<f32>> = values.iter().map(|v| v.iter().map(|&value| value as f32).collect()).collect();
            let (_, slopes) = self.derivatives(&gates, &images)?;
            let rate = rate * (1.0 - at as f64 / steps as f64);
            for (group, slopes) in slopes.iter().enumerate() {
                for (unit, &slope) in slopes.iter().enumerate() {
                    let slope = match self.partners[group][unit] {
                        Some(other) => (slope + slopes[other]) / 2.0,
                        None => slope,
                    };
                    let (m, v) = (&mut first[group][unit], &mut second[group][unit]);
                    *m = 0.9 * *m + 0.1 * slope;
                    *v = 0.99 * *v + 0.01 * slope * slope;
                    let (m, v) = (*m / (1.0 - 0.9_f64.powi(at as i32 + 1)), *v / (1.0 - 0.99_f64.powi(at as i32 + 1)));
                    values[group][unit] -= rate * m / (v.sqrt() + 1e-12);
                }
                let total = (slopes.len() - hidden[group]) as f64;
                project(&mut values[group], total);
            }
        }
        let marks = lowest(&values, &hidden);
        Ok(Choice { loss: self.loss(&marks)?, marks })
    }

    /// Every unit is left out in turn, and those without which the loss is lowest go, a few at a time.
    fn ablation(&mut self, observer: &mut dyn Observer) -> Result<Choice, Error> {
        let mut marks = nothing(&self.field.groups);
        let (mut left, all) = (self.field.hidden.clone(), self.field.hidden.iter().sum::<usize>());
        let mut best = Choice { loss: self.loss(&marks)?, marks: marks.clone() };
        while left.iter().any(|&left| left > 0) {
            let mut losses = Vec::new();
            for group in (0..left.len()).filter(|&group| left[group] > 0) {
                step(observer)?;
                losses.extend(self.without_each(&marks, group)?);
            }
            losses.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut quota = all.div_ceil(ABLATION_ROUNDS);
            for (_, group, unit) in losses {
                if quota > 0 && left[group] > 0 {
                    marks[group][unit] = true;
                    left[group] -= 1;
                    quota -= 1;
                }
            }
            let loss = self.loss(&marks)?;
            if loss < best.loss {
                best = Choice { loss, marks: marks.clone() };
            }
        }
        Ok(best)
    }

    /// The loss without each unit of a group that is still there. What stands before the group's first reader is run
    /// once.
    fn without_each(&mut self, marks: &Marks, group: usize) -> Result<Vec<(f64, usize, usize)>, Error> {
        let mut gated = self.tensors.clone();
        let mut gates = factors(marks);
        self.field.groups.gate(&mut gated, &gates)?;
        let widened = self.field.widened;
        let base = Network::from_tensors(widened.architecture().clone(), gated.clone(), widened.device())?;
        let (start, end) = (self.first_reader(group)?, base.architecture().layers.len());
        let features = match start {
            0 => self.images.prepared.clone(),
            start => base.slice(0..start)?.forward(self.images.prepared.clone(), Pass::default())?,
        };
        self.forward += self.images.len();
        let behind = Lot { prepared: features, labels: self.images.labels.clone() };
        let architecture = base.architecture().slice(start..end)?;
        gated.retain(|name, _| layer_of(name).is_some_and(|layer| layer >= start));
        let mut out = Vec::new();
        for unit in (0..marks[group].len()).filter(|&unit| !marks[group][unit]) {
            gates.iter_mut().for_each(|gates| gates.fill(1.0));
            gates[group][unit] = 0.0;
            let mut tensors = gated.clone();
            self.field.groups.gate(&mut tensors, &gates)?;
            let network = Network::from_tensors(architecture.clone(), moved(tensors, start), widened.device())?;
            out.push((mean_loss(&network, &behind)?, group, unit));
            self.forward += self.images.len();
        }
        Ok(out)
    }

    /// The first layer of the list in which the outgoing weights of a group stand.
    fn first_reader(&self, group: usize) -> Result<usize, Error> {
        let mut first = usize::MAX;
        for name in self.tensors.keys() {
            let read = self.field.groups.values(&self.tensors, Side::Outgoing, |other| other == name)?;
            if read[group].iter().any(|values| !values.is_empty()) {
                first = first.min(layer_of(name).unwrap_or(0));
            }
        }
        Ok(if first == usize::MAX { 0 } else { first })
    }

    /// The negative logarithm of the posterior of a choice, up to a constant: labels are as likely as the network says,
    /// and units are confusion neurons with the odds of the evidence.
    fn cost(&self, choice: &Choice) -> f64 {
        let evidence = self.evidence.iter().flatten().zip(choice.marks.iter().flatten());
        let odds: f64 = evidence.filter(|(_, marked)| **marked).map(|(odds, _)| odds).sum();
        self.images.len() as f64 * choice.loss - odds
    }

    /// The choice with as many units in each group as there are confusion neurons.
    fn filled(&mut self, mut marks: Marks) -> Result<Choice, Error> {
        let images = self.images.clone();
        let short = |(marked, &hidden): (&Vec<bool>, &usize)| count(marked) < hidden;
        if marks.iter().zip(&self.field.hidden).any(short) {
            let (_, slopes) = self.derivatives(&factors(&marks), &images)?;
            for (group, marked) in marks.iter_mut().enumerate() {
                let gains = self.gains(&slopes, group);
                let mut units: Vec<usize> = (0..gains.len()).filter(|&unit| !marked[unit]).collect();
                units.sort_by(|&a, &b| gains[b].total_cmp(&gains[a]));
                let missing = self.field.hidden[group].saturating_sub(count(marked));
                units.iter().take(missing).for_each(|&unit| marked[unit] = true);
            }
        }
        Ok(Choice { loss: self.loss(&marks)?, marks })
    }

    /// What leaving out each unit of a group takes from the cost, to first order.
    fn gains(&self, slopes: &[Vec<f64>], group: usize) -> Vec<f64> {
        let images = self.images.len() as f64;
        slopes[group].iter().zip(&self.evidence[group]).map(|(slope, odds)| images * slope + odds).collect()
    }

    /// Exchanges a unit that is left out for one that is not, where the cost falls.
    fn refined(&mut self, mut best: Choice, observer: &mut dyn Observer) -> Result<Choice, Error> {
        let images = self.images.clone();
        let mut swaps = self.field.settings.prune.swaps;
        while swaps > 0 {
            let (_, slopes) = self.derivatives(&factors(&best.marks), &images)?;
            let mut better = None;
            for (_, group, out, back) in self.exchanges(&best.marks, &slopes).into_iter().take(TRIES.min(swaps)) {
                step(observer)?;
                swaps -= 1;
                let mut marks = best.marks.clone();
                (marks[group][out], marks[group][back]) = (true, false);
                let choice = Choice { loss: self.loss(&marks)?, marks };
                if self.cost(&choice) < self.cost(&best) {
                    better = Some(choice);
                    break;
                }
            }
            match better {
                Some(better) => best = better,
                None => break,
            }
        }
        Ok(best)
    }

    /// Units to leave out and units to take back instead, the most promising first.
    fn exchanges(&self, marks: &Marks, slopes: &[Vec<f64>]) -> Vec<(f64, usize, usize, usize)> {
        let mut out = Vec::new();
        for (group, marked) in marks.iter().enumerate() {
            let gains = self.gains(slopes, group);
            let order = |side: bool, sign: f64| {
                let mut units: Vec<usize> = (0..marked.len()).filter(|&unit| marked[unit] == side).collect();
                units.sort_by(|&a, &b| (sign * gains[b]).total_cmp(&(sign * gains[a])));
                units.truncate(SUSPECTS);
                units
            };
            let (kept, gone) = (order(false, 1.0), order(true, -1.0));
            let pairs = kept.iter().flat_map(|&unit| gone.iter().map(move |&back| (unit, back)));
            out.extend(pairs.map(|(unit, back)| (gains[unit] - gains[back], group, unit, back)));
        }
        out.sort_by(|a, b| b.0.total_cmp(&a.0));
        out
    }
}

fn count(marked: &[bool]) -> usize {
    marked.iter().filter(|&&marked| marked).count()
}

/// What was learned of each unit without labels, within ±[`SURE`].
fn evidence(field: &Field<'_>, detected: &[Found]) -> Vec<Vec<f64>> {
    let learned = detected.iter().find(|found| found.finding.kind == DetectionKind::Learned);
    let clamped = |scores: &Vec<f64>| scores.iter().map(|odds| odds.clamp(-SURE, SURE)).collect();
    match learned {
        Some(found) => found.scores.iter().map(clamped).collect(),
        None => field.truth.iter().map(|units| vec![0.0; units.len()]).collect(),
    }
}

/// Odds count for no more than this, as a logarithm: what was learned from a few insertions may be wrong.
const SURE: f64 = 6.0;
/// Rounds in which an ablation leaves units out.
const ABLATION_ROUNDS: usize = 8;
/// Units of each kind in a group that an exchange is tried with.
const SUSPECTS: usize = 3;
/// Exchanges that are tried in vain before a refinement ends.
const TRIES: usize = 24;

/// Units of a group with each other's most opposed outgoing weights.
fn partners(columns: &[Vec<f32>]) -> Vec<Option<usize>> {
    let lowest: Vec<Option<usize>> = cosines(columns)
        .iter()
        .map(|row| {
            let (at, cosine) = row.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1))?;
            (*cosine < OPPOSED).then_some(at)
        })
        .collect();
    (0..lowest.len()).map(|unit| lowest[unit].filter(|&other| lowest[other] == Some(unit))).collect()
}

fn factors(marks: &Marks) -> Vec<Vec<f32>> {
    marks.iter().map(|marked| marked.iter().map(|&marked| f32::from(!marked)).collect()).collect()
}

fn lowest(values: &[Vec<f64>], hidden: &[usize]) -> Marks {
    let group = |(values, &hidden): (&Vec<f64>, &usize)| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
        let mut marked = vec![false; values.len()];
        order.iter().take(hidden).for_each(|&unit| marked[unit] = true);
        marked
    };
    values.iter().zip(hidden).map(group).collect()
}

/// The nearest values of 0 to 1 that add up to `total`, by bisection on what is added to all of them.
fn project(values: &mut [f64], total: f64) {
    let (mut low, mut high) = (-1e3, 1e3);
    for _ in 0..80 {
        let shift = 0.5 * (low + high);
        let sum: f64 = values.iter().map(|value| (value + shift).clamp(0.0, 1.0)).sum();
        if sum < total { low = shift } else { high = shift }
    }
    values.iter_mut().for_each(|value| *value = (*value + 0.5 * (low + high)).clamp(0.0, 1.0));
}

fn add(sums: &mut Vec<Vec<f64>>, more: &[Vec<f64>], share: f64) {
    if sums.is_empty() {
        *sums = more.iter().map(|more| vec![0.0; more.len()]).collect();
    }
    for (sums, more) in sums.iter_mut().zip(more) {
        sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += share * more);
    }
}

/// The numbered place of a tensor's layer in the list: 4 of `4.body.0.weight`.
fn layer_of(name: &str) -> Option<usize> {
    name.split('.').next()?.parse().ok()
}

/// Tensors of the layers from `start` on, named as those of a list of their own.
fn moved(tensors: Tensors, start: usize) -> Tensors {
    let name = |name: &str| {
        let (layer, rest) = name.split_once('.')?;
        Some(format!("{}.{rest}", layer.parse::<usize>().ok()?.checked_sub(start)?))
    };
    tensors.into_iter().filter_map(|(old, tensor)| Some((name(&old)?, tensor))).collect()
}

/// Mean cross-entropy of a network's answers.
pub(super) fn mean_loss(network: &Network, images: &Lot) -> Result<f64, Error> {
    let mut total = 0.0;
    for chunk in images.chunks(5 * CHUNK) {
        let scores = network.forward(chunk.prepared.clone(), Pass::default())?.flatten::<2>(1, 3);
        let [rows, classes] = scores.dims();
        let scores = to_host(scores)?;
        // On the host, in f64: a confused network's scores may be large.
        let one = |(row, &label): (&[f32], &usize)| {
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|score| f64::from(score - most).exp()).sum();
            sum.ln() - f64::from(row[label] - most)
        };
        debug_assert_eq!(scores.len(), rows * classes);
        total += scores.chunks(classes).zip(&chunk.labels).map(one).sum::<f64>();
    }
    Ok(total / images.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projected_values_add_up() {
        let mut values = vec![3.0, -1.0, 0.4, 0.5];
        project(&mut values, 2.0);
        assert!((values.iter().sum::<f64>() - 2.0).abs() < 1e-9 && values[0] == 1.0 && values[1] == 0.0, "{values:?}");
        assert!((values[3] - values[2] - 0.1).abs() < 1e-9);
    }

    #[test]
    fn opposites_find_each_other() {
        let columns = [vec![1.0, 2.0], vec![-1.0, -2.1], vec![2.0, -1.0], vec![-0.9, -1.0]];
        assert_eq!(partners(&columns), [Some(1), Some(0), None, None]);
    }
}

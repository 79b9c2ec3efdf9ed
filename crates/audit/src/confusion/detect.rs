//! Telling confusion neurons by what they look like.

use super::linear::Logistic;
use super::signs::{Family, Sign, of_activations, of_weights};
use super::{Detection, DetectionKind, Field, Marks, found, nothing};
use crate::Error;
use crate::observer::{Observer, step};
use crate::parts::Pictured;
use cleave_confusion::{ConfusionKey, Groups, Plan, Strategy, confuse, without};
use cleave_nets::Network;
use cleave_secrets::Secret;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::time::Instant;

pub(super) const KINDS: [DetectionKind; 7] = [
    DetectionKind::Weights,
    DetectionKind::Initial,
    DetectionKind::Repeats,
    DetectionKind::Statistics,
    DetectionKind::Peeled,
    DetectionKind::Copies,
    DetectionKind::Learned,
];

/// What one detection marked: as many units in each group as there are confusion neurons.
#[derive(Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) finding: Detection,
    pub(super) marks: Marks,
    /// How suspicious each unit is; with [`DetectionKind::Learned`] the logarithm of odds.
    pub(super) scores: Vec<Vec<f64>>,
}

impl Pictured for Found {}

/// One detection.
pub(super) fn one(field: &Field<'_>, kind: DetectionKind, observer: &mut dyn Observer) -> Result<Found, Error> {
    let began = Instant::now();
    observer.began(&format!("detection: {}", kind.name()), field.hidden.len());
    let mut marks = nothing(&field.groups);
    let (mut ranked, mut random) = (0.0, 0.0);
    let (mut by_group, mut all_scores) = (Vec::new(), Vec::new());
    for group in 0..field.hidden.len() {
        step(observer)?;
        let peeled = matches!(kind, DetectionKind::Peeled | DetectionKind::Learned);
        let network = if peeled { without(field.widened, &marks)? } else { field.widened.clone() };
        let scores = match (field.hidden[group], kind) {
            (0, _) => vec![0.0; field.truth[group].len()],
            (_, DetectionKind::Learned) => learned(field, &network, group)?,
            _ => suspicion(&signs(field, &network, group, kind)?, family(kind)),
        };
        let marked = largest(&scores, field.hidden[group]);
        let right = marked.iter().filter(|&&unit| field.truth[group][unit]).count();
        by_group.push(right as f64 / marked.len().max(1) as f64);
        marked.iter().for_each(|&unit| marks[group][unit] = true);
        let weight = field.hidden[group] as f64 / field.hidden.iter().sum::<usize>().max(1) as f64;
        ranked += weight * average_precision(scores.iter().copied().zip(field.truth[group].iter().copied()).collect());
        random += weight * field.hidden[group] as f64 / scores.len().max(1) as f64;
        all_scores.push(scores);
    }
    let seconds = began.elapsed().as_secs_f64();
    let ([precision, recall], accuracy) = (found(&marks, &field.truth), field.accuracy(&marks)?);
    observer.found(&format!("{}: {:.1} % of the confusion neurons", kind.name(), 100.0 * recall));
    let images = if needs_images(kind) { field.unlabelled.len() } else { 0 };
    let (average_precision, chance) = (ranked, random);
    let finding = Detection { kind, images, precision, recall, average_precision, chance, by_group, accuracy, seconds };
    Ok(Found { finding, marks, scores: all_scores })
}

const fn needs_images(kind: DetectionKind) -> bool {
    !matches!(kind, DetectionKind::Weights | DetectionKind::Initial | DetectionKind::Repeats)
}

const fn family(kind: DetectionKind) -> Family {
    match kind {
        DetectionKind::Weights | DetectionKind::Learned => Family::Weights,
        DetectionKind::Initial => Family::Initial,
        DetectionKind::Repeats => Family::Repeats,
        DetectionKind::Statistics | DetectionKind::Peeled => Family::Statistics,
        DetectionKind::Copies => Family::Copies,
    }
}

fn signs(field: &Field<'_>, network: &Network, group: usize, kind: DetectionKind) -> Result<Vec<Sign>, Error> {
    let groups = Groups::of(network.architecture())?;
    let mut signs = of_weights(&groups, &network.tensors()?, group)?;
    if needs_images(kind) {
        signs.extend(of_activations(network, &groups, group, &field.unlabelled.prepared)?);
    }
    Ok(signs)
}

/// The sum of squared distances over the signs of one family.
fn suspicion(signs: &[Sign], family: Family) -> Vec<f64> {
    let chosen: Vec<&Sign> = signs.iter().filter(|sign| sign.family == family).collect();
    let units = signs.first().map_or(0, |sign| sign.values.len());
    (0..units).map(|unit| chosen.iter().map(|sign| sign.values[unit].powi(2)).sum()).collect()
}

/// The attacker inserts neurons of its own, whose places it knows, into the group, as many as there are already, and
/// learns what tells them from the others (learning from positive and unlabelled examples, Elkan and Noto 2008). Some of
/// the others are confusion neurons too; those that look most like it are left out of the next round of learning.
fn learned(field: &Field<'_>, network: &Network, group: usize) -> Result<Vec<f64>, Error> {
    let groups = Groups::of(network.architecture())?;
    let strategies = field.strategy.map_or(Strategy::ALL.to_vec(), |strategy| vec![strategy]);
    let insertions = field.settings.insertions.max(1).next_multiple_of(strategies.len());
    let mut rng = ChaCha8Rng::seed_from_u64(field.settings.seed ^ (group as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut rows = Vec::new();
    for insertion in 0..insertions {
        let mut units = vec![0; groups.list().len()];
        units[group] = field.hidden[group];
        let plan = Plan::new(&groups, units)?;
        let [positions, weights] = [draw(&mut rng), draw(&mut rng)];
        let key = ConfusionKey::draw(positions, &groups, &plan)?;
        let inserted = confuse(network, &key, strategies[insertion % strategies.len()], &weights)?;
        let signs = signs(field, &inserted, group, DetectionKind::Learned)?;
        let mut old = 0..;
        let mask = &key.masks_in_the_clear()[group];
        rows.extend(described(&signs).into_iter().zip(mask).map(|(described, &inserted)| {
            let old = if inserted { None } else { old.next() };
            Row { described, old }
        }));
    }
    let own = described(&signs(field, network, group, DetectionKind::Learned)?);
    let mut scores = vec![0.0; own.len()];
    for round in 0..ROUNDS {
        let suspects = if round == 0 { Vec::new() } else { largest(&scores, field.hidden[group]) };
        let known = rows.iter().filter(|row| row.old.is_none_or(|unit| !suspects.contains(&unit)));
        let known: Vec<_> = known.map(|row| (row.described.as_slice(), row.old.is_none())).collect();
        let classifier = Logistic::fit(&known);
        scores = own.iter().map(|row| classifier.score(row)).collect();
    }
    Ok(scores)
}

/// Rounds of learning from insertions.
const ROUNDS: usize = 4;

/// A unit of a network with insertions: its number without them, unless it is one.
struct Row {
    described: Vec<f64>,
    old: Option<usize>,
}

fn draw(rng: &mut ChaCha8Rng) -> Secret {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    Secret::from_bytes(&bytes)
}

/// Each unit's distances, and how large they are whichever way.
fn described(signs: &[Sign]) -> Vec<Vec<f64>> {
    let units = signs.first().map_or(0, |sign| sign.values.len());
    let row = |unit: usize| {
        let values = signs.iter().map(|sign| sign.values[unit]);
        values.flat_map(|value| [(value / 3.0).tanh(), (value.abs() / 3.0).tanh()]).collect()
    };
    (0..units).map(row).collect()
}

/// The units of the `count` largest scores.
fn largest(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.truncate(count);
    order
}

/// Mean over the hidden ones of the precision among all that rank as high.
fn average_precision(mut ranking: Vec<(f64, bool)>) -> f64 {
    ranking.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let (mut right, mut sum) = (0, 0.0);
    for (at, (_, hidden)) in ranking.iter().enumerate() {
        if *hidden {
            right += 1;
            sum += f64::from(right) / (at + 1) as f64;
        }
    }
    sum / f64::from(right.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rankings_are_judged_by_where_the_hidden_ones_stand() {
        let best = vec![(3.0, true), (2.0, true), (1.0, false), (0.0, false)];
        assert_eq!(average_precision(best), 1.0);
        let worst = vec![(0.0, true), (1.0, false), (2.0, false), (3.0, false)];
        assert_eq!(average_precision(worst), 0.25);
        assert_eq!(average_precision(vec![(1.0, true), (1.0, false)]), 0.5, "of equal ones the worse order counts");
        assert_eq!(largest(&[0.5, 2.0, 1.0], 2), [1, 2]);
    }
}

//! How much a key changes for how much memory (Eq. 1).

use crate::{ConfusionKey, Error, Groups, PerLayer, Plan, Strategy, confuse};
use cleave_nets::Network;
use cleave_secrets::Secret;
use serde::{Deserialize, Serialize};

/// Eq. 1 and its parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// Mean over the images of ‖f̂(x) − f(x)‖₂, the change of the scores before any softmax.
    pub distance: f64,
    /// ΔMem / Mem: values in the tensors that were added, for each that was there.
    pub memory: f64,
    /// λ.
    pub balance: f64,
}

impl Gain {
    /// The paper's objective: the distance less λ times the memory.
    pub fn value(&self) -> f64 {
        self.distance - self.balance * self.memory
    }
}

/// The gain of `widened` over `network` on images.
///
/// # Shapes
/// `images`: a whole number of images of [`Network::input`], prepared.
///
/// # Errors
/// [`Error::Network`] for misshapen images or networks of different inputs or outputs; [`Error::Setting`].
pub fn gain(network: &Network, widened: &Network, images: &[f32], balance: f64) -> Result<Gain, Error> {
    if !balance.is_finite() || balance < 0.0 {
        return Err(Error::Setting { name: "the balance", got: balance, expected: "0 or more" });
    }
    let memory = growth(network, widened)?;
    Ok(Gain { distance: distance(&scores(network, images)?, &scores(widened, images)?, network), memory, balance })
}

/// ΔMem / Mem.
fn growth(network: &Network, widened: &Network) -> Result<f64, Error> {
    Ok(widened.values()? as f64 / network.values()?.max(1) as f64 - 1.0)
}

fn scores(network: &Network, images: &[f32]) -> Result<Vec<f32>, Error> {
    Ok(network.infer(images.to_vec(), None, images.len() / network.input().values())?)
}

fn distance(plain: &[f32], confused: &[f32], network: &Network) -> f64 {
    let outputs = network.output().values();
    let norm = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    let samples = (plain.len() / outputs).max(1);
    plain.chunks(outputs).zip(confused.chunks(outputs)).map(norm).sum::<f64>() / samples as f64
}

/// One step of [`search`].
#[derive(Clone, Debug, PartialEq)]
pub struct SearchStep {
    /// Units for each group so far.
    pub plan: Plan,
    /// What they give.
    pub gain: Gain,
}

/// Looks for the plan within a memory budget that makes Eq. 1 large on given images. It begins with the best of some
/// plans that treat all groups alike; then one step after another goes to the group where it adds most to the objective
/// for the memory it takes, until nothing fits any more. The best of all plans on that way is the answer; it has no
/// neurons where none makes the objective positive.
///
/// It is greedy, and measures with one draw of positions and weights, from `secret`; no better plan is ruled out.
/// `observer` sees each step, and stops the search by returning `false`.
///
/// # Shapes
/// As [`gain`].
///
/// # Errors
/// [`Error::Setting`] for a budget that is not above 0; as [`gain`] and [`ConfusionKey::draw`].
pub fn search(
    network: &Network,
    images: &[f32],
    (strategy, balance, budget): (Strategy, f64, f64),
    secret: &Secret,
    observer: &mut dyn FnMut(&SearchStep) -> bool,
) -> Result<Plan, Error> {
    if !budget.is_finite() || budget <= 0.0 {
        return Err(Error::Setting { name: "the budget", got: budget, expected: "a share of memory above 0" });
    }
    let groups = Groups::of(network.architecture())?;
    let plain = scores(network, images)?;
    let measure = |plan: &Plan| -> Result<Gain, Error> {
        let key = ConfusionKey::draw(Secret::from_bytes(secret.expose()), &groups, plan)?;
        let widened = confuse(network, &key, strategy, secret)?;
        let memory = growth(network, &widened)?;
        let distance = if memory > budget { 0.0 } else { distance(&plain, &scores(&widened, images)?, network) };
        Ok(Gain { distance, memory, balance })
    };
    let mut best =
        SearchStep { plan: Plan(vec![0; groups.list().len()]), gain: Gain { distance: 0.0, memory: 0.0, balance } };
    for plan in even_plans(&groups, budget) {
        let step = SearchStep { gain: measure(&plan)?, plan };
        if step.gain.memory <= budget && step.gain.value() > best.gain.value() {
            best = step;
        }
    }
    let mut at = best.clone();
    loop {
        let mut next: Option<SearchStep> = None;
        for group in 0..groups.list().len() {
            let mut plan = at.plan.clone();
            plan.0[group] += groups.list()[group].units.div_ceil(STEPS);
            let step = SearchStep { gain: measure(&plan)?, plan };
            let rate = |step: &SearchStep| {
                (step.gain.value() - at.gain.value()) / (step.gain.memory - at.gain.memory).max(f64::MIN_POSITIVE)
            };
            if step.gain.memory <= budget && next.as_ref().is_none_or(|next| rate(&step) > rate(next)) {
                next = Some(step);
            }
        }
        let Some(step) = next else { return Ok(best.plan) };
        at = step; // also where it is a loss: another draw of the neurons may make up for it further on
        if at.gain.value() > best.gain.value() {
            best = at.clone();
        }
        if !observer(&at) {
            return Ok(best.plan);
        }
    }
}

/// Plans that treat all groups alike, of some proportions around the budget.
fn even_plans(groups: &Groups, budget: f64) -> impl Iterator<Item = Plan> {
    let proportions = (1..=EVEN).map(move |part| budget * f64::from(part) / f64::from(EVEN));
    proportions.flat_map(move |proportion| {
        let plan = move |per_layer| Plan::uniform(groups, proportion, per_layer).ok();
        [PerLayer::Absolute, PerLayer::Relative].into_iter().filter_map(plan)
    })
}

/// Proportions of even plans; memory grows by more than the proportion, so that the largest seldom fits.
const EVEN: u32 = 12;

/// A step adds this part of a group's units.
const STEPS: usize = 64;

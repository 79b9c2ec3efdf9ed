//! What the weights of confusion neurons are.

use crate::groups::Wire;
use cleave_nets::HostTensor;
use cleave_secrets::{Domain, Secret, Stream};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Where the weights of confusion neurons come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Drawn from the values of the tensor that they go into ('samp').
    #[default]
    Samp,
    /// As He et al. (2015) begin to train: normal with variance 2/fan-in, biases 0, normalisations that do nothing
    /// ('init').
    Init,
    /// A coin for each neuron between the two ('mixed').
    Mixed,
    /// Beyond the paper: what goes into the neuron is copied from one of the layer's own and shaken a little, what goes
    /// out of it from another one, so that each tensor's rows and columns look like those beside them.
    Mimic,
    /// Beyond the paper: neurons come in pairs with nearly the same activation, and most of what goes out of one is
    /// taken back by the other; one that is left over is as with [`Strategy::Mimic`]. Leaving out one of them does more harm than the two together.
    Paired,
}

impl Strategy {
    /// All of them, the paper's first.
    pub const ALL: [Self; 5] = [Self::Samp, Self::Init, Self::Mixed, Self::Mimic, Self::Paired];
}

impl std::fmt::Display for Strategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Samp => "samp",
            Self::Init => "init",
            Self::Mixed => "mixed",
            Self::Mimic => "mimic",
            Self::Paired => "paired",
        })
    }
}

/// How far a copied weight is moved, in standard deviations of its tensor.
const SHAKE: f32 = 0.3;

/// How far a copied bias or entry of a normalisation is moved, as a share of itself: it has to fit the copied weights, and a
/// value that stands twice in a tensor, bit for bit, would be seen.
const TREMBLE: f32 = 0.01;

/// Of what goes out of a neuron of a pair, the share of the variance that its partner takes back.
const OPPOSED: f32 = 0.9;

/// An entry on one axis of a tensor of the widened network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// An entry that was there before, and which one.
    Old(usize),
    /// An entry of a confusion neuron: group, unit within the widened group, entry within the unit, and entry of the
    /// axis at which unit 0 began before.
    New { group: usize, unit: usize, inner: usize, start: usize, each: usize },
}

/// Draws weights. Whoever could repeat its draws would know the neurons by them, so they come from a secret.
pub(crate) struct Weights {
    stream: Stream,
    /// For each group and unit of the widened network; of old ones it is not used.
    neurons: Vec<Vec<Neuron>>,
    spare: Option<f32>,
}

/// What was drawn for one neuron.
#[derive(Clone, Copy)]
struct Neuron {
    strategy: Strategy,
    /// Units of the original network that it is copied from: going in, and going out.
    twins: [usize; 2],
    /// Its partner's unit, for [`Strategy::Paired`], and whether it is the second of the two.
    partner: Option<(usize, bool)>,
}

impl Weights {
    /// For groups whose units come from `moves`: an old unit each, or none for a confusion neuron.
    pub(crate) fn new(secret: &Secret, strategy: Strategy, moves: &[Vec<Option<usize>>]) -> Self {
        let mut weights =
            Self { stream: secret.stream(Domain::new("confusion/weights", &[])), neurons: Vec::new(), spare: None };
        weights.neurons = moves.iter().map(|moves| weights.group(strategy, moves)).collect();
        weights
    }

    fn group(&mut self, strategy: Strategy, moves: &[Option<usize>]) -> Vec<Neuron> {
        let old = moves.iter().flatten().count();
        let mut neurons: Vec<_> = moves.iter().map(|_| self.neuron(strategy, old)).collect();
        if strategy == Strategy::Paired {
            let new: Vec<_> = (0..moves.len()).filter(|&unit| moves[unit].is_none()).collect();
            for pair in new.chunks_exact(2) {
                neurons[pair[1]].twins = neurons[pair[0]].twins;
                neurons[pair[0]].partner = Some((pair[1], false));
                neurons[pair[1]].partner = Some((pair[0], true));
            }
        }
        neurons
    }

    fn neuron(&mut self, strategy: Strategy, old: usize) -> Neuron {
        let coin = self.stream.word() & 1 == 0;
        let strategy = match strategy {
            Strategy::Mixed if coin => Strategy::Samp,
            Strategy::Mixed => Strategy::Init,
            other => other,
        };
        Neuron { strategy, twins: [self.below(old), self.below(old)], partner: None }
    }

    /// Fills the entries of confusion neurons in a tensor `[before, outputs, inputs, rest]` of the widened network.
    pub(crate) fn fill(&mut self, name: &str, wire: &Wire, old: &HostTensor, wide: &mut Sheet<'_>) {
        let leaf = name.rsplit('.').next().unwrap_or_default();
        let is_kernel = leaf == "weight" && old.shape.len() > 1;
        let deviation = deviation(&old.values);
        let he = (2.0 / (wide.inputs.len() * wide.rest) as f32).sqrt();
        let [old_outputs, old_inputs] = [wire.outputs_before(), wire.inputs_before()];
        for before in 0..wire.before {
            for (o, &output) in wide.outputs.iter().enumerate() {
                for (i, &input) in wide.inputs.iter().enumerate() {
                    let Some(neuron) = self.owner(output, input) else { continue };
                    let [row, column] = [twin(output, &self.neurons, 0), twin(input, &self.neurons, 1)];
                    for r in 0..wide.rest {
                        let copied = old.values[((before * old_outputs + row) * old_inputs + column) * wide.rest + r];
                        let value = match neuron.strategy {
                            Strategy::Init if is_kernel => he * self.normal(),
                            Strategy::Init => f32::from(leaf == "weight" || leaf == "running_var"),
                            Strategy::Mimic | Strategy::Paired if is_kernel => {
                                copied + SHAKE * deviation * self.normal()
                            }
                            Strategy::Mimic | Strategy::Paired => copied * (1.0 + TREMBLE * self.normal()),
                            Strategy::Samp | Strategy::Mixed => old.values[self.below(old.values.len())],
                        };
                        let at = ((before * wide.outputs.len() + o) * wide.inputs.len() + i) * wide.rest + r;
                        wide.values[at] = value;
                    }
                }
            }
        }
        if is_kernel {
            self.oppose(wire.before, deviation, wide);
        }
    }

    /// Gives both neurons of each pair a common part that one adds and the other subtracts, and shrinks the rest, so
    /// that their weights stay as large as others are.
    fn oppose(&mut self, before: usize, deviation: f32, wide: &mut Sheet<'_>) {
        let (columns, rows) = (wide.inputs.len(), wide.outputs.len());
        for (i, &input) in wide.inputs.iter().enumerate() {
            let Slot::New { group, unit, inner, start, each } = input else { continue };
            let Some((partner, false)) = self.neurons[group][unit].partner else { continue };
            let place = |slot: &Slot| *slot == Slot::New { group, unit: partner, inner, start, each };
            let Some(j) = wide.inputs.iter().position(place) else { continue };
            for row in 0..before * rows {
                for r in 0..wide.rest {
                    let common = OPPOSED.sqrt() * deviation * self.normal();
                    for (at, sign) in [(i, 1.0), (j, -1.0)] {
                        let value = &mut wide.values[(row * columns + at) * wide.rest + r];
                        *value = (1.0 - OPPOSED).sqrt() * *value + sign * common;
                    }
                }
            }
        }
    }

    /// The confusion neuron that an entry belongs to: the one that reads it in, else the one that gives it out.
    fn owner(&self, output: Slot, input: Slot) -> Option<Neuron> {
        let neuron = |slot| match slot {
            Slot::New { group, unit, .. } => Some(self.neurons[group][unit]),
            Slot::Old(_) => None,
        };
        neuron(output).or_else(|| neuron(input))
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        self.stream.below(bound) as usize
    }

    /// Normal with mean 0 and variance 1 (Box and Muller, 1958).
    fn normal(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let mut unit = || (f64::from(self.stream.word()) + 0.5) / (f64::from(u32::MAX) + 1.0);
        let (radius, angle) = ((-2.0 * unit().ln()).sqrt(), std::f64::consts::TAU * unit());
        self.spare = Some((radius * angle.sin()) as f32);
        (radius * angle.cos()) as f32
    }
}

/// A tensor of the widened network as `[before, outputs, inputs, rest]`.
pub(crate) struct Sheet<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) outputs: Vec<Slot>,
    pub(crate) inputs: Vec<Slot>,
    pub(crate) rest: usize,
}

/// The entry before widening that `slot` has, or that its neuron's twin has.
fn twin(slot: Slot, neurons: &[Vec<Neuron>], side: usize) -> usize {
    match slot {
        Slot::Old(at) => at,
        Slot::New { group, unit, inner, start, each } => start + neurons[group][unit].twins[side] * each + inner,
    }
}

fn deviation(values: &[f32]) -> f32 {
    let count = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count).sqrt()
}

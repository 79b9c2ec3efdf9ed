//! Inserting channels, and taking them out again.

use crate::groups::{Layout, Wire};
use crate::strategy::{Sheet, Slot, Weights};
use crate::{ConfusionKey, Error, Groups, Strategy};
use cleave_nets::{Architecture, HostTensor, Layer, Network};
use cleave_secrets::Secret;

/// For each group and unit of the new network the unit of the old one; `None` for a confusion neuron.
type Moves = Vec<Vec<Option<usize>>>;

/// The network with confusion neurons at the positions of `key`. `weights` decides what their weights are and is not
/// needed any more afterwards. Give a fresh one each time, also at the positions of an old key for a network that was
/// trained on: weights that did not move would tell (Section 2.2 of the paper).
///
/// Whatever comes out of the network's own channels no longer is what it was, since confusion neurons feed into them.
/// [`strip`] brings it back.
///
/// # Errors
/// [`Error::OtherNetwork`] when the key is for other channels; [`Error::Network`].
pub fn confuse(network: &Network, key: &ConfusionKey, strategy: Strategy, weights: &Secret) -> Result<Network, Error> {
    let groups = Groups::of(network.architecture())?;
    let moves: Moves = key.masks_in_the_clear().iter().map(|mask| origins(mask)).collect();
    let own: Vec<_> = moves.iter().map(|moves| moves.iter().flatten().count()).collect();
    groups.check_units("the key", &own)?;
    let mut weights = Weights::new(weights, strategy, &moves);
    reshape(network, &groups, &moves, &mut |name, wire, old, wide| weights.fill(name, wire, old, wide))
}

/// The network without the confusion neurons of `key`: bit for bit what was confused.
///
/// # Errors
/// [`Error::OtherNetwork`] when the key is for other channels; [`Error::Network`].
pub fn strip(widened: &Network, key: &ConfusionKey) -> Result<Network, Error> {
    without(widened, key.masks_in_the_clear())
}

/// The network without the units that are marked, whoever marked them.
///
/// # Errors
/// [`Error::OtherNetwork`] when the marks do not fit the network's groups; [`Error::Network`] when they leave nothing of one.
pub fn without(network: &Network, marked: &[Vec<bool>]) -> Result<Network, Error> {
    let groups = Groups::of(network.architecture())?;
    groups.check_units("the key", &marked.iter().map(Vec::len).collect::<Vec<_>>())?;
    let kept = |mask: &Vec<bool>| (0..mask.len()).filter(|&unit| !mask[unit]).map(Some).collect();
    reshape(network, &groups, &marked.iter().map(kept).collect(), &mut |_, _, _, _| ())
}

/// For each unit of the widened network the unit that it was.
fn origins(mask: &[bool]) -> Vec<Option<usize>> {
    let mut next = 0..;
    mask.iter().map(|&confusion| if confusion { None } else { next.next() }).collect()
}

type Fill<'a> = dyn FnMut(&str, &Wire, &HostTensor, &mut Sheet<'_>) + 'a;

/// Moves every unit to its new place, in the architecture and in every tensor, and has the rest filled.
fn reshape(network: &Network, groups: &Groups, moves: &Moves, fill: &mut Fill<'_>) -> Result<Network, Error> {
    let layers = resized(&network.architecture().layers, "", groups, moves);
    let architecture = Architecture::new(network.input(), layers)?;
    let mut tensors = network.tensors()?;
    for (name, tensor) in &mut tensors {
        if let Some(wire) = groups.wires.get(name) {
            *tensor = moved(name, wire, tensor, groups, moves, fill);
        }
    }
    Ok(Network::from_tensors(architecture, tensors, network.device())?)
}

fn moved(name: &str, wire: &Wire, old: &HostTensor, groups: &Groups, moves: &Moves, fill: &mut Fill<'_>) -> HostTensor {
    let (old_outputs, old_inputs) = (wire.outputs_before(), wire.inputs_before());
    let rest = old.values.len() / (wire.before * old_outputs * old_inputs).max(1);
    let outputs = slots(&wire.outputs, groups, moves);
    let inputs = wire.inputs.as_ref().map_or_else(|| vec![Slot::Old(0)], |inputs| slots(inputs, groups, moves));
    let mut values = vec![0.0; wire.before * outputs.len() * inputs.len() * rest];
    for before in 0..wire.before {
        for (o, output) in outputs.iter().enumerate() {
            let Slot::Old(row) = *output else { continue };
            for (i, input) in inputs.iter().enumerate() {
                let Slot::Old(column) = *input else { continue };
                let from = ((before * old_outputs + row) * old_inputs + column) * rest;
                let to = ((before * outputs.len() + o) * inputs.len() + i) * rest;
                values[to..to + rest].copy_from_slice(&old.values[from..from + rest]);
            }
        }
    }
    let mut shape = old.shape.clone();
    shape[wire.axis] = outputs.len();
    if wire.inputs.is_some() {
        shape[wire.axis + 1] = inputs.len();
    }
    fill(name, wire, old, &mut Sheet { values: &mut values, outputs, inputs, rest });
    HostTensor { shape, values }
}

fn slots(layout: &Layout, groups: &Groups, moves: &Moves) -> Vec<Slot> {
    let (mut out, mut start) = (Vec::new(), 0);
    for stretch in layout {
        match stretch.group {
            None => out.extend((0..stretch.entries()).map(|at| Slot::Old(start + at))),
            Some(group) => {
                let each = stretch.entries() / groups.groups[group].units;
                for (unit, from) in moves[group].iter().enumerate() {
                    out.extend((0..each).map(|inner| match from {
                        Some(from) => Slot::Old(start + from * each + inner),
                        None => Slot::New { group, unit, inner, start, each },
                    }));
                }
            }
        }
        start += stretch.entries();
    }
    out
}

/// The layers with as many channels as `moves` has for them.
fn resized(layers: &[Layer], prefix: &str, groups: &Groups, moves: &Moves) -> Vec<Layer> {
    layers
        .iter()
        .enumerate()
        .map(|(index, layer)| resized_layer(layer, &format!("{prefix}{index}"), groups, moves))
        .collect()
}

fn resized_layer(layer: &Layer, path: &str, groups: &Groups, moves: &Moves) -> Layer {
    let group = groups.wires.get(&format!("{path}.weight")).and_then(|wire| wire.outputs.first()?.group);
    let resize = |count: usize| group.map_or(count, |group| count / groups.groups[group].units * moves[group].len());
    let mut layer = layer.clone();
    match &mut layer {
        Layer::Conv2d { filters, groups, .. } => {
            *filters = resize(*filters);
            if *groups > 1 {
                *groups = resize(*groups);
            }
        }
        Layer::LocalConv2d { filters, .. } => *filters = resize(*filters),
        Layer::Linear { features } => *features = resize(*features),
        Layer::Residual { body, shortcut } => {
            *body = resized(body, &format!("{path}.body."), groups, moves);
            *shortcut = resized(shortcut, &format!("{path}.shortcut."), groups, moves);
        }
        Layer::Concat { branches } => {
            for (at, branch) in branches.iter_mut().enumerate() {
                *branch = resized(branch, &format!("{path}.branches.{at}."), groups, moves);
            }
        }
        _ => {}
    }
    layer
}

impl Wire {
    /// Outputs before widening.
    pub(crate) fn outputs_before(&self) -> usize {
        self.outputs.iter().map(crate::groups::Stretch::entries).sum()
    }

    /// Inputs before widening; 1 where they stay as they are, and are counted with the rest.
    pub(crate) fn inputs_before(&self) -> usize {
        self.inputs.as_ref().map_or(1, |inputs| inputs.iter().map(crate::groups::Stretch::entries).sum())
    }
}

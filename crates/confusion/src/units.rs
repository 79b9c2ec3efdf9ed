//! Which weights belong to a unit, for whoever measures units one by one.

use crate::groups::{Layout, Wire};
use crate::{Error, Groups};
use cleave_nets::HostTensor;
use std::collections::BTreeMap;

/// Weights, or what was computed for each of them, by name, as [`Network::tensors`](cleave_nets::Network::tensors) gives
/// them.
pub type Tensors = BTreeMap<String, HostTensor>;

/// How a weight belongs to a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It decides what the unit's value is: rows of kernels, biases, normalisations.
    Incoming,
    /// It decides what becomes of the unit's value: columns of kernels. With all of them 0 the unit is as good as gone.
    Outgoing,
}

/// Sees an entry: its group and unit, its tensor, its place there.
type Visit<'a> = dyn FnMut((usize, usize), &HostTensor, usize) + 'a;

impl Groups {
    /// The entries that belong to each unit, in the tensors whose name `wanted` accepts, for each group and each of its
    /// units. Units of a group list theirs in the same order.
    ///
    /// # Errors
    /// [`Error::OtherNetwork`] for tensors of a network with other channels.
    pub fn values(
        &self,
        tensors: &Tensors,
        side: Side,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<Vec<Vec<f32>>>, Error> {
        let mut out: Vec<Vec<Vec<f32>>> = self.list().iter().map(|group| vec![Vec::new(); group.units]).collect();
        self.visit(tensors, side, wanted, &mut |(group, unit), tensor, at| {
            out[group][unit].push(tensor.values[at]);
        })?;
        Ok(out)
    }

    /// For each group and unit the sum over its outgoing weights of one value times the other, summed in f64.
    ///
    /// With a network's weights w as `weights` and, as `gradients`, the derivatives of a loss by the weights that were in
    /// place, it is the derivative of the loss by a factor that all of the unit's outgoing weights are multiplied with
    /// ([`Groups::gate`]). Where that factor is 1 it says, to first order, by how much the loss falls if the unit is left
    /// out.
    ///
    /// # Errors
    /// [`Error::OtherNetwork`] for tensors of a network with other channels.
    pub fn outgoing(&self, weights: &Tensors, gradients: &Tensors) -> Result<Vec<Vec<f64>>, Error> {
        let mut out: Vec<Vec<f64>> = self.list().iter().map(|group| vec![0.0; group.units]).collect();
        for (name, weight) in weights.iter().filter(|(name, _)| self.axis(name, Side::Outgoing).is_some()) {
            let Some(gradient) = gradients.get(name).filter(|gradient| gradient.shape == weight.shape) else {
                let other =
                    gradients.get(name).map_or("nothing".to_owned(), |other| format!("shape {:?}", other.shape));
                let own = format!("shape {:?} of {name}", weight.shape);
                return Err(Error::OtherNetwork { what: "the gradient", expected: other, got: own });
            };
            self.visit_one(name, weight, Side::Outgoing, &mut |(group, unit), weight, at| {
                out[group][unit] += f64::from(weight.values[at]) * f64::from(gradient.values[at]);
            })?;
        }
        Ok(out)
    }

    /// Multiplies all outgoing weights of each unit with its factor.
    ///
    /// # Errors
    /// [`Error::OtherNetwork`] for tensors of a network with other channels, or another number of factors.
    pub fn gate(&self, tensors: &mut Tensors, factors: &[Vec<f32>]) -> Result<(), Error> {
        self.check_units("the choice of factors", &factors.iter().map(Vec::len).collect::<Vec<_>>())?;
        for (name, tensor) in tensors {
            let Some((wire, layout)) = self.axis(name, Side::Outgoing) else { continue };
            let owners = self.owners(layout);
            let spans = spans(wire, tensor, name, Side::Outgoing, owners.len())?;
            for span in spans {
                if let Some((group, unit)) = owners[span.index] {
                    let factor = factors[group][unit];
                    tensor.values[span.from..span.to].iter_mut().for_each(|value| *value *= factor);
                }
            }
        }
        Ok(())
    }

    fn visit(
        &self,
        tensors: &Tensors,
        side: Side,
        wanted: impl Fn(&str) -> bool,
        each: &mut Visit<'_>,
    ) -> Result<(), Error> {
        let mut chosen = tensors.iter().filter(|(name, _)| wanted(name));
        chosen.try_for_each(|(name, tensor)| self.visit_one(name, tensor, side, each))
    }

    fn visit_one(&self, name: &str, tensor: &HostTensor, side: Side, each: &mut Visit<'_>) -> Result<(), Error> {
        let Some((wire, layout)) = self.axis(name, side) else { return Ok(()) };
        let owners = self.owners(layout);
        for span in spans(wire, tensor, name, side, owners.len())? {
            if let Some(owner) = owners[span.index] {
                (span.from..span.to).for_each(|at| each(owner, tensor, at));
            }
        }
        Ok(())
    }

    /// The axis of a tensor that follows units on this side.
    fn axis(&self, name: &str, side: Side) -> Option<(&Wire, &Layout)> {
        let wire = self.wires.get(name)?;
        match side {
            Side::Incoming => Some((wire, &wire.outputs)),
            Side::Outgoing => wire.inputs.as_ref().map(|inputs| (wire, inputs)),
        }
    }

    /// The group and unit of each entry of an axis.
    fn owners(&self, layout: &Layout) -> Vec<Option<(usize, usize)>> {
        let owners = layout.iter().flat_map(|stretch| {
            let entries = stretch.entries();
            let owner = move |at: usize| {
                let group = stretch.group?;
                Some((group, at / (entries / self.list()[group].units.max(1)).max(1)))
            };
            (0..entries).map(owner)
        });
        owners.collect()
    }
}

/// Neighbouring values of one entry of an axis.
struct Span {
    index: usize,
    from: usize,
    to: usize,
}

/// The values of a tensor `[before, outputs, inputs, rest]`, by their entry of one axis.
fn spans(
    wire: &Wire,
    tensor: &HostTensor,
    name: &str,
    side: Side,
    axis: usize,
) -> Result<impl Iterator<Item = Span> + use<>, Error> {
    let (outputs, inputs) = (wire.outputs_before(), wire.inputs_before());
    let (cells, first) = (wire.before * outputs * inputs, wire.axis);
    let dims = tensor.shape.get(first..).unwrap_or_default();
    let misfit = tensor.values.len() != tensor.shape.iter().product::<usize>()
        || (first == 1 && tensor.shape.first() != Some(&wire.before))
        || dims.first() != Some(&outputs)
        || (wire.inputs.is_some() && dims.get(1) != Some(&inputs))
        || cells == 0;
    if misfit {
        return Err(Error::OtherNetwork {
            what: "the tensor",
            expected: format!("shape {:?}", tensor.shape),
            got: format!("{outputs} outputs and {inputs} inputs in {name}"),
        });
    }
    let rest = tensor.values.len() / cells;
    let index = move |cell: usize| match side {
        Side::Incoming => cell / inputs % axis.max(1),
        Side::Outgoing => cell % inputs,
    };
    Ok((0..cells).map(move |cell| Span { index: index(cell), from: cell * rest, to: (cell + 1) * rest }))
}

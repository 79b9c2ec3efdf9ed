//! Which channels of a network can only be widened together.

use crate::Error;
use cleave_nets::{Architecture, Layer, Shape};
use std::collections::BTreeMap;

/// Channels that are one: every layer that writes or reads them has to be widened at the same positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Positions at which something can be inserted: channels, or groups of channels of a grouped convolution.
    pub units: usize,
    /// Channels that come with one unit, in the first layer that writes them.
    pub width: usize,
    /// The layers that write them, by the names of their tensors (`0`, `4.body.3`).
    pub writers: Vec<String>,
}

impl Group {
    /// Channels of the first layer that writes them.
    pub const fn channels(&self) -> usize {
        self.units * self.width
    }
}

/// The channels of one tensor axis, as stretches that belong to a group or to none.
pub(crate) type Layout = Vec<Stretch>;

/// Consecutive entries of a tensor axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// While walking a place in [`Walk::sets`], afterwards the group; `None` where nothing can be inserted.
    pub(crate) group: Option<usize>,
    pub(crate) channels: usize,
    /// Entries of one channel: its positions, behind a flatten.
    pub(crate) repeat: usize,
}

impl Stretch {
    pub(crate) const fn entries(&self) -> usize {
        self.channels * self.repeat
    }
}

/// How one tensor follows the channels: it is `[before, outputs, inputs, rest]`.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) before: usize,
    /// The axis of the tensor that the outputs are on: behind the positions of a local convolution, else the first.
    pub(crate) axis: usize,
    pub(crate) outputs: Layout,
    /// `None` where the inputs stay as they are: in biases, normalisations, and within the groups of a convolution.
    pub(crate) inputs: Option<Layout>,
}

/// All channels of an architecture that can be widened, and how its tensors follow them.
#[derive(Clone, Debug)]
pub struct Groups {
    pub(crate) groups: Vec<Group>,
    pub(crate) wires: BTreeMap<String, Wire>,
}

impl Groups {
    /// Follows the channels through an architecture. Its input and its output stay as they are.
    ///
    /// # Errors
    /// [`Error::NotConfusable`] for a kind of layer that is not known here; [`Error::Network`].
    pub fn of(architecture: &Architecture) -> Result<Self, Error> {
        let mut walk = Walk { sets: Vec::new(), wires: BTreeMap::new() };
        let input = vec![Stretch { group: None, channels: architecture.input.channels, repeat: 1 }];
        let output = walk.list(&architecture.layers, architecture.input, "", input)?;
        walk.fix(&output);
        Ok(walk.resolved())
    }

    /// The groups, in the order in which their first writers stand in the network.
    pub fn list(&self) -> &[Group] {
        &self.groups
    }

    /// Fails unless the groups have these units.
    pub(crate) fn check_units(&self, what: &'static str, units: &[usize]) -> Result<(), Error> {
        let got: Vec<_> = self.groups.iter().map(|group| group.units).collect();
        if got == units {
            return Ok(());
        }
        let text = |units: &[usize]| format!("channels {units:?}");
        Err(Error::OtherNetwork { what, expected: text(units), got: text(&got) })
    }

    /// Channels in all, each group counted once.
    pub fn channels(&self) -> usize {
        self.groups.iter().map(Group::channels).sum()
    }
}

/// Channels while it is not known yet what else they are tied to.
struct Set {
    parent: usize,
    units: usize,
    fixed: bool,
    writer: String,
    channels: usize,
}

struct Walk {
    sets: Vec<Set>,
    wires: BTreeMap<String, Wire>,
}

const NORM_LEAVES: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

impl Walk {
    fn list(&mut self, layers: &[Layer], input: Shape, prefix: &str, mut layout: Layout) -> Result<Layout, Error> {
        let shapes = Architecture::new(input, layers.to_vec())?.shapes()?;
        for (index, (layer, shape)) in layers.iter().zip(shapes).enumerate() {
            layout = self.layer(layer, shape, &format!("{prefix}{index}"), layout)?;
        }
        Ok(layout)
    }

    fn layer(&mut self, layer: &Layer, shape: Shape, path: &str, layout: Layout) -> Result<Layout, Error> {
        Ok(match layer {
            Layer::Conv2d { filters, groups: 1, .. } => self.kernel(path, *filters, None, Some(layout)),
            Layer::Conv2d { filters, groups, .. } => self.grouped(path, *filters, *groups, &layout),
            Layer::LocalConv2d { filters, size: [rows, columns] } => {
                let patches = (shape.height / rows) * (shape.width / columns);
                self.kernel(path, *filters, Some(patches), Some(layout))
            }
            Layer::Linear { features } => self.kernel(path, *features, None, Some(layout)),
            Layer::BatchNorm { .. } => {
                for leaf in NORM_LEAVES {
                    self.wire(path, leaf, None, &layout, None);
                }
                layout
            }
            Layer::Flatten => {
                let flat =
                    |stretch: Stretch| Stretch { repeat: stretch.repeat * shape.height * shape.width, ..stretch };
                layout.into_iter().map(flat).collect()
            }
            Layer::Residual { body, shortcut } => {
                let long = self.list(body, shape, &format!("{path}.body."), layout.clone())?;
                let short = self.list(shortcut, shape, &format!("{path}.shortcut."), layout)?;
                self.tie(&long, &short);
                long
            }
            Layer::Concat { branches } => {
                let mut outputs = Layout::new();
                for (at, branch) in branches.iter().enumerate() {
                    outputs.extend(self.list(branch, shape, &format!("{path}.branches.{at}."), layout.clone())?);
                }
                outputs
            }
            Layer::SignalJoin(_) => [layout, vec![Stretch { group: None, channels: 1, repeat: 1 }]].concat(),
            Layer::Relu
            | Layer::Gelu
            | Layer::Square
            | Layer::MaxPool(_)
            | Layer::AvgPool(_)
            | Layer::GlobalAvgPool
            | Layer::Dropout { .. } => layout,
            other => {
                return Err(Error::NotConfusable { reason: format!("layer {path}, {other:?}, is not known here") });
            }
        })
    }

    fn wire(&mut self, path: &str, leaf: &str, patches: Option<usize>, outputs: &Layout, inputs: Option<Layout>) {
        self.wires.insert(
            format!("{path}.{leaf}"),
            Wire {
                before: patches.unwrap_or(1),
                axis: usize::from(patches.is_some()),
                outputs: outputs.clone(),
                inputs,
            },
        );
    }

    /// A layer with outputs of its own, and with weights of its own for each of `patches` where there are any.
    fn kernel(&mut self, path: &str, channels: usize, patches: Option<usize>, inputs: Option<Layout>) -> Layout {
        let group = Some(self.sets.len());
        let (parent, writer) = (self.sets.len(), path.to_owned());
        self.sets.push(Set { parent, units: channels, fixed: false, writer, channels });
        let outputs = vec![Stretch { group, channels, repeat: 1 }];
        self.wire(path, "weight", patches, &outputs, inputs);
        self.wire(path, "bias", None, &outputs, None);
        outputs
    }

    /// A convolution in groups reads and writes whole groups of channels, so that its inputs and outputs grow together.
    fn grouped(&mut self, path: &str, filters: usize, groups: usize, inputs: &Layout) -> Layout {
        let outputs = self.kernel(path, filters, None, None);
        let own = self.sets.len() - 1;
        match inputs[..] {
            [Stretch { group: Some(set), repeat: 1, .. }] => {
                self.sets[own].units = common(filters, groups);
                self.join(set, own);
            }
            _ => {
                self.fix(inputs);
                self.fix(&outputs);
            }
        }
        outputs
    }

    /// Channels that are added to one another.
    fn tie(&mut self, one: &Layout, other: &Layout) {
        let alike = |(a, b): (&Stretch, &Stretch)| (a.channels, a.repeat) == (b.channels, b.repeat);
        let fits = one.len() == other.len() && one.iter().zip(other).all(alike);
        for (a, b) in one.iter().zip(other) {
            match (a.group, b.group) {
                (Some(a), Some(b)) if fits => self.join(a, b),
                _ => {}
            }
        }
        let loose = |(a, b): (&Stretch, &Stretch)| a.group.is_none() != b.group.is_none();
        if !fits || one.iter().zip(other).any(loose) {
            self.fix(one);
            self.fix(other);
        }
    }

    fn fix(&mut self, layout: &Layout) {
        for set in layout.iter().filter_map(|stretch| stretch.group) {
            let root = self.root(set);
            self.sets[root].fixed = true;
        }
    }

    fn root(&self, set: usize) -> usize {
        let parent = self.sets[set].parent;
        if parent == set { set } else { self.root(parent) }
    }

    fn join(&mut self, one: usize, other: usize) {
        let (first, second) = (self.root(one), self.root(other));
        let (first, second) = (first.min(second), first.max(second));
        let units = common(self.sets[first].units, self.sets[second].units);
        let fixed = self.sets[first].fixed || self.sets[second].fixed;
        self.sets[second].parent = first;
        self.sets[first] = Set { units, fixed, ..std::mem::replace(&mut self.sets[first], Set::none()) };
    }

    fn resolved(mut self) -> Groups {
        let roots: Vec<_> = (0..self.sets.len()).map(|set| self.root(set)).collect();
        let free: Vec<_> = (0..roots.len()).filter(|&set| roots[set] == set && !self.sets[set].fixed).collect();
        let name = |set: usize| free.iter().position(|&root| root == roots[set]);
        let groups = free.iter().map(|&root| {
            let writers = (0..roots.len()).filter(|&set| roots[set] == root);
            let writers = writers.map(|set| self.sets[set].writer.clone()).collect();
            let Set { units, channels, .. } = self.sets[root];
            Group { units, width: channels / units.max(1), writers }
        });
        let groups = groups.collect();
        for wire in self.wires.values_mut() {
            for stretch in wire.outputs.iter_mut().chain(wire.inputs.iter_mut().flatten()) {
                stretch.group = stretch.group.and_then(name);
            }
        }
        Groups { groups, wires: self.wires }
    }
}

impl Set {
    const fn none() -> Self {
        Self { parent: 0, units: 0, fixed: false, writer: String::new(), channels: 0 }
    }
}

/// The greatest common divisor.
const fn common(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common(b, a % b) }
}

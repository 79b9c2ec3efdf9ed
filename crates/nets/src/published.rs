//! Layer lists whose tensors have names in torchvision too.

use crate::{Architecture, Error, Layer, Network, Shape, Window};
use std::collections::BTreeMap;

/// An architecture, and what torchvision calls its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The layer list.
    pub architecture: Architecture,
    /// Our name of each tensor (`4.body.0.weight`) by torchvision's (`layer1.0.conv1.weight`); where files spell one in
    /// two ways, both are here. Empty for networks that torchvision does not have.
    pub keys: BTreeMap<String, String>,
}

impl From<Architecture> for Published {
    fn from(architecture: Architecture) -> Self {
        Self { architecture, keys: BTreeMap::new() }
    }
}

/// What PyTorch adds to a variance.
const EPSILON: f64 = 1e-5;

pub(crate) const NORM: Layer = Layer::BatchNorm { epsilon: EPSILON };

/// A square convolution without bias that keeps the size but for its stride.
pub(crate) const fn plain_conv(filters: usize, size: usize, stride: usize) -> Layer {
    Layer::Conv2d { filters, window: Window::square(size, stride, size / 2), groups: 1, bias: false }
}

/// A layer list in the making, with the names of torchvision's modules beside it.
#[derive(Default)]
pub(crate) struct Stack {
    layers: Vec<Layer>,
    /// Our path of a layer with weights (`4.body.0`) and the name of torchvision's module.
    modules: Vec<(String, String)>,
}

impl Stack {
    /// Adds layers that have no weights.
    pub(crate) fn with(mut self, layers: impl IntoIterator<Item = Layer>) -> Self {
        self.layers.extend(layers);
        self
    }

    /// Adds a layer with weights.
    pub(crate) fn named(mut self, module: impl Into<String>, layer: Layer) -> Self {
        self.modules.push((self.layers.len().to_string(), module.into()));
        self.with([layer])
    }

    /// Adds a convolution and a normalisation.
    pub(crate) fn normed(self, [conv, norm]: [String; 2], layer: Layer) -> Self {
        self.named(conv, layer).named(norm, NORM)
    }

    /// Adds a sum of two ways.
    pub(crate) fn residual(mut self, body: Self, shortcut: Self) -> Self {
        let body = self.take_in("body", body);
        let shortcut = self.take_in("shortcut", shortcut);
        self.with([Layer::Residual { body, shortcut }])
    }

    /// Adds branches side by side.
    pub(crate) fn concat(mut self, branches: impl IntoIterator<Item = Self>) -> Self {
        let branches = branches.into_iter().enumerate();
        let branches = branches.map(|(at, branch)| self.take_in(&format!("branches.{at}"), branch)).collect();
        self.with([Layer::Concat { branches }])
    }

    /// The layers of a block that is added next; their names are kept.
    fn take_in(&mut self, name: &str, inner: Self) -> Vec<Layer> {
        let prefix = format!("{}.{name}", self.layers.len());
        self.modules.extend(inner.modules.into_iter().map(|(path, module)| (format!("{prefix}.{path}"), module)));
        inner.layers
    }

    /// Adds the mean of each channel and the last layer.
    pub(crate) fn pooled_head(self, module: &str, classes: usize) -> Self {
        self.with([Layer::GlobalAvgPool, Layer::Flatten]).named(module, Layer::Linear { features: classes })
    }

    /// The finished list over a square input.
    pub(crate) fn finish(self, channels: usize, size: usize) -> Result<Published, Error> {
        let architecture = Architecture::new(Shape::new(channels, size, size), self.layers)?;
        let modules: BTreeMap<_, _> = self.modules.into_iter().collect();
        let key = |(name, _): (String, _)| {
            let (path, leaf) = name.rsplit_once('.')?;
            Some((format!("{}.{leaf}", modules.get(path)?), name))
        };
        let keys = Network::tensor_shapes(&architecture)?.into_iter().filter_map(key).collect();
        Ok(Published { architecture, keys })
    }
}

/// An error about the settings, before there are layers.
pub(crate) fn wrong_setting<T>(reason: String) -> Result<T, Error> {
    Err(Error::Architecture { index: 0, reason })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Weights that are trained, after a check that each tensor has one name of its own in torchvision.
    pub(crate) fn trained(published: &Published) -> usize {
        let shapes = Network::tensor_shapes(&published.architecture).unwrap();
        let ours: BTreeSet<_> = shapes.iter().map(|(name, _)| name).collect();
        assert_eq!(published.keys.values().collect::<BTreeSet<_>>(), ours);
        let trained = shapes.iter().filter(|(name, _)| !name.contains("running"));
        trained.map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }
}

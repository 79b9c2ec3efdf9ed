//! What every layer of a network receives and gives.

use crate::Error;
use burn::tensor::{Device, Tensor};
use cleave_confusion::Tensors;
use cleave_nets::{Architecture, Layer, Network, Pass, Shape};

/// Sees one layer: its name (`4.body.0`), what it is, its input and its output.
pub(super) type Visit<'a> = dyn FnMut(&str, &Layer, &Tensor<4>, &Tensor<4>) -> Result<(), Error> + 'a;

/// Runs a network without a join layer by layer, those within blocks too.
///
/// # Shapes
/// `x`: `[images, channels, height, width]` of [`Network::input`].
pub(super) fn trace(network: &Network, x: Tensor<4>, visit: &mut Visit<'_>) -> Result<Tensor<4>, Error> {
    let tensors = network.tensors()?;
    let run = Run { tensors: &tensors, device: network.device() };
    run.list(&network.architecture().layers, "", x, visit)
}

struct Run<'a> {
    tensors: &'a Tensors,
    device: &'a Device,
}

impl Run<'_> {
    fn list(&self, layers: &[Layer], prefix: &str, x: Tensor<4>, visit: &mut Visit<'_>) -> Result<Tensor<4>, Error> {
        layers.iter().enumerate().try_fold(x, |x, (index, layer)| {
            let path = format!("{prefix}{index}");
            let out = match layer {
                Layer::Residual { body, shortcut } => {
                    let long = self.list(body, &format!("{path}.body."), x.clone(), visit)?;
                    long + self.list(shortcut, &format!("{path}.shortcut."), x.clone(), visit)?
                }
                Layer::Concat { branches } => {
                    let each = branches.iter().enumerate();
                    let each =
                        each.map(|(at, branch)| self.list(branch, &format!("{path}.branches.{at}."), x.clone(), visit));
                    Tensor::cat(each.collect::<Result<_, Error>>()?, 1)
                }
                layer => self.one(layer, &format!("{path}."), x.clone())?,
            };
            visit(&path, layer, &x, &out)?;
            Ok(out)
        })
    }

    fn one(&self, layer: &Layer, prefix: &str, x: Tensor<4>) -> Result<Tensor<4>, Error> {
        let [_, channels, height, width] = x.dims();
        let own = self.tensors.iter().filter_map(|(name, tensor)| {
            let leaf = name.strip_prefix(prefix)?;
            Some((format!("0.{leaf}"), tensor.clone()))
        });
        let architecture = Architecture::new(Shape::new(channels, height, width), vec![layer.clone()])?;
        let network = Network::from_tensors(architecture, own.collect(), self.device)?;
        Ok(network.forward(x, Pass::default())?)
    }
}

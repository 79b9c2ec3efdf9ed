//! From networks in files to networks in integers.

use crate::{Failure, model};
use cleave_encrypted::{FloatNetwork, Shape};
use cleave_nets::{Architecture, Checkpoint, Device, HostTensor, Layer, Window};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A network that can be turned into integers.
pub struct Member {
    /// Its file.
    pub path: PathBuf,
    /// The network.
    pub model: Checkpoint,
    /// Its shape.
    pub shape: Shape,
    /// Weights and biases of convolution, dense, dense.
    layers: [(Vec<f32>, Vec<f32>); 3],
}

impl Member {
    /// Loads a network of convolution, square, linear, square, linear, on grey pixels from 0 to 1.
    pub fn load(path: &Path, device: &Device) -> Result<Self, Failure> {
        let model = model::load(path, device)?;
        let preparation = &model.card.preparation;
        if preparation.mean != [0.0] || preparation.std != [1.0] {
            return Err(Failure::NotPlainPixels { path: path.to_owned() });
        }
        let (shape, places) = shape(&model.card.architecture).map_err(|Misfit { layer, got, expected }| {
            Failure::NotQuantisable { path: path.to_owned(), layer, got, expected }
        })?;
        let mut tensors = model.network.tensors()?;
        let layers = places.map(|place| take(&mut tensors, place));
        Ok(Self { path: path.to_owned(), model, shape, layers })
    }

    /// The weights as they are quantised.
    pub fn float(&self) -> FloatNetwork<'_> {
        FloatNetwork { layers: self.layers.each_ref().map(|(weights, biases)| (&weights[..], &biases[..])) }
    }
}

/// Weights and biases of a layer; zeros for biases that it has not.
fn take(tensors: &mut BTreeMap<String, HostTensor>, place: usize) -> (Vec<f32>, Vec<f32>) {
    let mut tensor = |name: &str| tensors.remove(&format!("{place}.{name}"));
    let (weight, bias) = (tensor("weight"), tensor("bias"));
    let rows = weight.as_ref().and_then(|weight| weight.shape.first().copied()).unwrap_or(0);
    (weight.map(|weight| weight.values).unwrap_or_default(), bias.map_or_else(|| vec![0.0; rows], |bias| bias.values))
}

/// A layer that is not what it should be.
struct Misfit {
    layer: usize,
    got: String,
    expected: &'static str,
}

/// The shape of a network, and where its three layers with weights stand in the list.
fn shape(architecture: &Architecture) -> Result<(Shape, [usize; 3]), Misfit> {
    let mut layers = architecture.layers.iter().enumerate().filter(|(_, layer)| !layer.is_idle());
    let end = architecture.layers.len();
    let misfit = |layer, got: Option<&Layer>, expected| {
        let got = got.map_or_else(|| "missing".to_owned(), |layer| format!("{layer:?}"));
        Misfit { layer, got, expected }
    };
    let mut next = |expected: &'static str, fits: fn(&Layer) -> bool| match layers.next() {
        Some((index, layer)) if fits(layer) => Ok((index, layer)),
        Some((index, layer)) => Err(misfit(index, Some(layer), expected)),
        None => Err(misfit(end, None, expected)),
    };
    let (first, conv) = next(CONVOLUTION, |layer| matches!(layer, Layer::Conv2d { groups: 1, .. }))?;
    next("a square", is_square)?;
    let (second, hidden) = next("a linear layer", is_linear)?;
    next("a square", is_square)?;
    let (third, output) = next("a linear layer", is_linear)?;
    if let Some((index, layer)) = layers.next() {
        return Err(misfit(index, Some(layer), "the end"));
    }
    match (conv, hidden, output) {
        (&Layer::Conv2d { filters, window, .. }, &Layer::Linear { features: hidden }, &Layer::Linear { features }) => {
            let Window { size: [kernel, _], stride: [stride, _], padding: [padding, _] } = window;
            let cleave_nets::Shape { channels, height, width } = architecture.input;
            if window != Window::square(kernel, stride, padding) || channels != 1 {
                return Err(misfit(first, Some(conv), CONVOLUTION));
            }
            let shape = Shape { height, width, kernel, stride, padding, maps: filters, hidden, classes: features };
            Ok((shape, [first, second, third]))
        }
        _ => Err(misfit(first, Some(conv), CONVOLUTION)),
    }
}

const CONVOLUTION: &str = "a convolution of one grey channel with a square window and one group";

const fn is_square(layer: &Layer) -> bool {
    matches!(layer, Layer::Square)
}

const fn is_linear(layer: &Layer) -> bool {
    matches!(layer, Layer::Linear { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cleave_nets::CryptoNets;

    #[test]
    fn the_preset_has_the_shape_of_the_encrypted_crate() {
        let (found, places) = shape(&CryptoNets::default().architecture().unwrap()).ok().unwrap();
        assert_eq!(found, Shape::cryptonets());
        assert_eq!(places, [0, 3, 5]);
    }

    #[test]
    fn the_layer_that_does_not_fit_is_named() {
        let good = CryptoNets::default().architecture().unwrap();
        let misfit = |change: &dyn Fn(&mut Architecture)| {
            let mut wrong = good.clone();
            change(&mut wrong);
            let Misfit { layer, got, .. } = shape(&wrong).err().unwrap();
            (layer, got)
        };
        assert_eq!(misfit(&|net| net.layers[1] = Layer::Relu), (1, "Relu".to_owned()));
        assert_eq!(misfit(&|net| net.layers.push(Layer::Square)), (6, "Square".to_owned()));
        assert_eq!(misfit(&|net| net.layers.truncate(5)), (5, "missing".to_owned()));
        assert_eq!(misfit(&|net| net.input.channels = 3).0, 0);
        let oblong = Window { size: [5, 3], ..Window::square(5, 2, 1) };
        let conv = |window, groups| Layer::Conv2d { filters: 5, window, groups, bias: true };
        assert_eq!(misfit(&|net| net.layers[0] = conv(oblong, 1)).0, 0);
        assert_eq!(misfit(&|net| net.layers[0] = conv(Window::square(5, 2, 1), 5)).0, 0);
        let mut idle = good.clone();
        idle.layers.insert(4, Layer::Dropout { probability: 0.5 });
        assert_eq!(shape(&idle).ok().unwrap().1, [0, 3, 6]);
    }
}

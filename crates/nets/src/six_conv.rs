//! The small network that inversions of CIFAR-10 were published on.

use crate::{Architecture, Error, Layer, Shape, Window};
use serde::{Deserialize, Serialize};

/// Settings of the CIFAR-10 network of He, Zhang and Lee, "Model Inversion Attacks Against Collaborative Inference"
/// (2019): six 3x3 convolutions with ReLU (64, 64, 128, 128, 128, 128 filters), a 2x2 max pool after each second, one
/// hidden layer of 512.
///
/// Theirs has a sigmoid behind the hidden layer, this one a ReLU; both lie behind every cut that they attack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SixConv {
    /// Height and width of the square input, in pixels; 8 is the least that all pools fit in.
    pub size: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Outputs of the last layer.
    pub classes: usize,
    /// Every width but the last is divided by this.
    pub divisor: usize,
}

impl Default for SixConv {
    fn default() -> Self {
        Self { size: 32, channels: 3, classes: 10, divisor: 1 }
    }
}

impl SixConv {
    /// The layer list.
    ///
    /// # Errors
    /// [`Error::Architecture`] when the image is too small or a setting is 0.
    pub fn architecture(&self) -> Result<Architecture, Error> {
        let width = |filters: usize| (filters / self.divisor.max(1)).max(1);
        let conv =
            |filters| Layer::Conv2d { filters: width(filters), window: Window::square(3, 1, 1), groups: 1, bias: true };
        let mut layers = Vec::new();
        for [first, second] in [[64, 64], [128, 128], [128, 128]] {
            layers.extend([conv(first), Layer::Relu, conv(second), Layer::Relu]);
            layers.push(Layer::MaxPool(Window::square(2, 2, 0)));
        }
        layers.extend([Layer::Flatten, Layer::Linear { features: width(512) }, Layer::Relu]);
        layers.push(Layer::Linear { features: self.classes });
        Architecture::new(Shape::new(self.channels, self.size, self.size), layers)
    }
}

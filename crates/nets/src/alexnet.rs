//! AlexNet as sun2019's Table 1 has it.

use crate::{Architecture, Error, Layer, Shape, Window};
use serde::{Deserialize, Serialize};

/// Settings of AlexNet (sun2019, Table 1).
///
/// Five convolutions (64, 192, 384, 384, 256 filters), 3x3 stride-2 max pools after 1, 2 and 5, two
/// hidden layers of 1024 with dropout 0.5, ReLU. Padding 2 on the first convolution gives the paper's
/// 55x55x64 = 193,600 links at 224 pixels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlexNet {
    /// Height and width of the square input, in pixels; 64 is the least that all pools fit in.
    pub size: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Outputs of the last layer.
    pub classes: usize,
    /// Every width but the last is divided by this: 1 for the paper's network, 4 for a small machine.
    pub divisor: usize,
}

impl Default for AlexNet {
    fn default() -> Self {
        Self { size: 224, channels: 3, classes: 2, divisor: 1 }
    }
}

impl AlexNet {
    /// The layer list.
    ///
    /// # Errors
    /// [`Error::Architecture`] when the image is too small or a setting is 0.
    pub fn architecture(&self) -> Result<Architecture, Error> {
        let divisor = self.divisor.max(1);
        let width = |filters: usize| (filters / divisor).max(1);
        let conv = |filters, window| Layer::Conv2d { filters: width(filters), window, groups: 1, bias: true };
        let pool = || Layer::MaxPool(Window::square(3, 2, 0));
        let hidden = || [Layer::Linear { features: width(1024) }, Layer::Relu, Layer::Dropout { probability: 0.5 }];
        let mut layers = vec![conv(64, Window::square(11, 4, 2)), Layer::Relu, pool()];
        layers.extend([conv(192, Window::square(5, 1, 2)), Layer::Relu, pool()]);
        layers.extend([conv(384, Window::square(3, 1, 1)), Layer::Relu]);
        layers.extend([conv(384, Window::square(3, 1, 1)), Layer::Relu]);
        layers.extend([conv(256, Window::square(3, 1, 1)), Layer::Relu, pool(), Layer::Flatten]);
        layers.extend(hidden());
        layers.extend(hidden());
        layers.push(Layer::Linear { features: self.classes });
        Architecture::new(Shape::new(self.channels, self.size, self.size), layers)
    }
}

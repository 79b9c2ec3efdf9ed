//! The network that an encrypted ensemble is made of.

use crate::{Architecture, Error, Layer, Shape, Window};
use serde::{Deserialize, Serialize};

/// Settings of CryptoNets as Xiong, Nguyen and So have it ("Privacy Preserving Inference with Convolutional Neural
/// Network Ensemble", Table 1): a 5x5 convolution with stride 2 and 5 maps, square, 100 outputs, square, 10 outputs.
///
/// 28 pixels give 13 x 13 positions, 845 values. Theirs need one row and column of zeros, which are here on every side;
/// the last row and column of them are not reached. The softmax of the table is that of the training's loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CryptoNets {
    /// Height and width of the square input, in pixels; 3 is the least.
    pub size: usize,
    /// Channels of the input; 1 for what runs on ciphertexts.
    pub channels: usize,
    /// Outputs of the last layer.
    pub classes: usize,
    /// The hidden layer's width is divided by this.
    pub divisor: usize,
}

impl Default for CryptoNets {
    fn default() -> Self {
        Self { size: 28, channels: 1, classes: 10, divisor: 1 }
    }
}

impl CryptoNets {
    /// The layer list.
    ///
    /// # Errors
    /// [`Error::Architecture`] when the image is too small or a setting is 0.
    pub fn architecture(&self) -> Result<Architecture, Error> {
        let hidden = (100 / self.divisor.max(1)).max(1);
        let layers = vec![
            Layer::Conv2d { filters: 5, window: Window::square(5, 2, 1), groups: 1, bias: true },
            Layer::Square,
            Layer::Flatten,
            Layer::Linear { features: hidden },
            Layer::Square,
            Layer::Linear { features: self.classes },
        ];
        Architecture::new(Shape::new(self.channels, self.size, self.size), layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_papers_table_1() {
        let shapes = CryptoNets::default().architecture().unwrap().shapes().unwrap();
        let expected = [Shape::new(1, 28, 28), Shape::new(5, 13, 13), Shape::new(5, 13, 13), Shape::vector(845)];
        assert_eq!(shapes[..4], expected);
        assert_eq!(shapes[4..], [Shape::vector(100), Shape::vector(100), Shape::vector(10)]);
        assert!(CryptoNets { size: 2, ..CryptoNets::default() }.architecture().is_err());
    }
}

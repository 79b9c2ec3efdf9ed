//! VGG: 3x3 convolutions in a row.

use crate::published::{NORM, Published, Stack, wrong_setting};
use crate::{Architecture, Error, Layer, Window};
use serde::{Deserialize, Serialize};

/// Settings of VGG (Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015,
/// Table 1).
///
/// Five groups of 3x3 convolutions (64, 128, 256, 512, 512 filters) with ReLU, a 2x2 max pool after each; then two
/// hidden layers with dropout and the last one. At 224 pixels, where 7x7 positions are left, it is torchvision's layer by layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vgg {
    /// Layers with weights, as published: 11, 13, 16 or 19 (columns A, B, D and E).
    pub depth: usize,
    /// Whether a batch normalisation follows each convolution.
    pub batch_norm: bool,
    /// Width of the two hidden layers. Without, the last layer takes the mean of each channel, which is enough for
    /// images of 32 pixels: a single position is left of them.
    pub hidden: Option<usize>,
    /// Height and width of the square input, in pixels; 32 is the least that all pools fit in.
    pub size: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Outputs of the last layer.
    pub classes: usize,
    /// Every width but the last is divided by this.
    pub divisor: usize,
}

impl Default for Vgg {
    fn default() -> Self {
        Self { depth: 16, batch_norm: true, hidden: Some(4096), size: 224, channels: 3, classes: 1000, divisor: 1 }
    }
}

/// Filters in the groups.
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];

impl Vgg {
    /// The depths there are.
    pub const DEPTHS: [usize; 4] = [11, 13, 16, 19];

    /// The layer list.
    ///
    /// # Errors
    /// As [`Vgg::published`].
    pub fn architecture(&self) -> Result<Architecture, Error> {
        Ok(self.published()?.architecture)
    }

    /// The layer list with torchvision's names.
    ///
    /// # Errors
    /// [`Error::Architecture`] for another depth, an image that is too small, or a setting that is 0.
    pub fn published(&self) -> Result<Published, Error> {
        let mut stack = Stack::default();
        let mut place = 0; // in torchvision's list, which counts layers without weights too
        for (convolutions, width) in self.convolutions()?.into_iter().zip(WIDTHS) {
            for _ in 0..convolutions {
                let conv = Layer::Conv2d {
                    filters: self.width(width),
                    window: Window::square(3, 1, 1),
                    groups: 1,
                    bias: true,
                };
                stack = stack.named(format!("features.{place}"), conv);
                if self.batch_norm {
                    place += 1;
                    stack = stack.named(format!("features.{place}"), NORM);
                }
                stack = stack.with([Layer::Relu]);
                place += 2;
            }
            stack = stack.with([Layer::MaxPool(Window::square(2, 2, 0))]);
            place += 1;
        }
        self.with_head(stack).finish(self.channels, self.size)
    }

    fn with_head(&self, stack: Stack) -> Stack {
        let Some(features) = self.hidden else {
            return stack.pooled_head("classifier", self.classes);
        };
        let hidden = || Layer::Linear { features: self.width(features) };
        let behind = || [Layer::Relu, Layer::Dropout { probability: 0.5 }];
        let stack = stack.with([Layer::Flatten]).named("classifier.0", hidden()).with(behind());
        let stack = stack.named("classifier.3", hidden()).with(behind());
        stack.named("classifier.6", Layer::Linear { features: self.classes })
    }

    fn width(&self, width: usize) -> usize {
        (width / self.divisor.max(1)).max(1)
    }

    /// Convolutions in each group.
    fn convolutions(&self) -> Result<[usize; 5], Error> {
        match self.depth {
            11 => Ok([1, 1, 2, 2, 2]),
            13 => Ok([2; 5]),
            16 => Ok([2, 2, 3, 3, 3]),
            19 => Ok([2, 2, 4, 4, 4]),
            depth => wrong_setting(format!("begins a VGG of depth {depth}; take one of {:?}", Self::DEPTHS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::published::tests::trained;

    #[test]
    fn all_have_the_published_number_of_weights() {
        for (depth, batch_norm, weights) in [
            (11, false, 132_863_336),
            (13, false, 133_047_848),
            (16, false, 138_357_544),
            (19, false, 143_667_240),
            (11, true, 132_868_840),
            (16, true, 138_365_992),
        ] {
            assert_eq!(trained(&Vgg { depth, batch_norm, ..Vgg::default() }.published().unwrap()), weights);
        }
    }

    #[test]
    fn a_small_image_leaves_one_position_and_one_linear_layer() {
        let small = Vgg { hidden: None, size: 32, classes: 10, ..Vgg::default() };
        let architecture = small.architecture().unwrap();
        let numbered = architecture.numbered_layers();
        assert_eq!((numbered.len(), numbered[13].name.as_str()), (14, "fc14"));
        assert_eq!(architecture.shapes().unwrap()[numbered[12].end], Shape::vector(512));
        assert!(Vgg { size: 31, ..small }.architecture().is_err());
    }

    #[test]
    fn another_depth_is_named() {
        let error = Vgg { depth: 12, ..Vgg::default() }.architecture().unwrap_err().to_string();
        assert!(error.contains("depth 12; take one of [11, 13, 16, 19]"), "{error}");
    }
}

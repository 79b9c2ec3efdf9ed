//! ConvMixer: patches, then the same block again and again.

use crate::{Architecture, Error, Layer, Shape, Window};
use serde::{Deserialize, Serialize};

/// Settings of ConvMixer (Trockman and Kolter, "Patches Are All You Need?", 2022; iijima2023, Eqs. 1 to 3).
///
/// A convolution whose stride is its kernel embeds each patch; then `depth` blocks of a depthwise convolution with a
/// way around it and a convolution of 1x1, each followed by GELU and batch normalisation; then the mean over all
/// positions and one linear layer. ConvMixer-256/8 of iijima2023 has width 256, depth 8, kernel 9 and patch 4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConvMixer {
    /// Height and width of the square input, in pixels; a multiple of `patch`.
    pub size: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Outputs of the last layer.
    pub classes: usize,
    /// Channels between all blocks.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Side of the depthwise kernel, in positions; odd, so that the output keeps its size.
    pub kernel: usize,
    /// Side of a patch, in pixels.
    pub patch: usize,
}

impl Default for ConvMixer {
    fn default() -> Self {
        Self { size: 32, channels: 3, classes: 10, width: 256, depth: 8, kernel: 9, patch: 4 }
    }
}

/// What PyTorch adds to a variance, and so the published networks.
const EPSILON: f64 = 1e-5;

impl ConvMixer {
    /// The layer list.
    ///
    /// # Errors
    /// [`Error::Architecture`] when a setting is 0, the patch does not divide the image, or the kernel is even.
    pub fn architecture(&self) -> Result<Architecture, Error> {
        let Self { size, channels, classes, width, depth, kernel, patch } = *self;
        let wrong = |index, reason: String| Err(Error::Architecture { index, reason });
        if patch == 0 || !size.is_multiple_of(patch) {
            return wrong(0, format!("cuts {size} pixels into patches of {patch}, which does not come out even"));
        }
        if kernel % 2 == 0 {
            return wrong(3, format!("has a depthwise kernel of {kernel}; take an odd side, which keeps the size"));
        }
        let conv = |window, groups| Layer::Conv2d { filters: width, window, groups, bias: true };
        let behind = |layer| [layer, Layer::Gelu, Layer::BatchNorm { epsilon: EPSILON }];
        let mut layers = behind(conv(Window::square(patch, patch, 0), 1)).to_vec();
        for _ in 0..depth {
            let body = behind(conv(Window::square(kernel, 1, kernel / 2), width)).to_vec();
            layers.push(Layer::Residual { body, shortcut: Vec::new() });
            layers.extend(behind(conv(Window::square(1, 1, 0), 1)));
        }
        layers.extend([Layer::GlobalAvgPool, Layer::Flatten, Layer::Linear { features: classes }]);
        Architecture::new(Shape::new(channels, size, size), layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;

    #[test]
    fn it_has_the_published_number_of_weights() {
        let architecture = ConvMixer { kernel: 5, patch: 2, ..ConvMixer::default() }.architecture().unwrap();
        let trained = |name: &&(String, Vec<usize>)| !name.0.contains("running");
        let shapes = Network::tensor_shapes(&architecture).unwrap();
        let count: usize = shapes.iter().filter(trained).map(|(_, shape)| shape.iter().product::<usize>()).sum();
        // 256 (12 + 1) + 512, eight times 256 (25 + 1) + 512 + 256 (256 + 1) + 512, and 10 (256 + 1)
        assert_eq!(count, 3840 + 8 * (6656 + 512 + 65_792 + 512) + 2570);
    }

    #[test]
    fn settings_that_do_not_fit_are_named() {
        let wrong = |settings: ConvMixer| settings.architecture().unwrap_err().to_string();
        assert!(wrong(ConvMixer { patch: 5, ..ConvMixer::default() }).contains("patches of 5"));
        assert!(wrong(ConvMixer { patch: 0, ..ConvMixer::default() }).contains("patches of 0"));
        assert!(wrong(ConvMixer { kernel: 4, ..ConvMixer::default() }).contains("kernel of 4"));
        assert!(wrong(ConvMixer { width: 0, ..ConvMixer::default() }).contains("0 filters"));
    }
}

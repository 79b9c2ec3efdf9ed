//! RegNetX: a design space, of which one network is named here.

use crate::published::{Published, Stack, plain_conv};
use crate::{Architecture, Error, Layer, Window};
use serde::{Deserialize, Serialize};

/// Settings of RegNetX (Radosavovic, Kosaraju, Girshick, He and Dollár, "Designing Network Design Spaces", 2020).
///
/// A 3x3 convolution, then stages of blocks (1x1, grouped 3x3, 1x1) that are added to their input; every stage begins
/// with stride 2, and there the shortcut is a 1x1 convolution. The default is RegNetX-400MF as torchvision has it,
/// `regnet_x_400mf`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegNetX {
    /// Channels of the stages; the bottleneck has as many.
    pub widths: Vec<usize>,
    /// Blocks of the stages.
    pub depths: Vec<usize>,
    /// Channels of one group of the 3x3 convolutions.
    pub group: usize,
    /// Filters of the first convolution.
    pub stem: usize,
    /// Height and width of the square input, in pixels. At 32, one position is left in the last stage.
    pub size: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Outputs of the last layer.
    pub classes: usize,
    /// Every width but the last is divided by this, that of a group too.
    pub divisor: usize,
}

impl Default for RegNetX {
    fn default() -> Self {
        Self {
            widths: vec![32, 64, 160, 400],
            depths: vec![1, 2, 7, 12],
            group: 16,
            stem: 32,
            size: 224,
            channels: 3,
            classes: 1000,
            divisor: 1,
        }
    }
}

impl RegNetX {
    /// The layer list.
    ///
    /// # Errors
    /// As [`RegNetX::published`].
    pub fn architecture(&self) -> Result<Architecture, Error> {
        Ok(self.published()?.architecture)
    }

    /// The layer list with torchvision's names.
    ///
    /// # Errors
    /// [`Error::Architecture`] when a group does not divide a width, or a setting is 0.
    pub fn published(&self) -> Result<Published, Error> {
        let divided = |width: usize| (width / self.divisor.max(1)).max(1);
        let names = ["stem.0", "stem.1"].map(str::to_owned);
        let mut input = divided(self.stem);
        let mut stack = Stack::default().normed(names, plain_conv(input, 3, 2)).with([Layer::Relu]);
        for (stage, (&width, &depth)) in (1..).zip(self.widths.iter().zip(&self.depths)) {
            let width = divided(width);
            for index in 0..depth {
                let name = format!("trunk_output.block{stage}.block{stage}-{index}");
                let stride = if index == 0 { 2 } else { 1 };
                let body = body(&name, width, width / divided(self.group), stride);
                let proj = [0, 1].map(|part| format!("{name}.proj.{part}"));
                let shortcut = match stride > 1 || input != width {
                    true => Stack::default().normed(proj, plain_conv(width, 1, stride)),
                    false => Stack::default(),
                };
                stack = stack.residual(body, shortcut).with([Layer::Relu]);
                input = width;
            }
        }
        stack.pooled_head("fc", self.classes).finish(self.channels, self.size)
    }
}

fn body(name: &str, width: usize, groups: usize, stride: usize) -> Stack {
    let names = |part: &str| [0, 1].map(|place| format!("{name}.f.{part}.{place}"));
    let grouped = Layer::Conv2d { filters: width, window: Window::square(3, stride, 1), groups, bias: false };
    let narrow = Stack::default().normed(names("a"), plain_conv(width, 1, 1)).with([Layer::Relu]);
    narrow.normed(names("b"), grouped).with([Layer::Relu]).normed(names("c"), plain_conv(width, 1, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::published::tests::trained;

    #[test]
    fn it_has_the_published_number_of_weights() {
        assert_eq!(trained(&RegNetX::default().published().unwrap()), 5_495_976);
    }

    #[test]
    fn groups_keep_their_number_when_widths_are_divided() {
        let architecture = RegNetX { divisor: 4, size: 32, ..RegNetX::default() }.architecture().unwrap();
        let shapes = architecture.shapes().unwrap();
        assert_eq!(shapes[shapes.len() - 4], Shape::vector(100));
        let error = RegNetX { group: 24, ..RegNetX::default() }.architecture().unwrap_err().to_string();
        assert!(error.contains("groups"), "{error}");
    }
}

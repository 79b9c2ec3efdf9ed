//! Residual networks, for large images and for small ones.

use crate::published::{Published, Stack, plain_conv, wrong_setting};
use crate::{Architecture, Error, Layer, Window};
use serde::{Deserialize, Serialize};

/// Settings of ResNet (He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2016, Table 1).
///
/// A 7x7 convolution and a pool, each of stride 2; then four stages of blocks whose output is added to their input. As in
/// torchvision, a stage's stride lies in the 3x3 convolution of its first block, and where the shape changes the
/// shortcut is a 1x1 convolution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResNet {
    /// Layers with weights, as published: 18, 34, 50, 101 or 152. From 50 on a block has three convolutions, not two.
    pub depth: usize,
    /// Height and width of the square input, in pixels. At 32, one position is left in the last stage.
    pub size: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Outputs of the last layer.
    pub classes: usize,
    /// Every width but the last is divided by this.
    pub divisor: usize,
}

impl Default for ResNet {
    fn default() -> Self {
        Self { depth: 18, size: 224, channels: 3, classes: 1000, divisor: 1 }
    }
}

/// Settings of the residual networks for CIFAR-10 (He, Zhang, Ren and Sun, 2016, Section 4.2).
///
/// A 3x3 convolution; then three stages of equally many blocks, 16, 32 and 64 channels wide, the second and third with
/// stride 2. Where the shape changes the shortcut is a 1x1 convolution with batch normalisation; the paper's fills up with zeros.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CifarResNet {
    /// Layers with weights but for those of shortcuts: 6n + 2 with n blocks a stage, as in 20, 32, 44, 56 and 110.
    pub depth: usize,
    /// Height and width of the square input, in pixels.
    pub size: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Outputs of the last layer.
    pub classes: usize,
    /// Every width but the last is divided by this.
    pub divisor: usize,
}

impl Default for CifarResNet {
    fn default() -> Self {
        Self { depth: 20, size: 32, channels: 3, classes: 10, divisor: 1 }
    }
}

/// What the blocks of a stage have in common.
#[derive(Clone, Copy)]
struct Blocks {
    /// Whether there are three convolutions, the last of them four times as wide, instead of two.
    bottleneck: bool,
    width: usize,
}

impl Blocks {
    fn output(self) -> usize {
        if self.bottleneck { 4 * self.width } else { self.width }
    }

    /// One block called `name`, with a convolution in its shortcut where `changes` says so.
    fn block(self, name: &str, stride: usize, changes: bool) -> [Stack; 2] {
        let names = |number: usize| [format!("{name}.conv{number}"), format!("{name}.bn{number}")];
        let body = if self.bottleneck {
            let narrow = Stack::default().normed(names(1), plain_conv(self.width, 1, 1)).with([Layer::Relu]);
            let across = narrow.normed(names(2), plain_conv(self.width, 3, stride)).with([Layer::Relu]);
            across.normed(names(3), plain_conv(self.output(), 1, 1))
        } else {
            let first = Stack::default().normed(names(1), plain_conv(self.width, 3, stride)).with([Layer::Relu]);
            first.normed(names(2), plain_conv(self.width, 3, 1))
        };
        let shortcut = if changes {
            let names = [0, 1].map(|number| format!("{name}.downsample.{number}"));
            Stack::default().normed(names, plain_conv(self.output(), 1, stride))
        } else {
            Stack::default()
        };
        [body, shortcut]
    }
}

/// Adds stages of so many blocks, each twice as wide as the one before and all but the first with stride 2.
fn stages(mut stack: Stack, depths: &[usize], bottleneck: bool, [mut width, mut input]: [usize; 2]) -> Stack {
    for (stage, &depth) in depths.iter().enumerate() {
        let blocks = Blocks { bottleneck, width };
        for index in 0..depth {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let changes = stride > 1 || input != blocks.output();
            let [body, shortcut] = blocks.block(&format!("layer{}.{index}", stage + 1), stride, changes);
            stack = stack.residual(body, shortcut).with([Layer::Relu]);
            input = blocks.output();
        }
        width *= 2;
    }
    stack
}

/// The first convolution, `size` pixels wide.
fn stem(width: usize, size: usize, stride: usize) -> Stack {
    let names = ["conv1", "bn1"].map(str::to_owned);
    Stack::default().normed(names, plain_conv(width, size, stride)).with([Layer::Relu])
}

impl ResNet {
    /// The depths there are.
    pub const DEPTHS: [usize; 5] = [18, 34, 50, 101, 152];

    /// The layer list.
    ///
    /// # Errors
    /// As [`ResNet::published`].
    pub fn architecture(&self) -> Result<Architecture, Error> {
        Ok(self.published()?.architecture)
    }

    /// The layer list with torchvision's names.
    ///
    /// # Errors
    /// [`Error::Architecture`] for another depth or a setting that is 0.
    pub fn published(&self) -> Result<Published, Error> {
        let (depths, bottleneck) = match self.depth {
            18 => ([2; 4], false),
            34 => ([3, 4, 6, 3], false),
            50 => ([3, 4, 6, 3], true),
            101 => ([3, 4, 23, 3], true),
            152 => ([3, 8, 36, 3], true),
            depth => return wrong_setting(format!("begins a ResNet of depth {depth}; take one of {:?}", Self::DEPTHS)),
        };
        let width = (64 / self.divisor.max(1)).max(1);
        let stem = stem(width, 7, 2).with([Layer::MaxPool(Window::square(3, 2, 1))]);
        stages(stem, &depths, bottleneck, [width; 2]).pooled_head("fc", self.classes).finish(self.channels, self.size)
    }
}

impl CifarResNet {
    /// The layer list.
    ///
    /// # Errors
    /// As [`CifarResNet::published`].
    pub fn architecture(&self) -> Result<Architecture, Error> {
        Ok(self.published()?.architecture)
    }

    /// The layer list with the names that torchvision's ResNet has for the same layers.
    ///
    /// # Errors
    /// [`Error::Architecture`] for a depth that is not 6n + 2, or a setting that is 0.
    pub fn published(&self) -> Result<Published, Error> {
        let blocks = self.depth.saturating_sub(2) / 6;
        if blocks == 0 || self.depth != 6 * blocks + 2 {
            return wrong_setting(format!("begins a small ResNet of depth {}; take 6n + 2 as in 20", self.depth));
        }
        let width = (16 / self.divisor.max(1)).max(1);
        let stack = stages(stem(width, 3, 1), &[blocks; 3], false, [width; 2]);
        stack.pooled_head("fc", self.classes).finish(self.channels, self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::published::tests::trained;

    #[test]
    fn all_have_the_published_number_of_weights() {
        for (depth, weights) in
            [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)]
        {
            assert_eq!(trained(&ResNet { depth, ..ResNet::default() }.published().unwrap()), weights);
        }
    }

    #[test]
    fn the_small_ones_have_the_papers_and_their_shortcuts() {
        // He et al. count 0.27 million for 20 layers and 1.7 million for 110; shortcuts add 16·32 + 32·64 and four norms.
        let of = |depth| trained(&CifarResNet { depth, ..CifarResNet::default() }.published().unwrap());
        assert_eq!((of(20), of(110)), (269_722 + 2752, 1_727_962 + 2752));
    }

    #[test]
    fn sizes_are_halved_where_the_paper_halves_them() {
        let outputs = |architecture: Architecture| {
            let shapes = architecture.shapes().unwrap();
            let blocks = architecture.numbered_layers().into_iter().filter(|layer| layer.name.starts_with("block"));
            blocks.map(|block| shapes[block.weight + 1]).collect::<Vec<_>>()
        };
        let large = outputs(ResNet { depth: 50, ..ResNet::default() }.architecture().unwrap());
        assert_eq!((large[0], large[15]), (Shape::new(256, 56, 56), Shape::new(2048, 7, 7)));
        let small = outputs(CifarResNet::default().architecture().unwrap());
        assert_eq!((small[0], small[8]), (Shape::new(16, 32, 32), Shape::new(64, 8, 8)));
    }

    #[test]
    fn another_depth_is_named() {
        let large = ResNet { depth: 20, ..ResNet::default() }.architecture().unwrap_err().to_string();
        assert!(large.contains("depth 20; take one of [18, "), "{large}");
        for depth in [0, 2, 19] {
            let small = CifarResNet { depth, ..CifarResNet::default() }.architecture().unwrap_err().to_string();
            assert!(small.contains(&format!("depth {depth}; take 6n + 2")), "{small}");
        }
    }
}

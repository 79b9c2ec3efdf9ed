//! DenseNet: every layer sees the outputs of all before it in its block.

use crate::published::{NORM, Published, Stack, plain_conv, wrong_setting};
use crate::{Architecture, Error, Layer, Window};
use serde::{Deserialize, Serialize};

/// Settings of DenseNet (Huang, Liu, van der Maaten and Weinberger, "Densely Connected Convolutional Networks", 2017),
/// with bottlenecks and with channels halved between blocks (the paper's DenseNet-BC).
///
/// Each layer of a block is a 1x1 convolution of four times the growth and a 3x3 convolution of the growth, both behind
/// normalisation and ReLU, and its output is laid behind its input. The default is DenseNet-121 as torchvision has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DenseNet {
    /// Channels that a layer adds.
    pub growth: usize,
    /// Layers of the blocks.
    pub blocks: Vec<usize>,
    /// Filters of the first convolution.
    pub stem: usize,
    /// For small images: the first convolution is 3x3, keeps the size, and the blocks follow. Otherwise it is 7x7 with
    /// stride 2, and a normalisation, ReLU and a pool of stride 2 follow.
    pub small: bool,
    /// Height and width of the square input, in pixels.
    pub size: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Outputs of the last layer.
    pub classes: usize,
    /// The growth and the filters of the first convolution are divided by this.
    pub divisor: usize,
}

impl Default for DenseNet {
    fn default() -> Self {
        Self {
            growth: 32,
            blocks: vec![6, 12, 24, 16],
            stem: 64,
            small: false,
            size: 224,
            channels: 3,
            classes: 1000,
            divisor: 1,
        }
    }
}

impl DenseNet {
    /// The depths that [`DenseNet::of_depth`] has, as published for large images.
    pub const DEPTHS: [usize; 4] = [121, 161, 169, 201];

    /// The published network of `depth` layers for large images (Table 1; 161 is torchvision's addition).
    ///
    /// # Errors
    /// [`Error::Architecture`] for another depth.
    pub fn of_depth(depth: usize) -> Result<Self, Error> {
        let (growth, blocks, stem) = match depth {
            121 => (32, vec![6, 12, 24, 16], 64),
            161 => (48, vec![6, 12, 36, 24], 96),
            169 => (32, vec![6, 12, 32, 32], 64),
            201 => (32, vec![6, 12, 48, 32], 64),
            _ => return wrong_setting(format!("begins a DenseNet of depth {depth}; take one of {:?}", Self::DEPTHS)),
        };
        Ok(Self { growth, blocks, stem, ..Self::default() })
    }

    /// The network of `depth` layers for images of 32 pixels (Section 4.2): three blocks, and twice the growth in the
    /// first convolution. DenseNet-BC (L = 100, k = 12) of the paper's Table 2 has depth 100 and growth 12.
    ///
    /// # Errors
    /// [`Error::Architecture`] for a depth that is not 6n + 4.
    pub fn compact(depth: usize, growth: usize) -> Result<Self, Error> {
        let layers = depth.saturating_sub(4) / 6;
        if layers == 0 || depth != 6 * layers + 4 {
            return wrong_setting(format!("begins a compact DenseNet of depth {depth}; take 6n + 4 as in 40 or 100"));
        }
        let stem = growth.saturating_mul(2);
        Ok(Self { growth, blocks: vec![layers; 3], stem, small: true, size: 32, classes: 10, ..Self::default() })
    }

    /// The layer list.
    ///
    /// # Errors
    /// As [`DenseNet::published`].
    pub fn architecture(&self) -> Result<Architecture, Error> {
        Ok(self.published()?.architecture)
    }

    /// The layer list with torchvision's names, among them those of older files (`norm.1` for `norm1`).
    ///
    /// # Errors
    /// [`Error::Architecture`] when the image is too small or a setting is 0.
    pub fn published(&self) -> Result<Published, Error> {
        let divided = |width: usize| (width / self.divisor.max(1)).max(1);
        let (growth, mut width) = (divided(self.growth), divided(self.stem));
        let mut stack = self.first(width);
        for (number, &layers) in (1..).zip(&self.blocks) {
            if number > 1 {
                width /= 2;
                stack = halved(stack, number - 1, width);
            }
            for layer in 1..=layers {
                let name = format!("features.denseblock{number}.denselayer{layer}");
                stack = stack.concat([Stack::default(), dense_layer(&name, growth)]);
                width += growth;
            }
        }
        let stack = stack.named("features.norm5", NORM).with([Layer::Relu]);
        let mut published = stack.pooled_head("classifier", self.classes).finish(self.channels, self.size)?;
        let old = |(key, name): (&String, &String)| Some((old_spelling(key)?, name.clone()));
        let old: Vec<_> = published.keys.iter().filter_map(old).collect();
        published.keys.extend(old);
        Ok(published)
    }

    fn first(&self, width: usize) -> Stack {
        let names = ["conv0", "norm0"].map(|name| format!("features.{name}"));
        if self.small {
            let [conv, _] = names;
            return Stack::default().named(conv, plain_conv(width, 3, 1));
        }
        let stem = Stack::default().normed(names, plain_conv(width, 7, 2));
        stem.with([Layer::Relu, Layer::MaxPool(Window::square(3, 2, 1))])
    }
}

fn dense_layer(name: &str, growth: usize) -> Stack {
    let narrow = Stack::default().named(format!("{name}.norm1"), NORM).with([Layer::Relu]);
    let narrow = narrow.named(format!("{name}.conv1"), plain_conv(4 * growth, 1, 1));
    let normed = narrow.named(format!("{name}.norm2"), NORM).with([Layer::Relu]);
    normed.named(format!("{name}.conv2"), plain_conv(growth, 3, 1))
}

/// From block `number` to the next: `width` channels on half the rows and columns.
fn halved(stack: Stack, number: usize, width: usize) -> Stack {
    let name = format!("features.transition{number}");
    let normed = stack.named(format!("{name}.norm"), NORM).with([Layer::Relu]);
    normed.named(format!("{name}.conv"), plain_conv(width, 1, 1)).with([Layer::AvgPool(Window::square(2, 2, 0))])
}

/// The key as old files have it: `denselayer1.norm.1.weight` for `denselayer1.norm1.weight`.
fn old_spelling(key: &str) -> Option<String> {
    let (layer, part) = key.split_once(".denselayer")?;
    let digit = part.find("norm").or_else(|| part.find("conv"))? + "norm".len();
    Some(format!("{layer}.denselayer{}.{}", &part[..digit], &part[digit..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::published::tests::trained;

    #[test]
    fn all_have_the_published_number_of_weights() {
        for (depth, weights) in [(121, 7_978_856), (161, 28_681_000), (169, 14_149_480), (201, 20_013_928)] {
            assert_eq!(trained(&DenseNet::of_depth(depth).unwrap().published().unwrap()), weights);
        }
        // Huang et al. count 0.8 million
        assert_eq!(trained(&DenseNet::compact(100, 12).unwrap().published().unwrap()), 769_162);
    }

    #[test]
    fn old_keys_find_the_same_places() {
        let keys = DenseNet::default().published().unwrap().keys;
        let place = |key: &str| keys.get(&format!("features.denseblock2.denselayer10.{key}")).unwrap();
        assert_eq!(place("norm.2.running_var"), place("norm2.running_var"));
        assert_eq!(place("conv.1.weight"), place("conv1.weight"));
        assert!(!keys.contains_key("features.norm.0.weight"));
    }

    #[test]
    fn channels_grow_and_are_halved() {
        let architecture = DenseNet::default().architecture().unwrap();
        let shapes = architecture.shapes().unwrap();
        let before = |window: &Layer| {
            let at = architecture.layers.iter().position(|layer| layer == window).unwrap();
            shapes[at]
        };
        assert_eq!(before(&Layer::AvgPool(Window::square(2, 2, 0))), Shape::new(128, 56, 56));
        assert_eq!(before(&Layer::GlobalAvgPool), Shape::new(1024, 7, 7));
    }

    #[test]
    fn another_depth_is_named() {
        let error = DenseNet::of_depth(100).unwrap_err().to_string();
        assert!(error.contains("depth 100; take one of [121, "), "{error}");
        assert!(DenseNet::compact(41, 12).unwrap_err().to_string().contains("6n + 4"));
        assert!(DenseNet::compact(0, 12).is_err());
    }
}

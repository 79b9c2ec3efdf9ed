//! The layer list and the arithmetic on its shapes.

use crate::{Error, SignalSpec};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The most values that one tensor of weights may have: 8 GiB of f32. A file that asks for more is damaged.
const MAX_WEIGHTS: usize = 1 << 31;

/// The most values that one sample may have at any point, padding included: 256 MiB of f32; AlexNet has 0.2 million.
const MAX_SAMPLE: usize = 1 << 26;

/// The largest side, stride and padding of a window, in pixels.
const MAX_SIDE: usize = 1 << 16;

/// The shape of one sample: channels, height, width. A vector of `n` features is `[n, 1, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// Channels, or the features of a vector.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// An image or feature map.
    pub const fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width }
    }

    /// A vector of `features`.
    pub const fn vector(features: usize) -> Self {
        Self::new(features, 1, 1)
    }

    /// Values in one sample; `usize::MAX` where they are more than can be counted.
    pub const fn values(&self) -> usize {
        self.channels.saturating_mul(self.height).saturating_mul(self.width)
    }

    /// `[channels, height, width]`.
    pub const fn dims(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// Whether there is one position only, as a linear layer takes it.
    pub const fn is_vector(&self) -> bool {
        self.height == 1 && self.width == 1
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// The sliding window of a convolution or a pool, each entry `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Side lengths in pixels.
    pub size: [usize; 2],
    /// Steps in pixels.
    pub stride: [usize; 2],
    /// Zero padding on each side, in pixels.
    pub padding: [usize; 2],
}

impl Window {
    /// A square window.
    pub const fn square(size: usize, stride: usize, padding: usize) -> Self {
        Self { size: [size; 2], stride: [stride; 2], padding: [padding; 2] }
    }

    /// Output rows and columns over `padded` rows and columns; `None` where nothing fits.
    fn output(&self, padded: [usize; 2]) -> Option<[usize; 2]> {
        let side = |axis: usize| Some(padded[axis].checked_sub(self.size[axis])?.checked_div(self.stride[axis])? + 1);
        (self.size[0] > 0 && self.size[1] > 0).then_some([side(0)?, side(1)?])
    }

    /// `input` rows and columns with the padding on both sides.
    fn padded(&self, input: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| input[axis].saturating_add(self.padding[axis].saturating_mul(2)))
    }

    fn is_too_large(&self) -> bool {
        [self.size, self.stride, self.padding].iter().flatten().any(|&pixels| pixels > MAX_SIDE)
    }
}

/// One entry of the layer list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Layer {
    /// Convolution; weights `[filters, channels / groups, rows, columns]`.
    Conv2d {
        /// Output channels.
        filters: usize,
        /// The kernel.
        window: Window,
        /// Channel groups; 1 for an ordinary convolution.
        groups: usize,
        /// Whether a number is added to each filter's output. A file that does not say has it.
        #[serde(default = "yes", skip_serializing_if = "bool::clone")]
        bias: bool,
    },
    /// Patches side by side, each with a matrix of its own: a convolution whose stride is its kernel, but with other
    /// weights at every position. Weights `[positions, filters, channels, rows, columns]`, row by row; one bias for all.
    LocalConv2d {
        /// Output channels.
        filters: usize,
        /// Rows and columns of a patch.
        size: [usize; 2],
    },
    /// Fully connected layer with bias on a vector; weights `[features, inputs]`.
    Linear {
        /// Output features.
        features: usize,
    },
    /// Batch normalisation over channels.
    BatchNorm {
        /// Added to the variance.
        epsilon: f64,
    },
    /// max(0, x).
    Relu,
    /// Gaussian error linear unit.
    Gelu,
    /// x².
    Square,
    /// Maximum over a window.
    MaxPool(Window),
    /// Mean over a window, the padding counted.
    AvgPool(Window),
    /// Mean over all positions of a channel.
    GlobalAvgPool,
    /// `[c, h, w]` to a vector.
    Flatten,
    /// Zeroes values with this probability while training; nothing otherwise.
    Dropout {
        /// Probability that a value is zeroed.
        probability: f64,
    },
    /// `body(x) + shortcut(x)`; an empty shortcut is the identity.
    Residual {
        /// The long way.
        body: Vec<Layer>,
        /// The short way.
        shortcut: Vec<Layer>,
    },
    /// The outputs of all branches, one behind the other along the channels; an empty branch passes its input on.
    Concat {
        /// At least two, which keep the same height and width.
        branches: Vec<Vec<Layer>>,
    },
    /// The client's secret signal joins as one more channel (sun2019, Section 5.3, Steps 3 and 6).
    SignalJoin(SignalSpec),
}

impl Layer {
    /// Whether the layer owns a kernel or matrix, and so begins a numbered layer.
    pub const fn is_weighted(&self) -> bool {
        matches!(self, Self::Conv2d { .. } | Self::LocalConv2d { .. } | Self::Linear { .. }) || self.is_block()
    }

    /// Whether the layer holds layers of its own.
    const fn is_block(&self) -> bool {
        matches!(self, Self::Residual { .. } | Self::Concat { .. })
    }

    /// Whether every value is passed on as it is, at inference.
    pub const fn is_idle(&self) -> bool {
        matches!(self, Self::Dropout { .. } | Self::Flatten)
    }

    /// The output shape for `input`.
    ///
    /// # Errors
    /// The reason, in words, when the layer cannot take `input`.
    pub(crate) fn output(&self, input: Shape) -> Result<Shape, String> {
        let output = self.unbounded_output(input)?;
        bounded(&output.dims(), "makes", MAX_SAMPLE)?;
        Ok(output)
    }

    fn unbounded_output(&self, input: Shape) -> Result<Shape, String> {
        match self {
            Self::Conv2d { filters, window, groups, .. } => conv_output(input, *filters, window, *groups),
            Self::LocalConv2d { filters, size } => local_output(input, *filters, *size),
            Self::Linear { features } => linear_output(input, *features),
            Self::MaxPool(window) | Self::AvgPool(window) => pool_output(input, window),
            Self::GlobalAvgPool => Ok(Shape::vector(input.channels)),
            Self::Flatten => Ok(Shape::vector(input.values())),
            Self::Residual { body, shortcut } => residual_output(input, body, shortcut),
            Self::Concat { branches } => concat_output(input, branches),
            Self::SignalJoin(spec) => spec.check().map(|()| Shape { channels: input.channels + 1, ..input }),
            Self::Dropout { probability } if !(0.0..1.0).contains(probability) => {
                Err(format!("drops with probability {probability}, which is not in [0, 1)"))
            }
            Self::BatchNorm { epsilon } if !(epsilon.is_finite() && *epsilon > 0.0) => {
                Err(format!("adds {epsilon} to the variance, which is not above 0"))
            }
            Self::BatchNorm { .. } | Self::Relu | Self::Gelu | Self::Square | Self::Dropout { .. } => Ok(input),
        }
    }
}

const fn yes() -> bool {
    true
}

fn nonzero(value: usize, what: &str) -> Result<usize, String> {
    if value == 0 { Err(format!("has 0 {what}")) } else { Ok(value) }
}

/// `verb` says what the layer does with that many values.
fn bounded(extents: &[usize], verb: &str, most: usize) -> Result<(), String> {
    match extents.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent)) {
        Some(values) if values <= most => Ok(()),
        _ => Err(format!("{verb} {extents:?} values, more than {most}")),
    }
}

fn linear_output(input: Shape, features: usize) -> Result<Shape, String> {
    if !input.is_vector() {
        return Err(format!("takes a vector, not {input}; put a flatten layer before it"));
    }
    bounded(&[features, input.channels], "needs a matrix of", MAX_WEIGHTS)?;
    nonzero(features, "features").map(Shape::vector)
}

fn pool_output(input: Shape, window: &Window) -> Result<Shape, String> {
    if (0..2).any(|axis| window.padding[axis] > window.size[axis] / 2) {
        return Err(format!("pads a {:?} pool by {:?}, more than half of it", window.size, window.padding));
    }
    slide(input, window, input.channels)
}

fn slide(input: Shape, window: &Window, channels: usize) -> Result<Shape, String> {
    if window.is_too_large() {
        return Err(format!("has a window {window:?}, of which a number is above {MAX_SIDE}"));
    }
    let padded = window.padded([input.height, input.width]);
    bounded(&[input.channels, padded[0], padded[1]], "pads its input to", MAX_SAMPLE)?;
    let [height, width] = window.output(padded).ok_or_else(|| {
        format!(
            "slides a {:?} window with stride {:?} over {input}, which has no room for it",
            window.size, window.stride
        )
    })?;
    Ok(Shape { channels, height, width })
}

fn conv_output(input: Shape, filters: usize, window: &Window, groups: usize) -> Result<Shape, String> {
    nonzero(filters, "filters")?;
    nonzero(groups, "groups")?;
    if !input.channels.is_multiple_of(groups) || !filters.is_multiple_of(groups) {
        return Err(format!(
            "has {groups} groups, which do not divide {} channels and {filters} filters",
            input.channels
        ));
    }
    bounded(&[filters, input.channels / groups, window.size[0], window.size[1]], "needs a kernel of", MAX_WEIGHTS)?;
    slide(input, window, filters)
}

fn local_output(input: Shape, filters: usize, [rows, columns]: [usize; 2]) -> Result<Shape, String> {
    nonzero(filters, "filters")?;
    let even = |side: usize, patch: usize| patch > 0 && side > 0 && side.is_multiple_of(patch);
    if !even(input.height, rows) || !even(input.width, columns) {
        return Err(format!("cuts {input} into patches of {rows} x {columns} pixels, which does not come out even"));
    }
    bounded(&[filters, input.channels, input.height, input.width], "needs weights of", MAX_WEIGHTS)?;
    Ok(Shape::new(filters, input.height / rows, input.width / columns))
}

/// What one way through a block gives.
fn branch_output(input: Shape, layers: &[Layer]) -> Result<Shape, String> {
    if layers.iter().any(|layer| matches!(layer, Layer::SignalJoin(_))) {
        return Err("has a signal joining inside a block; it can join before the block".to_owned());
    }
    layers.iter().try_fold(input, |shape, layer| layer.output(shape))
}

fn residual_output(input: Shape, body: &[Layer], shortcut: &[Layer]) -> Result<Shape, String> {
    let (long, short) = (branch_output(input, body)?, branch_output(input, shortcut)?);
    if long == short { Ok(long) } else { Err(format!("adds {long} and {short}")) }
}

fn concat_output(input: Shape, branches: &[Vec<Layer>]) -> Result<Shape, String> {
    let [first, second, rest @ ..] = branches else {
        return Err(format!("joins {} branches, which are less than two", branches.len()));
    };
    let beside = |left: Shape, branch: &Vec<Layer>| {
        let right = branch_output(input, branch)?;
        let joined = Shape { channels: left.channels.saturating_add(right.channels), ..left };
        let fits = [left.height, left.width] == [right.height, right.width];
        if fits { Ok(joined) } else { Err(format!("puts {left} beside {right}, which differ in height or width")) }
    };
    std::iter::once(second).chain(rest).try_fold(branch_output(input, first)?, beside)
}

/// A weight layer with the activation, normalisation and pooling that follow it (the papers' "layer k").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedLayer {
    /// 1 for the first.
    pub number: usize,
    /// `conv1`, `fc6`, `block2`.
    pub name: String,
    /// Its layers in the list. A join before the weight layer and a flatten before it are included.
    pub range: Range<usize>,
    /// Index of the weight layer itself.
    pub weight: usize,
    /// Index behind the last of its layers that changes a value: a dropout or flatten at its end is left to what follows.
    pub end: usize,
}

/// An input shape and a list of layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// Shape of one input sample.
    pub input: Shape,
    /// The layers in order.
    pub layers: Vec<Layer>,
}

impl Architecture {
    /// Checks that the layers fit one another.
    ///
    /// # Errors
    /// [`Error::Architecture`] names the first layer that cannot take its input.
    pub fn new(input: Shape, layers: Vec<Layer>) -> Result<Self, Error> {
        let architecture = Self { input, layers };
        architecture.shapes()?;
        Ok(architecture)
    }

    /// The shape before each layer and, last, the output: one more entry than there are layers.
    ///
    /// # Errors
    /// [`Error::Architecture`] names the first layer that cannot take its input.
    pub fn shapes(&self) -> Result<Vec<Shape>, Error> {
        if self.input.values() == 0 || self.input.values() > MAX_SAMPLE {
            let reason = format!("takes an input of {}, expected 1 to {MAX_SAMPLE} values", self.input);
            return Err(Error::Architecture { index: 0, reason });
        }
        let joins = |layer: &&Layer| matches!(layer, Layer::SignalJoin(_));
        if self.layers.iter().filter(joins).count() > 1 {
            return Err(Error::JoinTwice);
        }
        let mut shapes = vec![self.input];
        let mut shape = self.input;
        for (index, layer) in self.layers.iter().enumerate() {
            shape = layer.output(shape).map_err(|reason| Error::Architecture { index, reason })?;
            shapes.push(shape);
        }
        Ok(shapes)
    }

    /// The shape of one output sample.
    ///
    /// # Errors
    /// As [`Architecture::shapes`].
    pub fn output(&self) -> Result<Shape, Error> {
        Ok(self.shapes()?.last().copied().unwrap_or(self.input))
    }

    /// The numbered layers, first to last. Together they cover the whole list.
    pub fn numbered_layers(&self) -> Vec<NumberedLayer> {
        let weights: Vec<usize> = (0..self.layers.len()).filter(|&i| self.layers[i].is_weighted()).collect();
        let begin = |k: usize| if k == 0 { 0 } else { self.begin_of(weights[k]) };
        let end = |k: usize| if k + 1 == weights.len() { self.layers.len() } else { begin(k + 1) };
        let busy = |layer: &Layer| !layer.is_idle();
        let entry = |k: usize| NumberedLayer {
            number: k + 1,
            name: format!("{}{}", self.kind_name(weights[k]), k + 1),
            range: begin(k)..end(k),
            weight: weights[k],
            end: weights[k] + 1 + self.layers[weights[k] + 1..end(k)].iter().rposition(busy).map_or(0, |last| last + 1),
        };
        (0..weights.len()).map(entry).collect()
    }

    /// The numbered layer `number`.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`] when the network is shorter.
    pub fn numbered_layer(&self, number: usize) -> Result<NumberedLayer, Error> {
        let mut layers = self.numbered_layers();
        let count = layers.len();
        if number == 0 || number > count {
            return Err(Error::NoSuchLayer { number, count });
        }
        Ok(layers.swap_remove(number - 1))
    }

    /// Where the signal joins: index in the layer list and specification.
    pub fn join(&self) -> Option<(usize, &SignalSpec)> {
        self.layers.iter().enumerate().find_map(|(index, layer)| match layer {
            Layer::SignalJoin(spec) => Some((index, spec)),
            _ => None,
        })
    }

    /// The architecture with the signal joining the input of numbered layer `k` (1: the network's input).
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`]; [`Error::JoinTwice`] where a signal joins already; [`Error::JoinVector`]
    /// where layer `k` takes a vector, which has no height and width to draw on.
    pub fn with_join(&self, k: usize, spec: SignalSpec) -> Result<Self, Error> {
        if self.join().is_some() {
            return Err(Error::JoinTwice);
        }
        let at = self.numbered_layer(k)?.range.start;
        let shape = self.shapes()?[at];
        if shape.is_vector() || matches!(self.layers[at], Layer::Flatten) {
            return Err(Error::JoinVector { number: k, shape });
        }
        let mut layers = self.layers.clone();
        layers.insert(at, Layer::SignalJoin(spec));
        Self::new(self.input, layers)
    }

    /// The layers of `range` as an architecture of their own.
    ///
    /// # Errors
    /// [`Error::Range`] beyond the end; [`Error::Architecture`] when this architecture is itself at odds.
    pub fn slice(&self, range: Range<usize>) -> Result<Self, Error> {
        let shapes = self.shapes()?;
        match (shapes.get(range.start), self.layers.get(range.clone())) {
            (Some(&input), Some(layers)) => Self::new(input, layers.to_vec()),
            _ => Err(Error::Range { range, count: self.layers.len() }),
        }
    }

    fn begin_of(&self, weight: usize) -> usize {
        let belongs = |layer: &Layer| matches!(layer, Layer::SignalJoin(_) | Layer::Flatten | Layer::GlobalAvgPool);
        (0..weight).rev().take_while(|&i| belongs(&self.layers[i])).last().unwrap_or(weight)
    }

    fn kind_name(&self, index: usize) -> &'static str {
        match self.layers[index] {
            Layer::Conv2d { .. } | Layer::LocalConv2d { .. } => "conv",
            Layer::Linear { .. } => "fc",
            _ => "block",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AlexNet, SignalKind};

    fn alexnet() -> Architecture {
        AlexNet::default().architecture().unwrap()
    }

    #[test]
    fn alexnet_at_224_has_the_papers_sizes() {
        let arch = alexnet();
        let shapes = arch.shapes().unwrap();
        let numbered = arch.numbered_layers();
        assert_eq!(shapes[1], Shape::new(64, 55, 55)); // 193,600 links
        let outs: Vec<_> = numbered.iter().map(|layer| shapes[layer.range.end]).collect();
        assert_eq!(outs[0], Shape::new(64, 27, 27));
        assert_eq!(outs[1], Shape::new(192, 13, 13));
        assert_eq!(outs[2], Shape::new(384, 13, 13)); // 64,896 links
        assert_eq!(outs[4], Shape::new(256, 6, 6));
        assert_eq!(outs[7], Shape::vector(2));
    }

    #[test]
    fn eight_numbered_layers_cover_the_list() {
        let arch = alexnet();
        let numbered = arch.numbered_layers();
        let names: Vec<_> = numbered.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names, ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]);
        let mut next = 0;
        for layer in &numbered {
            assert_eq!(layer.range.start, next);
            next = layer.range.end;
        }
        assert_eq!(next, arch.layers.len());
    }

    #[test]
    fn the_signal_adds_one_channel_to_its_layer_only() {
        let spec = SignalSpec::new(SignalKind::Complement, 2);
        for k in 1..=5 {
            let joined = alexnet().with_join(k, spec.clone()).unwrap();
            let layer = joined.numbered_layer(k).unwrap();
            let shapes = joined.shapes().unwrap();
            assert_eq!(shapes[layer.weight].channels, shapes[layer.range.start].channels + 1);
            assert_eq!(joined.output().unwrap(), alexnet().output().unwrap());
        }
    }

    #[test]
    fn a_signal_cannot_join_a_vector_or_join_twice() {
        let spec = SignalSpec::new(SignalKind::Complement, 2);
        assert!(matches!(alexnet().with_join(6, spec.clone()), Err(Error::JoinVector { number: 6, .. })));
        let joined = alexnet().with_join(2, spec.clone()).unwrap();
        assert!(matches!(joined.with_join(3, spec), Err(Error::JoinTwice)));
    }

    #[test]
    fn a_window_larger_than_its_image_is_named() {
        let layers = vec![Layer::Relu, Layer::MaxPool(Window::square(9, 1, 0))];
        let error = Architecture::new(Shape::new(3, 8, 8), layers).unwrap_err();
        assert!(error.to_string().contains("layer 1"), "{error}");
    }

    #[test]
    fn a_file_that_does_not_speak_of_a_bias_means_one() {
        let window = r#""window":{"size":[3,3],"stride":[1,1],"padding":[1,1]}"#;
        let text = format!(r#"{{"type":"conv2d","filters":4,{window},"groups":1}}"#);
        let conv = |bias| Layer::Conv2d { filters: 4, window: Window::square(3, 1, 1), groups: 1, bias };
        assert_eq!(serde_json::from_str::<Layer>(&text).unwrap(), conv(true));
        assert_eq!(serde_json::to_string(&conv(true)).unwrap(), text);
        let without = serde_json::to_string(&conv(false)).unwrap();
        assert_eq!(serde_json::from_str::<Layer>(&without).unwrap(), conv(false));
    }

    #[test]
    fn zero_strides_windows_and_groups_are_refused() {
        let conv = |window, groups| Layer::Conv2d { filters: 4, window, groups, bias: true };
        for layer in
            [conv(Window::square(3, 0, 0), 1), conv(Window::square(0, 1, 0), 1), conv(Window::square(3, 1, 0), 0)]
        {
            assert!(Architecture::new(Shape::new(3, 8, 8), vec![layer]).is_err());
        }
    }
}

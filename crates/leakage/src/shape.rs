//! Layer shapes: what a count needs to know of a front half.

use crate::LeakageError;
use serde::{Deserialize, Serialize};

/// Largest kernel, stride, padding, pool or image side. With [`MAX_CHANNELS`] it keeps every count
/// below 2^63.
pub const MAX_EXTENT: usize = 16_384;
/// Largest number of channels of a convolution.
pub const MAX_CHANNELS: usize = 1 << 20;
/// Largest number of features of a fully connected layer.
pub const MAX_FEATURES: usize = 1 << 30;

/// A convolution: the sizes that decide how many equations its outputs are. Pairs are `[height,
/// width]`, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvShape {
    /// Kernel sides.
    pub kernel: [usize; 2],
    /// Strides.
    pub stride: [usize; 2],
    /// Zeros added on each side of the input.
    pub padding: [usize; 2],
    /// Input channels, the known ones included.
    pub in_channels: usize,
    /// Output channels: the number of kernels.
    pub out_channels: usize,
    /// Groups; only 1 is counted.
    #[serde(default = "one")]
    pub groups: usize,
    /// Input sides, without padding.
    pub input: [usize; 2],
    /// How many of the input channels, the *last* ones, are no unknowns of the attacker: those that
    /// take so few values that all of them can be tried. The signal's plane is one: the attacker
    /// subtracts its share for each value the signal may have, and solves for the rest.
    #[serde(default)]
    pub known_channels: usize,
}

fn one() -> usize {
    1
}

impl ConvShape {
    /// A convolution in one group with no known channel. All pairs are `[height, width]`.
    #[must_use]
    pub fn new(
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        [in_channels, out_channels]: [usize; 2],
        input: [usize; 2],
    ) -> Self {
        Self { kernel, stride, padding, in_channels, out_channels, groups: 1, input, known_channels: 0 }
    }

    /// The same convolution whose last `known` input channels an attacker can enumerate.
    #[must_use]
    pub fn with_known_channels(mut self, known: usize) -> Self {
        self.known_channels = known;
        self
    }

    /// Input channels that are unknown to an attacker.
    #[must_use]
    pub fn unknown_channels(&self) -> usize {
        self.in_channels.saturating_sub(self.known_channels)
    }
}

/// A pool behind a layer's activation. Pairs are `[height, width]`, in output positions of the
/// convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Window sides.
    pub window: [usize; 2],
    /// Strides.
    pub stride: [usize; 2],
    /// Padding on each side.
    #[serde(default)]
    pub padding: [usize; 2],
}

/// A fully connected layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinearShape {
    /// Input features, the known ones included.
    pub in_features: usize,
    /// Output features.
    pub out_features: usize,
    /// How many of the input features, the *last* ones, an attacker can enumerate; see
    /// [`ConvShape::known_channels`].
    #[serde(default)]
    pub known_features: usize,
}

/// The linear part of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// A convolution.
    Conv(ConvShape),
    /// A fully connected layer.
    Linear(LinearShape),
}

/// What follows the linear part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// Nothing.
    None,
    /// ReLU: a value that is cut to zero is not counted as an equation.
    Relu,
    /// Anything else. Taken as one-to-one, the stricter reading: each value is counted as one
    /// equation.
    Other,
}

/// How far the last layer of a front half goes before its output is sent. Earlier layers always run
/// to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The outputs of the linear part are sent.
    Linear,
    /// The outputs of the activation are sent.
    Activation,
    /// The outputs of the pool are sent, or of the activation where there is no pool.
    Pooled,
}

/// One weight layer of a front half with the activation and pool that follow it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrontLayer {
    /// Name for the report.
    pub name: String,
    /// The linear part.
    pub op: Op,
    /// The activation behind it.
    pub activation: Activation,
    /// The pool behind that; convolutions only.
    pub pool: Option<Pool>,
    /// The kernel without its bias: `[out, in, height, width]` for a convolution, `[out, in]` for a
    /// fully connected layer, flat, the last index running fastest. Without weights there is no
    /// rank, only counts.
    pub weights: Option<Vec<f32>>,
    /// Measured share of zeros (0 to 1) among the values at the stage that is counted: after the
    /// ReLU, or after the pool where the layer runs through it. Used for [`Activation::Relu`] only.
    pub zero_share: Option<f64>,
}

impl FrontLayer {
    /// A layer with neither activation, pool, weights nor a measured share of zeros.
    #[must_use]
    pub fn new(name: impl Into<String>, op: Op) -> Self {
        Self { name: name.into(), op, activation: Activation::None, pool: None, weights: None, zero_share: None }
    }

    /// The same layer with this activation.
    #[must_use]
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// The same layer with this pool behind its activation.
    #[must_use]
    pub fn with_pool(mut self, pool: Pool) -> Self {
        self.pool = Some(pool);
        self
    }

    /// The same layer with this kernel; see [`FrontLayer::weights`] for the order.
    #[must_use]
    pub fn with_weights(mut self, weights: Vec<f32>) -> Self {
        self.weights = Some(weights);
        self
    }

    /// The same layer with a measured share of zeros, 0 to 1.
    #[must_use]
    pub fn with_zero_share(mut self, share: f64) -> Self {
        self.zero_share = Some(share);
        self
    }

    /// Output sizes `[channels, height, width]` at `stage`; a vector is `[features, 1, 1]`.
    ///
    /// # Errors
    /// Any of the shape errors of [`LeakageError`].
    pub fn output(&self, stage: Stage) -> Result<[usize; 3], LeakageError> {
        self.validate()?;
        Ok(match &self.op {
            Op::Linear(linear) => [linear.out_features, 1, 1],
            Op::Conv(conv) => {
                let pool = self.pool.filter(|_| stage == Stage::Pooled);
                let side = |axis| sides(conv, pool.as_ref(), axis).1;
                [conv.out_channels, side(0), side(1)]
            }
        })
    }

    /// The unknown inputs, `[channels, height, width]`.
    pub(crate) fn unknown_input(&self) -> [usize; 3] {
        match &self.op {
            Op::Linear(linear) => [linear.in_features.saturating_sub(linear.known_features), 1, 1],
            Op::Conv(conv) => [conv.unknown_channels(), conv.input[0], conv.input[1]],
        }
    }

    /// The stage that `stage` amounts to: no pool means the activation, no activation means the
    /// linear part.
    pub(crate) fn effective(&self, stage: Stage) -> Stage {
        match stage {
            Stage::Pooled if self.pool.is_some() => Stage::Pooled,
            Stage::Linear => Stage::Linear,
            _ if self.activation == Activation::None => Stage::Linear,
            _ => Stage::Activation,
        }
    }

    /// Refuses shapes, shares and weights that nothing can be counted on.
    pub(crate) fn validate(&self) -> Result<(), LeakageError> {
        match &self.op {
            Op::Conv(conv) => self.validate_conv(conv)?,
            Op::Linear(linear) => self.validate_linear(linear)?,
        }
        if let Some(got) = self.zero_share.filter(|share| !(0.0..=1.0).contains(share)) {
            return Err(LeakageError::ZeroShare { layer: self.name.clone(), got });
        }
        self.weights.as_deref().map_or(Ok(()), |weights| self.validate_weights(weights))
    }

    fn validate_conv(&self, conv: &ConvShape) -> Result<(), LeakageError> {
        if conv.groups != 1 {
            return Err(LeakageError::Groups { layer: self.name.clone(), got: conv.groups });
        }
        self.within("input channels", conv.in_channels, 1, MAX_CHANNELS)?;
        self.within("output channels", conv.out_channels, 1, MAX_CHANNELS)?;
        self.within("known channels", conv.known_channels, 0, conv.in_channels - 1)?;
        (0..2).try_for_each(|axis| self.validate_axis(conv, axis))
    }

    fn validate_axis(&self, conv: &ConvShape, axis: usize) -> Result<(), LeakageError> {
        self.within("input side", conv.input[axis], 1, MAX_EXTENT)?;
        self.within("padding", conv.padding[axis], 0, MAX_EXTENT)?;
        self.within("stride", conv.stride[axis], 1, MAX_EXTENT)?;
        let padded = conv.input[axis] + 2 * conv.padding[axis];
        self.within("kernel side", conv.kernel[axis], 1, padded.min(MAX_EXTENT))?;
        let Some(pool) = self.pool else { return Ok(()) };
        self.within("pool window", pool.window[axis], 1, sides(conv, None, axis).0)?;
        self.within("pool stride", pool.stride[axis], 1, MAX_EXTENT)?;
        self.within("pool padding", pool.padding[axis], 0, pool.window[axis] / 2)
    }

    fn validate_linear(&self, linear: &LinearShape) -> Result<(), LeakageError> {
        if self.pool.is_some() {
            return Err(LeakageError::PoolAfterLinear { layer: self.name.clone() });
        }
        self.within("input features", linear.in_features, 1, MAX_FEATURES)?;
        self.within("output features", linear.out_features, 1, MAX_FEATURES)?;
        self.within("known features", linear.known_features, 0, linear.in_features - 1)
    }

    fn within(&self, what: &'static str, got: usize, min: usize, max: usize) -> Result<(), LeakageError> {
        if (min..=max).contains(&got) {
            return Ok(());
        }
        Err(LeakageError::Extent { layer: self.name.clone(), what, got, min, max })
    }

    fn validate_weights(&self, weights: &[f32]) -> Result<(), LeakageError> {
        let (layer, expected) = (self.name.clone(), self.op.weight_count());
        if expected != weights.len() as u128 {
            return Err(LeakageError::WeightCount { layer, expected, got: weights.len() });
        }
        match weights.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            Some((index, &value)) => Err(LeakageError::NonFiniteWeight { layer, index, value }),
            None => Ok(()),
        }
    }
}

impl Op {
    /// Weights of the kernel, without biases.
    pub(crate) fn weight_count(&self) -> u128 {
        let factors = match self {
            Op::Conv(conv) => [conv.in_channels, conv.out_channels, conv.kernel[0], conv.kernel[1]],
            Op::Linear(linear) => [linear.in_features, linear.out_features, 1, 1],
        };
        factors.iter().map(|&factor| factor as u128).product()
    }
}

/// Output sides of the convolution and of the pool behind it on one axis of a validated shape.
pub(crate) fn sides(conv: &ConvShape, pool: Option<&Pool>, axis: usize) -> (usize, usize) {
    let padded = conv.input[axis] + 2 * conv.padding[axis];
    let convolved = (padded - conv.kernel[axis]) / conv.stride[axis] + 1;
    let pooled =
        pool.map_or(convolved, |pool| (convolved + 2 * pool.padding[axis] - pool.window[axis]) / pool.stride[axis] + 1);
    (convolved, pooled)
}

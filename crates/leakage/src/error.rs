//! What the checks refuse.

use thiserror::Error;

/// Why a front half was refused, or why nothing could be computed from it.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum LeakageError {
    /// A front half has to have at least one layer.
    #[error("the front half has no layer; pass the layers from the image up to the cut")]
    EmptyFront,

    /// A size lies outside what the counts accept.
    #[error("layer `{layer}`: {what} is {got}, expected {min} to {max}; correct the layer's shape")]
    Extent {
        /// The layer's name.
        layer: String,
        /// The field in question.
        what: &'static str,
        /// Its value.
        got: usize,
        /// The smallest value accepted.
        min: usize,
        /// The largest value accepted.
        max: usize,
    },

    /// Grouped convolutions are not counted.
    #[error("layer `{layer}`: {got} groups, expected 1; count a grouped convolution as {got} layers, one a group")]
    Groups {
        /// The layer's name.
        layer: String,
        /// The groups asked for.
        got: usize,
    },

    /// A pool was put behind a fully connected layer.
    #[error("layer `{layer}`: a fully connected layer has no pool; set `pool` to None")]
    PoolAfterLinear {
        /// The layer's name.
        layer: String,
    },

    /// The previous layer's output is not this layer's unknown input.
    #[error(
        "layer `{layer}`: expected unknown inputs {expected:?} (channels, height, width) but the layer before gives {got:?}; \
         compare the input size and the known channels with that layer's output"
    )]
    ChainMismatch {
        /// The layer that receives.
        layer: String,
        /// What it declares, `[channels, height, width]`; a vector is `[features, 1, 1]`.
        expected: [usize; 3],
        /// What arrives.
        got: [usize; 3],
    },

    /// The weights do not fill the declared shape.
    #[error(
        "layer `{layer}`: expected {expected} weights in [out, in, height, width] order, got {got}; pass the kernel without its bias"
    )]
    WeightCount {
        /// The layer's name.
        layer: String,
        /// Weights the shape asks for.
        expected: u128,
        /// Weights passed.
        got: usize,
    },

    /// A weight is NaN or infinite.
    #[error(
        "layer `{layer}`: weight {index} is {value}, expected a finite number; the checkpoint is damaged or training diverged"
    )]
    NonFiniteWeight {
        /// The layer's name.
        layer: String,
        /// Position in the flat weights.
        index: usize,
        /// The value found.
        value: f32,
    },

    /// A measured share of zeros is not a share.
    #[error("layer `{layer}`: the share of zeros is {got}, expected 0 to 1; pass None where it was not measured")]
    ZeroShare {
        /// The layer's name.
        layer: String,
        /// The value passed.
        got: f64,
    },

    /// A rank tolerance that no singular value can be compared with.
    #[error("the rank tolerance is {got}, expected more than 0 and less than 1; try 1e-10")]
    Tolerance {
        /// The value passed.
        got: f64,
    },

    /// A linear map from or to nothing.
    #[error("the linear map takes {inputs} values to {outputs}, expected at least 1 each; leave empty cuts out")]
    EmptyMap {
        /// Length of what it takes.
        inputs: usize,
        /// Length of what it gives.
        outputs: usize,
    },

    /// A linear map returned products of another length than it announces.
    #[error("the linear map's {product} for {batch} vectors has {got} values, expected {expected}; correct the map")]
    ProductLength {
        /// `J x` or `Jᵀ y`.
        product: &'static str,
        /// Vectors asked for at once.
        batch: usize,
        /// Values that they have together.
        expected: usize,
        /// Values returned.
        got: usize,
    },

    /// A linear map returned NaN or infinity.
    #[error(
        "the linear map's {product}: value {index} of the batch is {value}, expected a finite number; \
         look for weights or an image that are damaged or out of range"
    )]
    ProductNotFinite {
        /// `J x` or `Jᵀ y`.
        product: &'static str,
        /// Position in the values returned.
        index: usize,
        /// The value found.
        value: f32,
    },

    /// Values passed in do not fit the linear map.
    #[error("{what}: got {got} values, expected {expected}; pass one vector after the other, all of the same length")]
    ArgumentLength {
        /// The argument.
        what: &'static str,
        /// Values that fit; of any number of vectors, those of the next whole one.
        expected: usize,
        /// Values passed.
        got: usize,
    },

    /// A value passed in is NaN or infinite.
    #[error("{what}: value {index} is {value}, expected a finite number; look for where it was computed")]
    ArgumentNotFinite {
        /// The argument.
        what: &'static str,
        /// Position in the values passed.
        index: usize,
        /// The value found.
        value: f32,
    },

    /// A setting lies outside what is accepted.
    #[error("the setting `{what}` is {got}, expected {min} to {max}; change it")]
    Setting {
        /// The field.
        what: &'static str,
        /// Its value.
        got: f64,
        /// The smallest value accepted.
        min: f64,
        /// The largest value accepted.
        max: f64,
    },

    /// A number that has to be above zero is not.
    #[error("{what} is {got}, expected a finite number above 0; nothing follows from such a value")]
    NotPositive {
        /// What it is.
        what: &'static str,
        /// Its value.
        got: f64,
    },

    /// The progress callback asked to stop.
    #[error("stopped as asked after {done} of {total} steps; start again for a result")]
    Stopped {
        /// Steps done.
        done: usize,
        /// Steps in all.
        total: usize,
    },
}

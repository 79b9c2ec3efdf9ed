//! What can go wrong with keys and what they act on.

use cleave_nets::Shape;
use cleave_secrets::KeyId;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network that does not see its input as blocks.
    #[error(
        "this network cannot be locked: {reason}; it must begin with a convolution whose stride is its kernel, without padding or groups, such as ConvMixer's"
    )]
    NotLockable {
        /// What its first layer is instead.
        reason: String,
    },
    /// From a key for each patch to one for all.
    #[error(
        "the network has a key for each patch, and the new one is to serve all; lock the plain network with it, or keep a key for each"
    )]
    PerPatchToShared,
    /// Values that do not come out even.
    #[error("images of {image} do not fall into blocks of {patch:?} pixels (rows, columns)")]
    Uneven {
        /// The image.
        image: Shape,
        /// The block.
        patch: [usize; 2],
    },
    /// Blocks or images beyond what a key is made for.
    #[error("images of {image} in blocks of {patch:?} pixels are more than a key is made for: {limit}")]
    TooLarge {
        /// The image.
        image: Shape,
        /// The block.
        patch: [usize; 2],
        /// What the limit is.
        limit: &'static str,
    },
    /// Another key than the network was locked with.
    #[error("the network was locked with the key {expected}, the key given is {got}")]
    OtherKey {
        /// The key that is needed.
        expected: KeyId,
        /// The one that was given.
        got: KeyId,
    },
    /// A key for images or networks of another shape.
    #[error("the key is laid out for images of {expected}, got {got}")]
    OtherImage {
        /// What it is laid out for.
        expected: Shape,
        /// What was given.
        got: String,
    },
    /// From the network.
    #[error(transparent)]
    Network(#[from] cleave_nets::Error),
    /// From the images.
    #[error(transparent)]
    Data(#[from] cleave_data::DataError),
}

//! Networks as data.
//!
//! An [`Architecture`] is a serde value: an input [`Shape`] and a list of [`Layer`]s. A [`Network`] is
//! an architecture with weights, run by burn on any [`Device`] that was compiled in. Whatever the
//! framework does to a model is a function on these two: cutting slices the list, retraining inserts
//! a [`Layer::SignalJoin`] and trains a suffix.
//!
//! ```text
//! AlexNet { .. } ────▶ Architecture ──random / import──▶ Network ──forward──▶ logits
//!                           │                               │
//!                      shapes, numbered layers         slice, followed_by, save, load
//! ```
//!
//! Every activation is `[batch, channels, height, width]`; a vector has height and width 1. burn
//! panics when shapes do not fit, so they are compared with the architecture before burn sees them.

mod alexnet;
mod architecture;
mod checkpoint;
mod conv_mixer;
mod crypto_nets;
mod defence;
mod densenet;
mod device;
mod error;
mod features;
mod fold;
mod head;
mod import;
mod network;
mod node;
mod published;
mod regnet;
mod resnet;
mod signal;
mod six_conv;
mod tangent;
mod vgg;

pub use alexnet::AlexNet;
pub use architecture::{Architecture, Layer, NumberedLayer, Shape, Window};
pub use burn::tensor::Device;
pub use checkpoint::{
    Checkpoint, Contents, FORMAT_VERSION, Header, HostTensor, ModelCard, Role, Training, check_manifest,
    read_checkpoint, read_manifest, write_atomically, write_checkpoint,
};
pub use conv_mixer::ConvMixer;
pub use crypto_nets::CryptoNets;
pub use defence::{Defence, Distribution};
pub use densenet::DenseNet;
pub use device::{available_devices, computes_half, device};
pub use error::Error;
pub use features::{FeatureSource, Features};
pub use head::{Head, HeadCard, head};
pub use import::{ImportReport, KeyMapping, Mapped, import_network};
pub use network::{Dropout, Network, Pass, argmax};
pub use published::Published;
pub use regnet::RegNetX;
pub use resnet::{CifarResNet, ResNet};
pub use signal::{SignalForm, SignalKind, SignalSpec};
pub use six_conv::SixConv;
pub use vgg::Vgg;

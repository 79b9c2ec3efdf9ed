//! What was done to make smashed data tell less.

use serde::{Deserialize, Serialize};

/// A defence at a cut, as manifests record it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Defence {
    /// Independent noise on every value of the smashed data, drawn by the client afresh for each image.
    Noise {
        /// Its distribution.
        distribution: Distribution,
        /// Standard deviation of a Gaussian, or scale b of a Laplace distribution, in units of the smashed data.
        scale: f32,
        /// Diagonal Fisher information leakage that the scale was calibrated to (Maeng et al. 2023), for pixels of
        /// 0 to 1; `None` where the scale was chosen without.
        dfil: Option<f64>,
    },
    /// Every value of the smashed data is rounded to one of `2^bits` evenly spaced levels.
    Quantise {
        /// Bits a value, 1 to 8.
        bits: u8,
        /// The lowest level.
        low: f32,
        /// The highest level.
        high: f32,
    },
    /// Fewer channels at the cut: a 1x1 convolution on the client's side and one back on the provider's, trained
    /// with the rest.
    Bottleneck {
        /// Channels that cross the cut.
        channels: usize,
    },
    /// Training with the distance correlation of image and smashed data as part of the loss (Vepakomma et al. 2020).
    NoPeek {
        /// Weight of that part.
        weight: f32,
        /// The numbered layer that it was measured behind.
        layer: usize,
    },
    /// Training against probes that are trained along with the network.
    Adversarial {
        /// Weight of the probe that reads the signal.
        signal: f32,
        /// Weight of the probe that reads the label.
        label: f32,
        /// The numbered layer that the probes read behind.
        layer: usize,
    },
    /// Each image goes among others that the client does not ask about. It changes no smashed data.
    Decoys {
        /// Fewest others for each image.
        count: u16,
    },
}

impl Defence {
    /// Whether it is noise on the smashed data, which alone gives a bound.
    pub const fn is_noise(&self) -> bool {
        matches!(self, Self::Noise { .. })
    }

    /// Whether the client applies it to smashed data; decoys change none, and the others were trained in.
    pub const fn is_at_cut(&self) -> bool {
        matches!(self, Self::Noise { .. } | Self::Quantise { .. })
    }
}

/// Distributions of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Normal.
    Gaussian,
    /// Double exponential.
    Laplace,
}

impl std::fmt::Display for Defence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Noise { distribution, scale, .. } => {
                let name = match distribution {
                    Distribution::Gaussian => "Gaussian",
                    Distribution::Laplace => "Laplace",
                };
                write!(f, "{name} noise of scale {scale}")
            }
            Self::Quantise { bits, .. } => write!(f, "{bits} bits a value"),
            Self::Bottleneck { channels } => write!(f, "bottleneck of {channels} channels"),
            Self::NoPeek { weight, layer } => write!(f, "NoPeek of weight {weight} behind layer {layer}"),
            Self::Adversarial { signal, label, layer } => {
                write!(f, "adversarial training of weights {signal} (signal) and {label} (label) behind layer {layer}")
            }
            Self::Decoys { count } => write!(f, "each image among {count} or more decoys"),
        }
    }
}

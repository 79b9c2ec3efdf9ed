//! A last layer by itself, trained on features.

use crate::checkpoint::{Contents, read_checkpoint, write_checkpoint};
use crate::{Architecture, Device, Error, FeatureSource, Header, HostTensor, Layer, Network, Role, Shape, Training};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The manifest of a head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadCard {
    /// Format and role.
    #[serde(flatten)]
    pub header: Header,
    /// One linear layer on a vector.
    pub architecture: Architecture,
    /// Class names, in the order of the outputs.
    pub classes: Vec<String>,
    /// Where the features come from that it was trained on; `None` where nobody said so, as in a table.
    pub source: Option<FeatureSource>,
    /// How it was trained.
    pub training: Training,
}

/// A last layer by itself: from features to the scores of classes.
#[derive(Clone, Debug)]
pub struct Head {
    /// The manifest.
    pub card: HeadCard,
    /// The layer, as a network.
    pub network: Network,
}

/// A head of trained weights. Add to the training of its card how it was trained.
///
/// # Shapes
/// `weights`: `[classes, 1 + features]`, row after row, the bias first in each.
///
/// # Errors
/// [`Error::Features`] for another number of weights; [`Error::NotFinite`].
pub fn head(
    weights: &[f32],
    classes: Vec<String>,
    source: Option<FeatureSource>,
    device: &Device,
) -> Result<Head, Error> {
    let row = weights.len().checked_div(classes.len()).unwrap_or(0);
    if row < 2 || row * classes.len() != weights.len() {
        let expected = format!("{} rows of a bias and one weight or more", classes.len());
        return Err(Error::Features {
            what: "weights of the head",
            expected,
            got: format!("{} numbers", weights.len()),
        });
    }
    let rows = || weights.chunks_exact(row).filter_map(<[f32]>::split_first);
    let bias = HostTensor { shape: vec![classes.len()], values: rows().map(|(bias, _)| *bias).collect() };
    let matrix = rows().flat_map(|(_, weights)| weights).copied().collect();
    let matrix = HostTensor { shape: vec![classes.len(), row - 1], values: matrix };
    let tensors = [("0.bias", bias), ("0.weight", matrix)].map(|(name, tensor)| (name.to_owned(), tensor));
    let layers = vec![Layer::Linear { features: classes.len() }];
    let architecture = Architecture::new(Shape::vector(row - 1), layers)?;
    let network = Network::from_tensors(architecture.clone(), BTreeMap::from(tensors), device)?;
    let (header, training) = (Header::of(Role::Head), Training::default());
    Ok(Head { card: HeadCard { header, architecture, classes, source, training }, network })
}

impl Head {
    /// Writes the file; an old one stays until the new one is complete on disk.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Execution`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let contents = Contents { tensors: self.network.tensors()?, glyphs: None };
        write_checkpoint(path, &contents, &self.card)
    }

    /// Reads a head onto `device`.
    ///
    /// # Errors
    /// As [`read_checkpoint`]; [`Error::Format`] for other layers than one linear layer on a vector, or another number of classes.
    pub fn load(path: &Path, device: &Device) -> Result<Self, Error> {
        let (card, contents) = read_checkpoint::<HeadCard>(path, Role::Head)?;
        let at_odds = |reason: String| Err(Error::Format { path: path.to_owned(), reason });
        let outputs = card.architecture.output()?.values();
        if !matches!(card.architecture.layers[..], [Layer::Linear { .. }]) {
            return at_odds("a head is one linear layer, and it has others".to_owned());
        }
        if card.classes.len() != outputs {
            return at_odds(format!("it names {} classes for {outputs} outputs", card.classes.len()));
        }
        let network = Network::from_tensors(card.architecture.clone(), contents.tensors, device)?;
        Ok(Self { card, network })
    }

    /// Values of a sample of features.
    pub const fn width(&self) -> usize {
        self.network.input().values()
    }

    /// Scores of samples of features.
    ///
    /// # Shapes
    /// `features`: `[samples, width]`; the result: `[samples, classes]`.
    ///
    /// # Errors
    /// As [`Network::infer`].
    pub fn scores(&self, features: Vec<f32>, samples: usize) -> Result<Vec<f32>, Error> {
        self.network.infer(features, None, samples)
    }

    /// The layers that give features, and then this head: one network.
    ///
    /// # Errors
    /// [`Error::Input`] when the head takes another number of values.
    pub fn behind(&self, layers: &Network) -> Result<Network, Error> {
        if layers.output().is_vector() {
            return layers.followed_by(&self.network);
        }
        let flatten = Architecture::new(layers.output(), vec![Layer::Flatten])?;
        let flatten = Network::from_tensors(flatten, BTreeMap::new(), layers.device())?;
        layers.followed_by(&flatten)?.followed_by(&self.network)
    }
}

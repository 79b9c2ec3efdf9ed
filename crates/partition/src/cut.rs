//! Where a network is cut.

use crate::Error;
use cleave_nets::{Architecture, Layer, Network};
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};
use std::str::FromStr;

/// How far the cut layer runs on the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Its kernel or matrix only.
    Linear,
    /// Through its normalisation and activation.
    Activation,
    /// To its end, pooling included.
    Whole,
}

/// A cut: the client runs layers 1 to `layer`, the last of them as far as `point`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The numbered layer, from 1; 0 in [`Cut::NOTHING`].
    pub layer: usize,
    /// How far it runs.
    pub point: Point,
}

impl Cut {
    /// Before the first layer: nothing of the network runs at the client, as where its image travels under a key. Only
    /// [`lock_pair`](crate::lock_pair) cuts there.
    pub const NOTHING: Self = Self { layer: 0, point: Point::Whole };

    /// Behind the whole of a numbered layer.
    pub const fn after(layer: usize) -> Self {
        Self { layer, point: Point::Whole }
    }

    /// How many entries of the layer list the front half takes.
    ///
    /// # Errors
    /// [`Error::Network`] for a layer that does not exist; [`Error::NothingLeft`]; [`Error::BeforeJoin`].
    pub fn position(self, architecture: &Architecture) -> Result<usize, Error> {
        let numbered = architecture.numbered_layer(self.layer)?;
        let rest = &architecture.layers[numbered.weight + 1..numbered.range.end];
        let stop = |layer: &Layer| matches!(layer, Layer::MaxPool(_) | Layer::AvgPool(_) | Layer::GlobalAvgPool);
        let inside = numbered.weight + 1;
        let position = match self.point {
            Point::Linear => inside,
            Point::Activation => inside + rest.iter().take_while(|layer| !stop(layer) && !layer.is_idle()).count(),
            Point::Whole => numbered.end,
        };
        if position >= architecture.layers.len() {
            return Err(Error::NothingLeft { cut: self, last: self.layer });
        }
        self.check_join(architecture, position)
    }

    fn check_join(self, architecture: &Architecture, position: usize) -> Result<usize, Error> {
        match architecture.join() {
            Some((join, _)) if position <= join => {
                let numbered = architecture.numbered_layers();
                let layer = numbered.iter().find(|layer| layer.range.contains(&join)).map_or(1, |layer| layer.number);
                Err(Error::BeforeJoin { cut: self, join: layer })
            }
            _ => Ok(position),
        }
    }
}

impl Display for Cut {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self.point {
            Point::Linear => write!(f, "{}:linear", self.layer),
            Point::Activation => write!(f, "{}:activation", self.layer),
            Point::Whole => write!(f, "{}", self.layer),
        }
    }
}

impl FromStr for Cut {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (layer, point) = match text.split_once(':') {
            None => (text, Some(Point::Whole)),
            Some((layer, "linear")) => (layer, Some(Point::Linear)),
            Some((layer, "activation")) => (layer, Some(Point::Activation)),
            Some((layer, _)) => (layer, None),
        };
        match (layer.parse(), point) {
            (Ok(layer), Some(point)) => Ok(Self { layer, point }),
            _ => Err(Error::Syntax { text: text.to_owned() }),
        }
    }
}

/// Cuts a network in two. Front and back, one after the other, give what the network gives, bit for bit.
///
/// # Errors
/// As [`Cut::position`].
pub fn cut(network: &Network, cut: Cut) -> Result<(Network, Network), Error> {
    let position = cut.position(network.architecture())?;
    Ok((network.slice(0..position)?, network.slice(position..network.architecture().layers.len())?))
}

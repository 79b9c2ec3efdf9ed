use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Result,
    fields::{self, field},
};
use crate::{ParamSet, Params, cipher::MAX_ITEMS};

/// Version of these messages.
const FORMAT: u32 = 1;
/// Bytes of the longest description.
const MAX_BYTES: usize = 1 << 16;
const MAX_NETWORKS: usize = 1 << 10;
const MAX_SIDE: usize = 128;
const MAX_NAME: usize = 128;

/// What a provider says of its networks, in JSON: what a client needs to make ciphertexts and to read scores.
///
/// It is what the provider says and no proof. A client takes parameters from its own table by their name, and compares
/// the hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    format: u32,
    /// Name of the parameter set.
    pub set: String,
    /// Its hash, in hex.
    pub params: String,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Pixels are 0 to this number, made of bytes by [`levels`](crate::levels).
    pub max_pixel: u8,
    /// Names of the classes, in the order of the scores.
    pub classes: Vec<String>,
    /// Networks whose scores are added.
    pub networks: usize,
    /// The sum is divided by this and by the number of networks to give float scores.
    pub scale: f64,
}

impl Description {
    /// What is said of `release`.
    pub(super) fn of(release: &crate::Release, params: &Params) -> Self {
        Self {
            format: FORMAT,
            set: release.set.name().into(),
            params: params.hash().to_string(),
            height: release.shape.height,
            width: release.shape.width,
            max_pixel: release.precision.max_pixel,
            classes: release.classes.clone(),
            networks: release.networks.len(),
            scale: release.scale,
        }
    }

    /// Pixels of an image.
    pub fn pixels(&self) -> usize {
        self.height.saturating_mul(self.width)
    }

    /// SHA-256 of the JSON: the same for the same networks' description.
    pub fn hash(&self) -> Result<[u8; 32]> {
        Ok(Sha256::digest(self.to_bytes()?).into())
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_vec(self).map_err(|error| field("description", error, "numbers that JSON has"))?;
        length(text.len())?;
        Ok(text)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        length(bytes.len())?;
        let description: Self = serde_json::from_slice(bytes)
            .map_err(|error| field("description", error, "JSON with the fields of this version"))?;
        description.check()?;
        Ok(description)
    }

    fn check(&self) -> Result<()> {
        let within = |name, got: usize, max: usize| match (1..=max).contains(&got) {
            true => Ok(()),
            false => Err(field(name, got, format!("1 to {max}"))),
        };
        if self.format != FORMAT {
            return Err(field("format of the description", self.format, FORMAT));
        }
        within("height", self.height, MAX_SIDE)?;
        within("width", self.width, MAX_SIDE)?;
        within("max_pixel", self.max_pixel.into(), u8::MAX.into())?;
        within("number of classes", self.classes.len(), MAX_ITEMS)?;
        within("number of networks", self.networks, MAX_NETWORKS)?;
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return Err(field("scale", self.scale, "a positive number"));
        }
        let plain = |name: &&String| !(1..=MAX_NAME).contains(&name.len()) || name.contains(char::is_control);
        match self.classes.iter().find(plain) {
            None => Ok(()),
            Some(name) => Err(field("name of a class", format!("{name:?}"), "1 to 128 bytes of plain text")),
        }
    }

    /// The parameters, built from the name alone.
    pub(super) fn params(&self) -> Result<Params> {
        let params = Params::named(self.set.parse::<ParamSet>()?)?;
        let known = params.hash().to_string();
        match self.params == known {
            true => Ok(params),
            false => Err(field("hash of the parameters", &self.params, known)),
        }
    }
}

fn length(got: usize) -> Result<()> {
    match got <= MAX_BYTES {
        true => Ok(()),
        false => Err(fields::length("the description", got, format!("at most {MAX_BYTES}"))),
    }
}

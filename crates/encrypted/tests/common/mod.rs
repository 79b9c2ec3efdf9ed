//! What the tests share: keys made once, and random networks of a small shape.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::LazyLock;

use cleave_encrypted::{
    EvaluationKeys, IntegerLayer, IntegerNetwork, ParamSet, Params, Precision, Release, SecretKey, Shape, ranges,
};
use cleave_secrets::Secret;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A client with one of the parameter sets.
pub(crate) struct Client {
    pub(crate) params: Params,
    pub(crate) secret: SecretKey,
    pub(crate) keys: EvaluationKeys,
}

impl Client {
    pub(crate) fn new(set: ParamSet, seed: u8) -> Self {
        let params = Params::named(set).unwrap();
        let secret = SecretKey::new(&params, &Secret::from_bytes(&[seed; 32]));
        let keys = secret.evaluation_keys().unwrap();
        Self { params, secret, keys }
    }
}

pub(crate) static ONE: LazyLock<Client> = LazyLock::new(|| Client::new(ParamSet::Bfv8192x45, 1));
pub(crate) static TWO: LazyLock<Client> = LazyLock::new(|| Client::new(ParamSet::Bfv8192x40x2, 2));

/// 6×6 pixels, 3×3×2 = 18 features, 5 hidden, 3 classes: every kind of border, and rows that do not fill a group.
pub(crate) const SMALL: Shape =
    Shape { height: 6, width: 6, kernel: 3, stride: 2, padding: 1, maps: 2, hidden: 5, classes: 3 };

pub(crate) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Weights up to ±`bounds`, and biases up to ±`bias`.
pub(crate) fn network(rng: &mut impl Rng, shape: Shape, bounds: [i32; 3], bias: [i128; 3]) -> IntegerNetwork {
    let weights =
        [shape.maps * shape.kernel * shape.kernel, shape.hidden * shape.features(), shape.classes * shape.hidden];
    let rows = [shape.maps, shape.hidden, shape.classes];
    let layers = std::array::from_fn(|index| IntegerLayer {
        weights: (0..weights[index]).map(|_| rng.random_range(-bounds[index]..=bounds[index])).collect(),
        biases: (0..rows[index]).map(|_| rng.random_range(-bias[index]..=bias[index])).collect(),
    });
    IntegerNetwork { shape, max_pixel: 15, layers, scale: 1.0 }
}

pub(crate) fn pixels(rng: &mut impl Rng, images: usize, shape: Shape) -> Vec<u8> {
    (0..images * shape.pixels()).map(|_| rng.random_range(0..=15)).collect()
}

/// A release of `members` networks of the small shape.
pub(crate) fn release(members: usize) -> Release {
    let mut rng = rng(1);
    let networks: Vec<_> = (0..members).map(|_| network(&mut rng, SMALL, [31; 3], [9, 99, 1 << 70])).collect();
    Release {
        set: ParamSet::Bfv8192x40x2,
        shape: SMALL,
        scale: 1.0,
        classes: ["zero", "one", "two"].map(str::to_owned).into(),
        precision: Precision::default(),
        ranges: ranges(&networks, &pixels(&mut rng, 4, SMALL)).unwrap(),
        margin: 3,
        sources: (0..members).map(|number| format!("model {number}.safetensors")).collect(),
        networks,
    }
}

pub(crate) fn signed(pixels: &[u8]) -> Vec<i64> {
    pixels.iter().map(|&pixel| pixel.into()).collect()
}

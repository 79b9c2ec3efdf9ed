use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

const MAX_SIDE: usize = 128;
const MAX_UNITS: usize = 1 << 14;
/// Largest absolute weight that a network may have.
const MAX_WEIGHT: i32 = 1 << 16;
/// Bits of the largest bias.
const MAX_BIAS_BITS: u32 = 120;

/// The shape of a network: convolution, square, dense, square, dense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Rows and columns of a kernel.
    pub kernel: usize,
    /// Steps of the kernel.
    pub stride: usize,
    /// Rows and columns of zeros on every side.
    pub padding: usize,
    /// Maps of the convolution.
    pub maps: usize,
    /// Outputs of the first dense layer.
    pub hidden: usize,
    /// Outputs of the second dense layer.
    pub classes: usize,
}

impl Shape {
    /// CryptoNets as Xiong et al. have it (Table 1): 28×28, five maps of 5×5 with stride 2 give
    /// 13×13×5 = 845, then 100, then 10. One row and column of zeros are needed for 13; with a
    /// padding of 1 on every side the last row and column are not reached.
    pub const fn cryptonets() -> Self {
        Self { height: 28, width: 28, kernel: 5, stride: 2, padding: 1, maps: 5, hidden: 100, classes: 10 }
    }

    /// Pixels of an image.
    pub const fn pixels(&self) -> usize {
        self.height.saturating_mul(self.width)
    }

    /// Rows and columns behind the convolution.
    pub const fn positions(&self) -> [usize; 2] {
        [self.along(self.height), self.along(self.width)]
    }

    const fn along(&self, side: usize) -> usize {
        let stride = if self.stride == 0 { 1 } else { self.stride };
        let room = side.saturating_add(self.padding.saturating_mul(2)).saturating_sub(self.kernel);
        (room / stride).saturating_add(1)
    }

    /// Values behind the convolution: maps × rows × columns.
    pub const fn features(&self) -> usize {
        let [rows, columns] = self.positions();
        self.maps.saturating_mul(rows).saturating_mul(columns)
    }

    /// Weights of the three layers.
    const fn weights(&self) -> [usize; 3] {
        [self.maps * self.kernel * self.kernel, self.hidden * self.features(), self.classes * self.hidden]
    }

    /// Outputs of the three layers, where each map of the convolution has one bias.
    const fn biases(&self) -> [usize; 3] {
        [self.maps, self.hidden, self.classes]
    }

    /// The taps of the kernel that lie inside the image at a position: place in the kernel, pixel.
    pub(crate) fn taps(&self, row: usize, column: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let inside = |at: usize, tap: usize, side: usize| {
            (at * self.stride + tap).checked_sub(self.padding).filter(|&place| place < side)
        };
        (0..self.kernel * self.kernel).filter_map(move |tap| {
            let y = inside(row, tap / self.kernel, self.height)?;
            let x = inside(column, tap % self.kernel, self.width)?;
            Some((tap, y * self.width + x))
        })
    }

    /// Checks that all sizes are within bounds and that the kernel fits.
    ///
    /// # Errors
    ///
    /// [`Error::Network`].
    pub fn check(&self) -> Result<()> {
        let within = |field, got: usize, max: usize| match (1..=max).contains(&got) {
            true => Ok(()),
            false => Err(network(field, format!("is {got}, expected 1 to {max}"))),
        };
        within("height", self.height, MAX_SIDE)?;
        within("width", self.width, MAX_SIDE)?;
        within("kernel", self.kernel, self.height.min(self.width))?;
        within("stride", self.stride, self.kernel)?;
        within("padding plus one", self.padding.saturating_add(1), self.kernel)?;
        within("maps", self.maps, MAX_UNITS)?;
        within("features", self.features(), MAX_UNITS)?;
        within("hidden", self.hidden, MAX_UNITS)?;
        within("classes", self.classes, MAX_UNITS)
    }
}

fn network(field: &'static str, problem: String) -> Error {
    Error::Network { field, problem }
}

/// A layer in integers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntegerLayer {
    /// Row after row: a row is a map (kernel × kernel) or an output (inputs, channels first).
    pub weights: Vec<i32>,
    /// One a row, in the units of the layer's outputs. Written as text in decimals, since they have
    /// more bits than a number in JSON.
    #[serde(with = "decimals")]
    pub biases: Vec<i128>,
}

/// A network in integers. Its output on integer pixels is exact, in the clear as under encryption.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntegerNetwork {
    /// The shape.
    pub shape: Shape,
    /// Pixels are 0 to this number.
    pub max_pixel: u8,
    /// Convolution, dense, dense.
    pub layers: [IntegerLayer; 3],
    /// An output is the float network's output times this number, but for rounding.
    pub scale: f64,
}

const LAYERS: [&str; 3] = ["convolution", "hidden", "output"];

impl IntegerNetwork {
    /// Checks every length and bound. A network that was read from a file is checked before use.
    ///
    /// # Errors
    ///
    /// [`Error::Network`].
    pub fn check(&self) -> Result<()> {
        self.shape.check()?;
        if self.max_pixel == 0 {
            return Err(network("max_pixel", "is 0, expected 1 to 255".into()));
        }
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return Err(network("scale", "is not a positive number".into()));
        }
        let sizes = self.shape.weights().into_iter().zip(self.shape.biases());
        for ((layer, field), (weights, biases)) in self.layers.iter().zip(LAYERS).zip(sizes) {
            if (layer.weights.len(), layer.biases.len()) != (weights, biases) {
                let got = (layer.weights.len(), layer.biases.len());
                return Err(network(
                    field,
                    format!("has {} weights and {} biases, expected {weights} and {biases}", got.0, got.1),
                ));
            }
            if layer.weights.iter().any(|w| w.unsigned_abs() > MAX_WEIGHT.unsigned_abs()) {
                return Err(network(field, format!("has a weight beyond ±{MAX_WEIGHT}")));
            }
            if layer.biases.iter().any(|b| b.unsigned_abs().checked_ilog2().is_some_and(|bits| bits >= MAX_BIAS_BITS)) {
                return Err(network(field, format!("has a bias beyond ±2^{MAX_BIAS_BITS}")));
            }
        }
        Ok(())
    }

    /// The outputs for one image of `height` × `width` pixels, and the values before each square:
    /// the reference that decrypted scores equal.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for a pixel above `max_pixel`, [`Error::Count`], [`Error::Overflow`],
    /// [`Error::Network`].
    pub fn evaluate(&self, pixels: &[u8]) -> Result<Activations> {
        self.check()?;
        self.trace(pixels)
    }

    /// The outputs for images that lie one after the other, on all cores: `classes` scores an image.
    ///
    /// # Errors
    ///
    /// As [`IntegerNetwork::evaluate`].
    pub fn evaluate_all(&self, pixels: &[u8]) -> Result<Vec<i128>> {
        self.check()?;
        check_whole(pixels, self.shape.pixels())?;
        let images = pixels.par_chunks_exact(self.shape.pixels());
        let rows = images.map(|image| Ok(self.trace(image)?.output)).collect::<Result<Vec<_>>>()?;
        Ok(rows.concat())
    }

    fn trace(&self, pixels: &[u8]) -> Result<Activations> {
        self.check_pixels(pixels)?;
        let convolution = self.convolution(pixels);
        let hidden = self.dense(1, &squares(&convolution, 0)?)?;
        let output = self.dense(2, &squares(&hidden, 1)?)?;
        Ok(Activations { convolution, hidden, output })
    }

    fn check_pixels(&self, pixels: &[u8]) -> Result<()> {
        if pixels.len() != self.shape.pixels() {
            let expected = self.shape.pixels().to_string();
            return Err(Error::Count { what: "pixels of an image", got: pixels.len(), expected });
        }
        match pixels.iter().position(|&pixel| pixel > self.max_pixel) {
            Some(index) => Err(Error::OutOfRange { index, min: 0, max: self.max_pixel.into() }),
            None => Ok(()),
        }
    }

    /// Channels first. At most 2¹⁴ products of a weight and a byte, and a bias, fit.
    fn convolution(&self, pixels: &[u8]) -> Vec<i128> {
        let layer = &self.layers[0];
        let [rows, columns] = self.shape.positions();
        let kernels = layer.weights.chunks_exact(self.shape.kernel * self.shape.kernel).zip(&layer.biases);
        let mut out = Vec::with_capacity(self.shape.features());
        for (kernel, bias) in kernels {
            for place in 0..rows * columns {
                let taps = self.shape.taps(place / columns, place % columns);
                let sum: i64 = taps.map(|(tap, pixel)| i64::from(kernel[tap]) * i64::from(pixels[pixel])).sum();
                out.push(i128::from(sum) + bias);
            }
        }
        out
    }

    fn dense(&self, index: usize, x: &[i128]) -> Result<Vec<i128>> {
        let layer = &self.layers[index];
        let overflow = Error::Overflow { layer: LAYERS[index] };
        if let Some(sums) = self.narrow(index, x) {
            let biased = sums.into_iter().zip(&layer.biases).map(|(sum, bias)| bias.checked_add(sum.into()));
            return biased.collect::<Option<_>>().ok_or(overflow);
        }
        let row = |(weights, &bias): (&[i32], &i128)| {
            let mut pairs = weights.iter().zip(x);
            pairs.try_fold(bias, |sum, (&w, &x)| sum.checked_add(i128::from(w).checked_mul(x)?))
        };
        layer.weights.chunks_exact(x.len()).zip(&layer.biases).map(row).collect::<Option<_>>().ok_or(overflow)
    }

    /// The sums without biases in 64 bits, several times as fast, where none can go beyond.
    fn narrow(&self, index: usize, x: &[i128]) -> Option<Vec<i64>> {
        let most = largest(x).checked_mul(self.heaviest(index).max(1).into())?;
        let x: Vec<i64> = x.iter().map(|&x| i64::try_from(x).ok()).collect::<Option<_>>()?;
        let row = |weights: &[i32]| weights.iter().zip(&x).map(|(&w, &x)| i64::from(w) * x).sum();
        (most < 1 << 63).then(|| self.layers[index].weights.chunks_exact(x.len()).map(row).collect())
    }

    /// The sum of absolute weights of the heaviest row of a layer.
    pub(crate) fn heaviest(&self, index: usize) -> u64 {
        let width = self.layers[index].weights.len() / self.layers[index].biases.len();
        let sums = self.layers[index].weights.chunks_exact(width);
        sums.map(|row| row.iter().map(|w| u64::from(w.unsigned_abs())).sum()).max().unwrap_or(0)
    }
}

/// Checks networks whose outputs are to be added, and gives the first.
pub(crate) fn check_alike(networks: &[IntegerNetwork]) -> Result<&IntegerNetwork> {
    let Some(first) = networks.first() else {
        return Err(Error::Count { what: "networks", got: 0, expected: "1 or more".into() });
    };
    for (index, other) in networks.iter().enumerate() {
        other.check()?;
        if (other.shape, other.max_pixel) != (first.shape, first.max_pixel) {
            let problem = format!("of network {index} is unlike that of the first");
            return Err(network("shape or max_pixel", problem));
        }
        if !same_scale(other.scale, first.scale) {
            return Err(Error::Scales { index, expected: first.scale, got: other.scale });
        }
    }
    Ok(first)
}

/// Text need not bring back the last bit of a scale.
pub(crate) fn same_scale(got: f64, expected: f64) -> bool {
    (got - expected).abs() <= 1e-9 * expected
}

fn squares(x: &[i128], layer: usize) -> Result<Vec<i128>> {
    x.iter().map(|x| x.checked_mul(*x).ok_or(Error::Overflow { layer: LAYERS[layer] })).collect()
}

/// What the layers of an [`IntegerNetwork`] give for one image, before any square.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activations {
    /// Behind the convolution, channels first.
    pub convolution: Vec<i128>,
    /// Behind the first dense layer.
    pub hidden: Vec<i128>,
    /// The scores.
    pub output: Vec<i128>,
}

/// A network in floats, for pixels from 0 to 1. Weights lie as in [`IntegerLayer`].
#[derive(Debug, Clone, Copy)]
pub struct FloatNetwork<'a> {
    /// Weights and biases of convolution, dense, dense.
    pub layers: [(&'a [f32], &'a [f32]); 3],
}

/// How finely a network is turned into integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Precision {
    /// Pixels become 0 to this number.
    pub max_pixel: u8,
    /// Largest absolute weight of each layer.
    pub max_weight: [u16; 3],
}

impl Default for Precision {
    /// Pixels 0 to 15, weights ±31.
    fn default() -> Self {
        Self { max_pixel: 15, max_weight: [31; 3] }
    }
}

/// Bytes of an image as the pixels of an [`IntegerNetwork`]: 0 to 255 become 0 to `max_pixel`.
///
/// A byte b becomes ⌊(b·`max_pixel` + 127)/255⌋, which is b·`max_pixel`/255 rounded to the nearest; since 255 is odd,
/// none lies halfway. Client and provider have to agree to the bit.
///
/// ```
/// assert_eq!(cleave_encrypted::levels(&[0, 8, 9, 128, 255], 15), [0, 0, 1, 8, 15]);
/// ```
pub fn levels(bytes: &[u8], max_pixel: u8) -> Vec<u8> {
    bytes.iter().map(|&byte| ((u16::from(byte) * u16::from(max_pixel) + 127) / 255) as u8).collect()
}

/// Turns networks of one shape into integers with one scale, so that their outputs can be added.
///
/// A weight is multiplied by `max_weight` over the largest absolute weight of that layer in any
/// of the networks, and rounded. A bias gets the scale of the layer's outputs; a square squares it.
///
/// # Errors
///
/// [`Error::Network`] for a wrong length, a number that is not finite, or a layer of zeros.
pub fn quantise(networks: &[FloatNetwork<'_>], shape: Shape, precision: Precision) -> Result<Vec<IntegerNetwork>> {
    shape.check()?;
    if networks.is_empty() || precision.max_pixel == 0 || precision.max_weight.contains(&0) {
        return Err(network("precision", "needs a network, and numbers above 0".into()));
    }
    let mut factors = [0.0; 3];
    for (index, factor) in factors.iter_mut().enumerate() {
        *factor = f64::from(precision.max_weight[index]) / largest_weight(networks, shape, index)?;
    }
    let first = f64::from(precision.max_pixel) * factors[0];
    let second = first * first * factors[1];
    let scales = [first, second, second * second * factors[2]];
    let one = |float: &FloatNetwork<'_>| {
        let layer = |index: usize| IntegerLayer {
            weights: float.layers[index].0.iter().map(|&w| (f64::from(w) * factors[index]).round() as i32).collect(),
            biases: float.layers[index].1.iter().map(|&b| (f64::from(b) * scales[index]).round() as i128).collect(),
        };
        let layers = [layer(0), layer(1), layer(2)];
        let network = IntegerNetwork { shape, max_pixel: precision.max_pixel, layers, scale: scales[2] };
        network.check().map(|()| network)
    };
    networks.iter().map(one).collect()
}

fn largest_weight(networks: &[FloatNetwork<'_>], shape: Shape, index: usize) -> Result<f64> {
    let mut largest = 0.0_f64;
    for (weights, biases) in networks.iter().map(|network| network.layers[index]) {
        if (weights.len(), biases.len()) != (shape.weights()[index], shape.biases()[index]) {
            return Err(network(LAYERS[index], format!("has {} weights and {} biases", weights.len(), biases.len())));
        }
        if weights.iter().chain(biases).any(|x| !x.is_finite()) {
            return Err(network(LAYERS[index], "has a number that is not finite".into()));
        }
        largest = weights.iter().fold(largest, |largest, &w| largest.max(f64::from(w).abs()));
    }
    match largest > 0.0 {
        true => Ok(largest),
        false => Err(network(LAYERS[index], "has only zeros".into())),
    }
}

/// The largest absolute values that images gave, over networks whose outputs are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ranges {
    /// Behind the convolution.
    pub convolution: u128,
    /// Behind the first dense layer.
    pub hidden: u128,
    /// Of a single network's scores.
    pub output: u128,
    /// Of the sum of all networks' scores: what the plaintext primes have to hold. What lies
    /// before may wrap around, as all layers are sums and products.
    pub sum: u128,
    /// Images seen.
    pub images: usize,
}

/// Measures [`Ranges`] on images of `height` × `width` pixels that lie one after the other, on all cores.
///
/// It says what these images gave. Another image can go beyond, and then its scores wrap around
/// and are wrong without a sign of it: leave a margin.
///
/// # Errors
///
/// As [`IntegerNetwork::evaluate`]; [`Error::Count`] if there is no whole image or no network.
pub fn ranges(networks: &[IntegerNetwork], pixels: &[u8]) -> Result<Ranges> {
    let Some(size) = networks.first().map(|network| network.shape.pixels()) else {
        return Err(Error::Count { what: "networks", got: 0, expected: "1 or more".into() });
    };
    networks.iter().try_for_each(IntegerNetwork::check)?;
    check_whole(pixels, size)?;
    pixels
        .par_chunks_exact(size)
        .map(|image| Ranges::of(networks, image))
        .try_reduce(Ranges::default, |a, b| Ok(a.merge(b)))
}

fn check_whole(pixels: &[u8], size: usize) -> Result<()> {
    match pixels.is_empty() || !pixels.len().is_multiple_of(size) {
        true => Err(Error::Count { what: "pixels", got: pixels.len(), expected: format!("a multiple of {size}") }),
        false => Ok(()),
    }
}

impl Ranges {
    /// Those of the images of both.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            convolution: self.convolution.max(other.convolution),
            hidden: self.hidden.max(other.hidden),
            output: self.output.max(other.output),
            sum: self.sum.max(other.sum),
            images: self.images + other.images,
        }
    }

    /// Those of one image.
    fn of(networks: &[IntegerNetwork], image: &[u8]) -> Result<Self> {
        let mut found = Self { images: 1, ..Self::default() };
        let mut sums: Vec<i128> = Vec::new();
        for network in networks {
            let values = network.trace(image)?;
            found.convolution = found.convolution.max(largest(&values.convolution));
            found.hidden = found.hidden.max(largest(&values.hidden));
            found.output = found.output.max(largest(&values.output));
            sums.resize(values.output.len(), 0);
            for (sum, x) in sums.iter_mut().zip(values.output) {
                *sum = sum.checked_add(x).ok_or(Error::Overflow { layer: LAYERS[2] })?;
            }
        }
        found.sum = largest(&sums);
        Ok(found)
    }
}

fn largest(x: &[i128]) -> u128 {
    x.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0)
}

mod decimals {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(numbers: &[i128], serializer: S) -> Result<S::Ok, S::Error> {
        numbers.iter().map(i128::to_string).collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i128>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}

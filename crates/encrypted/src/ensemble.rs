use std::{
    fmt,
    time::{Duration, Instant},
};

use fhe_math::rq::{Poly, Representation, traits::TryConvertFrom};
use rayon::prelude::*;

use crate::{
    EncryptedImages, EncryptedScores, Error, EvaluationKeys, IntegerNetwork, Params, Result, Shape,
    error::refused,
    keys::same_key,
    matrix::{Limbs, MAX_GAIN, TILE, Weights},
    network::check_alike,
    params::{Level, SQUARES},
};

/// Values of the convolution that are squared at a time. More take more memory.
const CHUNK: usize = 256;
/// Parts of a product of ciphertexts: constant, linear, quadratic in s.
const PARTS: usize = 3;

/// Networks of one shape and scale whose scores are added under encryption.
///
/// The average of Xiong et al. (Algorithm 1, line 4) is this sum divided by the number of
/// networks, which whoever decrypts does. It holds weights in the clear, and can serve any number of clients at once.
pub struct EncryptedEnsemble {
    params: Params,
    shape: Shape,
    max_pixel: u8,
    scale: f64,
    networks: Vec<Compiled>,
}

impl fmt::Debug for EncryptedEnsemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedEnsemble")
            .field("params", &self.params)
            .field("shape", &self.shape)
            .field("networks", &self.networks.len())
            .finish_non_exhaustive()
    }
}

/// A network laid out for the work on ciphertexts.
struct Compiled {
    positions: Vec<Position>,
    /// One a map.
    maps: Vec<i128>,
    dense: [Dense; SQUARES],
}

/// One place of the convolution: all maps of the pixels under the kernel.
struct Position {
    pixels: Vec<usize>,
    weights: Weights,
}

struct Dense {
    weights: Weights,
    biases: Vec<i128>,
}

/// A layer, as in Table 3 of Xiong et al.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The convolution, with the expansion of the halves of ciphertexts that do not travel.
    Convolution,
    /// The first square.
    FirstSquare,
    /// The first dense layer, with the rescaling and relinearisation that its square left to it.
    Hidden,
    /// The second square.
    SecondSquare,
    /// The second dense layer, likewise.
    Output,
}

/// A ciphertext of two parts, transformed: a row of residues a modulus each.
type Cipher = [Vec<u64>; 2];

impl EncryptedEnsemble {
    /// Lays out `networks`, whose outputs will be added.
    ///
    /// # Errors
    ///
    /// [`Error::Network`] for one that is not usable or unlike the first, [`Error::Scales`],
    /// [`Error::Weights`] if a row is too heavy for these parameters, [`Error::Count`] for none.
    pub fn new(params: &Params, networks: &[IntegerNetwork]) -> Result<Self> {
        let first = check_alike(networks)?;
        networks.iter().try_for_each(|network| check(params, network))?;
        let compiled = networks.iter().map(Compiled::new).collect();
        let (shape, max_pixel, scale) = (first.shape, first.max_pixel, first.scale);
        Ok(Self { params: params.clone(), shape, max_pixel, scale, networks: compiled })
    }

    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The shape of the networks.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Pixels are 0 to this number. A provider cannot see whether a client keeps to it.
    pub fn max_pixel(&self) -> u8 {
        self.max_pixel
    }

    /// What the sum of scores is divided by, and by the number of networks, to give float scores.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Bytes of memory that one evaluation takes, with the batch itself: what a service compares with its
    /// limit. The peak of the benchmark's whole process, less its pixels, lay within 5 % below.
    pub fn memory_bytes(&self) -> usize {
        let (n, level) = (self.params.degree(), self.params.level(0));
        let [narrow, wide] = [&level.ring, &level.wide].map(|ring| ring.moduli().len() * n * 8);
        let chunk = CHUNK.min(self.shape.features()) + self.shape.maps;
        let lanes = self.params.lanes().len();
        let batch = (lanes + 1) * self.shape.pixels() * narrow;
        let threads = rayon::current_num_threads() * 8 * wide;
        batch + chunk * 2 * (narrow + wide) + self.shape.hidden * (PARTS * wide + 2 * narrow) + threads
    }

    /// The scores of all images, summed over the networks.
    ///
    /// # Errors
    ///
    /// [`Error::OtherParams`], [`Error::OtherKey`], [`Error::Count`].
    pub fn evaluate(&self, keys: &EvaluationKeys, images: &EncryptedImages) -> Result<EncryptedScores> {
        self.evaluate_watched(keys, images, |_, _| {})
    }

    /// Calls `watch` after each piece of work with how long it took.
    ///
    /// # Errors
    ///
    /// As [`EncryptedEnsemble::evaluate`].
    pub fn evaluate_watched(
        &self,
        keys: &EvaluationKeys,
        images: &EncryptedImages,
        mut watch: impl FnMut(Stage, Duration),
    ) -> Result<EncryptedScores> {
        self.params.check_same(keys.params().hash(), "evaluation keys")?;
        self.params.check_same(images.params().hash(), "encrypted images")?;
        same_key("encrypted images", keys.id(), images.key())?;
        if images.items() != self.shape.pixels() {
            let expected = self.shape.pixels().to_string();
            return Err(Error::Count { what: "values of an image", got: images.items(), expected });
        }
        let mut total: Option<EncryptedScores> = None;
        for network in &self.networks {
            let scores = self.one(network, keys, images, &mut watch)?;
            match &mut total {
                Some(total) => total.add(&scores)?,
                None => total = Some(scores),
            }
        }
        total.ok_or(Error::Count { what: "networks", got: 0, expected: "1 or more".into() })
    }

    fn one(
        &self,
        network: &Compiled,
        keys: &EvaluationKeys,
        images: &EncryptedImages,
        watch: &mut impl FnMut(Stage, Duration),
    ) -> Result<EncryptedScores> {
        let mut lanes = Vec::new();
        for lane in 0..self.params.lanes().len() {
            let expanded = timed(watch, Stage::Convolution, || images.expanded(lane));
            let input = Input { constant: images.lane(lane), linear: &expanded };
            let run = Run { params: &self.params, keys, lane };
            lanes.push(run.network(network, &input, watch)?);
        }
        Ok(EncryptedScores {
            params: self.params.clone(),
            key: images.key(),
            batch: images.batch(),
            images: images.images(),
            networks: 1,
            lanes,
        })
    }
}

fn check(params: &Params, network: &IntegerNetwork) -> Result<()> {
    let gains = [MAX_GAIN, params.level(0).gain, params.level(1).gain];
    for ((index, layer), limit) in ["convolution", "hidden", "output"].into_iter().enumerate().zip(gains) {
        let got = network.heaviest(index);
        if got > limit.min(MAX_GAIN) {
            return Err(Error::Weights { layer, got, limit: limit.min(MAX_GAIN) });
        }
    }
    Ok(())
}

impl Compiled {
    fn new(network: &IntegerNetwork) -> Self {
        let shape = &network.shape;
        let [convolution, hidden, output] = &network.layers;
        let [rows, columns] = shape.positions();
        let (places, taps) = (rows * columns, shape.kernel * shape.kernel);
        let position = |place: usize| {
            let (kernel, pixels): (Vec<_>, Vec<_>) = shape.taps(place / columns, place % columns).unzip();
            let weight = |map: usize, k: usize| convolution.weights[map * taps + kernel[k]];
            Position { weights: Weights::new(shape.maps, pixels.len(), weight), pixels }
        };
        // Ciphertexts go position by position; the weights are channels first.
        let features = shape.features();
        let feature = |k: usize| k % shape.maps * places + k / shape.maps;
        let first = Weights::new(shape.hidden, features, |row, k| hidden.weights[row * features + feature(k)]);
        let second = Weights::new(shape.classes, shape.hidden, |row, k| output.weights[row * shape.hidden + k]);
        Self {
            positions: (0..places).map(position).collect(),
            maps: convolution.biases.clone(),
            dense: [
                Dense { weights: first, biases: hidden.biases.clone() },
                Dense { weights: second, biases: output.biases.clone() },
            ],
        }
    }
}

fn timed<T>(watch: &mut impl FnMut(Stage, Duration), stage: Stage, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let out = work();
    watch(stage, start.elapsed());
    out
}

/// The ciphertexts of one lane, by part.
struct Input<'a> {
    constant: &'a [Vec<u64>],
    linear: &'a [Vec<u64>],
}

/// One network at work on one lane.
#[derive(Clone, Copy)]
struct Run<'a> {
    params: &'a Params,
    keys: &'a EvaluationKeys,
    lane: usize,
}

impl Run<'_> {
    /// Convolution and first square go chunk by chunk, and what a chunk gives is added to the sums of the
    /// first dense layer at once: its 845 squares are never in memory together.
    fn network(
        self,
        network: &Compiled,
        input: &Input<'_>,
        watch: &mut impl FnMut(Stage, Duration),
    ) -> Result<Vec<Cipher>> {
        let [hidden, output] = &network.dense;
        let mut sums = Sums::new(self.params, 0, &hidden.weights);
        let mut first = 0;
        for positions in network.positions.chunks(CHUNK.div_ceil(network.maps.len())) {
            let values = timed(watch, Stage::Convolution, || self.convolution(positions, &network.maps, input));
            let wide = timed(watch, Stage::FirstSquare, || self.lift(0, &values))?;
            timed(watch, Stage::Hidden, || sums.add(&hidden.weights, first, &wide));
            first += values.len();
        }
        let values = timed(watch, Stage::Hidden, || self.rescale(0, &sums, &hidden.biases))?;
        let wide = timed(watch, Stage::SecondSquare, || self.lift(1, &values))?;
        timed(watch, Stage::Output, || {
            let mut sums = Sums::new(self.params, 1, &output.weights);
            sums.add(&output.weights, 0, &wide);
            self.rescale(1, &sums, &output.biases)
        })
    }

    fn convolution(&self, positions: &[Position], biases: &[i128], input: &Input<'_>) -> Vec<Cipher> {
        let one = |position: &Position| {
            let mut out = vec![[Vec::new(), Vec::new()]; biases.len()];
            for (part, source) in [input.constant, input.linear].into_iter().enumerate() {
                self.position(position, source, &mut out, part);
            }
            self.add_constants(0, &mut out, biases);
            out
        };
        positions.par_iter().flat_map_iter(one).collect()
    }

    fn position(&self, position: &Position, source: &[Vec<u64>], out: &mut [Cipher], part: usize) {
        let (n, depth) = (self.params.degree(), position.pixels.len());
        let mut x = Limbs::new(depth);
        let mut products = Limbs::new(position.weights.rows());
        for (index, modulus) in self.params.q(0).iter().enumerate() {
            for place in (index * n..(index + 1) * n).step_by(TILE) {
                for (row, &pixel) in position.pixels.iter().enumerate() {
                    x.set(row, source[pixel][place..place + TILE].iter().copied());
                }
                position.weights.multiply(0..depth, &x, &mut products);
                for (row, out) in out.iter_mut().enumerate() {
                    out[part].extend(products.residues(row, modulus));
                }
            }
        }
    }

    /// Adds to each ciphertext a constant in all slots: a constant polynomial, which the transform
    /// leaves as it is.
    fn add_constants(&self, level: usize, ciphers: &mut [Cipher], constants: &[i128]) {
        for ([constant, _], &value) in ciphers.iter_mut().zip(constants) {
            add_constant(self.params, level, self.lane, constant, value);
        }
    }

    /// Ciphertexts in the wide ring, in which their products are exact.
    fn lift(&self, level: usize, ciphers: &[Cipher]) -> Result<Vec<Cipher>> {
        let level = self.params.level(level);
        let lift = |part: &Vec<u64>| -> Result<Vec<u64>> {
            let poly = Poly::try_convert_from(part.as_slice(), &level.ring, true, Representation::Ntt);
            Ok(Vec::from(&poly.and_then(|poly| poly.scale(&level.lift)).map_err(refused)?))
        };
        ciphers.par_iter().map(|[constant, linear]| Ok([lift(constant)?, lift(linear)?])).collect()
    }

    /// Divides the sums by Q/t, relinearises, drops a modulus and adds the biases.
    fn rescale(&self, level: usize, sums: &Sums<'_>, biases: &[i128]) -> Result<Vec<Cipher>> {
        let one = |(row, &bias): (usize, &i128)| {
            let part = |part| self.scaled(level, sums.gather(row, part));
            let [constant, linear, quadratic] = [part(0)?, part(1)?, part(2)?];
            let [mut first, second] = self.keys.relinearise(level, &Vec::from(&quadratic));
            add_constant(self.params, level, self.lane, &mut first, bias);
            Ok([self.switched(level, constant, first)?, self.switched(level, linear, second)?])
        };
        biases.par_iter().enumerate().map(one).collect()
    }

    /// t/Q times a polynomial of the wide ring, rounded, in coefficients.
    fn scaled(&self, level: usize, wide: Vec<u64>) -> Result<Poly> {
        let level = self.params.level(level);
        let mut poly = Poly::try_convert_from(wide, &level.wide, true, Representation::Ntt).map_err(refused)?;
        poly.change_representation(Representation::PowerBasis);
        poly.scale(&level.scale[self.lane]).map_err(refused)
    }

    /// The sum of a polynomial in coefficients and a transformed one, with one modulus less.
    fn switched(&self, level: usize, mut poly: Poly, transformed: Vec<u64>) -> Result<Vec<u64>> {
        let ring = &self.params.level(level).ring;
        let mut other = Poly::try_convert_from(transformed, ring, true, Representation::Ntt).map_err(refused)?;
        other.change_representation(Representation::PowerBasis);
        poly += &other;
        poly.switch_down().map_err(refused)?;
        poly.change_representation(Representation::Ntt);
        Ok(Vec::from(&poly))
    }
}

fn add_constant(params: &Params, level: usize, lane: usize, residues: &mut [u64], value: i128) {
    let delta = &params.level(level).deltas[lane];
    for (index, (q, row)) in params.q(level).iter().zip(residues.chunks_exact_mut(params.degree())).enumerate() {
        let constant = delta.scale_signed(q, index, value);
        row.iter_mut().for_each(|x| *x = q.add(*x, constant));
    }
}

/// Sums of weighted products of ciphertexts, in the wide ring.
///
/// A product has parts c₀², 2·c₀c₁ and c₁². Its rescaling by t/Q (Fan and Vercauteren, 2012, section 4) and
/// relinearisation are left until the products are summed up, so that 845 squares that
/// feed 100 outputs take 100 of each. The sum is exact in the wide ring; it is rounded once.
struct Sums<'a> {
    level: &'a Level,
    degree: usize,
    rows: usize,
    /// By modulus and tile: parts × rows × columns of the tile.
    tiles: Vec<u64>,
}

impl<'a> Sums<'a> {
    fn new(params: &'a Params, level: usize, weights: &Weights) -> Self {
        let (level, degree, rows) = (params.level(level), params.degree(), weights.rows());
        let tiles = vec![0; level.wide.moduli().len() * degree * PARTS * rows];
        Self { level, degree, rows, tiles }
    }

    /// Adds the products of `weights`, from column `first` on, with the squares of `ciphers`.
    fn add(&mut self, weights: &Weights, first: usize, ciphers: &[Cipher]) {
        let (columns, rows) = (first..first + ciphers.len(), self.rows);
        let tiles_a_row = self.degree / TILE;
        let moduli = self.level.wide.moduli_operators();
        let work = |(index, tile): (usize, &mut [u64])| {
            let (modulus, place) = (&moduli[index / tiles_a_row], index * TILE..(index + 1) * TILE);
            let mut x = Limbs::new(ciphers.len());
            let mut products = Limbs::new(rows);
            for (part, sums) in tile.chunks_exact_mut(rows * TILE).enumerate() {
                for (row, [constant, linear]) in ciphers.iter().enumerate() {
                    let [left, right] = [[constant, constant], [constant, linear], [linear, linear]][part];
                    let pairs = left[place.clone()].iter().zip(&right[place.clone()]);
                    x.set(row, pairs.map(|(a, b)| modulus.mul(*a, *b)));
                }
                weights.multiply(columns.clone(), &x, &mut products);
                for (row, sums) in sums.chunks_exact_mut(TILE).enumerate() {
                    sums.iter_mut()
                        .zip(products.residues(row, modulus))
                        .for_each(|(sum, x)| *sum = modulus.add(*sum, x));
                }
            }
        };
        self.tiles.par_chunks_exact_mut(PARTS * rows * TILE).enumerate().for_each(work);
    }

    /// A part of a row's sum, with the 2 of 2·c₀c₁: a row of residues a modulus of the wide ring.
    fn gather(&self, row: usize, part: usize) -> Vec<u64> {
        let tiles_a_row = self.degree / TILE;
        let tiles = self.tiles.chunks_exact(PARTS * self.rows * TILE).enumerate();
        let place = (part * self.rows + row) * TILE;
        let mut out = Vec::with_capacity(self.tiles.len() / (PARTS * self.rows));
        for (index, tile) in tiles {
            let modulus = &self.level.wide.moduli_operators()[index / tiles_a_row];
            let tile = &tile[place..place + TILE];
            match part {
                1 => out.extend(tile.iter().map(|&x| modulus.add(x, x))),
                _ => out.extend(tile),
            }
        }
        out
    }
}

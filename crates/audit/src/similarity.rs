//! How near one image is to another.

use crate::estimate::Better;
use crate::pixels::{Lot, PixelScale, to_host};
use crate::{Error, Estimate, Scores, Share};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, TensorData, module};
use cleave_data::Preparation;
use cleave_nets::{Layer, Network, Pass, argmax};
use cleave_retrain::{SignalSource, unmask};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Side of the window that SSIM is computed in, and its Gaussian weight's deviation, in pixels (Wang et al. 2004).
const WINDOW: usize = 11;
const DEVIATION: f32 = 1.5;
/// K₁ and K₂ of the same paper, squared, for pixels of 0 to 1.
const C1: f32 = 0.01 * 0.01;
const C2: f32 = 0.03 * 0.03;
/// Images that the judge looks at together.
const CHUNK: usize = 64;

/// Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004) of each image: mean over all channels and over all
/// windows of 11x11 pixels that lie inside. Images smaller than that get a window of their own size.
///
/// # Shapes
/// `a`, `b`: `[batch, channels, height, width]`, pixels of 0 to 1; the result: `[batch]`.
pub(crate) fn ssim(a: Tensor<4>, b: Tensor<4>) -> Tensor<1> {
    let [_, _, height, width] = a.dims();
    let blur = Blur::new(WINDOW.min(height), WINDOW.min(width), &a);
    let (mean_a, mean_b) = (blur.apply(a.clone()), blur.apply(b.clone()));
    let (squares, product) = (mean_a.clone().powi_scalar(2) + mean_b.clone().powi_scalar(2), mean_a * mean_b);
    let energy = blur.apply(a.clone().powi_scalar(2) + b.clone().powi_scalar(2)) - squares.clone();
    let covariance = blur.apply(a * b) - product.clone();
    let luminance = (product * 2.0 + C1) / (squares + C1);
    let structure = (covariance * 2.0 + C2) / (energy + C2);
    mean_of_each(luminance * structure)
}

/// A Gaussian window, applied to rows and then to columns.
struct Blur {
    rows: Tensor<4>,
    columns: Tensor<4>,
}

impl Blur {
    fn new(height: usize, width: usize, like: &Tensor<4>) -> Self {
        let kernel =
            |size: usize, shape: [usize; 4]| Tensor::from_data(TensorData::new(gaussian(size), shape), &like.device());
        Self { rows: kernel(height, [1, 1, height, 1]), columns: kernel(width, [1, 1, 1, width]) }
    }

    fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let options = || ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
        let x = x.reshape([batch * channels, 1, height, width]); // each channel on its own
        let x = module::conv2d(x, self.rows.clone(), None, options());
        let x = module::conv2d(x, self.columns.clone(), None, options());
        let [_, _, height, width] = x.dims();
        x.reshape([batch, channels, height, width])
    }
}

fn gaussian(size: usize) -> Vec<f32> {
    let middle = (size as f32 - 1.0) / 2.0;
    let weights: Vec<f32> = (0..size).map(|at| (-((at as f32 - middle) / DEVIATION).powi(2) / 2.0).exp()).collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// Total variation of each image, a pixel: the mean length of the difference to the right and lower neighbour,
/// rounded off at 0 so that it has a slope everywhere.
///
/// # Shapes
/// `x`: `[batch, channels, height, width]`; the result: `[batch]`.
pub(crate) fn total_variation(x: Tensor<4>) -> Tensor<1> {
    const ROUND: f32 = 1e-6;
    let [_, _, height, width] = x.dims();
    if height < 2 || width < 2 {
        return mean_of_each(x.zeros_like());
    }
    let here = x.clone().slice([0..x.dims()[0], 0..x.dims()[1], 0..height - 1, 0..width - 1]);
    let right = x.clone().slice([0..x.dims()[0], 0..x.dims()[1], 0..height - 1, 1..width]);
    let below = x.clone().slice([0..x.dims()[0], 0..x.dims()[1], 1..height, 0..width - 1]);
    let squares = (right - here.clone()).powi_scalar(2) + (below - here).powi_scalar(2);
    mean_of_each((squares + ROUND).sqrt())
}

/// Mean over all but the first dimension.
pub(crate) fn mean_of_each(x: Tensor<4>) -> Tensor<1> {
    x.flatten::<2>(1, 3).mean_dim(1).flatten(0, 1)
}

/// The network that says whether a reconstruction still shows its class, and whose features are compared.
///
/// The perceptual distance is that of Zhang et al. (2018) without its learned weights: behind each layer that has
/// height and width the features of a position are made a unit vector, and the squared differences are averaged over
/// positions and then over layers.
pub struct Judge {
    network: Network,
    source: Option<SignalSource>,
    scale: PixelScale,
    /// Ends of the layers whose features are compared.
    depths: Vec<usize>,
}

impl Judge {
    /// A network that answers in true labels, or one with a signal, which is then held at 0 and unmasked.
    ///
    /// # Errors
    /// [`Error::Network`] for an architecture at odds with itself.
    pub fn new(network: Network, source: Option<SignalSource>, preparation: &Preparation) -> Result<Self, Error> {
        let architecture = network.architecture();
        let shapes = architecture.shapes()?;
        let spatial = |end: &usize| shapes[*end].height > 1 && shapes[*end].width > 1;
        let before_flatten = |end: usize| match architecture.layers[..end].iter().rposition(|l| *l == Layer::Flatten) {
            Some(flatten) => flatten,
            None => end,
        };
        let ends = architecture.numbered_layers().into_iter().map(|layer| before_flatten(layer.range.end));
        let mut depths: Vec<usize> = ends.filter(spatial).collect();
        depths.dedup();
        Ok(Self { network, source, scale: PixelScale::of(preparation), depths })
    }

    /// The label of each image.
    pub(crate) fn labels(&self, pixels: Tensor<4>) -> Result<Vec<usize>, Error> {
        let signal = self.signal(pixels.dims()[0])?;
        let scores = self.network.forward(self.scale.prepared(pixels), Pass { signal, ..Pass::default() })?;
        let scores = to_host(scores)?;
        let spec = self.source.as_ref().map(SignalSource::spec);
        let label = |row: &[f32]| {
            let masked = argmax(row);
            spec.map_or(masked, |spec| unmask(spec.kind, spec.classes, masked, 0))
        };
        Ok(scores.chunks(self.network.output().values()).map(label).collect())
    }

    /// Share of images that it labels right.
    pub(crate) fn accuracy(&self, lot: &Lot, scale: &PixelScale) -> Result<Share, Error> {
        let mut right = 0;
        for chunk in lot.chunks(CHUNK) {
            let labels = self.labels(scale.pixels(chunk.prepared.clone()))?;
            right += labels.iter().zip(&chunk.labels).filter(|(a, b)| a == b).count();
        }
        Ok(Share::of(right, lot.len()))
    }

    /// SHA-256 over its tensors, in hexadecimal.
    pub(crate) fn hash(&self) -> Result<String, Error> {
        Ok(cleave_partition::tensor_hash(&self.network)?)
    }

    /// Classes that it tells apart.
    pub(crate) fn classes(&self) -> usize {
        self.network.output().values()
    }

    /// The perceptual distance of each pair of images, `[batch]`.
    fn distance(&self, a: Tensor<4>, b: Tensor<4>) -> Result<Vec<f64>, Error> {
        let images = a.dims()[0];
        let both = self.scale.prepared(Tensor::cat(vec![a, b], 0));
        let mut sums = vec![0.0; images];
        for &depth in &self.depths {
            let features = self.features(both.clone(), depth)?;
            let size = features.clone().powi_scalar(2).sum_dim(1).sqrt() + 1e-8;
            let unit = features / size;
            let (a, b) = (unit.clone().slice(0..images), unit.slice(images..2 * images));
            let apart = to_host((a - b).powi_scalar(2).sum_dim(1).flatten::<2>(1, 3).mean_dim(1))?;
            sums.iter_mut().zip(apart).for_each(|(sum, apart)| *sum += f64::from(apart));
        }
        Ok(sums.into_iter().map(|sum| sum / self.depths.len().max(1) as f64).collect())
    }

    fn features(&self, prepared: Tensor<4>, depth: usize) -> Result<Tensor<4>, Error> {
        let front = self.network.slice(0..depth)?;
        let signal = if front.signal_shape().is_some() { self.signal(prepared.dims()[0])? } else { None };
        Ok(front.forward(prepared, Pass { signal, ..Pass::default() })?)
    }

    /// The channel of signal 0, always drawn alike.
    fn signal(&self, images: usize) -> Result<Option<Tensor<4>>, Error> {
        let (Some(source), Some(shape)) = (&self.source, self.network.signal_shape()) else { return Ok(None) };
        let plane = source.planes(&[0], &mut ChaCha8Rng::seed_from_u64(0))?;
        let plane = TensorData::new(plane, [1, 1, shape.height, shape.width]);
        Ok(Some(Tensor::from_data(plane, self.network.device()).repeat_dim(0, images)))
    }

    /// How near `reconstructed` comes to `truth`, and how much nearer than the mean image `[1, channels, height,
    /// width]`; pixels of 0 to 1.
    pub(crate) fn scores(
        &self,
        truth: Tensor<4>,
        reconstructed: Tensor<4>,
        mean_image: &Tensor<4>,
        labels: &[usize],
        seed: u64,
    ) -> Result<Scores, Error> {
        let mut found = Found::default();
        for from in (0..labels.len()).step_by(CHUNK) {
            let to = (from + CHUNK).min(labels.len());
            let (a, b) = (truth.clone().slice(from..to), reconstructed.clone().slice(from..to).clamp(0.0, 1.0));
            found.add(self, a, b, mean_image.clone().repeat_dim(0, to - from), &labels[from..to])?;
        }
        Ok(found.scores(labels.len(), seed))
    }
}

/// One value an image of each measure.
#[derive(Default)]
struct Found {
    mse: Vec<f64>,
    ssim: Vec<f64>,
    mean_image_mse: f64,
    ssim_lead: Vec<f64>,
    perceptual: Vec<f64>,
    recognised: usize,
}

impl Found {
    fn add(
        &mut self,
        judge: &Judge,
        a: Tensor<4>,
        b: Tensor<4>,
        mean_image: Tensor<4>,
        labels: &[usize],
    ) -> Result<(), Error> {
        let host = |values: Tensor<1>| Ok::<_, Error>(to_host(values)?.into_iter().map(f64::from));
        let squared = |b: &Tensor<4>| host(mean_of_each((a.clone() - b.clone()).powi_scalar(2)));
        self.mse.extend(squared(&b)?);
        self.mean_image_mse += squared(&mean_image)?.sum::<f64>();
        let likeness: Vec<f64> = host(ssim(a.clone(), b.clone()))?.collect();
        let blind = host(ssim(a.clone(), mean_image))?;
        self.ssim_lead.extend(likeness.iter().zip(blind).map(|(likeness, blind)| likeness - blind));
        self.ssim.extend(likeness);
        self.recognised += judge.labels(b.clone())?.iter().zip(labels).filter(|(a, b)| a == b).count();
        self.perceptual.extend(judge.distance(a, b)?);
        Ok(())
    }

    fn scores(&self, images: usize, seed: u64) -> Scores {
        let psnr: Vec<f64> = self.mse.iter().map(|&mse| decibel(mse)).collect();
        Scores {
            mse: Estimate::of(&self.mse, Better::Lower, seed),
            psnr: Estimate::of(&psnr, Better::Higher, seed),
            ssim: Estimate::of(&self.ssim, Better::Higher, seed),
            ssim_lead: Some(Estimate::of(&self.ssim_lead, Better::Higher, seed)),
            explained: (self.mean_image_mse > 0.0).then(|| 1.0 - self.mse.iter().sum::<f64>() / self.mean_image_mse),
            perceptual: Estimate::of(&self.perceptual, Better::Lower, seed),
            recognised: Share::of(self.recognised, images),
        }
    }
}

/// Peak signal-to-noise ratio of a mean squared error, pixels of 0 to 1; at most 100 dB, beyond what f32 holds.
fn decibel(mse: f64) -> f64 {
    (-10.0 * mse.log10()).min(100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    fn noise(shape: [usize; 4], seed: u64) -> Tensor<4> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random()).collect();
        Tensor::from_data(TensorData::new(values, shape), &cleave_nets::device("flex").unwrap())
    }

    /// The formula of the paper at one window, in f64.
    fn ssim_by_hand(a: &[f64], b: &[f64], weights: &[f64]) -> f64 {
        let mean = |x: &[f64]| x.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>();
        let (ma, mb) = (mean(a), mean(b));
        let moment = |x: &[f64], mx: f64, y: &[f64], my: f64| {
            x.iter().zip(y).zip(weights).map(|((x, y), w)| w * (x - mx) * (y - my)).sum::<f64>()
        };
        let (va, vb, cov) = (moment(a, ma, a, ma), moment(b, mb, b, mb), moment(a, ma, b, mb));
        let (c1, c2) = (f64::from(C1), f64::from(C2));
        (2.0 * ma * mb + c1) * (2.0 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    }

    #[test]
    fn ssim_is_the_papers_formula() {
        let (a, b) = (noise([1, 1, 11, 11], 1), noise([1, 1, 11, 11], 2));
        let window = gaussian(11);
        let weights: Vec<f64> =
            window.iter().flat_map(|&r| window.iter().map(move |&c| f64::from(r) * f64::from(c))).collect();
        let values = |t: &Tensor<4>| to_host(t.clone()).unwrap().into_iter().map(f64::from).collect::<Vec<_>>();
        let expected = ssim_by_hand(&values(&a), &values(&b), &weights);
        let got = f64::from(to_host(ssim(a.clone(), b)).unwrap()[0]);
        assert!((got - expected).abs() < 1e-5, "{got} against {expected}");
        assert!((to_host(ssim(a.clone(), a)).unwrap()[0] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn images_are_scored_one_by_one() {
        let (a, b) = (noise([1, 3, 20, 24], 3), noise([1, 3, 20, 24], 4));
        let pair =
            to_host(ssim(Tensor::cat(vec![a.clone(), a.clone()], 0), Tensor::cat(vec![a.clone(), b], 0))).unwrap();
        assert!((pair[0] - 1.0).abs() < 1e-6 && pair[1] < 0.2, "{pair:?}");
        assert!((decibel(0.01) - 20.0).abs() < 1e-12 && decibel(0.0) == 100.0);
    }

    /// An image like the mean image, where the attack fails, does not hide one that it gets back.
    #[test]
    fn leads_over_the_mean_image_are_counted_image_by_image() {
        let layers = vec![Layer::Flatten, Layer::Linear { features: 2 }];
        let architecture = cleave_nets::Architecture::new(cleave_nets::Shape::new(3, 16, 16), layers).unwrap();
        let network = Network::random(architecture, 1, &cleave_nets::device("flex").unwrap()).unwrap();
        let judge = Judge::new(network, None, &Preparation::new(16, 16, 3)).unwrap();
        let (mean, rough) = (noise([1, 3, 16, 16], 1) * 0.0 + 0.5, noise([1, 3, 16, 16], 2));
        let truth = Tensor::cat(vec![mean.clone(), rough.clone()], 0);
        let guess = Tensor::cat(vec![noise([1, 3, 16, 16], 3), rough.clone()], 0);
        let scores = judge.scores(truth.clone(), guess, &mean, &[0, 1], 1).unwrap();
        let lead = scores.ssim_lead.unwrap();
        assert!(lead.worst > 0.9 && lead.mean < 0.3, "{lead:?}");
        let blind = judge.scores(truth.clone(), mean.clone().repeat_dim(0, 2), &mean, &[0, 1], 1).unwrap();
        assert!(blind.ssim_lead.unwrap().worst.abs() < 1e-6 && blind.explained.unwrap().abs() < 1e-6, "{blind:?}");
        let exact = judge.scores(truth.clone(), truth, &mean, &[0, 1], 1).unwrap();
        assert_eq!(exact.explained, Some(1.0));
        let nothing_to_explain = judge.scores(mean.clone(), mean.clone(), &mean, &[0], 1).unwrap();
        assert_eq!(nothing_to_explain.explained, None);
    }

    #[test]
    fn a_flat_image_has_no_variation_and_stripes_have_much() {
        let flat = to_host(total_variation(noise([1, 1, 4, 4], 1) * 0.0 + 0.5)).unwrap()[0];
        let rough = to_host(total_variation(noise([1, 1, 32, 32], 1))).unwrap()[0];
        assert!(flat < 0.01 && rough > 0.3, "{flat} {rough}");
    }
}

//! Where networks look (Fig. 2 of the paper).

use super::trace::trace;
use super::{Field, Saliency, SaliencyColumn, SaliencyKind, SaliencyOf};
use crate::Error;
use crate::baseline::to_pngs;
use crate::pixels::{Lot, PixelScale, to_host};
use burn::tensor::{Tensor, TensorData};
use cleave_nets::{Layer, Network, Pass, Shape};

/// Share of a map in the picture of it; the rest is the image.
const INK: f32 = 0.65;

/// Maps of several networks on the first test images; the first network is what the others are compared with.
pub(super) fn saliency(field: &Field<'_>, networks: &[(SaliencyOf, &Network)]) -> Result<Option<Saliency>, Error> {
    let count = field.settings.pictures.min(field.test.len());
    let Some((_, first)) = networks.first().filter(|_| count > 0) else { return Ok(None) };
    let images = field.test.part(0, count);
    let kind = match pooled_last(first) {
        true => SaliencyKind::ClassActivation,
        false => SaliencyKind::InputGradient,
    };
    let of = |network: &Network| match kind {
        SaliencyKind::ClassActivation => activation_maps(network, &images),
        SaliencyKind::InputGradient => gradient_maps(network, &images),
    };
    let (scale, reference) = (PixelScale::of(field.own.preparation()), of(first)?);
    let pixels = scale.pixels(images.prepared.clone());
    let column = |(name, network): &(SaliencyOf, &Network)| {
        let maps = of(network)?;
        let likeness = maps.iter().zip(&reference).map(|(a, b)| correlation(a, b)).sum::<f64>() / count as f64;
        Ok(SaliencyColumn { of: *name, likeness, pictures: to_pngs(painted(&pixels, &maps)?, count)? })
    };
    let columns = networks.iter().map(column).collect::<Result<_, Error>>()?;
    Ok(Some(Saliency { kind, originals: to_pngs(pixels.clone(), count)?, columns }))
}

/// Positions of a class activation map that show something: VGG has one left of 32 pixels, which is a map of nothing.
const POSITIONS: usize = 16;

/// Whether a network ends in a mean over so many positions and one linear layer.
fn pooled_last(network: &Network) -> bool {
    let Ok(shapes) = network.architecture().shapes() else { return false };
    let mut layers = network.architecture().layers.iter().zip(&shapes).rev();
    let passes = |(layer, _): &(&Layer, &Shape)| !matches!(layer, Layer::Dropout { .. } | Layer::Flatten);
    let last = layers.next().map(|(layer, _)| layer);
    let entered = layers.find(passes).filter(|(layer, _)| matches!(layer, Layer::GlobalAvgPool));
    matches!(last, Some(Layer::Linear { .. }))
        && entered.is_some_and(|(_, shape)| shape.height * shape.width >= POSITIONS)
}

/// What enters the mean, weighed by the class's weights; enlarged to the image by repetition.
fn activation_maps(network: &Network, images: &Lot) -> Result<Vec<Vec<f32>>, Error> {
    let mut entered = None;
    trace(network, images.prepared.clone(), &mut |path, layer, input, _| {
        if matches!(layer, Layer::GlobalAvgPool) && !path.contains('.') {
            entered = Some(input.clone());
        }
        Ok(())
    })?;
    let last = format!("{}.weight", network.architecture().layers.len() - 1);
    let (Some(entered), Some(weights)) = (entered, network.tensors()?.remove(&last)) else {
        return Ok(Vec::new());
    };
    let [_, channels, rows, columns] = entered.dims();
    let (values, input) = (to_host(entered)?, network.input());
    let map = |(image, &label): (&[f32], &usize)| {
        let at = |row: usize, column: usize| -> f32 {
            let place = (row * rows / input.height) * columns + column * columns / input.width;
            (0..channels).map(|c| weights.values[label * channels + c] * image[c * rows * columns + place]).sum()
        };
        let value = |place: usize| at(place / input.width, place % input.width);
        (0..input.height * input.width).map(value).collect()
    };
    Ok(values.chunks(channels * rows * columns).zip(&images.labels).map(map).collect())
}

/// The absolute derivatives of the class's score, summed over colours and smoothed over neighbours.
fn gradient_maps(network: &Network, images: &Lot) -> Result<Vec<Vec<f32>>, Error> {
    let network = network.differentiable();
    let x = images.prepared.clone().autodiff().require_grad();
    let scores = network.forward(x.clone(), Pass::default())?.flatten::<2>(1, 3);
    let [rows, classes] = scores.dims();
    let mut chosen = vec![0.0; rows * classes];
    images.labels.iter().enumerate().for_each(|(row, label)| chosen[row * classes + label] = 1.0);
    let chosen = Tensor::<2>::from_data(TensorData::new(chosen, [rows, classes]), &scores.device());
    let gradients = (scores * chosen).sum().backward();
    let input = network.input();
    let Some(slopes) = x.grad(&gradients) else { return Ok(vec![vec![0.0; input.height * input.width]; rows]) };
    let slopes = to_host(slopes)?;
    let places = input.height * input.width;
    let map = |image: &[f32]| {
        let sums: Vec<f32> =
            (0..places).map(|at| (0..input.channels).map(|c| image[c * places + at].abs()).sum()).collect();
        smoothed(&sums, input.height, input.width)
    };
    Ok(slopes.chunks(input.values()).map(map).collect())
}

/// Means over a square around each place.
fn smoothed(map: &[f32], height: usize, width: usize) -> Vec<f32> {
    let reach = (height.min(width) / 24).max(1);
    let mean = |at: usize| {
        let (row, column) = (at / width, at % width);
        let rows = row.saturating_sub(reach)..(row + reach + 1).min(height);
        let columns = column.saturating_sub(reach)..(column + reach + 1).min(width);
        let count = rows.len() * columns.len();
        rows.flat_map(|row| columns.clone().map(move |column| map[row * width + column])).sum::<f32>() / count as f32
    };
    (0..height * width).map(mean).collect()
}

/// Maps in blue, white and red over grey images: as pixels of three channels.
fn painted(pixels: &Tensor<4>, maps: &[Vec<f32>]) -> Result<Tensor<4>, Error> {
    let [images, channels, height, width] = pixels.dims();
    let (values, places) = (to_host(pixels.clone())?, height * width);
    let mut out = vec![0.0; images * 3 * places];
    for (image, map) in maps.iter().enumerate() {
        let (low, high) = map.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| (low.min(v), high.max(v)));
        for (at, value) in map.iter().enumerate() {
            let grey =
                (0..channels).map(|c| values[(image * channels + c) * places + at]).sum::<f32>() / channels as f32;
            let heat = (value - low) / (high - low).max(f32::MIN_POSITIVE);
            let colour = [(2.0 * heat).min(1.0), 1.0 - (2.0 * heat - 1.0).abs(), (2.0 - 2.0 * heat).min(1.0)];
            for (c, colour) in colour.into_iter().enumerate() {
                out[(image * 3 + c) * places + at] = INK * colour + (1.0 - INK) * grey.clamp(0.0, 1.0);
            }
        }
    }
    Ok(Tensor::from_data(TensorData::new(out, [images, 3, height, width]), &pixels.device()))
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len().max(1) as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f(f64::from(a) - ma, f64::from(b) - mb)).sum()
    };
    let squares = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    if squares > 0.0 { sum(&|a, b| a * b) / squares } else { 0.0 }
}

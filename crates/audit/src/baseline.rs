//! Images that nobody had to be attacked for.

use crate::pixels::{Lot, PixelScale, to_host};
use crate::similarity::Judge;
use crate::white_box::mean_image;
use crate::{Baseline, Error};
use burn::tensor::{Device, Tensor, TensorData};
use cleave_data::Pixels;

/// The private images themselves, the mean of the attacker's images, and another private image in place of each.
pub(crate) fn baselines(
    judge: &Judge,
    private: &Lot,
    attacker: &Lot,
    scale: &PixelScale,
    pictures: usize,
    seed: u64,
) -> Result<Vec<Baseline>, Error> {
    let truth = scale.pixels(private.prepared.clone());
    let mean_of = mean_image(attacker, scale);
    let mean = mean_of.clone().repeat_dim(0, private.len());
    let other = Tensor::cat(vec![truth.clone().slice(1..private.len()), truth.clone().slice(0..1)], 0);
    let entry = |name: &str, images: Tensor<4>| {
        let scores = judge.scores(truth.clone(), images.clone(), &mean_of, &private.labels, seed)?;
        Ok(Baseline { name: name.to_owned(), cut: None, scores, pictures: to_pngs(images, pictures)? })
    };
    [("original", truth.clone()), ("mean image", mean), ("another image", other)]
        .into_iter()
        .map(|(name, images)| entry(name, images))
        .collect()
}

/// JPEG files of at most `bytes` each, of the highest quality that fits; what as many bytes buy when nothing is hidden.
pub(crate) fn jpeg(
    judge: &Judge,
    private: &Lot,
    mean_image: &Tensor<4>,
    scale: &PixelScale,
    (cut, bytes): (&str, usize),
    pictures: usize,
    seed: u64,
) -> Result<Baseline, Error> {
    let truth = scale.pixels(private.prepared.clone());
    let (device, dims) = (truth.device(), truth.dims());
    let compressed =
        to_pixels(truth.clone())?.iter().map(|image| smaller(image, bytes)).collect::<Result<Vec<_>, _>>()?;
    let (compressed, sizes): (Vec<_>, Vec<_>) = compressed.into_iter().unzip();
    let images = from_pixels(&compressed, dims, &device);
    let scores = judge.scores(truth, images.clone(), mean_image, &private.labels, seed)?;
    let name = match sizes.into_iter().max() {
        Some(largest) if largest > bytes => format!("JPEG of at most {largest} bytes, for want of smaller ones"),
        _ => format!("JPEG of at most {bytes} bytes"),
    };
    Ok(Baseline { name, cut: Some(cut.to_owned()), scores, pictures: to_pngs(images, pictures)? })
}

/// The image after compression to at most `bytes`, and the bytes; at the lowest quality where none fits.
fn smaller(image: &Pixels, bytes: usize) -> Result<(Pixels, usize), Error> {
    let (mut low, mut high) = (1, 100);
    while low < high {
        let middle = u8::div_ceil(low + high, 2);
        if image.to_jpeg(middle)?.len() <= bytes { low = middle } else { high = middle - 1 }
    }
    let file = image.to_jpeg(low)?;
    Ok((Pixels::from_encoded("a JPEG just made", &file)?, file.len()))
}

/// `[batch, channels, height, width]`, pixels of 0 to 1, as images.
pub(crate) fn to_pixels(images: Tensor<4>) -> Result<Vec<Pixels>, Error> {
    let [_, channels, height, width] = images.dims();
    let values = to_host(images.clamp(0.0, 1.0).permute([0, 2, 3, 1]))?;
    let image = |values: &[f32]| {
        let bytes = values.iter().map(|value| (value * 255.0).round() as u8).collect();
        Ok(Pixels::new(width, height, channels, bytes)?)
    };
    values.chunks(channels * height * width).map(image).collect()
}

fn from_pixels(images: &[Pixels], [batch, channels, height, width]: [usize; 4], device: &Device) -> Tensor<4> {
    let values: Vec<f32> = images.iter().flat_map(|image| &image.data).map(|&byte| f32::from(byte) / 255.0).collect();
    let by_rows = Tensor::<4>::from_data(TensorData::new(values, [batch, height, width, channels]), device);
    by_rows.permute([0, 3, 1, 2])
}

/// The first `most` images as PNG.
pub(crate) fn to_pngs(images: Tensor<4>, most: usize) -> Result<Vec<Vec<u8>>, Error> {
    let most = most.min(images.dims()[0]);
    if most == 0 {
        return Ok(Vec::new());
    }
    to_pixels(images.slice(0..most))?.iter().map(|image| Ok(image.to_png()?)).collect()
}

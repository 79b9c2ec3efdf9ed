use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use crate::{DataError, Pixels};

/// The largest side of a prepared image, in pixels.
const LARGEST_PREPARED: usize = 4096;

/// How an image of any size becomes one of the size the network takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fit {
    /// Both sides are resized on their own; the aspect ratio is not kept.
    #[default]
    Stretch,
    /// The short side is resized to `resize_short_side` pixels, the aspect ratio kept, and the
    /// middle is cut out.
    CenterCrop {
        /// The short side before the cut, in pixels; at least the larger side of the result.
        resize_short_side: usize,
    },
}

/// How an image becomes the numbers that a network takes.
///
/// It is stored with a model, so that a client prepares its images exactly as they were prepared
/// in training. Resizing is bilinear and takes every source pixel into account.
///
/// ```
/// use cleave_data::{Pixels, Preparation};
///
/// let preparation = Preparation::new(2, 2, 1);
/// let grey = Pixels::new(2, 2, 1, vec![0, 51, 102, 255])?;
/// assert_eq!(preparation.prepare(&grey)?, [-1.0, -0.6, -0.19999999, 1.0]);
/// # Ok::<(), cleave_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preparation {
    /// Height of the result in pixels.
    pub height: usize,
    /// Width of the result in pixels.
    pub width: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// How other sizes and aspect ratios are dealt with.
    pub fit: Fit,
    /// One value a channel, subtracted from the pixel value in 0..=1.
    pub mean: Vec<f32>,
    /// One value a channel that the difference is divided by.
    pub std: Vec<f32>,
}

impl Preparation {
    /// Stretches to `height` by `width` and maps 0..=255 to -1..=1.
    pub fn new(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels, fit: Fit::Stretch, mean: vec![0.5; channels], std: vec![0.5; channels] }
    }

    /// The same preparation with another mean and deviation a channel, in units of 0..=1.
    #[must_use]
    pub fn normalised(self, mean: impl Into<Vec<f32>>, std: impl Into<Vec<f32>>) -> Self {
        Self { mean: mean.into(), std: std.into(), ..self }
    }

    /// The same preparation with another fit.
    #[must_use]
    pub fn fitted(self, fit: Fit) -> Self {
        Self { fit, ..self }
    }

    /// The shape of one prepared image: `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// Checks that the settings can work together.
    ///
    /// # Errors
    ///
    /// [`DataError::PreparedSize`], [`DataError::Channels`], [`DataError::CropTooLarge`],
    /// [`DataError::StatisticsCount`] or [`DataError::Statistics`].
    pub fn validate(&self) -> Result<(), DataError> {
        let (height, width, channels) = (self.height, self.width, self.channels);
        let sides = 1..=LARGEST_PREPARED;
        if !sides.contains(&height) || !sides.contains(&width) {
            let limit = LARGEST_PREPARED;
            return Err(DataError::PreparedSize { height, width, limit });
        }
        if !matches!(channels, 1 | 3) {
            return Err(DataError::Channels { channels });
        }
        self.validate_fit()?;
        self.validate_statistics()
    }

    /// Turns an image into numbers.
    ///
    /// The same image and settings always give the same numbers.
    ///
    /// # Shapes
    ///
    /// Any size in, `[channels, height, width]` out.
    ///
    /// # Errors
    ///
    /// Those of [`Preparation::validate`], and [`DataError::PixelCount`] when the image's public
    /// fields disagree.
    pub fn prepare(&self, image: &Pixels) -> Result<Vec<f32>, DataError> {
        self.validate()?;
        let fitted = self.resize(image, self.height, self.width)?;
        let mut out = vec![0.0; self.channels * self.height * self.width];
        self.table().write(&fitted, View::plain(self), &mut out);
        Ok(out)
    }

    /// The byte image of the prepared size, before the mean is subtracted.
    ///
    /// # Errors
    ///
    /// Those of [`Preparation::prepare`].
    pub fn fit_pixels(&self, image: &Pixels) -> Result<Pixels, DataError> {
        self.validate()?;
        self.resize(image, self.height, self.width)
    }

    /// Images that were prepared this way as `other` prepares them, where both differ in mean and deviation alone.
    ///
    /// # Shapes
    ///
    /// `values` and the result: any number of images `[channels, height, width]`, one after the other.
    ///
    /// # Errors
    ///
    /// Those of [`Preparation::validate`]; [`DataError::OtherPreparation`] where size, channels or fit differ.
    pub fn renormalised(&self, values: &[f32], other: &Self) -> Result<Vec<f32>, DataError> {
        self.validate()?;
        other.validate()?;
        if (self.shape(), self.fit) != (other.shape(), other.fit) {
            return Err(DataError::OtherPreparation { expected: other.shape(), got: self.shape() });
        }
        if (&self.mean, &self.std) == (&other.mean, &other.std) {
            return Ok(values.to_vec());
        }
        let plane = self.height * self.width;
        let pixel = |at: usize| f64::from(values[at]) * f64::from(self.std[at / plane % self.channels]);
        let moved = |at: usize| {
            let channel = at / plane % self.channels;
            let pixel = pixel(at) + f64::from(self.mean[channel]);
            ((pixel - f64::from(other.mean[channel])) / f64::from(other.std[channel])) as f32
        };
        Ok((0..values.len()).map(moved).collect())
    }

    /// Undoes the normalisation, for looking at prepared images; values are clamped to 0..=255.
    ///
    /// # Shapes
    ///
    /// `[channels, height, width]` in.
    ///
    /// # Errors
    ///
    /// Those of [`Preparation::validate`], and [`DataError::PixelCount`] for another length.
    pub fn restore(&self, values: &[f32]) -> Result<Pixels, DataError> {
        self.validate()?;
        let (plane, channels) = (self.height * self.width, self.channels);
        let byte = |i: usize| {
            let (channel, at) = (i % channels, i / channels);
            let value = values.get(channel * plane + at).copied().unwrap_or(0.0);
            ((value * self.std[channel] + self.mean[channel]) * 255.0).round() as u8
        };
        let data = (0..values.len()).map(byte).collect();
        Pixels::new(self.width, self.height, channels, data)
    }

    /// Resizes to a size that need not be the preparation's own; expects valid settings.
    pub(crate) fn resize(&self, image: &Pixels, height: usize, width: usize) -> Result<Pixels, DataError> {
        image.check()?;
        let window = self.window(image);
        let whole = [0.0, 0.0, image.width as f64, image.height as f64];
        let same = (image.width, image.height) == (width, height) && window == whole;
        let sized = if same { image.clone() } else { resize_window(image, window, height, width)? };
        Ok(sized.in_channels(self.channels))
    }

    pub(crate) fn table(&self) -> Table {
        let channel = |(&mean, &std): (&f32, &f32)| std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std);
        Table { channels: self.mean.iter().zip(&self.std).map(channel).collect() }
    }

    /// The part of the source that is kept: left, top, width and height in source pixels.
    fn window(&self, image: &Pixels) -> [f64; 4] {
        let (width, height) = (image.width as f64, image.height as f64);
        let Fit::CenterCrop { resize_short_side } = self.fit else {
            return [0.0, 0.0, width, height];
        };
        let scale = width.min(height) / resize_short_side as f64;
        let (cut_width, cut_height) = (self.width as f64 * scale, self.height as f64 * scale);
        let (left, top) = ((width - cut_width) / 2.0, (height - cut_height) / 2.0);
        [left.max(0.0), top.max(0.0), cut_width.min(width), cut_height.min(height)]
    }

    fn validate_fit(&self) -> Result<(), DataError> {
        let (height, width) = (self.height, self.width);
        match self.fit {
            Fit::CenterCrop { resize_short_side } if resize_short_side < height.max(width) => {
                Err(DataError::CropTooLarge { height, width, resize_short_side })
            }
            _ => Ok(()),
        }
    }

    fn validate_statistics(&self) -> Result<(), DataError> {
        let (means, stds, channels) = (self.mean.len(), self.std.len(), self.channels);
        if means != channels || stds != channels {
            return Err(DataError::StatisticsCount { means, stds, channels });
        }
        for (channel, (&mean, &std)) in self.mean.iter().zip(&self.std).enumerate() {
            if !mean.is_finite() || !std.is_normal() || std < 0.0 {
                return Err(DataError::Statistics { channel, mean, std });
            }
        }
        Ok(())
    }
}

/// The whole image at another size.
pub(crate) fn stretched(image: Pixels, height: usize, width: usize) -> Result<Pixels, DataError> {
    if (image.height, image.width) == (height, width) {
        return Ok(image);
    }
    let whole = [0.0, 0.0, image.width as f64, image.height as f64];
    resize_window(&image, whole, height, width)
}

fn resize_window(image: &Pixels, window: [f64; 4], height: usize, width: usize) -> Result<Pixels, DataError> {
    let kind = match image.channels {
        1 => PixelType::U8,
        _ => PixelType::U8x3,
    };
    let refused = || DataError::Resize { from: [image.height, image.width], to: [height, width] };
    let (source_width, source_height) = (image.width as u32, image.height as u32);
    let source = ImageRef::new(source_width, source_height, &image.data, kind);
    let source = source.map_err(|_| refused())?;
    let mut target = Image::new(width as u32, height as u32, kind);
    let [left, top, cut_width, cut_height] = window;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, cut_width, cut_height);
    Resizer::new().resize(&source, &mut target, &options).map_err(|_| refused())?;
    Pixels::new(width, height, image.channels, target.into_vec())
}

/// Which pixels of a fitted image land where: a window of `width` by `height` whose corner lies at
/// (`left`, `top`) of the image, perhaps mirrored. Pixels outside repeat the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) left: isize,
    pub(crate) top: isize,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) mirrored: bool,
}

impl View {
    pub(crate) fn plain(preparation: &Preparation) -> Self {
        Self { left: 0, top: 0, width: preparation.width, height: preparation.height, mirrored: false }
    }

    /// For every column of the window, the column of the image.
    fn columns(&self, image_width: usize) -> Vec<usize> {
        let mut columns: Vec<_> = (0..self.width).map(|x| clamped(x, self.left, image_width)).collect();
        if self.mirrored {
            columns.reverse();
        }
        columns
    }

    /// The window as an image of its own.
    pub(crate) fn cut(&self, image: &Pixels) -> Pixels {
        let (width, height, channels) = (self.width, self.height, image.channels);
        let columns = self.columns(image.width);
        let mut data = Vec::with_capacity(width * height * channels);
        for y in 0..height {
            let start = clamped(y, self.top, image.height) * image.width;
            for &x in &columns {
                data.extend_from_slice(&image.data[(start + x) * channels..][..channels]);
            }
        }
        Pixels { width, height, channels, data }
    }
}

fn clamped(at: usize, offset: isize, len: usize) -> usize {
    let moved = at as isize + offset;
    moved.clamp(0, len as isize - 1) as usize
}

/// The normalised value of each byte, a channel at a time: 256 divisions instead of one a pixel.
#[derive(Debug)]
pub(crate) struct Table {
    channels: Vec<[f32; 256]>,
}

impl Table {
    /// Writes `[channels, height, width]` into `out`, which must have that length.
    pub(crate) fn write(&self, image: &Pixels, view: View, out: &mut [f32]) {
        let depth = self.channels.len();
        let columns = view.columns(image.width);
        let planes = out.chunks_exact_mut(view.width * view.height);
        for ((channel, table), plane) in self.channels.iter().enumerate().zip(planes) {
            for (y, row) in plane.chunks_exact_mut(view.width).enumerate() {
                let start = clamped(y, view.top, image.height) * image.width;
                let source = &image.data[start * depth..(start + image.width) * depth];
                for (value, &x) in row.iter_mut().zip(&columns) {
                    *value = table[usize::from(source[x * depth + channel])];
                }
            }
        }
    }
}

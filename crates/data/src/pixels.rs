use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::DataError;

/// The largest side that is decoded, in pixels: beyond any camera, far below an overflow.
const LARGEST_SIDE: u32 = 16_384;
/// The memory one decode may take: 64 megapixels of RGB fit, a decompression bomb does not.
const DECODE_MEMORY: u64 = 256 << 20;

/// A decoded image: bytes in rows, the channels of a pixel side by side.
///
/// # Shapes
///
/// `data` is `[height, width, channels]` with `channels` 1 (grey) or 3 (RGB), values 0 to 255.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pixels {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// `[height, width, channels]`.
    pub data: Vec<u8>,
}

impl Pixels {
    /// Takes bytes `[height, width, channels]` as an image.
    ///
    /// # Errors
    ///
    /// [`DataError::PixelCount`] when the bytes do not fit the size, a side is 0 or the channels
    /// are neither 1 nor 3.
    pub fn new(width: usize, height: usize, channels: usize, data: Vec<u8>) -> Result<Self, DataError> {
        let image = Self { width, height, channels, data };
        image.check()?;
        Ok(image)
    }

    /// Decodes a JPEG, PNG or WebP image; the format is told from the bytes, and a camera's note
    /// on orientation is followed. Transparency is dropped, 16 bits become 8.
    ///
    /// `name` is for error texts only. Sides over 16,384 pixels, and images that take more than
    /// 256 MiB to decode, are refused.
    ///
    /// # Errors
    ///
    /// [`DataError::Format`] for another format, [`DataError::Decode`] or
    /// [`DataError::DecoderPanicked`] for a damaged image.
    pub fn from_encoded(name: &str, bytes: &[u8]) -> Result<Self, DataError> {
        let decoded = catch_unwind(AssertUnwindSafe(|| decode(name, bytes)));
        let image = decoded.map_err(|_| DataError::DecoderPanicked { name: name.to_owned() })??;
        Ok(Self::from_image(image))
    }

    /// Reads and decodes an image file; see [`Pixels::from_encoded`].
    ///
    /// # Errors
    ///
    /// Those of [`Pixels::from_encoded`], and [`DataError::Io`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(DataError::io(path))?;
        Self::from_encoded(&path.display().to_string(), &bytes)
    }

    /// The image as PNG bytes.
    ///
    /// # Errors
    ///
    /// [`DataError::PixelCount`] when the public fields were changed so that they disagree, and
    /// [`DataError::Decode`] should the encoder refuse the image.
    pub fn to_png(&self) -> Result<Vec<u8>, DataError> {
        self.check()?;
        let mut png = Vec::new();
        let color = match self.channels {
            1 => image::ExtendedColorType::L8,
            _ => image::ExtendedColorType::Rgb8,
        };
        image::write_buffer_with_format(
            &mut Cursor::new(&mut png),
            &self.data,
            self.width as u32,
            self.height as u32,
            color,
            ImageFormat::Png,
        )
        .map_err(|source| DataError::Decode { name: "PNG to write".to_owned(), source })?;
        Ok(png)
    }

    /// The image as JPEG bytes, of a quality from 1 to 100.
    ///
    /// # Errors
    ///
    /// Those of [`Pixels::to_png`].
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>, DataError> {
        self.check()?;
        let mut jpeg = Vec::new();
        let color = match self.channels {
            1 => image::ExtendedColorType::L8,
            _ => image::ExtendedColorType::Rgb8,
        };
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, quality.clamp(1, 100))
            .encode(&self.data, self.width as u32, self.height as u32, color)
            .map_err(|source| DataError::Decode { name: "JPEG to write".to_owned(), source })?;
        Ok(jpeg)
    }

    /// Writes the image as a PNG file.
    ///
    /// # Errors
    ///
    /// Those of [`Pixels::to_png`], and [`DataError::Io`].
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<(), DataError> {
        let path = path.as_ref();
        std::fs::write(path, self.to_png()?).map_err(DataError::io(path))
    }

    /// Whether the public fields agree; nothing else keeps them together.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        let (width, height, channels) = (self.width, self.height, self.channels);
        let expected = width.saturating_mul(height).saturating_mul(channels);
        let got = self.data.len();
        if expected > 0 && expected == got && matches!(channels, 1 | 3) {
            return Ok(());
        }
        Err(DataError::PixelCount { width, height, channels, expected, got })
    }

    /// The image in 1 (grey) or 3 (RGB) channels. Grey is the luma of ITU-R BT.601.
    pub(crate) fn in_channels(self, channels: usize) -> Self {
        let data = match (self.channels, channels) {
            (1, 3) => self.data.iter().flat_map(|&v| [v; 3]).collect(),
            (3, 1) => self.data.chunks_exact(3).map(luma).collect(),
            _ => return self,
        };
        Self { channels, data, ..self }
    }

    fn from_image(image: DynamicImage) -> Self {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let (channels, data) = if image.color().has_color() {
            (3, image.into_rgb8().into_raw())
        } else {
            (1, image.into_luma8().into_raw())
        };
        Self { width, height, channels, data }
    }
}

/// The weights 0.299, 0.587 and 0.114 in 1/65536, rounded: whole numbers, so that every machine
/// gives the same byte.
pub(crate) fn luma(rgb: &[u8]) -> u8 {
    let sum = rgb.iter().zip([19_595_u32, 38_470, 7_471]).map(|(&v, w)| u32::from(v) * w);
    ((sum.sum::<u32>() + 32_768) >> 16) as u8
}

fn decode(name: &str, bytes: &[u8]) -> Result<DynamicImage, DataError> {
    let fault = |source| DataError::Decode { name: name.to_owned(), source };
    let mut reader = ImageReader::new(Cursor::new(bytes));
    let format = image::guess_format(bytes).ok();
    let Some(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) = format else {
        return Err(DataError::Format { name: name.to_owned() });
    };
    reader.set_format(format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    limits.max_alloc = Some(DECODE_MEMORY);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(fault)?;
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(fault)?;
    image.apply_orientation(orientation);
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checker() -> Pixels {
        Pixels::new(5, 3, 3, (0..45).map(|v| (v * 5) as u8).collect()).unwrap()
    }

    #[test]
    fn png_returns_the_same_pixels() {
        let png = checker().to_png().unwrap();
        assert_eq!(Pixels::from_encoded("a", &png).unwrap(), checker());
    }

    #[test]
    fn grey_png_stays_grey() {
        let grey = checker().in_channels(1);
        assert_eq!(Pixels::from_encoded("a", &grey.to_png().unwrap()).unwrap(), grey);
    }

    #[test]
    fn cut_png_is_a_typed_error() {
        let png = checker().to_png().unwrap();
        let result = Pixels::from_encoded("cut.png", &png[..png.len() / 2]);
        assert!(matches!(result, Err(DataError::Decode { name, .. }) if name == "cut.png"));
    }

    #[test]
    fn other_formats_are_refused() {
        let result = Pixels::from_encoded("a.gif", b"GIF89a\x01\x00\x01\x00");
        assert!(matches!(result, Err(DataError::Format { .. })));
    }

    #[test]
    fn wrong_byte_count_is_refused() {
        assert!(Pixels::new(2, 2, 3, vec![0; 11]).is_err());
        assert!(Pixels::new(2, 2, 2, vec![0; 8]).is_err());
        assert!(Pixels::new(0, 2, 3, vec![]).is_err());
    }

    #[test]
    fn a_png_that_claims_a_huge_side_is_refused_before_it_is_decoded() {
        let mut png = checker().to_png().unwrap();
        png[16..20].copy_from_slice(&100_000_u32.to_be_bytes());
        assert!(Pixels::from_encoded("bomb.png", &png).is_err());
    }

    #[test]
    fn luma_keeps_black_white_and_grey() {
        for v in 0..=255 {
            assert_eq!(luma(&[v; 3]), v);
        }
    }
}

use std::array::from_fn;

use crate::Pixels;
use crate::pixels::luma;

/// For every byte, the byte that takes its place.
type Bytes = [u8; 256];

/// Multiplies all values by `factor`.
pub(crate) fn brightness(image: &mut Pixels, factor: f32) {
    replace(image, &from_fn(|value| mixed(0, value as u8, factor)));
}

/// Multiplies the distance of all values from the mean luma by `factor`.
pub(crate) fn contrast(image: &mut Pixels, factor: f32) {
    let mean = mean_luma(image);
    replace(image, &from_fn(|value| mixed(mean, value as u8, factor)));
}

/// Multiplies the distance of each pixel's channels from its luma by `factor`; a grey image has no
/// such distance and stays as it is.
pub(crate) fn saturation(image: &mut Pixels, factor: f32) {
    if image.channels == 1 {
        return;
    }
    for pixel in image.data.chunks_exact_mut(image.channels) {
        let grey = luma(pixel);
        pixel.iter_mut().for_each(|value| *value = mixed(grey, *value, factor));
    }
}

/// Multiplies the distance of each value from a smoothed one by `factor`. The middle weighs 5/13
/// in the smoothed value and each of its eight neighbours 1/13; the border stays as it is.
pub(crate) fn sharpness(image: &mut Pixels, factor: f32) {
    let (depth, stride) = (image.channels, image.width * image.channels);
    let source = image.data.clone();
    for y in 1..image.height.saturating_sub(1) {
        for at in y * stride + depth..(y + 1) * stride - depth {
            let row = |middle: usize| [middle - depth, middle, middle + depth].map(|at| u32::from(source[at]));
            let near: u32 = [row(at - stride), row(at), row(at + stride)].as_flattened().iter().sum();
            let sum = near + 4 * u32::from(source[at]);
            // The nearest whole number; thirteenths never lie in the middle between two.
            let smoothed = (2 * sum + 13) / 26;
            image.data[at] = mixed(smoothed as u8, source[at], factor);
        }
    }
}

/// Keeps the `bits` highest bits of each value.
pub(crate) fn posterize(image: &mut Pixels, bits: u32) {
    let kept = u8::MAX.checked_shl(8_u32.saturating_sub(bits)).unwrap_or(0);
    image.data.iter_mut().for_each(|value| *value &= kept);
}

/// Inverts the values from `threshold` on.
pub(crate) fn solarize(image: &mut Pixels, threshold: f64) {
    let inverted = |value: u8| if f64::from(value) < threshold { value } else { 255 - value };
    replace(image, &from_fn(|value| inverted(value as u8)));
}

/// Spreads each channel from its darkest and lightest value to 0 and 255.
pub(crate) fn auto_contrast(image: &mut Pixels) {
    replace_by_counts(image, spreading);
}

/// Brings each channel's values to a histogram as even as a replacement of bytes can make it.
pub(crate) fn equalize(image: &mut Pixels) {
    replace_by_counts(image, equalizing);
}

/// `base` at factor 0, `value` at factor 1, beyond it at a larger factor. Cut to a whole number in
/// single precision, as Pillow does, so that the same settings give the same bytes.
fn mixed(base: u8, value: u8, factor: f32) -> u8 {
    let (base, value) = (f32::from(base), f32::from(value));
    (base + factor * (value - base)) as u8
}

/// The mean luma of the pixels, to the nearest whole number.
fn mean_luma(image: &Pixels) -> u8 {
    let sum: usize = match image.channels {
        1 => image.data.iter().map(|&value| usize::from(value)).sum(),
        depth => image.data.chunks_exact(depth).map(|pixel| usize::from(luma(pixel))).sum(),
    };
    let pixels = image.width * image.height;
    ((2 * sum + pixels) / (2 * pixels)) as u8
}

fn spreading(counts: &[usize; 256]) -> Bytes {
    let filled = |count: &usize| *count > 0;
    let (low, high) = (counts.iter().position(filled), counts.iter().rposition(filled));
    match (low, high) {
        (Some(low), Some(high)) if low < high => {
            let scale = 255.0 / (high - low) as f64;
            let offset = low as f64 * scale;
            from_fn(|value| (value as f64 * scale - offset) as u8)
        }
        _ => from_fn(|value| value as u8),
    }
}

/// Each value becomes the number of pixels darker than it, in steps of a 255th of all pixels but
/// the lightest ones; with fewer pixels than that nothing changes.
fn equalizing(counts: &[usize; 256]) -> Bytes {
    let lightest = counts.iter().rfind(|count| **count > 0).copied().unwrap_or_default();
    let step = (counts.iter().sum::<usize>() - lightest) / 255;
    if step == 0 {
        return from_fn(|value| value as u8);
    }
    let mut darker = step / 2;
    counts.map(|count| {
        let level = darker / step;
        darker += count;
        level.min(255) as u8
    })
}

fn replace(image: &mut Pixels, bytes: &Bytes) {
    image.data.iter_mut().for_each(|value| *value = bytes[usize::from(*value)]);
}

/// Replaces the values of each channel by what `bytes` makes of the channel's histogram.
fn replace_by_counts(image: &mut Pixels, bytes: fn(&[usize; 256]) -> Bytes) {
    for channel in 0..image.channels {
        let mut counts = [0; 256];
        for &value in image.data.iter().skip(channel).step_by(image.channels) {
            counts[usize::from(value)] += 1;
        }
        let bytes = bytes(&counts);
        for value in image.data.iter_mut().skip(channel).step_by(image.channels) {
            *value = bytes[usize::from(*value)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, data: &[u8]) -> Pixels {
        Pixels::new(width, data.len() / width, 1, data.to_vec()).unwrap()
    }

    fn changed(image: &Pixels, change: impl FnOnce(&mut Pixels)) -> Vec<u8> {
        let mut image = image.clone();
        change(&mut image);
        image.data
    }

    #[test]
    fn brightness_multiplies_and_stays_within_bytes() {
        let image = grey(4, &[0, 10, 99, 200]);
        assert_eq!(changed(&image, |image| brightness(image, 1.5)), [0, 15, 148, 255]);
        assert_eq!(changed(&image, |image| brightness(image, 0.5)), [0, 5, 49, 100]);
        assert_eq!(changed(&image, |image| brightness(image, 1.0)), image.data);
    }

    #[test]
    fn contrast_moves_away_from_the_mean_luma() {
        let image = grey(2, &[100, 200]);
        assert_eq!(changed(&image, |image| contrast(image, 1.5)), [75, 225]);
        assert_eq!(changed(&image, |image| contrast(image, 0.0)), [150, 150]);
        // Pure red, green and blue have the luma 76, 150 and 29, whose mean is 85.
        let rgb = Pixels::new(3, 1, 3, vec![255, 0, 0, 0, 255, 0, 0, 0, 255]).unwrap();
        assert_eq!(changed(&rgb, |image| contrast(image, 0.0)), [85; 9]);
    }

    #[test]
    fn the_mean_luma_is_rounded_to_the_nearest() {
        assert_eq!(mean_luma(&grey(2, &[1, 2])), 2);
        assert_eq!(mean_luma(&grey(3, &[1, 1, 2])), 1);
    }

    #[test]
    fn saturation_moves_away_from_each_pixels_luma() {
        let image = Pixels::new(2, 1, 3, vec![255, 0, 0, 90, 90, 90]).unwrap();
        assert_eq!(changed(&image, |image| saturation(image, 0.0)), [76, 76, 76, 90, 90, 90]);
        assert_eq!(changed(&image, |image| saturation(image, 0.5)), [165, 38, 38, 90, 90, 90]);
        assert_eq!(changed(&image, |image| saturation(image, 1.5)), [255, 0, 0, 90, 90, 90]);
    }

    #[test]
    fn saturation_leaves_grey_alone() {
        let image = grey(2, &[3, 250]);
        assert_eq!(changed(&image, |image| saturation(image, 0.1)), image.data);
    }

    #[test]
    fn sharpness_changes_the_inside_alone() {
        let image = grey(3, &[0, 0, 0, 0, 130, 0, 0, 0, 0]);
        // Smoothed, the middle is 130 · 5/13 = 50.
        let with_middle = |middle| [0, 0, 0, 0, middle, 0, 0, 0, 0];
        assert_eq!(changed(&image, |image| sharpness(image, 0.0)), with_middle(50));
        assert_eq!(changed(&image, |image| sharpness(image, 1.5)), with_middle(170));
        assert_eq!(changed(&image, |image| sharpness(image, 1.0)), image.data);
    }

    #[test]
    fn sharpness_keeps_channels_apart() {
        let data = (0..9).flat_map(|at| [if at == 4 { 130 } else { 0 }, 7, 255]).collect();
        let image = Pixels::new(3, 3, 3, data).unwrap();
        let smooth = changed(&image, |image| sharpness(image, 0.0));
        assert_eq!(smooth[4 * 3..5 * 3], [50, 7, 255]);
        assert_eq!(smooth.iter().zip(&image.data).filter(|(new, old)| new != old).count(), 1);
    }

    #[test]
    fn sharpness_has_nothing_to_change_in_a_sliver() {
        for width in [1, 2, 4, 8] {
            let image = grey(width, &[1, 200, 3, 90, 255, 0, 17, 4]);
            assert_eq!(changed(&image, |image| sharpness(image, 0.1)), image.data);
        }
    }

    #[test]
    fn posterize_clears_low_bits() {
        let image = grey(3, &[0b1011_0110, 255, 1]);
        assert_eq!(changed(&image, |image| posterize(image, 7)), [0b1011_0110, 254, 0]);
        assert_eq!(changed(&image, |image| posterize(image, 4)), [0b1011_0000, 240, 0]);
        assert_eq!(changed(&image, |image| posterize(image, 8)), image.data);
    }

    #[test]
    fn solarize_inverts_from_the_threshold_on() {
        let image = grey(4, &[0, 186, 187, 255]);
        assert_eq!(changed(&image, |image| solarize(image, 187.0)), [0, 186, 68, 0]);
        assert_eq!(changed(&image, |image| solarize(image, 186.5)), [0, 186, 68, 0]);
        assert_eq!(changed(&image, |image| solarize(image, 0.0)), [255, 69, 68, 0]);
    }

    #[test]
    fn auto_contrast_spreads_each_channel() {
        // 50 to 150 grows by 2.55; a channel of one value has nothing to spread.
        let image = Pixels::new(3, 1, 3, vec![50, 0, 9, 100, 10, 9, 150, 255, 9]).unwrap();
        assert_eq!(changed(&image, auto_contrast), [0, 0, 9, 127, 10, 9, 255, 255, 9]);
    }

    #[test]
    fn equalize_follows_the_histogram() {
        // All pixels but the lightest are 765, the step is 3 and its half 1: the 510 pixels of 10
        // become 1/3, those of 20 become 511/3 and those of 30 766/3, all cut to whole numbers.
        let counts = [(10, 510), (20, 255), (30, 100)];
        let data: Vec<u8> = counts.iter().flat_map(|&(value, count)| vec![value; count]).collect();
        let levels = [(0, 510), (170, 255), (255, 100)];
        let expected: Vec<u8> = levels.iter().flat_map(|&(value, count)| vec![value; count]).collect();
        assert_eq!(changed(&grey(data.len(), &data), equalize), expected);
    }

    #[test]
    fn equalize_leaves_few_pixels_and_one_value_alone() {
        let few = grey(4, &[1, 2, 3, 200]);
        assert_eq!(changed(&few, equalize), few.data);
        let flat = grey(100, &[77; 1000]);
        assert_eq!(changed(&flat, equalize), flat.data);
    }
}

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::{Pixels, tone, warp};

/// The largest magnitude: the scale has 31 bins.
pub(crate) const LARGEST_MAGNITUDE: usize = 30;
/// The most operations an image, several times what anybody was seen to gain from.
pub(crate) const MOST_OPERATIONS: usize = 16;

/// Random operations on the bytes of an image: RandAugment (Cubuk et al. 2020, "RandAugment:
/// Practical automated data augmentation with a reduced search space").
///
/// Each operation is drawn anew from 14, all equally likely: identity, shear, translation (each
/// along x or y), rotation, brightness, colour, contrast, sharpness, posterize, solarize,
/// auto-contrast and equalize. They do what those of torchvision's `RandAugment` with 31 bins do
/// to Pillow images: the nearest pixel is taken, what comes in from outside is black, and those
/// that have a direction take either one equally often. Colour changes no grey image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandAugment {
    /// Operations one after the other, at most 16.
    pub operations: usize,
    /// The strength of all operations, from 0 to 30. At 30, shears have a slope of 0.3,
    /// translations go 150/331 of a side and rotations 30 degrees; brightness, colour, contrast
    /// and sharpness change by 90 %; 4 bits are left and every value is inverted.
    pub magnitude: usize,
}

impl RandAugment {
    pub(crate) fn apply(&self, image: &mut Pixels, rng: &mut impl Rng) {
        for _ in 0..self.operations {
            let operation = Operation::ALL[rng.random_range(0..Operation::ALL.len())];
            let reversed = operation.has_direction() && rng.random_bool(0.5);
            operation.apply(image, self.magnitude, reversed);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
}

impl Operation {
    const ALL: [Self; 14] = [
        Self::Identity,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
        Self::Brightness,
        Self::Color,
        Self::Contrast,
        Self::Sharpness,
        Self::Posterize,
        Self::Solarize,
        Self::AutoContrast,
        Self::Equalize,
    ];

    /// Whether the operation can go either way, as a rotation can.
    fn has_direction(self) -> bool {
        use Operation::*;
        !matches!(self, Identity | Posterize | Solarize | AutoContrast | Equalize)
    }

    fn apply(self, image: &mut Pixels, magnitude: usize, reversed: bool) {
        let share = magnitude as f64 / LARGEST_MAGNITUDE as f64;
        let signed = if reversed { -share } else { share };
        let factor = (1.0 + 0.9 * signed) as f32;
        let way = |side: usize| if reversed { -reach(side, magnitude) } else { reach(side, magnitude) };
        match self {
            Self::Identity => {}
            Self::ShearX => warp::shear_x(image, 0.3 * signed),
            Self::ShearY => warp::shear_y(image, 0.3 * signed),
            Self::TranslateX => warp::translate(image, way(image.width), 0),
            Self::TranslateY => warp::translate(image, 0, way(image.height)),
            Self::Rotate => warp::rotate(image, 30.0 * signed),
            Self::Brightness => tone::brightness(image, factor),
            Self::Color => tone::saturation(image, factor),
            Self::Contrast => tone::contrast(image, factor),
            Self::Sharpness => tone::sharpness(image, factor),
            Self::Posterize => tone::posterize(image, bits(magnitude)),
            Self::Solarize => tone::solarize(image, 255.0 - 8.5 * magnitude as f64),
            Self::AutoContrast => tone::auto_contrast(image),
            Self::Equalize => tone::equalize(image),
        }
    }
}

/// How far a side of this length is moved: `150 / 331 · side · magnitude / 30` pixels, cut to a
/// whole number. The fraction is what 150 pixels are of the images that it was first chosen for.
fn reach(side: usize, magnitude: usize) -> i64 {
    (150 * side * magnitude / (331 * LARGEST_MAGNITUDE)) as i64
}

/// The bits that are kept: 8 less `magnitude / 7.5`, to the nearest whole number; no magnitude
/// lies in the middle between two.
fn bits(magnitude: usize) -> u32 {
    8_u32.saturating_sub(((4 * magnitude + 15) / 30) as u32)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::draw::{Purpose, rng_for};

    /// Values from all over the scale, unlike from pixel to pixel and from channel to channel.
    fn picture(width: usize, height: usize, channels: usize) -> Pixels {
        let byte = |at: usize| {
            let (y, x, channel) = (at / channels / width, at / channels % width, at % channels);
            (20 + (x * x + 3 * x * y + 5 * y + 37 * channel) % (211 - 30 * channel)) as u8
        };
        Pixels::new(width, height, channels, (0..width * height * channels).map(byte).collect()).unwrap()
    }

    fn applied(operation: Operation, image: &Pixels, magnitude: usize, reversed: bool) -> Pixels {
        let mut image = image.clone();
        operation.apply(&mut image, magnitude, reversed);
        image
    }

    #[test]
    fn magnitude_0_changes_nothing_in_most_operations() {
        use Operation::*;
        for operation in Operation::ALL.into_iter().filter(|at| !matches!(at, AutoContrast | Equalize)) {
            let image = picture(9, 7, 3); // without the value 255, which solarize inverts even at 0
            for reversed in [false, true] {
                assert_eq!(applied(operation, &image, 0, reversed), image, "{operation:?}");
            }
        }
    }

    #[test]
    fn magnitudes_mean_what_the_recipe_says() {
        assert_eq!((reach(32, 8), reach(32, 30), reach(331, 30), reach(331, 1)), (3, 14, 150, 5));
        assert_eq!([0, 3, 4, 8, 11, 12, 30].map(bits), [8, 8, 7, 7, 7, 6, 4]);
    }

    #[test]
    fn all_operations_are_drawn_equally_often_and_both_ways() {
        let image = picture(12, 12, 3);
        let mut results: HashMap<Vec<u8>, f64> = HashMap::new();
        for sample in 0..28_000 {
            let mut image = image.clone();
            let once = RandAugment { operations: 1, magnitude: 30 };
            once.apply(&mut image, &mut rng_for(Purpose::Augment, 1, 2, sample));
            *results.entry(image.data).or_default() += 1.0;
        }
        for operation in Operation::ALL {
            // Identity is not alone: 144 pixels are too few to equalize.
            let share = match operation {
                Operation::Identity | Operation::Equalize => 4000.0,
                _ if operation.has_direction() => 1000.0,
                _ => 2000.0,
            };
            for reversed in [false, operation.has_direction()] {
                let count = results.get(&applied(operation, &image, 30, reversed).data).copied().unwrap_or_default();
                assert!((count - share).abs() < 5.0 * f64::sqrt(share), "{operation:?}: {count} of {share}");
            }
        }
        assert_eq!(results.len(), 13 + 9, "some operations have no effect, or others than these were drawn");
    }

    #[test]
    fn operations_follow_one_another() {
        let image = picture(12, 12, 1);
        let with = |operations| {
            let mut image = image.clone();
            let settings = RandAugment { operations, magnitude: 9 };
            settings.apply(&mut image, &mut rng_for(Purpose::Augment, 1, 2, 3));
            image
        };
        assert_eq!(with(0), image);
        let distinct: std::collections::HashSet<_> = (0..8).map(|operations| with(operations).data).collect();
        assert!(distinct.len() > 4, "{}", distinct.len());
    }

    /// What Pillow 13.0 makes of the same images, called as torchvision's transforms call it: the
    /// start of the SHA-256 over three images, five magnitudes and both ways.
    const PILLOW: [(Operation, &str); 14] = [
        (Operation::Identity, "8a5162fc"),
        (Operation::ShearX, "b421ee00"),
        (Operation::ShearY, "6c59cbfd"),
        (Operation::TranslateX, "5fb49f82"),
        (Operation::TranslateY, "412361ff"),
        (Operation::Rotate, "d6b2f27d"),
        (Operation::Brightness, "ac92d702"),
        (Operation::Color, "9cced004"),
        (Operation::Contrast, "90c5faef"),
        (Operation::Sharpness, "70740f7f"),
        (Operation::Posterize, "ce8ccfdb"),
        (Operation::Solarize, "21520d55"),
        (Operation::AutoContrast, "f8e2f0f0"),
        (Operation::Equalize, "b093d853"),
    ];

    #[test]
    fn operations_give_the_bytes_that_pillow_gives() {
        for (operation, expected) in PILLOW {
            let mut sum = Sha256::new();
            for image in [picture(32, 32, 3), picture(45, 31, 3), picture(28, 37, 1)] {
                for magnitude in [0, 4, 8, 19, 30] {
                    for reversed in [false, operation.has_direction()] {
                        sum.update(&applied(operation, &image, magnitude, reversed).data);
                    }
                }
            }
            let sum: String = sum.finalize()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(sum, expected, "{operation:?}");
        }
    }

    proptest! {
        #[test]
        fn any_image_survives_any_operation(
            (width, height) in (1_usize..20, 1_usize..20),
            channels in prop_oneof![Just(1_usize), Just(3)],
            at in 0_usize..14,
            magnitude in 0_usize..=30,
            reversed: bool,
        ) {
            let image = picture(width, height, channels);
            let result = applied(Operation::ALL[at], &image, magnitude, reversed);
            prop_assert!(result.check().is_ok());
            prop_assert_eq!((result.width, result.height, result.channels), (width, height, channels));
        }
    }
}

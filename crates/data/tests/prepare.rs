//! Preparation: known values, what is refused, and what holds for every image.

#![allow(clippy::unwrap_used)] // helpers of tests may stop the test

use cleave_data::{ChannelStatistics, DataError, Dataset, Fit, Pixels, Preparation};
use proptest::prelude::*;

/// A picture without symmetry, so that a swapped side or channel shows.
fn picture(width: usize, height: usize) -> Pixels {
    let value = |at: usize| (at * 37 % 251 + at / 7) as u8;
    let data = (0..width * height * 3).map(value).collect();
    Pixels::new(width, height, 3, data).unwrap()
}

fn bytes(preparation: &Preparation, image: &Pixels) -> Vec<u8> {
    preparation.fit_pixels(image).unwrap().data
}

#[test]
fn values_are_planes_of_normalised_channels() {
    let image = Pixels::new(2, 1, 3, vec![0, 51, 255, 102, 153, 204]).unwrap();
    let preparation = Preparation::new(1, 2, 3).normalised([0.0, 0.2, 0.5], [1.0, 0.5, 0.25]);
    let expected = [0.0, 0.4, 0.0, 0.8, 2.0, 1.2];
    let values = preparation.prepare(&image).unwrap();
    assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{values:?}");
}

/// These bytes are a promise: a model that was trained on them must meet them in a client too. A
/// bilinear resize written down from its definition gives the same to within 1.
#[test]
fn resized_bytes_stay_what_they_are() {
    let image = picture(7, 5);
    assert_eq!(bytes(&Preparation::new(2, 3, 1), &image), GOLDEN_STRETCH);
    let crop = Preparation::new(2, 2, 3).fitted(Fit::CenterCrop { resize_short_side: 3 });
    assert_eq!(bytes(&crop, &image), GOLDEN_CROP);
}

const GOLDEN_STRETCH: [u8; 6] = [110, 122, 132, 124, 133, 117];
const GOLDEN_CROP: [u8; 12] = [152, 96, 133, 167, 94, 108, 107, 136, 137, 121, 119, 144];

#[test]
fn a_centre_crop_takes_the_middle() {
    let data = (0..8 * 4).flat_map(|at| [(at % 8) as u8 * 30; 3]).collect();
    let image = Pixels::new(8, 4, 3, data).unwrap();
    let crop = Preparation::new(4, 4, 1).fitted(Fit::CenterCrop { resize_short_side: 4 });
    assert_eq!(bytes(&crop, &image)[..4], [60, 90, 120, 150]);
}

#[test]
fn a_sliver_of_an_image_needs_no_huge_memory() {
    let image = picture(1, 16_000);
    let crop = Preparation::new(224, 224, 3).fitted(Fit::CenterCrop { resize_short_side: 256 });
    assert_eq!(bytes(&crop, &image).len(), 224 * 224 * 3);
}

#[test]
fn impossible_preparations_are_refused() {
    let good = Preparation::new(8, 8, 3);
    let crop = Fit::CenterCrop { resize_short_side: 7 };
    let nan = good.clone().normalised([0.0, f32::NAN, 0.0], [1.0; 3]);
    let flat = good.clone().normalised([0.0; 3], [1.0, 0.0, 1.0]);
    type Check = fn(&DataError) -> bool;
    let cases: [(Preparation, Check); 8] = [
        (Preparation::new(0, 8, 3), |e| matches!(e, DataError::PreparedSize { .. })),
        (Preparation::new(8, 5000, 3), |e| matches!(e, DataError::PreparedSize { .. })),
        (Preparation::new(8, 8, 2), |e| matches!(e, DataError::Channels { channels: 2 })),
        (good.clone().fitted(crop), |e| matches!(e, DataError::CropTooLarge { .. })),
        (good.clone().normalised([0.0; 2], [1.0; 3]), |e| matches!(e, DataError::StatisticsCount { .. })),
        (good.clone().normalised([0.0; 3], [1.0; 4]), |e| matches!(e, DataError::StatisticsCount { .. })),
        (nan, |e| matches!(e, DataError::Statistics { channel: 1, .. })),
        (flat, |e| matches!(e, DataError::Statistics { channel: 1, .. })),
    ];
    for (preparation, check) in cases {
        let error = preparation.validate().unwrap_err();
        assert!(check(&error), "{error}");
        assert!(preparation.prepare(&picture(4, 4)).is_err());
    }
}

#[test]
fn pixels_that_contradict_themselves_are_refused() {
    let mut image = picture(4, 4);
    image.data.pop();
    for side in [4, 9] {
        let result = Preparation::new(side, side, 3).prepare(&image);
        assert!(matches!(result, Err(DataError::PixelCount { .. })));
    }
    let mut image = picture(4, 4);
    image.width = usize::MAX;
    assert!(Preparation::new(4, 4, 3).prepare(&image).is_err());
    image.width = 0;
    assert!(Preparation::new(4, 4, 3).prepare(&image).is_err());
}

#[test]
fn a_manifest_keeps_a_preparation() {
    let preparation = Preparation::new(112, 96, 3)
        .normalised([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        .fitted(Fit::CenterCrop { resize_short_side: 128 });
    let json = serde_json::to_string(&preparation).unwrap();
    assert_eq!(serde_json::from_str::<Preparation>(&json).unwrap(), preparation);
    let unknown = json.replace("\"height\"", "\"depth\":1,\"height\"");
    assert!(serde_json::from_str::<Preparation>(&unknown).is_err());
}

#[test]
fn statistics_are_those_of_the_pixels() {
    let images = [0, 255].map(|value| Pixels::new(2, 2, 1, vec![value; 4]).unwrap());
    let dataset = Dataset::from_pixels("p", &["a"], images.to_vec(), &[0, 0]).unwrap();
    let measure = |most| ChannelStatistics::measure(&dataset, &Preparation::new(2, 2, 3), most, 1);
    let both = measure(10).unwrap();
    assert_eq!((both.mean, both.std, both.images), (vec![0.5; 3], vec![0.5; 3], 2));
    let one = measure(1).unwrap();
    assert!((one.std[0] - 1.0 / 255.0).abs() < 1e-6, "a flat image must not give a zero");
    assert!(measure(0).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_image_gives_finite_values_of_the_promised_shape(
        (width, height) in (1_usize..40, 1_usize..40),
        (to_width, to_height) in (1_usize..40, 1_usize..40),
        channels in prop::sample::select(vec![1_usize, 3]),
        crop in any::<bool>(),
    ) {
        let fit = match crop {
            true => Fit::CenterCrop { resize_short_side: to_width.max(to_height) + 3 },
            false => Fit::Stretch,
        };
        let preparation = Preparation::new(to_height, to_width, channels).fitted(fit);
        let image = picture(width, height);
        let values = preparation.prepare(&image).unwrap();
        prop_assert_eq!(values.len(), preparation.shape().iter().product::<usize>());
        prop_assert!(values.iter().all(|v| (-1.0..=1.0).contains(v)));
        prop_assert_eq!(&values, &preparation.prepare(&image).unwrap());
        prop_assert_eq!(preparation.restore(&values).unwrap(), preparation.fit_pixels(&image).unwrap());
    }

    #[test]
    fn a_flat_image_stays_flat(value in any::<u8>(), width in 1_usize..50, height in 1_usize..50) {
        let image = Pixels::new(width, height, 3, vec![value; width * height * 3]).unwrap();
        let fitted = Preparation::new(17, 23, 3).fit_pixels(&image).unwrap();
        prop_assert!(fitted.data.iter().all(|&v| v == value));
    }
}

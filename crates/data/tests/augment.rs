//! Augmentation: every change alone, all together, and what is kept of them in a file.

#![allow(clippy::unwrap_used)] // helpers of tests may stop the test

mod common;

use cleave_data::{Augmentation, Batch, DataError, Dataset, LoadOptions, Loader, Pixels, Preparation, RandAugment};
use common::{collect, essence};
use proptest::prelude::*;

const NONE: Augmentation =
    Augmentation { shift: 0, enlarge: false, flip: 0.0, crop: 0.0, rand_augment: None, jitter: 0.0, erase: 0.0 };

/// The recipe for ConvMixer on CIFAR-10, with a shift on top.
const ALL: Augmentation = Augmentation {
    shift: 2,
    flip: 0.5,
    crop: 0.75,
    rand_augment: Some(RandAugment { operations: 1, magnitude: 8 }),
    jitter: 0.1,
    erase: 0.25,
    ..NONE
};

/// `count` images of values from 1 to 251, no two alike.
fn pictures(count: usize, [width, height]: [usize; 2], channels: usize) -> Dataset {
    let byte = |at: usize, i: usize| (1 + (i * 7 + i / width * 13 + at * 31) % 251) as u8;
    let data = |at| (0..width * height * channels).map(|i| byte(at, i)).collect();
    let images = (0..count).map(|at| Pixels::new(width, height, channels, data(at)).unwrap()).collect();
    Dataset::from_pixels("p", &["a"], images, &vec![0; count]).unwrap()
}

/// In the dataset's order, prepared to 16 by 16 in the bytes' own units.
fn loader(dataset: &Dataset, channels: usize, augmentation: Augmentation, options: LoadOptions) -> Loader {
    let preparation = Preparation::new(16, 16, channels).normalised(vec![0.0; channels], vec![1.0 / 255.0; channels]);
    let options = LoadOptions { augmentation: Some(augmentation), ..options };
    Loader::new(dataset.clone(), preparation, options).unwrap()
}

/// One epoch of images, each `[channels, 16, 16]`.
fn epoch(dataset: &Dataset, channels: usize, augmentation: Augmentation, number: u64) -> Vec<Vec<f32>> {
    let options = LoadOptions { workers: 2, ..LoadOptions::evaluation(64) };
    let batches = collect(&loader(dataset, channels, augmentation, options), number, 0);
    let images = |batch: Batch| batch.images.chunks(channels * 256).map(<[f32]>::to_vec).collect::<Vec<_>>();
    batches.into_iter().flat_map(images).collect()
}

#[test]
fn batches_depend_on_seed_epoch_and_sample_alone() {
    let dataset = pictures(50, [16, 16], 3);
    let with = |seed, options| loader(&dataset, 3, ALL, LoadOptions { batch_size: 8, shuffle: true, seed, ..options });
    let one = LoadOptions { workers: 1, ..LoadOptions::default() };
    let base = collect(&with(1, one.clone()), 3, 0);
    for (workers, prefetch, cache_bytes) in [(2, 1, 0), (4, 9, 1 << 20), (3, 2, 4000)] {
        let other = with(1, LoadOptions { workers, prefetch, cache_bytes, ..one.clone() });
        collect(&other, 0, 0);
        assert_eq!(essence(&base), essence(&collect(&other, 3, 0)));
        assert_eq!(essence(&base[4..]), essence(&collect(&other, 3, 4)));
    }
    assert_ne!(essence(&base), essence(&collect(&with(2, one.clone()), 3, 0)));
    assert_ne!(essence(&base), essence(&collect(&with(1, one), 4, 0)));
}

#[test]
fn each_sample_is_changed_in_its_own_way() {
    let same = vec![Pixels::new(16, 16, 1, (0..=255).collect()).unwrap(); 8];
    let dataset = Dataset::from_pixels("p", &["a"], same, &[0; 8]).unwrap();
    let images = epoch(&dataset, 1, Augmentation { crop: 0.5, jitter: 0.5, ..NONE }, 0);
    for (at, image) in images.iter().enumerate() {
        assert!(!images[..at].contains(image));
    }
}

#[test]
fn later_fields_leave_shift_and_flip_as_they_are() {
    let idle = Some(RandAugment { operations: 0, magnitude: 0 });
    for channels in [1, 3] {
        for (side, enlarge) in [(16, false), (22, true)] {
            let dataset = pictures(30, [side, side], channels);
            let old = Augmentation { shift: 3, enlarge, flip: 0.5, ..NONE };
            let new = Augmentation { rand_augment: idle, ..old };
            assert_eq!(epoch(&dataset, channels, old, 7), epoch(&dataset, channels, new, 7));
        }
    }
}

#[test]
fn erasing_changes_exactly_a_rectangle() {
    let dataset = pictures(100, [16, 16], 3);
    let old = Augmentation { shift: 2, flip: 0.5, ..NONE };
    let whole = epoch(&dataset, 3, old, 1);
    let erased = epoch(&dataset, 3, Augmentation { erase: 1.0, ..old }, 1);
    for (whole, erased) in whole.iter().zip(&erased) {
        let is_changed = |at: usize| whole[at] != erased[at];
        let changed: Vec<usize> = (0..256).filter(|&at| is_changed(at)).collect();
        let (rows, columns) = (changed.iter().map(|at| at / 16), changed.iter().map(|at| at % 16));
        let (top, bottom) = (rows.clone().min().unwrap(), rows.max().unwrap());
        let (left, right) = (columns.clone().min().unwrap(), columns.max().unwrap());
        for (at, &value) in erased.iter().enumerate() {
            let (y, x) = (at % 256 / 16, at % 16);
            let within = (top..=bottom).contains(&y) && (left..=right).contains(&x);
            assert_eq!(is_changed(at), within);
            assert!(!within || value == 0.0);
        }
    }
}

#[test]
fn images_are_erased_as_often_as_was_asked_for() {
    let dataset = pictures(2000, [16, 16], 1);
    let images = epoch(&dataset, 1, Augmentation { erase: 0.25, ..NONE }, 0);
    // No picture holds the value 0.
    let erased = images.iter().filter(|image| image.contains(&0.0)).count();
    assert!((440..=560).contains(&erased), "{erased} of 500");
}

/// Grey levels that grow by 12 from column to column.
fn ramp(count: usize) -> Dataset {
    let image = Pixels::new(16, 16, 1, (0..256).map(|at| (at % 16 * 12) as u8).collect()).unwrap();
    Dataset::from_pixels("p", &["a"], vec![image; count], &vec![0; count]).unwrap()
}

#[test]
fn a_crop_shows_a_part_of_the_wanted_size_anywhere() {
    let images = epoch(&ramp(1000), 1, Augmentation { crop: 0.25, ..NONE }, 0);
    let (mut smallest, mut largest, mut left_most, mut right_most) = (f32::MAX, 0_f32, 0, 0);
    for image in &images {
        assert!(image.chunks(16).all(|row| row == &image[..16]), "rows of a ramp are alike");
        // Away from the ends, a crop of n columns grows by 12 · n / 16 from column to column.
        let width = (image[12] - image[4]) / 8.0 / 12.0 * 16.0;
        (smallest, largest) = (smallest.min(width), largest.max(width));
        left_most += usize::from(image[0] == 0.0);
        right_most += usize::from(image[15] == 180.0);
    }
    assert!((7.5..8.5).contains(&smallest) && (15.5..16.5).contains(&largest), "{smallest} to {largest}");
    assert!(left_most > 50 && right_most > 50 && left_most < 500 && right_most < 500, "{left_most} {right_most}");
}

#[test]
fn the_share_of_a_crop_is_uniform() {
    let images = epoch(&ramp(1000), 1, Augmentation { crop: 0.25, ..NONE }, 0);
    let share = |image: &Vec<f32>| f64::from((image[12] - image[4]) / 96.0).powi(2);
    let mean = images.iter().map(share).sum::<f64>() / 1000.0;
    assert!((mean - 0.625).abs() < 0.03, "{mean}");
}

#[test]
fn a_crop_of_everything_changes_nothing() {
    let dataset = pictures(20, [16, 16], 3);
    assert_eq!(epoch(&dataset, 3, Augmentation { crop: 1.0, ..NONE }, 0), epoch(&dataset, 3, NONE, 0));
}

#[test]
fn the_smallest_crop_is_one_pixel() {
    let options =
        LoadOptions { augmentation: Some(Augmentation { crop: 0.01, ..NONE }), ..LoadOptions::evaluation(50) };
    let loader = Loader::new(pictures(50, [1, 1], 1), Preparation::new(1, 1, 1), options).unwrap();
    let images = collect(&loader, 0, 0).remove(0).images;
    // No picture is black, as a crop of nothing would be.
    assert!(images.len() == 50 && images.iter().all(|&value| value > -1.0));
}

#[test]
fn jitter_stays_within_its_bounds_and_fills_them() {
    // Contrast and saturation do nothing to an image of one grey.
    let flat = Pixels::new(16, 16, 3, vec![100; 768]).unwrap();
    let dataset = Dataset::from_pixels("p", &["a"], vec![flat; 500], &[0; 500]).unwrap();
    let images = epoch(&dataset, 3, Augmentation { jitter: 0.2, ..NONE }, 0);
    let levels: Vec<i64> = images.iter().map(|image| image[0].round() as i64).collect();
    assert!(images.iter().all(|image| image.iter().all(|value| (value - image[0]).abs() < 0.01)));
    // Contrast moves a level by one, where cutting to whole numbers has left it below the mean.
    assert!((79..=82).contains(levels.iter().min().unwrap()), "{:?}", levels.iter().min());
    assert!((118..=120).contains(levels.iter().max().unwrap()), "{:?}", levels.iter().max());
}

#[test]
fn jitter_changes_contrast_and_saturation_too() {
    let data = (0..256).flat_map(|at| [[160, 100, 100], [140; 3], [60; 3]][at % 3]).collect();
    let image = Pixels::new(16, 16, 3, data).unwrap();
    let dataset = Dataset::from_pixels("p", &["a"], vec![image; 200], &[0; 200]).unwrap();
    let images = epoch(&dataset, 3, Augmentation { jitter: 0.3, ..NONE }, 0);
    let spread = |of: fn(&Vec<f32>) -> f32| {
        let of: Vec<f32> = images.iter().map(of).collect();
        of.iter().copied().fold(f32::MIN, f32::max) / of.iter().copied().fold(f32::MAX, f32::min)
    };
    // Of the quotient of two greys brightness and saturation cancel out; of the quotient of a
    // pixel's range and the difference of two greys brightness and contrast do.
    let (contrast, saturation) =
        (spread(|image| image[1] / image[2]), spread(|image| (image[0] - image[256]) / (image[1] - image[2])));
    assert!(contrast > 1.3 && saturation > 1.6, "{contrast} {saturation}");
}

#[test]
fn jitter_has_no_fixed_order() {
    let data = (0..256).map(|at| if at % 2 == 0 { 0 } else { 255 }).collect();
    let image = Pixels::new(16, 16, 1, data).unwrap();
    let dataset = Dataset::from_pixels("p", &["a"], vec![image; 2000], &[0; 2000]).unwrap();
    let images = epoch(&dataset, 1, Augmentation { jitter: 1.0, ..NONE }, 0);
    // More brightness changes nothing in black and white, but something in what a lower contrast
    // has left of them: black and white stay symmetrical in 1/2 of all cases with brightness
    // first, in 1/4 with contrast first, in 3/8 with either.
    let symmetrical = images.iter().filter(|image| (image[0] + image[1] - 255.0).abs() < 1.5).count();
    assert!((670..=830).contains(&symmetrical), "{symmetrical} of 750");
}

#[test]
fn earlier_settings_are_read_and_written_as_they_were() {
    let text = r#"{"shift":4,"enlarge":true,"flip":0.5}"#;
    let old: Augmentation = serde_json::from_str(text).unwrap();
    assert_eq!(old, Augmentation { shift: 4, enlarge: true, flip: 0.5, ..NONE });
    assert_eq!(serde_json::to_string(&old).unwrap(), text);
    assert_eq!(Augmentation::default(), NONE);
}

#[test]
fn all_settings_survive_a_file_and_unknown_ones_are_refused() {
    let text = serde_json::to_string(&ALL).unwrap();
    assert_eq!(serde_json::from_str::<Augmentation>(&text).unwrap(), ALL);
    assert!(serde_json::from_str::<Augmentation>(r#"{"cropp":0.5}"#).is_err());
    let more = r#"{"rand_augment":{"operations":1,"magnitude":8,"bins":31}}"#;
    assert!(serde_json::from_str::<Augmentation>(more).is_err());
}

#[test]
fn impossible_settings_are_refused_by_name() {
    let rand_augment = |operations, magnitude| Some(RandAugment { operations, magnitude });
    for (wrong, named) in [
        (Augmentation { crop: -0.1, ..NONE }, "crop"),
        (Augmentation { crop: 1.1, ..NONE }, "crop"),
        (Augmentation { jitter: f64::NAN, ..NONE }, "jitter"),
        (Augmentation { jitter: 1.5, ..NONE }, "jitter"),
        (Augmentation { erase: f64::INFINITY, ..NONE }, "erase"),
        (Augmentation { rand_augment: rand_augment(17, 3), ..NONE }, "rand_augment.operations"),
        (Augmentation { rand_augment: rand_augment(1, 31), ..NONE }, "rand_augment.magnitude"),
    ] {
        let error = wrong.validate().unwrap_err();
        assert!(matches!(error, DataError::Augmentation { setting, .. } if setting == named), "{error}");
        let options = LoadOptions { augmentation: Some(wrong), ..LoadOptions::default() };
        assert!(Loader::new(pictures(1, [4, 4], 1), Preparation::new(4, 4, 1), options).is_err());
    }
    assert!(ALL.validate().is_ok());
    assert!(
        Augmentation { crop: 1.0, jitter: 1.0, erase: 1.0, rand_augment: rand_augment(16, 30), ..NONE }
            .validate()
            .is_ok()
    );
}

fn settings() -> impl Strategy<Value = Augmentation> {
    let rand_augment =
        (0_usize..4, 0_usize..=30).prop_map(|(operations, magnitude)| RandAugment { operations, magnitude });
    let rand_augment = prop::option::of(rand_augment);
    let moves = (0_usize..5, any::<bool>(), 0.0..=1.0);
    (moves, 0.0..=1.0, rand_augment, 0.0..=1.0, 0.0..=1.0).prop_map(
        |((shift, enlarge, flip), crop, rand_augment, jitter, erase)| Augmentation {
            shift,
            enlarge,
            flip,
            crop,
            rand_augment,
            jitter,
            erase,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_settings_give_finite_images_of_the_right_size(
        augmentation in settings(),
        (width, height) in (1_usize..20, 1_usize..20),
        channels in prop_oneof![Just(1_usize), Just(3)],
        number in 0_u64..1000,
    ) {
        let preparation = Preparation::new(height, width, channels);
        let options = LoadOptions { augmentation: Some(augmentation), ..LoadOptions::training(4, 9) };
        let loader = Loader::new(pictures(6, [11, 13], channels), preparation, options).unwrap();
        let batches = collect(&loader, number, 0);
        prop_assert_eq!(batches.iter().map(Batch::len).sum::<usize>(), 6);
        for batch in batches {
            prop_assert_eq!(batch.images.len(), batch.len() * channels * height * width);
            // Bytes are mapped to -1..=1, and the mean, 0, is among them.
            prop_assert!(batch.images.iter().all(|value| (-1.0..=1.0).contains(value)));
        }
    }
}

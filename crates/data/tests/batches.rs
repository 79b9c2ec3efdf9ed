//! Batches: determinism, resuming, augmentation, broken images, and stopping early.

#![allow(clippy::unwrap_used)] // helpers of tests may stop the test

mod common;

use cleave_data::{
    Augmentation, DataError, Dataset, LoadOptions, Loader, OpenOptions, Pixels, Preparation, RandAugment, Shapes,
};
use common::{collect, essence, image, png, write};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tempfile::{TempDir, tempdir};

fn shapes(len: usize) -> Dataset {
    Shapes::new(3, 20, 5).unwrap().dataset("train", len)
}

fn loader(dataset: Dataset, options: LoadOptions) -> Loader {
    Loader::new(dataset, Preparation::new(16, 16, 3), options).unwrap()
}

fn training(workers: usize) -> LoadOptions {
    LoadOptions { workers, augmentation: Some(Augmentation::shift_and_flip(3)), ..LoadOptions::training(8, 42) }
}

#[test]
fn batches_do_not_depend_on_workers_prefetch_or_cache() {
    let base = collect(&loader(shapes(50), training(1)), 3, 0);
    assert_eq!(base.len(), 7);
    assert_eq!(base[6].shape, [2, 3, 16, 16]);
    for (workers, prefetch, cache_bytes) in [(2, 1, 0), (4, 9, 1 << 20), (3, 2, 4000)] {
        let options = LoadOptions { prefetch, cache_bytes, ..training(workers) };
        let other = loader(shapes(50), options);
        collect(&other, 0, 0);
        assert_eq!(essence(&base), essence(&collect(&other, 3, 0)));
        assert!(other.cached_bytes() <= cache_bytes);
    }
}

#[test]
fn resuming_in_the_middle_gives_the_remaining_batches() {
    let full = collect(&loader(shapes(50), training(2)), 1, 0);
    for first in [0, 1, 4, 6, 7, 100] {
        let rest = collect(&loader(shapes(50), training(2)), 1, first);
        assert_eq!(essence(&full[first.min(7)..]), essence(&rest));
    }
}

#[test]
fn an_epoch_holds_every_sample_once_and_no_two_epochs_agree() {
    let loader = loader(shapes(50), training(2));
    let order =
        |epoch| -> Vec<usize> { collect(&loader, epoch, 0).into_iter().flat_map(|batch| batch.indices).collect() };
    assert_ne!(order(0), order(1));
    let mut sorted = order(0);
    sorted.sort_unstable();
    assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    for batch in collect(&loader, 0, 0) {
        for (&label, &index) in batch.labels.iter().zip(&batch.indices) {
            assert_eq!(loader.dataset().label(index), Some(label));
        }
    }
}

#[test]
fn evaluation_keeps_the_order_and_can_drop_the_rest() {
    let options = LoadOptions { drop_last: true, ..LoadOptions::evaluation(8) };
    let loader = loader(shapes(50), options);
    let batches = collect(&loader, 0, 0);
    assert_eq!((batches.len(), loader.batches()), (6, 6));
    assert_eq!(batches[1].indices, (8..16).collect::<Vec<_>>());
    let alone = loader.preparation().prepare(&loader.dataset().decode(9).unwrap()).unwrap();
    assert_eq!(batches[1].images[768..2 * 768], alone);
}

#[test]
fn impossible_settings_are_refused() {
    let with = |options| Loader::new(shapes(4), Preparation::new(16, 16, 3), options);
    assert!(matches!(with(LoadOptions::evaluation(0)), Err(DataError::EmptyBatch)));
    for (shift, flip) in [(2000, 0.5), (1, 1.5), (1, f64::NAN)] {
        let augmentation = Some(Augmentation { shift, flip, ..Augmentation::default() });
        let options = LoadOptions { augmentation, ..LoadOptions::default() };
        assert!(matches!(with(options), Err(DataError::Augmentation { .. })));
    }
}

#[test]
fn an_empty_dataset_gives_no_batch() {
    let dataset = Dataset::from_pixels("none", &["a"], Vec::new(), &[]).unwrap();
    assert!(collect(&loader(dataset, training(2)), 0, 0).is_empty());
}

/// Twelve images, of which `broken` are damaged: one empty, one cut, one text.
fn folder(broken: &[usize]) -> TempDir {
    let root = tempdir().unwrap();
    for index in 0..12 {
        let mut bytes = png(index as u8);
        match broken.iter().position(|&b| b == index) {
            Some(0) => bytes.clear(),
            Some(1) => bytes.truncate(40),
            Some(_) => bytes = b"GIF89a".to_vec(),
            None => {}
        }
        let class = ["a", "b"][index % 2];
        write(root.path(), &format!("{class}/{index:02}.png"), &bytes);
    }
    root
}

#[test]
fn broken_images_are_left_out_counted_and_named() {
    let root = folder(&[2, 3, 8]);
    let dataset = Dataset::open(root.path(), &OpenOptions::default()).unwrap();
    let loader = loader(dataset, training(2));
    for epoch in 0..2 {
        let batches = collect(&loader, epoch, 0);
        let images: usize = batches.iter().map(|batch| batch.len()).sum();
        let faults: usize = batches.iter().map(|batch| batch.faults.len()).sum();
        assert_eq!((images, faults), (9, 3));
    }
    let faults = loader.faults();
    let names: Vec<&str> = faults.iter().map(|fault| fault.name.as_str()).collect();
    assert_eq!(names, ["a/02.png", "a/08.png", "b/03.png"]);
    let text = faults.to_string();
    assert!(text.starts_with("3 broken images") && text.contains("a/08.png"), "{text}");
}

#[test]
fn a_batch_of_broken_images_alone_is_left_out_but_counted() {
    let root = folder(&[0, 2]);
    let dataset = Dataset::open(root.path(), &OpenOptions::default()).unwrap();
    let loader = loader(dataset, LoadOptions::evaluation(2));
    let batches = collect(&loader, 0, 0);
    assert_eq!(batches.iter().map(|batch| batch.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(loader.faults().len(), 2);
}

#[test]
fn strict_stops_at_the_first_broken_image_and_names_it() {
    let root = folder(&[6]);
    let options = OpenOptions { strict: true, ..OpenOptions::default() };
    let dataset = Dataset::open(root.path(), &options).unwrap();
    let loader = loader(dataset, LoadOptions::evaluation(2));
    let mut batches = loader.epoch(0).unwrap();
    assert!(batches.next().unwrap().is_ok());
    let error = batches.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("a/06.png"), "{error}");
    assert!(batches.next().is_none());
}

#[test]
fn dropping_the_iterator_stops_the_workers() {
    let loader = loader(shapes(100_000), training(2));
    let start = std::time::Instant::now();
    let mut batches = loader.epoch(0).unwrap();
    batches.next().unwrap().unwrap();
    drop(batches);
    assert!(start.elapsed().as_secs() < 10);
    // Four batches may wait and two may be in the making, beside the one that was taken.
    assert!(loader.cached_bytes() <= 7 * 8 * 16 * 16 * 3);
}

/// The values of a batch of one plain image whose pixels say where they come from.
fn augmented(augmentation: Augmentation, epoch: u64, side: usize) -> Vec<f32> {
    let data = (0..100).flat_map(|at| [at as u8; 3]).collect();
    let picture = Pixels::new(10, 10, 3, data).unwrap();
    let dataset = Dataset::from_pixels("p", &["a"], vec![picture], &[0]).unwrap();
    let preparation = Preparation::new(side, side, 1).normalised([0.0], [1.0 / 255.0]);
    let options = LoadOptions { augmentation: Some(augmentation), ..LoadOptions::training(1, 9) };
    let loader = Loader::new(dataset, preparation, options).unwrap();
    collect(&loader, epoch, 0).remove(0).images
}

/// The start of the SHA-256 of three epochs of images of `side` by `side` pixels, prepared at 16 by 16.
fn summed(augmentation: Augmentation, side: usize, channels: usize) -> String {
    let picture = |at: usize| {
        let byte = |i: usize| (i * 7 + i / side * 13 + at * 31) as u8;
        Pixels::new(side, side, channels, (0..side * side * channels).map(byte).collect()).unwrap()
    };
    let dataset = Dataset::from_pixels("p", &["a"], (0..20).map(picture).collect(), &[0; 20]).unwrap();
    let options = LoadOptions { augmentation: Some(augmentation), ..training(2) };
    let loader = Loader::new(dataset, Preparation::new(16, 16, channels), options).unwrap();
    let mut sum = Sha256::new();
    for value in (0..3).flat_map(|epoch| collect(&loader, epoch, 0)).flat_map(|batch| batch.images) {
        sum.update(value.to_le_bytes());
    }
    sum.finalize()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The sums were taken before there was anything but shift and flip, so that a run from then goes on.
#[test]
fn shift_and_flip_draw_what_they_always_drew() {
    let old = Augmentation::shift_and_flip(3);
    assert_eq!(summed(old, 16, 3), "4aecc8ca");
    assert_eq!(summed(old, 16, 1), "072f77e7");
    assert_eq!(summed(Augmentation { enlarge: true, ..old }, 22, 3), "3f341899");
    assert_eq!(summed(Augmentation::default(), 16, 3), "09976d1f");
}

/// Without a crop, whose resizing another machine might round in another way.
#[test]
fn changes_of_bytes_draw_what_they_always_drew() {
    let rand_augment = Some(RandAugment { operations: 2, magnitude: 8 });
    let all = Augmentation { rand_augment, jitter: 0.1, erase: 0.25, ..Augmentation::shift_and_flip(3) };
    assert_eq!(summed(all, 16, 3), "63157dc9");
    assert_eq!(summed(all, 16, 1), "7b62f765");
}

#[test]
fn a_certain_flip_mirrors_and_nothing_else() {
    let flip = Augmentation { flip: 1.0, ..Augmentation::default() };
    let values = augmented(flip, 0, 10);
    let expected = (0..100).map(|at| (at / 10 * 10 + 9 - at % 10) as f32);
    assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_shift_stays_within_its_bounds(shift in 0_usize..12, epoch in 0_u64..1000) {
        let augmentation = Augmentation { shift, ..Augmentation::default() };
        let values = augmented(augmentation, epoch, 10);
        let at = |y: usize, x: usize| values[y * 10 + x].round() as i64;
        // One shift explains all pixels.
        let reach = shift as i64;
        let explains = |dy: i64, dx: i64| (0..10).all(|y| (0..10).all(|x| {
            let (from_y, from_x) = ((y as i64 + dy).clamp(0, 9), (x as i64 + dx).clamp(0, 9));
            at(y, x) == from_y * 10 + from_x
        }));
        prop_assert!((-reach..=reach).any(|dy| (-reach..=reach).any(|dx| explains(dy, dx))));
    }

    #[test]
    fn an_enlarged_shift_cuts_a_window_without_borders(epoch in 0_u64..1000) {
        let augmentation = Augmentation { shift: 2, enlarge: true, ..Augmentation::default() };
        let values = augmented(augmentation, epoch, 6);
        let first = values[0];
        for (at, value) in values.iter().enumerate() {
            let expected = first + (at / 6 * 10 + at % 6) as f32;
            prop_assert!((value - expected).abs() < 1e-3);
        }
    }

    #[test]
    fn any_sizes_give_whole_batches(len in 0_usize..30, size in 1_usize..12, workers in 1_usize..5) {
        let images: Vec<Pixels> = (0..len).map(|at| image(at as u8, 4)).collect();
        let dataset = Dataset::from_pixels("p", &["a"], images, &vec![0; len]).unwrap();
        let options = LoadOptions { workers, ..LoadOptions::training(size, 1) };
        let loader = Loader::new(dataset, Preparation::new(4, 4, 3), options).unwrap();
        let batches = collect(&loader, 0, 0);
        prop_assert_eq!(batches.len(), loader.batches());
        prop_assert_eq!(batches.iter().map(|batch| batch.len()).sum::<usize>(), len);
        for batch in &batches {
            prop_assert_eq!(batch.images.len(), batch.shape.iter().product::<usize>());
        }
    }
}

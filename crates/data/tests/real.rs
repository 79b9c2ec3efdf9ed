//! Real data: counts, labels and a decode of some images. `CLEAVE_DATA` names the folder; where it
//! was not set when these tests were built, they report themselves as ignored.

#![allow(clippy::unwrap_used)] // helpers of tests may stop the test

use std::path::PathBuf;

use cleave_data::{Dataset, Glyphs, LoadOptions, Loader, OpenOptions, Preparation};

fn open(path: &str, split: &str) -> Dataset {
    let root = PathBuf::from(std::env::var_os("CLEAVE_DATA").unwrap());
    Dataset::open(root.join(path), &OpenOptions::split(split)).unwrap()
}

/// Every 50th image through the whole pipeline; all of them must decode.
fn sample(dataset: &Dataset, side: usize) {
    let indices: Vec<usize> = (0..dataset.len()).step_by(50).collect();
    let some = dataset.subset(&indices).unwrap();
    let preparation = Preparation::new(side, side, 3);
    let loader = Loader::new(some, preparation, LoadOptions::evaluation(32)).unwrap();
    let images: usize = loader.epoch(0).unwrap().map(|batch| batch.unwrap().len()).sum();
    assert_eq!(images, indices.len(), "{}", loader.faults());
}

#[test]
#[cfg_attr(not(real_data), ignore = "set CLEAVE_DATA to the folder of real data")]
fn dogs_vs_cats_is_complete() {
    for (split, each) in [("train", 10_000), ("val", 1_500)] {
        let dataset = open("dogs-vs-cats/dogs-vs-cats-128.tar", split);
        assert_eq!(dataset.classes(), ["cat", "dog"]);
        assert_eq!(dataset.class_counts(), [each, each]);
        assert_eq!(dataset.skipped().total(), 0);
        assert!(dataset.name(0).starts_with(&format!("{split}/cat/cat.")));
        sample(&dataset, 112);
    }
}

#[test]
#[cfg_attr(not(real_data), ignore = "set CLEAVE_DATA to the folder of real data")]
fn mnist_is_complete() {
    for (split, count, ones) in [("train", 60_000, 6_742), ("test", 10_000, 1_135)] {
        let dataset = open("mnist", split);
        let counts = dataset.class_counts();
        assert_eq!((dataset.len(), counts[1]), (count, ones));
        assert!(counts.iter().all(|&n| n * 100 > 8 * count && n * 100 < 12 * count), "{counts:?}");
        sample(&dataset, 28);
    }
    let first: Vec<usize> = open("mnist", "train").labels().take(10).collect();
    assert_eq!(first, [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
}

#[test]
#[cfg_attr(not(real_data), ignore = "set CLEAVE_DATA to the folder of real data")]
fn mnist_gives_glyphs() {
    let root = PathBuf::from(std::env::var_os("CLEAVE_DATA").unwrap());
    let glyphs = Glyphs::from_mnist(root.join("mnist"), "train", &[0, 1]).unwrap();
    assert_eq!((glyphs.len(0), glyphs.len(1), glyphs.len(2)), (5_923, 6_742, 0));
    let subset = glyphs.subset(100, 1).unwrap();
    assert_eq!(subset.to_bytes(&[0, 1], 100).unwrap().len(), 2 * 100 * 28 * 28);
}

#[test]
#[cfg_attr(not(real_data), ignore = "set CLEAVE_DATA to the folder of real data")]
fn cifar_10_is_complete() {
    for (split, each) in [("train", 5_000), ("test", 1_000)] {
        let dataset = open("cifar10/cifar10-jpg.tar.gz", split);
        assert_eq!(dataset.class_counts(), [each; 10]);
        assert_eq!(dataset.classes()[0], "airplane");
        sample(&dataset, 32);
    }
}

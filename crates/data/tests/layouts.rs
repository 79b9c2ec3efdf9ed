//! Every layout, made in a temporary folder; and what a damaged one is answered with.

#![allow(clippy::unwrap_used)] // helpers of tests may stop the test

mod common;

use std::path::Path;

use cleave_data::{DataError, Dataset, Images, Layout, OpenOptions};
use common::{gzip, idx, image, png, split_files, tar, write, write_all};
use proptest::prelude::*;
use tempfile::tempdir;

fn open(path: &Path) -> Result<Dataset, DataError> {
    Dataset::open(path, &OpenOptions::default())
}

fn open_split(path: &Path, split: &str) -> Result<Dataset, DataError> {
    Dataset::open(path, &OpenOptions::split(split))
}

fn contents(dataset: &Dataset) -> Vec<(String, usize, u8)> {
    let sample = |index| {
        let first = dataset.decode(index).unwrap().data[0];
        (dataset.name(index), dataset.label(index).unwrap(), first)
    };
    (0..dataset.len()).map(sample).collect()
}

#[test]
fn a_folder_with_splits_is_read_in_order_of_names() {
    let root = tempdir().unwrap();
    write_all(root.path(), &split_files());
    let train = open_split(root.path(), "train").unwrap();
    assert_eq!(train.classes(), ["cat", "dog"]);
    assert_eq!(train.splits(), ["train", "val"]);
    assert_eq!(train.class_counts(), [5, 5]);
    assert_eq!(contents(&train)[0], ("train/cat/0.png".into(), 0, 5));
    assert_eq!(contents(&train)[5], ("train/dog/0.png".into(), 1, 0));
    let skipped = train.skipped();
    assert_eq!((skipped.hidden, skipped.other, skipped.unlabelled), (2, 1, 0));
    for alias in ["val", "valid", "validation"] {
        assert_eq!(open_split(root.path(), alias).unwrap().len(), 4);
    }
    assert_eq!(open(root.path()).unwrap().len(), 14);
}

#[test]
fn an_image_beside_the_splits_does_not_turn_them_into_classes() {
    let root = tempdir().unwrap();
    write_all(root.path(), &split_files());
    write(root.path(), "banner.png", &png(1));
    let dataset = open(root.path()).unwrap();
    assert_eq!(dataset.classes(), ["cat", "dog"]);
    assert_eq!((dataset.len(), dataset.skipped().unlabelled), (14, 1));
}

#[test]
fn a_class_may_be_called_train() {
    let root = tempdir().unwrap();
    for class in ["bus", "train"] {
        write(root.path(), &format!("{class}/0.png"), &png(1));
    }
    assert_eq!(open(root.path()).unwrap().classes(), ["bus", "train"]);
}

#[test]
fn a_missing_split_is_answered_with_those_there_are() {
    let root = tempdir().unwrap();
    write_all(root.path(), &split_files());
    let error = open_split(root.path(), "test").unwrap_err();
    assert!(matches!(&error, DataError::NoSplit { available, .. } if available == &["train", "val"]));
    assert!(error.to_string().contains("\"val\""));
}

#[test]
fn tar_and_gzipped_tar_equal_the_folder() {
    let root = tempdir().unwrap();
    let files = split_files();
    write_all(&root.path().join("folder"), &files);
    write(root.path(), "set.tar", &tar(&files));
    write(root.path(), "set.tar.gz", &gzip(&tar(&files)));
    let inside: Vec<_> = files.iter().map(|(name, bytes)| (format!("set-1.0/{name}"), bytes.clone())).collect();
    write(root.path(), "wrapped.tar", &tar(&inside));
    for split in ["train", "val"] {
        let folder = open_split(&root.path().join("folder"), split).unwrap();
        for name in ["set.tar", "set.tar.gz", "wrapped.tar"] {
            let archive = open_split(&root.path().join(name), split).unwrap();
            let mut inside = contents(&archive);
            for sample in &mut inside {
                sample.0 = sample.0.trim_start_matches("set-1.0/").to_owned();
            }
            assert_eq!(contents(&folder), inside, "{name}");
            assert_eq!(folder.skipped(), archive.skipped(), "{name}");
            assert_eq!(folder.classes(), archive.classes());
        }
    }
}

#[test]
fn the_later_of_two_entries_of_one_name_counts() {
    let root = tempdir().unwrap();
    // `tar` reverses its files, so that the first one here is the last one in the archive.
    let name = || "cat/0.png".to_owned();
    write(root.path(), "set.tar", &tar(&[(name(), png(9)), (name(), png(4))]));
    let dataset = open(&root.path().join("set.tar")).unwrap();
    assert_eq!(contents(&dataset), [("cat/0.png".into(), 0, 9)]);
}

#[test]
fn a_cut_tar_is_refused() {
    let root = tempdir().unwrap();
    let whole = tar(&split_files());
    write(root.path(), "cut.tar", &whole[..whole.len() / 2 - 700]);
    write(root.path(), "cut.tar.gz", &gzip(&whole)[..600]);
    for name in ["cut.tar", "cut.tar.gz"] {
        let error = open(&root.path().join(name)).unwrap_err();
        assert!(matches!(error, DataError::ArchiveCut { .. } | DataError::Io { .. }), "{error}");
    }
}

#[test]
fn a_gzipped_tar_beyond_the_memory_limit_is_refused() {
    let root = tempdir().unwrap();
    write(root.path(), "set.tar.gz", &gzip(&tar(&split_files())));
    let options = OpenOptions { memory: 500, ..OpenOptions::default() };
    let error = Dataset::open(root.path().join("set.tar.gz"), &options).unwrap_err();
    assert!(matches!(error, DataError::TooLarge { limit: 500, .. }));
}

#[test]
fn kaggle_names_give_the_class() {
    let root = tempdir().unwrap();
    for (name, number) in [("cat.0", 1), ("cat.10", 2), ("dog.0", 3), ("notes", 4)] {
        write(root.path(), &format!("train/{name}.png"), &png(number));
    }
    write(root.path(), "test/17.png", &png(9));
    let train = open_split(root.path(), "train").unwrap();
    assert_eq!(train.classes(), ["cat", "dog"]);
    assert_eq!(train.class_counts(), [2, 1]);
    assert_eq!(train.skipped().unlabelled, 2);
    let flat = open(&root.path().join("train")).unwrap();
    assert_eq!(flat.class_counts(), [2, 1]);
    assert!(flat.splits().is_empty());
    let forced = OpenOptions { layout: Layout::Kaggle, ..OpenOptions::default() };
    assert_eq!(Dataset::open(root.path(), &forced).unwrap().len(), 3);
}

#[test]
fn classes_are_chosen_and_ordered_by_the_caller() {
    let root = tempdir().unwrap();
    for class in ["ant", "bee", "cow"] {
        write(root.path(), &format!("{class}/0.png"), &png(class.as_bytes()[0]));
    }
    let pick = |classes: &[&str]| {
        let classes = Some(classes.iter().map(|&class| class.to_owned()).collect());
        Dataset::open(root.path(), &OpenOptions { classes, ..OpenOptions::default() })
    };
    let chosen = pick(&["cow", "ant"]).unwrap();
    assert_eq!(chosen.classes(), ["cow", "ant"]);
    assert_eq!(contents(&chosen), [("ant/0.png".to_owned(), 1, b'a'), ("cow/0.png".to_owned(), 0, b'c')]);
    assert!(matches!(pick(&["cat"]), Err(DataError::NoClass { .. })));
    assert!(matches!(pick(&["ant", "ant"]), Err(DataError::RepeatedClass { .. })));
}

#[test]
fn a_limit_draws_the_same_samples_for_the_same_seed() {
    let root = tempdir().unwrap();
    write_all(root.path(), &split_files());
    let limited = |seed| {
        let options = OpenOptions { limit: Some(2), seed, ..OpenOptions::split("train") };
        contents(&Dataset::open(root.path(), &options).unwrap())
    };
    assert_eq!(limited(1).len(), 4);
    assert_eq!(limited(1), limited(1));
    assert!((2..9).any(|seed| limited(seed) != limited(1)));
}

#[test]
fn a_subset_keeps_the_order_given() {
    let root = tempdir().unwrap();
    write_all(root.path(), &split_files());
    let dataset = open_split(root.path(), "train").unwrap();
    let subset = dataset.subset(&[7, 0]).unwrap();
    assert_eq!(subset.name(0), dataset.name(7));
    assert_eq!((subset.len(), subset.label(1), subset.label(2)), (2, Some(0), None));
    assert!(matches!(dataset.subset(&[10]), Err(DataError::Index { index: 10, len: 10 })));
    assert!(matches!(dataset.decode(10), Err(DataError::Index { .. })));
}

#[test]
fn nothing_to_read_is_a_typed_error() {
    let root = tempdir().unwrap();
    assert!(matches!(open(root.path()), Err(DataError::NoImages { .. })));
    write(root.path(), "a.txt", b"text");
    assert!(matches!(open(root.path()), Err(DataError::NoImages { skipped: 1, .. })));
    assert!(matches!(open(&root.path().join("a.txt")), Err(DataError::UnknownLayout { .. })));
    assert!(matches!(open(&root.path().join("none")), Err(DataError::Io { .. })));
}

/// Three images of 2 x 2 pixels with the labels 7, 0 and 9.
fn write_idx(root: &Path, start: &str, zip: bool) {
    let files = [
        ("images-idx3", idx(0x803, &[3, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])),
        ("labels-idx1", idx(0x801, &[3], &[7, 0, 9])),
    ];
    for (what, bytes) in files {
        match zip {
            true => write(root, &format!("{start}-{what}-ubyte.gz"), &gzip(&bytes)),
            false => write(root, &format!("{start}-{what}-ubyte"), &bytes),
        }
    }
}

#[test]
fn idx_files_are_read_with_and_without_gzip() {
    let root = tempdir().unwrap();
    write_idx(root.path(), "train", true);
    write_idx(root.path(), "t10k", false);
    let both = open(root.path()).unwrap();
    assert_eq!((both.len(), both.classes().len()), (6, 10));
    for split in ["train", "test", "t10k"] {
        let set = open_split(root.path(), split).unwrap();
        assert_eq!(set.labels().collect::<Vec<_>>(), [7, 0, 9]);
        let image = set.decode(1).unwrap();
        assert_eq!((image.width, image.height, image.channels), (2, 2, 1));
        assert_eq!(image.data, [5, 6, 7, 8]);
    }
    assert_eq!(open_split(root.path(), "train").unwrap().name(2), "train/2");
    let pair = OpenOptions { classes: Some(vec!["9".into(), "0".into()]), ..OpenOptions::split("train") };
    let pair = Dataset::open(root.path(), &pair).unwrap();
    assert_eq!(pair.labels().collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn damaged_idx_files_are_typed_errors() {
    type Check = fn(&DataError) -> bool;
    let images = idx(0x803, &[1, 2, 2], &[1, 2, 3, 4]);
    let labels = idx(0x801, &[1], &[3]);
    let length: Check = |e| matches!(e, DataError::Length { .. });
    let cases: [(&[u8], &[u8], Check); 9] = [
        (&images[..19], &labels, length),
        (&images[..7], &labels, length),
        (&[], &labels, length),
        (&idx(0x803, &[1, 2, 2], &[1, 2, 3, 4, 5]), &labels, length),
        (&idx(0x803, &[1, 0, 2], &[]), &labels, |e| matches!(e, DataError::EmptyFile { .. })),
        (&labels, &labels, |e| matches!(e, DataError::Magic { expected: 0x803, .. } | DataError::Length { .. })),
        (&idx(0x803, &[u32::MAX; 3], &[]), &labels, |e| matches!(e, DataError::TooLarge { .. })),
        (&images, &idx(0x801, &[2], &[3, 3]), |e| matches!(e, DataError::LabelCount { images: 1, labels: 2, .. })),
        (&images, &idx(0x801, &[1], &[10]), |e| matches!(e, DataError::LabelRange { label: 10, .. })),
    ];
    for (number, (images, labels, check)) in cases.into_iter().enumerate() {
        let root = tempdir().unwrap();
        write(root.path(), "train-images-idx3-ubyte", images);
        write(root.path(), "train-labels-idx1-ubyte", labels);
        let error = open(root.path()).unwrap_err();
        assert!(check(&error), "case {number}: {error}");
    }
}

#[test]
fn idx_images_without_labels_name_the_missing_file() {
    let root = tempdir().unwrap();
    write(root.path(), "train-images-idx3-ubyte", &idx(0x803, &[1, 1, 1], &[1]));
    let error = open(root.path()).unwrap_err().to_string();
    assert!(error.contains("train-labels-idx1-ubyte"), "{error}");
}

fn cifar_record(label: u8, color: [u8; 3]) -> Vec<u8> {
    let planes = color.into_iter().flat_map(|value| [value; 1024]);
    std::iter::once(label).chain(planes).collect()
}

#[test]
fn cifar_records_are_read_with_their_splits() {
    let root = tempdir().unwrap();
    let inner = root.path().join("cifar-10-batches-bin");
    let first = [cifar_record(3, [1, 2, 3]), cifar_record(9, [4, 5, 6])].concat();
    write(&inner, "data_batch_1.bin", &first);
    write(&inner, "data_batch_2.bin", &cifar_record(0, [7, 8, 9]));
    write(&inner, "test_batch.bin", &cifar_record(5, [10, 11, 12]));
    write(&inner, "batches.meta.txt", b"airplane");
    for root in [root.path(), &inner] {
        let train = open_split(root, "train").unwrap();
        assert_eq!(train.labels().collect::<Vec<_>>(), [3, 9, 0]);
        assert_eq!(train.decode(1).unwrap().data[..6], [4, 5, 6, 4, 5, 6]);
        assert_eq!(train.name(2), "data_batch_2/0");
        assert_eq!(open_split(root, "test").unwrap().len(), 1);
        assert_eq!(train.classes()[3], "cat");
    }
}

#[test]
fn damaged_cifar_files_are_typed_errors() {
    let good = cifar_record(3, [1, 2, 3]);
    for bad in [&good[..3072], &good[..0], &[&good[..], &[1]].concat()] {
        let root = tempdir().unwrap();
        write(root.path(), "data_batch_1.bin", bad);
        assert!(matches!(open(root.path()), Err(DataError::Length { .. })));
    }
    let root = tempdir().unwrap();
    write(root.path(), "data_batch_1.bin", &cifar_record(10, [0; 3]));
    assert!(matches!(open(root.path()), Err(DataError::LabelRange { record: 0, label: 10, .. })));
}

#[test]
fn images_without_labels_come_from_a_file_a_folder_or_a_tar() {
    let root = tempdir().unwrap();
    let files = [("b.png", 2), ("a/c.png", 3), ("._b.png", 4)];
    let files = files.map(|(name, number)| (name.to_owned(), png(number)));
    write_all(&root.path().join("in"), &files);
    write(root.path(), "in.tar", &tar(&files));
    for path in ["in", "in.tar"] {
        let images = Images::open(root.path().join(path)).unwrap();
        assert_eq!((images.len(), images.skipped().hidden), (2, 1));
        assert_eq!((images.name(0), images.name(1)), ("a/c.png".into(), "b.png".into()));
        assert_eq!(images.decode(1).unwrap(), image(2, 6));
    }
    let one = Images::open(root.path().join("in/b.png")).unwrap();
    assert!(one.len() == 1 && one.name(0).ends_with("b.png"));
    assert!(one.decode(1).is_err());
    let missing = Images::from_paths(&[root.path().join("none.png")]);
    assert!(matches!(missing, Err(DataError::Io { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn garbage_is_an_error_and_no_panic(
        start in prop::sample::select(vec![vec![], vec![0, 0, 8, 3], vec![0x1f, 0x8b, 8, 0], vec![137, 80, 78, 71]]),
        rest in prop::collection::vec(any::<u8>(), 0..900),
    ) {
        let root = tempdir().unwrap();
        let bytes = [start, rest].concat();
        write(root.path(), "x.tar", &bytes);
        prop_assert!(open(&root.path().join("x.tar")).is_err());
        prop_assert!(Images::open(root.path().join("x.tar")).is_err());
        write(root.path(), "train-images-idx3-ubyte", &bytes);
        write(root.path(), "train-labels-idx1-ubyte.gz", &bytes);
        prop_assert!(open(root.path()).is_err());
        prop_assert!(cleave_data::Pixels::from_encoded("x", &bytes).is_err());
    }

    #[test]
    fn a_damaged_tar_is_an_error_or_a_smaller_set(at in 0_usize..6000, value in any::<u8>()) {
        let root = tempdir().unwrap();
        let mut bytes = tar(&split_files()[..3]);
        let at = at % bytes.len();
        bytes[at] = value;
        write(root.path(), "x.tar", &bytes);
        if let Ok(dataset) = open(&root.path().join("x.tar")) {
            prop_assert!(dataset.len() <= 3);
            for index in 0..dataset.len() {
                let _ = dataset.decode(index);
            }
        }
    }
}

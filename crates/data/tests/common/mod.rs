//! Datasets in all layouts, written by the tests themselves.

#![allow(dead_code)] // every test file takes its own part of this

use std::fs;
use std::io::Write;
use std::path::Path;

use cleave_data::{Batch, Loader, Pixels};
use flate2::{Compression, write::GzEncoder};

/// An image whose top left pixel tells which one it is.
pub(crate) fn image(number: u8, side: usize) -> Pixels {
    let data = (0..side * side * 3).map(|at| number.wrapping_add((at / 3) as u8));
    Pixels::new(side, side, 3, data.collect()).unwrap()
}

pub(crate) fn png(number: u8) -> Vec<u8> {
    image(number, 6).to_png().unwrap()
}

pub(crate) fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// `files` as a tar, the order reversed so that nothing relies on it.
pub(crate) fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files.iter().rev() {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Two splits of two classes, with what real folders and archives also hold.
pub(crate) fn split_files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut number = 0;
    for (split, count) in [("train", 5), ("valid", 2)] {
        for class in ["dog", "cat"] {
            for index in 0..count {
                files.push((format!("{split}/{class}/{index}.png"), png(number)));
                number += 1;
            }
        }
    }
    files.push(("train/cat/._0.png".into(), b"AppleDouble".to_vec()));
    files.push(("train/.DS_Store".into(), b"hidden".to_vec()));
    files.push(("README.md".into(), b"not an image".to_vec()));
    files
}

pub(crate) fn write_all(root: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        write(root, name, bytes);
    }
}

/// An idx file: magic, dimensions, bytes.
pub(crate) fn idx(magic: u32, dims: &[u32], bytes: &[u8]) -> Vec<u8> {
    let numbers = std::iter::once(&magic).chain(dims);
    let mut file: Vec<u8> = numbers.flat_map(|number| number.to_be_bytes()).collect();
    file.extend_from_slice(bytes);
    file
}

pub(crate) fn collect(loader: &Loader, epoch: u64, first: usize) -> Vec<Batch> {
    let batches = loader.epoch_from(epoch, first).unwrap();
    batches.map(|batch| batch.unwrap()).collect()
}

/// Number, images, labels and indices.
pub(crate) type Essence = (usize, Vec<f32>, Vec<usize>, Vec<usize>);

/// Everything in a batch that must be the same in every run.
pub(crate) fn essence(batches: &[Batch]) -> Vec<Essence> {
    let parts = |b: &Batch| (b.number, b.images.clone(), b.labels.clone(), b.indices.clone());
    batches.iter().map(parts).collect()
}

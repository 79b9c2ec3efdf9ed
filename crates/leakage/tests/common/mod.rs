//! Matrices for tests.
#![allow(dead_code, reason = "no test file needs all of them")]

use cleave_leakage::{LeakageError, LinearMap};
use nalgebra::{DMatrix, DVector};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cell::Cell;

/// Independent entries in −1..1.
pub(crate) fn random(rows: usize, columns: usize, seed: u64) -> DMatrix<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    DMatrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0))
}

pub(crate) fn random_f32(count: usize, seed: u64) -> Vec<f32> {
    random(count, 1, seed).iter().map(|&value| value as f32).collect()
}

/// `U S Vᵀ` with these singular values and random singular vectors.
pub(crate) fn with_values(rows: usize, columns: usize, values: &[f64], seed: u64) -> DMatrix<f64> {
    let [left, right] = [(rows, seed), (columns, seed + 1)].map(|(side, seed)| random(side, side, seed).qr().q());
    let mut middle = DMatrix::zeros(rows, columns);
    for (index, &value) in values.iter().enumerate() {
        middle[(index, index)] = value;
    }
    left * middle * right.transpose()
}

pub(crate) fn diagonal(values: &[f64]) -> DMatrix<f64> {
    DMatrix::from_diagonal(&DVector::from_column_slice(values))
}

/// Lets everything run.
pub(crate) fn on(_: usize, _: usize) -> bool {
    true
}

/// What the maps below fail with, as the map of a network would.
#[derive(Debug, PartialEq)]
pub(crate) enum NetworkError {
    OutOfMemory,
    Refused(LeakageError),
}

impl From<LeakageError> for NetworkError {
    fn from(error: LeakageError) -> Self {
        Self::Refused(error)
    }
}

/// What a [`Network`] gets wrong.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    Fails,
    OneTooFew,
    Value(f32),
}

/// A matrix that is multiplied in `f32` as a network does, and counts what it is asked.
pub(crate) struct Network {
    matrix: DMatrix<f32>,
    /// In `apply` and in `transpose`.
    faults: [Fault; 2],
    pub(crate) largest_batch: Cell<usize>,
    pub(crate) vectors: Cell<usize>,
}

impl Network {
    pub(crate) fn new(matrix: &DMatrix<f64>) -> Self {
        let [largest_batch, vectors] = [Cell::new(0), Cell::new(0)];
        Self { matrix: matrix.map(|value| value as f32), faults: [Fault::None; 2], largest_batch, vectors }
    }

    pub(crate) fn with_faults(matrix: &DMatrix<f64>, faults: [Fault; 2]) -> Self {
        Self { faults, ..Self::new(matrix) }
    }

    fn multiplied(
        &self,
        matrix: &DMatrix<f32>,
        xs: &[f32],
        batch: usize,
        fault: Fault,
    ) -> Result<Vec<f32>, NetworkError> {
        self.largest_batch.set(self.largest_batch.get().max(batch));
        self.vectors.set(self.vectors.get() + batch);
        let mut values = (matrix * DMatrix::from_column_slice(matrix.ncols(), batch, xs)).as_slice().to_vec();
        match fault {
            Fault::None => {}
            Fault::Fails => return Err(NetworkError::OutOfMemory),
            Fault::OneTooFew => values.truncate(values.len() - 1),
            Fault::Value(value) => *values.last_mut().unwrap() = value,
        }
        Ok(values)
    }
}

impl LinearMap for Network {
    type Error = NetworkError;

    fn inputs(&self) -> usize {
        self.matrix.ncols()
    }

    fn outputs(&self) -> usize {
        self.matrix.nrows()
    }

    fn apply(&self, xs: &[f32], batch: usize) -> Result<Vec<f32>, NetworkError> {
        self.multiplied(&self.matrix, xs, batch, self.faults[0])
    }

    fn transpose(&self, ys: &[f32], batch: usize) -> Result<Vec<f32>, NetworkError> {
        self.multiplied(&self.matrix.transpose(), ys, batch, self.faults[1])
    }
}

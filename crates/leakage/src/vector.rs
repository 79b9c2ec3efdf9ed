//! Sums over vectors: terms may be `f32`, sums are `f64`.

/// Partial sums that a processor can keep at once.
const LANES: usize = 8;

/// `Σ aᵢ bᵢ`.
pub(crate) fn dot<T: Copy + Into<f64>>(a: &[T], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(&a, b)| a.into() * b).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane].into() * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// `a += factor · b`.
pub(crate) fn add<T: Copy + Into<f64>>(a: &mut [f64], factor: f64, b: &[T]) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a += factor * b.into();
    }
}

/// `Σ aᵢ²`.
pub(crate) fn norm_squared(a: &[f64]) -> f64 {
    a.iter().map(|value| value * value).sum()
}

/// `a` with every digit that `f32` lacks.
pub(crate) fn widened(a: &[f32]) -> Vec<f64> {
    a.iter().copied().map(f64::from).collect()
}

/// `a`, rounded to what a map takes.
pub(crate) fn rounded(a: &[f64]) -> impl Iterator<Item = f32> {
    a.iter().map(|&value| value as f32)
}

//! Linear algebra on the dimensions of vectors, in f64: bases, linear maps and their inverses.

use nalgebra::{DMatrix, DVector, SymmetricEigen};
use ndarray::{ArrayViewMut2, linalg::general_mat_mul};

use super::matrix::view;

/// Singular values below this share of the largest one count as zero.
const NEGLIGIBLE: f64 = 1e-9;

/// The mean of `vectors`, `[n, dim]`; zero without vectors.
pub(super) fn mean(vectors: &[f32], dim: usize) -> Vec<f32> {
    let mut sums = vec![0f64; dim];
    for vector in vectors.chunks_exact(dim) {
        sums.iter_mut().zip(vector).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let count = (vectors.len() / dim).max(1) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

/// Subtracts `mean` from each of `vectors`.
pub(super) fn center(vectors: &mut [f32], mean: &[f32]) {
    for vector in vectors.chunks_exact_mut(mean.len()) {
        vector.iter_mut().zip(mean).for_each(|(x, mean)| *x -= mean);
    }
}

/// The principal axes of `vectors`, `[n, dim]`, which have mean zero: the columns of an orthogonal matrix, that of the largest variance first.
pub(super) fn principal_axes(vectors: &[f32], dim: usize) -> DMatrix<f64> {
    let mut moments = DMatrix::<f64>::zeros(dim, dim);
    for vector in vectors.chunks_exact(dim) {
        for (i, &x) in vector.iter().enumerate() {
            for (j, &y) in vector.iter().enumerate().take(i + 1) {
                moments[(i, j)] += f64::from(x) * f64::from(y);
            }
        }
    }
    moments.fill_upper_triangle_with_lower_triangle();
    let eigen = SymmetricEigen::new(moments);
    let mut order: Vec<usize> = (0..dim).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    eigen.eigenvectors.select_columns(&order)
}

/// The orthogonal matrix R that takes x to y with the least squared error, given the sum of `x y^T` (Schoenemann 1966).
pub(super) fn nearest_rotation(products: DMatrix<f64>) -> DMatrix<f64> {
    let svd = products.svd(true, true);
    let (u, v_t) = (svd.u.expect("asked for"), svd.v_t.expect("asked for"));
    u * v_t
}

/// The pseudo-inverse of `map`, `[dim, dim]` in the format's order: multiplied from the right, it undoes the map.
pub(super) fn undo(map: &[f32], dim: usize) -> Vec<f32> {
    let map = DMatrix::from_row_iterator(dim, dim, map.iter().map(|&x| f64::from(x)));
    let largest = map.singular_values().max();
    let undone = map.pseudo_inverse((NEGLIGIBLE * largest).max(f64::MIN_POSITIVE)).expect("a bound that is not negative");
    rows(&undone)
}

/// A matrix in the order of the format: row by row.
pub(super) fn rows(matrix: &DMatrix<f64>) -> Vec<f32> {
    matrix.transpose().iter().map(|&x| x as f32).collect()
}

/// `vectors`, `[n, dim]`, times `matrix`, `[dim, dim]`, row by row.
pub(super) fn multiply(vectors: &[f32], matrix: &[f32], dim: usize) -> Vec<f32> {
    let mut out = vec![0.0; vectors.len()];
    let mut product = ArrayViewMut2::from_shape((vectors.len() / dim, dim), &mut out).expect("whole vectors");
    general_mat_mul(1.0, &view(vectors, dim), &view(matrix, dim), 0.0, &mut product);
    out
}

/// The variance of each dimension of `vectors`, which have mean zero.
pub(super) fn variances(vectors: &[f32], dim: usize) -> Vec<f64> {
    let mut sums = DVector::<f64>::zeros(dim);
    for vector in vectors.chunks_exact(dim) {
        sums.iter_mut().zip(vector).for_each(|(sum, x)| *sum += f64::from(*x).powi(2));
    }
    let count = (vectors.len() / dim).max(1) as f64;
    sums.iter().map(|sum| sum / count).collect()
}

//! Product codes, and the rotation before them.

use mempack_numeric::Rng;
use nalgebra::DMatrix;
use ndarray::{Axis, Slice};

use super::{
    TrainError, kmeans, linear,
    matrix::{Codebook, least, view},
};

/// Rounds in which codes and rotation are fitted to each other.
const ROUNDS: usize = 12;
/// Vectors that the rotation is trained on at most.
const ROTATED: usize = 1 << 16;
/// Rows of the sub-vectors that the rotation is trained for.
const ROTATED_ROWS: usize = 256;

/// Trains a codebook of `rows` centroids for each of `parts` consecutive sub-vectors of `vectors`, `[n, dim]`.
pub(super) fn train(
    vectors: &[f32],
    dim: usize,
    parts: usize,
    rows: usize,
    threads: usize,
    random: &mut Rng,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Codebook>, TrainError> {
    let width = dim / parts;
    (0..parts).map(|part| kmeans::train(&sub_vectors(vectors, dim, part, width), width, rows, threads, random, stop)).collect()
}

/// Sub-vector `part` of each vector, `[n, width]`.
pub(super) fn sub_vectors(vectors: &[f32], dim: usize, part: usize, width: usize) -> Vec<f32> {
    vectors.chunks_exact(dim).flat_map(|vector| &vector[part * width..(part + 1) * width]).copied().collect()
}

/// The nearest centroid of each sub-vector: `[n, parts]`.
pub(super) fn encode(codebooks: &[Codebook], vectors: &[f32], dim: usize) -> Vec<u16> {
    /// Floats of scores that a block computes at once.
    const BLOCK_SCORES: usize = 1 << 18;
    let most = codebooks.iter().map(Codebook::len).max().unwrap_or(1);
    let block = (BLOCK_SCORES / most).max(8);
    vectors.chunks(block * dim).flat_map(|vectors| encode_block(codebooks, vectors, dim)).collect()
}

fn encode_block(codebooks: &[Codebook], vectors: &[f32], dim: usize) -> Vec<u16> {
    let (count, width) = (vectors.len() / dim, dim / codebooks.len());
    let mut codes = vec![0; count * codebooks.len()];
    let (mut scores, mut best, base) = (Vec::new(), Vec::with_capacity(1), vec![0.0; count]);
    for (part, codebook) in codebooks.iter().enumerate() {
        scores.resize(count * codebook.len(), 0.0);
        let vectors = view(vectors, dim);
        codebook.scores(vectors.slice_axis(Axis(1), Slice::from(part * width..(part + 1) * width)), &base, &mut scores);
        for (code, scores) in codes.chunks_exact_mut(codebooks.len()).zip(scores.chunks_exact(codebook.len())) {
            least(scores, 1, &mut best);
            code[part] = best[0].1 as u16;
        }
    }
    codes
}

/// Takes from each vector the centroids of its codes, `[n, parts]`.
pub(super) fn subtract(codebooks: &[Codebook], codes: &[u16], vectors: &mut [f32], dim: usize) {
    let width = dim / codebooks.len();
    for (codes, vector) in codes.chunks_exact(codebooks.len()).zip(vectors.chunks_exact_mut(dim)) {
        for ((&code, codebook), run) in codes.iter().zip(codebooks).zip(vector.chunks_exact_mut(width)) {
            run.iter_mut().zip(codebook.row(code.into())).for_each(|(x, y)| *x -= y);
        }
    }
}

/// The rotation, its rows the axes, after which a product code of `blocks` sub-vectors leaves the least of `vectors`, `[n, dim]`, which
/// have no mean (optimized product quantization, Ge et al. 2013): from principal axes dealt out so that all blocks have as much of them,
/// codes and rotation are fitted to each other in turn.
pub(super) fn rotation(
    vectors: &[f32],
    dim: usize,
    blocks: usize,
    threads: usize,
    random: &mut Rng,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<DMatrix<f64>, TrainError> {
    let vectors = &vectors[..vectors.len().min(ROTATED * dim)];
    let axes = linear::principal_axes(vectors, dim);
    let mut rotation = dealt(&axes, &linear::variances(&linear::multiply(vectors, &linear::rows(&axes), dim), dim), blocks).transpose();
    for _ in 0..ROUNDS {
        let rotated = linear::multiply(vectors, &linear::rows(&rotation.transpose()), dim);
        let codebooks = train(&rotated, dim, blocks, ROTATED_ROWS, threads, random, stop)?;
        let mut left = rotated.clone();
        subtract(&codebooks, &encode(&codebooks, &rotated, dim), &mut left, dim);
        let coded: Vec<f32> = rotated.iter().zip(&left).map(|(x, left)| x - left).collect();
        // The sum of code times vector: the rotation takes vectors to their codes.
        let matrix = |numbers: &[f32]| DMatrix::from_iterator(dim, numbers.len() / dim, numbers.iter().map(|&x| f64::from(x)));
        rotation = linear::nearest_rotation(matrix(&coded) * matrix(vectors).transpose());
    }
    Ok(rotation)
}

/// Axes, the widest first, as columns in an order in which consecutive blocks of them have about the same product of variances: each
/// goes to the block with the smallest one that has room.
fn dealt(axes: &DMatrix<f64>, variances: &[f64], blocks: usize) -> DMatrix<f64> {
    let room = variances.len() / blocks;
    let least = variances.iter().copied().filter(|variance| *variance > 0.0).fold(1.0, f64::min);
    let mut dealt: Vec<(f64, Vec<usize>)> = vec![(0.0, Vec::new()); blocks];
    for (axis, variance) in variances.iter().enumerate() {
        let open = dealt.iter_mut().filter(|(_, axes)| axes.len() < room);
        let Some((sum, block)) = open.min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
        // Never below zero, so that every axis counts.
        *sum += (variance.max(least) / least).ln() + 1.0;
        block.push(axis);
    }
    let order: Vec<usize> = dealt.into_iter().flat_map(|(_, block)| block).collect();
    axes.select_columns(&order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_helps_vectors_that_are_correlated() {
        // Two numbers, each four times over in another mix: rotated, two dimensions have everything.
        let mut random = Rng::for_task(5, 0);
        let mut uniform = || random.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0;
        let vectors: Vec<f32> = (0..2000)
            .flat_map(|_| {
                let (a, b) = (uniform(), uniform());
                [a + b, a - b, 2.0 * a, b, a, a + 2.0 * b, b - a, 3.0 * b]
            })
            .collect();
        let never = || false;
        let left = |vectors: &[f32]| {
            let codebooks = train(vectors, 8, 4, 16, 1, &mut Rng::for_task(1, 1), &never).unwrap();
            let mut left = vectors.to_vec();
            subtract(&codebooks, &encode(&codebooks, vectors, 8), &mut left, 8);
            left.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>()
        };
        let rotation = rotation(&vectors, 8, 4, 1, &mut Rng::for_task(2, 2), &never).unwrap();
        let identity = &rotation * rotation.transpose();
        assert!((identity - DMatrix::<f64>::identity(8, 8)).abs().max() < 1e-9);
        let rotated = linear::multiply(&vectors, &linear::rows(&rotation.transpose()), 8);
        assert!(left(&rotated) < 0.2 * left(&vectors), "{} {}", left(&rotated), left(&vectors));
    }
}

//! Residual codes: a vector as a sum of centroids, found by a beam search over matrix products.

use mempack_numeric::Rng;

use super::{
    TrainError, kmeans,
    matrix::{Codebook, least, view},
};

/// Partial sums that the search keeps: four find codes with a tenth less error than one.
const BEAM: usize = 4;
/// Floats of scores that a block computes at once.
const BLOCK_SCORES: usize = 1 << 17;

/// Trains `stages` codebooks of `rows` centroids, each on what those before it leave of the vectors.
///
/// Fitting all stages together to codes found anew, four times over, took the error of unseen keys and values down by
/// no more than 2.5% for twice the time, and by nothing with few vectors a centroid: so it is not done.
pub(super) fn train(
    vectors: Vec<f32>,
    width: usize,
    stages: usize,
    rows: usize,
    threads: usize,
    random: &mut Rng,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Codebook>, TrainError> {
    let (mut left, mut codebooks) = (vectors, Vec::with_capacity(stages));
    for _ in 0..stages {
        let codebook = kmeans::train(&left, width, rows, threads, random, stop)?;
        let nearest = kmeans::assign(&codebook, &left, width, threads);
        for (vector, (row, _)) in left.chunks_exact_mut(width).zip(nearest) {
            vector.iter_mut().zip(codebook.row(row)).for_each(|(x, y)| *x -= y);
        }
        codebooks.push(codebook);
    }
    Ok(codebooks)
}

/// Takes from each vector, `[n, width]`, the centroids of its codes, `[n, stages]`.
pub(super) fn subtract(codebooks: &[Codebook], codes: &[u16], vectors: &mut [f32], width: usize) {
    if codebooks.is_empty() {
        return;
    }
    for (codes, vector) in codes.chunks_exact(codebooks.len()).zip(vectors.chunks_exact_mut(width)) {
        for (&code, codebook) in codes.iter().zip(codebooks) {
            vector.iter_mut().zip(codebook.row(code.into())).for_each(|(x, y)| *x -= y);
        }
    }
}

/// The codes `[n, stages]` of `vectors`, `[n, width]`.
pub(super) fn encode(codebooks: &[Codebook], vectors: &[f32], width: usize) -> Vec<u16> {
    let most = codebooks.iter().map(Codebook::len).max().unwrap_or(1);
    let block = (BLOCK_SCORES / (most * BEAM)).max(4);
    let mut codes = Vec::with_capacity(vectors.len() / width * codebooks.len());
    vectors.chunks(block * width).for_each(|vectors| codes.extend(encode_block(codebooks, vectors, width)));
    codes
}

/// The search over one block. Of each vector, `live` partial sums are kept: what they leave of the vector, half their
/// squared distance (short of what only the vector has part in), and their codes so far.
fn encode_block(codebooks: &[Codebook], vectors: &[f32], width: usize) -> Vec<u16> {
    let count = vectors.len() / width;
    let mut live = 1;
    let (mut left, mut costs, mut paths) = (vectors.to_vec(), vec![0.0; count], Vec::<u16>::new());
    let (mut scores, mut best) = (Vec::new(), Vec::new());
    for (stage, codebook) in codebooks.iter().enumerate() {
        let rows = codebook.len();
        scores.resize(count * live * rows, 0.0);
        codebook.scores(view(&left, width), &costs, &mut scores);
        let keep = if stage + 1 == codebooks.len() { 1 } else { BEAM.min(live * rows) };
        let (mut next_left, mut next_costs) = (Vec::with_capacity(count * keep * width), Vec::with_capacity(count * keep));
        let mut next_paths = Vec::with_capacity(count * keep * (stage + 1));
        for (vector, scores) in scores.chunks_exact(live * rows).enumerate() {
            least(scores, keep, &mut best);
            for &(cost, index) in &best {
                let (from, row) = (vector * live + index / rows, index % rows);
                next_costs.push(cost);
                next_paths.extend_from_slice(&paths[from * stage..(from + 1) * stage]);
                next_paths.push(row as u16);
                next_left.extend(left[from * width..(from + 1) * width].iter().zip(codebook.row(row)).map(|(x, y)| x - y));
            }
        }
        (live, left, costs, paths) = (keep, next_left, next_costs, next_paths);
    }
    paths
}

//! `PQ` and `Residual`: product codes.

use std::borrow::Cow;

use mempack_format::stages::{Pq, Residual};
use ndarray::{Axis, Slice};

use super::{Coder, Codes, Context, Trained, Training, bits, centroids, take_codebooks};
use crate::codec::{
    CodecTrainError, kmeans,
    matrix::{Codebook, smallest, view},
};

impl Training for Pq {
    fn rows(&self) -> Option<usize> {
        Some(1 << self.bits)
    }

    fn train(&self, left: Cow<'_, [f32]>, context: &mut Context<'_>) -> Result<Option<Trained>, CodecTrainError> {
        Ok(Trained::plain(PqCoder { codebooks: train(&left, context.dim, self.m.into(), 1 << self.bits, context)? }))
    }

    fn load(&self, dim: usize, _: &[u8], tables: &mut &[f32]) -> Option<Box<dyn Coder>> {
        Some(Box::new(PqCoder { codebooks: take_codebooks(tables, self.m.into(), dim / usize::from(self.m), self.bits) }))
    }
}

/// Trained and encoded as a [`Pq`] is.
impl Training for Residual {
    fn rows(&self) -> Option<usize> {
        Pq { m: self.m, bits: self.bits }.rows()
    }

    fn train(&self, left: Cow<'_, [f32]>, context: &mut Context<'_>) -> Result<Option<Trained>, CodecTrainError> {
        Pq { m: self.m, bits: self.bits }.train(left, context)
    }

    fn load(&self, dim: usize, allotment: &[u8], tables: &mut &[f32]) -> Option<Box<dyn Coder>> {
        Pq { m: self.m, bits: self.bits }.load(dim, allotment, tables)
    }
}

struct PqCoder {
    /// One for each sub-vector.
    codebooks: Vec<Codebook>,
}

impl Coder for PqCoder {
    fn encode(&self, left: &mut [f32], dim: usize) -> Codes {
        let numbers = encode(&self.codebooks, left, dim);
        subtract(&self.codebooks, &numbers, left, dim);
        Codes::Numbers { numbers, bits: bits(&self.codebooks) }
    }

    fn into_tables(self: Box<Self>) -> Vec<f32> {
        centroids(self.codebooks)
    }
}

/// Trains a codebook of `rows` centroids for each of `parts` consecutive sub-vectors of `vectors`, `[n, dim]`.
pub(super) fn train(
    vectors: &[f32],
    dim: usize,
    parts: usize,
    rows: usize,
    context: &mut Context<'_>,
) -> Result<Vec<Codebook>, CodecTrainError> {
    let width = dim / parts;
    let train_part = |part| {
        let vectors = sub_vectors(vectors, dim, part, width);
        kmeans::train(&vectors, width, rows, context.threads, context.random, context.stop)
    };
    (0..parts).map(train_part).collect()
}

/// Sub-vector `part` of each vector, `[n, width]`.
pub(super) fn sub_vectors(vectors: &[f32], dim: usize, part: usize, width: usize) -> Vec<f32> {
    vectors.chunks_exact(dim).flat_map(|vector| &vector[part * width..(part + 1) * width]).copied().collect()
}

/// The nearest centroid of each sub-vector: `[n, parts]`.
pub(super) fn encode(codebooks: &[Codebook], vectors: &[f32], dim: usize) -> Vec<u16> {
    /// Scores that a block computes at once.
    const BLOCK_SCORES: usize = 1 << 18;
    let max_rows = codebooks.iter().map(Codebook::len).max().unwrap_or(1);
    let block = (BLOCK_SCORES / max_rows).max(8);
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
            smallest(scores, 1, &mut best);
            code[part] = best[0].1 as u16;
        }
    }
    codes
}

/// Subtracts from each vector the centroids of its codes, `[n, parts]`.
pub(super) fn subtract(codebooks: &[Codebook], codes: &[u16], vectors: &mut [f32], dim: usize) {
    let width = dim / codebooks.len();
    for (codes, vector) in codes.chunks_exact(codebooks.len()).zip(vectors.chunks_exact_mut(dim)) {
        for ((&code, codebook), run) in codes.iter().zip(codebooks).zip(vector.chunks_exact_mut(width)) {
            run.iter_mut().zip(codebook.row(code.into())).for_each(|(x, y)| *x -= y);
        }
    }
}

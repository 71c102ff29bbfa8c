//! `OPQ`: the rotation before product codes.

use std::borrow::Cow;

use mempack_format::stages::Opq;
use nalgebra::DMatrix;

use super::{Basis, Coder, Context, Trained, Training, pq};
use crate::codec::{CodecTrainError, linear};

/// Rounds in which codes and rotation are fitted to each other.
const ROUNDS: usize = 12;
/// Most vectors that the rotation is trained on.
const ROTATED: usize = 1 << 16;
/// Rows of each sub-vector's codebook that the rotation is trained for.
const ROTATED_ROWS: usize = 256;

impl Training for Opq {
    fn basis(&self, vectors: &[f32], context: &mut Context<'_>) -> Result<Option<Basis>, CodecTrainError> {
        let rotation = rotation(vectors, self.blocks.into(), context)?;
        Ok(Some(Basis { forward: rotation.transpose(), back: rotation }))
    }

    fn train(&self, _: Cow<'_, [f32]>, _: &mut Context<'_>) -> Result<Option<Trained>, CodecTrainError> {
        Ok(None)
    }

    fn load(&self, _: usize, _: &[u8], _: &mut &[f32]) -> Option<Box<dyn Coder>> {
        None
    }
}

/// The rotation, its rows the axes, after which a product code of `blocks` sub-vectors loses least of `vectors`, `[n, dim]`, which have no
/// mean (optimized product quantization, Ge et al. 2013). It starts with the principal axes, dealt so that all blocks have about the same
/// share of the variance. Codes and rotation are then fitted to each other in turns.
fn rotation(vectors: &[f32], blocks: usize, context: &mut Context<'_>) -> Result<DMatrix<f64>, CodecTrainError> {
    let dim = context.dim;
    let vectors = &vectors[..vectors.len().min(ROTATED * dim)];
    let axes = linear::principal_axes(vectors, dim);
    let mut rotation = dealt(&axes, &linear::variances(&linear::multiply(vectors, &linear::rows(&axes), dim), dim), blocks).transpose();
    for _ in 0..ROUNDS {
        let rotated = linear::multiply(vectors, &linear::rows(&rotation.transpose()), dim);
        let codebooks = pq::train(&rotated, dim, blocks, ROTATED_ROWS, context)?;
        let mut left = rotated.clone();
        pq::subtract(&codebooks, &pq::encode(&codebooks, &rotated, dim), &mut left, dim);
        let coded: Vec<f32> = rotated.iter().zip(&left).map(|(x, left)| x - left).collect();
        // The sum of code times vector: the rotation is to take vectors to their codes.
        let matrix = |numbers: &[f32]| DMatrix::from_iterator(dim, numbers.len() / dim, numbers.iter().map(|&x| f64::from(x)));
        rotation = linear::nearest_rotation(matrix(&coded) * matrix(vectors).transpose());
    }
    Ok(rotation)
}

/// `axes`, those of the largest variance first, as columns in an order in which consecutive blocks of them have about the same product of
/// variances: each axis goes to the block with the smallest product that has room.
fn dealt(axes: &DMatrix<f64>, variances: &[f64], blocks: usize) -> DMatrix<f64> {
    let room = variances.len() / blocks;
    let min = variances.iter().copied().filter(|variance| *variance > 0.0).fold(1.0, f64::min);
    let mut dealt: Vec<(f64, Vec<usize>)> = vec![(0.0, Vec::new()); blocks];
    for (axis, variance) in variances.iter().enumerate() {
        let open = dealt.iter_mut().filter(|(_, axes)| axes.len() < room);
        let Some((sum, block)) = open.min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
        // Positive, so that every axis counts.
        *sum += (variance.max(min) / min).ln() + 1.0;
        block.push(axis);
    }
    let order: Vec<usize> = dealt.into_iter().flat_map(|(_, block)| block).collect();
    axes.select_columns(&order)
}

#[cfg(test)]
mod tests {
    use mempack_format::VectorKind;
    use mempack_numeric::Rng;

    use super::*;
    use crate::codec::grouping::Group;

    fn context<'a>(group: &'a Group, random: &'a mut Rng) -> Context<'a> {
        Context { dim: 8, group, sensitivity: None, threads: 1, random, stop: &|| false }
    }

    #[test]
    fn a_rotation_helps_vectors_that_are_correlated() {
        // Eight mixtures of two numbers: a rotation brings everything into two dimensions.
        let mut random = Rng::for_task(5, 0);
        let mut uniform = || random.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0;
        let vectors: Vec<f32> = (0..2000)
            .flat_map(|_| {
                let (a, b) = (uniform(), uniform());
                [a + b, a - b, 2.0 * a, b, a, a + 2.0 * b, b - a, 3.0 * b]
            })
            .collect();
        let group = Group { kind: VectorKind::Key, heads: 0..1 };
        let left = |vectors: &[f32]| {
            let codebooks = pq::train(vectors, 8, 4, 16, &mut context(&group, &mut Rng::for_task(1, 1))).unwrap();
            let mut left = vectors.to_vec();
            pq::subtract(&codebooks, &pq::encode(&codebooks, vectors, 8), &mut left, 8);
            left.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>()
        };
        let rotation = rotation(&vectors, 4, &mut context(&group, &mut Rng::for_task(2, 2))).unwrap();
        let identity = &rotation * rotation.transpose();
        assert!((identity - DMatrix::<f64>::identity(8, 8)).abs().max() < 1e-9);
        let rotated = linear::multiply(&vectors, &linear::rows(&rotation.transpose()), 8);
        assert!(left(&rotated) < 0.2 * left(&vectors), "{} {}", left(&rotated), left(&vectors));
    }
}

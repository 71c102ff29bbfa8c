//! The stages of a codec one after another: each is trained on, and codes, what the stages before it leave.

use std::borrow::Cow;

use mempack_format::CodecSpec;

use super::{
    CodecTrainError, linear,
    packing::{pack, side_by_side},
    stages::{self, Basis, Coder, Codes, Context, Trained},
};

/// The parameters of one group.
pub(super) struct GroupParameters {
    /// In the form of the format; empty for codecs without a trellis.
    pub(super) allotment: Vec<u8>,
    /// In the order of the format.
    pub(super) tables: Vec<f32>,
}

/// Trains a codec on the vectors of one group, `[n, dim]`.
///
/// # Errors
/// If training is interrupted.
pub(super) fn train(spec: &CodecSpec, vectors: Vec<f32>, context: &mut Context<'_>) -> Result<GroupParameters, CodecTrainError> {
    let (dim, mut left) = (context.dim, vectors);
    let (mut mean, mut basis) = (Vec::new(), None);
    if spec.is_mapped() {
        mean = linear::mean(&left, dim);
        linear::center(&mut left, &mean);
        let chosen = choose_basis(spec, &left, context)?;
        left = linear::multiply(&left, &linear::rows(&chosen.forward), dim);
        basis = Some(chosen);
    }
    let (mut allotment, mut tables) = (Vec::new(), Vec::new());
    let mut trainings = stages::trainings(spec);
    while let Some(training) = trainings.next() {
        let last = trainings.len() == 0;
        let input = if last { Cow::Owned(std::mem::take(&mut left)) } else { Cow::Borrowed(&left[..]) };
        let Some(Trained { coder, turn }) = training.train(input, context)? else { continue };
        if let (Some(turn), Some(basis)) = (turn, &mut basis) {
            tables = linear::multiply(&tables, &linear::rows(&turn), dim);
            basis.back = turn.transpose() * &basis.back;
        }
        if !last {
            coder.encode(&mut left, dim);
        }
        allotment.extend(coder.allotment());
        tables.extend(coder.into_tables());
    }
    let map = basis.map_or(Vec::new(), |basis| linear::rows(&basis.back));
    Ok(GroupParameters { allotment, tables: [mean, map, tables].concat() })
}

/// The basis of a codec with a map, which one of its stages chooses.
fn choose_basis(spec: &CodecSpec, vectors: &[f32], context: &mut Context<'_>) -> Result<Basis, CodecTrainError> {
    for training in stages::trainings(spec) {
        if let Some(basis) = training.basis(vectors, context)? {
            return Ok(basis);
        }
    }
    Ok(Basis::identity(context.dim))
}

/// What codes the vectors of one group.
pub(super) struct Chain {
    /// The mean, and the matrix that undoes the map, of a codec with a map.
    unmap: Option<(Vec<f32>, Vec<f32>)>,
    coders: Vec<Box<dyn Coder>>,
}

impl Chain {
    /// The chain of a group's parameters.
    pub(super) fn new(spec: &CodecSpec, dim: usize, allotment: &[u8], tables: &[f32]) -> Self {
        let mut rest = tables;
        let unmap = spec.is_mapped().then(|| {
            let (mean, behind) = tables.split_at(dim);
            let (map, behind) = behind.split_at(dim * dim);
            rest = behind;
            (mean.to_vec(), linear::undo(map, dim))
        });
        let coders = stages::trainings(spec).filter_map(|training| training.load(dim, allotment, &mut rest)).collect();
        Self { unmap, coders }
    }

    /// The codes, `[n, code bytes]`, of `vectors`, `[n, dim]`.
    pub(super) fn encode(&self, mut vectors: Vec<f32>, dim: usize) -> Vec<u8> {
        let count = vectors.len() / dim;
        if let Some((mean, undo)) = &self.unmap {
            linear::center(&mut vectors, mean);
            vectors = linear::multiply(&vectors, undo, dim);
        }
        let (mut numbers, mut bits, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        for coder in &self.coders {
            match coder.encode(&mut vectors, dim) {
                Codes::Numbers { numbers: ours, bits: of_ours } => {
                    numbers.push(ours);
                    bits.extend(of_ours);
                }
                Codes::Bytes(ours) => bytes.push(ours),
            }
        }
        if !numbers.is_empty() {
            let numbers = if numbers.len() == 1 { numbers.remove(0) } else { side_by_side(&numbers, count) };
            bytes.insert(0, pack(&numbers, &bits, bits.iter().sum::<u32>().div_ceil(8) as usize));
        }
        if bytes.len() == 1 { bytes.remove(0) } else { side_by_side(&bytes, count) }
    }
}

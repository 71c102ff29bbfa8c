//! The stages of a codec, as they are trained and as they encode. Each family has one file, named like the format's.
//!
//! # How to add a family
//!
//! 1. Add it to the format first (`format-spec/src/codec/stages`).
//! 2. Write its file here: the [`Training`] implementation of the format's struct, and a [`Coder`].
//! 3. Register it below: one `mod` line and one arm of [`training`]. The compiler refuses a match without it.

mod float;
mod opq;
mod pq;
mod prq;
mod rq;
mod sq8;
mod tcq;

use mempack_numeric::Rng;
use std::borrow::Cow;

use mempack_format::{CodecSpec, CodecStage};
use mempack_model::Sensitivity;
use nalgebra::DMatrix;

use super::{CodecTrainError, grouping::Group, matrix::Codebook};

/// How a stage is trained.
pub(super) fn training(stage: &CodecStage) -> &dyn Training {
    match stage {
        CodecStage::F32(stage) => stage,
        CodecStage::Bf16(stage) => stage,
        CodecStage::Sq8(stage) => stage,
        CodecStage::Pq(stage) => stage,
        CodecStage::Rq(stage) => stage,
        CodecStage::Prq(stage) => stage,
        CodecStage::Opq(stage) => stage,
        CodecStage::Residual(stage) => stage,
        CodecStage::Tcq(stage) => stage,
    }
}

/// The stages of a codec, in order.
pub(super) fn trainings(spec: &CodecSpec) -> impl ExactSizeIterator<Item = &dyn Training> {
    spec.stages().iter().map(training)
}

/// What the stages of one group of heads share while they are trained.
pub(super) struct Context<'a> {
    /// Dimensions of a vector.
    pub(super) dim: usize,
    /// The heads whose vectors these are.
    pub(super) group: &'a Group,
    /// How much errors of each direction matter, if that is known.
    pub(super) sensitivity: Option<&'a Sensitivity>,
    /// Threads at most.
    pub(super) threads: usize,
    /// The group's random numbers. Stages draw from them in the order of the codec's name, after the basis is chosen.
    pub(super) random: &'a mut Rng,
    /// Whether training is to end early.
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
}

/// A linear change of basis, and its inverse.
pub(super) struct Basis {
    /// From vectors to what stages code: to be multiplied from the right.
    pub(super) forward: DMatrix<f64>,
    /// From there to vectors: the map of the codec.
    pub(super) back: DMatrix<f64>,
}

impl Basis {
    /// Vectors as they are.
    pub(super) fn identity(dim: usize) -> Self {
        Self { forward: DMatrix::identity(dim, dim), back: DMatrix::identity(dim, dim) }
    }
}

/// How the stages of a family are trained.
pub(super) trait Training {
    /// Rows of the largest table that is trained on vectors; `None` for stages without such tables.
    fn rows(&self) -> Option<usize> {
        None
    }

    /// Whether a [`Sensitivity`] changes what is trained.
    fn uses_sensitivity(&self) -> bool {
        false
    }

    /// The basis that all stages of the codec work in, if this stage chooses it. `vectors`, `[n, dim]`, have no mean.
    ///
    /// # Errors
    /// If training is interrupted.
    fn basis(&self, _vectors: &[f32], _context: &mut Context<'_>) -> Result<Option<Basis>, CodecTrainError> {
        Ok(None)
    }

    /// Trains the stage on what the stages before it leave of the vectors, `[n, dim]`. `None` for a stage without codes.
    ///
    /// # Errors
    /// If training is interrupted.
    fn train(&self, left: Cow<'_, [f32]>, context: &mut Context<'_>) -> Result<Option<Trained>, CodecTrainError>;

    /// The coder of tables that were trained. It takes them from the front of `tables`, which then are those of the stages behind it.
    /// `None` for a stage without codes.
    fn load(&self, dim: usize, allotment: &[u8], tables: &mut &[f32]) -> Option<Box<dyn Coder>>;
}

/// A stage that has been trained.
pub(super) struct Trained {
    /// What encodes with it, and has its tables.
    pub(super) coder: Box<dyn Coder>,
    /// An orthogonal matrix that the stage turns vectors by before it codes them, if it does. The rows of the tables of stages before it,
    /// which then are whole vectors, are turned as well, so that one map serves all.
    pub(super) turn: Option<DMatrix<f64>>,
}

impl Trained {
    /// A stage that codes vectors as they are.
    fn plain(coder: impl Coder + 'static) -> Option<Self> {
        Some(Self { coder: Box::new(coder), turn: None })
    }
}

/// What encodes vectors with the tables of one stage.
pub(super) trait Coder: Send + Sync {
    /// The codes of `left`, `[n, dim]`. Takes from `left` what the codes stand for; a stage that is always the last one need not.
    fn encode(&self, left: &mut [f32], dim: usize) -> Codes;

    /// Its tables, in the order of the format.
    fn into_tables(self: Box<Self>) -> Vec<f32>;

    /// Its allotment, in the form of the format; empty for stages without a trellis.
    fn allotment(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// The codes of one stage.
pub(super) enum Codes {
    /// `[n, parts]` numbers, part i of `bits[i]` bits. They follow those of the stage before it without a gap.
    Numbers {
        /// The numbers.
        numbers: Vec<u16>,
        /// Bits of each part.
        bits: Vec<u32>,
    },
    /// `[n, bytes]` bytes, behind all numbers.
    Bytes(Vec<u8>),
}

/// Bits of a number that chooses a row of each codebook.
fn bits(codebooks: &[Codebook]) -> Vec<u32> {
    codebooks.iter().map(|codebook| codebook.len().trailing_zeros()).collect()
}

/// The centroids of codebooks, one behind the other.
fn centroids(codebooks: Vec<Codebook>) -> Vec<f32> {
    codebooks.into_iter().flat_map(Codebook::into_centroids).collect()
}

/// Takes `count` codebooks of `2^bits` rows of `width` floats from the front of `tables`.
fn take_codebooks(tables: &mut &[f32], count: usize, width: usize, bits: u8) -> Vec<Codebook> {
    let (ours, rest) = tables.split_at(count * (width << bits));
    *tables = rest;
    ours.chunks_exact(width << bits).map(|table| Codebook::new(table.to_vec(), width)).collect()
}

//! Errors of sampling memories, training a codec and encoding a memory.

use std::{io, path::PathBuf};

use mempack_format::{MAX_TABLE_VALUE, MemoryShape, SpecError, VectorKind};

/// Why a sample of memories cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// The scratch file cannot be created.
    #[error("cannot create a scratch file in {}: {source}; the folder must exist and be writable", folder.display())]
    Create {
        /// The folder.
        folder: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The memory has another shape.
    #[error("sampled memory of shape {found:?}, expected {expected:?}")]
    Shape {
        /// The store's shape.
        expected: MemoryShape,
        /// The memory's.
        found: MemoryShape,
    },
    /// The scratch file cannot be written.
    #[error("cannot write sampled memory {memory} to its scratch file: {source}")]
    Write {
        /// Its number.
        memory: u64,
        /// The error of the system.
        source: io::Error,
    },
    /// The scratch file cannot be read, or has no such memory.
    #[error("cannot read sampled memory {memory} from its scratch file: {source}")]
    Read {
        /// Its number.
        memory: u64,
        /// The error of the system.
        source: io::Error,
    },
}

/// Why a codec cannot be trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecTrainError {
    /// The codec does not fit the vectors.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The sample cannot be read.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The sample has no vectors.
    #[error("codec {spec} cannot be trained: the sample has no vectors")]
    Empty {
        /// The codec.
        spec: mempack_format::CodecSpec,
    },
    /// A vector has a number that is too large, or not finite.
    #[error("a sampled {kind} has the number {found}, expected a finite one of magnitude at most {largest:e}: the model is at fault")]
    Value {
        /// Key or value.
        kind: VectorKind,
        /// Largest magnitude that the codec can be trained on.
        largest: f32,
        /// The number.
        found: f32,
    },
    /// The caller interrupted the training.
    #[error("training of the codec was interrupted")]
    Interrupted,
}

/// Why a memory cannot be encoded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The memory has another shape, or its vectors do not fit its shape.
    #[error("memory of shape {found:?} with {positions} positions, {keys} and {values} floats; expected the shape {expected:?}")]
    Shape {
        /// The codec's shape.
        expected: MemoryShape,
        /// The memory's.
        found: MemoryShape,
        /// Its positions.
        positions: usize,
        /// Floats of its keys.
        keys: usize,
        /// Floats of its values.
        values: usize,
    },
    /// The positions of a head do not ascend, or a token follows an empty slot.
    #[error("slot {slot} of the memory has position {found}, which does not ascend from the slot before it")]
    Position {
        /// Index in `[layers, heads, tokens]`.
        slot: usize,
        /// The position there.
        found: u8,
    },
    /// A number is too large, or not finite.
    #[error("the {kind} of slot {slot} has the number {found}, expected a finite one of magnitude at most {MAX_TABLE_VALUE:e}")]
    Value {
        /// Key or value.
        kind: VectorKind,
        /// Index in `[layers, heads, tokens]`.
        slot: usize,
        /// The number.
        found: f32,
    },
}

//! What may go wrong when a codec is trained or a memory encoded.

use std::{io, path::PathBuf};

use mempack_format::{Kind, MAX_TABLE_VALUE, MemoryShape, SpecError};

/// Why a sample of memories cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// The scratch file cannot be made.
    #[error("cannot make a scratch file in {}: {source}; the folder must exist and be writable", folder.display())]
    Create {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A memory of another shape.
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
        /// Why.
        source: io::Error,
    },
    /// The scratch file cannot be read, or has no such memory.
    #[error("cannot read sampled memory {memory} from its scratch file: {source}")]
    Read {
        /// Its number.
        memory: u64,
        /// Why.
        source: io::Error,
    },
}

/// Why a codec cannot be trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The codec does not fit the vectors.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The sample cannot be read.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A codec with tables cannot be trained on nothing.
    #[error("codec {spec} has nothing to be trained on: the sample has no vectors")]
    Empty {
        /// The codec.
        spec: mempack_format::CodecSpec,
    },
    /// A vector that no table can hold.
    #[error("a sampled {kind} has the number {found}, expected a finite one of magnitude at most {largest:e}: the model is at fault")]
    Value {
        /// Key or value.
        kind: Kind,
        /// Largest magnitude that the codec can be trained on.
        largest: f32,
        /// The number.
        found: f32,
    },
    /// The caller asked to stop.
    #[error("training of the codec was interrupted")]
    Interrupted,
}

/// Why a memory cannot be encoded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A memory of another shape, or whose vectors are not of its shape.
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
    /// Positions of a head that do not ascend, or a token after an empty slot.
    #[error("slot {slot} of the memory has position {found}, which does not ascend from the slot before it")]
    Position {
        /// Index in `[layers, heads, tokens]`.
        slot: usize,
        /// The position there.
        found: u8,
    },
    /// A number that no codec takes.
    #[error("the {kind} of slot {slot} has the number {found}, expected a finite one of magnitude at most {MAX_TABLE_VALUE:e}")]
    Value {
        /// Key or value.
        kind: Kind,
        /// Index in `[layers, heads, tokens]`.
        slot: usize,
        /// The number.
        found: f32,
    },
}

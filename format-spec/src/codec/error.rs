//! Errors of codec parameters, codes and memory records.

use super::{MAX_MEMORY_FLOATS, MAX_PARAMETER_BYTES, SpecError};
use crate::MemoryShape;

/// Why codec parameters, a code or a memory record is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The codec is malformed, or does not fit this head dimension.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The memory shape is empty, or larger than every reader has to decode.
    #[error(
        "memory shape of {} layers, {} heads, {} tokens, {} dimensions: expected none zero and at most {MAX_MEMORY_FLOATS} floats",
        found.layers, found.heads, found.tokens, found.head_dim
    )]
    Shape {
        /// The shape.
        found: MemoryShape,
    },
    /// The parameters are shorter or longer than the codec's.
    #[error("codec parameters of {found} bytes, expected {expected} for {groups} groups")]
    ParametersLength {
        /// Groups that the parameters claim.
        groups: u32,
        /// Bytes of that many groups.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// The parameters are beyond the cap of all readers.
    #[error("codec parameters of {found} bytes, expected at most {MAX_PARAMETER_BYTES}")]
    ParametersCap {
        /// Bytes that the groups need.
        found: u64,
    },
    /// The number of groups does not fit the codec or the shape.
    #[error("codec parameters of {found} groups, expected {min} to {max}")]
    GroupCount {
        /// Fewest groups.
        min: u32,
        /// Most groups.
        max: u32,
        /// Groups claimed.
        found: u32,
    },
    /// The group map does not number the groups in the order in which they first appear.
    #[error("codec group map: entry {entry} is group {found}, expected at most {next}, the next one not named yet")]
    GroupMap {
        /// Index in the map `[kind, layer, head]`.
        entry: usize,
        /// The group there.
        found: u16,
        /// The lowest group that no earlier entry names.
        next: u32,
    },
    /// A group has no vectors.
    #[error("codec group map names {named} groups of {groups}")]
    UnusedGroups {
        /// Groups that the map names.
        named: u32,
        /// Groups there are.
        groups: u32,
    },
    /// An allotment gives a run more bits than a window has, or does not begin with a run.
    #[error("codec allotment of group {group}: dimension {dimension} has {found} bits, expected at most {max}, or 255 to continue a run")]
    Allotment {
        /// The group.
        group: usize,
        /// The dimension.
        dimension: usize,
        /// Bits of a window.
        max: u8,
        /// The byte there.
        found: u8,
    },
    /// The bits of an allotment do not add up to those of the code.
    #[error("codec allotment of group {group}: {found} bits, expected {expected}")]
    AllottedBits {
        /// The group.
        group: usize,
        /// Bits of a code.
        expected: u64,
        /// Bits of all runs.
        found: u64,
    },
    /// A table entry is not finite, or so large that a sum could overflow.
    #[error("codec tables of group {group}: entry {entry} is {found}, expected a finite number of magnitude at most {max:e}")]
    TableValue {
        /// The group.
        group: usize,
        /// Index in its tables.
        entry: usize,
        /// Largest magnitude allowed.
        max: f32,
        /// The number there.
        found: f32,
    },
    /// A negative step of a scalar code.
    #[error("codec tables of group {group}: the step of dimension {dimension} is {found}, expected zero or more")]
    Step {
        /// The group.
        group: usize,
        /// The dimension.
        dimension: usize,
        /// The step there.
        found: f32,
    },
    /// The parameters do not have this group.
    #[error("codec group {found} of {groups}")]
    UnknownGroup {
        /// The group asked for.
        found: usize,
        /// Groups there are.
        groups: usize,
    },
    /// A vector has another dimension.
    #[error("room for a vector of {found} dimensions, expected {expected}")]
    VectorLength {
        /// The codec's dimension.
        expected: usize,
        /// The dimensions given.
        found: usize,
    },
    /// A code has another length.
    #[error("code of {found} bytes, expected {expected}")]
    CodeLength {
        /// Bytes of a code.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// A bit after the end of a code is set.
    #[error("code with a set bit in its padding")]
    Padding,
    /// A number is infinite or not a number.
    #[error("code of a number that is not finite, in dimension {dimension}")]
    NotFinite {
        /// The dimension.
        dimension: usize,
    },
    /// A memory record has another length.
    #[error("memory record of {found} bytes, expected {expected}")]
    RecordLength {
        /// Bytes of a record.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The memory to decode into has another shape.
    #[error("memory of shape {found:?}, expected {expected:?}")]
    MemoryShape {
        /// The codec's shape.
        expected: MemoryShape,
        /// The memory's.
        found: MemoryShape,
    },
    /// The positions of a head do not ascend, or a token follows an empty slot.
    #[error("memory record: slot {slot} has position {found}, which does not ascend from the slot before it")]
    Position {
        /// Index of the slot in the memory.
        slot: usize,
        /// The position there.
        found: u8,
    },
    /// An empty slot has a code that is not zero.
    #[error("memory record: slot {slot} is empty, but its code is not zero")]
    EmptySlot {
        /// Index of the slot in the memory.
        slot: usize,
    },
    /// A code of a memory record is malformed.
    #[error("memory record: {kind} of slot {slot}: {source}")]
    Slot {
        /// Key or value.
        kind: super::VectorKind,
        /// Index of the slot in the memory.
        slot: usize,
        /// What is wrong with it.
        source: Box<CodecError>,
    },
}

//! What may be wrong with a codec's parameters or with a code.

use super::{MAX_MEMORY_FLOATS, MAX_PARAMETER_BYTES, SpecError};
use crate::MemoryShape;

/// Why codec parameters, a code or a memory record is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The codec itself, or with this head dimension.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A memory shape that is empty, or larger than any reader decodes.
    #[error(
        "memory shape of {} layers, {} heads, {} tokens, {} dimensions: expected none zero and at most {MAX_MEMORY_FLOATS} floats",
        found.layers, found.heads, found.tokens, found.head_dim
    )]
    Shape {
        /// The shape.
        found: MemoryShape,
    },
    /// The parameters end in the middle, or go on beyond what the codec has.
    #[error("codec parameters of {found} bytes, expected {expected} for {groups} groups")]
    ParametersLength {
        /// Groups that the parameters claim.
        groups: u32,
        /// Bytes of that many groups.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// More parameters than any reader takes.
    #[error("codec parameters of {found} bytes, expected at most {MAX_PARAMETER_BYTES}")]
    ParametersCap {
        /// Bytes that the groups need.
        found: u64,
    },
    /// The number of groups does not fit the codec or the shape.
    #[error("codec parameters of {found} groups, expected {least} to {most}")]
    GroupCount {
        /// Fewest.
        least: u32,
        /// Most.
        most: u32,
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
        /// The first group that no earlier entry has.
        next: u32,
    },
    /// Some group belongs to no vector.
    #[error("codec group map names {named} groups of {groups}")]
    UnusedGroups {
        /// Groups that the map names.
        named: u32,
        /// Groups there are.
        groups: u32,
    },
    /// An allotment gives a dimension more bits than a window has, or does not begin with a run.
    #[error("codec allotment of group {group}: dimension {dimension} has {found} bits, expected at most {most}, or 255 to continue a run")]
    Allotment {
        /// The group.
        group: usize,
        /// The dimension.
        dimension: usize,
        /// Bits of a window.
        most: u8,
        /// The byte there.
        found: u8,
    },
    /// The bits of an allotment are not those of the code.
    #[error("codec allotment of group {group}: {found} bits, expected {expected}")]
    AllottedBits {
        /// The group.
        group: usize,
        /// Bits of a code.
        expected: u64,
        /// Bits given out.
        found: u64,
    },
    /// A table entry is not finite, or so large that a sum could overflow.
    #[error("codec tables of group {group}: entry {entry} is {found}, expected a finite number of magnitude at most {most:e}")]
    TableValue {
        /// The group.
        group: usize,
        /// Index in its tables.
        entry: usize,
        /// Largest magnitude allowed.
        most: f32,
        /// The number there.
        found: f32,
    },
    /// A scalar step below zero.
    #[error("codec tables of group {group}: the step of dimension {dimension} is {found}, expected zero or more")]
    Step {
        /// The group.
        group: usize,
        /// The dimension.
        dimension: usize,
        /// The step there.
        found: f32,
    },
    /// A group that the parameters do not have.
    #[error("codec group {found} of {groups}")]
    UnknownGroup {
        /// The group asked for.
        found: usize,
        /// Groups there are.
        groups: usize,
    },
    /// A vector of another dimension.
    #[error("room for a vector of {found} dimensions, expected {expected}")]
    VectorLength {
        /// The codec's dimension.
        expected: usize,
        /// The dimensions given.
        found: usize,
    },
    /// A code of another length.
    #[error("code of {found} bytes, expected {expected}")]
    CodeLength {
        /// Bytes of a code.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// A set bit after the end of a code.
    #[error("code with a set bit in its padding")]
    Padding,
    /// A lossless code that is infinite or no number.
    #[error("code of a number that is not finite, in dimension {dimension}")]
    NotFinite {
        /// The dimension.
        dimension: usize,
    },
    /// A memory record of another length.
    #[error("memory record of {found} bytes, expected {expected}")]
    RecordLength {
        /// Bytes of a record.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// A memory of another shape to decode into.
    #[error("memory of shape {found:?}, expected {expected:?}")]
    MemoryShape {
        /// The codec's shape.
        expected: MemoryShape,
        /// The memory's.
        found: MemoryShape,
    },
    /// Positions of a head that do not ascend, or a token after an empty slot.
    #[error("memory record: slot {slot} has position {found}, which does not ascend from the slot before it")]
    Position {
        /// Index in `[layers, heads, tokens]`.
        slot: usize,
        /// The position there.
        found: u8,
    },
    /// A slot without a token that has a code all the same.
    #[error("memory record: slot {slot} is empty, but its code is not zero")]
    EmptySlot {
        /// Index in `[layers, heads, tokens]`.
        slot: usize,
    },
    /// A code of a memory record is refused.
    #[error("memory record: {kind} of slot {slot}: {source}")]
    Slot {
        /// Key or value.
        kind: super::Kind,
        /// Index in `[layers, heads, tokens]`.
        slot: usize,
        /// What is wrong with it.
        source: Box<CodecError>,
    },
}

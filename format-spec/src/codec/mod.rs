//! Codecs: how the vectors of a memory become bytes, and back (SPEC.md, "Codecs").
//!
//! A codec is a chain of [`stages`], which `stages` says how to add to. Its name parses to them ([`CodecSpec`]); they make the layout of codes
//! and tables (`layout`), and the decoding: look-ups, a trellis and a linear map (`additive`), or numbers on their own.
//!
//! Decoding is part of the format and defined to the bit. Training and encoding belong to the compiler.

mod additive;
mod error;
mod layout;
mod map;
mod parameters;
mod spec;
pub mod stages;
#[cfg(test)]
mod tests;
mod trellis;

use std::fmt;

pub use error::CodecError;
pub use parameters::{CONTINUED, MAX_MAPPED_VALUE, MAX_PARAMETER_BYTES, MAX_TABLE_VALUE};
pub use spec::{CodecSpec, MAX_CODE_BITS, MAX_CODE_PARTS, MAX_HEAD_DIM, MAX_TRELLIS_BYTES, SpecError};
pub use stages::CodecStage;

use crate::{EMPTY_SLOT, Memory, MemoryShape};
use layout::{DecodeError, Decoding};
use trellis::Steps;

/// Most floats of the keys, and again of the values, of one memory: 64 MiB of each.
pub const MAX_MEMORY_FLOATS: u64 = 1 << 24;

/// One of the two vectors of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VectorKind {
    /// The key, before RoPE.
    Key,
    /// The value.
    Value,
}

impl VectorKind {
    /// Both, in the order of the format.
    pub const ALL: [Self; 2] = [Self::Key, Self::Value];
}

impl fmt::Display for VectorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}

/// A codec with its parameters, ready to decode the memories of one shape.
#[derive(Clone, Debug)]
pub struct Codec {
    spec: CodecSpec,
    shape: MemoryShape,
    decoding: Decoding,
    code_bytes: usize,
    /// Group of each `[kind, layer, head]`; empty for codecs without parameters.
    map: Vec<u16>,
    groups: usize,
    /// `[groups, head_dim]`, for codecs with a trellis.
    allotments: Vec<u8>,
    /// The steps of each group's trellis; empty for codecs without one.
    steps: Vec<Steps>,
    /// Floats of a group's tables.
    table_floats: usize,
    /// `[group, table_floats]`.
    tables: Vec<f32>,
}

impl Codec {
    /// Reads the parameters of a codec, the contents of the section `CODEC`.
    ///
    /// Allocates no more than the length of the parameters, whatever they claim.
    ///
    /// # Errors
    /// If the codec does not fit the shape, or the parameters are not exactly those of this codec and this shape.
    pub fn parse(spec: &CodecSpec, shape: MemoryShape, parameters: &[u8]) -> Result<Self, CodecError> {
        let layout = spec.layout(shape.head_dim)?;
        check_shape(&shape)?;
        let parameters = parameters::parse(&layout, &shape, parameters)?;
        Ok(Self {
            spec: *spec,
            shape,
            decoding: layout.decoding,
            code_bytes: layout.code_bytes,
            map: parameters.map,
            groups: parameters.groups,
            allotments: parameters.allotments,
            steps: parameters.steps,
            table_floats: layout.table_floats,
            tables: parameters.tables,
        })
    }

    /// The codec's name.
    pub fn spec(&self) -> CodecSpec {
        self.spec
    }

    /// The shape of the memories it decodes.
    pub fn shape(&self) -> &MemoryShape {
        &self.shape
    }

    /// Bytes of a vector's code.
    pub fn code_bytes(&self) -> usize {
        self.code_bytes
    }

    /// Bytes of a memory record: a position per slot, then a code per key, then a code per value.
    pub fn stride(&self) -> usize {
        self.shape.slots() * (1 + 2 * self.code_bytes)
    }

    /// How the bits of a trellis code are allotted in a group, `[head_dim]`: at the first dimension of a run the bits that are new there, at
    /// the others [`CONTINUED`]; empty for codecs without a trellis, and for groups that the codec does not have.
    pub fn allotment(&self, group: usize) -> &[u8] {
        let dim = self.shape.head_dim as usize;
        self.allotments.get(group * dim..(group + 1) * dim).unwrap_or_default()
    }

    /// Sets of tables; 0 for codecs without parameters.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The set of tables of one head's vectors; 0 for codecs without parameters, and for heads that the shape does not have.
    pub fn group_of(&self, kind: VectorKind, layer: usize, head: usize) -> usize {
        let (layers, heads) = (self.shape.layers as usize, self.shape.heads as usize);
        if layer >= layers || head >= heads {
            return 0;
        }
        let row = match kind {
            VectorKind::Key => layer,
            VectorKind::Value => layers + layer,
        };
        self.map.get(row * heads + head).copied().unwrap_or(0).into()
    }

    /// The tables of a group in the order of SPEC.md (`SQ8`: `min[dim]`, `step[dim]`; `PQ`: `[m, 2^bits, dim / m]`;
    /// `RQ`: `[m, 2^bits, dim]`); empty for codecs without parameters.
    ///
    /// # Errors
    /// If the codec does not have this group.
    pub fn tables(&self, group: usize) -> Result<&[f32], CodecError> {
        // A codec without parameters decodes the same in its only, empty group.
        if group >= self.groups.max(1) {
            return Err(CodecError::UnknownGroup { found: group, groups: self.groups });
        }
        let start = group * self.table_floats;
        Ok(self.tables.get(start..start + self.table_floats).unwrap_or_default())
    }

    /// Decodes the code of one vector of a group into `out`, `[head_dim]`.
    ///
    /// # Errors
    /// If the codec does not have this group, a length is wrong, or the code is malformed.
    pub fn decode(&self, group: usize, code: &[u8], out: &mut [f32]) -> Result<(), CodecError> {
        self.tables(group)?;
        if code.len() != self.code_bytes {
            return Err(CodecError::CodeLength { expected: self.code_bytes, found: code.len() });
        }
        if out.len() != self.shape.head_dim as usize {
            return Err(CodecError::VectorLength { expected: self.shape.head_dim as usize, found: out.len() });
        }
        self.decode_vectors(group, code, out).map_err(|(_, error)| error)
    }

    /// Decodes a memory record into `out`. Overwrites all its floats, those of empty slots with zeros.
    ///
    /// # Errors
    /// If the record has another length or the memory another shape, or a position or a code is malformed. The contents of `out` are then
    /// unspecified.
    pub fn decode_memory(&self, record: &[u8], out: &mut Memory) -> Result<(), CodecError> {
        let (slots, floats) = (self.shape.slots(), self.shape.floats());
        if record.len() != self.stride() {
            return Err(CodecError::RecordLength { expected: self.stride(), found: record.len() });
        }
        if out.shape != self.shape || out.positions.len() != slots || out.keys.len() != floats || out.values.len() != floats {
            return Err(CodecError::MemoryShape { expected: self.shape.clone(), found: out.shape.clone() });
        }
        let (positions, codes) = record.split_at(slots);
        let (keys, values) = codes.split_at(slots * self.code_bytes);
        check_positions(positions, &self.shape)?;
        out.positions.copy_from_slice(positions);
        self.decode_kind(VectorKind::Key, positions, keys, &mut out.keys)?;
        self.decode_kind(VectorKind::Value, positions, values, &mut out.values)
    }

    /// Decodes the codes `[slots, code_bytes]` of all keys or all values.
    fn decode_kind(&self, kind: VectorKind, positions: &[u8], codes: &[u8], out: &mut [f32]) -> Result<(), CodecError> {
        let (heads, dim) = (self.shape.heads as usize, self.shape.head_dim as usize);
        let mut rest = (positions, codes, out);
        for (head, slots) in self.shape.slots_of_heads().enumerate() {
            // The caller has checked all lengths, so the rest always has this head's slots.
            let Some((positions, more)) = rest.0.split_at_checked(slots.len()) else { break };
            let Some((codes, more_codes)) = rest.1.split_at_checked(slots.len() * self.code_bytes) else { break };
            let Some((out, more_out)) = rest.2.split_at_mut_checked(slots.len() * dim) else { break };
            rest = (more, more_codes, more_out);
            // Positions are checked: no token follows an empty slot.
            let filled = positions.iter().take_while(|position| **position != EMPTY_SLOT).count();
            let (codes, empty) = codes.split_at_checked(filled * self.code_bytes).unwrap_or_default();
            let (vectors, unused) = out.split_at_mut_checked(filled * dim).unwrap_or_default();
            if let Some(byte) = empty.iter().position(|&byte| byte != 0) {
                return Err(CodecError::EmptySlot { slot: slots.start + filled + byte / self.code_bytes });
            }
            unused.fill(0.0);
            self.decode_vectors(self.group_of(kind, head / heads, head % heads), codes, vectors)
                .map_err(|(token, source)| CodecError::Slot { kind, slot: slots.start + token, source: source.into() })?;
        }
        Ok(())
    }

    /// Decodes the codes of one group's vectors. The caller has checked the group and all lengths.
    #[inline]
    fn decode_vectors(&self, group: usize, codes: &[u8], out: &mut [f32]) -> Result<(), DecodeError> {
        let tables = self.tables(group).unwrap_or_default();
        let dim = self.shape.head_dim as usize;
        match &self.decoding {
            Decoding::Direct(direct) => (direct.decode)(tables, codes, out, dim),
            Decoding::Additive(chain) => {
                chain.decode(tables, self.steps.get(group), self.code_bytes, dim, codes, out).map_err(|index| (index, CodecError::Padding))
            }
        }
    }
}

/// Checks that positions ascend within a head, and that no token follows an empty slot.
fn check_positions(positions: &[u8], shape: &MemoryShape) -> Result<(), CodecError> {
    for slots in shape.slots_of_heads() {
        let positions = positions.get(slots.clone()).unwrap_or_default();
        for (token, (&before, &after)) in positions.iter().zip(positions.iter().skip(1)).enumerate() {
            if after != EMPTY_SLOT && after <= before {
                return Err(CodecError::Position { slot: slots.start + token + 1, found: after });
            }
        }
    }
    Ok(())
}

fn check_shape(shape: &MemoryShape) -> Result<(), CodecError> {
    let sizes = [shape.layers, shape.heads, shape.tokens, shape.head_dim];
    let floats = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size.into()));
    match floats {
        Some(1..=MAX_MEMORY_FLOATS) => Ok(()),
        _ => Err(CodecError::Shape { found: shape.clone() }),
    }
}

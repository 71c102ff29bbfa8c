//! Codecs: how the vectors of a memory become bytes, and back (SPEC.md, "Codecs").
//!
//! Decoding is part of the format and defined to the bit. Training and encoding belong to the compiler.

mod additive;
mod error;
mod layout;
mod map;
mod parameters;
mod spec;
#[cfg(test)]
mod tests;
mod trellis;

use std::fmt;

pub use error::CodecError;
pub use parameters::{CONTINUED, MAX_MAPPED_VALUE, MAX_PARAMETER_BYTES, MAX_TABLE_VALUE};
pub use spec::{CodecSpec, MAX_CODE_BITS, MAX_CODE_PARTS, MAX_HEAD_DIM, MAX_TRELLIS_BYTES, Parts, SpecError};

use crate::{EMPTY_SLOT, Memory, MemoryShape};
use layout::{Layout, Scheme};
use trellis::Steps;

/// Most floats of the keys, and again of the values, of one memory: 64 MiB of each.
pub const MAX_MEMORY_FLOATS: u64 = 1 << 24;

/// Which of a token's two vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The key, before RoPE.
    Key,
    /// The value.
    Value,
}

impl Kind {
    /// Both, in the order of the format.
    pub const ALL: [Self; 2] = [Self::Key, Self::Value];
}

impl fmt::Display for Kind {
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
    scheme: Scheme,
    code_bytes: usize,
    /// Group of each `[kind, layer, head]`; empty for codecs without parameters.
    map: Vec<u16>,
    groups: usize,
    /// `[groups, head_dim]`, for codecs with a trellis.
    allotments: Vec<u8>,
    /// What each group's trellis does; empty for codecs without one.
    steps: Vec<Steps>,
    /// Floats of a group's tables.
    table_floats: usize,
    /// `[group, table_floats]`.
    tables: Vec<f32>,
}

impl Codec {
    /// Reads the parameters of a codec, the contents of the section "codec parameters".
    ///
    /// Allocates no more than the parameters' own length, whatever they claim.
    ///
    /// # Errors
    /// If the codec does not fit the shape, or the parameters are not exactly those of this codec and this shape.
    pub fn parse(spec: &CodecSpec, shape: MemoryShape, parameters: &[u8]) -> Result<Self, CodecError> {
        let layout = Layout::new(spec, shape.head_dim)?;
        check_shape(shape)?;
        let parameters = parameters::parse(&layout, shape, parameters)?;
        Ok(Self {
            spec: *spec,
            shape,
            scheme: layout.scheme,
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
    pub fn shape(&self) -> MemoryShape {
        self.shape
    }

    /// Bytes of a vector's code.
    pub fn code_bytes(&self) -> usize {
        self.code_bytes
    }

    /// Bytes of a memory record: a position a slot, then a code a key, then a code a value.
    pub fn stride(&self) -> usize {
        self.shape.slots() * (1 + 2 * self.code_bytes)
    }

    /// How the bits of a trellis code are allotted in a group, `[head_dim]`: at the first dimension of a run the bits that are new there, at
    /// the others [`CONTINUED`]; empty for codecs without a trellis, and for a group that there is not.
    pub fn allotment(&self, group: usize) -> &[u8] {
        let dim = self.shape.head_dim as usize;
        self.allotments.get(group * dim..(group + 1) * dim).unwrap_or_default()
    }

    /// Sets of tables; 0 for codecs without parameters.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The set of tables that the vectors of one head have; 0 for codecs without parameters, and for a head that
    /// the shape does not have.
    pub fn group_of(&self, kind: Kind, layer: usize, head: usize) -> usize {
        let (layers, heads) = (self.shape.layers as usize, self.shape.heads as usize);
        if layer >= layers || head >= heads {
            return 0;
        }
        let row = match kind {
            Kind::Key => layer,
            Kind::Value => layers + layer,
        };
        self.map.get(row * heads + head).copied().unwrap_or(0).into()
    }

    /// The tables of a group in the order of SPEC.md (`SQ8`: `min[dim]`, `step[dim]`; `PQ`: `[m, 2^bits, dim / m]`;
    /// `RQ`: `[m, 2^bits, dim]`); empty for codecs without parameters.
    ///
    /// # Errors
    /// If there is no such group.
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
    /// If there is no such group, a length is wrong, or the code is none.
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

    /// Decodes a memory record into `out`, whose floats are overwritten, those of empty slots with zeros.
    ///
    /// # Errors
    /// If the record's length or the memory's shape is another, or a position or a code is none. `out` then holds
    /// no memory.
    pub fn decode_memory(&self, record: &[u8], out: &mut Memory) -> Result<(), CodecError> {
        let (slots, floats) = (self.shape.slots(), self.shape.floats());
        if record.len() != self.stride() {
            return Err(CodecError::RecordLength { expected: self.stride(), found: record.len() });
        }
        if out.shape != self.shape || out.positions.len() != slots || out.keys.len() != floats || out.values.len() != floats {
            return Err(CodecError::MemoryShape { expected: self.shape, found: out.shape });
        }
        let (positions, codes) = record.split_at(slots);
        let (keys, values) = codes.split_at(slots * self.code_bytes);
        check_positions(positions, self.shape.tokens as usize)?;
        out.positions.copy_from_slice(positions);
        self.decode_kind(Kind::Key, positions, keys, &mut out.keys)?;
        self.decode_kind(Kind::Value, positions, values, &mut out.values)
    }

    /// Decodes the codes `[layers, heads, tokens, code_bytes]` of all keys or all values.
    fn decode_kind(&self, kind: Kind, positions: &[u8], codes: &[u8], out: &mut [f32]) -> Result<(), CodecError> {
        let (heads, tokens, dim) = (self.shape.heads as usize, self.shape.tokens as usize, self.shape.head_dim as usize);
        let positions = positions.chunks_exact(tokens);
        let codes = codes.chunks_exact(tokens * self.code_bytes);
        for (head, ((positions, codes), out)) in positions.zip(codes).zip(out.chunks_exact_mut(tokens * dim)).enumerate() {
            // No token follows an empty slot: the positions are checked.
            let filled = positions.iter().take_while(|position| **position != EMPTY_SLOT).count();
            let (codes, empty) = codes.split_at_checked(filled * self.code_bytes).unwrap_or_default();
            let (vectors, rest) = out.split_at_mut_checked(filled * dim).unwrap_or_default();
            if let Some(byte) = empty.iter().position(|&byte| byte != 0) {
                return Err(CodecError::EmptySlot { slot: head * tokens + filled + byte / self.code_bytes });
            }
            rest.fill(0.0);
            self.decode_vectors(self.group_of(kind, head / heads, head % heads), codes, vectors)
                .map_err(|(token, source)| CodecError::Slot { kind, slot: head * tokens + token, source: source.into() })?;
        }
        Ok(())
    }

    /// Decodes the codes of vectors of one group, one behind the other; the caller has checked the group and all lengths.
    /// An error bears the number of its code.
    #[inline]
    fn decode_vectors(&self, group: usize, codes: &[u8], out: &mut [f32]) -> Result<(), (usize, CodecError)> {
        let tables = self.tables(group).unwrap_or_default();
        let dim = self.shape.head_dim as usize;
        let pairs = codes.chunks_exact(self.code_bytes).zip(out.chunks_exact_mut(dim));
        match &self.scheme {
            Scheme::F32 => {
                for (index, (code, vector)) in pairs.enumerate() {
                    let numbers = code.as_chunks::<4>().0;
                    vector.iter_mut().zip(numbers).for_each(|(x, bytes)| *x = f32::from_le_bytes(*bytes));
                    check_finite(vector).map_err(|error| (index, error))?;
                }
            }
            Scheme::Bf16 => {
                for (index, (code, vector)) in pairs.enumerate() {
                    let numbers = code.as_chunks::<2>().0;
                    vector.iter_mut().zip(numbers).for_each(|(x, bytes)| *x = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16));
                    check_finite(vector).map_err(|error| (index, error))?;
                }
            }
            Scheme::Sq8 => {
                let (least, step) = tables.split_at_checked(dim).unwrap_or_default();
                for (code, vector) in pairs {
                    let ranges = least.iter().zip(step);
                    vector.iter_mut().zip(code).zip(ranges).for_each(|((x, &level), (least, step))| *x = least + step * f32::from(level));
                }
            }
            Scheme::Additive(chain) => {
                chain
                    .decode(tables, self.steps.get(group), self.code_bytes, dim, codes, out)
                    .map_err(|index| (index, CodecError::Padding))?;
            }
        }
        Ok(())
    }
}

fn check_finite(vector: &[f32]) -> Result<(), CodecError> {
    // All at once first: the search for the culprit would keep the usual case from vector instructions.
    if vector.iter().fold(true, |finite, x| finite & x.is_finite()) {
        return Ok(());
    }
    Err(CodecError::NotFinite { dimension: vector.iter().position(|x| !x.is_finite()).unwrap_or(0) })
}

/// Positions ascend within a head, and no token follows an empty slot.
fn check_positions(positions: &[u8], tokens: usize) -> Result<(), CodecError> {
    for (head, positions) in positions.chunks_exact(tokens).enumerate() {
        for (token, (&before, &after)) in positions.iter().zip(positions.iter().skip(1)).enumerate() {
            if after != EMPTY_SLOT && after <= before {
                return Err(CodecError::Position { slot: head * tokens + token + 1, found: after });
            }
        }
    }
    Ok(())
}

fn check_shape(shape: MemoryShape) -> Result<(), CodecError> {
    let sizes = [shape.layers, shape.heads, shape.tokens, shape.head_dim];
    let floats = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size.into()));
    match floats {
        Some(1..=MAX_MEMORY_FLOATS) => Ok(()),
        _ => Err(CodecError::Shape { found: shape }),
    }
}

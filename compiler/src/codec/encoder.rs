//! From memories to records.

use mempack_format::{Codec, CodecError, CodecSpec, EMPTY_SLOT, Memory, MemoryShape, VectorKind};

use super::{EncodeError, MAX_VALUE, chain::Chain};

/// Turns memories into records, with the parameters that [`train_codec`](super::train) returns.
///
/// A record is a pure function of the parameters and the memory. Many threads may encode with one encoder.
pub struct Encoder {
    codec: Codec,
    /// One for each group.
    chains: Vec<Chain>,
}

impl Encoder {
    /// The encoder of a codec.
    ///
    /// # Errors
    /// If the parameters are not exactly those of this codec and this shape.
    pub fn new(spec: &CodecSpec, shape: MemoryShape, parameters: &[u8]) -> Result<Self, CodecError> {
        let dim = shape.head_dim as usize;
        let codec = Codec::parse(spec, shape, parameters)?;
        let chains = (0..codec.groups().max(1)).map(|group| Ok(Chain::new(spec, dim, codec.allotment(group), codec.tables(group)?)));
        let chains = chains.collect::<Result<_, CodecError>>()?;
        Ok(Self { codec, chains })
    }

    /// The codec that decodes what this encodes.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Appends the record of `memory` to `out`: [`Codec::stride`] bytes.
    ///
    /// # Errors
    /// If the memory has another shape, positions out of order, or a number that no codec takes. `out` is then unchanged.
    pub fn encode(&self, memory: &Memory, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.check(memory)?;
        let (shape, code) = (self.codec.shape(), self.codec.code_bytes());
        let (heads, dim) = (shape.all_heads(), shape.head_dim as usize);
        out.reserve(self.codec.stride());
        out.extend(&memory.positions);
        for (kind, vectors) in [(VectorKind::Key, &memory.keys), (VectorKind::Value, &memory.values)] {
            let group_of = |head: usize| self.codec.group_of(kind, head / shape.heads as usize, head % shape.heads as usize);
            let mut start = 0;
            // Neighbouring heads that share tables are encoded together: their vectors make one matrix product.
            while start < heads {
                let group = group_of(start);
                let end = (start + 1..heads).find(|&head| group_of(head) != group).unwrap_or(heads);
                let slots = shape.slots_of_run(start..end);
                let positions = &memory.positions[slots.clone()];
                let filled: Vec<f32> = vectors[slots.start * dim..slots.end * dim]
                    .chunks_exact(dim)
                    .zip(positions)
                    .filter(|(_, position)| **position != EMPTY_SLOT)
                    .flat_map(|(vector, _)| vector)
                    .copied()
                    .collect();
                let codes = if filled.is_empty() { Vec::new() } else { self.chains[group].encode(filled, dim) };
                let mut codes = codes.chunks_exact(code);
                for &position in positions {
                    let code_of_slot = if position == EMPTY_SLOT { None } else { codes.next() };
                    match code_of_slot {
                        Some(bytes) => out.extend(bytes),
                        None => out.resize(out.len() + code, 0),
                    }
                }
                start = end;
            }
        }
        Ok(())
    }

    fn check(&self, memory: &Memory) -> Result<(), EncodeError> {
        let shape = self.codec.shape();
        let lengths = [memory.positions.len(), memory.keys.len(), memory.values.len()];
        if memory.shape != *shape || lengths != [shape.slots(), shape.floats(), shape.floats()] {
            let [positions, keys, values] = lengths;
            return Err(EncodeError::Shape { expected: shape.clone(), found: memory.shape.clone(), positions, keys, values });
        }
        for slot in shape.slots_of_heads().flat_map(|slots| slots.skip(1)) {
            let (before, after) = (memory.positions[slot - 1], memory.positions[slot]);
            if after != EMPTY_SLOT && after <= before {
                return Err(EncodeError::Position { slot, found: after });
            }
        }
        for (kind, vectors) in [(VectorKind::Key, &memory.keys), (VectorKind::Value, &memory.values)] {
            if let Some(at) = vectors.iter().position(|x| !(-MAX_VALUE..=MAX_VALUE).contains(x)) {
                return Err(EncodeError::Value { kind, slot: at / shape.head_dim as usize, found: vectors[at] });
            }
        }
        Ok(())
    }
}

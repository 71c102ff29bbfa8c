//! From memories to records.

use mempack_format::{Codec, CodecError, CodecSpec, EMPTY_SLOT, Kind, Memory, MemoryShape};
use ndarray::{Axis, Slice};

use super::{
    EncodeError, MAX_VALUE,
    matrix::{Codebook, least, view},
    residual, scalar,
};

/// Turns memories into records, with the parameters that [`train_codec`](super::train) made.
///
/// A record is a pure function of the parameters and the memory; many threads may encode with one encoder.
pub struct Encoder {
    codec: Codec,
    /// One for each group.
    schemes: Vec<Scheme>,
}

/// What codes the vectors of one group.
enum Scheme {
    F32,
    Bf16,
    Scalar { least: Vec<f32>, step: Vec<f32> },
    Product(Vec<Codebook>),
    Residual(Vec<Codebook>),
}

impl Encoder {
    /// The encoder of a codec.
    ///
    /// # Errors
    /// If the parameters are not exactly those of this codec and this shape.
    pub fn new(spec: &CodecSpec, shape: MemoryShape, parameters: &[u8]) -> Result<Self, CodecError> {
        let codec = Codec::parse(spec, shape, parameters)?;
        let dim = shape.head_dim as usize;
        let codebooks = |tables: &[f32], width: usize, bits: u8| -> Vec<Codebook> {
            tables.chunks_exact(width << bits).map(|table| Codebook::new(table.to_vec(), width)).collect()
        };
        let scheme = |tables: &[f32]| match *spec {
            CodecSpec::F32 => Scheme::F32,
            CodecSpec::Bf16 => Scheme::Bf16,
            CodecSpec::Sq8 => Scheme::Scalar { least: tables[..dim].to_vec(), step: tables[dim..].to_vec() },
            CodecSpec::Pq { m, bits } => Scheme::Product(codebooks(tables, dim / usize::from(m), bits)),
            CodecSpec::Rq { bits, .. } => Scheme::Residual(codebooks(tables, dim, bits)),
        };
        let schemes = (0..codec.groups().max(1)).map(|group| Ok(scheme(codec.tables(group)?))).collect::<Result<_, CodecError>>()?;
        Ok(Self { codec, schemes })
    }

    /// The codec that decodes what this encodes.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Appends the record of `memory` to `out`: [`Codec::stride`] bytes.
    ///
    /// # Errors
    /// If the memory has another shape, positions out of order, or a number no codec takes; `out` is then as before.
    pub fn encode(&self, memory: &Memory, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.check(memory)?;
        let (shape, code) = (self.codec.shape(), self.codec.code_bytes());
        let (heads, tokens, dim) = ((shape.layers * shape.heads) as usize, shape.tokens as usize, shape.head_dim as usize);
        out.reserve(self.codec.stride());
        out.extend(&memory.positions);
        for (kind, vectors) in [(Kind::Key, &memory.keys), (Kind::Value, &memory.values)] {
            let group_of = |head: usize| self.codec.group_of(kind, head / shape.heads as usize, head % shape.heads as usize);
            let mut start = 0;
            // Heads that follow one another and share tables make one matrix product.
            while start < heads {
                let group = group_of(start);
                let end = (start + 1..heads).find(|&head| group_of(head) != group).unwrap_or(heads);
                let slots = start * tokens..end * tokens;
                let positions = &memory.positions[slots.clone()];
                let filled: Vec<f32> = vectors[slots.start * dim..slots.end * dim]
                    .chunks_exact(dim)
                    .zip(positions)
                    .filter(|(_, position)| **position != EMPTY_SLOT)
                    .flat_map(|(vector, _)| vector)
                    .copied()
                    .collect();
                let codes = self.schemes[group].encode(&filled, dim, code);
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
        if memory.shape != shape || lengths != [shape.slots(), shape.floats(), shape.floats()] {
            let [positions, keys, values] = lengths;
            return Err(EncodeError::Shape { expected: shape, found: memory.shape, positions, keys, values });
        }
        let tokens = shape.tokens as usize;
        for slot in (0..shape.slots()).filter(|slot| slot % tokens != 0) {
            let (before, after) = (memory.positions[slot - 1], memory.positions[slot]);
            if after != EMPTY_SLOT && after <= before {
                return Err(EncodeError::Position { slot, found: after });
            }
        }
        for (kind, vectors) in [(Kind::Key, &memory.keys), (Kind::Value, &memory.values)] {
            if let Some(at) = vectors.iter().position(|x| !(-MAX_VALUE..=MAX_VALUE).contains(x)) {
                return Err(EncodeError::Value { kind, slot: at / shape.head_dim as usize, found: vectors[at] });
            }
        }
        Ok(())
    }
}

impl Scheme {
    /// The codes `[n, code]` of `vectors`, `[n, dim]`.
    fn encode(&self, vectors: &[f32], dim: usize, code: usize) -> Vec<u8> {
        match self {
            Self::F32 => vectors.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::Bf16 => vectors.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect(),
            Self::Scalar { least, step } => vectors
                .chunks_exact(dim)
                .flat_map(|vector| vector.iter().zip(least.iter().zip(step)).map(|(x, (least, step))| scalar::level(*x, *least, *step)))
                .collect(),
            Self::Product(codebooks) => pack(&nearest(codebooks, vectors, dim), codebooks, code),
            Self::Residual(codebooks) => pack(&residual::encode(codebooks, vectors, dim), codebooks, code),
        }
    }
}

/// The nearest centroid of each sub-vector: `[n, parts]`.
fn nearest(codebooks: &[Codebook], vectors: &[f32], dim: usize) -> Vec<u16> {
    let (count, width) = (vectors.len() / dim, dim / codebooks.len());
    let mut codes = vec![0; count * codebooks.len()];
    let (mut scores, mut best, base) = (Vec::new(), Vec::with_capacity(1), vec![0.0; count]);
    for (part, codebook) in codebooks.iter().enumerate() {
        scores.resize(count * codebook.len(), 0.0);
        let vectors = view(vectors, dim);
        codebook.scores(vectors.slice_axis(Axis(1), Slice::from(part * width..(part + 1) * width)), &base, &mut scores);
        for (code, scores) in codes.chunks_exact_mut(codebooks.len()).zip(scores.chunks_exact(codebook.len())) {
            least(scores, 1, &mut best);
            code[part] = best[0].1 as u16;
        }
    }
    codes
}

/// Packs codes `[n, parts]` into bytes `[n, code]`, the lowest bit first.
fn pack(codes: &[u16], codebooks: &[Codebook], code: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(codes.len() / codebooks.len() * code);
    for rows in codes.chunks_exact(codebooks.len()) {
        let (mut held, mut filled) = (0u32, 0);
        for (&row, codebook) in rows.iter().zip(codebooks) {
            held |= u32::from(row) << filled;
            filled += codebook.len().trailing_zeros();
            while filled >= 8 {
                bytes.push(held as u8);
                held >>= 8;
                filled -= 8;
            }
        }
        if filled > 0 {
            bytes.push(held as u8);
        }
    }
    bytes
}

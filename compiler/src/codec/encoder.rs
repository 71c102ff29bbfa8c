//! From memories to records.

use mempack_format::{Codec, CodecError, CodecSpec, EMPTY_SLOT, Kind, Memory, MemoryShape, Parts};

use super::{EncodeError, MAX_VALUE, linear, matrix::Codebook, packing::pack, product, residual, scalar, trellis::Trellis};

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
    Scalar {
        least: Vec<f32>,
        step: Vec<f32>,
    },
    Product(Vec<Codebook>),
    Residual(Vec<Codebook>),
    /// Of each sub-vector.
    ProductOfResiduals(Vec<Vec<Codebook>>),
    Mapped {
        mean: Vec<f32>,
        undo: Vec<f32>,
        inner: Inner,
    },
}

/// What codes the vectors of a mapped codec, once their mean and their map are undone.
enum Inner {
    /// Product codes, each of what the one before it leaves.
    Products(Vec<Vec<Codebook>>),
    /// A trellis code of what a residual code, which may have no stages, leaves.
    Trellis { stages: Vec<Codebook>, trellis: Trellis },
}

impl Encoder {
    /// The encoder of a codec.
    ///
    /// # Errors
    /// If the parameters are not exactly those of this codec and this shape.
    pub fn new(spec: &CodecSpec, shape: MemoryShape, parameters: &[u8]) -> Result<Self, CodecError> {
        let codec = Codec::parse(spec, shape, parameters)?;
        let dim = shape.head_dim as usize;
        let schemes = (0..codec.groups().max(1)).map(|group| Ok(Scheme::new(spec, dim, codec.tables(group)?, codec.allotment(group))));
        let schemes = schemes.collect::<Result<_, CodecError>>()?;
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

/// The codebooks of parts that follow one another in `tables`, and what is behind them.
fn codebooks(tables: &[f32], count: u16, width: usize, bits: u8) -> (Vec<Codebook>, &[f32]) {
    let (ours, rest) = tables.split_at(usize::from(count) * (width << bits));
    (ours.chunks_exact(width << bits).map(|table| Codebook::new(table.to_vec(), width)).collect(), rest)
}

impl Scheme {
    fn new(spec: &CodecSpec, dim: usize, tables: &[f32], allotment: &[u8]) -> Self {
        match *spec {
            CodecSpec::F32 => Self::F32,
            CodecSpec::Bf16 => Self::Bf16,
            CodecSpec::Sq8 => Self::Scalar { least: tables[..dim].to_vec(), step: tables[dim..].to_vec() },
            CodecSpec::Pq { m, bits } => Self::Product(codebooks(tables, m, dim / usize::from(m), bits).0),
            CodecSpec::Rq { m, bits } => Self::Residual(codebooks(tables, m, dim, bits).0),
            CodecSpec::Prq { splits, m, bits } => {
                let width = dim / usize::from(splits);
                let splits = tables.chunks_exact(usize::from(m) * (width << bits));
                Self::ProductOfResiduals(splits.map(|tables| codebooks(tables, m, width, bits).0).collect())
            }
            CodecSpec::Opq { coarse, fine, .. } => {
                let (mut rest, mut products) = (&tables[dim + dim * dim..], Vec::new());
                for Parts { m, bits } in coarse.into_iter().chain([fine]) {
                    let (product, behind) = codebooks(rest, m, dim / usize::from(m), bits);
                    products.push(product);
                    rest = behind;
                }
                Self::mapped(tables, dim, Inner::Products(products))
            }
            CodecSpec::Tcq { stages, window, .. } => {
                let Parts { m, bits } = stages.unwrap_or(Parts { m: 0, bits: 0 });
                let (stages, rest) = codebooks(&tables[dim + dim * dim..], m, dim, bits);
                Self::mapped(tables, dim, Inner::Trellis { stages, trellis: Trellis::new(allotment, window, rest) })
            }
        }
    }

    fn mapped(tables: &[f32], dim: usize, inner: Inner) -> Self {
        Self::Mapped { mean: tables[..dim].to_vec(), undo: linear::undo(&tables[dim..dim + dim * dim], dim), inner }
    }

    /// The codes `[n, code]` of `vectors`, `[n, dim]`.
    fn encode(&self, vectors: &[f32], dim: usize, code: usize) -> Vec<u8> {
        match self {
            Self::F32 => vectors.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::Bf16 => vectors.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect(),
            Self::Scalar { least, step } => vectors
                .chunks_exact(dim)
                .flat_map(|vector| vector.iter().zip(least.iter().zip(step)).map(|(x, (least, step))| scalar::level(*x, *least, *step)))
                .collect(),
            Self::Product(codebooks) => pack(&product::encode(codebooks, vectors, dim), &bits(codebooks), code),
            Self::Residual(codebooks) => pack(&residual::encode(codebooks, vectors, dim), &bits(codebooks), code),
            Self::ProductOfResiduals(splits) => {
                let width = dim / splits.len();
                let codes = splits
                    .iter()
                    .enumerate()
                    .map(|(split, codebooks)| residual::encode(codebooks, &product::sub_vectors(vectors, dim, split, width), width));
                let bits: Vec<u32> = splits.iter().flat_map(|codebooks| bits(codebooks)).collect();
                pack(&side_by_side(&codes.collect::<Vec<_>>(), vectors.len() / dim), &bits, code)
            }
            Self::Mapped { mean, undo, inner } => {
                let mut centered = vectors.to_vec();
                linear::center(&mut centered, mean);
                inner.encode(linear::multiply(&centered, undo, dim), dim, code)
            }
        }
    }
}

impl Inner {
    /// The codes of what is before the map.
    fn encode(&self, mut left: Vec<f32>, dim: usize, code: usize) -> Vec<u8> {
        match self {
            Self::Products(products) => {
                let count = left.len() / dim;
                let codes: Vec<Vec<u16>> = products
                    .iter()
                    .map(|codebooks| {
                        let codes = product::encode(codebooks, &left, dim);
                        product::subtract(codebooks, &codes, &mut left, dim);
                        codes
                    })
                    .collect();
                let bits: Vec<u32> = products.iter().flat_map(|codebooks| bits(codebooks)).collect();
                pack(&side_by_side(&codes, count), &bits, code)
            }
            Self::Trellis { stages, trellis } => {
                let codes = residual::encode(stages, &left, dim);
                residual::subtract(stages, &codes, &mut left, dim);
                let (bits, tail) = (bits(stages), trellis.encode(&left));
                let head = bits.iter().sum::<u32>().div_ceil(8) as usize;
                let heads = pack(&codes, &bits, head);
                (0..left.len() / dim)
                    .flat_map(|v| [&heads[v * head..(v + 1) * head], &tail[v * (code - head)..(v + 1) * (code - head)]].concat())
                    .collect()
            }
        }
    }
}

/// Bits of the codes of each codebook.
fn bits(codebooks: &[Codebook]) -> Vec<u32> {
    codebooks.iter().map(|codebook| codebook.len().trailing_zeros()).collect()
}

/// Codes of several coders, each `[n, its parts]`, as `[n, all parts]`.
fn side_by_side(codes: &[Vec<u16>], count: usize) -> Vec<u16> {
    let rows = |vector: usize| {
        codes.iter().flat_map(move |codes| {
            let parts = codes.len() / count;
            &codes[vector * parts..(vector + 1) * parts]
        })
    };
    (0..count).flat_map(rows).copied().collect()
}

//! The memories of a chunk as tensors, in the form of a reader's cache.

use std::ops::Range;

use mempack_format::{EMPTY_SLOT, Memory};
use tch::Tensor;

use crate::ComputeError;
use crate::context::similarity_biases;
use crate::decoder::Decoder;

/// A memory to be read, and how similar it is to the query.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// The memory.
    pub memory: &'a Memory,
    /// Its retrieval similarity; has no effect if the model's `similarity_bias` is 0.
    pub similarity: f32,
}

/// The memories of one chunk, rotated and converted to the model's precision.
pub(crate) struct SlotTensors {
    /// `[memory layers, heads, tokens, head_dim]`, rotated to the interval of positions that memories share.
    pub keys: Tensor,
    /// `[memory layers, heads, tokens, head_dim]`.
    pub values: Tensor,
    /// What is added to the scores of each token, `[tokens]`: the similarity bias, or -inf for an empty slot.
    pub bias: Vec<f32>,
    /// Tokens of all memories together, empty slots included.
    pub tokens: i64,
}

impl SlotTensors {
    pub(crate) fn new(decoder: &Decoder, slots: &[Slot<'_>]) -> Result<Self, ComputeError> {
        let (keys, values) = stored(decoder, slots)?;
        Self::of_stored(decoder, slots, &keys, &values)
    }

    /// As [`new`](Self::new), with these keys and values, in the form of [`stored`], in place of the memories' own.
    pub(crate) fn of_stored(decoder: &Decoder, slots: &[Slot<'_>], keys: &Tensor, values: &Tensor) -> Result<Self, ComputeError> {
        let per_head = decoder.memory.tokens_per_head as usize;
        let prefix = decoder.memory.reference_prefix_ids.len() as i64;
        let similarities: Vec<f32> = slots.iter().map(|slot| slot.similarity).collect();
        let mut bias = Vec::with_capacity(slots.len() * per_head);
        for (slot, of_memory) in slots.iter().zip(similarity_biases(decoder.memory.similarity_bias, &similarities)) {
            // All heads hold the same number of tokens, as `check` made sure, so the first head stands for all.
            let positions = slot.memory.positions.iter().take(per_head);
            bias.extend(positions.map(|position| if *position == EMPTY_SLOT { f32::NEG_INFINITY } else { of_memory }));
        }
        let mut positions = Vec::new();
        for tokens in heads(decoder) {
            for Slot { memory, .. } in slots {
                // The key of an empty slot is zero and masked, so any position will do.
                let position = |p: &u8| if *p == EMPTY_SLOT { 0 } else { prefix + i64::from(*p) };
                positions.extend(memory.positions[tokens.clone()].iter().map(position));
            }
        }
        // Keys are rotated in f32 whatever the precision: they are stored exactly, and are rounded only once, afterwards.
        let positions = Tensor::f_from_slice(&positions)?.f_to_device(decoder.device)?;
        let keys = decoder.memory_rotation().apply_at(keys, &positions)?;
        let (kind, tokens) = (decoder.kind(), bias.len() as i64);
        Ok(Self { keys: keys.f_to_kind(kind)?, values: values.f_to_kind(kind)?, bias, tokens })
    }
}

/// Keys before RoPE and values of the memories as they are stored, `[memory layers, heads, tokens, head_dim]` in f32.
pub(crate) fn stored(decoder: &Decoder, slots: &[Slot<'_>]) -> Result<(Tensor, Tensor), ComputeError> {
    let max = decoder.memory.memories_per_chunk as usize;
    if slots.len() > max {
        return Err(ComputeError::TooManyMemories { given: slots.len(), slots: max });
    }
    for slot in slots {
        check(decoder, slot.memory)?;
    }
    let dim = decoder.shape().head_dim as usize;
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for tokens in heads(decoder) {
        let floats = tokens.start * dim..tokens.end * dim;
        for Slot { memory, .. } in slots {
            keys.extend_from_slice(&memory.keys[floats.clone()]);
            values.extend_from_slice(&memory.values[floats.clone()]);
        }
    }
    let shape = decoder.shape();
    let size = [shape.layers.into(), shape.heads.into(), slots.len() as i64 * i64::from(shape.tokens), dim as i64];
    let tensor = |x: &[f32]| Tensor::f_from_slice(x)?.f_view(size)?.f_to_device(decoder.device);
    Ok((tensor(&keys)?, tensor(&values)?))
}

/// The token slots of each head of a memory, layer by layer.
fn heads(decoder: &Decoder) -> impl Iterator<Item = Range<usize>> {
    let shape = decoder.shape();
    let per_head = shape.tokens as usize;
    (0..(shape.layers * shape.heads) as usize).map(move |head| head * per_head..(head + 1) * per_head)
}

/// Refuses a memory of another shape, and one whose contents would index past a table.
fn check(decoder: &Decoder, memory: &Memory) -> Result<(), ComputeError> {
    let expected = decoder.shape();
    if memory.shape != expected {
        return Err(ComputeError::MemoryShape { expected, found: memory.shape });
    }
    let sizes = [
        ("positions", expected.slots(), memory.positions.len()),
        ("keys", expected.floats(), memory.keys.len()),
        ("values", expected.floats(), memory.values.len()),
    ];
    if let Some((field, expected, found)) = sizes.into_iter().find(|(_, expected, found)| expected != found) {
        return Err(ComputeError::DamagedMemory { field, expected, found });
    }
    let span = decoder.memory.reference_length as usize;
    if let Some(p) = memory.positions.iter().find(|p| **p != EMPTY_SLOT && usize::from(**p) >= span) {
        return Err(ComputeError::DamagedMemory { field: "position below", expected: span, found: usize::from(*p) });
    }
    let per_head = expected.tokens as usize;
    let held = |head: &[u8]| head.iter().take_while(|p| **p != EMPTY_SLOT).count();
    let first = memory.positions.get(..per_head).map_or(0, held);
    for head in memory.positions.chunks(per_head) {
        // All heads of a reference keep the same number of tokens, and empty slots come last.
        let found = head.iter().filter(|p| **p != EMPTY_SLOT).count();
        if found != first || held(head) != first {
            return Err(ComputeError::DamagedMemory { field: "tokens of a head", expected: first, found });
        }
    }
    Ok(())
}

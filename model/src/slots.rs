//! Memories on their way into a reader's cache.

use std::ops::Range;

use mempack_format::{EMPTY_SLOT, Memory};
use tch::Tensor;

use crate::ComputeError;
use crate::decoder::Decoder;
use crate::reader::Slot;

/// The memories of one chunk as tensors, as the cache holds them.
pub(crate) struct Loaded {
    /// `[memory layers, heads, tokens, head_dim]`, rotated to the memories' interval of positions.
    pub keys: Tensor,
    /// `[memory layers, heads, tokens, head_dim]`.
    pub values: Tensor,
    /// What is added to each token's scores; -inf for empty slots.
    pub bias: Vec<f32>,
    /// Tokens of all memories together, empty slots included.
    pub tokens: i64,
}

impl Loaded {
    pub(crate) fn new(decoder: &Decoder, slots: &[Slot<'_>]) -> Result<Self, ComputeError> {
        let (keys, values) = stored(decoder, slots)?;
        Self::of(decoder, slots, &keys, &values)
    }

    /// The memories of `slots` with the keys and values of [`stored`] in place of their own.
    pub(crate) fn of(decoder: &Decoder, slots: &[Slot<'_>], keys: &Tensor, values: &Tensor) -> Result<Self, ComputeError> {
        let best = slots.iter().map(|s| s.similarity).fold(f32::NEG_INFINITY, f32::max);
        let beta = decoder.memory.similarity_bias;
        let per_head = decoder.memory.tokens_per_head as usize;
        let prefix = decoder.memory.reference_prefix_ids.len() as i64;
        let (mut bias, mut positions) = (Vec::with_capacity(slots.len() * per_head), Vec::new());
        for slot in slots {
            let lag = if beta == 0.0 { 0.0 } else { beta * (slot.similarity - best) };
            // All heads hold the same number of tokens (checked), so the first one speaks for all.
            let held = slot.memory.positions.iter().take(per_head);
            bias.extend(held.map(|p| if *p == EMPTY_SLOT { f32::NEG_INFINITY } else { lag }));
        }
        for tokens in heads(decoder) {
            for Slot { memory, .. } in slots {
                // An empty slot's key is zero and is masked: any position will do.
                let position = |p: &u8| if *p == EMPTY_SLOT { 0 } else { prefix + i64::from(*p) };
                positions.extend(memory.positions[tokens.clone()].iter().map(position));
            }
        }
        // Rotated in f32 whatever the precision: keys are stored exactly, and this is their only rounding.
        let positions = Tensor::f_from_slice(&positions)?.f_to_device(decoder.device)?;
        let keys = decoder.memory_turn().apply_at(keys, &positions)?;
        let (kind, tokens) = (decoder.kind(), bias.len() as i64);
        Ok(Self { keys: keys.f_to_kind(kind)?, values: values.f_to_kind(kind)?, bias, tokens })
    }
}

/// The keys, before RoPE, and values of memories, `[memory layers, heads, tokens, head_dim]` in f32.
pub(crate) fn stored(decoder: &Decoder, slots: &[Slot<'_>]) -> Result<(Tensor, Tensor), ComputeError> {
    let most = decoder.memory.memories_per_chunk as usize;
    if slots.len() > most {
        return Err(ComputeError::TooManyMemories { given: slots.len(), slots: most });
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

/// The slots of each head of a memory, layer after layer.
fn heads(decoder: &Decoder) -> impl Iterator<Item = Range<usize>> {
    let shape = decoder.shape();
    let per_head = shape.tokens as usize;
    (0..(shape.layers * shape.heads) as usize).map(move |head| head * per_head..(head + 1) * per_head)
}

/// Refuses a memory whose parts could lead out of a table.
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
        // A reference gives every head the same number of tokens, empty slots last.
        let found = head.iter().filter(|p| **p != EMPTY_SLOT).count();
        if found != first || held(head) != first {
            return Err(ComputeError::DamagedMemory { field: "tokens of a head", expected: first, found });
        }
    }
    Ok(())
}

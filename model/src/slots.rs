//! The memories of a chunk as tensors, in the form of a reader's cache.

use std::collections::BTreeMap;
use std::ops::Range;

use mempack_format::{EMPTY_SLOT, Memory};
use tch::{TchError, Tensor};

use crate::ComputeError;
use crate::context::similarity_biases;
use crate::decoder::Decoder;
use crate::head_spans::HeadSpan;

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
    /// Keys, rotated to the interval of positions that memories share, `[token slots of all memories, head_dim]`: layer by layer, head by
    /// head, memory by memory. [`HeadSpan::of_slots`] has those of some heads.
    pub keys: Tensor,
    /// Values, in the same form.
    pub values: Tensor,
    /// What is added to the scores of each token of a head, `[tokens of all memories]`, by the number of tokens that the head keeps of one:
    /// the similarity bias, or -inf for an empty slot.
    pub biases: BTreeMap<i64, Vec<f32>>,
    /// Memories.
    pub memories: i64,
}

impl SlotTensors {
    pub(crate) fn new(decoder: &Decoder, slots: &[Slot<'_>]) -> Result<Self, ComputeError> {
        let (keys, values) = stored(decoder, slots)?;
        Self::of_stored(decoder, slots, &keys, &values)
    }

    /// As [`new`](Self::new), with these keys and values, in the form of [`stored`], in place of the memories' own.
    pub(crate) fn of_stored(decoder: &Decoder, slots: &[Slot<'_>], keys: &Tensor, values: &Tensor) -> Result<Self, ComputeError> {
        let mut rotations = Vec::new();
        for (head, tokens) in decoder.shape().slots_of_heads().enumerate() {
            let start = decoder.memory_rotation_start(head / decoder.shape().heads as usize);
            for Slot { memory, .. } in slots {
                rotations.extend(memory.positions[tokens.clone()].iter().map(|position| rotation(start, *position)));
            }
        }
        let keys = rotated(decoder, keys, &rotations)?;
        let (kind, memories) = (decoder.kind(), slots.len() as i64);
        Ok(Self {
            keys: keys.f_to_kind(kind)?,
            values: values.f_to_kind(kind)?,
            biases: biases(decoder, decoder.memory.similarity_bias, slots),
            memories,
        })
    }
}

/// Keys before RoPE, `[slots, head_dim]`, rotated to their slots' positions in the interval that memories share. They are rotated in f32
/// whatever the precision: they are stored exactly, and are rounded only once, afterwards.
fn rotated(decoder: &Decoder, keys: &Tensor, rotations: &[i64]) -> Result<Tensor, TchError> {
    decoder.memory_rotation().apply_at(keys, &Tensor::f_from_slice(rotations)?.f_to_device(decoder.device)?)
}

/// The number of the rotation of a slot in a layer whose rotations begin at `start`.
fn rotation(start: i64, position: u8) -> i64 {
    // The key of an empty slot is zero and masked, so any rotation will do.
    start + if position == EMPTY_SLOT { 0 } else { position.into() }
}

/// The rotated keys of some heads of a memory layer, of memories which must be checked: `[1, heads, tokens of all memories, head_dim]` in f32.
pub(crate) fn keys_of_span(decoder: &Decoder, slots: &[Slot<'_>], layer: usize, span: HeadSpan) -> Result<Tensor, TchError> {
    let dim = decoder.shape().head_dim as usize;
    let start = decoder.memory_rotation_start(layer);
    let (mut keys, mut rotations) = (Vec::new(), Vec::new());
    for head in 0..span.heads {
        let first = (span.slot + head * span.tokens) as usize;
        let tokens = first..first + span.tokens as usize;
        for Slot { memory, .. } in slots {
            keys.extend_from_slice(&memory.keys[tokens.start * dim..tokens.end * dim]);
            rotations.extend(memory.positions[tokens.clone()].iter().map(|position| rotation(start, *position)));
        }
    }
    let keys = Tensor::f_from_slice(&keys)?.f_view([-1, dim as i64])?.f_to_device(decoder.device)?;
    rotated(decoder, &keys, &rotations)?.f_view([1, span.heads, -1, dim as i64])
}

/// What is added to the scores of memory tokens, if a similarity of 1 adds `weight`: see [`SlotTensors::biases`].
pub(crate) fn biases(decoder: &Decoder, weight: f32, slots: &[Slot<'_>]) -> BTreeMap<i64, Vec<f32>> {
    let similarities: Vec<f32> = slots.iter().map(|slot| slot.similarity).collect();
    let mut biases = BTreeMap::new();
    for tokens in decoder.shape().slots_of_heads().filter(|tokens| !tokens.is_empty()) {
        // Heads that keep as many tokens have the same empty slots, as `check` made sure, so the first one stands for all.
        biases.entry(tokens.len() as i64).or_insert_with(|| {
            let of_memories = similarity_biases(weight, &similarities);
            let of_slots = slots.iter().zip(of_memories).flat_map(|(slot, of_memory)| {
                let positions = slot.memory.positions[tokens.clone()].iter();
                positions.map(move |position| if *position == EMPTY_SLOT { f32::NEG_INFINITY } else { of_memory })
            });
            of_slots.collect()
        });
    }
    biases
}

/// Keys before RoPE and values of the memories as they are stored, in f32, in the form of [`SlotTensors`].
pub(crate) fn stored(decoder: &Decoder, slots: &[Slot<'_>]) -> Result<(Tensor, Tensor), ComputeError> {
    check_slots(decoder, slots)?;
    let dim = decoder.shape().head_dim as usize;
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for tokens in decoder.shape().slots_of_heads() {
        let floats = tokens.start * dim..tokens.end * dim;
        for Slot { memory, .. } in slots {
            keys.extend_from_slice(&memory.keys[floats.clone()]);
            values.extend_from_slice(&memory.values[floats.clone()]);
        }
    }
    let tensor = |x: &[f32]| Tensor::f_from_slice(x)?.f_view([-1, dim as i64])?.f_to_device(decoder.device);
    Ok((tensor(&keys)?, tensor(&values)?))
}

/// Refuses more memories than a chunk reads, and those that [`check`] refuses.
pub(crate) fn check_slots(decoder: &Decoder, slots: &[Slot<'_>]) -> Result<(), ComputeError> {
    let max = decoder.memory.memories_per_chunk as usize;
    if slots.len() > max {
        return Err(ComputeError::TooManyMemories { given: slots.len(), slots: max });
    }
    slots.iter().try_for_each(|slot| check(decoder, slot.memory))
}

/// Refuses a memory of another shape, and one whose contents would index past a table.
pub(crate) fn check(decoder: &Decoder, memory: &Memory) -> Result<(), ComputeError> {
    let expected = decoder.shape();
    if memory.shape != *expected {
        return Err(ComputeError::MemoryShape { expected: expected.clone(), found: memory.shape.clone() });
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
    // A reference fills the first slots of every head, as many as it has tokens.
    let held = |head: Range<usize>| memory.positions[head].iter().filter(|p| **p != EMPTY_SLOT).count();
    let tokens = expected.slots_of_heads().map(held).max().unwrap_or_default();
    for head in expected.slots_of_heads() {
        let (full, found) = (head.len().min(tokens), held(head.clone()));
        let first_empty = memory.positions[head].iter().take_while(|p| **p != EMPTY_SLOT).count();
        if found != full || first_empty != full {
            return Err(ComputeError::DamagedMemory { field: "tokens of a head", expected: full, found });
        }
    }
    Ok(())
}

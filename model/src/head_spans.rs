//! Runs of key-value heads that keep the same number of tokens of a reference: what one operation reads or writes.

use mempack_format::MemoryShape;
use tch::{TchError, Tensor};

/// Consecutive key-value heads of a layer that keep the same number of tokens of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadSpan {
    /// The first of the heads in its layer.
    pub first: i64,
    /// How many heads.
    pub heads: i64,
    /// Tokens that each of them keeps of a reference.
    pub tokens: i64,
    /// The first token slot of the span in a memory.
    pub slot: i64,
}

/// The spans of memory layer `layer`, which cover its heads in order.
pub(crate) fn of_memory_layer(shape: &MemoryShape, layer: usize) -> Vec<HeadSpan> {
    let mut spans: Vec<HeadSpan> = Vec::new();
    for head in 0..shape.heads as usize {
        let slots = shape.slots_of(layer * shape.heads as usize + head);
        let tokens = slots.len() as i64;
        match spans.last_mut() {
            Some(span) if span.tokens == tokens => span.heads += 1,
            _ => spans.push(HeadSpan { first: head as i64, heads: 1, tokens, slot: slots.start as i64 }),
        }
    }
    spans
}

impl HeadSpan {
    /// The span of all heads of a layer without memories.
    pub(crate) fn without_memories(heads: i64) -> Self {
        Self { first: 0, heads, tokens: 0, slot: 0 }
    }

    /// The span's heads of `x`, `[rows, heads of the layer, ...]`.
    pub(crate) fn of_heads(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_narrow(1, self.first, self.heads)
    }

    /// The query heads of the span's heads of `x`, `[rows, query heads of the layer, ...]`, of which each head has `group`.
    pub(crate) fn of_query_heads(&self, x: &Tensor, group: i64) -> Result<Tensor, TchError> {
        x.f_narrow(1, self.first * group, self.heads * group)
    }

    /// The span's slots of `memories` memories in `x`, `[slots of all memories, head_dim]`, head by head: `[1, heads, tokens of all memories,
    /// head_dim]`.
    pub(crate) fn of_slots(&self, x: &Tensor, memories: i64) -> Result<Tensor, TchError> {
        let (each, dim) = (memories * self.tokens, x.size()[1]);
        x.f_narrow(0, memories * self.slot, self.heads * each)?.f_view([1, self.heads, each, dim])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: i64, heads: i64, tokens: i64, slot: i64) -> HeadSpan {
        HeadSpan { first, heads, tokens, slot }
    }

    #[test]
    fn neighbours_with_as_many_tokens_are_one_span() {
        let uniform = MemoryShape::new(2, 3, 8, 4);
        assert_eq!(of_memory_layer(&uniform, 1), [span(0, 3, 8, 24)]);
        let shape = MemoryShape::with_budget(2, 4, 4, &[2, 2, 0, 2, 0, 0, 5, 5]).unwrap();
        assert_eq!(of_memory_layer(&shape, 0), [span(0, 2, 2, 0), span(2, 1, 0, 4), span(3, 1, 2, 4)]);
        assert_eq!(of_memory_layer(&shape, 1), [span(0, 2, 0, 6), span(2, 2, 5, 6)]);
    }
}

//! Layout of a context, `prefix | BOS | text`: positions, attention masks and similarity bias (arXiv 2407.01178, sections 3.1 and 3.2).
//!
//! Inference ([`Reader`](crate::Reader)) and training read memories by these rules.

use mempack_retrieval::Chunks;

use crate::MemoryConfig;

/// Where the tokens of a context are, and which of them read which memories.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContextLayout {
    prefix: usize,
    /// Positions between prefix and BOS: the interval that all memories share.
    gap: u32,
    chunks: Chunks,
}

impl ContextLayout {
    /// The layout that reads memories: the reference prefix, the interval of the memories' positions, BOS and text.
    pub(crate) fn with_memories(memory: &MemoryConfig) -> Self {
        Self { prefix: memory.reference_prefix_ids.len(), gap: memory.reference_length, chunks: memory.chunks() }
    }

    /// The layout of a decoder without memories: BOS and text from position 0.
    pub(crate) fn plain(memory: &MemoryConfig) -> Self {
        Self { prefix: 0, gap: 0, chunks: memory.chunks() }
    }

    /// A layout without prefix and gap.
    #[cfg(test)]
    pub(crate) fn for_chunks(chunks: Chunks) -> Self {
        Self { prefix: 0, gap: 0, chunks }
    }

    /// Tokens of the prefix.
    pub(crate) fn prefix(self) -> usize {
        self.prefix
    }

    /// Positions for RoPE of the first `tokens` tokens, prefix included.
    pub(crate) fn positions(self, tokens: u32) -> impl Iterator<Item = u32> + Clone {
        let (prefix, gap) = (self.prefix as u32, self.gap);
        (0..tokens).map(move |i| if i < prefix { i } else { i + gap })
    }

    /// Which of `lists` lists of memories the token at `position` reads, the BOS being position 0; `None` if there is no list.
    pub(crate) fn list_of_position(self, position: usize, lists: usize) -> Option<usize> {
        self.chunks.list_of_position(position, lists)
    }

    /// Appends the mask `[tokens, memory_tokens + tokens]` of the first `tokens` tokens, prefix included: what is added to their scores
    /// at memory layers.
    ///
    /// `chunk_biases[c]`, `[memory_tokens]`, is what a token of chunk `c` adds to the scores of the memory tokens: a similarity bias for
    /// those that the chunk reads, -inf for the others. The prefix reads no memory. Attention to tokens is causal, and is to the last `window`
    /// tokens if there is a window. It counts tokens, those of the prefix included, and leaves the positions of the memories out; memories
    /// are attended to from any distance.
    pub(crate) fn extend_mask(
        self,
        mask: &mut Vec<f32>,
        tokens: usize,
        memory_tokens: usize,
        chunk_biases: &[Vec<f32>],
        window: Option<i64>,
    ) {
        let window = window.map_or(tokens, |window| window as usize);
        mask.reserve(tokens * (memory_tokens + tokens));
        for row in 0..tokens {
            let list = row.checked_sub(self.prefix).and_then(|position| self.list_of_position(position, chunk_biases.len()));
            match list.and_then(|list| chunk_biases.get(list)) {
                Some(bias) => mask.extend_from_slice(bias),
                None => mask.resize(mask.len() + memory_tokens, f32::NEG_INFINITY),
            }
            let before = (row + 1).saturating_sub(window);
            mask.resize(mask.len() + before, f32::NEG_INFINITY);
            mask.resize(mask.len() + row + 1 - before, 0.0);
            mask.resize(mask.len() + tokens - row - 1, f32::NEG_INFINITY);
        }
    }
}

/// The similarity bias of each memory that a chunk reads: `beta * (similarity - largest similarity)`, at most 0.
pub(crate) fn similarity_biases(beta: f32, similarities: &[f32]) -> impl Iterator<Item = f32> {
    let largest = similarities.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    similarities.iter().map(move |similarity| if beta == 0.0 { 0.0 } else { beta * (similarity - largest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO: f32 = f32::NEG_INFINITY;

    #[test]
    fn tokens_see_their_own_chunk_and_what_precedes_them() {
        let layout = ContextLayout { prefix: 1, gap: 10, chunks: Chunks::new(2) };
        assert_eq!(layout.positions(4).collect::<Vec<_>>(), [0, 11, 12, 13]);
        // Prefix, BOS and two tokens of chunk 0, one token of chunk 1; one memory token of each chunk.
        let mut mask = Vec::new();
        layout.extend_mask(&mut mask, 5, 2, &[vec![-0.5, NO], vec![NO, 0.0]], None);
        let rows: Vec<&[f32]> = mask.chunks(7).collect();
        assert_eq!(rows[0], [NO, NO, 0.0, NO, NO, NO, NO]);
        for (row, seen) in [(1, [0.0, 0.0, NO, NO, NO]), (2, [0.0, 0.0, 0.0, NO, NO]), (3, [0.0, 0.0, 0.0, 0.0, NO])] {
            assert_eq!(rows[row], [&[-0.5, NO], &seen[..]].concat(), "row {row}");
        }
        assert_eq!(rows[4], [NO, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        // A window hides earlier tokens, of which the prefix is the first, and no memory.
        mask.clear();
        layout.extend_mask(&mut mask, 5, 2, &[vec![-0.5, NO], vec![NO, 0.0]], Some(2));
        for (row, seen) in [(0, [NO, NO, 0.0, NO, NO, NO, NO]), (2, [-0.5, NO, NO, 0.0, 0.0, NO, NO]), (4, [NO, 0.0, NO, NO, NO, 0.0, 0.0])]
        {
            assert_eq!(mask[7 * row..7 * (row + 1)], seen, "row {row}");
        }
        // Without lists nothing is read.
        mask.clear();
        layout.extend_mask(&mut mask, 2, 1, &[], None);
        assert_eq!(mask, [NO, 0.0, NO, NO, 0.0, 0.0]);
    }

    #[test]
    fn the_most_similar_memory_has_no_bias() {
        assert_eq!(similarity_biases(2.0, &[0.5, 0.75, 0.25]).collect::<Vec<_>>(), [-0.5, 0.0, -1.0]);
        assert_eq!(similarity_biases(0.0, &[0.5, 0.75]).collect::<Vec<_>>(), [0.0, 0.0]);
    }
}

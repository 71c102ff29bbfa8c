//! Chunk arithmetic: which chunk a token is in, and which tokens query for it (arXiv 2407.01178, section 3.2).

use std::ops::Range;

/// Text cut into chunks of a fixed number of tokens, the model's `retrieval_interval`.
///
/// Tokens are counted from 0, without the BOS. A *position* counts the BOS as 0, so token `i` is at position `i + 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    interval: usize,
}

impl Chunks {
    /// Chunks of `interval` tokens; 0 counts as 1.
    pub fn new(interval: usize) -> Self {
        Self { interval: interval.max(1) }
    }

    /// Tokens of a chunk, at least 1.
    pub fn interval(self) -> usize {
        self.interval
    }

    /// Chunks of a text of `tokens` tokens; 1 even for an empty text, whose BOS is in chunk 0.
    pub fn count(self, tokens: usize) -> usize {
        tokens.div_ceil(self.interval).max(1)
    }

    /// The chunk of the token at `position`; the BOS (position 0) is in chunk 0.
    pub fn of_position(self, position: usize) -> usize {
        position.saturating_sub(1) / self.interval
    }

    /// Which of `given` lists of memories the token at `position` reads: its own chunk's, or the last list where there are fewer lists
    /// than chunks. `None` where there is no list.
    pub fn list_of_position(self, position: usize, given: usize) -> Option<usize> {
        Some(self.of_position(position).min(given.checked_sub(1)?))
    }

    /// The tokens that query for a chunk of a text of `tokens` tokens that is known whole: its own tokens, or for an unfinished last
    /// chunk the last `interval` tokens of the text.
    pub fn own_window(self, chunk: usize, tokens: usize) -> Range<usize> {
        let end = (chunk + 1).saturating_mul(self.interval).min(tokens);
        self.window_before(end)
    }

    /// The `interval` tokens before token `start`, fewer at the start of the text: what queries for a chunk that begins there when
    /// its own tokens are not known yet.
    pub fn window_before(self, start: usize) -> Range<usize> {
        start.saturating_sub(self.interval)..start
    }

    /// The chunk that begins at token `tokens`, the next one of a text that has so many; `None` inside a chunk.
    pub fn begun_at(self, tokens: usize) -> Option<usize> {
        tokens.is_multiple_of(self.interval).then_some(tokens / self.interval)
    }

    /// Tokens until the next chunk begins: 1 to `interval`.
    pub fn until_next(self, tokens: usize) -> usize {
        self.interval - tokens % self.interval
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bos_is_in_the_first_chunk() {
        let chunks = Chunks::new(64);
        assert_eq!([0, 1, 64, 65, 128, 129].map(|position| chunks.of_position(position)), [0, 0, 0, 1, 1, 2]);
        assert_eq!([0, 1, 64, 65].map(|tokens| chunks.count(tokens)), [1, 1, 1, 2]);
    }

    #[test]
    fn positions_past_the_last_list_read_the_last_list() {
        let chunks = Chunks::new(4);
        assert_eq!([0, 4, 5, 9, 100].map(|position| chunks.list_of_position(position, 2)), [Some(0), Some(0), Some(1), Some(1), Some(1)]);
        assert_eq!(chunks.list_of_position(3, 0), None);
    }

    #[test]
    fn an_unfinished_last_chunk_queries_with_the_last_tokens() {
        let chunks = Chunks::new(64);
        assert_eq!([0, 1, 2].map(|chunk| chunks.own_window(chunk, 150)), [0..64, 64..128, 86..150]);
        assert_eq!(chunks.own_window(0, 10), 0..10);
        assert_eq!(chunks.own_window(1, 128), 64..128);
    }

    proptest! {
        #[test]
        fn windows_stay_in_the_text(interval in 0usize..80, tokens in 0usize..400) {
            let chunks = Chunks::new(interval);
            for chunk in 0..chunks.count(tokens) {
                let window = chunks.own_window(chunk, tokens);
                prop_assert!(window.end <= tokens && window.len() <= chunks.interval());
                prop_assert_eq!(window.is_empty(), tokens == 0);
                // The last token of the window is in the chunk itself.
                prop_assert!(tokens == 0 || chunks.of_position(window.end) == chunk);
            }
        }

        #[test]
        fn a_chunk_begins_every_interval(interval in 1usize..70, tokens in 0usize..300) {
            let chunks = Chunks::new(interval);
            let next = tokens + chunks.until_next(tokens);
            prop_assert!((tokens + 1..next).all(|t| chunks.begun_at(t).is_none()));
            prop_assert_eq!(chunks.begun_at(next), Some(chunks.of_position(next) + 1));
        }
    }
}

//! What the keys and values of a sequence were computed from, so that another prompt can go on from them.

use mempack_format::Digest;

use super::Prompt;
use crate::context::ContextLayout;

/// The tokens of a sequence, the BOS first, and the memories that they read.
#[derive(Debug, Default)]
pub(super) struct History {
    tokens: Vec<u32>,
    /// Keys of lists of memories, each with the first token that reads it.
    lists: Vec<(usize, Digest)>,
}

impl History {
    /// Tokens, BOS included.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn push(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
    }

    /// The tokens from `start` on read this list.
    pub fn read(&mut self, start: usize, key: Digest) {
        self.lists.push((start, key));
    }

    /// Forgets all but the first `tokens` tokens.
    pub fn truncate(&mut self, tokens: usize) {
        self.tokens.truncate(tokens);
        self.lists.retain(|(start, _)| *start < tokens);
    }

    /// The first `tokens` tokens.
    pub fn first(&self, tokens: usize) -> Self {
        let mut first = Self { tokens: self.tokens.clone(), lists: self.lists.clone() };
        first.truncate(tokens);
        first
    }

    /// How many tokens a prompt begins with that are the same and read the same memories, BOS included. The prompt's last token is never among them,
    /// because its logits are wanted.
    pub fn shared(&self, prompt: &Prompt<'_>, bos: u32, layout: ContextLayout) -> usize {
        let wanted = [bos].into_iter().chain(prompt.text.iter().copied()).take(prompt.text.len());
        let mut lists = self.lists.iter().peekable();
        let mut read = None;
        let mut shared = 0;
        for (token, own) in wanted.zip(&self.tokens) {
            while let Some((_, key)) = lists.next_if(|(start, _)| *start <= shared) {
                read = Some(*key);
            }
            let list = layout.list_of_position(shared, prompt.chunks.len()).and_then(|list| prompt.chunks.get(list));
            if token != *own || list.map(|list| list.key) != read {
                break;
            }
            shared += 1;
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use mempack_retrieval::Chunks;

    use super::*;
    use crate::batch::SlotList;

    fn list(key: u8) -> SlotList<'static> {
        SlotList { slots: Vec::new(), key: Digest([key; 32]) }
    }

    #[test]
    fn tokens_and_memories_must_be_the_same() {
        let layout = ContextLayout::for_chunks(Chunks::new(2));
        let mut history = History::default();
        let shared = |history: &History, text: &[u32], keys: &[u8]| {
            let chunks: Vec<_> = keys.iter().map(|key| list(*key)).collect();
            history.shared(&Prompt { text, chunks: &chunks }, 1, layout)
        };
        assert_eq!(shared(&history, &[5, 6], &[7]), 0);
        // BOS 5 6 | 7 8 | 9, each chunk with its list.
        for (key, tokens) in [(10, &[1u32, 5, 6][..]), (11, &[7, 8]), (12, &[9])] {
            history.read(history.len(), list(key).key);
            history.push(tokens);
        }
        let all = [5, 6, 7, 8, 9, 4];
        assert_eq!(shared(&history, &all, &[10, 11, 12]), 6);
        assert_eq!(shared(&history, &all[..5], &[10, 11, 12]), 5, "the last token is computed");
        assert_eq!(shared(&history, &all, &[10, 11, 13]), 5, "the third chunk reads others");
        assert_eq!(shared(&history, &all, &[10, 13, 12]), 3);
        assert_eq!(shared(&history, &all, &[13, 11, 12]), 0);
        assert_eq!(shared(&history, &all, &[10]), 3, "the list of the first chunk is that of all");
        assert_eq!(shared(&history, &all, &[]), 0, "nothing is read");
        assert_eq!(shared(&history, &[5, 6, 0, 8, 9], &[10, 11, 12]), 3);
        history.truncate(4);
        assert_eq!((history.len(), shared(&history, &all, &[10, 11, 12])), (4, 4));
        history.truncate(3);
        history.read(3, list(12).key);
        history.push(&[7]);
        assert_eq!(shared(&history, &all, &[10, 12]), 4);
        // Without memories.
        let mut plain = History::default();
        plain.push(&[1, 5, 6]);
        assert_eq!((shared(&plain, &all, &[]), shared(&plain, &all, &[10])), (3, 0));
    }
}

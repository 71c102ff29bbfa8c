//! Which tokens' text queries for which chunk of a conversation.
//!
//! The rule is that of the reference semantics: a chunk of the prompt queries with its own tokens, an unfinished last one
//! with the last `interval` tokens of the prompt, a chunk that decoding begins with the `interval` tokens before it.
//!
//! One choice is ours. The tokens of the prompt's template (chat markup and phrases around the question) are the same for every
//! question, and only pull the query's embedding towards one point. So the query is made of the window's other tokens, the
//! words of the question and of the answer so far; where there are none, of all tokens of the window. A system message is the operator's and not
//! about the question: its tokens never query, and a window of nothing else has no query.

use std::ops::Range;

use crate::Chunks;

/// The text of a conversation so far: prompt, then answer. The BOS is not counted.
///
/// The prompt of a conversation of several turns contains the questions and answers of earlier turns. Their chunks query with the same windows as when
/// those turns were answered, so that what was computed then is still right.
#[derive(Clone, Debug)]
pub struct Transcript {
    ids: Vec<u32>,
    /// Tokens of the system message, with which the text begins.
    system: usize,
    earlier: Vec<Turn>,
    question: Range<usize>,
    prompt: usize,
    chunks: Chunks,
}

/// Where an earlier turn of a conversation is in its prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The user's words.
    pub question: Range<usize>,
    /// The answer, without an end token.
    pub answer: Range<usize>,
}

impl Transcript {
    /// A prompt of `ids`, without the BOS; `question` says which of them are the user's words.
    pub fn new(ids: Vec<u32>, question: Range<usize>, chunks: Chunks) -> Self {
        Self::conversation(ids, Vec::new(), question, chunks)
    }

    /// The same after earlier turns, which `ids` begin with.
    pub fn conversation(ids: Vec<u32>, earlier: Vec<Turn>, question: Range<usize>, chunks: Chunks) -> Self {
        Self { prompt: ids.len(), ids, system: 0, earlier, question, chunks }
    }

    /// The same text, whose first `tokens` tokens are a system message.
    #[must_use]
    pub fn after_system(self, tokens: usize) -> Self {
        Self { system: tokens, ..self }
    }

    /// Tokens of prompt and answer.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no token yet.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How the text is cut into chunks.
    pub fn chunks(&self) -> Chunks {
        self.chunks
    }

    /// Tokens of the prompt.
    pub fn prompt(&self) -> &[u32] {
        self.ids.get(..self.prompt).unwrap_or_default()
    }

    /// Tokens of the answer so far.
    pub fn answer(&self) -> &[u32] {
        self.ids.get(self.prompt..).unwrap_or_default()
    }

    /// Appends a token of the answer.
    pub fn push(&mut self, token: u32) {
        self.ids.push(token);
    }

    /// Chunks of the prompt.
    pub fn prompt_chunks(&self) -> usize {
        self.chunks.count(self.prompt)
    }

    /// The window of token indices that a chunk of the prompt queries with; `None` if it reads the memories of the chunk before it, as a chunk does
    /// that begins with an earlier answer (see [`chunk_begun`](Self::chunk_begun)).
    pub fn prompt_window(&self, chunk: usize) -> Option<Range<usize>> {
        let start = chunk * self.chunks.interval();
        match self.earlier.iter().find(|turn| turn.answer.contains(&start)) {
            Some(turn) if start > turn.answer.start => Some(self.chunks.window_before(start)),
            Some(_) if chunk > 0 => None,
            _ => {
                let ends = self.earlier.iter().map(|turn| turn.answer.start).find(|end| *end > start);
                Some(self.chunks.own_window(chunk, ends.unwrap_or(self.prompt)))
            }
        }
    }

    /// The chunk that begins at the end of the transcript, if decoding begins it and it queries for its own memories.
    ///
    /// The first chunk after a prompt of whole chunks would query with the window of the prompt's last chunk: it keeps that
    /// one's memories, so `None`.
    pub fn chunk_begun(&self) -> Option<usize> {
        self.chunks.begun_at(self.len()).filter(|_| self.len() > self.prompt)
    }

    /// Tokens still to come before the next chunk begins: 1 to `interval`.
    pub fn until_next_chunk(&self) -> usize {
        self.chunks.until_next(self.len())
    }

    /// The last `interval` tokens.
    pub fn last_window(&self) -> Range<usize> {
        self.chunks.window_before(self.len())
    }

    /// The tokens of `window` that make the query (see the module's text); none if all of them are of the system message.
    pub fn query_ids(&self, window: Range<usize>) -> Vec<u32> {
        let of_earlier = |index: &usize| self.earlier.iter().any(|turn| turn.question.contains(index) || turn.answer.contains(index));
        let is_word = |index: &usize| self.question.contains(index) || *index >= self.prompt || of_earlier(index);
        let inside = || window.clone().zip(self.ids.get(window.clone()).unwrap_or_default().iter().copied());
        let all = || inside().filter(|(index, _)| *index >= self.system);
        let words: Vec<u32> = all().filter(|(index, _)| is_word(index)).map(|(_, id)| id).collect();
        if words.is_empty() { all().map(|(_, id)| id).collect() } else { words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn transcript(prompt: u32, question: Range<usize>) -> Transcript {
        Transcript::new((0..prompt).collect(), question, Chunks::new(64))
    }

    #[test]
    fn chunks_of_a_prompt_use_their_own_tokens_and_an_unfinished_one_the_last_64() {
        let text = transcript(150, 0..150);
        assert_eq!(text.prompt_chunks(), 3);
        assert_eq!((0..3).map(|c| text.prompt_window(c).unwrap()).collect::<Vec<_>>(), [0..64, 64..128, 86..150]);
        let short = transcript(10, 0..10);
        assert_eq!((short.prompt_chunks(), short.prompt_window(0)), (1, Some(0..10)));
        let whole = transcript(128, 0..128);
        assert_eq!((whole.prompt_chunks(), whole.prompt_window(1)), (2, Some(64..128)));
    }

    #[test]
    fn an_unfinished_chunk_keeps_its_memories_until_it_is_full() {
        let mut text = transcript(100, 0..100);
        let begun: Vec<(usize, usize)> = (0..100)
            .filter_map(|_| {
                text.push(7);
                text.chunk_begun().map(|chunk| (text.len(), chunk))
            })
            .collect();
        assert_eq!(begun, [(128, 2), (192, 3)]);
    }

    #[test]
    fn the_first_chunk_after_whole_chunks_keeps_the_prompts_last_memories() {
        let mut text = transcript(64, 0..64);
        assert_eq!(text.chunk_begun(), None);
        (0..64).for_each(|_| text.push(7));
        assert_eq!(text.chunk_begun(), Some(2));
        assert_eq!(text.last_window(), 64..128);
    }

    #[test]
    fn the_template_is_left_out_of_the_query() {
        // 3 tokens of template, 4 of question, 3 of template, then an answer.
        let mut text = Transcript::new((0..10).collect(), 3..7, Chunks::new(4));
        assert_eq!(text.query_ids(0..4), [3]);
        assert_eq!(text.query_ids(4..8), [4, 5, 6]);
        assert_eq!(text.query_ids(7..10), [7, 8, 9], "only template: all of it");
        [10, 11].iter().for_each(|&id| text.push(id));
        assert_eq!(text.query_ids(text.last_window()), [10, 11]);
    }

    #[test]
    fn a_system_message_never_queries() {
        // 10 tokens of a system message, 2 of template, 4 of question, 5 of template.
        let text = Transcript::new((0..21).collect(), 12..16, Chunks::new(4)).after_system(10);
        let queries: Vec<Vec<u32>> = (0..text.prompt_chunks()).map(|chunk| text.query_ids(text.prompt_window(chunk).unwrap())).collect();
        assert_eq!(queries, [vec![], vec![], vec![10, 11], vec![12, 13, 14, 15], vec![16, 17, 18, 19], vec![17, 18, 19, 20]]);
        assert_eq!(text.query_ids(8..14), [12, 13]);
    }

    proptest! {
        #[test]
        fn a_query_is_never_empty_and_stays_in_its_window(prompt in 1usize..300, answer in 0usize..300, a in 0usize..300, b in 0usize..300, interval in 1usize..80) {
            let question = a.min(b).min(prompt)..a.max(b).min(prompt);
            let mut text = Transcript::new((0..prompt as u32).collect(), question.clone(), Chunks::new(interval));
            (0..answer).for_each(|i| text.push((prompt + i) as u32));
            let windows = (0..text.prompt_chunks()).filter_map(|c| text.prompt_window(c)).chain([text.last_window()]);
            for window in windows {
                prop_assert!(window.len() <= interval && window.end <= text.len());
                let ids = text.query_ids(window.clone());
                prop_assert!(!ids.is_empty());
                prop_assert!(ids.is_sorted() && ids.iter().all(|&id| window.contains(&(id as usize))));
                let template = |id: u32| (id as usize) < prompt && !question.contains(&(id as usize));
                prop_assert!(ids.iter().all(|&id| template(id)) || !ids.iter().any(|&id| template(id)));
            }
        }

        /// A chunk's query in a conversation is the one it had when its turn was prompted or answered.
        #[test]
        fn chunks_of_earlier_turns_query_as_they_did(
            sizes in prop::collection::vec((1usize..60, 1usize..40, 0usize..90, 0usize..3), 1..4), interval in 1usize..40,
            system in 0usize..90,
        ) {
            let chunks = Chunks::new(interval);
            let (mut ids, mut earlier, mut known) = (Vec::new(), Vec::new(), std::collections::BTreeMap::new());
            let mut next = 0u32;
            let mut more = |ids: &mut Vec<u32>, n: usize| {
                let start = ids.len();
                (0..n).for_each(|_| { ids.push(next); next += 1; });
                start..ids.len()
            };
            more(&mut ids, system);
            for (before, words, answer, after) in sizes {
                more(&mut ids, before);
                let question = more(&mut ids, words);
                more(&mut ids, 2);
                let mut text = Transcript::conversation(ids.clone(), earlier.clone(), question.clone(), chunks).after_system(system);
                for chunk in 0..text.prompt_chunks() {
                    let query = text.prompt_window(chunk).map(|window| text.query_ids(window));
                    // The list of a chunk that keeps the one before is none of its own.
                    let before = known.entry(chunk).or_insert_with(|| query.clone());
                    prop_assert_eq!(&*before, &query, "chunk {}", chunk);
                }
                let start = ids.len();
                let mut begun = vec![(start % interval == 0).then_some((start / interval, None))];
                for id in start..start + answer {
                    text.push(id as u32);
                    // The chunk that begins at the end is only read if another token follows.
                    begun.push(text.chunk_begun().map(|chunk| (chunk, Some(text.query_ids(text.last_window())))));
                }
                begun.pop();
                known.extend(begun.into_iter().flatten().filter(|_| answer > 0));
                let answer = more(&mut ids, answer);
                prop_assert_eq!(text.answer().len(), answer.len());
                more(&mut ids, after);
                earlier.push(Turn { question, answer });
            }
        }

        #[test]
        fn decoding_begins_a_chunk_every_interval(prompt in 0usize..200, interval in 1usize..70) {
            let mut text = Transcript::new((0..prompt as u32).collect(), 0..prompt, Chunks::new(interval));
            for _ in 0..200 {
                let left = text.until_next_chunk();
                text.push(0);
                prop_assert_eq!(left == 1, text.chunk_begun().is_some());
            }
        }
    }
}

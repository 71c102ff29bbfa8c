//! From a question to a prompt with the memories or texts that it reads.

use std::ops::Range;

use mempack_model::{Exchange, Model, PromptTokens, context_tokens, continued_tokens, conversation_tokens};
use mempack_retrieval::{Recalled, Transcript};

use super::answer::PreparedPrompt;
use super::chunk::{ChunkMemories, ChunkReader, Scope};
use super::error::AskError;
use super::memory_read::MemoryRead;
use super::reference::read_reference;
use super::source::ReadFrom;

/// Separates the texts in a prompt.
const BETWEEN_TEXTS: &str = "\n\n";

/// Makes prompts, and retrieves for the chunks of prompts and answers.
pub(crate) struct Prompter {
    pub model: Model,
    pub chunks: ChunkReader,
    /// Whether answers go on to their max tokens whatever the model says.
    pub full_length: bool,
}

/// What a prompt is made of.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// What the model is told before the conversation.
    pub system: Option<String>,
    pub question: String,
    /// Whether the question is a text to continue.
    pub continues: bool,
    /// The turns before it.
    pub earlier: Vec<Exchange>,
}

/// How far an answer may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Max tokens.
    pub tokens: usize,
    /// Whether it is the context that allows no more.
    pub context_full: bool,
    /// Whether no token and no text ends the answer.
    pub full_length: bool,
}

impl Prompter {
    /// Another one over the same weights, packs and cache, for another thread.
    pub fn share(&self) -> Self {
        Self { model: self.model.share(), chunks: self.chunks.share(), full_length: self.full_length }
    }

    /// The prompt of a question, and what it reads.
    pub fn prompt(&self, asked: &Asked, scope: &Scope) -> Result<PreparedPrompt, AskError> {
        let Asked { system, question, continues, earlier } = asked;
        let tokens = if *continues {
            continued_tokens(&self.model, question)?
        } else {
            conversation_tokens(&self.model, system.as_deref(), earlier, question)?
        };
        let read_from = scope.checked.options.read_from;
        if read_from == ReadFrom::Texts {
            return self.with_texts(question, tokens, scope);
        }
        let prefix = read_from.has_prefix();
        let mut chunks: Vec<ChunkMemories> = Vec::new();
        if read_from.reads_memories() {
            let text = tokens.transcript(self.model.memory().chunks());
            self.room(text.len(), prefix, scope)?;
            for chunk in 0..text.prompt_chunks() {
                let window = text.prompt_window(chunk);
                chunks.push(match (&window, chunks.last()) {
                    (None, Some(before)) => before.clone(),
                    // Nothing but a system message, which queries for nothing.
                    (Some(window), _) if scope.retrieves() && text.query_ids(window.clone()).is_empty() => ChunkMemories::default(),
                    _ => self.chunks.read(scope, self.query(&text, window.unwrap_or_default())?)?,
                });
            }
        }
        Ok(PreparedPrompt { tokens, continues: *continues, prefix, chunks, texts: Vec::new() })
    }

    /// A prompt that contains the texts that the whole question retrieves, after the earlier turns that `plain`, the prompt without texts, has.
    fn with_texts(&self, question: &str, plain: PromptTokens, scope: &Scope) -> Result<PreparedPrompt, AskError> {
        let Recalled { hits, scores, .. } = self.chunks.hits(scope, question)?;
        let mut texts = Vec::with_capacity(hits.len());
        for hit in &hits {
            texts.push(read_reference(&self.model, hit.reference.pack.pack(), hit.reference.number)?.text);
        }
        // Without texts the question stands alone. That the template exists has been checked.
        let filled = if texts.is_empty() { None } else { context_tokens(&self.model, &texts.join(BETWEEN_TEXTS), question)? };
        let tokens = match filled {
            Some(filled) => plain.ending_with(filled),
            None => plain,
        };
        let read = |(hit, rerank_score)| MemoryRead { hit, rerank_score, cached: false };
        let texts = hits.into_iter().zip(scores).map(read).collect();
        Ok(PreparedPrompt { tokens, continues: false, prefix: false, chunks: Vec::new(), texts })
    }

    /// The query text of a window of tokens.
    pub fn query(&self, text: &Transcript, window: Range<usize>) -> Result<String, AskError> {
        Ok(self.model.tokenizer().decode(&text.query_ids(window))?.trim().to_owned())
    }

    /// How far an answer may go after a prompt of `prompt` tokens. An error if there is no room for any token.
    pub fn room(&self, prompt: usize, prefix: bool, scope: &Scope) -> Result<Room, AskError> {
        let (max_tokens, full_length) = (scope.checked.options.max_tokens, self.full_length);
        let Some(positions) = self.model.config().max_positions else {
            return Ok(Room { tokens: max_tokens, context_full: false, full_length });
        };
        let memory = self.model.memory();
        let before = if prefix { memory.reference_prefix_ids.len() + memory.reference_length as usize } else { 0 };
        // The BOS also takes a position.
        let max = (positions as usize).saturating_sub(before + 1);
        match max.saturating_sub(prompt) {
            0 => Err(AskError::TooLong { tokens: prompt, max: max.saturating_sub(1) }),
            left => Ok(Room { tokens: left.min(max_tokens), context_full: left < max_tokens, full_length }),
        }
    }
}

//! An answer, and the prompt that it begins with.

use std::sync::Arc;

use mempack_model::PromptTokens;

use super::chunk::ChunkMemories;
use super::confidence::Confidence;
use super::memory_read::MemoryRead;
use crate::Skipped;

/// Largest allowed `max_tokens`. The key-value cache of an answer is reserved for that many tokens at the start.
pub const MAX_ANSWER_TOKENS: usize = 1 << 16;

/// The references that a chunk read.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkReads {
    /// Index of the chunk, which begins at token `chunk * interval` of prompt and answer together. A chunk of the answer that is missing
    /// from the list read the same references as the one before it.
    pub chunk: usize,
    /// The query text; empty if the caller named the references.
    pub query: String,
    /// The references read, most similar first.
    pub reads: Vec<MemoryRead>,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The model produced this end token, which is not part of the answer.
    Token(u32),
    /// The answer ends with this stop string of the model.
    Text(String),
    /// The answer has the maximum number of tokens.
    MaxTokens,
    /// The model's context is full.
    ContextFull,
    /// The receiver of the text stopped the answer.
    Interrupted,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The concatenation of the streamed pieces.
    pub text: String,
    /// The tokens, without the end token.
    pub tokens: Vec<u32>,
    /// How sure the model is of it, by the measures that the session was asked for.
    pub confidence: Confidence,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// The references read by each chunk; empty if the answer comes from the weights alone. Texts in the prompt are listed as chunk 0.
    pub chunks: Vec<ChunkReads>,
    /// Why the answer ended.
    pub stop: Stop,
    /// The damage that was skipped; empty unless the session skips damage.
    pub skipped: Arc<Skipped>,
}

/// A prompt, and the memories or texts that it reads.
#[derive(Clone, Debug)]
pub struct PreparedPrompt {
    /// The prompt's tokens.
    pub tokens: PromptTokens,
    /// Whether the prompt comes after the prefix and the positions reserved for memories.
    pub prefix: bool,
    /// The memories of each chunk of the prompt; empty if the session reads no memories.
    pub chunks: Vec<ChunkMemories>,
    /// The references whose texts are in the prompt, most similar first.
    pub texts: Vec<MemoryRead>,
}

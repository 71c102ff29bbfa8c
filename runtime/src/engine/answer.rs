//! An answer, and the prompt that it begins with.

use std::sync::Arc;

use mempack_model::PromptTokens;

use super::chunk::ChunkMemories;
use super::confidence::Confidence;
use super::log_probability::TokenLogProbabilities;
use super::memory_read::MemoryRead;
use crate::Skipped;

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
    /// A stop string ended the answer: one of the model, with which the answer ends, or one of the [options](crate::AnswerOptions::stop), which the model
    /// wrote next and which is not part of the answer.
    Text(String),
    /// The answer has the maximum number of tokens.
    MaxTokens,
    /// The model's context is full.
    ContextFull,
    /// The receiver of the text stopped the answer.
    Interrupted,
}

/// The attention with which a token was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenAttention {
    /// What it read: an index of [`Answer::chunks`].
    pub chunk: usize,
    /// The share of attention that each memory of this chunk got, in the order of its reads, 0 to 1: the mean over the query heads of the memory layers
    /// whose key-value head keeps tokens of a reference.
    pub shares: Vec<f32>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The concatenation of the streamed pieces.
    pub text: String,
    /// The tokens, without the end token. Those of a stop string are among them.
    pub tokens: Vec<u32>,
    /// The log-probabilities of the tokens whose text was streamed, which are the first of [`tokens`](Self::tokens): all but those of a stop string that
    /// is not part of the answer. Empty unless they were asked for.
    pub log_probabilities: Vec<TokenLogProbabilities>,
    /// How sure the model is of it, by the measures that it was asked for.
    pub confidence: Confidence,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those of them whose keys and values an earlier prompt or answer of the same [`Batching`](crate::Batching) had left.
    pub reused_tokens: usize,
    /// What each token of [`tokens`](Self::tokens) leaned on; empty unless it was asked for and memories are read.
    pub attention: Vec<TokenAttention>,
    /// The references read by each chunk; empty if the answer comes from the weights alone. Texts in the prompt are listed as chunk 0.
    pub chunks: Vec<ChunkReads>,
    /// Why the answer ended.
    pub stop: Stop,
    /// Whether libtorch computed its steps although the model is on kernels, because prompt and room go beyond the positions that these serve.
    pub slow_path: bool,
    /// The damage that was skipped; empty unless the session skips damage.
    pub skipped: Arc<Skipped>,
}

/// A prompt, and the memories or texts that it reads.
#[derive(Clone, Debug)]
pub struct PreparedPrompt {
    /// The prompt's tokens.
    pub tokens: PromptTokens,
    /// Whether the answer continues a text.
    pub continues: bool,
    /// Whether the prompt comes after the prefix and the positions reserved for memories.
    pub prefix: bool,
    /// The memories of each chunk of the prompt; empty if no memories are read.
    pub chunks: Vec<ChunkMemories>,
    /// The references whose texts are in the prompt, most similar first.
    pub texts: Vec<MemoryRead>,
}

impl Answer {
    /// The share of attention that each memory got from the tokens of the answer that read it, a mean of 0 to 1: an item for each of
    /// [`chunks`](Self::chunks), in the order of its reads; `None` for a chunk from which no token was chosen.
    pub fn attention_of_chunks(&self) -> Vec<Option<Vec<f64>>> {
        let of_chunk = |chunk: usize, reads: usize| {
            let tokens: Vec<_> = self.attention.iter().filter(|token| token.chunk == chunk).collect();
            let mean = |read| {
                tokens.iter().filter_map(|token| token.shares.get(read)).map(|share| f64::from(*share)).sum::<f64>() / tokens.len() as f64
            };
            (!tokens.is_empty()).then(|| (0..reads).map(mean).collect())
        };
        self.chunks.iter().enumerate().map(|(chunk, read)| of_chunk(chunk, read.reads.len())).collect()
    }
}

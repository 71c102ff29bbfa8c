//! The decoding loop, from a prompt to an answer.

use std::ops::ControlFlow;
use std::sync::Arc;

use mempack_model::{AnswerMeasure, Model, PromptTokens, ReaderOptions, TextStream};
use mempack_retrieval::Transcript;

use super::chunk::ChunkMemories;
use super::confidence::{Confidence, Measuring};
use super::error::{AskError, SessionError};
use super::memory_read::MemoryRead;
use super::sampling::{Sampler, Sampling};
use super::text::{AnswerText, Piece};
use crate::Skipped;

/// Largest allowed `max_tokens`. The key-value cache is allocated for that many tokens at the start.
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

/// Supplies memories to the chunks of an answer while it is decoded.
pub(crate) trait Feed {
    /// The memories of the chunk that begins at the last token, with the chunk's index; `None` if no chunk begins there.
    fn due(&mut self) -> Result<Option<(usize, ChunkMemories)>, AskError>;

    /// Called after a token was added and before the model computes it. Retrieval for the next token can start here.
    fn grown(&mut self, text: &Transcript) -> Result<(), AskError>;

    /// The damage skipped so far.
    fn skipped(&self) -> Arc<Skipped>;
}

/// Decodes answers to prompts.
pub(crate) struct Generator {
    model: Model,
    sampling: Sampling,
    max_tokens: usize,
    measures: Vec<AnswerMeasure>,
}

impl Generator {
    /// A generator of answers of at most `max_tokens` tokens, 1 to [`MAX_ANSWER_TOKENS`], with these measures of confidence. It shares the
    /// model's weights.
    pub(crate) fn new(model: &Model, sampling: Sampling, max_tokens: usize, measures: Vec<AnswerMeasure>) -> Result<Self, SessionError> {
        sampling.check()?;
        SessionError::check_range("max_tokens", max_tokens, MAX_ANSWER_TOKENS)?;
        Ok(Self { model: model.share(), sampling, max_tokens, measures })
    }

    /// The model that answers.
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// The transcript that begins with a prompt.
    pub(crate) fn transcript(&self, prompt: PromptTokens) -> Transcript {
        Transcript::new(prompt.ids, prompt.question, self.model.memory().chunks())
    }

    /// Answers a prompt and streams the text to `on_text`, which can stop the answer.
    pub(crate) fn decode(
        &self,
        prompt: PreparedPrompt,
        feed: &mut dyn Feed,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer, AskError> {
        let PreparedPrompt { tokens, prefix, chunks: memories, texts } = prompt;
        let mut transcript = self.transcript(tokens);
        let room = self.room(transcript.len(), prefix)?;
        let mut reader = self.model.reader(&ReaderOptions { capacity: 1 + transcript.len() + room, prefix })?;
        let mut measuring = Measuring::new(&self.measures);
        if measuring.watches_memories() {
            reader.watch_memories();
        }
        let mut scores = {
            let slots: Vec<_> = memories.iter().map(ChunkMemories::slots).collect();
            reader.prompt(transcript.prompt(), &slots, false)?
        };
        let mut chunks: Vec<ChunkReads> = memories.into_iter().enumerate().map(report).collect();
        if !texts.is_empty() {
            chunks.push(ChunkReads { chunk: 0, query: String::new(), reads: texts });
        }
        let mut output = Output::new(&self.model, on_text);
        let mut sampler = Sampler::new(self.sampling);
        let stop = loop {
            let token = sampler.choose(&scores).ok_or(AskError::Scores { token: transcript.answer().len() })?;
            measuring.add(&scores, token, reader.memory_share());
            if self.ends(token) {
                break Stop::Token(token);
            }
            transcript.push(token);
            if let Some(stop) = output.push(token)? {
                break stop;
            }
            if transcript.answer().len() == room {
                break if room == self.max_tokens { Stop::MaxTokens } else { Stop::ContextFull };
            }
            if let Some((chunk, memories)) = feed.due()? {
                reader.set_memories(&memories.slots())?;
                chunks.push(report((chunk, memories)));
            }
            feed.grown(&transcript)?;
            scores = reader.step(token)?;
        };
        let (text, stop) = output.finish(stop)?;
        let (tokens, prompt_tokens) = (transcript.answer().to_vec(), transcript.prompt().len());
        Ok(Answer { text, tokens, confidence: measuring.finish(), prompt_tokens, chunks, stop, skipped: feed.skipped() })
    }

    /// Maximum number of tokens of an answer after a prompt of `prompt` tokens. An error if there is no room for any.
    pub(crate) fn room(&self, prompt: usize, prefix: bool) -> Result<usize, AskError> {
        let Some(positions) = self.model.config().max_positions else { return Ok(self.max_tokens) };
        let memory = self.model.memory();
        let before = if prefix { memory.reference_prefix_ids.len() + memory.reference_length as usize } else { 0 };
        // The BOS also takes a position.
        let max = (positions as usize).saturating_sub(before + 1);
        match max.saturating_sub(prompt) {
            0 => Err(AskError::TooLong { tokens: prompt, max: max.saturating_sub(1) }),
            left => Ok(left.min(self.max_tokens)),
        }
    }

    fn ends(&self, token: u32) -> bool {
        self.model.memory().stop_ids.contains(&token) || self.model.config().eos.contains(&token)
    }
}

fn report((chunk, memories): (usize, ChunkMemories)) -> ChunkReads {
    ChunkReads { chunk, query: memories.query, reads: memories.reads }
}

/// Converts tokens to text and streams it.
struct Output<'a> {
    stream: TextStream,
    text: AnswerText,
    on_text: &'a mut dyn FnMut(&str) -> ControlFlow<()>,
}

impl<'a> Output<'a> {
    fn new(model: &Model, on_text: &'a mut dyn FnMut(&str) -> ControlFlow<()>) -> Self {
        Self { stream: TextStream::new(model.tokenizer()), text: AnswerText::new(&model.memory().stop), on_text }
    }

    fn push(&mut self, token: u32) -> Result<Option<Stop>, AskError> {
        let new = self.stream.push(token)?;
        Ok(give(&mut self.text, self.on_text, &new))
    }

    /// Streams the rest of the text. Returns the whole text and the final reason to stop.
    fn finish(mut self, stop: Stop) -> Result<(String, Stop), AskError> {
        if matches!(stop, Stop::Text(_) | Stop::Interrupted) {
            return Ok((self.text.into_text(), stop));
        }
        let rest = self.stream.finish()?;
        let stop = give(&mut self.text, self.on_text, &rest).unwrap_or(stop);
        Ok((self.text.into_text(), stop))
    }
}

fn give(text: &mut AnswerText, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>, new: &str) -> Option<Stop> {
    let Piece { text, stop } = text.push(new);
    let interrupted = !text.is_empty() && on_text(&text).is_break();
    if interrupted { Some(Stop::Interrupted) } else { stop.map(Stop::Text) }
}

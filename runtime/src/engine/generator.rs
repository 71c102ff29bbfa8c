//! The decoding loop: a prompt in, an answer out, whatever it reads on the way.

use std::ops::ControlFlow;
use std::sync::Arc;

use mempack_model::{Model, PromptTokens, ReaderOptions, TextStream};
use mempack_retrieval::Transcript;

use super::chunk::{ChunkMemories, Read};
use super::error::{AskError, SessionError};
use super::sampling::{Sampler, Sampling};
use super::text::{AnswerText, Piece};
use crate::Skipped;

/// Most tokens of an answer that can be asked for: the cache of keys and values is allocated for them at once.
pub const MAX_ANSWER_TOKENS: usize = 1 << 16;

/// What a chunk read.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkReads {
    /// Which chunk: tokens `chunk * interval` to the next of the prompt and the answer together. A chunk of the answer that is
    /// missing in the list read what the one before it did.
    pub chunk: usize,
    /// The text that it retrieved with; empty where the caller named the references.
    pub query: String,
    /// The references read, most similar first.
    pub reads: Vec<Read>,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The model ended it, with this token, which is no part of it.
    Token(u32),
    /// This stop string of the model, which ends the answer.
    Text(String),
    /// It has as many tokens as were allowed.
    MaxTokens,
    /// The model's context is full.
    ContextFull,
    /// The receiver of the text wanted no more.
    Interrupted,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its text: the streamed pieces, one after the other.
    pub text: String,
    /// Its tokens; a token that ended it by its id is not among them.
    pub tokens: Vec<u32>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// What was read, chunk by chunk; empty without memories.
    pub chunks: Vec<ChunkReads>,
    /// Why it ended.
    pub stop: Stop,
    /// What was left out because it was damaged; nothing, unless the session was told to leave damage out.
    pub skipped: Arc<Skipped>,
}

/// A prompt, and what its first pass reads.
#[derive(Clone, Debug)]
pub struct PreparedPrompt {
    /// The prompt's tokens.
    pub tokens: PromptTokens,
    /// Whether the prompt stands behind the prefix and the memories' interval of positions.
    pub prefix: bool,
    /// What each chunk of the prompt reads; empty without memories, and where texts stand in the prompt.
    pub chunks: Vec<ChunkMemories>,
    /// The references whose texts stand in the prompt, most similar first.
    pub texts: Vec<Read>,
}

/// What the chunks of an answer read while it is decoded.
pub(crate) trait Feed {
    /// Memories that the last token of the text is the first to read, with the number of its chunk.
    fn due(&mut self) -> Result<Option<(usize, ChunkMemories)>, AskError>;

    /// The text has grown by a token, which is about to be computed: what the next one needs can be fetched meanwhile.
    fn grown(&mut self, text: &Transcript) -> Result<(), AskError>;

    /// What was left out of the packs.
    fn skipped(&self) -> Arc<Skipped>;
}

/// Decodes answers to prompts.
pub(crate) struct Generator {
    model: Model,
    sampling: Sampling,
    max_tokens: usize,
}

impl Generator {
    /// Answers have at most `max_tokens` tokens, 1 to [`MAX_ANSWER_TOKENS`]. The model's weights are shared, not copied.
    pub(crate) fn new(model: &Model, sampling: Sampling, max_tokens: usize) -> Result<Self, SessionError> {
        sampling.check()?;
        SessionError::check_range("max_tokens", max_tokens, MAX_ANSWER_TOKENS)?;
        Ok(Self { model: model.share(), sampling, max_tokens })
    }

    /// The model that answers.
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// The transcript that begins with a prompt.
    pub(crate) fn transcript(&self, prompt: PromptTokens) -> Transcript {
        Transcript::new(prompt.ids, prompt.question, self.model.memory().chunks())
    }

    /// Answers a prompt, giving out the text as it comes; `on_text` may break it off.
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
        Ok(Answer { text, tokens, prompt_tokens, chunks, stop, skipped: feed.skipped() })
    }

    /// Refuses a prompt of so many tokens that leaves no room for an answer; else the tokens that an answer may have behind it.
    pub(crate) fn room(&self, prompt: usize, prefix: bool) -> Result<usize, AskError> {
        let Some(positions) = self.model.config().max_positions else { return Ok(self.max_tokens) };
        let memory = self.model.memory();
        let before = if prefix { memory.reference_prefix_ids.len() + memory.reference_length as usize } else { 0 };
        // The first token comes before the prompt, too.
        let most = (positions as usize).saturating_sub(before + 1);
        match most.saturating_sub(prompt) {
            0 => Err(AskError::TooLong { tokens: prompt, most: most.saturating_sub(1) }),
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

/// Tokens to text, and text to its receiver.
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

    /// Gives out what is held back; the answer's text, and why it ended after all.
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

//! The decoding loop: a prompt in, an answer out, whatever it reads on the way.

use std::ops::ControlFlow;
use std::sync::Arc;

use mempack_format::Memory;
use mempack_model::{Model, PromptTokens, ReaderOptions, TextStream};
use mempack_retrieval::Transcript;

use super::error::{AskError, SessionError};
use super::reading::{Memories, Read};
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
    /// The text that it retrieved with; empty where memories were given and not retrieved.
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

/// A memory that a text is given, whatever it would retrieve.
#[derive(Clone, Debug)]
pub struct Given {
    /// Number of its reference, for the report.
    pub reference: u32,
    /// How similar it is to the question; matters where the model's `similarity_bias` is not 0.
    pub similarity: f32,
    /// The memory.
    pub memory: Arc<Memory>,
}

/// What a [`Generator`]'s prompt is read with.
#[derive(Clone, Copy, Debug)]
pub enum Reading<'a> {
    /// Neither prefix nor memories: positions begin at 0, and the model decodes as its checkpoint does elsewhere.
    Plain,
    /// The prefix and these memories at every chunk, most similar first; with none, the model's weights alone answer, with
    /// prefix and positions as they are with memories.
    Memories(&'a [Given]),
}

/// What the chunks of a text read while it is decoded.
pub(crate) trait Feed {
    /// The memories of each chunk of the prompt; a list that is too short holds for the later chunks.
    fn prompt(&mut self, text: &Transcript) -> Result<Vec<Memories>, AskError>;

    /// Memories that the last token of the text is the first to read, with the number of its chunk.
    fn due(&mut self) -> Result<Option<(usize, Memories)>, AskError>;

    /// The text has grown by a token, which is about to be computed: what the next one needs can be fetched meanwhile.
    fn grown(&mut self, text: &Transcript) -> Result<(), AskError>;

    /// What was left out of the packs.
    fn skipped(&self) -> Arc<Skipped>;
}

/// The same memories from beginning to end.
struct Fixed<'a>(&'a [Given]);

impl Feed for Fixed<'_> {
    fn prompt(&mut self, _: &Transcript) -> Result<Vec<Memories>, AskError> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        let read = |given: &Given| Read { pack: None, reference: given.reference, similarity: given.similarity, cached: true };
        let memories = self.0.iter().map(|given| Arc::clone(&given.memory)).collect();
        Ok(vec![Memories::new(String::new(), self.0.iter().map(read).collect(), memories)])
    }

    fn due(&mut self) -> Result<Option<(usize, Memories)>, AskError> {
        Ok(None)
    }

    fn grown(&mut self, _: &Transcript) -> Result<(), AskError> {
        Ok(())
    }

    fn skipped(&self) -> Arc<Skipped> {
        Arc::default()
    }
}

/// Answers prompts of which the caller says what they read. [`Session`](crate::Session) is one that retrieves for itself.
///
/// It is `Send` and not `Sync`, as its model is.
pub struct Generator {
    model: Model,
    sampling: Sampling,
    max_tokens: usize,
}

impl Generator {
    /// Answers have at most `max_tokens` tokens, 1 to [`MAX_ANSWER_TOKENS`]. The model's weights are shared, not copied.
    ///
    /// # Errors
    /// If an option is out of its range.
    pub fn new(model: &Model, sampling: Sampling, max_tokens: usize) -> Result<Self, SessionError> {
        sampling.check()?;
        SessionError::check_range("max_tokens", max_tokens, MAX_ANSWER_TOKENS)?;
        Ok(Self { model: model.share(), sampling, max_tokens })
    }

    /// The model that answers.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Answers a prompt, giving out the text as it comes; `on_text` may break it off.
    ///
    /// # Errors
    /// If the prompt is too long for the model, there are more memories than a chunk can read or such as are not the model's, or the
    /// model fails.
    pub fn answer(
        &self,
        prompt: PromptTokens,
        reading: Reading<'_>,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer, AskError> {
        match reading {
            Reading::Plain => self.decode(prompt, false, &mut Fixed(&[]), on_text),
            Reading::Memories(given) => self.decode(prompt, true, &mut Fixed(given), on_text),
        }
    }

    /// The loop itself. `prefix` says whether the context stands behind the prefix and the memories' interval of positions.
    pub(crate) fn decode(
        &self,
        prompt: PromptTokens,
        prefix: bool,
        feed: &mut dyn Feed,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer, AskError> {
        let mut transcript = Transcript::new(prompt.ids, prompt.question, self.model.memory().chunks());
        let room = self.room(transcript.len(), prefix)?;
        let mut reader = self.model.reader(&ReaderOptions { capacity: 1 + transcript.len() + room, prefix })?;
        let mut chunks = Vec::new();
        let mut scores = {
            let memories = feed.prompt(&transcript)?;
            let slots: Vec<_> = memories.iter().map(Memories::slots).collect();
            let scores = reader.prompt(transcript.prompt(), &slots, false)?;
            chunks.extend(memories.into_iter().enumerate().map(report));
            scores
        };
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

    /// Tokens that an answer may have behind a prompt of so many.
    fn room(&self, prompt: usize, prefix: bool) -> Result<usize, AskError> {
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

fn report((chunk, memories): (usize, Memories)) -> ChunkReads {
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

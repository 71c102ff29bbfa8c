//! A model that answers questions with the memories of a pack.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use mempack_model::{Embedder, Model, ReaderOptions, TextStream, prompt_tokens};

use super::error::{AskError, IdentityMismatch, SessionError};
use super::query::Transcript;
use super::reading::{Memories, Pending, Prefetcher, Read, Source};
use super::retriever::Retriever;
use super::sampling::{Sampler, Sampling};
use super::text::{AnswerText, Piece};
use crate::{MappedPack, MemoryCache};

/// Most tokens of an answer that can be asked for: the cache of keys and values is allocated for them at once.
pub const MAX_ANSWER_TOKENS: usize = 1 << 16;

/// How a session answers.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Whether chunks read memories. Without, prefix and positions stay as they are with memories.
    pub memories: bool,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens of an answer: 1 to [`MAX_ANSWER_TOKENS`].
    pub max_tokens: usize,
    /// Memories that a chunk reads, 1 to the model's `memories_per_chunk`; `None` is the model's number.
    pub k: Option<usize>,
    /// Whether a second thread retrieves while the model decodes. It changes when memories are there, not which.
    pub prefetch: bool,
    /// Where decoded memories are kept; sessions may share one.
    pub cache: Arc<MemoryCache>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { memories: true, sampling: Sampling::Greedy, max_tokens: 256, k: None, prefetch: true, cache: Arc::default() }
    }
}

/// What a chunk read.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkReads {
    /// Which chunk: tokens `chunk * interval` to the next of the prompt and the answer together. A chunk of the answer that is
    /// missing in the list read what the one before it did.
    pub chunk: usize,
    /// The text that it retrieved with.
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
#[derive(Clone, Debug, PartialEq)]
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
}

/// A model and a pack that belong together. Loaded once, it answers any number of questions, each for itself.
///
/// It is `Send`; several threads have a session each, over the same pack, cache and weights.
pub struct Session {
    model: Model,
    source: Source,
    prefetcher: Option<Prefetcher>,
    options: SessionOptions,
}

impl Session {
    /// Weights and pack are shared, not copied.
    ///
    /// # Errors
    /// If the pack was built with another model or embedder, or an option is out of its range.
    pub fn new(model: &Model, embedder: &Embedder, pack: Arc<MappedPack>, options: SessionOptions) -> Result<Self, SessionError> {
        IdentityMismatch::check_model(&pack.manifest().model, model.identity())?;
        let retriever = Retriever::new(embedder, pack)?;
        options.sampling.check()?;
        in_range("max_tokens", options.max_tokens, MAX_ANSWER_TOKENS)?;
        let most = model.memory().memories_per_chunk as usize;
        let k = options.k.unwrap_or(most);
        in_range("k", k, most)?;
        let source = Source { retriever, cache: Arc::clone(&options.cache), k };
        let prefetcher = if options.memories && options.prefetch { Some(Prefetcher::start(&source)?) } else { None };
        Ok(Self { model: model.share(), source, prefetcher, options })
    }

    /// The pack it reads.
    pub fn pack(&self) -> &Arc<MappedPack> {
        self.source.retriever.pack()
    }

    /// Where its decoded memories are.
    pub fn cache(&self) -> &Arc<MemoryCache> {
        &self.source.cache
    }

    /// Answers a question, giving out the text as it comes; `on_text` may break it off.
    ///
    /// Each chunk of the prompt reads its own memories; while the answer grows, each new chunk retrieves with the tokens before it
    /// (arXiv 2407.01178, section 3.2). The template around the question is no part of a query.
    ///
    /// # Errors
    /// If the question is blank or too long for the model, a memory is damaged, or the model fails.
    pub fn ask(&self, question: &str, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<Answer, AskError> {
        if question.trim().is_empty() {
            return Err(AskError::EmptyQuestion);
        }
        let prompt = prompt_tokens(&self.model, question)?;
        let interval = self.model.memory().retrieval_interval as usize;
        let mut transcript = Transcript::new(prompt.ids, prompt.question, interval);
        let room = self.room(transcript.len())?;
        let options = ReaderOptions { capacity: 1 + transcript.len() + room, prefix: true };
        let mut reader = self.model.reader(&options)?;
        let mut chunks = Vec::new();
        let mut scores = {
            let memories = self.prompt_memories(&transcript)?;
            let slots: Vec<_> = memories.iter().map(Memories::slots).collect();
            let scores = reader.prompt(transcript.prompt(), &slots, false)?;
            chunks.extend(memories.into_iter().enumerate().filter_map(|(chunk, memories)| self.report(chunk, memories)));
            scores
        };
        let mut output = Output::new(&self.model, on_text);
        let mut sampler = Sampler::new(self.options.sampling);
        let mut pending: Option<(usize, Pending)> = None;
        let mut warmed = false;
        let stop = loop {
            let token = sampler.choose(&scores).ok_or(AskError::Scores { token: transcript.answer().len() })?;
            if self.ends(token) {
                break Stop::Token(token);
            }
            let beginning = pending.take();
            transcript.push(token);
            if let Some(stop) = output.push(token)? {
                break stop;
            }
            if transcript.answer().len() == room {
                break if room == self.options.max_tokens { Stop::MaxTokens } else { Stop::ContextFull };
            }
            if let Some((chunk, coming)) = beginning {
                let memories = coming.wait(&self.source)?;
                reader.set_memories(&memories.slots())?;
                chunks.extend(self.report(chunk, memories));
                warmed = false;
            }
            // The next token begins a chunk: what it reads is known by now, and is fetched while this token is computed.
            pending = self.begin_chunk(&transcript)?;
            if !warmed && pending.is_none() && transcript.until_next_chunk() <= (interval / 4).max(1) {
                self.warm(&transcript)?;
                warmed = true;
            }
            scores = reader.step(token)?;
        };
        let (text, stop) = output.finish(stop)?;
        Ok(Answer { text, tokens: transcript.answer().to_vec(), prompt_tokens: transcript.prompt().len(), chunks, stop })
    }

    /// Tokens that an answer may have behind a prompt of so many.
    fn room(&self, prompt: usize) -> Result<usize, AskError> {
        let Some(positions) = self.model.config().max_positions else { return Ok(self.options.max_tokens) };
        let memory = self.model.memory();
        // Prefix, the memories' interval and the first token come before the prompt.
        let most = (positions as usize).saturating_sub(memory.reference_prefix_ids.len() + memory.reference_length as usize + 1);
        match most.saturating_sub(prompt) {
            0 => Err(AskError::TooLong { tokens: prompt, most: most.saturating_sub(1) }),
            left => Ok(left.min(self.options.max_tokens)),
        }
    }

    fn prompt_memories(&self, transcript: &Transcript) -> Result<Vec<Memories>, AskError> {
        if !self.options.memories {
            return Ok(vec![Memories::none()]);
        }
        let read = |chunk| self.source.read(self.query(transcript, transcript.prompt_window(chunk))?);
        (0..transcript.prompt_chunks()).map(read).collect()
    }

    /// Begins to retrieve for the chunk that the next token begins, if it does.
    fn begin_chunk(&self, transcript: &Transcript) -> Result<Option<(usize, Pending)>, AskError> {
        let Some(chunk) = transcript.chunk_begun().filter(|_| self.options.memories) else { return Ok(None) };
        let query = self.query(transcript, transcript.last_window())?;
        let pending = match &self.prefetcher {
            Some(prefetcher) => prefetcher.begin(query),
            None => Pending::later(query),
        };
        Ok(Some((chunk, pending)))
    }

    /// Has the memories decoded that the next chunk will probably read.
    fn warm(&self, transcript: &Transcript) -> Result<(), AskError> {
        if let Some(prefetcher) = &self.prefetcher {
            prefetcher.warm(self.query(transcript, transcript.last_window())?);
        }
        Ok(())
    }

    fn query(&self, transcript: &Transcript, window: Range<usize>) -> Result<String, AskError> {
        Ok(self.model.tokenizer().decode(&transcript.query_ids(window))?.trim().to_owned())
    }

    fn report(&self, chunk: usize, memories: Memories) -> Option<ChunkReads> {
        self.options.memories.then_some(ChunkReads { chunk, query: memories.query, reads: memories.reads })
    }

    fn ends(&self, token: u32) -> bool {
        self.model.memory().stop_ids.contains(&token) || self.model.config().eos.contains(&token)
    }
}

fn in_range(option: &'static str, found: usize, most: usize) -> Result<(), SessionError> {
    if (1..=most).contains(&found) {
        return Ok(());
    }
    Err(SessionError::Option { option, found: found.to_string(), expected: format!("1 to {most}") })
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

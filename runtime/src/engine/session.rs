//! A model that answers questions with the memories of packs.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use mempack_format::PublicKey;
use mempack_model::{Embedder, Model, prompt_tokens};
use mempack_retrieval::Transcript;

use super::error::{AskError, IdentityMismatch, SessionError};
use super::generator::{Answer, Feed, Generator};
use super::reading::{Memories, Pending, Prefetcher, Scope, Source};
use super::retriever::Retriever;
use super::sampling::Sampling;
use crate::{MappedPack, MemoryCache, Mounts, Skipped};

/// How a session answers.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Whether chunks read memories. Without, prefix and positions stay as they are with memories.
    pub memories: bool,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens of an answer: 1 to [`MAX_ANSWER_TOKENS`](crate::MAX_ANSWER_TOKENS).
    pub max_tokens: usize,
    /// Memories that a chunk reads, 1 to the model's `memories_per_chunk`; `None` is the model's number.
    pub k: Option<usize>,
    /// Whether a second thread retrieves while the model decodes. It changes when memories are there, not which.
    pub prefetch: bool,
    /// Where decoded memories are kept; sessions may share one.
    pub cache: Arc<MemoryCache>,
    /// Whether memories and vectors that are damaged are left out and counted, instead of ending the answer.
    pub skip_damaged: bool,
    /// Demands of every pack that one of these keys signed it; of none, if there are no keys.
    pub trusted: Vec<PublicKey>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            memories: true,
            sampling: Sampling::Greedy,
            max_tokens: 256,
            k: None,
            prefetch: true,
            cache: Arc::default(),
            skip_damaged: false,
            trusted: Vec::new(),
        }
    }
}

/// A model and packs that belong together. Loaded once, it answers any number of questions, each for itself.
///
/// It is `Send`; several threads have a session each, over the same packs, cache and weights.
pub struct Session {
    generator: Generator,
    source: Source,
    prefetcher: Option<Prefetcher>,
    memories: bool,
    skip_damaged: bool,
    trusted: Vec<PublicKey>,
}

impl Session {
    /// A session over one pack. Weights and pack are shared, not copied.
    ///
    /// # Errors
    /// If the pack was built with another model or embedder, lacks a signature that is demanded, or an option is out of its range.
    pub fn new(model: &Model, embedder: &Embedder, pack: Arc<MappedPack>, options: SessionOptions) -> Result<Self, SessionError> {
        Self::over(model, embedder, Arc::new(Mounts::of(pack)), options)
    }

    /// A session over packs that may be mounted, unmounted and replaced meanwhile: each question is answered from those that are
    /// mounted when it is asked, from its beginning to its end.
    ///
    /// # Errors
    /// If the packs were built with another model or embedder, one lacks a signature that is demanded, or an option is out of its range.
    pub fn over(model: &Model, embedder: &Embedder, mounts: Arc<Mounts>, options: SessionOptions) -> Result<Self, SessionError> {
        IdentityMismatch::check_model(mounts.model(), model.identity())?;
        mounts.packs().check_signed(&options.trusted)?;
        let retriever = Retriever::over(embedder, mounts)?;
        let generator = Generator::new(model, options.sampling, options.max_tokens)?;
        let most = model.memory().memories_per_chunk as usize;
        let k = options.k.unwrap_or(most);
        SessionError::check_range("k", k, most)?;
        let source = Source { retriever, cache: options.cache, k, memory: model.memory().clone() };
        let prefetcher = if options.memories && options.prefetch { Some(Prefetcher::start(&source)?) } else { None };
        let SessionOptions { memories, skip_damaged, trusted, .. } = options;
        Ok(Self { generator, source, prefetcher, memories, skip_damaged, trusted })
    }

    /// The packs it reads.
    pub fn mounts(&self) -> &Arc<Mounts> {
        self.source.retriever.mounts()
    }

    /// Where its decoded memories are.
    pub fn cache(&self) -> &Arc<MemoryCache> {
        &self.source.cache
    }

    /// Answers a question, giving out the text as it comes; `on_text` may break it off.
    ///
    /// Each chunk of the prompt reads its own memories; while the answer grows, each new chunk retrieves with the tokens before it
    /// (arXiv 2407.01178, section 3.2). The template around the question is no part of a query. The answer keeps the packs that it
    /// read mapped, so that they can be cited.
    ///
    /// # Errors
    /// If the question is blank or too long for the model, a memory is damaged, a pack lacks a signature, or the model fails.
    pub fn ask(&self, question: &str, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<Answer, AskError> {
        if question.trim().is_empty() {
            return Err(AskError::EmptyQuestion);
        }
        let prompt = prompt_tokens(self.generator.model(), question)?;
        let packs = self.mounts().packs();
        packs.check_signed(&self.trusted)?;
        let scope = Scope { packs, skipped: self.skip_damaged.then(Arc::default) };
        self.generator.decode(prompt, true, &mut Retrieved { session: self, scope, pending: None, warmed: false }, on_text)
    }
}

/// Each chunk reads what it retrieves.
struct Retrieved<'a> {
    session: &'a Session,
    scope: Scope,
    pending: Option<(usize, Pending)>,
    warmed: bool,
}

impl Feed for Retrieved<'_> {
    fn prompt(&mut self, text: &Transcript) -> Result<Vec<Memories>, AskError> {
        if !self.session.memories {
            return Ok(Vec::new());
        }
        let read = |chunk| self.session.source.read(&self.scope, self.query(text, text.prompt_window(chunk))?);
        (0..text.prompt_chunks()).map(read).collect()
    }

    fn due(&mut self) -> Result<Option<(usize, Memories)>, AskError> {
        let Some((chunk, coming)) = self.pending.take() else { return Ok(None) };
        let memories = coming.wait(&self.session.source, &self.scope)?;
        self.warmed = false;
        Ok(Some((chunk, memories)))
    }

    fn grown(&mut self, text: &Transcript) -> Result<(), AskError> {
        // The next token begins a chunk: what it reads is known by now, and is fetched while this token is computed.
        self.pending = self.begin_chunk(text)?;
        if !self.warmed && self.pending.is_none() && text.until_next_chunk() <= (text.chunks().interval() / 4).max(1) {
            self.warm(text)?;
            self.warmed = true;
        }
        Ok(())
    }

    fn skipped(&self) -> Arc<Skipped> {
        self.scope.skipped.clone().unwrap_or_default()
    }
}

impl Retrieved<'_> {
    /// Begins to retrieve for the chunk that the next token begins, if it does.
    fn begin_chunk(&self, text: &Transcript) -> Result<Option<(usize, Pending)>, AskError> {
        let Some(chunk) = text.chunk_begun().filter(|_| self.session.memories) else { return Ok(None) };
        let query = self.query(text, text.last_window())?;
        let pending = match &self.session.prefetcher {
            Some(prefetcher) => prefetcher.begin(self.scope.clone(), query),
            None => Pending::later(query),
        };
        Ok(Some((chunk, pending)))
    }

    /// Has the memories decoded that the next chunk will probably read.
    fn warm(&self, text: &Transcript) -> Result<(), AskError> {
        if let Some(prefetcher) = &self.session.prefetcher {
            prefetcher.warm(self.scope.clone(), self.query(text, text.last_window())?);
        }
        Ok(())
    }

    fn query(&self, text: &Transcript, window: Range<usize>) -> Result<String, AskError> {
        let tokenizer = self.session.generator.model().tokenizer();
        Ok(tokenizer.decode(&text.query_ids(window))?.trim().to_owned())
    }
}

//! A model that answers questions with the memories of packs.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use mempack_format::PublicKey;
use mempack_model::{Embedder, Model, PromptTokens, context_tokens, prompt_tokens};
use mempack_retrieval::{Hit, Query, Transcript};

use super::chunk::{ChunkMemories, ChunkReader, Read, Scope};
use super::error::{AskError, IdentityMismatch, SessionError};
use super::generator::{Answer, Feed, Generator, PreparedPrompt};
use super::prefetch::{Pending, Prefetcher};
use super::recall::Retriever;
use super::reference::read_reference;
use super::sampling::Sampling;
use super::source::{MemorySource, ReadFrom};
use crate::{MappedPack, MemoryCache, Mounts, PackReference, PackSet, Skipped};

/// References that are read at most where their texts stand in the prompt.
const MAX_TEXTS: usize = 4096;
/// What stands between texts in a prompt.
const BETWEEN_TEXTS: &str = "\n\n";

/// How a session answers.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// What answers are read from.
    pub read_from: ReadFrom,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Tokens of an answer, at most: 1 to [`MAX_ANSWER_TOKENS`](crate::MAX_ANSWER_TOKENS).
    pub max_tokens: usize,
    /// References that a chunk reads, at most the model's `memories_per_chunk`; `None` is the model's number. Texts in the prompt may be
    /// more.
    pub k: Option<usize>,
    /// References whose [overlap](mempack_model::overlap) with the question is above this share are not read; `None` reads them. For
    /// measurements: a reference that repeats its question gives the answer away.
    pub max_overlap: Option<f64>,
    /// Whether a second thread retrieves while the model decodes. It changes when memories are there, not which.
    pub prefetch: bool,
    /// Where memories are kept; sessions may share one.
    pub cache: Arc<MemoryCache>,
    /// Whether memories and vectors that are damaged are left out and counted, instead of ending the answer.
    pub skip_damaged: bool,
    /// Public keys, one of which must have signed every pack; with none, no signature is needed.
    pub trusted: Vec<PublicKey>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            read_from: ReadFrom::default(),
            sampling: Sampling::Greedy,
            max_tokens: 256,
            k: None,
            max_overlap: None,
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
    reader: ChunkReader,
    prefetcher: Option<Prefetcher>,
    read_from: ReadFrom,
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
    /// The model must be the packs' own to read their memories. Memories that it writes, and texts, it may read from any pack
    /// whose references it composes to the same tokens.
    ///
    /// # Errors
    /// If the packs were built with another model or embedder, one lacks a signature that is demanded, or an option is out of its range.
    pub fn over(model: &Model, embedder: &Embedder, mounts: Arc<Mounts>, options: SessionOptions) -> Result<Self, SessionError> {
        let SessionOptions { read_from, sampling, max_tokens, k, max_overlap, prefetch, cache, skip_damaged, trusted } = options;
        if read_from == ReadFrom::PackMemories {
            IdentityMismatch::check_model(mounts.model(), model.identity())?;
        }
        mounts.packs().check_signed(&trusted)?;
        let retriever = Retriever::over(embedder, mounts)?;
        let generator = Generator::new(model, sampling, max_tokens)?;
        let own = model.memory().memories_per_chunk as usize;
        let k = k.unwrap_or(own);
        SessionError::check_range("k", k, if read_from == ReadFrom::Texts { MAX_TEXTS } else { own })?;
        if let Some(share) = max_overlap.filter(|share| !(0.0..=1.0).contains(share)) {
            return Err(SessionError::Option { option: "max_overlap", found: share.to_string(), expected: "a share, 0 to 1".into() });
        }
        if read_from == ReadFrom::Texts && model.memory().context_template.is_none() {
            let (found, expected) = ("missing".to_owned(), "a template with {text} and {question} in the model's memory block".to_owned());
            return Err(SessionError::Option { option: "context_template", found, expected });
        }
        let source = MemorySource::new(read_from, model, cache);
        let max_overlap = max_overlap.map(|max| (model.share(), max));
        let margin = model.memory().margin();
        let reader = ChunkReader { retriever, source, k, margin, max_overlap };
        let prefetcher = if read_from.reads_memories() && prefetch { Some(Prefetcher::start(&reader)?) } else { None };
        Ok(Self { generator, reader, prefetcher, read_from, skip_damaged, trusted })
    }

    /// The packs it reads.
    pub fn mounts(&self) -> &Arc<Mounts> {
        self.reader.retriever.mounts()
    }

    /// Where its memories are.
    pub fn cache(&self) -> &Arc<MemoryCache> {
        &self.reader.source.cache
    }

    /// The model that answers.
    pub fn model(&self) -> &Model {
        self.generator.model()
    }

    /// Time that this session has spent writing memories; with those of packs, none.
    pub fn time_writing(&self) -> Duration {
        self.reader.source.time_writing()
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
        let scope = self.scope(question, None)?;
        self.answer(question, scope, on_text)
    }

    /// Answers a question from the references given, whatever it would retrieve: every chunk reads all of them.
    ///
    /// # Errors
    /// As [`ask`](Self::ask), and if there are more references than a chunk can read.
    pub fn ask_about(
        &self,
        question: &str,
        references: Vec<Hit<PackReference>>,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer, AskError> {
        let scope = self.scope(question, Some(references))?;
        self.answer(question, scope, on_text)
    }

    /// The prompt of a question, and what its first pass reads: what [`ask`](Self::ask) begins with.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn prepare(&self, question: &str) -> Result<PreparedPrompt, AskError> {
        self.prompt(question, &self.scope(question, None)?)
    }

    /// What chunks read that query so; the queries' context, not the question, is what references must not repeat.
    ///
    /// # Errors
    /// If retrieval fails, a memory is damaged, or a pack lacks a signature.
    pub fn read(&self, queries: &[Query<'_>]) -> Result<Vec<ChunkMemories>, AskError> {
        let scope = self.over_packs(Arc::default(), None)?;
        let read = |query: &Query<'_>| self.reader.read(&Scope { question: query.context.into(), ..scope.clone() }, query.text.to_owned());
        queries.iter().map(read).collect()
    }

    fn answer(&self, question: &str, scope: Scope, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<Answer, AskError> {
        let prompt = self.prompt(question, &scope)?;
        self.generator.decode(prompt, &mut Retrieved { session: self, scope, pending: None, warmed: false }, on_text)
    }

    fn scope(&self, question: &str, named: Option<Vec<Hit<PackReference>>>) -> Result<Scope, AskError> {
        if question.trim().is_empty() {
            return Err(AskError::EmptyQuestion);
        }
        let ids = match self.reader.max_overlap {
            Some(_) => self.model().tokenizer().encode_plain(question)?,
            None => Vec::new(),
        };
        self.over_packs(ids.into(), named)
    }

    /// The packs that are mounted now, for one question.
    fn over_packs(&self, question: Arc<[u32]>, named: Option<Vec<Hit<PackReference>>>) -> Result<Scope, AskError> {
        let packs: Arc<PackSet> = self.mounts().packs();
        packs.check_signed(&self.trusted)?;
        Ok(Scope { packs, skipped: self.skip_damaged.then(Arc::default), question, named: named.map(Into::into) })
    }

    fn prompt(&self, question: &str, scope: &Scope) -> Result<PreparedPrompt, AskError> {
        if self.read_from == ReadFrom::Texts {
            return self.prompt_with_texts(question, scope);
        }
        let (tokens, prefix) = (prompt_tokens(self.model(), question)?, self.read_from.has_prefix());
        let mut chunks = Vec::new();
        if self.read_from.reads_memories() {
            let text = self.generator.transcript(tokens.clone());
            self.generator.room(text.len(), prefix)?;
            let read = |chunk| self.reader.read(scope, self.query(&text, text.prompt_window(chunk))?);
            chunks = (0..text.prompt_chunks()).map(read).collect::<Result<_, _>>()?;
        }
        Ok(PreparedPrompt { tokens, prefix, chunks, texts: Vec::new() })
    }

    /// A prompt with the texts in it that the whole question retrieves.
    fn prompt_with_texts(&self, question: &str, scope: &Scope) -> Result<PreparedPrompt, AskError> {
        let hits = self.reader.hits(scope, question)?;
        let mut texts = Vec::with_capacity(hits.len());
        for hit in &hits {
            texts.push(read_reference(self.model(), hit.reference.pack.pack(), hit.reference.number)?.text);
        }
        let filled = context_tokens(self.model(), &texts.join(BETWEEN_TEXTS), question)?;
        // The template is there, as `over` has checked.
        let tokens = filled.map_or_else(|| prompt_tokens(self.model(), question), Ok::<PromptTokens, _>)?;
        let texts = hits.into_iter().map(|hit| Read { hit, cached: false }).collect();
        Ok(PreparedPrompt { tokens, prefix: false, chunks: Vec::new(), texts })
    }

    /// The words of a window, as a query.
    fn query(&self, text: &Transcript, window: Range<usize>) -> Result<String, AskError> {
        Ok(self.model().tokenizer().decode(&text.query_ids(window))?.trim().to_owned())
    }
}

/// Each chunk of an answer reads what it retrieves.
struct Retrieved<'a> {
    session: &'a Session,
    scope: Scope,
    pending: Option<(usize, Pending)>,
    warmed: bool,
}

impl Feed for Retrieved<'_> {
    fn due(&mut self) -> Result<Option<(usize, ChunkMemories)>, AskError> {
        let Some((chunk, coming)) = self.pending.take() else { return Ok(None) };
        let memories = coming.wait(&self.session.reader, &self.scope)?;
        self.warmed = false;
        Ok(Some((chunk, memories)))
    }

    fn grown(&mut self, text: &Transcript) -> Result<(), AskError> {
        if !self.session.read_from.reads_memories() || self.scope.named.is_some() {
            return Ok(());
        }
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
        let Some(chunk) = text.chunk_begun() else { return Ok(None) };
        let query = self.session.query(text, text.last_window())?;
        let pending = match &self.session.prefetcher {
            Some(prefetcher) => prefetcher.begin(self.scope.clone(), query),
            None => Pending::later(query),
        };
        Ok(Some((chunk, pending)))
    }

    /// Has the memories decoded that the next chunk will probably read.
    fn warm(&self, text: &Transcript) -> Result<(), AskError> {
        if let Some(prefetcher) = &self.session.prefetcher {
            prefetcher.warm(self.scope.clone(), self.session.query(text, text.last_window())?);
        }
        Ok(())
    }
}

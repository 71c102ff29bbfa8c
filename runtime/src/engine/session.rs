//! A model that answers questions with the memories of packs.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use mempack_format::PublicKey;
use mempack_model::{AnswerMeasure, Embedder, Model, PromptTokens, context_tokens, prompt_tokens};
use mempack_retrieval::{Hit, Query, Recalled, Strategy, Transcript};

use super::chunk::{ChunkMemories, ChunkReader, Scope};
use super::error::{AskError, IdentityMismatch, SessionError};
use super::generator::{Answer, Feed, Generator, PreparedPrompt};
use super::memory_read::MemoryRead;
use super::prefetch::{Pending, Prefetcher};
use super::recall::Retriever;
use super::reference::read_reference;
use super::rerank::Reranking;
use super::sampling::Sampling;
use super::source::{MemorySource, ReadFrom};
use crate::{MappedPack, MemoryCache, Mounts, PackReference, PackSet, Ranking, Skipped};

/// Maximum number of references whose texts can be put into a prompt.
const MAX_TEXTS: usize = 4096;
/// Separates the texts in a prompt.
const BETWEEN_TEXTS: &str = "\n\n";

/// Options of a [`Session`].
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// What answers are based on.
    pub read_from: ReadFrom,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Maximum number of tokens of an answer, 1 to [`MAX_ANSWER_TOKENS`](crate::MAX_ANSWER_TOKENS).
    pub max_tokens: usize,
    /// References per chunk, at most the model's `memories_per_chunk`, which `None` uses. With [`ReadFrom::Texts`] there may be more.
    pub k: Option<usize>,
    /// References whose [overlap](mempack_model::overlap) with the question exceeds this share are filtered out; `None` filters nothing.
    /// Measurements need it, because a reference that repeats its question reveals the answer.
    pub max_overlap: Option<f64>,
    /// The measures of confidence that answers come with: see [`Confidence`](crate::Confidence). Each makes a token take a little longer.
    pub measures: Vec<AnswerMeasure>,
    /// Whether a second thread retrieves while the model decodes. It affects when memories are loaded, not which.
    pub prefetch: bool,
    /// The cache of memories. Sessions can share one.
    pub cache: Arc<MemoryCache>,
    /// By what references are ranked.
    pub ranking: Ranking,
    /// Which of them are read. The model's own margin counts beside it.
    pub strategy: Strategy,
    /// A reranker, in whose order the strategy chooses; `None` keeps the order of the search. Memories keep the search's similarity, which the
    /// similarity bias weighs them by.
    pub reranking: Option<Reranking>,
    /// Whether damaged memories and vectors are skipped and counted instead of ending the answer with an error.
    pub skip_damaged: bool,
    /// Public keys, one of which must have signed each pack. If empty, no signature is required.
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
            measures: Vec::new(),
            prefetch: true,
            cache: Arc::default(),
            ranking: Ranking::default(),
            strategy: Strategy::default(),
            reranking: None,
            skip_damaged: false,
            trusted: Vec::new(),
        }
    }
}

/// Answers questions with a model and matching packs. A session answers any number of questions, each independently of the others.
///
/// A session is `Send`. Several threads use one session each, over the same packs, cache and weights.
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
    /// If the pack was built with another model or embedder, lacks a required signature, or an option is out of range.
    pub fn new(model: &Model, embedder: &Embedder, pack: Arc<MappedPack>, options: SessionOptions) -> Result<Self, SessionError> {
        Self::over(model, embedder, Arc::new(Mounts::of(pack)), options)
    }

    /// A session over packs that may be mounted, unmounted and replaced later. Each question pins the packs that are mounted when it is
    /// asked, until its answer is complete.
    ///
    /// To read the packs' memories, the model must be the one that built them. Written memories and texts work with any pack whose
    /// references the model composes to the same number of tokens.
    ///
    /// # Errors
    /// If the packs were built with another model or embedder, or the reranker reads memories with another model; if one lacks a required
    /// signature, or an option is out of range.
    pub fn over(model: &Model, embedder: &Embedder, mounts: Arc<Mounts>, options: SessionOptions) -> Result<Self, SessionError> {
        let SessionOptions {
            read_from,
            sampling,
            max_tokens,
            k,
            max_overlap,
            mut measures,
            prefetch,
            cache,
            ranking,
            strategy,
            reranking,
            skip_damaged,
            trusted,
        } = options;
        if read_from == ReadFrom::PackMemories {
            IdentityMismatch::check_model(mounts.model(), model.identity())?;
        }
        mounts.packs().check_signed(&trusted)?;
        let retriever = Retriever::over(embedder, mounts)?.ranked_by(ranking).chosen_by(strategy).reranked_by(reranking)?;
        measures.retain(|measure| read_from.reads_memories() || *measure != AnswerMeasure::MemoryAttention);
        let generator = Generator::new(model, sampling, max_tokens, measures)?;
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

    /// The packs that it reads.
    pub fn mounts(&self) -> &Arc<Mounts> {
        self.reader.retriever.mounts()
    }

    /// The cache of memories.
    pub fn cache(&self) -> &Arc<MemoryCache> {
        &self.reader.source.cache
    }

    /// The model that answers.
    pub fn model(&self) -> &Model {
        self.generator.model()
    }

    /// Time that this session has spent writing memories; zero unless it reads [`ReadFrom::WrittenMemories`].
    pub fn time_writing(&self) -> Duration {
        self.reader.source.time_writing()
    }

    /// Answers a question and streams the text to `on_text`, which can stop the answer.
    ///
    /// Each chunk of the prompt reads its own memories. While the answer grows, each new chunk retrieves with the tokens before it
    /// (arXiv 2407.01178, section 3.2). The template around the question is not part of a query. The answer keeps the packs that it read
    /// mapped, so that they can be cited.
    ///
    /// # Errors
    /// If the question is blank or too long for the model, a memory is damaged, a pack lacks a signature, or the model fails.
    pub fn ask(&self, question: &str, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<Answer, AskError> {
        let scope = self.scope(question, None)?;
        self.answer(question, scope, on_text)
    }

    /// Answers a question from the given references instead of retrieving. Every chunk reads all of them.
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

    /// The prompt of a question with the memories or texts that it reads, as [`ask`](Self::ask) begins.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn prepare(&self, question: &str) -> Result<PreparedPrompt, AskError> {
        self.prompt(question, &self.scope(question, None)?)
    }

    /// The memories that chunks with these queries read. The overlap filter compares references with each query's context.
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
        self.generator.decode(prompt, &mut RetrievalFeed { session: self, scope, pending: None, warmed: false }, on_text)
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

    /// A prompt that contains the texts that the whole question retrieves.
    fn prompt_with_texts(&self, question: &str, scope: &Scope) -> Result<PreparedPrompt, AskError> {
        let Recalled { hits, scores, .. } = self.reader.hits(scope, question)?;
        let mut texts = Vec::with_capacity(hits.len());
        for hit in &hits {
            texts.push(read_reference(self.model(), hit.reference.pack.pack(), hit.reference.number)?.text);
        }
        let filled = context_tokens(self.model(), &texts.join(BETWEEN_TEXTS), question)?;
        // `over` has checked that the template exists.
        let tokens = filled.map_or_else(|| prompt_tokens(self.model(), question), Ok::<PromptTokens, _>)?;
        let read = |(hit, rerank_score)| MemoryRead { hit, rerank_score, cached: false };
        let texts = hits.into_iter().zip(scores).map(read).collect();
        Ok(PreparedPrompt { tokens, prefix: false, chunks: Vec::new(), texts })
    }

    /// The query text of a window of tokens.
    fn query(&self, text: &Transcript, window: Range<usize>) -> Result<String, AskError> {
        Ok(self.model().tokenizer().decode(&text.query_ids(window))?.trim().to_owned())
    }
}

/// Retrieves for each chunk of an answer.
struct RetrievalFeed<'a> {
    session: &'a Session,
    scope: Scope,
    pending: Option<(usize, Pending)>,
    warmed: bool,
}

impl Feed for RetrievalFeed<'_> {
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
        // If the next token begins a chunk, its query is already known, and retrieval overlaps the computation of this token.
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

impl RetrievalFeed<'_> {
    /// Starts the retrieval for the next chunk, if the next token begins one.
    fn begin_chunk(&self, text: &Transcript) -> Result<Option<(usize, Pending)>, AskError> {
        let Some(chunk) = text.chunk_begun() else { return Ok(None) };
        let query = self.session.query(text, text.last_window())?;
        let pending = match &self.session.prefetcher {
            Some(prefetcher) => prefetcher.begin(self.scope.clone(), query),
            None => Pending::later(query),
        };
        Ok(Some((chunk, pending)))
    }

    /// Starts decoding the memories that the next chunk will probably read.
    fn warm(&self, text: &Transcript) -> Result<(), AskError> {
        if let Some(prefetcher) = &self.session.prefetcher {
            prefetcher.warm(self.scope.clone(), self.session.query(text, text.last_window())?);
        }
        Ok(())
    }
}

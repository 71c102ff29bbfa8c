//! A model that answers questions with the memories of packs.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use mempack_format::PublicKey;
use mempack_model::{AnswerMeasure, Embedder, Model, StepDecoder};
use mempack_retrieval::{Hit, Query, Strategy};

use super::answer::{Answer, MAX_ANSWER_TOKENS, PreparedPrompt};
use super::answerer::Answerer;
use super::batching::{BatchOptions, Batching, Request};
use super::chunk::{ChunkMemories, ChunkReader, Scope};
use super::error::{AskError, IdentityMismatch, SessionError};
use super::prefetch::Prefetcher;
use super::prompting::{Asked, Prompter};
use super::recall::Retriever;
use super::recent::RecentQueries;
use super::rerank::Reranking;
use super::sampling::Sampling;
use super::source::{MemorySource, ReadFrom};
use super::times::Part;
use crate::{MappedPack, MemoryCache, Mounts, PackReference, Ranking};

/// Maximum number of references whose texts can be put into a prompt.
const MAX_TEXTS: usize = 4096;

/// Options of a [`Session`].
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// What answers are based on.
    pub read_from: ReadFrom,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Maximum number of tokens of an answer, 1 to [`MAX_ANSWER_TOKENS`](crate::MAX_ANSWER_TOKENS).
    pub max_tokens: usize,
    /// Whether answers go on to `max_tokens` (or a full context), whatever the model says: for measuring speed.
    pub full_length: bool,
    /// References per chunk, at most the model's `memories_per_chunk`, which `None` uses. With [`ReadFrom::Texts`] there may be more.
    pub k: Option<usize>,
    /// References whose [overlap](mempack_model::overlap) with the question exceeds this share are filtered out; `None` filters nothing.
    /// Measurements need it, because a reference that repeats its question reveals the answer.
    pub max_overlap: Option<f64>,
    /// The measures of confidence that answers come with: see [`Confidence`](crate::Confidence). Each makes a token take a little longer.
    pub measures: Vec<AnswerMeasure>,
    /// Whether answers come with the [attention](crate::Answer::attention) that each of their tokens gave to each memory. A token then takes a little
    /// longer.
    pub attention: bool,
    /// How many of the last queries' results are kept, so that the chunks of a conversation's earlier turns need no search. It affects no answer.
    pub recent_queries: usize,
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
            full_length: false,
            k: None,
            max_overlap: None,
            measures: Vec::new(),
            attention: false,
            recent_queries: 1024,
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
    answerer: Answerer,
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
            full_length,
            k,
            max_overlap,
            mut measures,
            attention,
            recent_queries,
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
        sampling.check()?;
        SessionError::check_range("max_tokens", max_tokens, MAX_ANSWER_TOKENS)?;
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
        let chunks = ChunkReader {
            retriever,
            source,
            k,
            margin,
            max_overlap,
            times: Arc::default(),
            recent: Arc::new(RecentQueries::new(recent_queries)),
        };
        let prompter = Prompter { model: model.share(), chunks, read_from, max_tokens, full_length };
        let prefetcher = if read_from.reads_memories() && prefetch { Some(Prefetcher::start(&prompter)?) } else { None };
        Ok(Self {
            answerer: Answerer {
                prompter,
                steps: StepDecoder::new(model.decoder())?,
                prefetcher,
                sampling,
                measures,
                attention: attention && read_from.reads_memories(),
                skip_damaged,
                trusted,
            },
        })
    }

    /// The packs that it reads.
    pub fn mounts(&self) -> &Arc<Mounts> {
        self.answerer.prompter.chunks.retriever.mounts()
    }

    /// The cache of memories.
    pub fn cache(&self) -> &Arc<MemoryCache> {
        &self.answerer.prompter.chunks.source.cache
    }

    /// The model that answers.
    pub fn model(&self) -> &Model {
        &self.answerer.prompter.model
    }

    /// Time that this session has spent writing memories; zero unless it reads [`ReadFrom::WrittenMemories`].
    pub fn time_writing(&self) -> Duration {
        self.answerer.prompter.chunks.source.time_writing()
    }

    /// Time that this session and its second thread have spent on a part of the work.
    pub fn time(&self, part: Part) -> Duration {
        self.answerer.prompter.chunks.times.of(part)
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
        self.answer(Request::new(question, Box::new(on_text)))
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
        self.answer(Request { references: Some(references), ..Request::new(question, Box::new(on_text)) })
    }

    /// Answers many questions at once, each in the way of [`ask`](Self::ask) or [`ask_about`](Self::ask_about). See [`Batching`].
    ///
    /// # Errors
    /// A number of sequences out of range.
    pub fn batching(&self, options: BatchOptions) -> Result<Batching<'_>, SessionError> {
        Batching::new(&self.answerer, options)
    }

    /// The prompt of a question with the memories or texts that it reads, as [`ask`](Self::ask) begins.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn prepare(&self, question: &str) -> Result<PreparedPrompt, AskError> {
        let asked = Asked { question: question.to_owned(), earlier: Vec::new() };
        self.answerer.prompter.prompt(&asked, &self.answerer.scope(question, None)?)
    }

    /// The memories that chunks with these queries read. The overlap filter compares references with each query's context.
    ///
    /// # Errors
    /// If retrieval fails, a memory is damaged, or a pack lacks a signature.
    pub fn read(&self, queries: &[Query<'_>]) -> Result<Vec<ChunkMemories>, AskError> {
        let scope = self.answerer.over_packs(Arc::default(), None)?;
        let read = |query: &Query<'_>| {
            self.answerer.prompter.chunks.read(&Scope { question: query.context.into(), ..scope.clone() }, query.text.to_owned())
        };
        queries.iter().map(read).collect()
    }

    fn answer(&self, request: Request<'_>) -> Result<Answer, AskError> {
        let mut alone = Batching::alone(&self.answerer)?;
        alone.submit(request)?;
        loop {
            if let Some((_, answer)) = alone.step().pop() {
                return answer;
            }
        }
    }
}

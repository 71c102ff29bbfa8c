//! A model that answers questions with the memories of packs.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use mempack_format::PublicKey;
use mempack_model::{Embedder, Model, StepDecoder};
use mempack_retrieval::{Hit, Query};

use super::answer::{Answer, PreparedPrompt};
use super::answerer::{Answerer, Reads};
use super::batching::{BatchOptions, Batching};
use super::chunk::{ChunkMemories, ChunkReader, Scope};
use super::error::{AskError, OptionError, SessionError};
use super::options::{AnswerOptions, CheckedOptions};
use super::output::OnPiece;
use super::prefetch::Prefetcher;
use super::prompting::{Asked, Prompter};
use super::recall::Retriever;
use super::recent::RecentQueries;
use super::request::Request;
use super::source::MemorySource;
use super::times::Part;
use crate::{MappedPack, MemoryCache, Mounts, PackReference};

/// Options of a [`Session`].
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// What answers are made with whose questions do not say: see [`Request::options`].
    pub answers: AnswerOptions,
    /// Whether answers go on to `max_tokens` (or a full context), whatever the model says and whatever ends them otherwise: for measuring speed.
    pub full_length: bool,
    /// References whose [overlap](mempack_model::overlap) with the question exceeds this share are filtered out; `None` filters nothing.
    /// Measurements need it, because a reference that repeats its question reveals the answer.
    pub max_overlap: Option<f64>,
    /// How many of the last queries' results are kept, so that the chunks of a conversation's earlier turns need no search. It affects no answer.
    pub recent_queries: usize,
    /// Whether a second thread retrieves while the model decodes. It affects when memories are loaded, not which.
    pub prefetch: bool,
    /// The cache of memories. Sessions can share one.
    pub cache: Arc<MemoryCache>,
    /// Whether damaged memories and vectors are skipped and counted instead of ending the answer with an error.
    pub skip_damaged: bool,
    /// Public keys, one of which must have signed each pack. If empty, no signature is required.
    pub trusted: Vec<PublicKey>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            answers: AnswerOptions::default(),
            full_length: false,
            max_overlap: None,
            recent_queries: 1024,
            prefetch: true,
            cache: Arc::default(),
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
        let SessionOptions { answers, full_length, max_overlap, recent_queries, prefetch, cache, skip_damaged, trusted } = options;
        let checked = CheckedOptions::new::<SessionError>(answers.clone(), model, &mounts)?;
        mounts.packs().check_signed(&trusted)?;
        if let Some(share) = max_overlap.filter(|share| !(0.0..=1.0).contains(share)) {
            return Err(OptionError::new("max_overlap", share, "a share, 0 to 1").into());
        }
        let chunks = ChunkReader {
            retriever: Retriever::over(embedder, mounts)?,
            source: MemorySource::new(model, cache),
            margin: model.memory().margin(),
            max_overlap: max_overlap.map(|max| (model.share(), max)),
            times: Arc::default(),
            recent: Arc::new(RecentQueries::new(recent_queries)),
        };
        let prompter = Prompter { model: model.share(), chunks, full_length };
        // Whatever the defaults are, a question may read memories.
        let prefetcher = if prefetch { Some(Prefetcher::start(&prompter)?) } else { None };
        let steps = StepDecoder::new(model.decoder())?;
        Ok(Self { answerer: Answerer { prompter, steps, prefetcher, defaults: answers, checked, skip_damaged, trusted } })
    }

    /// What answers are made with whose questions do not say. A question that wants something else starts from a copy.
    pub fn answer_options(&self) -> &AnswerOptions {
        &self.answerer.defaults
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

    /// Time that this session has spent writing memories; zero unless answers read [`ReadFrom::WrittenMemories`](crate::ReadFrom::WrittenMemories).
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
        self.answer(Request::new(question, text_of(on_text)))
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
        self.answer(Request { references: Some(references), ..Request::new(question, text_of(on_text)) })
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
        let asked = Asked { system: None, question: question.to_owned(), continues: false, earlier: Vec::new() };
        self.answerer.prompter.prompt(&asked, &self.answerer.scope(question, Reads::default())?)
    }

    /// The memories that chunks with these queries read. The overlap filter compares references with each query's context.
    ///
    /// # Errors
    /// If retrieval fails, a memory is damaged, or a pack lacks a signature.
    pub fn read(&self, queries: &[Query<'_>]) -> Result<Vec<ChunkMemories>, AskError> {
        let scope = self.answerer.over_packs(Arc::default(), Reads::default())?;
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

/// A receiver of text as one of pieces.
fn text_of<'a>(on_text: &'a mut dyn FnMut(&str) -> ControlFlow<()>) -> OnPiece<'a> {
    Box::new(|piece| on_text(piece.text))
}

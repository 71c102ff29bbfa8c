//! What an answer is made with, and which of it a session can serve.

use mempack_model::{AnswerMeasure, Model};
use mempack_retrieval::Strategy;

use super::error::{IdentityMismatch, OptionError};
use super::log_probability::MAX_TOP_LOG_PROBABILITIES;
use super::recall::Stages;
use super::rerank::Reranking;
use super::sampling::Sampling;
use super::source::ReadFrom;
use crate::{Method, Mounts, Ranking};

/// Largest allowed `max_tokens`. The key-value cache of an answer is reserved for that many tokens at the start.
pub const MAX_ANSWER_TOKENS: usize = 1 << 16;
/// Max strings of [`AnswerOptions::stop`]. The text is searched for each of them after every token.
pub const MAX_STOP_STRINGS: usize = 16;
/// Max bytes of one of them. The stream is behind the answer by as much as could be the beginning of one.
pub const MAX_STOP_BYTES: usize = 1024;

/// Maximum number of references whose texts can be put into a prompt.
const MAX_TEXTS: usize = 4096;

/// What one answer is made with. A [session](crate::Session) has defaults, and a [question](crate::Request) can bring its own.
#[derive(Clone, Debug)]
pub struct AnswerOptions {
    /// What the answer is based on. Every session can serve each of them: [`ReadFrom::PackMemories`] if its packs were built with its model,
    /// [`ReadFrom::Texts`] if the model has a `context_template`.
    pub read_from: ReadFrom,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Maximum number of tokens, 1 to [`MAX_ANSWER_TOKENS`](crate::MAX_ANSWER_TOKENS).
    pub max_tokens: usize,
    /// Strings that end the answer, which ends before the first of them: at most [`MAX_STOP_STRINGS`], of 1 to [`MAX_STOP_BYTES`] bytes. White space
    /// at the beginning of an answer is not part of it, and ends nothing. The model's own stop strings hold too, and are part of the answer.
    pub stop: Vec<String>,
    /// References per chunk, at most the model's `memories_per_chunk`, which `None` uses. With [`ReadFrom::Texts`] there may be more. To read none, use
    /// [`ReadFrom::Weights`].
    pub k: Option<usize>,
    /// How they are searched for.
    pub method: Method,
    /// By what they are ranked.
    pub ranking: Ranking,
    /// Which of them are read. The model's own margin counts beside it.
    pub strategy: Strategy,
    /// A reranker, in whose order the strategy chooses; `None` keeps the order of the search. Memories keep the search's similarity, which the
    /// similarity bias weighs them by.
    pub reranking: Option<Reranking>,
    /// The measures of confidence that the answer comes with: see [`Confidence`](crate::Confidence). Each makes a token take a little longer.
    pub measures: Vec<AnswerMeasure>,
    /// Whether the answer comes with the [attention](crate::Answer::attention) that each of its tokens gave to each memory. A token then takes a little
    /// longer.
    pub attention: bool,
    /// Whether the answer comes with the log-probabilities of its tokens, and of how many of the most probable ones instead of each, 0 to
    /// [`MAX_TOP_LOG_PROBABILITIES`](crate::MAX_TOP_LOG_PROBABILITIES).
    pub log_probabilities: Option<usize>,
}

impl Default for AnswerOptions {
    fn default() -> Self {
        Self {
            read_from: ReadFrom::default(),
            sampling: Sampling::Greedy,
            max_tokens: 256,
            stop: Vec::new(),
            k: None,
            method: Method::default(),
            ranking: Ranking::default(),
            strategy: Strategy::default(),
            reranking: None,
            measures: Vec::new(),
            attention: false,
            log_probabilities: None,
        }
    }
}

impl AnswerOptions {
    /// The stages of retrieval.
    pub(crate) fn stages(&self) -> Stages<'_> {
        let Self { method, ranking, strategy, .. } = *self;
        Stages { method, ranking, strategy, reranking: self.reranking.as_ref() }
    }

    fn check(&self, k: usize, model: &Model) -> Result<(), OptionError> {
        self.sampling.check()?;
        OptionError::check_range("max_tokens", self.max_tokens, MAX_ANSWER_TOKENS)?;
        OptionError::check_range("k", k, if self.read_from == ReadFrom::Texts { MAX_TEXTS } else { own_k(model) })?;
        if self.stop.len() > MAX_STOP_STRINGS {
            return Err(OptionError::new("stop", format!("{} strings", self.stop.len()), format!("at most {MAX_STOP_STRINGS} strings")));
        }
        if let Some(stop) = self.stop.iter().find(|stop| !(1..=MAX_STOP_BYTES).contains(&stop.len())) {
            let found = format!("a string of {} bytes", stop.len());
            return Err(OptionError::new("stop", found, format!("strings of 1 to {MAX_STOP_BYTES} bytes")));
        }
        if let Some(top) = self.log_probabilities.filter(|top| *top > MAX_TOP_LOG_PROBABILITIES) {
            return Err(OptionError::new("log_probabilities", top, format!("0 to {MAX_TOP_LOG_PROBABILITIES}")));
        }
        if self.read_from == ReadFrom::Texts && model.memory().context_template.is_none() {
            let expected = "a template with {text} and {question} in the model's memory block";
            return Err(OptionError::new("context_template", "missing", expected));
        }
        Ok(())
    }
}

fn own_k(model: &Model) -> usize {
    model.memory().memories_per_chunk as usize
}

/// Options that a session can serve.
#[derive(Clone, Debug)]
pub(crate) struct CheckedOptions {
    /// The options, without what has no meaning for their source.
    pub options: AnswerOptions,
    /// References per chunk.
    pub k: usize,
}

impl CheckedOptions {
    /// Compares options with the model that answers and with what may be mounted.
    pub fn new<E>(mut options: AnswerOptions, model: &Model, mounts: &Mounts) -> Result<Self, E>
    where
        E: From<OptionError> + From<IdentityMismatch>,
    {
        let k = options.k.unwrap_or_else(|| own_k(model));
        options.check(k, model)?;
        if options.read_from == ReadFrom::PackMemories {
            IdentityMismatch::check_model(mounts.model(), model.identity())?;
        }
        if let Some(reranking) = &options.reranking {
            reranking.scorer.check(mounts)?;
        }
        if !options.read_from.reads_memories() {
            options.measures.retain(|measure| *measure != AnswerMeasure::MemoryAttention);
            options.attention = false;
        }
        Ok(Self { options, k })
    }

    /// Whether sequences have to [watch](mempack_model::Sequence::watch_memories) the memories.
    pub fn watches_memories(&self) -> bool {
        self.options.attention || self.options.measures.contains(&AnswerMeasure::MemoryAttention)
    }
}

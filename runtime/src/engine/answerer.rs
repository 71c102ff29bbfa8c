//! What the answers of a session are made with.

use std::sync::Arc;

use mempack_format::PublicKey;
use mempack_model::{AnswerMeasure, StepDecoder};
use mempack_retrieval::Hit;

use super::chunk::Scope;
use super::error::AskError;
use super::prefetch::Prefetcher;
use super::prompting::Prompter;
use super::sampling::Sampling;
use crate::{PackReference, PackSet};

/// A session's prompts, second thread and options, which its answers share.
pub(crate) struct Answerer {
    pub prompter: Prompter,
    /// What the tokens of answers are computed with.
    pub steps: StepDecoder,
    /// The thread that retrieves while the model decodes.
    pub prefetcher: Option<Prefetcher>,
    pub sampling: Sampling,
    /// The measures of confidence that answers come with.
    pub measures: Vec<AnswerMeasure>,
    /// Whether answers come with the attention that their tokens gave to memories.
    pub attention: bool,
    pub skip_damaged: bool,
    pub trusted: Vec<PublicKey>,
}

impl Answerer {
    /// Whether sequences have to [watch](mempack_model::Sequence::watch_memories) the memories.
    pub fn watches_memories(&self) -> bool {
        self.attention || self.measures.contains(&AnswerMeasure::MemoryAttention)
    }

    /// What a question reads from beginning to end; `named` references in place of retrieved ones.
    pub fn scope(&self, question: &str, named: Option<Vec<Hit<PackReference>>>) -> Result<Scope, AskError> {
        if question.trim().is_empty() {
            return Err(AskError::EmptyQuestion);
        }
        let ids = match self.prompter.chunks.max_overlap {
            Some(_) => self.prompter.model.tokenizer().encode_plain(question)?,
            None => Vec::new(),
        };
        self.over_packs(ids.into(), named)
    }

    /// The packs that are mounted now, for one question.
    pub fn over_packs(&self, question: Arc<[u32]>, named: Option<Vec<Hit<PackReference>>>) -> Result<Scope, AskError> {
        let packs: Arc<PackSet> = self.prompter.chunks.retriever.mounts().packs();
        packs.check_signed(&self.trusted)?;
        Ok(Scope { packs, skipped: self.skip_damaged.then(Arc::default), question, named: named.map(Into::into) })
    }
}

//! What the answers of a session are made with.

use std::sync::Arc;

use mempack_format::PublicKey;
use mempack_model::StepDecoder;
use mempack_retrieval::Hit;

use super::chunk::Scope;
use super::error::{AskError, IdentityMismatch};
use super::options::{AnswerOptions, CheckedOptions};
use super::prefetch::Prefetcher;
use super::prompting::Prompter;
use crate::{PackReference, PackSet};

/// A session's prompts, second thread and options, which its answers share.
pub(crate) struct Answerer {
    pub prompter: Prompter,
    /// What the tokens of answers are computed with.
    pub steps: StepDecoder,
    /// The thread that retrieves while the model decodes.
    pub prefetcher: Option<Prefetcher>,
    /// What answers are made with whose questions do not say.
    pub defaults: AnswerOptions,
    /// The same, checked.
    pub checked: CheckedOptions,
    pub skip_damaged: bool,
    pub trusted: Vec<PublicKey>,
}

/// What a question says about what it reads.
#[derive(Default)]
pub(crate) struct Reads {
    /// The packs; `None` for those that are mounted now.
    pub packs: Option<Arc<PackSet>>,
    /// What the answer is made with; `None` for the session's defaults.
    pub options: Option<AnswerOptions>,
    /// References that every chunk reads in place of retrieved ones.
    pub named: Option<Vec<Hit<PackReference>>>,
}

impl Answerer {
    /// What a question reads from beginning to end.
    pub fn scope(&self, question: &str, reads: Reads) -> Result<Scope, AskError> {
        if question.trim().is_empty() {
            return Err(AskError::EmptyQuestion);
        }
        let ids = match self.prompter.chunks.max_overlap {
            Some(_) => self.prompter.model.tokenizer().encode_plain(question)?,
            None => Vec::new(),
        };
        self.over_packs(ids.into(), reads)
    }

    /// The same for a question of these tokens, for the overlap filter.
    pub fn over_packs(&self, question: Arc<[u32]>, reads: Reads) -> Result<Scope, AskError> {
        let Reads { packs, options, named } = reads;
        let mounts = self.prompter.chunks.retriever.mounts();
        let checked = match options {
            Some(options) => CheckedOptions::new::<AskError>(options, &self.prompter.model, mounts)?,
            None => self.checked.clone(),
        };
        for mounted in packs.iter().flat_map(|packs| packs.packs()) {
            let manifest = mounted.pack().manifest();
            IdentityMismatch::check_model(&manifest.model, mounts.model())?;
            IdentityMismatch::check_embedder(&manifest.embedder, mounts.embedder())?;
        }
        let packs: Arc<PackSet> = packs.unwrap_or_else(|| mounts.packs());
        packs.check_signed(&self.trusted)?;
        Ok(Scope { packs, checked, skipped: self.skip_damaged.then(Arc::default), question, named: named.map(Into::into) })
    }
}

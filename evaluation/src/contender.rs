//! One way of answering, ready to answer: a mode with its number of references and of tokens kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use mempack_model::{MemoryConfig, Model, prompt_tokens};
use mempack_runtime::{AskError, MemoryCache, PreparedPrompt, ReadFrom, Session, SessionOptions};
use serde::Serialize;

use crate::library::Library;
use crate::mode::Mode;
use crate::{EvaluateError, Models};

/// The margin that no two unit vectors exceed.
pub(crate) const ALL: f32 = 2.0;

/// A number with three decimals, so that settings can be told apart and put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thousandths(u32);

impl Thousandths {
    /// The nearest one; a number below 0 is 0.
    pub fn of(value: f32) -> Self {
        Self((f64::from(value) * 1000.0).round() as u32)
    }

    /// The number.
    pub fn get(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl Serialize for Thousandths {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.get())
    }
}

/// A mode, how many references it is given, how many of their tokens are kept, and how its memories are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Setting {
    /// The mode.
    pub mode: Mode,
    /// References given, at most; modes with the gold reference have one, those without references none.
    pub k: usize,
    /// Tokens of a reference kept at each key-value head, where memories are written anew.
    pub tokens: u32,
    /// Weight of the retrieval similarity in the softmax over memories.
    pub similarity_bias: Thousandths,
    /// How far below the best hit's similarity a memory may be and still be read; 2 reads all.
    pub similarity_margin: Thousandths,
}

impl Setting {
    /// The mode with `k` references, everything else as the model has it.
    pub fn of(mode: Mode, k: usize, memory: &MemoryConfig) -> Self {
        Self {
            mode,
            k,
            tokens: memory.tokens_per_head,
            similarity_bias: Thousandths::of(memory.similarity_bias),
            similarity_margin: Thousandths::of(memory.similarity_margin.unwrap_or(ALL)),
        }
    }
}

/// Bytes of memories that are kept while they are compared: those that a few questions share.
const WRITTEN_BYTES: usize = 64 << 20;

/// Memories written from texts, shared by all settings that keep as many tokens.
#[derive(Default)]
pub(crate) struct WrittenMemories(BTreeMap<u32, Arc<MemoryCache>>);

impl WrittenMemories {
    fn of(&mut self, tokens: u32) -> Arc<MemoryCache> {
        Arc::clone(self.0.entry(tokens).or_insert_with(|| Arc::new(MemoryCache::new(WRITTEN_BYTES))))
    }
}

/// A setting with the model that answers in it, and the session that it answers in where there is a pack.
pub(crate) struct Contender {
    pub setting: Setting,
    model: Model,
    session: Option<Session>,
}

impl Contender {
    /// Refuses a mode that needs a base which is not there, and options that the model cannot have.
    pub fn new(
        models: &Models<'_>,
        library: Option<&Library>,
        setting: Setting,
        max_tokens: usize,
        written: &mut WrittenMemories,
    ) -> Result<Self, EvaluateError> {
        let model = if setting.mode.uses_base() {
            models.base.ok_or(EvaluateError::Mode { mode: setting.mode, reason: "the model is no adapter, so it has no base" })?
        } else {
            models.model
        };
        let own = model.memory();
        let memory = MemoryConfig {
            tokens_per_head: setting.tokens,
            memories_per_chunk: own.memories_per_chunk.max(u32::try_from(setting.k).unwrap_or(u32::MAX)),
            context_template: Some(context_template(own)),
            similarity_bias: setting.similarity_bias.get() as f32,
            similarity_margin: Some(setting.similarity_margin.get() as f32),
            ..own.clone()
        };
        let model = model.with_memory(memory)?;
        let read_from = setting.mode.read_from();
        // Time spent writing is left out of a setting's time, so nothing else may be done meanwhile. Memories of the pack are decoded for
        // each question, as for a question that comes alone.
        let (prefetch, cache) = match read_from {
            ReadFrom::WrittenMemories => (false, written.of(setting.tokens)),
            _ => (true, Arc::new(MemoryCache::new(0))),
        };
        let session = |library: &Library| {
            let max_overlap = setting.mode.uses_retrieval().then(|| library.max_overlap());
            let options =
                SessionOptions { read_from, max_tokens, k: Some(setting.k), max_overlap, prefetch, cache, ..SessionOptions::default() };
            Session::over(&model, library.embedder(), Arc::clone(library.mounts()), options)
        };
        let session = library.map(session).transpose()?;
        Ok(Self { setting, model, session })
    }

    /// One for each mode, with `k` references and everything else as the model has it. They answer with a token at most: theirs is to
    /// say how likely given texts are.
    pub fn of_modes(models: &Models<'_>, library: Option<&Library>, modes: &[Mode], k: usize) -> Result<Vec<Self>, EvaluateError> {
        let mut written = WrittenMemories::default();
        let setting = |mode: &Mode| Setting::of(*mode, k, models.model.memory());
        modes.iter().map(|mode| Self::new(models, library, setting(mode), 1, &mut written)).collect()
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Where it reads; `None` without a pack.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// What stands behind question and text in its prompts.
    pub fn prompt_end(&self) -> &str {
        let memory = self.model.memory();
        let context = memory.context_template.as_deref().filter(|_| self.setting.mode.read_from() == ReadFrom::Texts);
        let template = context.unwrap_or(&memory.prompt_template);
        let behind = |mark: &str| template.rsplit(mark).next().unwrap_or_default();
        let (question, text) = (behind("{question}"), behind("{text}"));
        if question.len() < text.len() { question } else { text }
    }

    /// The prompt of a question, and what its first pass reads.
    pub fn prepare(&self, question: &str) -> Result<PreparedPrompt, AskError> {
        match &self.session {
            Some(session) => session.prepare(question),
            None => {
                let (tokens, prefix) = (prompt_tokens(&self.model, question)?, !self.setting.mode.uses_base());
                Ok(PreparedPrompt { tokens, prefix, chunks: Vec::new(), texts: Vec::new() })
            }
        }
    }
}

/// The model's template of a prompt with a text in it. A model without one is given the text in place of the question, the question
/// behind it.
fn context_template(memory: &MemoryConfig) -> String {
    let plain = || memory.prompt_template.replacen("{question}", "{text}\n\n{question}", 1);
    memory.context_template.clone().unwrap_or_else(plain)
}

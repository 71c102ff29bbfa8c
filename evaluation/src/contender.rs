//! A setting (a mode with its parameters) and the model and session that run it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mempack_model::{AnswerMeasure, MemoryConfig, Model, TokensPerHead, prompt_tokens};
use mempack_runtime::{AnswerOptions, AskError, MemoryCache, PreparedPrompt, ReadFrom, Session, SessionOptions};
use serde::Serialize;

use crate::library::Library;
use crate::mode::Mode;
use crate::{EvaluateError, Models};

/// A similarity margin that admits every hit: cosines of unit vectors differ by at most 2.
pub(crate) const ALL: f32 = 2.0;

/// A number with three decimals, which makes settings comparable and sortable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thousandths(u32);

impl Thousandths {
    /// The nearest number with three decimals; negative numbers become 0.
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

/// How many tokens of a reference heads keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokensKept {
    /// This number at every key-value head.
    Each(u32),
    /// What the model's head budget gives each head.
    Budget,
}

impl TokensKept {
    fn of(memory: &MemoryConfig) -> Self {
        match memory.tokens_per_head {
            TokensPerHead::Uniform(tokens) => Self::Each(tokens),
            TokensPerHead::Budget(_) => Self::Budget,
        }
    }
}

impl fmt::Display for TokensKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Each(tokens) => write!(f, "{tokens}"),
            Self::Budget => f.write_str("budget"),
        }
    }
}

/// The number, or `budget`.
impl Serialize for TokensKept {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Each(tokens) => serializer.serialize_u32(*tokens),
            Self::Budget => serializer.serialize_str("budget"),
        }
    }
}

/// A mode with its parameters: number of references, tokens kept, and weighting of memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Setting {
    /// The mode.
    pub mode: Mode,
    /// Maximum number of references. Modes with the gold reference read one, and closed-book modes none.
    pub k: usize,
    /// Tokens of a reference kept per key-value head, if the mode writes memories.
    pub tokens: TokensKept,
    /// Weight of the retrieval similarity in the softmax over memories.
    pub similarity_bias: Thousandths,
    /// Maximum distance of a memory's similarity from the best hit's; 2 admits all.
    pub similarity_margin: Thousandths,
}

impl Setting {
    /// The mode with `k` references and the model's values for everything else.
    pub fn of(mode: Mode, k: usize, memory: &MemoryConfig) -> Self {
        Self {
            mode,
            k,
            tokens: TokensKept::of(memory),
            similarity_bias: Thousandths::of(memory.similarity_bias),
            similarity_margin: Thousandths::of(memory.similarity_margin.unwrap_or(ALL)),
        }
    }
}

/// Budget of a cache of written memories, in bytes: enough for those that a few questions share.
const WRITTEN_BYTES: usize = 64 << 20;

/// Caches of written memories, one for each number of tokens kept. Settings share them.
#[derive(Default)]
pub(crate) struct WrittenMemories(BTreeMap<TokensKept, Arc<MemoryCache>>);

impl WrittenMemories {
    fn of(&mut self, tokens: TokensKept) -> Arc<MemoryCache> {
        Arc::clone(self.0.entry(tokens).or_insert_with(|| Arc::new(MemoryCache::new(WRITTEN_BYTES))))
    }
}

/// The answers that a contender gives.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    /// Maximum number of tokens.
    pub max_tokens: usize,
    /// The measures of confidence that they come with.
    pub measures: Vec<AnswerMeasure>,
}

impl Answers {
    /// At most one token, for contenders that are used for the likelihood of given texts.
    pub const SHORTEST: Self = Self { max_tokens: 1, measures: Vec::new() };
}

/// A setting with its model, and with its session if there is a pack.
pub(crate) struct Contender {
    pub setting: Setting,
    model: Model,
    session: Option<Session>,
}

impl Contender {
    /// Creates the model and the session of a setting. An error if the mode needs a base model that is missing, or an option is out of
    /// range.
    pub fn new(
        models: &Models<'_>,
        library: Option<&Library>,
        setting: Setting,
        answers: &Answers,
        written: &mut WrittenMemories,
    ) -> Result<Self, EvaluateError> {
        let model = if setting.mode.uses_base() {
            models.base.ok_or(EvaluateError::Mode { mode: setting.mode, reason: "it needs a base model, and the model is no adapter" })?
        } else {
            models.model
        };
        let own = model.memory();
        let memory = MemoryConfig {
            tokens_per_head: match setting.tokens {
                TokensKept::Each(tokens) => TokensPerHead::Uniform(tokens),
                TokensKept::Budget => own.tokens_per_head.clone(),
            },
            memories_per_chunk: own.memories_per_chunk.max(u32::try_from(setting.k).unwrap_or(u32::MAX)),
            context_template: Some(context_template(own)),
            similarity_bias: setting.similarity_bias.get() as f32,
            similarity_margin: Some(setting.similarity_margin.get() as f32),
            ..own.clone()
        };
        let model = model.with_memory(memory)?;
        let read_from = setting.mode.read_from();
        // The measured time excludes writing, so a session that writes must not prefetch at the same time. A cache of 0 bytes makes the
        // other sessions decode the pack's memories for each question, as for a single question.
        let (prefetch, cache) = match read_from {
            ReadFrom::WrittenMemories => (false, written.of(setting.tokens)),
            _ => (true, Arc::new(MemoryCache::new(0))),
        };
        let session = |library: &Library| {
            let max_overlap = setting.mode.uses_retrieval().then(|| library.max_overlap());
            let Answers { max_tokens, measures } = answers.clone();
            let k = Some(setting.k);
            let (ranking, strategy, reranking) = (library.ranking(), library.strategy(), library.reranking().cloned());
            let answers = AnswerOptions { read_from, max_tokens, k, ranking, strategy, reranking, measures, ..AnswerOptions::default() };
            let options = SessionOptions { answers, max_overlap, prefetch, cache, ..SessionOptions::default() };
            Session::over(&model, library.embedder(), Arc::clone(library.mounts()), options)
        };
        let session = library.map(session).transpose()?;
        Ok(Self { setting, model, session })
    }

    /// One contender per mode, with `k` references, the model's values for everything else, and the [shortest](Answers::SHORTEST) answers.
    pub fn of_modes(models: &Models<'_>, library: Option<&Library>, modes: &[Mode], k: usize) -> Result<Vec<Self>, EvaluateError> {
        let mut written = WrittenMemories::default();
        let setting = |mode: &Mode| Setting::of(*mode, k, models.model.memory());
        modes.iter().map(|mode| Self::new(models, library, setting(mode), &Answers::SHORTEST, &mut written)).collect()
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The session; `None` without a pack.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The end of the prompt template, after the question and the text.
    pub fn prompt_end(&self) -> &str {
        let memory = self.model.memory();
        let context = memory.context_template.as_deref().filter(|_| self.setting.mode.read_from() == ReadFrom::Texts);
        let template = context.unwrap_or(&memory.prompt_template);
        let behind = |mark: &str| template.rsplit(mark).next().unwrap_or_default();
        let (question, text) = (behind("{question}"), behind("{text}"));
        if question.len() < text.len() { question } else { text }
    }

    /// The prompt of a question, with the memories or texts that it reads.
    pub fn prepare(&self, question: &str) -> Result<PreparedPrompt, AskError> {
        match &self.session {
            Some(session) => session.prepare(question),
            None => {
                let (tokens, prefix) = (prompt_tokens(&self.model, question)?, !self.setting.mode.uses_base());
                Ok(PreparedPrompt { continues: false, tokens, prefix, chunks: Vec::new(), texts: Vec::new() })
            }
        }
    }
}

/// The model's `context_template`. If it has none, the prompt template with the text before the question.
pub(crate) fn context_template(memory: &MemoryConfig) -> String {
    let plain = || memory.prompt_template.replacen("{question}", "{text}\n\n{question}", 1);
    memory.context_template.clone().unwrap_or_else(plain)
}

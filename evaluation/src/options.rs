//! What is measured on questions: modes, sweeps and limits.

use std::collections::BTreeSet;
use std::str::FromStr;

use mempack_model::{AnswerMeasure, DEFAULT_OVERLAP};
use mempack_runtime::BatchOptions;

use crate::contender::{ALL, Setting, Thousandths, TokensKept};
use crate::{EvaluateError, Mode, Models};

/// Numbers of references in [`Sweep::K`].
const SWEEP_K: [usize; 4] = [1, 3, 5, 7];
/// Tokens kept per key-value head in [`Sweep::Tokens`]; a last step keeps all tokens of a reference.
const SWEEP_TOKENS: [u32; 4] = [4, 8, 16, 32];
/// Similarity biases in [`Sweep::Bias`]; 0 is the paper's attention.
const SWEEP_BIAS: [f32; 4] = [0.0, 10.0, 30.0, 100.0];
/// Similarity margins in [`Sweep::Margin`].
const SWEEP_MARGIN: [f32; 5] = [0.0, 0.05, 0.1, 0.2, ALL];
/// Largest number of references that can be requested.
const MAX_K: usize = 4096;

/// A parameter that is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// References per question: 1, 3, 5 and 7, in those of the modes `memory`, `memory_quantized` and `in_context` that are measured.
    K,
    /// Tokens kept per key-value head: 4, 8, 16, 32 and all, in the mode `memory`.
    Tokens,
    /// The similarity bias: 0, 10, 30 and 100, in the mode `memory`.
    Bias,
    /// The similarity margin: 0 (only the best hit), 0.05, 0.1, 0.2 and 2 (every hit), in the mode `memory`.
    Margin,
}

/// A word that is not the name of a [`Sweep`].
#[derive(Debug, thiserror::Error)]
#[error("unknown sweep `{found}`; expected k, tokens, bias or margin")]
pub struct UnknownSweep {
    /// The word.
    pub found: String,
}

impl FromStr for Sweep {
    type Err = UnknownSweep;

    fn from_str(word: &str) -> Result<Self, UnknownSweep> {
        match word {
            "k" => Ok(Self::K),
            "tokens" => Ok(Self::Tokens),
            "bias" => Ok(Self::Bias),
            "margin" => Ok(Self::Margin),
            _ => Err(UnknownSweep { found: word.to_owned() }),
        }
    }
}

/// Options of [`answer_questions`](crate::answer_questions).
#[derive(Clone, Debug)]
pub struct QuestionOptions {
    /// The modes to measure.
    pub modes: Vec<Mode>,
    /// Parameters to vary in addition.
    pub sweeps: Vec<Sweep>,
    /// References per question; `None` uses the model's number of memories per chunk. May exceed that number.
    pub k: Option<usize>,
    /// Questions that are answered at once in each setting. Scores do not depend on it; times do.
    pub sequences: usize,
    /// Maximum number of tokens of an answer.
    pub max_tokens: usize,
    /// References whose [overlap](crate::overlap) with the question exceeds this share are not read; 1 filters nothing.
    pub overlap: f64,
    /// Answers from references whose confidence, by [`measure`](Self::measure), is below this number are withheld and count as abstaining.
    /// `None` withholds none, whatever the model's `answer_threshold`.
    pub threshold: Option<f64>,
    /// What confidence is measured by, for the threshold and for precision over coverage. The share of attention on memories exists only
    /// where memories are read: other answers are never withheld by it.
    pub measure: AnswerMeasure,
    /// Whether outcomes state the share of attention on memories even if the measure is another.
    pub memory_attention: bool,
}

impl Default for QuestionOptions {
    fn default() -> Self {
        Self {
            modes: Mode::DEFAULT.to_vec(),
            sweeps: Vec::new(),
            k: None,
            sequences: BatchOptions::default().sequences,
            max_tokens: 64,
            overlap: DEFAULT_OVERLAP,
            threshold: None,
            measure: AnswerMeasure::default(),
            memory_attention: false,
        }
    }
}

impl QuestionOptions {
    /// The measures of confidence that answers come with. The log-probability is always one of them.
    pub(crate) fn measures(&self) -> Vec<AnswerMeasure> {
        let attention = self.memory_attention || self.measure == AnswerMeasure::MemoryAttention;
        [AnswerMeasure::LogProbability].into_iter().chain(attention.then_some(AnswerMeasure::MemoryAttention)).collect()
    }

    /// The settings of the modes, and all settings including those of the sweeps, each once.
    pub(crate) fn settings(&self, models: &Models<'_>) -> Result<(Vec<Setting>, BTreeSet<Setting>), EvaluateError> {
        let memory = models.model.memory();
        let k = self.k.unwrap_or(memory.memories_per_chunk as usize);
        if !(1..=MAX_K).contains(&k) {
            return Err(EvaluateError::Option { option: "k", found: k.to_string(), expected: format!("1 to {MAX_K}") });
        }
        if let Some(threshold) = self.threshold.filter(|threshold| !self.measure.admits(*threshold)) {
            let expected = self.measure.values().into();
            return Err(EvaluateError::Option { option: "threshold", found: threshold.to_string(), expected });
        }
        let own: Vec<Setting> = self.modes.iter().map(|&mode| Setting::of(mode, k, memory)).collect();
        let written = Setting::of(Mode::Memory, k, memory);
        if own.is_empty() {
            let expected = "at least one mode".into();
            return Err(EvaluateError::Option { option: "modes", found: "empty".into(), expected });
        }
        let mut all: BTreeSet<Setting> = own.iter().copied().collect();
        if self.sweeps.contains(&Sweep::K) {
            let varied = own.iter().filter(|s| matches!(s.mode, Mode::Memory | Mode::MemoryQuantized | Mode::InContext));
            all.extend(varied.flat_map(|s| SWEEP_K.map(|k| Setting { k, ..*s })));
        }
        if self.sweeps.contains(&Sweep::Tokens) {
            let steps = SWEEP_TOKENS.into_iter().filter(|tokens| *tokens < memory.reference_length).chain([memory.reference_length]);
            all.extend(steps.map(|tokens| Setting { tokens: TokensKept::Each(tokens), ..written }));
        }
        if self.sweeps.contains(&Sweep::Bias) {
            all.extend(SWEEP_BIAS.map(|bias| Setting { similarity_bias: Thousandths::of(bias), ..written }));
        }
        if self.sweeps.contains(&Sweep::Margin) {
            all.extend(SWEEP_MARGIN.map(|margin| Setting { similarity_margin: Thousandths::of(margin), ..written }));
        }
        Ok((own, all))
    }
}

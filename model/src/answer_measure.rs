//! What an answer's confidence is measured by.

use std::fmt::{self, Display};
use std::str::FromStr;

/// A measure of how sure a model is of its answer. Both are means over the tokens of the answer and the end token, if one ended it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerMeasure {
    /// The log-probability of a token, in nats, at most 0. The probabilities are the model's own, whatever the sampling.
    #[default]
    LogProbability,
    /// The share of attention that goes to memories, 0 to 1, at the position that predicts a token: the mean over the query heads of the
    /// memory layers whose key-value head keeps tokens of a reference. The softmax is the one that the model computes, over memories, prefix
    /// and text, with the similarity bias.
    MemoryAttention,
}

/// A word that is not the name of an [`AnswerMeasure`].
#[derive(Debug, thiserror::Error)]
#[error("unknown measure `{found}`; expected {}", AnswerMeasure::NAMES)]
pub struct UnknownMeasure {
    /// The word.
    pub found: String,
}

impl AnswerMeasure {
    /// The names of all measures, for messages.
    pub const NAMES: &str = "log_probability or memory_attention";

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::LogProbability => "log_probability",
            Self::MemoryAttention => "memory_attention",
        }
    }

    /// Whether `threshold` is a value that the measure can have.
    pub fn admits(self, threshold: f64) -> bool {
        match self {
            Self::LogProbability => threshold.is_finite() && threshold <= 0.0,
            Self::MemoryAttention => (0.0..=1.0).contains(&threshold),
        }
    }

    /// The values that it can have, for messages.
    pub fn values(self) -> &'static str {
        match self {
            Self::LogProbability => "a mean log-probability in nats per token, at most 0",
            Self::MemoryAttention => "a share of attention, 0 to 1",
        }
    }
}

impl Display for AnswerMeasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AnswerMeasure {
    type Err = UnknownMeasure;

    fn from_str(word: &str) -> Result<Self, UnknownMeasure> {
        [Self::LogProbability, Self::MemoryAttention]
            .into_iter()
            .find(|measure| measure.name() == word)
            .ok_or_else(|| UnknownMeasure { found: word.to_owned() })
    }
}

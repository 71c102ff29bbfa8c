//! The report of an evaluation on questions. Its fields are the JSON output.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bootstrap::Interval;
use crate::contender::Setting;
use crate::mode::Mode;
use crate::models::{ModelName, Retrieving};
use crate::selective::Selective;

/// Results over all questions.
#[derive(Clone, Debug, Serialize)]
pub struct QuestionReport {
    /// Number of questions.
    pub questions: usize,
    /// Id of the pack.
    pub pack: String,
    /// Name of the model, and of its reading adapter.
    #[serde(flatten)]
    pub model: ModelName,
    /// How references are found.
    #[serde(flatten)]
    pub retrieving: Retrieving,
    /// Maximum number of references of the modes that retrieve.
    pub k: usize,
    /// References whose overlap with the question exceeds this share were filtered out.
    pub overlap: f64,
    /// Number of references filtered out, over all questions, by the retrieval with the whole question.
    pub left_out: usize,
    /// Maximum number of tokens of an answer.
    pub max_tokens: usize,
    /// What confidence is measured by: `log_probability` or `memory_attention`.
    pub measure: &'static str,
    /// The threshold below which answers from references were withheld, if there was one.
    pub threshold: Option<f64>,
    /// Results of each mode.
    pub modes: BTreeMap<Mode, ModeReport>,
    /// For n = 1, 3 and 5, the share of the questions with gold documents for which a gold document is among the first n references that
    /// the whole question retrieves. `None` if no question has gold documents.
    pub hit_at: BTreeMap<usize, Option<f64>>,
    /// Number of questions with gold documents.
    pub hit_n: usize,
    /// Paired differences between modes that were both measured, question by question.
    pub differences: Vec<PairedDifference>,
    /// Speed of the pack's memories relative to texts in the prompt, if both were measured.
    pub gain: Option<Gain>,
    /// Results of the sweeps.
    pub sweep: Sweeps,
}

/// The speed of `memory_quantized` divided by that of `in_context`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// Ratio of questions per second. Above 1, memories are faster.
    pub questions_per_second: f64,
    /// Ratio of the times to the first text. Below 1, memories are faster.
    pub first_token: f64,
}

/// Results of one mode. Shares and means are `None` if nothing was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ModeReport {
    /// Share of the questions whose answer is accepted.
    pub exact_match: Option<f64>,
    /// Mean F1, of words or of characters.
    pub f1: Option<f64>,
    /// Number of answered questions: those with accepted answers, and those that the corpus does not answer.
    pub n: usize,
    /// 95% bootstrap interval of `exact_match`.
    pub exact_match_interval: Option<[f64; 2]>,
    /// 95% bootstrap interval of `f1`.
    pub f1_interval: Option<[f64; 2]>,
    /// Results on the questions that the corpus does not answer, if there are any.
    pub unanswerable: Option<Unanswerable>,
    /// Precision over coverage as a threshold on the confidence rises; of the answers before any was withheld.
    pub selective: Option<Selective>,
    /// Mean share of an answer's words that occur in none of the references.
    pub novel_information: Option<f64>,
    /// Share of the answers that occur completely in one of the references read (closed book: retrieved).
    pub in_references: Option<f64>,
    /// Share of the answers that occur in a reference read and that the same model does not give closed book.
    pub integration: Option<f64>,
    /// Questions per second, including retrieval.
    pub questions_per_second: Option<f64>,
    /// Median time from the question to the first text of the answer in milliseconds, including retrieval and excluding the writing of
    /// memories.
    pub first_token_ms: Option<f64>,
    /// Mean number of tokens of a prompt.
    pub prompt_tokens: Option<f64>,
    /// Mean number of tokens of an answer.
    pub answer_tokens: Option<f64>,
    /// Number of questions whose prompt was too long for the model. Their answers are empty.
    pub too_long: usize,
}

/// Results on questions that the corpus does not answer. Abstaining is right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Unanswerable {
    /// Share of the questions on which the model abstained.
    pub exact_match: f64,
    /// Number of these questions.
    pub n: usize,
}

/// The mean difference between two modes on the same questions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairedDifference {
    /// The mode that is compared.
    pub left: Mode,
    /// The mode that is subtracted.
    pub right: Mode,
    /// Name of the metric, for example `exact_match` or `f1`.
    pub metric: &'static str,
    /// The mean difference.
    #[serde(flatten)]
    pub interval: Interval,
}

/// The results of the sweeps.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sweeps {
    /// Over the number of references.
    pub k: Vec<SweepPoint>,
    /// Over the tokens kept per key-value head.
    pub tokens: Vec<SweepPoint>,
    /// Over the similarity bias.
    pub bias: Vec<SweepPoint>,
    /// Over the similarity margin.
    pub margin: Vec<SweepPoint>,
}

impl Sweeps {
    /// All series that have points: the name of the varied parameter, the points, and the label of a point on the axis.
    pub(crate) fn series(&self) -> impl Iterator<Item = Series<'_>> {
        let all: [Series<'_>; 4] = [
            ("references given", &self.k, |s| s.k.to_string()),
            ("tokens kept at each key-value head", &self.tokens, |s| s.tokens.to_string()),
            ("similarity bias", &self.bias, |s| s.similarity_bias.get().to_string()),
            ("similarity margin", &self.margin, |s| s.similarity_margin.get().to_string()),
        ];
        all.into_iter().filter(|(_, points, _)| !points.is_empty())
    }
}

/// The name of a parameter, its points, and the label of a point.
pub(crate) type Series<'a> = (&'static str, &'a [SweepPoint], fn(&Setting) -> String);

/// The results of one setting.
#[derive(Clone, Debug, Serialize)]
pub struct SweepPoint {
    /// The setting.
    #[serde(flatten)]
    pub setting: Setting,
    /// Its results.
    #[serde(flatten)]
    pub figures: ModeReport,
}

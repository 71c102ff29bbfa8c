//! What an evaluation on questions found, as it is written as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bootstrap::Interval;
use crate::contender::Setting;
use crate::mode::Mode;

/// What all questions together say.
#[derive(Clone, Debug, Serialize)]
pub struct QuestionReport {
    /// Questions asked.
    pub questions: usize,
    /// Id of the pack.
    pub pack: String,
    /// Name of the model.
    pub model: String,
    /// References given to the modes that retrieve.
    pub k: usize,
    /// References with more overlap with the question were left out.
    pub overlap: f64,
    /// How many references were left out, over all questions.
    pub left_out: usize,
    /// Most tokens of an answer.
    pub max_tokens: usize,
    /// Each mode's figures.
    pub modes: BTreeMap<Mode, ModeReport>,
    /// For 1, 3 and 5: the share of questions with gold documents of which one is among as many first references; `None` if no question
    /// has any.
    pub hit_at: BTreeMap<usize, Option<f64>>,
    /// Questions with gold documents.
    pub hit_n: usize,
    /// Paired differences of modes, each question its own pair, where both were measured.
    pub differences: Vec<PairedDifference>,
    /// What a user gains with the pack's memories over the texts in the prompt, where both were measured.
    pub gain: Option<Gain>,
    /// What was varied.
    pub sweep: Sweeps,
}

/// `memory_quantized` as a multiple of `in_context`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// Of its questions a second: above 1 is faster.
    pub questions_per_second: f64,
    /// Of its time to the first text: below 1 is sooner.
    pub first_token: f64,
}

/// One mode's figures. Shares and means are `None` where nothing was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ModeReport {
    /// Share of the questions whose answer is accepted.
    pub exact_match: Option<f64>,
    /// Mean word F1.
    pub f1: Option<f64>,
    /// Questions answered that have accepted answers, or have none because the corpus holds none.
    pub n: usize,
    /// 95% bootstrap interval of `exact_match`.
    pub exact_match_interval: Option<[f64; 2]>,
    /// 95% bootstrap interval of `f1`.
    pub f1_interval: Option<[f64; 2]>,
    /// The same for the questions that have no answer, if there are such.
    pub unanswerable: Option<Unanswerable>,
    /// Mean share of an answer's words that stand in none of the references.
    pub novel_information: Option<f64>,
    /// Share of the answers that stand whole in a reference given (closed book: retrieved).
    pub in_references: Option<f64>,
    /// Share of the answers that stand in a reference given and that the same model does not give closed book.
    pub integration: Option<f64>,
    /// Questions answered in a second, one after the other, retrieval included.
    pub questions_per_second: Option<f64>,
    /// Median milliseconds from the question to the first text of the answer, retrieval included; writing memories anew is not.
    pub first_token_ms: Option<f64>,
    /// Mean tokens of a prompt.
    pub prompt_tokens: Option<f64>,
    /// Mean tokens of an answer.
    pub answer_tokens: Option<f64>,
    /// Questions whose prompt was too long for the model: answered with nothing.
    pub too_long: usize,
}

/// Questions without an answer: right is to say so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Unanswerable {
    /// Share of them that were answered so.
    pub exact_match: f64,
    /// How many there are.
    pub n: usize,
}

/// How much better one mode is than another on the same questions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairedDifference {
    /// The mode.
    pub left: Mode,
    /// The mode that is subtracted.
    pub right: Mode,
    /// `exact_match`, `f1`, or what else was compared.
    pub metric: &'static str,
    /// The mean difference.
    #[serde(flatten)]
    pub interval: Interval,
}

/// The series of figures where something was varied.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sweeps {
    /// Over the references given.
    pub k: Vec<SweepPoint>,
    /// Over the tokens kept at each key-value head.
    pub tokens: Vec<SweepPoint>,
    /// Over the similarity bias.
    pub bias: Vec<SweepPoint>,
    /// Over the similarity margin.
    pub margin: Vec<SweepPoint>,
}

impl Sweeps {
    /// All series that have points: what is varied, the points, and where a point stands on its axis, in words.
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

/// A series of figures.
pub(crate) type Series<'a> = (&'static str, &'a [SweepPoint], fn(&Setting) -> String);

/// One setting's figures.
#[derive(Clone, Debug, Serialize)]
pub struct SweepPoint {
    /// The setting.
    #[serde(flatten)]
    pub setting: Setting,
    /// Its figures.
    #[serde(flatten)]
    pub figures: ModeReport,
}

//! The result of one question, as it is passed to the caller and written to the details.

use mempack_model::AnswerMeasure;
use serde::Serialize;

use crate::contender::Setting;
use crate::library::Passage;

/// The `n` for which [`QuestionReport::hit_at`](crate::QuestionReport::hit_at) reports whether a gold document is among the first `n`
/// references.
pub(crate) const HIT_AT: [usize; 3] = [1, 3, 5];

/// A reference that was retrieved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retrieved {
    /// Its number in the pack.
    pub reference: u32,
    /// The first document that contains it.
    pub document: String,
    /// Its similarity to the query.
    pub similarity: f32,
}

impl Retrieved {
    pub(crate) fn of(passage: &Passage) -> Self {
        let document = passage.reference.documents.first().cloned().unwrap_or_default();
        Self { reference: passage.number(), document, similarity: passage.hit.similarity }
    }
}

/// An answer that was withheld because the model was not sure of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Withheld {
    /// The answer, without surrounding white space.
    pub answer: String,
    /// 1 if it equals an accepted answer, else 0.
    pub exact_match: f64,
}

/// The answer of one setting to a question, and its scores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The setting.
    #[serde(flatten)]
    pub setting: Setting,
    /// The answer, without surrounding white space; empty if it is withheld.
    pub answer: String,
    /// The mean log-probability of the answer's tokens and its end, in nats per token; `None` if the prompt was too long.
    pub confidence: Option<f64>,
    /// The mean share of attention that goes to memories where these tokens are predicted, 0 to 1; `None` if the mode reads no memories, or
    /// nobody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_attention: Option<f64>,
    /// The answer that is withheld because its confidence is below the threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Withheld>,
    /// 1 if the answer equals an accepted answer, else 0.
    pub exact_match: f64,
    /// F1 of words, or of characters, with the nearest accepted answer.
    pub f1: f64,
    /// Share of the answer's words that occur in none of the references read (closed book: none of those retrieved); `None` for an
    /// answer without words.
    pub novel: Option<f64>,
    /// Whether the whole answer occurs in one of these references.
    pub in_references: bool,
    /// Whether the answer came from the references: it occurs in one, and the same model does not give it closed book. `None` if
    /// `closed_book` is not measured, and for modes that read no references.
    pub integrated: Option<bool>,
    /// Seconds from the question to the end of the answer, including retrieval and excluding the writing of memories. Questions that are answered
    /// at once share the time.
    pub seconds: f64,
    /// Seconds of its setting from the question to the first text of the answer; `None` if there was no text. Beside other questions it is longer
    /// than alone.
    pub first_token_seconds: Option<f64>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub answer_tokens: usize,
    /// Whether the prompt was too long for the model. The answer is empty then.
    pub too_long: bool,
}

impl Outcome {
    /// The confidence by a measure, if it was measured.
    pub(crate) fn confidence_by(&self, measure: AnswerMeasure) -> Option<f64> {
        match measure {
            AnswerMeasure::LogProbability => self.confidence,
            AnswerMeasure::MemoryAttention => self.memory_attention,
        }
    }
}

/// A question with the references retrieved for it and the answers of all settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asked {
    /// The question's id.
    pub id: String,
    /// The question.
    pub question: String,
    /// The accepted answers; empty if the corpus has no answer, or if the question counts for retrieval only.
    pub accepted: Vec<String>,
    /// The references that the whole question retrieves, most similar first. Sessions retrieve chunk by chunk and may read others.
    pub retrieved: Vec<Retrieved>,
    /// Number of references filtered out because they repeat the question.
    pub left_out: usize,
    /// Rank of the first retrieved reference of a gold document, from 1; `None` if none was retrieved or no gold document is known.
    pub gold_rank: Option<usize>,
    /// The gold reference, if a mode needs it and the pack contains it.
    pub gold: Option<Retrieved>,
    /// The answers; empty for a question that counts for retrieval only.
    pub outcomes: Vec<Outcome>,
}

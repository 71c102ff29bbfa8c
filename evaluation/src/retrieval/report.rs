//! The report of retrieval. Its fields are the JSON output.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::RerankerName;
use crate::bootstrap::Interval;

/// Where gold documents are found, over all questions.
#[derive(Clone, Debug, Serialize)]
pub struct RetrievalReport {
    /// Number of questions that were searched for.
    pub questions: usize,
    /// The largest number of gold documents that a question has.
    pub most_gold: usize,
    /// Questions and ids that were not.
    pub not_measured: NotMeasured,
    /// The packs.
    pub packs: Vec<PackName>,
    /// Name of the embedder.
    pub embedder: String,
    /// The reranker; `None` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reranker: Option<RerankerName>,
    /// References found for a question by each stage.
    pub depth: usize,
    /// Results of each stage.
    pub stages: Vec<StageReport>,
    /// Stages that were not measured.
    pub left_out: Vec<LeftOut>,
    /// Names of the packs without an index of terms, which every stage searches by embeddings alone.
    pub without_terms: Vec<String>,
    /// Paired differences in recall between each other stage and `dense`, question by question.
    pub differences: Vec<StageDifference>,
    /// Results of each strategy in the ranking of each stage.
    pub strategies: Vec<StrategyReport>,
    /// Median milliseconds of embedding a question.
    pub embedding_ms: f64,
}

/// Results of one strategy, which chooses up to 5 references in the ranking of a stage: means over the questions, with their 95% bootstrap
/// intervals.
#[derive(Clone, Debug, Serialize)]
pub struct StrategyReport {
    /// The stage.
    pub stage: &'static str,
    /// The strategy.
    pub strategy: String,
    /// The share of a question's gold documents that the chosen references come from.
    pub recall_at_5: Interval,
    /// The share of a reference's different pairs of neighbouring words that no reference before it has, in the mean over the references after
    /// the first; over the questions with more than one reference. `None` if there is no such question.
    pub novel_information: Option<Interval>,
    /// Mean number of references chosen.
    pub references: f64,
    /// Median milliseconds of search and choice, without embedding the question.
    pub search_ms: f64,
}

/// A pack that is searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackName {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its number of references.
    pub references: u32,
}

/// Questions that were not searched for, and gold ids that nothing can find.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NotMeasured {
    /// Number of questions without gold ids.
    pub without_gold: usize,
    /// Number of questions whose gold ids no document of the packs has.
    pub without_document: usize,
    /// Ids of the first of these questions.
    pub first_questions: Vec<String>,
    /// Number of different gold ids that no document of the packs has.
    pub ids: usize,
    /// The first of them.
    pub first_ids: Vec<String>,
}

/// A stage that was not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The stage.
    pub stage: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// Results of one stage: means over the questions, with their 95% bootstrap intervals.
#[derive(Clone, Debug, Serialize)]
pub struct StageReport {
    /// The stage.
    pub stage: &'static str,
    /// For k = 1, 3, 5 and 20, the share of a question's gold documents that the first k references come from.
    pub recall: BTreeMap<usize, Interval>,
    /// For k = 1, 3, 5 and 20, the share of the questions for which one of the first k references comes from a gold document. With one gold
    /// document a question, the same as `recall`.
    pub hit: BTreeMap<usize, Interval>,
    /// The mean reciprocal rank of the first reference of a gold document; 0 for a question if there is none among the references found.
    pub mrr: Interval,
    /// The normalised discounted cumulative gain of the first 10 references.
    pub ndcg_at_10: Interval,
    /// Mean recall at each k from 1 to the number of references found.
    pub recall_curve: Vec<f64>,
    /// Median milliseconds of a search, without embedding the question.
    pub search_ms: f64,
}

/// The mean difference in recall between two stages on the same questions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageDifference {
    /// The stage that is compared.
    pub left: &'static str,
    /// The stage that is subtracted.
    pub right: &'static str,
    /// Name of the metric: `recall@5`.
    pub metric: &'static str,
    /// The mean difference.
    #[serde(flatten)]
    pub interval: Interval,
}

/// Questions or ids that a message names, at most.
pub(super) const NAMED: usize = 5;

/// The first of `all` names.
pub(crate) fn first(names: &[String], all: usize) -> String {
    let more = if all > NAMED { ", ..." } else { "" };
    format!("{}{more}", names.join(", "))
}

//! The ways to find references that are compared, and what they find.

use mempack_runtime::{Ranking, Reranking, Strategy};
use serde::Serialize;

use super::metrics::Ranks;
use super::strategies::ChosenReferences;

/// References that each stage finds for a question. Nothing is measured beyond this rank.
pub const DEPTH: usize = 20;

/// References that a strategy chooses for a question, at most.
pub const CHOSEN: usize = 5;

/// A way to find references, which is measured beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// By what references are ranked.
    pub ranking: Ranking,
    /// Whether the reranker then puts the best in another order.
    pub reranked: bool,
}

impl Stage {
    /// The stages that are measured by default: every ranking, with the one first that the others are compared with.
    pub const ALL: [Self; 3] = [Self::of(Ranking::Dense), Self::of(Ranking::Lexical), Self::of(Ranking::Hybrid)];

    /// A ranking without a reranker.
    pub const fn of(ranking: Ranking) -> Self {
        Self { ranking, reranked: false }
    }

    /// Its name in reports: that of the ranking, with `+rerank` if it is reranked.
    pub fn name(self) -> &'static str {
        match (self.ranking, self.reranked) {
            (ranking, false) => ranking.name(),
            (Ranking::Dense, true) => "dense+rerank",
            (Ranking::Lexical, true) => "lexical+rerank",
            (Ranking::Hybrid, true) => "hybrid+rerank",
        }
    }

    /// Whether it needs a pack with an index of terms.
    pub(super) fn needs_terms(self) -> bool {
        self.ranking != Ranking::Dense
    }
}

/// What a stage found for a question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageFound {
    /// The stage.
    pub stage: &'static str,
    /// The rank of the first reference of a gold document, from 1; `None` if there is none among the first [`DEPTH`].
    pub gold_rank: Option<usize>,
    /// For each reference found, best first, the id of a document that it comes from: of a gold document if there is one, else of the first.
    pub found: Vec<String>,
    /// Milliseconds of the search, without embedding the question.
    pub search_ms: f64,
    #[serde(skip)]
    pub(super) ranks: Ranks,
    /// What each strategy chooses in the ranking of this stage.
    #[serde(skip)]
    pub(super) chosen: Vec<ChosenReferences>,
}

/// What is compared.
#[derive(Clone, Debug)]
pub struct RetrievalOptions {
    /// Ways to find references. They are compared in the rankings of [`DEPTH`] references.
    pub stages: Vec<Stage>,
    /// Ways to choose [`CHOSEN`] references of what a stage finds. They are compared in each stage.
    pub strategies: Vec<Strategy>,
    /// The reranker of the stages that are reranked. Without one they are as the others.
    pub reranking: Option<Reranking>,
}

impl Default for RetrievalOptions {
    fn default() -> Self {
        Self { stages: Stage::ALL.to_vec(), strategies: Strategy::ALL.to_vec(), reranking: None }
    }
}

/// A question with what each stage found for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Searched {
    /// The question's id.
    pub id: String,
    /// The question.
    pub question: String,
    /// The ids of its gold documents that the packs have.
    pub gold_ids: Vec<String>,
    /// Milliseconds of embedding the question.
    pub embedding_ms: f64,
    /// What the stages found.
    pub stages: Vec<StageFound>,
}

//! Retrieval alone: where the gold documents of questions are among the references found for them, without a language model.

mod figure;
mod gold;
mod metrics;
mod report;
mod strategies;
mod table;
mod tally;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use mempack_model::Embedder;
use mempack_retrieval::Query;
use mempack_runtime::{Hit, Method, Mounts, OnDamage, PackReference, PackSet, Ranking, Reranking, Retriever, Strategy};
use serde::Serialize;

use crate::{EvaluateError, Question, RerankerName};
use gold::{GoldDocuments, Source};
use strategies::ChosenReferences;
use tally::Tally;

pub(crate) use table::first;

pub use figure::retrieval_figure;
pub use metrics::Ranks;
pub use report::{LeftOut, NotMeasured, PackName, RetrievalReport, StageDifference, StageReport, StrategyReport};

/// References that each stage finds for a question. Nothing is measured beyond this rank.
pub const DEPTH: usize = 20;

/// References that a strategy chooses for a question, at most.
pub const CHOSEN: usize = 5;

/// Questions or ids that a message names, at most.
const NAMED: usize = 5;

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
    fn needs_terms(self) -> bool {
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
    ranks: Ranks,
    /// What each strategy chooses in the ranking of this stage.
    #[serde(skip)]
    chosen: Vec<ChosenReferences>,
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

/// Searches the packs for each question by each stage, and measures where its gold documents are found, and what the strategies choose. `observe` is called after each question
/// and can stop the measurement.
///
/// Gold documents are [`Question::gold_ids`]. Ids that no document of the packs has count for nothing; questions without gold documents, or with
/// none that the packs have, are not searched. The report says how many there are. Stages that rank by terms are left out if no pack has an
/// index of terms.
///
/// # Errors
/// If the packs were built with another embedder, no question or no stage is left, a pack is damaged, the embedder fails, or `observe` stops the
/// measurement.
pub fn measure_retrieval(
    embedder: &Embedder,
    mounts: &Arc<Mounts>,
    questions: &[Question],
    options: &RetrievalOptions,
    observe: &mut dyn FnMut(&Searched) -> ControlFlow<()>,
) -> Result<RetrievalReport, EvaluateError> {
    let retriever = Retriever::over(embedder, Arc::clone(mounts))?;
    let packs = mounts.packs();
    let mut tally = Tally::new(&packs, &mounts.embedder().name, options.reranking.as_ref().map(RerankerName::of));
    let stages = measurable(&packs, &options.stages, &mut tally)?;
    let gold = GoldDocuments::find(&packs, questions)?;
    let present = gold.ids();
    let judged: Vec<(&Question, Vec<&str>)> =
        questions.iter().filter_map(|question| Some((question, tally.count(question, &present)?))).collect();
    if judged.is_empty() {
        let NotMeasured { without_gold, without_document, ids, first_ids, .. } = tally.not_measured;
        return Err(EvaluateError::NothingToFind { without_gold, without_document, ids, first_ids });
    }
    let searches: Vec<Search> = stages.into_iter().map(|stage| Search::new(stage, &retriever, options)).collect();
    for (question, gold_ids) in judged {
        let (query, started) = (Query::new(&question.question), Instant::now());
        let vector = retriever.embed(query.text)?;
        let embedding_ms = milliseconds(started);
        let asked = Asked { packs: &packs, query, vector, gold_ids: &gold_ids, gold: &gold };
        let stages = searches.iter().map(|search| search.find(&asked)).collect::<Result<_, _>>()?;
        let gold_ids = gold_ids.iter().map(|id| (*id).to_owned()).collect();
        let searched = Searched { id: question.id.clone(), question: question.question.clone(), gold_ids, embedding_ms, stages };
        if observe(&searched).is_break() {
            return Err(EvaluateError::Interrupted);
        }
        tally.add(searched);
    }
    Ok(tally.report())
}

/// A question to search for.
struct Asked<'a> {
    packs: &'a PackSet,
    query: Query<'a>,
    /// Its embedding.
    vector: Vec<f32>,
    gold_ids: &'a [&'a str],
    gold: &'a GoldDocuments,
}

impl Asked<'_> {
    /// The hits of a search, and its milliseconds.
    fn search(&self, retriever: &Retriever, max: usize) -> Result<(Vec<Hit<PackReference>>, f64), EvaluateError> {
        let started = Instant::now();
        let stages = retriever.stages(self.packs, Method::default(), OnDamage::Fail);
        let hits = stages.recall_vector(&self.query, &self.vector, max)?.hits;
        Ok((hits, milliseconds(started)))
    }

    /// The ranks of the gold documents among hits, and where the hits come from.
    fn judge(&self, hits: &[Hit<PackReference>]) -> Result<(Ranks, Vec<Source>), EvaluateError> {
        let sources = hits.iter().map(|hit| self.gold.of(hit, self.gold_ids)).collect::<Result<Vec<Source>, _>>()?;
        Ok((Ranks::of(self.gold_ids.len(), sources.iter().map(|source| source.documents.iter().copied())), sources))
    }
}

/// A stage with its retrievers: one for its ranking, and one for each strategy.
struct Search {
    stage: Stage,
    ranking: Retriever,
    strategies: Vec<(Strategy, Retriever)>,
}

impl Search {
    fn new(stage: Stage, retriever: &Retriever, options: &RetrievalOptions) -> Self {
        let reranking = options.reranking.clone().filter(|_| stage.reranked);
        let ranking = retriever.share().ranked_by(stage.ranking).reranked_by(reranking);
        let strategies = options.strategies.iter().map(|strategy| (*strategy, ranking.share().chosen_by(*strategy))).collect();
        Self { stage, ranking, strategies }
    }

    fn find(&self, asked: &Asked<'_>) -> Result<StageFound, EvaluateError> {
        let (hits, search_ms) = asked.search(&self.ranking, DEPTH)?;
        let (ranks, sources) = asked.judge(&hits)?;
        let choose = |(strategy, retriever): &(Strategy, Retriever)| {
            let (hits, search_ms) = asked.search(retriever, CHOSEN)?;
            ChosenReferences::new(*strategy, &hits, asked.judge(&hits)?.0, search_ms)
        };
        let chosen = self.strategies.iter().map(choose).collect::<Result<_, EvaluateError>>()?;
        let found = sources.into_iter().map(|source| source.name).collect();
        Ok(StageFound { stage: self.stage.name(), gold_rank: ranks.first(), found, search_ms, ranks, chosen })
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The stages that these packs can be searched by. Notes the others, and the packs without an index of terms.
fn measurable(packs: &PackSet, stages: &[Stage], tally: &mut Tally) -> Result<Vec<Stage>, EvaluateError> {
    let mut without = Vec::new();
    for mounted in packs.packs() {
        if !mounted.has_terms().map_err(mempack_runtime::RetrieveError::from)? {
            without.push(mounted.name().to_owned());
        }
    }
    let none = without.len() == packs.packs().len();
    let (left, out): (Vec<Stage>, Vec<Stage>) = stages.iter().partition(|stage| !(none && stage.needs_terms()));
    if left.is_empty() {
        let stages = stages.iter().map(|stage| stage.name()).collect();
        return Err(EvaluateError::NoTerms { packs: without, stages });
    }
    tally.left_out = out.into_iter().map(|stage| LeftOut { stage: stage.name(), reason: "no pack has an index of terms" }).collect();
    tally.without_terms = without;
    Ok(left)
}

//! Searches for questions, stage by stage.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use mempack_model::Embedder;
use mempack_retrieval::Query;
use mempack_runtime::{Hit, Method, Mounts, OnDamage, PackReference, PackSet, RetrieveError, Retriever, Strategy};

use super::gold::{GoldDocuments, Source};
use super::metrics::Ranks;
use super::report::{LeftOut, NotMeasured, RetrievalReport};
use super::stage::{CHOSEN, DEPTH, RetrievalOptions, Searched, Stage, StageFound};
use super::strategies::ChosenReferences;
use super::tally::Tally;
use crate::{EvaluateError, Question, RerankerName};

/// Searches the packs for each question by each stage, and measures where its gold documents are found, and what the strategies choose.
/// `observe` is called after each question and can stop the measurement.
///
/// Gold documents are [`Question::gold_ids`]. Ids that no document of the packs has count for nothing; questions without gold documents, or with
/// none that the packs have, are not searched. The report says how many there are. Stages that rank by terms are left out if no pack has an
/// index of terms. A text that several packs have is a reference of the first of them, and so comes from the documents of that pack.
///
/// # Errors
/// If the packs were built with another embedder, or the reranker reads memories with another model than theirs; if no question or no stage
/// is left, a pack is damaged, the embedder fails, or `observe` stops the measurement.
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
    let searches: Vec<Search> = stages.into_iter().map(|stage| Search::new(stage, &retriever, options)).collect::<Result<_, _>>()?;
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
    fn new(stage: Stage, retriever: &Retriever, options: &RetrievalOptions) -> Result<Self, EvaluateError> {
        let reranking = options.reranking.clone().filter(|_| stage.reranked);
        let ranking = retriever.share().ranked_by(stage.ranking).reranked_by(reranking)?;
        let strategies = options.strategies.iter().map(|strategy| (*strategy, ranking.share().chosen_by(*strategy))).collect();
        Ok(Self { stage, ranking, strategies })
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
        if !mounted.has_terms().map_err(RetrieveError::from)? {
            without.push(mounted.name().to_owned());
        }
    }
    let none = without.len() == packs.packs().len();
    let (left, out): (Vec<Stage>, Vec<Stage>) = stages.iter().partition(|stage| !(none && stage.needs_terms()));
    if left.is_empty() {
        let stages = stages.iter().map(|stage| stage.name()).collect();
        let paths = packs.packs().iter().map(|mounted| mounted.pack().path().display().to_string()).collect();
        return Err(EvaluateError::NoTerms { paths, stages });
    }
    tally.left_out = out.into_iter().map(|stage| LeftOut { stage: stage.name(), reason: "no pack has an index of terms" }).collect();
    tally.without_terms = without;
    Ok(left)
}

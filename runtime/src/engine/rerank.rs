//! The order of hits in packs: by a reranker, by a strategy, or by both.

use std::sync::Arc;

use mempack_model::{Composer, Reranker, reference_text};
use mempack_numeric::dot;
use mempack_retrieval::{Compare, Diverse, Hit, Query, Rerank, Reranked};

use super::error::{IdentityMismatch, RetrieveError};
use super::memory_scorer::MemoryScorer;
use crate::{Mounts, OnDamage, PackReference, cite};

/// References that a reranker scores by default.
pub const DEFAULT_RERANK_DEPTH: usize = 20;

/// What scores references for a query. Clones share its weights.
#[derive(Clone, Debug)]
pub enum Scorer {
    /// A cross-encoder, which reads the query and the text of a reference together. A reference is scored as the embedder reads it: the
    /// title of its document, unless it begins with that, then its text.
    Pairs(Box<Reranker>),
    /// The model that reads the memories, by the attention that the query gives to them. It reads no text.
    Memories(Box<MemoryScorer>),
}

impl Scorer {
    /// The name of the cross-encoder's folder, or `memory`.
    pub fn name(&self) -> &str {
        match self {
            Self::Pairs(reranker) => reranker.name(),
            Self::Memories(_) => "memory",
        }
    }

    /// A number that clones of this scorer share, and no other one of its kind.
    pub(crate) fn instance(&self) -> u64 {
        match self {
            Self::Pairs(reranker) => reranker.instance(),
            Self::Memories(scorer) => scorer.instance(),
        }
    }

    /// Refuses a scorer that reads memories with another model than the packs'.
    pub(crate) fn check(&self, mounts: &Mounts) -> Result<(), IdentityMismatch> {
        match self {
            Self::Pairs(_) => Ok(()),
            Self::Memories(scorer) => IdentityMismatch::check_model(mounts.model(), scorer.model().identity()),
        }
    }

    /// The scores of hits; none of those whose text or memory is damaged and skipped.
    fn scores(&self, query: &str, hits: &[Hit<PackReference>], on_damage: OnDamage<'_>) -> Result<Vec<Option<f32>>, RetrieveError> {
        match self {
            Self::Pairs(reranker) => score_texts(reranker, query, hits, on_damage),
            Self::Memories(scorer) => scorer.scores(query, hits, on_damage),
        }
    }
}

fn score_texts(
    reranker: &Reranker,
    query: &str,
    hits: &[Hit<PackReference>],
    on_damage: OnDamage<'_>,
) -> Result<Vec<Option<f32>>, RetrieveError> {
    let composer = Composer::new(reranker).map_err(RetrieveError::Rerank)?;
    let text = |hit: &Hit<PackReference>| -> Result<Option<String>, RetrieveError> {
        let cited = cite(hit, on_damage)?;
        let compose = || {
            let composed = composer.compose(&composer.lead(&cited.found.title)?, &cited.found.text)?;
            Ok(reference_text(&composed.lead, &cited.found.text).into_owned())
        };
        if cited.text_damaged { Ok(None) } else { compose().map(Some).map_err(RetrieveError::Rerank) }
    };
    let texts: Vec<Option<String>> = hits.iter().map(text).collect::<Result<_, _>>()?;
    let known: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
    let mut scores = reranker.score_pairs(query, &known).map_err(RetrieveError::Rerank)?.into_iter();
    Ok(texts.iter().map(|text| text.as_ref().and_then(|_| scores.next())).collect())
}

/// What scores references, and how many of the references found it scores.
#[derive(Clone, Debug)]
pub struct Reranking {
    /// What scores them.
    pub scorer: Scorer,
    /// How many of the references that a search finds are scored. Those after them follow in the order of the search.
    pub depth: usize,
}

impl Reranking {
    /// Scores the first [`DEFAULT_RERANK_DEPTH`] references.
    pub fn new(scorer: Scorer) -> Self {
        Self { scorer, depth: DEFAULT_RERANK_DEPTH }
    }

    /// The hits with the highest scores first; equal ones stay in the order of the search. Hits without a score come after those that have
    /// one: what the score needs of them is damaged and skipped.
    fn order(
        &self,
        query: &str,
        mut hits: Vec<Hit<PackReference>>,
        on_damage: OnDamage<'_>,
    ) -> Result<Vec<Reranked<PackReference>>, RetrieveError> {
        let rest = hits.split_off(self.depth.min(hits.len()));
        let scores = self.scorer.scores(query, &hits, on_damage)?;
        let mut ranked: Vec<_> = hits.into_iter().zip(scores).map(|(hit, score)| Reranked { hit, score }).collect();
        let key = |ranked: &Reranked<PackReference>| ranked.score.unwrap_or(f32::NEG_INFINITY);
        ranked.sort_by(|a, b| key(b).total_cmp(&key(a)));
        ranked.extend(rest.into_iter().map(Reranked::from));
        Ok(ranked)
    }
}

/// Compares references of packs by the cosine of their embeddings.
#[derive(Clone, Copy)]
pub struct PackEmbeddings<'a> {
    on_damage: OnDamage<'a>,
}

impl<'a> PackEmbeddings<'a> {
    pub(crate) fn new(on_damage: OnDamage<'a>) -> Self {
        Self { on_damage }
    }
}

impl Compare<PackReference> for PackEmbeddings<'_> {
    type Vector = Vec<f32>;
    type Error = RetrieveError;

    /// The embedding. It is empty, and so like none, if it is damaged and damage is skipped.
    fn vector(&self, reference: &PackReference) -> Result<Vec<f32>, RetrieveError> {
        let PackReference { pack: mounted, number } = reference;
        let embedding = mounted.pack().tolerance(self.on_damage).admit(mounted.pack().embedding(*number));
        let embedding = embedding.map_err(|source| mounted.failed(source.into()))?;
        Ok(embedding.unwrap_or_default().iter().map(|value| value.get()).collect())
    }

    fn similarity(&self, left: &Vec<f32>, right: &Vec<f32>) -> f32 {
        dot(left, right)
    }
}

/// Orders hits by a reranker if there is one, and then by the strategy if it has an order of its own. All hits keep the similarity of the search.
///
/// To [`Diverse`], which adds the similarity to the query and that to other references, the reranker's i-th hit has the i-th largest of the
/// similarities: the reranker's order, in units of the cosine.
pub struct PackReranker<'a> {
    pub(crate) reranking: Option<&'a Reranking>,
    pub(crate) diverse: Option<Diverse<PackEmbeddings<'a>>>,
    pub(crate) on_damage: OnDamage<'a>,
}

impl Rerank<PackReference> for PackReranker<'_> {
    type Error = RetrieveError;

    fn pool(&self, max: usize) -> usize {
        let depth = self.reranking.filter(|_| max > 0).map_or(0, |reranking| reranking.depth);
        self.diverse.pool(max).max(depth)
    }

    fn rerank(&self, query: &Query<'_>, hits: Vec<Hit<PackReference>>) -> Result<Vec<Reranked<PackReference>>, RetrieveError> {
        let Some(reranking) = self.reranking else { return self.diverse.rerank(query, hits) };
        let ranked = reranking.order(query.text, hits, self.on_damage)?;
        let Some(diverse) = &self.diverse else { return Ok(ranked) };
        let mut similarities: Vec<f32> = ranked.iter().map(|ranked| ranked.hit.similarity).collect();
        similarities.sort_by(|a, b| b.total_cmp(a));
        let worth = |(ranked, similarity): (&Reranked<PackReference>, f32)| Hit { reference: ranked.hit.reference.clone(), similarity };
        let placed = diverse.rerank(query, ranked.iter().zip(similarities).map(worth).collect())?;
        let same = |a: &PackReference, b: &PackReference| a.number == b.number && Arc::ptr_eq(&a.pack, &b.pack);
        let own = |placed: Reranked<PackReference>| ranked.iter().find(|own| same(&own.hit.reference, &placed.hit.reference)).cloned();
        Ok(placed.into_iter().filter_map(own).collect())
    }
}

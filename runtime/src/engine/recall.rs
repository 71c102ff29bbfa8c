//! Retrieval over mounted packs: the stages of `mempack-retrieval`, implemented for packs and models.

use std::convert::Infallible;
use std::sync::Arc;

use mempack_model::{EmbedAs, Embedder, Model, overlaps};
use mempack_retrieval::{AdmitAll, Filter, Hit, Index, Query, Recall, Recalled, Retrieval, Strategy};

use super::error::{IdentityMismatch, RetrieveError};
use super::reference::{ReferenceError, read_reference};
use super::rerank::{PackEmbeddings, PackReranker, Reranking};
use crate::{MappedPack, Method, Mounts, OnDamage, PackReference, PackSet, Ranking};

/// Searches a set of packs, with one ranking.
#[derive(Clone, Copy)]
pub struct PackIndex<'a> {
    packs: &'a PackSet,
    ranking: Ranking,
    method: Method,
    on_damage: OnDamage<'a>,
}

impl Index for PackIndex<'_> {
    type Reference = PackReference;
    type Error = RetrieveError;

    fn nearest(&self, query: &Query<'_>, vector: &[f32], max: usize) -> Result<Vec<Hit<PackReference>>, RetrieveError> {
        Ok(self.packs.ranked(vector, query.text, max, self.ranking, self.method, self.on_damage)?)
    }
}

/// Filters out references that repeat the text that they are read for (arXiv 2407.01178, equation 6).
#[derive(Clone, Copy)]
pub struct NotRepeating<'a> {
    model: &'a Model,
    max_overlap: f64,
}

/// Additional hits to search for, in case some repeat the text.
const SPARE: usize = 8;

impl<'a> NotRepeating<'a> {
    /// Filters out references whose [overlap](mempack_model::overlap) with the query's context exceeds `max_overlap`, a share from 0 to 1.
    /// `model`, which built the packs, tokenizes them.
    pub fn new(model: &'a Model, max_overlap: f64) -> Self {
        Self { model, max_overlap }
    }
}

impl Filter<PackReference> for NotRepeating<'_> {
    type Error = ReferenceError;

    fn admits(&self, query: &Query<'_>, hit: &Hit<PackReference>) -> Result<bool, ReferenceError> {
        let text = read_reference(self.model, hit.reference.pack.pack(), hit.reference.number)?.text;
        let ids = self.model.tokenizer().encode_plain(&text)?;
        Ok(!overlaps(query.context, &ids, self.max_overlap))
    }

    fn spare(&self) -> usize {
        SPARE
    }
}

/// Filters out references whose memories could not be read.
pub(crate) struct Readable<'a> {
    pub(crate) unreadable: &'a [PackReference],
}

impl Filter<PackReference> for Readable<'_> {
    type Error = Infallible;

    fn admits(&self, _: &Query<'_>, hit: &Hit<PackReference>) -> Result<bool, Infallible> {
        Ok(!self.unreadable.contains(&hit.reference))
    }

    fn spare(&self) -> usize {
        self.unreadable.len()
    }
}

/// The stages of a [`Retriever`].
pub type PackStages<'a> = Retrieval<&'a Embedder, PackIndex<'a>, AdmitAll, PackReranker<'a>>;

/// How references are searched for, ordered and chosen.
#[derive(Clone, Copy)]
pub(crate) struct Stages<'a> {
    pub method: Method,
    pub ranking: Ranking,
    pub strategy: Strategy,
    pub reranking: Option<&'a Reranking>,
}

/// Finds references by text: an embedder and the packs to search.
pub struct Retriever {
    embedder: Embedder,
    mounts: Arc<Mounts>,
    ranking: Ranking,
    strategy: Strategy,
    reranking: Option<Reranking>,
}

impl Retriever {
    /// A retriever over one pack. It shares the embedder's weights.
    ///
    /// # Errors
    /// If the pack was built with another embedder.
    pub fn new(embedder: &Embedder, pack: Arc<MappedPack>) -> Result<Self, IdentityMismatch> {
        Self::over(embedder, Arc::new(Mounts::of(pack)))
    }

    /// A retriever over packs that may be mounted and replaced later.
    ///
    /// # Errors
    /// If the packs were built with another embedder.
    pub fn over(embedder: &Embedder, mounts: Arc<Mounts>) -> Result<Self, IdentityMismatch> {
        IdentityMismatch::check_embedder(mounts.embedder(), embedder.identity())?;
        Ok(Self { embedder: embedder.share(), mounts, ranking: Ranking::default(), strategy: Strategy::default(), reranking: None })
    }

    /// The same retriever with this ranking.
    pub fn ranked_by(self, ranking: Ranking) -> Self {
        Self { ranking, ..self }
    }

    /// The same retriever with this strategy.
    pub fn chosen_by(self, strategy: Strategy) -> Self {
        Self { strategy, ..self }
    }

    /// The same retriever with this reranker, or without one. The strategy chooses in the reranker's order.
    ///
    /// # Errors
    /// If the reranker reads memories with another model than the packs'.
    pub fn reranked_by(self, reranking: Option<Reranking>) -> Result<Self, IdentityMismatch> {
        reranking.iter().try_for_each(|reranking| reranking.scorer.check(&self.mounts))?;
        Ok(Self { reranking, ..self })
    }

    /// A second retriever over the same packs, for another thread.
    pub fn share(&self) -> Self {
        let Self { embedder, mounts, ranking, strategy, reranking } = self;
        let (embedder, mounts) = (embedder.share(), Arc::clone(mounts));
        Self { embedder, mounts, ranking: *ranking, strategy: *strategy, reranking: reranking.clone() }
    }

    /// The packs that it searches.
    pub fn mounts(&self) -> &Arc<Mounts> {
        &self.mounts
    }

    /// Embedding and search alone, over a set of packs.
    fn candidates<'a>(
        &'a self,
        stages: &Stages<'a>,
        packs: &'a PackSet,
        on_damage: OnDamage<'a>,
    ) -> Retrieval<&'a Embedder, PackIndex<'a>> {
        let Stages { method, ranking, .. } = *stages;
        Retrieval::new(&self.embedder, PackIndex { packs, ranking, method, on_damage })
    }

    /// The stages over a set of packs: embedding, search, the reranker, and what the strategy does. Filters and a margin can be added.
    pub fn stages<'a>(&'a self, packs: &'a PackSet, method: Method, on_damage: OnDamage<'a>) -> PackStages<'a> {
        let Self { ranking, strategy, reranking, .. } = self;
        let stages = Stages { method, ranking: *ranking, strategy: *strategy, reranking: reranking.as_ref() };
        self.stages_of(&stages, packs, on_damage)
    }

    /// As [`stages`](Self::stages), with these in place of its own.
    pub(crate) fn stages_of<'a>(&'a self, stages: &Stages<'a>, packs: &'a PackSet, on_damage: OnDamage<'a>) -> PackStages<'a> {
        let Stages { strategy, reranking, .. } = *stages;
        let diverse = strategy.reranker(PackEmbeddings::new(on_damage));
        let rerank = PackReranker { reranking, diverse, on_damage };
        self.candidates(stages, packs, on_damage).reranked(rerank).within(strategy.margin())
    }

    /// What a chunk that reads `k` references will probably read if its query begins like `query`: more than k, and found without the reranker.
    pub(crate) fn likely(
        &self,
        stages: &Stages<'_>,
        packs: &PackSet,
        query: &str,
        k: usize,
        on_damage: OnDamage<'_>,
    ) -> Result<Vec<Hit<PackReference>>, RetrieveError> {
        let (vector, query) = (self.embed(query)?, Query::new(query));
        let recalled = match stages.reranking {
            Some(Reranking { depth, .. }) => self.candidates(stages, packs, on_damage).recall_vector(&query, &vector, (2 * k).max(*depth)),
            None => self.stages_of(stages, packs, on_damage).recall_vector(&query, &vector, 2 * k),
        };
        Ok(recalled?.hits)
    }

    /// The `k` references that the strategy chooses for `text` from the packs mounted now, best first; fewer if the packs or the strategy have fewer.
    ///
    /// # Errors
    /// If the embedder or the search fails.
    pub fn retrieve(&self, text: &str, k: usize, method: Method) -> Result<Vec<Hit<PackReference>>, RetrieveError> {
        Ok(self.retrieve_batch(&[text], k, method, OnDamage::Fail)?.pop().unwrap_or_default())
    }

    /// As [`retrieve`](Self::retrieve) for several texts, which are embedded in one batch and searched in the same set of packs. Returns
    /// one list per text.
    ///
    /// # Errors
    /// If the embedder or the search fails.
    pub fn retrieve_batch(
        &self,
        texts: &[&str],
        k: usize,
        method: Method,
        on_damage: OnDamage<'_>,
    ) -> Result<Vec<Vec<Hit<PackReference>>>, RetrieveError> {
        Ok(self.recall_batch(texts, k, method, on_damage)?.into_iter().map(|recalled| recalled.hits).collect())
    }

    /// As [`retrieve_batch`](Self::retrieve_batch), with the scores of the reranker.
    ///
    /// # Errors
    /// If the embedder, the search or the reranker fails.
    pub fn recall_batch(
        &self,
        texts: &[&str],
        k: usize,
        method: Method,
        on_damage: OnDamage<'_>,
    ) -> Result<Vec<Recalled<PackReference>>, RetrieveError> {
        let packs = self.mounts.packs();
        let queries: Vec<Query<'_>> = texts.iter().copied().map(Query::new).collect();
        self.stages(&packs, method, on_damage).recall(&queries, k)
    }

    /// The embedding of a query, `[dim]`.
    ///
    /// # Errors
    /// If the embedder fails.
    pub fn embed(&self, text: &str) -> Result<Vec<f32>, RetrieveError> {
        Ok(self.embedder.embed(EmbedAs::Query, &[text])?)
    }
}

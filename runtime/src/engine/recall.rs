//! Retrieval over mounted packs: the stages of `mempack-retrieval`, implemented with packs and models.

use std::convert::Infallible;
use std::sync::Arc;

use mempack_model::{Embedder, Model, overlaps};
use mempack_retrieval::{Filter, Hit, Index, Query, Recall, Retrieval};

use super::error::{IdentityMismatch, RetrieveError};
use super::reference::{ReferenceError, read_reference};
use crate::{MappedPack, Method, Mounts, OnDamage, PackReference, PackSet};

/// The references of a set of packs, searched by vector in one ranking.
#[derive(Clone, Copy)]
pub struct PackIndex<'a> {
    packs: &'a PackSet,
    method: Method,
    on_damage: OnDamage<'a>,
}

impl Index for PackIndex<'_> {
    type Reference = PackReference;
    type Error = RetrieveError;

    fn nearest(&self, vector: &[f32], max: usize) -> Result<Vec<Hit<PackReference>>, RetrieveError> {
        Ok(self.packs.nearest(vector, max, self.method, self.on_damage)?)
    }
}

/// Refuses references that repeat the text they are read for (arXiv 2407.01178, equation 6).
#[derive(Clone, Copy)]
pub struct NotRepeating<'a> {
    model: &'a Model,
    max_overlap: f64,
}

/// Hits searched for beyond those wanted, in case some repeat the text.
const SPARE: usize = 8;

impl<'a> NotRepeating<'a> {
    /// Refuses references whose [overlap](mempack_model::overlap) with the query's context is above `max_overlap`, a share. Tokens are
    /// those of `model`, which built the packs.
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

/// Refuses references that could not be read.
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

/// An embedder and the packs that it searches.
pub struct Retriever {
    embedder: Embedder,
    mounts: Arc<Mounts>,
}

impl Retriever {
    /// Over one pack. The embedder's weights are shared, not copied.
    ///
    /// # Errors
    /// If the pack was built with another embedder.
    pub fn new(embedder: &Embedder, pack: Arc<MappedPack>) -> Result<Self, IdentityMismatch> {
        Self::over(embedder, Arc::new(Mounts::of(pack)))
    }

    /// Over packs that may be replaced meanwhile.
    ///
    /// # Errors
    /// If the packs were built with another embedder.
    pub fn over(embedder: &Embedder, mounts: Arc<Mounts>) -> Result<Self, IdentityMismatch> {
        IdentityMismatch::check_embedder(mounts.embedder(), embedder.identity())?;
        Ok(Self { embedder: embedder.share(), mounts })
    }

    /// The same for another thread.
    pub fn share(&self) -> Self {
        Self { embedder: self.embedder.share(), mounts: Arc::clone(&self.mounts) }
    }

    /// The packs it searches.
    pub fn mounts(&self) -> &Arc<Mounts> {
        &self.mounts
    }

    /// Embedding and search over a set of packs; other stages can be added.
    pub fn stages<'a>(&'a self, packs: &'a PackSet, method: Method, on_damage: OnDamage<'a>) -> Retrieval<&'a Embedder, PackIndex<'a>> {
        Retrieval::new(&self.embedder, PackIndex { packs, method, on_damage })
    }

    /// The `k` references nearest to `text` in the packs that are mounted now, best first; fewer if they have fewer.
    ///
    /// # Errors
    /// If the embedder or the search fails.
    pub fn retrieve(&self, text: &str, k: usize, method: Method) -> Result<Vec<Hit<PackReference>>, RetrieveError> {
        Ok(self.retrieve_batch(&[text], k, method, OnDamage::Fail)?.pop().unwrap_or_default())
    }

    /// As [`retrieve`](Self::retrieve) for several texts, embedded in one batch and searched for in one state of the packs; one list a
    /// text.
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
        let packs = self.mounts.packs();
        let queries: Vec<Query<'_>> = texts.iter().copied().map(Query::new).collect();
        let recalled = self.stages(&packs, method, on_damage).recall(&queries, k)?;
        Ok(recalled.into_iter().map(|recalled| recalled.hits).collect())
    }

    /// The vector of a text, `[dim]`.
    pub(crate) fn embed(&self, text: &str) -> Result<Vec<f32>, RetrieveError> {
        Ok(self.embedder.embed(&[text])?)
    }
}

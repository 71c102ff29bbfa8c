//! From text to references.

use std::sync::Arc;

use mempack_model::Embedder;

use super::error::{IdentityMismatch, RetrieveError};
use crate::{MappedPack, Method, Mounts, OnDamage, PackHit};

/// Finds the references of mounted packs that are nearest to a text.
pub struct Retriever {
    embedder: Embedder,
    mounts: Arc<Mounts>,
}

impl Retriever {
    /// Over one pack. Refuses an embedder that is not the pack's; the embedder's weights are shared, not copied.
    pub fn new(embedder: &Embedder, pack: Arc<MappedPack>) -> Result<Self, IdentityMismatch> {
        Self::over(embedder, Arc::new(Mounts::of(pack)))
    }

    /// Over packs that may be replaced meanwhile.
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

    /// The `k` references nearest to `text` in the packs that are mounted now, best first; fewer if they have fewer.
    pub fn retrieve(&self, text: &str, k: usize, method: Method) -> Result<Vec<PackHit>, RetrieveError> {
        Ok(self.retrieve_batch(&[text], k, method, OnDamage::Fail)?.pop().unwrap_or_default())
    }

    /// The same for several texts, embedded in one batch and searched for in one state of the packs; one list a text.
    pub fn retrieve_batch(
        &self,
        texts: &[&str],
        k: usize,
        method: Method,
        on_damage: OnDamage<'_>,
    ) -> Result<Vec<Vec<PackHit>>, RetrieveError> {
        let packs = self.mounts.packs();
        let rows = self.embedder.embed(texts).map_err(RetrieveError::Embed)?;
        let search = |query: &[f32]| packs.nearest(query, k, method, on_damage);
        Ok(rows.chunks_exact(self.embedder.dim().max(1)).map(search).collect::<Result<_, _>>()?)
    }

    /// The vector of a text, `[dim]`.
    pub(crate) fn embed(&self, text: &str) -> Result<Vec<f32>, RetrieveError> {
        self.embedder.embed(&[text]).map_err(RetrieveError::Embed)
    }
}

//! From text to references.

use std::sync::Arc;

use mempack_model::Embedder;

use super::error::{IdentityMismatch, RetrieveError};
use crate::search::DEFAULT_EF;
use crate::{Hit, MappedPack};

/// How to look for neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Through the graph, with this many nodes in view (small packs and packs without a graph are scanned all the same).
    Graph {
        /// At least `k`, more for a better recall.
        ef: usize,
    },
    /// By looking at every reference.
    Exact,
}

impl Default for Method {
    fn default() -> Self {
        Self::Graph { ef: DEFAULT_EF }
    }
}

/// Finds the references of a pack that are nearest to a text.
pub struct Retriever {
    embedder: Embedder,
    pack: Arc<MappedPack>,
}

impl Retriever {
    /// Refuses an embedder that is not the pack's. The embedder's weights are shared, not copied.
    pub fn new(embedder: &Embedder, pack: Arc<MappedPack>) -> Result<Self, IdentityMismatch> {
        IdentityMismatch::check_embedder(&pack.manifest().embedder, embedder.identity())?;
        Ok(Self { embedder: embedder.share(), pack })
    }

    /// The same for another thread.
    pub fn share(&self) -> Self {
        Self { embedder: self.embedder.share(), pack: Arc::clone(&self.pack) }
    }

    /// The pack it searches.
    pub fn pack(&self) -> &Arc<MappedPack> {
        &self.pack
    }

    /// The `k` references nearest to `text`, best first; fewer if the pack has fewer.
    pub fn retrieve(&self, text: &str, k: usize, method: Method) -> Result<Vec<Hit>, RetrieveError> {
        Ok(self.retrieve_batch(&[text], k, method)?.pop().unwrap_or_default())
    }

    /// The same for several texts, embedded in one batch; one list a text.
    pub fn retrieve_batch(&self, texts: &[&str], k: usize, method: Method) -> Result<Vec<Vec<Hit>>, RetrieveError> {
        let rows = self.embedder.embed(texts).map_err(RetrieveError::Embed)?;
        let search = |query: &[f32]| match method {
            Method::Graph { ef } => self.pack.search(query, k, ef),
            Method::Exact => self.pack.search_exact(query, k),
        };
        Ok(rows.chunks_exact(self.embedder.dim().max(1)).map(search).collect::<Result<_, _>>()?)
    }
}

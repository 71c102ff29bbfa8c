//! Finds references by text, for requests that decode nothing.

use std::sync::Arc;

use mempack_retrieval::{Query, Recall as _};
use mempack_runtime::{Method, OnDamage, PackSet, Skipped};

use crate::citations::{Citation, cite_hit};
use crate::error::ApiError;
use crate::state::State;

/// The `k` references of the packs that are nearest to a text, best first.
///
/// # Errors
/// A damaged pack, or a failure of the embedder.
pub async fn search(state: &State, packs: Arc<PackSet>, text: String, k: usize) -> Result<Vec<Citation>, ApiError> {
    let skips = state.limits.skip_damaged;
    let work = move |tools: &crate::searcher::Tools| {
        let skipped = Skipped::default();
        let on_damage = if skips { OnDamage::Skip(&skipped) } else { OnDamage::Fail };
        let stages = tools.retriever.stages(&packs, Method::default(), on_damage);
        let recalled = stages.recall(&[Query::new(&text)], k).map_err(|error| {
            tracing::error!(%error, "a search failed");
            if error.is_damage() { ApiError::damaged() } else { ApiError::internal() }
        })?;
        let hits = recalled.iter().flat_map(|recalled| recalled.hits.iter().zip(&recalled.scores)).enumerate();
        hits.map(|(place, (hit, score))| Ok(Citation { place, ..cite_hit(hit, *score, on_damage)? })).collect()
    };
    state.searcher.run(work).await?
}

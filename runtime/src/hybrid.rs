//! Hybrid search over several packs: similarity of vectors, and terms that query and reference share.

use std::collections::HashSet;
use std::sync::Arc;

use mempack_retrieval::Hit;

use crate::damage::OnDamage;
use crate::lexical::{QueryTerms, Scores};
use crate::pack_set::{Mounted, PackReference, PackSearchError, PackSet};
use crate::search::Method;

/// By what references are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ranking {
    /// By the cosine of embeddings alone.
    Dense,
    /// By BM25 alone.
    Lexical,
    /// By both.
    #[default]
    Hybrid,
}

impl Ranking {
    /// Its name: `dense`, `lexical` or `hybrid`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Lexical => "lexical",
            Self::Hybrid => "hybrid",
        }
    }
}

/// How much the best BM25 score of a query weighs, in standard deviations of the cosine. It was chosen on other questions than those of
/// docs/retrieval.md.
const LEXICAL_WEIGHT: f64 = 2.5;

/// References that each of the two rankings contributes, at least.
const POOL: usize = 50;

impl PackSet {
    /// The `k` references that are nearest to `query`, a unit vector `[dim]`, or share most terms with its `text`, over all packs in one ranking, best
    /// first.
    ///
    /// The similarity of a hit is its cosine, plus `2.5 s b / B` for a BM25 score of b: B is the best score of the query, and s the standard
    /// deviation of the cosines between embeddings of these packs, so that the sum is in units of the cosine. [`Ranking::Dense`] leaves out the
    /// second term, and [`Ranking::Lexical`] the first. Packs without an index of terms, and queries without terms that the packs have, are searched by
    /// the cosine alone. Of a set with a routing table, vectors are searched as [`nearest`](Self::nearest) does, and terms in all packs: a rare word may
    /// stand in any.
    ///
    /// # Errors
    /// As [`nearest`](Self::nearest), and if the index of terms is damaged.
    pub fn ranked(
        &self,
        query: &[f32],
        text: &str,
        k: usize,
        ranking: Ranking,
        method: Method,
        on_damage: OnDamage<'_>,
    ) -> Result<Vec<Hit<PackReference>>, PackSearchError> {
        let terms = if ranking == Ranking::Dense { QueryTerms::default() } else { QueryTerms::of(text) };
        if terms.is_empty() {
            return self.nearest(query, k, method, on_damage);
        }
        let scores =
            |mounted: &Arc<Mounted>| mounted.pack().lexical(&terms, mounted.admitted(), on_damage).map_err(|source| mounted.failed(source));
        let scores: Vec<Option<Scores>> = self.packs().iter().map(scores).collect::<Result<_, _>>()?;
        let best = scores.iter().flatten().map(Scores::best).fold(0.0, f32::max);
        if best <= 0.0 {
            return self.nearest(query, k, method, on_damage);
        }
        // The packs have one embedder, and so nearly one spread.
        let spreads: Vec<f64> = scores.iter().flatten().map(|scores| scores.spread).collect();
        let unit = (LEXICAL_WEIGHT * spreads.iter().sum::<f64>() / spreads.len().max(1) as f64) as f32 / best;
        let pool = POOL.max(2 * k);
        self.search_first(query, method, k, on_damage, |order, mounted, first| {
            let scores = scores.get(order).and_then(Option::as_ref);
            let mut hits = match (ranking, scores) {
                (Ranking::Lexical, Some(_)) => Vec::new(),
                _ if !first => Vec::new(),
                _ => mounted.nearest(query, pool, method, on_damage)?,
            };
            if let Some(scores) = scores {
                let dense: HashSet<u32> = hits.iter().map(|hit| hit.reference).collect();
                let others: Vec<u32> = scores.top(pool).into_iter().filter(|reference| !dense.contains(reference)).collect();
                hits.extend(mounted.pack().cosines(query, &others, on_damage).map_err(|source| mounted.failed(source))?);
                for hit in &mut hits {
                    let cosine = if ranking == Ranking::Lexical { 0.0 } else { hit.similarity };
                    hit.similarity = cosine + unit * scores.of(hit.reference);
                }
            }
            Ok(hits)
        })
    }
}

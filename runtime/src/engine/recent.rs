//! What recent queries recalled. The chunks of a conversation's earlier turns query again with every turn, for the same references.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use mempack_retrieval::{Hit, Recalled};

use super::recall::Stages;
use super::rerank::Scorer;
use crate::pack_set::Mounted;
use crate::{Method, PackReference, PackSet, Ranking};

/// The references that the last queries recalled. Threads share it. It keeps no pack mapped.
#[derive(Debug)]
pub(crate) struct RecentQueries {
    /// Max queries.
    most: usize,
    known: Mutex<Known>,
}

/// A query, and all that decides with it what is recalled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct QueryKey {
    query: String,
    /// Addresses of the packs.
    packs: Vec<usize>,
    method: Method,
    ranking: Ranking,
    strategy: String,
    reranking: Option<(Kind, u64, usize)>,
    k: usize,
}

/// The kind of a scorer, and with its number the scorer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Pairs,
    Memories,
}

impl QueryKey {
    pub fn new(query: &str, packs: &PackSet, stages: &Stages<'_>, k: usize) -> Self {
        let Stages { method, ranking, strategy, reranking } = *stages;
        let reranking = reranking.map(|reranking| {
            let kind = match reranking.scorer {
                Scorer::Pairs(_) => Kind::Pairs,
                Scorer::Memories(_) => Kind::Memories,
            };
            (kind, reranking.scorer.instance(), reranking.depth)
        });
        let packs = packs.packs().iter().map(|pack| Arc::as_ptr(pack).addr()).collect();
        Self { query: query.to_owned(), packs, method, ranking, strategy: strategy.to_string(), reranking, k }
    }
}

#[derive(Debug, Default)]
struct Known {
    queries: HashMap<QueryKey, Remembered>,
    /// The queries, the oldest first.
    order: VecDeque<QueryKey>,
}

/// What a query recalled.
#[derive(Debug)]
struct Remembered {
    hits: Vec<Place>,
    scores: Vec<Option<f32>>,
    filtered: usize,
    /// The packs of the key: as long as these are here, no other pack gets their addresses.
    _packs: Vec<Weak<Mounted>>,
}

/// A hit without its pack.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Index of the pack among the packs.
    pack: usize,
    number: u32,
    similarity: f32,
}

impl RecentQueries {
    /// Remembers what the last `most` queries recalled.
    pub fn new(most: usize) -> Self {
        Self { most, known: Mutex::default() }
    }

    /// What was recalled for a key of these packs, if that is known.
    pub fn get(&self, key: &QueryKey, packs: &PackSet) -> Option<Recalled<PackReference>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Remembered { hits, scores, filtered, .. } = known.queries.get(key)?;
        let hit = |place: &Place| {
            let pack = Arc::clone(packs.packs().get(place.pack)?);
            Some(Hit { reference: PackReference { pack, number: place.number }, similarity: place.similarity })
        };
        Some(Recalled { hits: hits.iter().map(hit).collect::<Option<_>>()?, scores: scores.clone(), filtered: *filtered })
    }

    /// Remembers what was recalled for a key of these packs.
    pub fn put(&self, key: &QueryKey, packs: &PackSet, recalled: &Recalled<PackReference>) {
        let place = |hit: &Hit<PackReference>| {
            let pack = packs.packs().iter().position(|pack| Arc::ptr_eq(pack, &hit.reference.pack))?;
            Some(Place { pack, number: hit.reference.number, similarity: hit.similarity })
        };
        let Some(hits) = recalled.hits.iter().map(place).collect::<Option<Vec<_>>>() else { return };
        let held = packs.packs().iter().map(Arc::downgrade).collect();
        let remembered = Remembered { hits, scores: recalled.scores.clone(), filtered: recalled.filtered, _packs: held };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if self.most == 0 {
            return;
        }
        if known.queries.insert(key.clone(), remembered).is_none() {
            known.order.push_back(key.clone());
        }
        while known.order.len() > self.most {
            if let Some(oldest) = known.order.pop_front() {
                known.queries.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mempack_retrieval::Strategy;

    use super::*;

    fn key(query: &str) -> QueryKey {
        let stages = Stages { method: Method::default(), ranking: Ranking::Dense, strategy: Strategy::TOP_K, reranking: None };
        QueryKey { packs: vec![8, 16], ..QueryKey::new(query, &PackSet::default(), &stages, 5) }
    }

    #[test]
    fn the_last_queries_are_known() {
        let packs = PackSet::default();
        let recent = RecentQueries::new(2);
        let recalled = |filtered| Recalled { filtered, ..Recalled::default() };
        for (query, filtered) in [("a", 1), ("b", 2), ("a", 3)] {
            recent.put(&key(query), &packs, &recalled(filtered));
        }
        let get = |query: &str| recent.get(&key(query), &packs);
        assert_eq!((get("a"), get("b"), get("c")), (Some(recalled(3)), Some(recalled(2)), None));
        recent.put(&key("c"), &packs, &recalled(5));
        assert_eq!((get("a"), get("b"), get("c")), (None, Some(recalled(2)), Some(recalled(5))));
        let none = RecentQueries::new(0);
        none.put(&key("a"), &packs, &recalled(1));
        assert_eq!(none.get(&key("a"), &packs), None);
    }

    #[test]
    fn whatever_decides_about_the_result_is_in_the_key() {
        let packs = PackSet::default();
        let recent = RecentQueries::new(8);
        recent.put(&key("a"), &packs, &Recalled::default());
        let others = [
            QueryKey { packs: vec![16, 8], ..key("a") },
            QueryKey { packs: vec![8], ..key("a") },
            QueryKey { method: Method::Exact, ..key("a") },
            QueryKey { ranking: Ranking::Hybrid, ..key("a") },
            QueryKey { strategy: Strategy::SIMILARITY.to_string(), ..key("a") },
            QueryKey { reranking: Some((Kind::Pairs, 0, 20)), ..key("a") },
            QueryKey { reranking: Some((Kind::Memories, 0, 20)), ..key("a") },
            QueryKey { k: 4, ..key("a") },
        ];
        for other in &others {
            assert_eq!(recent.get(other, &packs), None, "{other:?}");
        }
        assert_eq!(recent.get(&key("a"), &packs), Some(Recalled::default()));
    }
}

//! What recent queries recalled. The chunks of a conversation's earlier turns query again with every turn, for the same references.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use mempack_retrieval::{Hit, Recalled};

use crate::{PackReference, PackSet};

/// The references that the last queries recalled, each from the packs that were mounted then. Threads share it. It keeps no pack mapped.
#[derive(Debug)]
pub(crate) struct RecentQueries {
    /// Max queries.
    most: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    queries: HashMap<String, Remembered>,
    /// The queries, the oldest first.
    order: VecDeque<String>,
}

/// What a query recalled from some packs.
#[derive(Debug)]
struct Remembered {
    packs: Weak<PackSet>,
    hits: Vec<Place>,
    scores: Vec<Option<f32>>,
    filtered: usize,
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

    /// What `query` recalled from these packs, if that is known.
    pub fn get(&self, packs: &Arc<PackSet>, query: &str) -> Option<Recalled<PackReference>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Remembered { packs: of, hits, scores, filtered } = known.queries.get(query)?;
        if !std::ptr::eq(of.as_ptr(), Arc::as_ptr(packs)) {
            return None;
        }
        let hit = |place: &Place| {
            let pack = Arc::clone(packs.packs().get(place.pack)?);
            Some(Hit { reference: PackReference { pack, number: place.number }, similarity: place.similarity })
        };
        Some(Recalled { hits: hits.iter().map(hit).collect::<Option<_>>()?, scores: scores.clone(), filtered: *filtered })
    }

    /// Remembers what `query` recalled.
    pub fn put(&self, packs: &Arc<PackSet>, query: &str, recalled: &Recalled<PackReference>) {
        let place = |hit: &Hit<PackReference>| {
            let pack = packs.packs().iter().position(|pack| Arc::ptr_eq(pack, &hit.reference.pack))?;
            Some(Place { pack, number: hit.reference.number, similarity: hit.similarity })
        };
        let Some(hits) = recalled.hits.iter().map(place).collect::<Option<Vec<_>>>() else { return };
        let remembered = Remembered { packs: Arc::downgrade(packs), hits, scores: recalled.scores.clone(), filtered: recalled.filtered };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if self.most == 0 {
            return;
        }
        if known.queries.insert(query.to_owned(), remembered).is_none() {
            known.order.push_back(query.to_owned());
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
    use super::*;

    #[test]
    fn the_last_queries_are_known_for_the_packs_that_they_searched() {
        let (packs, others) = (Arc::new(PackSet::default()), Arc::new(PackSet::default()));
        let recent = RecentQueries::new(2);
        let recalled = |filtered| Recalled { filtered, ..Recalled::default() };
        for (query, filtered) in [("a", 1), ("b", 2), ("a", 3)] {
            recent.put(&packs, query, &recalled(filtered));
        }
        assert_eq!(recent.get(&packs, "a"), Some(recalled(3)));
        assert_eq!((recent.get(&packs, "b"), recent.get(&packs, "c"), recent.get(&others, "a")), (Some(recalled(2)), None, None));
        recent.put(&others, "b", &recalled(4));
        assert_eq!((recent.get(&packs, "b"), recent.get(&others, "b")), (None, Some(recalled(4))));
        recent.put(&packs, "c", &recalled(5));
        assert_eq!((recent.get(&packs, "a"), recent.get(&packs, "c")), (None, Some(recalled(5))));
        let none = RecentQueries::new(0);
        none.put(&packs, "a", &recalled(1));
        assert_eq!(none.get(&packs, "a"), None);
    }
}

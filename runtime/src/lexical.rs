//! Lexical search: BM25 over the inverted index of a pack.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;
use mempack_format::{Pack, ReadError, Terms};
use mempack_lexical::{ANALYSIS, Bm25, Corpus, terms};

use crate::checked::Checks;

/// The terms of a query, and how often it has each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueryTerms(BTreeMap<String, u32>);

impl QueryTerms {
    /// Those of a text. A text of stop words or punctuation alone has none.
    pub fn of(text: &str) -> Self {
        let mut counts = BTreeMap::new();
        for term in terms(text) {
            *counts.entry(term).or_insert(0u32) += 1;
        }
        Self(counts)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The scores of the references of one pack.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scores {
    /// References that have a term of the query with their scores, in ascending order of their numbers.
    by_reference: Vec<(u32, f32)>,
    /// The spread of the pack's similarities.
    pub spread: f64,
}

impl Scores {
    /// The score of a reference; 0 if it has no term of the query.
    pub fn of(&self, reference: u32) -> f32 {
        let found = self.by_reference.binary_search_by_key(&reference, |(number, _)| *number);
        found.ok().and_then(|at| self.by_reference.get(at)).map_or(0.0, |(_, score)| *score)
    }

    /// The largest score; 0 if no reference has a term of the query.
    pub fn best(&self) -> f32 {
        self.by_reference.iter().map(|(_, score)| *score).fold(0.0, f32::max)
    }

    /// The `count` references with the largest scores, best first; of equal ones, those with lower numbers.
    pub fn top(&self, count: usize) -> Vec<u32> {
        let mut all = self.by_reference.clone();
        let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if count < all.len() {
            all.select_nth_unstable_by(count, order);
            all.truncate(count);
        }
        all.sort_unstable_by(order);
        all.into_iter().map(|(reference, _)| reference).collect()
    }
}

/// The scores of a pack's references. `None` if the pack has no inverted index, or one of an analysis that this program does not know.
///
/// References that are not admitted have no score; `None` admits all. How rare a term is counts the whole pack.
///
/// Memory: 4 bytes for each reference of the pack, while it is searched.
pub(crate) fn scores<D: AsRef<[u8]>>(
    pack: &Pack<D>,
    checks: &Checks,
    query: &QueryTerms,
    admitted: Option<&FixedBitSet>,
) -> Result<Option<Scores>, ReadError> {
    let Some(index) = pack.terms()?.filter(|index| index.analysis() == ANALYSIS) else { return Ok(None) };
    checks.terms(pack)?;
    let bm25 = Bm25::default();
    let corpus = corpus(&index);
    let mut sums = vec![0f32; index.references() as usize];
    let mut touched = Vec::new();
    for (term, times) in &query.0 {
        let Some(term) = index.find(term)? else { continue };
        let postings = index.postings(term)?;
        let weight = bm25.weight(&corpus, postings.left()) * *times as f32;
        for posting in postings {
            let posting = posting?;
            if admitted.is_some_and(|admitted| !admitted.contains(posting.reference as usize)) {
                continue;
            }
            let Some(sum) = sums.get_mut(posting.reference as usize) else { continue };
            if *sum == 0.0 {
                touched.push(posting.reference);
            }
            *sum += bm25.score(&corpus, weight, posting.count, index.length(posting.reference));
        }
    }
    touched.sort_unstable();
    let by_reference = touched.into_iter().map(|reference| (reference, sums.get(reference as usize).copied().unwrap_or_default()));
    Ok(Some(Scores { by_reference: by_reference.collect(), spread: index.spread() }))
}

fn corpus(index: &Terms<'_>) -> Corpus {
    let texts = index.references();
    Corpus { texts, mean_length: (index.occurrences() as f64 / f64::from(texts.max(1))) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_equal_ones_in_order() {
        let scores = Scores { by_reference: vec![(1, 2.0), (4, 3.0), (5, 2.0), (9, 1.0)], spread: 0.1 };
        assert_eq!((scores.top(3), scores.top(9), scores.top(0)), (vec![4, 1, 5], vec![4, 1, 5, 9], vec![]));
        assert_eq!((scores.of(4), scores.of(3), scores.best()), (3.0, 0.0, 3.0));
        assert_eq!(Scores::default().best(), 0.0);
    }

    #[test]
    fn a_query_counts_its_terms() {
        let query = QueryTerms::of("Fever, and a fever's feverish dose");
        assert_eq!(query.0, [("dose", 1), ("fever", 2), ("feverish", 1)].map(|(term, count)| (term.to_owned(), count)).into());
        assert!(QueryTerms::of("to be, or ... !").is_empty());
    }
}

//! Measures of a ranked list, for one question (Manning, Raghavan and Schütze, Introduction to Information Retrieval, chapter 8).
//!
//! The list consists of references, and what is to be found are gold documents. A reference is relevant if it comes from a gold document that
//! no reference before it comes from: a document counts once, at the rank of the first of its references.

use std::collections::HashSet;

/// The ranks at which the gold documents of a question are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranks {
    /// Number of gold documents.
    gold: usize,
    /// The rank, from 1, of each gold document that is found; ascending.
    ranks: Vec<usize>,
}

impl Ranks {
    /// The ranks of `gold` documents. `found` has for each reference, best first, the gold documents that it comes from, numbered from 0.
    pub fn of<D: IntoIterator<Item = usize>>(gold: usize, found: impl IntoIterator<Item = D>) -> Self {
        let mut seen = HashSet::new();
        let mut ranks = Vec::new();
        for (rank, documents) in (1..).zip(found) {
            ranks.extend(documents.into_iter().filter(|document| seen.insert(*document)).map(|_| rank));
        }
        Self { gold, ranks }
    }

    /// The rank of the first relevant reference; `None` if there is none.
    pub fn first(&self) -> Option<usize> {
        self.ranks.first().copied()
    }

    /// The share of the gold documents that the first `k` references come from.
    pub fn recall(&self, k: usize) -> f64 {
        self.ranks.iter().filter(|rank| **rank <= k).count() as f64 / self.gold.max(1) as f64
    }

    /// 1 if one of the first `k` references is relevant, else 0.
    pub fn hit(&self, k: usize) -> f64 {
        f64::from(u8::from(self.first().is_some_and(|first| first <= k)))
    }

    /// 1 divided by the rank of the first relevant reference; 0 if there is none.
    pub fn reciprocal(&self) -> f64 {
        self.first().map_or(0.0, |first| 1.0 / first as f64)
    }

    /// The discounted gain of the first `k` references, `sum 1 / log2(rank + 1)` over the relevant ones, divided by that of a list whose first
    /// references come from one gold document each. A reference that comes from several gold documents is one relevant reference.
    pub fn ndcg(&self, k: usize) -> f64 {
        let gain = |rank: usize| 1.0 / (rank as f64 + 1.0).log2();
        let mut relevant = self.ranks.clone();
        relevant.dedup();
        let own: f64 = relevant.into_iter().filter(|rank| *rank <= k).map(gain).sum();
        let ideal: f64 = (1..=k.min(self.gold)).map(gain).sum();
        if ideal > 0.0 { own / ideal } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranks(gold: usize, found: &[&[usize]]) -> Ranks {
        Ranks::of(gold, found.iter().map(|documents| documents.iter().copied()))
    }

    #[test]
    fn values_worked_out_by_hand() {
        // One gold document: first, third, not at all.
        let first = ranks(1, &[&[0], &[], &[0]]);
        assert_eq!((first.first(), first.recall(1), first.reciprocal(), first.ndcg(10)), (Some(1), 1.0, 1.0, 1.0));
        let third = ranks(1, &[&[], &[], &[0]]);
        assert_eq!((third.recall(1), third.recall(3), third.hit(2), third.hit(3)), (0.0, 1.0, 0.0, 1.0));
        // 1 / log2(4)
        assert_eq!((third.reciprocal(), third.ndcg(10), third.ndcg(2)), (1.0 / 3.0, 0.5, 0.0));
        let none = ranks(1, &[&[], &[]]);
        assert_eq!((none.first(), none.recall(20), none.hit(20), none.reciprocal(), none.ndcg(10)), (None, 0.0, 0.0, 0.0, 0.0));
        // Four gold documents: two at rank 1 in one reference, one of them again at rank 2, another at rank 3.
        let several = ranks(4, &[&[0, 2], &[2], &[3]]);
        assert_eq!((several.recall(1), several.recall(3), several.hit(1)), (0.5, 0.75, 1.0));
        // (1 + 1/2) / (1 + 0.63093 + 0.5 + 0.43068)
        assert!((several.ndcg(10) - 0.585_55).abs() < 1e-4, "{}", several.ndcg(10));
        // Only as many ranks as are looked at count in the ideal.
        assert_eq!(several.ndcg(1), 1.0);
        assert_eq!(Ranks::default().ndcg(10), 0.0);
    }

    /// The same by the definitions, rank by rank.
    fn slowly(gold: usize, found: &[Vec<usize>], k: usize) -> [f64; 4] {
        let within = |k: usize| (0..gold).filter(|document| found.iter().take(k).any(|list| list.contains(document))).count();
        let relevant = |rank: usize| found[rank - 1].iter().any(|document| !found[..rank - 1].iter().any(|list| list.contains(document)));
        let first = (1..=found.len()).find(|rank| relevant(*rank));
        let (mut gain, mut ideal) = (0.0, 0.0);
        for rank in 1..=k {
            let discount = 2f64.ln() / (rank as f64 + 1.0).ln();
            gain += if rank <= found.len() && relevant(rank) { discount } else { 0.0 };
            ideal += if rank <= gold { discount } else { 0.0 };
        }
        let hit = if within(k) > 0 { 1.0 } else { 0.0 };
        [within(k) as f64 / gold as f64, hit, first.map_or(0.0, |rank| 1.0 / rank as f64), gain / ideal]
    }

    proptest! {
        #[test]
        fn as_by_the_definitions(
            gold in 1usize..6, lists in proptest::collection::vec(proptest::collection::vec(0usize..6, 0..3), 0..25), k in 1usize..25,
        ) {
            let found: Vec<Vec<usize>> = lists.into_iter().map(|list| list.into_iter().filter(|document| *document < gold).collect()).collect();
            let ranks = Ranks::of(gold, found.iter().map(|list| list.iter().copied()));
            let own = [ranks.recall(k), ranks.hit(k), ranks.reciprocal(), ranks.ndcg(k)];
            for (own, expected) in own.into_iter().zip(slowly(gold, &found, k)) {
                prop_assert!((own - expected).abs() < 1e-9 && (0.0..=1.0 + 1e-9).contains(&own), "{} {}", own, expected);
            }
        }
    }
}

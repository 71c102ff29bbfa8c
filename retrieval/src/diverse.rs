//! Hits that differ from each other: maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998, section 2).

use crate::{Hit, Query, Rerank, Reranked};

/// Smallest number of hits that are chosen among.
const POOL: usize = 20;
/// Hits that are chosen among, for each one wanted.
const POOL_OF_EACH: usize = 4;

/// Compares references with each other.
pub trait Compare<R> {
    /// What is compared of a reference, for example its embedding.
    type Vector;
    /// Why a reference cannot be compared.
    type Error;

    /// What is compared of this reference.
    ///
    /// # Errors
    /// If it cannot be read.
    fn vector(&self, reference: &R) -> Result<Self::Vector, Self::Error>;

    /// The similarity of two references, in the unit of the hits' similarities to the query.
    fn similarity(&self, left: &Self::Vector, right: &Self::Vector) -> f32;
}

/// A reranker that puts first what is similar to the query, and then what is also unlike the hits before it.
///
/// Each place goes to the hit with the largest `lambda * s - (1 - lambda) * r`, where s is its similarity to the query, and r the largest of its
/// similarities to the hits before it, or 0 if there are none; of equal ones, to the one that was found first. Hits keep their similarity to
/// the query. Time: a comparison for each pair of hits found.
#[derive(Clone, Copy, Debug)]
pub struct Diverse<C> {
    lambda: f32,
    compare: C,
}

impl<C> Diverse<C> {
    /// `lambda` is the weight of the similarity to the query, 0 to 1; 1 keeps the order of the search.
    pub fn new(lambda: f32, compare: C) -> Self {
        Self { lambda, compare }
    }
}

/// A hit that has no place yet.
struct Candidate<R, V> {
    hit: Hit<R>,
    vector: V,
    /// The largest similarity to a hit that has a place.
    redundancy: f32,
}

impl<R, C: Compare<R>> Rerank<R> for Diverse<C> {
    type Error = C::Error;

    fn pool(&self, max: usize) -> usize {
        if max == 0 { 0 } else { POOL.max(max.saturating_mul(POOL_OF_EACH)) }
    }

    fn rerank(&self, _: &Query<'_>, hits: Vec<Hit<R>>) -> Result<Vec<Reranked<R>>, C::Error> {
        let candidate = |hit: Hit<R>| Ok(Candidate { vector: self.compare.vector(&hit.reference)?, hit, redundancy: f32::NEG_INFINITY });
        let mut left: Vec<_> = hits.into_iter().map(candidate).collect::<Result<_, _>>()?;
        let mut placed = Vec::with_capacity(left.len());
        let worth = |candidate: &Candidate<R, C::Vector>, first: bool| {
            let redundancy = if first { 0.0 } else { candidate.redundancy };
            self.lambda * candidate.hit.similarity - (1.0 - self.lambda) * redundancy
        };
        // Of equal candidates, `max_by` takes the last, so they are looked at from the last on.
        while let Some((best, _)) =
            left.iter().map(|candidate| worth(candidate, placed.is_empty())).enumerate().rev().max_by(|a, b| a.1.total_cmp(&b.1))
        {
            let chosen = left.remove(best);
            for candidate in &mut left {
                candidate.redundancy = candidate.redundancy.max(self.compare.similarity(&candidate.vector, &chosen.vector));
            }
            placed.push(Reranked::from(chosen.hit));
        }
        Ok(placed)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// A reference is a point on a line; two are the more similar the nearer they are.
    struct Near;

    impl Compare<i32> for Near {
        type Vector = i32;
        type Error = Infallible;

        fn vector(&self, reference: &i32) -> Result<i32, Infallible> {
            Ok(*reference)
        }

        fn similarity(&self, left: &i32, right: &i32) -> f32 {
            near(*left, *right)
        }
    }

    fn near(left: i32, right: i32) -> f32 {
        1.0 - (left - right).abs() as f32 / 4.0
    }

    fn hits(points: &[(i32, f32)]) -> Vec<Hit<i32>> {
        points.iter().map(|&(reference, similarity)| Hit { reference, similarity }).collect()
    }

    fn order(lambda: f32, points: &[(i32, f32)]) -> Vec<i32> {
        let placed = Diverse::new(lambda, Near).rerank(&Query::new(""), hits(points)).unwrap();
        placed.into_iter().map(|placed| placed.hit.reference).collect()
    }

    #[test]
    fn what_repeats_a_hit_gives_way() {
        // 10 and 11 are near each other, 14 is not.
        let points = [(10, 0.9), (11, 0.8), (14, 0.6)];
        assert_eq!(order(1.0, &points), [10, 11, 14]);
        // 0.5 * 0.8 - 0.5 * 0.75 = 0.025 is less than 0.5 * 0.6 - 0.5 * 0.
        assert_eq!(order(0.5, &points), [10, 14, 11]);
        assert_eq!(order(0.0, &points), [10, 14, 11], "the first is the first found, if the query does not count");
        assert_eq!(order(0.5, &[]), [0; 0]);
        assert_eq!(order(0.5, &[(3, 0.5), (3, 0.5)]), [3, 3]);
        let kept = Diverse::new(0.5, Near).rerank(&Query::new(""), hits(&points)).unwrap();
        assert_eq!(kept[1].hit, Hit { reference: 14, similarity: 0.6 }, "the similarity to the query");
        let pool = |max| Rerank::<i32>::pool(&Diverse::new(0.5, Near), max);
        assert_eq!([0, 1, 5, 6, usize::MAX].map(pool), [0, 20, 20, 24, usize::MAX]);
    }

    /// The formula, worked out again for every place and hit.
    fn slowly(lambda: f32, points: &[(i32, f32)]) -> Vec<i32> {
        let mut placed: Vec<usize> = Vec::new();
        while placed.len() < points.len() {
            let mut best: Option<(usize, f32)> = None;
            for at in (0..points.len()).filter(|at| !placed.contains(at)) {
                let others = placed.iter().map(|other| near(points[at].0, points[*other].0));
                let redundancy = others.fold(None, |most: Option<f32>, next| Some(most.map_or(next, |most| most.max(next))));
                let worth = lambda * points[at].1 - (1.0 - lambda) * redundancy.unwrap_or(0.0);
                if best.is_none_or(|(_, most)| worth > most) {
                    best = Some((at, worth));
                }
            }
            placed.extend(best.map(|(at, _)| at));
        }
        placed.into_iter().map(|at| points[at].0).collect()
    }

    proptest! {
        #[test]
        fn as_by_the_formula(steps in 0u8..=10, points in proptest::collection::vec((-20i32..20, -8i8..8), 0..30)) {
            // Few different values, so that many are equal.
            let mut points: Vec<(i32, f32)> = points.into_iter().map(|(point, eighths)| (point, f32::from(eighths) / 8.0)).collect();
            points.sort_by(|a, b| b.1.total_cmp(&a.1));
            let lambda = f32::from(steps) / 10.0;
            prop_assert_eq!(order(lambda, &points), slowly(lambda, &points));
            prop_assert_eq!(order(1.0, &points), points.iter().map(|point| point.0).collect::<Vec<_>>());
        }
    }
}

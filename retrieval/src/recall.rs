//! The seam: a query in, references out; and the stages that [`Retrieval`] puts together.

use std::convert::Infallible;

use crate::{Hit, Margin, Recalled, Reranked};

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The text that references should be similar to.
    pub text: &'a str,
    /// Token ids of the text that the references are read for. A filter may refuse references that repeat it. Empty where no filter asks.
    pub context: &'a [u32],
}

impl<'a> Query<'a> {
    /// A query with no context.
    pub fn new(text: &'a str) -> Self {
        Self { text, context: &[] }
    }
}

/// Finds the references that a text recalls.
pub trait Recall {
    /// What names a reference.
    type Reference;
    /// Why nothing was found.
    type Error;

    /// For each query the references that it recalls, most similar first, at most `max` of them.
    ///
    /// # Errors
    /// If a stage fails.
    fn recall(&self, queries: &[Query<'_>], max: usize) -> Result<Vec<Recalled<Self::Reference>>, Self::Error>;
}

/// The first stage: queries become vectors.
pub trait Embed {
    /// Why there are no vectors.
    type Error;

    /// A unit vector for each text, embedded as a query: an embedder may treat the texts that are searched in another way.
    ///
    /// # Errors
    /// If the embedder fails.
    fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Self::Error>;
}

/// The second stage: a vector becomes hits.
pub trait Index {
    /// What names a reference.
    type Reference;
    /// Why the search failed.
    type Error;

    /// The `max` references that fit a query best, most similar first; fewer only if there are no more. `vector` is the query's text as a unit
    /// vector; an index may also look at the text itself.
    ///
    /// # Errors
    /// If the search fails.
    fn nearest(&self, query: &Query<'_>, vector: &[f32], max: usize) -> Result<Vec<Hit<Self::Reference>>, Self::Error>;
}

/// The third stage: hits that must not be read are refused, and the next ones take their place.
pub trait Filter<R> {
    /// Why a hit could not be judged.
    type Error;

    /// Whether the hit may be read.
    ///
    /// # Errors
    /// If that cannot be found out.
    fn admits(&self, query: &Query<'_>, hit: &Hit<R>) -> Result<bool, Self::Error>;

    /// Hits to search for beyond those wanted, so that one search is usually enough.
    fn spare(&self) -> usize;
}

/// The fourth stage: hits get another order, and keep their similarities.
pub trait Rerank<R> {
    /// Why there is no order.
    type Error;

    /// Hits to choose among, if `max` are wanted. The hits beyond `max` are left out afterwards.
    fn pool(&self, max: usize) -> usize {
        max
    }

    /// The same hits in another order, best first, with scores if the reranker gives any.
    ///
    /// # Errors
    /// If the reranker fails.
    fn rerank(&self, query: &Query<'_>, hits: Vec<Hit<R>>) -> Result<Vec<Reranked<R>>, Self::Error>;
}

impl<E: Embed + ?Sized> Embed for &E {
    type Error = E::Error;

    fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, E::Error> {
        (**self).embed_queries(texts)
    }
}

/// A filter that may be left out.
impl<R, F: Filter<R>> Filter<R> for Option<F> {
    type Error = F::Error;

    fn admits(&self, query: &Query<'_>, hit: &Hit<R>) -> Result<bool, F::Error> {
        self.as_ref().map_or(Ok(true), |filter| filter.admits(query, hit))
    }

    fn spare(&self) -> usize {
        self.as_ref().map_or(0, F::spare)
    }
}

/// Two filters: a hit must pass both, and is not shown to the second if the first refuses it.
impl<R, F: Filter<R>, G: Filter<R>> Filter<R> for (F, G)
where
    F::Error: From<G::Error>,
{
    type Error = F::Error;

    fn admits(&self, query: &Query<'_>, hit: &Hit<R>) -> Result<bool, F::Error> {
        Ok(self.0.admits(query, hit)? && self.1.admits(query, hit)?)
    }

    fn spare(&self) -> usize {
        self.0.spare() + self.1.spare()
    }
}

/// A reranker that may be left out.
impl<R, K: Rerank<R>> Rerank<R> for Option<K> {
    type Error = K::Error;

    fn pool(&self, max: usize) -> usize {
        self.as_ref().map_or(max, |reranker| reranker.pool(max))
    }

    fn rerank(&self, query: &Query<'_>, hits: Vec<Hit<R>>) -> Result<Vec<Reranked<R>>, K::Error> {
        match self {
            Some(reranker) => reranker.rerank(query, hits),
            None => Ok(hits.into_iter().map(Reranked::from).collect()),
        }
    }
}

/// The filter that admits every hit.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdmitAll;

impl<R> Filter<R> for AdmitAll {
    type Error = Infallible;

    fn admits(&self, _: &Query<'_>, _: &Hit<R>) -> Result<bool, Infallible> {
        Ok(true)
    }

    fn spare(&self) -> usize {
        0
    }
}

/// The reranker that keeps the order of the search.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeepOrder;

impl<R> Rerank<R> for KeepOrder {
    type Error = Infallible;

    fn rerank(&self, _: &Query<'_>, hits: Vec<Hit<R>>) -> Result<Vec<Reranked<R>>, Infallible> {
        Ok(hits.into_iter().map(Reranked::from).collect())
    }
}

/// The stages of retrieval, put together: embed, search, filter, rerank, margin.
///
/// The error of the whole is the index's; those of the other stages convert into it.
#[derive(Clone, Copy, Debug)]
pub struct Retrieval<E, I, F = AdmitAll, K = KeepOrder> {
    embed: E,
    index: I,
    filter: F,
    rerank: K,
    margin: Margin,
}

impl<E, I> Retrieval<E, I> {
    /// Embedding and search; the other stages are left out.
    pub fn new(embed: E, index: I) -> Self {
        Self { embed, index, filter: AdmitAll, rerank: KeepOrder, margin: Margin::ALL }
    }
}

impl<E, I, F, K> Retrieval<E, I, F, K> {
    /// With this filter.
    pub fn filtered<G>(self, filter: G) -> Retrieval<E, I, G, K> {
        let Self { embed, index, rerank, margin, .. } = self;
        Retrieval { embed, index, filter, rerank, margin }
    }

    /// With this reranker.
    pub fn reranked<L>(self, rerank: L) -> Retrieval<E, I, F, L> {
        let Self { embed, index, filter, margin, .. } = self;
        Retrieval { embed, index, filter, rerank, margin }
    }

    /// With this margin too: of several, the narrowest counts.
    pub fn within(self, margin: Margin) -> Self {
        Self { margin: self.margin.and(margin), ..self }
    }
}

impl<E, I, F, K> Retrieval<E, I, F, K>
where
    I: Index,
    F: Filter<I::Reference>,
    K: Rerank<I::Reference>,
    I::Error: From<F::Error> + From<K::Error>,
{
    /// What one query recalls whose vector is known: every stage but the first.
    ///
    /// # Errors
    /// If a stage fails.
    pub fn recall_vector(&self, query: &Query<'_>, vector: &[f32], max: usize) -> Result<Recalled<I::Reference>, I::Error> {
        let Recalled { hits, filtered, .. } = self.admitted(query, vector, self.rerank.pool(max))?;
        let mut ranked = self.rerank.rerank(query, hits)?;
        ranked.truncate(max);
        self.margin.keep(&mut ranked, |ranked| ranked.hit.similarity);
        let (hits, scores) = ranked.into_iter().map(|ranked| (ranked.hit, ranked.score)).unzip();
        Ok(Recalled { hits, scores, filtered })
    }

    /// The nearest hits that the filter admits.
    fn admitted(&self, query: &Query<'_>, vector: &[f32], max: usize) -> Result<Recalled<I::Reference>, I::Error> {
        let mut wanted = max.saturating_add(self.filter.spare());
        loop {
            let found = self.index.nearest(query, vector, wanted)?;
            let exhausted = found.len() < wanted;
            let mut recalled = Recalled::default();
            for hit in found {
                if recalled.hits.len() == max {
                    break;
                }
                if self.filter.admits(query, &hit)? {
                    recalled.hits.push(hit);
                } else {
                    recalled.filtered += 1;
                }
            }
            if exhausted || recalled.hits.len() == max {
                return Ok(recalled);
            }
            wanted = wanted.saturating_mul(2);
        }
    }
}

impl<E, I, F, K> Recall for Retrieval<E, I, F, K>
where
    E: Embed,
    I: Index,
    F: Filter<I::Reference>,
    K: Rerank<I::Reference>,
    I::Error: From<E::Error> + From<F::Error> + From<K::Error>,
{
    type Reference = I::Reference;
    type Error = I::Error;

    fn recall(&self, queries: &[Query<'_>], max: usize) -> Result<Vec<Recalled<I::Reference>>, I::Error> {
        let texts: Vec<&str> = queries.iter().map(|query| query.text).collect();
        let vectors = self.embed.embed_queries(&texts)?;
        queries.iter().zip(&vectors).map(|(query, vector)| self.recall_vector(query, vector, max)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::*;

    /// A text is its length, as a vector of one dimension.
    struct Length;

    impl Embed for Length {
        type Error = Infallible;

        fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Infallible> {
            Ok(texts.iter().map(|text| vec![text.len() as f32]).collect())
        }
    }

    /// References 0 to `count`, nearer the nearer their number is to the vector; notes how many were asked for.
    struct Line {
        count: u32,
        asked: RefCell<Vec<usize>>,
    }

    impl Line {
        fn new(count: u32) -> Self {
            Self { count, asked: RefCell::default() }
        }
    }

    impl Index for &Line {
        type Reference = u32;
        type Error = Infallible;

        fn nearest(&self, _: &Query<'_>, vector: &[f32], max: usize) -> Result<Vec<Hit>, Infallible> {
            self.asked.borrow_mut().push(max);
            let mut hits: Vec<Hit> = (0..self.count).map(|n| Hit { reference: n, similarity: -(n as f32 - vector[0]).abs() }).collect();
            hits.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.reference.cmp(&b.reference)));
            hits.truncate(max);
            Ok(hits)
        }
    }

    /// Refuses the references that the query's context names.
    struct NotInContext(usize);

    impl Filter<u32> for NotInContext {
        type Error = Infallible;

        fn admits(&self, query: &Query<'_>, hit: &Hit) -> Result<bool, Infallible> {
            Ok(!query.context.contains(&hit.reference))
        }

        fn spare(&self) -> usize {
            self.0
        }
    }

    /// Reverses the hits wanted and as many more as it says.
    struct Reverse(usize);

    impl Rerank<u32> for Reverse {
        type Error = Infallible;

        fn pool(&self, max: usize) -> usize {
            max + self.0
        }

        fn rerank(&self, _: &Query<'_>, hits: Vec<Hit>) -> Result<Vec<Reranked>, Infallible> {
            Ok(hits.into_iter().enumerate().map(|(at, hit)| Reranked { hit, score: Some(at as f32) }).rev().collect())
        }
    }

    fn references(recalled: &Recalled<u32>) -> Vec<u32> {
        recalled.hits.iter().map(|hit| hit.reference).collect()
    }

    #[test]
    fn search_alone_finds_the_nearest_of_each_query() {
        let line = Line::new(10);
        let found = Retrieval::new(Length, &line).recall(&[Query::new("abc"), Query::new("")], 3).unwrap();
        assert_eq!(found.iter().map(references).collect::<Vec<_>>(), [vec![3, 2, 4], vec![0, 1, 2]]);
        assert_eq!(*line.asked.borrow(), [3, 3], "one search a query, for what is wanted");
        assert!(Retrieval::new(Length, &line).recall(&[], 3).unwrap().is_empty());
    }

    #[test]
    fn refused_hits_give_way_to_the_next() {
        let line = Line::new(10);
        let query = Query { text: "abc", context: &[3, 4] };
        let found = Retrieval::new(Length, &line).filtered(NotInContext(2)).recall(&[query], 2).unwrap();
        assert_eq!((references(&found[0]), found[0].filtered), (vec![2, 1], 2));
        assert_eq!(*line.asked.borrow(), [4]);
        // Without spare hits the search is repeated, for twice as many.
        let found = Retrieval::new(Length, &line).filtered(NotInContext(0)).recall(&[query], 2).unwrap();
        assert_eq!((references(&found[0]), line.asked.borrow().clone()), (vec![2, 1], vec![4, 2, 4]));
        // Filters combine, and one that is left out refuses nothing.
        let both = (NotInContext(0), Some(NotInContext(2)));
        let found = Retrieval::new(Length, &line).filtered((both, None::<NotInContext>)).recall(&[query], 2).unwrap();
        assert_eq!((references(&found[0]), found[0].filtered), (vec![2, 1], 2));
        // A filter that refuses everything ends with nothing.
        let all: Vec<u32> = (0..10).collect();
        let nothing = Retrieval::new(Length, &line).filtered(NotInContext(0)).recall(&[Query { text: "", context: &all }], 4).unwrap();
        assert_eq!(nothing[0], Recalled { filtered: 10, ..Recalled::default() });
    }

    #[test]
    fn the_margin_counts_after_the_other_stages() {
        let line = Line::new(10);
        let margin = |margin| Retrieval::new(Length, &line).within(Margin::new(Some(margin))).recall(&[Query::new("abc")], 5).unwrap();
        assert_eq!(references(&margin(1.0)[0]), [3, 2, 4]);
        assert_eq!(references(&margin(0.0)[0]), [3]);
        let reversed = Retrieval::new(Length, &line).reranked(Reverse(0)).recall(&[Query::new("abc")], 3).unwrap();
        assert_eq!(references(&reversed[0]), [4, 2, 3]);
        let narrow = Retrieval::new(Length, &line).within(Margin::new(Some(1.0))).within(Margin::ALL).within(Margin::new(Some(2.0)));
        assert_eq!(references(&narrow.recall(&[Query::new("abc")], 5).unwrap()[0]), [3, 2, 4], "the narrowest of several");
    }

    #[test]
    fn a_reranker_chooses_among_more_than_are_wanted() {
        let line = Line::new(10);
        let found = |reranker| Retrieval::new(Length, &line).reranked(reranker).recall(&[Query::new("abc")], 2).unwrap();
        // 3, 2, 4, 1, 5 are the five nearest.
        assert_eq!(references(&found(Some(Reverse(3)))[0]), [5, 1]);
        assert_eq!(found(Some(Reverse(3)))[0].scores, [Some(4.0), Some(3.0)]);
        assert_eq!((references(&found(None)[0]), found(None)[0].scores.clone()), (vec![3, 2], vec![None, None]));
        assert_eq!(*line.asked.borrow(), [5, 5, 2, 2]);
        // The margin is that to the best hit, wherever it is.
        let reversed = Retrieval::new(Length, &line).reranked(Reverse(0)).within(Margin::new(Some(1.0)));
        let within = reversed.recall(&[Query::new("abc")], 5).unwrap().remove(0);
        assert_eq!(
            (references(&within), within.scores),
            (vec![4, 2, 3], vec![Some(2.0), Some(1.0), Some(0.0)]),
            "scores stay with their hits"
        );
    }

    proptest! {
        #[test]
        fn a_filter_is_the_same_as_filtering_the_whole_ranking(
            count in 0u32..30, text in "a{0,30}", refused in proptest::collection::vec(0u32..30, 0..20), max in 0usize..12, spare in 0usize..6,
        ) {
            let line = Line::new(count);
            let query = Query { text: &text, context: &refused };
            let found = Retrieval::new(Length, &line).filtered(NotInContext(spare)).recall(&[query], max).unwrap().remove(0);
            let mut all = (&line).nearest(&query, &[text.len() as f32], count as usize).unwrap();
            all.retain(|hit| !refused.contains(&hit.reference));
            all.truncate(max);
            prop_assert_eq!(found.hits, all);
        }
    }
}

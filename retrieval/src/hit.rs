//! What a search finds.

/// A reference that a search found, and how similar it is to the query.
///
/// `R` names the reference: its number in a pack, a pack and a number, a place in a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit<R = u32> {
    /// The reference.
    pub reference: R,
    /// Its similarity to the query: the inner product of two unit vectors, so their cosine, unless a stage scores in another way.
    pub similarity: f32,
}

impl<R> Hit<R> {
    /// The same similarity of a reference under another name.
    pub fn map<S>(self, name: impl FnOnce(R) -> S) -> Hit<S> {
        Hit { reference: name(self.reference), similarity: self.similarity }
    }
}

/// A hit in the order of a reranker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reranked<R = u32> {
    /// The hit, with its similarity.
    pub hit: Hit<R>,
    /// The score that the reranker orders by, in a unit of its own; `None` if it gives none.
    pub score: Option<f32>,
}

impl<R> From<Hit<R>> for Reranked<R> {
    fn from(hit: Hit<R>) -> Self {
        Self { hit, score: None }
    }
}

/// What one query recalled.
#[derive(Clone, Debug, PartialEq)]
pub struct Recalled<R> {
    /// The hits, best first.
    pub hits: Vec<Hit<R>>,
    /// For each of them the score that the reranker gave it; `None` for all if no reranker gives scores.
    pub scores: Vec<Option<f32>>,
    /// References that the filter refused on the way.
    pub filtered: usize,
}

impl<R> Recalled<R> {
    /// Hits without scores.
    pub fn unscored(hits: Vec<Hit<R>>) -> Self {
        Self { scores: hits.iter().map(|_| None).collect(), hits, filtered: 0 }
    }
}

impl<R> Default for Recalled<R> {
    fn default() -> Self {
        Self { hits: Vec::new(), scores: Vec::new(), filtered: 0 }
    }
}

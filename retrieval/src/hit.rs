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

/// What one query recalled.
#[derive(Clone, Debug, PartialEq)]
pub struct Recalled<R> {
    /// The hits, best first.
    pub hits: Vec<Hit<R>>,
    /// References that the filter refused on the way.
    pub filtered: usize,
}

impl<R> Default for Recalled<R> {
    fn default() -> Self {
        Self { hits: Vec::new(), filtered: 0 }
    }
}

//! What a hit is, in words and places.

use mempack_format::{Damage, Defect, Origin, REFERENCE_BYTES, ReadError, Tag};
use mempack_retrieval::Hit;

use crate::{MappedPack, OnDamage};

/// Most further places that are listed of a hit. A boilerplate sentence may stand in every document of a corpus.
pub const MAX_FURTHER_PLACES: usize = 32;

/// A hit with its text and where that text comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedHit {
    /// Id of the document in which the text stands first in the corpus.
    pub document: String,
    /// Title of that document.
    pub title: String,
    /// Number of the reference in the pack.
    pub reference: u32,
    /// First byte in the document's text.
    pub start: u64,
    /// The byte behind the last.
    pub end: u64,
    /// Inner product with the query.
    pub score: f32,
    /// The reference's text.
    pub text: String,
    /// Where else the same text stands: the first [`MAX_FURTHER_PLACES`] of [`origins`](Self::origins) less one.
    pub further: Vec<Place>,
    /// In how many places the text stands.
    pub origins: u32,
}

/// A place in a document of the corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The document's id.
    pub document: String,
    /// The document's title.
    pub title: String,
    /// First byte in the document's text.
    pub start: u64,
    /// The byte behind the last.
    pub end: u64,
}

impl MappedPack {
    /// Text, document and span of a hit.
    ///
    /// # Errors
    /// If the pack has no such reference, or what it says of it is damaged.
    pub fn describe(&self, hit: &Hit) -> Result<ResolvedHit, ReadError> {
        self.steadily(|checks| {
            checks.tables(self)?;
            Ok(ResolvedHit { text: self.text(hit.reference)?, ..self.places(hit)? })
        })
    }

    /// The same, and whether the text is damaged and was left out: it is empty then.
    pub(crate) fn describe_or_skip(&self, hit: &Hit, on_damage: OnDamage<'_>) -> Result<(ResolvedHit, bool), ReadError> {
        self.steadily(|checks| {
            checks.tables(self)?;
            let text = self.tolerance(on_damage).admit(self.text(hit.reference))?;
            let found = self.places(hit)?;
            Ok(match text {
                Some(text) => (ResolvedHit { text, ..found }, false),
                None => (found, true),
            })
        })
    }

    /// A hit with its places, without its text.
    fn places(&self, hit: &Hit) -> Result<ResolvedHit, ReadError> {
        let reference = hit.reference;
        let mut origins = self.origins(reference)?;
        let count = origins.len();
        let Some(first) = origins.next() else {
            let offset = self.section_offset(Tag::REFERENCES) + u64::from(reference) * REFERENCE_BYTES;
            let defect = Defect::TooSmall { field: "origins of a reference", limit: 1, found: 0 };
            return Err(Damage { section: Tag::REFERENCES, offset, defect }.into());
        };
        let Place { document, title, start, end } = self.place(first)?;
        let further = origins.take(MAX_FURTHER_PLACES).map(|origin| self.place(origin)).collect::<Result<_, _>>()?;
        let origins = u32::try_from(count).unwrap_or(u32::MAX);
        Ok(ResolvedHit { document, title, reference, start, end, score: hit.similarity, text: String::new(), further, origins })
    }

    fn place(&self, origin: Origin) -> Result<Place, ReadError> {
        let document = self.document(origin.document)?;
        Ok(Place { document: document.id, title: document.title, start: origin.start, end: origin.end })
    }
}

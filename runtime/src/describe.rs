//! The text of a hit and its places in the corpus.

use mempack_format::{Damage, Defect, Metadata, Origin, OriginPlace, REFERENCE_BYTES, ReadError, Tag};
use mempack_retrieval::Hit;

use crate::checked::Checks;
use crate::fields::{CitedField, fields_of};
use crate::selection::Selected;
use crate::{MappedPack, OnDamage};

/// Maximum number of further places listed for a hit. A boilerplate sentence can occur in every document of a corpus.
pub const MAX_FURTHER_PLACES: usize = 32;

/// A hit with its text and the places of that text.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedHit {
    /// Id of the first document of the corpus that contains the text.
    pub document: String,
    /// Title of that document.
    pub title: String,
    /// Its metadata, in the order of the names; empty if it has none, or if it is damaged and was skipped.
    pub metadata: Vec<CitedField>,
    /// Number of the reference in the pack.
    pub reference: u32,
    /// Offset of the text in the document's text, in bytes.
    pub start: u64,
    /// End of the text, exclusive, in bytes.
    pub end: u64,
    /// Where it stands in the document, as a citation says it: pages, articles, rows; empty if the pack does not say, or if that is damaged and was skipped.
    pub place: OriginPlace,
    /// Inner product of the reference's embedding and the query.
    pub similarity: f32,
    /// The reference's text.
    pub text: String,
    /// Further places of the same text, in corpus order, at most [`MAX_FURTHER_PLACES`].
    pub further: Vec<Place>,
    /// Number of all places of the text, including the first.
    pub origins: u32,
}

/// A place in a document of the corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The document's id.
    pub document: String,
    /// The document's title.
    pub title: String,
    /// Offset of the place in the document's text, in bytes.
    pub start: u64,
    /// End of the place, exclusive, in bytes.
    pub end: u64,
    /// Where it stands in the document, as a citation says it.
    pub place: OriginPlace,
}

impl MappedPack {
    /// Text, document and byte range of a hit.
    ///
    /// # Errors
    /// If the pack does not have the reference, or its data about the reference is damaged.
    pub fn describe(&self, hit: &Hit) -> Result<ResolvedHit, ReadError> {
        self.read_consistent(|checks| {
            checks.tables(self)?;
            let metadata = self.fields(checks, hit.reference, None)?;
            checks.places(self)?;
            Ok(ResolvedHit { text: self.text(hit.reference)?, metadata, ..self.places_of(hit, None, self.places()?)? })
        })
    }

    /// As [`describe`](Self::describe), with the places in selected documents only, and whether the text is damaged and was skipped. A skipped text is
    /// empty, and so is skipped metadata.
    pub(crate) fn describe_or_skip(
        &self,
        hit: &Hit,
        selected: Option<&Selected>,
        on_damage: OnDamage<'_>,
    ) -> Result<(ResolvedHit, bool), ReadError> {
        self.read_consistent(|checks| {
            checks.tables(self)?;
            let text = self.tolerance(on_damage).admit(self.text(hit.reference))?;
            let metadata = self.tolerance(on_damage).admit(self.fields(checks, hit.reference, selected))?.unwrap_or_default();
            let places = self.tolerance(on_damage).admit(checks.places(self).and_then(|()| self.places()))?.flatten();
            let found = ResolvedHit { metadata, ..self.places_of(hit, selected, places)? };
            Ok(match text {
                Some(text) => (ResolvedHit { text, ..found }, false),
                None => (found, true),
            })
        })
    }

    /// The origins of a reference in selected documents, with their numbers; `None` selects all.
    fn origins_in(&self, reference: u32, selected: Option<&Selected>) -> Result<impl Iterator<Item = (u64, Origin)>, ReadError> {
        let admits =
            move |(_, origin): &(u64, Origin)| selected.is_none_or(|selected| selected.documents.contains(origin.document as usize));
        let first = self.reference(reference)?.first_origin;
        Ok((first..).zip(self.origins(reference)?).filter(admits))
    }

    /// The metadata of the first selected document that contains a reference.
    fn fields(&self, checks: &Checks, reference: u32, selected: Option<&Selected>) -> Result<Vec<CitedField>, ReadError> {
        checks.metadata(self)?;
        match self.origins_in(reference, selected)?.next() {
            Some((_, origin)) => fields_of(self, origin.document),
            None => Ok(Vec::new()),
        }
    }

    /// A hit with its places, an empty text and no metadata.
    fn places_of(&self, hit: &Hit, selected: Option<&Selected>, places: Option<Metadata<'_>>) -> Result<ResolvedHit, ReadError> {
        let reference = hit.reference;
        let count = self.origins_in(reference, selected)?.count();
        let mut origins = self.origins_in(reference, selected)?;
        let Some(first) = origins.next() else {
            let offset = self.section_offset(Tag::REFERENCES) + u64::from(reference) * REFERENCE_BYTES;
            let defect = Defect::TooSmall { field: "origins of a reference", limit: 1, found: 0 };
            return Err(Damage { section: Tag::REFERENCES, offset, defect }.into());
        };
        let Place { document, title, start, end, place } = self.place(first, places)?;
        let further = origins.take(MAX_FURTHER_PLACES).map(|origin| self.place(origin, places)).collect::<Result<_, _>>()?;
        let origins = u32::try_from(count).unwrap_or(u32::MAX);
        let (text, metadata, similarity) = (String::new(), Vec::new(), hit.similarity);
        Ok(ResolvedHit { document, title, metadata, reference, start, end, place, similarity, text, further, origins })
    }

    fn place(&self, (number, origin): (u64, Origin), places: Option<Metadata<'_>>) -> Result<Place, ReadError> {
        let document = self.document(origin.document)?;
        // A pack with places has no more origins than a u32 counts.
        let place = places.map(|places| OriginPlace::read(&places, number as u32)).transpose()?.unwrap_or_default();
        Ok(Place { document: document.id, title: document.title, start: origin.start, end: origin.end, place })
    }
}

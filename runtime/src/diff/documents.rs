//! Comparing documents by their ids.

use std::cmp::Ordering;

use mempack_format::{Digest, Document, Pack, ReadError};

use super::metadata::Fields;
use super::{Change, Counted, DiffError, Side};

/// The documents of a pack, prepared for comparison.
pub(super) struct Documents {
    /// Digest of each document's id, by document number.
    pub names: Vec<Digest>,
    /// For each document the number of its references, and a digest over their keys in document order.
    contents: Vec<(u32, Digest)>,
    /// The document numbers, sorted by `names`.
    order: Vec<u32>,
}

impl Documents {
    pub fn of<D: AsRef<[u8]>>(pack: &Pack<D>) -> Result<Self, ReadError> {
        let count = pack.manifest().counts.documents;
        let names: Vec<Digest> =
            (0..count).map(|document| Ok(Digest::of(pack.document(document)?.id.as_bytes()))).collect::<Result<_, ReadError>>()?;
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_by_key(|document| (names.get(*document as usize), *document));
        Ok(Self { contents: contents(pack, count)?, names, order })
    }

    fn name(&self, document: u32) -> Option<&Digest> {
        self.names.get(document as usize)
    }

    fn contents(&self, document: u32) -> (u32, Digest) {
        self.contents.get(document as usize).copied().unwrap_or((0, Digest::of(b"")))
    }
}

/// For each document the number of its references, and the digest over their keys in document order.
fn contents<D: AsRef<[u8]>>(pack: &Pack<D>, count: u32) -> Result<Vec<(u32, Digest)>, ReadError> {
    let counts = pack.manifest().counts;
    let mut places: Vec<(u32, u64, u32)> = Vec::with_capacity(usize::try_from(counts.origins).unwrap_or_default());
    for reference in 0..counts.references {
        places.extend(pack.origins(reference)?.map(|origin| (origin.document, origin.start, reference)));
    }
    places.sort_unstable();
    let mut places = places.into_iter().peekable();
    let mut contents = Vec::with_capacity(count as usize);
    for document in 0..count {
        let (mut references, mut keys) = (0, Vec::new());
        while let Some((.., reference)) = places.next_if(|(of, ..)| *of == document) {
            references += 1;
            keys.extend_from_slice(&pack.reference(reference)?.key.0);
        }
        contents.push((references, Digest::of(&keys)));
    }
    Ok(contents)
}

/// A pack and its documents.
type Of<'a, D> = (&'a Pack<D>, &'a Documents);

/// Merges the documents of both packs in the order of `names`.
pub(super) fn compare<A: AsRef<[u8]>, B: AsRef<[u8]>>(
    (old, before): Of<'_, A>,
    (new, after): Of<'_, B>,
    metadata: &Fields<'_>,
    each: &mut dyn FnMut(Change),
) -> Result<Counted, DiffError> {
    let mut counted = Counted::default();
    let (mut left, mut right) = (before.order.iter().copied().peekable(), after.order.iter().copied().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return Ok(counted),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => before.name(*a).cmp(&after.name(*b)),
        };
        // If an id repeats, the first is compared with the first, and so on; the surplus of one pack counts as added or removed.
        let a = if order.is_le() { left.next() } else { None };
        let b = if order.is_ge() { right.next() } else { None };
        let both = a.zip(b);
        let a = a.map(|number| Ok((old.document(number)?, before.contents(number)))).transpose().map_err(Side::Old.failed())?;
        let b = b.map(|number| Ok((new.document(number)?, after.contents(number)))).transpose().map_err(Side::New.failed())?;
        let changed = both.map_or(Ok(Vec::new()), |(a, b)| metadata.changed(a, b))?;
        match (a, b) {
            (Some((document, (references, _))), None) => {
                counted.removed += 1;
                each(Change::DocumentRemoved { id: document.id, references });
            }
            (None, Some((document, (references, _)))) => {
                counted.added += 1;
                each(Change::DocumentAdded { id: document.id, references });
            }
            (Some((a, was)), Some((b, is))) => {
                let fields: Vec<String> = fields(&a, &b).into_iter().map(String::from).chain(changed).collect();
                let references = (was != is).then_some((was.0, is.0));
                if fields.is_empty() && references.is_none() {
                    counted.kept += 1;
                } else {
                    counted.changed += 1;
                    each(Change::DocumentChanged { id: a.id, fields, references });
                }
            }
            (None, None) => return Ok(counted),
        }
    }
}

/// The fields in which two documents differ.
fn fields(a: &Document, b: &Document) -> Vec<&'static str> {
    let all = [
        ("title", &a.title, &b.title),
        ("license", &a.license, &b.license),
        ("source", &a.source, &b.source),
        ("version", &a.version, &b.version),
        ("date", &a.date, &b.date),
    ];
    all.into_iter().filter(|(_, a, b)| a != b).map(|(name, ..)| name).collect()
}

//! Comparing references by their keys.

use std::cmp::Ordering;

use mempack_format::{Digest, Origin, OriginPlace, Pack, PlaceField, ReadError};

use super::{Change, Counted, DiffError, Side};

/// The keys of a pack, sorted, with their numbers.
fn keys<D: AsRef<[u8]>>(pack: &Pack<D>) -> Result<Vec<(Digest, u32)>, ReadError> {
    let keys = (0..pack.manifest().counts.references).map(|reference| Ok((pack.reference(reference)?.key, reference)));
    let mut keys: Vec<_> = keys.collect::<Result<_, ReadError>>()?;
    keys.sort_unstable();
    Ok(keys)
}

/// The digest of a document's id, a byte range of the document, and where that stands, as a citation says it.
type Place = (Option<Digest>, u64, u64, Vec<PlaceField>);

/// The places of a reference, sorted.
fn places<D: AsRef<[u8]>>(pack: &Pack<D>, names: &[Digest], reference: u32) -> Result<Vec<Place>, ReadError> {
    let cited = pack.places()?;
    let place = |(number, origin): (u64, Origin)| {
        let cited = cited.map(|cited| OriginPlace::read(&cited, number as u32)).transpose()?.unwrap_or_default();
        Ok((names.get(origin.document as usize).copied(), origin.start, origin.end, cited.fields()))
    };
    let first = pack.reference(reference)?.first_origin;
    let mut places: Vec<Place> = (first..).zip(pack.origins(reference)?).map(place).collect::<Result<_, ReadError>>()?;
    places.sort_unstable();
    Ok(places)
}

/// A pack and the digests of its documents' ids.
type Of<'a, D> = (&'a Pack<D>, &'a [Digest]);

/// Merges the references of both packs in the order of their keys. Returns the counts, and the number of kept references whose places
/// differ.
pub(super) fn compare<A: AsRef<[u8]>, B: AsRef<[u8]>>(
    (old, old_names): Of<'_, A>,
    (new, new_names): Of<'_, B>,
    each: &mut dyn FnMut(Change),
) -> Result<(Counted, u64), DiffError> {
    let (before, after) = (keys(old).map_err(Side::Old.failed())?, keys(new).map_err(Side::New.failed())?);
    let (mut counted, mut moved) = (Counted::default(), 0);
    let (mut left, mut right) = (before.into_iter().peekable(), after.into_iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return Ok((counted, moved)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let a = if order.is_le() { left.next() } else { None };
        let b = if order.is_ge() { right.next() } else { None };
        match (a, b) {
            (Some((key, reference)), None) => {
                counted.removed += 1;
                each(Change::ReferenceRemoved { key, reference });
            }
            (None, Some((key, reference))) => {
                counted.added += 1;
                each(Change::ReferenceAdded { key, reference });
            }
            (Some((key, a)), Some((_, b))) => {
                counted.kept += 1;
                let was = places(old, old_names, a).map_err(Side::Old.failed())?;
                if was != places(new, new_names, b).map_err(Side::New.failed())? {
                    moved += 1;
                    each(Change::ReferenceMoved { key, old: a, new: b });
                }
            }
            (None, None) => return Ok((counted, moved)),
        }
    }
}

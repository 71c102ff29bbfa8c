//! Equal passages become one reference with all its origins, in bounded memory.

use std::sync::atomic::AtomicBool;

use mempack_format::{Digest, Origin};

use crate::BuildError;
use crate::cancel::check;
use crate::scratch::{Scratch, Sorted, Sorter};
use crate::tuning::selection::{Purpose, Selection, Selector};

/// Maximum number of references of a pack. Their numbers are `u32`, and the highest two have other meanings.
const MAX_REFERENCES: u64 = u32::MAX as u64 - 2;

/// Key, name of the candidate, occurrence.
const BY_KEY: usize = 32 + 8 + OCCURRENCE;
/// Name of the first candidate with the key, name of this one, occurrence.
const BY_FIRST: usize = 8 + 8 + OCCURRENCE;
/// Document, start, end, place.
const OCCURRENCE: usize = 4 + 8 + 8 + 4;

/// Where a candidate was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Occurrence {
    pub origin: Origin,
    /// The number of its [place](crate::places::PlaceTable).
    pub place: u32,
}

/// Collects every candidate with its origin.
pub(crate) struct Deduplicator<'a> {
    scratch: &'a Scratch,
    sorter: Sorter<'a, BY_KEY>,
}

/// The unique references, in the order of their first occurrence.
pub(crate) struct References {
    sorted: Sorted<BY_FIRST>,
    ahead: Option<[u8; BY_FIRST]>,
    /// How many there are.
    pub count: u64,
    /// The references for the codec's sample, and those to train centroids on.
    pub selection: Selection,
}

/// A reference before it has a number and a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unique {
    /// The candidate of its first occurrence.
    pub name: u64,
    /// Every occurrence, the first one first.
    pub occurrences: Vec<Occurrence>,
}

impl<'a> Deduplicator<'a> {
    pub fn new(scratch: &'a Scratch) -> Self {
        Self { scratch, sorter: Sorter::new(scratch, "by-key") }
    }

    pub fn push(&mut self, key: &Digest, name: u64, occurrence: Occurrence) -> Result<(), BuildError> {
        let mut record = [0; BY_KEY];
        record[..32].copy_from_slice(&key.0);
        record[32..40].copy_from_slice(&name.to_be_bytes());
        put_occurrence(&mut record[40..], occurrence);
        self.sorter.push(record)
    }

    /// Sorts by key, which brings equal candidates together, then by the first of each.
    ///
    /// Of a plan's references, at most `max_routed` are selected to train centroids on.
    pub fn finish(self, purpose: Purpose<'_>, max_routed: usize, cancel: &AtomicBool) -> Result<References, BuildError> {
        let mut by_key = self.sorter.finish()?;
        let mut by_first = Sorter::new(self.scratch, "by-first");
        let (mut key, mut first) = ([0; 32], 0u64);
        let mut selector = Selector::new(purpose, max_routed);
        let (mut count, mut seen) = (0u64, 0u64);
        while let Some(record) = by_key.next()? {
            if seen % 4096 == 0 {
                check(cancel)?;
            }
            seen += 1;
            if count == 0 || record[..32] != key {
                key.copy_from_slice(&record[..32]);
                first = number(&record[32..40]);
                selector.add(&Digest(key), first);
                count += 1;
            }
            let mut out = [0; BY_FIRST];
            out[..8].copy_from_slice(&first.to_be_bytes());
            out[8..].copy_from_slice(&record[32..]);
            by_first.push(out)?;
        }
        drop(by_key);
        if count > MAX_REFERENCES {
            return Err(BuildError::TooManyReferences { cap: MAX_REFERENCES });
        }
        let mut sorted = by_first.finish()?;
        let ahead = sorted.next()?;
        Ok(References { sorted, ahead, count, selection: selector.finish(count) })
    }
}

impl References {
    /// The next reference.
    pub fn next(&mut self) -> Result<Option<Unique>, BuildError> {
        let Some(record) = self.ahead.take() else { return Ok(None) };
        let name = number(&record[..8]);
        let mut occurrences = vec![occurrence(&record[16..])];
        loop {
            self.ahead = self.sorted.next()?;
            match &self.ahead {
                Some(record) if number(&record[..8]) == name => occurrences.push(occurrence(&record[16..])),
                _ => return Ok(Some(Unique { name, occurrences })),
            }
        }
    }
}

fn put_occurrence(out: &mut [u8], Occurrence { origin, place }: Occurrence) {
    out[..4].copy_from_slice(&origin.document.to_be_bytes());
    out[4..12].copy_from_slice(&origin.start.to_be_bytes());
    out[12..20].copy_from_slice(&origin.end.to_be_bytes());
    out[20..24].copy_from_slice(&place.to_be_bytes());
}

fn occurrence(bytes: &[u8]) -> Occurrence {
    let origin = Origin { document: number(&bytes[..4]) as u32, start: number(&bytes[4..12]), end: number(&bytes[12..20]) };
    Occurrence { origin, place: number(&bytes[20..24]) as u32 }
}

/// A big-endian number of at most 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::tuning::selection::split;

    proptest! {
        #[test]
        fn each_key_once_with_all_origins(kinds in prop::collection::vec(0u8..20, 0..300), train in 0usize..30, kept: bool) {
            let folder = tempfile::tempdir().unwrap();
            let scratch = Scratch::on_disk(folder.path());
            let mut deduplicator = Deduplicator::new(&scratch);
            let mut firsts: BTreeMap<u8, u64> = BTreeMap::new();
            let mut oracle: BTreeMap<u64, Vec<Occurrence>> = BTreeMap::new();
            for (i, kind) in kinds.iter().enumerate() {
                let name = i as u64 * 1000;
                let occurrence = Occurrence { origin: Origin { document: i as u32, start: name, end: name + 7 }, place: i as u32 % 5 };
                deduplicator.push(&Digest::of(&[*kind]), name, occurrence).unwrap();
                let first = *firsts.entry(*kind).or_insert(name);
                oracle.entry(first).or_default().push(occurrence);
            }
            // What a previous pack knows is any set of keys.
            let known = |key: &Digest| key.0[0] < 100;
            let purpose = if kept { Purpose::KeptCodec { known: &known } } else { Purpose::NewCodec { max_train: train, codebooks: false } };
            let mut references = deduplicator.finish(purpose, 7, &AtomicBool::new(false)).unwrap();
            prop_assert_eq!(references.count, oracle.len() as u64);
            let mut by_key: Vec<(Digest, u64)> = firsts.iter().map(|(kind, first)| (Digest::of(&[*kind]), *first)).collect();
            by_key.sort_unstable();
            let (trained, held) = if kept { (0, by_key.len()) } else { split(by_key.len() as u64, train) };
            let names = |some: &[(Digest, u64)]| {
                let mut names: Vec<u64> = some.iter().map(|(_, first)| *first).collect();
                names.sort_unstable();
                names
            };
            let smallest: Vec<u64> = by_key.iter().take(7).map(|(_, first)| *first).collect();
            prop_assert_eq!(&references.selection.routed, &smallest);
            // There are so few of both kinds that all are held out.
            prop_assert_eq!(&references.selection.train, &names(&by_key[..trained]));
            prop_assert_eq!(&references.selection.held_out, &names(&by_key[by_key.len() - held..]));
            for (name, occurrences) in oracle {
                prop_assert_eq!(references.next().unwrap(), Some(Unique { name, occurrences }));
            }
            prop_assert_eq!(references.next().unwrap(), None);
        }
    }
}

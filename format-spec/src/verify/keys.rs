//! Verification of keys: no key may be repeated (SPEC 7), for packs of any size.

use crate::constants::REFERENCE_BYTES;
use crate::error::{Damage, Defect, Interrupted};
use crate::{Pack, PackId};

/// Most keys compared in one pass over the references; with [`ENTRY_BYTES`] this bounds the memory of the comparison.
const MAX_KEYS: usize = 1 << 22;
/// Keys that a pass should get: an eighth of the room is left for uneven ranges.
const KEYS_PER_PASS: u64 = MAX_KEYS as u64 / 8 * 7;
const ENTRY_BYTES: usize = size_of::<Entry>();
/// Most memory that the comparison of keys takes in [`Pack::verify`]: 16 bytes a reference, up to this.
pub const VERIFY_KEY_BYTES: usize = MAX_KEYS * ENTRY_BYTES;

/// The place of a key, and its reference.
#[derive(Clone, Copy)]
struct Entry {
    place: u64,
    reference: u32,
}

/// Hashes keys to places, so that ranges of places hold about equally many keys. The multipliers are the pack's id, which depends on all
/// keys: so keys cannot be chosen to fall into one pass.
struct Places([u64; 4]);

impl Places {
    fn new(id: PackId) -> Self {
        Self(words(&id.0.0).map(|word| word | 1))
    }

    fn of(&self, key: &[u8; 32]) -> u64 {
        self.0.iter().zip(words(key)).fold(0, |sum, (factor, word)| sum.wrapping_add(factor.wrapping_mul(word)))
    }
}

fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    let pieces = bytes.as_chunks::<8>().0;
    words.iter_mut().zip(pieces).for_each(|(word, piece)| *word = u64::from_le_bytes(*piece));
    words
}

/// Reports every reference that has the key of a reference of a lower number.
///
/// Sorts the keys by a place of 8 bytes. Where these are too many for the memory allowed, several passes over the references each take a
/// range of places.
pub(super) fn repeated<D: AsRef<[u8]>>(
    pack: &Pack<D>,
    report: &mut dyn FnMut(Damage) -> Result<(), Interrupted>,
) -> Result<(), Interrupted> {
    find(pack, KEYS_PER_PASS, report)
}

fn find<D: AsRef<[u8]>>(
    pack: &Pack<D>,
    at_once: u64,
    report: &mut dyn FnMut(Damage) -> Result<(), Interrupted>,
) -> Result<(), Interrupted> {
    let references = pack.manifest().counts.references;
    let places = Places::new(pack.id());
    let passes = u64::from(references).div_ceil(at_once);
    let mut entries: Vec<Entry> = Vec::with_capacity(references.min(at_once as u32) as usize);
    for pass in 0..passes {
        entries.clear();
        for reference in 0..references {
            let place = match pack.raw_reference(reference) {
                Ok(raw) => places.of(raw.key()),
                Err(damage) => return report(damage),
            };
            if (u128::from(place) * u128::from(passes)) >> 64 != u128::from(pass) {
                continue;
            }
            if entries.len() >= MAX_KEYS {
                // Only repeated keys can be so many.
                report_repeated(pack, &mut entries, report)?;
            }
            entries.push(Entry { place, reference });
        }
        report_repeated(pack, &mut entries, report)?;
    }
    Ok(())
}

/// Reports repeated keys, and keeps one entry of each.
fn report_repeated<D: AsRef<[u8]>>(
    pack: &Pack<D>,
    entries: &mut Vec<Entry>,
    report: &mut dyn FnMut(Damage) -> Result<(), Interrupted>,
) -> Result<(), Interrupted> {
    let key = |entry: &Entry| pack.raw_reference(entry.reference).map(|raw| *raw.key()).unwrap_or_default();
    // Keys are read only where places are equal.
    entries.sort_unstable_by(|a, b| {
        let places = a.place.cmp(&b.place);
        places.then_with(|| key(a).cmp(&key(b))).then(a.reference.cmp(&b.reference))
    });
    let section = &pack.layout().references;
    let mut first: Option<Entry> = None;
    for entry in entries.iter() {
        match first.filter(|first| first.place == entry.place && key(first) == key(entry)) {
            None => first = Some(*entry),
            Some(Entry { reference: first, .. }) => {
                let reference = entry.reference;
                report(pack.damage(section, u64::from(reference) * REFERENCE_BYTES, (0, Defect::RepeatedKey { reference, first })))?;
            }
        }
    }
    entries.dedup_by(|later, first| later.place == first.place && key(later) == key(first));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &[u8] = include_bytes!("../../tests/golden/v1.0.mpk");

    /// The references reported, in order, for a pack in which each first key of a pair is replaced by the second.
    fn reported(at_once: u64, equal: &[(u32, u32)]) -> Vec<(u32, u32)> {
        let mut bytes = GOLDEN.to_vec();
        let pack = Pack::open(GOLDEN).unwrap();
        let at = |reference: u32| pack.layout().references.offset as usize + 64 * reference as usize;
        equal.iter().for_each(|(later, first)| bytes.copy_within(at(*first)..at(*first) + 32, at(*later)));
        let mut found = Vec::new();
        let result = find(&Pack::open(&bytes[..]).unwrap(), at_once, &mut |damage| {
            let Defect::RepeatedKey { reference, first } = damage.defect else { panic!("{damage}") };
            assert_eq!(damage.offset as usize, at(reference));
            found.push((reference, first));
            Ok(())
        });
        result.unwrap();
        found.sort_unstable();
        found
    }

    #[test]
    fn every_repeated_key_is_reported_in_any_number_of_passes() {
        let all: Vec<(u32, u32)> = (1..24).map(|reference| (reference, 0)).collect();
        for at_once in [1, 2, 5, 23, 24, 1000] {
            assert_eq!(reported(at_once, &[]), []);
            assert_eq!(reported(at_once, &[(7, 2)]), [(7, 2)]);
            assert_eq!(reported(at_once, &[(23, 22), (9, 0), (11, 0)]), [(9, 0), (11, 0), (23, 22)]);
            assert_eq!(reported(at_once, &all), all);
        }
    }
}

//! Verification of keys: none may be there twice (SPEC 7), however many there are.

use crate::constants::REFERENCE_BYTES;
use crate::error::{Damage, Defect, Interrupted};
use crate::{Pack, PackId};

/// Keys compared in one pass over the references; with [`ENTRY_BYTES`] they fix what the comparison may take.
const MOST_AT_ONCE: usize = 1 << 22;
/// Of so many keys a pass takes all those of its range: an eighth is left for chance.
const WANTED_AT_ONCE: u64 = MOST_AT_ONCE as u64 / 8 * 7;
const ENTRY_BYTES: usize = size_of::<Entry>();
/// Most memory that the comparison of keys takes in [`Pack::verify`]: 16 bytes a reference, up to this.
pub const VERIFY_KEY_BYTES: usize = MOST_AT_ONCE * ENTRY_BYTES;

/// A key's place among all, and whose key it is.
#[derive(Clone, Copy)]
struct Entry {
    place: u64,
    reference: u32,
}

/// Spreads keys evenly, whatever they are. The multipliers are the pack's id, which nobody knows before all keys are chosen: so no
/// choice of keys brings them all into one pass.
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

/// Tells of every reference that has the key of another of a lower number.
///
/// Sorts the keys by a place of 8 bytes; where those are too many for the memory allowed, passes over the references take one range of
/// places after the other.
pub(super) fn repeated<D: AsRef<[u8]>>(pack: &Pack<D>, tell: &mut dyn FnMut(Damage) -> Result<(), Interrupted>) -> Result<(), Interrupted> {
    find(pack, WANTED_AT_ONCE, tell)
}

fn find<D: AsRef<[u8]>>(pack: &Pack<D>, at_once: u64, tell: &mut dyn FnMut(Damage) -> Result<(), Interrupted>) -> Result<(), Interrupted> {
    let references = pack.manifest().counts.references;
    let places = Places::new(pack.id());
    let passes = u64::from(references).div_ceil(at_once);
    let mut entries: Vec<Entry> = Vec::with_capacity(references.min(at_once as u32) as usize);
    for pass in 0..passes {
        entries.clear();
        for reference in 0..references {
            let place = match pack.raw_reference(reference) {
                Ok(raw) => places.of(raw.key()),
                Err(damage) => return tell(damage),
            };
            if (u128::from(place) * u128::from(passes)) >> 64 != u128::from(pass) {
                continue;
            }
            if entries.len() >= MOST_AT_ONCE {
                // Only keys that are there many times are so many.
                tell_repeated(pack, &mut entries, tell)?;
            }
            entries.push(Entry { place, reference });
        }
        tell_repeated(pack, &mut entries, tell)?;
    }
    Ok(())
}

/// Tells of the keys that are there twice, and keeps each once.
fn tell_repeated<D: AsRef<[u8]>>(
    pack: &Pack<D>,
    entries: &mut Vec<Entry>,
    tell: &mut dyn FnMut(Damage) -> Result<(), Interrupted>,
) -> Result<(), Interrupted> {
    let key = |entry: &Entry| pack.raw_reference(entry.reference).map(|raw| *raw.key()).unwrap_or_default();
    // Keys are looked at only where their places are equal.
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
                tell(pack.damage(section, u64::from(reference) * REFERENCE_BYTES, (0, Defect::RepeatedKey { reference, first })))?;
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

    /// The references told of, in the order of their numbers, with keys of a pack made equal as `edit` says.
    fn told(at_once: u64, equal: &[(u32, u32)]) -> Vec<(u32, u32)> {
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
    fn every_repeated_key_is_told_in_any_number_of_passes() {
        let all: Vec<(u32, u32)> = (1..24).map(|reference| (reference, 0)).collect();
        for at_once in [1, 2, 5, 23, 24, 1000] {
            assert_eq!(told(at_once, &[]), []);
            assert_eq!(told(at_once, &[(7, 2)]), [(7, 2)]);
            assert_eq!(told(at_once, &[(23, 22), (9, 0), (11, 0)]), [(9, 0), (11, 0), (23, 22)]);
            assert_eq!(told(at_once, &all), all);
        }
    }
}

//! The parts of a pack that have been compared with their digests.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use mempack_format::{Pack, ReadError, Tag};

/// Words per page. A page covers 32,768 references.
const WORDS: usize = 512;

/// The comparisons made since the file last changed.
#[derive(Debug)]
pub(crate) struct Checks {
    leaves: OnceLock<Result<(), ReadError>>,
    tables: OnceLock<Result<(), ReadError>>,
    terms: OnceLock<Result<(), ReadError>>,
    metadata: OnceLock<Result<(), ReadError>>,
    places: OnceLock<Result<(), ReadError>>,
    pub(crate) memories: Checked,
    pub(crate) embeddings: Checked,
}

impl Checks {
    /// No comparisons yet, for a pack of `references` references.
    pub(crate) fn new(references: u32) -> Self {
        Self {
            leaves: OnceLock::new(),
            tables: OnceLock::new(),
            terms: OnceLock::new(),
            metadata: OnceLock::new(),
            places: OnceLock::new(),
            memories: Checked::new(references),
            embeddings: Checked::new(references),
        }
    }

    /// Compares the leaf digests with their section's digest at the first call. Other threads wait for the result.
    pub(crate) fn leaves<D: AsRef<[u8]>>(&self, pack: &Pack<D>) -> Result<(), ReadError> {
        self.leaves.get_or_init(|| pack.check_leaves()).clone()
    }

    /// Compares the tables of references, origins and documents with their sections' digests at the first call.
    pub(crate) fn tables<D: AsRef<[u8]>>(&self, pack: &Pack<D>) -> Result<(), ReadError> {
        self.tables.get_or_init(|| pack.check_tables()).clone()
    }

    /// Compares the inverted index with its section's digest at the first call.
    pub(crate) fn terms<D: AsRef<[u8]>>(&self, pack: &Pack<D>) -> Result<(), ReadError> {
        self.terms.get_or_init(|| pack.section(Tag::TERMS).map(|_| ())).clone()
    }

    /// Compares the metadata of documents with its section's digest at the first call.
    pub(crate) fn metadata<D: AsRef<[u8]>>(&self, pack: &Pack<D>) -> Result<(), ReadError> {
        self.metadata.get_or_init(|| pack.section(Tag::METADATA).map(|_| ())).clone()
    }

    /// Compares the places of origins with their section's digest at the first call.
    pub(crate) fn places<D: AsRef<[u8]>>(&self, pack: &Pack<D>) -> Result<(), ReadError> {
        self.places.get_or_init(|| pack.section(Tag::PLACES).map(|_| ())).clone()
    }
}

/// A concurrent set of references that only grows. It uses one bit per reference, in pages that are allocated on first use, so an empty set
/// is small for a pack of any size.
#[derive(Debug)]
pub(crate) struct Checked(Vec<OnceLock<Box<[AtomicU64]>>>);

impl Checked {
    pub(crate) fn new(references: u32) -> Self {
        Self((0..(references as usize).div_ceil(64 * WORDS)).map(|_| OnceLock::new()).collect())
    }

    fn contains(&self, reference: u32) -> bool {
        let (page, word, bit) = place(reference);
        let word = self.0.get(page).and_then(OnceLock::get).and_then(|words| words.get(word));
        word.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Calls `compare` unless the reference is in the set, and adds the reference if the comparison succeeds.
    pub(crate) fn once<E>(&self, reference: u32, compare: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        if !self.contains(reference) {
            compare()?;
            self.insert(reference);
        }
        Ok(())
    }

    /// Adds a reference. A number beyond the set's size has no effect.
    fn insert(&self, reference: u32) {
        let (page, word, bit) = place(reference);
        let Some(page) = self.0.get(page) else { return };
        let words = page.get_or_init(|| (0..WORDS).map(|_| AtomicU64::new(0)).collect());
        if let Some(word) = words.get(word) {
            // Relaxed is enough: a bit means that bytes of an unchanged file were right, and publishes nothing else.
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }
}

fn place(reference: u32) -> (usize, usize, u64) {
    let word = reference as usize / 64;
    (word / WORDS, word % WORDS, 1 << (reference % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn is_a_set(count in 0u32..100_000, inserted in proptest::collection::vec(0u32..100_000, 0..50), asked in proptest::collection::vec(0u32..100_000, 0..50)) {
            let checked = Checked::new(count);
            inserted.iter().for_each(|&reference| checked.insert(reference));
            let set: HashSet<u32> = inserted.iter().copied().filter(|&reference| reference < count.div_ceil(32_768) * 32_768).collect();
            for reference in asked.iter().chain(&inserted) {
                prop_assert_eq!(checked.contains(*reference), set.contains(reference));
            }
        }
    }
}

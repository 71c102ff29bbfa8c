//! Ids are unique: a pack names its documents by them, and they are withdrawn by them.

use std::collections::HashMap;

use mempack_format::Digest;

use crate::{CorpusNote, DuplicateIds};

/// Where a document is: the number of its file, from 0, and its line there, or 0 if it is the whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub file: u32,
    pub line: u32,
}

/// The ids that were given out.
///
/// Memory: 24 bytes for each document, of which 16 are a digest of its id, in a hash table that is at least half full: 28 to 56 MB for a
/// million documents.
pub(super) struct Ids {
    rule: DuplicateIds,
    /// The place of each id; where equal ids are numbered, how many there are.
    seen: HashMap<[u8; 16], Place>,
    numbered: u64,
    example: String,
}

impl Ids {
    pub fn new(rule: DuplicateIds) -> Self {
        Self { rule, seen: HashMap::new(), numbered: 0, example: String::new() }
    }

    /// Takes the id of a document. Gives the id that it has in the pack, or the place of the document that has this id.
    pub fn take(&mut self, id: &str, place: Place) -> Result<Option<String>, Place> {
        let first = match self.rule {
            DuplicateIds::Refuse => place,
            DuplicateIds::Suffix => Place { file: 1, line: 0 },
        };
        let count = match self.seen.entry(digest(id)) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(first);
                return Ok(None);
            }
            std::collections::hash_map::Entry::Occupied(entry) if self.rule == DuplicateIds::Refuse => return Err(*entry.get()),
            std::collections::hash_map::Entry::Occupied(entry) => entry.get().file,
        };
        // An id with a number may be another document's own.
        let mut number = count;
        let numbered = loop {
            number = number.saturating_add(1);
            let numbered = format!("{id}#{number}");
            if self.seen.insert(digest(&numbered), first).is_none() || number == u32::MAX {
                break numbered;
            }
        };
        self.seen.insert(digest(id), Place { file: number, line: 0 });
        self.numbered += 1;
        if self.numbered == 1 {
            self.example.clone_from(&numbered);
        }
        Ok(Some(numbered))
    }

    /// A note on the ids that were numbered.
    pub fn note(&mut self) -> Option<CorpusNote> {
        let documents = std::mem::take(&mut self.numbered);
        (documents > 0).then(|| CorpusNote::IdsNumbered { documents, example: std::mem::take(&mut self.example) })
    }
}

fn digest(id: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Digest::of(id.as_bytes()).0[..16]);
    short
}

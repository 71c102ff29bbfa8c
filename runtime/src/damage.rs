//! What a reader does about damage: fail, or skip the damaged part and count it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mempack_format::{Damage, PackId, ReadError, Tag};

/// What to do about a damaged memory, vector or text.
#[derive(Clone, Copy, Debug, Default)]
pub enum OnDamage<'a> {
    /// Return the error, which names the section and the offset.
    #[default]
    Fail,
    /// Skip the damaged part, and count it here.
    Skip(&'a Skipped),
}

/// The damaged parts that were skipped. Threads can share it. A place counts once, however often it is read.
#[derive(Debug, Default)]
pub struct Skipped(Mutex<Places>);

/// The damage at each offset, by pack and section.
type Places = BTreeMap<(PathBuf, PackId, Tag), BTreeMap<u64, Damage>>;

/// The damage skipped in one section of a pack.
#[derive(Clone, Debug, PartialEq)]
pub struct SkippedPart {
    /// The pack's file.
    pub path: PathBuf,
    /// The pack's id.
    pub id: PackId,
    /// The section.
    pub section: Tag,
    /// Number of damaged places.
    pub places: usize,
    /// The damage with the lowest offset.
    pub first: Damage,
}

impl std::fmt::Display for SkippedPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, section, places, first, .. } = self;
        let noun = if *places == 1 { "place" } else { "places" };
        write!(f, "{}: left out {places} damaged {noun} of section {section}: at byte {}, {}", path.display(), first.offset, first.defect)
    }
}

impl Skipped {
    /// All damage skipped so far, by file and section.
    pub fn parts(&self) -> Vec<SkippedPart> {
        let part = |((path, id, section), places): (&(PathBuf, PackId, Tag), &BTreeMap<u64, Damage>)| {
            let first = places.values().next()?.clone();
            Some(SkippedPart { path: path.clone(), id: *id, section: *section, places: places.len(), first })
        };
        self.lock().iter().filter_map(part).collect()
    }

    fn note(&self, path: &Path, id: PackId, damage: Damage) {
        let place = (path.to_owned(), id, damage.section);
        self.lock().entry(place).or_default().entry(damage.offset).or_insert(damage);
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // After a panic under the lock, at worst one place is not counted.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// [`OnDamage`] for one pack.
#[derive(Clone, Copy)]
pub(crate) struct Tolerance<'a> {
    pub(crate) on_damage: OnDamage<'a>,
    pub(crate) path: &'a Path,
    pub(crate) id: PackId,
}

impl Tolerance<'_> {
    /// Whether damage is skipped.
    pub(crate) fn skips(&self) -> bool {
        matches!(self.on_damage, OnDamage::Skip(_))
    }

    /// The value read; `None` if it is damaged and skipped. Skipped damage is counted.
    pub(crate) fn admit<T>(&self, read: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
        match (read, self.on_damage) {
            (Ok(value), _) => Ok(Some(value)),
            (Err(ReadError::Damaged(damage)), OnDamage::Skip(skipped)) => {
                skipped.note(self.path, self.id, damage);
                Ok(None)
            }
            (Err(error), _) => Err(error),
        }
    }
}

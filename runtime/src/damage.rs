//! What a reader does about damage: give up, or leave out what is damaged and count it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mempack_format::{Damage, PackId, ReadError, Tag};

/// What to do about a memory, a vector or a text that is damaged.
#[derive(Clone, Copy, Debug, Default)]
pub enum OnDamage<'a> {
    /// Give the error, which names section and offset.
    #[default]
    Fail,
    /// Leave it out, and count it here.
    Skip(&'a Skipped),
}

/// What was left out of packs because it was damaged; shared by threads as it is. The same place counts once, however often it is met.
#[derive(Debug, Default)]
pub struct Skipped(Mutex<Places>);

/// By pack and section, the damage at each offset.
type Places = BTreeMap<(PathBuf, PackId, Tag), BTreeMap<u64, Damage>>;

/// What was left out of one section of a pack.
#[derive(Clone, Debug, PartialEq)]
pub struct SkippedPart {
    /// The pack's file.
    pub path: PathBuf,
    /// The pack's id.
    pub id: PackId,
    /// The section.
    pub section: Tag,
    /// How many damaged places were met.
    pub places: usize,
    /// The first of them in the file.
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
    /// Everything left out so far, by file and section.
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
        // A panic elsewhere leaves at worst a place uncounted.
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
    /// Whether damage is left out.
    pub(crate) fn skips(&self) -> bool {
        matches!(self.on_damage, OnDamage::Skip(_))
    }

    /// The value read; `None` where it is damaged and left out, which is counted.
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

//! Differences as JSON: what `mempack diff --json` prints.

use mempack_format::{Pack, ReadError};
use serde_json::{Value, json};

use super::changes::{Change, Counted, DiffError, DiffReport, Side};

impl Change {
    /// The change as an object, with the places of a reference: its number, its first origin, and how many origins it has.
    ///
    /// # Errors
    /// If a pack is damaged.
    pub fn to_json<A: AsRef<[u8]>, B: AsRef<[u8]>>(&self, old: &Pack<A>, new: &Pack<B>) -> Result<Value, DiffError> {
        let was = |reference| place(old, reference).map_err(Side::Old.failed());
        let is = |reference| place(new, reference).map_err(Side::New.failed());
        Ok(match self {
            Self::DocumentAdded { id, references } => json!({"change": "added", "document": id, "references": references}),
            Self::DocumentRemoved { id, references } => json!({"change": "removed", "document": id, "references": references}),
            Self::DocumentChanged { id, fields, references } => {
                let references = references.map(|(old, new)| json!({"old": old, "new": new}));
                json!({"change": "changed", "document": id, "fields": fields, "references": references})
            }
            Self::ReferenceAdded { key, reference } => json!({"change": "added", "reference": key.to_string(), "new": is(*reference)?}),
            Self::ReferenceRemoved { key, reference } => {
                json!({"change": "removed", "reference": key.to_string(), "old": was(*reference)?})
            }
            Self::ReferenceMoved { key, old, new } => {
                json!({"change": "origins changed", "reference": key.to_string(), "old": was(*old)?, "new": is(*new)?})
            }
        })
    }
}

fn place<D: AsRef<[u8]>>(pack: &Pack<D>, reference: u32) -> Result<Value, ReadError> {
    let mut origins = pack.origins(reference)?;
    let count = origins.len();
    let Some(first) = origins.next() else { return Ok(json!({"number": reference, "origins": 0})) };
    let document = pack.document(first.document)?.id;
    Ok(json!({"number": reference, "origins": count, "document": document, "start": first.start, "end": first.end}))
}

impl DiffReport {
    /// The counts, and the differences in how these packs were built.
    pub fn to_json<A: AsRef<[u8]>, B: AsRef<[u8]>>(&self, old: &Pack<A>, new: &Pack<B>) -> Value {
        let Counted { added, removed, changed, kept } = self.documents;
        let references = self.references;
        let differences: Vec<Value> =
            self.making.iter().map(|one| json!({"field": one.field, "old": one.pack, "new": one.model})).collect();
        json!({
            "same": self.same, "old": old.id().to_string(), "new": new.id().to_string(),
            "documents": {"added": added, "removed": removed, "changed": changed, "kept": kept},
            "references": {"added": references.added, "removed": references.removed, "kept": references.kept, "origins_changed": self.moved},
            "differences": differences,
        })
    }
}

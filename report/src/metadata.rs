//! The fields of a pack's documents.

use mempack_format::{FieldKind, ReadError, Tag};
use mempack_runtime::MappedPack;

/// A field of the documents of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRow {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: FieldKind,
    /// Whether a document may have several values.
    pub list: bool,
    /// Distinct values.
    pub values: u32,
    /// Documents that have it.
    pub documents: u64,
}

/// The fields of the documents, in the order of their names; none if the pack has no metadata. Reads all of the metadata.
///
/// # Errors
/// If the metadata is damaged.
pub fn metadata_fields(pack: &MappedPack) -> Result<Vec<FieldRow>, ReadError> {
    pack.section(Tag::METADATA)?;
    let Some(metadata) = pack.metadata()? else { return Ok(Vec::new()) };
    let mut rows = Vec::new();
    for field in metadata.fields() {
        let field = field?;
        let mut documents = 0;
        for document in 0..pack.manifest().counts.documents {
            documents += u64::from(!field.codes(document)?.is_empty());
        }
        rows.push(FieldRow { name: field.name().to_owned(), kind: field.kind(), list: field.is_list(), values: field.values(), documents });
    }
    Ok(rows)
}

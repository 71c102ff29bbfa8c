//! Writing the metadata of documents.

use zerocopy::IntoBytes;

use super::spool::Spool;
use super::{Files, at_most, exactly};
use crate::constants::{MAX_METADATA_FIELDS, MAX_METADATA_LIST, MAX_METADATA_NAME_BYTES, MAX_METADATA_VALUE_BYTES};
use crate::metadata::{RawField, RawMetadata};
use crate::{FieldKind, WriteError};

/// A field of the documents, to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldColumn {
    /// Its name, with the names of the objects that it is in before it, each with a dot.
    pub name: String,
    /// What its values are.
    pub kind: FieldKind,
    /// Whether a document may have several values, in an order.
    pub list: bool,
    /// Its distinct values in ascending order of their bytes, each with at least one document that has it.
    pub values: Vec<String>,
    /// `[documents]`: where the codes of each document end.
    pub ends: Vec<u32>,
    /// Numbers of distinct values.
    pub codes: Vec<u32>,
}

impl FieldColumn {
    /// Checks what SPEC 6.1 says of a field of so many documents.
    fn check(&self, documents: u32) -> Result<(), WriteError> {
        at_most("bytes of the name of a field", MAX_METADATA_NAME_BYTES, self.name.len() as u64)?;
        exactly("documents of a field", documents.into(), self.ends.len() as u64)?;
        let mut last = None;
        for value in &self.values {
            at_most("bytes of a value of a field", MAX_METADATA_VALUE_BYTES, value.len() as u64)?;
            if last.is_some_and(|last| value <= last) {
                return Err(WriteError::Missing { what: "order of values", remedy: "give every value once, in the order of its bytes" });
            }
            if !self.kind.accepts(value) {
                return Err(WriteError::Kind { field: self.name.clone(), value: value.clone(), expected: self.kind });
            }
            last = Some(value);
        }
        let mut start = 0;
        for end in &self.ends {
            let count = end.checked_sub(start);
            let count =
                count.ok_or(WriteError::Missing { what: "order of ends", remedy: "give the ends of the documents in their order" })?;
            at_most("values of a document", if self.list { MAX_METADATA_LIST } else { 1 }, count.into())?;
            start = *end;
        }
        exactly("values of all documents", start.into(), self.codes.len() as u64)?;
        let mut used = vec![false; self.values.len()];
        for code in &self.codes {
            let limit = (used.len() as u64).saturating_sub(1);
            let used = used.get_mut(*code as usize);
            *used.ok_or(WriteError::TooLarge { what: "code of a value", limit, found: (*code).into() })? = true;
        }
        if self.codes.is_empty() || used.contains(&false) {
            return Err(WriteError::Missing { what: "documents of a value", remedy: "leave out fields and values that no document has" });
        }
        Ok(())
    }
}

/// Writes the section `METADATA` (SPEC 6.1) of so many documents, or `PLACES` (7.1) of so many origins. `name` is that of its temporary file.
pub(super) fn write(files: &Files, name: &str, fields: &[FieldColumn], documents: u32) -> Result<Spool, WriteError> {
    at_most("number of fields of the metadata", MAX_METADATA_FIELDS, fields.len() as u64)?;
    let mut spool = files.spool(name, 0)?;
    spool.write(RawMetadata { fields: (fields.len() as u32).into(), reserved: 0.into() }.as_bytes())?;
    let mut name_end = 0;
    let mut last = None;
    for field in fields {
        field.check(documents)?;
        if last.is_some_and(|last| &field.name <= last) {
            return Err(WriteError::Missing { what: "order of fields", remedy: "give every field once, in the order of its name's bytes" });
        }
        last = Some(&field.name);
        // At most 1,024 names of 256 bytes; the counts of values and codes are bounded by the ends.
        name_end += field.name.len() as u32;
        let entry = RawField {
            kind: FieldKind::ALL.iter().position(|kind| *kind == field.kind).unwrap_or_default() as u8,
            list: field.list.into(),
            reserved: 0.into(),
            name_end: name_end.into(),
            values: (field.values.len() as u32).into(),
            occurrences: (field.codes.len() as u32).into(),
            bytes: field.values.iter().map(|value| value.len() as u64).sum::<u64>().into(),
        };
        spool.write(entry.as_bytes())?;
    }
    for field in fields {
        spool.write(field.name.as_bytes())?;
    }
    for field in fields {
        for number in field.ends.iter().chain(&field.codes) {
            spool.write(&number.to_le_bytes())?;
        }
        let mut end = 0u64;
        for value in &field.values {
            end += value.len() as u64;
            spool.write(&end.to_le_bytes())?;
        }
        for value in &field.values {
            spool.write(value.as_bytes())?;
        }
    }
    Ok(spool)
}

//! The fields of documents beside those of their records, read in place (SPEC 6.1).

use std::fmt;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::constants::{
    MAX_METADATA_FIELDS, MAX_METADATA_LIST, MAX_METADATA_NAME_BYTES, MAX_METADATA_VALUE_BYTES, METADATA_ENTRY_BYTES, METADATA_HEADER_BYTES,
};
use crate::error::{Damage, Defect};
use crate::{Section, date};

/// SPEC 6.1, "Header of the metadata".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawMetadata {
    pub(crate) fields: U32,
    pub(crate) reserved: U32,
}

/// SPEC 6.1, "Entry of a field".
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawField {
    pub(crate) kind: u8,
    pub(crate) list: u8,
    pub(crate) reserved: U16,
    pub(crate) name_end: U32,
    pub(crate) values: U32,
    pub(crate) occurrences: U32,
    pub(crate) bytes: U64,
}

const _: () = assert!(size_of::<RawMetadata>() as u64 == METADATA_HEADER_BYTES);
const _: () = assert!(size_of::<RawField>() as u64 == METADATA_ENTRY_BYTES);

/// What all values of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldKind {
    /// `true` or `false`.
    Boolean,
    /// Integers that an `i64` holds.
    Integer,
    /// Finite numbers, as JSON writes them (RFC 8259).
    Number,
    /// Dates and times, as [`instant`](crate::instant) reads them.
    Date,
    /// Any text.
    Text,
}

impl FieldKind {
    /// All kinds, in the order of their numbers in a pack.
    pub const ALL: [Self; 5] = [Self::Boolean, Self::Integer, Self::Number, Self::Date, Self::Text];

    /// Whether a text is a value of this kind.
    pub fn accepts(self, text: &str) -> bool {
        match self {
            Self::Boolean => matches!(text, "true" | "false"),
            // One text for each integer.
            Self::Integer => text.parse::<i64>().is_ok_and(|number| number.to_string() == text),
            Self::Number => is_number(text) && text.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Date => date::instant(text).is_some(),
            Self::Text => true,
        }
    }
}

impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Date => "date",
            Self::Text => "text",
        })
    }
}

/// Whether a text is a number of JSON (RFC 8259, section 6).
fn is_number(text: &str) -> bool {
    /// What follows the digits that a text begins with, if it does.
    fn digits(text: &str) -> Option<&str> {
        let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
        (rest.len() < text.len()).then_some(rest)
    }
    let text = text.strip_prefix('-').unwrap_or(text);
    let Some(mut rest) = text.strip_prefix('0').or_else(|| digits(text)) else { return false };
    if let Some(fraction) = rest.strip_prefix('.') {
        let Some(after) = digits(fraction) else { return false };
        rest = after;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let Some(after) = digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)) else { return false };
        rest = after;
    }
    rest.is_empty()
}

/// The metadata of the documents of a pack: fields with a kind each, and their values by document.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    section: Section,
    documents: u32,
    entries: &'a [RawField],
    names: &'a [u8],
    /// The columns of the fields, one after the other.
    columns: &'a [u8],
}

impl<'a> Metadata<'a> {
    /// The metadata in `bytes`, the contents of `section`, of so many documents. Looks at the header and the entries of the fields.
    pub(crate) fn read(section: Section, bytes: &'a [u8], documents: u32) -> Result<Self, Damage> {
        let found = bytes.len() as u64;
        let too_small = |at, limit| damage(section, at, Defect::TooSmall { field: "bytes of the metadata", limit, found });
        let (header, rest) = RawMetadata::ref_from_prefix(bytes).map_err(|_| too_small(0, METADATA_HEADER_BYTES))?;
        let fields = u64::from(header.fields.get());
        if fields == 0 {
            return Err(damage(section, 0, Defect::TooSmall { field: "fields of the metadata", limit: 1, found: fields }));
        }
        if fields > MAX_METADATA_FIELDS {
            return Err(damage(
                section,
                0,
                Defect::TooLarge { field: "fields of the metadata", limit: MAX_METADATA_FIELDS, found: fields },
            ));
        }
        if header.reserved != U32::ZERO {
            let found = header.reserved.get().into();
            return Err(damage(section, 4, Defect::Value { field: "reserved bytes of the metadata", expected: 0, found }));
        }
        let entries_end = METADATA_HEADER_BYTES + METADATA_ENTRY_BYTES * fields;
        let (entries, rest) = <[RawField]>::ref_from_prefix_with_elems(rest, fields as usize).map_err(|_| too_small(0, entries_end))?;
        let names_end = entries.last().map_or(0, |entry| entry.name_end.get());
        let columns = entries.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.column_bytes(documents)?));
        let expected = columns.and_then(|columns| columns.checked_add(entries_end)?.checked_add(names_end.into()));
        if expected != Some(found) {
            let expected = expected.unwrap_or(u64::MAX);
            return Err(damage(section, 0, Defect::Value { field: "bytes of the metadata", expected, found }));
        }
        let (names, columns) = rest.split_at_checked(names_end as usize).ok_or_else(|| too_small(0, entries_end))?;
        Ok(Self { section, documents, entries, names, columns })
    }

    /// Documents, or origins in the places of a pack.
    pub fn documents(&self) -> u32 {
        self.documents
    }

    /// Fields; at least one.
    pub fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Whether there are no fields, which no pack says.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The fields, in the order of their names. A damaged one is an error, and those after it follow.
    pub fn fields(&self) -> impl Iterator<Item = Result<Field<'a>, Damage>> + use<'a> {
        let metadata = *self;
        let (mut name_start, mut start) = (0, 0);
        metadata.entries.iter().enumerate().map(move |(number, entry)| {
            let field = metadata.read_field(number, entry, name_start, start);
            // `read` found the sum of all columns to be within the section.
            start += entry.column_bytes(metadata.documents).unwrap_or_default();
            name_start = entry.name_end.get();
            field
        })
    }

    /// The field of a name; `None` if no document has it.
    ///
    /// # Errors
    /// If the field or one before it is damaged.
    pub fn field(&self, name: &str) -> Result<Option<Field<'a>>, Damage> {
        self.fields().find(|field| !matches!(field, Ok(field) if field.name != name)).transpose()
    }

    fn read_field(&self, number: usize, entry: &'a RawField, name_start: u32, start: u64) -> Result<Field<'a>, Damage> {
        let at = METADATA_HEADER_BYTES + METADATA_ENTRY_BYTES * number as u64;
        let wrong = |behind, defect| damage(self.section, at + behind, defect);
        let too_large = |behind, field, limit, found| wrong(behind, Defect::TooLarge { field, limit, found });
        let kind = FieldKind::ALL.get(usize::from(entry.kind)).copied();
        let kind = kind.ok_or_else(|| too_large(0, "kind of a field", FieldKind::ALL.len() as u64 - 1, entry.kind.into()))?;
        if entry.list > 1 {
            return Err(too_large(1, "list flag of a field", 1, entry.list.into()));
        }
        if entry.reserved != U16::ZERO {
            let found = entry.reserved.get().into();
            return Err(wrong(2, Defect::Value { field: "reserved bytes of a field", expected: 0, found }));
        }
        let (first, end) = (u64::from(name_start), u64::from(entry.name_end.get()));
        if end < first {
            return Err(wrong(4, Defect::TooSmall { field: "end of a field's name", limit: first, found: end }));
        }
        let limit = (first + MAX_METADATA_NAME_BYTES).min(self.names.len() as u64);
        if end > limit {
            return Err(too_large(4, "end of a field's name", limit, end));
        }
        let name = self.names.get(first as usize..end as usize).unwrap_or_default();
        let name = std::str::from_utf8(name).map_err(|_| wrong(4, Defect::Utf8 { field: "the name of a field" }))?;
        let column_at = METADATA_HEADER_BYTES + METADATA_ENTRY_BYTES * self.entries.len() as u64 + self.names.len() as u64 + start;
        // `read` found the columns to have these lengths.
        let column = self.columns.get(start as usize..).unwrap_or_default();
        let (ends, rest) = <[U32]>::ref_from_prefix_with_elems(column, self.documents as usize).unwrap_or_default();
        let (codes, rest) = <[U32]>::ref_from_prefix_with_elems(rest, entry.occurrences.get() as usize).unwrap_or_default();
        let (value_ends, rest) = <[U64]>::ref_from_prefix_with_elems(rest, entry.values.get() as usize).unwrap_or_default();
        let texts = rest.get(..entry.bytes.get() as usize).unwrap_or_default();
        Ok(Field { section: self.section, entry_at: at, column_at, name, kind, list: entry.list == 1, ends, codes, value_ends, texts })
    }
}

impl RawField {
    /// Bytes of the field's column; `None` if no `u64` holds them.
    fn column_bytes(&self, documents: u32) -> Option<u64> {
        // The three products are below 2^36.
        let fixed = 4 * u64::from(documents) + 4 * u64::from(self.occurrences.get()) + 8 * u64::from(self.values.get());
        fixed.checked_add(self.bytes.get())
    }
}

/// A field of the documents of a pack: its distinct values, and which of them each document has.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    section: Section,
    /// Where its entry and its column stand in the section.
    entry_at: u64,
    column_at: u64,
    name: &'a str,
    kind: FieldKind,
    list: bool,
    /// `[documents]`: where the codes of each document end.
    ends: &'a [U32],
    /// `[occurrences]`.
    codes: &'a [U32],
    /// `[values]`: where each value ends in `texts`.
    value_ends: &'a [U64],
    texts: &'a [u8],
}

impl<'a> Field<'a> {
    /// Its name. Names of the objects that it was in stand before it, each with a dot: `court.name`.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// What its values are.
    pub fn kind(&self) -> FieldKind {
        self.kind
    }

    /// Whether a document may have several values, in an order.
    pub fn is_list(&self) -> bool {
        self.list
    }

    /// Distinct values, numbered from 0 in ascending order of their bytes.
    pub fn values(&self) -> u32 {
        self.value_ends.len() as u32
    }

    /// Values of all documents together.
    pub fn occurrences(&self) -> u32 {
        self.codes.len() as u32
    }

    /// A distinct value: the string itself for texts and dates, JSON for the other kinds, such as `true`, `2021` or `1.5`.
    ///
    /// # Errors
    /// If there is no such value, the ends before it and of it do not ascend, or it is not UTF-8.
    pub fn value(&self, code: u32) -> Result<&'a str, Damage> {
        let at = self.value_at(code);
        let Some(end) = self.value_ends.get(code as usize) else {
            // The code is wrong: codes of readers come from there.
            let limit = u64::from(self.values()).saturating_sub(1);
            return Err(self.damage(self.codes_at(), Defect::TooLarge { field: "code of a value", limit, found: code.into() }));
        };
        let end = end.get();
        let start = code.checked_sub(1).and_then(|before| self.value_ends.get(before as usize)).map_or(0, |end| end.get());
        if end < start {
            return Err(self.damage(at, Defect::TooSmall { field: "end of a value", limit: start, found: end }));
        }
        let limit = start.saturating_add(MAX_METADATA_VALUE_BYTES).min(self.texts.len() as u64);
        if end > limit {
            return Err(self.damage(at, Defect::TooLarge { field: "end of a value", limit, found: end }));
        }
        // Both lie within the texts, which are in memory.
        let text = self.texts.get(start as usize..end as usize).unwrap_or_default();
        std::str::from_utf8(text).map_err(|_| self.damage(at, Defect::Utf8 { field: "a value" }))
    }

    /// The texts of a document's values, in the order of its list.
    ///
    /// # Errors
    /// As [`codes`](Self::codes) and [`value`](Self::value).
    pub fn texts(&self, document: u32) -> Result<Vec<&'a str>, Damage> {
        self.codes(document)?.iter().map(|code| self.value(code.get())).collect()
    }

    /// The numbers of a document's values, in the order of its list; none for a document without the field, or that does not exist. At most
    /// one if the field has no lists. [`Field::value`] reports a number that is out of range.
    ///
    /// # Errors
    /// If the ends before the document and of it do not ascend, or are further apart than a document may have values.
    pub fn codes(&self, document: u32) -> Result<&'a [U32], Damage> {
        let Some(end) = self.ends.get(document as usize) else { return Ok(&[]) };
        let end = end.get();
        let start = document.checked_sub(1).and_then(|before| self.ends.get(before as usize)).map_or(0, |end| end.get());
        let at = self.end_at(document);
        if end < start {
            let (limit, found) = (start.into(), end.into());
            return Err(self.damage(at, Defect::TooSmall { field: "end of a document's values", limit, found }));
        }
        let most = if self.list { MAX_METADATA_LIST } else { 1 };
        if u64::from(end - start) > most {
            let found = (end - start).into();
            return Err(self.damage(at, Defect::TooLarge { field: "values of a document", limit: most, found }));
        }
        self.codes.get(start as usize..end as usize).ok_or_else(|| {
            let (limit, found) = (self.codes.len() as u64, end.into());
            self.damage(at, Defect::TooLarge { field: "end of a document's values", limit, found })
        })
    }

    /// Where the entry of the field stands in the section.
    pub(crate) fn entry_at(&self) -> u64 {
        self.entry_at
    }

    /// Where the end of a document's values stands in the section.
    pub(crate) fn end_at(&self, document: u32) -> u64 {
        self.column_at + 4 * u64::from(document)
    }

    /// Where the codes stand in the section.
    pub(crate) fn codes_at(&self) -> u64 {
        self.column_at + 4 * self.ends.len() as u64
    }

    /// Where the end of a value stands in the section.
    pub(crate) fn value_at(&self, code: u32) -> u64 {
        self.codes_at() + 4 * self.codes.len() as u64 + 8 * u64::from(code)
    }

    /// Bytes of all distinct values.
    pub(crate) fn text_bytes(&self) -> u64 {
        self.texts.len() as u64
    }

    pub(crate) fn damage(&self, at: u64, defect: Defect) -> Damage {
        damage(self.section, at, defect)
    }
}

fn damage(section: Section, at: u64, defect: Defect) -> Damage {
    Damage { section: section.tag, offset: section.offset.saturating_add(at), defect }
}

#[cfg(test)]
mod tests;

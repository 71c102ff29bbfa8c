//! JSON lines: a document in each line, an object with the field `text`.

use std::io::{BufRead, BufReader, Cursor};

use mempack_format::Document;
use serde_json::{Map, Value};

use super::lines::Lines;
use super::{Format, FormatItems, RawInput, json_fields};
use crate::blocks::{BOM, Blocks};
use crate::fields::{self, DocumentField};
use crate::{CorpusError, CorpusItem, OpenDocument, kinds};

/// Maximum bytes of a JSON line, and so of the text of a document in one.
pub const MAX_LINE_BYTES: usize = 16 << 20;
/// Maximum bytes of a field of a JSON line other than `text`.
pub const MAX_FIELD_BYTES: usize = 64 << 10;

/// The fields of the record of a document, and its text.
const KNOWN: [&str; 7] = ["id", "title", "license", "source", "version", "date", "text"];

pub(super) struct JsonLines;

impl Format for JsonLines {
    fn extensions(&self) -> &'static [&'static str] {
        &["jsonl", "ndjson"]
    }

    fn recognizes(&self, head: &[u8]) -> bool {
        let head = head.strip_prefix(BOM).unwrap_or(head);
        head.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) == Some(&b'{')
    }

    fn has_rows(&self) -> bool {
        true
    }

    fn open(&self, input: RawInput) -> Result<FormatItems, CorpusError> {
        let RawInput { path, name, fields, reader, .. } = input;
        let lines = Lines::new(BufReader::with_capacity(1 << 16, reader), path.clone(), MAX_LINE_BYTES);
        Ok(Box::new(Rows { lines, path, name, fields }))
    }
}

/// Iterates over the documents of a file of JSON lines.
struct Rows<R> {
    lines: Lines<R>,
    path: String,
    name: String,
    fields: bool,
}

impl<R: BufRead> Rows<R> {
    fn read_row(&mut self) -> Result<Option<OpenDocument>, CorpusError> {
        let Some((number, line)) = self.lines.next_line()? else { return Ok(None) };
        let (metadata, text) = parse(line, &self.path, &self.name, number)?;
        let others = if self.fields { others(line, &self.path, number)? } else { Vec::new() };
        let blocks = Blocks::new(Cursor::new(text.into_bytes()), self.path.clone());
        Ok(Some(OpenDocument::new(metadata, blocks).at_line(number).with_fields(others)))
    }
}

impl<R: BufRead> Iterator for Rows<R> {
    type Item = Result<CorpusItem, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_row().map(|row| row.map(CorpusItem::Document)).transpose()
    }
}

/// The metadata and the text of a line. A row without `id` is named after file and line, one without `source` after the file.
fn parse(line: &str, path: &str, name: &str, number: u64) -> Result<(Document, String), CorpusError> {
    let advice = || kinds::json_advice(path, line.as_bytes());
    let value: Value =
        serde_json::from_str(line).map_err(|source| CorpusError::NotJson { path: path.into(), line: number, source, advice: advice() })?;
    let Value::Object(mut row) = value else {
        return Err(CorpusError::NotAnObject { path: path.into(), line: number, found: type_name(&value), advice: advice() });
    };
    let text = match row.remove("text") {
        Some(Value::String(text)) => text,
        Some(other) => return Err(CorpusError::FieldType { path: path.into(), line: number, field: "text", found: type_name(&other) }),
        None => return Err(CorpusError::NoText { path: path.into(), line: number }),
    };
    let mut field = |field| take(&mut row, field, path, number);
    let document = Document {
        id: field("id")?.unwrap_or_else(|| format!("{name}:{number}")),
        title: field("title")?.unwrap_or_default(),
        license: field("license")?.unwrap_or_default(),
        source: field("source")?.unwrap_or_else(|| name.to_owned()),
        version: field("version")?.unwrap_or_default(),
        date: field("date")?.unwrap_or_default(),
    };
    Ok((document, text))
}

/// The other fields of a line that [`parse`] has accepted.
fn others(line: &str, path: &str, number: u64) -> Result<Vec<DocumentField>, CorpusError> {
    let others = json_fields::read(line, |name| KNOWN.contains(&name));
    fields::check(&others, || format!("{path}, line {number}"))?;
    Ok(others)
}

/// An optional field: a string, a number (as ids, versions and years often are), or null for none.
fn take(row: &mut Map<String, Value>, field: &'static str, path: &str, line: u64) -> Result<Option<String>, CorpusError> {
    let text = match row.remove(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) => number.to_string(),
        Some(other) => return Err(CorpusError::FieldType { path: path.into(), line, field, found: type_name(&other) }),
    };
    if text.len() > MAX_FIELD_BYTES {
        return Err(CorpusError::FieldTooLong { path: path.into(), line, field, found: text.len(), cap: MAX_FIELD_BYTES });
    }
    Ok(Some(text))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

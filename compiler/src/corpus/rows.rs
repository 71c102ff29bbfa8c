//! A line of JSON as a document.

use mempack_format::Document;
use serde_json::{Map, Value};

use super::MAX_FIELD_BYTES;
use crate::CorpusError;

/// The document and its text. A row without `id` is named by file and line, one without `source` by its file.
pub(super) fn parse(line: &str, path: &str, name: &str, number: u64) -> Result<(Document, String), CorpusError> {
    let value: Value = serde_json::from_str(line).map_err(|source| CorpusError::NotJson { path: path.into(), line: number, source })?;
    let Value::Object(mut row) = value else {
        return Err(CorpusError::NotAnObject { path: path.into(), line: number, found: kind(&value) });
    };
    let text = match row.remove("text") {
        Some(Value::String(text)) => text,
        Some(other) => return Err(CorpusError::FieldType { path: path.into(), line: number, field: "text", found: kind(&other) }),
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

/// An optional field: a string, or a number in its place (ids, versions and years often are), or null for none.
fn take(row: &mut Map<String, Value>, field: &'static str, path: &str, line: u64) -> Result<Option<String>, CorpusError> {
    let text = match row.remove(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) => number.to_string(),
        Some(other) => return Err(CorpusError::FieldType { path: path.into(), line, field, found: kind(&other) }),
    };
    if text.len() > MAX_FIELD_BYTES {
        return Err(CorpusError::FieldTooLong { path: path.into(), line, field, found: text.len(), cap: MAX_FIELD_BYTES });
    }
    Ok(Some(text))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

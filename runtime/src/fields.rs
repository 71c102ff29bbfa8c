//! The metadata of a document.

use mempack_format::{FieldKind, Pack, ReadError};
use serde_json::Value;

/// A field of a document beside those of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CitedField {
    /// Its name. Names of the objects that it was in stand before it, each with a dot: `court.name`.
    pub name: String,
    /// What its values are, in all documents of the pack.
    pub kind: FieldKind,
    /// Whether documents of the pack may have several values.
    pub list: bool,
    /// The values of this document, at least one: strings themselves for texts and dates, JSON for the other kinds.
    pub values: Vec<String>,
}

impl CitedField {
    /// The values as JSON: a list if the field has lists, else the only one.
    pub fn to_json(&self) -> Value {
        let value = |text: &String| match self.kind {
            FieldKind::Text | FieldKind::Date => Value::from(text.as_str()),
            FieldKind::Boolean => text.parse::<bool>().map_or_else(|_| Value::from(text.as_str()), Value::from),
            FieldKind::Integer | FieldKind::Number => number(text).unwrap_or_else(|| Value::from(text.as_str())),
        };
        match self.values.as_slice() {
            [only] if !self.list => value(only),
            values => values.iter().map(value).collect(),
        }
    }
}

/// A number, with the nearest f64 where it is no integer: serde_json may read the one beside it.
fn number(text: &str) -> Option<Value> {
    let integer = text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from));
    integer.or_else(|_| text.parse::<f64>().map(Value::from)).ok()
}

/// The fields that a document has, in the order of their names.
pub(crate) fn fields_of<D: AsRef<[u8]>>(pack: &Pack<D>, document: u32) -> Result<Vec<CitedField>, ReadError> {
    let Some(metadata) = pack.metadata()? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for field in metadata.fields() {
        let field = field?;
        let values: Vec<String> = field.texts(document)?.into_iter().map(str::to_owned).collect();
        if !values.is_empty() {
            found.push(CitedField { name: field.name().to_owned(), kind: field.kind(), list: field.is_list(), values });
        }
    }
    Ok(found)
}

//! The fields of a document beside those of its record.

use mempack_format::{FieldKind, MAX_METADATA_FIELDS, MAX_METADATA_LIST, MAX_METADATA_NAME_BYTES, MAX_METADATA_VALUE_BYTES};

use crate::CorpusError;

/// Characters of a name that an error shows.
const SHOWN_CHARS: usize = 80;

/// A field of a document beside those of its record, with its values; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentField {
    /// Its name. Names of the objects that it was in stand before it, each with a dot: `court.name`.
    pub name: String,
    /// Whether it was a list.
    pub list: bool,
    /// Its values, in order.
    pub values: Vec<FieldValue>,
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValue {
    /// What it is. A string that names a date is one.
    pub kind: FieldKind,
    /// Whether it is the JSON text of a list that holds lists or objects.
    pub nested: bool,
    /// A string itself; a number or `true` or `false` as it was written.
    pub text: String,
}

impl FieldValue {
    /// A string.
    pub(crate) fn string(text: String) -> Self {
        let kind = if FieldKind::Date.accepts(&text) { FieldKind::Date } else { FieldKind::Text };
        Self { kind, nested: false, text }
    }

    /// What stands without quotes: `true`, `false` or a number of JSON; `None` for anything else.
    pub(crate) fn plain(text: &str) -> Option<Self> {
        let kind = [FieldKind::Boolean, FieldKind::Integer, FieldKind::Number].into_iter().find(|kind| kind.accepts(text))?;
        Some(Self { kind, nested: false, text: text.to_owned() })
    }

    /// True or false.
    pub(crate) fn boolean(value: bool) -> Self {
        Self { kind: FieldKind::Boolean, nested: false, text: value.to_string() }
    }

    /// The JSON text of a list that holds lists or objects.
    pub(crate) fn nested(json: &str) -> Self {
        Self { kind: FieldKind::Text, nested: true, text: json.to_owned() }
    }
}

/// Checks the fields of a document against the caps of a pack, and that no name occurs twice. `place` names the file and the line.
pub(crate) fn check(fields: &[DocumentField], place: impl Fn() -> String) -> Result<(), CorpusError> {
    let mut names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    names.sort_unstable();
    if let Some([name, _]) = names.array_windows().find(|[one, next]| one == next) {
        return Err(CorpusError::FieldTwice { place: place(), field: shown(name) });
    }
    for DocumentField { name, values, .. } in fields {
        let longest = values.iter().map(|value| value.text.len()).max().unwrap_or_default();
        let nested = values.iter().any(|value| value.nested);
        for (what, found, cap, advice) in [
            ("bytes of its name, with those of the objects that it is in", name.len(), MAX_METADATA_NAME_BYTES, "give it a shorter name"),
            ("values", values.len(), MAX_METADATA_LIST, "leave some out, or put them into `text`"),
            (
                if nested { "bytes of JSON, as a list that holds lists or objects" } else { "bytes" },
                longest,
                MAX_METADATA_VALUE_BYTES,
                "shorten it, and put long text into `text`",
            ),
        ] {
            if found as u64 > cap {
                return Err(CorpusError::FieldCap { place: place(), field: shown(name), what, found: found as u64, cap, advice });
            }
        }
    }
    Ok(())
}

/// The refusal of a field that a pack has no room for, because the corpus has as many fields as a pack may have.
pub(crate) fn too_many(name: &str, place: String) -> CorpusError {
    CorpusError::TooManyFields { place, field: shown(name), cap: MAX_METADATA_FIELDS }
}

fn shown(name: &str) -> String {
    match name.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}

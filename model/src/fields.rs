//! Typed access to the fields of a JSON object. Errors name the file and the field.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::LoadError;
use crate::foreign::{BOM, Foreign, is_safetensors, recognise};

/// Max value of any count in a configuration: far above that of any existing model, and small enough that products of two fit in 64 bits.
pub(crate) const COUNT_CAP: u32 = 1 << 24;

/// What to do about a field that is not known.
const UNKNOWN: &str = "remove the field if it does not change what the model computes, otherwise use a model without it";

/// The top-level object of a JSON file, or a block in it. It remembers which fields were read.
pub(crate) struct Fields<'a> {
    path: &'a Path,
    block: String,
    object: &'a Map<String, Value>,
    read: RefCell<BTreeSet<String>>,
}

/// Reads a JSON file that holds an object.
pub(crate) fn read_object(path: &Path, remedy: &str) -> Result<Map<String, Value>, LoadError> {
    match read_json(path, remedy)? {
        Value::Object(object) => Ok(object),
        other => Err(LoadError::Field {
            path: path.to_owned(),
            field: "(top)".into(),
            expected: "a JSON object".into(),
            found: show(&other),
            remedy: remedy.to_owned(),
        }),
    }
}

/// Reads a JSON file that holds an object, if there is one.
pub(crate) fn read_object_if_any(path: &Path, remedy: &str) -> Result<Option<Map<String, Value>>, LoadError> {
    if path.exists() { read_object(path, remedy).map(Some) } else { Ok(None) }
}

/// Reads a JSON file.
pub(crate) fn read_json(path: &Path, remedy: &str) -> Result<Value, LoadError> {
    let bytes = read_file(path, "file", remedy)?;
    serde_json::from_slice(&bytes).map_err(|source| LoadError::Json { path: path.to_owned(), source })
}

/// Reads a whole file of JSON, without the byte order mark that it may begin with. A file that is something else, as a git-LFS
/// pointer, is an error that says so.
pub(crate) fn read_file(path: &Path, what: &'static str, remedy: &str) -> Result<Vec<u8>, LoadError> {
    let mut bytes = std::fs::read(path).map_err(|source| io_error(path, what, remedy, source))?;
    let safetensors = || is_safetensors(&bytes).then_some(Foreign { found: "a safetensors file", remedy: "put the right file there" });
    if let Some(foreign) = recognise(&bytes).or_else(safetensors) {
        return Err(wrong_file(path, "JSON", &foreign));
    }
    if bytes.starts_with(BOM) {
        bytes.drain(..BOM.len());
    }
    Ok(bytes)
}

/// An error about a file that is something else.
pub(crate) fn wrong_file(path: &Path, expected: &'static str, foreign: &Foreign) -> LoadError {
    LoadError::WrongFile { path: path.to_owned(), expected, found: foreign.found.into(), remedy: foreign.remedy.into() }
}

/// [`LoadError::Missing`] for a file that does not exist, [`LoadError::Io`] for any other failure.
pub(crate) fn io_error(path: &Path, what: &'static str, remedy: &str, source: std::io::Error) -> LoadError {
    let path: PathBuf = path.to_owned();
    match source.kind() {
        std::io::ErrorKind::NotFound => LoadError::Missing { path, what, remedy: remedy.to_owned() },
        _ => LoadError::Io { path, source },
    }
}

impl<'a> Fields<'a> {
    pub(crate) fn new(path: &'a Path, object: &'a Map<String, Value>) -> Self {
        Self { path, block: String::new(), object, read: RefCell::default() }
    }

    /// The block `name`, if it is present and not null.
    pub(crate) fn block(&self, name: &str) -> Result<Option<Fields<'a>>, LoadError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => {
                Ok(Some(Fields { path: self.path, block: format!("{}{name}.", self.block), object, read: RefCell::default() }))
            }
            Some(other) => Err(self.error(name, "a JSON object", other)),
        }
    }

    /// The names of the object's fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.object.keys().map(String::as_str)
    }

    /// The value of `name`. Null counts as absent, because Hugging Face files write absent fields as null.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.read.borrow_mut().insert(name.to_owned());
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Whether the field is there, null or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// Refuses a field that was not read, is not in a list of `harmless` ones, and is not null, false or empty: it may change what is
    /// computed.
    pub(crate) fn refuse_unknown(&self, harmless: &[&[&str]]) -> Result<(), LoadError> {
        let read = self.read.borrow();
        let known = |name: &str| read.contains(name) || harmless.iter().any(|list| list.contains(&name));
        match self.object.iter().find(|(name, value)| !known(name) && !is_neutral(value)) {
            Some((name, value)) => Err(self.refuse(name, "a field that is known, or null", show(value), UNKNOWN)),
            None => Ok(()),
        }
    }

    /// Refuses a value other than `neutral`, which changes nothing. Absent fields have it.
    pub(crate) fn only(&self, name: &str, neutral: &Value, remedy: &str) -> Result<(), LoadError> {
        let same = |value: &Value| value == neutral || value.as_f64().is_some_and(|x| neutral.as_f64() == Some(x));
        match self.get(name).filter(|value| !same(value)) {
            Some(value) => Err(self.refuse(name, show(neutral), show(value), remedy)),
            None => Ok(()),
        }
    }

    pub(crate) fn u32(&self, name: &str) -> Result<Option<u32>, LoadError> {
        self.typed(name, "a whole number below 2^32", |v| v.as_u64().and_then(|n| u32::try_from(n).ok()))
    }

    /// A count from 1 to [`COUNT_CAP`], if it is present.
    pub(crate) fn count(&self, name: &str) -> Result<Option<u32>, LoadError> {
        match self.u32(name)? {
            Some(n) if !(1..=COUNT_CAP).contains(&n) => {
                Err(self.refuse(name, format!("a count from 1 to {COUNT_CAP}"), n.to_string(), "correct the file"))
            }
            n => Ok(n),
        }
    }

    pub(crate) fn f64(&self, name: &str) -> Result<Option<f64>, LoadError> {
        self.typed(name, "a finite number", |v| v.as_f64().filter(|x| x.is_finite()))
    }

    pub(crate) fn bool(&self, name: &str) -> Result<Option<bool>, LoadError> {
        self.typed(name, "true or false", Value::as_bool)
    }

    pub(crate) fn str(&self, name: &str) -> Result<Option<&'a str>, LoadError> {
        self.typed(name, "a string", Value::as_str)
    }

    /// A string that names a value.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, LoadError> {
        self.typed(name, expected, |value| value.as_str()?.parse().ok())
    }

    pub(crate) fn strings(&self, name: &str) -> Result<Option<Vec<String>>, LoadError> {
        self.typed(name, "a list of strings", |v| v.as_array()?.iter().map(|s| s.as_str().map(str::to_owned)).collect())
    }

    /// A list of ids, or a single id.
    pub(crate) fn ids(&self, name: &str) -> Result<Option<Vec<u32>>, LoadError> {
        let id = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
        self.typed(name, "a token id or a list of them", |v| match v.as_array() {
            Some(list) => list.iter().map(id).collect(),
            None => id(v).map(|one| vec![one]),
        })
    }

    /// The value of a required field.
    pub(crate) fn required<T>(&self, name: &str, expected: &str, value: Option<T>) -> Result<T, LoadError> {
        value.ok_or_else(|| self.refuse(name, expected, "nothing", "add the field"))
    }

    /// An error about the field `name`.
    pub(crate) fn refuse(&self, name: &str, expected: impl Into<String>, found: impl Into<String>, remedy: &str) -> LoadError {
        LoadError::Field {
            path: self.path.to_owned(),
            field: format!("{}{name}", self.block).into(),
            expected: expected.into(),
            found: found.into(),
            remedy: remedy.to_owned(),
        }
    }

    fn typed<T>(&self, name: &str, expected: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Result<Option<T>, LoadError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.error(name, expected, value)),
        }
    }

    fn error(&self, name: &str, expected: &str, found: &Value) -> LoadError {
        self.refuse(name, expected, show(found), "correct the file")
    }
}

/// Whether a field of this value says that something is not used.
pub(crate) fn is_neutral(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// A JSON value, shortened for an error message.
pub(crate) fn show(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { text.chars().take(57).chain("...".chars()).collect() }
}

//! Typed access to the fields of a JSON object. Errors name the file and the field.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::LoadError;

/// Max value of any count in a configuration: far above that of any existing model, and small enough that products of two fit in 64 bits.
pub(crate) const COUNT_CAP: u32 = 1 << 24;

/// The top-level object of a JSON file, or a block in it.
pub(crate) struct Fields<'a> {
    path: &'a Path,
    block: String,
    object: &'a Map<String, Value>,
}

/// Reads a JSON file that holds an object.
pub(crate) fn read_object(path: &Path, remedy: &str) -> Result<Map<String, Value>, LoadError> {
    let bytes = read_file(path, "file", remedy)?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(LoadError::Field {
            path: path.to_owned(),
            field: "(top)".into(),
            expected: "a JSON object".into(),
            found: show(&other),
            remedy: remedy.to_owned(),
        }),
        Err(source) => Err(LoadError::Json { path: path.to_owned(), source }),
    }
}

/// Reads a whole file.
pub(crate) fn read_file(path: &Path, what: &'static str, remedy: &str) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|source| io_error(path, what, remedy, source))
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
        Self { path, block: String::new(), object }
    }

    /// The block `name`, if it is present and not null.
    pub(crate) fn block(&self, name: &str) -> Result<Option<Fields<'a>>, LoadError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Fields { path: self.path, block: format!("{}{name}.", self.block), object })),
            Some(other) => Err(self.error(name, "a JSON object", other)),
        }
    }

    /// The value of `name`. Null counts as absent, because Hugging Face files write absent fields as null.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
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

/// A JSON value, shortened for an error message.
fn show(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { text.chars().take(57).chain("...".chars()).collect() }
}

//! Files with one JSON object a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{MAX_QUESTION_BYTES, QuestionError};

/// What a file holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// What its lines are, in the plural.
    pub what: &'static str,
    /// A line, for error messages.
    pub example: &'static str,
}

/// An iterator over the objects of a file. Blank lines are skipped; it ends after the first error. Memory: one line.
#[derive(Debug)]
pub(crate) struct JsonLines<R> {
    reader: R,
    path: PathBuf,
    form: Form,
    line: u64,
    ended: bool,
}

/// The object of a line.
#[derive(Debug)]
pub(crate) struct Row {
    path: PathBuf,
    form: Form,
    /// The line, counted from 1.
    pub line: u64,
    fields: Map<String, Value>,
}

/// Reads all lines of a file.
///
/// # Errors
/// [`QuestionError`], also if the file has none.
pub(crate) fn read_all<T>(path: &Path, form: Form, parse: impl Fn(&Row) -> Result<T, QuestionError>) -> Result<Vec<T>, QuestionError> {
    let file = File::open(path).map_err(|source| QuestionError::Read { path: path.into(), source })?;
    let rows = JsonLines::new(BufReader::new(file), path, form);
    let all = rows.map(|row| parse(&row?)).collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() {
        return Err(QuestionError::Empty { path: path.into(), what: form.what, example: form.example });
    }
    Ok(all)
}

impl<R: BufRead> JsonLines<R> {
    /// Reads from `reader`; `path` is used in error messages.
    pub fn new(reader: R, path: &Path, form: Form) -> Self {
        Self { reader, path: path.into(), form, line: 0, ended: false }
    }

    /// The bytes of the next line, without line feed and byte order mark; `None` at the end.
    fn bytes(&mut self) -> Result<Option<Vec<u8>>, QuestionError> {
        let mut bytes = Vec::new();
        // The line feed and one byte above the limit, to detect a line that is too long.
        let mut limited = io::Read::take(&mut self.reader, MAX_QUESTION_BYTES as u64 + 2);
        limited.read_until(b'\n', &mut bytes).map_err(|source| QuestionError::Read { path: self.path.clone(), source })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.len() > MAX_QUESTION_BYTES {
            return Err(QuestionError::TooLong { path: self.path.clone(), line: self.line });
        }
        if self.line == 1 && bytes.starts_with(b"\xEF\xBB\xBF") {
            bytes.drain(..3);
        }
        Ok(Some(bytes))
    }

    fn parse(&self, bytes: &[u8]) -> Result<Row, QuestionError> {
        let (path, line, form) = (|| self.path.clone(), self.line, self.form);
        let text = std::str::from_utf8(bytes).map_err(|_| QuestionError::NotUtf8 { path: path(), line })?;
        let wrong = |source| QuestionError::NotAnObject { path: path(), line, source, example: form.example };
        match serde_json::from_str(text).map_err(|error| wrong(Some(error)))? {
            Value::Object(fields) => Ok(Row { path: path(), form, line, fields }),
            _ => Err(wrong(None)),
        }
    }
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = Result<Row, QuestionError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let result = match self.bytes() {
                Ok(Some(bytes)) if bytes.iter().all(u8::is_ascii_whitespace) => continue,
                Ok(Some(bytes)) => self.parse(&bytes),
                Ok(None) => break,
                Err(error) => Err(error),
            };
            self.ended = result.is_err();
            return Some(result);
        }
        None
    }
}

impl Row {
    /// The file and the line, for an error.
    pub fn place(&self) -> (PathBuf, u64) {
        (self.path.clone(), self.line)
    }

    /// Whether there is a field of this name.
    pub fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    pub fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field)
    }

    /// The error for a field that does not hold what is expected.
    pub fn wrong(&self, field: &str, expected: &'static str) -> QuestionError {
        self.refuse(field.to_owned(), describe(self.get(field)), expected)
    }

    /// The error for a field in which something was found.
    pub fn refuse(&self, field: String, found: &'static str, expected: &'static str) -> QuestionError {
        let (path, line) = self.place();
        QuestionError::Field { path, line, field, found, expected, example: self.form.example }
    }

    /// The field `id`; a number is taken in its written form.
    pub fn id(&self) -> Result<String, QuestionError> {
        match self.get("id") {
            Some(Value::String(id)) => Ok(id.clone()),
            Some(Value::Number(id)) => Ok(id.to_string()),
            _ => Err(self.wrong("id", "a string or a number")),
        }
    }

    /// A field with a text that is not blank.
    pub fn text(&self, field: &str) -> Result<String, QuestionError> {
        let text = self.get(field).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        text.map(str::to_owned).ok_or_else(|| self.wrong(field, "a string with words"))
    }

    /// A field with a list of strings; `None` if it holds anything else.
    pub fn strings(&self, field: &str) -> Option<Vec<String>> {
        self.get(field)?.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    }

    /// The field `gold_ids`; empty if there is none.
    pub fn gold_ids(&self) -> Result<Vec<String>, QuestionError> {
        if !self.has("gold_ids") {
            return Ok(Vec::new());
        }
        self.strings("gold_ids").ok_or_else(|| self.wrong("gold_ids", "a list of strings, or no such field"))
    }
}

/// What a value is, for error messages.
pub(crate) fn describe(value: Option<&Value>) -> &'static str {
    match value {
        None => "missing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "true or false",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(text)) if text.trim().is_empty() => "an empty string",
        Some(Value::String(_)) => "a string",
        Some(Value::Array(_)) => "a list of something else",
        Some(Value::Object(_)) => "an object",
    }
}

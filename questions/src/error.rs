//! Errors of files with one JSON object a line.

use std::io;
use std::path::PathBuf;

/// The largest size of a line, in bytes.
pub const MAX_QUESTION_BYTES: usize = 1 << 20;

/// Why a file of questions could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// Opening or reading failed.
    #[error("{path}: {source}; check the path, and that the file is readable")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A line is longer than [`MAX_QUESTION_BYTES`].
    #[error("{path}, line {line}: longer than {MAX_QUESTION_BYTES} bytes, the limit for a question; shorten it")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },
    /// A line is not UTF-8.
    #[error("{path}, line {line}: not UTF-8; convert the file, for example with iconv -f WINDOWS-1252 -t UTF-8")]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },
    /// A line is not a JSON object.
    #[error("{path}, line {line}: not a JSON object{}; write one object a line, such as {example}", reason(.source))]
    NotAnObject {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The parser's error; `None` if the line is JSON but not an object.
        source: Option<serde_json::Error>,
        /// A line as it should be.
        example: &'static str,
    },
    /// A field is missing or has the wrong type.
    #[error("{path}, line {line}: the field `{field}` is {found}, expected {expected}; a line looks like {example}")]
    Field {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The field.
        field: String,
        /// What was found.
        found: &'static str,
        /// What is expected.
        expected: &'static str,
        /// A line as it should be.
        example: &'static str,
    },
    /// A question is marked as unanswerable but has answers or gold documents.
    #[error(
        "{path}, line {line}: `answerable` is false, but `{field}` is not empty; leave out `answerable`, or empty `answers` and `gold_ids`"
    )]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The field that contradicts.
        field: &'static str,
    },
    /// The file has no lines but blank ones.
    #[error("{path}: no {what}; expected lines such as {example}")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// A line as it should be.
        example: &'static str,
    },
}

fn reason(source: &Option<serde_json::Error>) -> String {
    source.as_ref().map(|error| format!(": {error}")).unwrap_or_default()
}

//! The file of questions: one JSON object a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

/// The largest size of a line, in bytes.
pub const MAX_QUESTION_BYTES: usize = 1 << 20;

/// An example of a line, for error messages.
const EXAMPLE: &str = r#"{"id": "1", "question": "...", "answers": ["..."], "gold_ids": ["..."]}"#;

/// A question with its accepted answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    /// Its id.
    pub id: String,
    /// The text of the question.
    pub question: String,
    /// The accepted answers, best first. If empty, though the question is answerable, the gold documents as a whole answer it.
    pub answers: Vec<String>,
    /// The ids of the documents that contain the answer, where they are known.
    pub gold_ids: Vec<String>,
    /// Whether any document answers it. The file has this field only where it is false.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub answerable: bool,
}

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
    #[error("{path}, line {line}: not a JSON object{}; write one object a line, such as {EXAMPLE}", reason(.source))]
    NotAnObject {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The parser's error; `None` if the line is JSON but not an object.
        source: Option<serde_json::Error>,
    },
    /// A field is missing or has the wrong type.
    #[error("{path}, line {line}: the field `{field}` is {found}, expected {expected}; a line looks like {EXAMPLE}")]
    Field {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The field.
        field: &'static str,
        /// What was found.
        found: &'static str,
        /// What is expected.
        expected: &'static str,
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
    /// The file has no questions.
    #[error("{path}: no questions; expected lines such as {EXAMPLE}")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

fn reason(source: &Option<serde_json::Error>) -> String {
    source.as_ref().map(|error| format!(": {error}")).unwrap_or_default()
}

/// Reads all questions of a file.
///
/// # Errors
/// [`QuestionError`], also if the file has no questions.
pub fn read_questions(path: &Path) -> Result<Vec<Question>, QuestionError> {
    let file = File::open(path).map_err(|source| QuestionError::Read { path: path.into(), source })?;
    let questions: Vec<_> = QuestionReader::new(BufReader::new(file), path).collect::<Result<_, _>>()?;
    if questions.is_empty() { Err(QuestionError::Empty { path: path.into() }) } else { Ok(questions) }
}

/// An iterator over the questions of a file. Blank lines are skipped; it ends after the first error. Memory: one line.
#[derive(Debug)]
pub struct QuestionReader<R> {
    reader: R,
    path: PathBuf,
    line: u64,
    ended: bool,
}

impl<R: BufRead> QuestionReader<R> {
    /// Reads from `reader`; `path` is used in error messages.
    pub fn new(reader: R, path: &Path) -> Self {
        Self { reader, path: path.into(), line: 0, ended: false }
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

    fn parse(&self, bytes: &[u8]) -> Result<Question, QuestionError> {
        let (path, line) = (|| self.path.clone(), self.line);
        let text = std::str::from_utf8(bytes).map_err(|_| QuestionError::NotUtf8 { path: path(), line })?;
        let value = serde_json::from_str(text).map_err(|source| QuestionError::NotAnObject { path: path(), line, source: Some(source) })?;
        let Value::Object(row) = value else { return Err(QuestionError::NotAnObject { path: path(), line, source: None }) };
        let wrong = |field, expected| QuestionError::Field { path: path(), line, field, found: describe(row.get(field)), expected };
        let question = Question {
            id: id(&row).ok_or_else(|| wrong("id", "a string or a number"))?,
            question: question_text(&row).ok_or_else(|| wrong("question", "a string with words"))?,
            answers: strings(&row, "answers").ok_or_else(|| wrong("answers", "a list of strings"))?,
            gold_ids: if row.contains_key("gold_ids") {
                strings(&row, "gold_ids").ok_or_else(|| wrong("gold_ids", "a list of strings, or no such field"))?
            } else {
                Vec::new()
            },
            answerable: match row.get("answerable") {
                None => true,
                Some(Value::Bool(answerable)) => *answerable,
                Some(_) => return Err(wrong("answerable", "true or false, or no such field")),
            },
        };
        let held = [("answers", &question.answers), ("gold_ids", &question.gold_ids)].into_iter().find(|(_, list)| !list.is_empty());
        match held {
            Some((field, _)) if !question.answerable => Err(QuestionError::Contradiction { path: path(), line, field }),
            _ => Ok(question),
        }
    }
}

impl<R: BufRead> Iterator for QuestionReader<R> {
    type Item = Result<Question, QuestionError>;

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

/// The id; a number is taken in its written form.
fn id(row: &Map<String, Value>) -> Option<String> {
    match row.get("id")? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

fn question_text(row: &Map<String, Value>) -> Option<String> {
    row.get("question")?.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

fn strings(row: &Map<String, Value>, field: &str) -> Option<Vec<String>> {
    row.get(field)?.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// What a value is, for error messages.
fn describe(value: Option<&Value>) -> &'static str {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Vec<Result<Question, QuestionError>> {
        QuestionReader::new(bytes, Path::new("q.jsonl")).collect()
    }

    #[test]
    fn errors_name_line_field_and_remedy() {
        let cases: [(&[u8], &str); 12] = [
            (b"{\"id\": \"1\"}", "q.jsonl, line 1: the field `question` is missing, expected a string with words"),
            (b"\n\n{\"question\": \"x\", \"answers\": []}", "line 3: the field `id` is missing, expected a string or a number"),
            (b"{\"id\": 1, \"question\": \" \", \"answers\": []}", "the field `question` is an empty string"),
            (b"{\"id\": 1, \"question\": \"x\"}", "the field `answers` is missing, expected a list of strings"),
            (b"{\"id\": 1, \"question\": \"x\", \"answers\": \"y\"}", "the field `answers` is a string"),
            (b"{\"id\": 1, \"question\": \"x\", \"answers\": [1]}", "the field `answers` is a list of something else"),
            (b"{\"id\": 1, \"question\": \"x\", \"answers\": [], \"gold_ids\": 3}", "the field `gold_ids` is a number"),
            (b"{\"id\": 1, \"question\": \"x\", \"answers\": [], \"answerable\": \"no\"}", "expected true or false"),
            (b"{\"id\": 1, \"question\": \"x\", \"answers\": [\"y\"], \"answerable\": false}", "`answerable` is false, but `answers`"),
            (b"[1]", "line 1: not a JSON object; write one object a line"),
            (b"{", "line 1: not a JSON object: EOF"),
            (b"\xFF", "line 1: not UTF-8"),
        ];
        for (bytes, expected) in cases {
            let results = read(bytes);
            let Some(Err(error)) = results.last() else { panic!("{bytes:?} was read") };
            assert!(error.to_string().contains(expected), "{error} / {expected}");
        }
    }

    #[test]
    fn a_long_line_is_refused_and_reading_ends() {
        let mut bytes = vec![b'x'; MAX_QUESTION_BYTES * 3];
        bytes.extend(b"\n{}");
        let results = read(&bytes);
        assert_eq!(results.len(), 1);
        assert!(matches!(results[0], Err(QuestionError::TooLong { line: 1, .. })));
    }

    #[test]
    fn files_that_are_missing_or_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.jsonl");
        assert!(matches!(read_questions(&path), Err(QuestionError::Read { .. })));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(read_questions(&path), Err(QuestionError::Empty { .. })));
    }

    fn any_question() -> impl Strategy<Value = Question> {
        let texts = || prop::collection::vec("\\PC{0,20}", 0..3);
        ("\\PC{0,10}", "[a-zß中]{1,5}\\PC{0,20}", texts(), texts(), any::<bool>()).prop_map(
            |(id, question, answers, gold_ids, answerable)| {
                if answerable {
                    Question { id, question, answers, gold_ids, answerable }
                } else {
                    Question { id, question, answers: Vec::new(), gold_ids: Vec::new(), answerable }
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(questions in prop::collection::vec(any_question(), 0..6), end in "\r?\n") {
            let text: String = questions.iter().map(|question| serde_json::to_string(question).unwrap() + &end).collect();
            let back: Vec<_> = read(text.as_bytes()).into_iter().map(Result::unwrap).collect();
            prop_assert_eq!(back, questions);
        }

        #[test]
        fn anything_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..80) {
            let _ = read(&bytes);
            let line = br#"{"id": 1, "question": "x", "answers": ["y"], "gold_ids": ["z"], "answerable": true}"#;
            let cut = &line[..cut.min(line.len() - 1)];
            prop_assert!(cut.is_empty() || read(cut).iter().all(Result::is_err));
        }
    }
}

//! A file of questions: one JSON object a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

/// Most bytes of a line.
pub const MAX_QUESTION_BYTES: usize = 1 << 20;

/// What a line should look like, for messages.
const EXAMPLE: &str = r#"{"id": "1", "question": "...", "answers": ["..."], "gold_ids": ["..."]}"#;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    /// Its name.
    pub id: String,
    /// What is asked.
    pub question: String,
    /// Every accepted answer, the best first. None, though the question is answerable: the gold documents as a whole are the answer.
    pub answers: Vec<String>,
    /// The documents that hold the answer, where they are known.
    pub gold_ids: Vec<String>,
    /// Whether any document answers it. In the file only where it is false.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub answerable: bool,
}

/// Why a file of questions was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// Opening or reading failed.
    #[error("{path}: {source}; check the path, and that the file is readable")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line above the cap.
    #[error("{path}, line {line}: longer than {MAX_QUESTION_BYTES} bytes, the most that a question may have; shorten it")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },
    /// A line that is not UTF-8.
    #[error("{path}, line {line}: not UTF-8; convert the file, for example with iconv -f WINDOWS-1252 -t UTF-8")]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },
    /// A line that is no JSON object.
    #[error("{path}, line {line}: not a JSON object{}; write one object a line, such as {EXAMPLE}", reason(.source))]
    NotAnObject {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What the parser says; none if it is JSON of another kind.
        source: Option<serde_json::Error>,
    },
    /// A field that is missing or of another type.
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
        /// What should be there.
        expected: &'static str,
    },
    /// A question that is said to have no answer, and has one.
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
    /// No question in the file.
    #[error("{path}: no questions; expected lines such as {EXAMPLE}")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

fn reason(source: &Option<serde_json::Error>) -> String {
    source.as_ref().map(|error| format!(": {error}")).unwrap_or_default()
}

/// All questions of a file, which has one at least.
///
/// # Errors
/// [`QuestionError`], with the line.
pub fn read_questions(path: &Path) -> Result<Vec<Question>, QuestionError> {
    let file = File::open(path).map_err(|source| QuestionError::Read { path: path.into(), source })?;
    let questions: Vec<_> = QuestionReader::new(BufReader::new(file), path).collect::<Result<_, _>>()?;
    if questions.is_empty() { Err(QuestionError::Empty { path: path.into() }) } else { Ok(questions) }
}

/// Questions one after the other; lines without text are passed over. Ends after the first error. Memory: one line.
#[derive(Debug)]
pub struct QuestionReader<R> {
    reader: R,
    path: PathBuf,
    line: u64,
    ended: bool,
}

impl<R: BufRead> QuestionReader<R> {
    /// Reads from `reader`; `path` is for messages.
    pub fn new(reader: R, path: &Path) -> Self {
        Self { reader, path: path.into(), line: 0, ended: false }
    }

    /// The bytes of the next line, without a byte order mark; none at the end.
    fn bytes(&mut self) -> Result<Option<Vec<u8>>, QuestionError> {
        let mut bytes = Vec::new();
        // The line feed and one byte more than may be: enough to see that it is too much.
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
        let wrong = |field, expected| QuestionError::Field { path: path(), line, field, found: kind(row.get(field)), expected };
        let question = Question {
            id: name(&row).ok_or_else(|| wrong("id", "a string or a number"))?,
            question: words(&row).ok_or_else(|| wrong("question", "a string with words"))?,
            answers: list(&row, "answers").ok_or_else(|| wrong("answers", "a list of strings"))?,
            gold_ids: if row.contains_key("gold_ids") {
                list(&row, "gold_ids").ok_or_else(|| wrong("gold_ids", "a list of strings, or no such field"))?
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

/// The name; a number in its place is taken as it is written.
fn name(row: &Map<String, Value>) -> Option<String> {
    match row.get("id")? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

fn words(row: &Map<String, Value>) -> Option<String> {
    row.get("question")?.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

fn list(row: &Map<String, Value>, field: &str) -> Option<Vec<String>> {
    row.get(field)?.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn kind(value: Option<&Value>) -> &'static str {
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

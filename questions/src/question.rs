//! The file of questions: one JSON object a line.

use std::io::BufRead;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::error::QuestionError;
use crate::lines::{Form, JsonLines, Row, read_all};

const FORM: Form = Form { what: "questions", example: r#"{"id": "1", "question": "...", "answers": ["..."], "gold_ids": ["..."]}"# };

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

/// Reads all questions of a file.
///
/// # Errors
/// [`QuestionError`], also if the file has no questions.
pub fn read_questions(path: &Path) -> Result<Vec<Question>, QuestionError> {
    read_all(path, FORM, parse)
}

/// An iterator over the questions of a file. Blank lines are skipped; it ends after the first error. Memory: one line.
#[derive(Debug)]
pub struct QuestionReader<R> {
    rows: JsonLines<R>,
    failed: bool,
}

impl<R: BufRead> QuestionReader<R> {
    /// Reads from `reader`; `path` is used in error messages.
    pub fn new(reader: R, path: &Path) -> Self {
        Self { rows: JsonLines::new(reader, path, FORM), failed: false }
    }
}

impl<R: BufRead> Iterator for QuestionReader<R> {
    type Item = Result<Question, QuestionError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let result = self.rows.next()?.and_then(|row| parse(&row));
        self.failed = result.is_err();
        Some(result)
    }
}

fn parse(row: &Row) -> Result<Question, QuestionError> {
    let question = Question {
        id: row.id()?,
        question: row.text("question")?,
        answers: row.strings("answers").ok_or_else(|| row.wrong("answers", "a list of strings"))?,
        gold_ids: row.gold_ids()?,
        answerable: match row.get("answerable") {
            None => true,
            Some(Value::Bool(answerable)) => *answerable,
            Some(_) => return Err(row.wrong("answerable", "true or false, or no such field")),
        },
    };
    let held = [("answers", &question.answers), ("gold_ids", &question.gold_ids)].into_iter().find(|(_, list)| !list.is_empty());
    match held {
        Some((field, _)) if !question.answerable => {
            let (path, line) = row.place();
            Err(QuestionError::Contradiction { path, line, field })
        }
        _ => Ok(question),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::MAX_QUESTION_BYTES;

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

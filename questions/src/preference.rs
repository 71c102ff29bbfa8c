//! The file of preferences: one JSON object a line, a question with an answer to prefer and one to avoid.

use std::path::Path;

use serde::Serialize;

use crate::error::QuestionError;
use crate::lines::{Form, Row, read_all};

const FORM: Form =
    Form { what: "preferences", example: r#"{"id": "1", "question": "...", "gold_ids": ["..."], "chosen": "...", "rejected": "..."}"# };

/// A question with an answer to prefer and one to avoid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preference {
    /// Its id.
    pub id: String,
    /// The text of the question.
    pub question: String,
    /// The ids of the documents that the answer to prefer is based on, where they are known.
    pub gold_ids: Vec<String>,
    /// The answer to prefer.
    pub chosen: String,
    /// The answer to avoid.
    pub rejected: String,
    /// Its line in the file, counted from 1, for messages.
    #[serde(skip)]
    pub line: u64,
}

/// Reads all preferences of a file.
///
/// # Errors
/// [`QuestionError`], also for equal or blank answers, and if the file has no preferences.
pub fn read_preferences(path: &Path) -> Result<Vec<Preference>, QuestionError> {
    read_all(path, FORM, parse)
}

fn parse(row: &Row) -> Result<Preference, QuestionError> {
    let preference = Preference {
        id: row.id()?,
        question: row.text("question")?,
        gold_ids: row.gold_ids()?,
        chosen: row.text("chosen")?,
        rejected: row.text("rejected")?,
        line: row.line,
    };
    if preference.chosen.trim() == preference.rejected.trim() {
        return Err(row.refuse("rejected".into(), "the text of `chosen`", "another answer"));
    }
    Ok(preference)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lines::JsonLines;

    fn read(bytes: &[u8]) -> Vec<Result<Preference, QuestionError>> {
        JsonLines::new(bytes, Path::new("p.jsonl"), FORM).map(|row| parse(&row?)).collect()
    }

    #[test]
    fn errors_name_line_and_field() {
        let cases: [(&str, &str); 8] = [
            (r#"{"question": "x", "chosen": "a", "rejected": "b"}"#, "p.jsonl, line 1: the field `id` is missing"),
            (r#"{"id": 1, "question": "", "chosen": "a", "rejected": "b"}"#, "the field `question` is an empty string"),
            (r#"{"id": 1, "question": "x", "rejected": "b"}"#, "the field `chosen` is missing, expected a string with words"),
            (r#"{"id": 1, "question": "x", "chosen": " ", "rejected": "b"}"#, "the field `chosen` is an empty string"),
            (r#"{"id": 1, "question": "x", "chosen": "a", "rejected": ""}"#, "the field `rejected` is an empty string"),
            (r#"{"id": 1, "question": "x", "chosen": "a", "rejected": ["b"]}"#, "the field `rejected` is a list"),
            (
                r#"{"id": 1, "question": "x", "chosen": "a", "rejected": "a "}"#,
                "line 1: the field `rejected` is the text of `chosen`, expected another answer",
            ),
            (r#"{"id": 1, "question": "x", "chosen": "a", "rejected": "b", "gold_ids": "d"}"#, "the field `gold_ids` is a string"),
        ];
        for (line, expected) in cases {
            let results = read(line.as_bytes());
            let Some(Err(error)) = results.last() else { panic!("{line} was read") };
            assert!(error.to_string().contains(expected), "{error} / {expected}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(id in "\\PC{0,8}", gold_ids in prop::collection::vec("\\PC{0,8}", 0..3), chosen in "[a-m]{1,9}", rejected in "[n-z中]{1,9}") {
            let preference = Preference { id, question: "Which?".into(), gold_ids, chosen, rejected, line: 2 };
            let text = "\n".to_owned() + &serde_json::to_string(&preference).unwrap();
            let back: Vec<_> = read(text.as_bytes()).into_iter().map(Result::unwrap).collect();
            prop_assert_eq!(back, [preference]);
        }

        #[test]
        fn anything_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..90) {
            let _ = read(&bytes);
            let line = br#"{"id": 1, "question": "x", "chosen": "y", "rejected": "z", "gold_ids": ["a"]}"#;
            let cut = &line[..cut.min(line.len() - 1)];
            prop_assert!(cut.is_empty() || read(cut).iter().all(Result::is_err));
        }
    }
}

//! Multiple-choice questions, and how likelihoods of their choices are scored.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::rows::{RowsError, read_rows};

/// A multiple-choice question.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Row")]
pub struct ChoiceQuestion {
    /// Its id.
    pub id: String,
    /// Its text.
    pub question: String,
    /// The choices, without duplicates.
    pub choices: Vec<String>,
    /// The field that the question is from, such as `law`; empty if the file does not say.
    pub domain: String,
    /// The part of the data set, such as `test`; empty if the file does not say.
    pub split: String,
    /// The right choices, for each metric that the row supports.
    tasks: Tasks,
}

/// Indices of the choices, and whether each is right.
type Task = Vec<(usize, bool)>;

#[derive(Clone, Debug, Default, PartialEq)]
struct Tasks {
    /// TruthfulQA's MC1: one choice is right.
    mc1: Option<Task>,
    /// TruthfulQA's MC2: several choices are right.
    mc2: Option<Task>,
    /// One choice is right, given by its letter or index.
    one: Option<Task>,
}

/// A line of a file before validation.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    id: String,
    question: String,
    mc1: Option<BTreeMap<String, u8>>,
    mc2: Option<BTreeMap<String, u8>>,
    #[serde(default)]
    choices: Vec<String>,
    answer: Option<RightAnswer>,
    #[serde(default)]
    answers: Vec<String>,
    #[serde(default)]
    incorrect: Vec<String>,
    #[serde(default)]
    domain: String,
    #[serde(default)]
    split: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RightAnswer {
    Place(usize),
    Letter(String),
}

impl RightAnswer {
    /// Its index among the choices.
    fn place(&self) -> Option<usize> {
        match self {
            Self::Place(place) => Some(*place),
            Self::Letter(word) => match word.as_bytes() {
                [letter @ b'A'..=b'Z'] => Some(usize::from(letter - b'A')),
                _ => None,
            },
        }
    }
}

/// Why a line is not a multiple-choice question.
#[derive(Debug, thiserror::Error)]
enum RowError {
    #[error("expected `mc1`, `mc2`, `choices` with an `answer`, or `answers` with `incorrect`")]
    Nothing,
    #[error("`answers` and `incorrect` both hold `{text}`")]
    Both { text: String },
    #[error("`{field}` has no right answer together with a wrong one")]
    OneSided { field: &'static str },
    #[error("`answer` is none of the {choices} choices; expected a letter, starting with A, or an index, starting with 0")]
    Answer { choices: usize },
}

impl TryFrom<Row> for ChoiceQuestion {
    type Error = RowError;

    fn try_from(row: Row) -> Result<Self, RowError> {
        let mut choices = row.choices;
        let mut tasks = Tasks::default();
        if let Some(answer) = &row.answer.filter(|_| !choices.is_empty()) {
            let right = answer.place().filter(|place| *place < choices.len()).ok_or(RowError::Answer { choices: choices.len() })?;
            tasks.one = Some((0..choices.len()).map(|place| (place, place == right)).collect());
        }
        let mut marked = |labels: BTreeMap<String, u8>| -> Task {
            let mut place = |text: String| {
                choices.iter().position(|choice| *choice == text).unwrap_or_else(|| {
                    choices.push(text);
                    choices.len() - 1
                })
            };
            labels.into_iter().map(|(text, label)| (place(text), label == 1)).collect()
        };
        tasks.mc1 = row.mc1.map(&mut marked);
        tasks.mc2 = row.mc2.map(&mut marked);
        if tasks == Tasks::default() && !row.answers.is_empty() && !row.incorrect.is_empty() {
            if let Some(text) = row.incorrect.iter().find(|text| row.answers.contains(text)) {
                return Err(RowError::Both { text: text.clone() });
            }
            choices = row.answers.into_iter().take(1).chain(row.incorrect).collect();
            tasks.one = Some((0..choices.len()).map(|place| (place, place == 0)).collect());
        }
        for (field, task) in [("mc1", &tasks.mc1), ("mc2", &tasks.mc2), ("choices", &tasks.one)] {
            let has = |right: bool| task.iter().flatten().any(|(_, label)| *label == right);
            if task.is_some() && !(has(true) && has(false)) {
                return Err(RowError::OneSided { field });
            }
        }
        if tasks == Tasks::default() {
            return Err(RowError::Nothing);
        }
        Ok(Self { id: row.id, question: row.question, choices, domain: row.domain, split: row.split, tasks })
    }
}

/// Reads the questions of a JSONL file: `{"question", "mc1": {answer: 0 or 1, ...}, "mc2": {...}}` like TruthfulQA, or
/// `{"question", "choices": [...], "answer": "B"}` with one right choice like MMLU, or `{"question", "answers": [...], "incorrect": [...]}`
/// like HaluEval-QA, where the first of the `answers` is to be preferred to all that is incorrect.
///
/// # Errors
/// If the file cannot be read, a line is not a question of this form, or there is none.
pub fn read_choices(path: &Path) -> Result<Vec<ChoiceQuestion>, RowsError> {
    read_rows(path, r#"{"question": "...", "choices": ["...", "..."], "answer": "A"}"#)
}

/// Scores of a mode's choices; `None` for a metric without labels in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ChoiceScores {
    /// Share of the questions whose right answer is more likely than every wrong one (TruthfulQA MC1).
    pub mc1: Option<f64>,
    /// Mean share of the right answers in the total probability of all answers (TruthfulQA MC2).
    pub mc2: Option<f64>,
    /// Share of the questions whose single right choice is the most likely.
    pub accuracy: Option<f64>,
    /// Accuracy by log-likelihood per byte, so that short choices have no advantage.
    pub accuracy_normalised: Option<f64>,
}

/// A metric's name and its value.
pub(crate) type Metric = (&'static str, fn(&ChoiceScores) -> Option<f64>);

pub(crate) const METRICS: [Metric; 4] =
    [("mc1", |s| s.mc1), ("mc2", |s| s.mc2), ("accuracy", |s| s.accuracy), ("accuracy_normalised", |s| s.accuracy_normalised)];

/// The metric that says whether a question of a suite's task is right. Where the wrong choices are sentences and the right ones words, as
/// in HaluEval-QA, the shorter text is nearly always the more likely, so likelihood per byte counts.
pub(crate) fn main_metric(task: &str) -> &'static str {
    match task {
        "truthfulqa" => "mc1",
        "halueval_qa" => "accuracy_normalised",
        _ => "accuracy",
    }
}

impl ChoiceScores {
    /// The value of a metric by its name.
    pub(crate) fn get(&self, metric: &str) -> Option<f64> {
        METRICS.iter().find(|(name, _)| *name == metric).and_then(|(_, value)| value(self))
    }
}

impl ChoiceQuestion {
    /// The right choices, of all tasks of the question.
    pub(crate) fn right(&self) -> impl Iterator<Item = &str> {
        let tasks = [&self.tasks.mc1, &self.tasks.mc2, &self.tasks.one];
        let right = move |place: usize| tasks.iter().any(|task| task.iter().flatten().any(|(choice, label)| *choice == place && *label));
        self.choices.iter().enumerate().filter(move |(place, _)| right(*place)).map(|(_, choice)| choice.as_str())
    }

    /// Scores the likelihoods of the choices.
    pub(crate) fn score(&self, likelihoods: &[f64]) -> ChoiceScores {
        let by_byte: Vec<f64> = likelihoods.iter().zip(&self.choices).map(|(l, choice)| l / choice.len().max(1) as f64).collect();
        ChoiceScores {
            mc1: self.tasks.mc1.as_deref().map(|task| best_is_right(task, likelihoods)),
            mc2: self.tasks.mc2.as_deref().map(|task| right_share(task, likelihoods)),
            accuracy: self.tasks.one.as_deref().map(|task| best_is_right(task, likelihoods)),
            accuracy_normalised: self.tasks.one.as_deref().map(|task| best_is_right(task, &by_byte)),
        }
    }
}

/// 1 if a right answer is above all wrong ones, else 0. A tie counts as wrong.
fn best_is_right(task: &[(usize, bool)], likelihoods: &[f64]) -> f64 {
    let best = |right: bool| task.iter().filter(|t| t.1 == right).map(|t| likelihoods[t.0]).fold(f64::NEG_INFINITY, f64::max);
    f64::from(u8::from(best(true) > best(false)))
}

/// The share of the right answers in the total probability.
fn right_share(task: &[(usize, bool)], likelihoods: &[f64]) -> f64 {
    // Probabilities of sentences underflow, so they are taken relative to the best.
    let best = task.iter().map(|t| likelihoods[t.0]).fold(f64::NEG_INFINITY, f64::max);
    let sum = |wanted: &dyn Fn(bool) -> bool| task.iter().filter(|t| wanted(t.1)).map(|t| (likelihoods[t.0] - best).exp()).sum::<f64>();
    sum(&|right| right) / sum(&|_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Result<ChoiceQuestion, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn truthfulqa_is_scored_by_its_definition() {
        let question = row(r#"{"id": "1", "question": "?", "mc1": {"yes": 1, "no": 0, "both": 0},
                               "mc2": {"yes": 1, "indeed": 1, "no": 0}}"#)
        .unwrap();
        // A choice that both tasks have is listed once.
        assert_eq!(question.choices, ["both", "no", "yes", "indeed"]);
        let likelihoods = |both: f64, no: f64, yes: f64, indeed: f64| [both, no, yes, indeed].map(f64::ln);
        let scores = question.score(&likelihoods(0.1, 0.2, 0.3, 0.1));
        assert_eq!((scores.mc1, scores.accuracy), (Some(1.0), None));
        assert!((scores.mc2.unwrap() - 0.4 / 0.6).abs() < 1e-12, "{scores:?}");
        assert_eq!(question.score(&likelihoods(0.1, 0.31, 0.3, 0.1)).mc1, Some(0.0));
        assert_eq!(question.score(&likelihoods(0.3, 0.2, 0.3, 0.1)).mc1, Some(0.0), "a tie counts as wrong");
        // Log-likelihoods whose exp() underflows to 0.
        let far = question.score(&[-2000.0, -2001.0, -2000.0, -2001.0]);
        assert!((far.mc2.unwrap() - (1.0 + (-1f64).exp()) / (1.0 + 2.0 * (-1f64).exp())).abs() < 1e-12);
    }

    #[test]
    fn one_right_choice_with_and_without_regard_to_length() {
        for answer in ["\"B\"", "1"] {
            let question = row(&format!(r#"{{"question": "?", "choices": ["ab", "abcdefgh"], "answer": {answer}}}"#)).unwrap();
            let scores = question.score(&[-4.0, -8.0]);
            assert_eq!((scores.accuracy, scores.accuracy_normalised), (Some(0.0), Some(1.0)));
            assert_eq!((scores.mc1, scores.mc2), (None, None));
        }
    }

    #[test]
    fn rows_without_a_choice_are_refused() {
        for (text, word) in [
            (r#"{"question": "?"}"#, "choices"),
            (r#"{"question": "?", "choices": ["a", "b"]}"#, "answer"),
            (r#"{"question": "?", "choices": ["a", "b"], "answer": "C"}"#, "none of the 2"),
            (r#"{"question": "?", "choices": ["a", "b"], "answer": 2}"#, "none of the 2"),
            (r#"{"question": "?", "choices": ["a"], "answer": "A"}"#, "`choices` has no right answer"),
            (r#"{"question": "?", "mc1": {"a": 1}}"#, "`mc1` has no right answer"),
            (r#"{"question": "?", "mc2": {"a": 0, "b": 0}}"#, "`mc2` has no right answer"),
        ] {
            let error = row(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_right_and_an_invented_answer_are_two_choices() {
        let question =
            row(r#"{"question": "?", "answers": ["Delhi", "New Delhi"], "incorrect": ["It is Mumbai."], "domain": "d"}"#).unwrap();
        assert_eq!((question.choices.as_slice(), question.domain.as_str()), (&["Delhi".to_owned(), "It is Mumbai.".into()][..], "d"));
        assert_eq!(question.right().collect::<Vec<_>>(), ["Delhi"]);
        // Five bytes against thirteen: the shorter is more likely, and the longer more likely per byte.
        let scores = question.score(&[-5.0, -6.5]);
        assert_eq!((scores.accuracy, scores.accuracy_normalised, scores.mc1), (Some(1.0), Some(0.0), None));
        // Where a row has other tasks, its answers are no task.
        let question = row(r#"{"question": "?", "choices": ["a", "b"], "answer": "B", "answers": ["c"], "incorrect": ["d"]}"#).unwrap();
        assert_eq!((question.choices.len(), question.right().next()), (2, Some("b")));
        let error = row(r#"{"question": "?", "answers": ["a"], "incorrect": ["b", "a"]}"#).unwrap_err();
        assert!(error.contains("both hold `a`"), "{error}");
    }
}

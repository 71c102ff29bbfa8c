//! Multiple choice: which of the given answers is most likely to the model (TruthfulQA, arXiv 2109.07958; MMLU, arXiv 2009.03300).
//!
//! The likelihood of a choice is that of its tokens after the question's prompt. The modes are those of questions: closed book, with
//! memories, with texts in the prompt. The prompt does not contain the choices.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use mempack_model::{DEFAULT_OVERLAP, Slot};
use mempack_runtime::{ChunkMemories, MappedPack, PreparedPrompt};
use serde::{Deserialize, Serialize};

use crate::bootstrap::interval;
use crate::contender::Contender;
use crate::library::Library;
use crate::likelihood::log_probabilities;
use crate::report::PairedDifference;
use crate::rows::{RowsError, read_rows};
use crate::tally::mean;
use crate::{EvaluateError, Mode, Models, Retrieved};

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
    #[error("expected `mc1`, `mc2`, or `choices` with an `answer`")]
    Nothing,
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
        for (field, task) in [("mc1", &tasks.mc1), ("mc2", &tasks.mc2), ("choices", &tasks.one)] {
            let has = |right: bool| task.iter().flatten().any(|(_, label)| *label == right);
            if task.is_some() && !(has(true) && has(false)) {
                return Err(RowError::OneSided { field });
            }
        }
        if tasks == Tasks::default() {
            return Err(RowError::Nothing);
        }
        Ok(Self { id: row.id, question: row.question, choices, tasks })
    }
}

/// Reads the questions of a JSONL file: `{"question", "mc1": {answer: 0 or 1, ...}, "mc2": {...}}` like TruthfulQA, or
/// `{"question", "choices": [...], "answer": "B"}` with one right choice like MMLU.
///
/// # Errors
/// If the file cannot be read, a line is not a question of this form, or there is none.
pub fn read_choices(path: &Path) -> Result<Vec<ChoiceQuestion>, RowsError> {
    read_rows(path, r#"{"question": "...", "choices": ["...", "..."], "answer": "A"}"#)
}

/// Options of [`choose_answers`].
#[derive(Clone, Debug)]
pub struct ChoiceOptions {
    /// The modes to measure. Modes with the gold reference are not possible, because these questions have none.
    pub modes: Vec<Mode>,
    /// References per question; `None` uses the model's number of memories per chunk.
    pub k: Option<usize>,
    /// References whose [overlap](crate::overlap) with the question exceeds this share are not read; 1 filters nothing.
    pub overlap: f64,
}

impl Default for ChoiceOptions {
    fn default() -> Self {
        Self { modes: vec![Mode::ClosedBook], k: None, overlap: DEFAULT_OVERLAP }
    }
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

/// The scores of one mode on one question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chosen {
    /// The question's id.
    pub id: String,
    /// The mode.
    pub mode: Mode,
    /// The natural logarithm of each choice's probability, in the order of the question's choices.
    pub log_likelihoods: Vec<f64>,
    /// The references read, most similar first; empty closed book.
    pub retrieved: Vec<Retrieved>,
    /// The scores: 0 or 1, except for MC2.
    #[serde(flatten)]
    pub scores: ChoiceScores,
}

/// Scores over all questions.
#[derive(Clone, Debug, Serialize)]
pub struct ChoiceReport {
    /// Number of questions.
    pub questions: usize,
    /// Id of the pack, if there is one.
    pub pack: Option<String>,
    /// Name of the model.
    pub model: String,
    /// Scores of each mode.
    pub modes: BTreeMap<Mode, ChoiceScores>,
    /// Paired differences between each other mode and the first.
    pub differences: Vec<PairedDifference>,
}

/// A metric's name and its value.
type Metric = (&'static str, fn(&ChoiceScores) -> Option<f64>);

const METRICS: [Metric; 4] =
    [("mc1", |s| s.mc1), ("mc2", |s| s.mc2), ("accuracy", |s| s.accuracy), ("accuracy_normalised", |s| s.accuracy_normalised)];

/// Scores the choices of each question in all modes. `observe` is called after each question and can stop the evaluation.
///
/// # Errors
/// If a mode needs a pack, a base model or a gold reference that is missing, the pack and the models do not match, the pack is damaged, the
/// model fails, or `observe` stops the evaluation.
pub fn choose_answers(
    models: &Models<'_>,
    pack: Option<&Arc<MappedPack>>,
    questions: &[ChoiceQuestion],
    options: &ChoiceOptions,
    observe: &mut dyn FnMut(&ChoiceQuestion, &[Chosen]) -> ControlFlow<()>,
) -> Result<ChoiceReport, EvaluateError> {
    if let Some(&mode) = options.modes.iter().find(|mode| mode.uses_gold()) {
        return Err(EvaluateError::Mode { mode, reason: "multiple-choice questions have no gold reference" });
    }
    if let Some(&mode) = options.modes.iter().find(|mode| mode.uses_retrieval() && pack.is_none()) {
        return Err(EvaluateError::Mode { mode, reason: "it retrieves from a pack, and no pack is given" });
    }
    let memory = models.model.memory();
    let k = options.k.unwrap_or(memory.memories_per_chunk as usize);
    let library = pack.map(|pack| Library::new(models.model, models.embedder, pack, options.overlap)).transpose()?;
    let library = library.filter(|_| options.modes.iter().any(|mode| mode.uses_retrieval()));
    let contenders = Contender::of_modes(models, library.as_ref(), &options.modes, k)?;

    let mut all: Vec<Vec<ChoiceScores>> = vec![Vec::new(); contenders.len()];
    for question in questions {
        let mut chosen = Vec::with_capacity(contenders.len());
        for (contender, scores) in contenders.iter().zip(&mut all) {
            let failed = |source| EvaluateError::Ask { id: question.id.clone(), source: Box::new(source) };
            let prompt = contender.prepare(&question.question).map_err(failed)?;
            let likelihoods = likelihoods(contender, &prompt, &question.choices)?;
            let scored = question.score(&likelihoods);
            scores.push(scored);
            let reads = prompt.chunks.iter().flat_map(|chunk| &chunk.reads).chain(&prompt.texts);
            let passages = library.as_ref().map_or_else(|| Ok(Vec::new()), |library| library.passages(reads))?;
            chosen.push(Chosen {
                id: question.id.clone(),
                mode: contender.setting.mode,
                scores: scored,
                log_likelihoods: likelihoods,
                retrieved: passages.iter().map(Retrieved::of).collect(),
            });
        }
        if observe(question, &chosen).is_break() {
            return Err(EvaluateError::Interrupted);
        }
    }
    Ok(report(models, pack, questions.len(), &options.modes, &all))
}

/// The logarithm of each choice's probability after a prompt.
fn likelihoods(contender: &Contender, prompt: &PreparedPrompt, choices: &[String]) -> Result<Vec<f64>, EvaluateError> {
    let model = contender.model();
    // After a prompt that does not end in white space, a space precedes the answer's first word.
    let blank = if contender.prompt_end().ends_with(char::is_whitespace) { "" } else { " " };
    let chunks: Vec<Vec<Slot<'_>>> = prompt.chunks.iter().map(ChunkMemories::slots).collect();
    let one = |choice: &String| {
        let ids = model.tokenizer().encode_plain(&format!("{blank}{choice}"))?;
        let text = [prompt.tokens.ids.as_slice(), &ids].concat();
        let each = log_probabilities(model, prompt.prefix, &text, ids.len(), &chunks)?;
        Ok(each.iter().sum())
    };
    choices.iter().map(one).collect()
}

impl ChoiceQuestion {
    /// Scores the likelihoods of the choices.
    fn score(&self, likelihoods: &[f64]) -> ChoiceScores {
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

fn report(
    models: &Models<'_>,
    pack: Option<&Arc<MappedPack>>,
    questions: usize,
    modes: &[Mode],
    all: &[Vec<ChoiceScores>],
) -> ChoiceReport {
    let means = |scores: &[ChoiceScores]| {
        let of = |value: fn(&ChoiceScores) -> Option<f64>| mean(&scores.iter().filter_map(value).collect::<Vec<_>>());
        let [mc1, mc2, accuracy, accuracy_normalised] = METRICS.map(|(_, value)| of(value));
        ChoiceScores { mc1, mc2, accuracy, accuracy_normalised }
    };
    let mut differences = Vec::new();
    for (left, scores) in modes.iter().zip(all).skip(1) {
        for (metric, value) in METRICS {
            let pairs = scores.iter().zip(&all[0]).filter_map(|(a, b)| Some(value(a)? - value(b)?));
            let interval = interval(&pairs.collect::<Vec<_>>());
            differences.extend(interval.map(|interval| PairedDifference { left: *left, right: modes[0], metric, interval }));
        }
    }
    ChoiceReport {
        questions,
        pack: pack.map(|pack| pack.id().to_string()),
        model: models.model.identity().name.clone(),
        modes: modes.iter().zip(all).map(|(mode, scores)| (*mode, means(scores))).collect(),
        differences,
    }
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
}

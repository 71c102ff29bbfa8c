//! Multiple choice: which of the given answers a model finds likeliest (TruthfulQA, arXiv 2109.07958; MMLU, arXiv 2009.03300).
//!
//! An answer's likelihood is that of its tokens behind the question's prompt, in the same modes as answers are: closed book, with
//! memories, with texts in the prompt. The answers themselves do not stand in the prompt.

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
use crate::report::Difference;
use crate::rows::{RowsError, read_rows};
use crate::tally::mean;
use crate::{EvaluateError, Mode, Models, Retrieved};

/// A question with answers to choose from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Row")]
pub struct ChoiceQuestion {
    /// Its name.
    pub id: String,
    /// Its words.
    pub question: String,
    /// The answers, each once.
    pub choices: Vec<String>,
    /// Which of them are right, for each way of counting that the row has.
    tasks: Tasks,
}

/// Places of the answers to choose from, and whether each is right.
type Task = Vec<(usize, bool)>;

#[derive(Clone, Debug, Default, PartialEq)]
struct Tasks {
    /// TruthfulQA's MC1: one is right.
    mc1: Option<Task>,
    /// TruthfulQA's MC2: several are.
    mc2: Option<Task>,
    /// One right choice, given by its letter or number.
    one: Option<Task>,
}

/// A line of a file, as it stands there.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    id: String,
    question: String,
    mc1: Option<BTreeMap<String, u8>>,
    mc2: Option<BTreeMap<String, u8>>,
    #[serde(default)]
    choices: Vec<String>,
    answer: Option<Answer>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Place(usize),
    Letter(String),
}

impl Answer {
    /// Its place among the choices, from 0.
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

/// Why a line is no question with choices.
#[derive(Debug, thiserror::Error)]
enum RowError {
    #[error("neither `mc1`, `mc2` nor `choices` with an `answer`")]
    Nothing,
    #[error("`{field}` has no right answer beside a wrong one")]
    OneSided { field: &'static str },
    #[error("`answer` is none of the {choices} choices; expected a letter from A on, or a number from 0 on")]
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

/// The questions of a file: TruthfulQA's, `{"question", "mc1": {answer: 0 or 1, ...}, "mc2": {...}}` a line, or such with one right
/// choice, `{"question", "choices": [...], "answer": "B"}`, as those of MMLU.
///
/// # Errors
/// If the file cannot be read, a line is no such question, or there is none.
pub fn read_choices(path: &Path) -> Result<Vec<ChoiceQuestion>, RowsError> {
    read_rows(path, r#"{"question": "...", "choices": ["...", "..."], "answer": "A"}"#)
}

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct ChoiceOptions {
    /// The ways of answering; those with the gold reference do not fit, as these questions have none.
    pub modes: Vec<Mode>,
    /// References given; `None` is the model's number of memories a chunk.
    pub k: Option<usize>,
    /// References whose [overlap](crate::overlap) with the question is above this are left out; 1 leaves none out.
    pub overlap: f64,
}

impl Default for ChoiceOptions {
    fn default() -> Self {
        Self { modes: vec![Mode::ClosedBook], k: None, overlap: DEFAULT_OVERLAP }
    }
}

/// How right a mode's choices are; what a file has no labels for is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ChoiceScores {
    /// Share of the questions whose right answer is likelier than each wrong one (TruthfulQA MC1).
    pub mc1: Option<f64>,
    /// Mean share of the right answers in the probability of all (TruthfulQA MC2).
    pub mc2: Option<f64>,
    /// Share of the questions whose one right choice is the likeliest.
    pub accuracy: Option<f64>,
    /// The same with likelihoods for each byte, so that short choices have no advantage.
    pub accuracy_normalised: Option<f64>,
}

/// What one mode made of one question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chosen {
    /// The question's id.
    pub id: String,
    /// The mode.
    pub mode: Mode,
    /// The natural logarithm of each choice's probability, in the order of the question's.
    pub log_likelihoods: Vec<f64>,
    /// What was retrieved, most similar first; empty closed book.
    pub retrieved: Vec<Retrieved>,
    /// 0 or 1, but for MC2.
    #[serde(flatten)]
    pub scores: ChoiceScores,
}

/// What all questions together say.
#[derive(Clone, Debug, Serialize)]
pub struct ChoiceReport {
    /// Questions asked.
    pub questions: usize,
    /// Id of the pack, if there is one.
    pub pack: Option<String>,
    /// Name of the model.
    pub model: String,
    /// Each mode's figures.
    pub modes: BTreeMap<Mode, ChoiceScores>,
    /// Paired differences of each other mode and the first.
    pub differences: Vec<Difference>,
}

/// A score's name, and how it is read off.
type Metric = (&'static str, fn(&ChoiceScores) -> Option<f64>);

const METRICS: [Metric; 4] =
    [("mc1", |s| s.mc1), ("mc2", |s| s.mc2), ("accuracy", |s| s.accuracy), ("accuracy_normalised", |s| s.accuracy_normalised)];

/// Lets the model choose, in all modes, and scores its choices. `observe` hears what each mode chose, and may break off.
///
/// # Errors
/// If a mode needs a pack, base or gold reference that is not there, the parts do not belong together, the pack is damaged, the model
/// fails, or `observe` broke off.
pub fn choose_answers(
    models: &Models<'_>,
    pack: Option<&Arc<MappedPack>>,
    questions: &[ChoiceQuestion],
    options: &ChoiceOptions,
    observe: &mut dyn FnMut(&ChoiceQuestion, &[Chosen]) -> ControlFlow<()>,
) -> Result<ChoiceReport, EvaluateError> {
    if let Some(&mode) = options.modes.iter().find(|mode| mode.uses_gold()) {
        return Err(EvaluateError::Mode { mode, reason: "questions with choices have no gold reference" });
    }
    if let Some(&mode) = options.modes.iter().find(|mode| mode.uses_retrieval() && pack.is_none()) {
        return Err(EvaluateError::Mode { mode, reason: "it retrieves, and there is no pack (--pack)" });
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
            let judged = question.judge(&likelihoods);
            scores.push(judged);
            let reads = prompt.chunks.iter().flat_map(|chunk| &chunk.reads).chain(&prompt.texts);
            let passages = library.as_ref().map_or_else(|| Ok(Vec::new()), |library| library.passages(reads))?;
            chosen.push(Chosen {
                id: question.id.clone(),
                mode: contender.setting.mode,
                scores: judged,
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

/// The logarithm of each choice's probability behind a prompt.
fn likelihoods(contender: &Contender, prompt: &PreparedPrompt, choices: &[String]) -> Result<Vec<f64>, EvaluateError> {
    let model = contender.model();
    // Behind a prompt that ends in a letter or a colon, an answer's first word has a blank before it.
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
    /// Scores the likelihoods of its choices.
    fn judge(&self, likelihoods: &[f64]) -> ChoiceScores {
        let by_byte: Vec<f64> = likelihoods.iter().zip(&self.choices).map(|(l, choice)| l / choice.len().max(1) as f64).collect();
        ChoiceScores {
            mc1: self.tasks.mc1.as_deref().map(|task| best_is_right(task, likelihoods)),
            mc2: self.tasks.mc2.as_deref().map(|task| right_share(task, likelihoods)),
            accuracy: self.tasks.one.as_deref().map(|task| best_is_right(task, likelihoods)),
            accuracy_normalised: self.tasks.one.as_deref().map(|task| best_is_right(task, &by_byte)),
        }
    }
}

/// 1 if a right answer is above all wrong ones, else 0: a tie is no choice.
fn best_is_right(task: &[(usize, bool)], likelihoods: &[f64]) -> f64 {
    let best = |right: bool| task.iter().filter(|t| t.1 == right).map(|t| likelihoods[t.0]).fold(f64::NEG_INFINITY, f64::max);
    f64::from(u8::from(best(true) > best(false)))
}

/// The right answers' share of the probability of all.
fn right_share(task: &[(usize, bool)], likelihoods: &[f64]) -> f64 {
    // Likelihoods of sentences underflow: relative to the best they do not.
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
            differences.extend(interval.map(|interval| Difference { left: *left, right: modes[0], metric, interval }));
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
        // Both tasks share the choices they share.
        assert_eq!(question.choices, ["both", "no", "yes", "indeed"]);
        let likelihoods = |both: f64, no: f64, yes: f64, indeed: f64| [both, no, yes, indeed].map(f64::ln);
        let scores = question.judge(&likelihoods(0.1, 0.2, 0.3, 0.1));
        assert_eq!((scores.mc1, scores.accuracy), (Some(1.0), None));
        assert!((scores.mc2.unwrap() - 0.4 / 0.6).abs() < 1e-12, "{scores:?}");
        assert_eq!(question.judge(&likelihoods(0.1, 0.31, 0.3, 0.1)).mc1, Some(0.0));
        assert_eq!(question.judge(&likelihoods(0.3, 0.2, 0.3, 0.1)).mc1, Some(0.0), "a tie is no choice");
        // Log-likelihoods that exp() takes for 0.
        let far = question.judge(&[-2000.0, -2001.0, -2000.0, -2001.0]);
        assert!((far.mc2.unwrap() - (1.0 + (-1f64).exp()) / (1.0 + 2.0 * (-1f64).exp())).abs() < 1e-12);
    }

    #[test]
    fn one_right_choice_with_and_without_regard_to_length() {
        for answer in ["\"B\"", "1"] {
            let question = row(&format!(r#"{{"question": "?", "choices": ["ab", "abcdefgh"], "answer": {answer}}}"#)).unwrap();
            let scores = question.judge(&[-4.0, -8.0]);
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

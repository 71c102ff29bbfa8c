//! Suites of public multiple-choice benchmarks, measured without memories and with several numbers of them.
//!
//! | suite | task | file, in the folder of the data | a question is right if |
//! |---|---|---|---|
//! | `professional` | `mmlu_medical`, `mmlu_law` | `mmlu_med_law/qa.jsonl` (MMLU, arXiv 2009.03300; rows whose `split` is `test`) | its one right choice is the most likely |
//! | `factual` | `truthfulqa` | `hallucination/truthfulqa.jsonl` (TruthfulQA, arXiv 2109.07958) | MC1: its one right choice is the most likely; MC2: the share of the right choices in the probability of all |
//! | | `halueval_qa` | `hallucination/halueval_qa.jsonl` (HaluEval, arXiv 2305.11747) | the right answer is more likely per byte than the invented one, which is longer |
//!
//! Memory3 (arXiv 2407.01178, section 6) compares models with memories and without, on professional tasks and on hallucination. What is
//! said of the memories is not from the paper; it is defined here:
//!
//! - **hit rate**: the share of the questions for which one reference that was read holds all words of a right choice, in any order.
//! - **integration**: the share of the questions that are wrong without memories and right with them; **lost**: the other way round.
//! - **novel information**: the mean share of the different pairs of neighbouring words in the references read that the question does not
//!   have. It says that retrieval does not repeat the question, not that it is of use.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use mempack_model::DEFAULT_OVERLAP;
use mempack_runtime::Mounts;
use serde::Serialize;

use crate::bootstrap::{Interval, interval};
use crate::choice_question::{ChoiceQuestion, ChoiceScores, METRICS, main_metric, read_choices};
use crate::choices::{Choice, Choosing};
use crate::contender::Setting;
use crate::metrics::{Words, holds_words, novel_pairs};
use crate::models::{ModelName, Retrieving};
use crate::parameters::parameters;
use crate::rows::RowsError;
use crate::scatter::ScatterPoints;
use crate::tally::mean;
use crate::{EvaluateError, Mode, Models, Retrieved};

/// A suite of benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Medicine and law.
    Professional,
    /// Common misconceptions, and answers that were invented.
    Factual,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Professional => "professional",
            Self::Factual => "factual",
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Suite {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A word that is not the name of a [`Suite`].
#[derive(Debug, thiserror::Error)]
#[error("unknown suite `{found}`; expected professional or factual")]
pub struct UnknownSuite {
    /// The word.
    pub found: String,
}

impl FromStr for Suite {
    type Err = UnknownSuite;

    fn from_str(word: &str) -> Result<Self, UnknownSuite> {
        let named = |suite: &Self| suite.name() == word;
        [Self::Professional, Self::Factual].into_iter().find(named).ok_or_else(|| UnknownSuite { found: word.to_owned() })
    }
}

/// The questions of one benchmark.
#[derive(Clone, Debug, PartialEq)]
pub struct SuiteTask {
    /// Its name.
    pub name: &'static str,
    /// Its questions, at least one.
    pub questions: Vec<ChoiceQuestion>,
}

/// Reads the questions of a suite from a folder that is laid out as the module says.
///
/// # Errors
/// If a file cannot be read, a line is not a question, or a task has no questions.
pub fn read_suite(suite: Suite, folder: &Path) -> Result<Vec<SuiteTask>, RowsError> {
    match suite {
        Suite::Professional => {
            let path = folder.join("mmlu_med_law/qa.jsonl");
            let mut all = read_choices(&path)?;
            // The other splits are meant as examples in the prompt.
            all.retain(|question| question.split.is_empty() || question.split == "test");
            let task = |name, domain: &str| {
                let questions: Vec<_> = all.iter().filter(|question| question.domain == domain).cloned().collect();
                match questions.is_empty() {
                    true => Err(RowsError::Empty { path: path.clone(), expected: EXPECTED_MMLU }),
                    false => Ok(SuiteTask { name, questions }),
                }
            };
            Ok(vec![task("mmlu_medical", "medical")?, task("mmlu_law", "law")?])
        }
        Suite::Factual => {
            let task = |name, file: &str| Ok(SuiteTask { name, questions: read_choices(&folder.join("hallucination").join(file))? });
            Ok(vec![task("truthfulqa", "truthfulqa.jsonl")?, task("halueval_qa", "halueval_qa.jsonl")?])
        }
    }
}

const EXPECTED_MMLU: &str =
    r#"{"question": "...", "choices": ["...", "..."], "answer": "A", "domain": "law", "split": "test"}, of the domains medical and law"#;

/// Options of [`measure_suite`].
#[derive(Clone, Debug)]
pub struct SuiteOptions {
    /// The modes to measure, closed book among them or not.
    pub modes: Vec<Mode>,
    /// Numbers of references of a chunk of the prompt, for the modes that retrieve; 0 stands for the closed book.
    pub memories: Vec<usize>,
    /// References whose [overlap](crate::overlap) with the question exceeds this share are not read; 1 filters nothing.
    pub overlap: f64,
}

impl Default for SuiteOptions {
    fn default() -> Self {
        Self { modes: vec![Mode::MemoryQuantized], memories: vec![0, 1, 3, 5], overlap: DEFAULT_OVERLAP }
    }
}

/// Largest number of references that can be requested.
const MAX_MEMORIES: usize = 4096;

impl SuiteOptions {
    /// Each setting once: closed book first, then the modes, each with ascending numbers of references.
    fn settings(&self, models: &Models<'_>) -> Result<Vec<Setting>, EvaluateError> {
        if let Some(k) = self.memories.iter().find(|k| **k > MAX_MEMORIES) {
            let expected = format!("at most {MAX_MEMORIES}");
            return Err(EvaluateError::Option { option: "memories", found: k.to_string(), expected });
        }
        let of = |mode, k| Setting::of(mode, k, models.model.memory());
        // Modes that retrieve nothing have one setting, whose number of references is not used.
        let mut all = Vec::new();
        if self.memories.contains(&0) || self.modes.contains(&Mode::ClosedBook) {
            all.push(of(Mode::ClosedBook, 1));
        }
        for &mode in self.modes.iter().filter(|mode| **mode != Mode::ClosedBook) {
            match mode.uses_retrieval() {
                true => all.extend(self.memories.iter().filter(|k| **k > 0).map(|k| of(mode, *k))),
                false => all.push(of(mode, 1)),
            }
        }
        all.sort_unstable();
        all.dedup();
        if all.is_empty() {
            let (found, expected) = ("empty".into(), "a mode, or 0 memories".into());
            return Err(EvaluateError::Option { option: "modes", found, expected });
        }
        Ok(all)
    }
}

/// Results of a suite.
#[derive(Clone, Debug, Serialize)]
pub struct SuiteReport {
    /// The suite.
    pub suite: Suite,
    /// Name of the model, and of its reading adapter.
    #[serde(flatten)]
    pub model: ModelName,
    /// How references are found.
    #[serde(flatten)]
    pub retrieving: Retrieving,
    /// Number of its parameters.
    pub parameters: u64,
    /// Ids of the packs, which retrieval ranked together.
    pub packs: Vec<String>,
    /// References whose overlap with the question exceeds this share were filtered out.
    pub overlap: f64,
    /// Results of each task.
    pub tasks: Vec<TaskReport>,
}

/// Results of one task.
#[derive(Clone, Debug, Serialize)]
pub struct TaskReport {
    /// Its name.
    pub task: &'static str,
    /// Number of questions.
    pub questions: usize,
    /// The metric that says whether a question is right: `accuracy`, `mc1` or `accuracy_normalised`.
    pub metric: &'static str,
    /// Results of each setting.
    pub settings: Vec<SettingReport>,
}

/// Results of one setting on one task. Shares are `None` where nothing is read, or nothing to compare with was measured.
#[derive(Clone, Debug, Serialize)]
pub struct SettingReport {
    /// The mode.
    pub mode: Mode,
    /// Number of references of a chunk of the prompt.
    pub memories: usize,
    /// The mean of each metric that the task has, with its 95% bootstrap interval: `mc1`, `mc2`, `accuracy`, `accuracy_normalised`.
    pub scores: BTreeMap<&'static str, Interval>,
    /// Differences from the closed book on the same questions, for each metric.
    pub gains: BTreeMap<&'static str, Interval>,
    /// Share of the questions for which a reference read holds the words of a right choice.
    pub hit_rate: Option<f64>,
    /// Share of the questions that are wrong closed book and right here.
    pub integration: Option<f64>,
    /// Share of the questions that are right closed book and wrong here.
    pub lost: Option<f64>,
    /// Mean share of the pairs of words in the references read that the question does not have.
    pub novel_information: Option<f64>,
}

/// A question of a task with the choices of all settings, as it is written to the details. [`read_points`](crate::read_points) reads it.
#[derive(Clone, Debug, Serialize)]
pub struct SuiteAsked {
    /// The suite.
    pub suite: Suite,
    /// The task.
    pub task: &'static str,
    /// Name of the model.
    pub model: String,
    /// Number of its parameters.
    pub parameters: u64,
    /// The question's id.
    pub id: String,
    /// Its choices.
    pub choices: Vec<String>,
    /// What each setting makes of it.
    pub settings: Vec<SuiteChoice>,
}

/// What one setting makes of a question.
#[derive(Clone, Debug, Serialize)]
pub struct SuiteChoice {
    /// The mode.
    pub mode: Mode,
    /// Number of references of a chunk of the prompt.
    pub memories: usize,
    /// The scores.
    #[serde(flatten)]
    pub scores: ChoiceScores,
    /// The natural logarithm of each choice's probability.
    pub log_likelihoods: Vec<f64>,
    /// Whether a reference read holds the words of a right choice; `None` if none was read.
    pub hit: Option<bool>,
    /// Share of the pairs of words in the references read that the question does not have.
    pub novel: Option<f64>,
    /// The references read, in the order of their first use.
    pub retrieved: Vec<Retrieved>,
}

impl SuiteChoice {
    fn of(question: &ChoiceQuestion, choice: Choice) -> Self {
        let texts: Vec<&Words> = choice.passages.iter().map(|passage| &passage.words).collect();
        let right: Vec<Words> = question.right().map(Words::of).collect();
        let held = || texts.iter().any(|text| right.iter().any(|answer| holds_words(text, answer)));
        Self {
            mode: choice.setting.mode,
            memories: if choice.setting.mode.uses_retrieval() { choice.setting.k } else { 0 },
            scores: choice.scores,
            hit: (!texts.is_empty()).then(held),
            novel: novel_pairs(&[&Words::of(&question.question)], &texts),
            retrieved: choice.passages.iter().map(Retrieved::of).collect(),
            log_likelihoods: choice.log_likelihoods,
        }
    }
}

/// Measures the tasks of a suite, with references of all packs of `mounts`. `observe` is called after each question and can stop the
/// measurement. Returns the report, and its points for a [scatter figure](crate::scatter_figure).
///
/// # Errors
/// If a mode needs packs or a base model that is missing, the packs and the models do not match, a pack is damaged, the model fails, or
/// `observe` stops the measurement.
pub fn measure_suite(
    models: &Models<'_>,
    mounts: Option<&Arc<Mounts>>,
    suite: Suite,
    tasks: &[SuiteTask],
    options: &SuiteOptions,
    observe: &mut dyn FnMut(&SuiteAsked) -> ControlFlow<()>,
) -> Result<(SuiteReport, ScatterPoints), EvaluateError> {
    let settings = options.settings(models)?;
    let choosing = Choosing::new(models, mounts, &settings, options.overlap)?;
    let (model, parameters) = (ModelName::of(models.model), parameters(models.model.config()));
    let label = model.short();
    let mut points = ScatterPoints::default();
    let mut reports = Vec::new();
    for task in tasks {
        let mut all: Vec<Vec<SuiteChoice>> = vec![Vec::new(); settings.len()];
        for question in &task.questions {
            let choices = choosing.choose(question)?.into_iter().map(|choice| SuiteChoice::of(question, choice)).collect();
            let (id, listed) = (question.id.clone(), question.choices.clone());
            let asked = SuiteAsked { suite, task: task.name, model: label.clone(), parameters, id, choices: listed, settings: choices };
            let flow = observe(&asked);
            asked.settings.into_iter().zip(&mut all).for_each(|(choice, list)| list.push(choice));
            if flow.is_break() {
                return Err(EvaluateError::Interrupted);
            }
        }
        let metric = main_metric(task.name);
        for choice in all.iter().flatten() {
            points.add(task.name, &label, parameters, choice.mode, choice.memories, choice.scores.get(metric));
        }
        reports.push(TaskReport { task: task.name, questions: task.questions.len(), metric, settings: report(&all, metric) });
    }
    let packs = mounts.map(|mounts| mounts.packs().packs().iter().map(|mounted| mounted.id().to_string()).collect());
    let (packs, retrieving) = (packs.unwrap_or_default(), models.retrieving());
    Ok((SuiteReport { suite, model, retrieving, parameters, packs, overlap: options.overlap, tasks: reports }, points))
}

/// The report of each setting from its choices, question by question. The first setting is the closed book, if it was measured.
fn report(all: &[Vec<SuiteChoice>], metric: &str) -> Vec<SettingReport> {
    let closed = all.first().filter(|choices| choices.first().is_some_and(|choice| choice.mode == Mode::ClosedBook));
    let one = |choices: &Vec<SuiteChoice>| {
        let first = choices.first()?;
        let reads = first.mode.uses_retrieval();
        let closed = closed.filter(|_| first.mode != Mode::ClosedBook);
        let mut scores = BTreeMap::new();
        let mut gains = BTreeMap::new();
        for (metric, value) in METRICS {
            let of = |list: &[SuiteChoice]| list.iter().filter_map(|choice| value(&choice.scores)).collect::<Vec<_>>();
            let own = of(choices);
            scores.extend(interval(&own).map(|interval| (metric, interval)));
            let pairs = closed.map(|closed| own.iter().zip(of(closed)).map(|(with, without)| with - without).collect::<Vec<_>>());
            gains.extend(pairs.and_then(|pairs| interval(&pairs)).map(|interval| (metric, interval)));
        }
        let changed = |before: f64, after: f64| {
            let pairs = closed?.iter().zip(choices);
            let both = pairs.filter_map(|(alone, with)| Some((alone.scores.get(metric)?, with.scores.get(metric)?)));
            mean(&both.map(|pair| f64::from(u8::from(pair == (before, after)))).collect::<Vec<_>>())
        };
        // A question that reads nothing has no hit.
        let hits: Vec<f64> = choices.iter().map(|choice| f64::from(u8::from(choice.hit == Some(true)))).collect();
        Some(SettingReport {
            mode: first.mode,
            memories: first.memories,
            scores,
            gains,
            hit_rate: mean(&hits).filter(|_| reads),
            integration: changed(0.0, 1.0),
            lost: changed(1.0, 0.0),
            novel_information: mean(&choices.iter().filter_map(|choice| choice.novel).collect::<Vec<_>>()),
        })
    };
    all.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn choice(mode: Mode, memories: usize, right: bool, hit: Option<bool>, novel: Option<f64>) -> SuiteChoice {
        let scores = ChoiceScores { mc1: Some(f64::from(u8::from(right))), mc2: Some(0.25), ..ChoiceScores::default() };
        SuiteChoice { mode, memories, scores, log_likelihoods: Vec::new(), hit, novel, retrieved: Vec::new() }
    }

    #[test]
    fn what_memories_change_is_counted() {
        let closed = [false, false, true, true, false].map(|right| choice(Mode::ClosedBook, 0, right, None, None));
        let with = [(true, Some(true)), (false, Some(true)), (false, None), (true, Some(false)), (true, Some(false))]
            .map(|(right, hit)| choice(Mode::Memory, 3, right, hit, hit.map(|_| 0.5)));
        let [alone, memory] = report(&[closed.to_vec(), with.to_vec()], "mc1").try_into().unwrap();
        assert_eq!((alone.hit_rate, alone.integration, alone.lost, alone.novel_information), (None, None, None, None));
        assert!(alone.gains.is_empty() && alone.scores["mc1"].mean == 0.4 && alone.scores["mc2"].n == 5);
        // Questions 1 and 5 were wrong and are right, question 3 was right and is wrong. A question that read nothing has no hit.
        assert_eq!((memory.integration, memory.lost, memory.hit_rate), (Some(0.4), Some(0.2), Some(0.4)));
        assert!((memory.gains["mc1"].mean - 0.2).abs() < 1e-12 && memory.gains["mc2"].mean == 0.0, "{memory:?}");
        assert_eq!((memory.novel_information, memory.scores["mc1"].mean, memory.memories), (Some(0.5), 0.6, 3));
        let [alone] = report(&[with.to_vec()], "mc1").try_into().unwrap();
        assert_eq!((alone.integration, alone.hit_rate), (None, Some(0.4)), "nothing to compare with");
    }

    const MMLU: &str = r#"{"id": "1", "question": "?", "choices": ["a", "b"], "answer": "B", "domain": "law", "split": "test"}"#;

    #[test]
    fn suites_are_read_from_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let read = |suite| read_suite(suite, folder.path()).map_err(|error| error.to_string());
        let error = read(Suite::Professional).unwrap_err();
        assert!(error.contains("mmlu_med_law/qa.jsonl") && error.contains("must exist"), "{error}");
        for part in ["mmlu_med_law", "hallucination"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        let put = |file: &str, lines: &[&str]| fs::write(folder.path().join(file), lines.join("\n")).unwrap();
        let medical = MMLU.replace("law", "medical");
        let dev = MMLU.replace("test", "dev");
        put("mmlu_med_law/qa.jsonl", &[MMLU, &medical, &dev, &medical.replace(", \"split\": \"test\"", "")]);
        let tasks = read(Suite::Professional).unwrap();
        let sizes: Vec<_> = tasks.iter().map(|task| (task.name, task.questions.len())).collect();
        assert_eq!(sizes, [("mmlu_medical", 2), ("mmlu_law", 1)]);
        put("mmlu_med_law/qa.jsonl", &[MMLU, &dev]);
        let error = read(Suite::Professional).unwrap_err();
        assert!(error.contains("no rows") && error.contains("domains medical and law"), "{error}");

        put("hallucination/truthfulqa.jsonl", &[r#"{"question": "?", "mc1": {"a": 1, "b": 0}, "mc2": {"a": 1, "c": 1, "b": 0}}"#]);
        put(
            "hallucination/halueval_qa.jsonl",
            &[r#"{"question": "?", "answers": ["a"], "incorrect": ["b"]}"#, r#"{"question": "?", "answers": ["a"]}"#],
        );
        let error = read(Suite::Factual).unwrap_err();
        assert!(error.contains("halueval_qa.jsonl, line 2") && error.contains("`answers` with `incorrect`"), "{error}");
        put("hallucination/halueval_qa.jsonl", &[r#"{"question": "?", "answers": ["a"], "incorrect": ["b"]}"#]);
        assert_eq!(read(Suite::Factual).unwrap().iter().map(|task| task.name).collect::<Vec<_>>(), ["truthfulqa", "halueval_qa"]);
    }

    #[test]
    fn names_lead_back() {
        for suite in [Suite::Professional, Suite::Factual] {
            assert_eq!(suite.to_string().parse::<Suite>().unwrap(), suite);
        }
        assert!("medical".parse::<Suite>().unwrap_err().to_string().contains("`medical`; expected professional or factual"));
    }
}

//! Multiple choice: which of the given answers is most likely to the model (TruthfulQA, arXiv 2109.07958; MMLU, arXiv 2009.03300).
//!
//! The likelihood of a choice is that of its tokens after the question's prompt. The modes are those of questions: closed book, with
//! memories, with texts in the prompt. The prompt does not contain the choices.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use mempack_model::{DEFAULT_OVERLAP, Slot};
use mempack_runtime::{ChunkMemories, MappedPack, Mounts, PreparedPrompt};
use serde::Serialize;

use crate::bootstrap::interval;
use crate::choice_question::{ChoiceQuestion, ChoiceScores, METRICS};
use crate::contender::{Answers, Contender, Setting, WrittenMemories};
use crate::library::{Library, Passage, first_pack};
use crate::likelihood::log_probabilities;
use crate::models::{ModelName, Retrieving};
use crate::report::PairedDifference;
use crate::tally::mean;
use crate::{EvaluateError, Mode, Models, Retrieved};

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
    /// Name of the model, and of its reading adapter.
    #[serde(flatten)]
    pub model: ModelName,
    /// How references are found.
    #[serde(flatten)]
    pub retrieving: Retrieving,
    /// Scores of each mode.
    pub modes: BTreeMap<Mode, ChoiceScores>,
    /// Paired differences between each other mode and the first.
    pub differences: Vec<PairedDifference>,
}

/// Scores the choices of each question in all modes. `observe` is called after each question and can stop the evaluation.
///
/// # Errors
/// If a mode needs a pack, a base model or a gold reference that is missing, the pack and the models do not match, the pack is damaged, the
/// model fails, or `observe` stops the evaluation.
pub fn choose_answers(
    models: &Models<'_>,
    mounts: Option<&Arc<Mounts>>,
    questions: &[ChoiceQuestion],
    options: &ChoiceOptions,
    observe: &mut dyn FnMut(&ChoiceQuestion, &[Chosen]) -> ControlFlow<()>,
) -> Result<ChoiceReport, EvaluateError> {
    let memory = models.model.memory();
    let k = options.k.unwrap_or(memory.memories_per_chunk as usize);
    let settings: Vec<Setting> = options.modes.iter().map(|mode| Setting::of(*mode, k, memory)).collect();
    let choosing = Choosing::new(models, mounts, &settings, options.overlap)?;
    let mut all: Vec<Vec<ChoiceScores>> = vec![Vec::new(); settings.len()];
    for question in questions {
        let made = choosing.choose(question)?;
        made.iter().zip(&mut all).for_each(|(choice, scores)| scores.push(choice.scores));
        let chosen: Vec<Chosen> = made.into_iter().map(|choice| choice.chosen(question)).collect();
        if observe(question, &chosen).is_break() {
            return Err(EvaluateError::Interrupted);
        }
    }
    Ok(report(models, mounts.map(first_pack).as_ref(), questions.len(), &options.modes, &all))
}

/// Scores choices in several settings.
pub(crate) struct Choosing {
    library: Option<Library>,
    contenders: Vec<Contender>,
}

/// What one setting makes of a question.
pub(crate) struct Choice {
    pub setting: Setting,
    pub scores: ChoiceScores,
    /// The natural logarithm of each choice's probability.
    pub log_likelihoods: Vec<f64>,
    /// The references read, in the order of their first use.
    pub passages: Vec<Passage>,
}

impl Choosing {
    /// An error if a mode needs packs, a base model or a gold reference that is missing, or the packs and the models do not match.
    pub fn new(models: &Models<'_>, mounts: Option<&Arc<Mounts>>, settings: &[Setting], overlap: f64) -> Result<Self, EvaluateError> {
        let modes = || settings.iter().map(|setting| setting.mode);
        if let Some(mode) = modes().find(|mode| mode.uses_gold()) {
            return Err(EvaluateError::Mode { mode, reason: "multiple-choice questions have no gold reference" });
        }
        if let Some(mode) = modes().find(|mode| mode.uses_retrieval() && mounts.is_none()) {
            return Err(EvaluateError::Mode { mode, reason: "it retrieves from a pack, and no pack is given" });
        }
        let library = mounts.map(|mounts| Library::over(models, mounts, overlap)).transpose()?;
        let library = library.filter(|_| modes().any(|mode| mode.uses_retrieval()));
        let mut written = WrittenMemories::default();
        // An answer has at most one token, because the likelihood of given texts counts.
        let contender = |setting: &Setting| Contender::new(models, library.as_ref(), *setting, &Answers::SHORTEST, &mut written);
        let contenders = settings.iter().map(contender).collect::<Result<_, _>>()?;
        Ok(Self { library, contenders })
    }

    /// The choice of each setting, in their order.
    pub fn choose(&self, question: &ChoiceQuestion) -> Result<Vec<Choice>, EvaluateError> {
        self.contenders.iter().map(|contender| self.choose_one(contender, question)).collect()
    }

    fn choose_one(&self, contender: &Contender, question: &ChoiceQuestion) -> Result<Choice, EvaluateError> {
        let failed = |source| EvaluateError::Ask { id: question.id.clone(), source: Box::new(source) };
        let prompt = contender.prepare(&question.question).map_err(failed)?;
        let log_likelihoods = likelihoods(contender, &prompt, &question.choices)?;
        let reads = prompt.chunks.iter().flat_map(|chunk| &chunk.reads).chain(&prompt.texts);
        let passages = self.library.as_ref().map_or_else(|| Ok(Vec::new()), |library| library.passages(reads))?;
        Ok(Choice { setting: contender.setting, scores: question.score(&log_likelihoods), log_likelihoods, passages })
    }
}

impl Choice {
    fn chosen(self, question: &ChoiceQuestion) -> Chosen {
        Chosen {
            id: question.id.clone(),
            mode: self.setting.mode,
            scores: self.scores,
            log_likelihoods: self.log_likelihoods,
            retrieved: self.passages.iter().map(Retrieved::of).collect(),
        }
    }
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
        model: ModelName::of(models.model),
        retrieving: models.retrieving(),
        modes: modes.iter().zip(all).map(|(mode, scores)| (*mode, means(scores))).collect(),
        differences,
    }
}

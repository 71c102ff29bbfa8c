//! Questions answered in several modes, one after the other.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use mempack_model::DEFAULT_OVERLAP;
use mempack_runtime::{Answer, AskError, MappedPack, Session};
use serde::Serialize;

use crate::contender::{ALL, Contender, Setting, Thousandths, WrittenMemories};
use crate::library::{Library, Passage};
use crate::metrics::{Score, Words, novel_share, score};
use crate::question::accepted;
use crate::tally::Tally;
use crate::{EvaluateError, Mode, Models, Question, QuestionReport};

/// References of which [`QuestionReport::hit_at`] says whether the gold document is among them.
pub(crate) const HIT_AT: [usize; 3] = [1, 3, 5];
/// References given, in the sweep over them.
const SWEEP_K: [usize; 4] = [1, 3, 5, 7];
/// Tokens kept at each key-value head, in the sweep over them; the last step is all of a reference.
const SWEEP_TOKENS: [u32; 4] = [4, 8, 16, 32];
/// Strengths of the similarity bias, in the sweep over them; 0 is the paper's reading.
const SWEEP_BIAS: [f32; 4] = [0.0, 10.0, 30.0, 100.0];
/// Margins of similarity, in the sweep over them.
const SWEEP_MARGIN: [f32; 5] = [0.0, 0.05, 0.1, 0.2, ALL];

/// What is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// References given: 1, 3, 5 and 7, in those of the modes `memory`, `memory_quantized` and `in_context` that are measured.
    K,
    /// Tokens kept at each key-value head: 4, 8, 16, 32 and all, in the mode `memory`.
    Tokens,
    /// The similarity bias: 0, 10, 30 and 100, in the mode `memory`.
    Bias,
    /// The similarity margin: 0 (the best hit alone), 0.05, 0.1, 0.2 and 2 (all that were retrieved), in the mode `memory`.
    Margin,
}

/// A word that names no [`Sweep`].
#[derive(Debug, thiserror::Error)]
#[error("nothing called `{found}` can be varied; expected k, tokens, bias or margin")]
pub struct UnknownSweep {
    /// The word.
    pub found: String,
}

impl FromStr for Sweep {
    type Err = UnknownSweep;

    fn from_str(word: &str) -> Result<Self, UnknownSweep> {
        match word {
            "k" => Ok(Self::K),
            "tokens" => Ok(Self::Tokens),
            "bias" => Ok(Self::Bias),
            "margin" => Ok(Self::Margin),
            _ => Err(UnknownSweep { found: word.to_owned() }),
        }
    }
}

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct QuestionOptions {
    /// The ways of answering.
    pub modes: Vec<Mode>,
    /// What is varied beside.
    pub sweeps: Vec<Sweep>,
    /// References given; `None` is the model's number of memories a chunk. It may be above that number.
    pub k: Option<usize>,
    /// Most tokens of an answer.
    pub max_tokens: usize,
    /// References whose [overlap](crate::overlap) with the question is above this are left out; 1 leaves none out.
    pub overlap: f64,
}

impl Default for QuestionOptions {
    fn default() -> Self {
        Self { modes: Mode::DEFAULT.to_vec(), sweeps: Vec::new(), k: None, max_tokens: 64, overlap: DEFAULT_OVERLAP }
    }
}

impl QuestionOptions {
    /// The settings of the modes themselves, and all that the sweeps add; each once.
    pub(crate) fn settings(&self, models: &Models<'_>) -> Result<(Vec<Setting>, BTreeSet<Setting>), EvaluateError> {
        let memory = models.model.memory();
        let k = self.k.unwrap_or(memory.memories_per_chunk as usize);
        if !(1..=4096).contains(&k) {
            return Err(EvaluateError::Option { option: "k", found: k.to_string(), expected: "1 to 4096".into() });
        }
        let own: Vec<Setting> = self.modes.iter().map(|&mode| Setting::of(mode, k, memory)).collect();
        let written = Setting::of(Mode::Memory, k, memory);
        if own.is_empty() {
            let expected = "one mode at least".into();
            return Err(EvaluateError::Option { option: "modes", found: "empty".into(), expected });
        }
        let mut all: BTreeSet<Setting> = own.iter().copied().collect();
        if self.sweeps.contains(&Sweep::K) {
            let varied = own.iter().filter(|s| matches!(s.mode, Mode::Memory | Mode::MemoryQuantized | Mode::InContext));
            all.extend(varied.flat_map(|s| SWEEP_K.map(|k| Setting { k, ..*s })));
        }
        if self.sweeps.contains(&Sweep::Tokens) {
            let steps = SWEEP_TOKENS.into_iter().filter(|tokens| *tokens < memory.reference_length).chain([memory.reference_length]);
            all.extend(steps.map(|tokens| Setting { tokens, ..written }));
        }
        if self.sweeps.contains(&Sweep::Bias) {
            all.extend(SWEEP_BIAS.map(|bias| Setting { similarity_bias: Thousandths::of(bias), ..written }));
        }
        if self.sweeps.contains(&Sweep::Margin) {
            all.extend(SWEEP_MARGIN.map(|margin| Setting { similarity_margin: Thousandths::of(margin), ..written }));
        }
        Ok((own, all))
    }
}

/// A reference that was retrieved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retrieved {
    /// Its number in the pack.
    pub reference: u32,
    /// The first document that it stands in.
    pub document: String,
    /// Its similarity to the question.
    pub similarity: f32,
}

impl Retrieved {
    pub(crate) fn of(passage: &Passage) -> Self {
        let document = passage.reference.documents.first().cloned().unwrap_or_default();
        Self { reference: passage.number(), document, similarity: passage.hit.similarity }
    }
}

/// What one setting made of a question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The setting.
    #[serde(flatten)]
    pub setting: Setting,
    /// The answer, without blanks around it.
    pub answer: String,
    /// 1 if the answer is accepted, else 0.
    pub exact_match: f64,
    /// Word F1 with the nearest accepted answer.
    pub f1: f64,
    /// The share of the answer's words that stand in none of the references given (closed book: of those retrieved); `None` for
    /// an answer without words.
    pub novel: Option<f64>,
    /// Whether the whole answer stands in one of them.
    pub in_references: bool,
    /// Whether the answer came from what was given: it stands there, and the same model does not give it closed book. `None` without
    /// the mode `closed_book`, and for a mode that is given nothing.
    pub integrated: Option<bool>,
    /// From the question to the end of the answer, retrieval included, writing memories anew not.
    pub seconds: f64,
    /// From the question to the first text of the answer; `None` if there was none.
    pub first_token_seconds: Option<f64>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub answer_tokens: usize,
    /// Whether the prompt was too long for the model, which then answered nothing.
    pub too_long: bool,
}

/// A question with what was retrieved for it and what all settings made of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asked {
    /// The question's id.
    pub id: String,
    /// The question.
    pub question: String,
    /// The answers accepted; none if the right answer is that there is none, or if the question counts for retrieval only.
    pub accepted: Vec<String>,
    /// References retrieved, most similar first.
    pub retrieved: Vec<Retrieved>,
    /// References left out because they repeat the question.
    pub left_out: usize,
    /// Place of the first retrieved reference of a gold document, from 1; `None` if there is none, or none is known.
    pub gold_rank: Option<usize>,
    /// The gold reference, if a mode asked for it and the pack has it.
    pub gold: Option<Retrieved>,
    /// The answers; empty for a question that counts for retrieval only.
    pub outcomes: Vec<Outcome>,
}

/// Answers questions in all settings and scores the answers. `observe` hears of each question, and may break off.
///
/// Questions without accepted answers count for retrieval only (see [`Question::answers`]); a question whose prompt is too long for the
/// model counts as answered with nothing.
///
/// # Errors
/// If pack and models do not belong together, an option or mode cannot be, the pack is damaged, the model fails, or `observe`
/// broke off.
pub fn answer_questions(
    models: &Models<'_>,
    pack: &Arc<MappedPack>,
    questions: &[Question],
    options: &QuestionOptions,
    observe: &mut dyn FnMut(&Asked) -> ControlFlow<()>,
) -> Result<QuestionReport, EvaluateError> {
    let mut answering = Answering::new(models, pack, questions, options)?;
    for question in questions {
        let asked = answering.ask(question)?;
        let flow = observe(&asked);
        answering.tally.add(&asked, question);
        if flow.is_break() {
            return Err(EvaluateError::Interrupted);
        }
    }
    Ok(answering.tally.report(&answering.own, options, &models.model.identity().name, pack))
}

struct Answering {
    library: Library,
    contenders: Vec<Contender>,
    /// References of the gold documents, if a mode asks for them.
    gold: HashMap<String, Vec<u32>>,
    own: Vec<Setting>,
    /// References looked at to see whether the gold document is found.
    max: usize,
    tally: Tally,
}

impl Answering {
    fn new(models: &Models<'_>, pack: &Arc<MappedPack>, questions: &[Question], options: &QuestionOptions) -> Result<Self, EvaluateError> {
        let library = Library::new(models.model, models.embedder, pack, options.overlap)?;
        let (own, settings) = options.settings(models)?;
        let mut gold = HashMap::new();
        if settings.iter().any(|setting| setting.mode.uses_gold()) {
            let wanted: HashSet<&str> = questions.iter().flat_map(|q| &q.gold_ids).map(String::as_str).collect();
            gold = library.references_of(&wanted)?;
        }
        let max = settings.iter().map(|setting| setting.k).chain(HIT_AT).max().unwrap_or_default();
        let mut written = WrittenMemories::default();
        let contender = |setting: &Setting| Contender::new(models, Some(&library), *setting, options.max_tokens, &mut written);
        let contenders = settings.iter().map(contender).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { library, contenders, gold, own, max, tally: Tally::default() })
    }

    fn ask(&self, question: &Question) -> Result<Asked, EvaluateError> {
        let found = self.library.nearest(&question.question, self.max)?;
        let accepted = accepted(question);
        let mut asked = Asked {
            id: question.id.clone(),
            question: question.question.clone(),
            accepted: question.answers.clone(),
            retrieved: found.passages.iter().map(Retrieved::of).collect(),
            left_out: found.left_out,
            gold_rank: rank(&found.passages, &question.gold_ids),
            gold: None,
            outcomes: Vec::new(),
        };
        let Some(accepted) = accepted else { return Ok(asked) };
        let candidates: Vec<u32> = question.gold_ids.iter().filter_map(|id| self.gold.get(id)).flatten().copied().collect();
        let gold = self.library.gold(&question.question, &candidates, &accepted)?;
        asked.gold = gold.as_ref().map(Retrieved::of);

        for contender in &self.contenders {
            let Some(session) = contender.session() else { continue };
            if contender.setting.mode.uses_gold() && gold.is_none() {
                continue;
            }
            let named = gold.as_ref().filter(|_| contender.setting.mode.uses_gold());
            let (mut outcome, answer) = answer(contender, session, question, named)?;
            let reads = answer.iter().flat_map(|answer| &answer.chunks).flat_map(|chunk| &chunk.reads);
            let given = self.library.passages(reads)?;
            judge(&mut outcome, &accepted, if given.is_empty() { &found.passages } else { &given });
            asked.outcomes.push(outcome);
        }
        integrate(&mut asked.outcomes);
        Ok(asked)
    }
}

/// The answer of one setting, not yet judged, from the gold passage alone if one is named; no answer if the prompt is too long.
fn answer(
    contender: &Contender,
    session: &Session,
    question: &Question,
    named: Option<&Passage>,
) -> Result<(Outcome, Option<Answer>), EvaluateError> {
    let (started, written) = (Instant::now(), session.time_writing());
    // Memories that a pack holds would not have to be written.
    let elapsed = || started.elapsed().saturating_sub(session.time_writing().saturating_sub(written)).as_secs_f64();
    let mut first = None;
    let mut on_text = |_: &str| {
        first.get_or_insert_with(elapsed);
        ControlFlow::Continue(())
    };
    let answer = match named {
        Some(passage) => session.ask_about(&question.question, vec![passage.hit.clone()], &mut on_text),
        None => session.ask(&question.question, &mut on_text),
    };
    let (prompt_tokens, answer) = match answer {
        Ok(answer) => (answer.prompt_tokens, Some(answer)),
        Err(AskError::TooLong { tokens, .. }) => (tokens, None),
        Err(source) => return Err(EvaluateError::Ask { id: question.id.clone(), source: Box::new(source) }),
    };
    let outcome = Outcome {
        setting: contender.setting,
        answer: answer.as_ref().map_or_else(String::new, |answer| answer.text.trim().to_owned()),
        exact_match: 0.0,
        f1: 0.0,
        novel: None,
        in_references: false,
        integrated: None,
        seconds: elapsed(),
        first_token_seconds: first,
        prompt_tokens,
        answer_tokens: answer.as_ref().map_or(0, |answer| answer.tokens.len()),
        too_long: answer.is_none(),
    };
    Ok((outcome, answer))
}

/// Scores an answer, and looks where its words come from.
fn judge(outcome: &mut Outcome, accepted: &[Words], passages: &[Passage]) {
    let words = Words::of(&outcome.answer);
    // A prompt that was not read is no answer, not even that there is none.
    if !outcome.too_long {
        Score { exact_match: outcome.exact_match, f1: outcome.f1 } = score(&words, accepted);
    }
    let texts: Vec<&Words> = passages.iter().map(|passage| &passage.words).collect();
    outcome.novel = novel_share(&words, &texts);
    outcome.in_references = texts.iter().any(|text| text.contains(&words));
}

/// The place of the first reference of a gold document, from 1.
fn rank(passages: &[Passage], gold: &[String]) -> Option<usize> {
    passages.iter().position(|passage| passage.reference.documents.iter().any(|id| gold.contains(id))).map(|place| place + 1)
}

/// Compares each answer with that of the same model closed book.
fn integrate(outcomes: &mut [Outcome]) {
    let closed = |base: bool| {
        let mode = if base { Mode::ClosedBookBase } else { Mode::ClosedBook };
        outcomes.iter().find(|outcome| outcome.setting.mode == mode).map(|outcome| Words::of(&outcome.answer))
    };
    let closed = [closed(false), closed(true)];
    for outcome in outcomes {
        let mode = outcome.setting.mode;
        let alone = closed[usize::from(mode.uses_base())].as_ref().filter(|_| mode.uses_gold() || mode.uses_retrieval());
        outcome.integrated = alone.map(|alone| outcome.in_references && *alone != Words::of(&outcome.answer));
    }
}

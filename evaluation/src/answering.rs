//! Answers each question in several modes, one after the other.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use mempack_model::AnswerMeasure;
use mempack_runtime::{Answer, AskError, Mounts, Session};

use crate::contender::{Answers, Contender, Setting, WrittenMemories};
use crate::library::{Library, Passage};
use crate::metrics::{Score, Words, novel_share, score};
use crate::options::QuestionOptions;
use crate::outcome::{Asked, HIT_AT, Outcome, Retrieved, Withheld};
use crate::question::accepted;
use crate::tally::Tally;
use crate::{EvaluateError, Mode, Models, Question, QuestionReport};

/// Answers questions in all settings and scores the answers: from the first of the mounted packs, of what may be found of it
/// ([`Mounts::selecting`]). `observe` is called after each question and can stop the evaluation.
///
/// Questions without accepted answers count for retrieval only (see [`Question::answers`]). A question whose prompt is too long for the
/// model gets an empty answer.
///
/// # Errors
/// If the pack and the models do not match, an option or mode is invalid, the pack is damaged, the model fails, or `observe` stops the
/// evaluation.
pub fn answer_questions(
    models: &Models<'_>,
    mounts: &Arc<Mounts>,
    questions: &[Question],
    options: &QuestionOptions,
    observe: &mut dyn FnMut(&Asked) -> ControlFlow<()>,
) -> Result<QuestionReport, EvaluateError> {
    let mut answering = Answering::new(models, mounts, questions, options)?;
    for question in questions {
        let asked = answering.ask(question)?;
        let flow = observe(&asked);
        answering.tally.add(&asked, question, options.measure);
        if flow.is_break() {
            return Err(EvaluateError::Interrupted);
        }
    }
    Ok(answering.tally.report(&answering.own, options, models, answering.library.pack()))
}

struct Answering {
    library: Library,
    contenders: Vec<Contender>,
    /// References of each gold document, if a mode needs them.
    gold: HashMap<String, Vec<u32>>,
    /// The settings of the modes, without those of the sweeps.
    own: Vec<Setting>,
    /// References to retrieve with the whole question.
    max: usize,
    threshold: Option<f64>,
    measure: AnswerMeasure,
    tally: Tally,
}

impl Answering {
    fn new(models: &Models<'_>, mounts: &Arc<Mounts>, questions: &[Question], options: &QuestionOptions) -> Result<Self, EvaluateError> {
        let library = Library::over(models, mounts, options.overlap)?;
        let (own, settings) = options.settings(models)?;
        let mut gold = HashMap::new();
        if settings.iter().any(|setting| setting.mode.uses_gold()) {
            let wanted: HashSet<&str> = questions.iter().flat_map(|q| &q.gold_ids).map(String::as_str).collect();
            gold = library.references_of(&wanted)?;
        }
        let max = settings.iter().map(|setting| setting.k).chain(HIT_AT).max().unwrap_or_default();
        let mut written = WrittenMemories::default();
        let answers = Answers { max_tokens: options.max_tokens, measures: options.measures() };
        let contender = |setting: &Setting| Contender::new(models, Some(&library), *setting, &answers, &mut written);
        let contenders = settings.iter().map(contender).collect::<Result<Vec<_>, _>>()?;
        let QuestionOptions { threshold, measure, .. } = *options;
        Ok(Self { library, contenders, gold, own, max, threshold, measure, tally: Tally::default() })
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
            score_outcome(&mut outcome, &accepted, if given.is_empty() { &found.passages } else { &given });
            self.withhold(&mut outcome, accepted.is_empty());
            asked.outcomes.push(outcome);
        }
        mark_integrated(&mut asked.outcomes);
        Ok(asked)
    }

    /// Withholds the answer if it comes from references and its confidence is below the threshold. Scores it as abstaining.
    fn withhold(&self, outcome: &mut Outcome, unanswerable: bool) {
        let mode = outcome.setting.mode;
        let unsure = self.threshold.zip(outcome.confidence_by(self.measure)).is_some_and(|(threshold, confidence)| confidence < threshold);
        if !unsure || !(mode.uses_gold() || mode.uses_retrieval()) {
            return;
        }
        let answer = std::mem::take(&mut outcome.answer);
        outcome.withheld = Some(Withheld { answer, exact_match: outcome.exact_match });
        let right = f64::from(u8::from(unanswerable));
        (outcome.exact_match, outcome.f1) = (right, right);
        (outcome.novel, outcome.in_references) = (None, false);
    }
}

/// The answer of one setting, not yet scored. Reads only the passage `named`, if there is one. `None` if the prompt is too long.
fn answer(
    contender: &Contender,
    session: &Session,
    question: &Question,
    named: Option<&Passage>,
) -> Result<(Outcome, Option<Answer>), EvaluateError> {
    let (started, written) = (Instant::now(), session.time_writing());
    // Time spent writing memories does not count: a pack already contains them.
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
        confidence: answer.as_ref().and_then(|answer| answer.confidence.log_probability),
        memory_attention: answer.as_ref().and_then(|answer| answer.confidence.memory_attention),
        withheld: None,
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

/// Scores an answer, and compares its words with those of the passages.
fn score_outcome(outcome: &mut Outcome, accepted: &[Words], passages: &[Passage]) {
    let words = Words::of(&outcome.answer);
    // An unread prompt gets no credit, although an empty answer abstains.
    if !outcome.too_long {
        Score { exact_match: outcome.exact_match, f1: outcome.f1 } = score(&words, accepted);
    }
    let texts: Vec<&Words> = passages.iter().map(|passage| &passage.words).collect();
    outcome.novel = novel_share(&words, &texts);
    outcome.in_references = texts.iter().any(|text| text.contains(&words));
}

/// The rank of the first reference of a gold document, from 1.
fn rank(passages: &[Passage], gold: &[String]) -> Option<usize> {
    passages.iter().position(|passage| passage.reference.documents.iter().any(|id| gold.contains(id))).map(|place| place + 1)
}

/// Sets `integrated`: compares each answer with the closed-book answer of the same model.
fn mark_integrated(outcomes: &mut [Outcome]) {
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

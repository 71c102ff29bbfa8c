//! Answers questions in several modes, some questions at a time.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use mempack_model::AnswerMeasure;
use mempack_runtime::{Answer, Mounts};

use crate::contender::{Answers, Contender, Setting, WrittenMemories};
use crate::lane::Lane;
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
    let answering = Answering::new(models, mounts, questions, options)?;
    let mut tally = Tally::default();
    let mut asked = |asked: &Asked, question: &Question| {
        let flow = observe(asked);
        tally.add(asked, question, options.measure);
        flow
    };
    answering.run(questions, options.sequences, &mut asked)?;
    Ok(tally.report(&answering.own, options, models, answering.library.pack()))
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
        Ok(Self { library, contenders, gold, own, max, threshold, measure })
    }

    /// Answers the questions, some at a time in all settings.
    fn run(
        &self,
        questions: &[Question],
        sequences: usize,
        observe: &mut dyn FnMut(&Asked, &Question) -> ControlFlow<()>,
    ) -> Result<(), EvaluateError> {
        let mut lanes = Vec::with_capacity(self.contenders.len());
        for contender in &self.contenders {
            let lane = contender.session().map(|session| Lane::new(contender.setting, session, sequences)).transpose()?;
            lanes.push((contender.setting, lane));
        }
        let mut open: VecDeque<Open> = VecDeque::new();
        let (mut coming, mut first) = (questions.iter().enumerate(), 0);
        while let Some(question) = questions.get(first) {
            for (place, question) in coming.by_ref().take(sequences.saturating_sub(open.len())) {
                open.push_back(self.begin(place, question, &mut lanes)?);
            }
            for (number, (_, lane)) in lanes.iter_mut().enumerate() {
                let Some(lane) = lane else { continue };
                for (place, outcome, answer) in lane.step()? {
                    if let Some(open) = open.get_mut(place - first) {
                        let outcome = self.scored(open, outcome, answer.as_ref())?;
                        open.outcomes.insert(number, outcome);
                    }
                }
            }
            // Questions are reported in their order.
            if open.front().is_some_and(|open| open.outcomes.len() == open.settings) {
                first += 1;
                if open.pop_front().is_some_and(|complete| observe(&complete.finish(), question).is_break()) {
                    return Err(EvaluateError::Interrupted);
                }
            }
        }
        Ok(())
    }

    /// Retrieves for a question and asks it in all settings that can answer it.
    fn begin(&self, place: usize, question: &Question, lanes: &mut [(Setting, Option<Lane<'_>>)]) -> Result<Open, EvaluateError> {
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
        let mut settings = 0;
        if let Some(accepted) = &accepted {
            let candidates: Vec<u32> = question.gold_ids.iter().filter_map(|id| self.gold.get(id)).flatten().copied().collect();
            let gold = self.library.gold(&question.question, &candidates, accepted)?;
            asked.gold = gold.as_ref().map(Retrieved::of);
            for (setting, lane) in lanes {
                let named = gold.as_ref().filter(|_| setting.mode.uses_gold());
                let Some(lane) = lane.as_mut().filter(|_| named.is_some() || !setting.mode.uses_gold()) else { continue };
                lane.ask(place, question, named)?;
                settings += 1;
            }
        }
        let accepted = accepted.unwrap_or_default();
        Ok(Open { asked, accepted, passages: found.passages, settings, outcomes: BTreeMap::new() })
    }

    /// The outcome with its scores, withheld if the model is too unsure.
    fn scored(&self, open: &Open, mut outcome: Outcome, answer: Option<&Answer>) -> Result<Outcome, EvaluateError> {
        let reads = answer.into_iter().flat_map(|answer| &answer.chunks).flat_map(|chunk| &chunk.reads);
        let given = self.library.passages(reads)?;
        score_outcome(&mut outcome, &open.accepted, if given.is_empty() { &open.passages } else { &given });
        self.withhold(&mut outcome, open.accepted.is_empty());
        Ok(outcome)
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

/// A question that is being answered.
struct Open {
    asked: Asked,
    accepted: Vec<Words>,
    /// What the whole question retrieves.
    passages: Vec<Passage>,
    /// In how many settings it is answered.
    settings: usize,
    /// The outcomes so far, by the number of the setting.
    outcomes: BTreeMap<usize, Outcome>,
}

impl Open {
    fn finish(self) -> Asked {
        let mut asked = self.asked;
        asked.outcomes = self.outcomes.into_values().collect();
        mark_integrated(&mut asked.outcomes);
        asked
    }
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

//! One setting while it answers many questions at once.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mempack_runtime::{Answer, AskError, BatchOptions, Batching, Piece, Request, Session};

use crate::contender::Setting;
use crate::library::Passage;
use crate::outcome::Outcome;
use crate::{EvaluateError, Question};

/// A setting with the questions that it answers at once.
pub(crate) struct Lane<'a> {
    setting: Setting,
    batching: Batching<'a>,
    clock: Rc<Clock<'a>>,
    asked: BTreeMap<u64, Asked>,
}

/// A question on its way.
struct Asked {
    /// Its place among the questions.
    place: usize,
    id: String,
    /// Its share of the time so far.
    seconds: f64,
    first_token_seconds: Rc<Cell<Option<f64>>>,
}

/// An answer, not yet scored, with the place of its question. `None` if the prompt was too long.
pub(crate) type Answered = (usize, Outcome, Option<Answer>);

impl<'a> Lane<'a> {
    /// A lane for up to `sequences` questions at once.
    pub fn new(setting: Setting, session: &'a Session, sequences: usize) -> Result<Self, EvaluateError> {
        let batching = session.batching(BatchOptions { sequences, ..BatchOptions::default() })?;
        let clock = Rc::new(Clock { session, before: Cell::default(), started: Cell::default() });
        Ok(Self { setting, batching, clock, asked: BTreeMap::new() })
    }

    /// Asks a question, which reads only the passage `named` if there is one.
    pub fn ask(&mut self, place: usize, question: &Question, named: Option<&Passage>) -> Result<(), EvaluateError> {
        let first = Rc::new(Cell::new(None));
        let (seen, clock, asked_at) = (Rc::clone(&first), Rc::clone(&self.clock), self.clock.now());
        let on_piece = move |_: &Piece<'_>| {
            if seen.get().is_none() {
                seen.set(Some((clock.now() - asked_at).as_secs_f64()));
            }
            ControlFlow::Continue(())
        };
        let references = named.map(|passage| vec![passage.hit.clone()]);
        let request = Request { references, ..Request::new(&question.question, Box::new(on_piece)) };
        let number = self.batching.submit(request).map_err(|error| failed(&question.id, error))?;
        let asked = Asked { place, id: question.id.clone(), seconds: 0.0, first_token_seconds: first };
        self.asked.insert(number, asked);
        Ok(())
    }

    /// Computes one token of each answer. Returns the answers that are complete.
    pub fn step(&mut self) -> Result<Vec<Answered>, EvaluateError> {
        if self.asked.is_empty() {
            return Ok(Vec::new());
        }
        self.clock.start();
        let answers = self.batching.step();
        let share = self.clock.stop().as_secs_f64() / self.asked.len() as f64;
        self.asked.values_mut().for_each(|asked| asked.seconds += share);
        let mut answered = Vec::with_capacity(answers.len());
        for (number, answer) in answers {
            let Some(asked) = self.asked.remove(&number) else { continue };
            let (prompt_tokens, answer) = match answer {
                Ok(answer) => (answer.prompt_tokens, Some(answer)),
                Err(AskError::TooLong { tokens, .. }) => (tokens, None),
                Err(error) => return Err(failed(&asked.id, error)),
            };
            let outcome = Outcome {
                setting: self.setting,
                answer: answer.as_ref().map_or_else(String::new, |answer| answer.text.trim().to_owned()),
                confidence: answer.as_ref().and_then(|answer| answer.confidence.log_probability),
                memory_attention: answer.as_ref().and_then(|answer| answer.confidence.memory_attention),
                withheld: None,
                exact_match: 0.0,
                f1: 0.0,
                novel: None,
                in_references: false,
                integrated: None,
                seconds: asked.seconds,
                first_token_seconds: asked.first_token_seconds.get(),
                prompt_tokens,
                answer_tokens: answer.as_ref().map_or(0, |answer| answer.tokens.len()),
                too_long: answer.is_none(),
            };
            answered.push((asked.place, outcome, answer));
        }
        Ok(answered)
    }
}

fn failed(id: &str, error: AskError) -> EvaluateError {
    EvaluateError::Ask { id: id.to_owned(), source: Box::new(error) }
}

/// The time that a setting has taken. Other settings compute in between, and time spent writing memories does not count: a pack already contains
/// them.
struct Clock<'a> {
    session: &'a Session,
    /// The time before the step that is going on.
    before: Cell<Duration>,
    /// When that step started, and the time spent writing until then.
    started: Cell<Option<(Instant, Duration)>>,
}

impl Clock<'_> {
    fn now(&self) -> Duration {
        let step = self.started.get().map(|(started, written)| {
            let writing = self.session.time_writing().saturating_sub(written);
            started.elapsed().saturating_sub(writing)
        });
        self.before.get() + step.unwrap_or_default()
    }

    fn start(&self) {
        self.started.set(Some((Instant::now(), self.session.time_writing())));
    }

    /// The time of the step.
    fn stop(&self) -> Duration {
        let (now, before) = (self.now(), self.before.get());
        self.started.set(None);
        self.before.set(now);
        now - before
    }
}

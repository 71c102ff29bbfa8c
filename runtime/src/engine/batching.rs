//! Many answers at once: continuous batching. Sequences advance together, and one may begin or end between any two steps.

use std::collections::VecDeque;

use mempack_model::{Batch, ComputeError, ReaderOptions, Row, Sequence};
use mempack_retrieval::Hit;

use super::answer::{Answer, PreparedPrompt, Stop};
use super::answerer::Answerer;
use super::chunk::{ChunkMemories, Scope};
use super::confidence::Measuring;
use super::decoding::{Decoding, Next, OnText};
use super::error::{AskError, SessionError};
use super::feed::{Due, Feed};
use super::prefetch::Pending;
use super::prompting::Room;
use super::sampling::Sampler;
use super::times::Part;
use crate::PackReference;

/// Max number of sequences that advance together.
pub const MAX_SEQUENCES: usize = 4096;
/// Questions that wait and whose prompts are made in advance.
const PREPARED: usize = 2;

/// How many answers a [`Batching`] decodes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Max number of sequences that advance together, 1 to [`MAX_SEQUENCES`].
    pub sequences: usize,
    /// Max bytes of their caches: keys and values of memories, prompt and answer, and logits.
    pub bytes: usize,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self { sequences: 16, bytes: 4 << 30 }
    }
}

/// A question for a [`Batching`].
pub struct Request<'a> {
    /// The question.
    pub question: String,
    /// References that every chunk reads; `None` retrieves.
    pub references: Option<Vec<Hit<PackReference>>>,
    /// Receives the text of the answer, and can stop it.
    pub on_text: OnText<'a>,
}

/// Answers many questions of one session at once. What an answer is does not depend on the others.
///
/// Questions wait in a queue for a place and for bytes of the budget. A question that fails ends alone. Retrieval runs on the session's second thread:
/// a sequence whose memories are not there yet sits out a step.
pub struct Batching<'a> {
    answerer: &'a Answerer,
    options: BatchOptions,
    batch: Batch,
    waiting: VecDeque<Waiting<'a>>,
    running: Vec<Running<'a>>,
    /// The number of the next question.
    next: u64,
}

/// A question without a place.
struct Waiting<'a> {
    number: u64,
    question: String,
    scope: Scope,
    on_text: OnText<'a>,
    /// The prompt, once it has been asked for.
    prompt: Option<Pending<PreparedPrompt>>,
}

/// An answer that is being decoded.
struct Running<'a> {
    number: u64,
    sequence: Sequence,
    decoding: Decoding<'a>,
    /// Whether the memories of the last token are in place.
    ready: bool,
}

/// An answer with the number that [`Batching::submit`] gave its question.
pub type Answered = (u64, Result<Answer, AskError>);

impl<'a> Batching<'a> {
    pub(super) fn new(answerer: &'a Answerer, options: BatchOptions) -> Result<Self, SessionError> {
        SessionError::check_range("sequences", options.sequences, MAX_SEQUENCES)?;
        Ok(Self::with(answerer, options)?)
    }

    /// For one question, whose cache is as large as it needs.
    pub(super) fn alone(answerer: &'a Answerer) -> Result<Self, ComputeError> {
        Self::with(answerer, BatchOptions { sequences: 1, bytes: usize::MAX })
    }

    fn with(answerer: &'a Answerer, options: BatchOptions) -> Result<Self, ComputeError> {
        let batch = Batch::new(&answerer.steps, options.bytes)?;
        Ok(Self { answerer, options, batch, waiting: VecDeque::new(), running: Vec::new(), next: 0 })
    }

    /// Puts a question into the queue and returns its number. It reads the packs that are mounted now.
    ///
    /// # Errors
    /// If the question is blank, or a pack lacks a signature.
    pub fn submit(&mut self, request: Request<'a>) -> Result<u64, AskError> {
        let Request { question, references, on_text } = request;
        let scope = self.answerer.scope(&question, references)?;
        let number = self.next;
        self.next += 1;
        self.waiting.push_back(Waiting { number, question, scope, on_text, prompt: None });
        Ok(number)
    }

    /// Questions that have not been answered.
    pub fn pending(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    /// Gives places to questions that wait, and computes one token of every answer. Returns the answers that are complete. Waits for retrieval
    /// only if there is nothing else to do.
    pub fn step(&mut self) -> Vec<Answered> {
        let mut answered = Vec::new();
        self.admit(&mut answered);
        self.place_memories(&mut answered);
        self.compute(&mut answered);
        answered
    }

    /// Gives places to questions that wait, in their order. While answers are being decoded, at most one prompt is computed a step.
    fn admit(&mut self, answered: &mut Vec<Answered>) {
        while self.running.len() < self.options.sequences {
            self.prepare();
            let Some(mut first) = self.waiting.pop_front() else { return };
            let mut pending = first.prompt.take().unwrap_or_else(|| Pending::later(first.question.clone()));
            let alone = self.running.is_empty();
            if !alone && !pending.is_ready() {
                first.prompt = Some(pending);
                return self.waiting.push_front(first);
            }
            let prompter = &self.answerer.prompter;
            let prompt = pending.wait(|question| prompter.prompt(&question, &first.scope));
            let opened = prompt.and_then(|prompt| Ok((self.open(&prompt)?, prompt)));
            let (sequence, prompt) = match opened {
                Ok(opened) => opened,
                Err(error) => {
                    answered.push((first.number, Err(error)));
                    continue;
                }
            };
            let number = first.number;
            match sequence {
                Some((sequence, room)) => match self.begin(first, sequence, room, prompt) {
                    Ok(Ok(running)) => self.running.push(running),
                    Ok(Err(answer)) => answered.push((number, Ok(answer))),
                    Err(error) => answered.push((number, Err(error))),
                },
                None => {
                    first.prompt = Some(Pending::ready(prompt));
                    return self.waiting.push_front(first);
                }
            }
            if !alone {
                return;
            }
        }
    }

    /// Has prompts made for the questions that get a place next.
    fn prepare(&mut self) {
        let Some(prefetcher) = &self.answerer.prefetcher else { return };
        let free = self.options.sequences - self.running.len();
        for waiting in self.waiting.iter_mut().take(free.min(PREPARED) + PREPARED) {
            let Waiting { prompt, scope, question, .. } = waiting;
            prompt.get_or_insert_with(|| prefetcher.prompt(scope.clone(), question.clone()));
        }
    }

    /// A sequence for a prompt, and how far its answer may go; `None` until other sequences leave enough bytes.
    fn open(&mut self, prompt: &PreparedPrompt) -> Result<Option<(Sequence, Room)>, AskError> {
        let tokens = prompt.tokens.ids.len();
        let room = self.answerer.prompter.room(tokens, prompt.prefix)?;
        match self.batch.open(&ReaderOptions { capacity: 1 + tokens + room.tokens, prefix: prompt.prefix }) {
            Ok(sequence) => Ok(Some((sequence, room))),
            Err(ComputeError::Budget { .. }) if !self.running.is_empty() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Computes a prompt and chooses the first token of its answer, which may be the last.
    fn begin(
        &mut self,
        waiting: Waiting<'a>,
        mut sequence: Sequence,
        room: Room,
        prompt: PreparedPrompt,
    ) -> Result<Result<Running<'a>, Answer>, AskError> {
        let measuring = Measuring::new(&self.answerer.measures);
        if measuring.watches_memories() {
            sequence.watch_memories();
        }
        let slots: Vec<_> = prompt.chunks.iter().map(ChunkMemories::slots).collect();
        let computed =
            self.answerer.prompter.chunks.times.measure(Part::Prompt, || self.batch.prompt(&mut sequence, &prompt.tokens.ids, &slots));
        drop(slots);
        if let Err(error) = computed {
            self.batch.close(sequence);
            return Err(error.into());
        }
        let Waiting { number, scope, on_text, .. } = waiting;
        let feed = Feed::new(&self.answerer.prompter, self.answerer.prefetcher.as_ref(), scope);
        let sampler = Sampler::new(self.answerer.sampling);
        let mut decoding = Decoding::new(&self.answerer.prompter.model, prompt, room, sampler, measuring, on_text, feed);
        match decoding.advance(sequence.logits(), sequence.memory_share()) {
            Ok(Next::Step) => Ok(Ok(Running { number, sequence, decoding, ready: false })),
            Ok(Next::Ends(stop)) => {
                self.batch.close(sequence);
                decoding.finish(stop).map(Err)
            }
            Err(error) => {
                self.batch.close(sequence);
                Err(error)
            }
        }
    }

    /// Puts memories that have arrived into their sequences. Waits for those of the first sequence if no sequence could go on otherwise.
    fn place_memories(&mut self, answered: &mut Vec<Answered>) {
        let mut wait = false;
        while !self.running.is_empty() {
            let mut failed = Vec::new();
            for (at, running) in self.running.iter_mut().enumerate() {
                match running.place_memories(&self.batch, wait) {
                    Ok(()) => wait = false,
                    Err(error) => failed.push((at, error)),
                }
            }
            for (at, error) in failed.into_iter().rev() {
                let number = self.remove(at).0;
                answered.push((number, Err(error)));
            }
            if self.running.iter().any(|running| running.ready) {
                return;
            }
            wait = true;
        }
    }

    /// Computes the last token of every sequence whose memories are in place, and chooses the next.
    fn compute(&mut self, answered: &mut Vec<Answered>) {
        let rows = self.running.iter_mut().filter(|running| running.ready);
        let mut rows: Vec<_> = rows.map(|running| Row::new(&mut running.sequence, running.decoding.last())).collect();
        self.answerer.prompter.chunks.times.measure(Part::Generation, || self.batch.step(&mut rows));
        let outcomes: Vec<_> = rows.into_iter().map(|row| row.outcome).collect();
        let mut ended: Vec<(usize, Result<Stop, AskError>)> = Vec::new();
        let computed = self.running.iter_mut().enumerate().filter(|(_, running)| running.ready);
        for ((at, running), outcome) in computed.zip(outcomes) {
            running.ready = false;
            let (sequence, decoding) = (&running.sequence, &mut running.decoding);
            let next = outcome.map_err(AskError::from).and_then(|()| decoding.advance(sequence.logits(), sequence.memory_share()));
            match next {
                Ok(Next::Step) => {}
                Ok(Next::Ends(stop)) => ended.push((at, Ok(stop))),
                Err(error) => ended.push((at, Err(error))),
            }
        }
        let from = answered.len();
        for (at, end) in ended.into_iter().rev() {
            let (number, decoding) = self.remove(at);
            answered.push((number, end.and_then(|stop| decoding.finish(stop))));
        }
        // In the order in which they were asked.
        if let Some(new) = answered.get_mut(from..) {
            new.sort_by_key(|(number, _)| *number);
        }
    }

    /// Frees the place of a sequence.
    fn remove(&mut self, at: usize) -> (u64, Decoding<'a>) {
        let Running { number, sequence, decoding, .. } = self.running.remove(at);
        self.batch.close(sequence);
        (number, decoding)
    }
}

impl Running<'_> {
    /// Puts the memories that the last token reads into the sequence if they have arrived, or waits for them if `wait`.
    fn place_memories(&mut self, batch: &Batch, wait: bool) -> Result<(), AskError> {
        if self.ready {
            return Ok(());
        }
        match self.decoding.due(wait)? {
            Due::Later => return Ok(()),
            Due::Nothing => {}
            Due::Memories(chunk, memories) => {
                batch.set_memories(&mut self.sequence, &memories.slots())?;
                self.decoding.reads(chunk, memories);
            }
        }
        self.ready = true;
        self.decoding.grown()
    }
}

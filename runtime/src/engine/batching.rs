//! Many answers at once: continuous batching. Sequences advance together, and one may begin or end between any two steps.

use std::collections::VecDeque;
use std::time::Instant;

use mempack_model::{Batch, ComputeError, Prompt, ReaderOptions, Row, Sequence, SlotList, Tokens};

use super::answer::{Answer, PreparedPrompt, Stop};
use super::answerer::{Answerer, Reads};
use super::chunk::{ChunkMemories, Scope};
use super::decoding::{Decoding, Next};
use super::error::{AskError, OptionError, SessionError};
use super::feed::Due;
use super::output::OnPiece;
use super::prefetch::Pending;
use super::prompting::Asked;
use super::request::Request;
use super::source::ReadFrom;
use super::times::Part;

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

/// Answers many questions of one session at once. What an answer is does not depend on the others.
///
/// Questions wait in a queue for a place and for bytes of the budget. Their prompts are computed in pieces beside the answers of others. A question that
/// fails ends alone. Retrieval runs on the session's second thread: a sequence whose memories are not there yet sits out a step.
///
/// Keys and values of answers are kept while their place is free. The next turn of a conversation, or a question that begins alike and reads the same
/// memories there, goes on from them.
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
    scope: Scope,
    on_piece: OnPiece<'a>,
    prompt: Pending<Asked, PreparedPrompt>,
}

/// A question that has a place.
struct Running<'a> {
    number: u64,
    sequence: Sequence,
    decoding: Decoding<'a>,
    /// The prompt, until all of it is computed.
    prompt: Option<PreparedPrompt>,
    /// Whether its next tokens can be computed: whether their memories are in place.
    ready: bool,
}

/// An answer with the number that [`Batching::submit`] gave its question.
pub type Answered = (u64, Result<Answer, AskError>);

impl<'a> Batching<'a> {
    pub(super) fn new(answerer: &'a Answerer, options: BatchOptions) -> Result<Self, SessionError> {
        OptionError::check_range("sequences", options.sequences, MAX_SEQUENCES)?;
        Ok(Self::with(answerer, options)?)
    }

    /// For one question, whose cache is as large as it needs.
    pub(super) fn alone(answerer: &'a Answerer) -> Result<Self, ComputeError> {
        Self::with(answerer, BatchOptions { sequences: 1, bytes: usize::MAX })
    }

    fn with(answerer: &'a Answerer, options: BatchOptions) -> Result<Self, ComputeError> {
        let batch = Batch::new(&answerer.steps, options.bytes, options.sequences)?;
        Ok(Self { answerer, options, batch, waiting: VecDeque::new(), running: Vec::new(), next: 0 })
    }

    /// Puts a question into the queue and returns its number. It reads the packs that it brings, or those that are mounted now.
    ///
    /// # Errors
    /// If the question is blank, one of its options is out of range, its packs or its reranker are of another model, a pack lacks a signature, or the model
    /// has no place for its system message.
    pub fn submit(&mut self, request: Request<'a>) -> Result<u64, AskError> {
        let Request { question, continues, earlier, system, references, packs, options, on_piece } = request;
        let scope = self.answerer.scope(&question, Reads { packs, options, named: references })?;
        let model = &self.answerer.prompter.model;
        if system.is_some() && model.memory().system_template.is_none() {
            return Err(AskError::NoSystem { model: model.identity().name.clone() });
        }
        let number = self.next;
        self.next += 1;
        let prompt = Pending::later(Asked { system, question, continues, earlier });
        self.waiting.push_back(Waiting { number, scope, on_piece, prompt });
        Ok(number)
    }

    /// Ends a question that waits or is being answered. Its place and its bytes are free for the next step, its receiver is dropped, and no step returns it.
    /// Returns whether there was such a question.
    pub fn cancel(&mut self, number: u64) -> bool {
        if let Some(at) = self.waiting.iter().position(|waiting| waiting.number == number) {
            return self.waiting.remove(at).is_some();
        }
        let running = self.running.iter().position(|running| running.number == number);
        running.map(|at| self.remove(at)).is_some()
    }

    /// Questions that have not been answered.
    pub fn pending(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    /// Questions that wait for a place.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Questions that are being answered.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Bytes of the caches of the questions that are being answered.
    pub fn bytes_in_use(&self) -> usize {
        self.batch.bytes_open()
    }

    /// Bytes of caches that are kept for what goes on from them. They give way when a question needs the bytes.
    pub fn bytes_kept(&self) -> usize {
        self.batch.bytes_kept()
    }

    /// Gives places to questions that wait, and computes one token of every answer, and some of prompts. Returns the answers that are complete. Waits
    /// for retrieval only if there is nothing else to do.
    pub fn step(&mut self) -> Vec<Answered> {
        let mut answered = Vec::new();
        self.admit(&mut answered);
        self.place_memories(&mut answered);
        self.compute(&mut answered);
        answered
    }

    /// Gives places to questions that wait, in their order.
    fn admit(&mut self, answered: &mut Vec<Answered>) {
        while self.running.len() < self.options.sequences {
            self.prepare();
            let Some(mut first) = self.waiting.pop_front() else { return };
            if !self.running.is_empty() && !first.prompt.is_ready() {
                return self.waiting.push_front(first);
            }
            let prompter = &self.answerer.prompter;
            let prompt = first.prompt.wait(|asked| prompter.prompt(asked, &first.scope));
            let number = first.number;
            match prompt.and_then(|prompt| self.open(first, prompt)) {
                Ok(Ok(running)) => self.running.push(running),
                Ok(Err(waits)) => return self.waiting.push_front(waits),
                Err(error) => answered.push((number, Err(error))),
            }
        }
    }

    /// Has prompts made for the questions that get a place next.
    fn prepare(&mut self) {
        let Some(prefetcher) = &self.answerer.prefetcher else { return };
        let free = self.options.sequences - self.running.len();
        for Waiting { prompt, scope, .. } in self.waiting.iter_mut().take(free.min(PREPARED) + PREPARED) {
            // A prompt that reads nothing is made at once when its question gets a place.
            if !matches!(scope.checked.options.read_from, ReadFrom::Weights { .. }) {
                prefetcher.prompt(scope, prompt);
            }
        }
    }

    /// Gives a place to a question with its prompt, or the question back until other sequences leave enough bytes.
    fn open(&mut self, mut waiting: Waiting<'a>, prompt: PreparedPrompt) -> Result<Result<Running<'a>, Waiting<'a>>, AskError> {
        let tokens = prompt.tokens.ids.len();
        let room = self.answerer.prompter.room(tokens, prompt.prefix, &waiting.scope)?;
        let options = ReaderOptions { capacity: 1 + tokens + room.tokens, prefix: prompt.prefix };
        let lists: Vec<_> = prompt.chunks.iter().map(ChunkMemories::list).collect();
        let opened = self.batch.open(&options, &Prompt { text: &prompt.tokens.ids, chunks: &lists });
        drop(lists);
        let mut sequence = match opened {
            Ok(sequence) => sequence,
            Err(ComputeError::Budget { .. }) if !self.running.is_empty() => {
                waiting.prompt.keep(prompt);
                return Ok(Err(waiting));
            }
            Err(error) => return Err(error.into()),
        };
        if waiting.scope.checked.watches_memories() {
            sequence.watch_memories();
        }
        let Waiting { number, scope, on_piece, .. } = waiting;
        // The BOS is no token of the prompt.
        let reused = sequence.len().saturating_sub(1);
        let decoding = Decoding::new(self.answerer, &prompt, reused, room, on_piece, scope);
        Ok(Ok(Running { number, sequence, decoding, prompt: Some(prompt), ready: true }))
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

    /// Computes the last token of every sequence whose memories are in place, and chooses the next. Computes pieces of prompts.
    fn compute(&mut self, answered: &mut Vec<Answered>) {
        let outcomes = self.compute_rows();
        let mut ended: Vec<(usize, Result<Stop, AskError>)> = Vec::new();
        let computed = self.running.iter_mut().enumerate().filter(|(_, running)| running.ready);
        for ((at, running), outcome) in computed.zip(outcomes) {
            match outcome.map_err(AskError::from).and_then(|()| running.advance()) {
                Ok(Next::Step) => {}
                Ok(Next::Ends(stop)) => ended.push((at, Ok(stop))),
                Err(error) => ended.push((at, Err(error))),
            }
        }
        let from = answered.len();
        for (at, end) in ended.into_iter().rev() {
            let slow_path = self.running.get(at).is_some_and(|running| running.sequence.fell_back());
            let (number, decoding) = self.remove(at);
            let finished = end.and_then(|stop| decoding.finish(stop));
            answered.push((number, finished.map(|answer| Answer { slow_path, ..answer })));
        }
        // In the order in which they were asked.
        if let Some(new) = answered.get_mut(from..) {
            new.sort_by_key(|(number, _)| *number);
        }
    }

    /// One pass over all sequences that are ready. Returns how it went for each.
    fn compute_rows(&mut self) -> Vec<Result<(), ComputeError>> {
        let (mut sequences, mut texts) = (Vec::new(), Vec::new());
        for Running { sequence, decoding, prompt, ready, .. } in &mut self.running {
            if *ready {
                let lists: Vec<SlotList<'_>> = prompt.iter().flat_map(|prompt| &prompt.chunks).map(ChunkMemories::list).collect();
                sequences.push(sequence);
                texts.push((prompt.as_ref().map(|prompt| prompt.tokens.ids.as_slice()), lists, decoding.last()));
            }
        }
        let prompts: Vec<_> = texts.iter().map(|(text, chunks, _)| Some(Prompt { text: (*text)?, chunks })).collect();
        let tokens = prompts.iter().zip(&texts).map(|(prompt, (_, _, token))| (prompt.as_ref(), *token));
        let of_prompts = |rows: &[Row<'_>]| {
            rows.iter().filter(|row| matches!(row.tokens, Tokens::Prompt(_))).map(|row| row.sequence.len()).sum::<usize>()
        };
        let mut rows: Vec<_> = sequences
            .into_iter()
            .zip(tokens)
            .map(|(sequence, (prompt, token))| match prompt {
                Some(prompt) => Row::prompt(sequence, prompt),
                None => Row::new(sequence, token),
            })
            .collect();
        let (before, started) = (of_prompts(&rows), Instant::now());
        self.batch.step(&mut rows);
        // Tokens of prompts and of answers share the time of a pass.
        let (time, prompt) = (started.elapsed(), of_prompts(&rows).saturating_sub(before));
        let answers = rows.iter().filter(|row| matches!(row.tokens, Tokens::Next(_))).count();
        let of_prompts = time.mul_f64(prompt as f64 / (prompt + answers).max(1) as f64);
        let times = &self.answerer.prompter.chunks.times;
        times.add(Part::Prompt, of_prompts);
        times.add(Part::Generation, time.saturating_sub(of_prompts));
        rows.into_iter().map(|row| row.outcome).collect()
    }

    /// Frees the place of a sequence.
    fn remove(&mut self, at: usize) -> (u64, Decoding<'a>) {
        let Running { number, sequence, decoding, .. } = self.running.remove(at);
        self.batch.close(sequence);
        (number, decoding)
    }
}

impl Running<'_> {
    /// Chooses the next token, once the prompt is computed.
    fn advance(&mut self) -> Result<Next, AskError> {
        if self.prompt.is_some() && !self.sequence.is_prompted() {
            return Ok(Next::Step);
        }
        (self.prompt, self.ready) = (None, false);
        self.decoding.advance(self.sequence.logits(), self.sequence.memory_shares())
    }

    /// Puts the memories that the last token reads into the sequence if they have arrived, or waits for them if `wait`.
    fn place_memories(&mut self, batch: &Batch, wait: bool) -> Result<(), AskError> {
        if self.ready {
            return Ok(());
        }
        match self.decoding.due(wait)? {
            Due::Later => return Ok(()),
            Due::Nothing => {}
            Due::Memories(chunk, memories) => {
                batch.set_memories(&mut self.sequence, &memories.list())?;
                self.decoding.reads(chunk, memories);
            }
        }
        self.ready = true;
        self.decoding.grown()
    }
}

//! Runs work on references on several threads. Results come in the order of the references, and do not depend on the number of threads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mempack_format::Digest;

use crate::BuildError;
use crate::cancel::check;
use crate::slots::Stamp;

/// Windows that may be unfinished at once: threads take batches of the next window while the last ones of a window are computed.
const WINDOWS_AHEAD: usize = 3;
/// A window holds at most so many references in all for each one with work that it may hold.
const IDLE_SHARE: usize = 16;

/// How references are batched. It does not depend on the number of threads, so neither do the batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchRule {
    /// References that are sorted by length together.
    pub window: usize,
    /// Maximum tokens of a batch, each reference padded to the longest of the batch.
    pub tokens: usize,
    /// Tokens that the model reads before each reference.
    pub prefix: usize,
}

/// One reference to work on.
#[derive(Debug)]
pub(crate) struct Task {
    /// Its number, which no other task has.
    pub number: u64,
    /// Its key.
    pub key: Digest,
    /// What the model reads.
    pub ids: Vec<u32>,
    /// What the embedder reads.
    pub text: String,
    /// Its index in the sample, if its memory is known from there.
    pub sampled: Option<u64>,
    /// Its number in the previous pack, if its embedding is known from there.
    pub embedded: Option<u32>,
}

/// The next reference of a flow.
pub(crate) enum Item<K, M> {
    /// A reference with nothing to compute.
    Known(K),
    /// A reference to work on, and what its result is stored with.
    Task(Task, M),
}

/// Tasks that are computed together. The output of each depends on the others through rounding.
#[derive(Debug)]
pub(crate) struct TaskBatch {
    pub tasks: Vec<Task>,
    digest: Digest,
}

impl TaskBatch {
    fn new(tasks: Vec<Task>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for task in &tasks {
            hasher.update(&task.key.0).update(&(task.text.len() as u64).to_le_bytes()).update(task.text.as_bytes());
        }
        Self { digest: hasher.finalize().into(), tasks }
    }

    /// The tasks, each with the stamp of its output.
    pub fn stamped(&self) -> impl Iterator<Item = (&Task, Stamp)> {
        self.tasks.iter().zip(0..).map(|(task, place)| (task, Stamp { batch: self.digest, place }))
    }

    fn tokens(&self) -> u64 {
        self.tasks.iter().map(|task| task.ids.len() as u64).sum()
    }
}

/// Computes a batch on one thread: one output for each task.
pub(crate) trait Work: Send {
    type Output: Send;
    fn run(&mut self, batch: &TaskBatch) -> Result<Vec<Self::Output>, BuildError>;
}

/// The next reference; `None` after the last.
type Next<K, M> = Result<Option<Item<K, M>>, BuildError>;

/// Where tasks come from and outputs go to. Its methods run on the thread that called [`in_order`].
pub(crate) trait Flow {
    /// What is known of a reference with nothing to compute.
    type Known;
    /// What the output of a task is stored with.
    type Meta;
    type Output;
    /// The next reference.
    fn next(&mut self) -> Next<Self::Known, Self::Meta>;
    /// The outputs of a batch, if an earlier run computed them.
    fn find(&mut self, batch: &TaskBatch) -> Result<Option<Vec<Self::Output>>, BuildError>;
    /// A batch is done.
    fn advance(&mut self, done: BatchProgress);
    /// Takes the next reference in order, which had nothing to compute.
    fn take(&mut self, known: Self::Known) -> Result<(), BuildError>;
    /// Takes the next reference in order, with its output.
    fn put(&mut self, meta: Self::Meta, output: Self::Output) -> Result<(), BuildError>;
}

/// A batch that is done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BatchProgress {
    pub references: u64,
    pub tokens: u64,
    /// How long a thread worked on it; `None` if an earlier run computed it.
    pub time: Option<Duration>,
}

/// A batch for a worker, with the places of its tasks in their window.
struct QueuedBatch {
    window: u64,
    places: Vec<usize>,
    batch: TaskBatch,
}

/// A batch that a worker has computed.
struct FinishedBatch<O> {
    window: u64,
    places: Vec<usize>,
    outputs: Result<Vec<O>, BuildError>,
    advance: BatchProgress,
}

/// A reference in a window.
enum Entry<F: Flow> {
    Known(F::Known),
    Missing(F::Meta),
    Done(F::Meta, F::Output),
}

struct Window<F: Flow> {
    /// An entry is `None` only while its output is filled in.
    entries: Vec<Option<Entry<F>>>,
    missing: usize,
}

impl<F: Flow> Window<F> {
    fn fill(&mut self, places: Vec<usize>, outputs: Vec<F::Output>) {
        self.missing -= places.len();
        for (place, output) in places.into_iter().zip(outputs) {
            if let Some(Entry::Missing(meta)) = self.entries[place].take() {
                self.entries[place] = Some(Entry::Done(meta, output));
            }
        }
    }
}

/// Computes the tasks of `flow` with `workers`, and gives it the outputs in the order of the tasks.
///
/// Holds at most three windows of tasks and outputs. Where most references have nothing to compute, a window holds fewer tasks, so its
/// size stays bounded.
pub(crate) fn in_order<W: Work, F: Flow<Output = W::Output>>(
    workers: Vec<W>,
    rule: BatchRule,
    cancel: &AtomicBool,
    flow: &mut F,
) -> Result<(), BuildError> {
    let (batch_sender, batch_receiver) = channel::<QueuedBatch>();
    let (done_sender, done_receiver) = channel();
    let queue = Mutex::new(batch_receiver);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for worker in workers {
            let (queue, done, stop) = (&queue, done_sender.clone(), &stop);
            scope.spawn(move || work(worker, queue, &done, &[stop, cancel]));
        }
        drop(done_sender);
        // Dropping the sender of batches ends the threads.
        let result = coordinate(rule, cancel, &batch_sender, &done_receiver, flow);
        stop.store(true, Ordering::Relaxed);
        drop(batch_sender);
        result
    })
}

fn work<W: Work>(mut worker: W, queue: &Mutex<Receiver<QueuedBatch>>, done: &Sender<FinishedBatch<W::Output>>, stop: &[&AtomicBool; 2]) {
    loop {
        let received = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(QueuedBatch { window, places, batch }) = received else { return };
        if stop.iter().any(|stop| stop.load(Ordering::Relaxed)) {
            let _ = done.send(FinishedBatch { window, places, outputs: Err(BuildError::Interrupted), advance: BatchProgress::default() });
            return;
        }
        let started = Instant::now();
        // The coordinator waits for this batch even if the worker panics; the scope passes the panic on.
        let outputs = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.run(&batch)));
        let (outputs, panic) = match outputs {
            Ok(outputs) => (outputs, None),
            Err(panic) => (Err(BuildError::Interrupted), Some(panic)),
        };
        let advance = BatchProgress { references: places.len() as u64, tokens: batch.tokens(), time: Some(started.elapsed()) };
        // The receiver is gone only if the coordinator failed.
        let _ = done.send(FinishedBatch { window, places, outputs, advance });
        if let Some(panic) = panic {
            std::panic::resume_unwind(panic);
        }
    }
}

fn coordinate<F: Flow>(
    rule: BatchRule,
    cancel: &AtomicBool,
    queue: &Sender<QueuedBatch>,
    done: &Receiver<FinishedBatch<F::Output>>,
    flow: &mut F,
) -> Result<(), BuildError> {
    let mut windows: VecDeque<Window<F>> = VecDeque::new();
    let (mut first, mut ended) = (0u64, false);
    loop {
        while !ended && windows.len() < WINDOWS_AHEAD {
            check(cancel)?;
            let (mut tasks, mut entries) = (Vec::new(), Vec::new());
            while tasks.len() < rule.window && entries.len() < IDLE_SHARE * rule.window {
                let entry = match flow.next()? {
                    None => {
                        ended = true;
                        break;
                    }
                    Some(Item::Known(known)) => Entry::Known(known),
                    Some(Item::Task(task, meta)) => {
                        tasks.push((entries.len(), task));
                        Entry::Missing(meta)
                    }
                };
                entries.push(Some(entry));
            }
            if entries.is_empty() {
                break;
            }
            let mut window = Window { entries, missing: tasks.len() };
            for (places, batch) in batches(rule, tasks) {
                match flow.find(&batch)? {
                    Some(outputs) => {
                        flow.advance(BatchProgress { references: places.len() as u64, tokens: batch.tokens(), time: None });
                        window.fill(places, outputs);
                    }
                    None => {
                        let sent = queue.send(QueuedBatch { window: first + windows.len() as u64, places, batch });
                        debug_assert!(sent.is_ok(), "the receiver outlives this function");
                    }
                }
            }
            windows.push_back(window);
        }
        let before = first;
        while let Some(window) = windows.pop_front_if(|window| window.missing == 0) {
            first += 1;
            for entry in window.entries.into_iter().flatten() {
                check(cancel)?;
                match entry {
                    Entry::Known(known) => flow.take(known)?,
                    Entry::Done(meta, output) => flow.put(meta, output)?,
                    // The window has no missing entries.
                    Entry::Missing(_) => {}
                }
            }
        }
        if ended && windows.is_empty() {
            return Ok(());
        }
        // Fill further windows before waiting for results, so that no thread is idle.
        if !ended && first > before {
            continue;
        }
        check(cancel)?;
        let Ok(FinishedBatch { window, places, outputs, advance }) = done.recv() else { return Err(BuildError::Interrupted) };
        let outputs = outputs?;
        flow.advance(advance);
        windows[(window - first) as usize].fill(places, outputs);
    }
}

/// The batches of a window: tasks of similar length together, the longest first, so that the last batches of a window take little time.
pub(crate) fn batches(rule: BatchRule, mut tasks: Vec<(usize, Task)>) -> Vec<(Vec<usize>, TaskBatch)> {
    tasks.sort_by_key(|(place, task)| (std::cmp::Reverse(task.ids.len()), *place));
    let mut batches: Vec<(Vec<usize>, Vec<Task>)> = Vec::new();
    let mut width = 0;
    for (place, task) in tasks {
        match batches.last_mut() {
            Some((places, tasks)) if (tasks.len() + 1) * width <= rule.tokens => {
                places.push(place);
                tasks.push(task);
            }
            _ => {
                width = rule.prefix + task.ids.len();
                batches.push((vec![place], vec![task]));
            }
        }
    }
    batches.into_iter().map(|(places, tasks)| (places, TaskBatch::new(tasks))).collect()
}

#[cfg(test)]
mod tests;

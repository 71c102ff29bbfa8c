//! Work on references by several threads, with results in the order of references and independent of how many threads there are.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mempack_format::Digest;

use crate::BuildError;
use crate::builder::check;
use crate::slots::Stamp;

/// Windows that may be unfinished at once: threads go on with the next one while the last batches of one are computed.
const WINDOWS_AHEAD: usize = 3;
/// References without work in a window, for each one with work that it may hold.
const IDLE_SHARE: usize = 16;

/// How references are put into batches. Nothing here depends on the number of threads, and so no batch does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchRule {
    /// References that are sorted by length together.
    pub window: usize,
    /// Most tokens of a batch, each reference padded to the batch's longest.
    pub tokens: usize,
    /// Tokens that each reference has beside its own.
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
    /// Its number in the sample, if its memory is known from there.
    pub sampled: Option<u64>,
    /// Its number in the older pack, if its embedding is known from there.
    pub embedded: Option<u32>,
}

/// What the source has next.
pub(crate) enum Item<K, M> {
    /// A reference with nothing to compute.
    Known(K),
    /// A reference to work on, and what is to be known of it afterwards.
    Task(Task, M),
}

/// Tasks that are worked on together, and whose outputs depend on one another's company.
#[derive(Debug)]
pub(crate) struct Batch {
    pub tasks: Vec<Task>,
    digest: Digest,
}

impl Batch {
    fn new(tasks: Vec<Task>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for task in &tasks {
            hasher.update(&task.key.0).update(&(task.text.len() as u64).to_le_bytes()).update(task.text.as_bytes());
        }
        Self { digest: hasher.finalize().into(), tasks }
    }

    /// The tasks, each with what its output depends on here.
    pub fn stamped(&self) -> impl Iterator<Item = (&Task, Stamp)> {
        self.tasks.iter().zip(0..).map(|(task, place)| (task, Stamp { batch: self.digest, place }))
    }

    fn tokens(&self) -> u64 {
        self.tasks.iter().map(|task| task.ids.len() as u64).sum()
    }
}

/// What a thread does with a batch: one output for each task.
pub(crate) trait Work: Send {
    type Output: Send;
    fn run(&mut self, batch: &Batch) -> Result<Vec<Self::Output>, BuildError>;
}

/// A reference, or none after the last.
type Next<K, M> = Result<Option<Item<K, M>>, BuildError>;

/// Where tasks come from and outputs go to; called by the thread that called [`in_order`].
pub(crate) trait Flow {
    /// What is known of a reference with nothing to compute.
    type Known;
    /// What is known of a task beside it.
    type Meta;
    type Output;
    /// The next reference, until there is none.
    fn next(&mut self) -> Next<Self::Known, Self::Meta>;
    /// The outputs of a batch, if they are there already.
    fn find(&mut self, batch: &Batch) -> Result<Option<Vec<Self::Output>>, BuildError>;
    /// A batch is done.
    fn advance(&mut self, done: Advance);
    /// The next reference in order, with nothing to compute.
    fn take(&mut self, known: Self::Known) -> Result<(), BuildError>;
    /// The next reference in order, with its output.
    fn put(&mut self, meta: Self::Meta, output: Self::Output) -> Result<(), BuildError>;
}

/// A batch that is done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Advance {
    pub references: u64,
    pub tokens: u64,
    /// How long a thread worked on it; none if it was there already.
    pub time: Option<Duration>,
}

/// A batch with the places of its tasks in its window.
struct Job {
    window: u64,
    places: Vec<usize>,
    batch: Batch,
}

struct Done<O> {
    window: u64,
    places: Vec<usize>,
    outputs: Result<Vec<O>, BuildError>,
    advance: Advance,
}

/// A reference in a window.
enum Entry<F: Flow> {
    Known(F::Known),
    Missing(F::Meta),
    Done(F::Meta, F::Output),
}

struct Window<F: Flow> {
    /// None only while an output is put in.
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

/// Has `workers` do the tasks of `flow`, and gives it the outputs in the order of the tasks.
///
/// Holds at most three windows of tasks and outputs. Where most references have nothing to compute, a window holds fewer tasks, so that
/// it stays bounded.
pub(crate) fn in_order<W: Work, F: Flow<Output = W::Output>>(
    workers: Vec<W>,
    rule: BatchRule,
    cancel: &AtomicBool,
    flow: &mut F,
) -> Result<(), BuildError> {
    let (job_sender, job_receiver) = channel::<Job>();
    let (done_sender, done_receiver) = channel();
    let jobs = Mutex::new(job_receiver);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for worker in workers {
            let (jobs, done, stop) = (&jobs, done_sender.clone(), &stop);
            scope.spawn(move || work(worker, jobs, &done, &[stop, cancel]));
        }
        drop(done_sender);
        // When this returns, the sender of jobs is gone and the threads end.
        let result = coordinate(rule, cancel, &job_sender, &done_receiver, flow);
        stop.store(true, Ordering::Relaxed);
        drop(job_sender);
        result
    })
}

fn work<W: Work>(mut worker: W, jobs: &Mutex<Receiver<Job>>, done: &Sender<Done<W::Output>>, stop: &[&AtomicBool; 2]) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { window, places, batch }) = job else { return };
        if stop.iter().any(|stop| stop.load(Ordering::Relaxed)) {
            let _ = done.send(Done { window, places, outputs: Err(BuildError::Interrupted), advance: Advance::default() });
            return;
        }
        let started = Instant::now();
        // A panic must not leave the coordinator waiting for this batch; the scope passes it on.
        let outputs = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.run(&batch)));
        let (outputs, panic) = match outputs {
            Ok(outputs) => (outputs, None),
            Err(panic) => (Err(BuildError::Interrupted), Some(panic)),
        };
        let advance = Advance { references: places.len() as u64, tokens: batch.tokens(), time: Some(started.elapsed()) };
        // The coordinator is gone only if it failed itself.
        let _ = done.send(Done { window, places, outputs, advance });
        if let Some(panic) = panic {
            std::panic::resume_unwind(panic);
        }
    }
}

fn coordinate<F: Flow>(
    rule: BatchRule,
    cancel: &AtomicBool,
    jobs: &Sender<Job>,
    done: &Receiver<Done<F::Output>>,
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
                        flow.advance(Advance { references: places.len() as u64, tokens: batch.tokens(), time: None });
                        window.fill(places, outputs);
                    }
                    // Receivers live as long as the scope's threads, which end early only after an error that arrives below.
                    None => drop(jobs.send(Job { window: first + windows.len() as u64, places, batch })),
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
                    // None is missing.
                    Entry::Missing(_) => {}
                }
            }
        }
        if ended && windows.is_empty() {
            return Ok(());
        }
        // Threads wait for nothing that can be given to them.
        if !ended && first > before {
            continue;
        }
        check(cancel)?;
        let Ok(Done { window, places, outputs, advance }) = done.recv() else { return Err(BuildError::Interrupted) };
        let outputs = outputs?;
        flow.advance(advance);
        windows[(window - first) as usize].fill(places, outputs);
    }
}

/// Batches of a window: tasks of like length together, longest first, so that a window's last batches are short work.
fn batches(rule: BatchRule, mut tasks: Vec<(usize, Task)>) -> Vec<(Vec<usize>, Batch)> {
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
    batches.into_iter().map(|(places, tasks)| (places, Batch::new(tasks))).collect()
}

#[cfg(test)]
mod tests;

//! Work on references by several threads, with results in the order of references and independent of how many threads there are.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::BuildError;
use crate::builder::check;

/// Windows that may be unfinished at once: threads go on with the next one while the last batches of one are computed.
const WINDOWS_AHEAD: usize = 3;

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
    /// What the model reads.
    pub ids: Vec<u32>,
    /// What the embedder reads.
    pub text: String,
    /// Its number in the sample, if its memory is known from there.
    pub sampled: Option<u64>,
}

/// What a thread does with a batch: one output for each task.
pub(crate) trait Work: Send {
    type Output: Send;
    fn run(&mut self, batch: &[Task]) -> Result<Vec<Self::Output>, BuildError>;
}

/// A batch with the places of its tasks in its window.
struct Batch {
    window: u64,
    places: Vec<usize>,
    tasks: Vec<Task>,
}

struct Done<O> {
    window: u64,
    places: Vec<usize>,
    outputs: Result<Vec<O>, BuildError>,
    references: u64,
    tokens: u64,
}

struct Window<M, O> {
    metas: Vec<M>,
    outputs: Vec<Option<O>>,
    missing: usize,
}

/// Takes tasks from `source` until it ends, has `workers` do them, and gives the outputs to `sink` in the order of the tasks.
///
/// Holds at most three windows of tasks and outputs. `advance` hears how many references and tokens each batch had.
pub(crate) fn in_order<W: Work, M>(
    workers: Vec<W>,
    rule: BatchRule,
    cancel: &AtomicBool,
    source: &mut dyn FnMut() -> Result<Option<(Task, M)>, BuildError>,
    advance: &mut dyn FnMut(u64, u64),
    sink: &mut dyn FnMut(M, W::Output) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let (job_sender, job_receiver) = channel::<Batch>();
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
        let result = coordinate(rule, cancel, job_sender, &done_receiver, source, advance, sink);
        stop.store(true, Ordering::Relaxed);
        result
    })
}

fn work<W: Work>(mut worker: W, jobs: &Mutex<Receiver<Batch>>, done: &Sender<Done<W::Output>>, stop: &[&AtomicBool; 2]) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Batch { window, places, tasks }) = job else { return };
        if stop.iter().any(|stop| stop.load(Ordering::Relaxed)) {
            let _ = done.send(Done { window, places, outputs: Err(BuildError::Interrupted), references: 0, tokens: 0 });
            return;
        }
        let tokens = tasks.iter().map(|task| task.ids.len() as u64).sum();
        // A panic must not leave the coordinator waiting for this batch; the scope passes it on.
        let outputs = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.run(&tasks)));
        let (outputs, panic) = match outputs {
            Ok(outputs) => (outputs, None),
            Err(panic) => (Err(BuildError::Interrupted), Some(panic)),
        };
        // The coordinator is gone only if it failed itself.
        let _ = done.send(Done { window, places, outputs, references: tasks.len() as u64, tokens });
        if let Some(panic) = panic {
            std::panic::resume_unwind(panic);
        }
    }
}

fn coordinate<M, O>(
    rule: BatchRule,
    cancel: &AtomicBool,
    jobs: Sender<Batch>,
    done: &Receiver<Done<O>>,
    source: &mut dyn FnMut() -> Result<Option<(Task, M)>, BuildError>,
    advance: &mut dyn FnMut(u64, u64),
    sink: &mut dyn FnMut(M, O) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let mut windows: VecDeque<Window<M, O>> = VecDeque::new();
    let (mut first, mut ended) = (0u64, false);
    loop {
        while !ended && windows.len() < WINDOWS_AHEAD {
            let (mut tasks, mut metas) = (Vec::new(), Vec::new());
            while tasks.len() < rule.window {
                let Some((task, meta)) = source()? else {
                    ended = true;
                    break;
                };
                tasks.push(task);
                metas.push(meta);
            }
            if tasks.is_empty() {
                break;
            }
            let number = first + windows.len() as u64;
            windows.push_back(Window { outputs: metas.iter().map(|_| None).collect(), missing: metas.len(), metas });
            for (places, tasks) in batches(rule, tasks) {
                // Receivers live as long as the scope's threads, which end early only after an error that arrives below.
                let _ = jobs.send(Batch { window: number, places, tasks });
            }
        }
        if windows.is_empty() {
            return Ok(());
        }
        check(cancel)?;
        let Ok(Done { window, places, outputs, references, tokens }) = done.recv() else { return Err(BuildError::Interrupted) };
        let outputs = outputs?;
        advance(references, tokens);
        let window = &mut windows[(window - first) as usize];
        window.missing -= places.len();
        for (place, output) in places.into_iter().zip(outputs) {
            window.outputs[place] = Some(output);
        }
        while let Some(window) = windows.pop_front_if(|window| window.missing == 0) {
            first += 1;
            for (meta, output) in window.metas.into_iter().zip(window.outputs.into_iter().flatten()) {
                sink(meta, output)?;
            }
        }
    }
}

/// Batches of a window: tasks of like length together, longest first, so that a window's last batches are short work.
fn batches(rule: BatchRule, tasks: Vec<Task>) -> Vec<(Vec<usize>, Vec<Task>)> {
    let mut order: Vec<(usize, Task)> = tasks.into_iter().enumerate().collect();
    order.sort_by_key(|(place, task)| (std::cmp::Reverse(task.ids.len()), *place));
    let mut batches: Vec<(Vec<usize>, Vec<Task>)> = Vec::new();
    let mut width = 0;
    for (place, task) in order {
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
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sums ids, in a time that depends on them.
    struct Sum<'a> {
        batches: &'a Mutex<Vec<Vec<u32>>>,
        fails_at: Option<u32>,
    }

    impl Work for Sum<'_> {
        type Output = u32;
        fn run(&mut self, batch: &[Task]) -> Result<Vec<u32>, BuildError> {
            let sums: Vec<u32> = batch.iter().map(|task| task.ids.iter().sum()).collect();
            thread::sleep(std::time::Duration::from_micros(u64::from(sums[0] % 7) * 30));
            self.batches.lock().unwrap().push(sums.clone());
            match self.fails_at {
                Some(bad) if sums.contains(&bad) => Err(BuildError::TooManyReferences { cap: 0 }),
                _ => Ok(sums),
            }
        }
    }

    type Outcome = (Result<(), BuildError>, Vec<(usize, u32)>, Vec<Vec<u32>>);

    fn run(lengths: &[usize], threads: usize, fails_at: Option<u32>) -> Outcome {
        let seen = Mutex::new(Vec::new());
        let workers = (0..threads).map(|_| Sum { batches: &seen, fails_at }).collect();
        let mut left = lengths.iter().enumerate();
        let mut source =
            || Ok(left.next().map(|(i, length)| (Task { ids: vec![i as u32; *length], text: String::new(), sampled: None }, i)));
        let (mut out, mut counted) = (Vec::new(), (0, 0));
        let rule = BatchRule { window: 16, tokens: 40, prefix: 2 };
        let result = in_order(
            workers,
            rule,
            &AtomicBool::new(false),
            &mut source,
            &mut |references, tokens| counted = (counted.0 + references, counted.1 + tokens),
            &mut |meta, sum| {
                out.push((meta, sum));
                Ok(())
            },
        );
        if result.is_ok() {
            assert_eq!(counted, (lengths.len() as u64, lengths.iter().sum::<usize>() as u64));
        }
        let mut seen = seen.into_inner().unwrap();
        seen.sort();
        (result, out, seen)
    }

    proptest! {
        #[test]
        fn outputs_come_in_order_and_batches_do_not_depend_on_threads(lengths in prop::collection::vec(1usize..30, 0..120)) {
            let (result, out, batches) = run(&lengths, 1, None);
            result.unwrap();
            let expected: Vec<(usize, u32)> = lengths.iter().enumerate().map(|(i, length)| (i, (i * length) as u32)).collect();
            prop_assert_eq!(&out, &expected);
            let (result, out, other) = run(&lengths, 3, None);
            result.unwrap();
            prop_assert_eq!(out, expected);
            prop_assert_eq!(other, batches);
        }
    }

    #[test]
    fn an_error_ends_the_work() {
        let (result, out, _) = run(&[1; 200], 2, Some(100));
        assert!(matches!(result, Err(BuildError::TooManyReferences { .. })));
        assert!(out.len() <= 100);
    }

    #[test]
    #[should_panic]
    fn a_panic_does_not_hang() {
        struct Broken;
        impl Work for Broken {
            type Output = ();
            fn run(&mut self, _: &[Task]) -> Result<Vec<()>, BuildError> {
                panic!("broken")
            }
        }
        let mut source = || Ok(Some((Task { ids: vec![1], text: String::new(), sampled: None }, ())));
        let rule = BatchRule { window: 4, tokens: 40, prefix: 2 };
        let _ = in_order(vec![Broken, Broken], rule, &AtomicBool::new(false), &mut source, &mut |_, _| {}, &mut |_, _| Ok(()));
    }
}

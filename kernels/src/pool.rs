//! Threads that wait for work, and the barriers between the parts of a step.
//!
//! A step is one job of the pool: every thread runs the same function, and the parts of the step are divided among the threads by a
//! counter and separated by barriers. With some 180 barriers a token, a barrier has to take a fraction of a microsecond: threads spin
//! at it, and yield
//! to others when that takes long. Between jobs they spin for some 50 microseconds, then they sleep.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Looks at a barrier before a thread yields.
const SPINS_AT_BARRIER: u32 = 500;
/// Looks for the next job before a thread sleeps.
const SPINS_BEFORE_SLEEP: u32 = 1000;

/// A number of threads that run steps, the caller's among them. They end when the pool is dropped.
pub struct Pool {
    common: Arc<Common>,
    helpers: Vec<JoinHandle<()>>,
    /// Held while a job runs.
    running: Mutex<()>,
}

type Job = *const (dyn Fn(&Worker<'_>) + Sync);

/// What the threads share.
struct Common {
    threads: usize,
    /// The number of jobs begun; a change tells the helpers to look at `job`.
    jobs: AtomicUsize,
    job: Mutex<Work>,
    wake: Condvar,
    /// Helpers that have not finished the job.
    busy: AtomicUsize,
    barrier: Barrier,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// What helpers are to do.
struct Work {
    job: Option<Job>,
    end: bool,
}

// SAFETY: The pointer is to a function that is `Sync`, and it is dereferenced only while `Pool::run` borrows it.
unsafe impl Send for Work {}

struct Barrier {
    arrived: AtomicUsize,
    passed: AtomicUsize,
    /// The first item of the part that no thread has taken.
    next: AtomicUsize,
    /// Whether a thread panicked, so that nobody may wait for it.
    broken: AtomicBool,
}

/// Thrown in threads that wait for one that panicked.
struct Broken;

/// A thread of a job.
pub(crate) struct Worker<'a> {
    index: usize,
    common: &'a Common,
}

impl Pool {
    /// A pool of `threads` threads; 0 counts as 1. The calling thread is one of them, so `threads - 1` are started.
    ///
    /// # Errors
    /// A thread that the system does not start.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let threads = threads.max(1);
        let common = Arc::new(Common {
            threads,
            jobs: AtomicUsize::new(0),
            job: Mutex::new(Work { job: None, end: false }),
            wake: Condvar::new(),
            busy: AtomicUsize::new(0),
            barrier: Barrier {
                arrived: AtomicUsize::new(0),
                passed: AtomicUsize::new(0),
                next: AtomicUsize::new(0),
                broken: AtomicBool::new(false),
            },
            panic: Mutex::new(None),
        });
        let mut pool = Self { common, helpers: Vec::new(), running: Mutex::new(()) };
        for index in 1..threads {
            let common = Arc::clone(&pool.common);
            let helper = std::thread::Builder::new().name(format!("kernels-{index}")).spawn(move || common.help(index))?;
            pool.helpers.push(helper);
        }
        Ok(pool)
    }

    /// Threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.common.threads
    }

    /// Runs `job` in every thread at once, and returns when all have finished. A panic in any of them is continued in the caller.
    pub(crate) fn run(&self, job: &(dyn Fn(&Worker<'_>) + Sync)) {
        let guard = lock(&self.running);
        let common = &*self.common;
        common.busy.store(self.helpers.len(), Ordering::Relaxed);
        if !self.helpers.is_empty() {
            // SAFETY: Only the lifetime changes. Helpers call the job before they count themselves out of `busy`, and this function
            // returns, whatever happens in `common.work`, only when all have.
            let job = unsafe { std::mem::transmute::<*const (dyn Fn(&Worker<'_>) + Sync + '_), Job>(job) };
            lock(&common.job).job = Some(job);
            common.jobs.fetch_add(1, Ordering::Release);
            common.wake.notify_all();
        }
        common.work(0, job);
        let mut looks = 0;
        while common.busy.load(Ordering::Acquire) > 0 {
            pause(&mut looks);
        }
        common.barrier.arrived.store(0, Ordering::Relaxed);
        common.barrier.next.store(0, Ordering::Relaxed);
        common.barrier.broken.store(false, Ordering::Relaxed);
        let panic = lock(&common.panic).take();
        drop(guard);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.common.job).end = true;
        self.common.jobs.fetch_add(1, Ordering::Release);
        self.common.wake.notify_all();
        for helper in self.helpers.drain(..) {
            // A panic of a job was handed to the caller of `run` already.
            let _ = helper.join();
        }
    }
}

impl Common {
    /// A helper's life.
    fn help(&self, index: usize) {
        let mut seen = 0;
        loop {
            let mut looks = 0;
            while self.jobs.load(Ordering::Acquire) == seen && looks < SPINS_BEFORE_SLEEP {
                std::hint::spin_loop();
                looks += 1;
            }
            let mut work = lock(&self.job);
            while self.jobs.load(Ordering::Acquire) == seen {
                work = self.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
            }
            seen = self.jobs.load(Ordering::Acquire);
            let (job, end) = (work.job, work.end);
            drop(work);
            if end {
                return;
            }
            if let Some(job) = job {
                // SAFETY: `Pool::run` has put the job there and borrows it until `busy` is counted down, below.
                self.work(index, unsafe { &*job });
                self.busy.fetch_sub(1, Ordering::Release);
            }
        }
    }

    /// Runs the job in this thread. A panic is kept for the caller of [`Pool::run`].
    fn work(&self, index: usize, job: &(dyn Fn(&Worker<'_>) + Sync)) {
        let worker = Worker { index, common: self };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(&worker))) {
            self.barrier.broken.store(true, Ordering::Release);
            if !panic.is::<Broken>() {
                lock(&self.panic).get_or_insert(panic);
            }
        }
    }
}

impl Worker<'_> {
    /// The number of this thread, below that of threads.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Threads of the job.
    pub fn threads(&self) -> usize {
        self.common.threads
    }

    /// Calls `part` with ranges of at most `grain` items that together are `0..items`, each in one of the threads, and returns when
    /// all have returned in
    /// all threads. Every thread must call it, with the same numbers.
    pub fn each(&self, items: usize, grain: usize, mut part: impl FnMut(Range<usize>)) {
        let barrier = &self.common.barrier;
        let grain = grain.max(1);
        loop {
            let start = barrier.next.fetch_add(grain, Ordering::Relaxed);
            if start >= items {
                break;
            }
            part(start..items.min(start + grain));
        }
        barrier.wait(self.common.threads);
    }

    /// A grain that gives every thread a few ranges of `items`, multiples of `unit`.
    pub fn grain(&self, items: usize, unit: usize) -> usize {
        let parts = if self.common.threads == 1 { 1 } else { 4 * self.common.threads };
        items.div_ceil(parts).next_multiple_of(unit)
    }
}

impl Barrier {
    /// Waits until all threads have called it. What they wrote before is visible afterwards.
    fn wait(&self, threads: usize) {
        let passed = self.passed.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == threads {
            self.arrived.store(0, Ordering::Relaxed);
            self.next.store(0, Ordering::Relaxed);
            self.passed.store(passed.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut looks = 0;
        while self.passed.load(Ordering::Acquire) == passed {
            if self.broken.load(Ordering::Acquire) {
                panic_any(Broken);
            }
            pause(&mut looks);
        }
    }
}

/// Waits a moment: a few cycles at first, later the rest of a time slice.
fn pause(looks: &mut u32) {
    if *looks < SPINS_AT_BARRIER {
        *looks += 1;
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// A lock that a panic elsewhere does not take away: everything behind it is valid at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once_and_parts_follow_one_another() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads).unwrap();
            assert_eq!(pool.threads(), threads);
            for items in [0, 1, 7, 100] {
                let counts: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
                pool.run(&|worker| {
                    for part in 0..50 {
                        worker.each(items, 3, |range| {
                            for count in &counts[range] {
                                assert_eq!(count.fetch_add(1, Ordering::Relaxed), part);
                            }
                        });
                    }
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 50));
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_stays_usable() {
        let pool = Pool::new(3).unwrap();
        for bad in 0..3 {
            let found = catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|worker| {
                    worker.each(3, 1, |_| {});
                    assert_ne!(worker.index(), bad, "thread {bad}");
                    worker.each(3, 1, |_| {});
                });
            }));
            let text = *found.unwrap_err().downcast::<String>().unwrap();
            assert!(text.contains(&format!("thread {bad}")), "{text}");
            let sum = AtomicUsize::new(0);
            pool.run(&|worker| {
                worker.each(10, 1, |range| {
                    sum.fetch_add(range.start, Ordering::Relaxed);
                });
            });
            assert_eq!(sum.into_inner(), 45);
        }
    }
}

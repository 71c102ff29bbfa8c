//! Work that takes long: without the GIL, on several threads, and ended by Ctrl-C.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// How often Python is asked whether it was interrupted.
const EVERY: Duration = Duration::from_millis(50);

/// The threads to use: those that were asked for, or as many as the machine has.
pub fn threads(asked: Option<i64>) -> PyResult<usize> {
    match asked {
        None => Ok(thread::available_parallelism().map_or(1, NonZero::get)),
        Some(asked) => match usize::try_from(asked) {
            Ok(count @ 1..=4096) => Ok(count),
            _ => Err(PyValueError::new_err(format!("threads is {asked}; 1 to 4096 are possible"))),
        },
    }
}

/// Asks Python, now and then, whether it was interrupted.
pub struct Watch {
    next: Instant,
}

impl Watch {
    pub fn new() -> Self {
        Self { next: Instant::now() + EVERY }
    }

    /// The exception that an interruption raises.
    pub fn look(&mut self) -> PyResult<()> {
        let now = Instant::now();
        if now < self.next {
            return Ok(());
        }
        self.next = now + EVERY;
        Python::attach(|py| py.check_signals())
    }
}

/// The results of `work` for every index below `count`, in order. The first error ends it.
pub fn each<T: Send>(py: Python<'_>, count: usize, threads: usize, work: impl Fn(usize) -> PyResult<T> + Sync) -> PyResult<Vec<T>> {
    py.detach(|| if threads.min(count) <= 1 { in_turn(count, &work) } else { side_by_side(count, threads.min(count), &work) })
}

fn in_turn<T>(count: usize, work: &impl Fn(usize) -> PyResult<T>) -> PyResult<Vec<T>> {
    let mut watch = Watch::new();
    let mut results = Vec::with_capacity(count);
    for index in 0..count {
        watch.look()?;
        results.push(work(index)?);
    }
    Ok(results)
}

fn side_by_side<T: Send>(count: usize, threads: usize, work: &(impl Fn(usize) -> PyResult<T> + Sync)) -> PyResult<Vec<T>> {
    let (next, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (running, left) = (Mutex::new(threads), Condvar::new());
    let worker = || {
        // Counts down however the work ends.
        let _leaving = Leaving { running: &running, left: &left };
        let mut done: Vec<(usize, T)> = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count || ended.load(Ordering::Relaxed) {
                return Ok(done);
            }
            match work(index) {
                Ok(result) => done.push((index, result)),
                Err(error) => {
                    ended.store(true, Ordering::Relaxed);
                    return Err((index, error));
                }
            }
        }
    };
    thread::scope(|scope| {
        let mut handles = Vec::with_capacity(threads);
        for _ in 0..threads {
            match thread::Builder::new().name("mempack".into()).spawn_scoped(scope, worker) {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    // Those that run do all of it; without any, nothing does.
                    *running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
                    if handles.is_empty() {
                        *running.lock().unwrap_or_else(PoisonError::into_inner) = 0;
                        return Err(PyRuntimeError::new_err(format!("no thread can be started: {error}")));
                    }
                }
            }
        }
        let interrupted = wait(&running, &left, &ended);
        let mut results: Vec<(usize, T)> = Vec::with_capacity(count);
        let mut first: Option<(usize, PyErr)> = None;
        for handle in handles {
            match handle.join() {
                Ok(Ok(done)) => results.extend(done),
                Ok(Err(failed)) if first.as_ref().is_none_or(|(index, _)| failed.0 < *index) => first = Some(failed),
                Ok(Err(_)) => {}
                Err(_) => first = Some((0, PyRuntimeError::new_err("a thread of mempack panicked; please report what it printed"))),
            }
        }
        interrupted?;
        if let Some((_, error)) = first {
            return Err(error);
        }
        results.sort_unstable_by_key(|(index, _)| *index);
        Ok(results.into_iter().map(|(_, result)| result).collect())
    })
}

/// Waits for the workers, and ends them if Python is interrupted.
fn wait(running: &Mutex<usize>, left: &Condvar, ended: &AtomicBool) -> PyResult<()> {
    let mut interrupted = Ok(());
    let mut count = running.lock().unwrap_or_else(PoisonError::into_inner);
    while *count > 0 {
        count = left.wait_timeout(count, EVERY).unwrap_or_else(PoisonError::into_inner).0;
        if *count > 0 && interrupted.is_ok() {
            // Workers do not wait for the GIL with this lock held, but those that end need the lock.
            drop(count);
            interrupted = Python::attach(|py| py.check_signals());
            ended.fetch_or(interrupted.is_err(), Ordering::Relaxed);
            count = running.lock().unwrap_or_else(PoisonError::into_inner);
        }
    }
    interrupted
}

struct Leaving<'a> {
    running: &'a Mutex<usize>,
    left: &'a Condvar,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.left.notify_one();
    }
}

//! Lines that wait to be written, within a bound.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A queue between the threads that record and the one that writes.
pub(super) struct Queue {
    limit: usize,
    state: Mutex<State>,
    /// There is something to write, or no more will come.
    wake: Condvar,
    /// Everything is written.
    idle: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<Vec<u8>>,
    bytes: usize,
    /// Lines that found the queue full since the writer looked last.
    dropped: u64,
    /// Lines that were lost in all.
    lost: u64,
    /// Whether it was said that lines are dropped, and the writer does not know all of them.
    said: bool,
    writing: bool,
    closed: bool,
}

impl State {
    fn is_idle(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0 && !self.writing
    }
}

impl Queue {
    /// A queue of at most `limit` bytes. While they are written, as many may wait again.
    pub fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), wake: Condvar::new(), idle: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, or drops it. `say` is called if it is to be said that lines are dropped, before the writer hears of it.
    pub fn push(&self, line: Vec<u8>, say: impl FnOnce()) {
        let mut state = self.lock();
        let bytes = state.bytes.saturating_add(line.len());
        if bytes > self.limit {
            if !std::mem::replace(&mut state.said, true) {
                // Others that record do not wait for it.
                drop(state);
                say();
                state = self.lock();
            }
            state.dropped += 1;
            state.lost += 1;
        } else {
            state.bytes = bytes;
            state.lines.push(line);
        }
        self.wake.notify_one();
    }

    pub fn lost(&self) -> u64 {
        self.lock().lost
    }

    /// No more lines will come: [`Queue::serve`] ends when all are written.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Waits until all lines are written or lost.
    pub fn flush(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let mut state = self.lock();
        while !state.is_idle() {
            let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { return false };
            state = self.idle.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Hands lines, and the number of those that were dropped after them, to `write` until the queue is closed. `write` returns how many it
    /// lost.
    pub fn serve(&self, mut write: impl FnMut(Vec<Vec<u8>>, u64) -> u64) {
        loop {
            let mut state = self.lock();
            while state.lines.is_empty() && state.dropped == 0 {
                if state.closed {
                    return;
                }
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.writing = true;
            state.bytes = 0;
            let (lines, dropped) = (std::mem::take(&mut state.lines), std::mem::take(&mut state.dropped));
            drop(state);
            let lost = write(lines, dropped);
            let mut state = self.lock();
            state.lost += lost;
            state.writing = false;
            // What was dropped meanwhile belongs to what has been said.
            state.said = if dropped > 0 { state.dropped > 0 } else { state.said };
            self.idle.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// A disk that hangs: nobody waits for it, and the queue does not grow.
    #[test]
    fn a_writer_that_hangs_holds_nobody_up() {
        let queue = Queue::new(10);
        let (begun, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let (queue, mut written) = (&queue, Vec::new());
        thread::scope(|scope| {
            let writer = scope.spawn(move || {
                queue.serve(|lines, dropped| {
                    begun.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    written.push((lines.concat(), dropped));
                    0
                });
                written
            });
            let said = AtomicUsize::new(0);
            let push = |line: &str| {
                queue.push(line.as_bytes().to_vec(), || {
                    said.fetch_add(1, Ordering::Relaxed);
                })
            };
            push("first");
            has_begun.recv().unwrap();
            // Ten bytes wait; what comes then is dropped, which is to be said once.
            push("12345");
            push("67890");
            assert_eq!(said.load(Ordering::Relaxed), 0);
            (0..1000).for_each(|_| push("x"));
            assert_eq!(said.load(Ordering::Relaxed), 1);
            assert_eq!(queue.lost(), 1000);
            assert!(!queue.flush(Duration::from_millis(20)));
            go_on.send(()).unwrap();
            has_begun.recv().unwrap();
            push("last");
            queue.close();
            assert!(!queue.flush(Duration::from_millis(20)));
            go_on.send(()).unwrap();
            go_on.send(()).unwrap();
            assert!(queue.flush(Duration::from_secs(60)));
            let written = writer.join().unwrap();
            assert_eq!(written, [(b"first".to_vec(), 0), (b"1234567890".to_vec(), 1000), (b"last".to_vec(), 0)]);
        });
    }

    #[test]
    fn what_the_writer_lost_is_counted() {
        let queue = Queue::new(100);
        (0..3).for_each(|_| queue.push(b"line".to_vec(), || panic!("nothing is dropped")));
        queue.close();
        queue.serve(|lines, _| lines.len() as u64 - 1);
        assert_eq!(queue.lost(), 2);
        assert!(queue.flush(Duration::ZERO));
    }
}

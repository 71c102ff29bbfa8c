//! Work shared by threads, with results that do not depend on their number.

use std::{sync::Mutex, thread};

/// Does `work` on every item, on at most `threads` threads. Items must not write to the same data.
pub(crate) fn for_each<T: Send>(threads: usize, items: impl ExactSizeIterator<Item = T> + Send, work: impl Fn(T) + Sync) {
    if threads <= 1 || items.len() <= 1 {
        return items.for_each(work);
    }
    let threads = threads.min(items.len());
    let queue = Mutex::new(items);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    // A poisoned queue means that `work` panicked in another thread; the scope passes the panic on.
                    let Some(item) = queue.lock().ok().and_then(|mut items| items.next()) else { break };
                    work(item);
                }
            });
        }
    });
}

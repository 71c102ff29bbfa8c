//! The same for callers that are not asynchronous.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Builder;

use crate::error::StoreError;

/// How often `cancel` is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Runs work with a store to its end, or until `cancel` is set. Work that is cancelled leaves what it would leave if the process were killed.
///
/// # Errors
/// That of the work; [`StoreError::Interrupted`] if it was cancelled.
pub fn run<T>(cancel: &AtomicBool, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("store").enable_all().build().map_err(StoreError::Start)?;
    let result = runtime.block_on(async {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                ended = &mut work => return ended,
                () = tokio::time::sleep(LOOK) => if cancel.load(Ordering::Relaxed) { return Err(StoreError::Interrupted) },
            }
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    result
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_ends_by_itself_or_when_it_is_cancelled() {
        assert_eq!(run(&AtomicBool::new(false), async { Ok(7) }).unwrap(), 7);
        let started = Instant::now();
        let forever = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(())
        };
        assert!(matches!(run(&AtomicBool::new(true), forever), Err(StoreError::Interrupted)));
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}

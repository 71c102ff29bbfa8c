//! Work that is done beside other work.

use std::panic::resume_unwind;
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// Work in a thread of its own, or its result if the system gave no thread.
pub(crate) enum Beside<'scope, T> {
    Begun(ScopedJoinHandle<'scope, T>),
    Done(T),
}

impl<'scope, T: Send + 'scope> Beside<'scope, T> {
    pub(crate) fn begin<'env, F: Fn() -> T + Sync>(scope: &'scope Scope<'scope, 'env>, name: &str, work: &'env F) -> Self {
        match Builder::new().name(name.to_owned()).spawn_scoped(scope, work) {
            Ok(thread) => Self::Begun(thread),
            Err(_) => Self::Done(work()),
        }
    }

    /// The result. A panic of the work goes on here.
    pub(crate) fn end(self) -> T {
        match self {
            Self::Begun(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Self::Done(result) => result,
        }
    }
}

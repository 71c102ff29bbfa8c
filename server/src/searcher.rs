//! The thread that embeds and searches for requests that decode nothing.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use mempack_model::Embedder;
use mempack_runtime::{Retriever, SessionError};
use tokio::sync::{Semaphore, oneshot};

use crate::error::ApiError;

/// What the thread works with.
pub struct Tools {
    /// Embeds texts.
    pub embedder: Embedder,
    /// Searches packs.
    pub retriever: Retriever,
}

type Work = Box<dyn FnOnce(&Tools) + Send>;

/// Embeds and searches on a thread of its own, which ends with this handle.
pub struct Searcher {
    work: Sender<Work>,
    places: Arc<Semaphore>,
}

impl Searcher {
    /// Starts the thread, for which `queue` requests may wait.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start(tools: Tools, queue: usize) -> Result<Self, SessionError> {
        let (work, inbox) = channel::<Work>();
        let run = move || {
            while let Ok(work) = inbox.recv() {
                work(&tools);
            }
        };
        std::thread::Builder::new().name("mempack-searcher".into()).spawn(run).map_err(SessionError::Thread)?;
        Ok(Self { work, places: Arc::new(Semaphore::new(queue.clamp(1, Semaphore::MAX_PERMITS))) })
    }

    /// Does work on the thread.
    ///
    /// # Errors
    /// If too many requests wait, or the work panics.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Tools) -> T + Send + 'static) -> Result<T, ApiError> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| ApiError::busy())?;
        let (reply, result) = oneshot::channel();
        let guarded = move |tools: &Tools| {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(tools)));
            drop(permit);
            // The client may be gone. A panic's message is in the log.
            if let Ok(done) = done {
                let _ = reply.send(done);
            }
        };
        self.work.send(Box::new(guarded)).map_err(|_| ApiError::internal())?;
        result.await.map_err(|_| ApiError::internal())
    }
}

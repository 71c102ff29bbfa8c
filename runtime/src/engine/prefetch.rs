//! A second thread that retrieves while the model decodes. It affects when memories are loaded, never which.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::chunk::{ChunkMemories, ChunkReader, Scope};
use super::error::{AskError, SessionError};

/// A request to the thread.
enum Request {
    /// Decode the memories that the query will probably retrieve.
    Warm(Scope, String),
    /// Retrieve, and send the memories.
    Read(Scope, String, SyncSender<Result<ChunkMemories, AskError>>),
}

/// Handle of the thread, which ends when the handle is dropped.
pub(crate) struct Prefetcher {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

/// A retrieval whose result has not been received yet.
pub(crate) struct Pending {
    query: String,
    reply: Option<Receiver<Result<ChunkMemories, AskError>>>,
}

impl Prefetcher {
    pub(crate) fn start(reader: &ChunkReader) -> Result<Self, SessionError> {
        let (requests, inbox) = channel();
        let reader = reader.share();
        let thread = std::thread::Builder::new().name("mempack-prefetch".into()).spawn(move || work(&reader, &inbox));
        Ok(Self { requests: Some(requests), thread: Some(thread.map_err(SessionError::Thread)?) })
    }

    /// Starts decoding the memories that a later query will probably retrieve.
    pub(crate) fn warm(&self, scope: Scope, query: String) {
        if let Some(requests) = &self.requests {
            // If the thread has ended, nothing is decoded in advance; retrieval works without it.
            let _ = requests.send(Request::Warm(scope, query));
        }
    }

    /// Starts the retrieval for `query`.
    pub(crate) fn begin(&self, scope: Scope, query: String) -> Pending {
        let (reply, receiver) = sync_channel(1);
        let sent = self.requests.as_ref().is_some_and(|requests| requests.send(Request::Read(scope, query.clone(), reply)).is_ok());
        Pending { query, reply: sent.then_some(receiver) }
    }
}

impl Pending {
    /// A retrieval that [`wait`](Self::wait) performs.
    pub(crate) fn later(query: String) -> Self {
        Self { query, reply: None }
    }

    /// Waits for the memories, or retrieves them on this thread if the prefetch thread did not.
    pub(crate) fn wait(self, reader: &ChunkReader, scope: &Scope) -> Result<ChunkMemories, AskError> {
        match self.reply.and_then(|reply| reply.recv().ok()) {
            Some(result) => result,
            None => reader.read(scope, self.query),
        }
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        // Dropping the sender ends the thread's loop.
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(reader: &ChunkReader, inbox: &Receiver<Request>) {
    while let Ok(mut request) = inbox.recv() {
        // Newer requests take priority over warming.
        while matches!(request, Request::Warm(..)) {
            match inbox.try_recv() {
                Ok(newer) => request = newer,
                Err(_) => break,
            }
        }
        match request {
            Request::Warm(scope, query) => {
                // An error here is reported when a chunk reads the same memory.
                let _ = reader.warm(&scope, &query);
            }
            Request::Read(scope, query, reply) => {
                let memories = reader.read(&scope, query);
                // Drop the packs before the reply, so that the receiver does not wait for an unmapping.
                drop(scope);
                // The send fails if the answer ended first.
                let _ = reply.send(memories);
            }
        }
    }
}

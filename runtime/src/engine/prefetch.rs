//! A second thread that retrieves while the model decodes. It changes when memories are there, never which.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::chunk::{ChunkMemories, ChunkReader, Scope};
use super::error::{AskError, SessionError};

/// What the thread is asked for.
enum Request {
    /// Decode what the query will probably retrieve.
    Warm(Scope, String),
    /// Retrieve, and send the memories.
    Read(Scope, String, SyncSender<Result<ChunkMemories, AskError>>),
}

/// The thread, which ends when this is dropped.
pub(crate) struct Prefetcher {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

/// Memories that are on their way.
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

    /// Has memories decoded that a later query will probably want.
    pub(crate) fn warm(&self, scope: Scope, query: String) {
        // If the thread has ended, nothing is decoded ahead; retrieval works without it.
        let _ = self.requests.as_ref().map(|requests| requests.send(Request::Warm(scope, query)));
    }

    /// Begins to retrieve for `query`.
    pub(crate) fn begin(&self, scope: Scope, query: String) -> Pending {
        let (reply, receiver) = sync_channel(1);
        let sent = self.requests.as_ref().is_some_and(|requests| requests.send(Request::Read(scope, query.clone(), reply)).is_ok());
        Pending { query, reply: sent.then_some(receiver) }
    }
}

impl Pending {
    /// A retrieval that begins when it is waited for.
    pub(crate) fn later(query: String) -> Self {
        Self { query, reply: None }
    }

    /// Waits for the memories; retrieves them here if no thread does.
    pub(crate) fn wait(self, reader: &ChunkReader, scope: &Scope) -> Result<ChunkMemories, AskError> {
        match self.reply.and_then(|reply| reply.recv().ok()) {
            Some(result) => result,
            None => reader.read(scope, self.query),
        }
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        // Without a sender the thread's loop ends.
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(reader: &ChunkReader, inbox: &Receiver<Request>) {
    while let Ok(mut request) = inbox.recv() {
        // A newer request is worth more than warming.
        while matches!(request, Request::Warm(..)) {
            match inbox.try_recv() {
                Ok(newer) => request = newer,
                Err(_) => break,
            }
        }
        match request {
            Request::Warm(scope, query) => {
                // What fails here fails again, and is reported, when a chunk reads it.
                let _ = reader.warm(&scope, &query);
            }
            Request::Read(scope, query, reply) => {
                let memories = reader.read(&scope, query);
                // The packs are let go of before the reply, so that who waits for it never waits for that.
                drop(scope);
                // If the receiver is gone, the answer ended first.
                let _ = reply.send(memories);
            }
        }
    }
}

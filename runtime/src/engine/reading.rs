//! What a chunk reads: retrieval and memories, at once or ahead of time on a second thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use mempack_format::Memory;
use mempack_model::{MemoryConfig, Slot};

use super::error::{AskError, SessionError};
use super::retriever::{Method, Retriever};
use crate::MemoryCache;

/// A memory that a chunk read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Read {
    /// Number of the reference in the pack.
    pub reference: u32,
    /// Its similarity to the chunk's query.
    pub similarity: f32,
    /// Whether its memory was decoded already when the chunk asked for it.
    pub cached: bool,
}

/// The memories of one chunk.
#[derive(Debug)]
pub(crate) struct Memories {
    pub(crate) query: String,
    pub(crate) reads: Vec<Read>,
    memories: Vec<Arc<Memory>>,
}

impl Memories {
    /// Memories that are there already, each with what was read of which reference.
    pub(crate) fn new(query: String, reads: Vec<Read>, memories: Vec<Arc<Memory>>) -> Self {
        Self { query, reads, memories }
    }

    pub(crate) fn slots(&self) -> Vec<Slot<'_>> {
        self.memories.iter().zip(&self.reads).map(|(memory, read)| Slot { memory, similarity: read.similarity }).collect()
    }
}

/// Everything that is needed to find and load the memories of a chunk.
pub(crate) struct Source {
    pub(crate) retriever: Retriever,
    pub(crate) cache: Arc<MemoryCache>,
    pub(crate) k: usize,
    /// Says how many of the hits are read.
    pub(crate) memory: MemoryConfig,
}

impl Source {
    fn share(&self) -> Self {
        Self { retriever: self.retriever.share(), cache: Arc::clone(&self.cache), k: self.k, memory: self.memory.clone() }
    }

    /// The memories that `query` retrieves: a function of the pack and the query alone.
    pub(crate) fn read(&self, query: String) -> Result<Memories, AskError> {
        let mut hits = self.retriever.retrieve(&query, self.k, Method::default())?;
        hits.truncate(self.memory.justified(hits.iter().map(|hit| hit.score)));
        let mut found = Memories { query, reads: Vec::with_capacity(hits.len()), memories: Vec::with_capacity(hits.len()) };
        for hit in hits {
            let fetched = self.cache.fetch(self.retriever.pack(), hit.reference)?;
            found.reads.push(Read { reference: hit.reference, similarity: hit.score, cached: fetched.cached });
            found.memories.push(fetched.memory);
        }
        Ok(found)
    }

    /// Decodes into the cache what `query` retrieves, and as much again: the real query will differ by its last words.
    fn warm(&self, query: &str) -> Result<(), AskError> {
        let hits = self.retriever.retrieve(query, 2 * self.k, Method::default())?;
        let references: Vec<u32> = hits.iter().map(|hit| hit.reference).collect();
        self.cache.prefetch(self.retriever.pack(), &references)?;
        Ok(())
    }
}

enum Job {
    Warm(String),
    Read(String, SyncSender<Result<Memories, AskError>>),
}

/// A thread that retrieves while the model decodes. It only ever changes when something happens, never what.
pub(crate) struct Prefetcher {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// Memories that are on their way.
pub(crate) struct Pending {
    query: String,
    reply: Option<Receiver<Result<Memories, AskError>>>,
}

impl Prefetcher {
    pub(crate) fn start(source: &Source) -> Result<Self, SessionError> {
        let (jobs, inbox) = channel();
        let source = source.share();
        let thread = std::thread::Builder::new().name("mempack-prefetch".into()).spawn(move || work(&source, &inbox));
        Ok(Self { jobs: Some(jobs), thread: Some(thread.map_err(SessionError::Thread)?) })
    }

    /// Has memories decoded that a later query will probably want.
    pub(crate) fn warm(&self, query: String) {
        // A thread that is gone has nothing to warm; the retrieval itself does not need it.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(Job::Warm(query)));
    }

    /// Begins to retrieve for `query`.
    pub(crate) fn begin(&self, query: String) -> Pending {
        let (reply, receiver) = sync_channel(1);
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(Job::Read(query.clone(), reply)).is_ok());
        Pending { query, reply: sent.then_some(receiver) }
    }
}

impl Pending {
    /// A retrieval that begins when it is awaited.
    pub(crate) fn later(query: String) -> Self {
        Self { query, reply: None }
    }

    /// Waits for the memories; retrieves them here if no thread does.
    pub(crate) fn wait(self, source: &Source) -> Result<Memories, AskError> {
        match self.reply.and_then(|reply| reply.recv().ok()) {
            Some(result) => result,
            None => source.read(self.query),
        }
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        // Without a sender the thread's loop ends.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(source: &Source, inbox: &Receiver<Job>) {
    while let Ok(mut job) = inbox.recv() {
        // Warming that a newer job has overtaken is not worth its time.
        while matches!(job, Job::Warm(_)) {
            match inbox.try_recv() {
                Ok(newer) => job = newer,
                Err(_) => break,
            }
        }
        match job {
            // What fails here fails again, and is reported, when a chunk reads it.
            Job::Warm(query) => drop(source.warm(&query)),
            // A receiver that is gone had its answer end first.
            Job::Read(query, reply) => drop(reply.send(source.read(query))),
        }
    }
}

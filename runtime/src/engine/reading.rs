//! What a chunk reads: retrieval and memories, at once or ahead of time on a second thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use mempack_format::Memory;
use mempack_model::{MemoryConfig, Slot};

use super::error::{AskError, RetrieveError, SessionError};
use super::retriever::Retriever;
use crate::{Citation, CiteError, Hit, MemoryCache, Method, Mounted, OnDamage, PackHit, PackSet, Skipped};

/// How many references that are damaged a chunk passes over, at most, to find others in their place.
const MOST_REPLACED: usize = 64;

/// A memory that a chunk read.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The pack, which stays mapped for as long as this is kept; `None` where the memory was given and not retrieved.
    pub pack: Option<Arc<Mounted>>,
    /// Number of the reference in the pack.
    pub reference: u32,
    /// Its similarity to the chunk's query.
    pub similarity: f32,
    /// Whether its memory was decoded already when the chunk asked for it.
    pub cached: bool,
}

impl Read {
    /// Text, document and span of the reference read, from the very pack that it was read from; `None` where the memory was given.
    ///
    /// # Errors
    /// If what the pack says of the reference is damaged.
    pub fn cite(&self, on_damage: OnDamage<'_>) -> Option<Result<Citation, CiteError>> {
        let hit = Hit { reference: self.reference, score: self.similarity };
        self.pack.as_ref().map(|pack| PackHit { pack: Arc::clone(pack), hit }.cite(on_damage))
    }
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

/// A memory, and what was read of which reference.
type Loaded = (Read, Arc<Memory>);

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

    /// The memories that `query` retrieves: a function of the packs and the query alone.
    ///
    /// Where damage is left out, the next similar references take the place of those that are damaged.
    pub(crate) fn read(&self, scope: &Scope, query: String) -> Result<Memories, AskError> {
        let vector = self.retriever.embed(&query)?;
        let mut damaged: Vec<PackHit> = Vec::new();
        loop {
            let mut hits = self.nearest(scope, &vector, self.k + damaged.len())?;
            hits.retain(|hit| !damaged.contains(hit));
            hits.truncate(self.k);
            hits.truncate(self.memory.justified(hits.iter().map(|hit| hit.hit.score)));
            let (found, missing) = self.fetch(scope, hits)?;
            if missing.is_empty() || damaged.len() >= MOST_REPLACED {
                let (reads, memories) = found.into_iter().unzip();
                return Ok(Memories { query, reads, memories });
            }
            damaged.extend(missing);
        }
    }

    /// The memories of hits, and those hits whose memories are damaged and left out.
    fn fetch(&self, scope: &Scope, hits: Vec<PackHit>) -> Result<(Vec<Loaded>, Vec<PackHit>), AskError> {
        let (mut found, mut missing) = (Vec::with_capacity(hits.len()), Vec::new());
        for PackHit { pack, hit } in hits {
            match self.cache.fetch_or_skip(pack.pack(), hit.reference, scope.on_damage())? {
                Some(fetched) => {
                    let read = Read { pack: Some(pack), reference: hit.reference, similarity: hit.score, cached: fetched.cached };
                    found.push((read, fetched.memory));
                }
                None => missing.push(PackHit { pack, hit }),
            }
        }
        Ok((found, missing))
    }

    fn nearest(&self, scope: &Scope, vector: &[f32], k: usize) -> Result<Vec<PackHit>, RetrieveError> {
        Ok(scope.packs.nearest(vector, k, Method::default(), scope.on_damage())?)
    }

    /// Decodes into the cache what `query` retrieves, and as much again: the real query will differ by its last words.
    fn warm(&self, scope: &Scope, query: &str) -> Result<(), AskError> {
        let hits = self.nearest(scope, &self.retriever.embed(query)?, 2 * self.k)?;
        for mounted in scope.packs.packs() {
            let own = hits.iter().filter(|hit| Arc::ptr_eq(&hit.pack, mounted));
            let references: Vec<u32> = own.map(|hit| hit.hit.reference).collect();
            self.cache.prefetch(mounted.pack(), &references)?;
        }
        Ok(())
    }
}

/// What one question sees from beginning to end, whatever is mounted meanwhile.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) packs: Arc<PackSet>,
    /// Where damage is counted; `None` if it is an error.
    pub(crate) skipped: Option<Arc<Skipped>>,
}

impl Scope {
    fn on_damage(&self) -> OnDamage<'_> {
        self.skipped.as_ref().map_or(OnDamage::Fail, |skipped| OnDamage::Skip(skipped))
    }
}

enum Job {
    Warm(Scope, String),
    Read(Scope, String, SyncSender<Result<Memories, AskError>>),
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
    pub(crate) fn warm(&self, scope: Scope, query: String) {
        // A thread that is gone has nothing to warm; the retrieval itself does not need it.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(Job::Warm(scope, query)));
    }

    /// Begins to retrieve for `query`.
    pub(crate) fn begin(&self, scope: Scope, query: String) -> Pending {
        let (reply, receiver) = sync_channel(1);
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(Job::Read(scope, query.clone(), reply)).is_ok());
        Pending { query, reply: sent.then_some(receiver) }
    }
}

impl Pending {
    /// A retrieval that begins when it is awaited.
    pub(crate) fn later(query: String) -> Self {
        Self { query, reply: None }
    }

    /// Waits for the memories; retrieves them here if no thread does.
    pub(crate) fn wait(self, source: &Source, scope: &Scope) -> Result<Memories, AskError> {
        match self.reply.and_then(|reply| reply.recv().ok()) {
            Some(result) => result,
            None => source.read(scope, self.query),
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
        while matches!(job, Job::Warm(..)) {
            match inbox.try_recv() {
                Ok(newer) => job = newer,
                Err(_) => break,
            }
        }
        match job {
            // What fails here fails again, and is reported, when a chunk reads it.
            Job::Warm(scope, query) => drop(source.warm(&scope, &query)),
            // A receiver that is gone had its answer end first.
            Job::Read(scope, query, reply) => {
                let memories = source.read(&scope, query);
                // Whoever has the memories need not wait for this thread to let go of the packs.
                drop(scope);
                drop(reply.send(memories));
            }
        }
    }
}

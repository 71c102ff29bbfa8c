//! What all requests share.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mempack_keys::audit::{AuditLog, Record};
use mempack_model::Model;
use mempack_runtime::MemoryCache;

use crate::catalog::Catalog;
use crate::engine::Engine;
use crate::fetch::Fetcher;
use crate::metrics::Metrics;
use crate::openai::request::Bounds;
use crate::searcher::Searcher;
use crate::shelf::Shelf;
use crate::spans::Spans;
use crate::who::Who;

/// What all requests share.
pub struct State {
    /// Decodes answers.
    pub engine: Engine,
    /// Embeds and searches.
    pub searcher: Searcher,
    /// The packs.
    pub catalog: Catalog,
    /// The folder of packs.
    pub shelf: Shelf,
    /// Fetches packs into it.
    pub fetcher: Fetcher,
    /// Who may do what.
    pub who: Who,
    /// Counts what happens.
    pub metrics: Metrics,
    /// The model, for its tokenizer.
    pub model: SharedModel,
    /// The embedder.
    pub embedder: EmbedderInfo,
    /// The cache of memories.
    pub cache: Arc<MemoryCache>,
    /// What a request may ask for.
    pub bounds: Bounds,
    /// What a request may take.
    pub limits: Limits,
    /// Sends spans, if a collector is named.
    pub spans: Option<Spans>,
    /// The audit log.
    pub audit: Option<AuditLog>,
    /// Whether the folder of packs has been looked at, so that questions are answered.
    pub ready: AtomicBool,
    /// When the server started, in seconds since 1970.
    pub started: u64,
}

impl State {
    /// Writes a line of the audit log, if there is one.
    pub fn audit(&self, record: &Record) {
        if let Some(log) = &self.audit {
            log.record(record);
        }
    }
}

/// The embedder that is served.
#[derive(Clone, Debug)]
pub struct EmbedderInfo {
    /// Its name.
    pub name: String,
    /// Its number of dimensions.
    pub dim: usize,
}

/// What a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of a body.
    pub body: usize,
    /// The time in which a request must arrive.
    pub receive: Duration,
    /// The time in which its answer must be complete.
    pub answer: Duration,
    /// Whether requests may use a reranker: whether there is one.
    pub reranker: bool,
    /// Whether searches leave out what is damaged.
    pub skip_damaged: bool,
    /// Most texts that are embedded at once.
    pub embeddings: usize,
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The model that answers, for its tokenizer.
pub struct SharedModel {
    name: String,
    model: Mutex<Model>,
}

impl SharedModel {
    /// Shares a model under a name.
    pub fn new(name: String, model: Model) -> Self {
        Self { name, model: Mutex::new(model) }
    }

    /// The name under which it is served.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The model. It must not be held while something is awaited.
    pub fn get(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

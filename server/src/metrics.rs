//! What happens, in numbers: the text format of Prometheus.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mempack_runtime::{Answer, CacheStatistics, PackSet};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::engine::Load;
use crate::who::Caller;

/// Counts for everybody, and for each key by itself: a key sees its own alone.
pub struct Metrics {
    all: Counts,
    keys: Mutex<HashMap<String, Arc<Counts>>>,
    /// Damage that ended answers.
    damage: Counter,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ending {
    endpoint: &'static str,
    outcome: &'static str,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Endpoint {
    endpoint: &'static str,
}

/// 1 ms to 65 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

/// What is counted of requests.
#[derive(Clone)]
struct Counts {
    requests: Family<Ending, Counter>,
    first_token: Histogram,
    next_token: Histogram,
    duration: Family<Endpoint, Histogram, fn() -> Histogram>,
    prompt_tokens: Counter,
    reused_tokens: Counter,
    answer_tokens: Counter,
    memories: Counter,
    cached_memories: Counter,
}

impl Counts {
    fn new() -> Self {
        // 0.25 ms to 4 s.
        let fractions = Histogram::new(exponential_buckets(0.000_25, 2.0, 15));
        Self {
            requests: Family::default(),
            first_token: seconds(),
            next_token: fractions,
            duration: Family::new_with_constructor(seconds),
            prompt_tokens: Counter::default(),
            reused_tokens: Counter::default(),
            answer_tokens: Counter::default(),
            memories: Counter::default(),
            cached_memories: Counter::default(),
        }
    }

    fn register(&self, registry: &mut Registry) {
        let Self { requests, first_token, next_token, duration, prompt_tokens, reused_tokens, answer_tokens, memories, cached_memories } =
            self;
        registry.register("requests", "Requests by endpoint and outcome", requests.clone());
        registry.register_with_unit(
            "time_to_first_token",
            "From a request to the first text of its answer",
            Unit::Seconds,
            first_token.clone(),
        );
        registry.register_with_unit("time_between_tokens", "Between texts of an answer", Unit::Seconds, next_token.clone());
        registry.register_with_unit(
            "request_duration",
            "From a request to the end of its reply, by endpoint",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register("prompt_tokens", "Tokens of prompts", prompt_tokens.clone());
        registry.register("reused_tokens", "Tokens of prompts whose keys and values were there already", reused_tokens.clone());
        registry.register("answer_tokens", "Tokens of answers", answer_tokens.clone());
        registry.register("memories_read", "Memories that chunks read", memories.clone());
        registry.register("memories_cached", "Memories that chunks read and that were in the cache", cached_memories.clone());
    }
}

/// What is read when metrics are shown.
pub struct Present<'a> {
    /// The engine's load.
    pub load: &'a Load,
    /// The cache of memories.
    pub cache: CacheStatistics,
    /// The packs that are mounted.
    pub packs: &'a PackSet,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { all: Counts::new(), keys: Mutex::default(), damage: Counter::default() }
    }
}

impl Metrics {
    /// The counts of a caller's key.
    fn of(&self, caller: &Caller) -> Arc<Counts> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(keys.entry(caller.access.name.clone()).or_insert_with(|| Arc::new(Counts::new())))
    }

    fn count(&self, caller: &Caller, count: impl Fn(&Counts)) {
        count(&self.all);
        count(&self.of(caller));
    }

    /// The first text of an answer came.
    pub fn first_token(&self, caller: &Caller, after: Duration) {
        self.count(caller, |counts| counts.first_token.observe(after.as_secs_f64()));
    }

    /// A further text of an answer came.
    pub fn next_token(&self, caller: &Caller, after: Duration) {
        self.count(caller, |counts| counts.next_token.observe(after.as_secs_f64()));
    }

    /// An answer is complete.
    pub fn answered(&self, caller: &Caller, answer: &Answer) {
        let reads = || answer.chunks.iter().flat_map(|chunk| &chunk.reads);
        let (read, cached) = (reads().count() as u64, reads().filter(|read| read.cached).count() as u64);
        self.count(caller, |counts| {
            counts.prompt_tokens.inc_by(answer.prompt_tokens as u64);
            counts.reused_tokens.inc_by(answer.reused_tokens as u64);
            counts.answer_tokens.inc_by(answer.tokens.len() as u64);
            counts.memories.inc_by(read);
            counts.cached_memories.inc_by(cached);
        });
    }

    /// Damage ended an answer.
    pub fn damage(&self) {
        self.damage.inc();
    }

    /// A request without a valid key was refused.
    pub fn refused(&self, endpoint: &'static str, outcome: &'static str) {
        self.all.requests.get_or_create(&Ending { endpoint, outcome }).inc();
    }

    /// A request ended.
    pub fn ended(&self, caller: &Caller, endpoint: &'static str, outcome: &'static str, total: Duration) {
        self.count(caller, |counts| {
            counts.requests.get_or_create(&Ending { endpoint, outcome }).inc();
            counts.duration.get_or_create(&Endpoint { endpoint }).observe(total.as_secs_f64());
        });
    }

    /// The metrics that an administrator sees: everything.
    pub fn all(&self, present: &Present<'_>) -> String {
        let mut registry = Registry::with_prefix("mempack");
        self.all.register(&mut registry);
        registry.register("damage", "Answers that damaged packs ended", self.damage.clone());
        let gauge = |registry: &mut Registry, name: &str, help: &str, value: f64| {
            let gauge = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        };
        use std::sync::atomic::Ordering::Relaxed;
        let Present { load, cache, packs } = present;
        gauge(&mut registry, "running", "Answers that are decoded", load.running.load(Relaxed) as f64);
        gauge(&mut registry, "waiting", "Questions that wait for a place", load.waiting.load(Relaxed) as f64);
        gauge(&mut registry, "batch_bytes", "Bytes of keys and values of answers", load.bytes.load(Relaxed) as f64);
        gauge(&mut registry, "cache_bytes", "Bytes of decoded memories in the cache", cache.bytes as f64);
        gauge(&mut registry, "cache_memories", "Decoded memories in the cache", cache.memories as f64);
        gauge(&mut registry, "packs_mounted", "Packs that are mounted", packs.packs().len() as f64);
        let counter = |registry: &mut Registry, name: &str, help: &str, value: u64| {
            let counter = Counter::<u64>::default();
            counter.inc_by(value);
            registry.register(name, help, counter);
        };
        counter(&mut registry, "steps", "Steps of the engine", load.steps.load(Relaxed));
        counter(
            &mut registry,
            "step_answers",
            "Answers that steps went on with; divided by the steps, the size of a batch",
            load.rows.load(Relaxed),
        );
        counter(&mut registry, "engine_failures", "Times that the engine failed and began again", load.failures.load(Relaxed));
        counter(&mut registry, "cache_hits", "Memories that were in the cache", cache.hits);
        counter(&mut registry, "cache_misses", "Memories that had to be decoded", cache.misses);
        text(&registry)
    }

    /// The metrics that a key sees: those of its own requests.
    pub fn own(&self, caller: &Caller) -> String {
        let mut registry = Registry::with_prefix("mempack");
        self.of(caller).register(&mut registry);
        text(&registry)
    }
}

fn text(registry: &Registry) -> String {
    let mut text = String::new();
    if let Err(error) = encode(&mut text, registry) {
        tracing::error!(%error, "metrics cannot be written");
    }
    text
}

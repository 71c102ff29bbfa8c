//! The codec of a build: its sample, its training, and how well it fits.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mempack_format::Digest;
use mempack_model::{Embedder, Model};

use crate::builder::check;
use crate::codec::{self, Encoder, SampleStore, TrainError, TrainOptions, memory_bytes};
use crate::drift::Fit;
use crate::kept::Keeper;
use crate::older::{Index, Older};
use crate::pipeline::{Advance, Batch, BatchRule, Flow, Item, Task, in_order};
use crate::progress::Stages;
use crate::scratch::CandidateReader;
use crate::slots::Slots;
use crate::work::SampleWork;
use crate::{BuildError, BuildOptions, Progress, Stage};

/// Tokens of a batch, with padding: enough for products of matrices to be worth their call.
const BATCH_TOKENS: usize = 2048;
/// Most references sorted by length together.
const MOST_WINDOW: usize = 512;
/// Records of a window, unless a few have more.
const WINDOW_BYTES: usize = 64 << 20;
/// Random numbers of the codec's training follow from this.
const TRAINING_SEED: u64 = 0;

/// What every pass over the references needs.
pub(crate) struct Job<'a> {
    pub model: &'a Model,
    pub embedder: &'a Embedder,
    pub options: &'a BuildOptions,
    pub progress: &'a dyn Progress,
    pub cancel: &'a AtomicBool,
    pub keeper: &'a Keeper<'a>,
    /// Of the model and its precision.
    pub identity: Digest,
}

/// The memories of some references.
pub(crate) struct Sampled {
    pub store: SampleStore,
    /// The references by name, in the order of the store.
    pub names: Vec<u64>,
    /// Their numbers in the older pack, where they are sampled from what is taken over.
    pub taken: Vec<u32>,
    /// Whether codebooks may have been trained on some of those.
    pub trained_on: bool,
    /// Of their keys, in order.
    pub digest: Digest,
    /// How long threads worked on them.
    pub time: Duration,
}

impl Job<'_> {
    /// The memories of references named in ascending order, without those that would not be taken over if there is a pack to take from;
    /// none if nothing is named.
    pub fn sample(
        &self,
        names: Vec<u64>,
        taken: Option<&Index<'_>>,
        candidates: &mut CandidateReader,
        stages: &mut Stages<'_>,
    ) -> Result<Option<Sampled>, BuildError> {
        if names.is_empty() {
            return Ok(None);
        }
        let shape = self.model.identity().shape;
        let total = names.len() as u64;
        stages.begin(Stage::Sampling, Some(total));
        self.keeper.begin("references of the codec's sample", taken.is_none().then_some(total));
        let slots = self.keeper.sample(self.named("sample", &[]), memory_bytes(shape))?;
        let mut flow = SampleFlow {
            job: self,
            names: names.into_iter(),
            index: taken,
            candidates,
            slots: &slots,
            hasher: blake3::Hasher::new(),
            chosen: Vec::new(),
            taken: Vec::new(),
            trained_on: false,
            time: Duration::ZERO,
            buffer: Vec::new(),
        };
        let workers = (0..self.options.threads).map(|_| SampleWork { model: self.model.share(), slots: &slots }).collect();
        // A memory held here has four bytes a float, whatever the codec makes of it later.
        in_order(workers, self.rule(8 * shape.floats()), self.cancel, &mut flow)?;
        let SampleFlow { hasher, chosen, taken, trained_on, time, .. } = flow;
        let store = SampleStore::over(&slots, shape, chosen.len() as u64);
        Ok(Some(Sampled { store, names: chosen, taken, trained_on, digest: hasher.finalize().into(), time }))
    }

    /// The codec's parameters.
    pub fn train(&self, sampled: &Option<Sampled>, references: u64, stages: &mut Stages<'_>) -> Result<Vec<u8>, BuildError> {
        let Some(Sampled { store, digest, .. }) = sampled else {
            // The parameters of a codec without tables: no groups (SPEC 9).
            return Ok(0u32.to_le_bytes().to_vec());
        };
        let spec = &self.options.codec;
        stages.begin(Stage::Training, Some(store.len()));
        let numbers = [TRAINING_SEED, references].map(u64::to_le_bytes).concat();
        let identity = self.named("codec", &[&digest.0, spec.to_string().as_bytes(), &numbers]);
        if let Some(parameters) = self.keeper.parameters(&identity)? {
            self.progress.advance(store.len(), 0);
            return Ok(parameters);
        }
        let told = Mutex::new(0);
        let tell = |done: usize, all: usize| {
            let now = store.len() * done as u64 / all.max(1) as u64;
            let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            self.progress.advance(now.saturating_sub(*told), 0);
            *told = now.max(*told);
            if check(self.cancel).is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let options = TrainOptions { seed: TRAINING_SEED, threads: self.options.threads, references };
        let parameters = codec::train(spec, store, &options, &tell).map_err(|source| match source {
            TrainError::Interrupted => BuildError::Interrupted,
            source => BuildError::Train { spec: spec.to_string(), source },
        })?;
        self.keeper.keep_parameters(&identity, &parameters)?;
        Ok(parameters)
    }

    /// What the older pack's records lose of memories that were computed again.
    pub fn fit_of_taken(&self, sampled: &Option<Sampled>, older: &Older, encoder: &Encoder) -> Result<Fit, BuildError> {
        let mut fit = Fit::default();
        let Some(sampled) = sampled else { return Ok(fit) };
        for (reference, index) in sampled.taken.iter().zip(0..) {
            let memory = sampled.store.memory(index)?;
            let lost = Fit::of(encoder, &memory, older.record(*reference)?);
            fit.add(&lost.map_err(|source| BuildError::Codec { spec: self.options.codec.to_string(), source })?);
        }
        Ok(fit)
    }

    /// The identity of work that depends on the model and `parts`.
    pub fn named(&self, what: &str, parts: &[&[u8]]) -> Digest {
        let mut hasher = blake3::Hasher::new();
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        for part in [what.as_bytes(), version, &self.identity.0].iter().chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.finalize().into()
    }

    /// Batches of references whose outputs take so many bytes each.
    pub fn rule(&self, bytes: usize) -> BatchRule {
        let window = (WINDOW_BYTES / bytes.max(1)).clamp(16, MOST_WINDOW);
        BatchRule { window, tokens: BATCH_TOKENS, prefix: self.model.identity().prefix_ids.len() }
    }
}

struct SampleFlow<'a> {
    job: &'a Job<'a>,
    names: std::vec::IntoIter<u64>,
    index: Option<&'a Index<'a>>,
    candidates: &'a mut CandidateReader,
    slots: &'a Slots,
    hasher: blake3::Hasher,
    chosen: Vec<u64>,
    taken: Vec<u32>,
    trained_on: bool,
    time: Duration,
    buffer: Vec<u8>,
}

impl Flow for SampleFlow<'_> {
    type Known = ();
    type Meta = ();
    type Output = ();

    fn next(&mut self) -> Result<Option<Item<(), ()>>, BuildError> {
        for name in self.names.by_ref() {
            let candidate = self.candidates.read(name)?;
            if let Some(index) = self.index {
                let Some(reference) = index.find(&candidate.key) else { continue };
                self.taken.push(reference);
                self.trained_on |= index.rank(&candidate.key) < self.job.options.sample;
            }
            self.hasher.update(&candidate.key.0);
            let number = self.chosen.len() as u64;
            self.chosen.push(name);
            let (key, ids) = (candidate.key, candidate.ids);
            return Ok(Some(Item::Task(Task { number, key, ids, text: String::new(), sampled: None, embedded: None }, ())));
        }
        Ok(None)
    }

    fn find(&mut self, batch: &Batch) -> Result<Option<Vec<()>>, BuildError> {
        for (task, stamp) in batch.stamped() {
            if !self.slots.get(task.number, stamp, &mut self.buffer)? {
                return Ok(None);
            }
        }
        Ok(Some(vec![(); batch.tasks.len()]))
    }

    fn advance(&mut self, done: Advance) {
        self.job.progress.advance(done.references, done.tokens);
        self.job.keeper.advance(done.references);
        self.time += done.time.unwrap_or_default();
    }

    fn take(&mut self, (): ()) -> Result<(), BuildError> {
        Ok(())
    }

    fn put(&mut self, (): (), (): ()) -> Result<(), BuildError> {
        Ok(())
    }
}

//! The codec of a build: its sample and its training.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use mempack_format::Digest;
use mempack_model::{Embedder, Model, Sensitivity, reference_text};

use crate::builder::{check, trains};
use crate::choice::Chosen;
use crate::codec::{self, Encoder, SampleStore, TrainError, TrainOptions, memory_bytes};
use crate::kept::Keeper;
use crate::older::Index;
use crate::pipeline::{Advance, Batch, BatchRule, Flow, Item, Task, in_order};
use crate::probes::SampledText;
use crate::progress::Stages;
use crate::quality::Held;
use crate::scratch::{Candidate, CandidateReader};
use crate::sense::SENSED;
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
#[derive(Clone, Copy)]
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
    /// The first of them: those to train on.
    pub training: SampleStore,
    /// Their numbers in the store, by the names of the references.
    pub numbers: HashMap<u64, u64>,
    /// Texts of some of those, [`SENSED`] at most.
    pub sensed: Vec<SampledText>,
    /// What [`Job::sensitivity`] made of these.
    pub sensitivity: OnceLock<Option<Sensitivity>>,
    /// The others, to measure on.
    pub held: Vec<Held>,
    /// Of their keys, in order.
    pub digest: Digest,
    /// How long threads worked on them.
    pub time: Duration,
}

impl Job<'_> {
    /// The memories of the references chosen, those to train on first; none if none is.
    pub fn sample(
        &self,
        chosen: Chosen,
        taken: Option<&Index<'_>>,
        candidates: &mut CandidateReader,
        stages: &mut Stages<'_>,
    ) -> Result<Option<Sampled>, BuildError> {
        let (training, names) = (chosen.train.len() as u64, [chosen.train, chosen.held].concat());
        if names.is_empty() {
            return Ok(None);
        }
        let shape = self.model.identity().shape;
        let numbers = names.iter().copied().zip(0..).collect();
        let total = names.len() as u64;
        stages.begin(Stage::Sampling, Some(total));
        self.keeper.begin("references of the codec's sample", Some(total));
        let slots = self.keeper.sample(self.named("sample", &[]), memory_bytes(shape))?;
        let mut flow = SampleFlow {
            job: self,
            names: (0..).zip(names),
            training,
            index: taken,
            candidates,
            slots: &slots,
            hasher: blake3::Hasher::new(),
            sensed: Vec::new(),
            held: Vec::new(),
            time: Duration::ZERO,
            buffer: Vec::new(),
        };
        let workers = (0..self.options.threads).map(|_| SampleWork { model: self.model.share(), slots: &slots }).collect();
        // A memory held here has four bytes a float, whatever the codec makes of it later.
        in_order(workers, self.rule(8 * shape.floats()), self.cancel, &mut flow)?;
        let SampleFlow { hasher, sensed, held, time, .. } = flow;
        let over = |memories| SampleStore::over(&slots, shape, memories);
        Ok(Some(Sampled {
            store: over(total),
            training: over(training),
            numbers,
            sensed,
            sensitivity: OnceLock::new(),
            held,
            digest: hasher.finalize().into(),
            time,
        }))
    }

    /// The codec's parameters.
    pub fn train(&self, sampled: &Option<Sampled>, references: u64, stages: &mut Stages<'_>) -> Result<Vec<u8>, BuildError> {
        let spec = &self.options.codec;
        let Some(sampled) = sampled.as_ref().filter(|_| trains(spec)) else {
            // The parameters of a codec without tables: no groups (SPEC 9).
            return Ok(0u32.to_le_bytes().to_vec());
        };
        let store = &sampled.training;
        let numbers = [TRAINING_SEED, references].map(u64::to_le_bytes).concat();
        let identity = self.named("codec", &[&sampled.digest.0, spec.to_string().as_bytes(), &numbers]);
        if let Some(parameters) = self.keeper.parameters(&identity)? {
            stages.begin(Stage::Training, Some(store.len()));
            self.progress.advance(store.len(), 0);
            return Ok(parameters);
        }
        let sensitivity = if codec::uses_sensitivity(spec) { self.sensitivity(sampled, stages)? } else { None };
        stages.begin(Stage::Training, Some(store.len()));
        let told = Mutex::new(0);
        let tell = |done: usize, all: usize| {
            let now = store.len() * done as u64 / all.max(1) as u64;
            let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            self.progress.advance(now.saturating_sub(*told), 0);
            *told = now.max(*told);
            if check(self.cancel).is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let options = TrainOptions { seed: TRAINING_SEED, threads: self.options.threads, references, sensitivity };
        let parameters = codec::train(spec, store, &options, &tell).map_err(|source| match source {
            TrainError::Interrupted => BuildError::Interrupted,
            source => BuildError::Train { spec: spec.to_string(), source },
        })?;
        self.keeper.keep_parameters(&identity, &parameters)?;
        Ok(parameters)
    }

    /// What encodes with the codec's parameters.
    pub fn encoder(&self, parameters: &[u8]) -> Result<Encoder, BuildError> {
        let spec = &self.options.codec;
        Encoder::new(spec, self.model.identity().shape, parameters).map_err(|source| BuildError::Codec { spec: spec.to_string(), source })
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
    names: std::iter::Zip<std::ops::RangeFrom<u64>, std::vec::IntoIter<u64>>,
    /// How many of them are to train on: the first.
    training: u64,
    index: Option<&'a Index<'a>>,
    candidates: &'a mut CandidateReader,
    slots: &'a Slots,
    hasher: blake3::Hasher,
    sensed: Vec<SampledText>,
    held: Vec<Held>,
    time: Duration,
    buffer: Vec<u8>,
}

impl Flow for SampleFlow<'_> {
    type Known = ();
    type Meta = ();
    type Output = ();

    fn next(&mut self) -> Result<Option<Item<(), ()>>, BuildError> {
        let Some((number, name)) = self.names.next() else { return Ok(None) };
        let Candidate { key, ids, lead, text } = self.candidates.read(name)?;
        self.hasher.update(&key.0);
        let text = || SampledText { number, ids: ids.clone(), text: reference_text(&lead, &text).into_owned() };
        if number < self.training {
            // Spread evenly over the corpus.
            if number * SENSED as u64 % self.training < SENSED as u64 {
                self.sensed.push(text());
            }
        } else {
            let text = text();
            let taken = self.index.and_then(|index| index.find(&key));
            let trained_on = taken.is_some() && self.index.is_some_and(|index| index.trained_on(&key, self.job.options.sample));
            self.held.push(Held { text, key, taken, trained_on });
        }
        Ok(Some(Item::Task(Task { number, key, ids, text: String::new(), sampled: None, embedded: None }, ())))
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

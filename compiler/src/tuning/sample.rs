//! The sample of a build: memories that its codec is trained on, and others that it is measured on.

use std::collections::HashMap;
use std::iter::Zip;
use std::ops::RangeFrom;
use std::sync::OnceLock;
use std::time::Duration;
use std::vec::IntoIter;

use mempack_corpus::reference_text;
use mempack_format::Digest;
use mempack_model::{MAX_PROBES, Model, Sensitivity};

use super::selection::Selection;
use crate::codec::{SampleStore, memory_bytes, put_memory};
use crate::context::BuildContext;
use crate::pipeline::{BatchProgress, Flow, Item, Task, TaskBatch, Work, in_order};
use crate::previous::PreviousIndex;
use crate::progress::Stages;
use crate::scratch::{Candidate, CandidateReader};
use crate::slots::Slots;
use crate::{BuildError, Stage};

/// Maximum number of training texts that are predicted or read to measure the model's sensitivity.
pub const MAX_SENSITIVITY_TEXTS: usize = 2 * MAX_PROBES;

/// The memories of the selected references.
pub(crate) struct Sample {
    pub store: SampleStore,
    /// The first memories of the store: those to train on.
    pub training: SampleStore,
    /// Indices into the store, by the names of the references.
    pub indices: HashMap<u64, u64>,
    /// Some of the texts to train on, spread evenly over the corpus.
    pub sensitivity_texts: Vec<SampledText>,
    /// What [`sensitivity::of_sample`](super::sensitivity::of_sample) measured on these, once it was asked for.
    pub sensitivity: OnceLock<Option<Sensitivity>>,
    /// The references to measure on.
    pub held_out: Vec<HeldOut>,
    /// Digest of all keys, in order.
    pub digest: Digest,
    /// How long threads worked on the sample, summed over threads.
    pub time: Duration,
}

/// A reference of the sample, to be predicted and to be read.
pub(crate) struct SampledText {
    /// Its index in the store.
    pub index: u64,
    /// What the model reads.
    pub ids: Vec<u32>,
    /// What the embedder reads.
    pub text: String,
}

/// A reference of the sample that is held out.
pub(crate) struct HeldOut {
    pub text: SampledText,
    pub key: Digest,
    /// Its number in the previous pack, if its record is taken from there.
    pub taken: Option<u32>,
    /// Whether the codec may have been trained on it.
    pub trained_on: bool,
}

/// Writes the memories of the selected references, those to train on first. `None` if nothing is selected.
pub(crate) fn write(
    context: &BuildContext<'_>,
    selection: Selection,
    taken: Option<&PreviousIndex<'_>>,
    candidates: &mut CandidateReader,
    stages: &mut Stages<'_>,
) -> Result<Option<Sample>, BuildError> {
    let (training, names) = (selection.train.len() as u64, [selection.train, selection.held_out].concat());
    if names.is_empty() {
        return Ok(None);
    }
    let shape = &context.model.identity().shape;
    let indices = names.iter().copied().zip(0..).collect();
    let total = names.len() as u64;
    stages.begin(Stage::Sampling, Some(total));
    context.work_files.begin("references of the codec's sample", Some(total));
    let slots = context.work_files.sample(context.work_identity("sample", &[]), memory_bytes(shape))?;
    let mut flow = SampleFlow {
        context,
        names: (0..).zip(names),
        training,
        previous: taken,
        candidates,
        slots: &slots,
        hasher: blake3::Hasher::new(),
        sensitivity_texts: Vec::new(),
        held_out: Vec::new(),
        time: Duration::ZERO,
        buffer: Vec::new(),
    };
    let workers = (0..context.options.threads).map(|_| SampleWork { model: context.model.share(), slots: &slots }).collect();
    // A memory in the sample has four bytes a float, whatever codec encodes it later.
    in_order(workers, context.batch_rule(8 * shape.floats()), context.cancel, &mut flow)?;
    let SampleFlow { hasher, sensitivity_texts, held_out, time, .. } = flow;
    let over = |memories| SampleStore::over(&slots, shape.clone(), memories);
    Ok(Some(Sample {
        store: over(total),
        training: over(training),
        indices,
        sensitivity_texts,
        sensitivity: OnceLock::new(),
        held_out,
        digest: hasher.finalize().into(),
        time,
    }))
}

/// Writes memories into slots.
struct SampleWork<'a> {
    model: Model,
    slots: &'a Slots,
}

impl Work for SampleWork<'_> {
    type Output = ();

    fn run(&mut self, batch: &TaskBatch) -> Result<Vec<()>, BuildError> {
        mempack_model::set_threads(1);
        let ids: Vec<&[u32]> = batch.tasks.iter().map(|task| task.ids.as_slice()).collect();
        for ((task, stamp), memory) in batch.stamped().zip(self.model.write(&ids)?) {
            let mut payload = Vec::new();
            put_memory(&memory, &mut payload);
            self.slots.put(task.number, stamp, payload)?;
        }
        Ok(vec![(); batch.tasks.len()])
    }
}

struct SampleFlow<'a> {
    context: &'a BuildContext<'a>,
    /// Index and name of each reference that is left.
    names: Zip<RangeFrom<u64>, IntoIter<u64>>,
    /// How many of them, the first, are to train on.
    training: u64,
    previous: Option<&'a PreviousIndex<'a>>,
    candidates: &'a mut CandidateReader,
    slots: &'a Slots,
    hasher: blake3::Hasher,
    sensitivity_texts: Vec<SampledText>,
    held_out: Vec<HeldOut>,
    time: Duration,
    buffer: Vec<u8>,
}

impl Flow for SampleFlow<'_> {
    type Known = ();
    type Meta = ();
    type Output = ();

    fn next(&mut self) -> Result<Option<Item<(), ()>>, BuildError> {
        let Some((index, name)) = self.names.next() else { return Ok(None) };
        let Candidate { key, ids, lead, text } = self.candidates.read(name)?;
        self.hasher.update(&key.0);
        let text = || SampledText { index, ids: ids.clone(), text: reference_text(&lead, &text).into_owned() };
        if index < self.training {
            let max = MAX_SENSITIVITY_TEXTS as u64;
            if index * max % self.training < max {
                self.sensitivity_texts.push(text());
            }
        } else {
            let text = text();
            let taken = self.previous.and_then(|previous| previous.find(&key));
            let may_be_trained_on = |previous: &PreviousIndex<'_>| previous.trained_on(&key, self.context.options.sample);
            let trained_on = taken.is_some() && self.previous.is_some_and(may_be_trained_on);
            self.held_out.push(HeldOut { text, key, taken, trained_on });
        }
        Ok(Some(Item::Task(Task { number: index, key, ids, text: String::new(), sampled: None, embedded: None }, ())))
    }

    fn find(&mut self, batch: &TaskBatch) -> Result<Option<Vec<()>>, BuildError> {
        for (task, stamp) in batch.stamped() {
            if !self.slots.get(task.number, stamp, &mut self.buffer)? {
                return Ok(None);
            }
        }
        Ok(Some(vec![(); batch.tasks.len()]))
    }

    fn advance(&mut self, done: BatchProgress) {
        self.context.progress.advance(done.references, done.tokens);
        self.context.work_files.advance(done.references);
        self.time += done.time.unwrap_or_default();
    }

    fn take(&mut self, (): ()) -> Result<(), BuildError> {
        Ok(())
    }

    fn put(&mut self, (): (), (): ()) -> Result<(), BuildError> {
        Ok(())
    }
}

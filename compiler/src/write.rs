//! The pass that writes the memory of every reference: from a source, through the pipeline, into a sink.

use std::time::Duration;

use mempack_corpus::reference_text;
use mempack_format::{Digest, Memory};
use mempack_model::{EmbedAs, Embedder, Model};

use crate::BuildError;
use crate::codec::{Encoder, SampleStore};
use crate::context::BuildContext;
use crate::dedup::{Occurrence, References};
use crate::pipeline::{BatchProgress, Flow, Item, Task, TaskBatch, Work, in_order};
use crate::previous::{PreviousIndex, PreviousPack};
use crate::scratch::{Candidate, CandidateReader};
use crate::sink::{ReferenceMeta, ReferenceSink};
use crate::slots::Slots;
use crate::tuning::sample::Sample;

/// A reference whose memory is to be written.
pub(crate) struct SourceReference {
    /// Its name in the codec's sample of this build; `None` where there is no sample.
    pub name: Option<u64>,
    pub candidate: Candidate,
    /// Where it was found; empty if the sink needs none.
    pub occurrences: Vec<Occurrence>,
}

/// Gives references in their order.
pub(crate) trait ReferenceSource {
    /// How many there are in all.
    fn count(&self) -> u64;
    /// The next one; `None` after the last.
    fn next(&mut self) -> Result<Option<SourceReference>, BuildError>;
}

/// The references of a corpus that was just read.
pub(crate) struct CorpusReferences {
    pub references: References,
    pub candidates: CandidateReader,
}

impl ReferenceSource for CorpusReferences {
    fn count(&self) -> u64 {
        self.references.count
    }

    fn next(&mut self) -> Result<Option<SourceReference>, BuildError> {
        let Some(unique) = self.references.next()? else { return Ok(None) };
        let candidate = self.candidates.read(unique.name)?;
        Ok(Some(SourceReference { name: Some(unique.name), candidate, occurrences: unique.occurrences }))
    }
}

/// Where references come from, and where they go.
pub(crate) struct WritePass<'a, R, S> {
    pub source: R,
    pub sink: &'a mut S,
    pub encoder: &'a Encoder,
    /// The previous pack, if records and embeddings are taken from it.
    pub taken: Option<&'a PreviousIndex<'a>>,
    /// The previous pack, if only embeddings are taken from it.
    pub embedded: Option<&'a PreviousIndex<'a>>,
}

/// What was written.
#[derive(Default)]
pub(crate) struct WriteTotals {
    /// References whose memories were computed.
    pub encoded: u64,
    /// References that an interrupted run of this build had computed.
    pub resumed: u64,
    /// References taken from the previous pack.
    pub taken: u64,
    /// Tokens of all references.
    pub tokens: u64,
    /// How long threads worked, summed over threads.
    pub time: Duration,
}

impl<R: ReferenceSource, S: ReferenceSink> WritePass<'_, R, S> {
    /// Gives the sink every reference with its memory record and its embedding.
    pub fn run(self, context: &BuildContext<'_>, sample: Option<&Sample>, parameters: &[u8]) -> Result<WriteTotals, BuildError> {
        let embedder = context.embedder.identity();
        let codec = self.encoder.codec();
        let total = self.taken.is_none().then_some(self.source.count());
        context.work_files.begin(if total.is_some() { "references" } else { "new references" }, total);
        let previous = context.options.from.as_deref();
        let identity = context.work_identity(
            "records",
            &[
                &embedder.digest.0,
                &[embedder.dim, embedder.max_tokens].map(u32::to_le_bytes).concat(),
                embedder.metric.as_bytes(),
                codec.spec().to_string().as_bytes(),
                &Digest::of(parameters).0,
                sample.map_or(&[], |sample| &sample.digest.0),
                previous.map(|previous| previous.id().0.0).as_ref().map_or(&[], |id| id),
                &[context.options.retrain_codec.into()],
            ],
        );
        let stride = codec.stride();
        let slots = context.work_files.records(identity, WrittenReference::bytes(stride, context.embedder.dim()))?;
        let worker = |_| WriteWork {
            model: context.model.share(),
            embedder: context.embedder.share(),
            encoder: self.encoder,
            sample: sample.map(|sample| &sample.store),
            slots: &slots,
            previous,
        };
        let workers = (0..context.options.threads).map(worker).collect();
        let totals = WriteTotals::default();
        let mut flow = WriteFlow { context, pass: self, sample, slots: &slots, number: 0, totals, buffer: Vec::new() };
        in_order(workers, context.batch_rule(stride), context.cancel, &mut flow)?;
        Ok(flow.totals)
    }
}

/// Writes memories, encodes them and embeds texts. Each output is in its slot before the pipeline counts it as done.
struct WriteWork<'a> {
    model: Model,
    embedder: Embedder,
    encoder: &'a Encoder,
    sample: Option<&'a SampleStore>,
    slots: &'a Slots,
    previous: Option<&'a PreviousPack>,
}

/// The memory and the embedding of a reference, as they go into a pack.
pub(crate) struct WrittenReference {
    /// The memory record, encoded.
    pub record: Vec<u8>,
    /// A unit vector.
    pub embedding: Vec<f32>,
}

/// Appends a record and an embedding as slots and shards hold them: the record, then the embedding's numbers.
pub(crate) fn put_payload(record: &[u8], embedding: &[f32], out: &mut Vec<u8>) {
    out.extend(record);
    embedding.iter().for_each(|x| out.extend(x.to_le_bytes()));
}

impl WrittenReference {
    /// Bytes of a payload.
    pub fn bytes(stride: usize, dim: usize) -> usize {
        stride + 4 * dim
    }

    fn payload(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::bytes(self.record.len(), self.embedding.len()));
        put_payload(&self.record, &self.embedding, &mut bytes);
        bytes
    }

    /// The inverse of [`put_payload`], for records of `stride` bytes.
    pub fn from_payload(payload: &[u8], stride: usize) -> Self {
        let (record, embedding) = payload.split_at(stride);
        Self { record: record.to_vec(), embedding: embedding.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect() }
    }
}

impl WriteWork<'_> {
    /// The embeddings of the tasks. Those of the previous pack are not computed.
    fn embeddings(&self, tasks: &[Task]) -> Result<Vec<Vec<f32>>, BuildError> {
        let known = |task: &Task| self.previous.zip(task.embedded);
        let texts: Vec<&str> = tasks.iter().filter(|task| known(task).is_none()).map(|task| task.text.as_str()).collect();
        let computed = if texts.is_empty() { Vec::new() } else { self.embedder.embed(EmbedAs::Passage, &texts)? };
        let mut computed = computed.chunks_exact(self.embedder.dim());
        tasks
            .iter()
            .map(|task| match known(task) {
                Some((previous, reference)) => previous.embedding(reference),
                None => Ok(computed.next().unwrap_or_default().to_vec()),
            })
            .collect()
    }
}

impl Work for WriteWork<'_> {
    type Output = WrittenReference;

    fn run(&mut self, batch: &TaskBatch) -> Result<Vec<WrittenReference>, BuildError> {
        mempack_model::set_threads(1);
        // The memories of the sample are known. The others are written together, in an order that follows from the batch alone.
        let ids: Vec<&[u32]> = batch.tasks.iter().filter(|task| task.sampled.is_none()).map(|task| task.ids.as_slice()).collect();
        let mut memories = self.model.write(&ids)?.into_iter();
        let embeddings = self.embeddings(&batch.tasks)?;
        let mut written = Vec::with_capacity(batch.tasks.len());
        for ((task, stamp), embedding) in batch.stamped().zip(embeddings) {
            let memory = match (task.sampled, self.sample) {
                (Some(index), Some(sample)) => sample.memory(index)?,
                _ => memories.next().unwrap_or_else(|| Memory::empty(self.encoder.codec().shape().clone())),
            };
            let mut record = Vec::with_capacity(self.encoder.codec().stride());
            self.encoder.encode(&memory, &mut record)?;
            let reference = WrittenReference { record, embedding };
            self.slots.put(task.number, stamp, reference.payload())?;
            written.push(reference);
        }
        Ok(written)
    }
}

struct WriteFlow<'a, R, S> {
    context: &'a BuildContext<'a>,
    pass: WritePass<'a, R, S>,
    sample: Option<&'a Sample>,
    slots: &'a Slots,
    number: u64,
    totals: WriteTotals,
    buffer: Vec<u8>,
}

impl<R, S: ReferenceSink> WriteFlow<'_, R, S> {
    fn push(&mut self, meta: &ReferenceMeta, record: &[u8], embedding: &[f32]) -> Result<(), BuildError> {
        self.pass.sink.push(meta, record, embedding)?;
        self.totals.tokens += u64::from(meta.tokens);
        Ok(())
    }
}

impl<R: ReferenceSource, S: ReferenceSink> Flow for WriteFlow<'_, R, S> {
    /// Its number in the previous pack, with the rest.
    type Known = (u32, ReferenceMeta);
    type Meta = ReferenceMeta;
    type Output = WrittenReference;

    fn next(&mut self) -> Result<Option<Item<(u32, ReferenceMeta), ReferenceMeta>>, BuildError> {
        let Some(SourceReference { name, candidate, occurrences }) = self.pass.source.next()? else { return Ok(None) };
        let number = self.number;
        self.number += 1;
        let Candidate { key, ids, lead, text } = candidate;
        let tokens = ids.len() as u16;
        let whole = |text: &str| reference_text(&lead, text).into_owned();
        if let Some(reference) = self.pass.taken.and_then(|index| index.find(&key)) {
            return Ok(Some(Item::Known((reference, ReferenceMeta { key, tokens, text, occurrences }))));
        }
        let sampled = self.sample.zip(name).and_then(|(sample, name)| sample.indices.get(&name).copied());
        let embedded = self.pass.embedded.and_then(|index| index.find(&key));
        let task = Task { number, key, ids, text: whole(&text), sampled, embedded };
        Ok(Some(Item::Task(task, ReferenceMeta { key, tokens, text, occurrences })))
    }

    fn find(&mut self, batch: &TaskBatch) -> Result<Option<Vec<WrittenReference>>, BuildError> {
        let stride = self.pass.encoder.codec().stride();
        let mut found = Vec::with_capacity(batch.tasks.len());
        for (task, stamp) in batch.stamped() {
            if !self.slots.get(task.number, stamp, &mut self.buffer)? {
                return Ok(None);
            }
            found.push(WrittenReference::from_payload(&self.buffer, stride));
        }
        Ok(Some(found))
    }

    fn advance(&mut self, done: BatchProgress) {
        self.context.progress.advance(done.references, done.tokens);
        self.context.work_files.advance(done.references);
        match done.time {
            Some(time) => {
                self.totals.encoded += done.references;
                self.totals.time += time;
            }
            None => self.totals.resumed += done.references,
        }
    }

    fn take(&mut self, (reference, meta): (u32, ReferenceMeta)) -> Result<(), BuildError> {
        let Some(index) = self.pass.taken else { return Ok(()) };
        let embedding = index.previous.embedding(reference)?;
        self.push(&meta, index.previous.record(reference)?, &embedding)?;
        self.totals.taken += 1;
        self.context.progress.advance(1, meta.tokens.into());
        Ok(())
    }

    fn put(&mut self, meta: ReferenceMeta, written: WrittenReference) -> Result<(), BuildError> {
        self.push(&meta, &written.record, &written.embedding)
    }
}

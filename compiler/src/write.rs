//! The pass that writes every reference into the pack.

use std::time::Duration;

use mempack_corpus::reference_text;
use mempack_format::{Digest, Memory, Origin, PackWriter};
use mempack_model::{EmbedAs, Embedder, Model};

use crate::BuildError;
use crate::codec::{Encoder, SampleStore};
use crate::context::BuildContext;
use crate::dedup::{Occurrence, References};
use crate::graph::GraphBuilder;
use crate::pipeline::{BatchProgress, Flow, Item, Task, TaskBatch, Work, in_order};
use crate::previous::{PreviousIndex, PreviousPack};
use crate::scratch::{Candidate, CandidateReader};
use crate::slots::Slots;
use crate::terms::TermIndex;
use crate::tuning::sample::Sample;

/// Where references come from, and where they go.
pub(crate) struct WritePass<'a> {
    pub references: References,
    pub candidates: CandidateReader,
    pub writer: &'a mut PackWriter,
    pub graph: &'a mut GraphBuilder,
    pub terms: &'a mut TermIndex,
    /// The titles of the documents.
    pub titles: &'a [String],
    /// Receives the numbers of the places of the origins, in the order of the pack.
    pub places: &'a mut Vec<u32>,
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

impl WritePass<'_> {
    /// Puts every reference with its memory and embedding into the pack, and every embedding into the graph.
    pub fn run(self, context: &BuildContext<'_>, sample: Option<&Sample>, parameters: &[u8]) -> Result<WriteTotals, BuildError> {
        let embedder = context.embedder.identity();
        let codec = self.encoder.codec();
        let total = self.taken.is_none().then_some(self.references.count);
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

/// A reference as it goes into the pack.
struct WrittenReference {
    /// The memory record, encoded.
    record: Vec<u8>,
    /// A unit vector.
    embedding: Vec<f32>,
}

impl WrittenReference {
    /// Bytes of the payload of a slot.
    fn bytes(stride: usize, dim: usize) -> usize {
        stride + 4 * dim
    }

    fn payload(&self) -> Vec<u8> {
        let mut bytes = self.record.clone();
        self.embedding.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
        bytes
    }

    /// The inverse of [`payload`](Self::payload), for records of `stride` bytes.
    fn from_payload(payload: &[u8], stride: usize) -> Self {
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

struct WriteFlow<'a> {
    context: &'a BuildContext<'a>,
    pass: WritePass<'a>,
    sample: Option<&'a Sample>,
    slots: &'a Slots,
    number: u64,
    totals: WriteTotals,
    buffer: Vec<u8>,
}

/// What goes into the pack with the memory and the embedding of a reference.
struct ReferenceMeta {
    key: Digest,
    tokens: u16,
    text: String,
    occurrences: Vec<Occurrence>,
}

impl WriteFlow<'_> {
    fn push(&mut self, meta: &ReferenceMeta, record: &[u8], embedding: &[f32]) -> Result<(), BuildError> {
        let WritePass { writer, graph, terms, titles, places, .. } = &mut self.pass;
        let origins: Vec<Origin> = meta.occurrences.iter().map(|occurrence| occurrence.origin).collect();
        writer.push_reference(&meta.key, meta.tokens, &meta.text, &origins)?;
        places.extend(meta.occurrences.iter().map(|occurrence| occurrence.place));
        writer.push_memory(record)?;
        writer.push_embedding(embedding)?;
        graph.push(embedding);
        let titles = origins.iter().filter_map(|origin| titles.get(origin.document as usize));
        terms.push(titles.map(String::as_str), &meta.text, &meta.key, embedding);
        self.totals.tokens += u64::from(meta.tokens);
        Ok(())
    }
}

impl Flow for WriteFlow<'_> {
    /// Its number in the previous pack, with the rest.
    type Known = (u32, ReferenceMeta);
    type Meta = ReferenceMeta;
    type Output = WrittenReference;

    fn next(&mut self) -> Result<Option<Item<(u32, ReferenceMeta), ReferenceMeta>>, BuildError> {
        let Some(unique) = self.pass.references.next()? else { return Ok(None) };
        let number = self.number;
        self.number += 1;
        let Candidate { key, ids, lead, text } = self.pass.candidates.read(unique.name)?;
        let tokens = ids.len() as u16;
        let whole = |text: &str| reference_text(&lead, text).into_owned();
        if let Some(reference) = self.pass.taken.and_then(|index| index.find(&key)) {
            return Ok(Some(Item::Known((reference, ReferenceMeta { key, tokens, text, occurrences: unique.occurrences }))));
        }
        let sampled = self.sample.and_then(|sample| sample.indices.get(&unique.name).copied());
        let embedded = self.pass.embedded.and_then(|index| index.find(&key));
        let task = Task { number, key, ids, text: whole(&text), sampled, embedded };
        Ok(Some(Item::Task(task, ReferenceMeta { key, tokens, text, occurrences: unique.occurrences })))
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

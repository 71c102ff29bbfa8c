//! The pass that puts every reference into the pack.

use std::time::Duration;

use mempack_format::{Digest, Origin, PackWriter};
use mempack_model::reference_text;

use crate::BuildError;
use crate::codec::Encoder;
use crate::dedup::References;
use crate::graph::GraphBuilder;
use crate::job::{Job, Sampled};
use crate::older::Index;
use crate::pipeline::{Advance, Batch, Flow, Item, Task, in_order};
use crate::scratch::{Candidate, CandidateReader};
use crate::slots::Slots;
use crate::work::{WriteWork, Written};

/// Where references come from, and where they go.
pub(crate) struct Store<'a> {
    pub references: References,
    pub candidates: CandidateReader,
    pub writer: &'a mut PackWriter,
    pub graph: &'a mut GraphBuilder,
    pub encoder: &'a Encoder,
    /// Whose records and embeddings are taken.
    pub taken: Option<&'a Index<'a>>,
    /// Whose embeddings are taken, and nothing else.
    pub embedded: Option<&'a Index<'a>>,
}

/// What was written, in references but for the tokens and the time.
#[derive(Default)]
pub(crate) struct Totals {
    pub encoded: u64,
    pub resumed: u64,
    pub taken: u64,
    pub tokens: u64,
    /// How long threads worked.
    pub time: Duration,
}

impl Job<'_> {
    /// Every reference with memory and embedding into the pack, every embedding into the graph.
    pub fn write(&self, store: Store<'_>, sampled: &Option<Sampled>, parameters: &[u8]) -> Result<Totals, BuildError> {
        let (spec, embedder) = (self.options.codec, self.embedder.identity());
        let stride = store.encoder.codec().stride();
        let sampled = sampled.as_ref();
        let total = store.taken.is_none().then_some(store.references.count);
        self.keeper.begin(if total.is_some() { "references" } else { "new references" }, total);
        let older = self.options.from.as_deref();
        let identity = self.named(
            "records",
            &[
                &embedder.digest.0,
                &[embedder.dim, embedder.max_tokens].map(u32::to_le_bytes).concat(),
                embedder.metric.as_bytes(),
                spec.to_string().as_bytes(),
                &Digest::of(parameters).0,
                sampled.map_or(&[], |sampled| &sampled.digest.0),
                older.map(|older| older.id().0.0).as_ref().map_or(&[], |id| id),
                &[self.options.retrain_codec.into()],
            ],
        );
        let slots = self.keeper.records(identity, Written::bytes(stride, self.embedder.dim()))?;
        let worker = |_| WriteWork {
            model: self.model.share(),
            embedder: self.embedder.share(),
            encoder: store.encoder,
            sample: sampled.map(|sampled| &sampled.store),
            slots: &slots,
            older,
        };
        let workers = (0..self.options.threads).map(worker).collect();
        let mut flow = WriteFlow { job: self, store, sampled, slots: &slots, number: 0, totals: Totals::default(), buffer: Vec::new() };
        in_order(workers, self.rule(stride), self.cancel, &mut flow)?;
        Ok(flow.totals)
    }
}

struct WriteFlow<'a> {
    job: &'a Job<'a>,
    store: Store<'a>,
    sampled: Option<&'a Sampled>,
    slots: &'a Slots,
    number: u64,
    totals: Totals,
    buffer: Vec<u8>,
}

/// What goes into the pack of a reference beside memory and embedding.
struct Told {
    key: Digest,
    tokens: u16,
    text: String,
    origins: Vec<Origin>,
}

impl WriteFlow<'_> {
    fn push(&mut self, told: &Told, record: &[u8], embedding: &[f32]) -> Result<(), BuildError> {
        let Store { writer, graph, .. } = &mut self.store;
        writer.push_reference(&told.key, told.tokens, &told.text, &told.origins)?;
        writer.push_memory(record)?;
        writer.push_embedding(embedding)?;
        graph.push(embedding);
        self.totals.tokens += u64::from(told.tokens);
        Ok(())
    }
}

impl Flow for WriteFlow<'_> {
    /// With the number in the older pack.
    type Known = (u32, Told);
    type Meta = Told;
    type Output = Written;

    fn next(&mut self) -> Result<Option<Item<(u32, Told), Told>>, BuildError> {
        let Some(unique) = self.store.references.next()? else { return Ok(None) };
        let number = self.number;
        self.number += 1;
        let Candidate { key, ids, lead, text } = self.store.candidates.read(unique.name)?;
        let tokens = ids.len() as u16;
        let whole = |text: &str| reference_text(&lead, text).into_owned();
        if let Some(reference) = self.store.taken.and_then(|index| index.find(&key)) {
            return Ok(Some(Item::Known((reference, Told { key, tokens, text, origins: unique.origins }))));
        }
        let sampled = self.sampled.and_then(|sampled| sampled.numbers.get(&unique.name).copied());
        let embedded = self.store.embedded.and_then(|index| index.find(&key));
        let task = Task { number, key, ids, text: whole(&text), sampled, embedded };
        Ok(Some(Item::Task(task, Told { key, tokens, text, origins: unique.origins })))
    }

    fn find(&mut self, batch: &Batch) -> Result<Option<Vec<Written>>, BuildError> {
        let stride = self.store.encoder.codec().stride();
        let mut found = Vec::with_capacity(batch.tasks.len());
        for (task, stamp) in batch.stamped() {
            if !self.slots.get(task.number, stamp, &mut self.buffer)? {
                return Ok(None);
            }
            found.push(Written::from_payload(&self.buffer, stride));
        }
        Ok(Some(found))
    }

    fn advance(&mut self, done: Advance) {
        self.job.progress.advance(done.references, done.tokens);
        self.job.keeper.advance(done.references);
        match done.time {
            Some(time) => {
                self.totals.encoded += done.references;
                self.totals.time += time;
            }
            None => self.totals.resumed += done.references,
        }
    }

    fn take(&mut self, (reference, told): (u32, Told)) -> Result<(), BuildError> {
        let Some(index) = self.store.taken else { return Ok(()) };
        let embedding = index.older.embedding(reference)?;
        self.push(&told, index.older.record(reference)?, &embedding)?;
        self.totals.taken += 1;
        self.job.progress.advance(1, told.tokens.into());
        Ok(())
    }

    fn put(&mut self, told: Told, written: Written) -> Result<(), BuildError> {
        self.push(&told, &written.record, &written.embedding)
    }
}

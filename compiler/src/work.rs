//! What the threads of a build compute.

use mempack_format::Memory;
use mempack_model::{Embedder, Model};

use crate::BuildError;
use crate::codec::{Encoder, SampleStore, put_memory};
use crate::older::Older;
use crate::pipeline::{Batch, Task, Work};
use crate::slots::Slots;

/// Writes memories for the codec's sample, into slots.
pub(crate) struct SampleWork<'a> {
    pub model: Model,
    pub slots: &'a Slots,
}

impl Work for SampleWork<'_> {
    type Output = ();

    fn run(&mut self, batch: &Batch) -> Result<Vec<()>, BuildError> {
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

/// Writes memories and encodes them, and embeds texts; what is done is in the slots before anyone hears of it.
pub(crate) struct WriteWork<'a> {
    pub model: Model,
    pub embedder: Embedder,
    pub encoder: &'a Encoder,
    pub sample: Option<&'a SampleStore>,
    pub slots: &'a Slots,
    pub older: Option<&'a Older>,
}

/// A reference as it goes into the pack.
pub(crate) struct Written {
    /// The memory, encoded.
    pub record: Vec<u8>,
    /// A unit vector.
    pub embedding: Vec<f32>,
}

impl Written {
    /// Bytes of what goes into a slot.
    pub fn bytes(stride: usize, dim: usize) -> usize {
        stride + 4 * dim
    }

    fn payload(&self) -> Vec<u8> {
        let mut bytes = self.record.clone();
        self.embedding.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
        bytes
    }

    /// From what [`payload`](Self::payload) made, of `bytes` bytes.
    pub fn from_payload(payload: &[u8], stride: usize) -> Self {
        let (record, embedding) = payload.split_at(stride);
        Self { record: record.to_vec(), embedding: embedding.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect() }
    }
}

impl WriteWork<'_> {
    /// Embeddings of the tasks; those of the older pack are known.
    fn embeddings(&self, tasks: &[Task]) -> Result<Vec<Vec<f32>>, BuildError> {
        let known = |task: &Task| self.older.zip(task.embedded);
        let texts: Vec<&str> = tasks.iter().filter(|task| known(task).is_none()).map(|task| task.text.as_str()).collect();
        let computed = if texts.is_empty() { Vec::new() } else { self.embedder.embed(&texts)? };
        let mut computed = computed.chunks_exact(self.embedder.dim());
        tasks
            .iter()
            .map(|task| match known(task) {
                Some((older, reference)) => older.embedding(reference),
                None => Ok(computed.next().unwrap_or_default().to_vec()),
            })
            .collect()
    }
}

impl Work for WriteWork<'_> {
    type Output = Written;

    fn run(&mut self, batch: &Batch) -> Result<Vec<Written>, BuildError> {
        mempack_model::set_threads(1);
        // Memories of the sample are known: the others are written, in an order that their batch alone decides.
        let ids: Vec<&[u32]> = batch.tasks.iter().filter(|task| task.sampled.is_none()).map(|task| task.ids.as_slice()).collect();
        let mut memories = self.model.write(&ids)?.into_iter();
        let embeddings = self.embeddings(&batch.tasks)?;
        let mut written = Vec::with_capacity(batch.tasks.len());
        for ((task, stamp), embedding) in batch.stamped().zip(embeddings) {
            let memory = match (task.sampled, self.sample) {
                (Some(index), Some(sample)) => sample.memory(index)?,
                _ => memories.next().unwrap_or_else(|| Memory::empty(self.encoder.codec().shape())),
            };
            let mut record = Vec::with_capacity(self.encoder.codec().stride());
            self.encoder.encode(&memory, &mut record)?;
            let reference = Written { record, embedding };
            self.slots.put(task.number, stamp, reference.payload())?;
            written.push(reference);
        }
        Ok(written)
    }
}

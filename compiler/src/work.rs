//! What the threads of a build compute.

use mempack_format::Memory;
use mempack_model::{Embedder, Model};

use crate::BuildError;
use crate::codec::{Encoder, SampleStore};
use crate::pipeline::{Task, Work};

/// Writes memories for the codec's sample.
pub(crate) struct SampleWork {
    pub model: Model,
}

impl Work for SampleWork {
    type Output = Memory;

    fn run(&mut self, batch: &[Task]) -> Result<Vec<Memory>, BuildError> {
        mempack_model::set_threads(1);
        let ids: Vec<&[u32]> = batch.iter().map(|task| task.ids.as_slice()).collect();
        Ok(self.model.write(&ids)?)
    }
}

/// Writes memories and encodes them, and embeds texts.
pub(crate) struct WriteWork<'a> {
    pub model: Model,
    pub embedder: Embedder,
    pub encoder: &'a Encoder,
    pub sample: Option<&'a SampleStore>,
}

/// A reference as it goes into the pack.
pub(crate) struct Written {
    /// The memory, encoded.
    pub record: Vec<u8>,
    /// A unit vector.
    pub embedding: Vec<f32>,
}

impl Work for WriteWork<'_> {
    type Output = Written;

    fn run(&mut self, batch: &[Task]) -> Result<Vec<Written>, BuildError> {
        mempack_model::set_threads(1);
        // Memories of the sample are known: the others are written, in an order that their batch alone decides.
        let ids: Vec<&[u32]> = batch.iter().filter(|task| task.sampled.is_none()).map(|task| task.ids.as_slice()).collect();
        let mut memories = self.model.write(&ids)?.into_iter();
        let texts: Vec<&str> = batch.iter().map(|task| task.text.as_str()).collect();
        let embeddings = self.embedder.embed(&texts)?;
        let mut written = Vec::with_capacity(batch.len());
        for (task, embedding) in batch.iter().zip(embeddings.chunks_exact(self.embedder.dim())) {
            let memory = match (task.sampled, self.sample) {
                (Some(index), Some(sample)) => sample.memory(index)?,
                _ => memories.next().unwrap_or_else(|| Memory::empty(self.encoder.codec().shape())),
            };
            let mut record = Vec::with_capacity(self.encoder.codec().stride());
            self.encoder.encode(&memory, &mut record)?;
            written.push(Written { record, embedding: embedding.to_vec() });
        }
        Ok(written)
    }
}

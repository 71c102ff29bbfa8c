//! The probe: a few references whose outputs are the same on all machines whose shards fit together.

use mempack_format::Digest;
use mempack_model::{EmbedAs, Embedder, Model};

use crate::BuildError;
use crate::codec::{Encoder, memory_bytes, put_memory};
use crate::context::BuildContext;
use crate::pipeline::{Task, TaskBatch, batches};
use crate::scratch::Candidate;

/// References of a probe: two or three batches of different shapes.
pub(super) const PROBE_REFERENCES: usize = 16;

/// The digest of what the references become: memories, records and embeddings, bit for bit.
pub(super) fn outputs(context: &BuildContext<'_>, encoder: &Encoder, references: Vec<Candidate>) -> Result<Digest, BuildError> {
    let BuildContext { model, embedder, .. } = *context;
    mempack_model::set_threads(1);
    let task = |(number, candidate): (u64, Candidate)| {
        let Candidate { key, ids, lead, text } = candidate;
        let text = mempack_corpus::reference_text(&lead, &text).into_owned();
        (number as usize, Task { number, key, ids, text, sampled: None, embedded: None })
    };
    let tasks = (0..).zip(references).map(task).collect();
    let mut hasher = blake3::Hasher::new();
    // Half the size of the batches of a build, so that a few references make several.
    let mut rule = context.batch_rule(encoder.codec().stride());
    rule.tokens /= 2;
    for (_, batch) in batches(rule, tasks) {
        add(model, embedder, encoder, &batch, &mut hasher)?;
    }
    Ok(hasher.finalize().into())
}

fn add(model: &Model, embedder: &Embedder, encoder: &Encoder, batch: &TaskBatch, hasher: &mut blake3::Hasher) -> Result<(), BuildError> {
    let ids: Vec<&[u32]> = batch.tasks.iter().map(|task| task.ids.as_slice()).collect();
    let mut bytes = Vec::with_capacity(memory_bytes(&model.identity().shape));
    for memory in model.write(&ids)? {
        bytes.clear();
        put_memory(&memory, &mut bytes);
        encoder.encode(&memory, &mut bytes)?;
        hasher.update(&bytes);
    }
    let texts: Vec<&str> = batch.tasks.iter().map(|task| task.text.as_str()).collect();
    for number in embedder.embed(EmbedAs::Passage, &texts)? {
        hasher.update(&number.to_le_bytes());
    }
    Ok(())
}

//! The embeddings of some references, which centroids are trained on.

use mempack_corpus::reference_text;
use mempack_model::{EmbedAs, Embedder};

use crate::BuildError;
use crate::context::BuildContext;
use crate::pipeline::{BatchProgress, Flow, Item, Task, TaskBatch, Work, in_order};
use crate::scratch::{Candidate, CandidateReader};

/// The embeddings of the references with these names, one after the other, `[names, dim]`.
pub(super) fn embed(context: &BuildContext<'_>, candidates: &mut CandidateReader, names: &[u64]) -> Result<Vec<f32>, BuildError> {
    let dim = context.embedder.dim();
    let mut flow = EmbedFlow { context, candidates, names: names.iter().enumerate(), embeddings: Vec::with_capacity(dim * names.len()) };
    let workers = (0..context.options.threads).map(|_| EmbedWork { embedder: context.embedder.share() }).collect();
    in_order(workers, context.batch_rule(4 * dim), context.cancel, &mut flow)?;
    Ok(flow.embeddings)
}

struct EmbedWork {
    embedder: Embedder,
}

impl Work for EmbedWork {
    type Output = Vec<f32>;

    fn run(&mut self, batch: &TaskBatch) -> Result<Vec<Vec<f32>>, BuildError> {
        mempack_model::set_threads(1);
        let texts: Vec<&str> = batch.tasks.iter().map(|task| task.text.as_str()).collect();
        let embeddings = self.embedder.embed(EmbedAs::Passage, &texts)?;
        Ok(embeddings.chunks_exact(self.embedder.dim()).map(<[f32]>::to_vec).collect())
    }
}

struct EmbedFlow<'a> {
    context: &'a BuildContext<'a>,
    candidates: &'a mut CandidateReader,
    names: std::iter::Enumerate<std::slice::Iter<'a, u64>>,
    embeddings: Vec<f32>,
}

impl Flow for EmbedFlow<'_> {
    type Known = ();
    type Meta = ();
    type Output = Vec<f32>;

    fn next(&mut self) -> Result<Option<Item<(), ()>>, BuildError> {
        let Some((number, name)) = self.names.next() else { return Ok(None) };
        let Candidate { key, ids, lead, text } = self.candidates.read(*name)?;
        let text = reference_text(&lead, &text).into_owned();
        Ok(Some(Item::Task(Task { number: number as u64, key, ids, text, sampled: None, embedded: None }, ())))
    }

    fn find(&mut self, _: &TaskBatch) -> Result<Option<Vec<Vec<f32>>>, BuildError> {
        Ok(None)
    }

    fn advance(&mut self, done: BatchProgress) {
        self.context.progress.advance(done.references, done.tokens);
    }

    fn take(&mut self, (): ()) -> Result<(), BuildError> {
        Ok(())
    }

    fn put(&mut self, (): (), embedding: Vec<f32>) -> Result<(), BuildError> {
        self.embeddings.extend(embedding);
        Ok(())
    }
}

//! Predicting texts while the model reads the memories of similar texts.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use mempack_model::{EmbedAs, Model, Probe, predicted_probes};

use super::sample::SampledText;
use crate::BuildError;
use crate::cancel::check;
use crate::context::BuildContext;

/// A text to predict.
pub(crate) struct Predicted<'a> {
    pub ids: &'a [u32],
    /// What is read with it: indices of other texts, with their similarities.
    pub reads: Vec<(usize, f32)>,
}

/// Calls `each` for every text that retrieves others to read ([`predicted_probes`]). The results are in the order of the texts,
/// whichever thread was first.
pub(crate) fn predict<T: Send>(
    context: &BuildContext<'_>,
    texts: &[&SampledText],
    each: impl Fn(&Model, &Predicted<'_>) -> Result<T, BuildError> + Sync,
) -> Result<Vec<T>, BuildError> {
    let BuildContext { model, embedder, cancel, .. } = *context;
    mempack_model::set_threads(1);
    // Texts retrieve one another as they are in the pack, where the measurement of a finished pack finds them.
    let embeddings = embedder.embed(EmbedAs::Passage, &texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>())?;
    let rows = embeddings.chunks_exact(embedder.dim());
    let probes: Vec<Probe<'_>> = texts.iter().zip(rows).map(|(text, embedding)| Probe { ids: &text.ids, embedding }).collect();
    let reads = predicted_probes(model.memory(), &probes);
    let predicted: Vec<Predicted<'_>> = reads.into_iter().map(|(at, reads)| Predicted { ids: &texts[at].ids, reads }).collect();
    let next = AtomicUsize::new(0);
    let run = |model: Model| -> Result<Vec<(usize, T)>, BuildError> {
        mempack_model::set_threads(1);
        let mut found = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(text) = predicted.get(at) else { return Ok(found) };
            check(cancel)?;
            found.push((at, each(&model, text)?));
        }
    };
    let mut all: Vec<(usize, T)> = Vec::with_capacity(predicted.len());
    thread::scope(|scope| {
        // Models are not `Sync`: each thread gets its own handle, made here.
        let models: Vec<Model> = (0..context.options.threads.min(predicted.len())).map(|_| model.share()).collect();
        let threads: Vec<_> = models.into_iter().map(|model| scope.spawn(|| run(model))).collect();
        let mut first = Ok(());
        for thread in threads {
            match thread.join().unwrap_or_else(|panic| resume_unwind(panic)) {
                Ok(found) => all.extend(found),
                Err(error) => first = first.and(Err(error)),
            }
        }
        first
    })?;
    all.sort_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, found)| found).collect())
}

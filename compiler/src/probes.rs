//! Texts that the model predicts while it reads the memories of others like them.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use mempack_model::{Model, Probe, predicted_probes};

use crate::BuildError;
use crate::builder::check;
use crate::job::Job;

/// A reference of the sample, to predict and to be read.
pub(crate) struct SampledText {
    /// Its number in the sample.
    pub number: u64,
    /// What the model reads of it.
    pub ids: Vec<u32>,
    /// What the embedder reads of it.
    pub text: String,
}

/// A text to predict.
pub(crate) struct Predicted<'a> {
    pub ids: &'a [u32],
    /// What is read with it: places among the texts, with similarities.
    pub reads: Vec<(usize, f32)>,
}

impl Job<'_> {
    /// What `each` makes of those of `texts` that find others of them to read (`predicted_probes`), in their order whichever thread was the first.
    pub fn predict<T: Send>(
        &self,
        texts: &[&SampledText],
        each: impl Fn(&Model, &Predicted<'_>) -> Result<T, BuildError> + Sync,
    ) -> Result<Vec<T>, BuildError> {
        mempack_model::set_threads(1);
        let embeddings = self.embedder.embed(&texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>())?;
        let rows = embeddings.chunks_exact(self.embedder.dim());
        let probes: Vec<Probe<'_>> = texts.iter().zip(rows).map(|(text, embedding)| Probe { ids: &text.ids, embedding }).collect();
        let reads = predicted_probes(self.model.memory(), &probes);
        let predicted: Vec<Predicted<'_>> = reads.into_iter().map(|(at, reads)| Predicted { ids: &texts[at].ids, reads }).collect();
        let next = AtomicUsize::new(0);
        let run = |model: Model| -> Result<Vec<(usize, T)>, BuildError> {
            mempack_model::set_threads(1);
            let mut found = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(text) = predicted.get(at) else { return Ok(found) };
                check(self.cancel)?;
                found.push((at, each(&model, text)?));
            }
        };
        let mut all: Vec<(usize, T)> = Vec::with_capacity(predicted.len());
        thread::scope(|scope| {
            // Models are shared out here, as they cannot be looked at from several threads.
            let models: Vec<Model> = (0..self.options.threads.min(predicted.len())).map(|_| self.model.share()).collect();
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
}

//! What a model's predictions make of errors of its memories, for codecs that can lose where it matters least.

use mempack_model::{MOST_PROBES, Sensitivity, Slot, gradients};

use crate::job::{Job, Sampled};
use crate::probes::SampledText;
use crate::progress::Stages;
use crate::{BuildError, Stage};

/// Most texts of those that a codec is trained on that are predicted or read for it.
pub const SENSITIVITY_TEXTS: usize = 2 * MOST_PROBES;

impl Job<'_> {
    /// What the model makes of errors of memories that codecs are trained on, computed when it is first asked for; none if no text finds
    /// another to read.
    pub fn sensitivity<'s>(&self, sampled: &'s Sampled, stages: &mut Stages<'_>) -> Result<Option<&'s Sensitivity>, BuildError> {
        if sampled.sensitivity.get().is_none() {
            let sensed = self.sense(sampled, stages)?;
            let _ = sampled.sensitivity.set(sensed);
        }
        Ok(sampled.sensitivity.get().and_then(Option::as_ref))
    }

    fn sense(&self, sampled: &Sampled, stages: &mut Stages<'_>) -> Result<Option<Sensitivity>, BuildError> {
        stages.begin(Stage::Sensing, Some(sampled.sensed.len() as u64));
        let mut sensitivity = Sensitivity::new(self.model.identity().shape);
        for pool in sampled.sensed.chunks(MOST_PROBES) {
            let texts: Vec<&SampledText> = pool.iter().collect();
            let found = self.predict(&texts, |model, predicted| {
                let memory = |other: usize| sampled.training.memory(pool[other].number);
                let memories = predicted.reads.iter().map(|(other, _)| memory(*other)).collect::<Result<Vec<_>, _>>()?;
                let slots = memories.iter().zip(&predicted.reads).map(|(memory, (_, similarity))| Slot { memory, similarity: *similarity });
                Ok(gradients(model, predicted.ids, &slots.collect::<Vec<_>>())?)
            })?;
            found.iter().for_each(|gradients| sensitivity.add(gradients));
            self.progress.advance(pool.len() as u64, 0);
        }
        Ok((sensitivity.vectors() > 0).then_some(sensitivity))
    }
}

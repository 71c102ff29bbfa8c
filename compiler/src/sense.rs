//! What a model's predictions make of errors of its memories, for codecs that can lose where it matters least.

use mempack_format::CodecSpec;
use mempack_model::{MOST_PROBES, Sensitivity, Slot, gradients};

use crate::codec;
use crate::job::{Job, Sampled};
use crate::probes::SampledText;
use crate::progress::Stages;
use crate::{BuildError, Stage};

/// Most texts of those that a codec is trained on that are predicted or read for it.
pub(crate) const SENSED: usize = 2 * MOST_PROBES;

impl Job<'_> {
    /// What the model makes of errors of memories that codecs are trained on; none if no codec asks, or no text finds another to read.
    pub fn sense(
        &self,
        codecs: &[CodecSpec],
        sampled: &Option<Sampled>,
        stages: &mut Stages<'_>,
    ) -> Result<Option<Sensitivity>, BuildError> {
        let Some(sampled) = sampled.as_ref().filter(|_| codecs.iter().any(codec::weighs)) else { return Ok(None) };
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

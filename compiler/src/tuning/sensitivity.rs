//! How sensitive the model's predictions are to errors of memories, for codecs that can lose least where it matters most.

use mempack_model::{MAX_PROBES, Sensitivity, Slot, gradients};

use super::probes::predict;
use super::sample::{Sample, SampledText};
use crate::context::BuildContext;
use crate::progress::Stages;
use crate::{BuildError, Stage};

/// The sensitivity to errors of the memories to train on. It is computed once, when it is first asked for. `None` if no text retrieves
/// another one to read.
pub(crate) fn of_sample<'s>(
    context: &BuildContext<'_>,
    sample: &'s Sample,
    stages: &mut Stages<'_>,
) -> Result<Option<&'s Sensitivity>, BuildError> {
    let known = match sample.sensitivity.get() {
        Some(known) => known,
        None => {
            let computed = compute(context, sample, stages)?;
            sample.sensitivity.get_or_init(|| computed)
        }
    };
    Ok(known.as_ref())
}

fn compute(context: &BuildContext<'_>, sample: &Sample, stages: &mut Stages<'_>) -> Result<Option<Sensitivity>, BuildError> {
    stages.begin(Stage::Sensitivity, Some(sample.sensitivity_texts.len() as u64));
    let mut sensitivity = Sensitivity::new(context.model.identity().shape.clone());
    for pool in sample.sensitivity_texts.chunks(MAX_PROBES) {
        let texts: Vec<&SampledText> = pool.iter().collect();
        let found = predict(context, &texts, |model, predicted| {
            let memory = |other: usize| sample.training.memory(pool[other].index);
            let memories = predicted.reads.iter().map(|(other, _)| memory(*other)).collect::<Result<Vec<_>, _>>()?;
            let slots = memories.iter().zip(&predicted.reads).map(|(memory, (_, similarity))| Slot { memory, similarity: *similarity });
            Ok(gradients(model, predicted.ids, &slots.collect::<Vec<_>>())?)
        })?;
        found.iter().for_each(|gradients| sensitivity.add(gradients));
        context.progress.advance(pool.len() as u64, 0);
    }
    Ok((sensitivity.vectors() > 0).then_some(sensitivity))
}

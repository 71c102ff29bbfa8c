//! What the codec of a build loses of memories that it was not trained on, and how far that moves the model's predictions (SPEC 5.1).

use mempack_format::{CodecSpec, Distortion, Divergence, Memory, Quality, SampledDistortion};
use mempack_model::{Slot, divergence};

use super::drift::Drift;
use super::probes::predict;
use super::sample::{HeldOut, Sample, SampledText};
use super::selection::MAX_HELD_OUT;
use super::train::has_tables;
use crate::cancel::check;
use crate::codec::Encoder;
use crate::context::BuildContext;
use crate::previous::PreviousPack;
use crate::progress::Stages;
use crate::{BuildError, Stage};

/// Whether a codec loses anything of the memories that it encodes.
pub(crate) fn is_lossy(codec: &CodecSpec) -> bool {
    *codec != CodecSpec::F32
}

/// What was measured.
#[derive(Default)]
pub(crate) struct Measured {
    pub quality: Option<Quality>,
    /// If tables of the previous pack were kept.
    pub drift: Option<Drift>,
}

/// Memories of held-out references, as they were computed and as the pack will give them.
pub(crate) struct Pairs<'a> {
    pub sample: &'a Sample,
    pub previous: Option<&'a PreviousPack>,
    pub encoder: &'a Encoder,
}

impl Pairs<'_> {
    /// The memory of a held-out reference as it was computed, and as it is decoded from its record.
    pub fn of(&self, held_out: &HeldOut) -> Result<(Memory, Memory), BuildError> {
        let codec = self.encoder.codec();
        let memory = self.sample.store.memory(held_out.text.index)?;
        let mut record = Vec::with_capacity(codec.stride());
        let record = match held_out.taken.zip(self.previous) {
            Some((reference, previous)) => previous.record(reference)?,
            None => {
                self.encoder.encode(&memory, &mut record)?;
                &record
            }
        };
        let mut decoded = Memory::empty(memory.shape.clone());
        codec.decode_memory(record, &mut decoded).map_err(|source| BuildError::Codec { spec: codec.spec().to_string(), source })?;
        Ok((memory, decoded))
    }
}

/// Measures the codec on what is held out. The quality that the previous pack states for its codec is kept if no reference is new.
pub(crate) fn codec(
    context: &BuildContext<'_>,
    sample: Option<&Sample>,
    previous: Option<&PreviousPack>,
    encoder: &Encoder,
    stages: &mut Stages<'_>,
) -> Result<Measured, BuildError> {
    let spec = encoder.codec().spec();
    let Some(sample) = sample.filter(|_| is_lossy(&spec)) else { return Ok(Measured::default()) };
    let total = sample.held_out.len() as u64;
    stages.begin(Stage::Measuring, Some(total));
    let pairs = Pairs { sample, previous, encoder };
    let drift = match previous {
        Some(_) if has_tables(&spec) => Some(drift(context, &pairs)?),
        _ => None,
    };
    let stated = previous.and_then(|previous| previous.quality().cloned());
    let nothing_new = sample.held_out.iter().all(|held_out| held_out.taken.is_some());
    let mut untrained: Vec<&HeldOut> = sample.held_out.iter().filter(|held_out| !held_out.trained_on).collect();
    if untrained.is_empty() || (nothing_new && stated.is_some()) {
        return Ok(Measured { quality: stated, drift });
    }
    untrained.sort_unstable_by_key(|held_out| held_out.key);
    let untrained = untrained.split_off(untrained.len().saturating_sub(MAX_HELD_OUT));
    let distortion = distortion(context, untrained.iter().copied(), &pairs)?;
    let divergence = predicted_divergence(context, &untrained, &pairs)?;
    context.progress.advance(total, 0);
    Ok(Measured { quality: distortion.quality(divergence), drift })
}

/// The distortion of some held-out memories.
pub(crate) fn distortion<'h>(
    context: &BuildContext<'_>,
    held_out: impl Iterator<Item = &'h HeldOut>,
    pairs: &Pairs<'_>,
) -> Result<Distortion, BuildError> {
    Ok(sampled_distortion(context, held_out, pairs)?.whole())
}

fn sampled_distortion<'h>(
    context: &BuildContext<'_>,
    held_out: impl Iterator<Item = &'h HeldOut>,
    pairs: &Pairs<'_>,
) -> Result<SampledDistortion, BuildError> {
    let mut sample = SampledDistortion::new(pairs.encoder.codec().shape().clone());
    for held_out in held_out {
        check(context.cancel)?;
        let (memory, decoded) = pairs.of(held_out)?;
        sample.add(&memory, &decoded);
    }
    Ok(sample)
}

fn drift(context: &BuildContext<'_>, pairs: &Pairs<'_>) -> Result<Drift, BuildError> {
    let held_out = &pairs.sample.held_out;
    let new = sampled_distortion(context, held_out.iter().filter(|held_out| held_out.taken.is_none()), pairs)?;
    let taken = sampled_distortion(context, held_out.iter().filter(|held_out| held_out.taken.is_some()), pairs)?;
    Ok(Drift { new: (&new).into(), taken: (&taken).into(), trained_on: held_out.iter().any(|held_out| held_out.trained_on) })
}

/// How far predictions move if decoded memories are read instead of exact ones. `None` if no text retrieves a memory to read.
fn predicted_divergence(context: &BuildContext<'_>, held_out: &[&HeldOut], pairs: &Pairs<'_>) -> Result<Option<Divergence>, BuildError> {
    let texts: Vec<&SampledText> = held_out.iter().map(|held_out| &held_out.text).collect();
    let found = predict(context, &texts, |model, predicted| {
        let reads = &predicted.reads;
        let memories = reads.iter().map(|(other, _)| pairs.of(held_out[*other])).collect::<Result<Vec<_>, _>>()?;
        let similar = || memories.iter().zip(reads.iter().map(|(_, similarity)| *similarity));
        let exact: Vec<Slot<'_>> = similar().map(|((memory, _), similarity)| Slot { memory, similarity }).collect();
        let lossy: Vec<Slot<'_>> = similar().map(|((_, memory), similarity)| Slot { memory, similarity }).collect();
        Ok((divergence(model, predicted.ids, &exact, &lossy)?, predicted.ids.len() as u64))
    })?;
    let tokens: u64 = found.iter().map(|(_, tokens)| tokens).sum();
    Ok((tokens > 0).then(|| Divergence { nats: found.iter().map(|(nats, _)| nats).sum::<f64>() / tokens as f64, tokens }))
}

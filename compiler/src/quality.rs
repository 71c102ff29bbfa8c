//! What the codec of a build loses of memories that it was not trained on, and how much of that the model notices (SPEC 5.1).

use mempack_format::{Digest, Distortion, Divergence, Memory, Quality, SampledDistortion};
use mempack_model::{Slot, divergence};

use crate::builder::{check, loses, trains};
use crate::choice::HELD_OUT;
use crate::codec::Encoder;
use crate::drift::Drift;
use crate::job::{Job, Sampled};
use crate::older::Older;
use crate::probes::SampledText;
use crate::progress::Stages;
use crate::{BuildError, Stage};

/// A reference of the sample that is held out.
pub(crate) struct Held {
    pub text: SampledText,
    pub key: Digest,
    /// Its number in the older pack, if its record is taken from there.
    pub taken: Option<u32>,
    /// Whether the codec may have been trained on it.
    pub trained_on: bool,
}

/// What was measured.
#[derive(Default)]
pub(crate) struct Measured {
    pub quality: Option<Quality>,
    /// If codebooks were kept.
    pub drift: Option<Drift>,
}

/// Memories of what is held out, as they were computed and as the pack will give them.
pub(crate) struct Pairs<'a> {
    pub sampled: &'a Sampled,
    pub older: Option<&'a Older>,
    pub encoder: &'a Encoder,
}

impl Pairs<'_> {
    pub fn of(&self, held: &Held) -> Result<(Memory, Memory), BuildError> {
        let codec = self.encoder.codec();
        let memory = self.sampled.store.memory(held.text.number)?;
        let mut record = Vec::with_capacity(codec.stride());
        let record = match held.taken.zip(self.older) {
            Some((reference, older)) => older.record(reference)?,
            None => {
                self.encoder.encode(&memory, &mut record)?;
                &record
            }
        };
        let mut decoded = Memory::empty(memory.shape);
        codec.decode_memory(record, &mut decoded).map_err(|source| BuildError::Codec { spec: codec.spec().to_string(), source })?;
        Ok((memory, decoded))
    }
}

impl Job<'_> {
    /// Measures the codec on what is held out. What the older pack says of a codec that it gave stays said where nothing is new.
    pub fn measure(
        &self,
        sampled: &Option<Sampled>,
        older: Option<&Older>,
        encoder: &Encoder,
        stages: &mut Stages<'_>,
    ) -> Result<Measured, BuildError> {
        let Some(sampled) = sampled.as_ref().filter(|_| loses(&encoder.codec().spec())) else { return Ok(Measured::default()) };
        stages.begin(Stage::Measuring, Some(sampled.held.len() as u64));
        let pairs = Pairs { sampled, older, encoder };
        let drift = match older {
            Some(_) if trains(&encoder.codec().spec()) => Some(self.drift(&pairs)?),
            _ => None,
        };
        let told = older.and_then(|older| older.quality().cloned());
        let nothing_new = sampled.held.iter().all(|held| held.taken.is_some());
        let mut untrained: Vec<&Held> = sampled.held.iter().filter(|held| !held.trained_on).collect();
        if untrained.is_empty() || (nothing_new && told.is_some()) {
            return Ok(Measured { quality: told, drift });
        }
        untrained.sort_unstable_by_key(|held| held.key);
        let untrained = untrained.split_off(untrained.len().saturating_sub(HELD_OUT));
        let distortion = self.distortion(untrained.iter().copied(), &pairs)?;
        let divergence = self.divergence(&untrained, &pairs)?;
        self.progress.advance(sampled.held.len() as u64, 0);
        Ok(Measured { quality: distortion.quality(divergence), drift })
    }

    /// What is lost of some of what is held out.
    pub fn distortion<'h>(&self, held: impl Iterator<Item = &'h Held>, pairs: &Pairs<'_>) -> Result<Distortion, BuildError> {
        Ok(self.sampled_distortion(held, pairs)?.whole())
    }

    fn sampled_distortion<'h>(&self, held: impl Iterator<Item = &'h Held>, pairs: &Pairs<'_>) -> Result<SampledDistortion, BuildError> {
        let mut sample = SampledDistortion::new(pairs.encoder.codec().shape());
        for held in held {
            check(self.cancel)?;
            let (memory, decoded) = pairs.of(held)?;
            sample.add(&memory, &decoded);
        }
        Ok(sample)
    }

    fn drift(&self, pairs: &Pairs<'_>) -> Result<Drift, BuildError> {
        let held = &pairs.sampled.held;
        let new = self.sampled_distortion(held.iter().filter(|held| held.taken.is_none()), pairs)?;
        let taken = self.sampled_distortion(held.iter().filter(|held| held.taken.is_some()), pairs)?;
        Ok(Drift { new: (&new).into(), taken: (&taken).into(), trained_on: held.iter().any(|held| held.trained_on) })
    }

    /// How far predictions move; none where no text finds a memory to read.
    fn divergence(&self, held: &[&Held], pairs: &Pairs<'_>) -> Result<Option<Divergence>, BuildError> {
        let texts: Vec<&SampledText> = held.iter().map(|held| &held.text).collect();
        let found = self.predict(&texts, |model, predicted| {
            let reads = &predicted.reads;
            let memories = reads.iter().map(|(other, _)| pairs.of(held[*other])).collect::<Result<Vec<_>, _>>()?;
            let similar = || memories.iter().zip(reads.iter().map(|(_, similarity)| *similarity));
            let exact: Vec<Slot<'_>> = similar().map(|((memory, _), similarity)| Slot { memory, similarity }).collect();
            let lossy: Vec<Slot<'_>> = similar().map(|((_, memory), similarity)| Slot { memory, similarity }).collect();
            Ok((divergence(model, predicted.ids, &exact, &lossy)?, predicted.ids.len() as u64))
        })?;
        let tokens: u64 = found.iter().map(|(_, tokens)| tokens).sum();
        Ok((tokens > 0).then(|| Divergence { nats: found.iter().map(|(nats, _)| nats).sum::<f64>() / tokens as f64, tokens }))
    }
}

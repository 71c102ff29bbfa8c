//! Measures the loss of a pack's codec again, and compares it with the loss that the pack records.
//!
//! Memories are computed again from the pack's texts and compared with its records, as the pack's writer compared them (SPEC 5.1).
//!
//! Both the recorded and the measured loss come from samples. A measured loss counts as worse only if it exceeds the recorded loss by more
//! than [`DEVIATIONS`] standard errors of the difference. The standard error of this sample comes from a jackknife over groups of memories;
//! the writer's is derived from it and the sample size that the pack records, because both samples are drawn from the same memories.

use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use mempack_format::{Divergence, Loss, Memory, Quality, SampledDistortion, jackknife};
use mempack_model::{MAX_PROBES, Probe, Slot, divergence, predicted_probes};
use mempack_numeric::Rng;
use mempack_runtime::{MappedPack, MemoryCache};
use serde::Serialize;

use crate::library::{Library, Passage};
use crate::models::ModelName;
use crate::{EvaluateError, Models};

/// Number of standard errors by which a measured loss may exceed the recorded loss. Over the keys and values of a few dozen layers, about
/// one in a thousand measurements exceeds it by chance.
pub const DEVIATIONS: f64 = 4.0;
/// Relative difference that rounding may add on another machine or with other batches.
const ROUNDING: f64 = 0.01;
/// Minimum share of the selected tokens of computed memories that the records must also have. Ties may be broken differently on another
/// machine.
const MIN_MATCHED: f64 = 0.95;
/// Maximum number of groups of the jackknife.
const GROUPS: usize = SampledDistortion::GROUPS;
/// Memories computed in one pass.
const BATCH: usize = 16;

/// Options of [`measure_quality`].
#[derive(Clone, Copy, Debug)]
pub struct QualityOptions {
    /// Maximum number of references whose memories are computed again.
    pub sample: usize,
    /// Seed of the sample.
    pub seed: u64,
}

impl Default for QualityOptions {
    fn default() -> Self {
        Self { sample: 64, seed: 0 }
    }
}

/// A measured loss and the loss that the pack records.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The measured loss.
    pub measured: f64,
    /// Its standard error; `None` for fewer than two groups.
    pub error: Option<f64>,
    /// The recorded loss; `None` if the pack records none.
    #[serde(rename = "told")]
    pub recorded: Option<f64>,
    /// The largest measured loss that agrees with the recorded one.
    #[serde(rename = "most")]
    pub max: Option<f64>,
}

impl Compared {
    /// `sizes` are the sizes of this sample and of the writer's.
    fn new(measured: f64, error: Option<f64>, recorded: Option<f64>, sizes: (f64, f64)) -> Self {
        let (ours, theirs) = sizes;
        // Without a standard error, the loss itself is the spread.
        let spread = error.unwrap_or(measured) * (1.0 + ours / theirs.max(1.0)).sqrt();
        Self { measured, error, recorded, max: recorded.map(|recorded| recorded * (1.0 + ROUNDING) + DEVIATIONS * spread) }
    }

    /// Whether the measured loss is worse than the recorded one. NaN is worse.
    pub fn is_worse(&self) -> bool {
        self.max.is_some_and(|max| self.measured > max || self.measured.is_nan())
    }
}

/// The losses of one memory layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LayerQuality {
    /// Index of the layer in the model.
    pub layer: u32,
    /// Loss of the keys.
    pub keys: Compared,
    /// Loss of the values.
    pub values: Compared,
}

/// The result of [`measure_quality`].
#[derive(Clone, Debug, Serialize)]
pub struct QualityReport {
    /// Id of the pack.
    pub pack: String,
    /// Its codec.
    pub codec: String,
    /// Name of the model, and of its reading adapter.
    #[serde(flatten)]
    pub model: ModelName,
    /// Number of memories computed again.
    pub memories: u32,
    /// Number of memories that the recorded losses were measured on; `None` if the pack records no losses.
    #[serde(rename = "told_memories")]
    pub recorded_memories: Option<u32>,
    /// Share of the selected tokens of computed memories that the records also have.
    pub matched: f64,
    /// Losses by layer.
    pub layers: Vec<LayerQuality>,
    /// KL divergence in nats per token; `None` if no text retrieved a memory. With a reading adapter it is that of the adapter's predictions,
    /// and compared with none: packs record that of their writer.
    pub divergence: Option<Compared>,
    /// Number of tokens predicted for the divergence.
    pub tokens: u64,
    /// Whether a loss is worse than recorded, or too few tokens match.
    pub worse: bool,
}

/// Measures the loss of a pack's codec. `observe` is called with the number of memories done and their total, and can stop the
/// measurement.
///
/// # Errors
/// If the pack and the models do not match, the sample is empty, the pack is damaged, the model fails, or `observe` stops the measurement.
pub fn measure_quality(
    models: &Models<'_>,
    pack: &Arc<MappedPack>,
    options: &QualityOptions,
    observe: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<QualityReport, EvaluateError> {
    let library = Library::new(models, pack, 1.0)?;
    let count = pack.manifest().counts.references;
    if options.sample == 0 || count == 0 {
        let (found, expected) = (options.sample.to_string(), "at least 1, and a pack with references".to_owned());
        return Err(EvaluateError::Option { option: "sample", found, expected });
    }
    let chosen = choose(count, options);
    let recorded = pack.quality();
    // Neighbours are as similar as the writer's only if they come from a pool of the same size.
    let pool = recorded.map_or(MAX_PROBES, |recorded| (recorded.memories as usize).clamp(2, MAX_PROBES));
    let mut measured = Measured {
        models,
        library: &library,
        cache: MemoryCache::new(64 << 20),
        sample: SampledDistortion::new(pack.manifest().model.shape.clone()),
        sums: Vec::new(),
    };
    let mut done = 0;
    for pool in chosen.chunks(pool) {
        measured.pool(pool, &mut |more| {
            done += more;
            observe(done, chosen.len())
        })?;
    }
    Ok(measured.report(pack, recorded))
}

/// A random sample of references in random order, determined by the seed.
fn choose(count: u32, options: &QualityOptions) -> Vec<u32> {
    let mut random = Rng::from_seed(options.seed);
    let wanted = options.sample.min(count as usize);
    // Floyd's algorithm, which needs no list of all references.
    let mut chosen: Vec<u32> = Vec::with_capacity(wanted);
    let mut seen = HashSet::with_capacity(wanted);
    for last in count as usize - wanted..count as usize {
        let drawn = random.below(last + 1) as u32;
        let drawn = if seen.insert(drawn) { drawn } else { last as u32 };
        seen.insert(drawn);
        chosen.push(drawn);
    }
    for at in (1..chosen.len()).rev() {
        chosen.swap(at, random.below(at + 1));
    }
    chosen
}

struct Measured<'a> {
    models: &'a Models<'a>,
    library: &'a Library,
    cache: MemoryCache,
    sample: SampledDistortion,
    /// Nats and tokens of each predicted text.
    sums: Vec<(f64, u64)>,
}

impl Measured<'_> {
    /// Computes the memories of some references, compares them with the records, and predicts each text from the memories of others.
    fn pool(&mut self, references: &[u32], done: &mut dyn FnMut(usize) -> ControlFlow<()>) -> Result<(), EvaluateError> {
        let (model, pack) = (self.models.model, self.library.pack());
        let passages = references.iter().map(|reference| self.library.passage_of(*reference, 1.0));
        let passages: Vec<Passage> = passages.collect::<Result<_, _>>()?;
        let mut exact: Vec<Memory> = Vec::with_capacity(passages.len());
        for batch in passages.chunks(BATCH) {
            let ids: Vec<&[u32]> = batch.iter().map(|passage| passage.reference.ids.as_slice()).collect();
            exact.extend(model.write(&ids)?);
            if done(batch.len()).is_break() {
                return Err(EvaluateError::Interrupted);
            }
        }
        let lossy = references.iter().map(|reference| self.cache.get(pack, *reference)).collect::<Result<Vec<_>, _>>()?;
        for (exact, lossy) in exact.iter().zip(&lossy) {
            self.sample.add(exact, lossy);
        }
        let embeddings = references.iter().map(|reference| self.library.embedding(*reference)).collect::<Result<Vec<_>, _>>()?;
        let probes: Vec<Probe<'_>> =
            passages.iter().zip(&embeddings).map(|(passage, embedding)| Probe { ids: &passage.reference.ids, embedding }).collect();
        for (at, nearest) in predicted_probes(model.memory(), &probes) {
            if done(0).is_break() {
                return Err(EvaluateError::Interrupted);
            }
            let (exact, lossy) = (read(&nearest, |other| &exact[other]), read(&nearest, |other| &lossy[other]));
            let nats = divergence(model, probes[at].ids, &exact, &lossy)?;
            self.sums.push((nats, probes[at].ids.len() as u64));
        }
        Ok(())
    }

    fn report(self, pack: &MappedPack, recorded: Option<&Quality>) -> QualityReport {
        let manifest = pack.manifest();
        let whole = self.sample.whole();
        let without: Vec<Vec<Loss>> = self.sample.without_one().iter().map(|part| part.layers()).collect();
        let sizes = (f64::from(whole.memories()), recorded.map_or(1.0, |recorded| f64::from(recorded.memories)));
        let layers = whole.layers().into_iter().enumerate().zip(manifest.model.first_memory_layer..).map(|((at, loss), layer)| {
            let recorded = recorded.and_then(|recorded| recorded.layers.get(at));
            let compared = |of: fn(&Loss) -> f64| {
                let error = jackknife(without.iter().map(|layers| of(&layers[at])));
                Compared::new(of(&loss), error, recorded.map(of), sizes)
            };
            LayerQuality { layer, keys: compared(|loss| loss.keys), values: compared(|loss| loss.values) }
        });
        let layers: Vec<LayerQuality> = layers.collect();
        // The pack records how far the predictions of the model that wrote it move.
        let model = ModelName::of(self.models.model);
        let comparable = recorded.filter(|_| model.reader.is_none());
        let (divergence, tokens) = self.divergence(comparable.and_then(|recorded| recorded.divergence));
        let matched = whole.matched();
        let worse = layers.iter().any(|layer| layer.keys.is_worse() || layer.values.is_worse());
        let worse = worse || divergence.is_some_and(|divergence| divergence.is_worse()) || matched < MIN_MATCHED;
        QualityReport {
            pack: pack.id().to_string(),
            codec: manifest.codec.clone(),
            model,
            memories: whole.memories(),
            recorded_memories: recorded.map(|recorded| recorded.memories),
            matched,
            layers,
            divergence,
            tokens,
            worse,
        }
    }

    fn divergence(&self, recorded: Option<Divergence>) -> (Option<Compared>, u64) {
        let mean = |without: Option<usize>| {
            let kept = self.sums.iter().enumerate().filter(|(text, _)| without.is_none_or(|group| text % GROUPS != group));
            let (nats, tokens) = kept.fold((0.0, 0), |(nats, tokens), (_, (n, t))| (nats + n, tokens + t));
            (nats / tokens.max(1) as f64, tokens)
        };
        let (measured, tokens) = mean(None);
        if tokens == 0 {
            return (None, 0);
        }
        let groups = GROUPS.min(self.sums.len());
        let error = jackknife((0..groups).map(|group| mean(Some(group)).0));
        let sizes = (tokens as f64, recorded.map_or(1.0, |recorded| recorded.tokens as f64));
        (Some(Compared::new(measured, error, recorded.map(|recorded| recorded.nats), sizes)), tokens)
    }
}

/// Memories in the form that the model's reader accepts.
fn read<'m>(nearest: &[(usize, f32)], memory: impl Fn(usize) -> &'m Memory) -> Vec<Slot<'m>> {
    nearest.iter().map(|(other, similarity)| Slot { memory: memory(*other), similarity: *similarity }).collect()
}

impl fmt::Display for QualityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { codec, memories, matched, tokens, .. } = self;
        let recorded = self.recorded_memories.map_or("the pack records none".to_owned(), |count| format!("the pack records {count}"));
        writeln!(f, "codec {codec}, {memories} memories computed again ({recorded}), {:.2}% of their tokens in the pack", 100.0 * matched)?;
        writeln!(f, "{:<12} {:>10} {:>10} {:>10} {:>10}", "", "measured", "+-", "told", "at most")?;
        let mut row = |name: String, compared: &Compared| {
            let number = |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.6}"));
            let Compared { measured, error, recorded, max } = compared;
            let mark = if compared.is_worse() { "  worse" } else { "" };
            let (error, recorded, max) = (number(*error), number(*recorded), number(*max));
            writeln!(f, "{name:<12} {measured:>10.6} {error:>10} {recorded:>10} {max:>10}{mark}")
        };
        for layer in &self.layers {
            row(format!("keys {}", layer.layer), &layer.keys)?;
            row(format!("values {}", layer.layer), &layer.values)?;
        }
        if let Some(divergence) = &self.divergence {
            row("KL, nats".to_owned(), divergence)?;
            writeln!(f, "KL divergence per token, over {tokens} tokens")?;
            if self.model.reader.is_some() {
                writeln!(f, "of the predictions of {}; the pack records the writer's", self.model)?;
            }
        }
        if *matched < MIN_MATCHED {
            writeln!(f, "the memories do not belong to these texts: too few tokens match")?;
        }
        let verdict = match (self.worse, self.recorded_memories) {
            (true, _) => "worse than recorded",
            (false, Some(_)) => "no worse than recorded",
            (false, None) => "the pack does not record the loss of its codec",
        };
        writeln!(f, "{verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_of_different_references_and_follows_from_the_seed() {
        for (count, sample) in [(10, 10), (10, 3), (1, 5), (100_000, 64)] {
            let chosen = choose(count, &QualityOptions { sample, seed: 7 });
            let mut sorted = chosen.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), sample.min(count as usize));
            assert!(sorted.iter().all(|reference| *reference < count));
            assert_eq!(chosen, choose(count, &QualityOptions { sample, seed: 7 }));
        }
        assert_ne!(choose(1000, &QualityOptions { sample: 9, seed: 1 }), choose(1000, &QualityOptions { sample: 9, seed: 2 }));
    }

    #[test]
    fn worse_is_beyond_what_sampling_explains() {
        let compared = |measured, recorded| Compared::new(measured, Some(0.01), Some(recorded), (64.0, 64.0));
        assert!(!compared(0.1, 0.1).is_worse() && !compared(0.05, 0.1).is_worse());
        // 4 * 0.01 * sqrt(2) is 0.057.
        assert!(!compared(0.15, 0.1).is_worse() && compared(0.16, 0.1).is_worse());
        assert!(compared(f64::NAN, 0.1).is_worse() && !Compared::new(9.0, None, None, (1.0, 1.0)).is_worse());
    }
}

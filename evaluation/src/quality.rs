//! What a pack's codec loses, measured again: memories are written anew from the pack's texts and compared with its records, as its
//! writer compared them (SPEC 5.1), and what comes out with what the pack says.
//!
//! Both figures are of samples. One counts as worse than told only beyond what sampling explains: [`DEVIATIONS`] standard errors of
//! the difference, of which the sample here tells its own (a jackknife over groups of memories) and, as its memories are of the same
//! kind, those of the writer's from the number that the pack names.

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
use crate::{EvaluateError, Models};

/// How many standard errors a figure may be above what was told. Among the keys and values of some dozens of layers one is
/// above it by chance in about a thousand measurements.
pub const DEVIATIONS: f64 = 4.0;
/// Share of what was told that rounding may add: another machine, other batches.
const ROUNDING: f64 = 0.01;
/// Share of the tokens of memories written anew that the records must have: ties may fall otherwise on another machine.
const LEAST_MATCHED: f64 = 0.95;
/// Groups of the jackknife, at most.
const GROUPS: usize = SampledDistortion::GROUPS;
/// Memories that are written in one pass.
const BATCH: usize = 16;

/// How a pack is measured.
#[derive(Clone, Copy, Debug)]
pub struct QualityOptions {
    /// References whose memories are written anew, at most.
    pub sample: usize,
    /// Decides which.
    pub seed: u64,
}

impl Default for QualityOptions {
    fn default() -> Self {
        Self { sample: 64, seed: 0 }
    }
}

/// A figure, and what the pack says of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// What was measured.
    pub measured: f64,
    /// The standard error of that; none of fewer than two groups.
    pub error: Option<f64>,
    /// What the pack says.
    pub told: Option<f64>,
    /// The most that agrees with what it says.
    pub most: Option<f64>,
}

impl Compared {
    /// `sizes` are those of the sample here and of the writer's.
    fn new(measured: f64, error: Option<f64>, told: Option<f64>, sizes: (f64, f64)) -> Self {
        let (ours, theirs) = sizes;
        // What nothing is known of may be off by itself.
        let spread = error.unwrap_or(measured) * (1.0 + ours / theirs.max(1.0)).sqrt();
        Self { measured, error, told, most: told.map(|told| told * (1.0 + ROUNDING) + DEVIATIONS * spread) }
    }

    /// Whether it is worse than what the pack says.
    pub fn is_worse(&self) -> bool {
        // What is no number is not good.
        self.most.is_some_and(|most| self.measured > most || self.measured.is_nan())
    }
}

/// A memory layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LayerQuality {
    /// Its number in the model.
    pub layer: u32,
    /// What is lost of its keys.
    pub keys: Compared,
    /// What is lost of its values.
    pub values: Compared,
}

/// What was measured of a pack.
#[derive(Clone, Debug, Serialize)]
pub struct QualityReport {
    /// Id of the pack.
    pub pack: String,
    /// Its codec.
    pub codec: String,
    /// Name of the model.
    pub model: String,
    /// Memories written anew.
    pub memories: u32,
    /// Memories that the pack's writer measured on.
    pub told_memories: Option<u32>,
    /// Share of the tokens of memories written anew that the records have too.
    pub matched: f64,
    /// Layer by layer.
    pub layers: Vec<LayerQuality>,
    /// Divergence in nats a token, if a text found memories to read.
    pub divergence: Option<Compared>,
    /// Tokens predicted for it.
    pub tokens: u64,
    /// Whether anything is worse than the pack says.
    pub worse: bool,
}

/// Measures what the codec of a pack loses. `observe` hears of memories done and of how many there are, and may break off.
///
/// # Errors
/// If the parts do not belong together, the sample is empty, the pack is damaged, the model fails, or `observe` broke off.
pub fn measure_quality(
    models: &Models<'_>,
    pack: &Arc<MappedPack>,
    options: &QualityOptions,
    observe: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<QualityReport, EvaluateError> {
    let library = Library::new(models.model, models.embedder, pack, 1.0)?;
    let count = pack.manifest().counts.references;
    if options.sample == 0 || count == 0 {
        let (found, expected) = (options.sample.to_string(), "at least 1, and a pack with references".to_owned());
        return Err(EvaluateError::Option { option: "sample", found, expected });
    }
    let chosen = choose(count, options);
    let told = pack.quality();
    // Neighbours are as near as they were to the writer only among as many.
    let pool = told.map_or(MAX_PROBES, |told| (told.memories as usize).clamp(2, MAX_PROBES));
    let mut measured = Measured {
        models,
        library: &library,
        cache: MemoryCache::new(64 << 20),
        sample: SampledDistortion::new(pack.manifest().model.shape),
        sums: Vec::new(),
    };
    let mut done = 0;
    for pool in chosen.chunks(pool) {
        measured.pool(pool, &mut |more| {
            done += more;
            observe(done, chosen.len())
        })?;
    }
    Ok(measured.report(pack, told))
}

/// References in a random order that the seed decides.
fn choose(count: u32, options: &QualityOptions) -> Vec<u32> {
    let mut random = Rng::from_seed(options.seed);
    let wanted = options.sample.min(count as usize);
    // Robert Floyd's sampling: no list of all references is needed.
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
    /// Of each text predicted: nats, and tokens.
    sums: Vec<(f64, u64)>,
}

impl Measured<'_> {
    /// Writes the memories of some references anew, compares them, and predicts each text from those of the others.
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

    fn report(self, pack: &MappedPack, told: Option<&Quality>) -> QualityReport {
        let manifest = pack.manifest();
        let whole = self.sample.whole();
        let without: Vec<Vec<Loss>> = self.sample.without_one().iter().map(|part| part.layers()).collect();
        let sizes = (f64::from(whole.memories()), told.map_or(1.0, |told| f64::from(told.memories)));
        let layers = whole.layers().into_iter().enumerate().zip(manifest.model.first_memory_layer..).map(|((at, loss), layer)| {
            let told = told.and_then(|told| told.layers.get(at));
            let compared = |of: fn(&Loss) -> f64| {
                let error = jackknife(without.iter().map(|layers| of(&layers[at])));
                Compared::new(of(&loss), error, told.map(of), sizes)
            };
            LayerQuality { layer, keys: compared(|loss| loss.keys), values: compared(|loss| loss.values) }
        });
        let layers: Vec<LayerQuality> = layers.collect();
        let (divergence, tokens) = self.divergence(told.and_then(|told| told.divergence));
        let matched = whole.matched();
        let worse = layers.iter().any(|layer| layer.keys.is_worse() || layer.values.is_worse());
        let worse = worse || divergence.is_some_and(|divergence| divergence.is_worse()) || matched < LEAST_MATCHED;
        QualityReport {
            pack: pack.id().to_string(),
            codec: manifest.codec.clone(),
            model: self.models.model.identity().name.clone(),
            memories: whole.memories(),
            told_memories: told.map(|told| told.memories),
            matched,
            layers,
            divergence,
            tokens,
            worse,
        }
    }

    fn divergence(&self, told: Option<Divergence>) -> (Option<Compared>, u64) {
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
        let sizes = (tokens as f64, told.map_or(1.0, |told| told.tokens as f64));
        (Some(Compared::new(measured, error, told.map(|told| told.nats), sizes)), tokens)
    }
}

/// Memories as a reader takes them.
fn read<'m>(nearest: &[(usize, f32)], memory: impl Fn(usize) -> &'m Memory) -> Vec<Slot<'m>> {
    nearest.iter().map(|(other, similarity)| Slot { memory: memory(*other), similarity: *similarity }).collect()
}

impl fmt::Display for QualityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { codec, memories, matched, tokens, .. } = self;
        let of = self.told_memories.map_or("the pack says nothing".to_owned(), |told| format!("the pack tells of {told}"));
        writeln!(f, "codec {codec}, {memories} memories written anew ({of}), {:.2}% of their tokens in the pack", 100.0 * matched)?;
        writeln!(f, "{:<12} {:>10} {:>10} {:>10} {:>10}", "", "measured", "+-", "told", "at most")?;
        let mut row = |name: String, compared: &Compared| {
            let number = |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.6}"));
            let Compared { measured, error, told, most } = compared;
            let mark = if compared.is_worse() { "  worse" } else { "" };
            let (error, told, most) = (number(*error), number(*told), number(*most));
            writeln!(f, "{name:<12} {measured:>10.6} {error:>10} {told:>10} {most:>10}{mark}")
        };
        for layer in &self.layers {
            row(format!("keys {}", layer.layer), &layer.keys)?;
            row(format!("values {}", layer.layer), &layer.values)?;
        }
        if let Some(divergence) = &self.divergence {
            row("KL, nats".to_owned(), divergence)?;
            writeln!(f, "KL divergence a token, over {tokens} tokens")?;
        }
        if *matched < LEAST_MATCHED {
            writeln!(f, "the memories are not those of these texts: too few tokens are the same")?;
        }
        let verdict = match (self.worse, self.told_memories) {
            (true, _) => "worse than the pack says",
            (false, Some(_)) => "no worse than the pack says",
            (false, None) => "the pack says nothing of what its codec loses",
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
        let compared = |measured, told| Compared::new(measured, Some(0.01), Some(told), (64.0, 64.0));
        assert!(!compared(0.1, 0.1).is_worse() && !compared(0.05, 0.1).is_worse());
        // Four times 0.01 times the root of two is 0.057.
        assert!(!compared(0.15, 0.1).is_worse() && compared(0.16, 0.1).is_worse());
        assert!(compared(f64::NAN, 0.1).is_worse() && !Compared::new(9.0, None, None, (1.0, 1.0)).is_worse());
    }
}

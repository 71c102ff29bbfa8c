//! How far a model's predictions move if it reads memories that were encoded and decoded by a codec.

use crate::memory_config::MemoryConfig;
use crate::overlap::{DEFAULT_OVERLAP, overlaps};
use crate::{ComputeError, Model, ReaderOptions, Slot};

/// Max number of memories among which probes read each other. Building a pack and measuring it again use the same number, so that the
/// nearest probes are equally near.
pub const MAX_PROBES: usize = 64;
/// Max number of probes that are predicted.
const MAX_PREDICTED: usize = 32;

/// A reference that is predicted while the memories of similar references are read.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// Its tokens, from which its memory was written.
    pub ids: &'a [u32],
    /// Its embedding, a unit vector.
    pub embedding: &'a [f32],
}

/// The probes to predict: the first ones with others to read, by index, each with the indices and similarities of the probes it reads.
pub fn predicted_probes(memory: &MemoryConfig, probes: &[Probe<'_>]) -> Vec<(usize, Vec<(usize, f32)>)> {
    let reads = (0..probes.len()).map(|at| (at, nearest_probes(memory, probes, at)));
    reads.filter(|(_, nearest)| !nearest.is_empty()).take(MAX_PREDICTED).collect()
}

/// What a probe reads: the nearest other probes that do not repeat it, most similar first, as many as a chunk reads.
fn nearest_probes(memory: &MemoryConfig, probes: &[Probe<'_>], of: usize) -> Vec<(usize, f32)> {
    let text = &probes[of];
    let similarity = |other: &Probe<'_>| text.embedding.iter().zip(other.embedding).map(|(a, b)| a * b).sum::<f32>();
    let others = probes.iter().enumerate().filter(|(at, other)| *at != of && !overlaps(text.ids, other.ids, DEFAULT_OVERLAP));
    let mut nearest: Vec<(usize, f32)> = others.map(|(at, other)| (at, similarity(other))).collect();
    nearest.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    nearest.truncate(memory.memories_per_chunk as usize);
    nearest
}

/// The Kullback-Leibler divergence, in nats summed over the tokens of `text`, from the model's predictions while it reads `exact` to those
/// while it reads `lossy`. Takes two passes of the model.
///
/// # Errors
/// Those of [`Reader::prompt`](crate::Reader::prompt).
pub fn divergence(model: &Model, text: &[u32], exact: &[Slot<'_>], lossy: &[Slot<'_>]) -> Result<f64, ComputeError> {
    let scores = |slots: &[Slot<'_>]| {
        let mut reader = model.reader(&ReaderOptions { capacity: 1 + text.len(), prefix: true })?;
        reader.prompt(text, &[slots.to_vec()], true)
    };
    let (p, q) = (scores(exact)?, scores(lossy)?);
    let vocabulary = model.config().vocabulary.max(1) as usize;
    // Row i predicts token i; the last row predicts what follows the text.
    let rows = p.chunks_exact(vocabulary).zip(q.chunks_exact(vocabulary)).take(text.len());
    Ok(rows.map(|(p, q)| divergence_of_logits(p, q)).sum())
}

/// The Kullback-Leibler divergence in nats from the softmax of the logits `p` to that of `q`, at least 0 in spite of rounding.
pub fn divergence_of_logits(p: &[f32], q: &[f32]) -> f64 {
    let total = |row: &[f32]| {
        let best = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        f64::from(best) + row.iter().map(|score| f64::from(score - best).exp()).sum::<f64>().ln()
    };
    let (of_p, of_q) = (total(p), total(q));
    let terms = p.iter().zip(q).map(|(p, q)| {
        let log = f64::from(*p) - of_p;
        // A probability of 0 adds nothing, whatever the other probability is.
        let probability = log.exp();
        if probability == 0.0 { 0.0 } else { probability * (log - (f64::from(*q) - of_q)) }
    });
    let sum: f64 = terms.sum();
    // NaN stays NaN: it must not look like no divergence.
    if sum < 0.0 { 0.0 } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_divergence_is_the_mean_of_the_logarithms_ratio() {
        let scores = |row: [f32; 3]| row.map(|p| p.ln() + 7.0);
        let found = divergence_of_logits(&scores([0.5, 0.25, 0.25]), &scores([0.25, 0.25, 0.5]));
        let expected = 0.5 * 2f64.ln() - 0.25 * 2f64.ln();
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        assert_eq!(divergence_of_logits(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        // Constants make no difference, large scores do not overflow, and NaN stays NaN.
        assert!(divergence_of_logits(&[1000.0, -1000.0], &[0.0, -2000.0]) < 1e-9);
        assert!(divergence_of_logits(&[f32::NAN, 0.0], &[0.0, 0.0]).is_nan());
    }
}

//! The likelihood of a text.

use mempack_model::{ComputeError, Model, ReaderOptions, Slot};

/// Natural logarithms of the probabilities of the last `targets` tokens of `text`, each given all tokens before it. Runs one pass of the
/// model.
///
/// `chunks` are the memories that each chunk of the text reads. `prefix` is whether the text comes after the reference prefix, which is
/// required to read memories.
///
/// # Errors
/// As [`Reader::prompt`](mempack_model::Reader::prompt).
pub(crate) fn log_probabilities(
    model: &Model,
    prefix: bool,
    text: &[u32],
    targets: usize,
    chunks: &[Vec<Slot<'_>>],
) -> Result<Vec<f64>, ComputeError> {
    let mut reader = model.reader(&ReaderOptions { capacity: 1 + text.len(), prefix })?;
    let scores = reader.prompt(text, chunks, true)?;
    let first = text.len().saturating_sub(targets);
    // Row 0 is the output at the BOS, so row i predicts token i.
    let rows = scores.chunks_exact(model.config().vocabulary.max(1) as usize).skip(first);
    Ok(rows.zip(&text[first..]).map(|(row, target)| log_probability(row, *target as usize)).collect())
}

/// The logarithm of one entry of the softmax of `row`.
fn log_probability(row: &[f32], target: usize) -> f64 {
    let best = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = row.iter().map(|score| f64::from((score - best).exp())).sum();
    f64::from(row[target] - best) - total.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_are_those_of_the_softmax() {
        let row = [0.1f32, 0.2, 0.3, 0.4].map(f32::ln);
        for (target, probability) in [0.1f64, 0.2, 0.3, 0.4].into_iter().enumerate() {
            assert!((log_probability(&row, target) - probability.ln()).abs() < 1e-6);
        }
        // Large scores overflow nothing.
        assert!((log_probability(&[1000.0, 1000.0], 1) - 0.5f64.ln()).abs() < 1e-9);
        assert!(log_probability(&[1000.0, -1000.0], 1) < -1999.0);
    }
}

//! How probable the model held its answer to be.

/// Adds up the log-probabilities of an answer's tokens.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Confidence {
    sum: f64,
    tokens: usize,
}

impl Confidence {
    /// Adds the token that was chosen with these logits.
    pub fn add(&mut self, logits: &[f32], token: u32) {
        self.sum += log_probability(logits, token);
        self.tokens += 1;
    }

    /// The mean log-probability, in nats per token; 0 without tokens.
    pub fn mean(self) -> f64 {
        if self.tokens == 0 { 0.0 } else { self.sum / self.tokens as f64 }
    }
}

/// The natural logarithm of the softmax of `logits` at `token`; minus infinity for a token that they do not have.
fn log_probability(logits: &[f32], token: u32) -> f64 {
    let Some(own) = usize::try_from(token).ok().and_then(|place| logits.get(place)) else { return f64::NEG_INFINITY };
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Without the maximum, large logits would overflow. The sum is at least 1, so that the result is at most 0.
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - top).exp())).sum();
    f64::from(own - top) - sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities() {
        let cases: [(&[f32], u32, f64); 6] = [
            (&[0.0, 0.0], 1, 0.5f64.ln()),
            (&[1.0, 2.0, 3.0], 2, -(1.0 + (-1f64).exp() + (-2f64).exp()).ln()),
            (&[1000.0, 1001.0], 0, -1.0 - (1.0 + (-1f64).exp()).ln()),
            (&[f32::NEG_INFINITY, 4.0], 1, 0.0),
            (&[f32::NEG_INFINITY, 4.0], 0, f64::NEG_INFINITY),
            (&[0.0], 7, f64::NEG_INFINITY),
        ];
        for (logits, token, expected) in cases {
            let found = log_probability(logits, token);
            assert!(found == expected || (found - expected).abs() < 1e-6, "{logits:?} at {token}: {found}, not {expected}");
        }
    }

    #[test]
    fn the_mean_counts_each_token() {
        let mut confidence = Confidence::default();
        assert_eq!(confidence.mean(), 0.0);
        confidence.add(&[0.0, 0.0], 0);
        confidence.add(&[0.0; 8], 3);
        assert!((confidence.mean() - (0.5f64.ln() + 0.125f64.ln()) / 2.0).abs() < 1e-9);
    }
}

//! How sure the model is of its answer.

use mempack_model::AnswerMeasure;

use super::log_probability::LogSoftmax;

/// How sure the model is of an answer, by each measure that was asked for. Both are means over the answer's tokens and the end
/// token, if one ended it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Confidence {
    /// The mean log-probability of the chosen tokens in nats per token, at most 0. The probabilities are the model's own, whatever the
    /// sampling.
    pub log_probability: Option<f64>,
    /// The mean share of attention that goes to memories where these tokens are predicted, 0 to 1: see
    /// [`AnswerMeasure::MemoryAttention`]. `None` also if no memories are read.
    pub memory_attention: Option<f64>,
}

impl Confidence {
    /// The confidence by a measure.
    pub fn get(&self, measure: AnswerMeasure) -> Option<f64> {
        match measure {
            AnswerMeasure::LogProbability => self.log_probability,
            AnswerMeasure::MemoryAttention => self.memory_attention,
        }
    }
}

/// Adds up the measures over an answer's tokens. A measure that nobody asked for costs nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measuring {
    log_probability: Option<f64>,
    memory_attention: Option<f64>,
    tokens: usize,
}

impl Measuring {
    pub fn new(measures: &[AnswerMeasure]) -> Self {
        let begin = |measure| measures.contains(&measure).then_some(0.0);
        Self { log_probability: begin(AnswerMeasure::LogProbability), memory_attention: begin(AnswerMeasure::MemoryAttention), tokens: 0 }
    }

    /// Adds the token that was chosen with these logits, where memories had these shares of attention.
    pub fn add(&mut self, logits: &[f32], token: u32, memory_shares: Option<&[f32]>) {
        if let Some(sum) = &mut self.log_probability {
            *sum += LogSoftmax::new(logits).at(token);
        }
        if let Some(sum) = &mut self.memory_attention {
            *sum += memory_shares.unwrap_or_default().iter().map(|share| f64::from(*share)).sum::<f64>().min(1.0);
        }
        self.tokens += 1;
    }

    /// The means; 0 without tokens.
    pub fn finish(self) -> Confidence {
        let mean = |sum: f64| if self.tokens == 0 { 0.0 } else { sum / self.tokens as f64 };
        Confidence { log_probability: self.log_probability.map(mean), memory_attention: self.memory_attention.map(mean) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_count_each_token_and_only_what_was_asked_for() {
        let both = [AnswerMeasure::LogProbability, AnswerMeasure::MemoryAttention];
        for asked in [&both[..], &both[..1], &both[1..], &[]] {
            let mut measuring = Measuring::new(asked);
            measuring.add(&[0.0, 0.0], 0, Some(&[0.25, 0.25]));
            measuring.add(&[0.0; 8], 3, Some(&[0.25]));
            let found = measuring.finish();
            for (measure, expected) in [(both[0], (0.5f64.ln() + 0.125f64.ln()) / 2.0), (both[1], 0.375)] {
                assert_eq!(found.get(measure).is_some(), asked.contains(&measure), "{measure} of {asked:?}");
                assert!(found.get(measure).is_none_or(|mean| (mean - expected).abs() < 1e-9), "{measure}: {found:?}");
            }
        }
        assert_eq!(Measuring::new(&both).finish().log_probability, Some(0.0));
    }
}

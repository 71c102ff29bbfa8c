//! How probable the model found the tokens of an answer.

use mempack_model::{TextTokenizer, TokenText};

/// Largest number of alternatives for each token.
pub const MAX_TOP_LOG_PROBABILITIES: usize = 20;

/// A token with the probability that the model gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogProbability {
    /// The token.
    pub token: u32,
    /// The text of the token alone, with U+FFFD for parts of characters. A special token has its name here.
    pub text: String,
    /// Its bytes, which may be a part of a character; `None` of a special token, which adds nothing to a text.
    pub bytes: Option<Vec<u8>>,
    /// The natural logarithm of its probability, at most 0. The probability is the model's own (the softmax of its logits), whatever the sampling.
    pub log_probability: f64,
}

/// A token of an answer with its probability, and what was more probable.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogProbabilities {
    /// The token.
    pub token: u32,
    /// The text of the token alone: see [`TokenLogProbability::text`].
    pub text: String,
    /// Its bytes: see [`TokenLogProbability::bytes`].
    pub bytes: Option<Vec<u8>>,
    /// The natural logarithm of its probability: see [`TokenLogProbability::log_probability`].
    pub log_probability: f64,
    /// The most probable tokens in its place, as many as were asked for, the most probable first; equal ones in the order of their ids. It is among them
    /// if it is one of them.
    pub top: Vec<TokenLogProbability>,
}

impl TokenLogProbabilities {
    /// Those of a token that was chosen with these logits, and of the `top` most probable ones.
    pub(crate) fn new(tokenizer: &TextTokenizer, logits: &[f32], token: u32, top: usize) -> Self {
        let softmax = LogSoftmax::new(logits);
        let of = |token: u32| {
            let text = tokenizer.token_text(token);
            TokenLogProbability {
                token,
                text: text.as_ref().map(TokenText::to_text).unwrap_or_default(),
                bytes: text.as_ref().and_then(TokenText::bytes).map(<[u8]>::to_vec),
                log_probability: softmax.at(token),
            }
        };
        let TokenLogProbability { token, text, bytes, log_probability } = of(token);
        Self { token, text, bytes, log_probability, top: largest(logits, top).into_iter().map(of).collect() }
    }
}

/// The logarithm of the softmax of logits.
pub(crate) struct LogSoftmax<'a> {
    logits: &'a [f32],
    largest: f32,
    /// The logarithm of the sum of exponentials, without the largest logit.
    log_sum: f64,
}

impl<'a> LogSoftmax<'a> {
    pub fn new(logits: &'a [f32]) -> Self {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Without the maximum, large logits would overflow. The sum is at least 1, so that results are at most 0.
        let sum: f64 = logits.iter().map(|logit| f64::from((logit - largest).exp())).sum();
        Self { logits, largest, log_sum: sum.ln() }
    }

    /// The natural logarithm of the probability of a token; minus infinity for one that has no logit.
    pub fn at(&self, token: u32) -> f64 {
        let own = usize::try_from(token).ok().and_then(|place| self.logits.get(place));
        own.map_or(f64::NEG_INFINITY, |own| f64::from(own - self.largest) - self.log_sum)
    }
}

/// The tokens with the `count` largest logits, the largest first; equal ones in the order of their ids.
fn largest(logits: &[f32], count: usize) -> Vec<u32> {
    let mut found: Vec<(f32, u32)> = Vec::with_capacity(count + 1);
    for (id, &logit) in (0u32..).zip(logits) {
        if found.len() == count && found.last().is_none_or(|(least, _)| *least >= logit) {
            continue;
        }
        found.insert(found.partition_point(|(other, _)| *other >= logit), (logit, id));
        found.truncate(count);
    }
    found.into_iter().map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            let found = LogSoftmax::new(logits).at(token);
            assert!(found == expected || (found - expected).abs() < 1e-6, "{logits:?} at {token}: {found}, not {expected}");
        }
    }

    proptest! {
        /// Against the definition in f64, over all tokens.
        #[test]
        fn all_probabilities_follow_the_definition(logits in prop::collection::vec(-40.0f32..40.0, 1..80)) {
            let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            let softmax = LogSoftmax::new(&logits);
            let mut sum = 0.0;
            for (id, logit) in (0u32..).zip(&logits) {
                let (found, expected) = (softmax.at(id), f64::from(*logit) - total.ln());
                prop_assert!((found - expected).abs() < 1e-5 && found <= 0.0, "{found}, not {expected}");
                sum += found.exp();
            }
            prop_assert!((sum - 1.0).abs() < 1e-5);
        }

        #[test]
        fn the_largest_are_those_of_a_sort(logits in prop::collection::vec(-4i8..4, 0..60), count in 0usize..25) {
            let logits: Vec<f32> = logits.into_iter().map(f32::from).collect();
            let mut all: Vec<u32> = (0..logits.len() as u32).collect();
            all.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)));
            all.truncate(count);
            prop_assert_eq!(largest(&logits, count), all);
        }
    }
}

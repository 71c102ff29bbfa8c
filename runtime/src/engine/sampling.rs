//! Chooses the next token from logits.

use mempack_numeric::Rng;

use super::error::OptionError;

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Sampling {
    /// The most probable token; a tie goes to the lower id.
    #[default]
    Greedy,
    /// Nucleus sampling: the logits are divided by `temperature`, and a token is drawn from the smallest set whose probability reaches
    /// `top_p`.
    TopP {
        /// Above 0. 1 is the model's own distribution.
        temperature: f32,
        /// Above 0, at most 1.
        top_p: f32,
        /// Seed of the generator. The same seed, question and pack give the same answer.
        seed: u64,
    },
}

impl Sampling {
    pub(crate) fn check(&self) -> Result<(), OptionError> {
        let Self::TopP { temperature, top_p, .. } = *self else { return Ok(()) };
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(OptionError::new("temperature", temperature, "a number above 0"));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(OptionError::new("top_p", top_p, "a number above 0, at most 1"));
        }
        Ok(())
    }
}

/// Chooses the tokens of one answer.
pub(crate) struct Sampler {
    sampling: Sampling,
    rng: Rng,
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling) -> Self {
        let seed = if let Sampling::TopP { seed, .. } = sampling { seed } else { 0 };
        Self { sampling, rng: Rng::from_seed(seed) }
    }

    /// The next token, or `None` if `logits` have no finite maximum (empty, NaN, infinite).
    pub(crate) fn choose(&mut self, logits: &[f32]) -> Option<u32> {
        let best = argmax(logits)?;
        match self.sampling {
            Sampling::Greedy => Some(best.0),
            Sampling::TopP { temperature, top_p, .. } => {
                let draw = self.rng.uniform();
                Some(nucleus(logits, best, f64::from(temperature), f64::from(top_p), draw))
            }
        }
    }
}

fn argmax(logits: &[f32]) -> Option<(u32, f32)> {
    let mut best: Option<(u32, f32)> = None;
    for (id, &logit) in (0u32..).zip(logits) {
        if logit.is_nan() {
            return None;
        }
        if best.is_none_or(|(_, top)| logit > top) {
            best = Some((id, logit));
        }
    }
    best.filter(|(_, top)| top.is_finite())
}

/// The token at quantile `draw` (in `[0, 1)`) of the nucleus's distribution.
fn nucleus(logits: &[f32], best: (u32, f32), temperature: f64, top_p: f64, draw: f64) -> u32 {
    let weight = |logit: f32| ((f64::from(logit) - f64::from(best.1)) / temperature).exp();
    let mut tokens: Vec<(u32, f64)> = (0u32..).zip(logits).map(|(id, &logit)| (id, weight(logit))).collect();
    let total: f64 = tokens.iter().map(|(_, weight)| weight).sum();
    if top_p < 1.0 {
        // A token below this weight cannot be in the nucleus: together, these tokens weigh less than 1 - top_p.
        let floor = total * (1.0 - top_p) / tokens.len() as f64;
        tokens.retain(|&(id, weight)| weight >= floor || id == best.0);
        tokens.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut kept = 0.0;
        let reached = tokens.iter().position(|(_, weight)| {
            kept += weight;
            kept >= total * top_p
        });
        tokens.truncate(reached.map_or(tokens.len(), |last| last + 1));
    }
    let mut left = draw * tokens.iter().map(|(_, weight)| weight).sum::<f64>();
    for &(id, weight) in &tokens {
        left -= weight;
        if left < 0.0 {
            return id;
        }
    }
    // Rounding can leave a small positive rest.
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn top_p(temperature: f32, top_p: f32, seed: u64) -> Sampler {
        Sampler::new(Sampling::TopP { temperature, top_p, seed })
    }

    /// The nucleus by its definition: sort all tokens, and add them until `top_p` is reached.
    fn slow_nucleus(logits: &[f32], temperature: f64, top_p: f64) -> Vec<u32> {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut all: Vec<(u32, f64)> =
            (0..).zip(logits).map(|(i, &l)| (i, ((f64::from(l) - f64::from(top)) / temperature).exp())).collect();
        let total: f64 = all.iter().map(|x| x.1).sum();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut sum = 0.0;
        let mut kept = Vec::new();
        for (id, weight) in all {
            if sum >= total * top_p {
                break;
            }
            sum += weight;
            kept.push(id);
        }
        kept
    }

    proptest! {
        #[test]
        fn draws_lie_in_the_nucleus(logits in proptest::collection::vec(-20.0f32..20.0, 1..60), seed: u64, p in 0.05f32..1.0, t in 0.1f32..3.0) {
            let nucleus = slow_nucleus(&logits, f64::from(t), f64::from(p));
            let mut sampler = top_p(t, p, seed);
            for _ in 0..20 {
                let token = sampler.choose(&logits).unwrap();
                prop_assert!(nucleus.contains(&token), "{} not in {:?}", token, nucleus);
            }
        }

        #[test]
        fn a_seed_reproduces(logits in proptest::collection::vec(-5.0f32..5.0, 1..60), seed: u64) {
            let (mut a, mut b) = (top_p(1.0, 0.9, seed), top_p(1.0, 0.9, seed));
            for _ in 0..20 {
                prop_assert_eq!(a.choose(&logits), b.choose(&logits));
            }
        }

        #[test]
        fn any_logits_give_a_token_or_none(logits in proptest::collection::vec(proptest::num::f32::ANY, 0..20), seed: u64) {
            for sampling in [Sampling::Greedy, Sampling::TopP { temperature: 0.7, top_p: 0.9, seed }, Sampling::TopP { temperature: 1.0, top_p: 1.0, seed }] {
                if let Some(token) = Sampler::new(sampling).choose(&logits) {
                    prop_assert!((token as usize) < logits.len());
                }
            }
        }

        #[test]
        fn greedy_takes_the_first_maximum(logits in proptest::collection::vec(-3i8..3, 1..40)) {
            let logits: Vec<f32> = logits.into_iter().map(f32::from).collect();
            let token = Sampler::new(Sampling::Greedy).choose(&logits).unwrap() as usize;
            prop_assert!(logits.iter().all(|&l| l <= logits[token]));
            prop_assert!(logits[..token].iter().all(|&l| l < logits[token]));
        }
    }

    #[test]
    fn frequencies_follow_the_distribution() {
        let logits: Vec<f32> = [0.5f32, 0.3, 0.2].iter().map(|p| p.ln()).collect();
        let mut sampler = top_p(1.0, 1.0, 7);
        let mut counts = [0u32; 3];
        (0..20_000).for_each(|_| counts[sampler.choose(&logits).unwrap() as usize] += 1);
        for (count, expected) in counts.iter().zip([10_000f64, 6_000.0, 4_000.0]) {
            assert!((f64::from(*count) - expected).abs() < 300.0, "{counts:?}");
        }
    }

    #[test]
    fn options_out_of_range_are_refused() {
        for (temperature, p) in [(0.0, 0.9), (f32::NAN, 0.9), (f32::INFINITY, 0.9), (1.0, 0.0), (1.0, 1.1), (1.0, f32::NAN)] {
            assert!(Sampling::TopP { temperature, top_p: p, seed: 0 }.check().is_err());
        }
    }
}

//! Whether a loss has run away.

use serde::{Deserialize, Serialize};

use crate::DivergenceConfig;

/// Weight of a part in the running mean of its source.
pub(crate) const MEAN: f64 = 0.05;

/// Running means of the loss, of each source its own: what one loses at the best of times may be many times what another does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Means(Vec<Mean>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mean {
    loss: f64,
    /// Parts of steps in it.
    parts: u64,
    /// The last parts, which are not in it: far above it, one after the other.
    #[serde(default)]
    above: u64,
}

impl Means {
    /// Adds what a part of the source lost. True if its loss has run away: so many parts one after the other lost far more than those before,
    /// or one something that is no number. A batch of a few hard sequences is no divergence.
    pub fn add(&mut self, rules: &DivergenceConfig, source: usize, loss: f64) -> bool {
        if self.0.len() <= source {
            self.0.resize(source + 1, Mean::default());
        }
        let mean = &mut self.0[source];
        if !loss.is_finite() {
            return true;
        }
        if mean.parts > 0 && mean.parts >= rules.patience && loss > rules.factor * mean.loss {
            mean.above += 1;
            return mean.above >= rules.times;
        }
        mean.loss = if mean.parts == 0 { loss } else { (1.0 - MEAN) * mean.loss + MEAN * loss };
        mean.parts += 1;
        mean.above = 0;
        false
    }

    /// Whether the last part of no source was far above its mean: otherwise the weights may be ruined already.
    pub fn calm(&self) -> bool {
        self.0.iter().all(|mean| mean.above == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Means of an easy source, and of one on which ten times as much is lost.
    fn seen(rules: &DivergenceConfig) -> Means {
        let mut means = Means::default();
        for part in 0..20 {
            let (source, loss) = [(0, 0.1), (1, 1.0)][part % 2];
            assert!(!means.add(rules, source, loss));
        }
        means
    }

    #[test]
    fn a_loss_is_held_against_others_of_its_source() {
        let rules = DivergenceConfig { factor: 3.0, patience: 5, times: 1, ..DivergenceConfig::default() };
        let runs_away = |source, loss| seen(&rules).add(&rules, source, loss);
        assert!(runs_away(0, 0.31) && !runs_away(0, 0.29));
        assert!(!runs_away(1, 2.9) && runs_away(1, 3.1));
        // A source that is new may lose anything but what is no number.
        assert!(!runs_away(2, 9.0) && runs_away(2, f64::NAN) && runs_away(2, f64::INFINITY));
    }

    #[test]
    fn one_hard_batch_is_no_divergence() {
        let rules = DivergenceConfig { factor: 3.0, patience: 5, times: 3, ..DivergenceConfig::default() };
        let mut means = seen(&rules);
        // Twice, and then not again; the other source says nothing of it.
        assert!(!means.add(&rules, 0, 0.5) && !means.add(&rules, 1, 1.0) && !means.calm() && !means.add(&rules, 0, 0.5));
        assert!(!means.add(&rules, 0, 0.1) && means.calm());
        // What was far above the mean is not in it.
        assert!(!means.add(&rules, 0, 0.31) && !means.add(&rules, 0, 0.31) && means.add(&rules, 0, 0.31));
        assert!(seen(&rules).add(&rules, 0, f64::NAN));
    }
}

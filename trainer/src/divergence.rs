//! Detects a diverging loss.

use serde::{Deserialize, Serialize};

use crate::DivergenceConfig;

/// The weight of the latest part in the running mean of its source.
pub(crate) const MEAN: f64 = 0.05;

/// Running means of the loss, one for each source, because the loss of one source may always be many times that of another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RunningMeans(Vec<RunningMean>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunningMean {
    loss: f64,
    /// The number of parts of steps that it averages.
    parts: u64,
    /// The number of latest parts that are far above it in a row. They are not part of the mean.
    #[serde(default)]
    above: u64,
}

impl RunningMeans {
    /// Adds the loss of a part from `source`. Returns whether the loss has diverged: it is not finite, or `times` parts in a row lie above
    /// `factor` times the mean of the parts before. One batch of hard sequences is not a divergence.
    pub fn add(&mut self, rules: &DivergenceConfig, source: usize, loss: f64) -> bool {
        if self.0.len() <= source {
            self.0.resize(source + 1, RunningMean::default());
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

    /// Whether the latest part of every source was near its mean. If not, the weights may be ruined already.
    pub fn calm(&self) -> bool {
        self.0.iter().all(|mean| mean.above == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Means of an easy source, and of one whose loss is ten times as high.
    fn seen(rules: &DivergenceConfig) -> RunningMeans {
        let mut means = RunningMeans::default();
        for part in 0..20 {
            let (source, loss) = [(0, 0.1), (1, 1.0)][part % 2];
            assert!(!means.add(rules, source, loss));
        }
        means
    }

    #[test]
    fn a_loss_is_compared_with_others_of_its_source() {
        let rules = DivergenceConfig { factor: 3.0, patience: 5, times: 1, ..DivergenceConfig::default() };
        let diverges = |source, loss| seen(&rules).add(&rules, source, loss);
        assert!(diverges(0, 0.31) && !diverges(0, 0.29));
        assert!(!diverges(1, 2.9) && diverges(1, 3.1));
        // A new source may have any finite loss.
        assert!(!diverges(2, 9.0) && diverges(2, f64::NAN) && diverges(2, f64::INFINITY));
    }

    #[test]
    fn one_hard_batch_is_not_a_divergence() {
        let rules = DivergenceConfig { factor: 3.0, patience: 5, times: 3, ..DivergenceConfig::default() };
        let mut means = seen(&rules);
        // Twice in a row, but not three times. The other source does not count.
        assert!(!means.add(&rules, 0, 0.5) && !means.add(&rules, 1, 1.0) && !means.calm() && !means.add(&rules, 0, 0.5));
        assert!(!means.add(&rules, 0, 0.1) && means.calm());
        // Parts far above the mean are not part of it.
        assert!(!means.add(&rules, 0, 0.31) && !means.add(&rules, 0, 0.31) && means.add(&rules, 0, 0.31));
        assert!(seen(&rules).add(&rules, 0, f64::NAN));
    }
}

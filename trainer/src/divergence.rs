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
}

impl Means {
    /// Whether a part of the source lost far more than its others do, or something that is no number.
    pub fn ran_away(&self, rules: &DivergenceConfig, source: usize, loss: f64) -> bool {
        let known = self.0.get(source).filter(|mean| mean.parts >= rules.patience);
        !loss.is_finite() || known.is_some_and(|mean| loss > rules.factor * mean.loss)
    }

    /// Adds what a part of the source lost.
    pub fn add(&mut self, source: usize, loss: f64) {
        if self.0.len() <= source {
            self.0.resize(source + 1, Mean::default());
        }
        let mean = &mut self.0[source];
        mean.loss = if mean.parts == 0 { loss } else { (1.0 - MEAN) * mean.loss + MEAN * loss };
        mean.parts += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_held_against_others_of_its_source() {
        let rules = DivergenceConfig { factor: 3.0, patience: 5, ..DivergenceConfig::default() };
        let mut means = Means::default();
        for part in 0..20 {
            // An easy source, and one on which ten times as much is lost.
            let (source, loss) = [(0, 0.1), (1, 1.0)][part % 2];
            assert!(!means.ran_away(&rules, source, loss));
            means.add(source, loss);
        }
        assert!(means.ran_away(&rules, 0, 0.31) && !means.ran_away(&rules, 0, 0.29));
        assert!(!means.ran_away(&rules, 1, 2.9) && means.ran_away(&rules, 1, 3.1));
        // A source that is new may lose anything but what is no number.
        assert!(!means.ran_away(&rules, 2, 9.0) && means.ran_away(&rules, 2, f64::NAN) && means.ran_away(&rules, 2, f64::INFINITY));
    }
}

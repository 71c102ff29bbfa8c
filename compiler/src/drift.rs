//! How well codebooks that were kept fit memories that are new.

use mempack_format::{Distortion, Loss};

/// What a codec loses of some memories.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fit {
    /// How many memories.
    pub memories: u32,
    /// Of all their layers together.
    pub loss: Loss,
}

impl From<&Distortion> for Fit {
    fn from(distortion: &Distortion) -> Self {
        Self { memories: distortion.memories(), loss: distortion.whole() }
    }
}

/// What kept codebooks lose of memories that are new, beside what they lose of those that were taken over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// Of the new references those with the largest keys.
    pub new: Fit,
    /// Of those taken over those with the largest keys, computed again for this.
    pub taken: Fit,
    /// Whether the codebooks may have been trained on some of those taken over, as in packs with few more references than
    /// [`BuildOptions::sample`](crate::BuildOptions::sample). They lose less of those, and a large ratio then tells nothing.
    pub trained_on: bool,
}

impl Drift {
    /// From how much more is lost of new memories on the codebooks should be trained again: a quarter.
    const CLEARLY_WORSE: f64 = 1.25;

    /// Whether the codebooks should be trained again.
    pub fn is_clear(&self) -> bool {
        !self.trained_on && self.ratio().is_some_and(|ratio| ratio > Self::CLEARLY_WORSE)
    }

    /// How much more is lost of the new memories, of keys or values, whichever are worse; 1 is no drift. None where one of the two is
    /// not known.
    pub fn ratio(&self) -> Option<f64> {
        let ratio = |new: f64, taken: f64| (taken > 0.0).then_some(new / taken);
        if self.new.memories == 0 {
            return None;
        }
        let (new, taken) = (self.new.loss, self.taken.loss);
        Some(ratio(new.keys, taken.keys)?.max(ratio(new.values, taken.values)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drift_is_the_worse_of_two_ratios() {
        let fit = |memories, keys, values| Fit { memories, loss: Loss { keys, values } };
        let drift = Drift { new: fit(3, 0.2, 0.3), taken: fit(5, 0.1, 0.3), trained_on: false };
        assert_eq!(drift.ratio(), Some(2.0));
        let swapped = Drift { new: drift.taken, taken: drift.new, ..drift };
        assert!(drift.is_clear() && !swapped.is_clear() && !Drift { trained_on: true, ..drift }.is_clear());
        assert_eq!(Drift { new: Fit::default(), ..drift }.ratio(), None);
        assert_eq!(Drift { taken: Fit::default(), ..drift }.ratio(), None);
    }
}

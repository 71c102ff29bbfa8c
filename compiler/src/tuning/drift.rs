//! How well kept codebooks fit new memories.

use mempack_format::{Loss, SampledDistortion, jackknife};

/// What a codec loses of some memories.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fit {
    /// How many memories.
    pub memories: u32,
    /// Of all their layers together.
    pub loss: Loss,
    /// Its standard errors; `None` for fewer than two memories.
    pub error: Option<Loss>,
}

impl From<&SampledDistortion> for Fit {
    fn from(sample: &SampledDistortion) -> Self {
        let whole = sample.whole();
        let without: Vec<Loss> = sample.without_one().iter().map(|part| part.whole()).collect();
        let error = |of: fn(&Loss) -> f64| jackknife(without.iter().map(of));
        let error = error(|loss| loss.keys).zip(error(|loss| loss.values)).map(|(keys, values)| Loss { keys, values });
        Self { memories: whole.memories(), loss: whole.whole(), error }
    }
}

/// What kept codebooks lose of new memories, compared with what they lose of memories taken from the previous pack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// Loss of the new references with the largest keys.
    pub new: Fit,
    /// Loss of the taken references with the largest keys, whose memories are computed again for this.
    pub taken: Fit,
    /// Whether the codebooks may have been trained on some of the taken references, as in packs with few more references than
    /// [`BuildOptions::sample`](crate::BuildOptions::sample). They lose less of those, so a large ratio then means nothing.
    pub trained_on: bool,
}

impl Drift {
    /// How many times as much must be lost of new memories for codebooks to be trained again.
    const CLEARLY_WORSE: f64 = 1.25;

    /// How many standard errors it must be above that. Loss varies by orders of magnitude between memories: a few outliers are most of
    /// either sum, and it is random whether a small sample has one.
    const CERTAINTY: f64 = 3.0;

    /// Whether the codebooks should be trained again: the loss of new memories is clearly larger, by more than the choice of the samples
    /// explains.
    pub fn is_clear(&self) -> bool {
        let (Some(new), Some(taken)) = (self.new.error, self.taken.error) else { return false };
        let worse = |of: fn(&Loss) -> f64| {
            let above = of(&self.new.loss) - Self::CLEARLY_WORSE * of(&self.taken.loss);
            above > Self::CERTAINTY * of(&new).hypot(Self::CLEARLY_WORSE * of(&taken))
        };
        !self.trained_on && self.ratio().is_some() && (worse(|loss| loss.keys) || worse(|loss| loss.values))
    }

    /// The ratio of the losses of new and taken memories, of keys or values, whichever is larger; 1 means no drift. `None` if one of the
    /// two is not known.
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
    use mempack_format::{Memory, MemoryShape};

    use super::*;

    #[test]
    fn a_drift_is_the_worse_of_two_ratios() {
        let fit = |memories, keys, values| Fit { memories, loss: Loss { keys, values }, error: None };
        let drift = Drift { new: fit(3, 0.2, 0.3), taken: fit(5, 0.1, 0.3), trained_on: false };
        assert_eq!(drift.ratio(), Some(2.0));
        assert_eq!(Drift { new: Fit::default(), ..drift }.ratio(), None);
        assert_eq!(Drift { taken: Fit::default(), ..drift }.ratio(), None);
        // One memory has no standard error.
        assert!(!drift.is_clear());
    }

    const SHAPE: MemoryShape = MemoryShape::new(1, 1, 2, 1);

    /// The fit of memories with two keys and two values a distance of 2 apart, with these errors of both keys.
    fn fit(errors: impl IntoIterator<Item = f32>) -> Fit {
        let memory = |error: f32| Memory {
            shape: SHAPE,
            positions: [0, 1].into(),
            keys: [-1.0 + error, 1.0 + error].into(),
            values: [-1.0, 1.0 + error].into(),
        };
        let mut sample = SampledDistortion::new(SHAPE);
        errors.into_iter().for_each(|error| sample.add(&memory(0.0), &memory(error)));
        (&sample).into()
    }

    #[test]
    fn a_drift_is_clear_if_chance_does_not_explain_it() {
        let drift = |new: Fit, taken: Fit| Drift { new, taken, trained_on: false };
        let alike = |error: f32, count: usize| fit((0..count).map(|index| error * (1.0 + 0.01 * (index % 3) as f32)));
        assert!(drift(alike(0.2, 10), alike(0.1, 60)).is_clear());
        assert!(!drift(alike(0.1, 10), alike(0.2, 60)).is_clear() && !drift(alike(0.11, 10), alike(0.1, 60)).is_clear());
        assert!(!Drift { trained_on: true, ..drift(alike(0.2, 10), alike(0.1, 60)) }.is_clear());
        // One memory in forty loses ten thousand times as much as the others: a sample with two of them says no more than a sample with
        // one.
        let rare = |count: usize, unlike: usize| fit((0..count).map(|index| if index < unlike { 1e-1 } else { 1e-3 }));
        let chance = drift(rare(36, 2), rare(63, 1));
        assert!(chance.ratio().unwrap() > 3.0 && !chance.is_clear(), "{chance:?}");
        // If all new ones are like that, the drift is clear.
        assert!(drift(rare(30, 30), rare(63, 1)).is_clear());
        assert!(!drift(rare(1, 1), rare(63, 1)).is_clear());
    }
}

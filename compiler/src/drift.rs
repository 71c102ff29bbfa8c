//! How well codebooks fit memories that they were not trained on.

use mempack_format::{CodecError, Memory};

use crate::codec::Encoder;

/// What a codec loses of some memories.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fit {
    /// How many memories.
    pub memories: u64,
    keys: Loss,
    values: Loss,
}

/// Sums over vectors: squared length of what is lost, and of what there was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Loss {
    lost: f64,
    whole: f64,
}

impl Loss {
    fn of(vectors: &[f32], decoded: &[f32]) -> Self {
        let square = |x: f64| x * x;
        let lost = vectors.iter().zip(decoded).map(|(x, y)| square(f64::from(*x) - f64::from(*y))).sum();
        Self { lost, whole: vectors.iter().map(|x| square((*x).into())).sum() }
    }

    fn relative(self) -> f64 {
        if self.whole > 0.0 { self.lost / self.whole } else { 0.0 }
    }
}

impl Fit {
    /// Bytes of one memory's fit.
    pub(crate) const BYTES: usize = 32;

    /// What a record loses of a memory.
    pub(crate) fn of(encoder: &Encoder, memory: &Memory, record: &[u8]) -> Result<Self, CodecError> {
        let mut decoded = Memory::empty(memory.shape);
        encoder.codec().decode_memory(record, &mut decoded)?;
        let (keys, values) = (Loss::of(&memory.keys, &decoded.keys), Loss::of(&memory.values, &decoded.values));
        Ok(Self { memories: 1, keys, values })
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.memories += other.memories;
        for (sum, loss) in [(&mut self.keys, other.keys), (&mut self.values, other.values)] {
            sum.lost += loss.lost;
            sum.whole += loss.whole;
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let numbers = [self.keys.lost, self.keys.whole, self.values.lost, self.values.whole];
        bytes.as_chunks_mut::<8>().0.iter_mut().zip(numbers).for_each(|(bytes, number)| *bytes = number.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut numbers = [0.0; 4];
        bytes.as_chunks::<8>().0.iter().zip(&mut numbers).for_each(|(bytes, number)| *number = f64::from_le_bytes(*bytes));
        let [lost, whole, values_lost, values_whole] = numbers;
        Self { memories: 1, keys: Loss { lost, whole }, values: Loss { lost: values_lost, whole: values_whole } }
    }

    /// Squared error of the keys over their squared length.
    pub fn keys(&self) -> f64 {
        self.keys.relative()
    }

    /// Squared error of the values over their squared length.
    pub fn values(&self) -> f64 {
        self.values.relative()
    }
}

/// What kept codebooks lose of memories that are new, beside what they lose of those that were taken over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// The references that were encoded.
    pub new: Fit,
    /// A sample of those taken over, computed again for this: those with the largest keys.
    pub taken: Fit,
    /// Whether the codebooks may have been trained on some of that sample, as in packs with few more references than
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
        let (keys, values) = (ratio(self.new.keys(), self.taken.keys())?, ratio(self.new.values(), self.taken.values())?);
        Some(keys.max(values))
    }
}

#[cfg(test)]
mod tests {
    use mempack_format::{CodecSpec, MemoryShape};

    use super::*;

    #[test]
    fn a_fit_is_what_was_lost_over_what_there_was() {
        let shape = MemoryShape { layers: 1, heads: 1, tokens: 2, head_dim: 1 };
        let encoder = Encoder::new(&CodecSpec::F32, shape, &[0; 4]).unwrap();
        let memory = |keys: [f32; 2], values: [f32; 2]| Memory { shape, positions: vec![0, 1], keys: keys.into(), values: values.into() };
        let mut record = Vec::new();
        encoder.encode(&memory([1.0, 2.0], [3.0, 4.0]), &mut record).unwrap();
        let exact = Fit::of(&encoder, &memory([1.0, 2.0], [3.0, 4.0]), &record).unwrap();
        assert_eq!((exact.keys(), exact.values()), (0.0, 0.0));
        let mut fit = Fit::of(&encoder, &memory([1.0, 3.0], [0.0, 4.0]), &record).unwrap();
        assert_eq!((fit.keys(), fit.values()), (0.1, 9.0 / 16.0));
        assert_eq!(Fit::from_bytes(&fit.to_bytes()), fit);
        let taken = Fit::of(&encoder, &memory([2.0, 1.0], [3.0, 0.0]), &record).unwrap();
        let drift = Drift { new: fit, taken, trained_on: false };
        // Of keys 2 of 5 are lost, of values 16 of 9.
        assert!((drift.ratio().unwrap() - (9.0 / 16.0) / (16.0 / 9.0)).abs() < 1e-12, "{drift:?}");
        let swapped = Drift { new: drift.taken, taken: drift.new, ..drift };
        assert!(!drift.is_clear() && swapped.is_clear() && !Drift { trained_on: true, ..swapped }.is_clear());
        assert_eq!(Drift { new: Fit::default(), ..drift }.ratio(), None);
        fit.add(&exact);
        assert_eq!((fit.memories, fit.keys()), (2, 1.0 / 15.0));
    }
}

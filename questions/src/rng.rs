//! The generator of chance: SplitMix64 (Steele, Lea and Flood, 2014), written out here so that a seed gives the same bytes for ever.

/// A stream of chance: the same numbers for the same seed, on every machine.
#[derive(Clone, Debug)]
pub struct Rng(u64);

/// The increment of SplitMix64: 2^64 divided by the golden ratio, made odd.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Rng {
    /// The stream `number` of a seed. Streams of one seed have nothing visible in common.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut mixed = Self(seed);
        let start = mixed.next() ^ number.wrapping_mul(STEP);
        Self(Self(start).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is at least 1. The bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A number from 0 to below 1.
    pub fn share(&mut self) -> f64 {
        // 53 bits fill a double.
        ((self.next() >> 11) as f64) / ((1u64 << 53) as f64)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// One of the items; `None` if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.below(items.len())) }
    }

    /// Put the items into an order of chance.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_splitmix64() {
        // The reference implementation's first values from the state 1234567.
        let mut rng = Rng(1_234_567);
        assert_eq!([rng.next(), rng.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn streams_differ_and_bounds_hold() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..1000 {
            assert!(seen.insert(Rng::new(7, number).next()));
        }
        let mut rng = Rng::new(1, 1);
        assert!((0..1000).all(|_| (3..=5).contains(&rng.between(3, 5))));
        let hits = (0..10_000).filter(|_| rng.chance(0.3)).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
    }
}

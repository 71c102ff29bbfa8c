//! SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
//!
//! The generator is written out here rather than taken from a crate. Packs, generated questions and training runs depend on every bit
//! of its streams, including how a bounded integer, a shuffle and a float are drawn from 64 bits, and the `rand` crates do not promise
//! that those draws stay the same from one version to the next. What they do promise, the 64 bits themselves, is six lines.

/// A stream of random numbers: the same numbers for the same seed, on every machine and in every version of mempack.
///
/// Not for cryptography.
#[derive(Clone, Debug)]
pub struct Rng(u64);

/// The increment of SplitMix64: 2^64 divided by the golden ratio, made odd.
const INCREMENT: u64 = 0x9E37_79B9_7F4A_7C15;

impl Rng {
    /// The generator with state `seed`, as published. Any seed is good, but streams of neighbouring seeds may overlap: use
    /// [`for_stream`](Self::for_stream) where one seed has many streams.
    pub fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Stream number `stream` of a seed. Generated questions and training data use it: document or batch `n` draws from stream `n`.
    pub fn for_stream(seed: u64, stream: u64) -> Self {
        let start = Self(seed).next_u64() ^ stream.wrapping_mul(INCREMENT);
        Self(Self(start).next_u64())
    }

    /// The generator of task number `task`. Codec training uses it: tasks that run at the same time share no state.
    pub fn for_task(seed: u64, task: u64) -> Self {
        let mut rng = Self(seed ^ task.wrapping_mul(0xD1B5_4A32_D192_ED03));
        rng.next_u64();
        rng
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(INCREMENT);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0. The bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A number in `[0, 1)`, a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with probability `probability`.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// One of the items, each equally likely; `None` if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.below(items.len())) }
    }

    /// Shuffles the items (Fisher-Yates, from the last item down).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// `count` different numbers below `end`, in random order; all of them if there are fewer. Memory: 8 bytes for each number below
    /// `end`.
    pub fn distinct(&mut self, end: usize, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..end).collect();
        let count = count.min(end);
        for i in 0..count {
            let other = i + self.below(end - i);
            all.swap(i, other);
        }
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_stream_is_splitmix64() {
        // The first outputs of the authors' reference code for the state 1234567.
        let mut rng = Rng::from_seed(1_234_567);
        assert_eq!([rng.next_u64(), rng.next_u64()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn derived_streams_stay_the_same() {
        let first = |mut rng: Rng| [rng.next_u64(), rng.next_u64()];
        assert_eq!(first(Rng::for_stream(7, 3)), [1_544_876_161_020_962_902, 6_610_814_971_466_548_822]);
        assert_eq!(first(Rng::for_task(7, 3)), [11_890_610_812_480_902_339, 8_930_919_272_637_234_802]);
        assert_eq!(Rng::from_seed(5).distinct(10, 4), [3, 7, 0, 2]);
        let mut items: Vec<u8> = (0..10).collect();
        Rng::from_seed(5).shuffle(&mut items);
        assert_eq!(items, [2, 8, 4, 9, 5, 7, 0, 1, 6, 3]);
        assert_eq!(Rng::from_seed(5).uniform().to_bits(), 4_600_639_013_628_994_160);
    }

    #[test]
    fn streams_differ_and_bounds_hold() {
        let mut seen = BTreeSet::new();
        for stream in 0..1000 {
            assert!(seen.insert(Rng::for_stream(7, stream).next_u64()));
        }
        let mut rng = Rng::for_stream(1, 1);
        assert!((0..1000).all(|_| (3..=5).contains(&rng.between(3, 5))));
        assert_eq!(rng.below(0), 0);
        let hits = (0..10_000).filter(|_| rng.chance(0.3)).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
        assert_eq!(rng.distinct(3, 9).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([0, 1, 2]));
    }
}

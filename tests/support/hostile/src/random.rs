//! Reproducible random numbers.

/// SplitMix64 (Steele, Lea and Flood 2014): a seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.any() % limit
    }

    /// `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.any() as u8).collect()
    }

    /// Changes an input as fuzzers do: sets, inserts, removes or repeats bytes, at least once.
    pub fn mutate(&mut self, input: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() as u64 + 1) as usize;
            let run = (1 + self.below(8) as usize).min(input.len() - at);
            match self.below(5) {
                0 => input[at..at + run].iter_mut().for_each(|byte| *byte = self.any() as u8),
                1 => input[at..at + run].iter_mut().for_each(|byte| *byte ^= 1 << self.below(8)),
                2 => drop(input.splice(at..at, self.bytes(1 + run))),
                3 => drop(input.drain(at..at + run)),
                _ => input.extend_from_within(at..at + run),
            }
        }
    }
}

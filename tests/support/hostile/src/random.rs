//! Mutations that are the same each time.

use mempack_numeric::Rng;

/// A generator with a fixed seed, for inputs and their mutations.
#[derive(Clone, Debug)]
pub struct Random(Rng);

impl Random {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Rng::from_seed(seed))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `limit`, which is not 0. A remainder, unlike [`Rng::below`]: the inputs that tests know stay the same.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.any() % limit
    }

    /// `count` random bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.any() as u8).collect()
    }

    /// Changes an input as fuzzers do, one to four times: bytes are overwritten, get a bit flipped, are inserted, removed or repeated.
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

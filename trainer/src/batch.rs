//! Parts of steps: references to write, and sequences that read them.

use mempack_model::training::Sequence;

/// What one forward and backward pass is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Batch {
    /// Which of the stage's sources it is of.
    pub source: usize,
    /// Token ids of the references, shared by the sequences.
    pub references: Vec<Vec<u32>>,
    pub sequences: Vec<Sequence>,
}

impl Batch {
    /// Tokens that the model computes on, prefixes and padding not counted.
    pub fn tokens(&self) -> u64 {
        let references: usize = self.references.iter().map(Vec::len).sum();
        let sequences: usize = self.sequences.iter().map(|s| s.tokens.len()).sum();
        (references + sequences) as u64
    }
}

/// Numbers `0..count` in an order of chance, another one each time they have all been used. What stands at a place depends on the
/// seed and the place alone: that is why a run that was broken off goes on as if it had not been.
pub(crate) struct Order {
    seed: u64,
    count: usize,
    /// The round that `order` is for.
    round: u64,
    order: Vec<usize>,
}

impl Order {
    /// `count` is at least 1.
    pub fn new(seed: u64, count: usize) -> Self {
        let mut order = Self { seed, count, round: 0, order: Vec::new() };
        order.deal(0);
        order
    }

    /// The number at place `place`.
    pub fn at(&mut self, place: u64) -> usize {
        let round = place / self.count as u64;
        if round != self.round {
            self.deal(round);
        }
        self.order[(place % self.count as u64) as usize]
    }

    fn deal(&mut self, round: u64) {
        self.round = round;
        self.order = (0..self.count).collect();
        mempack_numeric::Rng::for_stream(self.seed, round).shuffle(&mut self.order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once_a_round_and_places_stand() {
        let mut order = Order::new(5, 10);
        let first: Vec<_> = (0..30).map(|place| order.at(place)).collect();
        for round in first.chunks(10) {
            let mut sorted = round.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(first[..10], first[10..20]);
        let mut again = Order::new(5, 10);
        assert!([27, 3, 14, 29, 0].iter().all(|place| again.at(*place) == first[*place as usize]));
    }
}

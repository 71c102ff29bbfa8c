//! A shuffled order of the items that a stage learns from.

use mempack_numeric::Rng;

/// The indices `0..count` in random order, shuffled again for each round. The index at a place depends on the seed and the place alone, so a
/// resumed run sees the same items.
pub(crate) struct ShuffledOrder {
    seed: u64,
    count: usize,
    /// The round that `order` belongs to.
    round: u64,
    order: Vec<usize>,
}

impl ShuffledOrder {
    /// `count` is at least 1.
    pub fn new(seed: u64, count: usize) -> Self {
        let mut order = Self { seed, count, round: 0, order: Vec::new() };
        order.shuffle(0);
        order
    }

    /// The index at `place`, counted over all rounds.
    pub fn at(&mut self, place: u64) -> usize {
        let round = place / self.count as u64;
        if round != self.round {
            self.shuffle(round);
        }
        self.order[(place % self.count as u64) as usize]
    }

    fn shuffle(&mut self, round: u64) {
        self.round = round;
        self.order = (0..self.count).collect();
        Rng::for_stream(self.seed, round).shuffle(&mut self.order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_comes_once_a_round_and_places_are_fixed() {
        let mut order = ShuffledOrder::new(5, 10);
        let first: Vec<_> = (0..30).map(|place| order.at(place)).collect();
        for round in first.chunks(10) {
            let mut sorted = round.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(first[..10], first[10..20]);
        let mut again = ShuffledOrder::new(5, 10);
        assert!([27, 3, 14, 29, 0].iter().all(|place| again.at(*place) == first[*place as usize]));
    }
}

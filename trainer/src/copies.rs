//! Copying: random tokens that come again, which a model from scratch has to learn before it can read memories.

use std::ops::RangeInclusive;

use mempack_model::Model;
use mempack_model::training::Sequence;
use mempack_numeric::Rng;

use crate::TrainError;
use crate::batch::Batch;

/// Sequences of random tokens, each repeated with a period of its own.
pub(crate) struct Copies {
    /// Ids that tokens are drawn from.
    ids: Vec<u32>,
    length: usize,
    period: RangeInclusive<usize>,
    seed: u64,
}

impl Copies {
    /// `length` is above the longest period.
    pub fn new(model: &Model, stage: usize, length: usize, [shortest, longest]: [usize; 2], seed: u64) -> Result<Self, TrainError> {
        let ids = model.tokenizer().plain_ids();
        if ids.is_empty() {
            let what = "no token that is not special".to_owned();
            return Err(TrainError::NoData { stage, what, remedy: "use the model's own tokenizer.json" });
        }
        Ok(Self { ids, length, period: shortest..=longest, seed })
    }

    /// The part that begins with the sequence number `first`; it depends on that number alone.
    pub fn batch(&self, first: u64, count: usize) -> Batch {
        let sequences = (first..first + count as u64).map(|number| {
            let mut rng = Rng::for_stream(self.seed ^ 0xC0B1, number);
            let period = rng.between(*self.period.start(), *self.period.end());
            let once: Vec<u32> = (0..period).map(|_| self.ids[rng.below(self.ids.len())]).collect();
            Sequence {
                tokens: once.iter().copied().cycle().take(self.length).collect(),
                // What has not come yet is chance.
                learnt: (0..self.length).map(|place| place >= period).collect(),
                chunks: Vec::new(),
            }
        });
        Batch { sequences: sequences.collect(), ..Batch::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mempack_model::LoadOptions;

    use super::*;

    #[test]
    fn tokens_come_again_after_their_period_and_are_learnt_then() {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny");
        let model = Model::load(&tiny, &LoadOptions::default()).unwrap();
        let copies = |seed| Copies::new(&model, 0, 64, [5, 9], seed).unwrap();
        let batch = copies(1).batch(0, 200);
        let mut periods = std::collections::BTreeSet::new();
        for Sequence { tokens, learnt, chunks } in &batch.sequences {
            assert_eq!((tokens.len(), learnt.len(), chunks.len()), (64, 64, 0));
            let period = learnt.iter().position(|learnt| *learnt).unwrap();
            assert!(learnt[period..].iter().all(|learnt| *learnt));
            assert!((period..64).all(|place| tokens[place] == tokens[place - period]));
            // The fixture's special tokens are 0 to 3.
            assert!(tokens.iter().all(|id| (4..1536).contains(id)));
            periods.insert(period);
        }
        assert!(periods.into_iter().eq(5..=9));
        assert_eq!(copies(1).batch(150, 3).sequences, batch.sequences[150..153]);
        assert_ne!(copies(2).batch(0, 1).sequences, batch.sequences[..1]);
    }
}

//! Copying: random tokens that repeat. A model from scratch has to learn this before it can read memories.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use mempack_model::Model;
use mempack_model::training::Sequence;
use mempack_numeric::Rng;
use serde::{Deserialize, Serialize};

use super::{Objective, ObjectiveConfig, Part, StageContext, StageName, TrainingBatch};
use crate::{ConfigError, TrainError};

/// `kind = "copy"`: sequences of random tokens that repeat with a period. The loss is on the repeats. A model from scratch learns to read
/// memories only after this stage, and learns this stage only after some [`text`](super::TextConfig).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyConfig {
    /// Tokens of a sequence.
    pub length: usize,
    /// The minimum and the maximum period, in tokens; periods are drawn uniformly.
    #[serde(default = "default_period")]
    pub period: [usize; 2],
}

fn default_period() -> [usize; 2] {
    [5, 40]
}

impl ObjectiveConfig for CopyConfig {
    fn check(&self, stage: StageName) -> Result<(), ConfigError> {
        let [min, max] = self.period;
        stage.require("period", min > 0 && min <= max, "the minimum, at least 1, and the maximum", format!("[{min}, {max}]"))?;
        stage.require("length", self.length > max, "more tokens than the maximum period", self.length)
    }

    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        Vec::new()
    }

    fn length(&self) -> Option<(&'static str, usize)> {
        Some(("length", self.length))
    }

    fn load(&self, context: &StageContext<'_>) -> Result<Box<dyn Objective>, TrainError> {
        Ok(Box::new(Copies::new(context, self)?))
    }
}

/// Sequences of random tokens, each with a period of its own.
struct Copies {
    /// The ids that tokens are drawn from.
    ids: Vec<u32>,
    length: usize,
    period: RangeInclusive<usize>,
    seed: u64,
}

impl Copies {
    fn new(context: &StageContext<'_>, config: &CopyConfig) -> Result<Self, TrainError> {
        let ids = context.model.tokenizer().plain_ids();
        if ids.is_empty() {
            return Err(context.no_data("no token that is not special", "use the model's own tokenizer.json"));
        }
        let [min, max] = config.period;
        Ok(Self { ids, length: config.length, period: min..=max, seed: context.seed })
    }

    /// The sequence of this number.
    fn sequence(&self, number: u64) -> Sequence {
        let mut rng = Rng::for_stream(self.seed ^ 0xC0B1, number);
        let period = rng.between(*self.period.start(), *self.period.end());
        let once: Vec<u32> = (0..period).map(|_| self.ids[rng.below(self.ids.len())]).collect();
        Sequence {
            tokens: once.iter().copied().cycle().take(self.length).collect(),
            // The first period is random and cannot be predicted.
            learnt: (0..self.length).map(|place| place >= period).collect(),
            chunks: Vec::new(),
        }
    }
}

impl Objective for Copies {
    fn batch(&mut self, _: &Model, part: Part) -> Result<TrainingBatch, TrainError> {
        let sequences = part.sequence_numbers().map(|number| self.sequence(number)).collect();
        Ok(TrainingBatch { sequences, ..TrainingBatch::default() })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mempack_model::LoadOptions;

    use super::*;
    use crate::NoProgress;
    use crate::stages::StageSize;

    #[test]
    fn tokens_repeat_after_their_period_and_are_learnt_then() {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny");
        let model = Model::load(&tiny, &LoadOptions::default()).unwrap();
        let sequences = |seed, numbers: std::ops::Range<u64>| -> Vec<Sequence> {
            let context =
                StageContext { model: &model, embedder: None, stage: 0, size: StageSize::SMALL, seed, cache: &tiny, progress: &NoProgress };
            let copies = Copies::new(&context, &CopyConfig { length: 64, period: [5, 9] }).unwrap();
            numbers.map(|number| copies.sequence(number)).collect()
        };
        let first = sequences(1, 0..200);
        let mut periods = std::collections::BTreeSet::new();
        for Sequence { tokens, learnt, chunks } in &first {
            assert_eq!((tokens.len(), learnt.len(), chunks.len()), (64, 64, 0));
            let period = learnt.iter().position(|learnt| *learnt).unwrap();
            assert!(learnt[period..].iter().all(|learnt| *learnt));
            assert!((period..64).all(|place| tokens[place] == tokens[place - period]));
            // The fixture's special tokens are 0 to 3.
            assert!(tokens.iter().all(|id| (4..1536).contains(id)));
            periods.insert(period);
        }
        assert!(periods.into_iter().eq(5..=9));
        assert_eq!(sequences(1, 150..153), first[150..153]);
        assert_ne!(sequences(2, 0..1), first[..1]);
    }
}

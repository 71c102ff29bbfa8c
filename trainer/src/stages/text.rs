//! Language modelling on texts, as a warm-up (arXiv 2407.01178, section 3.6).

use std::ops::Range;
use std::path::PathBuf;

use mempack_model::Model;
use mempack_model::training::Sequence;
use serde::{Deserialize, Serialize};

use super::{Objective, ObjectiveConfig, Part, StageContext, StageName, TrainingBatch};
use crate::corpora::read_tokens;
use crate::order::ShuffledOrder;
use crate::{ConfigError, TrainError};

/// `kind = "text"`: language modelling on texts, without references. The loss is on all tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// Corpora, in the formats that `mempack build` reads.
    pub corpora: Vec<PathBuf>,
    /// Tokens of a sequence.
    pub length: usize,
}

impl ObjectiveConfig for TextConfig {
    fn check(&self, stage: StageName) -> Result<(), ConfigError> {
        stage.require("corpora", !self.corpora.is_empty(), "at least one", "none")?;
        stage.require("length", self.length > 1, "at least 2 tokens", self.length)
    }

    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.corpora.iter_mut().collect()
    }

    fn length(&self) -> Option<(&'static str, usize)> {
        Some(("length", self.length))
    }

    fn load(&self, context: &StageContext<'_>) -> Result<Box<dyn Objective>, TrainError> {
        Ok(Box::new(Texts::read(context, &self.corpora, self.length)?))
    }
}

/// Texts as one run of tokens, cut into windows of equal length. Memory: four bytes a token.
pub(super) struct Texts {
    tokens: Vec<u32>,
    length: usize,
    windows: ShuffledOrder,
}

impl Texts {
    /// Reads `corpora` for sequences of `length` tokens.
    pub fn read(context: &StageContext<'_>, corpora: &[PathBuf], length: usize) -> Result<Self, TrainError> {
        let tokens = read_tokens(context.model, corpora, context.progress)?;
        let windows = tokens.len() / length;
        if windows == 0 {
            return Err(context.no_data(format!("fewer than {length} tokens"), "give more text, or a smaller length"));
        }
        Ok(Self { tokens, length, windows: ShuffledOrder::new(context.seed, windows) })
    }

    /// The sequences of these numbers.
    pub fn sequences(&mut self, numbers: Range<u64>) -> Vec<Sequence> {
        let sequences = numbers.map(|number| {
            let start = self.windows.at(number) * self.length;
            let tokens = self.tokens[start..start + self.length].to_vec();
            Sequence { learnt: vec![true; tokens.len()], tokens, chunks: Vec::new() }
        });
        sequences.collect()
    }
}

impl Objective for Texts {
    fn batch(&mut self, _: &Model, part: Part) -> Result<TrainingBatch, TrainError> {
        Ok(TrainingBatch { sequences: self.sequences(part.sequence_numbers()), ..TrainingBatch::default() })
    }
}

//! Distillation: the model answers from a memory as it answers with the text in its prompt (context distillation, arXiv 2209.15189).

use std::path::PathBuf;

use mempack_model::training::{DistilWeights, Sequence, Trainee, TrainingLoss, Written};
use mempack_model::{ComputeError, Model};
use mempack_numeric::Rng;
use serde::{Deserialize, Serialize};

use super::questions::{QuestionsConfig, Sources};
use super::{Objective, ObjectiveConfig, Part, StageContext, StageName, TrainingBatch};
use crate::config::WriteConfig;
use crate::{ConfigError, TrainError};

/// `kind = "distil"`: questions about references, which the same model with the text in its prompt teaches. No gradient flows through the
/// teacher, and there is no second copy of the weights.
///
/// The loss of a token of an answer is `cross_entropy` times its cross-entropy and `divergence` times the divergence of its prediction from
/// the teacher's. To it is added `prompt` times the mean cross-entropy of the answers to prompts that hold the text. Answers of
/// withheld references and to questions without an answer have no teacher and no such prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistilConfig {
    /// The weight of the cross-entropy.
    #[serde(default = "default_cross_entropy")]
    pub cross_entropy: f64,
    /// The weight of the Kullback-Leibler divergence from the teacher's prediction.
    #[serde(default = "default_divergence")]
    pub divergence: f64,
    /// The weight of the cross-entropy on prompts that hold the text, without which reading from a prompt is unlearnt.
    #[serde(default = "default_prompt")]
    pub prompt: f64,
    /// The share of a part's sequences whose prompts are learnt; at least one, unless `prompt` is 0.
    #[serde(default = "default_prompt")]
    pub prompt_share: f64,
    /// What is asked: the table of `kind = "questions"`, without its `kind`.
    pub ask: QuestionsConfig,
}

fn default_cross_entropy() -> f64 {
    0.65
}

fn default_divergence() -> f64 {
    0.7
}

fn default_prompt() -> f64 {
    0.25
}

impl ObjectiveConfig for DistilConfig {
    fn check(&self, stage: StageName) -> Result<(), ConfigError> {
        for (field, weight) in [("cross_entropy", self.cross_entropy), ("divergence", self.divergence), ("prompt", self.prompt)] {
            stage.require(field, weight >= 0.0 && weight.is_finite(), "a number from 0", weight)?;
        }
        let any = self.cross_entropy + self.divergence;
        stage.require("divergence", any > 0.0, "a number above 0, or one for `cross_entropy`", self.divergence)?;
        let share = self.prompt_share > 0.0 && self.prompt_share <= 1.0;
        stage.require("prompt_share", share, "a share above 0 and up to 1", self.prompt_share)?;
        self.ask.check(stage.ask())
    }

    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.ask.paths_mut()
    }

    fn write(&self) -> Option<&WriteConfig> {
        Some(&self.ask.write)
    }

    fn length(&self) -> Option<(&'static str, usize)> {
        Some(("ask.length", self.ask.length))
    }

    fn no_answer(&self) -> Result<Option<String>, TrainError> {
        self.ask.taught_no_answer()
    }

    fn load(&self, context: &StageContext<'_>) -> Result<Box<dyn Objective>, TrainError> {
        if context.model.memory().context_template.is_none() {
            let expected = "a text with {text} and {question} in it, as the teacher's prompt holds the text".to_owned();
            return Err(ComputeError::MemoryBlock { field: "context_template", expected, found: "none".into() }.into());
        }
        let sources = Sources::read(context, &self.ask, true)?;
        Ok(Box::new(Distil { config: self.clone(), sources, seed: context.seed }))
    }
}

struct Distil {
    config: DistilConfig,
    sources: Sources,
    seed: u64,
}

impl Objective for Distil {
    fn batch(&mut self, model: &Model, part: Part) -> Result<TrainingBatch, TrainError> {
        let mut batch = self.sources.batch(model, part)?;
        let held: Vec<usize> = (0..batch.prompts.len()).filter(|sequence| batch.prompts[*sequence].is_some()).collect();
        if self.config.prompt > 0.0 && !held.is_empty() {
            let count = ((self.config.prompt_share * held.len() as f64).round() as usize).max(1);
            let drawn = Rng::for_stream(self.seed ^ 0xD157_1155, part.number).distinct(held.len(), count);
            batch.learnt_prompts = drawn.into_iter().map(|place| held[place]).collect();
            batch.learnt_prompts.sort_unstable();
        }
        Ok(batch)
    }

    fn loss(&self, trainee: &Trainee, batch: &TrainingBatch, written: Option<&Written>) -> Result<TrainingLoss, ComputeError> {
        let weights = DistilWeights { cross_entropy: self.config.cross_entropy, divergence: self.config.divergence };
        let loss = trainee.distil(&batch.sequences, written, &batch.prompts, &weights)?;
        let prompts: Vec<Sequence> = batch.learnt_prompts.iter().filter_map(|sequence| batch.prompts.get(*sequence)?.clone()).collect();
        let learnt = |sequences: &[Sequence]| sequences.iter().flat_map(|s| &s.learnt).filter(|learnt| **learnt).count() as f64;
        if prompts.is_empty() {
            return Ok(loss);
        }
        // The mean over the prompts' tokens, times the tokens that the loss is divided by.
        let share = self.config.prompt * learnt(&batch.sequences) / learnt(&prompts);
        loss.plus(&trainee.plain_loss(&prompts)?, share)
    }
}

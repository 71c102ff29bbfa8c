//! The configuration of questions.

use std::path::PathBuf;

use mempack_questions::read_questions;
use serde::{Deserialize, Serialize};

use crate::config::WriteConfig;
use crate::stages::StageName;
use crate::{ConfigError, TrainError};

/// `kind = "questions"`: questions about references. The loss is on the answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionsConfig {
    /// Where references and questions come from. Each part of a step draws one source.
    pub sources: Vec<QuestionSource>,
    /// References that the sequences of a part share. With clusters, a sequence beyond it reads those that are in it already, and the one that
    /// answers it.
    pub pool: usize,
    /// How many references a sequence reads: one of these numbers, drawn uniformly.
    pub reads: Vec<usize>,
    /// The maximum number of questions in a sequence.
    pub questions: usize,
    /// The maximum number of tokens in a sequence. A first question that is longer stays whole.
    pub length: usize,
    /// The answer where no reference contains one.
    #[serde(default = "default_no_answer")]
    pub no_answer: String,
    /// The share of sequences whose reference is withheld: they read references that retrieval confuses with it, and the answer is
    /// `no_answer`. All references that contain an accepted answer word for word are withheld with it. Those that only overlap with it are
    /// not: documents of one form about different things overlap as much, and it is these that the model must tell apart.
    #[serde(default)]
    pub withheld: f64,
    /// How many questions that read the same references follow a question in a part, at most. Each sequence then reads the references that
    /// retrieval finds among all of its source, and every question of a source is asked once before any is asked again. With 0, the
    /// first questions of a part fill its pool, and sequences read the nearest references of the pool.
    // Checkpoints name their run by the text of its configuration, which must not change for runs without these fields.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clusters: usize,
    /// The maximum number of times that a question is asked in the stage; no bound by default. Sources whose questions are used up are
    /// drawn no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u64>,
    /// How references are written.
    pub write: WriteConfig,
}

/// References with questions about them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionSource {
    /// Corpora, in the formats that `mempack build` reads.
    pub corpora: Vec<PathBuf>,
    /// Files of questions.
    pub questions: Vec<PathBuf>,
    /// How often a part draws this source, relative to the others.
    #[serde(default = "default_weight")]
    pub weight: f64,
}

fn default_no_answer() -> String {
    mempack_questions::NO_ANSWER.to_owned()
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn default_weight() -> f64 {
    1.0
}

impl QuestionsConfig {
    /// Refuses values that questions cannot be asked with.
    pub(crate) fn check(&self, stage: StageName) -> Result<(), ConfigError> {
        stage.require("sources", !self.sources.is_empty(), "at least one", "none")?;
        let weights = self.sources.iter().all(|s| s.weight > 0.0 && s.weight.is_finite());
        stage.require("sources.weight", weights, "positive numbers", "another")?;
        let reads = !self.reads.is_empty() && self.reads.iter().all(|n| *n > 0);
        stage.require("reads", reads, "numbers of references from 1", format!("{:?}", self.reads))?;
        let max = self.reads.iter().copied().max().unwrap_or_default();
        stage.require("pool", self.pool >= max, "as many references as a sequence reads", self.pool)?;
        stage.require("questions", self.questions > 0, "at least 1", self.questions)?;
        stage.require("withheld", (0.0..1.0).contains(&self.withheld), "a share from 0 to below 1", self.withheld)?;
        stage.require("length", self.length > 1, "at least 2 tokens", self.length)?;
        stage.require("no_answer", !self.no_answer.trim().is_empty(), "a sentence", format!("`{}`", self.no_answer))?;
        stage.require("repeats", self.repeats != Some(0), "at least 1, or no such field", 0)?;
        let bounded = self.repeats.is_none() || self.clusters > 0;
        stage.require("repeats", bounded, "none without `clusters`, which asks every question once before any again", "a number")?;
        self.write.check(stage)
    }

    /// `no_answer`, if the stage teaches it: references are withheld, or a question has no answer.
    pub(crate) fn taught_no_answer(&self) -> Result<Option<String>, TrainError> {
        let mut taught = self.withheld > 0.0;
        for path in self.sources.iter().flat_map(|source| &source.questions) {
            taught = taught || read_questions(path)?.iter().any(|question| !question.answerable);
        }
        Ok(taught.then(|| self.no_answer.clone()))
    }

    /// The paths in the configuration.
    pub(crate) fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.sources.iter_mut().flat_map(|source| source.corpora.iter_mut().chain(&mut source.questions)).collect()
    }
}

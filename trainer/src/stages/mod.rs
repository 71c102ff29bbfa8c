//! Training objectives: what a stage learns.
//!
//! Each file here is one objective: its configuration with checks and paths ([`ObjectiveConfig`]), and the data and the loss that it loads
//! ([`Objective`]). The rest of the crate knows these two traits and no objective by name. To add one, write its file and register it in
//! `objectives!` below.

mod chat;
mod chunks;
mod continual;
mod copy;
mod distil;
#[cfg(test)]
mod gradients;
#[cfg(test)]
mod margin;
mod preferences;
mod questions;
mod repeat;
mod text;

use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};

use mempack_model::training::{Sequence, Trainee, TrainingLoss, Written};
use mempack_model::{ComputeError, Embedder, Model};
use serde::{Deserialize, Serialize};

use crate::config::WriteConfig;
use crate::error::require;
use crate::{ConfigError, TrainError, TrainProgress};

pub use chat::ChatConfig;
pub use continual::ContinualConfig;
pub use copy::CopyConfig;
pub use distil::DistilConfig;
pub use preferences::{PreferenceLoss, PreferencesConfig};
pub use questions::{QuestionSource, QuestionsConfig};
pub use repeat::RepeatConfig;
pub use text::TextConfig;

/// The configuration of an objective: the table `[stage.learn]` without its `kind`.
pub(crate) trait ObjectiveConfig {
    /// Refuses values that the objective cannot work with.
    fn check(&self, stage: StageName) -> Result<(), ConfigError>;

    /// The paths in the configuration. They are relative to the configuration file's folder and are resolved in place.
    fn paths_mut(&mut self) -> Vec<&mut PathBuf>;

    /// How references are written; `None` if the sequences read none.
    fn write(&self) -> Option<&WriteConfig> {
        None
    }

    /// The field that bounds the tokens of a sequence, and its value; `None` if there is none.
    fn length(&self) -> Option<(&'static str, usize)> {
        None
    }

    /// The sentence that the model learns to say where the references do not tell, if the objective teaches one.
    fn no_answer(&self) -> Result<Option<String>, TrainError> {
        Ok(None)
    }

    /// Reads the data that the objective learns from.
    fn load(&self, context: &StageContext<'_>) -> Result<Box<dyn Objective>, TrainError>;
}

/// An objective with its data loaded: it makes the batches of a stage and computes the loss on them.
pub(crate) trait Objective {
    /// Computes what depends on the weights that the stage begins with. Called once the weights of the run are loaded, before the first batch,
    /// and again whenever the run resumes in this stage: then what was computed must be read again.
    fn begin(&mut self, trainee: &Trainee, start: &StageStart<'_>) -> Result<(), TrainError> {
        let _ = (trainee, start);
        Ok(())
    }

    /// The batch for a part of a step. It depends on the seed and on `part` alone, so that a resumed run learns from the same batches.
    fn batch(&mut self, model: &Model, part: Part) -> Result<TrainingBatch, TrainError>;

    /// The number of terms that the loss on a batch sums over: its learnt tokens unless the objective sums over something else. The loss
    /// of a step is the mean over the terms of its batches.
    fn terms(&self, batch: &TrainingBatch) -> usize {
        batch.learnt()
    }

    /// The loss on a batch, summed over its [terms](Self::terms): the cross-entropy of the learnt tokens unless the objective computes
    /// another from the model's [predictions](Model::predict). `written` holds the references of the batch.
    fn loss(&self, trainee: &Trainee, batch: &TrainingBatch, written: Option<&Written>) -> Result<TrainingLoss, ComputeError> {
        trainee.loss(&batch.sequences, written)
    }
}

macro_rules! objectives {
    ($($(#[$attribute:meta])* $name:ident($config:ty),)+) => {
        /// What a stage learns: the table `[stage.learn]`. Its `kind` is the variant's name in kebab case, its other fields are those of the
        /// variant's configuration.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        pub enum LearnConfig {
            $($(#[$attribute])* #[doc = concat!("See [`", stringify!($config), "`].")] $name($config),)+
        }

        impl LearnConfig {
            /// The configuration of the objective.
            pub(crate) fn objective(&self) -> &dyn ObjectiveConfig {
                match self {
                    $($(#[$attribute])* Self::$name(config) => config,)+
                }
            }

            /// The configuration of the objective, to resolve its paths.
            pub(crate) fn objective_mut(&mut self) -> &mut dyn ObjectiveConfig {
                match self {
                    $($(#[$attribute])* Self::$name(config) => config,)+
                }
            }
        }
    };
}

objectives! {
    Text(TextConfig),
    Questions(QuestionsConfig),
    Continual(ContinualConfig),
    Copy(CopyConfig),
    Repeat(RepeatConfig),
    Distil(DistilConfig),
    Preferences(PreferencesConfig),
    Chat(ChatConfig),
    #[cfg(test)]
    Margin(margin::MarginConfig),
}

/// The number of a stage, from 0, and the table in it, as they appear in the names of its fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StageName {
    number: usize,
    /// The name of the table and a dot; empty for the stage itself.
    table: &'static str,
}

impl StageName {
    pub fn new(number: usize) -> Self {
        Self { number, table: "" }
    }

    /// The table `ask` in the stage's own.
    pub fn ask(self) -> Self {
        Self { table: "ask.", ..self }
    }

    /// The name of a field of the stage, for messages.
    pub fn field(self, field: &str) -> String {
        format!("stage {}: {}{field}", self.number, self.table)
    }

    /// Refuses a field's value unless it is `valid`.
    pub fn require(self, field: &str, valid: bool, expected: &'static str, found: impl Display) -> Result<(), ConfigError> {
        require(&self.field(field), valid, expected, found)
    }
}

/// What an objective is loaded with.
pub(crate) struct StageContext<'a> {
    pub model: &'a Model,
    /// The embedder of the run, if it has one.
    pub embedder: Option<&'a Embedder>,
    /// The number of the stage, from 0.
    pub stage: usize,
    /// The seed of the stage.
    pub seed: u64,
    /// How much it will be asked for.
    pub size: StageSize,
    /// The folder that keeps embeddings from one start of the run to the next.
    pub cache: &'a Path,
    pub progress: &'a dyn TrainProgress,
}

/// Where a run enters a stage.
pub(crate) struct StageStart<'a> {
    /// The number of the stage, from 0.
    pub number: usize,
    /// Steps of the stage that are done. With 0, the weights are those that the stage begins with.
    pub steps: u64,
    /// The identity of the run.
    pub run: &'a str,
    /// The folder of the run.
    pub folder: &'a Path,
    pub progress: &'a dyn TrainProgress,
}

/// How much a stage asks for, and with how many threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StageSize {
    /// Parts of all its steps.
    pub parts: u64,
    /// Sequences of a part.
    pub sequences: usize,
    /// Threads of the run.
    pub threads: usize,
}

#[cfg(test)]
impl StageSize {
    /// The size of a stage in tests.
    pub const SMALL: Self = Self { parts: 10, sequences: 4, threads: 2 };
}

impl<'a> StageContext<'a> {
    /// The embedder, for an objective that finds references.
    pub fn required_embedder(&self) -> Result<&'a Embedder, TrainError> {
        self.embedder.ok_or_else(|| self.no_data("no embedder to find references with", "name one as `embedder` in the configuration"))
    }

    /// The error for a stage that has nothing to learn from.
    pub fn no_data(&self, what: impl Into<String>, remedy: &'static str) -> TrainError {
        TrainError::NoData { stage: self.stage, what: what.into(), remedy }
    }
}

/// A part of a step, whose batch goes through the model in one pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Its number over all steps of the stage, from 0.
    pub number: u64,
    /// The number of its sequences, which all parts of a stage share.
    pub sequences: usize,
}

impl Part {
    /// The numbers of its sequences over all steps of the stage.
    pub fn sequence_numbers(self) -> Range<u64> {
        let first = self.number * self.sequences as u64;
        first..first + self.sequences as u64
    }
}

/// The input of one forward and backward pass: references to write, and sequences that read them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TrainingBatch {
    /// Which of the stage's sources it is from. Divergence is judged for each source alone.
    pub source: usize,
    /// Token ids of the references, shared by the sequences.
    pub references: Vec<Vec<u32>>,
    pub sequences: Vec<Sequence>,
    /// For each sequence, the same with the text that it reads the memory of in its prompt, if there is one; empty if no objective asks for
    /// them.
    pub prompts: Vec<Option<Sequence>>,
    /// The sequences whose prompts are learnt too, in ascending order.
    pub learnt_prompts: Vec<usize>,
    /// Log-likelihoods of the sequences under a model that they are compared with; empty if no objective asks for them.
    pub baseline: Vec<f32>,
}

impl TrainingBatch {
    /// Tokens that the model computes on, without prefixes and padding.
    pub fn tokens(&self) -> u64 {
        let references: usize = self.references.iter().map(Vec::len).sum();
        let learnt_prompts = self.learnt_prompts.iter().filter_map(|sequence| self.prompts.get(*sequence));
        let prompts = self.prompts.iter().chain(learnt_prompts).flatten();
        let sequences: usize = self.sequences.iter().chain(prompts).map(|s| s.tokens.len()).sum();
        (references + sequences) as u64
    }

    /// Learnt tokens of the sequences.
    pub fn learnt(&self) -> usize {
        self.sequences.iter().map(|s| s.learnt.iter().filter(|learnt| **learnt).count()).sum()
    }
}

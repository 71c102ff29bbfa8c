//! The configuration of a run, as a TOML file.

use std::path::{Path, PathBuf};

use mempack_model::Precision;
use mempack_model::training::{AdamWConfig, AdapterOptions, Learning, WriteOptions};
use serde::{Deserialize, Serialize};

use crate::error::require;
use crate::scratch::neither_or_both;
use crate::stages::StageName;
use crate::{ConfigError, KeepSchedule, LearnConfig, Schedule, ScratchConfig};

/// The configuration of a run: what is trained, on what, and how. Paths are relative to the file's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// A Hugging Face folder, or an adapter to train further. Either this or `scratch` is given.
    pub model: Option<PathBuf>,
    /// A new model instead.
    // Checkpoints name their run by the text of its configuration, which must not change for runs without this field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scratch: Option<ScratchConfig>,
    /// The base of an adapter, if the adapter's own configuration does not lead to it.
    pub base: Option<PathBuf>,
    /// A file with a `memory` block that replaces the model's. If only reading learns, its fields replace the model's one by one, and may change
    /// nothing that memories depend on.
    pub memory: Option<PathBuf>,
    /// The sentence embedder that finds references.
    pub embedder: Option<PathBuf>,
    /// The folder of the run. It holds checkpoints, the log, and at the end `final`, the adapter or model.
    pub output: PathBuf,
    /// The seed of all random numbers.
    #[serde(default)]
    pub seed: u64,
    /// The precision that the model computes in: `f32` or `bf16`. Trained weights are kept in f32 either way.
    #[serde(default = "default_precision")]
    pub precision: String,
    /// Threads of each operation.
    #[serde(default = "default_threads")]
    pub threads: usize,
    /// A LoRA adapter; without it, all weights are trained.
    pub adapter: Option<AdapterConfig>,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: AdamWConfig,
    /// When the state is saved.
    #[serde(default)]
    pub checkpoints: CheckpointConfig,
    /// When a loss counts as diverged, and what follows.
    #[serde(default)]
    pub divergence: DivergenceConfig,
    /// The stages, in order.
    #[serde(rename = "stage")]
    pub stages: Vec<StageConfig>,
}

/// A LoRA adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// Rank of the change of each weight.
    pub rank: u32,
    /// The change is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// The projections to adapt, by their names in a layer; all linear maps of the layers if empty.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Whether only reading learns: the model, as it is, writes the references, and packs that it wrote stay valid. The result is a reading
    /// adapter.
    // Left out where it is false, because the identity of a run is this text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads_only: bool,
}

/// When the state is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Steps between two checkpoints.
    pub every: u64,
    /// How many of the latest checkpoints are kept.
    pub keep: usize,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every: 50, keep: 2 }
    }
}

/// When a loss counts as diverged, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DivergenceConfig {
    /// A loss has diverged when it exceeds `factor` times the running mean of its source for `times` parts in a row, or is not finite.
    pub factor: f64,
    /// Parts of steps of a source that must exceed it in a row. One hard batch is not a divergence.
    pub times: u64,
    /// Parts of steps of a source before its running mean counts.
    pub patience: u64,
    /// How often training goes back to the last checkpoint before it gives up.
    pub tries: u32,
    /// The factor on the learning rate each time.
    pub cut: f64,
}

impl Default for DivergenceConfig {
    fn default() -> Self {
        Self { factor: 3.0, times: 3, patience: 20, tries: 3, cut: 0.5 }
    }
}

/// A stage of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageConfig {
    /// Steps of the optimizer.
    pub steps: u64,
    /// Sequences in a step.
    pub batch: usize,
    /// Parts of a step whose gradients are added up. Each has `batch / accumulate` sequences.
    #[serde(default = "default_accumulate")]
    pub accumulate: usize,
    /// The learning rate over the stage.
    #[serde(default)]
    pub schedule: Schedule,
    /// The training objective.
    pub learn: LearnConfig,
}

/// How references are written while the model learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteConfig {
    /// Tokens that a head keeps, by step of the stage; by default what the model's `memory` block says.
    #[serde(default)]
    pub keep: KeepSchedule,
    /// Whether gradients reach the weights that select the tokens.
    #[serde(default)]
    pub selection_gradient: bool,
    /// Noise on keys and on values, as shares of their mean squares.
    #[serde(default)]
    pub noise: [f64; 2],
}

fn default_precision() -> String {
    "f32".to_owned()
}

fn default_threads() -> usize {
    2
}

fn default_accumulate() -> usize {
    1
}

impl TrainConfig {
    /// Reads and checks a configuration file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
        let mut config: Self =
            toml::from_str(&text).map_err(|source| ConfigError::Toml { path: path.to_owned(), source: Box::new(source) })?;
        config.check()?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Which weights learn.
    pub fn learning(&self) -> Learning {
        match &self.adapter {
            None => Learning::Everything,
            Some(adapter) => {
                let kind = if adapter.reads_only { Learning::ReadingAdapter } else { Learning::Adapter };
                kind(AdapterOptions { rank: adapter.rank, alpha: adapter.alpha, targets: adapter.targets.clone(), seed: self.seed })
            }
        }
    }

    /// The precision that the model computes in.
    pub fn precision(&self) -> Result<Precision, ConfigError> {
        let wrong = |_| ConfigError::Field { field: "precision".into(), expected: "`f32` or `bf16`", found: self.precision.clone() };
        self.precision.parse().map_err(wrong)
    }

    /// Steps of all stages.
    pub fn steps(&self) -> u64 {
        self.stages.iter().map(|stage| stage.steps).sum()
    }

    fn check(&self) -> Result<(), ConfigError> {
        match (&self.model, &self.scratch) {
            (Some(_), None) => {}
            (None, Some(scratch)) => {
                scratch.check()?;
                require(
                    "adapter",
                    self.adapter.is_none(),
                    "none, as all weights of a `[scratch]` model are trained",
                    "default_accumulate",
                )?;
            }
            (model, _) => return Err(neither_or_both(model.as_deref())),
        }
        self.precision()?;
        check_optimizer(&self.optimizer)?;
        require("threads", self.threads > 0, "at least 1", self.threads)?;
        require("checkpoints.every", self.checkpoints.every > 0, "at least 1", self.checkpoints.every)?;
        require("checkpoints.keep", self.checkpoints.keep > 0, "at least 1", self.checkpoints.keep)?;
        require("divergence.factor", self.divergence.factor > 1.0, "a number above 1", self.divergence.factor)?;
        require("divergence.cut", self.divergence.cut > 0.0 && self.divergence.cut < 1.0, "a share between 0 and 1", self.divergence.cut)?;
        if let Some(adapter) = &self.adapter {
            require("adapter.rank", adapter.rank > 0, "at least 1", adapter.rank)?;
        }
        require("stage", !self.stages.is_empty(), "at least one [[stage]]", "none")?;
        let reads_only = self.adapter.as_ref().is_some_and(|adapter| adapter.reads_only);
        self.stages.iter().enumerate().try_for_each(|(number, stage)| {
            let name = StageName::new(number);
            let selects = stage.learn.objective().write().is_some_and(|write| write.selection_gradient);
            name.require(
                "selection_gradient",
                !(reads_only && selects),
                "false, as nothing that writes learns with adapter.reads_only",
                selects,
            )?;
            stage.check(name)
        })
    }

    fn resolve(&mut self, folder: &Path) {
        let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
        resolve(&mut self.output);
        self.scratch.iter_mut().flat_map(ScratchConfig::paths_mut).for_each(resolve);
        [&mut self.model, &mut self.base, &mut self.memory, &mut self.embedder].into_iter().flatten().for_each(resolve);
        self.stages.iter_mut().flat_map(|stage| stage.learn.objective_mut().paths_mut()).for_each(resolve);
    }
}

fn check_optimizer(optimizer: &AdamWConfig) -> Result<(), ConfigError> {
    for (name, value) in [("optimizer.beta1", optimizer.beta1), ("optimizer.beta2", optimizer.beta2)] {
        require(name, (0.0..1.0).contains(&value), "a number from 0 to below 1", value)?;
    }
    require("optimizer.rate", optimizer.rate > 0.0 && optimizer.rate.is_finite(), "a positive number", optimizer.rate)?;
    require("optimizer.epsilon", optimizer.epsilon > 0.0, "a positive number", optimizer.epsilon)?;
    require("optimizer.weight_decay", (0.0..=1.0).contains(&optimizer.weight_decay), "a number from 0 to 1", optimizer.weight_decay)?;
    require("optimizer.clip", optimizer.clip >= 0.0, "a number from 0", optimizer.clip)
}

impl StageConfig {
    fn check(&self, stage: StageName) -> Result<(), ConfigError> {
        stage.require("steps", self.steps > 0, "at least 1", self.steps)?;
        stage.require("batch", self.batch > 0, "at least 1", self.batch)?;
        let divides = self.accumulate > 0 && self.batch.is_multiple_of(self.accumulate);
        stage.require("accumulate", divides, "a divisor of batch", self.accumulate)?;
        self.schedule.check(&stage.field("schedule"))?;
        self.learn.objective().check(stage)
    }
}

impl WriteConfig {
    pub(crate) fn check(&self, stage: StageName) -> Result<(), ConfigError> {
        let shares = self.noise.iter().all(|n| (0.0..=1.0).contains(n));
        stage.require("noise", shares, "shares from 0 to 1", format!("{:?}", self.noise))?;
        self.keep.check(&stage.field("keep"))
    }

    /// How references are written at step `step` of the stage.
    pub(crate) fn options(&self, step: u64) -> WriteOptions {
        WriteOptions { keep: self.keep.at(step), selection_gradient: self.selection_gradient, noise: self.noise }
    }
}

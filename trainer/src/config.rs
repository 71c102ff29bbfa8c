//! The configuration of a run, as a TOML file.

use std::path::{Path, PathBuf};

use mempack_model::Precision;
use mempack_model::training::{AdamWConfig, AdapterOptions, Learning};
use serde::{Deserialize, Serialize};

use crate::error::field;
use crate::scratch::neither_or_both;
use crate::{ConfigError, Keep, Schedule, ScratchConfig};

/// What is trained, from what, and how. Paths are relative to the file's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// A Hugging Face folder, or an adapter to go on with. Either this or `scratch` is given.
    pub model: Option<PathBuf>,
    /// A new model in its place.
    // Checkpoints name their run by its configuration's text, which shall stay as it was for runs without this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scratch: Option<ScratchConfig>,
    /// The base of an adapter, where its configuration does not lead to it.
    pub base: Option<PathBuf>,
    /// A `memory` block in a file of its own, in place of the model's.
    pub memory: Option<PathBuf>,
    /// The sentence embedder that finds references.
    pub embedder: Option<PathBuf>,
    /// The folder of the run: checkpoints, log, and at the end `final`, the adapter or model.
    pub output: PathBuf,
    /// Where all random numbers begin.
    #[serde(default)]
    pub seed: u64,
    /// What the model computes in: `f32` or `bf16`. What learns is kept in f32 either way.
    #[serde(default = "f32_words")]
    pub precision: String,
    /// Threads of an operation.
    #[serde(default = "two")]
    pub threads: usize,
    /// A LoRA adapter; without it, all weights are trained.
    pub adapter: Option<AdapterConfig>,
    /// How steps are made.
    #[serde(default)]
    pub optimizer: AdamWConfig,
    /// When the state is kept.
    #[serde(default)]
    pub checkpoints: CheckpointConfig,
    /// When a loss has run away, and what is done then.
    #[serde(default)]
    pub divergence: DivergenceConfig,
    /// One after the other.
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
    /// Projections by their names in a layer; all linear maps of the layers if empty.
    #[serde(default)]
    pub targets: Vec<String>,
}

/// When the state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Steps from one to the next.
    pub every: u64,
    /// How many of the latest are kept.
    pub keep: usize,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every: 50, keep: 2 }
    }
}

/// When a loss has run away, and what is done then.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DivergenceConfig {
    /// A loss has run away when it is above the running mean of its source by this factor, so many `times`, or is no number.
    pub factor: f64,
    /// Parts of steps of a source, one after the other, that must be so far above: a hard batch is no divergence.
    pub times: u64,
    /// Parts of steps of a source before its running mean says anything.
    pub patience: u64,
    /// Times that training goes back to the last checkpoint before it gives up.
    pub tries: u32,
    /// What the rate is multiplied with each time.
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
    /// Steps.
    pub steps: u64,
    /// Sequences of a step.
    pub batch: usize,
    /// Parts of a step whose gradients are added up, each of `batch / accumulate` sequences.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// The rate over the stage.
    #[serde(default)]
    pub schedule: Schedule,
    /// What is learnt.
    pub learn: Learn,
}

/// What a stage learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Learn {
    /// Warm-up: ordinary language modelling on texts (section 3.6 of the paper).
    Text {
        /// Corpora, as `mempack build` reads them.
        corpora: Vec<PathBuf>,
        /// Tokens of a sequence.
        length: usize,
    },
    /// Questions about references, the loss on their answers.
    Questions {
        /// Where references and questions come from.
        sources: Vec<QuestionSource>,
        /// References that the sequences of a part share.
        pool: usize,
        /// How many references a sequence reads; one of these numbers, each as likely.
        reads: Vec<usize>,
        /// Questions of a sequence, at most.
        questions: usize,
        /// Tokens of a sequence, at most.
        length: usize,
        /// What is answered where no reference tells.
        #[serde(default = "no_answer")]
        no_answer: String,
        /// Share of the sequences whose reference is withheld: they read those that retrieval confuses with it, and the answer is
        /// `no_answer`.
        #[serde(default)]
        withheld: f64,
        /// How references are written.
        write: WriteConfig,
    },
    /// Continual training: language modelling on texts in which every chunk (the model's `retrieval_interval`) has a reference, found
    /// by the embedder from the chunk's text, and reads it and those of the chunks before (section 3.6 of the paper).
    Continual {
        /// Corpora that texts are from, as `mempack build` reads them.
        corpora: Vec<PathBuf>,
        /// Corpora that references are from.
        references: Vec<PathBuf>,
        /// Tokens of a sequence; best a multiple of a chunk's.
        length: usize,
        /// How many chunks before its own a chunk reads the references of; the paper's is 4, so that it reads five.
        #[serde(default = "four")]
        previous: usize,
        /// References whose [overlap](mempack_model::overlap) with the sequence (equation 6 of the paper) is above this, which is 0.9
        /// without it, are not read: they would give its text away.
        #[serde(default = "nine_tenths")]
        overlap: f64,
        /// How references are written.
        write: WriteConfig,
    },
    /// Copying: sequences of random tokens that come again, the loss on the repeats. A model from scratch learns to read only after
    /// it, and it only after some `text`.
    Copy {
        /// Tokens of a sequence.
        length: usize,
        /// The shortest and the longest period of a repeat, in tokens; each between them is as likely.
        #[serde(default = "periods")]
        period: [usize; 2],
    },
}

/// References with questions about them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionSource {
    /// Corpora, as `mempack build` reads them.
    pub corpora: Vec<PathBuf>,
    /// Files of questions.
    pub questions: Vec<PathBuf>,
    /// How often a part is of this source, against the others.
    #[serde(default = "unit")]
    pub weight: f64,
}

/// How references are written while the model learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteConfig {
    /// Tokens that a head keeps, from which step of the stage on.
    pub keep: Keep,
    /// Whether gradients reach the weights that select.
    #[serde(default)]
    pub selection_gradient: bool,
    /// Noise on keys and values, as shares of their mean squares.
    #[serde(default)]
    pub noise: [f64; 2],
}

fn f32_words() -> String {
    "f32".to_owned()
}

fn two() -> usize {
    2
}

fn no_answer() -> String {
    "The references do not tell.".to_owned()
}

fn one() -> usize {
    1
}

fn four() -> usize {
    4
}

fn nine_tenths() -> f64 {
    0.9
}

fn periods() -> [usize; 2] {
    [5, 40]
}

fn unit() -> f64 {
    1.0
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
            Some(adapter) => Learning::Adapter(AdapterOptions {
                rank: adapter.rank,
                alpha: adapter.alpha,
                targets: adapter.targets.clone(),
                seed: self.seed,
            }),
        }
    }

    /// What the model computes in.
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
                field("adapter", self.adapter.is_none(), "none, as all weights of a `[scratch]` model are trained", "one")?;
            }
            (model, _) => return Err(neither_or_both(model.as_deref())),
        }
        self.precision()?;
        check_optimizer(&self.optimizer)?;
        field("threads", self.threads > 0, "at least 1", self.threads)?;
        field("checkpoints.every", self.checkpoints.every > 0, "at least 1", self.checkpoints.every)?;
        field("checkpoints.keep", self.checkpoints.keep > 0, "at least 1", self.checkpoints.keep)?;
        field("divergence.factor", self.divergence.factor > 1.0, "a number above 1", self.divergence.factor)?;
        field("divergence.cut", self.divergence.cut > 0.0 && self.divergence.cut < 1.0, "a share between 0 and 1", self.divergence.cut)?;
        if let Some(adapter) = &self.adapter {
            field("adapter.rank", adapter.rank > 0, "at least 1", adapter.rank)?;
        }
        field("stage", !self.stages.is_empty(), "at least one [[stage]]", "none")?;
        self.stages.iter().enumerate().try_for_each(|(number, stage)| stage.check(&format!("stage {number}")))
    }

    fn resolve(&mut self, folder: &Path) {
        let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
        resolve(&mut self.output);
        self.scratch.iter_mut().flat_map(ScratchConfig::paths_mut).for_each(resolve);
        [&mut self.model, &mut self.base, &mut self.memory, &mut self.embedder].into_iter().flatten().for_each(resolve);
        for stage in &mut self.stages {
            match &mut stage.learn {
                Learn::Text { corpora, .. } => corpora.iter_mut().for_each(resolve),
                Learn::Continual { corpora, references, .. } => corpora.iter_mut().chain(references).for_each(resolve),
                Learn::Copy { .. } => {}
                Learn::Questions { sources, .. } => {
                    sources.iter_mut().flat_map(|s| s.corpora.iter_mut().chain(&mut s.questions)).for_each(resolve);
                }
            }
        }
    }
}

fn check_optimizer(optimizer: &AdamWConfig) -> Result<(), ConfigError> {
    for (name, value) in [("optimizer.beta1", optimizer.beta1), ("optimizer.beta2", optimizer.beta2)] {
        field(name, (0.0..1.0).contains(&value), "a number from 0 to below 1", value)?;
    }
    field("optimizer.rate", optimizer.rate > 0.0 && optimizer.rate.is_finite(), "a positive number", optimizer.rate)?;
    field("optimizer.epsilon", optimizer.epsilon > 0.0, "a positive number", optimizer.epsilon)?;
    field("optimizer.weight_decay", (0.0..=1.0).contains(&optimizer.weight_decay), "a number from 0 to 1", optimizer.weight_decay)?;
    field("optimizer.clip", optimizer.clip >= 0.0, "a number from 0", optimizer.clip)
}

impl StageConfig {
    fn check(&self, name: &str) -> Result<(), ConfigError> {
        let sub = |what: &str| format!("{name}: {what}");
        field(&sub("steps"), self.steps > 0, "at least 1", self.steps)?;
        field(&sub("batch"), self.batch > 0, "at least 1", self.batch)?;
        let parts = self.accumulate > 0 && self.batch.is_multiple_of(self.accumulate);
        field(&sub("accumulate"), parts, "a divisor of batch", self.accumulate)?;
        self.schedule.check(&sub("schedule"))?;
        match &self.learn {
            Learn::Text { corpora, length } => {
                field(&sub("corpora"), !corpora.is_empty(), "at least one", "none")?;
                field(&sub("length"), *length > 1, "at least 2 tokens", length)
            }
            Learn::Questions { sources, pool, reads, questions, length, withheld, write, .. } => {
                field(&sub("sources"), !sources.is_empty(), "at least one", "none")?;
                let weights = sources.iter().all(|s| s.weight > 0.0 && s.weight.is_finite());
                field(&sub("sources.weight"), weights, "positive numbers", "another")?;
                let most = reads.iter().copied().max().unwrap_or_default();
                field(
                    &sub("reads"),
                    !reads.is_empty() && reads.iter().all(|n| *n > 0),
                    "numbers of references from 1",
                    format!("{reads:?}"),
                )?;
                field(&sub("pool"), *pool >= most, "as many references as a sequence reads", pool)?;
                field(&sub("questions"), *questions > 0, "at least 1", questions)?;
                field(&sub("withheld"), (0.0..1.0).contains(withheld), "a share from 0 to below 1", withheld)?;
                field(&sub("length"), *length > 1, "at least 2 tokens", length)?;
                write.check(sub)
            }
            Learn::Continual { corpora, references, length, overlap, write, .. } => {
                field(&sub("corpora"), !corpora.is_empty(), "at least one", "none")?;
                field(&sub("references"), !references.is_empty(), "at least one corpus", "none")?;
                field(&sub("length"), *length > 1, "at least 2 tokens", length)?;
                field(&sub("overlap"), (0.0..=1.0).contains(overlap), "a share from 0 to 1", overlap)?;
                write.check(sub)
            }
            Learn::Copy { length, period: [shortest, longest] } => {
                let right = *shortest > 0 && shortest <= longest;
                field(&sub("period"), right, "the shortest, at least 1, and the longest", format!("[{shortest}, {longest}]"))?;
                field(&sub("length"), length > longest, "more tokens than the longest period", length)
            }
        }
    }
}

impl WriteConfig {
    fn check(&self, sub: impl Fn(&str) -> String) -> Result<(), ConfigError> {
        let shares = self.noise.iter().all(|n| (0.0..=1.0).contains(n));
        field(&sub("noise"), shares, "shares from 0 to 1", format!("{:?}", self.noise))?;
        self.keep.check(&sub("keep"))
    }
}

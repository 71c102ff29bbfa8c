//! Training: teaches a model to read memories (arXiv 2407.01178, section 3.6).
//!
//! A run is a [`TrainConfig`], read from a TOML file. It names the model, or what a [new one](ScratchConfig) is created from; whether all
//! weights or a LoRA adapter are trained; and the stages of the run, each with a training objective ([`LearnConfig`]):
//!
//! - [`text`](TextConfig): language modelling on texts;
//! - [`continual`](ContinualConfig): language modelling on texts whose chunks read references;
//! - [`copy`](CopyConfig): random tokens that repeat, for new models;
//! - [`questions`](QuestionsConfig): questions about references.
//!
//! References are written while the model learns, with the token selection that `mempack build` uses; gradients flow through the kept keys
//! and values. [`train`] saves checkpoints, resumes from the latest one, and goes back to it with a lower learning rate when the loss
//! diverges. At the end, the run's folder holds `final`: an adapter in the PEFT layout, or a Hugging Face folder.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//! use mempack_trainer::{NoProgress, TrainConfig, train};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = TrainConfig::read("reader.toml".as_ref())?;
//! let report = train(&config, "cpu".parse()?, &NoProgress, &AtomicBool::new(false))?;
//! println!("{}", report.folder.display());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod budget;
mod checkpoint;
mod config;
mod corpora;
mod divergence;
mod error;
mod fit;
mod log;
mod order;
mod plot;
mod progress;
mod references;
mod run;
mod schedule;
mod scratch;
mod stages;
mod turns;

pub use budget::{BudgetError, BudgetOptions, BudgetPoint, BudgetReport, BudgetScore, budget_figure, measure_budget};
pub use config::{AdapterConfig, CheckpointConfig, DivergenceConfig, StageConfig, TrainConfig, WriteConfig};
pub use error::{ConfigError, TrainError};
pub use log::{LOG, LogLine, read_log};
pub use mempack_model::training::AdamWConfig;
pub use plot::{PlotError, plot};
pub use progress::{NoProgress, TrainProgress};
pub use run::{TrainReport, train};
pub use schedule::{BudgetWord, Keep, KeepSchedule, Schedule, ScheduleKind};
pub use scratch::ScratchConfig;
pub use stages::{
    ChatConfig, ContinualConfig, CopyConfig, DistilConfig, LearnConfig, PreferenceLoss, PreferencesConfig, QuestionSource, QuestionsConfig,
    RepeatConfig, TextConfig,
};

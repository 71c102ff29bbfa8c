//! The training that teaches a model to read memories (arXiv 2407.01178, section 3.6).
//!
//! A run is a [`TrainConfig`], read from a TOML file: which model, or what a [new one](ScratchConfig) is made from, whether all its
//! weights or a LoRA adapter learn, and stages, one after the other. [`Learn`] says what they can be. *Text* is ordinary language
//! modelling; *continual* is the same on texts whose chunks read references; *copy* has random tokens come again, for new models;
//! *questions* are asked about references. References are written as the sequences are read, by the selection that `mempack build`
//! uses, with gradients through the kept keys and values. [`train`] keeps checkpoints, goes on from the latest, and goes back to it at
//! a lower rate when the loss runs away. At the end the run's folder holds `final`: an adapter in the PEFT layout, or a Hugging Face
//! folder.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//! use mempack_trainer::{Silent, TrainConfig, train};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = TrainConfig::read("reader.toml".as_ref())?;
//! let report = train(&config, "cpu".parse()?, &Silent, &AtomicBool::new(false))?;
//! println!("{}", report.folder.display());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod batch;
mod checkpoint;
mod config;
mod continual;
mod copies;
mod data;
mod divergence;
mod error;
mod log;
mod plot;
mod progress;
mod questions;
mod references;
mod run;
mod schedule;
mod scratch;
mod text;

pub use config::{AdapterConfig, CheckpointConfig, DivergenceConfig, Learn, QuestionSource, StageConfig, TrainConfig, WriteConfig};
pub use error::{ConfigError, TrainError};
pub use log::{LOG, LogLine, read_log};
pub use mempack_model::training::AdamWConfig;
pub use plot::{PlotError, plot};
pub use progress::{Progress, Silent};
pub use run::{TrainReport, train};
pub use schedule::{Keep, Schedule, ScheduleKind};
pub use scratch::ScratchConfig;

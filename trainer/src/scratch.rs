//! A new model with random weights, which training starts from.

use std::path::{Path, PathBuf};

use mempack_model::training::{NewTokenizer, ScratchOptions, create_model};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::corpora::read_texts;
use crate::error::require;
use crate::{ConfigError, TrainConfig, TrainError, TrainProgress};

/// A new model with random weights, drawn from the run's seed. It is written to the folder `start` in the run's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScratchConfig {
    /// A config.json of a Llama, Mistral or Qwen2 model, with a `memory` block.
    pub config: PathBuf,
    /// A tokenizer.json. Without it, a byte-level BPE is trained on `corpora`; the ids of special tokens must then be small.
    pub tokenizer: Option<PathBuf>,
    /// Corpora to train a tokenizer on, in the formats that `mempack build` reads. They are held in memory meanwhile.
    #[serde(default)]
    pub corpora: Vec<PathBuf>,
    /// The vocabulary of a trained tokenizer, instead of the `vocab_size` in `config`.
    pub vocabulary: Option<u32>,
}

impl ScratchConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let corpora = self.corpora.len();
        if self.tokenizer.is_some() {
            require("scratch.corpora", corpora == 0, "none, as `tokenizer` is given", corpora)?;
            require("scratch.vocabulary", self.vocabulary.is_none(), "none, as `tokenizer` is given", "a number")
        } else {
            require("scratch.corpora", corpora > 0, "corpora to train a tokenizer on, or `tokenizer`", "none")?;
            require("scratch.vocabulary", self.vocabulary != Some(0), "at least 1", 0)
        }
    }

    /// The paths in the table.
    pub(crate) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.config].into_iter().chain(&mut self.tokenizer).chain(&mut self.corpora)
    }
}

/// The folder that training starts from: `model`, or the run's `start`, which is created if it does not exist.
pub(crate) fn start(config: &TrainConfig, progress: &dyn TrainProgress) -> Result<PathBuf, TrainError> {
    let scratch = match (&config.model, &config.scratch) {
        (Some(model), None) => return Ok(model.clone()),
        (None, Some(scratch)) => scratch,
        (model, _) => return Err(neither_or_both(model.as_deref()).into()),
    };
    let folder = config.output.join("start");
    // This file is written before the folder, so that a run with another `[scratch]` does not start from it.
    let made_from = config.output.join("start.json");
    let wanted = json!({"scratch": scratch, "seed": config.seed}).to_string();
    if folder.exists() {
        let found = std::fs::read_to_string(&made_from).map_err(TrainError::io(&made_from))?;
        if found != wanted {
            return Err(TrainError::Checkpoint { path: folder, part: "what it was made from".into(), expected: wanted, found });
        }
        return Ok(folder);
    }
    let part = config.output.join(".start.json.part");
    std::fs::write(&part, wanted).and_then(|()| std::fs::rename(&part, &made_from)).map_err(TrainError::io(&made_from))?;
    let texts = read_texts(&scratch.corpora, progress)?;
    progress.note(&format!("new model with random weights: {}", folder.display()));
    let tokenizer = match &scratch.tokenizer {
        Some(path) => NewTokenizer::File(path),
        None => NewTokenizer::Trained { texts: &texts, vocabulary: scratch.vocabulary },
    };
    create_model(&folder, &ScratchOptions { config: &scratch.config, tokenizer, seed: config.seed }).map_err(Box::new)?;
    Ok(folder)
}

/// The error for a configuration that names neither `model` nor `[scratch]`, or both.
pub(crate) fn neither_or_both(model: Option<&Path>) -> ConfigError {
    let found = if model.is_some() { "both" } else { "neither" };
    ConfigError::Field { field: "model".into(), expected: "either `model` or a table `[scratch]`", found: found.into() }
}

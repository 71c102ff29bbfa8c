//! A new model in the run's folder, which training begins with.

use std::path::{Path, PathBuf};

use mempack_corpus::{CorpusItem, Documents, Input};
use mempack_model::training::{NewTokenizer, ScratchOptions, create_model};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::field;
use crate::{ConfigError, Progress, TrainConfig, TrainError};

/// A model that begins with weights of chance, drawn from the run's seed. It is put into the folder `start` of the run's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScratchConfig {
    /// A config.json of Llama, Mistral or Qwen2 shape, with a `memory` block.
    pub config: PathBuf,
    /// Its tokenizer.json. Without it, a byte-level BPE is trained on `corpora`; the ids of special tokens must then be small.
    pub tokenizer: Option<PathBuf>,
    /// Corpora that a tokenizer is trained on, as `mempack build` reads them. They are held in memory meanwhile.
    #[serde(default)]
    pub corpora: Vec<PathBuf>,
    /// Tokens of a tokenizer that is trained; it stands for the configuration's `vocab_size`, which it is without it.
    pub vocabulary: Option<u32>,
}

impl ScratchConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let corpora = self.corpora.len();
        if self.tokenizer.is_some() {
            field("scratch.corpora", corpora == 0, "none, as `tokenizer` is given", corpora)?;
            field("scratch.vocabulary", self.vocabulary.is_none(), "none, as `tokenizer` is given", "a number")
        } else {
            field("scratch.corpora", corpora > 0, "corpora to train a tokenizer on, or `tokenizer`", "none")?;
            field("scratch.vocabulary", self.vocabulary != Some(0), "at least 1", 0)
        }
    }

    /// The paths it names.
    pub(crate) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.config].into_iter().chain(&mut self.tokenizer).chain(&mut self.corpora)
    }
}

/// The folder that training begins with: `model`, or the run's `start`, which is made if it is not there.
pub(crate) fn start(config: &TrainConfig, progress: &dyn Progress) -> Result<PathBuf, TrainError> {
    let scratch = match (&config.model, &config.scratch) {
        (Some(model), None) => return Ok(model.clone()),
        (None, Some(scratch)) => scratch,
        (model, _) => return Err(neither_or_both(model.as_deref()).into()),
    };
    let folder = config.output.join("start");
    // What the folder is made from is written down before it is made: a run of another model shall not begin with it.
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
    progress.note(&format!("a new model of weights of chance: {}", folder.display()));
    let tokenizer = match &scratch.tokenizer {
        Some(path) => NewTokenizer::File(path),
        None => NewTokenizer::Trained { texts: &texts, vocabulary: scratch.vocabulary },
    };
    create_model(&folder, &ScratchOptions { config: &scratch.config, tokenizer, seed: config.seed }).map_err(Box::new)?;
    Ok(folder)
}

/// The refusal of a configuration that does not say what is trained, or says it twice.
pub(crate) fn neither_or_both(model: Option<&Path>) -> ConfigError {
    let found = if model.is_some() { "both" } else { "neither" };
    ConfigError::Field { field: "model".into(), expected: "either `model` or a table `[scratch]`", found: found.into() }
}

fn read_texts(corpora: &[PathBuf], progress: &dyn Progress) -> Result<Vec<String>, TrainError> {
    let inputs: Vec<_> = corpora.iter().cloned().map(Input::Path).collect();
    let mut texts = Vec::new();
    for item in Documents::new(&inputs, std::io::stdin()) {
        match item? {
            CorpusItem::Note(note) => progress.note(&note.to_string()),
            CorpusItem::Document(document) => texts.extend(document.read_text()?.map(|(_, text)| text)),
        }
    }
    Ok(texts)
}

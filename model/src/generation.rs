//! The ids in generation_config.json.

use std::path::{Path, PathBuf};

use crate::LoadError;
use crate::fields::{Fields, read_object_if_any};

/// What generation_config.json says about the tokens around a text. Its other fields are about sampling and search, which belong to the
/// caller here.
#[derive(Debug, Default)]
pub(crate) struct Generation {
    /// The file, if there is one.
    pub path: PathBuf,
    /// `bos_token_id`.
    pub bos: Option<u32>,
    /// `eos_token_id`: the tokens that end a text. transformers stops at any of them.
    pub eos: Vec<u32>,
    /// `pad_token_id`.
    pub pad: Option<u32>,
}

impl Generation {
    /// Reads the file in `folder`, if there is one.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, LoadError> {
        let path = folder.join("generation_config.json");
        let Some(object) = read_object_if_any(&path, "fetch the model again")? else { return Ok(Self::default()) };
        let f = Fields::new(&path, &object);
        let (bos, eos, pad) = (f.u32("bos_token_id")?, f.ids("eos_token_id")?.unwrap_or_default(), f.u32("pad_token_id")?);
        Ok(Self { bos, eos, pad, path })
    }

    /// Refuses ids that a vocabulary of this size does not have.
    pub(crate) fn check(&self, vocabulary: u32) -> Result<(), LoadError> {
        for (field, ids) in [("bos_token_id", self.bos.as_slice()), ("eos_token_id", &self.eos)] {
            if let Some(id) = ids.iter().find(|id| **id >= vocabulary) {
                let object = serde_json::Map::new();
                let f = Fields::new(&self.path, &object);
                return Err(f.refuse(field, format!("an id below {vocabulary}"), id.to_string(), "correct the file"));
            }
        }
        Ok(())
    }
}

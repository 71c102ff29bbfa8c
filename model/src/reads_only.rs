//! What the memory.json of a reading adapter says beside its `memory` block: that it only reads, and which model writes.

use std::path::{Path, PathBuf};

use mempack_format::ModelIdentity;
use serde_json::{Map, Value, json};

use crate::fields::{Fields, read_object};
use crate::{LoadError, adapter};

pub(crate) const FILE: &str = "memory.json";
const READS_ONLY: &str = "reads_only";
const WRITER: &str = "writer";
const NO_ADAPTER: &str = "none";

/// The head of a reading adapter's memory.json.
pub(crate) struct ReadsOnly {
    /// The file.
    pub path: PathBuf,
    /// The fields of the `memory` block.
    pub block: Map<String, Value>,
    /// The digest of the writer's base weights.
    weights: String,
    /// The digest of the writer's adapter, if it has one.
    adapter: Option<String>,
}

impl ReadsOnly {
    /// The head of the reading adapter in `folder`; `None` if there is none.
    pub(crate) fn of_folder(folder: &Path) -> Result<Option<Self>, LoadError> {
        let path = folder.join(FILE);
        if !path.is_file() || !folder.join(adapter::CONFIG).is_file() {
            return Ok(None);
        }
        let mut block = read_object(&path, "fetch the adapter again")?;
        let fields = Fields::new(&path, &block);
        if fields.bool(READS_ONLY)? != Some(true) {
            return Ok(None);
        }
        let writer = fields.required(WRITER, "the writer's digests", fields.block(WRITER)?)?;
        let weights = writer.required("weights", "the digest of the writer's weights", writer.str("weights")?)?.to_owned();
        let adapter = writer.str("adapter")?.map(str::to_owned);
        writer.refuse_unknown(&[&["name"]])?;
        block.remove(READS_ONLY);
        block.remove(WRITER);
        Ok(Some(Self { path, block, weights, adapter }))
    }

    /// Refuses a folder that holds a reading adapter, where a model that writes is needed.
    pub(crate) fn refuse(folder: &Path) -> Result<(), LoadError> {
        match Self::of_folder(folder)? {
            Some(Self { path, .. }) => Err(LoadError::Field {
                path,
                field: READS_ONLY.into(),
                expected: "no such field, because a model is needed here that writes memories too".into(),
                found: "true".into(),
                remedy: "name the writer of this reading adapter; to train the adapter further, set `reads_only` in the configuration"
                    .into(),
            }),
            None => Ok(()),
        }
    }

    /// The whole memory.json of a reading adapter on the model `writer`, with the fields of `block`.
    pub(crate) fn to_json(writer: &ModelIdentity, block: Value) -> Value {
        let adapter = writer.adapter.map(|digest| digest.to_string());
        let mut whole = json!({
            READS_ONLY: true,
            WRITER: {"name": writer.name, "weights": writer.weights.to_string(), "adapter": adapter},
        });
        if let (Some(whole), Value::Object(block)) = (whole.as_object_mut(), block) {
            whole.extend(block);
        }
        whole
    }

    /// Whether the writer is an adapter itself.
    pub(crate) fn writer_is_adapter(&self) -> bool {
        self.adapter.is_some()
    }

    /// Refuses a model in the folder `writer` that is not the writer.
    pub(crate) fn check_writer(&self, writer: &Path, identity: &ModelIdentity) -> Result<(), LoadError> {
        let adapter = identity.adapter.map(|digest| digest.to_string());
        let shown = |adapter: &Option<String>| adapter.clone().unwrap_or_else(|| NO_ADAPTER.into());
        let both = [
            ("writer.weights", self.weights.clone(), identity.weights.to_string()),
            ("writer.adapter", shown(&self.adapter), shown(&adapter)),
        ];
        match both.into_iter().find(|(_, expected, found)| expected != found) {
            Some((field, expected, found)) => {
                Err(LoadError::OtherWriter { path: self.path.clone(), field, expected, found, writer: writer.to_owned() })
            }
            None => Ok(()),
        }
    }
}

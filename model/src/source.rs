//! What a model is loaded from: a Hugging Face folder, or an adapter folder and the folder of its base.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mempack_format::{Digest, ModelIdentity};
use serde_json::{Map, Value};
use tch::{Device, Kind, Tensor};

use crate::adapter::Adapter;
use crate::base::find_base;
use crate::checkpoint::Checkpoint;
use crate::decoder::Decoder;
use crate::fields::{Fields, read_object};
use crate::{LoadError, LoadOptions, MemoryConfig, ModelConfig, TextTokenizer};

/// The rule that selects the tokens kept: attention summed over queries, before RoPE (arXiv 2407.01178, section 3.3).
const SELECTION: &str = "attention-sum-pre-rope-v1";
const FOLDER: &str = "a model folder has config.json, model.safetensors (or an index and its shards) and tokenizer.json";

/// Configuration and weights, adapter merged on the way out.
pub(crate) struct Source {
    pub config: ModelConfig,
    pub memory: MemoryConfig,
    /// Where tokenizer.json should be.
    pub tokenizer: PathBuf,
    /// config.json as it is.
    pub config_json: Map<String, Value>,
    /// Name of the base's folder: the name without the adapter's.
    pub base: String,
    name: String,
    weights: Checkpoint,
    adapter: Option<Adapter>,
    used: RefCell<BTreeSet<String>>,
}

impl Source {
    pub(crate) fn open(folder: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        if !folder.is_dir() {
            return Err(LoadError::Missing { path: folder.to_owned(), what: "folder", remedy: FOLDER.into() });
        }
        let adapter = Adapter::open(folder)?;
        let base = match &adapter {
            Some(adapter) => find_base(folder, &adapter.base, options.base.as_deref())?,
            None => folder.to_owned(),
        };
        let config_path = base.join("config.json");
        let object = read_object(&config_path, FOLDER)?;
        let config = ModelConfig::parse(&config_path, &object)?;
        // An adapter's memory.json stands for the whole block; it is what the adapter was trained with.
        let beside = folder.join("memory.json");
        let own = (adapter.is_some() && beside.exists()).then_some(beside);
        let memory = match options.memory.clone().or(own) {
            Some(path) => MemoryConfig::parse(&Fields::new(&path, &read_object(&path, FOLDER)?), &config)?,
            None => MemoryConfig::of_model(&config_path, &object, &config)?,
        };
        let own_tokenizer = folder.join("tokenizer.json");
        Ok(Self {
            weights: Checkpoint::open(&base)?,
            tokenizer: if own_tokenizer.exists() { own_tokenizer } else { base.join("tokenizer.json") },
            name: match &adapter {
                Some(_) => format!("{}+{}", file_name(&base), file_name(folder)),
                None => file_name(folder),
            },
            base: file_name(&base),
            config,
            config_json: object,
            memory,
            adapter,
            used: RefCell::default(),
        })
    }

    /// The tensor `name` of shape `shape`, adapter merged in f32, then as `kind` on `device`.
    pub(crate) fn tensor(&self, name: &str, shape: &[i64], kind: Kind, device: Device) -> Result<Tensor, LoadError> {
        self.used.borrow_mut().insert(name.to_owned());
        let Some(change) = self.adapter.as_ref().map(|a| a.change(name, shape, device)).transpose()?.flatten() else {
            return self.weights.tensor(name, shape, kind, device);
        };
        Ok(self.weights.tensor(name, shape, Kind::Float, device)?.f_add_(&change)?.f_to_kind(kind)?)
    }

    /// Takes the adapter out: from now on, tensors are the base's own.
    pub(crate) fn take_adapter(&mut self) -> Option<Adapter> {
        self.adapter.take()
    }

    /// The base of an adapter alone, with the adapter's `memory` block and tokenizer; `None` without an adapter.
    pub(crate) fn without_adapter(mut self) -> Option<Self> {
        self.take_adapter()?;
        self.name.clone_from(&self.base);
        Some(self)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.weights.contains(name)
    }

    /// Refuses tensors that no part of the decoder asked for: they belong to an architecture that computes something else.
    pub(crate) fn check_all_used(&self) -> Result<(), LoadError> {
        let used = self.used.borrow();
        let spare = |name: &&str| !used.contains(*name) && !name.ends_with("rotary_emb.inv_freq");
        if let Some(name) = self.weights.names().find(spare) {
            return Err(self.weights.wrong(
                name,
                "the tensors of a Llama, Mistral or Qwen2 decoder",
                "another one",
                "use a model of one of these shapes",
            ));
        }
        match &self.adapter {
            Some(adapter) => adapter.check_targets(|name| used.contains(name)),
            None => Ok(()),
        }
    }

    pub(crate) fn identity(&self, decoder: &Decoder, tokenizer: &TextTokenizer) -> ModelIdentity {
        let (config, memory) = (&self.config, &self.memory);
        ModelIdentity {
            name: self.name.clone(),
            weights: self.weights.digest(),
            adapter: self.adapter.as_ref().map(Adapter::digest),
            config: Digest::of(config.canonical().as_bytes()),
            tokenizer: tokenizer.digest(),
            layers: config.layers,
            first_memory_layer: memory.first_memory_layer,
            query_heads: config.query_heads,
            shape: decoder.shape(),
            rope_base: config.rope_base,
            prefix_ids: memory.reference_prefix_ids.clone(),
            reference_length: memory.reference_length,
            reference_template: memory.reference_template.clone(),
            selection: SELECTION.to_owned(),
        }
    }
}

/// The last part of a path, also of one that ends in `..`.
fn file_name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.file_name().map_or_else(|| whole.display().to_string(), |name| name.to_string_lossy().into_owned())
}

//! The folder that a model is loaded from: a Hugging Face folder, or an adapter folder with the folder of its base model.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mempack_format::{Digest, ModelIdentity};
use serde_json::{Map, Value};
use tch::{Device, Kind, TchError, Tensor};

use crate::adapter::Adapter;
use crate::base::find_base;
use crate::checkpoint::Checkpoint;
use crate::control::Roles;
use crate::device::threads;
use crate::family::Module;
use crate::fields::{Fields, read_object};
use crate::filling::{Change, Filling, Rows};
use crate::folder::check_folder;
use crate::generation::Generation;
use crate::norm::RmsNorm;
use crate::reads_only::{self, ReadsOnly};
use crate::{LoadError, LoadOptions, MemoryConfig, MemorySource, ModelConfig, TextTokenizer};

/// Name of the rule that selects a reference's tokens: attention summed over queries, before RoPE (arXiv 2407.01178, section 3.3).
const SELECTION: &str = "attention-sum-pre-rope-v1";
const FOLDER: &str = "a model folder has config.json, model.safetensors (or an index and its shards) and tokenizer.json";

/// Configuration and weights of a model. An adapter is merged into each tensor as it is read.
pub(crate) struct ModelFolder {
    pub config: ModelConfig,
    pub memory: MemoryConfig,
    pub memory_source: MemorySource,
    /// Path of tokenizer.json, which may not exist.
    pub tokenizer: PathBuf,
    /// Ids of padding tokens.
    pads: Vec<u32>,
    /// The whole object of config.json.
    pub config_json: Map<String, Value>,
    /// Name of the base model's folder.
    pub base: String,
    /// Name of the model: the base's name, and the adapter's after a `+`.
    name: String,
    weights: Checkpoint,
    adapter: Option<Adapter>,
    /// Names of the tensors that have been read.
    used: Mutex<BTreeSet<String>>,
}

impl ModelFolder {
    /// Opens `folder` and reads its configuration; no tensor is read yet. A reading adapter, which is no model alone, is refused.
    pub(crate) fn open(folder: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        ReadsOnly::refuse(folder)?;
        let adapter = if folder.is_dir() { Adapter::open(folder)? } else { None };
        let base = match &adapter {
            Some(adapter) => find_base(folder, &adapter.base, options.base.as_deref())?,
            None => folder.to_owned(),
        };
        check_folder(&base, "config.json", FOLDER)?;
        let config_path = base.join("config.json");
        let object = read_object(&config_path, FOLDER)?;
        let generation = Generation::of_folder(&base)?;
        let config = ModelConfig::parse(&config_path, &object, &generation)?;
        let pads = Fields::new(&config_path, &object).ids("pad_token_id")?.unwrap_or_default().into_iter().chain(generation.pad).collect();
        // An adapter's memory.json replaces the whole `memory` block: the adapter was trained with it.
        let memory_json = folder.join(reads_only::FILE);
        let of_adapter = (adapter.is_some() && memory_json.exists()).then_some(memory_json);
        let memory_source = match &options.memory {
            Some(_) => MemorySource::Caller,
            None if of_adapter.is_some() || object.get("memory").is_some_and(Value::is_object) => MemorySource::Model,
            None => MemorySource::Default,
        };
        let memory = match options.memory.clone().or(of_adapter) {
            Some(path) => MemoryConfig::parse(&Fields::new(&path, &read_object(&path, FOLDER)?), &config)?,
            None => MemoryConfig::of_model(&config_path, &object, &config)?,
        };
        if let Some(adapter) = &adapter {
            let (linear, others) = config.adaptable();
            adapter.check_complete(&linear, &others)?;
        }
        let own_tokenizer = folder.join("tokenizer.json");
        Ok(Self {
            weights: Checkpoint::open(&base)?,
            tokenizer: if own_tokenizer.exists() { own_tokenizer } else { base.join("tokenizer.json") },
            name: match &adapter {
                Some(_) => format!("{}+{}", file_name(&base), file_name(folder)),
                None => file_name(folder),
            },
            base: file_name(&base),
            pads,
            config,
            config_json: object,
            memory,
            memory_source,
            adapter,
            used: Mutex::default(),
        })
    }

    /// Reads the tensor `name` of shape `shape`, merges the adapter in f32, and converts the result to `kind` on `device`.
    pub(crate) fn tensor(&self, name: &str, shape: &[i64], kind: Kind, device: Device) -> Result<Tensor, LoadError> {
        self.used().insert(name.to_owned());
        let Some(change) = self.adapter.as_ref().map(|a| a.change(name, shape, device)).transpose()?.flatten() else {
            return self.weights.tensor(name, shape, kind, device);
        };
        Ok(self.weights.tensor(name, shape, Kind::Float, device)?.f_add_(&change)?.f_to_kind(kind)?)
    }

    /// What the rows of the tensor `name` of shape `shape` are made of.
    fn rows(&self, name: &str, shape: [i64; 2]) -> Result<Rows<'_>, LoadError> {
        self.used().insert(name.to_owned());
        let change = match &self.adapter {
            Some(adapter) => adapter.pair(name, &shape, Device::Cpu)?.map(|(a, b)| -> Result<_, LoadError> {
                let numbers = |tensor: Tensor| Vec::try_from(tensor.f_reshape(-1)?);
                Ok(Change { a: numbers(a)?, b: numbers(b)?, scale: adapter.scale as f32 })
            }),
            None => None,
        };
        Ok(Rows { change: change.transpose()?, stored: self.weights.stored(name, &shape)?, count: shape[0] as usize })
    }

    /// Reads the norm `module`.
    pub(crate) fn norm(&self, module: Module, kind: Kind, device: Device) -> Result<RmsNorm, LoadError> {
        let family = self.config.family;
        let size = self.config.dimensions().shape(module).rows as i64;
        let weight = self.tensor(&family.names.weight(module), &[size], kind, device)?;
        Ok(RmsNorm::new(weight, family.norm_offset, self.config.norm_eps))
    }

    /// Removes the adapter: tensors that are read later are those of the base model.
    pub(crate) fn take_adapter(&mut self) -> Option<Adapter> {
        self.adapter.take()
    }

    /// The base model alone, with the adapter's `memory` block and tokenizer; `None` without an adapter.
    pub(crate) fn without_adapter(self) -> Option<Self> {
        self.adapter.as_ref()?;
        let memory = self.memory.clone();
        Some(self.base_alone(memory))
    }

    /// The base model alone, with the `memory` block of what it is the base of.
    pub(crate) fn base_alone(self, memory: MemoryConfig) -> Self {
        // The block is of an adapter, without which the weights were not trained with it.
        let memory_source = if self.memory_source == MemorySource::Model { MemorySource::Caller } else { self.memory_source };
        Self { adapter: None, name: self.base.clone(), memory, memory_source, ..self }
    }

    /// Loads the tokenizer. Tokens that the configuration or a template gives a role are control tokens.
    pub(crate) fn load_tokenizer(&self) -> Result<TextTokenizer, LoadError> {
        self.load_tokenizer_with(&self.memory)
    }

    /// Loads the tokenizer for a model with another `memory` block.
    pub(crate) fn load_tokenizer_with(&self, memory: &MemoryConfig) -> Result<TextTokenizer, LoadError> {
        let mut roles = Roles::of_folder(self.tokenizer.parent().unwrap_or(Path::new("")))?;
        roles.add_ids(self.config.eos.iter().chain(&memory.stop_ids).chain(&memory.reference_prefix_ids).chain(&self.pads).copied());
        roles.add_ids([self.config.bos]);
        roles.add_template(&memory.prompt_template);
        roles.add_template(&memory.reference_template);
        for template in memory.context_template.iter().chain(&memory.system_template) {
            roles.add_template(template);
        }
        let tokenizer = TextTokenizer::load_with(&self.tokenizer, &roles)?;
        tokenizer.check_vocabulary(self.config.vocabulary as usize)?;
        Ok(tokenizer)
    }

    /// Whether the checkpoint holds a tensor of this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.weights.contains(name)
    }

    /// An error about a head that differs from the embedding, although config.json says that they are one matrix.
    pub(crate) fn head_of_its_own(&self, head: &str) -> LoadError {
        let remedy = "set `tie_word_embeddings` in config.json to false if the model has a head of its own, else use weights without it";
        self.weights.wrong(head, "the values of the embedding, as config.json ties them", "others", remedy)
    }

    /// Refuses a checkpoint with tensors that the decoder has not read: they belong to another architecture.
    pub(crate) fn check_all_used(&self) -> Result<(), LoadError> {
        let used = self.used();
        let unused = |name: &&str| !used.contains(*name) && !name.ends_with("rotary_emb.inv_freq");
        if let Some(name) = self.weights.names().find(unused) {
            let expected = format!("the tensors of a `{}` model with this config.json", self.config.family.model_type);
            let remedy = match name.ends_with(".bias") {
                true => "if the model has this bias, set `attention_bias` or `mlp_bias` in config.json to true",
                false => "use a model of this family, with its own config.json",
            };
            return Err(self.weights.wrong(name, &expected, "another one", remedy));
        }
        match &self.adapter {
            Some(adapter) => adapter.check_targets(|name| used.contains(name)),
            None => Ok(()),
        }
    }

    fn used(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // A panic leaves a set of names, as always.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The digests of the weights that identify the model.
    pub(crate) fn digests(&self) -> WeightDigests {
        WeightDigests { weights: self.weights.digest(), adapter: self.adapter.as_ref().map(Adapter::digest) }
    }

    /// The identity that packs written with this model record.
    pub(crate) fn identity(&self, tokenizer: &TextTokenizer, digests: WeightDigests) -> ModelIdentity {
        let (config, memory) = (&self.config, &self.memory);
        ModelIdentity {
            name: self.name.clone(),
            weights: digests.weights,
            adapter: digests.adapter,
            config: Digest::of(config.canonical().as_bytes()),
            tokenizer: tokenizer.digest(),
            layers: config.layers,
            first_memory_layer: memory.first_memory_layer,
            query_heads: config.query_heads,
            shape: memory.shape(config),
            rope_base: config.rope_base,
            prefix_ids: memory.reference_prefix_ids.clone(),
            reference_length: memory.reference_length,
            reference_template: memory.reference_template.clone(),
            selection: SELECTION.to_owned(),
        }
    }
}

/// Digests of the weights of a model and of its adapter.
pub(crate) struct WeightDigests {
    weights: Digest,
    adapter: Option<Digest>,
}

/// Part of a matrix.
pub(crate) enum Part<'a> {
    /// Rows in a file.
    Stored(Rows<'a>),
    /// Rows on another device than the CPU.
    Read(Tensor),
}

/// A folder whose matrices are being read.
pub(crate) struct Loading<'a> {
    folder: &'a ModelFolder,
    filling: RefCell<Filling<'a>>,
}

impl Deref for Loading<'_> {
    type Target = ModelFolder;

    fn deref(&self) -> &ModelFolder {
        self.folder
    }
}

impl<'a> Loading<'a> {
    pub(crate) fn of(folder: &'a ModelFolder) -> Self {
        Self { folder, filling: RefCell::default() }
    }

    /// Finds the tensor `name` of shape `shape`, which is to be a matrix or part of one, as [`tensor`](ModelFolder::tensor) reads it.
    pub(crate) fn part(&self, name: &str, shape: [i64; 2], kind: Kind, device: Device) -> Result<Part<'a>, LoadError> {
        match device {
            Device::Cpu => self.folder.rows(name, shape).map(Part::Stored),
            _ => self.folder.tensor(name, &shape, kind, device).map(Part::Read),
        }
    }

    /// The matrix of these parts, one below the other, of `columns` columns. Its numbers are there after [`finish`](Self::finish).
    pub(crate) fn matrix(&self, parts: Vec<Part<'a>>, columns: i64, kind: Kind) -> Result<Tensor, TchError> {
        let (mut stored, mut read) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Part::Stored(rows) => stored.push(rows),
                Part::Read(tensor) => read.push(tensor),
            }
        }
        match read.as_slice() {
            [] => self.filling.borrow_mut().matrix(stored, columns as usize, kind),
            [one] => Ok(one.shallow_clone()),
            many => Tensor::f_cat(many, 0),
        }
    }

    /// Writes the numbers of the matrices, with as many threads as libtorch uses for an operation.
    pub(crate) fn finish(&self) {
        self.filling.borrow_mut().finish(threads());
    }
}

/// The last component of a path, resolved first if it ends in `..`.
pub(crate) fn file_name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.file_name().map_or_else(|| whole.display().to_string(), |name| name.to_string_lossy().into_owned())
}

//! The decoder with memory layers: token ids in, memories or logits out.

use std::path::Path;

use mempack_format::MemoryShape;
use tch::{Device, Kind, TchError, Tensor};

use crate::layer::{Layer, Sizes, norm};
use crate::rope::{Rope, Turn};
use crate::source::Source;
use crate::{ComputeError, LoadError, LoadOptions, MemoryConfig, ModelConfig, Precision};

/// A decoder of Llama, Mistral or Qwen2 shape with memory layers (arXiv 2407.01178, section 3), without a tokenizer.
pub struct Decoder {
    pub(crate) config: ModelConfig,
    pub(crate) memory: MemoryConfig,
    pub(crate) precision: Precision,
    pub(crate) device: Device,
    pub(crate) rope: Rope,
    pub(crate) layers: Vec<Layer>,
    /// Turns of the positions of prefix and memories, in f32.
    memory_turn: Turn,
    pub(crate) embedding: Tensor,
    pub(crate) final_norm: Tensor,
    pub(crate) head: Tensor,
}

impl Decoder {
    /// Loads a Hugging Face or adapter folder as [`Model::load`](crate::Model::load) does, and asks for no tokenizer.
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        Self::from_source(&Source::open(folder, options)?, options)
    }

    pub(crate) fn from_source(source: &Source, options: &LoadOptions) -> Result<Self, LoadError> {
        let _guard = tch::no_grad_guard();
        let device = options.device.resolve()?;
        let (config, memory) = (source.config.clone(), source.memory.clone());
        let kind = options.precision.kind();
        let table = [i64::from(config.vocabulary), i64::from(config.hidden)];
        let embedding = source.tensor("model.embed_tokens.weight", &table, kind, device)?;
        // A file that has both keeps the head it has; memory3.py reads it so, whatever the configuration says.
        let head = if source.contains("lm_head.weight") || !config.tied {
            source.tensor("lm_head.weight", &table, kind, device)?
        } else {
            embedding.shallow_clone()
        };
        let layers = (0..config.layers).map(|number| Layer::load(source, &config, number, kind, device)).collect::<Result<_, _>>()?;
        let rope = Rope::new(&config);
        let decoder = Self {
            final_norm: source.tensor("model.norm.weight", &[i64::from(config.hidden)], kind, device)?,
            memory_turn: shared_turn(&rope, &memory, device)?,
            rope,
            precision: options.precision,
            config,
            memory,
            device,
            layers,
            embedding,
            head,
        };
        source.check_all_used()?;
        Ok(decoder)
    }

    /// The architecture.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The `memory` block.
    pub fn memory(&self) -> &MemoryConfig {
        &self.memory
    }

    /// The type it computes in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The shape of its memories.
    pub fn shape(&self) -> MemoryShape {
        self.memory.shape(&self.config)
    }

    /// The same decoder for another thread; weights are shared, not copied.
    pub fn share(&self) -> Self {
        Self {
            config: self.config.clone(),
            memory: self.memory.clone(),
            precision: self.precision,
            device: self.device,
            rope: self.rope.clone(),
            layers: self.layers.iter().map(Layer::share).collect(),
            memory_turn: self.memory_turn.shallow_clone(),
            embedding: self.embedding.shallow_clone(),
            final_norm: self.final_norm.shallow_clone(),
            head: self.head.shallow_clone(),
        }
    }

    /// The same weights with another `memory` block.
    ///
    /// # Errors
    /// If this architecture cannot have such a block, or libtorch fails.
    pub fn with_memory(&self, memory: MemoryConfig) -> Result<Self, ComputeError> {
        memory.check(&self.config).map_err(|wrong| ComputeError::MemoryBlock {
            field: wrong.field,
            expected: wrong.expected,
            found: wrong.found,
        })?;
        let memory_turn = shared_turn(&self.rope, &memory, self.device)?;
        Ok(Self { memory, memory_turn, ..self.share() })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.precision.kind()
    }

    pub(crate) fn sizes(&self) -> Sizes {
        Sizes::of(&self.config)
    }

    /// The layers that hold memories.
    pub(crate) fn memory_layers(&self) -> std::ops::Range<usize> {
        let first = self.memory.first_memory_layer as usize;
        first..first + self.memory.num_memory_layers as usize
    }

    /// Turns, in f32, of the positions that prefix and memories share.
    pub(crate) fn memory_turn(&self) -> &Turn {
        &self.memory_turn
    }

    /// Whether the embedding is the head.
    pub(crate) fn is_tied(&self) -> bool {
        self.head.data_ptr() == self.embedding.data_ptr()
    }

    /// Rows of the embedding, `[ids, hidden]`.
    pub(crate) fn embed(&self, ids: &[i64]) -> Result<Tensor, TchError> {
        self.embedding.f_index_select(0, &Tensor::f_from_slice(ids)?.f_to_device(self.device)?)
    }

    /// Logits `[rows, vocabulary]` of the last layer's output `[rows, hidden]`.
    pub(crate) fn logits(&self, x: &Tensor) -> Result<Tensor, TchError> {
        norm(x, &self.final_norm, self.config.norm_eps)?.f_linear::<Tensor>(&self.head, None)
    }

    /// Refuses ids that have no row in the embedding.
    pub(crate) fn check_ids(&self, ids: &[u32]) -> Result<(), ComputeError> {
        match ids.iter().find(|id| **id >= self.config.vocabulary) {
            Some(id) => Err(ComputeError::UnknownToken { token: *id, vocabulary: self.config.vocabulary as usize }),
            None => Ok(()),
        }
    }
}

/// Turns of the positions that prefix and memories share.
fn shared_turn(rope: &Rope, memory: &MemoryConfig, device: Device) -> Result<Turn, TchError> {
    rope.turn(0..memory.reference_prefix_ids.len() as u32 + memory.reference_length, Kind::Float, device)
}

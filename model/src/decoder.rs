//! The decoder with memory layers: token ids in, memories or logits out.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use mempack_format::MemoryShape;
use tch::{Device, Kind, TchError, Tensor};

use crate::family::{EmbeddingScale, Module};
use crate::head_spans::{self, HeadSpan};
use crate::layer::{Layer, Sizes};
use crate::model_folder::{Loading, ModelFolder};
use crate::norm::RmsNorm;
use crate::rope::{Rope, Rotation};
use crate::{ComputeError, LoadError, LoadOptions, Machine, MemoryConfig, ModelConfig, Precision};

/// A decoder with memory layers (arXiv 2407.01178, section 3), without a tokenizer.
pub struct Decoder {
    pub(crate) config: ModelConfig,
    pub(crate) memory: MemoryConfig,
    pub(crate) precision: Precision,
    pub(crate) device: Device,
    /// What [`Layer::rotation`] counts.
    pub(crate) ropes: Vec<Rope>,
    pub(crate) layers: Vec<Layer>,
    /// The shape of a memory.
    shape: MemoryShape,
    /// Rotations of the positions of prefix and memories, in f32, by each rope in turn.
    memory_rotation: Rotation,
    pub(crate) embedding: Tensor,
    /// What rows of the embedding are multiplied by, if not 1.
    embedding_scale: Option<f64>,
    pub(crate) final_norm: RmsNorm,
    pub(crate) head: Tensor,
    /// Whether these weights are of a reading adapter: they write no memories.
    pub(crate) reads_only: bool,
    /// The same decoder in the form of the kernels, once it has been needed.
    pub(crate) on_kernels: Arc<OnceLock<Arc<mempack_kernels::Model>>>,
}

impl Decoder {
    /// Loads a Hugging Face or adapter folder as [`Model::load`](crate::Model::load) does, without its tokenizer.
    ///
    /// # Errors
    /// As [`Model::load`](crate::Model::load), except those of the tokenizer; a reading adapter, which is two decoders with its writer.
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        Self::from_folder(&ModelFolder::open(folder, options)?, options)
    }

    pub(crate) fn from_folder(folder: &ModelFolder, options: &LoadOptions) -> Result<Self, LoadError> {
        let _guard = tch::no_grad_guard();
        let device = options.device.resolve()?;
        let (config, memory) = (folder.config.clone(), folder.memory.clone());
        let kind = options.precision.kind();
        let folder = Loading::of(folder);
        let table = [i64::from(config.vocabulary), i64::from(config.hidden)];
        let read = |name: &str| Ok::<_, LoadError>(folder.matrix(vec![folder.part(name, table, kind, device)?], table[1], kind)?);
        let names = &config.family.names;
        let embedding = read(&names.weight(Module::Embedding))?;
        let head_weight = names.weight(Module::Head);
        let head = match (config.tied, folder.contains(&head_weight)) {
            (true, false) => embedding.shallow_clone(),
            // Some files hold the embedding again as the head.
            (true, true) => {
                let head = folder.tensor(&head_weight, &table, kind, device)?;
                folder.finish();
                if !head.f_equal(&embedding)? {
                    return Err(folder.head_of_its_own(&head_weight));
                }
                embedding.shallow_clone()
            }
            (false, _) => read(&head_weight)?,
        };
        let layers = (0..config.layers).map(|number| Layer::load(&folder, number, kind, device)).collect::<Result<_, _>>()?;
        let ropes = Rope::all(&config);
        let decoder = Self {
            embedding_scale: embedding_scale(&config, kind),
            final_norm: folder.norm(Module::FinalNorm, kind, device)?,
            memory_rotation: memory_rotation(&ropes, &memory, device)?,
            shape: memory.shape(&config),
            ropes,
            precision: options.precision,
            config,
            memory,
            device,
            layers,
            embedding,
            head,
            reads_only: false,
            on_kernels: Arc::default(),
        };
        folder.check_all_used()?;
        folder.finish();
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

    /// The type of weights and activations.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// What it computes with.
    pub fn machine(&self) -> Machine {
        Machine::of(self.device)
    }

    /// The shape of a memory.
    pub fn shape(&self) -> &MemoryShape {
        &self.shape
    }

    /// Another handle on the same weights, for another thread.
    pub fn share(&self) -> Self {
        Self {
            config: self.config.clone(),
            memory: self.memory.clone(),
            shape: self.shape.clone(),
            precision: self.precision,
            device: self.device,
            ropes: self.ropes.clone(),
            layers: self.layers.iter().map(Layer::share).collect(),
            memory_rotation: self.memory_rotation.shallow_clone(),
            embedding: self.embedding.shallow_clone(),
            embedding_scale: self.embedding_scale,
            final_norm: self.final_norm.share(),
            head: self.head.shallow_clone(),
            reads_only: self.reads_only,
            on_kernels: Arc::clone(&self.on_kernels),
        }
    }

    /// The same weights with another `memory` block.
    ///
    /// # Errors
    /// A `memory` block that does not fit the architecture, or a failure of libtorch.
    pub fn with_memory(&self, memory: MemoryConfig) -> Result<Self, ComputeError> {
        memory.check(&self.config).map_err(|wrong| ComputeError::MemoryBlock {
            field: wrong.field,
            expected: wrong.expected,
            found: wrong.found,
        })?;
        Ok(self.with_checked_memory(memory)?)
    }

    /// The decoder that reads what this one writes, with the same weights, which a reading adapter changes then. The block must fit the
    /// architecture.
    pub(crate) fn reading(&self, memory: MemoryConfig) -> Result<Self, TchError> {
        Ok(Self { reads_only: true, ..self.with_checked_memory(memory)? })
    }

    fn with_checked_memory(&self, memory: MemoryConfig) -> Result<Self, TchError> {
        let memory_rotation = memory_rotation(&self.ropes, &memory, self.device)?;
        // Kernels know the shape of memories, and a reading adapter changes weights.
        Ok(Self { shape: memory.shape(&self.config), memory, memory_rotation, on_kernels: Arc::default(), ..self.share() })
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

    /// The runs of heads of layer `number` that keep the same number of tokens of a reference; none of a layer without memories.
    pub(crate) fn spans(&self, number: usize) -> Vec<HeadSpan> {
        let memory_layers = self.memory_layers();
        if memory_layers.contains(&number) {
            return head_spans::of_memory_layer(&self.shape, number - memory_layers.start);
        }
        vec![HeadSpan::without_memories(self.sizes().heads)]
    }

    /// The rotations of `positions`, for each number that [`Layer::rotation`] may be.
    pub(crate) fn rotations(&self, positions: impl Iterator<Item = u32> + Clone) -> Result<Vec<Rotation>, TchError> {
        self.ropes.iter().map(|rope| rope.rotation(positions.clone(), self.kind(), self.device)).collect()
    }

    /// Rotations, in f32, of the positions of prefix and memories; those of a memory layer begin at [`memory_rotation_start`](Self::memory_rotation_start).
    pub(crate) fn memory_rotation(&self) -> &Rotation {
        &self.memory_rotation
    }

    /// The number in [`memory_rotation`](Self::memory_rotation) of the first position of a reference, after the prefix, as memory layer `number` rotates
    /// it.
    pub(crate) fn memory_rotation_start(&self, number: usize) -> i64 {
        let prefix = self.memory.reference_prefix_ids.len();
        let rotation = self.layers.get(self.memory_layers().start + number).map_or(0, |layer| layer.rotation);
        (rotation * (prefix + self.memory.reference_length as usize) + prefix) as i64
    }

    /// Whether the embedding is the head.
    pub(crate) fn is_tied(&self) -> bool {
        self.head.data_ptr() == self.embedding.data_ptr()
    }

    /// What rows of the embedding are multiplied by, if not 1.
    pub(crate) fn embedding_scale(&self) -> Option<f64> {
        self.embedding_scale
    }

    /// The input of the first layer, `[ids, hidden]`: scaled rows of the embedding.
    pub(crate) fn embed(&self, ids: &[i64]) -> Result<Tensor, TchError> {
        let rows = self.embedding.f_index_select(0, &Tensor::f_from_slice(ids)?.f_to_device(self.device)?)?;
        match self.embedding_scale {
            Some(scale) => rows.f_mul_scalar(scale),
            None => Ok(rows),
        }
    }

    /// The logits `[rows, vocabulary]` of the last layer's output `x`, `[rows, hidden]`.
    pub(crate) fn logits(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.final_norm.apply(x)?.f_linear::<Tensor>(&self.head, None)
    }

    /// Refuses ids without a row in the embedding.
    pub(crate) fn check_ids(&self, ids: &[u32]) -> Result<(), ComputeError> {
        match ids.iter().find(|id| **id >= self.config.vocabulary) {
            Some(id) => Err(ComputeError::UnknownToken { token: *id, vocabulary: self.config.vocabulary as usize }),
            None => Ok(()),
        }
    }
}

/// The scale of the embedding, rounded to the precision as transformers rounds it; `None` for 1.
fn embedding_scale(config: &ModelConfig, kind: Kind) -> Option<f64> {
    match config.family.embedding_scale {
        EmbeddingScale::One => None,
        EmbeddingScale::RootOfHidden => {
            let root = f64::from(config.hidden).sqrt();
            Some(if kind == Kind::BFloat16 { half::bf16::from_f64(root).to_f64() } else { root })
        }
    }
}

/// Rotations of the positions of prefix and memories, by each rope in turn.
fn memory_rotation(ropes: &[Rope], memory: &MemoryConfig, device: Device) -> Result<Rotation, TchError> {
    Rope::rotation_by_each(ropes, 0..memory.reference_prefix_ids.len() as u32 + memory.reference_length, Kind::Float, device)
}

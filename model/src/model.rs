//! A model: decoder, tokenizer and identity.

use std::path::Path;

use mempack_format::{Memory, ModelIdentity};

use crate::decoder::Decoder;
use crate::model_folder::ModelFolder;
use crate::reader::{Reader, ReaderOptions};
use crate::{ComputeError, LoadError, LoadOptions, MemoryConfig, MemorySource, ModelConfig, TextTokenizer};

/// A Memory3 model, which writes references to memories and decodes with memories.
///
/// Like libtorch's tensors it is `Send` and not `Sync`; [`share`](Self::share) makes a handle for another thread.
pub struct Model {
    decoder: Decoder,
    tokenizer: TextTokenizer,
    identity: ModelIdentity,
    memory_source: MemorySource,
}

impl Model {
    /// Loads a Hugging Face folder (config.json with an optional `memory` block, safetensors, tokenizer.json), or a PEFT LoRA folder
    /// (adapter_config.json, adapter_model.safetensors, an optional memory.json), which is merged into its base model.
    ///
    /// # Errors
    /// [`LoadError`]: files that are missing or damaged, an architecture that is not supported, weights or a tokenizer of another model.
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        Self::from_folder(&ModelFolder::open(folder, options)?, options)
    }

    /// Loads the base model of the adapter in `folder` without the adapter, but with the adapter's `memory` block and tokenizer, for
    /// comparisons. `None` if the folder holds no adapter.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn load_base(folder: &Path, options: &LoadOptions) -> Result<Option<Self>, LoadError> {
        ModelFolder::open(folder, options)?.without_adapter().map(|base| Self::from_folder(&base, options)).transpose()
    }

    fn from_folder(folder: &ModelFolder, options: &LoadOptions) -> Result<Self, LoadError> {
        let decoder = Decoder::from_folder(folder, options)?;
        let tokenizer = folder.load_tokenizer()?;
        Ok(Self::from_parts(decoder, tokenizer, folder))
    }

    /// A model of `folder`, with its decoder and tokenizer.
    pub(crate) fn from_parts(decoder: Decoder, tokenizer: TextTokenizer, folder: &ModelFolder) -> Self {
        Self { decoder, identity: folder.identity(&tokenizer), tokenizer, memory_source: folder.memory_source }
    }

    /// The identity that packs written with this model record.
    pub fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    /// The architecture.
    pub fn config(&self) -> &ModelConfig {
        self.decoder.config()
    }

    /// The `memory` block.
    pub fn memory(&self) -> &MemoryConfig {
        self.decoder.memory()
    }

    /// Where the `memory` block comes from. With [`MemorySource::Default`], nothing says that the model was trained to read memories.
    pub fn memory_source(&self) -> MemorySource {
        self.memory_source
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// The decoder, which works on token ids.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Another handle on the same weights, for another thread.
    pub fn share(&self) -> Self {
        let (tokenizer, identity) = (self.tokenizer.clone(), self.identity.clone());
        Self { decoder: self.decoder.share(), tokenizer, identity, memory_source: self.memory_source }
    }

    /// The same weights with another `memory` block: other memory layers, tokens, memories a chunk, or templates.
    ///
    /// The identity changes with the block: if other memories would be written, packs of one model are refused by the other.
    ///
    /// # Errors
    /// A `memory` block that does not fit the architecture, or a failure of libtorch.
    pub fn with_memory(&self, memory: MemoryConfig) -> Result<Self, ComputeError> {
        let decoder = self.decoder.with_memory(memory)?;
        let memory = decoder.memory();
        let identity = ModelIdentity {
            first_memory_layer: memory.first_memory_layer,
            shape: decoder.shape().clone(),
            prefix_ids: memory.reference_prefix_ids.clone(),
            reference_length: memory.reference_length,
            reference_template: memory.reference_template.clone(),
            ..self.identity.clone()
        };
        Ok(Self { decoder, tokenizer: self.tokenizer.clone(), identity, memory_source: MemorySource::Caller })
    }

    /// Sets [`MemoryConfig::no_answer`], on which nothing that is computed depends.
    pub(crate) fn set_no_answer(&mut self, sentence: String) {
        self.decoder.memory.no_answer = Some(sentence);
    }

    /// See [`Decoder::write`].
    pub fn write(&self, references: &[&[u32]]) -> Result<Vec<Memory>, ComputeError> {
        self.decoder.write(references)
    }

    /// See [`Decoder::reader`].
    pub fn reader(&self, options: &ReaderOptions) -> Result<Reader, ComputeError> {
        self.decoder.reader(options)
    }
}

//! A model as the other crates see it: decoder, tokenizer, identity.

use std::path::Path;

use mempack_format::{Memory, ModelIdentity};

use crate::decoder::Decoder;
use crate::reader::{Reader, ReaderOptions};
use crate::{ComputeError, LoadError, LoadOptions, MemoryConfig, ModelConfig, TextTokenizer};

/// A Memory3 model: writes references to memories and decodes with memories.
///
/// It is `Send` and not `Sync`, as libtorch's tensors are: a second thread gets its own by [`share`](Self::share).
pub struct Model {
    decoder: Decoder,
    tokenizer: TextTokenizer,
    identity: ModelIdentity,
}

impl Model {
    /// Loads a Hugging Face folder (config.json with an optional `memory` block, safetensors, tokenizer.json), or a PEFT
    /// LoRA folder (adapter_config.json, adapter_model.safetensors, an optional memory.json) merged into its base.
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        let (decoder, source) = Decoder::load_with_source(folder, options)?;
        let tokenizer = TextTokenizer::load(&source.tokenizer)?;
        tokenizer.check_vocabulary(decoder.config().vocabulary as usize)?;
        let identity = source.identity(&decoder, &tokenizer);
        Ok(Self { decoder, tokenizer, identity })
    }

    /// What a pack written with this model says of it.
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

    /// The tokenizer.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// The decoder alone, which knows token ids and no text.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The same model for another thread; weights are shared, not copied.
    pub fn share(&self) -> Self {
        Self { decoder: self.decoder.share(), tokenizer: self.tokenizer.clone(), identity: self.identity.clone() }
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

//! A model: decoder, tokenizer and identity.

use std::path::Path;
use std::thread;

use mempack_format::{Memory, ModelIdentity};

use crate::beside::Beside;
use crate::decoder::Decoder;
use crate::model_folder::{ModelFolder, WeightDigests};
use crate::reader::{Reader, ReaderOptions};
use crate::reading::{ReadingAdapter, ReadingFolder, Stack};
use crate::{ComputeError, LoadError, LoadOptions, MemoryConfig, MemorySource, ModelConfig, TextTokenizer};

/// A Memory3 model, which writes references to memories and decodes with memories.
///
/// With a reading adapter, other weights decode than write, and templates and other settings of reading are the adapter's. What concerns
/// memories is the [writer's](Self::writer): the identity, the encoding of references, [`write`](Self::write).
///
/// Like libtorch's tensors it is `Send` and not `Sync`; [`share`](Self::share) makes a handle for another thread.
pub struct Model {
    decoder: Decoder,
    tokenizer: TextTokenizer,
    identity: ModelIdentity,
    memory_source: MemorySource,
    /// The model that writes, if its weights are not those that read.
    writer: Option<Box<Model>>,
    /// The adapter that only reads; `None` without one, and while it is trained.
    reading_adapter: Option<ReadingAdapter>,
}

impl Model {
    /// Loads a Hugging Face folder (config.json with an optional `memory` block, safetensors, tokenizer.json), or a PEFT LoRA folder
    /// (adapter_config.json, adapter_model.safetensors, an optional memory.json), which is merged into its base model.
    ///
    /// An adapter whose memory.json has `reads_only: true` is a *reading adapter*: its base is the model that writes, a base model or an
    /// adapter on one, and keeps its own weights beside those that read. memory.json then holds the digests of the writer's weights and
    /// adapter, and fields of the `memory` block that replace the writer's and concern reading alone.
    ///
    /// # Errors
    /// [`LoadError`]: files that are missing or damaged, an architecture that is not supported, weights or a tokenizer of another model; a
    /// reading adapter of another writer, or one that changes what is written.
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        match ReadingFolder::open(folder, options)? {
            Some(reading) => Self::from_reading_folder(&reading, options),
            None => Self::from_folder(&ModelFolder::open(folder, options)?, options),
        }
    }

    /// Loads the base model of the adapter in `folder` without the adapter, but with the adapter's `memory` block and tokenizer, for
    /// comparisons. `None` if the folder holds no adapter.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn load_base(folder: &Path, options: &LoadOptions) -> Result<Option<Self>, LoadError> {
        let base = match ReadingFolder::open(folder, options)? {
            Some(ReadingFolder { stack, .. }) => Some(stack.writer.base_alone(stack.memory)),
            None => ModelFolder::open(folder, options)?.without_adapter(),
        };
        base.map(|base| Self::from_folder(&base, options)).transpose()
    }

    fn from_reading_folder(folder: &ReadingFolder, options: &LoadOptions) -> Result<Self, LoadError> {
        let writer = Self::writer_of(folder, options)?;
        let (decoder, adapter) = folder.decoder(writer.decoder())?;
        Ok(Self { reading_adapter: Some(adapter), ..Self::on_writer(writer, decoder, &folder.stack)? })
    }

    /// The writer of a reading adapter, which is checked to be the one that the adapter names.
    pub(crate) fn writer_of(folder: &ReadingFolder, options: &LoadOptions) -> Result<Self, LoadError> {
        let writer = Self::from_folder(&folder.stack.writer, options)?;
        folder.check_writer(writer.identity())?;
        Ok(writer)
    }

    /// A model that writes with `writer` and reads with `decoder`.
    pub(crate) fn on_writer(writer: Self, decoder: Decoder, stack: &Stack) -> Result<Self, LoadError> {
        Ok(Self {
            decoder,
            tokenizer: stack.tokenizer(&writer.tokenizer)?,
            identity: writer.identity.clone(),
            memory_source: stack.memory_source,
            writer: Some(Box::new(writer)),
            reading_adapter: None,
        })
    }

    pub(crate) fn from_folder(folder: &ModelFolder, options: &LoadOptions) -> Result<Self, LoadError> {
        let (tokenizer, digests) = (|| folder.load_tokenizer(), || folder.digests());
        let (decoder, tokenizer, digests) = thread::scope(|scope| {
            let tokenizer = Beside::begin(scope, "mempack-tokenizer", &tokenizer);
            let digests = Beside::begin(scope, "mempack-digests", &digests);
            (Decoder::from_folder(folder, options), tokenizer.end(), digests.end())
        });
        // The decoder's error comes first, whichever was found first.
        Ok(Self::with_digests(decoder?, tokenizer?, folder, digests))
    }

    /// A model of `folder`, with its decoder and tokenizer.
    pub(crate) fn from_parts(decoder: Decoder, tokenizer: TextTokenizer, folder: &ModelFolder) -> Self {
        let digests = folder.digests();
        Self::with_digests(decoder, tokenizer, folder, digests)
    }

    fn with_digests(decoder: Decoder, tokenizer: TextTokenizer, folder: &ModelFolder, digests: WeightDigests) -> Self {
        let identity = folder.identity(&tokenizer, digests);
        Self { decoder, identity, tokenizer, memory_source: folder.memory_source, writer: None, reading_adapter: None }
    }

    /// The model that writes: the one below a reading adapter, else this one. It reads with the weights that write.
    pub fn writer(&self) -> &Self {
        self.writer.as_deref().unwrap_or(self)
    }

    /// The reading adapter, if there is one. Packs do not depend on it.
    pub fn reading_adapter(&self) -> Option<&ReadingAdapter> {
        self.reading_adapter.as_ref()
    }

    /// The identity that packs written with this model record: the [writer's](Self::writer).
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

    /// The decoder that reads, which works on token ids. With a reading adapter it does not write.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Another handle on the same weights, for another thread.
    pub fn share(&self) -> Self {
        Self {
            decoder: self.decoder.share(),
            tokenizer: self.tokenizer.clone(),
            identity: self.identity.clone(),
            memory_source: self.memory_source,
            writer: self.writer.as_ref().map(|writer| Box::new(writer.share())),
            reading_adapter: self.reading_adapter.clone(),
        }
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
        // The writer reads as before.
        let writer = self.writer.as_ref().map(|writer| writer.with_memory(writer.memory().writing_as(memory))).transpose()?;
        let identity = ModelIdentity {
            first_memory_layer: memory.first_memory_layer,
            shape: decoder.shape().clone(),
            prefix_ids: memory.reference_prefix_ids.clone(),
            reference_length: memory.reference_length,
            reference_template: memory.reference_template.clone(),
            ..self.identity.clone()
        };
        Ok(Self { decoder, identity, memory_source: MemorySource::Caller, writer: writer.map(Box::new), ..self.share() })
    }

    /// Sets [`MemoryConfig::no_answer`], on which nothing that is computed depends.
    pub(crate) fn set_no_answer(&mut self, sentence: String) {
        self.decoder.memory.no_answer = Some(sentence);
    }

    /// The explicit memories of references, by the [writer's](Self::writer) weights; see [`Decoder::write`].
    pub fn write(&self, references: &[&[u32]]) -> Result<Vec<Memory>, ComputeError> {
        self.writer().decoder.write(references)
    }

    /// See [`Decoder::reader`].
    pub fn reader(&self, options: &ReaderOptions) -> Result<Reader, ComputeError> {
        self.decoder.reader(options)
    }
}

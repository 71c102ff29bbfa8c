//! Reading adapters: a model whose decoding was trained further, while its memories stay those of the model that it was trained on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mempack_format::{Digest, ModelIdentity};
use tch::{Kind, TchError, Tensor};

use crate::adapter::Adapter;
use crate::base::find_writer;
use crate::decoder::Decoder;
use crate::fields::{read_file, read_object};
use crate::layer::{Linear, join};
use crate::model_folder::{ModelFolder, file_name};
use crate::reads_only::ReadsOnly;
use crate::{LoadError, LoadOptions, MemoryConfig, MemorySource, TextTokenizer};

/// What changes the reading of a model and not its writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingAdapter {
    /// The folder's name; for people.
    pub name: String,
    /// Digest of the adapter's weights and scale, as [`ModelIdentity`] has it for an adapter that writes too.
    pub digest: Digest,
    /// Bytes that the model holds beyond one set of weights: the weights of the projections that the adapter changes are there twice, once
    /// to write and once to read. Projections of one input are one tensor. All other weights are shared.
    pub extra_bytes: u64,
}

/// The writer of a reading adapter, and how what it writes is read.
pub(crate) struct Stack {
    pub writer: ModelFolder,
    pub writer_folder: PathBuf,
    /// The block of the model that reads.
    pub memory: MemoryConfig,
    pub memory_source: MemorySource,
}

/// The folder of a reading adapter.
pub(crate) struct ReadingFolder {
    pub stack: Stack,
    pub adapter: Adapter,
    folder: PathBuf,
    head: ReadsOnly,
}

impl Stack {
    /// The model in the folder `writer`, to be read by an adapter that is to be made.
    pub(crate) fn on(writer: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        Self::open(writer.to_owned(), options, None)
    }

    fn open(writer_folder: PathBuf, options: &LoadOptions, head: Option<&ReadsOnly>) -> Result<Self, LoadError> {
        let writer = ModelFolder::open(&writer_folder, &LoadOptions { memory: None, ..options.clone() })?;
        let over = |path: &Path, block: &_| MemoryConfig::over(&writer.memory, path, block, &writer.config);
        let (memory, memory_source) = match (&options.memory, head) {
            (Some(path), _) => (over(path, &read_object(path, "name a file with a memory block")?)?, MemorySource::Caller),
            (None, Some(head)) => (over(&head.path, &head.block)?, MemorySource::Model),
            (None, None) => (writer.memory.clone(), writer.memory_source),
        };
        Ok(Self { writer, writer_folder, memory, memory_source })
    }

    /// The decoder that reads, with the weights of `writer`, which are shared.
    pub(crate) fn decoder(&self, writer: &Decoder) -> Result<Decoder, TchError> {
        writer.reading(self.memory.clone())
    }

    /// The tokenizer that reads, given that of the writer. Tokens may have a role in the reader's templates alone, and are ordinary text in
    /// references.
    pub(crate) fn tokenizer(&self, writer: &TextTokenizer) -> Result<TextTokenizer, LoadError> {
        if self.memory.has_roles_of(&self.writer.memory) { Ok(writer.clone()) } else { self.writer.load_tokenizer_with(&self.memory) }
    }
}

/// The folder of the model that writes what the reading adapter in `folder` reads; `None` if there is no reading adapter. `base` is the base
/// below all adapters, if the caller names it.
///
/// # Errors
/// If the adapter's files are malformed, or the writer is not found.
pub fn writer_folder(folder: &Path, base: Option<&Path>) -> Result<Option<PathBuf>, LoadError> {
    let Some(head) = ReadsOnly::of_folder(folder)? else { return Ok(None) };
    let Some(adapter) = Adapter::open(folder)? else { return Ok(None) };
    writer_of(folder, &head, &adapter, base).map(Some)
}

fn writer_of(folder: &Path, head: &ReadsOnly, adapter: &Adapter, base: Option<&Path>) -> Result<PathBuf, LoadError> {
    match base.filter(|_| !head.writer_is_adapter()) {
        Some(base) => Ok(base.to_owned()),
        None => find_writer(folder, &adapter.base),
    }
}

impl ReadingFolder {
    /// Opens the reading adapter in `folder` and the folder of its writer; `None` if there is none.
    pub(crate) fn open(folder: &Path, options: &LoadOptions) -> Result<Option<Self>, LoadError> {
        let Some(head) = ReadsOnly::of_folder(folder)? else { return Ok(None) };
        let Some(adapter) = Adapter::open(folder)? else { return Ok(None) };
        let writer = writer_of(folder, &head, &adapter, options.base.as_deref())?;
        let stack = Stack::open(writer, options, Some(&head))?;
        let reading = Self { stack, adapter, folder: folder.to_owned(), head };
        reading.check_tokenizer()?;
        Ok(Some(reading))
    }

    /// Refuses a writer that is not the one that the adapter was trained on, and an adapter that lacks what it says to change.
    pub(crate) fn check_writer(&self, identity: &ModelIdentity) -> Result<(), LoadError> {
        self.head.check_writer(&self.stack.writer_folder, identity)?;
        let (linear, others) = self.stack.writer.config.adaptable();
        self.adapter.check_complete(&linear, &others)
    }

    /// The decoder that reads, with the adapter merged into the weights of `writer`.
    pub(crate) fn decoder(&self, writer: &Decoder) -> Result<(Decoder, ReadingAdapter), LoadError> {
        let _guard = tch::no_grad_guard();
        let mut decoder = self.stack.decoder(writer)?;
        let (mut changed, mut extra_bytes) = (BTreeSet::new(), 0);
        let kind = decoder.kind();
        for linear in decoder.layers.iter_mut().flat_map(|layer| layer.linears_mut()) {
            if let Some(weight) = self.merged(linear, &mut changed)? {
                let weight = weight.f_to_kind(kind)?;
                extra_bytes += (weight.numel() * kind.elt_size_in_bytes()) as u64;
                linear.set_weight(weight)?;
            }
        }
        self.adapter.check_reading(|weight| changed.contains(weight))?;
        Ok((decoder, ReadingAdapter { name: file_name(&self.folder), digest: self.adapter.digest(), extra_bytes }))
    }

    /// The weight of `linear` with the adapter's changes, in f32; `None` if nothing of it changes. `changed` gets the names of the changed
    /// weights.
    fn merged(&self, linear: &Linear, changed: &mut BTreeSet<String>) -> Result<Option<Tensor>, LoadError> {
        let columns = linear.weight.size().get(1).copied().unwrap_or_default();
        let device = linear.weight.device();
        let named = linear.parts.iter().map(|part| (format!("{}.weight", part.name), [part.rows, columns]));
        let named: Vec<(String, [i64; 2])> = named.collect();
        if !named.iter().any(|(name, _)| self.adapter.changes(name)) {
            return Ok(None);
        }
        let mut weights = Vec::with_capacity(named.len());
        for (name, shape) in named {
            let weight = self.stack.writer.tensor(&name, &shape, Kind::Float, device)?;
            weights.push(match self.adapter.change(&name, &shape, device)? {
                Some(change) => {
                    changed.insert(name);
                    weight.f_add(&change)?
                }
                None => weight,
            });
        }
        Ok(Some(join(weights, 0)?))
    }

    /// Refuses a tokenizer beside the adapter that is not the writer's.
    fn check_tokenizer(&self) -> Result<(), LoadError> {
        let own = self.folder.join("tokenizer.json");
        let writers = &self.stack.writer.tokenizer;
        if !own.exists() || !writers.exists() {
            return Ok(());
        }
        let digest = |path: &Path| Ok::<_, LoadError>(Digest::of(&read_file(path, "tokenizer", "put the model's tokenizer.json there")?));
        let (found, expected) = (digest(&own)?, digest(writers)?);
        if found == expected {
            return Ok(());
        }
        Err(LoadError::Tokenizer {
            path: own,
            expected: format!("the writer's tokenizer, with the digest {expected}"),
            found: format!("one with the digest {found}"),
            remedy: "remove the file: a reading adapter has its writer's tokenizer".into(),
        })
    }
}

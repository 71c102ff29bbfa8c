//! Writing a pack as its contents arrive, in bounded memory.

mod assembly;
mod coarse;
mod error;
mod folder;
mod graph;
mod metadata;
mod spool;
mod terms;
mod text;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zerocopy::IntoBytes;
use zerocopy::little_endian::F32;

use crate::coarse::largest_of;
use crate::constants::{FEATURE_BUDGET, MAX_DOCUMENT_BYTES, MAX_POSITIONS, MAX_REFERENCE_TEXT, MAX_REFERENCES, PAGE_BYTES};
use crate::identity::tokens_per_head;
use crate::records::{RawOrigin, RawReference};
use crate::verify::{check_positions, check_unit};
use crate::{
    Codec, CodecSpec, Counts, Digest, DiskStorage, Document, EMPTY_SLOT, EmbedderIdentity, GraphParameters, Manifest, MemoryShape,
    ModelIdentity, Origin, PackId, Quality, ReferenceInfo, Storage, Tag, budget, manifest, prompts, quality,
};
use assembly::Assembly;
use spool::{Spool, io_error};
use text::TextSpool;

pub use error::WriteError;
pub use folder::{WorkFolder, check_target};
pub use graph::GraphSource;
pub use metadata::FieldColumn;
pub use terms::TermSource;

/// Most memory that a [`PackWriter`] takes, whatever the pack's size, beside the codec parameters while
/// [`PackWriter::set_codec`] checks and writes them, and a byte per distinct value of a field while [`PackWriter::set_metadata`] does.
pub const WRITER_MEMORY_BYTES: usize = 8 << 20;

/// The name of the pack before it is renamed.
const PACK: &str = "pack";

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackSummary {
    /// The pack's id.
    pub id: PackId,
    /// Its bytes.
    pub bytes: u64,
}

/// Writes a pack, in a [`WorkFolder`] beside the target: one that it creates and removes, or its caller's. Only [`PackWriter::finish`]
/// touches the target, by renaming.
///
/// Documents, references, memories and embeddings are each numbered from 0, in the order in which they are pushed. They may be pushed in any
/// interleaving, but a document must be pushed before the references that come from it.
/// Memory i and embedding i belong to reference i.
pub struct PackWriter {
    files: Files,
    shape: MemoryShape,
    dim: u32,
    codec: Option<(CodecSpec, usize)>,
    counts: Counts,
    memories: u32,
    embeddings: u32,
    /// The largest magnitude of their numbers.
    largest: f32,
    /// Whether the pack has coarse embeddings.
    coarse: bool,
    max_tokens: u16,
    max_position: Option<u8>,
    graph: Option<(GraphParameters, u32, Spool)>,
    /// The inverted index, and of how many references.
    terms: Option<(u64, Spool)>,
    /// The metadata, and of how many documents.
    metadata: Option<(u32, Spool)>,
    /// The places, and of how many origins.
    places: Option<(u32, Spool)>,
    quality: Option<Quality>,
    /// The file whose permissions the pack has, if it replaces none.
    permissions_of: Option<PathBuf>,
    spools: Spools,
    text: TextSpool,
    scratch: Vec<u8>,
    /// The folder, if the writer created it. The last field, so that it is closed after the files in it.
    own: Option<WorkFolder>,
}

/// Where a writer's files are made.
struct Files {
    storage: Arc<dyn Storage>,
    folder: PathBuf,
    target: PathBuf,
}

impl Files {
    fn spool(&self, name: &str, start: u64) -> Result<Spool, WriteError> {
        Spool::create(&*self.storage, self.folder.join(name), start)
    }
}

struct Spools {
    /// The pack itself: memories are the first section, and all others follow.
    pack: Spool,
    codec: Option<Spool>,
    documents: Spool,
    document_index: Spool,
    references: Spool,
    origins: Spool,
    embeddings: Spool,
    /// Leaf digests of the memories; those of embeddings and text blocks follow them in the pack.
    leaves: Spool,
    embedding_leaves: Spool,
}

impl PackWriter {
    /// Starts a pack of memories of `shape` and embeddings of `embedding_dim` dimensions.
    ///
    /// # Errors
    /// If the target's folder is missing or cannot be written to, the target is a folder, another process writes it, or the shape is out
    /// of bounds.
    pub fn create(target: &Path, shape: MemoryShape, embedding_dim: u32) -> Result<Self, WriteError> {
        manifest::check_shape(&shape)?;
        let folder = WorkFolder::open(Arc::new(DiskStorage), target)?;
        let mut writer = Self::create_in(&folder, shape, embedding_dim)?;
        writer.own = Some(folder);
        Ok(writer)
    }

    /// As [`create`](Self::create), with its files in the scratch folder of `folder`, which must stay open until the end.
    ///
    /// # Errors
    /// If the folder cannot be written to, or the shape is out of bounds.
    pub fn create_in(folder: &WorkFolder, shape: MemoryShape, embedding_dim: u32) -> Result<Self, WriteError> {
        manifest::check_shape(&shape)?;
        let files = Files { storage: Arc::clone(folder.storage()), folder: folder.scratch(), target: folder.target().to_path_buf() };
        let create = |name: &str| files.spool(name, 0);
        let index = |name: &str| -> Result<Spool, WriteError> {
            let mut spool = create(name)?;
            spool.write(&0u64.to_le_bytes())?;
            Ok(spool)
        };
        let spools = Spools {
            pack: files.spool(PACK, PAGE_BYTES)?,
            codec: None,
            documents: create("documents")?,
            document_index: index("document-index")?,
            references: create("references")?,
            origins: create("origins")?,
            embeddings: create("embeddings")?,
            leaves: create("leaves")?,
            embedding_leaves: create("embedding-leaves")?,
        };
        let text = TextSpool::new(create("text")?, index("text-index")?, create("text-leaves")?)?;
        Ok(Self {
            shape,
            dim: embedding_dim,
            codec: None,
            counts: Counts::default(),
            memories: 0,
            embeddings: 0,
            largest: 0.0,
            coarse: false,
            max_tokens: 0,
            max_position: None,
            graph: None,
            terms: None,
            metadata: None,
            places: None,
            quality: None,
            permissions_of: None,
            spools,
            text,
            scratch: Vec::new(),
            files,
            own: None,
        })
    }

    /// Sets the codec of memories, before the first one is pushed. `parameters` is the section `CODEC` (SPEC 9).
    ///
    /// # Errors
    /// If the parameters do not fit codec and shape, or the codec was set before; or if writing fails.
    pub fn set_codec(&mut self, codec: &CodecSpec, parameters: &[u8]) -> Result<(), WriteError> {
        if self.codec.is_some() {
            return Err(WriteError::Mismatch { what: "codecs set", expected: 0, found: 1 });
        }
        let stride = Codec::parse(codec, self.shape.clone(), parameters)?.stride();
        let mut spool = self.files.spool("codec", 0)?;
        spool.write(parameters)?;
        self.spools.codec = Some(spool);
        self.codec = Some((*codec, stride));
        Ok(())
    }

    /// Adds a document and returns its number.
    ///
    /// # Errors
    /// If its fields have more than 1 MiB together, or writing fails.
    pub fn push_document(&mut self, document: &Document) -> Result<u32, WriteError> {
        let number = self.counts.documents;
        at_most("bytes of a document record", MAX_DOCUMENT_BYTES, document.record_bytes())?;
        at_most("number of a document", u64::from(u32::MAX) - 1, number.into())?;
        self.scratch.clear();
        document.write(&mut self.scratch);
        self.spools.documents.write(&self.scratch)?;
        self.spools.document_index.write(&self.spools.documents.length().to_le_bytes())?;
        self.counts.documents += 1;
        Ok(number)
    }

    /// Adds a reference of `tokens` tokens and returns its number. `key` is the digest of everything that its memory depends on. No two
    /// references may have the same key; verification checks that, not the writer, as it takes memory for every reference.
    ///
    /// # Errors
    /// If the text has more than 1 MiB; if there are no tokens, or more than 255; if there is no origin, or one of a
    /// document that was not pushed, or that ends before it starts; or if writing fails.
    pub fn push_reference(&mut self, key: &Digest, tokens: u16, text: &str, origins: &[Origin]) -> Result<u32, WriteError> {
        let reference = self.counts.references;
        at_most("number of a reference", u64::from(MAX_REFERENCES) - 1, reference.into())?;
        at_most("tokens of a reference", MAX_POSITIONS.into(), tokens.into())?;
        at_most("bytes of a reference's text", MAX_REFERENCE_TEXT, text.len() as u64)?;
        at_most("origins of a reference", u32::MAX.into(), origins.len() as u64)?;
        if tokens == 0 {
            return Err(WriteError::Missing { what: "tokens of a reference", remedy: "leave out references without tokens" });
        }
        if origins.is_empty() {
            return Err(WriteError::NoOrigin { reference });
        }
        let documents = self.counts.documents;
        if let Some(origin) = origins.iter().find(|origin| origin.document >= documents || origin.start > origin.end) {
            let Origin { document, start, end } = *origin;
            return Err(WriteError::Origin { reference, document, start, end, documents });
        }
        let info = ReferenceInfo {
            key: *key,
            tokens,
            text_start: self.counts.text_bytes,
            text_len: text.len() as u32,
            first_origin: self.counts.origins,
            origins: origins.len() as u32,
        };
        self.text.push(text.as_bytes())?;
        for origin in origins {
            self.spools.origins.write(RawOrigin::new(origin).as_bytes())?;
        }
        self.spools.references.write(RawReference::new(&info).as_bytes())?;
        self.counts.references += 1;
        self.counts.origins += origins.len() as u64;
        self.counts.tokens += u64::from(tokens);
        self.counts.text_bytes += text.len() as u64;
        self.max_tokens = self.max_tokens.max(tokens);
        Ok(reference)
    }

    /// Adds the memory of the reference of the same number: a record of SPEC 10. Its codes are not decoded here; [`crate::Pack::verify`]
    /// finds invalid ones.
    ///
    /// # Errors
    /// If no codec is set, the record has another length, or its positions do not ascend; or if writing fails.
    pub fn push_memory(&mut self, record: &[u8]) -> Result<u32, WriteError> {
        let Some((_, stride)) = self.codec else {
            return Err(WriteError::Missing { what: "codec", remedy: "call set_codec before the first push_memory" });
        };
        let reference = self.memories;
        at_most("number of a memory", u64::from(MAX_REFERENCES) - 1, reference.into())?;
        exactly("bytes of a memory record", stride as u64, record.len() as u64)?;
        let positions = record.get(..self.shape.slots()).unwrap_or_default();
        check_positions(positions, &self.shape, MAX_POSITIONS).map_err(|(_, defect)| WriteError::Malformed {
            what: "memory",
            reference,
            defect,
        })?;
        self.spools.pack.write(record)?;
        self.spools.leaves.write(&Digest::of(record).0)?;
        let highest = positions.iter().copied().filter(|position| *position != EMPTY_SLOT).max();
        self.max_position = self.max_position.max(highest);
        self.memories += 1;
        Ok(reference)
    }

    /// Adds the embedding of the reference of the same number, `[embedding_dim]`.
    ///
    /// # Errors
    /// If it has another length, holds a number that is not finite, or is not a unit vector; or if writing fails.
    pub fn push_embedding(&mut self, embedding: &[f32]) -> Result<u32, WriteError> {
        let reference = self.embeddings;
        at_most("number of an embedding", u64::from(MAX_REFERENCES) - 1, reference.into())?;
        exactly("dimensions of an embedding", self.dim.into(), embedding.len() as u64)?;
        let row: Vec<F32> = embedding.iter().map(|value| F32::new(*value)).collect();
        check_unit(reference, &row).map_err(|(_, defect)| WriteError::Malformed { what: "embedding", reference, defect })?;
        self.spools.embeddings.write(row.as_bytes())?;
        self.spools.embedding_leaves.write(&Digest::of(row.as_bytes()).0)?;
        self.largest = largest_of(self.largest, embedding.iter().copied());
        self.embeddings += 1;
        Ok(reference)
    }

    /// Gives the pack coarse embeddings (SPEC 11.1), by which large packs are searched faster.
    pub fn add_coarse_embeddings(&mut self) {
        self.coarse = true;
    }

    /// Sets the search graph, once.
    ///
    /// # Errors
    /// If a list is too long, repeats a node, or holds its own node or one that is not on its level; if a graph was set before; or if
    /// writing fails.
    pub fn set_graph(&mut self, source: &dyn GraphSource, parameters: GraphParameters) -> Result<(), WriteError> {
        if self.graph.is_some() {
            return Err(WriteError::Mismatch { what: "graphs set", expected: 0, found: 1 });
        }
        let mut spool = self.files.spool("graph", 0)?;
        graph::write(&mut spool, source, parameters.m)?;
        self.graph = Some((parameters, source.nodes(), spool));
        Ok(())
    }

    /// Sets the inverted index, once.
    ///
    /// # Errors
    /// If a term is empty, too long or out of order, an index was set before, the spread is not finite or negative; or if writing fails.
    pub fn set_terms(&mut self, source: &impl TermSource) -> Result<(), WriteError> {
        if self.terms.is_some() {
            return Err(WriteError::Mismatch { what: "inverted indexes set", expected: 0, found: 1 });
        }
        self.terms = Some((source.lengths().len() as u64, terms::write(&self.files, source)?));
        Ok(())
    }

    /// Sets the metadata of the documents, once, after the last document. No fields make no section.
    ///
    /// # Errors
    /// If fields, values or codes break a rule of SPEC 6.1, metadata was set before; or if writing fails.
    pub fn set_metadata(&mut self, fields: &[FieldColumn]) -> Result<(), WriteError> {
        if self.metadata.is_some() {
            return Err(WriteError::Mismatch { what: "metadata set", expected: 0, found: 1 });
        }
        if !fields.is_empty() {
            let documents = self.counts.documents;
            self.metadata = Some((documents, metadata::write(&self.files, "metadata", fields, documents)?));
        }
        Ok(())
    }

    /// Sets the places of the origins, once, after the last reference. No fields make no section.
    ///
    /// # Errors
    /// If there are more origins than a `u32` counts; fields, values or codes break a rule of SPEC 6.1; places were set before; or if writing fails.
    pub fn set_places(&mut self, fields: &[FieldColumn]) -> Result<(), WriteError> {
        if self.places.is_some() {
            return Err(WriteError::Mismatch { what: "places set", expected: 0, found: 1 });
        }
        if !fields.is_empty() {
            at_most("origins of a pack with places", u32::MAX.into(), self.counts.origins)?;
            let origins = self.counts.origins as u32;
            self.places = Some((origins, metadata::write(&self.files, "places", fields, origins)?));
        }
        Ok(())
    }

    /// Sets what the codec loses; a later call replaces it.
    ///
    /// # Errors
    /// If a number is out of bounds, or the layers are not those of the shape.
    pub fn set_quality(&mut self, quality: Quality) -> Result<(), WriteError> {
        quality.check(&self.shape)?;
        self.quality = Some(quality);
        Ok(())
    }

    /// Gives the new pack the permissions of `pack` if no file is at the target. A file that the new pack replaces passes on its own.
    pub fn permissions_of(&mut self, pack: &Path) {
        self.permissions_of = Some(pack.to_path_buf());
    }

    /// Assembles the pack, syncs it, and renames it to the target.
    ///
    /// # Errors
    /// If the numbers of memories, embeddings or graph nodes are not that of references, no codec is set, an identity contradicts what was
    /// pushed, or writing fails. The target is then unchanged, unless the last step fails, which syncs the folder after renaming.
    pub fn finish(
        self,
        model: ModelIdentity,
        precision: &str,
        embedder: EmbedderIdentity,
        generator: &str,
    ) -> Result<PackSummary, WriteError> {
        let manifest = self.manifest(model, precision, embedder, generator)?;
        let budget = budget::encode(&manifest.model.shape);
        let of_budget = if budget.is_some() { FEATURE_BUDGET } else { 0 };
        let features = manifest::check(&manifest)?.required_features() | of_budget;
        let encoded = manifest::encode(&manifest)?;
        let [text_blocks, text_index, text_leaves] = self.text.finish()?;
        let Spools { pack, codec, documents, document_index, references, origins, mut embeddings, mut leaves, embedding_leaves } =
            self.spools;
        leaves.join(embedding_leaves, &*self.files.storage)?;
        leaves.join(text_leaves, &*self.files.storage)?;
        let codec = codec.ok_or(WriteError::Missing { what: "codec", remedy: "call set_codec" })?;
        let coarse = self.coarse.then(|| coarse::write(&self.files, &mut embeddings, self.dim, self.largest)).transpose()?;
        let coarse = coarse.map(|spool| (Tag::COARSE_EMBEDDINGS, spool));
        let graph = self.graph.map(|(_, _, spool)| (Tag::GRAPH, spool));
        let terms = self.terms.map(|(_, spool)| (Tag::TERMS, spool));
        let metadata = self.metadata.map(|(_, spool)| (Tag::METADATA, spool));
        let places = self.places.map(|(_, spool)| (Tag::PLACES, spool));
        let spools = [
            (Tag::LEAVES, leaves),
            (Tag::EMBEDDINGS, embeddings),
            (Tag::REFERENCES, references),
            (Tag::ORIGINS, origins),
            (Tag::TEXT_INDEX, text_index),
            (Tag::TEXT, text_blocks),
            (Tag::DOCUMENT_INDEX, document_index),
            (Tag::DOCUMENTS, documents),
            (Tag::CODEC, codec),
        ];
        let mut assembly = Assembly::new(pack);
        for (tag, spool) in graph.into_iter().chain(coarse).chain(spools).chain(terms).chain(metadata).chain(places) {
            assembly.append(tag, spool, &*self.files.storage)?;
        }
        let quality = self.quality.as_ref().map(quality::encode).transpose()?;
        let prompts = manifest.embedder.prompts.as_ref().map(prompts::encode).transpose()?;
        let small = [
            (Tag::QUALITY, "quality", quality),
            (Tag::PROMPTS, "prompts", prompts),
            (Tag::BUDGET, "budget", budget),
            (Tag::MANIFEST, "manifest", Some(encoded)),
        ];
        for (tag, name, bytes) in small {
            let Some(bytes) = bytes else { continue };
            let mut spool = self.files.spool(name, 0)?;
            spool.write(&bytes)?;
            assembly.append(tag, spool, &*self.files.storage)?;
        }
        let path = self.files.folder.join(PACK);
        // Sealing syncs the file, and its permissions with it.
        copy_permissions(&*self.files.storage, &self.files.target, self.permissions_of.as_deref(), &path)?;
        let summary = assembly.seal(&path, features)?;
        publish(&*self.files.storage, &path, &self.files.target)?;
        Ok(summary)
    }

    fn manifest(&self, model: ModelIdentity, precision: &str, embedder: EmbedderIdentity, generator: &str) -> Result<Manifest, WriteError> {
        let references = self.counts.references;
        exactly("number of memories", references.into(), self.memories.into())?;
        exactly("number of embeddings", references.into(), self.embeddings.into())?;
        if let Some((_, nodes, _)) = &self.graph {
            exactly("number of nodes of the graph", references.into(), (*nodes).into())?;
        }
        if let Some((lengths, _)) = &self.terms {
            exactly("number of references of the inverted index", references.into(), *lengths)?;
        }
        if let Some((documents, _)) = &self.metadata {
            exactly("number of documents of the metadata", self.counts.documents.into(), (*documents).into())?;
        }
        if let Some((origins, _)) = &self.places {
            exactly("number of origins of the places", self.counts.origins, (*origins).into())?;
        }
        exactly("dimensions of the embedder", self.dim.into(), embedder.dim.into())?;
        let (ours, theirs) = (&self.shape, &model.shape);
        exactly("memory layers of the model", ours.layers.into(), theirs.layers.into())?;
        exactly("key-value heads of the model", ours.heads.into(), theirs.heads.into())?;
        exactly("tokens per head of the model", ours.tokens.into(), theirs.tokens.into())?;
        exactly("head dimension of the model", ours.head_dim.into(), theirs.head_dim.into())?;
        if ours != theirs {
            let [expected, found] = tokens_per_head(ours, theirs, model.first_memory_layer);
            return Err(WriteError::Budget { expected, found });
        }
        at_most("tokens of a reference", model.reference_length.into(), self.max_tokens.into())?;
        if let Some(position) = self.max_position {
            at_most("position of a token", u64::from(model.reference_length).saturating_sub(1), position.into())?;
        }
        let (codec, _) = self.codec.ok_or(WriteError::Missing { what: "codec", remedy: "call set_codec" })?;
        Ok(Manifest {
            generator: generator.to_string(),
            model,
            precision: precision.to_string(),
            embedder,
            codec: codec.to_string(),
            counts: self.counts,
            graph: self.graph.as_ref().map(|(parameters, ..)| *parameters),
        })
    }
}

/// Gives a finished file the permissions of the file that it will replace, or else of `source`, or else leaves those of a new file.
fn copy_permissions(storage: &dyn Storage, target: &Path, source: Option<&Path>, file: &Path) -> Result<(), WriteError> {
    for from in [Some(target), source].into_iter().flatten() {
        match storage.copy_permissions(from, file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            copied => return copied.map_err(io_error(file, "copy the permissions to")),
        }
    }
    Ok(())
}

/// Renames a finished file to the target, and waits until the name is on the disk.
fn publish(storage: &dyn Storage, file: &Path, target: &Path) -> Result<(), WriteError> {
    storage.rename(file, target).map_err(io_error(target, "rename the finished pack to"))?;
    let folder = folder::parent(target);
    storage.sync_folder(folder).map_err(io_error(folder, "write into folder"))
}

fn at_most(what: &'static str, limit: u64, found: u64) -> Result<(), WriteError> {
    if found <= limit { Ok(()) } else { Err(WriteError::TooLarge { what, limit, found }) }
}

fn exactly(what: &'static str, expected: u64, found: u64) -> Result<(), WriteError> {
    if found == expected { Ok(()) } else { Err(WriteError::Mismatch { what, expected, found }) }
}

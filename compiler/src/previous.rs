//! Packs that a build reads: the previous one that it takes references from, codebooks, and that of a plan.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use mempack_format::{
    CodecSpec, Difference, Digest, Document, EmbedderIdentity, Manifest, Metadata, ModelIdentity, Pack, PackId, Quality, ReadError, Tag,
};

use crate::BuildError;
use crate::tuning::selection::split;

/// An open pack that a build reads: of the same model, built earlier; or that of a [plan](crate::Plan).
pub struct PreviousPack {
    path: PathBuf,
    pack: Box<dyn PackSource>,
}

/// What is read from a pack, whatever holds its bytes. All of it is checked against digests before it is returned, documents and metadata by
/// [`check_documents`](Self::check_documents).
pub(crate) trait PackSource: Send + Sync {
    fn id(&self) -> PackId;
    fn manifest(&self) -> &Manifest;
    fn codec(&self) -> CodecSpec;
    fn quality(&self) -> Option<&Quality>;
    /// The section with the codec's parameters.
    fn parameters(&self) -> Result<Vec<u8>, ReadError>;
    /// The keys of all references, in order. Also checks the leaf digests, which records and embeddings are compared with.
    fn keys(&self) -> Result<Vec<Digest>, ReadError>;
    fn record(&self, reference: u32) -> Result<&[u8], ReadError>;
    fn embedding(&self, reference: u32) -> Result<Vec<f32>, ReadError>;
    /// Bytes of a memory record.
    fn record_bytes(&self) -> u64;
    /// Checks the sections of documents and metadata.
    fn check_documents(&self) -> Result<(), ReadError>;
    fn document(&self, document: u32) -> Result<Document, ReadError>;
    fn metadata(&self) -> Result<Option<Metadata<'_>>, ReadError>;
}

struct OpenPack<P>(P);

impl<P: Deref<Target = Pack<D>> + Send + Sync, D: AsRef<[u8]> + 'static> PackSource for OpenPack<P> {
    fn id(&self) -> PackId {
        self.0.id()
    }

    fn manifest(&self) -> &Manifest {
        self.0.manifest()
    }

    fn codec(&self) -> CodecSpec {
        self.0.codec_spec()
    }

    fn quality(&self) -> Option<&Quality> {
        self.0.quality()
    }

    fn parameters(&self) -> Result<Vec<u8>, ReadError> {
        Ok(self.0.section(Tag::CODEC)?.to_vec())
    }

    fn keys(&self) -> Result<Vec<Digest>, ReadError> {
        self.0.check_leaves()?;
        self.0.section(Tag::REFERENCES)?;
        (0..self.0.manifest().counts.references).map(|reference| Ok(self.0.reference(reference)?.key)).collect()
    }

    fn record(&self, reference: u32) -> Result<&[u8], ReadError> {
        self.0.check_record(reference)?;
        self.0.record(reference)
    }

    fn embedding(&self, reference: u32) -> Result<Vec<f32>, ReadError> {
        self.0.check_embedding(reference)?;
        Ok(self.0.embedding(reference)?.iter().map(|value| value.get()).collect())
    }

    fn record_bytes(&self) -> u64 {
        self.0.record_bytes()
    }

    fn check_documents(&self) -> Result<(), ReadError> {
        [Tag::DOCUMENT_INDEX, Tag::DOCUMENTS, Tag::METADATA].into_iter().try_for_each(|tag| self.0.section(tag).map(|_| ()))
    }

    fn document(&self, document: u32) -> Result<Document, ReadError> {
        self.0.document(document)
    }

    fn metadata(&self) -> Result<Option<Metadata<'_>>, ReadError> {
        self.0.metadata()
    }
}

impl fmt::Debug for PreviousPack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreviousPack").field("path", &self.path).field("id", &self.pack.id()).finish_non_exhaustive()
    }
}

impl PreviousPack {
    /// An open pack. Errors name its file, `path`.
    pub fn new<D, P>(path: &Path, pack: P) -> Self
    where
        D: AsRef<[u8]> + 'static,
        P: Deref<Target = Pack<D>> + Send + Sync + 'static,
    {
        Self { path: path.to_owned(), pack: Box::new(OpenPack(pack)) }
    }

    /// The codec of its memories.
    pub fn codec(&self) -> CodecSpec {
        self.pack.codec()
    }

    /// The codec loss that it states.
    pub(crate) fn quality(&self) -> Option<&Quality> {
        self.pack.quality()
    }

    /// What is read from it. Errors of this do not name its file.
    pub(crate) fn contents(&self) -> &dyn PackSource {
        &*self.pack
    }

    pub(crate) fn id(&self) -> PackId {
        self.pack.id()
    }

    /// Refuses a model, precision or embedder that would not write the same memories and embeddings.
    pub(crate) fn check(&self, model: &ModelIdentity, precision: &str, embedder: &EmbedderIdentity) -> Result<(), BuildError> {
        let manifest = self.pack.manifest();
        let mut differences = manifest.model.differences(model);
        if manifest.precision != precision {
            let (pack, model) = (manifest.precision.clone(), precision.to_owned());
            differences.push(Difference { field: "precision", pack, model });
        }
        differences.extend(manifest.embedder.differences(embedder));
        if differences.is_empty() { Ok(()) } else { Err(BuildError::PreviousIdentity { path: self.path.clone(), differences }) }
    }

    /// Refuses a model that would not write memories like those that the codebooks were trained on.
    pub(crate) fn check_codebooks(&self, model: &ModelIdentity) -> Result<(), BuildError> {
        let differences = self.pack.manifest().model.differences(model);
        if differences.is_empty() { Ok(()) } else { Err(BuildError::Codebooks { path: self.path.clone(), differences }) }
    }

    /// Reads its keys, to look references up.
    ///
    /// Memory: 48 bytes a reference, much less than the search graph takes.
    pub(crate) fn index(&self) -> Result<PreviousIndex<'_>, BuildError> {
        let keys = self.pack.keys().map_err(|source| self.failed(source))?;
        let mut by_key: Vec<(u64, u32)> = keys.iter().map(prefix).zip(0..).collect();
        by_key.sort_unstable();
        Ok(PreviousIndex { previous: self, keys, by_key })
    }

    pub(crate) fn parameters(&self) -> Result<Vec<u8>, BuildError> {
        self.pack.parameters().map_err(|source| self.failed(source))
    }

    /// The memory record of a reference, checked against its leaf digest.
    pub(crate) fn record(&self, reference: u32) -> Result<&[u8], BuildError> {
        self.pack.record(reference).map_err(|source| self.failed(source))
    }

    /// The embedding of a reference, checked against its leaf digest.
    pub(crate) fn embedding(&self, reference: u32) -> Result<Vec<f32>, BuildError> {
        self.pack.embedding(reference).map_err(|source| self.failed(source))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, source: ReadError) -> BuildError {
        BuildError::PreviousPack { path: self.path.clone(), source: Box::new(source) }
    }
}

/// A previous pack whose references are looked up by their keys.
pub(crate) struct PreviousIndex<'a> {
    pub previous: &'a PreviousPack,
    keys: Vec<Digest>,
    by_key: Vec<(u64, u32)>,
}

impl PreviousIndex<'_> {
    /// Whether the pack's codec may have been trained on the reference with this key, if training used `sample` references at most. A
    /// pack does not record which ones were used.
    pub fn trained_on(&self, key: &Digest, sample: usize) -> bool {
        self.rank(key) < split(self.keys.len() as u64, sample).0
    }

    /// Number of keys of the pack that are smaller; keys that begin with the same 8 bytes count as equal.
    fn rank(&self, key: &Digest) -> usize {
        let wanted = prefix(key);
        self.by_key.partition_point(|(prefix, _)| *prefix < wanted)
    }

    /// The number of the reference with this key.
    pub fn find(&self, key: &Digest) -> Option<u32> {
        let wanted = prefix(key);
        let like = self.by_key[self.rank(key)..].iter().take_while(|(prefix, _)| *prefix == wanted);
        like.map(|(_, reference)| *reference).find(|reference| self.keys[*reference as usize] == *key)
    }
}

fn prefix(key: &Digest) -> u64 {
    key.0.iter().take(8).fold(0, |prefix, byte| prefix << 8 | u64::from(*byte))
}

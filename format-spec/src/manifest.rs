//! The manifest: what a pack is, what it depends on, and how much it holds (SPEC 5).
//!
//! This is the only module that calls bincode; `identity.rs` and others say which fields have a form. SPEC 5 defines the wire form, not that crate.

use bincode::config;
use bincode::de::read::Reader;
use bincode::error::DecodeError;

use crate::codec::MAX_MEMORY_FLOATS;
use crate::constants::{
    MAX_EMBEDDING_DIM, MAX_GRAPH_M, MAX_LAYERS_OR_HEADS, MAX_MANIFEST_BYTES, MAX_POSITIONS, MAX_REFERENCES, TEXT_BLOCK_BYTES,
};
use crate::{CodecSpec, EmbedderIdentity, ManifestError, MemoryShape, ModelIdentity};

/// Precisions that memories may have been computed in (SPEC 5).
const PRECISIONS: [&str; 2] = ["f32", "bf16"];
/// How embeddings may compare (SPEC 5).
const METRICS: [&str; 1] = ["cosine"];

/// What a pack is, what it depends on, and how much it holds.
#[derive(Clone, Debug, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Manifest {
    /// The program that wrote the pack, and its version; for people.
    pub generator: String,
    /// The model that wrote the memories.
    pub model: ModelIdentity,
    /// What the memories were computed in: `f32` or `bf16`.
    pub precision: String,
    /// The model that wrote the embeddings.
    pub embedder: EmbedderIdentity,
    /// The codec, by name.
    pub codec: String,
    /// Counts of documents, references, origins, tokens and bytes.
    pub counts: Counts,
    /// How the search graph was built, if there is one.
    pub graph: Option<GraphParameters>,
}

/// Counts of documents, references, origins, tokens and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Counts {
    /// Documents.
    pub documents: u32,
    /// References; as many memories, embeddings and leaf digests.
    pub references: u32,
    /// Origins of references.
    pub origins: u64,
    /// Tokens of all references.
    pub tokens: u64,
    /// Bytes of all texts, before compression.
    pub text_bytes: u64,
}

/// How a search graph was built (Malkov and Yashunin 2018, arXiv 1603.09320).
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct GraphParameters {
    /// Most neighbours of a node on an upper level; twice as many on level 0.
    pub m: u32,
    /// Candidates looked at when a node was inserted.
    pub ef_construction: u32,
}

impl Counts {
    /// Text blocks: the text's bytes, divided by the block's, rounded up.
    pub fn text_blocks(&self) -> u64 {
        self.text_bytes.div_ceil(TEXT_BLOCK_BYTES)
    }
}

/// The manifest's wire form.
pub(crate) fn encode(manifest: &Manifest) -> Result<Vec<u8>, ManifestError> {
    to_wire(manifest)
}

/// A manifest from its wire form: canonical, all bytes used, every field within its bounds; and its codec. A head budget, which is in a
/// section of its own, is not in its shape yet.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Manifest, CodecSpec), ManifestError> {
    let manifest: Manifest = from_wire(bytes)?;
    let codec = check(&manifest)?;
    Ok((manifest, codec))
}

/// The wire form of the manifest or of what continues it.
pub(crate) fn to_wire<T: bincode::Encode>(value: &T) -> Result<Vec<u8>, ManifestError> {
    let bytes = bincode::encode_to_vec(value, config::standard()).map_err(ManifestError::Encode)?;
    match bytes.len() as u64 {
        0..=MAX_MANIFEST_BYTES => Ok(bytes),
        found => Err(ManifestError::TooLarge { found }),
    }
}

/// A value from its wire form: canonical, and all bytes used.
pub(crate) fn from_wire<T: bincode::Encode + bincode::Decode<()>>(bytes: &[u8]) -> Result<T, ManifestError> {
    if bytes.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(ManifestError::TooLarge { found: bytes.len() as u64 });
    }
    // The limit bounds the allocation that a length prefix can cause.
    let limited = config::standard().with_limit::<{ MAX_MANIFEST_BYTES as usize }>();
    let mut rest = Rest(bytes);
    let decoded = bincode::decode_from_reader(&mut rest, limited);
    let at = (bytes.len() - rest.0.len()) as u64;
    let value: T = decoded.map_err(|source| ManifestError::Decode { at, source })?;
    // One value has one form: the same pack must not have two ids.
    let canonical = to_wire(&value)?;
    if canonical != bytes {
        let at = canonical.iter().zip(bytes).take_while(|(a, b)| a == b).count() as u64;
        return Err(ManifestError::NotCanonical { at });
    }
    Ok(value)
}

/// What the decoder has not read yet, so that an error can say where it is.
struct Rest<'a>(&'a [u8]);

impl Reader for Rest<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), DecodeError> {
        let Some((read, rest)) = self.0.split_at_checked(bytes.len()) else {
            return Err(DecodeError::UnexpectedEnd { additional: bytes.len() - self.0.len() });
        };
        bytes.copy_from_slice(read);
        self.0 = rest;
        Ok(())
    }
}

/// Checks every field that readers compute with, and returns the codec.
pub(crate) fn check(manifest: &Manifest) -> Result<CodecSpec, ManifestError> {
    let model = &manifest.model;
    check_shape(&model.shape)?;
    let last = u64::from(model.first_memory_layer) + u64::from(model.shape.layers);
    between("layers of the model", u64::from(model.layers), last, u64::from(MAX_LAYERS_OR_HEADS))?;
    between("query heads", model.query_heads.into(), model.shape.heads.into(), MAX_LAYERS_OR_HEADS.into())?;
    if !model.query_heads.is_multiple_of(model.shape.heads) {
        return Err(field("query heads", format!("a multiple of {} key-value heads", model.shape.heads), model.query_heads));
    }
    if !(model.rope_base.is_finite() && model.rope_base > 0.0) {
        return Err(field("RoPE base", "a positive number", model.rope_base));
    }
    between("reference length", model.reference_length.into(), 1, MAX_POSITIONS.into())?;
    one_of("precision", &manifest.precision, &PRECISIONS)?;
    between("embedding dimensions", manifest.embedder.dim.into(), 1, MAX_EMBEDDING_DIM.into())?;
    one_of("metric", &manifest.embedder.metric, &METRICS)?;
    between("references", manifest.counts.references.into(), 0, MAX_REFERENCES.into())?;
    if let Some(graph) = manifest.graph {
        between("graph m", graph.m.into(), 1, MAX_GRAPH_M.into())?;
    }
    let codec: CodecSpec = manifest.codec.parse().map_err(crate::CodecError::from)?;
    if codec.to_string() != manifest.codec {
        return Err(field("codec", codec, &manifest.codec));
    }
    record_bytes(&codec, &model.shape)?;
    Ok(codec)
}

/// Checks that every reader can decode this shape.
pub(crate) fn check_shape(shape: &MemoryShape) -> Result<(), ManifestError> {
    between("memory layers", shape.layers.into(), 1, MAX_LAYERS_OR_HEADS.into())?;
    between("key-value heads", shape.heads.into(), 1, MAX_LAYERS_OR_HEADS.into())?;
    between("tokens per head", shape.tokens.into(), 1, MAX_POSITIONS.into())?;
    let slots = u64::from(shape.layers) * u64::from(shape.heads) * u64::from(shape.tokens);
    between("head dimension", shape.head_dim.into(), 1, crate::codec::MAX_HEAD_DIM.into())?;
    between("floats of a memory's keys", slots * u64::from(shape.head_dim), 1, MAX_MEMORY_FLOATS)
}

/// Bytes of a memory record (SPEC 10): a position per slot, then a code per key, then a code per value.
pub(crate) fn record_bytes(codec: &CodecSpec, shape: &MemoryShape) -> Result<u64, ManifestError> {
    let code = codec.code_bytes(shape.head_dim).map_err(crate::CodecError::from)? as u64;
    // The shape's cap, 2^24 floats, keeps this far below 2^64.
    Ok(shape.slots() as u64 * (1 + 2 * code))
}

pub(crate) fn field(field: &'static str, expected: impl ToString, found: impl ToString) -> ManifestError {
    ManifestError::Field { field, expected: expected.to_string(), found: found.to_string() }
}

pub(crate) fn between(name: &'static str, found: u64, min: u64, max: u64) -> Result<(), ManifestError> {
    if (min..=max).contains(&found) { Ok(()) } else { Err(field(name, format!("{min} to {max}"), found)) }
}

fn one_of(name: &'static str, found: &str, known: &[&str]) -> Result<(), ManifestError> {
    if known.contains(&found) { Ok(()) } else { Err(field(name, known.join(" or "), format!("{found:?}"))) }
}

//! Codebooks that come with a model: a pack without references, whose codec was trained on another corpus.

use std::path::Path;
use std::sync::Arc;

use mempack_format::{CodecSpec, Pack, PackId, PackWriter, Quality, ReadError, Storage, Tag, WorkFolder, WriteError};
use thiserror::Error;

use crate::GENERATOR;
use crate::tuning::train::has_tables;

/// The file in a model's folder that has its codebooks.
pub const CODEBOOKS_FILE: &str = "codec.bin";

/// The codebooks that a build used.
#[derive(Clone, Debug, PartialEq)]
pub struct UsedCodebooks {
    /// The id of the pack that has them.
    pub id: PackId,
    /// What they lose of memories of the corpus that they were trained on, which were held out.
    pub quality: Option<Quality>,
}

/// Why codebooks were not written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodebooksError {
    /// The codec of the pack is not trained.
    #[error("its codec {codec} has no codebooks; build the pack with a codec that is trained, such as the default")]
    NoTables {
        /// The codec.
        codec: CodecSpec,
    },
    /// The pack is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file was not written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writes the codebooks of a pack to `target`, as a pack without documents and references: it has the model, the codec with its
/// parameters and the codec's measured loss. Put as [`CODEBOOKS_FILE`] into the folder of the model that wrote the pack, they encode the
/// memories of small corpora. Gives its id and its size in bytes.
///
/// # Errors
/// If the codec has no codebooks, the section `CODEC` is damaged, or writing fails. A file at `target` is then unchanged.
pub fn write_codebooks<D: AsRef<[u8]>>(pack: &Pack<D>, storage: Arc<dyn Storage>, target: &Path) -> Result<(PackId, u64), CodebooksError> {
    let (codec, manifest) = (pack.codec_spec(), pack.manifest());
    if !has_tables(&codec) {
        return Err(CodebooksError::NoTables { codec });
    }
    let parameters = pack.section(Tag::CODEC)?;
    let folder = WorkFolder::open(storage, target)?;
    let mut writer = PackWriter::create_in(&folder, manifest.model.shape.clone(), manifest.embedder.dim)?;
    writer.set_codec(&codec, parameters)?;
    if let Some(quality) = pack.quality() {
        writer.set_quality(quality.clone())?;
    }
    let summary = writer.finish(manifest.model.clone(), &manifest.precision, manifest.embedder.clone(), GENERATOR)?;
    Ok((summary.id, summary.bytes))
}
